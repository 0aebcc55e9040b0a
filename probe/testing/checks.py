"""Each check of a probe as a test, its verdict as what a test ends in.

Which checks there are is known without measuring, from what probes declare; a check that does not come up for a model
is skipped, so that a test's name stays the same whatever the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

from probe import registry
from probe.contract import Check, Probe
from probe.errors import InputError, printable
from probe.intervals import PRECEDENCE, Verdict
from probe.parameters import nearest
from probe.report import numbers
from probe.testing.lazy_run import Asking, LazyRun

if TYPE_CHECKING:
    import pytest


class ProbeError(Exception):
    """A probe ended in an error, or the run could not start; no expected failure stands for it."""


@dataclass(frozen=True)
class Answer:
    """What a test ends in.

    Attributes
    ----------
    check : Check or None
        None where there is none: the probe could not be asked, crashed, or gave no such check.
    """

    verdict: Verdict
    sentence: str
    check: Check | None = None


@dataclass(frozen=True)
class ProbeCheck:
    """One check of one probe on one model: call it in a test.

    Attributes
    ----------
    probe, name : str
        The name is empty where the probe does not declare its checks: then it stands for all of them.
    strict : bool
        Whether an inconclusive check fails.
    remark : str
        What is said below a failure: that it is excused no longer.
    """

    run: LazyRun
    probe: str
    name: str
    strict: bool = False
    remark: str = ""

    @property
    def id(self) -> str:
        """`probe/check`."""
        return f"{self.probe}/{self.name}" if self.name else self.probe

    def __repr__(self) -> str:
        return f"<{self.id} of {self.run.name}>"

    def __call__(self) -> None:
        """End the test as the verdict has it.

        `pass` and `info` pass, `fail` fails with the check's sentence, value and bounds, `not_applicable` is skipped with the
        reason, `inconclusive` is skipped with the sentence or fails where strict, `error` is an error.
        """
        __tracebackhide__ = True
        import pytest

        try:
            answer = self.answer()
        except InputError as fault:
            raise ProbeError(str(fault)) from None
        if answer.verdict == "error":
            raise ProbeError(f"{self.probe} ended in an error: {answer.sentence}")
        if self.fails(answer):
            pytest.fail(self.failure(answer), pytrace=False)
        if answer.verdict in ("not_applicable", "inconclusive"):
            pytest.skip(told(answer).replace("\n", " "))

    def answer(self) -> Answer:
        """Its verdict and sentence; the probe is asked if it was not before."""
        result = self.run.result(self.probe)
        if result.failure:
            return Answer("error", result.reason)
        if result.reason:
            return Answer("not_applicable", result.reason)
        checks = [check for check in result.checks if self.name in ("", check.name)]
        if not checks:
            return Answer("not_applicable", f"{self.id} does not come up for {self.run.name}")
        worst = min(checks, key=lambda check: PRECEDENCE.index(check.verdict))
        others = [f"{c.name}: {c.sentence}" for c in checks if c.verdict == worst.verdict and c is not worst]
        return Answer(worst.verdict, " ".join([worst.sentence, *others]), worst)

    def fails(self, answer: Answer) -> bool:
        """Whether an answer fails the test."""
        return answer.verdict == "fail" or (self.strict and answer.verdict == "inconclusive")

    def failure(self, answer: Answer) -> str:
        """What is said of an answer that fails."""
        return "\n".join(filter(None, (told(answer), printable(self.remark))))

    def properties(self) -> list[tuple[str, Any]]:
        """What JUnit's file and the summary say of it; empty where it was not asked."""
        if self.probe not in self.run.results:
            return []
        answer = self.answer()
        said: dict[str, Any] = {
            "probe": self.id,
            "model": self.run.name,
            "verdict": answer.verdict,
            "sentence": printable(answer.sentence),
        }
        if (check := answer.check) is not None:
            span = check.interval
            said |= {"value": float(span.value), "low": float(span.low), "high": float(span.high), "unit": check.unit}
            said |= {"bounds": numbers.bounds(check.bounds), "bound_from": check.bound_from, "covers": check.covers}
        return list(said.items())


def told(answer: Answer) -> str:
    """The sentence, and below it the value with its interval, the bounds and where they come from."""
    lines, check = [answer.sentence], answer.check
    if check is not None and check.verdict != "not_applicable":
        found = f"{numbers.interval(check.interval)} {numbers.unit(check.unit)}".rstrip()
        allowed = numbers.bounds(check.bounds)
        lines.append(f"Found {found}" + (f", allowed {allowed} ({check.bound_from})" if allowed else ""))
        lines += [f"rests on a guess: {guess}" for guess in check.rests_on]
    return printable("\n".join(lines), keep="\n", longest=None)


def checks_of(
    model: Any,
    probes: str | Sequence[str | type[Probe]] = "all",
    settings: registry.Settings | None = None,
    strict: bool = False,
    **asking: Unpack[Asking],
) -> list[ProbeCheck]:
    """Every check that probes may give on a model, which is neither loaded nor asked yet.

    Raises
    ------
    InputError
        If there is no such probe or setting.
    """
    words = [probes] if isinstance(probes, str | type) else list(probes)
    run = LazyRun(model, registry.configure(registry.find(words), settings or {}), **asking)
    return [ProbeCheck(run, probe.name(), name, strict) for probe in run.probes for name in probe.checks or ("",)]


def reasons_of(checks: Sequence[ProbeCheck], expected: Mapping[str, str] | None) -> dict[str, str]:
    """Why each check that is expected to fail does, by its id; a probe's name stands for all its checks.

    Raises
    ------
    InputError
        If a name matches no check, or has no reason.
    """
    known, reasons = {check.id for check in checks} | {check.probe for check in checks}, dict(expected or {})
    for name, reason in reasons.items():
        if name not in known:
            raise InputError(f"an expected failure names {name!r}{nearest(name, sorted(known))}, which is no check that is asked")
        if not str(reason).strip():
            raise InputError(f"the expected failure of {name} has no reason; say why it is expected")
    whys = {check.id: reasons.get(check.id, reasons.get(check.probe)) for check in checks}
    return {name: why for name, why in whys.items() if why}


def expected(reason: str, strict: bool | None) -> pytest.MarkDecorator:
    """The mark of an expected failure: a failed check, and nothing else, is what was expected."""
    import pytest

    # Without a word on it the configuration's `xfail_strict` decides.
    more = {} if strict is None else {"strict": strict}
    return pytest.mark.xfail(reason=reason, raises=pytest.fail.Exception, **more)
