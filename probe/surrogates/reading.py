"""What of a model's answers is kept when surrogates stand in the place of its inputs: read from what was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader as lazy

from probe import intervals

if TYPE_CHECKING:
    from numpy import ndarray
    from xarray import Dataset

np = lazy.load("numpy")

QUANTILES = 16
FEWEST = 8  # pairs that a regression is fitted on
# The check, the surrogate on an axis, and what of the input is left.
KINDS = {
    "power_spectrum": ("phases random", "the power spectrum alone is left"),
    "one_point": ("shuffled", "the one-point distribution alone is left"),
    "power_and_one_point": ("rearranged", "power spectrum and one-point distribution alone are left"),
    "gaussianised": ("Gaussianised", "the order of the values, their mean and variance alone are left"),
}
RIVALS = {"power_spectrum": "ln P(k) in shells", "one_point": f"{QUANTILES} quantiles of the field"}


STORED = 1e-12  # of a truth's size: what it varies by less is how it was stored


def with_truth(model: Dataset) -> ndarray:
    """Targets whose truth is known and differs between samples: (target,) of bool."""
    truth = model.truth.values
    found: ndarray = np.isfinite(truth).all(0) & (truth.std(0) > STORED * np.sqrt((truth**2).mean(0)))
    return found


def no_rival(model: Dataset) -> str:
    """Why answers are not held against regressions; empty where they are."""
    if not model.attrs["pairs"]:
        return "it needs pairs of input and truth: give --data, or a [data] table in the description"
    if not np.isfinite(model.truth.values).all(0).any():
        return "of answers that are fields nothing is judged here: the probe transfer holds them against the best linear filter"
    if not with_truth(model).any():
        return "the truths are the same in all pairs, and there is nothing to predict"
    count = model.sizes["sample"]
    return "" if count >= FEWEST else f"a regression needs {FEWEST} pairs to learn from, and there are {count}"


# Of answers a to the samples and b_d to draws of their surrogates, <cov(a, b_d)>^2 / (var(a) <var(b_d)>), <> over draws: what a
# line in the answer to one surrogate explains of the answers, whatever the number of draws.
def share(rows: ndarray, floor: ndarray) -> ndarray:
    """Squared correlation over samples.

    Parameters
    ----------
    rows : ndarray, (sample, target, 1 + draw)
        The first the answers as they are (or the truths), the others those to surrogates.
    floor : ndarray, (2, target)
        Variances of the first and of the others below which they are the same for all samples. Where the first are, there is no
        share; where the others are, nothing is kept.

    Returns
    -------
    ndarray, (target,)
    """
    off = rows - rows.mean(0)
    square = (off**2).mean(0)
    own, other = square[:, 0], square[:, 1:].mean(-1)
    product = (off[..., :1] * off[..., 1:]).mean((0, -1))
    held = (own > floor[0]) & (other > floor[1])
    return np.where(own > floor[0], product**2 / np.where(held, own * other, np.inf), np.nan)


def rows_of(data: Dataset, kind: str, beside: str = "answer") -> tuple[ndarray, ndarray]:
    """Rows for `share` and its floor, of answers (or truths) beside the answers to a kind of surrogate."""
    return _beside(data, beside, data.made.sel(kind=kind).transpose("sample", "target", "draw").values)


def _beside(data: Dataset, first: str, others: ndarray) -> tuple[ndarray, ndarray]:
    rows, answers = (np.concatenate([data[name].values[..., None], others], -1) for name in (first, "answer"))
    floor = float(data.attrs["rounding"]) ** 2 * (answers**2).mean((0, -1))
    # A truth has a size of its own: it is not lost beside answers that are a million times too large.
    own = STORED**2 * (rows[..., 0] ** 2).mean(0) if first == "truth" else floor
    return rows, np.stack([own, floor])


def shares(data: Dataset, kind: str) -> tuple[ndarray, ndarray, ndarray]:
    """Share of each target that is kept, with the interval over samples: (target,) each."""
    rows, floor = rows_of(data, kind)
    value, low, high = intervals.over_samples(rows, lambda some: share(some, floor))
    return value, np.clip(low, 0, 1), np.clip(high, 0, 1)


def correlation(rows: ndarray, floor: ndarray) -> ndarray:
    """The root of the share, with its sign: (sample, target, 1 + draw) -> (target,)."""
    off = rows - rows.mean(0)
    return np.sign((off[..., :1] * off[..., 1:]).mean((0, -1))) * np.sqrt(share(rows, floor))


def correlation_as_is(model: Dataset) -> ndarray:
    """Correlation of the truths with the answers to the inputs as they are: (target,)."""
    return correlation(*_beside(model, "truth", model.answer.values[..., None]))
