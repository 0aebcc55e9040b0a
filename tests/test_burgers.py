"""The Burgers solver against a closed form, the symmetries of its equation and data of others; the network against the solver."""

from __future__ import annotations

import importlib
import math
import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from probe import controls
from probe.errors import InputError
from probe.fields import Field
from probe.loading import load
from probe.runner import make_pairs
from probe.zoo import entries
from probe.zoo.burgers_fno.recipe import burgers
from probe.zoo.burgers_fno.recipe.burgers import LIMIT, POINTS, REACH, VISCOSITY, evolve
from probe.zoo.burgers_fno.recipe.pairs import Solutions, initial, spectrum


@dataclass(frozen=True)
class Series:
    """mean + sum of a cos(2 pi n x + phase) over waves (n, a, phase)."""

    mean: float
    waves: tuple[tuple[int, float, float], ...]

    def at(self, x: Tensor) -> Tensor:
        return self.mean + sum((a * torch.cos(2 * math.pi * n * x + p) for n, a, p in self.waves), torch.zeros_like(x))

    def integral(self, x: Tensor) -> Tensor:
        waves = (a / (2 * math.pi * n) * torch.sin(2 * math.pi * n * x + p) for n, a, p in self.waves)
        return self.mean * x + sum(waves, torch.zeros_like(x))

    def on(self, points: int) -> Tensor:
        return self.at(places(points))[None, None]


def places(points: int) -> Tensor:
    return torch.arange(points, dtype=torch.float64) / points


def cole_hopf(start: Series, points: int, time: float = 1.0) -> Tensor:
    """u(x, t) = int (x - y)/t exp(-F/2nu) dy / int exp(-F/2nu) dy, F(y) = int_0^y u_0 + (x - y)^2/2t (Hopf 1950).

    By the trapezoidal rule on the line, which converges exponentially here; the weight is positive, so that nothing is lost to
    cancellation. Its kernel is centred where the mean has carried the point from, and is sqrt(2 nu t) = 0.14 wide.
    """
    x = places(points)[:, None]
    y = x - start.mean * time + torch.arange(-4096, 4097, dtype=torch.float64) / 1024
    action = start.integral(y) + (x - y) ** 2 / (2 * time)
    return (torch.softmax(-action / (2 * VISCOSITY), 1) * (x - y) / time).sum(1)


STARTS = {
    "one wave": Series(0.0, ((1, 1.0, 0.7),)),
    "a weak wave": Series(0.4, ((5, 0.01, 0.0),)),
    "two waves and a mean": Series(-1.7, ((1, 0.8, 0.2), (4, 0.5, 2.0))),
    "many waves": Series(2.3, tuple((n, 1.5 / n**2, 0.9 * n * n) for n in range(1, 12))),
    "as strong as the usual grid takes": Series(0.0, ((3, REACH, 0.7),)),
}
START = STARTS["two waves and a mean"]


def test_the_solver_finds_the_cole_hopf_solution():
    found = evolve(torch.cat([start.on(64) for start in STARTS.values()]))[:, 0]
    for name, answer, start in zip(STARTS, found, STARTS.values(), strict=True):
        # Measured: up to 4e-9, at the strongest; the time step makes it.
        assert float((answer - cole_hopf(start, 64)).abs().max()) < 1e-8, name


def test_a_stronger_wave_is_solved_on_a_finer_grid():
    start = Series(0.3, ((2, 1.9 * REACH, 0.7),))
    torch.testing.assert_close(evolve(start.on(64), 0.25)[0, 0], cole_hopf(start, 64, 0.25), rtol=0, atol=1e-8)


def test_a_weak_wave_fades_as_diffusion_has_it():
    # To first order exp(-nu k^2 t), the rest of order a^2: a second harmonic that stays below a k/(2 nu k^2) times the wave.
    start = Series(0.0, ((2, 1e-6, 0.0),))
    expected = math.exp(-VISCOSITY * (4 * math.pi) ** 2) * start.on(32)
    torch.testing.assert_close(evolve(start.on(32)), expected, rtol=0, atol=1e-6 * 1e-4)


def test_the_time_step_is_of_fourth_order(monkeypatch):
    exact, errors = cole_hopf(START, 64), []
    for steps in (64, 128, 256):
        monkeypatch.setattr(burgers, "STEPS", steps)
        errors.append(float((evolve(START.on(64))[0, 0] - exact).abs().max()))
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert all(order == pytest.approx(4, abs=0.5) for order in orders), errors


def test_the_points_are_more_than_enough(monkeypatch):
    fine = evolve(START.on(64))
    monkeypatch.setattr(burgers, "POINTS", POINTS // 2)
    coarse = evolve(START.on(64))
    torch.testing.assert_close(coarse, fine, rtol=0, atol=1e-12)


def test_momentum_is_kept_and_energy_lost_to_viscosity_alone(monkeypatch):
    monkeypatch.setattr(burgers, "STEPS", 256)
    start, points = START, 256
    nodes, weights = np.polynomial.legendre.leggauss(20)
    slopes = 2j * math.pi * torch.arange(points // 2 + 1)
    loss = 0.0
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        gradient = torch.fft.irfft(torch.fft.rfft(evolve(start.on(points), float(node))) * slopes, n=points)
        loss += weight * 2 * VISCOSITY * float(gradient.square().mean())
    end = evolve(start.on(points))
    assert float(end.mean()) == pytest.approx(start.mean, abs=1e-13)
    assert float(start.on(points).square().mean() - end.square().mean()) == pytest.approx(loss, rel=1e-5)


@pytest.fixture
def few_steps(monkeypatch):
    """For what holds to rounding however coarse the steps are."""
    monkeypatch.setattr(burgers, "STEPS", 64)


def test_shifts_and_reflections_go_through_the_law(few_steps):
    fields = initial(3, 5)
    answer = evolve(fields)
    torch.testing.assert_close(evolve(fields.roll(37, 2)), answer.roll(37, 2), rtol=0, atol=1e-12)
    mirrored = -fields.flip(2)
    torch.testing.assert_close(evolve(mirrored), -answer.flip(2), rtol=0, atol=1e-12)


def test_whoever_moves_along_sees_the_same_law(few_steps):
    fields, cells = initial(3, 5), 45
    speed = cells / fields.shape[2]
    torch.testing.assert_close(evolve(fields + speed), evolve(fields).roll(cells, 2) + speed, rtol=0, atol=1e-12)
    # That a speed of no whole number of cells does the same, the closed form shows.


@pytest.mark.parametrize("points", [10, 25, 101, 400])
def test_any_number_of_points_shows_the_same_solution_at_its_points(points, few_steps):
    found = evolve(START.on(points))[0, 0]
    # So few steps are good to 1e-5 here. The front is too steep for 10 points: low-passed to them the answer would differ by 0.03.
    torch.testing.assert_close(found, cole_hopf(START, points), rtol=0, atol=1e-4)


def test_a_nyquist_wave_is_a_cosine(few_steps):
    start = Series(0.0, ((4, 0.5, 0.0),))
    torch.testing.assert_close(evolve(start.on(8)), evolve(start.on(64))[..., ::8], rtol=0, atol=1e-12)


def test_single_precision_in_and_out_costs_its_rounding_alone(few_steps):
    fields = initial(2, 3)
    answer = evolve(fields.float())
    assert answer.dtype == torch.float32
    # Roundings of 6e-8 at either end, and diffusion forgets rather than amplifies: at most a few of them.
    torch.testing.assert_close(answer.double(), evolve(fields), rtol=0, atol=2e-6)


def test_gradients_pass_through_the_law(few_steps):
    given = initial(1, 3).requires_grad_()
    # The mean of the answer is that of the input: its gradient is 1/N at every point.
    (gradient,) = torch.autograd.grad(evolve(given).mean(), given)
    torch.testing.assert_close(gradient, torch.full_like(gradient, 1 / given.shape[2]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("values", [torch.zeros(4, 8), torch.zeros(1, 2, 8), torch.zeros(1, 1, 8, 8)])
def test_what_is_no_velocity_on_a_line_is_refused(values):
    with pytest.raises(InputError, match="one velocity on a line"):
        evolve(values)


@pytest.mark.parametrize("size", [1.01 * LIMIT, math.inf, math.nan])
def test_what_is_too_strong_for_the_solver_is_refused(size):
    with pytest.raises(InputError, match="scale the input down"):
        evolve(torch.tensor([[[size, -size, size, -size]]]))


def test_initial_fields_have_the_spectrum_that_is_written():
    fields = initial(2000, 11)
    modes = torch.fft.rfft(fields[:, 0], norm="forward")[:, :6]
    k = 2 * math.pi * torch.arange(6, dtype=torch.float64)
    # A variance from 2000 complex numbers (real ones at k = 0): known to one part in sqrt(2000), or sqrt(1000); five sigma.
    found = modes.abs().square().mean(0) / spectrum(k)
    assert abs(float(found[0]) - 1) < 5 / math.sqrt(1000)
    assert (found[1:] - 1).abs().max() < 5 / math.sqrt(2000)


def test_drawn_pairs_are_pairs_of_the_law():
    given, truth = Solutions(3, 7, 1.3).draw(20, torch.Generator().manual_seed(0)).double().split(1, 1)
    assert given.shape == (20, 1, 128) and given.mean(2).std() > 0.5
    torch.testing.assert_close(evolve(given), truth, rtol=0, atol=2e-6)


@pytest.fixture(scope="module")
def network():
    return load("zoo:burgers_fno")


def test_the_weights_that_ship_are_complex_and_small():
    weights = entries()["burgers_fno"].weights
    assert weights.stat().st_size < 1e6
    assert {value.dtype for value in load_file(weights).values()} == {torch.float32, torch.complex64}


def test_the_held_out_pairs_are_pairs_of_the_law(network):
    given, truth = joined(network)
    # Both files are rounded to 6e-8 of their size of order one.
    torch.testing.assert_close(evolve(given), truth, rtol=0, atol=2e-6)


def test_the_network_is_as_good_as_its_card_says(network):
    pairs = make_pairs(network, None)
    rival = controls.build("linear_filter", network, pairs, 0)
    _, truth = joined(network)
    waves = truth - truth.mean(2, keepdim=True)
    model, linear = (torch.cat([m(given).values for given, _ in pairs]) - truth for m in (network, rival.model))
    assert float(model.norm() / truth.norm()) == pytest.approx(0.0041, abs=1e-4)
    assert float(model.norm() / waves.norm()) == pytest.approx(0.024, abs=1e-3)
    assert float(linear.norm() / truth.norm()) == pytest.approx(0.171, abs=1e-3)


def joined(model):
    pairs = make_pairs(model, None)
    return tuple(torch.cat([pair[side].values for pair in pairs]) for side in (0, 1))


def test_the_law_is_the_control_that_the_network_is_held_to(network):
    simulator = controls.build("simulator", network, None, 0).model
    given = joined(network)[0][:2]
    answer = simulator(Field(given, network.grid, network.description.inputs)).values
    torch.testing.assert_close(answer, evolve(given), rtol=0, atol=0)


def test_a_boost_of_the_input_boosts_the_answer(network):
    # Nothing in the network says so: it was learned, to about its error.
    given, cells = joined(network)[0], 64
    speed = cells / 128
    moved, answer = (network(Field(values, network.grid, network.description.inputs)).values for values in (given + speed, given))
    assert float((moved - answer.roll(cells, 2) - speed).norm() / answer.norm()) < 0.02


def test_the_recipe_is_there_whole():
    for part in ("pairs", "train", "publish"):
        importlib.import_module(f"probe.zoo.burgers_fno.recipe.{part}")


@pytest.mark.realdata
def test_the_solver_agrees_with_published_solutions():
    """neuraloperator's 400 solutions at viscosity 0.01, on 16 points at 17 times.

    The file does not say which times. Fitted to the solver, time and viscosity come out as 0.0600 a frame and 0.0100, each to four
    digits and the same for every frame, so that 0.06 is taken here. Sixteen points leave modes from n = 8 on unknown, which
    hold about 1e-3 of these fields' amplitude: agreement can be asked to that, no further.
    """
    if not (folder := os.environ.get("PROBE_REALDATA")):
        pytest.skip("PROBE_REALDATA names no folder with real data")
    data = torch.load(Path(folder) / "darcy_burgers" / "burgers_test_16.pt", weights_only=True)
    assert float(data["visc"]) == VISCOSITY
    for frame in (1, 8, 16):
        truth = data["y"][::20, frame]
        off = (evolve(data["x"][::20, None], 0.06 * frame)[:, 0] - truth).norm(dim=1) / truth.norm(dim=1)
        assert off.median() < 5e-4 and off.max() < 5e-3
