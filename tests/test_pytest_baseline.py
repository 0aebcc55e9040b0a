"""pytest's face beside a baseline: recorded, held to, worse, excused; by one process and by several."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from probe.testing import ChecksFailed, check_model
from tests import lines
from tests.command import call
from tests.lines import lay_out
from tests.loudness import Loudness
from tests.models import LINE, on

pytest_plugins = ["pytester"]
HERE = Path(__file__).parent
MODEL, WORSE = "lines_code:model", "lines_code:worse"
ASKED = ("--probe-spec=line.toml", "--probe-controls=linear_filter", "--probe-out=r", "--probe=transfer")
BASE, CHECK = ("--probe-baseline=base.toml",), "transfer/beats_linear_filter"
TINY = ("--probe-set=transfer.bound=1e-9",)


@pytest.fixture(scope="module", autouse=True)
def loaded(tmp_path_factory):
    """A run outside of pytester, which forgets at each end what was imported in it."""
    with pytest.MonkeyPatch.context() as patch:
        lay_out(tmp_path_factory.mktemp("loaded"), patch)
        assert call(*lines.ASKED, "--model", MODEL, "--out", "out")[0] == 0


@pytest.fixture
def ask(pytester, monkeypatch):
    """pytest in this process, in a folder of models on a line."""
    monkeypatch.setenv("COLUMNS", "160")
    lay_out(pytester.path, monkeypatch)

    def asking(model, *words):
        return pytester.runpytest_inprocess("-p", "no:randomly", *asked(model), *BASE, *words)

    return asking


def asked(model):
    return ("--probe-model", model, *ASKED)


def excuse(expires):
    path = Path("base.toml")
    path.write_text(path.read_text() + f'\n[known_failures."{CHECK}"]\nreason = "ticket 12"\nexpires = {expires}\n')


def test_a_run_is_recorded_then_held_to_and_fails_with_a_table_when_worse(ask):
    first = ask(MODEL)
    assert first.ret == 0
    first.stdout.re_match_lines(
        [r"-+ probe: lines_code:model -+", r"  Recorded in base\.toml: later runs are compared with this one\."]
    )
    recorded = Path("base.toml").read_text()
    assert CHECK in tomllib.loads(recorded)["checks"]
    again = ask(MODEL)
    assert again.ret == 0 and re.search(r"  None of \d+ checks? is significantly worse than in base\.toml", again.stdout.str())
    worse = ask(WORSE)
    assert worse.ret == 1
    worse.assert_outcomes(**{**first.parseoutcomes(), "passed": first.parseoutcomes()["passed"] - 1, "failed": 1})
    worse.stdout.re_match_lines(
        [
            r"1 of \d+ checks? is significantly worse than in base\.toml \(lines_code:model \w{8}, \d{4}-\d\d-\d\d\)",
            r"  check +before +now +difference +p +over",
            rf"  {CHECK} +0\.01\d+ +0\.01\d+ +\+0\.00\d+ \[.*\] +\de-\d\d +8 inputs, paired",
            r"  1 of \d+ checks? is significantly worse than in base\.toml",
            r"FAILED probe::baseline\[lines_code:worse\] - Failed: 1 of",
        ]
    )
    assert "significantly worse" in Path("r/report.html").read_text() and Path("base.toml").read_text() == recorded
    updated = ask(WORSE, "--probe-baseline-update")
    assert updated.ret == 0 and "in place of the earlier run" in updated.stdout.str() and Path("base.toml").read_text() != recorded
    assert ask(WORSE).ret == 0


@pytest.mark.slow
def test_only_what_is_selected_is_compared_and_a_part_is_not_recorded(ask):
    part = ask(MODEL, "-rs", "-k", "beats")
    part.assert_outcomes(passed=1, skipped=1, deselected=part.parseoutcomes()["deselected"])
    part.stdout.re_match_lines(
        [r"SKIPPED .*: Not recorded in base\.toml: only 1 of \d+ checks are selected, and a baseline is recorded"]
    )
    assert not Path("base.toml").exists()
    ask(MODEL)
    assert ask(WORSE, "-k", "beats").ret == 1
    other = ask(WORSE, "-k", "transfer and not beats", "-rs")
    assert other.ret == 0 and "significantly worse" not in other.stdout.str()
    refused = ask(WORSE, "-k", "beats", "--probe-baseline-update")
    assert refused.ret == 1 and "Not recorded in base.toml" in refused.stdout.str()


def test_a_known_failure_is_expected_until_it_expires_and_may_not_fall_further(ask):
    assert ask(MODEL, *TINY).ret == 1
    excuse("2999-12-31")
    held = ask(MODEL, *TINY, "-rx")
    assert held.ret == 0 and held.parseoutcomes()["xfailed"] == 1
    held.stdout.re_match_lines([rf"XFAIL probe::{CHECK}\[lines_code:model\] - ticket 12"])
    fallen = ask(WORSE, *TINY)
    assert fallen.ret == 1 and (fallen.parseoutcomes()["failed"], fallen.parseoutcomes()["xfailed"]) == (1, 1)
    passing = ask(MODEL)
    assert passing.parseoutcomes()["xpassed"] == 1 and "take it out of the known failures" in passing.stdout.str()
    assert ask(MODEL, "-o", "xfail_strict=true").ret == 1
    Path("base.toml").write_text(Path("base.toml").read_text().replace("2999", "1999"))
    over = ask(MODEL, *TINY)
    assert over.ret == 1
    over.stdout.re_match_lines([r"It may no longer fail: it was excused until 1999-12-31 \(ticket 12\)"])


def test_a_test_file_names_its_baseline(ask, pytester):
    pytester.makepyfile(
        test_own=f"""
        from probe.testing import parametrize_with_probes

        @parametrize_with_probes({MODEL!r}, "transfer", spec="line.toml", controls="linear_filter", baseline="base.toml")
        def test_physics(check):
            check()
        """
    )
    first = pytester.runpytest_inprocess("test_own.py")
    assert first.ret == 0 and "Recorded in base.toml" in first.stdout.str()
    Path("test_own.py").write_text(Path("test_own.py").read_text().replace(MODEL, WORSE))
    alone = pytester.runpytest_inprocess(f"test_own.py::test_physics[baseline-{WORSE}]")
    alone.assert_outcomes(failed=1)
    assert pytester.runpytest_inprocess("test_own.py", "--probe-baseline-update").ret == 0
    assert pytester.runpytest_inprocess("test_own.py").ret == 0


def test_a_model_is_checked_beside_its_baseline(tmp_path):
    file = tmp_path / "base.toml"
    models = [on(LINE, lambda x, gain=gain: gain * x, "scaling") for gain in (1.0, 0.995)]
    asked = {"baseline": file, "controls": "none"}
    assert check_model(models[0], Loudness, **asked).document["baseline"]["written"] == "new"
    with pytest.raises(ChecksFailed, match=r"(?s)1 of \d checks? is significantly worse.* loudness/gain +1 +0\.995 "):
        check_model(models[1], Loudness, **asked)
    assert check_model(models[1], Loudness, **asked, tolerance=1.0).document["baseline"]["changes"]
    check_model(models[1], Loudness, **asked, update_baseline=True)
    check_model(models[1], Loudness, **asked)


@pytest.mark.slow
def test_workers_compare_the_whole_run_once(pytester, monkeypatch):
    lay_out(pytester.path, monkeypatch)
    monkeypatch.setenv("PYTHONPATH", f"{pytester.path}:{HERE.parent}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert pytester.runpytest_inprocess(*asked(MODEL), *BASE).ret == 0
    done = pytester.runpytest_subprocess(*asked(WORSE), *BASE, "-n2", "--junitxml=j.xml")
    assert done.ret == 1 and done.parseoutcomes()["failed"] == 1
    done.stdout.re_match_lines(
        [rf"  {CHECK} +0\.01\d+ .* 8 inputs, paired", r"  1 of \d+ checks? is significantly worse than in base\.toml"]
    )
    assert "significantly worse" in Path("r/report.html").read_text() and 'name="baseline"' in Path("j.xml").read_text()


@pytest.mark.parametrize(
    "words, said",
    [
        (["--probe-baseline-update"], "name it with --probe-baseline FILE"),
        (["--probe-baseline", "nowhere/base.toml"], "there is no folder nowhere"),
        ([*BASE, "--probe-baseline-tolerance", "much"], "--probe-baseline-tolerance is a number from 0 to 1; found 'much'"),
    ],
)
def test_a_baseline_that_cannot_be_is_a_usage_error(pytester, words, said):
    done = pytester.runpytest_inprocess("--probe-model", "zoo:oracle/identity", "--probe", "phase", *words)
    assert done.ret == pytest.ExitCode.USAGE_ERROR and said in "\n".join(done.errlines)
