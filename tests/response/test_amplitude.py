"""`amplitude` against models whose answers are known at every amplitude."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch import nn

from probe import ladder, superposition
from probe.description import DataSource, Description, Truth
from probe.fields import Field, Quantity
from probe.grid import Grid
from probe.interface import run
from probe.model import FieldModel
from probe.waves import PlaneWave, gaussian_field, plane_wave
from probe.zoo.defects import GlobalNormalisation
from probe.zoo.gravity_defects import Miscoupled, Saturating
from probe.zoo.oracles import PSI, Filter, SecondOrder, displacement_model, gaussian_gain
from tests.models import CUBE, LINE, SQUARE, Function, on

# Transforms make a few units in the last place of the answer; a mixed difference at a = 0.05 takes three digits of them.
EXACT, SECOND = 1e-13, 1e-12


def ask(model, effort="quick", controls="none", **settings):
    return run("amplitude", model, controls=controls, effort=effort, settings={"amplitude": settings})["amplitude"]


def verdicts(result):
    assert not result.failure, result.failure
    return {check.name: check.verdict for check in result.checks}


def sentence(result, name):
    return next(check.sentence for check in result.checks if check.name == name)


def scalar(grid, function, rms=0.7, **about):
    described = Description(grid, (Quantity("s", rms=rms),), (Quantity("t", unit="K"),), **about)
    return FieldModel(Function(function), described, dtype=torch.float64)


def with_inputs(model, folder, inputs):
    """The model with data of these inputs, (pair, channel, *grid), which are their own truths."""
    for index, values in enumerate(inputs):
        np.save(folder / f"in_{index}.npy", values.numpy())
        np.save(folder / f"out_{index}.npy", values.numpy())
    described = replace(model.description, data=DataSource(str(folder), "in_*.npy", "out_*.npy"))
    return FieldModel(model.network, described, dtype=torch.float64)


def test_a_linear_filter_has_one_gain_at_every_amplitude_and_leaves_nothing_of_a_sum():
    measured = ask(on(CUBE, Filter(gaussian_gain(4.0), CUBE))).measured["model"]
    gain = np.exp(-0.5 * (4.0 * 2 * np.pi / 64 * np.array([3.0, 1.0])) ** 2)
    np.testing.assert_allclose(measured.response.values, gain[:, None] * np.ones(4), rtol=EXACT)
    assert float(abs(measured.harmonic_response.sel(harmonic=2)).max()) < EXACT
    assert float(abs(measured.coupling).max()) < SECOND
    assert float((measured.remainder / measured.whole).max()) < EXACT


def test_gravity_at_second_order_holds_at_every_rung():
    result = ask(on(CUBE, SecondOrder(CUBE)), controls=["lpt2"])
    measured = result.measured["model"]
    np.testing.assert_allclose(measured.response.values, 1.0, rtol=EXACT)
    np.testing.assert_allclose(measured.coupling.values, 3 / 14, atol=SECOND)
    # What a sum has beyond its parts is of second order in the strength of its parts.
    np.testing.assert_allclose(measured.remainder[..., 0] * 16, measured.remainder[..., 2], rtol=1e-11)
    assert verdicts(result) == {
        "gain": "pass",
        "second_order": "pass",
        "superposition": "info",
        "linearity": "info",
    }
    assert "right to 10 % all the way" in result.headline and "off from 2LPT's by up to 0 %" in sentence(result, "superposition")


def cross_term(x, y, side):
    """2 B(x, y) of 2LPT, by plain sums: psi2 = -(3/7) grad lap^-1 S, S = sum over i > j of phi,ii phi,jj - phi,ij^2, polarised."""
    points = x.shape[-1]
    k = np.meshgrid(*[2 * np.pi / side * np.fft.fftfreq(points, 1 / points)] * 3, indexing="ij")
    square = sum(one**2 for one in k)
    square[0, 0, 0] = 1.0

    def tides(psi):
        # psi = -grad phi, so phi = i k.psi / k^2 and phi,ij = -k_i k_j phi.
        potential = 1j * sum(one * np.fft.fftn(part) for one, part in zip(k, psi, strict=True)) / square
        return [[np.fft.ifftn(-k[i] * k[j] * potential).real for j in range(3)] for i in range(3)]

    a, b = tides(x), tides(y)
    source = sum(a[i][i] * b[j][j] + a[j][j] * b[i][i] - 2 * a[i][j] * b[i][j] for i in range(3) for j in range(i))
    inverse = -np.fft.fftn(source) / square
    return np.stack([-3 / 7 * np.fft.ifftn(1j * one * inverse).real for one in k])


def long_waves(grid, seed, most=3):
    """A displacement without modes above `most`, whose squares the grid holds."""
    psi = gaussian_field(grid, lambda k: k**-2, torch.Generator().manual_seed(seed), 3)
    modes = torch.fft.rfftn(psi, dim=grid.axes)
    for n in grid.modes():
        modes = modes * (n.abs() <= most)
    return torch.fft.irfftn(modes, s=grid.shape, dim=grid.axes)


@pytest.mark.parametrize("split", superposition.SPLITS)
def test_what_2lpt_leaves_of_a_sum_is_its_cross_term_written_out(split, tmp_path):
    model = with_inputs(on(CUBE, SecondOrder(CUBE)), tmp_path, [long_waves(CUBE, seed) for seed in (1, 2)])
    measured = ask(model, strengths="0.5,1").measured["model"].sel(split=split).isel(field=0)
    one, other = (torch.from_numpy(np.load(tmp_path / f"in_{i}.npy"))[None].double() for i in (0, 1))
    x, y = superposition.halves(Field(one, CUBE, (PSI,))) if split == superposition.SPLITS[0] else (one / 2**0.5, other / 2**0.5)
    expected = cross_term(x[0].numpy(), y[0].numpy(), 64.0)
    rms = np.sqrt(np.mean(expected**2))
    np.testing.assert_allclose(measured.remainder.values, rms * np.array([0.25, 1.0]), rtol=1e-10)
    # The plane is kept in single precision.
    np.testing.assert_allclose(measured.plane[1], expected[..., 8], atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("boundary", ["periodic", "none"])
@pytest.mark.parametrize("grid", [CUBE, SQUARE, LINE], ids=["3D", "2D", "1D"])
def test_a_square_has_one_second_order_at_every_amplitude_in_every_dimension(grid, boundary):
    result = ask(scalar(replace(grid, boundary=boundary), lambda s: s + 0.3 * s**2))
    measured = result.measured["model"]
    amplitude = np.array([0.1, 0.3, 1.0, 2.0]) * math.sqrt(2) * 0.7
    np.testing.assert_allclose(measured.response.values, 1.0, rtol=SECOND)
    # s A^2 cos^2 = s A^2 / 2 (1 + cos 2): a share s A / 2 of the wave.
    np.testing.assert_allclose(measured.harmonic_response.sel(harmonic=2), np.tile(0.3 * amplitude / 2, (2, 1)), atol=SECOND)
    np.testing.assert_allclose(measured.coupling.values, 0.3, rtol=SECOND)
    np.testing.assert_allclose(measured.remainder[..., 0] * 16, measured.remainder[..., 2], rtol=1e-11)
    assert verdicts(result)["gain"] == "info" and "no truth is known" in result.headline
    assert len(result.panels()) == (2 if grid is LINE else 3) and all(panel.text for panel in result.panels())


def test_saturation_follows_its_fourier_series():
    measured = ask(scalar(LINE, torch.tanh), modes="2").measured["model"]

    def gain(amplitude):
        return (
            quad(lambda t: math.tanh(amplitude * math.cos(t)) * math.cos(t), 0, 2 * math.pi, epsabs=1e-13)[0] / math.pi / amplitude
        )

    expected = [gain(level * math.sqrt(2) * 0.7) for level in measured.level.values]
    # A period has 32 points: what folds back is the harmonic 31, which falls as exp(-31 asinh(pi / 2 A)), below 2e-11 at A = 2.
    np.testing.assert_allclose(measured.response.values[0], expected, atol=1e-10)
    assert expected[-1] < 0.75


def test_a_network_that_forgets_the_amplitude_answers_all_waves_alike():
    result = ask(scalar(SQUARE, GlobalNormalisation(1.0)))
    level = np.array([0.1, 0.3, 1.0, 2.0])
    np.testing.assert_allclose(result.measured["model"].response.values, np.tile(1 / (0.7 * level), (2, 1)), rtol=EXACT)
    assert "as the power -1.00 of the amplitude" in sentence(result, "linearity")
    # The answer to any strength is the same: nothing of a sum grows.
    np.testing.assert_allclose(
        result.measured["model"].remainder[..., :1] * np.ones(3), result.measured["model"].remainder, rtol=EXACT
    )


@pytest.mark.parametrize(
    "defect, failed, word",
    [
        (GlobalNormalisation(1.0), {"gain", "second_order"}, "all the way"),
        (GlobalNormalisation(0.1), {"gain", "second_order"}, "but at"),
        (nn.InstanceNorm3d(3), {"gain", "second_order"}, "all the way"),
        (Saturating(6.0), {"gain"}, "up to 0.2"),
        (Miscoupled(CUBE, across=-1.0), {"second_order"}, "all the way"),
        (Miscoupled(CUBE, across=-2.0), {"second_order"}, "all the way"),
    ],
    ids=["normalised", "normalised a little", "InstanceNorm", "saturating", "linear", "wrong sign"],
)
def test_a_wrong_size_fails_and_the_sentence_says_from_where(defect, failed, word):
    result = ask(on(CUBE, nn.Sequential(SecondOrder(CUBE), defect)))
    assert {name for name, verdict in verdicts(result).items() if verdict == "fail"} == failed
    assert word in result.headline


@pytest.mark.parametrize("strength, verdict", [(0.09, "pass"), (0.11, "fail")])
def test_the_bound_lies_at_a_tenth_of_the_response(strength, verdict):
    assert verdicts(ask(on(CUBE, lambda psi: (1 + strength) * psi)))["gain"] == verdict


def test_growth_moves_the_ladder_and_enters_as_in_2lpt():
    network = Function(lambda psi: 0.5 * psi + 0.25 * 0.3 ** (-1 / 143) * (SecondOrder(CUBE)(psi) - psi))
    model = displacement_model(network, CUBE, "half grown")
    described = replace(model.description, truth=Truth("gravity", growth_ratio=0.5, omega_m=0.3))
    result = ask(FieldModel(network, described, dtype=torch.float64))
    assert result.measured["model"].level.values.tolist() == [0.1, 0.4, 1.0, 1.8]
    np.testing.assert_allclose(result.measured["model"].coupling.values, 3 / 14 * 0.25 * 0.3 ** (-1 / 143), atol=SECOND)
    assert [check.interval.value < 1e-11 for check in result.checks[:2]] == [True] * 2
    assert "all the way" in result.headline and "not judged" not in result.headline


def test_rungs_beyond_shell_crossing_are_told_and_not_judged():
    weak = on(CUBE, lambda psi: torch.where(psi.flatten(1).abs().amax(1)[:, None, None, None, None] > 12, 0.5, 1.0) * psi)
    result = ask(weak, modes="1:0:0", levels="0.5,1.5")
    assert verdicts(result)["gain"] == "pass" and "At 1.5, which is not judged, it is off by 50 %." in result.headline
    assert verdicts(ask(weak, modes="1:0:0", levels="0.5,1.5", up_to=2.0))["gain"] == "fail"


def law_of(grid, network, law):
    about = {"truth": Truth("laws:cubic")}
    described = Description(grid, (Quantity("s", rms=1.0),), (Quantity("s", rms=1.0),), **about)
    return FieldModel(Function(network), described, dtype=torch.float64, code={"laws:cubic": law})


@pytest.mark.parametrize(
    "network, verdict, error",
    [
        (lambda s: s - 0.1 * s**3, "pass", 0.0),
        (lambda s: s, "fail", 1.0),
        (lambda s: s - 0.08 * s**3, "pass", 0.2),
        (lambda s: s - 0.07 * s**3, "fail", 0.3),
        (GlobalNormalisation(1.0), "fail", None),
    ],
    ids=["law", "linear", "within", "beyond", "normalised"],
)
def test_sums_of_real_fields_are_held_to_a_law(network, verdict, error):
    result = ask(law_of(SQUARE, network, lambda s: s - 0.1 * s**3), controls=["simulator", "identity"])
    assert verdicts(result)["superposition"] == verdict
    assert result.control_verdicts["identity"]["superposition"] == "fail"
    if error is not None:
        # Where the law's own remainder is below a hundredth of the answer, the error is relative to that hundredth: it is smaller.
        assert result.checks[2].interval.value == pytest.approx(error, abs=1e-6)
    assert "held against the law" in sentence(result, "superposition")


def test_what_a_law_changes_up_the_ladder_stands_beside_the_models_change():
    result = ask(law_of(LINE, lambda s: s, lambda s: s - 0.1 * s**3), controls=["simulator"], modes="2")
    # H = 1 - (3/4) 0.1 A^2, with A = sqrt(2) level.
    share = 0.15 * np.array([0.01, 1.0])
    right = (share[1] - share[0]) / (1 - share[0])
    words = sentence(result, "linearity")
    assert result.checks[3].interval.value < EXACT and f"the truth's by {100 * right:.3g} %" in words
    assert verdicts(result)["gain"] == "fail" and "right to 10 % up to 0.3" in result.headline


def test_a_simulator_is_the_truth_and_its_departure_from_theory_the_least_bound():
    from probes_catalog.response.amplitude import Amplitude

    model = ask(on(CUBE, SecondOrder(CUBE))).measured["model"]
    short = xr_scale(model, 0.8)
    check = Amplitude().judge({"model": model, "simulator": short})[0]
    assert check.interval.value == pytest.approx(0.25, rel=1e-9) and check.bounds[1] == pytest.approx(0.25, rel=1e-9)
    assert check.verdict == "pass" and "departure" in check.bound_from and "the simulator's own answers" in check.sentence


def xr_scale(model, factor):
    """A simulator whose answers to single waves are smaller, and that is silent about all else."""
    silent = {name: model[name] * np.nan for name in ("coupling", "plane")}
    return model.assign(response=model.response * factor, harmonic_response=model.harmonic_response * factor, **silent)


def test_where_the_data_stand_on_the_ladder(tmp_path):
    quantity = Quantity("s", rms=1.0)
    waves = [plane_wave(PlaneWave((2,), 0.3 * math.sqrt(2) * share, 1.0), quantity, LINE) for share in (0.6, 0.8)]
    model = with_inputs(on(LINE, lambda s: s), tmp_path, waves)
    result = ask(model)
    # rms over the two inputs, whose squares add up to half of 0.3^2 each; the files are in single or double precision.
    assert result.measured["model"].held.values == pytest.approx([0.3 / math.sqrt(2), 0.0], abs=1e-6)
    psi = plane_wave(PlaneWave((0, 3, 0), 0.2 * 64 / 2 / math.pi / 3, 0.4), PSI, CUBE)
    held = ask(with_inputs(on(CUBE, nn.Identity()), tmp_path, [psi] * 2)).measured["model"].held.values[0]
    # A shell of a cube shares the wave's power among its modes: a mode and its opposite hold all of it.
    shell = CUBE.shells().modes.numpy()[2]
    at = np.interp(3.0, CUBE.shells().wavenumber.numpy() / CUBE.fundamental, np.eye(len(CUBE.shells().modes))[2])
    assert held == pytest.approx(0.2 * math.sqrt(2 / shell * at), rel=1e-5)


def test_halves_are_the_long_and_the_short_waves_of_half_the_power():
    field = Field(gaussian_field(SQUARE, lambda k: k**-1, torch.Generator().manual_seed(3))[None], SQUARE, (Quantity("s"),))
    long, short = superposition.halves(field)
    torch.testing.assert_close(long + short, field.values, rtol=0, atol=1e-14)
    k = SQUARE.wavenumber() / SQUARE.fundamental
    power = [torch.fft.rfftn(part[0, 0]).abs().square() * SQUARE.hermitian_weight() for part in (long, short)]
    edge = float(k[power[0] > 1e-20].max())
    assert float(k[power[1] > 1e-20].min()) > edge
    last = power[0][(k > round(edge) - 0.5)].sum()
    assert power[0].sum() >= power[1].sum() and power[0].sum() - last < power[1].sum() + last


@pytest.mark.parametrize("kind", ["scalar", "pseudoscalar", "vector", "pseudovector"])
def test_every_kind_of_field_can_be_asked(kind):
    grid, quantity = Grid.cubic(8, 8.0), Quantity("q", kind, rms=2.0)
    result = ask(FieldModel(Function(lambda x: 3 * x), Description(grid, (quantity,), (quantity,)), dtype=torch.float64))
    np.testing.assert_allclose(result.measured["model"].response.values, 3.0, rtol=EXACT)
    assert verdicts(result)["gain"] == "info"


def test_numbers_have_no_amplitude_of_a_wave():
    described = Description(SQUARE, (Quantity("s"),), (Quantity("sigma", "number"),))
    result = ask(FieldModel(Function(lambda s: s.mean((2, 3), keepdim=True).expand_as(s)), described))
    assert result.verdict == "not_applicable" and "'sigma' is a number" in result.reason


def test_a_grid_that_holds_no_pair_is_asked_for_single_waves():
    result = ask(on(Grid.cubic(6, 6.0, dimension=2), lambda x: x))
    assert verdicts(result)["second_order"] == "not_applicable" and verdicts(result)["gain"] == "info"
    assert result.panels()[0].variables == ("response", "held")


def test_passes_are_counted():
    # Two waves at four levels from two starts, a pair at three with four signs; two sums at three strengths and nothing.
    assert ask(on(LINE, lambda x: x), effort="default").passes == 2 * 8 + 12 + 2 * (1 + 3 * 3)


@pytest.mark.parametrize(
    "over, words",
    [
        ([0.5, 0.5, 0.9], "right to 10 % all the way"),
        ([0.5, 0.5, 1.1], "right to 10 % up to 0.2"),
        ([0.5, 0.9, np.nan], "right to 10 % up to 0.2"),
        ([1.1, 2.0, 1.1], "off by more than 10 % all the way"),
        ([1.1, 0.5, 1.1], "right to 10 % but at 0.1 and 0.5"),
    ],
)
def test_how_far_up_a_ladder_is_said_in_words(over, words):
    assert ladder.reach(np.array([0.1, 0.2, 0.5]), np.array([np.minimum(over, 0.1), over]), 0.1) == words
