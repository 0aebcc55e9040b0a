"""Mutual information from nearest neighbours, its error and its null, by scikit-learn.

Between numbers after Kraskov, Stoegbauer & Grassberger 2004, PRE 69, 066138, eq. 8; between a number and a class after Ross 2014,
PLoS ONE 9, e87357. scikit-learn gives 0 where an estimate is negative. Both are asked of normal scores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader as lazy

from probe.information.columns import LEAST, scores
from probe.information.estimate import Estimate

if TYPE_CHECKING:
    from numpy import ndarray

np = lazy.load("numpy")

NEIGHBOURS = 3
_HALVINGS = 20


def estimated(x: ndarray, y: ndarray, categorical: bool = False, neighbours: int = NEIGHBOURS) -> Estimate:
    """MI of a number with a number or a class.

    Parameters
    ----------
    x : ndarray, (n,)
        As `columns.checked` gives it.
    y : ndarray, (n,)
        Numbers, or whole numbers from 0 with `categorical`.
    neighbours : int
        How many neighbours away; more: less noise and more bias.

    Returns
    -------
    Estimate
        [nat], with the standard error of `_error`.
    """
    x, y = scores(x), y if categorical else scores(y, 1)
    value = float(_of(x[:, None], y, categorical, neighbours)[0])
    return Estimate(value, _error(x, y, categorical, neighbours))


def _of(x: ndarray, y: ndarray, categorical: bool, neighbours: int) -> ndarray:
    """The information of each column: (n, column), (n,) -> (column,) [nat]."""
    from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

    # A small noise that scikit-learn adds to numbers has its seed here.
    if categorical:
        if np.bincount(y).max() < 2:  # a half in which no class occurs twice
            return np.zeros(x.shape[1])
        found: ndarray = mutual_info_classif(x, y, n_neighbors=neighbours, random_state=0)
    else:
        found = mutual_info_regression(x, y, n_neighbors=neighbours, random_state=0)
    return found


# The variance of the estimate falls as 1/n (Holmes & Nemenman 2019, PRE 100, 022404, sec. III), so that of the whole is half the
# variance of its halves, which is averaged over random halvings (a delete-half jackknife). Smaller parts scatter less than that
# law says where the relation is bent: of 31 samples each they know too little of it. Where information is next to nothing the
# halves' estimates are cut at zero and scatter too little: there the error is that of no information at all, which `floor` gives.
# benchmarks/README.md has the coverage.
def _error(x: ndarray, y: ndarray, categorical: bool, neighbours: int) -> float:
    if len(x) < 2 * LEAST:
        return float("inf")
    draw, found = np.random.default_rng(0), []
    for _ in range(_HALVINGS):
        halves = np.array_split(draw.permutation(len(x)), 2)
        found.append(np.var([_of(x[some, None], y[some], categorical, neighbours)[0] for some in halves], ddof=1))
    return float(np.sqrt(np.mean(found) / 2))


def null(count: int, classes: ndarray | None = None, permutations: int = 1000, neighbours: int = NEIGHBOURS) -> ndarray:
    """Estimates for independent variables, by permutation of the samples: (permutations,) in ascending order [nat].

    Normal scores of n samples are the same n numbers for every variable, so this null is the same for all pairs of numbers, and for
    all numbers with the same sizes of classes.

    Parameters
    ----------
    count : int
        Samples.
    classes : ndarray, (n,), optional
        The classes, if one of the two is no number.
    """
    draw = np.random.default_rng(0)
    still = scores(np.arange(count, dtype=float))
    other = still if classes is None else classes
    found = []
    for start in range(0, permutations, 100):
        shuffled = np.stack([draw.permutation(still) for _ in range(min(100, permutations - start))], 1)
        found.append(_of(shuffled, other, classes is not None, neighbours))
    return np.sort(np.concatenate(found))


def seconds(count: int, pairs: int, permutations: int) -> float:
    """About how long the estimates of so many pairs, their errors and their null take on one core, for a number of samples."""
    once = 7e-4 + 3.5e-6 * count  # measured from 120 samples to 4332
    return once * (permutations + 25 * pairs)


def floor(null: ndarray) -> float:
    """The standard error where there is no information: what a sixth of the null exceeds, as of a Gaussian [nat]."""
    return float(np.quantile(null, 0.8413))


def p_value(value: float, null: ndarray) -> float:
    """Share of the null at or above an estimate, itself counted (Phipson & Smyth 2010): never zero."""
    above = len(null) - int(np.searchsorted(null, value, side="left"))
    return (1 + above) / (1 + len(null))
