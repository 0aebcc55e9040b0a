"""One probe as its section shows it: its answer, its checks, its figures, its numbers, its parameters."""

from __future__ import annotations

import math
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from probe import figures
from probe.contract import Check
from probe.intervals import Interval
from probe.report import words
from probe.report.tables import Download, downloads

if TYPE_CHECKING:
    from probe.contract import Panel, Result
    from probe.report.pictures import Pictures


@dataclass(frozen=True)
class Row:
    """A check, with the verdict of each control on it."""

    check: Check
    controls: Mapping[str, str]

    def controls_that(self, *verdicts: str) -> list[str]:
        """The controls whose verdict is one of these, as they stand in a list."""
        return [words.short(name) for name, found in self.controls.items() if found in verdicts]


@dataclass(frozen=True)
class Shown:
    """A panel, drawn."""

    anchor: str
    title: str
    caption: str
    text: str
    pictures: list[tuple[str, Markup]]
    downloads: list[Download]


@dataclass(frozen=True)
class Setting:
    """A parameter and the value it had."""

    name: str
    value: str
    unit: str
    role: str
    help: str
    changed: bool


@dataclass(frozen=True)
class Section:
    """A probe in the report."""

    name: str
    verdict: str
    headline: str
    question: str
    suite: str = ""
    rows: list[Row] = field(default_factory=list)
    panels: list[Shown] = field(default_factory=list)
    undrawn: str = ""
    explanation: str = ""
    settings: list[Setting] = field(default_factory=list)
    references: tuple[str, ...] = ()
    reason: str = ""
    failure: str = ""
    version: int | None = None
    seconds: float | None = None
    passes: int | None = None

    @property
    def anchor(self) -> str:
        """Its id in the page."""
        return f"probe-{self.name}"


def from_result(result: Result, pictures: Pictures) -> Section:
    """The section of a probe whose measurement is at hand."""
    probe = result.probe
    panels, undrawn = _drawn(result, pictures)
    return Section(
        name=probe.name(),
        verdict=result.verdict,
        headline=result.headline,
        question=probe.question() or probe.name(),
        suite=probe.suite,
        rows=[_row(check, result) for check in result.checks],
        panels=panels,
        undrawn=undrawn,
        explanation=probe.explanation(),
        settings=_settings(result),
        references=tuple(probe.references),
        reason=result.reason,
        failure=result.failure,
        version=probe.version,
        seconds=result.seconds,
        passes=result.passes,
    )


def from_record(record: Mapping[str, Any]) -> Section:
    """The section of a probe of which only the record in `run.json` is at hand."""
    settings = record.get("parameters") or {}
    return Section(
        name=str(record.get("name") or "unnamed"),
        verdict=str(record.get("verdict") or "not_applicable"),
        headline=str(record.get("headline") or record.get("reason") or ""),
        question=str(record.get("question") or record.get("name") or "unnamed"),
        suite=str(record.get("suite") or ""),
        rows=[Row(recorded(check), check.get("controls") or {}) for check in record.get("checks") or []],
        settings=[Setting(name, written(value), "", "", "", False) for name, value in settings.items()],
        reason=str(record.get("reason") or ""),
        version=record.get("version"),
        seconds=record.get("seconds"),
        passes=record.get("passes"),
    )


def recorded(check: Mapping[str, Any]) -> Check:
    """A check as `run.json` keeps it."""
    value, low, high = (math.nan if check.get(key) is None else float(check[key]) for key in ("value", "low", "high"))
    allowed = check.get("bounds")
    return Check(
        str(check.get("name", "")),
        # null stands for what is not finite: an edge that is missing is one that nothing bounds.
        Interval(value, -math.inf if math.isnan(low) else low, math.inf if math.isnan(high) else high),
        (allowed[0], allowed[1]) if allowed else None,
        str(check.get("unit") or ""),
        check.get("verdict", "not_applicable"),
        str(check.get("sentence") or ""),
        str(check.get("bound_from") or ""),
        str(check.get("covers") or ""),
        tuple(map(str, check.get("rests_on") or ())),
    )


def written(value: Any) -> str:
    """A parameter's value as `--set` takes it."""
    if isinstance(value, list | tuple):
        return ", ".join(":".join(map(str, item)) if isinstance(item, list | tuple) else str(item) for item in value)
    return "by itself" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _row(check: Check, result: Result) -> Row:
    found = {control: verdicts[check.name] for control, verdicts in result.control_verdicts.items() if check.name in verdicts}
    return Row(check, found)


def _settings(result: Result) -> list[Setting]:
    values = result.probe.settings()
    return [
        Setting(name, written(values[name]), p.unit, p.role, p.help, values[name] != p.default)
        for name, p in result.probe.parameters().items()
    ]


def _drawn(result: Result, pictures: Pictures) -> tuple[list[Shown], str]:
    """The panels, and the traceback where drawing one failed: a figure that breaks takes no answer with it."""
    shown: list[Shown] = []
    try:
        with figures.house_style():
            for panel in result.panels():
                shown.append(_shown(panel, f"{result.probe.name()}-{len(shown) + 1}", result, pictures))
    except Exception:
        return shown, traceback.format_exc(limit=-6)
    return shown, ""


def _shown(panel: Panel, name: str, result: Result, pictures: Pictures) -> Shown:
    anchor = f"panel-{name}"
    drawn = []
    for label, figure in panel.figures:
        alternative = f"{panel.title}: {label}" if label else panel.title
        drawn.append((label, pictures.markup(figure, alternative, f"{anchor}-text")))
    numbers = downloads(result.probe.name(), result.measured, panel.variables)
    return Shown(anchor, panel.title, panel.caption, panel.text, drawn, numbers)
