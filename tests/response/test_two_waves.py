"""`two_waves` against models whose second order is known in closed form."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from probe.description import Description, Truth
from probe.fields import Quantity
from probe.grid import Grid
from probe.interface import run
from probe.model import FieldModel
from probe.waves import mode_of
from probe.zoo.defects import AbsolutePosition
from probe.zoo.gravity_defects import Miscoupled
from probe.zoo.oracles import SecondOrder, displacement_model
from tests.models import CUBE, LINE, SQUARE, Function, on

EXACT = 1e-12  # a mixed difference at a = 0.1 takes two digits from float64, transforms a few units in the last place more


def ask(model, effort="quick", controls="none", **settings):
    return run("two_waves", model, controls=controls, effort=effort, settings={"two_waves": settings})["two_waves"]


def verdicts(result):
    return {check.name: check.verdict for check in result.checks}


def squares(label):
    """mu^2 of the two modes of a pair in a cubic box."""
    first, second = (np.array(mode_of(one)) for one in str(label).split(" "))
    return (first @ second) ** 2 / (first @ first) / (second @ second)


def test_gravity_at_second_order_is_measured_to_rounding_at_every_angle():
    result = ask(on(CUBE, SecondOrder(CUBE)), shifts=3)
    measured = result.measured["model"]
    expected = np.array([3 / 14 * (1 - squares(pair)) for pair in measured.pair.values])
    np.testing.assert_allclose(measured.coupling.values, expected[:, None] * np.ones(2), atol=EXACT)
    np.testing.assert_allclose(measured.ladder_coupling.values, 3 / 14 * np.ones((3, 2)), atol=EXACT)
    assert float(measured.across.max()) < EXACT and float(measured.spread.max()) < EXACT
    assert len(set(expected.round(6))) == 4 and verdicts(result)["coupling"] == verdicts(result)["parallel"] == "pass"


def test_growth_and_omega_m_enter_as_in_2lpt():
    model = displacement_model(nn.Identity(), CUBE, "grown")
    described = replace(model.description, truth=Truth("gravity", growth_ratio=0.8, omega_m=0.3))
    result = ask(FieldModel(nn.Identity(), described, dtype=torch.float64), controls=["lpt2"])
    assert float(result.measured["lpt2"].coupling[0, 0].real) == pytest.approx(3 / 14 * 0.64 * 0.3 ** (-1 / 143), abs=EXACT)
    assert result.control_verdicts["lpt2"] == verdicts(result) | {"coupling": "pass", "parallel": "pass"}


@pytest.mark.parametrize("boundary", ["periodic", "none"])
@pytest.mark.parametrize("grid", [CUBE, SQUARE, LINE], ids=["3D", "2D", "1D"])
def test_a_square_couples_every_pair_alike_in_every_dimension(grid, boundary):
    described = Description(replace(grid, boundary=boundary), (Quantity("s", rms=0.7),), (Quantity("t", unit="K"),))
    measured = ask(FieldModel(Function(lambda x: x + 0.3 * x**2), described, dtype=torch.float64)).measured["model"]
    # s A cos(a) B cos(b) 2 = s A B [cos(a + b) + cos(a - b)].
    np.testing.assert_allclose(measured.coupling.values, 0.3, atol=EXACT)
    assert measured.coupling.attrs["units"] == "K"


def test_advection_on_a_line_couples_with_minus_i_k_over_two():
    time, velocity = 0.2, Quantity("u", "vector", "velocity", "m/s", rms=1.3)

    def slope(u):
        k = 2j * math.pi * torch.fft.rfftfreq(64, d=1 / 64).double()
        return torch.fft.irfft(k * torch.fft.rfft(u), n=64)

    network = Function(lambda u: u - time / 2 * slope(u**2))
    result = ask(FieldModel(network, Description(LINE, (velocity,), (velocity,)), dtype=torch.float64))
    measured = result.measured["model"]
    wavenumber = 2 * np.pi * np.array([[4, 2], [5, 1]])
    np.testing.assert_allclose(measured.coupling.values, -0.5j * time * wavenumber, atol=10 * EXACT)
    assert measured.coupling.attrs["units"] == "(m/s)/(m/s)^2" and verdicts(result)["coupling"] == "info"
    assert any(axes.get_xlabel().startswith("Im K") for panel in result.panels() for axes in panel.figures[0][1].axes)


def test_the_third_order_is_seen_over_amplitudes_and_not_in_the_plateau():
    # Of 4 x^3 y + 4 x y^3, with cos^3 = (3 cos + cos 3)/4, the part at n1 +- n2 is that of 2 x y times 3 A^2.
    measured = ask(on(LINE, lambda x: x**2 + x**4), ladder="0.05,0.2").measured["model"]
    amplitude = np.array([0.05, 0.2]) * np.sqrt(2)
    np.testing.assert_allclose(measured.ladder_coupling.values, (1 + 3 * amplitude**2)[:, None] * np.ones(2), atol=20 * EXACT)


def test_a_kink_at_zero_has_no_plateau():
    measured = ask(on(SQUARE, lambda x: torch.where(x > 0, x, 0.1 * x)), ladder="0.05").measured["model"]
    # A function of degree one couples the more the smaller the waves.
    np.testing.assert_allclose(measured.ladder_coupling[0], 2 * measured.coupling[0], rtol=1e-10)


def test_on_a_background_a_quadratic_model_couples_as_about_rest():
    result = ask(on(CUBE, SecondOrder(CUBE)), backgrounds=2)
    np.testing.assert_allclose(result.measured["model"].background_coupling.values, 3 / 14, atol=1e-10)
    assert verdicts(result)["backgrounds"] == "info"


@pytest.mark.parametrize(
    "defect, wrong",
    [(Miscoupled(CUBE, across=-2.0), -1.0), (Miscoupled(CUBE, across=-1.0), 0.0), (Miscoupled(CUBE, along=1.0), None)],
    ids=["wrong sign", "linear", "blind to the angle"],
)
def test_a_wrong_coupling_fails(defect, wrong):
    result = ask(on(CUBE, nn.Sequential(SecondOrder(CUBE), defect)))
    assert verdicts(result)["coupling"] == "fail"
    if wrong is not None:
        assert result.checks[0].interval.value == pytest.approx(1 - wrong, abs=0.01)
    assert verdicts(result)["parallel"] == ("fail" if wrong is None else "pass")


@pytest.mark.parametrize("off, verdict", [(0.24, "pass"), (0.26, "fail"), (-0.24, "pass"), (-0.26, "fail")])
def test_the_bound_lies_at_a_quarter_of_the_coupling(off, verdict):
    result = ask(on(CUBE, nn.Sequential(SecondOrder(CUBE), Miscoupled(CUBE, across=off))))
    assert verdicts(result)["coupling"] == verdict


def test_parallel_waves_on_a_line_are_held_to_what_waves_across_each_other_do():
    good = ask(displacement_model(nn.Identity(), LINE, "line"))
    assert verdicts(good)["coupling"] == "pass" and good.checks[0].interval.value < EXACT
    bad = ask(displacement_model(Function(lambda psi: psi + 0.05 * torch.roll(psi, 1, -1) ** 2 * 64), LINE, "bad line"))
    assert verdicts(bad)["coupling"] == "fail"


def test_a_simulator_is_the_truth_and_its_departure_the_least_bound():
    from probes_catalog.response.two_waves import TwoWaves

    model = ask(on(CUBE, SecondOrder(CUBE))).measured["model"]
    known = np.arange(6) < 3
    simulator = model.assign(coupling=model.coupling.where(known[:, None]) * 0.6, across=model.across.where(known[:, None]))
    check = TwoWaves().judge({"model": model, "simulator": simulator})[0]
    right = np.where(known, 0.6, 1.0)[:, None] * model.coupling.values
    error = np.sqrt(np.mean(abs(model.coupling.values - right) ** 2) / np.mean(abs(right) ** 2))
    departure = 0.4 * np.sqrt(np.mean(abs(model.coupling.values[:3]) ** 2) / np.mean(abs(right) ** 2))
    assert check.interval.value == pytest.approx(error, rel=1e-9) and check.bounds[1] == pytest.approx(departure, rel=1e-9)
    assert "3 of them, and 2LPT" in check.sentence and "departure" in check.bound_from


def test_a_network_in_single_precision_is_asked_in_double_and_its_passes_are_counted():
    network = nn.Conv1d(1, 1, 3, padding="same", padding_mode="circular")
    described = Description(LINE, (Quantity("s"),), (Quantity("s"),))
    result = ask(FieldModel(network, described), effort="default")
    assert result.measured["model"].attrs["precision"] == "float64"
    # Two pairs from two starts and three rungs with four signs each, and a background from four starts.
    assert result.passes == 4 * (2 * 2 + 3) + 16
    assert float(abs(result.measured["model"].coupling).max()) < EXACT


def test_a_place_of_its_own_shows_in_the_spread_over_starts():
    measured = ask(on(CUBE, nn.Sequential(SecondOrder(CUBE), AbsolutePosition(0.5))), shifts=3).measured["model"]
    assert float(measured.spread.max()) > 1e-3


@pytest.mark.parametrize(
    "modes, said",
    [("1:0:0", "two by two"), ("3:0:0,3:0:0", "the mode 0 is no wave"), ("5:0:0,4:0:0", "not below Nyquist")],
)
def test_modes_that_make_no_pair_are_refused_in_a_sentence(modes, said):
    assert said in ask(on(CUBE, SecondOrder(CUBE)), modes=modes).failure


def test_a_grid_too_small_is_not_asked():
    result = ask(on(Grid.cubic(6, 6.0, dimension=2), lambda x: x))
    assert result.verdict == "not_applicable" and "8 points" in result.reason
