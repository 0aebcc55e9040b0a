"""A model asked in tests: a test for each of its checks, or all of them at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from probe import registry
from probe.contract import Probe
from probe.testing.beside import HeldToBaseline, held_to
from probe.testing.checks import ProbeCheck, checks_of, expected, reasons_of
from probe.testing.lazy_run import Asking

if TYPE_CHECKING:
    from probe.interface import Run


class ChecksFailed(AssertionError):
    """What `check_model` raises.

    Attributes
    ----------
    run : Run
        A mapping of all results, those that passed too.
    """

    def __init__(self, sentences: str, run: Run) -> None:
        super().__init__(sentences)
        self.run = run


def parametrize_with_probes(
    model: Any,
    probes: str | Sequence[str | type[Probe]] = "all",
    *,
    expected_failures: Mapping[str, str] | None = None,
    xfail_strict: bool | None = None,
    strict: bool = False,
    settings: registry.Settings | None = None,
    baseline: str | os.PathLike[str] | None = None,
    tolerance: float = 0.01,
    **asking: Unpack[Asking],
) -> Callable[[Any], Any]:
    """One test for each check of the probes; the test's argument `check` is to be called.

    A probe is measured once, when the first of its tests runs.

    Parameters
    ----------
    model : str, path, FieldModel or callable
        What `probe.load` takes, a model, or a function that makes one. It is loaded when the first test runs.
    probes : str or sequence of str or class
        Names of probes or suites, "all", paths to files, or probes themselves.
    expected_failures : mapping of str to str, optional
        `probe/check`, or a probe for all its checks -> the reason, told with the test.
    xfail_strict : bool, optional
        Whether an expected failure that passes fails the test; None: as pytest's own `xfail_strict` says.
    strict : bool
        Whether inconclusive checks fail; else they are skipped.
    settings : mapping of probe to mapping of parameter to value, optional
    baseline : path, optional
        The record of an earlier run that this one may not fall behind: a further test, the last, compares them. It is written where
        there is none, and anew with `pytest --probe-baseline-update`. Its known failures are expected ones.
    tolerance : float
        Relative worsening against the baseline that is let pass where nothing was sampled.
    **asking
        spec, factory, trust_pickle, data, controls, effort, device, batch_size, seed, out, resume, overwrite: as `probe run`
        has them. Nothing is stored without `out`.

    Raises
    ------
    InputError
        If a probe, a setting or an expected failure is of nothing that there is, or the file is no baseline.
    """
    import pytest

    checks = checks_of(model, probes, settings, strict, **asking)
    reasons = reasons_of(checks, expected_failures)
    tests: list[ProbeCheck | HeldToBaseline] = [*checks]
    if baseline is not None:
        checks, known, held = held_to(baseline, checks, tolerance=tolerance)
        reasons, tests = known | reasons, [*checks, held]
    marks = {name: [expected(reason, xfail_strict)] for name, reason in reasons.items()}
    cases = [pytest.param(test, id=f"{test.id}-{test.run.name}", marks=marks.get(test.id, [])) for test in tests]
    parametrized = pytest.mark.parametrize("check", cases)
    if asking.get("out") is None and "PYTEST_XDIST_WORKER" in os.environ:
        return lambda test: pytest.mark.usefixtures("_probe_scratch")(parametrized(test))
    return parametrized


def check_model(
    model: Any,
    probes: str | Sequence[str | type[Probe]] = "all",
    *,
    expected_failures: Mapping[str, str] | None = None,
    xfail_strict: bool = False,
    strict: bool = False,
    settings: registry.Settings | None = None,
    baseline: str | os.PathLike[str] | None = None,
    update_baseline: bool = False,
    tolerance: float = 0.01,
    **asking: Unpack[Asking],
) -> Run:
    """Ask a model and raise if a check fails; the arguments are those of `parametrize_with_probes`.

    `update_baseline` records this run in place of the earlier one.

    Returns
    -------
    Run
        A mapping of results, as from `probe.run`.

    Raises
    ------
    ChecksFailed
        An AssertionError: every check that failed, or was expected to and, with `xfail_strict`, did not; every probe that ended
        in an error; what got significantly worse than in the baseline.
    InputError
        If the run could not start.
    """
    checks = checks_of(model, probes, settings, strict, **asking)
    reasons, faults, held = reasons_of(checks, expected_failures), [], None
    if baseline is not None:
        checks, known, held = held_to(baseline, checks, update_baseline, tolerance)
        reasons = known | reasons
    for check in checks:
        answer = check.answer()
        if answer.verdict == "error" or (check.fails(answer) and check.id not in reasons):
            faults.append(f"{check.id}: {check.failure(answer)}")
        elif xfail_strict and check.id in reasons and answer.verdict == "pass":
            faults.append(f"{check.id} passes, but was expected to fail: {reasons[check.id]}")
    if held and (fallen := held.failure()):
        faults.append(fallen)
    run = checks[0].run.whole()
    if faults:
        raise ChecksFailed("\n".join(faults), run)
    return run
