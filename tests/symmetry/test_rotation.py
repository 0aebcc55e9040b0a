"""`rotation` against operators that are exactly isotropic, and ones that are not by a known amount."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from probe.description import Symmetries
from probe.equivariance import test_field as field_to_turn
from probe.interface import run
from probe.model import FieldModel
from probe.runner.subject import LocalSubject
from probe.zoo.defects import Anisotropic, SwappedComponents, ZeroPadded
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


@pytest.mark.parametrize("grid", [CUBE, SQUARE], ids=["3D", "2D"])
def test_a_walled_box_turns_about_its_middle(grid):
    # Zero padding knows where the walls are, and treats all of them alike; it knows no place beside the middle to turn about.
    result = ask(on(replace(grid, boundary="zero"), ZeroPadded(0.3)))
    measured, checks = result.measured["model"], {c.name: c for c in result.checks}
    assert measured.attrs["best_centre"] == measured.attrs["best_output_centre"] == -0.5
    assert float(measured.turn_error.max()) < 1e-13 and checks["orientations"].interval.value < 1e-13
    assert "the middle of the box" in result.checks[0].sentence and "Hann window" in checks["orientations"].sentence
    assert [panel.title for panel in result.panels()] == ["One mode along each axis", "Rotations of the lattice"]


def test_a_nonlinear_box_with_walls_still_answers_alike_along_every_axis():
    # Handed, and different from place to place: a turn about the middle is all that it respects.
    def handed(x):
        j, i = torch.meshgrid(*[torch.arange(32, dtype=x.dtype) - 15.5] * 2, indexing="ij")
        return x * (1 + 1e-4 * i * j * (i**2 - j**2) / 256) + 0.3 * x**3

    result = ask(on(replace(SQUARE, boundary="none"), handed))
    checks = {c.name: c for c in result.checks}
    assert checks["square_group"].interval.value < 1e-13 and checks["orientations"].interval.value < 1e-13


def test_orientations_see_the_stretch_of_one_axis_through_the_window():
    checks = {c.name: c for c in ask(on(replace(CUBE, boundary="zero"), Anisotropic(0.1))).checks}
    assert checks["orientations"].interval.value == pytest.approx(0.21 / 2 / (3.21 / 3), rel=1e-12)


def declared(model, rotation, reflection=False):
    described = replace(model.description, symmetries=Symmetries(("x", "y", "z"), rotation, reflection, declared=True))
    return FieldModel(model.network, described, dtype=torch.float64)


def test_only_rotations_that_are_granted_are_judged():
    # A line of sight along z: what turns x and y into one another is granted, what tips the axis over is not.
    def line_of_sight(psi):
        return torch.cat([psi[:, :2], 1.5 * psi[:, 2:]], 1)

    checks = {c.name: c for c in ask(declared(on(CUBE, line_of_sight), ("z",))).checks}
    assert checks["cubic_group"].verdict == "pass" and checks["cubic_group"].interval.value < 1e-13
    assert checks["other_rotations"].verdict == "info" and checks["other_rotations"].interval.value > 0.1
    assert checks["orientations"].verdict == "info" and "rotation = ('z',)" in checks["orientations"].sentence
    assert {c.name: c for c in ask(declared(on(CUBE, line_of_sight), "full")).checks}["cubic_group"].verdict == "fail"


def test_where_no_rotation_is_granted_nothing_is_judged():
    checks = {c.name: c.verdict for c in ask(declared(on(CUBE, SwappedComponents()), "none")).checks}
    assert checks["cubic_group"] == checks["orientations"] == "info" and "other_rotations" not in checks
