"""`rotation` against operators that are exactly isotropic, and ones that are not by a known amount."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from probe.equivariance import test_field as field_to_turn
from probe.interface import run
from probe.runner.subject import LocalSubject
from probe.zoo.defects import Anisotropic, SwappedComponents
from probe.zoo.oracles import Filter, SecondOrder, gaussian_gain
from tests.models import CUBE, LINE, SQUARE, on, with_pairs


def ask(model, **settings):
    return run("rotation", model, controls="none", settings={"rotation": settings})["rotation"]


@pytest.mark.parametrize("network", [Filter(gaussian_gain(4.0), CUBE), SecondOrder(CUBE)], ids=["filter", "2LPT"])
def test_an_isotropic_operator_is_exact_to_rounding(network):
    result = ask(on(CUBE, network))
    measured = result.measured["model"]
    assert float(measured.turn_error.max()) < 100 * np.finfo(float).eps
    assert {c.name: c.verdict for c in result.checks}["cubic_group"] == "pass"
    spread = next(c for c in result.checks if c.name == "orientations").interval.value
    assert spread < 1e-13


def test_a_stretched_component_has_the_error_of_its_closed_form():
    # f = S x with S = diag(1 + e, 1, 1). A quarter turn R about z swaps x and y up to signs, so S R - R S maps (x, y) to
    # e (y, x) up to signs: |(S R - R S) x|^2 = e^2 (x^2 + y^2), against |S x|^2. About y it is z for y; about x they commute.
    stretch = 0.1
    model = on(CUBE, Anisotropic(stretch))
    run_once = run("rotation", model, controls="none", effort="full", settings={"rotation": {"fields": 1}})
    measured = run_once["rotation"].measured["model"]
    field, _ = field_to_turn(LocalSubject("model", model, None, "full", 0, "rotation"), 0)
    square = field.values[0].square().sum((1, 2, 3))
    below = (1 + stretch) ** 2 * square[0] + square[1] + square[2]
    about_y, about_z = (stretch * torch.sqrt((square[0] + square[i]) / below).item() for i in (2, 1))
    quarter = [e for t, e in zip(measured.turn.values, measured.turn_error.values[0], strict=True) if t.startswith("90°")]
    np.testing.assert_allclose(sorted(quarter), sorted([0, 0, about_y, about_y, about_z, about_z]), rtol=1e-12, atol=1e-15)


def test_orientations_see_the_stretch_of_one_axis():
    checks = {c.name: c for c in ask(on(CUBE, Anisotropic(0.1))).checks}
    # Powers 1.21, 1, 1: half the largest difference over the mean.
    assert checks["orientations"].interval.value == pytest.approx(0.21 / 2 / (3.21 / 3), rel=1e-12)
    assert checks["orientations"].verdict == "fail" and checks["cubic_group"].verdict == "fail"


def test_swapped_components_fail():
    checks = {c.name: c.verdict for c in ask(on(CUBE, SwappedComponents())).checks}
    assert checks["cubic_group"] == "fail"


def test_a_strided_network_is_exact_about_a_cell_centre_and_it_is_named():
    # Averages over blocks of two, put back: symmetric about the blocks' middles (1/2, 5/2, ...) and about their edges (3/2).
    class Blocks(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.pool, self.up = torch.nn.AvgPool3d(2), torch.nn.Upsample(scale_factor=2)

        def forward(self, x):
            return x + self.up(self.pool(x))

    measured = ask(on(CUBE, Blocks())).measured["model"]
    assert measured.attrs["best_centre"] in (0.5, 1.5) and measured.attrs["best_centre"] == measured.attrs["best_output_centre"]
    assert float(measured.turn_error.max()) < 1e-13
    about_point = float(measured.centre_error.sel(centre=0.0, output_centre=0.0))
    assert about_point > 0.1


def test_with_pairs_the_bound_is_the_models_own_error(tmp_path):
    model = with_pairs(on(CUBE, lambda x: 1.1 * x), tmp_path, lambda x: x)
    check = ask(model).checks[0]
    # |1.1 x - x| / |1.1 x|
    assert check.bounds[1] == pytest.approx(0.1 / 1.1, rel=1e-6)
    assert "half of its error power" in check.bound_from


def test_two_dimensions_have_the_square_group_and_one_has_none():
    assert ask(on(SQUARE, lambda x: x**2)).checks[0].name == "square_group"
    assert ask(on(LINE, lambda x: x)).verdict == "not_applicable"


def test_full_effort_takes_every_rotation_of_the_cube():
    result = run("rotation", on(CUBE, lambda x: x), controls="none", effort="full", settings={"rotation": {"fields": 1}})[
        "rotation"
    ]
    assert result.measured["model"].sizes["turn"] == 23
