"""Intervals of what was measured, and the rule that makes a verdict of one.

Averages over simulations: a percentile bootstrap covers 80 % instead of 95 % at four simulations, so below twenty the
delete-one jackknife with Student's t is used (Efron & Tibshirani 1993, ch. 11). One simulation alone has no spread: its
interval is unbounded, and every verdict that rests on it is inconclusive.

What is kept of the samples beside the interval are the jackknife's pseudo-values, one an input: two runs on the same inputs are
compared input by input through them (`probe.baseline`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import lazy_loader as lazy

if TYPE_CHECKING:
    from numpy import ndarray

np = lazy.load("numpy")

Verdict = Literal["error", "fail", "inconclusive", "pass", "info", "not_applicable"]
PRECEDENCE: tuple[Verdict, ...] = ("error", "fail", "inconclusive", "pass", "info", "not_applicable")
CONFIDENCE = 0.997
FEW, MANY = 20, 500


@dataclass(frozen=True)
class Interval:
    """A measured value with the interval that holds it; low = high = value where the measurement is deterministic.

    Attributes
    ----------
    samples : tuple of float
        One pseudo-value an input that it was sampled over (see `of_samples`); empty where nothing was sampled.
    """

    value: float
    low: float
    high: float
    samples: tuple[float, ...] = field(default=(), repr=False, compare=False)

    @classmethod
    def exact(cls, value: float) -> Interval:
        """A deterministic value."""
        return cls(float(value), float(value), float(value))


def verdict_of(interval: Interval, bounds: tuple[float | None, float | None]) -> Verdict:
    """Whole interval inside the bounds: pass (if the value is finite); whole outside: fail; else: inconclusive."""
    low = -math.inf if bounds[0] is None else bounds[0]
    high = math.inf if bounds[1] is None else bounds[1]
    if math.isnan(interval.value) or math.isnan(interval.low) or math.isnan(interval.high):
        return "inconclusive"
    if low <= interval.low and interval.high <= high and math.isfinite(interval.value):
        return "pass"
    if interval.high < low or interval.low > high:
        return "fail"
    return "inconclusive"


def first_present(verdicts: list[Verdict]) -> Verdict:
    """A probe's verdict: the first of error, fail, inconclusive, pass, info, not_applicable that is present."""
    return next((v for v in PRECEDENCE if v in verdicts), "not_applicable")


def over_samples(
    samples: ndarray, statistic: Callable[[ndarray], ndarray], confidence: float = CONFIDENCE, seed: int = 0
) -> tuple[ndarray, ndarray, ndarray]:
    """Value, low and high of a statistic of independent samples (simulations).

    Parameters
    ----------
    samples : ndarray, (n, ...)
        One row a simulation.
    statistic : callable
        Maps an array of rows (any number of them) to an array.

    Returns
    -------
    value, low, high : ndarray
        Jackknife with Student's t below twenty rows, percentile bootstrap of 2000 draws from there on; unbounded for one row.
    """
    value = np.asarray(statistic(samples), dtype=float)
    count = len(samples)
    if count == 1:
        return value, np.full_like(value, -np.inf), np.full_like(value, np.inf)
    if count < FEW:
        half = _jackknife_half_width(samples, statistic, confidence)
        return value, value - half, value + half
    draw = np.random.default_rng(seed)
    drawn = np.stack([statistic(samples[draw.integers(count, size=count)]) for _ in range(2000)])
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return value, low, high


def _jackknife_half_width(samples: ndarray, statistic: Callable[[ndarray], ndarray], confidence: float) -> ndarray:
    from scipy.stats import t

    count = len(samples)
    left_out = _left_out(samples, statistic)
    error = np.sqrt((count - 1) / count * ((left_out - left_out.mean(0)) ** 2).sum(0))
    return t.ppf((1 + confidence) / 2, count - 1) * error


def _left_out(samples: ndarray, statistic: Callable[[ndarray], ndarray]) -> ndarray:
    """The statistic without each of the samples: (n, ...)."""
    return np.stack([np.asarray(statistic(np.delete(samples, i, axis=0))) for i in range(len(samples))])


def of_samples(
    samples: ndarray, statistic: Callable[[ndarray], ndarray], confidence: float = CONFIDENCE, seed: int = 0
) -> Interval:
    """A number made of independent samples, with its interval and its pseudo-values.

    The pseudo-value of input i is n s - (n - 1) s_i, s the statistic of all n and s_i of all but i: for a mean it is the sample
    itself, for a smooth statistic the first-order share of each input (Tukey 1958; Efron & Tibshirani 1993, ch. 11). Beyond MANY
    inputs, whose leaving out one by one would take long, none are kept.

    Parameters
    ----------
    samples : ndarray, (n, ...)
        One row an input.
    statistic : callable
        Maps an array of rows (any number of them) to a number.
    """
    value, low, high = (float(edge) for edge in over_samples(samples, statistic, confidence, seed))
    count = len(samples)
    if count == 1:
        return Interval(value, low, high, (value,))
    if count > MANY:
        return Interval(value, low, high)
    kept = count * value - (count - 1) * _left_out(samples, statistic)
    return Interval(value, low, high, tuple(float(x) for x in kept))


def of_mean(samples: ndarray, confidence: float = CONFIDENCE) -> Interval:
    """The mean of independent numbers with its interval."""
    return of_samples(np.asarray(samples, dtype=float), lambda rows: rows.mean(0), confidence)
