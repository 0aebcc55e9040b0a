"""Which latent variables carry anything, and how all samples together lie against the prior.

The encoder gives z_i ~ N(mu_i, sigma_i^2) for sample i. Per latent variable:

- KL(N(mu, sigma^2) | N(0, 1)) = (mu^2 + sigma^2 - ln sigma^2 - 1)/2 nats (Kingma & Welling 2014, appendix B); its mean over samples
  bounds what a draw says of the sample.
- Var(mu)/<sigma^2> is signal over noise. Burda et al. (2016, section 5) call a variable active where Var(mu) > 0.01; that is
  meant where sigma is about 1, and a dead variable's is. Over <sigma^2> the rule no longer depends on how z is scaled: at 0.01 a
  draw of a Gaussian variable says ln(1.01)/2 = 0.005 nats. An encoder without sigma has no noise: there variances are compared with
  the largest.
- All samples together, q(z) = mean_i N(mu_i, sigma_i^2), have the mean <mu> and the covariance Cov(mu) + diag <sigma^2>. The
  Gaussian of these moments is KL = (|m|^2 + tr C - ln det C - d)/2 from N(0, 1)^d: what Hoffman & Johnson (2016) call the marginal
  KL, for a Gaussian q.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy import ndarray

from probe import intervals

if TYPE_CHECKING:
    from xarray import Dataset

TINY = np.finfo(float).tiny


def stored(data: Dataset) -> tuple[ndarray, ndarray | None]:
    """Means and standard deviations, (sample, latent), out of what was measured; None for no standard deviations."""
    return data["mean"].values, data["std"].values if "std" in data else None


def divergence(mean: ndarray, std: ndarray) -> ndarray:
    """KL from N(0, 1) in nats: the shape of both; infinite for a std of 0."""
    with np.errstate(divide="ignore"):
        found: ndarray = (mean**2 + std**2 - 2 * np.log(std) - 1) / 2
    return found


def signal(mean: ndarray, std: ndarray | None) -> ndarray:
    """Var(mu)/<sigma^2> of each latent variable, or Var(mu) over the largest without sigma: (latent,).

    More than 1e12 is told as 1e12: a spread of zero has no end.

    Parameters
    ----------
    mean, std : ndarray, (sample, latent)
    """
    variance = mean.var(0)
    noise = np.full_like(variance, variance.max(initial=0.0)) if std is None else (std**2).mean(0)
    return np.divide(variance, np.maximum(noise, 1e-12 * variance), out=np.zeros_like(variance), where=variance > 0)


def signal_over_samples(mean: ndarray, std: ndarray | None) -> tuple[ndarray, ndarray, ndarray]:
    """`signal` with both ends of its interval over the samples: (latent,) each.

    Two samples tell one difference, and nothing of how others would differ: with fewer than three the interval is everything.
    """
    if len(mean) < 3:
        return signal(mean, std), np.zeros(mean.shape[1]), np.full(mean.shape[1], np.inf)
    both = np.stack([mean, np.full_like(mean, np.nan) if std is None else std], 1)
    value, low, high = intervals.over_samples(both, lambda rows: signal(rows[:, 0], None if std is None else rows[:, 1]))
    return value, np.maximum(low, 0.0), high


def together(mean: ndarray, std: ndarray | None) -> tuple[ndarray, ndarray]:
    """Mean and covariance of draws of all samples: (latent,), (latent, latent)."""
    centred = mean - mean.mean(0)
    noise = np.zeros(mean.shape[1]) if std is None else (std**2).mean(0)
    return mean.mean(0), centred.T @ centred / len(mean) + np.diag(noise)


def from_prior(mean: ndarray, std: ndarray | None) -> float:
    """KL in nats of the Gaussian with the moments of all draws from N(0, 1) in as many dimensions."""
    centre, covariance = together(mean, std)
    _, log_determinant = np.linalg.slogdet(covariance)
    return float((centre @ centre + np.trace(covariance) - log_determinant - len(centre)) / 2)


def correlation(mean: ndarray, std: ndarray | None) -> ndarray:
    """Correlation of draws between latent variables: (latent, latent); NaN where one does not move."""
    _, covariance = together(mean, std)
    size = np.sqrt(np.diag(covariance))
    with np.errstate(invalid="ignore", divide="ignore"):
        found: ndarray = covariance / np.outer(size, size)
    return found


def density(mean: ndarray, std: ndarray, points: ndarray) -> ndarray:
    """Density of all draws of one latent variable at points: mean_i N(points; mu_i, sigma_i^2).

    Parameters
    ----------
    mean, std : ndarray, (sample,)
    points : ndarray, (point,)
    """
    width = np.maximum(std, 1e-3 * max(float(np.ptp(points)), TINY))
    scaled = (points[:, None] - mean) / width
    found: ndarray = (np.exp(-0.5 * scaled**2) / (width * np.sqrt(2 * np.pi))).mean(1)
    return found
