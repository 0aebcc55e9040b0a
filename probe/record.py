"""What run.json must be for a report to be made of it: of the right types throughout, since anyone may have edited it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from probe.errors import InputError
from probe.intervals import PRECEDENCE

# Refuses a value by raising ValueError; told where in the file it stands.
Rule = Callable[[Any, str], None]
_DEEPEST = 20


def check_record(document: Mapping[str, Any], path: Path) -> None:
    """Refuse a run.json that something has changed into what no run writes.

    Raises
    ------
    InputError
        Naming the first place that is wrong.
    """
    try:
        RUN(document, "")
    except ValueError as fault:
        raise InputError(f"{path} is damaged: {fault}; run the probes again with --resume") from None


def _text(value: Any, where: str) -> None:
    if not isinstance(value, str):
        raise _wrong(value, where, "a text")


def _flag(value: Any, where: str) -> None:
    if not isinstance(value, bool):
        raise _wrong(value, where, "true or false")


def _number(value: Any, where: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _wrong(value, where, "a finite number")


def _count(value: Any, where: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(value, where, "a whole number")


def _verdict(value: Any, where: str) -> None:
    if value not in PRECEDENCE:
        raise _wrong(value, where, f"one of {', '.join(PRECEDENCE)}")


def _plain(value: Any, where: str, deep: int = 0) -> None:
    """Anything, but not nested without end."""
    if deep > _DEEPEST:
        raise ValueError(f"{where} is nested deeper than any run writes")
    for item in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        _plain(item, where, deep + 1)


def _or_null(rule: Rule) -> Rule:
    return lambda value, where: None if value is None else rule(value, where)


def _list(rule: Rule, length: int | None = None) -> Rule:
    def check(value: Any, where: str) -> None:
        if not isinstance(value, list) or length not in (None, len(value)):
            raise _wrong(value, where, "a list" if length is None else f"one of {length}")
        for index, item in enumerate(value):
            rule(item, f"{where}[{index}]")

    return check


def _either(first: Rule, second: Rule) -> Rule:
    return lambda value, where: (second if isinstance(value, list) else first)(value, where)


def _each(rule: Rule) -> Rule:
    """A table whose keys are free."""

    def check(value: Any, where: str) -> None:
        if not isinstance(value, Mapping):
            raise _wrong(value, where, "a table")
        for key, item in value.items():
            rule(item, f"{where}.{key}")

    return check


def _table(needed: Mapping[str, Rule], optional: Mapping[str, Rule]) -> Rule:
    """A table of known keys; those that are not known may hold anything."""

    def check(value: Any, where: str) -> None:
        _each(_plain)(value, where)
        for key in needed:
            if key not in value:
                raise ValueError(f"{where or 'it'} has no {key!r}")
        for key, rule in {**needed, **optional}.items():
            if key in value:
                rule(value[key], f"{where}.{key}".lstrip("."))

    return check


def _wrong(value: Any, where: str, expected: str) -> ValueError:
    shown = "a table" if isinstance(value, Mapping) else "a list" if isinstance(value, list) else repr(value)
    return ValueError(f"{where or 'it'} is {shown}; expected {expected}")


CHECK = _table(
    {"name": _text, "verdict": _verdict, "sentence": _text},
    {
        "value": _or_null(_number),
        "low": _or_null(_number),
        "high": _or_null(_number),
        "bounds": _or_null(_list(_or_null(_number), 2)),
        "unit": _text,
        "bound_from": _text,
        "covers": _text,
        "rests_on": _list(_text),
        "controls": _each(_verdict),
    },
)
PROBE = _table(
    {
        "name": _text,
        "verdict": _verdict,
        "parameters": _each(_plain),
        "seconds": _or_null(_number),
        "passes": _count,
        "reason": _text,
        "checks": _list(CHECK),
    },
    {"suite": _text, "version": _count, "question": _text, "headline": _text},
)
QUANTITY = _each(_plain)
DESCRIPTION = _table(
    {},
    {
        "grid": _table({}, {"shape": _list(_number), "box": _either(_number, _list(_number)), "unit": _text, "boundary": _text}),
        "input": _list(QUANTITY),
        "output": _list(QUANTITY),
        "truth": _table({}, {"law": _text}),
    },
)
MODEL = _table(
    {},
    {"name": _text, "path": _text, "sha256": _text, "class": _text, "parameters": _count, "loaded": _each(_plain)},
)
RUN = _table(
    {"probes": _list(PROBE)},
    {
        "complete": _flag,
        "model": MODEL,
        "description": DESCRIPTION,
        "description_file": _text,
        "guessed": _list(_text),
        "assumed": _list(_text),
        "notes": _list(_text),
        "device": _text,
        "dtype": _text,
        "versions": _each(_text),
        "seed": _count,
        "effort": _text,
        "command": _text,
        "started": _text,
        "seconds": _or_null(_number),
        "controls": _each(_text),
        "not_controls": _each(_text),
    },
)
