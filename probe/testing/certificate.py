"""The proof of a probe: it passes a model that is right, fails one that is wrong, and keeps its contract on the way."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from probe.contract import Check, Probe, Result
from probe.registry import Settings

if TYPE_CHECKING:
    from probe.model import FieldModel


def certify(
    probe: type[Probe],
    *,
    oracle: FieldModel,
    defect: FieldModel,
    values: Mapping[str, float] | None = None,
    precision: float = 1e-9,
    settings: Settings | None = None,
) -> tuple[Result, Result]:
    """Prove a probe, as every probe of the catalogue is proved.

    The oracle passes and the defect fails; the same seed gives the same numbers; what is stored is judged and drawn
    as what was measured; every panel has its caption, its alternative in words and its figures.

    Parameters
    ----------
    probe : subclass of Probe
    oracle : FieldModel
        A model whose answer is known in closed form and right.
    defect : FieldModel
        A model wrong in just the way the probe is there to see.
    values : mapping of check to value, optional
        What the closed form says of the oracle, and `precision`, how far off the measurement may be.
    settings : mapping of probe to mapping of parameter to value, optional

    Returns
    -------
    of_oracle, of_defect : Result

    Raises
    ------
    AssertionError
        What is not as it should be, in one sentence each.
    """
    from probe.interface import run

    name, faults = probe.name(), _words(probe)
    with TemporaryDirectory() as folder:
        # Not with a report: certifying looks at the panels themselves.
        of_oracle = _stored(probe, oracle, settings, Path(folder))
        faults += _judged_again(of_oracle, Path(folder))
    of_defect = run([probe], defect, settings=settings)[name]
    faults += _verdict(of_oracle, "the oracle", "pass") + _verdict(of_defect, "the defect", "fail")
    if of_oracle.measured:
        again = run([probe], oracle, settings=settings, controls="none")[name]
        faults += _repeated(of_oracle, again) + _drawn(of_oracle) + _valued(of_oracle, values or {}, precision)
    if faults:
        raise AssertionError("\n".join(f"{name}: {fault}" for fault in faults))
    return of_oracle, of_defect


def _words(probe: type[Probe]) -> list[str]:
    told = {
        "the first line of its docstring asks no question": probe.question().endswith("?"),
        "its docstring says nothing beyond the question": probe.explanation(),
        "it belongs to no suite": probe.suite,
        "a parameter has no words of help": all(parameter.help for parameter in probe.parameters().values()),
    }
    return [fault for fault, right in told.items() if not right]


def _stored(probe: type[Probe], model: FieldModel, settings: Settings | None, folder: Path) -> Result:
    from probe.registry import configure
    from probe.testing.lazy_run import LazyRun

    return LazyRun(model, configure([probe], settings or {}), out=folder).result(probe.name())


def _verdict(result: Result, who: str, right: str) -> list[str]:
    if result.verdict == right:
        return []
    said = [f"{c.name}: {c.sentence}" for c in result.checks if c.verdict == result.verdict] or [result.reason]
    return [f"{who} is to {right}, but its verdict is {result.verdict}: {' '.join(said)}"]


def _judged_again(result: Result, folder: Path) -> list[str]:
    """Stored and read, it must be judged as it was."""
    from probe import store
    from probe.runner import judge

    again = Result(result.probe, measured=store.read_measured(folder, result.probe.name()))
    if not again.measured:
        return []
    judge(again)
    same = [_facts(check) for check in again.checks] == [_facts(check) for check in result.checks]
    return [] if same else ["judged again from what is stored, its checks are others"]


def _facts(check: Check) -> tuple[str, ...]:
    return check.name, check.verdict, check.sentence, f"{check.interval}"


def _repeated(first: Result, again: Result) -> list[str]:
    import xarray

    try:
        xarray.testing.assert_allclose(first.measured["model"], again.measured["model"], rtol=1e-6, atol=1e-12)
    except AssertionError as fault:
        return [f"measured again from the same seed, it finds other numbers: {str(fault).splitlines()[0]}"]
    return []


def _drawn(result: Result) -> list[str]:
    panels = result.panels()
    empty = [p.title for p in panels if not (p.title and p.caption and p.text and p.figures)]
    lost = {name for p in panels for name in p.variables} - {str(name) for name in result.measured["model"].variables}
    faults = [] if panels else ["it draws no panel"]
    faults += [f"the panel {title!r} lacks its caption, its alternative in words or its figures" for title in empty]
    return faults + [f"a panel names the variable {name!r}, which was not measured" for name in sorted(lost)]


def _valued(result: Result, values: Mapping[str, float], precision: float) -> list[str]:
    found = {check.name: check.interval.value for check in result.checks}
    return [
        f"{name} of the oracle is {found.get(name, math.nan):.12g}; the closed form says {value:.12g}, to {precision:g}"
        for name, value in values.items()
        if not abs(found.get(name, math.nan) - value) <= precision
    ]
