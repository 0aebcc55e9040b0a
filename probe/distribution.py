"""One-point distributions: values counted in bins, the densities behind the counts, and how far two of them lie apart.

Nothing is kept of a field but counts and moments, so that fields of any size and number can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from probe.intervals import Interval, over_samples

BINS = 512
MARGIN = 6  # bandwidths beyond the truth's extremes: a kernel leaves nothing outside
SAMPLE = 2**16  # values that the bins are fitted to
LEAST = 1e-12  # nats that sums over the bins leave of zero, and more
MOMENTS = ("mean", "variance", "third", "fourth")


# KL(p || q) = int p ln(p/q) dx is the same for any increasing function u(x) in the place of x. The densities are estimated in
#     u = asinh((x - m)/s),   m the truth's median, s twice its interquartile range over 1.349 (of a Gaussian, 2 sigma),
# which is linear in the bulk and logarithmic in the tails, so that one bandwidth serves both (Wand, Marron & Ruppert 1991). It is
#     b = sigma_u (3 n/4)^(-1/5)
# for the n values of one simulation (Silverman 1986, eq. 3.28), as if they were independent.
#     Both densities are blurred by this same kernel, and what is done to both alike can only bring them closer (the data-processing
# inequality; Cover & Thomas 2006, sec. 2.8). So the estimate falls short of the KL divergence. In x each variance of two Gaussians
# would grow by b^2, a share of 2 (b/sigma)^2 of the KL if they differ in width and of (b/sigma)^2 if they differ in mean. In u it
# is about 3 (b/sigma)^2 and (b/sigma)^2: 3 % and 1 % at n = 10^5, 8 % and 3 % at 10^4, 17 % and 7 % at 10^3, a third and 15 % at
# 100. Identical counts give exactly zero. What finite samples add when they are independent is in the null as well, which is
# measured between truths in the same bins.
@dataclass(frozen=True)
class Spread:
    """Where the values of one field lie: median, scale s, extremes, and the bandwidth b in u."""

    median: float
    scale: float
    lowest: float
    highest: float
    bandwidth: float


@dataclass(frozen=True)
class Bins:
    """Bins of equal width in u = asinh((x - centre)/scale) between low and high; scale 0 where the truth has a single value.

    Attributes
    ----------
    bandwidth : float
        Of the kernel, in bins; at least 2.
    """

    centre: float
    scale: float
    low: float
    high: float
    bandwidth: float

    def edges(self) -> ndarray:
        """Edges of the bins, in the unit of the values: (BINS + 1,)."""
        return self.centre + self.scale * np.sinh(np.linspace(self.low, self.high, BINS + 1))


def spread_of(values: Tensor) -> Spread:
    """Where values lie; quartiles and bandwidth from at most 2 SAMPLE of them, extremes from all."""
    flat = values.flatten().double()
    # An odd step does not fall on the same plane of a power-of-two grid again and again.
    some = flat[:: flat.numel() // SAMPLE | 1]
    low, median, high = torch.quantile(some, some.new_tensor([0.25, 0.5, 0.75])).tolist()
    scale = 2 * (high - low) / 1.349 or float(some.std(correction=0))
    width = float(torch.asinh((some - median) / (scale or 1.0)).std(correction=0))
    bandwidth = width * (0.75 * flat.numel()) ** -0.2
    return Spread(median, scale, float(flat.min()), float(flat.max()), bandwidth)


def fit(spreads: Sequence[Spread], floor: float = 0.0) -> Bins:
    """The bins for the truths of several simulations; without a scale where theirs is not above `floor`."""
    centre, scale, bandwidth = (float(np.mean([getattr(s, name) for s in spreads])) for name in ("median", "scale", "bandwidth"))
    if not scale > floor:
        return Bins(centre, 0.0, 0.0, 0.0, 0.0)
    ends = min(s.lowest for s in spreads), max(s.highest for s in spreads)
    low, high = (float(np.arcsinh((end - centre) / scale)) for end in ends)
    low, high = low - MARGIN * bandwidth, high + MARGIN * bandwidth
    return Bins(centre, scale, low, high, max(2.0, bandwidth * BINS / (high - low)))


def count(values: Tensor, bins: Bins) -> ndarray:
    """How many values lie below all bins, in each, and above: (BINS + 2,), int64; zeros where the bins have no scale."""
    if bins.scale == 0:
        return np.zeros(BINS + 2, dtype=np.int64)
    edges = torch.from_numpy(bins.edges()).to(values.device)
    places = torch.bucketize(values.flatten().double(), edges, right=True)
    return torch.bincount(places, minlength=BINS + 2).cpu().numpy()


def moments(values: Tensor) -> ndarray:
    """Mean and central moments of order two to four over all points: (4,), float64."""
    flat = values.flatten().double()
    mean = flat.mean()
    square = (flat - mean).square()
    return torch.stack([mean, square.mean(), (square * (flat - mean)).mean(), square.square().mean()]).cpu().numpy()


def shape(averaged: ndarray) -> ndarray:
    """Mean, variance, skewness and excess kurtosis from averages of moments: (..., 4) -> (..., 4)."""
    mean, variance, third, fourth = np.moveaxis(averaged, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.stack([mean, variance, third / variance**1.5, fourth / variance**2 - 3], -1)


def density(counts: ndarray, bandwidth: float) -> ndarray:
    """Probability in each bin, blurred by a Gaussian kernel: (..., BINS + 2) -> (..., BINS).

    Counts outside the bins belong to the total and to no bin; nan where nothing was counted.

    Parameters
    ----------
    counts : ndarray
        Of one simulation, or summed over several.
    bandwidth : float
        In bins.
    """
    total = counts.sum(-1, keepdims=True)
    if not total.all():
        return np.full((*counts.shape[:-1], BINS), np.nan)
    places = np.arange(BINS)
    kernel = np.exp(-0.5 * ((places[:, None] - places) / bandwidth) ** 2) / (bandwidth * np.sqrt(2 * np.pi))
    blurred: ndarray = (counts[..., 1:-1] / total) @ kernel
    return blurred


def kl_divergence(p: ndarray, q: ndarray) -> ndarray:
    """KL(p || q) = sum p ln(p/q) over the last axis [nats]; exactly zero where they are the same.

    Where q has underflowed it is taken for the smallest number there is: what p holds there costs up to 700 nats times its share.
    """
    own, other = np.where(p > 0, p, 1.0), np.maximum(q, np.finfo(float).tiny)
    return np.where(np.isnan(p) | np.isnan(q), np.nan, p * np.log(own / np.where(p > 0, other, 1.0))).sum(-1)


# What a simulation i changes in the null by being part of the pool q of the others' nulls, sum_j KL(p_j || q), is to first order
# -int sum_j (p_j/q) dq = 0 about q = mean_j p_j. So the nulls of the simulations may be resampled like independent numbers.
def null_of(p: ndarray) -> ndarray:
    """KL of each simulation's density from that of all others together: (n, bins) -> (n,) [nats]; nan for a single one."""
    if len(p) < 2:
        return np.full(len(p), np.nan)
    return np.array([kl_divergence(p[i], np.delete(p, i, axis=0).mean(0)) for i in range(len(p))])


def gaussian_kl(off: float) -> float:
    """KL divergence of a Gaussian from one whose variance is smaller by the share `off` [nats], about off^2/4."""
    return float((np.log1p(-off) + off / (1 - off)) / 2)


def compared(own: ndarray, other: ndarray) -> tuple[Interval, str]:
    """Geometric mean over simulations of KL(truth || one prediction) over KL(truth || another), and whether the one is better.

    Both are compared simulation by simulation, and as a ratio, so a truth that is hard to meet counts no more than another.
    "better" and "worse" are said where the whole interval over simulations is on one side of 1, else "no better": how it is found
    that a further feature does not improve a prediction (Lucie-Smith et al. 2019).

    Parameters
    ----------
    own, other : ndarray, (simulation,)
        KL divergences; below LEAST they are rounding, and count as LEAST.
    """
    logs = np.log(np.maximum(own, LEAST) / np.maximum(other, LEAST))
    value, low, high = (float(edge) for edge in np.exp(over_samples(logs, lambda rows: rows.mean(0))))
    return (ratio := Interval(value, low, high)), better_or_worse(ratio)


def better_or_worse(ratio: Interval) -> str:
    """What is said of an error over another, on which side of 1 its whole interval lies: "better", "worse", else "no better"."""
    return "better" if ratio.high < 1 else "worse" if ratio.low > 1 else "no better"


def quantiles(counts: ndarray, edges: ndarray, levels: Sequence[float]) -> ndarray:
    """Values below which shares of all lie, linear within bins; at the outermost edge where they lie outside: (len(levels),)."""
    below = np.cumsum(counts)[:-1] / counts.sum()
    return np.interp(levels, below, edges)
