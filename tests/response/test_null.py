"""`null` against operators whose answers to nothing are written out here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from probe.description import Symmetries, Truth
from probe.grid import Grid
from probe.interface import run
from probe.model import FieldModel
from probe.zoo.defects import Bias, Checkerboard, GridLocked, ZeroPadded
from probe.zoo.oracles import Filter, gaussian_gain
from tests.models import CUBE, LINE, SQUARE, on


def ask(model, controls="none", **settings):
    return run("null", model, controls=controls, settings={"null": settings})["null"]


def checks(result):
    return {check.name: check for check in result.checks}


@pytest.mark.parametrize("grid", [CUBE, SQUARE, LINE], ids=["3D", "2D", "1D"])
def test_a_linear_filter_answers_nothing_with_nothing_and_a_checkerboard_with_its_gain(grid):
    result = ask(on(grid, Filter(gaussian_gain(grid.spacing[0]), grid)))
    measured = result.measured["model"]
    assert float(measured.answer_size[0, 0]) == 0 and float(measured.ripple.max()) < 1e-14 * float(measured.answer_size.max())
    top = [np.pi / h * np.eye(grid.dimension)[axis] for axis, h in enumerate(grid.spacing)]
    expected = [np.exp(-0.5 * (k @ k) * grid.spacing[0] ** 2) for k in (*top, *([sum(top)] if grid.dimension > 1 else []))]
    np.testing.assert_allclose(measured.gain.values[:, 0], expected, rtol=1e-12)
    assert float(measured.leak.max()) < 1e-14
    assert result.verdict == "pass"


def test_a_bias_is_what_comes_out_of_nothing():
    bias = 0.3
    result = ask(on(CUBE, Bias(bias)))
    measured = result.measured["model"]
    np.testing.assert_allclose(measured["mean"].values[0], [bias] * 3, rtol=1e-15)
    # A made displacement has rms 3 and no mean, so the answer to it has rms sqrt(9 + b^2).
    assert checks(result)["at_rest"].interval.value == pytest.approx(bias / np.sqrt(9 + bias**2), rel=1e-12)
    assert {name: check.verdict for name, check in checks(result).items()} == {
        "at_rest": "fail",
        "uniform_fields": "pass",
        "uniform_displacement": "pass",
        "checkerboard": "pass",
    }


def test_without_a_law_a_bias_is_told_and_held_against_the_law_where_there_is_one():
    told = ask(on(SQUARE, Bias(0.3))).checks[0]
    assert told.verdict == "info" and "No law says" in told.sentence

    def law(values):
        return values + 0.3

    described = replace(on(SQUARE, nn.Identity()).description, truth=Truth("live:law"))
    for bias, verdict in ((0.3, "pass"), (0.4, "fail")):
        lawful = FieldModel(Bias(bias), described, dtype=torch.float64, code={"live:law": law})
        check = ask(lawful, controls=["simulator"]).checks[0]
        assert check.verdict == verdict
        # A made field has rms 1, and its answer rms sqrt(1 + b^2).
        assert check.interval.value == pytest.approx(abs(bias - 0.3) / np.sqrt(1 + bias**2), abs=1e-12)


@pytest.mark.parametrize("grid", [CUBE, SQUARE, LINE], ids=["3D", "2D", "1D"])
def test_the_checkerboard_of_a_transposed_convolution_sits_on_its_rungs_by_its_closed_form(grid):
    # Three equal taps at stride two reach even cells twice and odd ones once: along each axis 1 +- 1/3. A constant c comes back
    # with s c / 3^m on the rung whose components are Nyquist along m axes.
    strength, dimension = 0.2, grid.dimension
    result = ask(on(grid, Checkerboard(strength)))
    measured = result.measured["model"]
    assert measured.attrs["stride"] == 2
    size = 3.0 if dimension == 3 else 1.0
    share = 1 / 3 if dimension == 3 else 1.0  # one component of three is raised: the mean square is a third
    whole = strength * size * np.sqrt(share * ((1 + 1 / 9) ** dimension - 1))
    np.testing.assert_allclose(measured.ripple.values[1:, 0], whole, rtol=1e-12)
    np.testing.assert_allclose(measured.on_rungs.values[1:, 0], 1.0, rtol=1e-12)
    largest = dict(zip(measured.largest_mode.values[1, 0], measured.largest.values[1, 0], strict=True))
    along = str(tuple(grid.shape[0] // 2 if a == 0 else 0 for a in range(dimension))).replace(" ", "").replace(",)", ")")
    assert largest[along] == pytest.approx(strength * size * np.sqrt(share) / 3, rel=1e-12)
    assert len([size for size in largest.values() if size > 1e-12]) == min(5, 2**dimension - 1)
    assert checks(result)["uniform_fields"].verdict == "fail" and "rungs (N/2) j" in checks(result)["uniform_fields"].sentence


def test_zero_padding_ripples_off_the_rungs():
    # One smoothing with zeros beyond the walls lowers a constant c by s c / 2 in the two cells at the walls.
    strength, points = 0.4, 64
    measured = ask(on(LINE, ZeroPadded(strength))).measured["model"]
    expected = strength / 2 * np.sqrt(2 / points * (1 - 2 / points))
    np.testing.assert_allclose(measured.ripple.values[1:, 0], expected, rtol=1e-12)
    assert float(measured.on_rungs.max()) == 0  # a network of stride 1 has no rungs


def test_a_uniform_displacement_goes_through_but_for_what_the_model_adds():
    # f(x) = x + s x^2 adds s ((x + c)^2 - x^2), at rest s c^2 in one component of three.
    strength = 0.01
    result = ask(on(CUBE, lambda x: x + strength * x**2))
    measured = result.measured["model"]
    expected = strength * 3.0**2 / np.sqrt(3) / float(measured.usual_size[0])
    np.testing.assert_allclose(measured.shift_error.values[0], expected, rtol=1e-12)
    assert float(measured.shift_error[1:].min()) > float(measured.shift_error[0].max())  # 2 s x c comes on top
    assert checks(result)["uniform_displacement"].verdict == "fail" and checks(result)["at_rest"].verdict == "pass"


def test_what_leaves_a_checkerboard_has_its_closed_form():
    # Louder by s where both coordinates are even: A (-1)^x times 1 + s (1 + (-1)^x)(1 + (-1)^y) / 4 keeps A (1 + s/4) (-1)^x, and
    # leaves A s/4 in (-1)^y and in (-1)^(x+y) each.
    strength = 0.4
    measured = ask(on(SQUARE, GridLocked(strength))).measured["model"]
    np.testing.assert_allclose(measured.gain.values[:, 0], 1 + strength / 4, rtol=1e-12)
    # Inputs have rms 1, so an answer usually has usual_spread times the size of its input.
    expected = strength / 4 * np.sqrt(2) / float(measured.usual_spread[0])
    np.testing.assert_allclose(measured.leak.values[:, 0], expected, rtol=1e-12)


def test_where_translation_is_denied_ripples_are_told_and_not_judged():
    model = on(LINE, ZeroPadded(0.4))
    walled = replace(model.description, symmetries=Symmetries((), "none", False, declared=True))
    found = checks(ask(FieldModel(model.network, walled, dtype=torch.float64)))
    assert found["uniform_fields"].verdict == found["checkerboard"].verdict == "info"


def test_an_odd_grid_has_no_checkerboard_and_says_so():
    result = ask(on(Grid.cubic(15, 1.0, dimension=2), nn.Identity()))
    assert checks(result)["checkerboard"].verdict == "not_applicable"
    assert len(result.panels()) == 2
