"""Probes as tests: what each verdict does to one, that a probe is asked once and when it is wanted, and the proof of a probe."""

from __future__ import annotations

import json
import re

import pytest
import torch

from probe import interface, registry
from probe.contract import Check
from probe.errors import InputError
from probe.testing import ProbeError, certify, check_model
from probe.testing.checks import checks_of, expected, reasons_of
from probe.testing.lazy_run import LazyRun
from tests.loudness import Loudness
from tests.models import LINE, on

CATALOGUE = registry.catalogue()


def keeping():
    return on(LINE, lambda x: 1.0 * x, "keeping")


def halving():
    return on(LINE, lambda x: 0.5 * x, "halving")


def by_name(model, **more):
    return {check.name: check for check in checks_of(model, Loudness, **more)}


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_probe_declares_the_checks_that_it_can_give(name):
    checks = CATALOGUE[name].checks
    assert checks and len(set(checks)) == len(checks), f"{name} is to declare `checks`"
    assert all(re.fullmatch(r"[a-z0-9_]+", check) for check in checks)


def test_a_check_that_is_not_declared_is_an_error_of_the_probe():
    class Careless(Loudness):
        """Does it declare all?"""

        checks = ("gain",)

    result = interface.run([Careless], keeping())["careless"]
    assert result.verdict == "error" and "narrow_gain, offset, spectrum" in result.reason and "`checks`" in result.reason


def test_which_checks_there_are_is_known_before_anything_is_loaded():
    def never():
        raise AssertionError("loaded")

    checks = checks_of(never, [Loudness, "phase"])
    assert [check.id for check in checks][:6] == [
        "loudness/gain",
        "loudness/narrow_gain",
        "loudness/offset",
        "loudness/spectrum",
        "loudness/colour",
        "phase/six_phases",
    ]
    assert f"{checks[0]!r}" == "<loudness/gain of never>"


def test_a_verdict_ends_a_test_as_it_should():
    checks = by_name(keeping())
    checks["gain"]()
    checks["offset"]()  # info has nothing to fail
    for name, said in (
        ("narrow_gain", "One field is too few. Found 1.0 [0.0, 2.0], allowed 0.9 … 1.1 (the same)"),
        ("spectrum", "noise has no spectrum to speak of"),
        ("colour", "loudness/colour does not come up for keeping"),
    ):
        with pytest.raises(pytest.skip.Exception) as skipped:
            checks[name]()
        assert skipped.value.msg == said


def test_a_failure_says_the_sentence_the_value_and_the_bounds():
    with pytest.raises(pytest.fail.Exception) as failed:
        by_name(halving())["gain"]()
    expected = "The answer is 0.5 times as loud as its input.\nFound 0.500, allowed 0.9 … 1.1 (a convention of this test)"
    assert failed.value.msg == expected


def test_strict_fails_what_is_inconclusive():
    with pytest.raises(pytest.fail.Exception, match="One field is too few"):
        by_name(keeping(), strict=True)["narrow_gain"]()


def test_a_crash_is_an_error_that_no_expected_failure_stands_for():
    class Broken(Loudness):
        """Does it break?"""

        def measure(self, subject):
            raise ZeroDivisionError("in the middle of it")

    check = checks_of(keeping(), Broken)[0]
    with pytest.raises(ProbeError, match="broken ended in an error: ZeroDivisionError: in the middle of it"):
        check()
    assert not issubclass(ProbeError, expected("why", None).kwargs["raises"])


def test_a_run_that_cannot_start_is_an_error_of_each_check_and_is_tried_once():
    tried = []

    def none():
        tried.append(1)
        return "a text"

    for check in checks_of(none, Loudness):
        with pytest.raises(ProbeError, match="none gave a str; expected a FieldModel"):
            check()
    assert tried == [1]


def test_a_probe_is_asked_once_when_the_first_of_its_checks_is_and_others_are_not():
    model = keeping()
    checks = checks_of(model, [Loudness, "phase"])
    assert model.passes == 0
    checks[0]()
    passes, run = model.passes, checks[0].run
    checks[2]()
    assert model.passes == passes and list(run.results) == ["loudness"]


def test_a_probe_that_declares_no_checks_is_one_test_that_tells_the_worst():
    class Unknown(Loudness):
        """What will it be?"""

        checks = ()

    (check,) = checks_of(halving(), Unknown)
    assert check.id == "unknown"
    with pytest.raises(pytest.fail.Exception, match=r"0\.5 times as loud"):
        check()


def test_expected_failures_name_a_check_or_a_probe_and_say_why():
    checks = checks_of(halving(), [Loudness, "phase"])
    assert reasons_of(checks, {"loudness/gain": "it halves", "phase": "so it goes"}) == {
        "loudness/gain": "it halves",
        **{f"phase/{name}": "so it goes" for name in CATALOGUE["phase"].checks},
    }
    with pytest.raises(InputError, match=r"'loudness/gian' \(did you mean 'loudness/gain'\?\)"):
        reasons_of(checks, {"loudness/gian": "it halves"})
    with pytest.raises(InputError, match="has no reason"):
        reasons_of(checks, {"loudness/gain": " "})


def test_check_model_raises_what_failed_and_gives_the_run():
    run = check_model(keeping(), Loudness)
    assert run["loudness"].verdict == "inconclusive" and run.exit_status() == 0
    with pytest.raises(AssertionError, match=r"^loudness/gain: The answer is 0\.5 times as loud"):
        check_model(halving(), Loudness)
    assert check_model(halving(), Loudness, expected_failures={"loudness/gain": "it halves"})["loudness"].verdict == "fail"
    with pytest.raises(AssertionError, match="loudness/gain passes, but was expected to fail: it halves"):
        check_model(keeping(), Loudness, expected_failures={"loudness/gain": "it halves"}, xfail_strict=True)
    with pytest.raises(AssertionError, match="loudness/narrow_gain: One field"):
        check_model(keeping(), Loudness, strict=True)


def lazily(model, folder, **more):
    return LazyRun(model, [Loudness()], out=folder, **more)


def test_a_run_is_stored_and_taken_up_again_where_it_was_left(tmp_path):
    first = lazily(keeping(), tmp_path / "r")
    first.result("loudness")
    document = json.loads((tmp_path / "r" / "run.json").read_text())
    assert document["complete"] and [p["name"] for p in document["probes"]] == ["loudness"]
    model = keeping()
    again = lazily(model, tmp_path / "r", resume=True)
    assert again.result("loudness").passes == 0 and again.result("loudness").checks == first.result("loudness").checks


def test_a_run_that_no_test_wrote_is_refused_and_one_of_an_earlier_session_replaced(tmp_path):
    folder = tmp_path / "r"
    interface.run("phase", keeping(), out=folder, controls="none")
    with pytest.raises(InputError, match="no test wrote"):
        lazily(keeping(), folder).result("loudness")
    assert (folder / "phase.nc").exists()
    lazily(keeping(), folder, overwrite=True).result("loudness")
    assert not (folder / "phase.nc").exists()
    (folder / ".session").write_text("of yesterday")
    assert lazily(halving(), folder).result("loudness").passes > 0
    with pytest.raises(InputError, match="another model of this session"):
        lazily(keeping(), folder).result("loudness")


class Sure(Loudness):
    """Does the answer keep the size of the input?

    Without the check that can never tell.
    """

    def judge(self, measured):
        return [check for check in super().judge(measured) if check.name != "narrow_gain"]


class Forgetful(Sure):
    """Does it judge by what it does not store?

    A judgement of its memory.
    """

    def measure(self, subject):
        self.memory = "remembered"
        return super().measure(subject)

    def judge(self, measured):
        first, *rest = super().judge(measured)
        told = getattr(self, "memory", "forgotten")
        self.memory = "forgotten"
        return [Check.judged("gain", first.interval, first.bounds, told, bound_from=first.bound_from), *rest]


class Restless(Sure):
    """Does it draw numbers of its own?

    From nobody's seed.
    """

    def measure(self, subject):
        return super().measure(subject).assign(offset=float(torch.rand(())))


class Mute(Sure):
    """Nothing is asked."""

    def draw(self, measured):
        return []


@pytest.mark.parametrize(
    "probe, oracle, defect, more, said",
    [
        (Sure, halving, halving, {}, "the oracle is to pass, but its verdict is fail: gain: The answer is 0.5 times"),
        (Sure, keeping, keeping, {}, "the defect is to fail, but its verdict is pass"),
        (Sure, keeping, halving, {"values": {"gain": 1.1}}, "gain of the oracle is 1; the closed form says 1.1"),
        (Sure, keeping, halving, {"values": {"none": 1.0}}, "none of the oracle is nan"),
        (Forgetful, keeping, halving, {}, "judged again from what is stored, its checks are others"),
        (Restless, keeping, halving, {}, "from the same seed, it finds other numbers"),
        (Mute, keeping, halving, {}, "asks no question"),
        (Mute, keeping, halving, {}, "it draws no panel"),
    ],
)
def test_what_is_wrong_with_a_probe_is_told(probe, oracle, defect, more, said):
    with pytest.raises(AssertionError) as told:
        certify(probe, oracle=oracle(), defect=defect(), **more)
    assert said in str(told.value)


def test_a_probe_of_another_package_is_certified():
    of_oracle, of_defect = certify(Sure, oracle=keeping(), defect=halving(), values={"gain": 1.0}, precision=1e-12)
    assert (of_oracle.verdict, of_defect.verdict) == ("pass", "fail")
