"""Which checks changed between two runs: a test a check, corrected for their number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from probe.baseline.kept import Kept
from probe.intervals import CONFIDENCE

LEVEL = 1 - CONFIDENCE
TOLERANCE = 0.01
# Another machine rounds otherwise. What an exactly symmetric float32 network breaks is 1e-7 on one machine and 3e-7 on the next,
# and neither is worse under a bound of 0.02; a value well off zero moves by less than a hundred units in the last place.
OF_THE_BOUND, OF_THE_VALUE = 1e-4, 1e-5


@dataclass(frozen=True)
class Change:
    """One check of two runs.

    Attributes
    ----------
    before, after : float or None
        Its values, in `unit`; None where the later run has none.
    difference, low, high : float or None
        after - before with its interval.
    p_worse, p_better : float or None
        Corrected by Holm's method for all checks that were compared; None where nothing can be told.
    found : {"worse", "better", "same", "untold", "lost"}
    how : str
        How it was compared, or why it was not.
    """

    check: str
    unit: str
    before: float
    after: float | None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p_worse: float | None = None
    p_better: float | None = None
    found: str = "untold"
    how: str = ""


def changes(
    before: Mapping[str, Kept], after: Mapping[str, Kept], asked: Sequence[str], tolerance: float = TOLERANCE, level: float = LEVEL
) -> list[Change]:
    """Every judged check that both runs hold, compared; and those that the later run asked for and holds no more.

    Parameters
    ----------
    asked : sequence of str
        The probes that the later run asked: what it did not ask is not lost.
    tolerance : float
        Relative worsening of a deterministic value that is let pass.
    level : float
        How often, where nothing has changed, any check may be called worse (and any better).
    """
    found = [_change(name, before[name], now, tolerance) for name, now in after.items() if name in before and now.judged]
    found += [
        Change(name, was.unit, was.value, None if name not in after else after[name].value, found="lost", how="no longer judged")
        for name, was in before.items()
        if was.judged and name.partition("/")[0] in asked and not (name in after and after[name].judged)
    ]
    told = [change for change in found if change.p_worse is not None]
    worse, better = (holm([getattr(change, key) for change in told]) for key in ("p_worse", "p_better"))
    corrected = {
        change.check: replace(change, p_worse=w, p_better=b, found="worse" if w <= level else "better" if b <= level else "same")
        for change, w, b in zip(told, worse, better, strict=True)
    }
    return [corrected.get(change.check, change) for change in found]


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number (Holm 1979): the i-th smallest of m times m - i + 1, and never below the one before it.

    Rejecting those at or below a level errs anywhere at all in at most that share of cases, whatever their dependence.
    """
    result, largest, count = [0.0] * len(p_values), 0.0, len(p_values)
    for rank, index in enumerate(sorted(range(count), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (count - rank) * p_values[index]))
        result[index] = largest
    return result


@dataclass(frozen=True)
class _Estimate:
    """A difference of two values with its standard error and degrees of freedom."""

    mean: float
    error: float
    freedom: float
    how: str

    def tail(self, least: float) -> float:
        """How often a difference comes out this large where the true one is `least`."""
        from scipy.special import ndtr, stdtr

        beyond = self.mean - least
        if self.error <= 0:
            return float(beyond <= 0)
        return float(ndtr(-beyond / self.error) if math.isinf(self.freedom) else stdtr(self.freedom, -beyond / self.error))

    @property
    def half_width(self) -> float:
        """Of its interval."""
        from scipy.special import ndtri, stdtrit

        edge = (1 + CONFIDENCE) / 2
        return self.error * float(ndtri(edge) if math.isinf(self.freedom) else stdtrit(self.freedom, edge))


def _change(name: str, before: Kept, after: Kept, tolerance: float) -> Change:
    plain = Change(name, after.unit, before.value, after.value)
    if reason := _incomparable(before, after):
        return replace(plain, how=reason)
    raw = _estimate(before, after)
    half = raw.half_width
    badness = _estimate(_as_badness(before, after.bounds), _as_badness(after, after.bounds))
    slack = _slack(before, after, tolerance)
    # The estimate's sign turned: better is worse the other way round.
    improved = replace(badness, mean=-badness.mean)
    return replace(
        plain,
        difference=raw.mean,
        low=raw.mean - half,
        high=raw.mean + half,
        p_worse=badness.tail(slack),
        p_better=improved.tail(slack),
        how=raw.how,
    )


def _incomparable(before: Kept, after: Kept) -> str:
    """Why nothing can be told, or an empty string."""
    if not before.question or before.question != after.question:
        return "asked otherwise: another version, setting, effort, grid or stride"
    if after.bounds == (None, None):
        return "no bound says which way is worse"
    if 1 in (len(before.samples), len(after.samples)):
        return "one input alone says nothing about its scatter"
    if before.deterministic and after.deterministic and before.inputs != after.inputs:
        return "asked of other inputs, and nothing was sampled"
    if not all(math.isfinite(edge) for one in (before, after) for edge in (one.low, one.high)):
        return "its interval is unbounded"
    return ""


def _estimate(before: Kept, after: Kept) -> _Estimate:
    """after - before."""
    count = len(after.samples)
    if before.deterministic and after.deterministic:
        return _Estimate(after.value - before.value, 0.0, math.inf, "nothing sampled")
    if count and count == len(before.samples) and before.inputs == after.inputs:
        mean, square = _mean_and_square([b - a for a, b in zip(before.samples, after.samples, strict=True)])
        return _Estimate(mean, math.sqrt(square), count - 1, f"{count} inputs, paired")
    if before.samples and after.samples:
        return _welch(before, after)
    errors = [(one.high - one.low) / 2 for one in (before, after)]
    width = _Estimate(0.0, 1.0, math.inf, "").half_width
    return _Estimate(after.value - before.value, math.hypot(*errors) / width, math.inf, "by their intervals alone")


def _welch(before: Kept, after: Kept) -> _Estimate:
    """Welch (1947): two means of other inputs, whose scatters need not agree."""
    (first, own), (second, other) = (_mean_and_square(one.samples) for one in (before, after))
    counts = len(before.samples), len(after.samples)
    spread = own**2 / (counts[0] - 1) + other**2 / (counts[1] - 1)
    freedom = (own + other) ** 2 / spread if spread > 0 else math.inf
    return _Estimate(second - first, math.sqrt(own + other), freedom, f"{counts[0]} and {counts[1]} other inputs, unpaired")


def _mean_and_square(values: Sequence[float]) -> tuple[float, float]:
    """The mean and the square of its standard error."""
    count = len(values)
    mean = math.fsum(values) / count
    return mean, math.fsum((x - mean) ** 2 for x in values) / (count - 1) / count


def _as_badness(one: Kept, bounds: tuple[float | None, float | None]) -> Kept:
    """The same where larger is worse: as it is, turned round, or as the distance from the middle of two bounds."""
    low, high = bounds
    middle = 0.0 if low is None or high is None else (low + high) / 2
    sign = -1.0 if high is None or (low is not None and one.value < middle) else 1.0
    edges = sorted(sign * (edge - middle) for edge in (one.low, one.high))
    return replace(
        one, value=sign * (one.value - middle), low=edges[0], high=edges[1], samples=tuple(sign * (x - middle) for x in one.samples)
    )


def _slack(before: Kept, after: Kept, tolerance: float) -> float:
    """How much worse counts for nothing: another machine's rounding, and without samples `tolerance` of the value.

    A value far below its bound may also move by a tenth of that tolerance of the bound.
    """
    low, high = after.bounds
    reach = (high - low) / 2 if low is not None and high is not None else abs(high if low is None else low)  # type: ignore[arg-type]
    size, let = abs(_as_badness(before, after.bounds).value), before.deterministic and after.deterministic
    rounding = max(OF_THE_BOUND * reach, OF_THE_VALUE * size)
    return max(rounding, tolerance * size, tolerance * reach / 10) if let else rounding
