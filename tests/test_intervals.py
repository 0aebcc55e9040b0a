"""Intervals with the coverage they claim, and the rule that makes verdicts of them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import norm, t

from probe.intervals import CONFIDENCE, FEW, Interval, first_present, of_mean, over_samples, verdict_of

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("low", "high", "bounds", "verdict"),
    [
        (0.2, 0.8, (0.0, 1.0), "pass"),
        (0.0, 1.0, (0.0, 1.0), "pass"),  # bounds belong to the inside
        (0.2, 1.2, (0.0, 1.0), "inconclusive"),
        (-0.2, 0.8, (0.0, 1.0), "inconclusive"),
        (-0.2, 1.2, (0.0, 1.0), "inconclusive"),
        (1.2, 1.8, (0.0, 1.0), "fail"),
        (-1.8, -1.2, (0.0, 1.0), "fail"),
        (1.0, 1.8, (0.0, 1.0), "inconclusive"),  # it touches the inside
        (-1.0, 0.0, (0.0, 1.0), "inconclusive"),
        (0.2, 0.8, (None, 1.0), "pass"),
        (-1e9, 0.8, (None, 1.0), "pass"),
        (0.8, 1.2, (None, 1.0), "inconclusive"),
        (1.2, 1.8, (None, 1.0), "fail"),
        (1.2, 1e9, (1.0, None), "pass"),
        (0.8, 1.2, (1.0, None), "inconclusive"),
        (0.2, 0.8, (1.0, None), "fail"),
        (-INF, INF, (0.0, 1.0), "inconclusive"),
        (-INF, INF, (None, 1.0), "inconclusive"),
        (-INF, INF, (0.0, None), "inconclusive"),
        (-INF, 0.5, (None, 1.0), "pass"),
        (-INF, -0.5, (0.0, 1.0), "fail"),
        (1.5, INF, (0.0, 1.0), "fail"),
    ],
)
def test_inside_passes_outside_fails_and_anything_else_is_inconclusive(
    low: float, high: float, bounds: tuple[float | None, float | None], verdict: str
) -> None:
    value = (
        0.0 if math.isinf(low) and math.isinf(high) else low if math.isinf(high) else high if math.isinf(low) else (low + high) / 2
    )
    assert verdict_of(Interval(value, low, high), bounds) == verdict


@pytest.mark.parametrize(
    ("value", "verdict"), [(0.5, "pass"), (1.0, "pass"), (0.0, "pass"), (1.0 + 1e-12, "fail"), (-1e-300, "fail"), (INF, "fail")]
)
def test_a_deterministic_value_passes_or_fails(value: float, verdict: str) -> None:
    assert verdict_of(Interval.exact(value), (0.0, 1.0)) == verdict


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (None, 1.0), (0.0, None), (None, None)])
@pytest.mark.parametrize(
    "interval",
    [Interval(NAN, 0.4, 0.6), Interval(0.5, NAN, 0.6), Interval(0.5, 0.4, NAN), Interval(5.0, NAN, 6.0), Interval.exact(NAN)],
)
def test_what_is_not_a_number_is_inconclusive(interval: Interval, bounds: tuple[float | None, float | None]) -> None:
    assert verdict_of(interval, bounds) == "inconclusive"


def test_the_first_present_verdict_counts() -> None:
    order = ["error", "fail", "inconclusive", "pass", "info", "not_applicable"]
    for length in range(1, 4):
        for verdicts in itertools.permutations(order, length):
            assert first_present(list(verdicts)) == min(verdicts, key=order.index)  # type: ignore[arg-type]
    assert first_present(["pass", "pass", "fail", "pass"]) == "fail"
    assert first_present([]) == "not_applicable"


@pytest.mark.parametrize("count", [2, 3, 4, 19])
@pytest.mark.parametrize("confidence", [0.68, 0.95, CONFIDENCE])
def test_the_jackknife_of_a_mean_is_students_interval(count: int, confidence: float) -> None:
    samples = np.random.default_rng(count).normal(3, 2, (count, 2, 3))
    value, low, high = over_samples(samples, lambda rows: rows.mean(0), confidence)
    half = t.ppf((1 + confidence) / 2, count - 1) * samples.std(0, ddof=1) / math.sqrt(count)
    np.testing.assert_allclose(value, samples.mean(0), rtol=1e-14)
    # Means left out differ by 1/(n - 1) of the samples, so their roundings count up to n times.
    np.testing.assert_allclose(high - value, half, rtol=1e-12)
    np.testing.assert_allclose(value - low, half, rtol=1e-12)


def test_the_jackknife_of_a_ratio_of_means_is_that_written_out() -> None:
    samples = np.random.default_rng(1).uniform(1, 2, (5, 2))
    value, low, high = over_samples(samples, lambda rows: rows[:, 0].mean() / rows[:, 1].mean(), 0.95)
    left_out = [np.delete(samples[:, 0], i).mean() / np.delete(samples[:, 1], i).mean() for i in range(5)]
    error = math.sqrt(4 / 5 * sum((x - np.mean(left_out)) ** 2 for x in left_out))
    assert value == pytest.approx(samples[:, 0].sum() / samples[:, 1].sum())
    assert high - low == pytest.approx(2 * t.ppf(0.975, 4) * error)


@pytest.mark.parametrize("count", [3, 4, 8])
def test_below_twenty_samples_the_interval_covers_what_it_claims(count: int) -> None:
    # Columns are independent experiments. For a normal mean Student's interval is exact: the covered share is binomial.
    trials, confidence = 4000, 0.95
    _, low, high = over_samples(np.random.default_rng(0).normal(0, 1, (count, trials)), lambda rows: rows.mean(0), confidence)
    covered = np.mean((low <= 0) & (high >= 0))
    assert abs(covered - confidence) < 4 * math.sqrt(confidence * (1 - confidence) / trials)


@pytest.mark.parametrize("count", [FEW, 40])
def test_from_twenty_samples_on_the_bootstrap_covers_as_it_should(count: int) -> None:
    trials, confidence = 1000, 0.95
    samples = np.random.default_rng(0).normal(0, 1, (count, trials))
    _, low, high = over_samples(samples, lambda rows: rows.mean(0), confidence)
    covered = np.mean((low <= 0) & (high >= 0))
    # Its width is the normal quantile times s sqrt((n - 1)/n)/sqrt(n): a little less than 95 % (0.93 at twenty).
    expected = 2 * t.cdf(norm.ppf((1 + confidence) / 2) * math.sqrt((count - 1) / count), count - 1) - 1
    assert expected > 0.92
    # The edges are quantiles of 2000 draws, right to 3 % of the spread: half a per cent of coverage.
    assert abs(covered - expected) < 4 * math.sqrt(expected * (1 - expected) / trials) + 0.005


def test_twenty_samples_are_bootstrapped_and_nineteen_are_not() -> None:
    skewed = np.random.default_rng(0).exponential(1, FEW)
    few, many = of_mean(skewed[:-1]), of_mean(skewed)
    assert few.high - few.value == pytest.approx(few.value - few.low, rel=1e-12)
    assert many.high - many.value > 1.05 * (many.value - many.low), "percentiles keep the skewness"


def test_the_bootstrap_follows_its_seed() -> None:
    samples = np.random.default_rng(0).normal(size=(25, 3))
    one, again, other = (over_samples(samples, lambda rows: rows.mean(0), seed=s) for s in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not np.array_equal(one[1], other[1])


def test_a_single_sample_is_unbounded_and_inconclusive() -> None:
    value, low, high = over_samples(np.array([[1.0, 2.0]]), lambda rows: rows.mean(0))
    assert value.tolist() == [1.0, 2.0] and low.tolist() == [-INF] * 2 and high.tolist() == [INF] * 2
    alone = of_mean(np.array([0.5]))
    assert alone == Interval(0.5, -INF, INF)
    for bounds in ((0.0, 1.0), (None, 1.0), (0.0, None)):
        assert verdict_of(alone, bounds) == "inconclusive"


def test_samples_that_agree_leave_no_doubt() -> None:
    # 0.75 is a binary fraction: means of it are exact.
    assert of_mean(np.full(4, 0.75)) == Interval(0.75, 0.75, 0.75)
    assert of_mean(np.full(30, 0.75)) == Interval(0.75, 0.75, 0.75)


def test_a_missing_sample_makes_the_verdict_inconclusive() -> None:
    assert verdict_of(of_mean(np.array([0.1, NAN, 0.2])), (0.0, 1.0)) == "inconclusive"


def test_an_infinite_value_is_outside_an_upper_bound_and_never_inside_a_lower_one() -> None:
    endless = Interval.exact(math.inf)
    assert verdict_of(endless, (None, 1.0)) == "fail"
    assert verdict_of(endless, (0.9, None)) == "inconclusive"
