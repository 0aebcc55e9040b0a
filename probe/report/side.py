"""Several runs side by side, for the terminal and as Markdown; see `probe.baseline.beside` for what they are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from probe.errors import printable
from probe.report import against, numbers, words
from probe.report.markdown import LONGEST, MARKS, escaped, named, table
from probe.report.sections import recorded

MOVED = ("worse", "lost", "better")


def headline(document: Mapping[str, Any]) -> str:
    """'Of 14 checks compared with main: 2 significantly worse, 1 better'."""
    first = document["runs"][0]["folder"]
    found = Counter(change["found"] for row in document["checks"] for change in row["changes"] if change)
    compared = found["worse"] + found["same"] + found["better"]
    if not compared and not found["lost"]:
        return f"No check could be compared with {first}"
    said = [f"{found['worse'] or 'none'} significantly worse"]
    said += [f"{found[word]} {told}" for word, told in (("better", "better"), ("lost", "no longer judged")) if found[word]]
    return f"Of {words.plural(compared, 'check')} compared with {first}: {', '.join(said)}"


def text(document: Mapping[str, Any]) -> str:
    """A line a check: its value in every run, and what changed against the first."""
    runs = document["runs"]
    lines = [
        f"  {index}  {printable(run['folder'])}  {printable(run['name'])} {run['sha256'][:8]}".rstrip()
        for index, run in enumerate(runs, 1)
    ]
    lines.append("")
    rows = [("check", *(str(index) for index in range(1, len(runs) + 1)))]
    rows += [(printable(row["check"]), *_values(row)) for row in _ordered(document)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row, said in zip(rows, ([], *map(_said, _ordered(document))), strict=True):
        lines += ["  " + "  ".join(map(str.ljust, row, widths)).rstrip(), *(f"      {told}" for told in said)]
    reasons = {c["how"]: c for row in document["checks"] for c in row["changes"] if c and c["found"] == "untold"}
    counts = {how: sum(bool(c) and c["how"] == how for row in document["checks"] for c in row["changes"]) for how in reasons}
    lines += ["", *(f"  not compared: {words.plural(count, 'check')} ({how})" for how, count in counts.items())]
    return "\n".join([*lines, printable(f"{headline(document)}.")])


def markdown(document: Mapping[str, Any]) -> str:
    """What moved first, the rest folded."""
    runs = document["runs"]
    lines = [f"### {MARKS['fail' if document['worse'] else 'pass']} {escaped(headline(document))}", ""]
    lines += [f"{index}. {escaped(run['folder'])}: {named(run)}" for index, run in enumerate(runs, 1)] + [""]
    titles = ("check", "allowed", *(str(index) for index in range(1, len(runs) + 1)), "")
    rows = [
        (_found(row), tuple(map(escaped, (row["check"], numbers.bounds(row["bounds"]), *_values(row), "; ".join(_said(row))))))
        for row in _ordered(document)
    ]
    moved, rest = ([row for found, row in rows if bool(found) is wanted] for wanted in (True, False))
    lines += table(titles, moved, LONGEST // 2) if moved else []
    if rest:
        folded = table(titles, rest, LONGEST // 3)
        lines += ["<details>", f"<summary>{words.plural(len(rest), 'other check')}</summary>", "", *folded, "</details>", ""]
    return "\n".join(lines).rstrip()


def _ordered(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What got worse first, then what is lost, then what is better."""
    return sorted(document["checks"], key=lambda row: MOVED.index(_found(row)) if _found(row) else len(MOVED))


def _found(row: Mapping[str, Any]) -> str:
    found = {change["found"] for change in row["changes"] if change}
    return next((word for word in MOVED if word in found), "")


def _values(row: Mapping[str, Any]) -> list[str]:
    unit = numbers.unit(row["unit"])
    return [
        ""
        if value is None
        else f"{numbers.interval(recorded(row | value).interval)} {unit} {words.verdict(value['verdict'])}".replace("  ", " ")
        for value in row["values"]
    ]


def _said(row: Mapping[str, Any]) -> list[str]:
    """What moved, a sentence a later run."""
    changes: Sequence[Any] = row["changes"]
    return [
        f"{f'{index}: ' if len(changes) > 1 else ''}{change['found']} {against.difference(change)} ({change['how']})"
        for index, change in enumerate(changes, 2)
        if change and change["found"] in MOVED
    ]
