"""`translation` against operators that treat all places alike, and ones that do not by an amount written out here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from probe.description import Symmetries, Truth
from probe.equivariance import test_field as field_to_move
from probe.fields import Quantity
from probe.interface import run
from probe.model import FieldModel
from probe.runner.subject import LocalSubject
from probe.zoo.defects import AbsolutePosition, GridLocked, ZeroPadded
from probe.zoo.oracles import Filter, SecondOrder, gaussian_gain
from tests.models import CUBE, LINE, SQUARE, Function, on, with_pairs


def ask(model, **settings):
    return run("translation", model, controls="none", settings={"translation": settings})["translation"]


def moved(model, index=0):
    """The field of that number that the probe moves."""
    return field_to_move(LocalSubject("model", model, None, "default", 0, "translation"), index)[0].values[0].numpy()


def described(model, **changes):
    return FieldModel(model.network, replace(model.description, **changes), dtype=torch.float64)


def checks(result):
    return {check.name: check for check in result.checks}


@pytest.mark.parametrize("grid", [CUBE, SQUARE, LINE], ids=["3D", "2D", "1D"])
def test_a_linear_filter_is_exact_under_every_shift_parts_of_a_cell_too(grid):
    result = ask(on(grid, Filter(gaussian_gain(grid.spacing[0]), grid)))
    measured = result.measured["model"]
    assert float(measured.shift_error.max()) < 1e-13
    assert measured.cells.min() == 0.25 and measured.cells.max() == min(grid.shape) // 2
    assert checks(result)["whole_cells"].verdict == "pass" and checks(result)["exact_shifts"].interval.value == 1


def test_2lpt_without_aliasing_is_exact_under_parts_of_a_cell():
    assert float(ask(on(CUBE, SecondOrder(CUBE)), fields=1).measured["model"].shift_error.max()) < 1e-13


@pytest.mark.parametrize("defect", [GridLocked(0.2), AbsolutePosition(0.1)], ids=["grid locked", "position"])
def test_a_gain_that_depends_on_the_place_has_the_error_of_its_closed_form(defect):
    # f = a x with a gain a(j): f(T x) - T f(x) = (a(j) - a(j - t)) x(j - t).
    model = on(LINE, defect)
    x = moved(model)[0]
    gain = 1 + np.where(np.arange(64) % 2, 0, 0.2) if isinstance(defect, GridLocked) else 1 + 0.1 * np.linspace(-1, 1, 64)
    measured = ask(model, fields=1).measured["model"]
    for size in (1, 2, 3, 8, 32):
        wrong = (gain - np.roll(gain, size)) * np.roll(x, size)
        found = measured.shift_error.values[0, measured.cells.values == size].item()
        assert found == pytest.approx(np.linalg.norm(wrong) / np.linalg.norm(gain * x), rel=1e-12, abs=1e-15)


def test_a_network_of_stride_two_is_exact_at_multiples_of_it_alone():
    class Blocks(torch.nn.Module):
        def forward(self, x):
            return x + torch.nn.functional.interpolate(torch.nn.functional.avg_pool3d(x, 2), scale_factor=2)

    result = ask(on(CUBE, Blocks()))
    measured = result.measured["model"]
    whole = measured.isel(shift=measured.cells.values % 1 == 0)
    assert float(whole.shift_error[:, whole.cells.values % 2 == 0].max()) < 1e-14
    assert float(whole.shift_error[:, whole.cells.values % 2 == 1].min()) > 0.05
    exact = checks(result)["exact_shifts"]
    assert exact.interval.value == 2 and "its total stride" in exact.sentence
    assert checks(result)["whole_cells"].verdict == "fail"


def test_zero_padding_is_seen_at_the_walls_and_nowhere_is_exact():
    result = ask(on(LINE, ZeroPadded(0.5)), fields=1)
    profile = result.measured["model"].profile.values[0]
    assert set(np.argsort(profile)[-2:]) == {0, 63}
    assert checks(result)["exact_shifts"].interval.value == 0
    assert ask(on(CUBE, ZeroPadded(0.2))).verdict == "fail"


def test_along_axes_that_the_description_does_not_grant_nothing_is_judged():
    model = on(SQUARE, AbsolutePosition(0.1))
    along_y = described(model, symmetries=Symmetries(("y",), "none", False, declared=True))
    result = ask(along_y)
    assert checks(result)["whole_cells"].verdict == "pass" and checks(result)["whole_cells"].interval.value < 1e-15
    assert checks(result)["other_axes"].verdict == "info" and checks(result)["other_axes"].interval.value > 0.05
    nowhere = described(model, symmetries=Symmetries((), "none", False, declared=True))
    assert ask(nowhere).verdict == "info" and "denies" in ask(nowhere).checks[0].sentence


def test_parts_of_a_cell_are_judged_by_what_the_law_itself_does():
    def square(values):
        return values + 0.2 * values**2

    model = on(LINE, square)
    alone = checks(ask(model))["parts_of_a_cell"]
    assert alone.verdict == "info" and alone.interval.value > 0.02
    law = replace(model.description, truth=Truth("live:square"))

    def against_the_law(network):
        known = FieldModel(Function(network), law, code={"live:square": square}, dtype=torch.float64)
        result = run("translation", known, controls=["simulator"], settings={"translation": {"fields": 20}})["translation"]
        return checks(result)["parts_of_a_cell"]

    same = against_the_law(square)
    assert same.verdict == "pass" and abs(same.interval.value) < 1e-7  # a square root of rounding
    assert against_the_law(lambda values: values + values**3).verdict == "fail"


@pytest.mark.parametrize(
    ("network", "verdict"), [(ZeroPadded(0.5), "pass"), (AbsolutePosition(0.5), "fail")], ids=["zero padding", "position"]
)
@pytest.mark.parametrize("grid", [CUBE, SQUARE], ids=["3D", "2D"])
def test_between_walls_windows_are_compared_away_from_them(grid, network, verdict):
    walled = described(on(grid, network), grid=replace(grid, boundary="zero"))
    unasked = ask(walled)
    assert unasked.verdict == "info" and "margin" in unasked.checks[0].sentence
    result = ask(walled, margin=2)
    assert result.verdict == verdict
    inside = result.measured["model"].profile.values
    assert np.isnan(inside[:, [0, 1, -2, -1]]).all() and np.isfinite(inside[:, 3:-3]).all()


def test_a_margin_that_the_network_sees_beyond_lets_the_walls_in():
    walled = described(on(LINE, ZeroPadded(0.5)), grid=replace(LINE, boundary="zero"))
    assert float(ask(walled, margin=1).measured["model"].shift_error.max()) < 1e-15
    assert float(ask(walled, margin=0).measured["model"].shift_error.max()) > 1e-3


def test_a_number_may_not_move_and_has_no_place_between_walls():
    number = Quantity("energy", "number")

    def energy(values):
        return values.square().mean((2, 3), keepdim=True).expand(-1, 1, *values.shape[2:])

    model = described(on(SQUARE, energy), outputs=(number,))
    assert float(ask(model).measured["model"].shift_error.max()) < 1e-14
    walled = described(model, grid=replace(SQUARE, boundary="zero"))
    assert ask(walled).verdict == "not_applicable" and "no place" in ask(walled).reason


def test_with_pairs_the_bound_is_the_models_own_error(tmp_path):
    result = ask(with_pairs(on(LINE, lambda x: 1.1 * x), tmp_path, lambda x: x))
    assert checks(result)["whole_cells"].bounds[1] == pytest.approx(0.1 / 1.1, rel=1e-6)
    assert list(result.measured["model"].field.values) == [f"out_{i}" for i in range(4)]
