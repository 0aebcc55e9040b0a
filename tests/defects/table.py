"""Columns on disk, and rows as measured."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from probe.contract import Effort, Result
from probe.model import FieldModel
from probe.testing import ChecksFailed, check_model

FOLDER = Path(__file__).parent
ANY = "any"
CONTROLS = ("simulator", "linear_filter")
Cell = str | dict[str, str]


@cache
def columns() -> dict[str, dict[str, Any]]:
    """What is written of each probe: its settings, and a cell for every model by grid.

    A cell is the probe's verdict; or a table of checks and their verdicts, where "exact" is a value of rounding at most; or "any"
    where nothing is claimed. A grid whose every cell is alike may be that one cell. `ladder = false` keeps a probe off the page,
    `slow = true` puts its cells among the slow tests.
    """
    return {path.stem: tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.toml"))}


def expected(grid: str, name: str, slow: bool | None = None) -> dict[str, Cell]:
    """The cells of one row in which something is claimed, of all probes, of the slow ones or of the others."""
    asked = {probe: column[grid] for probe, column in columns().items() if slow in (None, column.get("slow", False))}
    cells = {probe: cell if isinstance(cell, str) else cell[name] for probe, cell in asked.items()}
    return {probe: cell for probe, cell in cells.items() if cell != ANY}


def ask(model: FieldModel, probes: Sequence[str], trained: bool = False) -> dict[str, Result]:
    """Results of probes with the settings of their columns."""
    return asked(model, probes, trained)[0]


def asked(model: FieldModel, probes: Sequence[str], trained: bool = False) -> tuple[dict[str, Result], bool]:
    """Results of probes with the settings of their columns (of a trained model as any user would ask, with quick effort), and
    whether a user's test of them would have failed.

    This is the one place where the table runs probes, and it is what users run.
    """
    known = {} if trained else {probe: columns().get(probe, {}).get("settings", {}) for probe in probes}
    effort: Effort = "quick" if trained else "default"
    try:
        # The other controls decide no verdict; the filter of 2LPT, which is the truth of the pairs, nothing could beat.
        asked, failed = check_model(model, probes, controls=CONTROLS, settings=known, effort=effort), False
    except ChecksFailed as fault:
        asked, failed = fault.run, True
    return dict(asked.results), failed


def found(result: Result, cell: Cell) -> Cell:
    """What a result says where a cell claims something, in the cell's own words."""
    if isinstance(cell, str):
        return result.verdict
    checks = {check.name: check for check in result.checks}
    exact = {name for name, word in cell.items() if word == "exact"}
    rounding = result.measured["model"].attrs["rounding"]
    return {
        name: ("exact" if checks[name].interval.high <= rounding else f"{checks[name].interval.high:.2g}")
        if name in exact
        else checks[name].verdict
        for name in cell
    }
