"""Densities and divergences against closed forms, quadrature and scipy's kernel density estimate."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import gaussian_kde, norm

from probe import distribution as d
from probe import histograms
from tests.models import CUBE, LINE, SQUARE

COUNT = 100_000
GAUSSIAN = torch.from_numpy(norm.ppf((np.arange(COUNT) + 0.5) / COUNT))  # the quantiles of a Gaussian: no sampling error


def drawn(seed, count=4000):
    return torch.randn(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def estimate(truth, prediction):
    bins = d.fit([d.spread_of(truth)])
    return float(d.kl_divergence(*(d.density(d.count(values, bins), bins.bandwidth) for values in (truth, prediction))))


def closed_form(mean, deviation):
    """KL of a Gaussian from the standard one's point of view."""
    return math.log(deviation) + (1 + mean**2) / (2 * deviation**2) - 0.5


def blurred(mean, deviation, u, scale, width):
    """Density of a Gaussian in u = asinh(x / scale), convolved with a Gaussian kernel, by quadrature."""
    density = norm.pdf(scale * np.sinh(u), mean, deviation) * scale * np.cosh(u)
    return np.array([np.trapezoid(density * norm.pdf(place - u, scale=width), u) for place in u])


OFF = pytest.mark.parametrize(("mean", "deviation"), [(0.0, 0.8), (0.0, 1.1), (0.3, 1.0), (-0.2, 0.9)])


@OFF
def test_two_gaussians_are_their_kl_apart_less_what_the_kernel_takes(mean, deviation):
    found, exact = estimate(GAUSSIAN, mean + deviation * GAUSSIAN), closed_form(mean, deviation)
    # (b / sigma)^2 = (3 n / 4)^(-2/5) is 0.011, of which twice would be taken in x, and up to four times in u.
    assert (1 - 4 * (0.75 * COUNT) ** -0.4) * exact < found < exact


@OFF
def test_the_kl_is_that_of_the_blurred_densities_by_quadrature(mean, deviation):
    spread = d.spread_of(GAUSSIAN)
    u = np.linspace(-4, 4, 1601)
    p, q = (blurred(m, s, u, spread.scale, spread.bandwidth) for m, s in ((0.0, 1.0), (mean, deviation)))
    held = p > 1e-300
    exact = np.trapezoid(p[held] * np.log(p[held] / q[held]), u[held])
    # Quantiles end at 4.4 standard deviations: 1e-5 of all lies beyond, where ln(p/q) is 6 and more, and the kernel reaches.
    assert estimate(GAUSSIAN, mean + deviation * GAUSSIAN) == pytest.approx(exact, abs=4e-4)


def test_the_density_is_scipys_kernel_density_estimate():
    values = drawn(1)
    spread, bins = d.spread_of(values), d.fit([d.spread_of(values)])
    u = np.arcsinh((values.numpy() - bins.centre) / bins.scale)
    kernel = gaussian_kde(u, "silverman")
    assert spread.bandwidth == pytest.approx(float(np.sqrt(kernel.covariance.item())), rel=1e-3)  # n or n - 1 under the root
    width = (bins.high - bins.low) / d.BINS
    centres = bins.low + (np.arange(d.BINS) + 0.5) * width
    exact = kernel(centres) * width
    # A value stands in the middle of its bin, up to half a bin off: by (width/bandwidth)^2/12 of the curvature.
    np.testing.assert_allclose(d.density(d.count(values, bins), bins.bandwidth), exact, atol=2e-3 * exact.max())


def test_the_same_values_are_exactly_nothing_apart():
    assert estimate(drawn(2), drawn(2).flip(0)) == 0.0


@pytest.mark.parametrize(("factor", "offset"), [(3.7, 100.0), (-0.2, 5.0), (1e-8, 0.0), (1e6, -1e5)])
def test_the_kl_does_not_know_units(factor, offset):
    truth, prediction = drawn(3).exp(), drawn(4).exp() * 1.2
    # Edges move by rounding, a few 1e-16 of the offset: no value crosses one.
    assert estimate(factor * truth + offset, factor * prediction + offset) == pytest.approx(estimate(truth, prediction), rel=1e-9)


def test_heavy_tails_do_not_hide_the_bulk():
    # sinh(2 x) of a Gaussian x reaches 3000 times its own quartiles; its KL is that of x.
    truth, prediction = torch.sinh(2 * GAUSSIAN), torch.sinh(2 * (0.1 + 1.1 * GAUSSIAN))
    assert estimate(truth, prediction) == pytest.approx(closed_form(0.1, 1.1), rel=0.05)


def test_values_outside_the_bins_are_counted_and_nothing_is_lost():
    truth = drawn(5)
    bins = d.fit([d.spread_of(truth)])
    edges, prediction = bins.edges(), 10 * drawn(6)
    counts = d.count(prediction, bins)
    assert counts.sum() == len(prediction) and d.count(truth, bins)[[0, -1]].sum() == 0
    assert counts[0] == (prediction < edges[0]).sum() > 0 and counts[-1] == (prediction >= edges[-1]).sum() > 0
    np.testing.assert_array_equal(counts[1:-1], np.histogram(prediction.numpy(), edges)[0])
    # Half of all far outside costs ln 2 where the truth is.
    half = torch.cat([truth, truth + 1e9])
    assert estimate(truth, half) == pytest.approx(math.log(2), rel=1e-9)


def test_a_prediction_nowhere_near_the_truth_is_finitely_far():
    assert 10 < estimate(drawn(7), drawn(8) * 0 + 1e3) < 710


@pytest.mark.parametrize("share", [0.5, 0.125, 0.03125])
def test_moments_of_a_coin_are_exact(share):
    coin = torch.zeros(1024)
    coin[: int(1024 * share)] = 1
    spread = share * (1 - share)
    expected = [share, spread, (1 - 2 * share) / math.sqrt(spread), (1 - 6 * spread) / spread]
    np.testing.assert_allclose(d.shape(d.moments(coin)), expected, rtol=1e-13, atol=1e-13)


def test_moments_of_a_lognormal_are_its_own_within_sampling():
    width = 0.3
    values = (width * drawn(9, 2_000_000)).exp().reshape(40, -1)
    e = math.exp(width**2)
    expected = [math.sqrt(e), e * (e - 1), (e + 2) * math.sqrt(e - 1), e**4 + 2 * e**3 + 3 * e**2 - 6]
    each = np.array([d.shape(d.moments(row)) for row in values])
    error = each.std(0, ddof=1) / math.sqrt(len(each))
    assert (np.abs(d.shape(d.moments(values)) - expected) < 5 * error).all()


def test_quantiles_are_those_of_the_values():
    bins = d.fit([d.spread_of(GAUSSIAN)])
    levels = [0.001, 0.01, 0.5, 0.99, 0.999]
    found = d.quantiles(d.count(GAUSSIAN, bins), bins.edges(), levels)
    # Linear within a bin of width w: off by about (w^2 / 8) d ln(density)/dx, and both are 0.03 and 3 at the outermost.
    np.testing.assert_allclose(found, norm.ppf(levels), atol=2e-3)


def test_what_is_allowed_for_a_variance_is_a_gaussians_kl():
    for off in (0.02, 0.1, 0.5):
        assert d.gaussian_kl(off) == pytest.approx(closed_form(0.0, math.sqrt(1 - off)), rel=1e-12)
    assert d.gaussian_kl(0.0) == 0.0


def test_nulls_may_be_resampled_like_independent_numbers():
    # Eight Gaussians whose means scatter, again and again: how their mean null scatters is what one set alone tells of it.
    draw, places, means, told = np.random.default_rng(0), np.linspace(-5, 5, 101), [], []
    for _ in range(300):
        nulls = d.null_of(norm.pdf(places, draw.normal(0, 0.3, (8, 1))) / 10)
        means.append(nulls.mean())
        told.append(nulls.var(ddof=1) / len(nulls))
    # The variance of 300 is known to 8 %, and what is left out is of order 1/8.
    assert np.mean(told) == pytest.approx(np.var(means), rel=0.3)


def test_the_null_of_a_pair_is_the_kl_of_each_from_the_other():
    p = norm.pdf(np.linspace(-8, 8, 801), [[0.0], [0.5]]) * 0.02
    np.testing.assert_allclose(d.null_of(p), 0.5**2 / 2, rtol=1e-6)
    assert np.isnan(d.null_of(p[:1])).all()


def test_two_predictions_are_told_apart_only_where_they_differ():
    own = np.array([1.0, 3.0, 0.5, 2.0, 1.5, 0.8])
    ratio, word = d.compared(own, 10 * own)
    assert word == "better" and ratio.value == pytest.approx(0.1) and ratio.high == pytest.approx(0.1)
    assert d.compared(10 * own, own)[1] == "worse"
    assert d.compared(own, own[::-1])[1] == "no better" and d.compared(0 * own, 0 * own)[1] == "no better"
    assert d.compared(own[:1], 10 * own[:1])[1] == "no better"


@pytest.mark.parametrize("grid", [CUBE, SQUARE, LINE], ids=["3D", "2D", "1D"])
def test_smoothed_white_noise_keeps_the_variance_of_the_kernel(grid):
    # One cell alone spreads to the kernel, whose squares add up to (2 sqrt(pi) R)^-D: what is left of white noise of variance 1.
    spike = torch.zeros(grid.shape, dtype=torch.float64)
    spike[(0,) * grid.dimension] = 1
    radius = 1.5 * grid.spacing[0]
    kernel = histograms.smoothed(spike, grid, radius)
    # Beyond Nyquist lies exp(-(1.5 pi)^2) = 2e-10 of it, and as much beyond half a box of 16 cells.
    assert float(kernel.square().sum()) == pytest.approx((2 * math.sqrt(math.pi) * 1.5) ** -grid.dimension, rel=1e-8)
    assert float(kernel.sum()) == pytest.approx(1, rel=1e-12)


def test_within_walls_the_smoothing_sees_the_mirrored_field():
    walled = replace(LINE, boundary="reflect")
    n, points, radius = 3, LINE.shape[0], 4 * LINE.spacing[0]
    wave = torch.cos(math.pi * n * (torch.arange(points, dtype=torch.float64) + 0.5) / points)
    expected = math.exp(-((math.pi * n * 4 / points) ** 2) / 2) * wave
    torch.testing.assert_close(histograms.smoothed(wave[None], walled, radius)[0], expected, rtol=0, atol=1e-14)
