"""`transverse` against models and laws whose answer to a transverse wave is known in closed form."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch import Tensor, nn

from probe import spectra
from probe.description import Description, Truth
from probe.fields import Quantity
from probe.grid import Grid
from probe.interface import run
from probe.model import FieldModel
from probe.perturbation import divergence
from probe.polarisation import DIRECTIONS, frame, made_across, split
from probe.waves import below_nyquist, mode_of
from probe.zoo import entries
from probe.zoo.lpt2nbody.recipe import simulate
from probe.zoo.oracles import Filter, SecondOrder, displacement_model, gaussian_gain
from tests.models import CUBE, LINE, SQUARE, Function, on, with_pairs

# Float64 sums of 16^3 points, and amplitudes divided by sums: some tens of units in the last place.
EXACT = 1e-13
VELOCITY = Quantity("u", "vector", "velocity", "m/s", rms=1.3)
BOX = {3: CUBE, 2: SQUARE}


class TakenForGrowing(nn.Module):
    """Every displacement taken for a growing mode: a share of what lies across k is turned along it, a quarter of a wave on.

    The components of the transverse part are added up: a lone wave along one axis keeps its amplitude.
    """

    def __init__(self, grid: Grid, share: float = 1.0) -> None:
        super().__init__()
        self.grid, self.share = grid, share

    def forward(self, psi: Tensor) -> Tensor:
        """(batch, D, *grid.shape) -> the same."""
        grid = self.grid.of_shape(psi.shape[2:])
        modes = spectra.fourier(psi, grid) * below_nyquist(grid, psi.device)
        k = grid.wavenumber(psi.device, psi.dtype).clamp_min(1e-30)
        ahead = torch.stack([(one / k).expand(grid.half_shape) for one in grid.wavevectors(psi.device, psi.dtype)])
        across = modes - ahead * spectra.longitudinal(modes, grid)[:, None]
        turned = 1j * ahead * across.sum(1, keepdim=True)
        return psi + self.share * torch.fft.irfftn(turned - across, s=grid.shape, dim=grid.axes)


def ask(model, effort="quick", controls="none", **settings):
    return run("transverse", model, controls=controls, effort=effort, settings={"transverse": settings})["transverse"]


def verdicts(result):
    return {check.name: check.verdict for check in result.checks}


def flow(network, grid=SQUARE, law=None, **about):
    """A model of velocities, with a law or without."""
    described = Description(grid, (VELOCITY,), (VELOCITY,), truth=Truth("laws:flow") if law else Truth())
    function = network if isinstance(network, torch.nn.Module) else Function(network)
    code = {"laws:flow": law} if law else {}
    return FieldModel(function, replace(described, **about), code=code, dtype=torch.float64)


def scaled(grid, across, along=1.0):
    """A linear operator with one gain for what lies across k and another for what runs along it; written for itself."""
    n = [torch.fft.fftfreq(points, side / points, dtype=torch.float64) for points, side in zip(grid.shape, grid.box, strict=True)]
    k = torch.stack(torch.meshgrid(*n, indexing="ij"))
    khat = k / k.norm(dim=0).clamp_min(1e-30)
    axes = grid.axes

    def operator(values):
        modes = torch.fft.fftn(values, dim=axes)
        ahead = khat * (khat * modes).sum(1, keepdim=True)
        return torch.fft.ifftn(across * (modes - ahead) + along * ahead, dim=axes).real

    return operator


@pytest.mark.parametrize("dimension", [2, 3])
def test_the_identity_answers_every_polarisation_with_itself_and_with_nothing_along_k(dimension):
    grid = BOX[dimension]
    result = ask(displacement_model(torch.nn.Identity(), grid, "identity"), shifts=3)
    measured = result.measured["model"]
    assert measured.sizes["polarisation"] == dimension - 1
    expected = np.zeros((5, dimension))
    expected[1, 0] = 1
    for found in (measured.response, measured.ladder_response):
        np.testing.assert_allclose(found.values, np.broadcast_to(expected, found.shape), atol=EXACT)
    for found in (measured.longitudinal, measured.share, measured.ladder_longitudinal):
        assert float(found.max()) < EXACT**2
    np.testing.assert_allclose(measured.field_response, 1, rtol=EXACT)
    assert float((measured.field_along / measured.field_across).max()) < EXACT**2
    assert {check.name: check.interval.value for check in result.checks}["growing_mode"] == pytest.approx(1, abs=EXACT)


@pytest.mark.parametrize("boundary", ["periodic", "zero"])
@pytest.mark.parametrize("dimension", [2, 3])
def test_a_linear_filter_is_measured_to_rounding_and_through_the_window_too(dimension, boundary):
    grid = BOX[dimension]
    radius = 0.5 * grid.spacing[0]
    result = ask(flow(Filter(gaussian_gain(radius), grid), replace(grid, boundary=boundary)), shifts=2)
    measured = result.measured["model"]
    expected = np.exp(-0.5 * (measured.wavenumber.values * radius) ** 2)
    own = measured.response.sel(harmonic=1, direction="own").values
    np.testing.assert_allclose(own, expected[:, None] * np.ones(dimension - 1), atol=EXACT)
    assert float(abs(measured.response.sel(harmonic=1, direction="along")).max()) < EXACT
    np.testing.assert_allclose(measured.growing.values, expected, atol=EXACT)
    assert verdicts(result)["longitudinal"] == ("info" if boundary == "periodic" else "not_applicable")


def test_a_displaced_answer_lags_in_phase():
    def gain(grid):
        k = grid.wavevectors(derivative=True)
        return torch.exp(-1j * (0.3 * k[0] - 0.2 * k[1] + 0.1 * k[2]) * grid.spacing[0])

    measured = ask(on(CUBE, Filter(gain, CUBE)), modes="3:0:0,1:0:5,2:-2:3").measured["model"]
    for mode, found in zip(measured.mode.values, measured.response.sel(harmonic=1, direction="own").values, strict=True):
        k = CUBE.wavevector_of(mode_of(str(mode)))
        np.testing.assert_allclose(found, np.exp(-1j * (0.3 * k[0] - 0.2 * k[1] + 0.1 * k[2]) * CUBE.spacing[0]), atol=EXACT)


def test_2lpt_adds_nothing_to_a_displacement_without_divergence():
    measured = ask(on(CUBE, SecondOrder(CUBE)), ladder="0.9").measured["model"]
    np.testing.assert_allclose(measured.response.sel(harmonic=1, direction="own"), 1, atol=EXACT)
    assert float(measured.longitudinal.max()) < EXACT**2 and float(measured.ladder_longitudinal.max()) < EXACT**2
    assert float((measured.field_along / measured.field_across).max()) < EXACT**2


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_model_that_keeps_what_runs_along_k_alone_answers_nothing(dimension):
    grid = BOX[dimension]
    project = scaled(grid, across=0.0)
    result = ask(flow(project, grid, law=project), controls=["simulator"])
    assert float(abs(result.measured["model"].response).max()) < EXACT
    np.testing.assert_allclose(result.measured["model"].growing.values, 1, atol=EXACT)
    assert verdicts(result)["response"] == verdicts(result)["longitudinal"] == "pass"
    # What the law wipes out is held to a tenth of what it makes of longitudinal waves.
    wrong = ask(flow(lambda u: u, grid, law=project), controls=["simulator"]).checks[0]
    assert wrong.verdict == "fail" and wrong.interval.value == pytest.approx(10, rel=EXACT)


@pytest.mark.parametrize("dimension", [2, 3])
def test_the_gradient_of_the_square_makes_longitudinal_waves_at_twice_k(dimension):
    grid, strength = BOX[dimension], 0.3

    def network(psi):
        k = [
            2 * math.pi * torch.fft.fftfreq(n, 1 / n, dtype=torch.float64) / side
            for n, side in zip(grid.shape, grid.box, strict=True)
        ]
        square = torch.fft.fftn((psi**2).sum(1), dim=grid.axes)
        slopes = [torch.fft.ifftn(1j * one * square, dim=grid.axes).real for one in torch.meshgrid(*k, indexing="ij")]
        return psi + strength * torch.stack(slopes, 1)

    # |psi|^2 = (A^2/2)(1 + cos 2 k.x), whose gradient is -A^2 k sin 2 k.x along k: i A k of the input's amplitude, A k = level.
    modes, ladder = "3:0:0,1:2:0" if dimension == 3 else "3:0,1:2", np.array([0.1, 0.4])
    measured = ask(displacement_model(Function(network), grid, "square"), modes=modes, ladder=tuple(ladder), shifts=2).measured[
        "model"
    ]
    found = measured.response.sel(harmonic=2)
    np.testing.assert_allclose(found.sel(direction="along"), 1j * strength * 0.2, atol=EXACT)
    assert float(abs(found.drop_sel(direction="along")).max()) < EXACT
    np.testing.assert_allclose(measured.longitudinal, (strength * 0.2) ** 2, rtol=1e-11)
    np.testing.assert_allclose(measured.share, (strength * 0.2) ** 2 / (1 + (strength * 0.2) ** 2), rtol=1e-11)
    np.testing.assert_allclose(measured.ladder_longitudinal, (strength * ladder) ** 2, rtol=1e-11)


def test_a_curl_turns_the_wave_and_has_no_answer_to_longitudinal_ones():
    vorticity = Quantity("w", "pseudovector", "vorticity", "1/s")

    def curl(u):
        k = [2 * math.pi / 64 * torch.fft.fftfreq(16, 1 / 16, dtype=torch.float64)] * 3
        kx, ky, kz = (1j * one for one in torch.meshgrid(*k, indexing="ij"))
        x, y, z = torch.fft.fftn(u, dim=CUBE.axes).unbind(1)
        turned = torch.stack([ky * z - kz * y, kz * x - kx * z, kx * y - ky * x], 1)
        return torch.fft.ifftn(turned, dim=CUBE.axes).real

    result = ask(flow(curl, CUBE, law=curl, outputs=(vorticity,)), controls=["simulator"])
    measured = result.measured["model"]
    # curl A e cos(k.x) = -A k sin(k.x) khat x e.
    expected = 1j * measured.wavenumber.values[:, None] * np.ones(2)
    np.testing.assert_allclose(measured.response.sel(harmonic=1, direction="turned").values, expected, atol=EXACT)
    assert float(abs(measured.response.sel(harmonic=1, direction="own")).max()) < EXACT
    assert verdicts(result)["response"] == "pass" and verdicts(result)["growing_mode"] == "not_applicable"
    assert measured.response.attrs["units"] == "(1/s)/(m/s)"


def test_an_incompressible_flow_is_judged_by_its_law():
    def decayed(amount):
        return Filter(lambda grid: torch.exp(-(grid.wavenumber() ** 2) * amount), SQUARE)

    def law(values):
        return decayed(1.0)(scaled(SQUARE, 1.0, along=0.0)(values))

    good = ask(flow(law, law=law), controls=["simulator", "untrained"])
    assert verdicts(good)["response"] == verdicts(good)["longitudinal"] == "pass" and "the law's own answers" in good.headline
    bad = ask(flow(decayed(1.3), law=law), controls=["simulator"], modes="11:0")
    k = 2 * math.pi * 11 / 100
    assert verdicts(bad)["response"] == "fail"
    assert bad.checks[0].interval.value == pytest.approx(1 - math.exp(-0.3 * k**2), rel=1e-12)
    assert verdicts(bad)["longitudinal"] == "pass"


@pytest.mark.parametrize("off, verdict", [(0.049, "pass"), (0.051, "fail"), (-0.049, "pass"), (-0.051, "fail")])
def test_the_bound_lies_at_a_twentieth_of_the_true_response(off, verdict):
    model = flow(scaled(SQUARE, 0.3 * (1 + off)), law=scaled(SQUARE, 0.3))
    assert verdicts(ask(model, controls=["simulator"]))["response"] == verdict


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_network_that_takes_any_displacement_for_a_growing_mode_fails(dimension):
    grid, left = BOX[dimension], 0.3
    law = scaled(grid, left)
    grown = ask(flow(lambda psi: psi, grid, law=law), controls=["simulator"])
    assert verdicts(grown)["response"] == "fail" and verdicts(grown)["longitudinal"] == "pass"
    assert grown.checks[0].interval.value == pytest.approx((1 - left) / left, rel=1e-12)
    assert {c.name: c.interval.value for c in grown.checks}["growing_mode"] == pytest.approx(1, rel=1e-12)
    turned = ask(flow(TakenForGrowing(grid), grid, law=law), controls=["simulator"])
    assert verdicts(turned)["response"] == verdicts(turned)["longitudinal"] == "fail"
    # Off by the own 0.3 that is missing and the whole wave along k that should not be there.
    first = turned.measured["model"].response.values[0, 0, 1]
    np.testing.assert_allclose(first, [0, *[0] * (dimension - 2), 1j], atol=EXACT)
    assert turned.checks[0].interval.value >= math.hypot(1, left) / left - EXACT
    assert float(turned.measured["model"].longitudinal[0, 0]) == pytest.approx(1, rel=1e-12)
    assert "mostly at k itself" in turned.checks[1].sentence


def test_a_share_turned_along_k_shows_in_random_fields():
    share = 0.2
    result = ask(flow(TakenForGrowing(SQUARE, share)), fields=3)
    measured = result.measured["model"]
    np.testing.assert_allclose(measured.field_response, 1 - share, rtol=1e-12)
    # In the plane the transverse direction is (-ky, kx)/k, whose components add up to kx - ky over k: 1 in the mean square.
    along = (measured.field_along / measured.field_across).mean().item()
    assert along == pytest.approx(share**2 / (1 - share) ** 2, rel=0.15)
    assert verdicts(result)["random_fields"] == "info"


def test_pairs_that_hold_transverse_power_judge_what_becomes_of_it(tmp_path):
    truth = scaled(SQUARE, 0.5)
    right = ask(with_pairs(flow(scaled(SQUARE, 0.49)), tmp_path, truth))
    check = right.checks[2]
    assert check.name == "on_data" and check.verdict == "pass" == right.verdict
    assert check.interval.value == pytest.approx(0.02, rel=1e-6)  # float32 fields
    np.testing.assert_allclose(right.measured["model"].held, 0.5, atol=0.2)
    assert "gain 0.49 for 0.5" in check.sentence
    wrong = ask(with_pairs(flow(lambda u: u), tmp_path, truth)).checks[2]
    assert wrong.verdict == "fail" and wrong.interval.value == pytest.approx(1, rel=1e-6)


def test_pairs_without_transverse_power_leave_the_waves_outside_the_training_set(tmp_path):
    model = with_pairs(flow(lambda u: u), tmp_path, lambda u: u)
    for path in tmp_path.glob("in_*.npy"):
        np.save(path, scaled(SQUARE, 0.0)(torch.from_numpy(np.load(path))[None])[0].numpy())
    result = ask(model)
    assert verdicts(result)["response"] == "info" and "on_data" not in verdicts(result)
    assert "outside the training set" in result.headline and float(result.measured["model"].held.max()) < 1e-10


def test_without_a_truth_it_tells_and_does_not_judge():
    result = ask(on(CUBE, lambda psi: 0.9 * psi))
    assert set(verdicts(result).values()) == {"info"} and result.verdict == "info"
    assert "outside the training set" in result.headline and "0.9" in result.headline


def test_the_default_waves_are_those_that_the_simulator_ran(tmp_path):
    made = [
        simulate.made_displacement(simulate.Job("", kind="transverse", made=one), simulate_grid()) for one in simulate.TRANSVERSE
    ]
    given = torch.stack(made).float().numpy()
    np.savez(tmp_path / "answers.npz", input=given, output=0.25 * given)
    model = displacement_model(Function(lambda psi: 0.25 * psi), simulate_grid(), "quarter")
    described = replace(model.description, truth=Truth("gravity", answers="answers.npz"), source=str(tmp_path / "model.probe.toml"))
    result = ask(FieldModel(model.network, described, dtype=torch.float64), "default", ["simulator"], shifts=2, fields=0)
    run_there = result.measured["simulator"]
    known = np.isfinite(run_there.response.sel(harmonic=1, direction="own"))
    names = [str(mode) for mode in run_there.mode.values]
    assert [names[i] for i in np.flatnonzero(known.values[:, 0])] == [*(f"({n},0,0)" for n in (5, 1, 2, 3, 7)), "(4,6,0)"]
    assert not known.values[:, 1].any() and np.isfinite(run_there.ladder_response).all()
    np.testing.assert_allclose(run_there.ladder_response.sel(harmonic=1, direction="own"), 0.25, rtol=1e-6)
    assert result.headline.count("answers to 6 of them") == 1 and verdicts(result)["response"] == "pass"


def simulate_grid():
    return Grid.cubic(32, 128.0, unit="Mpc/h")


def test_the_simulator_lets_a_transverse_wave_drift_without_force():
    stored = np.load(entries()["lpt2nbody"].folder / "answers.npz")
    grid = simulate_grid()
    waves = [i for i, one in enumerate(stored["input"]) if float(divergence(torch.from_numpy(one)[None], grid).abs().max()) < 1e-4]
    omega, start, steps = 0.3089, 0.1, 12

    def hubble(a):
        return math.sqrt(omega / a**3 + 1 - omega)

    def unscaled(a):  # Heath (1977): D is E times the integral of 1/(a E)^3
        return hubble(a) * quad(lambda x: 1 / (x * hubble(x)) ** 3, 0, a)[0]

    def growth(a):
        return unscaled(a) / unscaled(1.0)

    def slope(a):
        return (growth(a * 1.0001) - growth(a / 1.0001)) / (a * 1.0001 - a / 1.0001)

    # dx/da = p/(a^3 E), dp/da = 0: the growing mode's p = a^3 E dD/da of the start stays, and every drift of the simulator
    # stands for the integral of 1/(a^3 E) by the rise of D over dD/da a^3 E in the middle of its step.
    times = np.linspace(start, 1, steps + 1)
    middles = (times[1:] + times[:-1]) / 2
    drifts = [
        (growth(b) - growth(a)) / (slope(m) * m**3 * hubble(m)) for a, b, m in zip(times[:-1], times[1:], middles, strict=True)
    ]
    left = growth(start) + slope(start) * start**3 * hubble(start) * sum(drifts)
    assert left == pytest.approx(0.2864, abs=1e-4) and len(waves) == len(simulate.TRANSVERSE)
    # Stored with four digits, of particles whose places are kept to some 10^-6 of a wave.
    np.testing.assert_allclose(stored["output"][waves], left * stored["input"][waves], atol=0.5e-4 + 1e-5, rtol=0)


@pytest.mark.parametrize("dimension", [2, 3])
def test_frames_are_orthonormal_and_fields_made_across_have_no_divergence(dimension):
    grid = replace(BOX[dimension], box=(64.0, 32.0, 16.0)[:dimension])
    for mode in [(3, 0, 0), (0, 0, 2), (4, -6, 0), (1, 2, 3)]:
        if any(mode[:dimension]):
            for polarisation in range(dimension - 1):
                axes = frame(mode[:dimension], polarisation, grid)
                torch.testing.assert_close(axes @ axes.T, torch.eye(dimension, dtype=torch.float64), atol=1e-15, rtol=0)
                torch.testing.assert_close(axes[-1], grid.direction_of(mode[:dimension]), atol=1e-15, rtol=0)
    field = made_across(grid, 2.5, torch.Generator().manual_seed(1))
    assert float(field.square().mean().sqrt()) == pytest.approx(2.5, rel=1e-14)
    assert float(divergence(field, grid).abs().max()) < 1e-12
    assert float(split(field, grid)[1].abs().max()) > 1
    assert len(DIRECTIONS[dimension]) == dimension


def test_the_first_vector_is_taken_and_the_others_stay_at_rest():
    density, rest = Quantity("rho", "scalar", shift=3.0), Quantity("t", "number", shift=2.0)

    def network(values):  # it sees (x - shift) / scale: nothing of what stands at rest
        return torch.cat([values[:, :1], (1 + values[:, :1]) * (6 + values[:, 3:4]) * values[:, 1:3]], 1)

    described = Description(SQUARE, (density, VELOCITY, rest), (density, VELOCITY))
    result = ask(FieldModel(Function(network), described, dtype=torch.float64))
    np.testing.assert_allclose(result.measured["model"].response.sel(harmonic=1, direction="own"), 6, rtol=1e-12)
    assert "'rho' is a scalar" in ask(FieldModel(Function(network), described, dtype=torch.float64), output="rho").reason


@pytest.mark.parametrize(
    "grid, given, answered, said",
    [
        (LINE, "vector", "vector", "two or three axes"),
        (SQUARE, "scalar", "scalar", 'kind = "vector"'),
        (SQUARE, "pseudoscalar", "vector", "the input 'q' is a pseudoscalar, which has no direction across k"),
        (SQUARE, "vector", "number", "the output 'q' is a number"),
    ],
)
def test_what_has_no_direction_across_k_is_not_asked(grid, given, answered, said):
    described = Description(grid, (Quantity("q", given),), (Quantity("q", answered),))
    result = ask(FieldModel(Function(lambda x: x), described, dtype=torch.float64))
    assert result.verdict == "not_applicable" and said in result.reason


def test_a_mode_that_the_grid_cannot_carry_is_refused_in_a_sentence():
    assert "not below Nyquist" in ask(on(CUBE, lambda x: x), modes="8:0:0").failure


def test_passes_are_counted():
    result = ask(on(CUBE, lambda x: x), modes="3:0:0,2:2:1", ladder="0.1", shifts=3, fields=2)
    # Two modes with two polarisations and one longitudinal wave each, one rung, and the fields.
    assert result.passes == 3 * (2 * 2 + 1 + 2) + 2


@pytest.mark.parametrize("boundary", ["periodic", "none"])
@pytest.mark.parametrize("dimension", [2, 3])
def test_every_figure_says_what_it_shows(dimension, boundary):
    grid = replace(BOX[dimension], boundary=boundary)
    result = ask(flow(lambda u: 0.5 * u, grid), controls=["identity", "untrained"], modes="3:0:0" if dimension == 3 else "3:0,4:6")
    titles = ["Gain of transverse waves", "Where one transverse wave goes", "Random transverse fields"]
    panels = result.panels()
    assert [panel.title for panel in panels] == titles[: 3 if boundary == "periodic" else 2]
    for panel in panels:
        assert "0.5" in panel.text or "5.0e-01" in panel.text
        assert all(axes.lines and axes.get_xlabel() and axes.get_ylabel() for axes in panel.figures[0][1].axes)
        assert set(panel.variables) <= set(result.measured["model"].variables)
