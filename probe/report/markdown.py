"""A run as Markdown for a comment on a pull request or the summary of a CI job."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from probe.baseline import excused, fallen
from probe.errors import printable
from probe.report import against, numbers, words
from probe.report.sections import recorded

# GitHub takes 65,536 characters a comment; some count twice.
LONGEST = 60_000
_FOOT = 8_000
MARKS = {"error": "❌", "fail": "❌", "inconclusive": "⚠️", "pass": "✅", "worse": "❌", "lost": "❌"}
_SPECIAL = re.compile(r"[\\`*\[\]|~$#!]|(?<!\w)_|_(?!\w)")


def markdown(document: Mapping[str, Any], report: str = "") -> str:
    """What a run found: what failed first, what passed folded.

    Parameters
    ----------
    document : mapping
        What `run.json` holds.
    report : str
        Where the report lies, if it does.

    Returns
    -------
    str
        Less than GitHub takes; what does not fit is counted.
    """
    entries = [(probe, check) for probe in document["probes"] for check in probe["checks"]]
    answered = [(check["verdict"], check["controls"]) for _, check in entries]
    remarks = words.remarks([probe["verdict"] for probe in document["probes"]], answered)
    head = [f"### {_mark(document)} {'; '.join([words.tally(answered), *remarks])}", "", *_tested(document), ""]
    loud, quiet = _rows(document, entries)
    parts = [*head, *_beside(document.get("baseline"))]
    parts += table(("", "check", "value", "allowed", ""), loud, LONGEST - _FOOT - length(parts)) if loud else []
    foot = _foot(document, answered, report)
    room = LONGEST - length([*parts, *foot]) - 200
    if quiet and room > 0:
        folded = table(("", "check", "value", "allowed"), quiet, room)
        parts += ["<details>", f"<summary>{words.plural(len(quiet), 'other check')}</summary>", "", *folded, "</details>", ""]
    return "\n".join([*parts, *foot]).rstrip() + "\n"


def escaped(text: object) -> str:
    """Text from outside as Markdown shows it: no markup, no table's edge, nobody called by name."""
    plain = " ".join(printable(text, longest=400).split())
    plain = plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(lambda found: "\\" + found[0], plain).replace("@", "@\u200b")


def _mark(document: Mapping[str, Any]) -> str:
    """Of the whole run: what fails and may does not count."""
    may, verdicts = excused(document.get("baseline")), {probe["verdict"] for probe in document["probes"]}
    counted = {c["verdict"] for p in document["probes"] for c in p["checks"] if f"{p['name']}/{c['name']}" not in may}
    if "error" in verdicts or "fail" in counted or fallen(document.get("baseline")):
        return MARKS["fail"]
    return MARKS["inconclusive"] if "inconclusive" in counted or "pass" not in counted else MARKS["pass"]


def _tested(document: Mapping[str, Any]) -> list[str]:
    model = document["model"]
    size = f"{escaped(model['class'])}, {numbers.whole(model['parameters'])} parameters"
    lines = [f"Under test: {named(model)} ({size}), effort {escaped(document['effort'])}, seed {document['seed']}."]
    return lines if document["complete"] else [*lines, "", "**Not complete**: the run was stopped before its last probe."]


def named(model: Mapping[str, Any]) -> str:
    """A model with its sha256."""
    digest = re.sub(r"\W", "", model["sha256"])[:64]
    return f"**{escaped(model['name'])}**" + (f", sha256 `{digest}`" if digest else "")


def _beside(section: Mapping[str, Any] | None) -> list[str]:
    if not section:
        return []
    lines = [f"{MARKS['worse']} " * bool(fallen(section)) + f"Baseline: {escaped(against.headline(section))}.", ""]
    lines += [f"- {escaped(sentence)}" for sentence in against.sentences(section)][:50]
    worse = [change for change in section["changes"] if change["found"] == "worse"]
    rows = [
        (
            escaped(c["check"]),
            numbers.number(c["before"]),
            numbers.number(c["after"]),
            escaped(against.difference(c)),
            escaped(c["how"]),
        )
        for c in worse
    ]
    return [*lines, "", *(table(("worse", "before", "now", "difference", ""), rows, LONGEST // 3) if rows else [])]


def _rows(
    document: Mapping[str, Any], entries: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]
) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """What failed or could not be told, with its sentences; and the rest."""
    may, order = excused(document.get("baseline")), {"error": 0, "fail": 1, "inconclusive": 3}
    loud: list[tuple[int, tuple[str, ...]]] = []
    quiet: list[tuple[str, ...]] = []
    for probe, check in entries:
        name, verdict = f"{probe['name']}/{check['name']}", check["verdict"]
        reason = f" (known failure: {may[name]})" if name in may else ""
        row = (("" if reason else MARKS.get(verdict, "")), escaped(name), *_numbers(check))
        if verdict in order:
            loud.append((order[verdict] + bool(reason), (*row, escaped(check["sentence"] + reason))))
        else:
            quiet.append(row if verdict != "not_applicable" else (row[0], row[1], "not applicable", ""))
    crashed = [p for p in document["probes"] if p["verdict"] == "error"]
    loud += [(0, (MARKS["error"], escaped(p["name"]), "error", "", escaped(p["reason"]))) for p in crashed]
    quiet += [("", escaped(p["name"]), "not applicable", "") for p in document["probes"] if not p["checks"] and p not in crashed]
    return [row for _, row in sorted(loud, key=lambda item: item[0])], quiet


def _numbers(check: Mapping[str, Any]) -> tuple[str, str]:
    found = recorded(check)
    return escaped(f"{numbers.interval(found.interval)} {numbers.unit(found.unit)}".strip()), escaped(numbers.bounds(found.bounds))


def _foot(document: Mapping[str, Any], answered: words.Answered, report: str) -> list[str]:
    also = words.also_passed(answered)
    said = [f"{escaped(also)}."] if also else []
    said += [f"Guessed: {escaped(guess)}." for guess in document["guessed"][:5]]
    said += [f"Note: {escaped(note)}." for note in document["notes"][:5]]
    said += [f"Report: {escaped(report)}"] if report else []
    return [line for sentence in said for line in (sentence, "")]


def table(titles: Sequence[str], rows: Iterable[Sequence[str]], room: int) -> list[str]:
    """A table of as many rows as there is room for; the others are counted."""
    lines = [f"| {' | '.join(titles)} |", "|" + "---|" * len(titles)]
    given = [f"| {' | '.join(row)} |" for row in rows]
    room -= length(lines) + 100
    kept = 0
    while kept < len(given) and (room := room - len(given[kept]) - 1) > 0:
        kept += 1
    left = len(given) - kept
    return [*lines, *given[:kept], "", *([f"{left} more did not fit here.", ""] if left else [])]


def length(lines: Iterable[str]) -> int:
    """Characters that lines take."""
    return sum(len(line) + 1 for line in lines)
