"""`probe compare`: stored runs side by side, what moved against the first, and an exit status for CI."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from probe import baseline
from tests.command import call
from tests.lines import ASKED, lay_out
from tests.test_outputs import Shown


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of runs: main, the same again, worse, better; of other pairs, and of one alone."""
    folder = tmp_path_factory.mktemp("compare")
    with pytest.MonkeyPatch.context() as patch:
        lay_out(folder, patch)
        for name, model, *more in (
            ("main", "model"),
            ("again", "model"),
            ("worse", "worse"),
            ("better", "better"),
            ("others", "worse", "--data", "others"),
            ("alone", "worse", "--data", "alone"),
            ("bound", "model", "--set", "transfer.bound=0.5"),
            ("unjudged", "model", "--controls", "none"),
        ):
            call(*ASKED, "--model", f"lines_code:{model}", "--out", name, *more)
        yield folder


@pytest.fixture(autouse=True)
def at_the_runs(runs, monkeypatch):
    monkeypatch.chdir(runs)


def found(*folders, words=()):
    status, out, _ = call("compare", *folders, "--format", "json", *words)
    document = json.loads(out)
    return status, {row["check"]: [c["found"] if c else None for c in row["changes"]] for row in document["checks"]}, document


def test_the_same_model_is_the_same():
    status, changes, document = found("main", "again")
    assert status == 0 and changes["transfer/beats_linear_filter"] == ["same"] and document["worse"] == 0
    assert changes["transfer/relative_error"] == [None], "what has no right answer is shown, not judged"


def test_worse_is_found_one_way_and_better_the_other():
    status, changes, document = found("main", "worse")
    assert status == 1 and changes["transfer/beats_linear_filter"] == ["worse"] and document["worse"] == 1
    (change,) = next(row for row in document["checks"] if row["check"] == "transfer/beats_linear_filter")["changes"]
    assert change["low"] <= change["difference"] <= change["high"] and change["low"] > 0 and change["how"] == "8 inputs, paired"
    status, changes, _ = found("worse", "main")
    assert status == 0 and changes["transfer/beats_linear_filter"] == ["better"]


def test_several_are_each_compared_with_the_first_at_a_level_that_they_share():
    status, changes, document = found("main", "again", "worse", "better")
    assert status == 1 and changes["transfer/beats_linear_filter"] == ["same", "worse", "better"]
    assert document["level"] == pytest.approx(baseline.LEVEL / 3) and document["runs"][0]["folder"] == "main"
    assert all(len(row["values"]) == 4 for row in document["checks"])


def test_a_paired_difference_is_that_of_the_stored_samples():
    before, after = (json.loads(Path(name, "run.json").read_text())["probes"][0]["checks"][0] for name in ("main", "worse"))
    _, _, document = found("main", "worse")
    row = next(row for row in document["checks"] if row["check"] == "transfer/beats_linear_filter")
    expected = sum(b - a for a, b in zip(before["samples"], after["samples"], strict=True)) / 8
    assert row["changes"][0]["difference"] == pytest.approx(expected, rel=1e-12)
    # The jackknife's estimate and the plain difference part only in the second order of 1/n.
    assert expected == pytest.approx(after["value"] - before["value"], rel=0.1)


def test_where_nothing_can_be_compared_the_status_is_two():
    status, changes, _ = found("main", "alone")
    assert status == 2 and changes["transfer/beats_linear_filter"] == ["untold"]


def test_other_inputs_are_compared_unpaired_and_other_bounds_all_the_same():
    _, _, document = found("main", "others")
    change = next(row for row in document["checks"] if row["check"] == "transfer/beats_linear_filter")["changes"][0]
    assert "unpaired" in change["how"]
    assert found("main", "bound")[:2][0] == 0


def test_what_is_no_longer_judged_counts():
    status, changes, _ = found("main", "unjudged")
    assert status == 1 and changes["transfer/beats_linear_filter"] == ["lost"]


def test_text_and_markdown_say_what_moved():
    status, out, _ = call("compare", "main", "worse")
    assert status == 1 and "Of 1 check compared with main: 1 significantly worse." in out and "8 inputs, paired" in out
    _, said, _ = call("compare", "main", "worse", "again", "--format", "markdown")
    shown = Shown(said)
    assert shown.tags["table"] == 2 and len(set(shown.rows)) == 1 and shown.tags["details"] == 1
    assert said.index("beats") < said.index("<details>") < said.index("relative")


@pytest.mark.parametrize(
    ("folders", "says"),
    [(["main"], "two or more folders"), (["main", "main"], "each once"), (["main", "nowhere"], "holds no run.json")],
)
def test_what_cannot_be_compared_is_refused_in_one_sentence(folders, says):
    status, out, err = call("compare", *folders)
    assert status == 2 and says in err and not out


def test_it_loads_no_torch_and_runs_no_code():
    code = "import sys; sys.modules['torch'] = None; from probe.cli import main; main(['compare', 'main', 'worse'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1 and "significantly worse" in done.stdout, done.stderr
