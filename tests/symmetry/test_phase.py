"""`phase` against operators that treat all places alike, and one that does not by a known amount."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from probe.interface import run
from probe.waves import mode_of
from probe.zoo.defects import GridLocked
from probe.zoo.oracles import Filter, gaussian_gain
from tests.models import CUBE, LINE, SQUARE, on


def ask(model, **settings):
    return run("phase", model, controls="none", settings={"phase": settings})["phase"]


@pytest.mark.parametrize("grid", [CUBE, SQUARE, LINE], ids=["3D", "2D", "1D"])
def test_a_linear_filter_keeps_gain_and_lag_to_rounding(grid):
    measured = ask(on(grid, Filter(gaussian_gain(grid.spacing[0]), grid))).measured["model"]
    k = 2 * np.pi * mode_of(measured.attrs["mode"])[0] / grid.box[0]
    np.testing.assert_allclose(measured.response.values, np.exp(-0.5 * (k * grid.spacing[0]) ** 2), atol=1e-14)
    assert float(measured.shift_error.max()) < 1e-14


def test_the_six_phases_are_those_of_the_talk():
    measured = ask(on(LINE, lambda x: x)).measured["model"]
    np.testing.assert_allclose(measured.phase.values / np.pi, [0, 1 / 6, 1 / 3, 1 / 2, 2 / 3, 1])


def test_a_displaced_answer_is_a_constant_lag_not_a_scatter():
    result = ask(on(LINE, lambda x: torch.roll(x, 1, -1)), mode="5")
    measured = result.measured["model"]
    np.testing.assert_allclose(np.angle(measured.response.values), -2 * np.pi * 5 / 64, atol=1e-13)
    assert result.checks[0].interval.value < 1e-13


def test_a_grid_locked_answer_fails_by_its_closed_form():
    # Every second cell louder by s: f(T x) - T f(x) at odd shifts is s x (c(x) - c(x - 1)), c = 1 on even cells, so |.| = s |x|,
    # against |f| with f = (1 + s) x on half of the cells: sqrt((1 + (1 + s)^2) / 2) |x|.
    strength = 0.2
    result = ask(on(LINE, GridLocked(strength)), mode="5")
    errors = result.measured["model"].shift_error
    expected = strength / np.sqrt((1 + (1 + strength) ** 2) / 2)
    assert float(errors.sel(shift=1)) == pytest.approx(expected, rel=1e-12)
    assert float(errors.sel(shift=2)) < 1e-14
    assert {c.name: c.verdict for c in result.checks}["lattice_phases"] == "fail"


def test_a_description_that_denies_translation_is_not_failed():
    from dataclasses import replace

    from probe.description import Symmetries
    from probe.model import FieldModel

    model = on(LINE, GridLocked(0.2))
    walled = replace(model.description, symmetries=Symmetries((), "none", False, declared=True))
    result = ask(FieldModel(model.network, walled, dtype=torch.float64))
    assert result.verdict == "info" and "denies" in result.checks[0].sentence
