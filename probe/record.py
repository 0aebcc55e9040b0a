"""What run.json and a baseline must be to be read: of the published form throughout, since anyone may have edited them.

The forms are JSON Schemas (draft 2020-12) that ship with the package, `probe/schema/*.json`: what is published is what is enforced.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probe.errors import InputError
from probe.parameters import nearest

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

_DEEPEST = 24
_TYPES = {
    "string": "a text",
    "number": "a finite number",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a table",
    "null": "null",
}


def schema(name: str) -> dict[str, Any]:
    """A published form: "run" or "baseline"."""
    found: dict[str, Any] = json.loads(files("probe").joinpath("schema", f"{name}.json").read_text(encoding="utf-8"))
    return found


def check_record(document: Mapping[str, Any], path: Path) -> None:
    """Refuse a run.json that something has changed into what no run writes.

    Raises
    ------
    InputError
        Naming the first place that is wrong.
    """
    if told := fault(document, "run"):
        raise InputError(f"{path} is damaged: {told}; run the probes again with --resume")


def fault(document: Any, form: str) -> str:
    """What is wrong with a document of a form, and where; empty where nothing is."""
    if _too_deep(document):
        return "it is nested deeper than any that was written"
    found = next(_validator(form).iter_errors(document), None)
    return _told(found) if found else ""


def upgraded(document: dict[str, Any]) -> dict[str, Any]:
    """A run of version 1 as one of version 2: nothing was kept by which it could be paired."""
    for probe in _tables(document.get("probes")):
        probe.setdefault("recipe", {"question": "", "inputs": ""})
        for check in _tables(probe.get("checks")):
            check.setdefault("samples", [])
    return document | {"schema": 2}


@cache
def _validator(form: str) -> Validator:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    # JSON has no infinity, but Python reads one out of 1e999; and what is counted is no 1.0.
    types = Draft202012Validator.TYPE_CHECKER.redefine("number", _is_finite).redefine("integer", _is_whole)
    made: Validator = extend(Draft202012Validator, type_checker=types)(schema(form))
    return made


def _is_finite(_: object, value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(_: object, value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _tables(value: Any) -> Iterable[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _too_deep(document: Any) -> bool:
    level = [document]
    for _ in range(_DEEPEST):
        level = [item for value in level for item in _inside(value)]
        if not level:
            return False
    return True


def _inside(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()


def _told(found: ValidationError) -> str:
    """A fault in a sentence: where, what was found, what was expected."""
    where = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in found.absolute_path).lstrip(".") or "it"
    value, asked = found.instance, found.validator_value
    if found.validator == "required":
        return f"{where} has no {next(key for key in asked if key not in value)!r}"
    if found.validator == "additionalProperties":
        known = found.schema["properties"]
        unknown = next(key for key in value if key not in known)
        return f"{where} has an unknown key {unknown!r}{nearest(unknown, known)}"
    shown = "a table" if isinstance(value, Mapping) else f"a list of {len(value)}" if isinstance(value, list) else repr(value)
    return f"{where} is {shown}; expected {_expected(str(found.validator), asked)}"


def _expected(keyword: str, asked: Any) -> str:
    if keyword == "type":
        return " or ".join(_TYPES[name] for name in ([asked] if isinstance(asked, str) else asked))
    words = {
        "enum": lambda: f"one of {', '.join(repr(word) for word in asked)}",
        "const": lambda: repr(asked),
        "minItems": lambda: f"a list of {asked}",
        "maxItems": lambda: f"a list of {asked}",
        "minLength": lambda: "a text that is not empty",
        "pattern": lambda: f"a text like {asked}",
    }
    return words[keyword]()
