"""pytest's face: without a test file, with one, with several workers; green, red, and what it says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from probe.pytest_plugin import FLAGS, LISTS, TEXTS, key
from probe.zoo import entries
from tests.test_contract import HEAVY

pytest_plugins = ["pytester"]
HERE = Path(__file__).parent
LOUDNESS = "./loudness.py"
GOOD, BAD = "zoo:oracle/identity", "zoo:oracle/gaussian_filter"
# Says at the end of a session what was imported in it.
SAY = "import sys\ndef pytest_unconfigure():\n    print('LOADED', [m for m in {} if m in sys.modules])\n"


@pytest.fixture
def inside(pytester, monkeypatch):
    """A project with a probe of its own, and what pytest says in it; one thread."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(HERE.parent))
    monkeypatch.setenv("COLUMNS", "160")
    shutil.copy(HERE / "loudness.py", pytester.path)

    def ask(*words):
        return pytester.runpytest_subprocess(*words)

    ask.pytester = pytester
    return ask


def model(name, *probes, **more):
    words = [word for probe in probes or (LOUDNESS,) for word in ("--probe", probe)]
    return ["--probe-model", name, *words, *(word for key, value in more.items() for word in (f"--probe-{key}", value))]


def properties(path):
    """By test, what JUnit's file says of it."""
    from xml.etree import ElementTree

    cases = ElementTree.parse(path).getroot().iter("testcase")
    return {c.get("name"): {p.get("name"): p.get("value") for p in c.iter("property")} for c in cases}


def test_the_plugin_costs_a_project_without_probes_nothing():
    code = "import sys, pytest\nbefore = set(sys.modules)\nimport probe.pytest_plugin\nprint(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['probe', 'probe.pytest_plugin']"


@pytest.fixture
def alone(monkeypatch):
    """No plugin of another package, which may import anything."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return "-p", "probe.pytest_plugin"


def test_a_project_without_probes_imports_nothing_of_them(inside, alone):
    inside.pytester.makeconftest(SAY.format([*HEAVY, "probe.testing"]))
    inside.pytester.makepyfile("def test_own():\n    pass")
    done = inside(*alone)
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines(["LOADED []*"])
    done.stdout.no_fnmatch_line("*probe:*")


def test_a_model_is_asked_without_a_test_file(inside):
    done = inside(*model(GOOD, controls="none"), "-rs", "--junitxml=j.xml")
    done.assert_outcomes(passed=2, skipped=3)
    assert done.ret == 0
    done.stdout.re_match_lines(
        [
            r"probe: zoo:oracle/identity, 5 checks of loudness",
            r"-+ probe: zoo:oracle/identity -+",
            r"  loudness/gain +1 +0\.9 … 1\.1  pass",
            r"  loudness/narrow_gain +1\.0 \[0\.0, 2\.0\] +0\.9 … 1\.1  inconclusive",
            r"  loudness/offset .* psi +info",
            r"  2 checks could not be asked \(pytest -rs says why\)",
            r"report: .*/reports/oracle-identity-\w{8}/report\.html",
            r"SKIPPED \[1\] .*: loudness/colour does not come up for zoo:oracle/identity",
        ],
        consecutive=False,
    )
    said = properties(inside.pytester.path / "j.xml")["loudness/gain[zoo:oracle/identity]"]
    assert float(said["value"]) == float(said["low"]) == float(said["high"]) == pytest.approx(1, abs=1e-12)
    assert (said["bounds"], said["unit"], said["verdict"]) == ("0.9 … 1.1", "", "pass")
    assert said["sentence"] == "The answer is 1 times as loud as its input."
    (folder,) = (inside.pytester.path / "reports").iterdir()
    document = json.loads((folder / "run.json").read_text())
    assert document["complete"] and [p["name"] for p in document["probes"]] == ["loudness"]
    assert "Does the answer keep the size" in (folder / "report.html").read_text()


def test_collecting_lists_the_checks_and_loads_nothing(inside, alone):
    inside.pytester.makeconftest(SAY.format(HEAVY))
    inside.pytester.makepyfile(
        f"""
        from probe.testing import parametrize_with_probes

        @parametrize_with_probes({BAD!r}, probes=["rotation", {LOUDNESS!r}], expected_failures={{"rotation": "why"}})
        def test_physics(check):
            check()
        """
    )
    done = inside(*alone, *model(GOOD), "--collect-only", "-q", "-k", "gain or group")
    assert done.ret == 0
    listed = [line for line in done.outlines if "::" in line]
    assert listed == [
        "probe::loudness/gain[zoo:oracle/identity]",
        "probe::loudness/narrow_gain[zoo:oracle/identity]",
        *(
            f"test_collecting_lists_the_checks_and_loads_nothing.py::test_physics[{name}-{BAD}]"
            for name in ("rotation/cubic_group", "rotation/square_group", "loudness/gain", "loudness/narrow_gain")
        ),
    ]
    done.stdout.fnmatch_lines(["LOADED []*"])
    assert not (inside.pytester.path / "reports").exists()


def test_a_failure_reads_well_and_can_be_asked_again_alone(inside):
    words = model(BAD, LOUDNESS, "phase", controls="none", effort="quick")
    done = inside(*words, "-x")
    assert done.ret == 1
    done.assert_outcomes(failed=1)
    done.stdout.re_match_lines(
        [
            r"The answer is 0\.\d+ times as loud as its input\.",
            r"Found 0\.\d+, allowed 0\.9 … 1\.1 \(a convention of this test\)",
            r"FAILED probe::loudness/gain\[zoo:oracle/gaussian_filter\] - Failed: The answer is",
        ]
    )
    # Nothing came of phase, whose turn never was.
    (folder,) = (inside.pytester.path / "reports").iterdir()
    assert not (folder / "phase.nc").exists()
    again = inside(*words, "--lf", "--probe-set", "loudness.bound=0.99")
    again.assert_outcomes(passed=1)


COUNTED = """
from pathlib import Path
from tests.loudness import Loudness


class {name}(Loudness):
    \"\"\"How often is it asked?\"\"\"

    def measure(self, subject):
        with (Path({folder!r}) / "asked").open("a") as file:
            file.write(self.name() + "\\n")
        return super().measure(subject)
"""


@pytest.mark.parametrize("distribution", ["load", pytest.param("loadgroup", marks=pytest.mark.slow)])
def test_workers_ask_a_probe_once_and_write_one_whole_report(inside, distribution):
    folder = inside.pytester.path
    for name in ("First", "Second", "Third"):
        (folder / f"{name.lower()}.py").write_text(COUNTED.format(name=name, folder=str(folder)))
    inside.pytester.makepyfile(
        test_more=f"""
        from probe.testing import parametrize_with_probes

        @parametrize_with_probes({GOOD!r}, probes=["third.py"], controls="none")
        def test_physics(check):
            check()
        """
    )
    asked = model(GOOD, "first.py", "second.py", controls="none", out="r")
    done = inside(*asked, "-n2", f"--dist={distribution}", "--junitxml=j.xml")
    done.assert_outcomes(passed=6, skipped=9)
    assert sorted((folder / "asked").read_text().split()) == ["first", "second", "third"]
    document = json.loads((folder / "r" / "run.json").read_text())
    assert document["complete"] and [p["name"] for p in document["probes"]] == ["first", "second"]
    assert {path.name for path in (folder / "r").glob("*.*")} == {".session", "first.nc", "second.nc", "report.html", "run.json"}
    done.stdout.re_match_lines([r"  first/gain +1 +0\.9 … 1\.1 +pass", r"report: .*/r/report\.html"])
    assert {said["verdict"] for said in properties(folder / "j.xml").values()} == {"pass", "info", "inconclusive", "not_applicable"}


CONFIGURED = f"""
[tool.pytest.ini_options]
markers = ["own"]
addopts = "--strict-markers"
xfail_strict = true
probe_model = "{BAD}"
probe_names = ["{LOUDNESS}"]
probe_controls = "none"
probe_strict = true
probe_set = ["loudness.size=2.0"]
probe_expect = ["loudness/gain=it smooths, as it was made to"]
"""


def test_a_project_says_in_its_configuration_what_is_asked(inside):
    (inside.pytester.path / "pyproject.toml").write_text(CONFIGURED)
    inside.pytester.makepyfile("def test_own():\n    pass")
    done = inside("-rx", "-n1")
    # narrow_gain is inconclusive, and strict; what was expected failed.
    done.assert_outcomes(passed=2, xfailed=1, failed=1, skipped=2)
    done.stdout.re_match_lines(
        [r"  loudness/gain .* fail, as expected", r"XFAIL probe::loudness/gain\S* - it smooths, as it was made to"]
    )
    document = json.loads(next((inside.pytester.path / "reports").iterdir()).joinpath("run.json").read_text())
    assert document["probes"][0]["parameters"]["size"] == 2.0
    alone = inside("test_a_project_says_in_its_configuration_what_is_asked.py")
    alone.assert_outcomes(passed=1)


WRONG = '''
from tests.loudness import Loudness


class Broken(Loudness):
    """Does it break?"""

    def measure(self, subject):
        raise ZeroDivisionError("in the middle of it")


class Never(Loudness):
    """Can it be asked?"""

    def applies(self, subject):
        return "write down what it is"
'''


def test_a_crash_and_a_run_without_a_verdict_are_not_green(inside):
    (inside.pytester.path / "wrong.py").write_text(WRONG)
    done = inside(*model(GOOD, "wrong.py", controls="none"), "-rs", "--probe-expect", "broken=nothing stands for a crash")
    done.assert_outcomes(failed=5, skipped=5)
    done.stdout.re_match_lines(
        [r"broken ended in an error: ZeroDivisionError: in the middle of it", r"SKIPPED \[5\] .*: write down what it is"]
    )
    (inside.pytester.path / "wrong.py").write_text(WRONG.replace("class Broken(Loudness)", "class Broken"))
    done = inside(*model(GOOD, "wrong.py", controls="none"))
    done.assert_outcomes(skipped=5)
    assert done.ret == 1
    done.stdout.fnmatch_lines(["No check gave a verdict, so nothing is known of this model: the run counts as failed."])


@pytest.mark.parametrize(
    "words, said",
    [
        (["--probe-model", GOOD, "--probe", "rotatoin"], "did you mean 'rotation'"),
        (["--probe-model", "none.pt"], "the model none.pt is not there"),
        (["--probe-model", GOOD, "--probe", "phase", "--probe-expect", "phase/sixphases=why"], "did you mean 'phase/six_phases'"),
        (["--probe-model", GOOD, "--probe-expect", "phase"], "--probe-expect takes PROBE/CHECK=REASON; found 'phase'"),
        (["--probe-model", GOOD, "--probe-seed", "x"], "--probe-seed is a whole number from 0; found 'x'"),
        (["--probe-model", GOOD, "--probe-effort", "much"], "--probe-effort is one of quick, default, full; found 'much'"),
    ],
)
def test_what_cannot_be_asked_is_a_usage_error(pytester, words, said):
    done = pytester.runpytest_inprocess(*words)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    assert said in "\n".join(done.errlines)


def test_an_expected_failure_of_nothing_is_an_error_where_the_tests_are_collected(pytester):
    pytester.makepyfile(
        """
        from probe.testing import parametrize_with_probes

        @parametrize_with_probes("zoo:oracle/identity", probes="phase", expected_failures={"phase/none": "why"})
        def test_physics(check):
            check()
        """
    )
    done = pytester.runpytest_inprocess()
    assert done.ret == pytest.ExitCode.INTERRUPTED
    done.stdout.fnmatch_lines(["*an expected failure names 'phase/none'*which is no check that is asked*"])


@pytest.fixture
def example(tmp_path, monkeypatch):
    """A copy of the example project, and pytest in it on a checkpoint of its own."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("COLUMNS", "160")
    folder = shutil.copytree(HERE / "example_project", tmp_path / "project")

    def ask(*more, **environment):
        words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rxfs", *more]
        return subprocess.run(words, cwd=folder, env=os.environ | environment, capture_output=True, text=True)

    return ask


def test_the_example_project_is_green_on_the_trained_network(example):
    done = example()
    assert done.returncode == 0, done.stdout
    assert re.search(r"XFAIL .*plane_wave/response.* - ", done.stdout) and " failed" not in done.stdout.splitlines()[-1]


def test_the_example_project_is_red_on_damaged_weights_and_says_why(example, tmp_path):
    trained = entries()["lpt2nbody"].folder
    damaged = shutil.copytree(trained, tmp_path / "damaged", ignore=shutil.ignore_patterns("recipe", "cosmology", "__pycache__"))
    weights = load_file(trained / "weights.safetensors")
    # The last layer's outputs exchanged, as a permuted axis would: x gets what belongs to z, y to x, z to y.
    save_file(weights | {"out.weight": weights["out.weight"].roll(1, 0).contiguous()}, damaged / "weights.safetensors")
    environment = {"CHECKPOINT": str(damaged / "weights.safetensors"), "DESCRIPTION": str(damaged / "model.probe.toml")}
    done = example("-k", "conservation", **environment)
    assert done.returncode == 1, done.stdout
    assert re.search(r"FAILED \S+\[conservation/transverse-weights\.safetensors\] - Failed: Across k", done.stdout)
    assert re.search(r"^Across k .* the transverse amplitude of psi is off the truth's by at most 15", done.stdout, re.MULTILINE)
    assert re.search(r"^Found 0\.1\d+ \[.*, allowed ≤ 0\.05 \(", done.stdout, re.MULTILINE)


DOCS = (HERE.parent / "docs" / "ci.md").read_text(encoding="utf-8")


def test_every_option_in_the_documentation_is_one():
    flags = {f"--probe-{name}" for name in (*TEXTS, *FLAGS, *LISTS)} | {"--probe"}
    assert set(re.findall(r"--probe[a-z-]*", DOCS)) == flags
    (configuration,) = re.findall(r"```ini\n(.*?)```", DOCS, re.DOTALL)
    keys = tomllib.loads(configuration)["tool"]["pytest"]["ini_options"]
    assert set(keys) <= {key(name) for name in ("names", *TEXTS, *FLAGS, *LISTS)}


def test_the_workflows_in_the_documentation_are_yaml():
    yaml = pytest.importorskip("yaml")
    github, gitlab = (yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", DOCS, re.DOTALL))
    asked = [step["run"] for step in github["jobs"]["probe"]["steps"] if "pytest --probe-model" in step.get("run", "")]
    assert asked == [line for line in gitlab["physics"]["script"] if line.startswith("pytest")]
