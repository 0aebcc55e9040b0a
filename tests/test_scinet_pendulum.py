"""The zoo's pendulum: the law, the table of betas, and a network that keeps two numbers and no third."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch

from probe.loading import load
from probe.runner import make_pairs
from probe.zoo import entries
from probe.zoo.encoders import divergence_from_prior
from probe.zoo.scinet_pendulum.recipe import sweep
from probe.zoo.scinet_pendulum.recipe.measure import answers
from probe.zoo.scinet_pendulum.recipe.pendulum import DAMPING, SPRING, TIMES, frequency, pendulum, pendulums
from probe.zoo.scinet_pendulum.recipe.publish import held_out
from probe.zoo.scinet_pendulum.recipe.train import BATCH, BETA, pairs

ENTRY = entries()["scinet_pendulum"]
ERROR, KL = 0.0031, [2.85, 1.59, 0.00]  # rms of the first swing; nats, the most first


def test_the_curves_solve_the_pendulums_equation():
    damping, spring = pendulums(7, torch.Generator().manual_seed(0))
    times = torch.linspace(0, 10, 31, dtype=torch.float64).repeat(7, 1).requires_grad_()
    x = pendulum(damping, spring, times)
    (speed,) = torch.autograd.grad(x.sum(), times, create_graph=True)
    (acceleration,) = torch.autograd.grad(speed.sum(), times)
    residual = acceleration + damping[:, None] * speed + spring[:, None] * x
    # Terms of order ten, in double precision.
    assert residual.abs().max() < 1e-12
    torch.testing.assert_close(x[:, 0], torch.ones(7).double(), rtol=0, atol=0)
    torch.testing.assert_close(speed[:, 0], -damping / 2, rtol=0, atol=1e-15)


def test_the_curves_are_those_of_the_complex_formula():
    # Iten et al. 2020 write Re exp(-b t/2) exp(t sqrt(b^2 - 4 kappa)/2).
    damping, spring = pendulums(50, torch.Generator().manual_seed(0))
    b, kappa = damping[:, None].to(torch.complex128), spring[:, None].to(torch.complex128)
    times = torch.linspace(0, 10, 50, dtype=torch.float64)
    expected = (torch.exp(-b * times / 2) * torch.exp(times * (b**2 - 4 * kappa).sqrt() / 2)).real
    torch.testing.assert_close(pendulum(damping, spring, times), expected, rtol=0, atol=1e-13)
    for values, (low, high) in ((damping, DAMPING), (spring, SPRING)):
        assert low <= values.min() < low + 0.1 * (high - low) and high - 0.1 * (high - low) < values.max() <= high


def test_drawn_questions_are_answered_by_the_pendulum_that_is_seen():
    seen, questions, truth = pairs(torch.Generator().manual_seed(3))
    assert seen.shape == (BATCH, 1, 50) and questions.max() > 9.9
    # What is asked between two times that are seen lies near the straight line between them: off by kappa/8 of 0.1 s squared.
    inside = questions < 5
    for i in range(20):
        line = np.interp(questions[i][inside[i]], TIMES, seen[i, 0])
        np.testing.assert_allclose(truth[i][inside[i]], line, rtol=0, atol=10 / 8 * (5 / 49) ** 2)


@pytest.fixture(scope="module")
def model():
    return load("zoo:scinet_pendulum")


@pytest.fixture(scope="module")
def latents(model):
    """Means and log-variances of the held-out pendulums."""
    with torch.no_grad():
        return model.network.encoder(torch.from_numpy(held_out()["input"]))


def test_the_held_out_files_are_of_the_recipe(model):
    expected = held_out()
    table = np.load(ENTRY.folder / "heldout" / "quantities.npy")
    assert table.dtype == expected["quantities"].dtype
    for name in table.dtype.names:
        np.testing.assert_allclose(table[name], expected["quantities"][name], rtol=1e-6, atol=1e-6)
    for name in ("input", "truth"):
        np.testing.assert_allclose(np.load(ENTRY.folder / "heldout" / f"{name}.npy"), expected[name], rtol=0, atol=1e-6)
    known = make_pairs(model, None).quantities(3)
    omega = frequency(*(torch.tensor([known[name]]) for name in ("damping", "spring")))
    assert float(omega) == pytest.approx(float(known["frequency"]), rel=1e-6)


def test_the_network_is_as_exact_as_its_card_says(model, latents):
    table = held_out()["quantities"]
    factors = (torch.from_numpy(table[name]).double() for name in ("damping", "spring"))
    truth = pendulum(*factors, torch.linspace(0, 10, 101, dtype=torch.float64))
    with torch.no_grad():
        error = float((answers(model.network, latents[0]) - truth).square().mean().sqrt())
    assert error == pytest.approx(ERROR, abs=3e-4)


def test_two_latent_variables_hold_a_factor_each_and_the_third_is_dead(latents):
    mean, log_variance = latents
    kl = divergence_from_prior(mean, log_variance).mean(0).numpy()
    order = np.argsort(kl)[::-1]
    assert kl[order] == pytest.approx(KL, abs=0.1) and kl[order[2]] < 0.01
    table = held_out()["quantities"]
    r = np.abs([[np.corrcoef(mean[:, place], table[name])[0, 1] for name in ("spring", "damping")] for place in order[:2]])
    assert (np.diag(r) > 0.98).all() and max(r[0, 1], r[1, 0]) < 0.15  # by chance a thousand have 0.1


def test_the_larger_beta_the_less_is_kept_and_the_less_exact_are_answers():
    found = sweep.read(ENTRY.folder / "sweep.csv")
    assert list(found) == list(sweep.HEAD) and tuple(found["beta"]) == sweep.BETAS
    kept = sum(found[name] for name in ("kl_first", "kl_second", "kl_third"))
    assert (np.diff(kept) < 0).all() and (np.diff(found["error_of_draws"]) > 0).all()
    there = found["beta"] == BETA
    assert found["error"][there] == pytest.approx(ERROR, abs=3e-4) and found["kl_third"][there] < 0.01
    assert found["modularity"][there] == pytest.approx(found["modularity"].max(), abs=0.01)


def test_the_picture_of_betas_is_drawn_from_the_table(tmp_path):
    sweep.draw(ENTRY.folder / "sweep.csv", tmp_path / "beta.png")
    assert 5e3 < (tmp_path / "beta.png").stat().st_size < 6e4


def test_the_recipe_is_there_whole():
    for part in ("pendulum", "train", "measure", "publish", "sweep"):
        importlib.import_module(f"probe.zoo.scinet_pendulum.recipe.{part}")
