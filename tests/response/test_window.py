"""`plane_wave` in boxes that are not periodic: what the window lets through, and what it does not."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from probe.interface import run
from probe.waves import mode_of
from probe.zoo.defects import ZeroPadded
from probe.zoo.oracles import Filter, gaussian_gain
from tests.models import CUBE, LINE, SQUARE, on


def walled(grid, boundary="zero"):
    return replace(grid, boundary=boundary)


def ask(model, **settings):
    return run("plane_wave", model, controls="none", settings={"plane_wave": settings})["plane_wave"]


@pytest.mark.parametrize("boundary", ["zero", "reflect", "none"])
@pytest.mark.parametrize("grid", [CUBE, SQUARE, LINE], ids=["3D", "2D", "1D"])
def test_a_linear_filter_is_measured_to_rounding_through_the_window(grid, boundary):
    radius = 0.5 * grid.spacing[0]
    measured = ask(on(walled(grid, boundary), Filter(gaussian_gain(radius), grid))).measured["model"]
    expected = np.exp(-0.5 * (measured.wavenumber.values * radius) ** 2)
    np.testing.assert_allclose(measured.response.values, expected[:, None] * np.ones(4), atol=100 * np.finfo(float).eps)
    assert float(abs(measured.harmonic_response.sel(harmonic=[0, 2, 3, 4])).max()) < 1e-14


def test_a_complex_gain_keeps_its_phase_through_the_window():
    def gain(grid):
        k = grid.wavevectors(derivative=True)
        return torch.exp(-1j * (0.3 * k[0] - 0.2 * k[1] + 0.1 * k[2]) * grid.spacing[0])

    # (1,0,5) is short along one axis only, which is enough to tell it from its opposite.
    measured = ask(on(walled(CUBE), Filter(gain, CUBE)), modes="3:0:0,1:0:5,2:-2:3").measured["model"]
    for mode, found in zip(measured.mode.values, measured.response.values, strict=True):
        k = CUBE.wavevector_of(mode_of(mode))
        expected = np.exp(-1j * (0.3 * k[0] - 0.2 * k[1] + 0.1 * k[2]) * CUBE.spacing[0])
        np.testing.assert_allclose(found, expected, atol=1e-13)


def test_a_square_makes_a_mean_and_a_second_harmonic_and_the_window_does_not_mix_them():
    strength, level = 0.3, 0.5
    measured = ask(on(walled(LINE), lambda x: x + strength * x**2), levels=f"{level}", modes="5,7").measured["model"]
    amplitude = level * math.sqrt(2)
    expected = np.array([strength * amplitude / 2, 1, strength * amplitude / 2, 0, 0])
    np.testing.assert_allclose(measured.harmonic_response.values[:, 0], expected[None] * np.ones((2, 1)), atol=1e-14)


def test_padding_with_zeros_changes_the_response_by_no_more_than_the_window_lets_in():
    strength = 0.1
    modes = {"modes": "2,11,24", "levels": "0.5"}
    padded = ask(on(walled(LINE), ZeroPadded(strength)), **modes).measured["model"].response.values[:, 0]
    k = 2 * np.pi * np.array([2, 11, 24]) / 64
    periodic = 1 - strength + strength * np.cos(k)
    # One neighbour of weight s/2 is missing in the first and in the last cell: |df| <= A s/2 in both, where the window is w_0.
    edge = (1 - math.cos(math.pi / 64)) / 2
    let_in = 2 * (2 * edge * strength / 2) / (64 / 2)
    assert 0 < np.abs(padded - periodic).max() <= let_in < 4e-6
    # Without a window it would be 2 (2 A s/2) / (A N).
    assert let_in < 2e-3 * (2 * strength / 64)


def test_a_wave_across_the_walls_has_its_transverse_part():
    def sideways(psi):
        return torch.cat([psi[:, :1], 0.5 * psi[:, :1], psi[:, 2:]], 1)

    measured = ask(on(walled(CUBE), sideways), modes="5:0:0", levels="0.2").measured["model"]
    assert measured.transverse.item() == pytest.approx(0.2, rel=1e-13)


def test_what_rests_on_a_periodic_box_is_not_asked_and_the_window_is_named():
    result = ask(on(walled(SQUARE), ZeroPadded(0.3)))
    checks = {check.name: check for check in result.checks}
    assert all(checks[name].verdict == "not_applicable" for name in ("allowed_modes", "aliasing"))
    assert "rests on a periodic box" in checks["aliasing"].sentence
    assert "Hann window" in checks["response"].sentence and "'zero'" in checks["response"].sentence
    assert np.isnan(result.measured["model"].rungs).all()
    assert all("Hann window" in result.panels()[index].caption for index in (0, 1, 2))


@pytest.mark.parametrize("mode", ["1", "31"])
def test_a_mode_that_the_window_would_mix_with_another_is_refused(mode):
    grid = replace(LINE, shape=(63,), boundary="none")
    result = ask(on(grid, lambda x: x), modes=mode)
    assert result.verdict == "error" and "between 2 and" in result.reason
    assert ask(on(replace(grid, boundary="periodic"), lambda x: x), modes=mode).verdict != "error"
