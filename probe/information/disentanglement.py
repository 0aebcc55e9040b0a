"""Which pairs carry information, and how far each latent variable stands for one factor alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader as lazy

if TYPE_CHECKING:
    from numpy import ndarray

np = lazy.load("numpy")

BINS = 20


def found(p_values: ndarray, rate: float) -> ndarray:
    """Which of many tests are discoveries, at most a share `rate` of them false (Benjamini & Hochberg 1995)."""
    from scipy.stats import false_discovery_control

    known = np.isfinite(p_values)
    told = np.zeros(p_values.shape, dtype=bool)
    if known.any():
        told[known] = false_discovery_control(p_values[known]) <= rate
    return told


def entropy(values: ndarray, categorical: bool, bins: int = BINS) -> float:
    """Of a factor [nat]: of its classes; of numbers, whose own entropy depends on their unit, that of the place in `bins` equally
    filled bins, ln(bins).

    Locatello et al. 2019, arXiv:1811.12359, cut into 20 bins as well.
    """
    if not categorical:
        return float(np.log(bins))
    share = np.bincount(values) / len(values)
    share = share[share > 0]
    return float(-(share * np.log(share)).sum())


def information_gap(information: ndarray, entropies: ndarray) -> float:
    """Mutual information gap: how much more the first latent variable knows of a factor than the second, mean over factors.

    Chen et al. 2018, arXiv:1802.04942, eq. 6: (I_first - I_second) / H(factor); 1 where one variable knows all of it and the others
    nothing. Information beyond the entropy counts as the entropy.

    Parameters
    ----------
    information : ndarray, (latent, factor)
    entropies : ndarray, (factor,)
        As `entropy` gives them, in the same unit.
    """
    held = np.minimum(np.maximum(information, 0), entropies)
    ordered = np.sort(np.concatenate([held, np.zeros_like(held[:1])]), axis=0)
    return float(((ordered[-1] - ordered[-2]) / entropies).mean())


def modularity(information: ndarray) -> float:
    """How far each latent variable knows of one factor alone, mean over the variables that know anything.

    Ridgeway & Mozer 2018, arXiv:1802.05312, sec. 3: 1 - sum_f (I_f - t_f)^2 / (I_max^2 (F - 1)), t the same with all but the
    largest information zero; 1 where each knows one factor alone, 0 where all factors alike; NaN with one factor.

    Parameters
    ----------
    information : ndarray, (latent, factor)
    """
    largest = information.max(1)
    if information.shape[1] < 2 or not (largest > 0).any():
        return float("nan")
    some = information[largest > 0] / largest[largest > 0, None]
    return float(1 - (((some**2).sum(1) - 1) / (information.shape[1] - 1)).mean())
