"""What the tests of a model found, as a table for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from probe.errors import printable
from probe.intervals import Interval
from probe.report import against, numbers, words


def table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A line for each check that was measured: its name, value, bounds and verdict; then how many were not.

    Parameters
    ----------
    rows : sequence of mapping
        The properties of the tests; `expected` is the reason where a failure was expected.
    """
    # Workers answer in any order.
    probes = list(dict.fromkeys(row["probe"].partition("/")[0] for row in rows))
    rows = sorted(rows, key=lambda row: probes.index(row["probe"].partition("/")[0]))
    measured = [row for row in rows if "value" in row and row["verdict"] != "not_applicable"]
    cells = [(row["probe"], _value(row), row["bounds"], _verdict(row)) for row in measured]
    yield from _aligned(cells)
    for row in rows:
        if row["verdict"] == "error":
            yield printable(f"  {row['probe']}  error: {row['sentence']}", longest=None)
    if rest := sum(row["verdict"] == "not_applicable" for row in rows):
        yield f"  {words.plural(rest, 'check')} could not be asked (pytest -rs says why)"


def changes(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A line for each check that is worse than in the baseline, below a head: before, now, by how much, and how sure that is."""
    cells = [("check", "before", "now", "difference", "p", "over")]
    for row in rows:
        unit, lost = numbers.unit(row["unit"]), row["found"] == "lost"
        before, after = (f"{numbers.number(row[key])} {unit}".rstrip() for key in ("before", "after"))
        if lost:
            cells.append((row["check"], before, "no longer judged", "", "", ""))
        else:
            cells.append((row["check"], before, after, against.difference(row), _chance(row), row["how"]))
    yield from _aligned(cells)


def _chance(row: Mapping[str, Any]) -> str:
    """p-value of a worsening, corrected for all checks; none where nothing was sampled and a tolerance decides."""
    return "" if row["p_worse"] == 0 else f"{row['p_worse']:.0e}" if row["p_worse"] < 1e-3 else f"{row['p_worse']:.4f}"


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield printable(f"  {'  '.join(map(str.ljust, row, widths))}".rstrip(), longest=None)


def _value(row: Mapping[str, Any]) -> str:
    span = Interval(row["value"], row["low"], row["high"])
    return f"{numbers.interval(span)} {numbers.unit(row['unit'])}".rstrip()


def _verdict(row: Mapping[str, Any]) -> str:
    said = words.verdict(row["verdict"])
    if not row.get("expected"):
        return said
    return f"{said}, as expected" if row["verdict"] == "fail" else f"{said}, though a failure was expected"
