"""What `probe run` and `probe report` say to a machine: exit status, JSON, JUnit XML, Markdown; and nothing else beside it."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from markdown_it import MarkdownIt

from probe.report.junit import junit
from probe.report.markdown import LONGEST, escaped, markdown
from tests.command import call
from tests.lines import ASKED, lay_out

MODEL = ("--model", "lines_code:model")
TINY = ("--set", "transfer.bound=1e-9")
KNOWN = '\n[known_failures."transfer/beats_linear_filter"]\nreason = "ticket 12"\n'


@pytest.fixture
def lines(tmp_path, monkeypatch):
    return lay_out(tmp_path, monkeypatch)


def status(*words):
    return call(*ASKED, "--out", "out", *words)[0]


def excuse(more=""):
    path = Path("base.toml")
    path.write_text(path.read_text() + KNOWN + more)


# Exit status


def test_zero_where_all_is_well_and_one_where_a_check_failed(lines):
    assert status(*MODEL) == 0
    assert status(*MODEL, *TINY) == 1


def test_inconclusive_counts_only_when_strict(lines):
    assert status(*MODEL, "--data", "alone") == 0
    assert status(*MODEL, "--data", "alone", "--strict") == 1
    assert call("report", "out")[0] == 0 and call("report", "out", "--strict")[0] == 1


def test_two_where_nothing_gave_a_verdict_or_a_probe_crashed(lines):
    assert status(*MODEL, "--controls", "none") == 2
    assert status("--model", "lines_code:broken") == 2


def test_a_known_failure_does_not_count_until_it_expires(lines):
    words = (*MODEL, "--baseline", "base.toml")
    assert status(*words) == 0
    assert status(*words, *TINY) == 1
    excuse("expires = 2999-12-31\n")
    assert status(*words, *TINY) == 0
    assert status(*words, *TINY, "--strict") == 0
    Path("base.toml").write_text(Path("base.toml").read_text().replace("2999", "1999"))
    code, out, _ = call(*ASKED, "--out", "out", *words, *TINY)
    assert code == 1 and "it was excused until 1999-12-31 (ticket 12)" in " ".join(out.split())


def test_a_known_failure_that_is_inconclusive_does_not_count_when_strict(lines):
    words = (*MODEL, "--data", "alone", "--baseline", "base.toml", "--strict")
    assert status(*words) == 1
    excuse()
    assert status(*words) == 0


def test_what_got_worse_fails_though_it_passes_its_bound_until_it_is_recorded(lines):
    words = ("--baseline", "base.toml")
    code, out, _ = call(*ASKED, "--out", "out", *MODEL, *words)
    assert code == 0 and "Recorded in base.toml" in out
    first = Path("base.toml").read_text()
    assert status(*MODEL, *words) == 0
    code, out, _ = call(*ASKED, "--out", "out", "--model", "lines_code:worse", *words)
    assert code == 1 and "1 of 1 check is significantly worse" in out and "8 inputs, paired" in out
    assert call("report", "out")[0] == 1 and "significantly worse" in Path("out/report.html").read_text()
    code, out, _ = call(*ASKED, "--out", "out", "--model", "lines_code:better", *words)
    assert code == 0 and "1 better" in out
    assert Path("base.toml").read_text() == first
    assert status("--model", "lines_code:worse", *words, "--baseline-update") == 0
    assert Path("base.toml").read_text() != first and status("--model", "lines_code:worse", *words) == 0


def test_a_known_failure_that_gets_worse_still_fails(lines):
    words = ("--baseline", "base.toml", *TINY)
    assert status(*MODEL, *words) == 1
    excuse()
    assert status(*MODEL, *words) == 0
    assert status("--model", "lines_code:worse", *words) == 1


def test_what_is_no_longer_judged_fails(lines):
    assert status(*MODEL, "--baseline", "base.toml") == 0
    code, out, _ = call(*ASKED, "phase", "--out", "out", *MODEL, "--baseline", "base.toml", "--controls", "none")
    assert code == 1 and "transfer/beats_linear_filter was judged in the baseline and is no longer" in " ".join(out.split())


def test_other_pairs_are_compared_unpaired_and_one_alone_not_at_all(lines):
    assert status(*MODEL, "--baseline", "base.toml") == 0
    status("--model", "lines_code:worse", "--baseline", "base.toml", "--data", "others")
    (change,) = json.loads(Path("out/run.json").read_text())["baseline"]["changes"]
    assert change["how"] == "8 and 6 other inputs, unpaired"
    status(*MODEL, "--baseline", "base.toml", "--data", "alone")
    (change,) = json.loads(Path("out/run.json").read_text())["baseline"]["changes"]
    assert change["found"] == "untold" and "one input alone" in change["how"]


def test_a_bad_baseline_is_refused_before_any_work(lines):
    Path("base.toml").write_text("schema = [")
    code, _, err = call(*ASKED, "--out", "fresh", *MODEL, "--baseline", "base.toml")
    assert code == 2 and "base.toml is no TOML" in err and not Path("fresh").exists()
    code, _, err = call(*ASKED, "--out", "fresh", *MODEL, "--baseline", "nowhere/base.toml")
    assert code == 2 and "no folder nowhere" in err and not Path("fresh").exists()
    code, _, err = call(*ASKED, "--out", "fresh", *MODEL, "--baseline-update")
    assert code == 2 and "--baseline FILE" in err and not Path("fresh").exists()


# What is said


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A stored run's document with a check of every verdict, and its folder."""
    with pytest.MonkeyPatch.context() as patch:
        lay_out(tmp_path_factory.mktemp("outputs"), patch)
        assert call(*ASKED, "phase", "--out", "a", *MODEL, "--baseline", "base.toml")[0] == 0
        call(*ASKED, "phase", "--out", "a", "--model", "lines_code:worse", "--baseline", "base.toml")
        document = json.loads(Path("a/run.json").read_text())
    for verdict in ("fail", "inconclusive", "not_applicable"):
        check = copy.deepcopy(document["probes"][0]["checks"][0])
        document["probes"][0]["checks"].append(
            check | {"name": f"that_{verdict}", "verdict": verdict, "sentence": f"It is {verdict}."}
        )
    crashed = document["probes"][1] | {"name": "crashed", "verdict": "error", "checks": [], "reason": "RuntimeError: no memory"}
    unasked = document["probes"][1] | {"name": "unasked", "verdict": "not_applicable", "checks": [], "reason": "it needs pairs"}
    document["probes"] += [crashed, unasked]
    return document


@pytest.mark.parametrize("form", ["text", "json", "junit", "markdown"])
def test_standard_output_holds_the_format_asked_for_alone(lines, form):
    _, out, err = call(*ASKED, "--out", "out", *MODEL, "--format", form)
    assert "passes" in err and ("report:" in out) == (form == "text")
    _, again, told = call("report", "out", "--format", form)
    if form == "json":
        assert json.loads(out) == json.loads(again) == json.loads(Path("out/run.json").read_text())
    elif form == "junit":
        assert out == again and ET.fromstring(out).tag == "testsuites"
    elif form == "markdown":
        assert out == again and out.startswith("### ") and f"Report: {escaped(Path('out/report.html').resolve())}" in out
    assert ("report:" in told) == (form != "text")


# Attributes and children, as the schemas of Jenkins and Ant have them; all but `needed` may be left out.
XUNIT = {
    "testsuites": ({"name", "tests", "failures", "errors", "time"}, {"testsuite"}, set()),
    "testsuite": (
        {"name", "tests", "failures", "errors", "skipped", "time", "timestamp"},
        {"properties", "testcase"},
        {"name", "tests", "failures", "errors"},
    ),
    "properties": (set(), {"property"}, set()),
    "property": ({"name", "value"}, set(), {"name", "value"}),
    "testcase": ({"name", "classname", "time"}, {"failure", "error", "skipped", "system-out"}, {"name", "classname"}),
    "failure": ({"type", "message"}, set(), {"message"}),
    "error": ({"type", "message"}, set(), {"message"}),
    "skipped": ({"type", "message"}, set(), {"message"}),
    "system-out": (set(), set(), set()),
}


def valid(root):
    """The root, if all below it is of the usual form, and every suite counts its cases rightly."""
    for element in root.iter():
        attributes, children, needed = XUNIT[element.tag]
        assert needed <= set(element.attrib) <= attributes and {child.tag for child in element} <= children
        assert re.fullmatch(r"\d+\.\d{3}", element.get("time", "0.000"))
    for suite in root.iter("testsuite"):
        counts = Counter(child.tag for case in suite.iter("testcase") for child in case)
        assert int(suite.get("tests")) == len(list(suite.iter("testcase")))
        assert [int(suite.get(k)) for k in ("failures", "errors", "skipped")] == [
            counts[k] for k in ("failure", "error", "skipped")
        ]
        assert len({case.get("name") for case in suite.iter("testcase")}) == int(suite.get("tests"))
    for key in ("tests", "failures", "errors"):
        assert int(root.get(key)) == sum(int(suite.get(key)) for suite in root.iter("testsuite"))
    return root


def cases(root):
    return {f"{suite.get('name')}/{case.get('name')}": case for suite in root.iter("testsuite") for case in suite.iter("testcase")}


def test_junit_is_a_suite_a_probe_and_a_case_a_check(told):
    root = valid(ET.fromstring(junit(told)))
    assert [suite.get("name") for suite in root] == ["transfer", "phase", "crashed", "unasked"]
    found = cases(root)
    worse, failed = (found[f"transfer/{name}"].find("failure") for name in ("beats_linear_filter", "that_fail"))
    assert worse.get("type") == "worse" and "8 inputs, paired" in worse.get("message")
    assert failed.get("message") == "It is fail." and "allowed ≤ 1" in failed.text
    for name, kind in (("that_inconclusive", "inconclusive"), ("that_not_applicable", "not_applicable")):
        assert found[f"transfer/{name}"].find("skipped").get("type") == kind
    assert found["crashed/crashed"].find("error").get("message") == "RuntimeError: no memory"
    assert found["unasked/unasked"].find("skipped").get("message") == "it needs pairs"
    assert [child.tag for child in found["transfer/relative_error"]] == ["system-out"]
    kept = {p.get("name"): p.get("value") for p in root.iter("property")}
    check = told["probes"][0]["checks"][0]
    assert float(kept["beats_linear_filter.value"]) == check["value"] and json.loads(kept["beats_linear_filter.bounds"]) == [
        None,
        1.0,
    ]


def test_junit_follows_strict_and_known_failures(told):
    strict = cases(valid(ET.fromstring(junit(told, strict=True))))
    assert strict["transfer/that_inconclusive"].find("failure") is not None
    known = copy.deepcopy(told)
    known["baseline"]["known_failures"] = [
        {"check": f"transfer/that_{verdict}", "reason": "ticket 12", "expires": None, "state": state}
        for verdict, state in (("fail", "fails"), ("inconclusive", "expired"))
    ]
    found = cases(valid(ET.fromstring(junit(known, strict=True))))
    assert found["transfer/that_fail"].find("skipped").get("message") == "known failure (ticket 12): It is fail."
    assert found["transfer/that_inconclusive"].find("failure") is not None


def test_what_is_lost_is_a_failure_of_a_case_of_its_own(told):
    lost = copy.deepcopy(told)
    lost["baseline"]["changes"][0] |= {"check": "transfer/gone", "found": "lost"}
    assert cases(valid(ET.fromstring(junit(lost))))["transfer/gone"].find("failure").get("type") == "lost"


NASTY = [
    "|<script>alert(1)</script>",
    "a | b\n| c",
    "`code` **bold** [link](javascript:x) ![i](http://x/y.png)",
    "<!-- </details> -->",
    "@everyone & <b>",
    "\x1b[31m\u202ered\ud800\ufffe",
    "\\| \\",
    "# head",
]


class Shown(HTMLParser):
    """The tags and the text of what a Markdown reader makes."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.rows = Counter(), [], []
        self.feed(MarkdownIt("commonmark").enable("table").render(text))

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        if tag == "tr":
            self.rows.append(0)
        if tag in ("td", "th"):
            self.rows[-1] += 1

    def handle_data(self, data):
        self.words.append(data)


def nasty(document, text):
    document = copy.deepcopy(document)
    document["model"] |= {"name": text, "class": text, "path": text, "sha256": text}
    document |= {"guessed": [text], "notes": [text], "effort": text}
    document["baseline"] |= {"file": text, "model": text, "unrecorded": [text]}
    document["baseline"]["changes"][0] |= {"check": text, "unit": text, "how": text}
    for probe in document["probes"]:
        probe |= {"name": text, "reason": text}
        for check in probe["checks"]:
            check |= {"name": text, "sentence": text, "unit": text}
    return document


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_no_name_breaks_a_table_or_becomes_markup(told, text):
    plain, found = Shown(markdown(told, "report.html")), Shown(markdown(nasty(told, text), text))
    assert set(found.tags) <= {
        "h3",
        "p",
        "strong",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "details",
        "summary",
        "ul",
        "li",
        "code",
    }
    assert found.tags["table"] == plain.tags["table"] and found.rows == plain.rows and found.tags["details"] == 1
    said = markdown(nasty(told, text), text)
    assert "@e" not in said and "\x1b" not in said and "\u202e" not in said
    said.encode()
    assert len(ET.fromstring(junit(nasty(told, text)))) == len(told["probes"])


def test_markdown_tells_what_failed_first_and_folds_the_rest(told):
    said = markdown(told, "out/report.html")
    loud, folded = said.split("<details>")
    assert re.match(r"### ❌ 1 failed, 1 inconclusive, \d passed of \d checks; 1 probe ended in an error", said)
    assert loud.index("crashed") < loud.index("It is fail.") < loud.index("It is inconclusive.")
    assert "transfer/beats_linear_filter" in loud.split("| worse |")[1].split("\n\n")[0]
    assert "phase/six_phases" in folded and "phase/six_phases" not in loud
    assert "the best linear filter passes" in folded and folded.rstrip().endswith("Report: out/report.html")
    of_a_file = told | {"model": told["model"] | {"sha256": "ab" * 32}}
    assert f"sha256 `{'ab' * 32}`" in markdown(of_a_file)


def test_markdown_stays_within_what_a_comment_takes(told):
    many = copy.deepcopy(told)
    check = many["probes"][0]["checks"][0]
    for verdict in ("fail", "pass"):
        many["probes"][0]["checks"] += [
            check | {"name": f"{verdict}_{i}", "verdict": verdict, "sentence": "&" * 900} for i in range(2000)
        ]
    many |= {"guessed": ["<" * 900] * 40, "notes": ["|" * 900] * 40}
    many["baseline"]["changes"] = [many["baseline"]["changes"][0] | {"how": "<" * 900}] * 500
    many["baseline"]["unrecorded"] = ["x" * 50] * 2000
    said = markdown(many, "r")
    assert len(said.encode("utf-16-le")) // 2 <= 65_536 and len(said) > LONGEST / 2 and "more did not fit here" in said
    assert Shown(said).tags["details"] <= 1


def test_results_are_told_without_torch(told, tmp_path):
    (tmp_path / "run.json").write_text(json.dumps(told))
    code = (
        "import json, sys; sys.modules['torch'] = None; document = json.load(open(sys.argv[1]));"
        "from probe.report.junit import junit; from probe.report.markdown import markdown; from probe.report.text import summary;"
        "from probe import baseline; from probe.report import side; beside = baseline.beside({'a': document, 'b': document});"
        "print(*map(len, (junit(document), markdown(document), summary(document), side.text(beside), side.markdown(beside))))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "run.json")], capture_output=True, text=True)
    assert done.returncode == 0 and min(map(int, done.stdout.split())) > 100, done.stderr
