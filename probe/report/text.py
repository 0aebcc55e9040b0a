"""The end of a run in the terminal: a line a probe, what failed and by how much, the verdict of the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Any

from probe.errors import printable
from probe.report import against, numbers, words

_COLOURS = {"error": "35;1", "fail": "31;1", "inconclusive": "33", "pass": "32", "info": "36", "not_applicable": "2"}
_MARKS = {"error": "!", "fail": "✕", "inconclusive": "?", "pass": "✓", "info": "i", "not_applicable": "–"}
_WIDTH, _NARROWEST = 100, 30


def summary(document: Mapping[str, Any], colour: bool = False) -> str:
    """What a run found, for the terminal.

    Parameters
    ----------
    document : mapping
        What `run.json` holds.
    colour : bool
        Whether to colour verdicts with ANSI codes.
    """
    document = _cleaned(document)
    records = document.get("probes") or []
    checks = [check for record in records for check in record.get("checks") or []]
    answered = [(str(check.get("verdict")), check.get("controls") or {}) for check in checks]
    lines = [f"  {word}: {said}" for word, key in (("guessed", "guessed"), ("note", "notes")) for said in document.get(key) or []]
    name_width = max((len(str(record.get("name"))) for record in records), default=0)
    for record in records:
        lines += _probe(record, name_width, colour)
    remarks = words.remarks([str(record.get("verdict")) for record in records], answered)
    lines += ["", "; ".join([words.tally(answered), *remarks]) + "."]
    also = words.also_passed(answered)
    lines += [f"{also}."] if also else []
    return "\n".join([*lines, *_against(document.get("baseline"), colour)])


def _probe(record: Mapping[str, Any], name_width: int, colour: bool) -> Iterator[str]:
    verdict = str(record.get("verdict") or "not_applicable")
    head = f"  {_MARKS.get(verdict, ' ')} {words.verdict(verdict):<14} "
    name = str(record.get("name")).ljust(name_width)
    answer = record.get("reason") if verdict in ("error", "not_applicable") else record.get("headline")
    first, *rest = wrap(answer or "", max(_WIDTH - len(head) - name_width - 2, _NARROWEST)) or [""]
    yield f"{_painted(head, verdict, colour)}{name}  {first}".rstrip()
    indent = " " * (len(head) + name_width + 2)
    yield from (indent + line for line in rest)
    for check in record.get("checks") or []:
        if check.get("verdict") == "fail":
            yield from _failed(check, " " * len(head), colour, said=str(answer))


def _failed(check: Mapping[str, Any], indent: str, colour: bool, said: str) -> Iterator[str]:
    from probe.report.sections import recorded

    found = recorded(check)
    unit = numbers.unit(found.unit)
    value = f"{numbers.interval(found.interval)} {unit}".rstrip()
    yield f"{indent}{_painted(found.name, 'fail', colour)}  {value}, allowed {numbers.bounds(found.bounds)}"
    if found.sentence != said:
        yield from (f"{indent}  {line}" for line in wrap(found.sentence, _WIDTH - len(indent) - 2))


def _against(section: Mapping[str, Any] | None, colour: bool) -> Iterator[str]:
    if not section:
        return
    yield from ("", f"{against.headline(section)}.")
    for change in section["changes"]:
        if change["found"] == "worse":
            yield from wrap(
                against.change(change),
                _WIDTH,
                initial_indent=f"  {_painted(change['check'], 'fail', colour)}  ",
                subsequent_indent="    ",
            )
    for sentence in against.sentences(section):
        yield from wrap(f"{sentence}.", _WIDTH, initial_indent="  ", subsequent_indent="    ")


def _painted(text: str, verdict: str, colour: bool) -> str:
    return f"\033[{_COLOURS[verdict]}m{text}\033[0m" if colour and verdict in _COLOURS else text


def _cleaned(value: Any) -> Any:
    """The same structure with texts that may go to a terminal: names and sentences may hold what a file said."""
    if isinstance(value, Mapping):
        return {printable(key): _cleaned(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(item) for item in value]
    return printable(value) if isinstance(value, str) else value
