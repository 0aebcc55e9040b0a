"""What goes into an estimate: two columns of samples, checked, and their marginals made Gaussian.

Mutual information does not change when either variable is mapped one to one: I(f(x); g(y)) = I(x; y). Ranks turned into normal
scores take scales (y x 1e-8) and heavy tails (lognormal) away before anything is fitted, and both estimators are at their best
there. Values that are equal are put in random order: that adds noise which knows nothing, and the information stays the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader as lazy

from probe.errors import InputError

if TYPE_CHECKING:
    from numpy import ndarray

np = lazy.load("numpy")

LEAST = 30  # samples; with fewer no neighbour is near
_ROUNDING = 16 * 2.0**-24  # spread over size of what a single-precision network gives for a constant


def scores(values: ndarray, seed: int = 0) -> ndarray:
    """Normal scores of the ranks of samples: Phi^-1((rank - 1/2) / n), equal values in random order.

    Parameters
    ----------
    values : ndarray, (n,)
    seed : int
        Of the order of equal values: another one for each of two variables.

    Returns
    -------
    ndarray, (n,)
        The same n numbers for every variable, in another order.
    """
    from scipy.special import ndtri

    count = len(values)
    order = np.lexsort((np.random.default_rng(seed).random(count), values))
    placed = np.empty(count)
    placed[order] = ndtri((np.arange(count) + 0.5) / count)
    return placed


def labels(values: ndarray) -> ndarray:
    """Classes as whole numbers from 0: (n,)."""
    numbered: ndarray = np.unique(values, return_inverse=True)[1]
    return numbered


def tells_nothing(values: ndarray, categorical: bool = False) -> bool:
    """Whether there is nothing to know in a column.

    All numbers are equal, to the rounding of single precision; or there are no two classes that occur twice, as where they name the
    samples.
    """
    if categorical:
        return int((np.unique(values, return_counts=True)[1] > 1).sum()) < 2
    return bool(np.ptp(values) <= _ROUNDING * np.abs(values).max())


def checked(values: ndarray, name: str, categorical: bool = False) -> ndarray:
    """A column of samples as numbers, or as classes.

    Raises
    ------
    InputError
        If it is no column, holds NaN or infinity, or has too few samples.
    """
    values = np.asarray(values)
    if values.ndim != 1:
        shape = f"{name} has the shape {values.shape}"
        raise InputError(f"{shape}; mutual information needs one number a sample: leave it out, or give numbers made of it")
    if len(values) < LEAST:
        raise InputError(f"{name} has {len(values)} samples; mutual information needs {LEAST}, and hundreds to be of use")
    if categorical:
        return labels(values)
    values = values.astype(float)
    if not np.isfinite(values).all():
        raise InputError(f"{name} holds NaN or infinity in {int((~np.isfinite(values)).sum())} samples; leave these samples out")
    return values
