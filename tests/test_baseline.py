"""A baseline finds what got worse, alarms no more often than it claims, and its file stays its user's."""

from __future__ import annotations

import copy
import math
import tomllib
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from probe import baseline
from probe.baseline import Kept, changes, holm
from probe.baseline.changes import OF_THE_BOUND, OF_THE_VALUE
from probe.errors import InputError
from probe.intervals import CONFIDENCE, of_samples

ABOVE = (None, 1.0)


def sampled(samples, bounds=ABOVE, inputs="these", verdict="pass"):
    """A mean of samples, kept."""
    samples = np.asarray(samples, dtype=float)
    mean = samples.mean()
    half = 3 * samples.std() / math.sqrt(len(samples))
    return Kept(verdict, mean, mean - half, mean + half, bounds, question="this", inputs=inputs, samples=tuple(samples))


def exact(value, bounds=ABOVE, inputs="these", verdict="pass"):
    return Kept(verdict, value, value, value, bounds, question="this", inputs=inputs)


def one(before, after, **options):
    """The change of a single check."""
    (change,) = changes({"p/c": before}, {"p/c": after}, ["p"], **options)
    return change


# Holm's method


def test_holm_is_that_worked_out_by_hand():
    # In order: 0.005 x 4, 0.01 x 3, 0.03 x 2, 0.04 x 1 raised to the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0] and holm([0.2]) == [0.2] and holm([]) == []
    assert holm([0.0, 0.0, 1.0]) == [0.0, 0.0, 1.0]


def test_holm_is_bonferroni_for_the_smallest_and_never_stricter():
    rng = np.random.default_rng(0)
    for _ in range(50):
        p = rng.uniform(0, 1, 7) ** 3
        corrected = np.array(holm(list(p)))
        assert corrected[p.argmin()] == pytest.approx(min(1, 7 * p.min()))
        assert (corrected <= np.minimum(1, 7 * p) + 1e-15).all() and (corrected >= p).all()
        assert (np.argsort(corrected, kind="stable")[np.argsort(p)] >= 0).all() and (np.diff(corrected[np.argsort(p)]) >= 0).all()


# One test


def test_paired_is_students_test_of_the_differences():
    rng = np.random.default_rng(1)
    before, after = rng.uniform(0.2, 0.4, 9), rng.uniform(0.2, 0.4, 9)
    change = one(sampled(before), sampled(after))
    slack = max(OF_THE_BOUND * 1.0, OF_THE_VALUE * before.mean())
    assert change.p_worse == pytest.approx(stats.ttest_1samp(after - before, slack, alternative="greater").pvalue, rel=1e-10)
    assert change.p_better == pytest.approx(stats.ttest_1samp(before - after, slack, alternative="greater").pvalue, rel=1e-10)
    low, high = stats.ttest_1samp(after - before, 0).confidence_interval(CONFIDENCE)
    assert (change.difference, change.low, change.high) == pytest.approx((after.mean() - before.mean(), low, high), rel=1e-10)
    assert change.how == "9 inputs, paired"


def test_over_other_inputs_it_is_welchs_test():
    rng = np.random.default_rng(2)
    before, after = rng.normal(0.3, 0.02, 7), rng.normal(0.31, 0.05, 12)
    change = one(sampled(before), sampled(after, inputs="others"))
    slack = max(OF_THE_BOUND, OF_THE_VALUE * before.mean())
    told = stats.ttest_ind(after - slack, before, equal_var=False, alternative="greater")
    assert change.p_worse == pytest.approx(told.pvalue, rel=1e-10) and "unpaired" in change.how


def test_pseudo_values_carry_the_pairing_of_any_smooth_statistic():
    # The ratio of two means: to first order its pseudo-values are R + (a_i - R b_i) / <b>, and so is the test made of them.
    rng = np.random.default_rng(3)
    rows = np.stack([rng.uniform(1, 1.02, 12), rng.uniform(2, 2.02, 12)], -1)
    samples = np.array(of_samples(rows, lambda r: r[:, 0].mean() / r[:, 1].mean()).samples)
    ratio, below = rows[:, 0].sum() / rows[:, 1].sum(), rows[:, 1].mean()
    first_order = ratio + (rows[:, 0] - ratio * rows[:, 1]) / below
    np.testing.assert_allclose(samples, first_order, atol=0.01 * np.ptp(first_order))


@pytest.mark.parametrize(
    ("bounds", "before", "after", "found"),
    [
        ((None, 1.0), 0.30, 0.40, "worse"),
        ((None, 1.0), 0.40, 0.30, "better"),
        ((0.5, None), 0.90, 0.80, "worse"),
        ((0.5, None), 0.80, 0.90, "better"),
        ((0.5, None), -0.80, -0.90, "worse"),
        ((0.8, 1.2), 1.02, 1.10, "worse"),
        ((0.8, 1.2), 1.02, 0.90, "worse"),
        ((0.8, 1.2), 0.90, 1.02, "better"),
        ((0.8, 1.2), 0.95, 1.05, "same"),
        ((1.0, 1.0), 1.02, 0.97, "worse"),
        ((None, 1.0), 0.3, 0.3, "same"),
    ],
)
def test_worse_is_what_the_bounds_say(bounds, before, after, found):
    scatter = np.random.default_rng(4).normal(0, 1e-4, 8)
    assert one(exact(before, bounds), exact(after, bounds)).found == found
    assert one(sampled(before + scatter - scatter.mean(), bounds), sampled(after + scatter - scatter.mean(), bounds)).found == found
    noisy = np.random.default_rng(5).normal(0, 1e-4, 8)
    assert one(sampled(before + scatter, bounds), sampled(after + noisy, bounds)).found in (found, "same")


def test_without_samples_a_tolerance_decides():
    for worsening, tolerance, found in (
        (0.009, 0.01, "same"),
        (0.011, 0.01, "worse"),
        (0.011, 0.05, "same"),
        (0.001, 0.0, "worse"),
    ):
        assert one(exact(0.5), exact(0.5 * (1 + worsening)), tolerance=tolerance).found == found
    # What lies far below its bound may double within a thousandth of it.
    assert one(exact(1e-7), exact(3e-7)).found == "same" and one(exact(1e-3), exact(3e-3)).found == "worse"


def test_rounding_of_another_machine_is_no_change():
    rng = np.random.default_rng(6)
    rounded = rng.uniform(1e-7, 3e-7, 8)
    assert one(sampled(rounded, (None, 0.02)), sampled(rounded * 2, (None, 0.02))).found == "same"
    values = rng.uniform(0.2, 0.3, 8)
    assert one(sampled(values), sampled(values * (1 + 5e-6))).found == "same"
    assert one(sampled(values), sampled(values * (1 + 5e-3))).found == "worse"


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        (exact(0.1), replace(exact(0.9), question="other"), "asked otherwise"),
        (replace(exact(0.1), question=""), replace(exact(0.9), question=""), "asked otherwise"),
        (exact(0.1), exact(0.9, inputs="others"), "nothing was sampled"),
        (
            Kept("inconclusive", 0.1, -math.inf, math.inf, ABOVE, "", "this", "these", (0.1,)),
            Kept("inconclusive", 0.9, -math.inf, math.inf, ABOVE, "", "this", "these", (0.9,)),
            "one input alone",
        ),
        (exact(0.1), Kept("inconclusive", 0.9, 0.1, math.inf, ABOVE, "", "this", "these"), "unbounded"),
    ],
)
def test_what_cannot_be_told_is_not_and_says_why(before, after, why):
    change = one(before, after)
    assert change.found == "untold" and why in change.how and change.p_worse is None


def test_intervals_alone_compare_what_kept_no_samples():
    z = stats.norm.ppf((1 + CONFIDENCE) / 2)
    before, after = (Kept("pass", v, v - 0.01 * z, v + 0.01 * z, ABOVE, "", "this", "these") for v in (0.3, 0.35))
    change = one(before, after)
    slack = max(OF_THE_BOUND, OF_THE_VALUE * 0.3)
    assert change.p_worse == pytest.approx(stats.norm.sf((0.05 - slack) / math.hypot(0.01, 0.01)), rel=1e-9)


def test_what_was_judged_and_is_no_more_is_lost_unless_it_was_not_asked():
    before = {"p/a": exact(0.1), "p/b": exact(0.1), "q/c": exact(0.1), "p/i": exact(0.1, (None, None), verdict="info")}
    after = {"p/b": replace(exact(0.1), verdict="info")}
    found = changes(before, after, ["p"])
    assert {change.check: change.found for change in found} == {"p/a": "lost", "p/b": "lost"}


def test_info_is_recorded_and_never_judged():
    before = exact(0.1, (None, None), verdict="info")
    assert changes({"p/i": before}, {"p/i": replace(before, value=9.0)}, ["p"]) == []


# Many tests


def experiment(rng, checks, inputs, worsened=0.0, scatter=0.3, noise=0.02):
    """Two runs on the same inputs, whose difficulties all checks share."""
    hard = rng.lognormal(0, scatter, inputs)
    before, after = {}, {}
    for index in range(checks):
        level = 0.1 * hard * rng.uniform(0.5, 1.5)
        before[f"p/{index}"] = sampled(level + rng.normal(0, noise * 0.1, inputs))
        after[f"p/{index}"] = sampled(level + rng.normal(0, noise * 0.1, inputs) + (worsened if index == 0 else 0.0))
    return before, after


def binomial(rate, trials):
    return 4 * math.sqrt(rate * (1 - rate) / trials)


@pytest.mark.parametrize(("checks", "inputs"), [(1, 4), (12, 8), (12, 30)])
def test_where_nothing_changed_a_run_is_alarmed_no_more_often_than_the_level(checks, inputs):
    rng, trials, level = np.random.default_rng(checks * inputs), 600, 0.05
    alarms = [any(c.found == "worse" for c in changes(*experiment(rng, checks, inputs), ["p"], level=level)) for _ in range(trials)]
    assert np.mean(alarms) < level + binomial(level, trials)
    # Nor is it deaf: with slack below the noise, the rate is near the level.
    assert np.mean(alarms) > level / 4


def test_the_same_holds_for_a_root_of_a_mean_of_skewed_squares_and_both_sides_of_a_middle():
    rng, trials, level = np.random.default_rng(7), 400, 0.05
    alarms = 0
    for _ in range(trials):
        errors = rng.lognormal(-3, 0.5, (2, 12))
        before, after = (of_samples(e, lambda rows: np.sqrt((rows**2).mean(0))) for e in errors)
        gains = 1 + rng.normal(0, 0.01, (2, 12))
        runs = [
            {
                "p/rms": Kept("pass", f.value, f.low, f.high, ABOVE, "", "q", "i", f.samples),
                "p/gain": replace(sampled(g, (0.5, 1.5)), question="q", inputs="i"),
            }
            for f, g in zip((before, after), gains, strict=True)
        ]
        alarms += any(c.found == "worse" for c in changes(*runs, ["p"], level=level))
    assert alarms / trials < level + binomial(level, trials)


def test_a_worsening_of_known_size_is_found_as_often_as_the_noncentral_t_says():
    # Differences are normal with standard deviation sqrt(2) s; the worsening is planted two of their standard errors up.
    rng, trials, inputs, level, s = np.random.default_rng(8), 1500, 10, 0.05, 0.002
    planted = 3 * math.sqrt(2) * s / math.sqrt(inputs)
    found = [one(*(r["p/0"] for r in experiment(rng, 1, inputs, planted)), level=level).found == "worse" for _ in range(trials)]
    beyond = (planted - OF_THE_BOUND) / (math.sqrt(2) * s / math.sqrt(inputs))
    power = stats.nct.sf(stats.t.ppf(1 - level, inputs - 1), inputs - 1, beyond)
    assert 0.6 < power < 0.95 and abs(np.mean(found) - power) < binomial(power, trials)


def test_pairing_finds_what_unpaired_runs_hide():
    rng, paired, unpaired = np.random.default_rng(9), 0, 0
    for _ in range(50):
        before, after = (run["p/0"] for run in experiment(rng, 1, 8, worsened=0.005, noise=0.005))
        paired += one(before, after).found == "worse"
        unpaired += one(before, replace(after, inputs="others")).found == "worse"
    assert paired >= 48 and unpaired == 0


def test_among_many_the_one_that_got_worse_is_named_and_it_alone():
    before, after = experiment(np.random.default_rng(10), 20, 12, worsened=0.02)
    assert [c.check for c in changes(before, after, ["p"]) if c.found == "worse"] == ["p/0"]


# The file


def document(value=0.1, verdict="pass", **more):
    check = {
        "name": "c",
        "value": value,
        "low": value,
        "high": value,
        "samples": [],
        "bounds": [None, 1.0],
        "unit": "Mpc/h",
        "verdict": verdict,
    }
    probe = {"name": "p", "verdict": verdict, "checks": [check], "recipe": {"question": "this", "inputs": "these"}}
    return {"complete": True, "model": {"name": "net", "sha256": "ab" * 32}, "probes": [probe]} | more


def test_a_file_reads_back_as_it_was_written(tmp_path):
    path = tmp_path / "base.toml"
    checks = {
        "p/deterministic": exact(1 / 3),
        "p/two sided": sampled([0.9, 1.0, 1.15], (0.5, 1.5)),
        'odd "name"/c': replace(sampled([1e-9, 2e-9], (1e-12, None)), unit="(Mpc/h)^3"),
        "p/alone": Kept("inconclusive", 0.1, -math.inf, math.inf, ABOVE, "", "this", "these", (0.1,)),
        "p/info": exact(-2.5, (None, None), verdict="info"),
    }
    known = {"p/two sided": baseline.Known('a "reason"\nof two lines', date(2030, 1, 31)), "q/x": baseline.Known("for good")}
    written = baseline.Baseline("net | <b>", "ab" * 32, "2026-01-02", checks, known)
    baseline.write(written, path)
    read = baseline.read(path)
    assert dict(read.known) == known and (read.model, read.sha256, read.recorded) == ("net | <b>", "ab" * 32, "2026-01-02")
    for name, kept in checks.items():
        again = read.checks[name]
        assert (again.value, *again.samples) == pytest.approx((kept.value, *kept.samples), rel=1e-8)
        assert (again.low, again.high) == pytest.approx(
            (kept.low, kept.high), rel=1e-8
        ) and again.deterministic == kept.deterministic
        assert (again.bounds, again.unit, again.verdict, again.question) == (kept.bounds, kept.unit, kept.verdict, kept.question)
    text = path.read_text()
    baseline.write(read, path)
    assert path.read_text() == text, "written again it is the same, byte for byte"
    tables = [line for line in text.splitlines() if line.startswith("[checks")]
    assert tables == sorted(tables)


def test_it_is_recorded_once_and_changed_on_request_alone(tmp_path):
    path = tmp_path / "base.toml"
    assert baseline.hold(document(0.1), path)["written"] == "new"
    text = path.read_text()
    section = baseline.hold(document(0.2), path)
    assert path.read_text() == text and section["written"] == "" and [c["found"] for c in section["changes"]] == ["worse"]
    assert [c["check"] for c in baseline.fallen(section)] == ["p/c"]
    path.write_text(text + '\n[known_failures."p/c"]\nreason = "why"\nexpires = 2030-01-31\n')
    section = baseline.hold(document(0.2), path, update=True)
    assert section["written"] == "updated" and not baseline.fallen(section)
    table = tomllib.loads(path.read_text())
    assert table["checks"]["p/c"]["value"] == 0.2
    assert table["known_failures"] == {"p/c": {"reason": "why", "expires": date(2030, 1, 31)}}


@pytest.mark.parametrize("broken", [document(verdict="error"), document(verdict="info"), document(complete=False)])
def test_a_run_that_found_nothing_is_not_recorded(tmp_path, broken):
    path = tmp_path / "base.toml"
    assert baseline.hold(broken, path)["written"] == "withheld" and not path.exists()
    baseline.hold(document(), path)
    text = path.read_text()
    assert baseline.hold(broken, path, update=True)["written"] == "withheld" and path.read_text() == text


@pytest.mark.parametrize(
    ("verdict", "today", "state"),
    [
        ("fail", date(2030, 1, 31), "fails"),
        ("fail", date(2030, 2, 1), "expired"),
        ("inconclusive", date(2030, 1, 1), "inconclusive"),
        ("inconclusive", date(2030, 2, 1), "expired"),
        ("pass", date(2030, 1, 1), "passes"),
        ("pass", date(2031, 1, 1), "passes"),
        ("info", date(2030, 1, 1), "unanswered"),
    ],
)
def test_a_known_failure_counts_again_after_its_last_day_and_is_told_when_it_passes(tmp_path, verdict, today, state):
    path = tmp_path / "base.toml"
    baseline.hold(document(), path)
    path.write_text(path.read_text() + '\n[known_failures."p/c"]\nreason = "why"\nexpires = 2030-01-31\n')
    section = baseline.hold(document(verdict=verdict), path, today=today)
    assert [(k["check"], k["reason"], k["state"]) for k in section["known_failures"]] == [("p/c", "why", state)]
    assert baseline.excused(section) == ({"p/c": "why"} if state in ("fails", "inconclusive") else {})


def test_a_known_failure_of_a_check_that_there_is_not_is_told(tmp_path):
    path = tmp_path / "base.toml"
    baseline.hold(document(), path)
    path.write_text(path.read_text() + '\n[known_failures."p/d"]\nreason = "why"\n\n[known_failures."q/e"]\nreason = "why"\n')
    assert [k["state"] for k in baseline.hold(document(), path)["known_failures"]] == ["unanswered", "not_asked"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text.replace("schema = 1", "schema = 2"), "schema is 2; expected 1"),
        (lambda text: text + "[", "is no TOML"),
        (lambda text: text.replace("value = 0.1", 'value = "0.1"'), "checks.p/c.value is '0.1'; expected a finite number"),
        (lambda text: text.replace("value = 0.1", "valeu = 0.1"), "unknown key 'valeu' (did you mean 'value'?)"),
        (lambda text: text.replace("value = 0.1", "value = nan"), "expected a finite number"),
        (lambda text: text + '[known_failures."p/c"]\n', "known_failures.p/c has no 'reason'"),
        (lambda text: text + '[known_failures."p/c"]\nreason = ""\n', "expected a text that is not empty"),
        (lambda text: text + '[known_failures."p/c"]\nreason = "x"\nexpires = "soon"\n', "'soon'; expected a text like"),
        (lambda text: text + '[known_failures."p/c"]\nreason = "x"\nexpires = "2030-02-31"\n', "write a day like 2030-01-31"),
        (lambda text: "", "it has no 'schema'"),
    ],
)
def test_a_file_that_is_no_baseline_is_refused_in_one_sentence(tmp_path, change, says):
    path = tmp_path / "base.toml"
    baseline.hold(document(), path)
    path.write_text(change(path.read_text()))
    with pytest.raises(InputError) as told:
        baseline.read(path)
    assert says in str(told.value) and "\n" not in str(told.value) and "base.toml" in str(told.value)


def test_a_folder_or_bytes_are_no_baseline(tmp_path):
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path, tmp_path / "bytes.toml"):
        with pytest.raises(InputError, match="baseline"):
            baseline.read(path)


def test_a_document_is_not_changed_by_being_held(tmp_path):
    given = document()
    before = copy.deepcopy(given)
    baseline.hold(given, Path(tmp_path / "base.toml"))
    assert given == before


def test_a_file_that_cannot_be_written_is_told_and_the_old_one_kept(tmp_path, monkeypatch):
    path = tmp_path / "base.toml"
    baseline.hold(document(0.1), path)
    text = path.read_text()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InputError, match=r"not recorded, for .*No space left.*--baseline"):
        baseline.hold(document(0.2), path, update=True)
    assert path.read_text() == text
