"""The contract of a probe, and the catalogue that holds it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from probe import registry
from probe.contract import Check, Probe, Result, judgement, measurement, percent
from probe.errors import InputError
from probe.intervals import Interval

# What is in sys.modules under the bare name may be a lazy stand-in; these are there only after a real import.
HEAVY = ("torch._C", "numpy._core", "xarray.core", "matplotlib.artist", "scipy._lib", "pandas._libs")


class Example(Probe):
    """Is it an example?

    More about it.
    """

    suite, version = "examples", 3
    count = measurement(3, "how many", low=1, high=10)
    scales = measurement((0.1, 0.2), "which", unit="h/Mpc")
    modes = measurement(None, "which modes", like=((1, 0),))
    exact = judgement(True, "whether exact")
    bound = judgement(None, "the bound", like=0.5, low=0.0)
    kind = judgement("a", "which kind", choices=("a", "b"))


def test_a_probe_is_named_and_explained_by_its_class():
    assert (Example.name(), Example.question(), Example.explanation()) == ("example", "Is it an example?", "More about it.")
    assert list(Example.parameters("judgement")) == ["exact", "bound", "kind"]


def test_parameters_are_read_from_text_as_from_python():
    texts = Example(count="4", scales="0.3,0.4", modes="1:0,2:-1", exact="no", bound="0.25", kind="b")
    values = Example(count=4, scales=(0.3, 0.4), modes=((1, 0), (2, -1)), exact=False, bound=0.25, kind="b")
    assert texts.settings() == values.settings()
    assert Example().settings("judgement") == {"exact": True, "bound": None, "kind": "a"}


@pytest.mark.parametrize(
    "setting, said",
    [
        ({"cuont": 1}, "did you mean 'count'"),
        ({"count": "many"}, "whole number"),
        ({"count": 2.5}, "whole number"),
        ({"count": 11}, "between 1 and 10"),
        ({"scales": "0.1,x"}, "numbers, comma-separated"),
        ({"modes": "1:a"}, "modes such as"),
        ({"exact": "perhaps"}, "true or false"),
        ({"bound": "nan"}, "between"),
        ({"bound": -1}, "between"),
        ({"kind": "c"}, "one of a, b"),
    ],
)
def test_a_wrong_parameter_is_told_in_one_sentence(setting, said):
    with pytest.raises(InputError, match=said) as caught:
        Example(**setting)
    assert "\n" not in str(caught.value)


def test_a_check_is_judged_by_the_whole_of_its_interval():
    def verdict(low, high, bounds=(None, 1.0)):
        return Check.judged("c", Interval((low + high) / 2, low, high), bounds, "", bound_from="").verdict

    assert [verdict(0, 0.9), verdict(1.1, 2), verdict(0.9, 1.1)] == ["pass", "fail", "inconclusive"]


def test_a_probes_verdict_is_the_worst_that_is_present():
    def of(*verdicts):
        return Result(Example(), [Check("c", Interval.exact(0), None, "", v, "") for v in verdicts]).verdict

    assert of("pass", "fail", "inconclusive") == "fail"
    assert of("pass", "info", "inconclusive") == "inconclusive"
    assert of("info", "pass") == "pass"
    assert of() == "not_applicable"
    assert Result(Example(), failure="Traceback").verdict == "error"


def test_shares_are_written_as_a_reader_takes_them_in():
    assert [percent(x) for x in (0.0352, 1.2, 4e-16, 0.0, float("nan"))] == ["3.52 %", "120 %", "4e-16", "0 %", "unknown"]


def test_every_probe_of_the_catalogue_is_whole():
    for name, probe in registry.catalogue().items():
        assert probe.suite and probe.version >= 1 and probe.references, name
        assert probe.question().endswith("?") and len(probe.explanation()) > 200, name
        assert all(p.help for p in probe.parameters().values()), name
        assert {"measure", "judge", "draw"} <= vars(probe).keys(), name
        assert probe.__module__ == f"probes_catalog.{probe.suite}.{name}"


def test_names_suites_and_paths_find_probes(tmp_path):
    symmetry = [p.name() for p in registry.catalogue().values() if p.suite == "symmetry"]
    assert [p.name() for p in registry.find(["phase", "symmetry"])] == ["phase", *(name for name in symmetry if name != "phase")]
    assert len(registry.find(["all"])) == len(registry.catalogue())
    own = tmp_path / "mine.py"
    own.write_text('from probe.contract import Probe\n\n\nclass Mine(Probe):\n    """Is it mine?"""\n\n    suite = "own"\n')
    assert [p.name() for p in registry.find([str(own)])] == ["mine"]


@pytest.mark.parametrize(
    "word, said", [("rotatoin", "did you mean 'rotation'"), ("./none.py", "is not there"), ("zzz", "probe list")]
)
def test_an_unknown_probe_is_told_with_the_nearest_name(word, said):
    with pytest.raises(InputError, match=said):
        registry.find([word])


@pytest.mark.parametrize("command", [["list"], ["explain", "rotation"], ["--help"], ["run", "--help"]])
def test_asking_what_there_is_imports_nothing_heavy(command):
    code = f"import sys\nfrom probe.cli import main\ntry:\n    main({command!r})\n"
    code += "except SystemExit as end:\n    assert not end.code, end.code\n"
    code += f"print('LOADED', [m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("LOADED []"), done.stdout[-300:]


def test_importing_every_probe_imports_nothing_heavy():
    code = f"import sys\nfrom probe.registry import catalogue\ncatalogue()\nprint([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
