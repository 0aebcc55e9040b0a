"""`plane_wave` against operators whose answer to a wave is known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from probe.interface import run
from probe.spectra import ladder_mask, modes_mask
from probe.waves import mode_of
from probe.zoo.defects import ZeroPadded
from probe.zoo.oracles import Filter, gaussian_gain
from probes_catalog.response.plane_wave import PlaneWave
from tests.models import CUBE, LINE, SQUARE, on


def ask(model, **settings):
    return run("plane_wave", model, controls="none", settings={"plane_wave": settings})["plane_wave"]


@pytest.mark.parametrize("grid", [CUBE, SQUARE, LINE], ids=["3D", "2D", "1D"])
def test_a_linear_filter_is_measured_to_rounding_in_every_dimension(grid):
    radius = 0.5 * grid.spacing[0]
    measured = ask(on(grid, Filter(gaussian_gain(radius), grid))).measured["model"]
    expected = np.exp(-0.5 * (measured.wavenumber.values * radius) ** 2)
    # A float64 transform of N points has a relative error of a few eps; a hundred is generous and far below any physics.
    np.testing.assert_allclose(measured.response.values, expected[:, None] * np.ones(4), atol=100 * np.finfo(float).eps)
    others = measured.harmonic_response.sel(harmonic=[0, 2, 3, 4])
    assert float(abs(others).max()) < 1e-14


def test_a_complex_gain_is_measured_with_its_phase():
    def gain(grid):
        k = grid.wavevectors(derivative=True)
        return torch.exp(-1j * (0.3 * k[0] - 0.2 * k[1] + 0.1 * k[2]) * grid.spacing[0])

    measured = ask(on(CUBE, Filter(gain, CUBE)), modes="3:0:0,2:1:0,1:-2:3").measured["model"]
    for mode, found in zip(measured.mode.values, measured.response.values, strict=True):
        k = CUBE.wavevector_of(mode_of(mode))
        expected = np.exp(-1j * (0.3 * k[0] - 0.2 * k[1] + 0.1 * k[2]) * CUBE.spacing[0])
        np.testing.assert_allclose(found, expected, atol=1e-13)


def test_a_square_makes_a_mean_and_a_second_harmonic_and_nothing_else():
    strength, level = 0.3, 0.5
    measured = ask(on(LINE, lambda x: x + strength * x**2), levels=f"{level}", modes="5,7").measured["model"]
    amplitude = level * np.sqrt(2)
    # A cos + s A^2 cos^2 = A cos + s A^2 / 2 + (s A^2 / 2) cos 2: relative to A.
    expected = np.array([strength * amplitude / 2, 1, strength * amplitude / 2, 0, 0])
    np.testing.assert_allclose(measured.harmonic_response.values[:, 0], expected[None] * np.ones((2, 1)), atol=1e-14)


def test_the_shares_of_power_and_the_ladder_add_up_to_one():
    measured = ask(on(LINE, lambda x: torch.tanh(2 * x)), modes="5", levels="0.5").measured["model"].isel(mode=0, level=0)
    amplitude = 0.5 * np.sqrt(2)
    total = np.mean(np.tanh(2 * amplitude * np.cos(2 * np.pi * 5 * np.arange(64) / 64)) ** 2)
    harmonics = abs(measured.harmonic_response.values * amplitude) ** 2 / np.array([1, 2, 2, 2, 2])
    accounted = harmonics.sum() / total + float(measured.beyond + measured.rungs + measured.off)
    assert accounted == pytest.approx(1, abs=1e-12)


def test_the_masks_of_the_budget_are_nested():
    mode = (3, 0, 0)
    near, harmonic = modes_mask([tuple(m * n for n in mode) for m in range(5)], CUBE), ladder_mask(mode, CUBE)
    allowed = ladder_mask(mode, CUBE, 4)
    assert (near & ~harmonic).sum() == 0 and (harmonic & ~allowed).sum() == 0


def test_zero_padding_leaks_off_the_allowed_set_and_fails():
    checks = {c.name: c.verdict for c in ask(on(CUBE, ZeroPadded(0.1))).checks}
    assert checks["allowed_modes"] == "fail"
    assert {c.name: c.verdict for c in ask(on(CUBE, lambda x: x)).checks}["allowed_modes"] == "pass"


@pytest.mark.parametrize("gain, verdict", [(1.0, "pass"), (0.96, "pass"), (0.94, "fail"), (1.06, "fail")])
def test_the_bound_on_the_response_lies_at_five_per_cent(gain, verdict):
    checks = {c.name: c for c in ask(on(CUBE, lambda x: gain * x)).checks}
    assert checks["response"].verdict == verdict
    assert checks["response"].interval.value == pytest.approx(abs(gain - 1), abs=1e-13)


def test_an_unknown_law_makes_the_response_information_only():
    checks = {c.name: c.verdict for c in ask(on(SQUARE, lambda x: 0.3 * x)).checks}
    assert checks["response"] == "info" and checks["allowed_modes"] == "pass"


def test_where_the_simulator_departs_from_theory_its_departure_is_the_bound():
    from probe.loading import load

    settings = {"modes": "11:0:0,5:0:0", "levels": "0.2", "shifts": 1}
    result = run("plane_wave", load("zoo:lpt2nbody"), controls=["simulator", "identity"], settings={"plane_wave": settings})[
        "plane_wave"
    ]
    measured = result.measured
    assert float(abs(measured["simulator"].response[1, 0])) == pytest.approx(0.9887, abs=3e-4)
    departure = float((abs(measured["simulator"].response - 1) / abs(measured["simulator"].response)).max())
    response = {c.name: c for c in result.checks}["response"]
    assert response.bounds[1] == pytest.approx(departure, abs=2e-5) and departure > 0.05
    # Theory lies within its own distance from the simulator, by definition.
    assert result.control_verdicts["identity"]["response"] == "pass"


def test_a_simulator_that_ran_only_some_of_the_waves_judges_those():
    probe = PlaneWave()
    measured = ask(on(LINE, lambda x: 0.9 * x), modes="5,7").measured["model"]
    known = np.array([True, False])[:, None] & np.ones(measured.sizes["level"], dtype=bool)
    simulator = measured.assign(
        response=measured.response.where(known, np.nan) / 0.9,
        harmonic_response=measured.harmonic_response.where(known[..., None], np.nan),
    )
    response, harmonics = probe.judge({"model": measured, "simulator": simulator})[:2]
    assert response.verdict == "fail" and response.interval.value == pytest.approx(0.1, rel=1e-12)
    assert harmonics.verdict == "pass"
