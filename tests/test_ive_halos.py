"""The zoo's haloes: their densities, cutouts, profiles and noise, and a network that keeps three numbers and no fourth."""

from __future__ import annotations

import importlib
import math

import numpy as np
import pytest
import torch

from probe.loading import load
from probe.runner import make_pairs
from probe.zoo import entries
from probe.zoo.encoders import divergence_from_prior
from probe.zoo.ive_halos.recipe.floor import floor
from probe.zoo.ive_halos.recipe.haloes import BOX, NOISE, PIVOT, POINTS, RADII, SCALE_RADIUS, Haloes, cutouts, draw, noisy, profiles
from probe.zoo.ive_halos.recipe.publish import FACTORS, answers, held_out, shells
from probe.zoo.ive_halos.recipe.train import Stock, normalised

ENTRY = entries()["ive_halos"]
ERROR, KL = 0.0326, [3.96, 3.09, 1.36, 0.005]  # dex, of the held-out profiles; nats, the most first: in the factors' order


def halo(normalisation=4.0, inner=1.0, outer=3.0, form=None):
    one = torch.ones(1, dtype=torch.float64)
    form = torch.eye(3, dtype=torch.float64) if form is None else form
    return Haloes(normalisation * one, inner * one, outer * one, one, form[None])


def random_haloes(count, seed=0):
    return draw(count, torch.Generator().manual_seed(seed))


def density(haloes, number, points):
    """rho at points (..., 3), written out anew."""
    gamma, beta = float(haloes.inner[number]), float(haloes.outer[number])
    m = np.sqrt(np.einsum("...i,ij,...j->...", points, haloes.form[number].numpy(), points))

    def f(radius):
        x = radius / SCALE_RADIUS
        return x**-gamma * (1 + x**4) ** ((gamma - beta) / 4)

    return 10 ** float(haloes.normalisation[number]) * f(m) / f(PIVOT)


def test_a_round_halo_has_the_double_power_law_for_its_profile():
    one = halo(4.2, 0.7, 3.1)
    radii = torch.logspace(-4, 2, 61, dtype=torch.float64)
    along = radii[:, None].numpy() * np.array([1.0, 0, 0])
    np.testing.assert_allclose(profiles(one, radii)[0], np.log10(density(one, 0, along)), rtol=0, atol=1e-12)
    slopes = torch.diff(profiles(one, radii)[0]) / torch.diff(radii.log10())
    # Far in and far out the other slope is forgotten as (r/r_s)^4.
    assert float(slopes[0]) == pytest.approx(-0.7, abs=1e-9) and float(slopes[-1]) == pytest.approx(-3.1, abs=1e-7)
    assert float(profiles(one, torch.tensor([PIVOT], dtype=torch.float64))) == pytest.approx(4.2, abs=1e-12)


@pytest.mark.parametrize("flat", [0.3, 0.7])
def test_the_profile_of_an_ellipsoidal_square_law_is_an_arc_tangent(flat):
    # rho = A/(a (1 - mu^2) + c mu^2)/r^2, a = flat, c = 1/flat^2: its mean over mu is arctan(sqrt((c - a)/a)) / sqrt(a (c - a)).
    a, c = flat, flat**-2
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    form = turn @ torch.diag(torch.tensor([a, a, c], dtype=torch.float64)) @ turn.T
    expected = math.log10(math.atan(math.sqrt((c - a) / a)) / math.sqrt(a * (c - a)))
    found = profiles(halo(0.0, 2.0, 2.0, form), torch.tensor([PIVOT], dtype=torch.float64), nodes=64)
    assert float(found) == pytest.approx(expected, abs=1e-12)


def test_profiles_are_means_over_spheres():
    haloes = random_haloes(4)
    cosine, weights = np.polynomial.legendre.leggauss(60)
    angle = 2 * np.pi * np.arange(60) / 60
    sine = np.sqrt(1 - cosine**2)[:, None]
    sphere = np.stack([sine * np.cos(angle), sine * np.sin(angle), np.broadcast_to(cosine[:, None], (60, 60))], -1)
    for number in range(4):
        values = density(haloes, number, RADII.numpy()[:, None, None, None] * sphere)
        expected = np.log10(np.einsum("rpq,p->r", values, weights / 2 / 60))
        np.testing.assert_allclose(profiles(haloes)[number], expected, rtol=0, atol=1e-7)


def test_cutouts_are_means_over_voxels():
    haloes = random_haloes(4, seed=2)
    found = 10 ** cutouts(haloes)
    side = BOX / POINTS
    places, weights = np.polynomial.legendre.leggauss(24)
    x = (places + 1) / 2 * side
    inside = np.stack(np.meshgrid(x, x, x, indexing="ij"), -1)
    weights = np.einsum("i,j,k->ijk", *[weights / 2] * 3)
    for voxel, tolerance in (((8, 8, 8), 0.03), ((7, 8, 9), 1e-3), ((2, 9, 13), 1e-6), ((0, 15, 15), 1e-7)):
        corner = np.array(voxel) * side - BOX / 2
        for number in range(4):
            expected = (density(haloes, number, inside + corner) * weights).sum()
            assert float(found[number, 0][voxel]) == pytest.approx(expected, rel=tolerance)


def test_noise_has_a_mean_of_one_and_the_scatter_that_is_written():
    factor = noisy(torch.zeros(400_000, dtype=torch.float64), torch.Generator().manual_seed(0))
    spread = math.sqrt(math.expm1((NOISE * math.log(10)) ** 2))  # of a lognormal number of mean one
    assert float((10**factor).mean()) == pytest.approx(1, abs=5 * spread / math.sqrt(400_000))
    assert float(factor.std()) == pytest.approx(NOISE, rel=5 / math.sqrt(800_000))


def test_drawn_haloes_are_turned_every_way_and_their_factors_are_independent():
    haloes = random_haloes(4000)
    torch.testing.assert_close(torch.linalg.det(haloes.form), torch.ones(4000).double(), rtol=0, atol=1e-9)
    squares, axes = torch.linalg.eigh(haloes.form)
    torch.testing.assert_close((squares[:, 0] / squares[:, 2]).sqrt(), haloes.ratio, rtol=1e-9, atol=0)
    # E v v^T = 1/3 for every axis; entries scatter by less than 0.3.
    assert (torch.einsum("nia,nja->aij", axes, axes) / 4000 - torch.eye(3).double() / 3).abs().max() < 5 * 0.3 / math.sqrt(4000)
    factors = torch.stack([getattr(haloes, name) for name in FACTORS])
    assert (torch.corrcoef(factors) - torch.eye(4).double()).abs().max() < 5 / math.sqrt(4000)


def test_a_batch_holds_the_profiles_of_its_own_haloes():
    stock = Stock(8, 3)
    values, questions, truth = stock.batch(torch.Generator().manual_seed(0))
    torch.testing.assert_close(questions[0].double(), RADII.log10(), rtol=0, atol=1e-6)
    # The shell between 3 and 4 voxels holds a hundred of them and more, and profiles bend: to a tenth of a dex.
    seen = shells(values * 0.5 + 2.8)[:, 3]
    there = torch.tensor([np.interp(math.log10(3.5 * BOX / POINTS), RADII.log10(), row + 3.8) for row in truth])
    assert (seen - there).abs().max() < 0.1


def test_the_floor_of_a_round_halo_is_that_of_three_radial_functions():
    # Shapes change a round halo as quadrupoles, orthogonal over a cube to what depends on radius alone: its factors' errors are
    # NOISE times the root of the inverse of <g_i g_j> summed over voxels, g_i = d log10 rho / d factor. With u = (r/r_s)^2:
    gamma, beta, nodes = 0.8, 3.0, 3
    places, _ = np.polynomial.legendre.leggauss(nodes)
    weights = np.polynomial.legendre.leggauss(nodes)[1] / 2
    x = ((np.arange(POINTS)[:, None] + (places + 1) / 2) * BOX / POINTS - BOX / 2).ravel()
    u = (x[:, None, None] ** 2 + x[:, None] ** 2 + x**2) / SCALE_RADIUS**2
    pivot = (PIVOT / SCALE_RADIUS) ** 2
    inner = (-np.log(u / pivot) / 2 + np.log((1 + u**2) / (1 + pivot**2)) / 4) / math.log(10)
    outer = -np.log((1 + u**2) / (1 + pivot**2)) / 4 / math.log(10)

    def of_voxels(values):
        return np.einsum("xiyjzk,i,j,k->xyz", values.reshape([POINTS, nodes] * 3), *[weights] * 3)

    rho = u ** (-gamma / 2) * (1 + u**2) ** ((gamma - beta) / 4)
    g = np.stack([of_voxels(rho * of) / of_voxels(rho) for of in (np.ones_like(u), inner, outer)]).reshape(3, -1)
    expected = NOISE * np.sqrt(np.linalg.inv(g @ g.T).diagonal())
    factors, profile = floor(halo(4.0, gamma, beta))
    np.testing.assert_allclose(factors[0], expected, rtol=1e-6)
    at_pivot = float(np.interp(PIVOT, RADII, profile[0]))
    assert at_pivot == pytest.approx(float(factors[0, 0]), rel=0.02)


@pytest.fixture(scope="module")
def model():
    return load("zoo:ive_halos")


@pytest.fixture(scope="module")
def latents(model):
    """Means and log-variances of the held-out haloes."""
    values = torch.from_numpy(np.load(ENTRY.folder / "heldout" / "input.npy")).float()
    with torch.no_grad():
        return model.network.encoder(normalised(values))


@pytest.fixture(scope="module")
def table():
    return np.load(ENTRY.folder / "heldout" / "quantities.npy")


def test_the_held_out_files_are_of_the_recipe(model, table):
    expected = held_out()
    for name in table.dtype.names:
        np.testing.assert_allclose(table[name], expected["quantities"][name], rtol=0, atol=2e-6)
    # Half precision: ten bits behind the first, of numbers up to eight.
    given = np.load(ENTRY.folder / "heldout" / "input.npy")
    np.testing.assert_allclose(given.astype(float), expected["input"].astype(float), rtol=0, atol=2.0**-8)
    np.testing.assert_allclose(np.load(ENTRY.folder / "heldout" / "truth.npy"), expected["truth"], rtol=0, atol=2e-6)
    assert make_pairs(model, None).quantities(3)["log_density"].shape == (13,)


def test_the_network_is_as_exact_as_its_card_says(model, latents, table):
    with torch.no_grad():
        off = answers(model.network, latents[0]).numpy()[:, ::2] - table["log_density"]
    assert float(np.sqrt((off**2).mean())) == pytest.approx(ERROR, abs=1e-3)


def test_three_latent_variables_hold_a_factor_each_and_the_fourth_is_dead(latents, table):
    mean, log_variance = latents
    kl = divergence_from_prior(mean, log_variance).mean(0).numpy()
    order = np.argsort(kl)[::-1]
    assert kl[order] == pytest.approx(KL, abs=0.1) and kl[order[3]] < 0.01
    r = np.abs([[np.corrcoef(mean[:, place], table[name])[0, 1] for name in FACTORS] for place in order[:3]])
    assert (np.diag(r) > 0.9).all() and (r[:, :3] - np.diag(np.diag(r))).max() < 0.3
    assert r[:, 3].max() < 0.2  # nothing of the shape; 0.065 is one sigma


def test_a_turned_halo_has_the_same_latent_variables_nearly(model, latents):
    values = torch.from_numpy(np.load(ENTRY.folder / "heldout" / "input.npy")).float()
    with torch.no_grad():
        turned, _ = model.network.encoder(normalised(values.transpose(2, 4).flip(3)))
    active = divergence_from_prior(*latents).mean(0) > 0.5
    assert ((turned - latents[0])[:, active].std(0) < 0.3).all()


def test_the_recipe_is_there_whole():
    for part in ("haloes", "train", "floor", "publish"):
        importlib.import_module(f"probe.zoo.ive_halos.recipe.{part}")
