"""A description as TOML, which reads back equal."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from probe.description.parts import Call, Constraints, DataSource, Description, Truth
from probe.errors import InputError
from probe.fields import Quantity

_TEXTS = ("name", "factory", "weights", "adapter")


def write_description(description: Description, path: str | Path) -> None:
    """Write a description as TOML; what has its default value is left out.

    Raises
    ------
    InputError
        If an argument of the factory has no form in TOML, or the file cannot be written.
    """
    write_text(as_toml(description), Path(path))


def write_text(text: str, path: Path) -> None:
    """Write the text of a description; a kill at any moment leaves the old file or the new one.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        raise InputError(f"cannot write the description {path}: {error.strerror}; give a folder that can be written to") from error
    finally:
        partial.unlink(missing_ok=True)


def as_toml(description: Description) -> str:
    """A description as the text of its file; what has its default value is left out.

    Raises
    ------
    InputError
        If an argument of the factory has no form in TOML.
    """
    return "\n".join(_lines(description)) + "\n"


def _lines(description: Description) -> list[str]:
    lines = ["schema = 1"]
    lines += [f"{key} = {toml_value(getattr(description, key))}" for key in _TEXTS if getattr(description, key)]
    if description.factory_arguments:
        lines.append(f"factory_arguments = {toml_value(description.factory_arguments)}")
    if description.guessed:
        lines.append(f"guessed = {toml_value(description.guessed)}")
    lines += ["", "[grid]", *_pairs({**asdict(description.grid), "box": _box(description.grid.box)})]
    for key, quantities in (("input", description.inputs), ("output", description.outputs)):
        for quantity in quantities:
            lines += ["", f"[[{key}]]", *_pairs(_quantity(quantity))]
    tables = {
        "call": _said(description.call, Call()),
        "truth": _said(description.truth, Truth()),
        "symmetries": _symmetries(description),
        "constraints": _said(description.constraints, Constraints()),
        "conditioning": description.conditioning,
        "representation": description.representation,
        "data": _said(description.data, DataSource()),
    }
    for key, table in tables.items():
        if table:
            lines += ["", f"[{key}]", *_pairs(table)]
    return lines


def _quantity(quantity: Quantity) -> dict[str, Any]:
    table = _said(quantity, Quantity("")) | {"name": quantity.name, "kind": quantity.kind}
    if quantity.growth:
        table["growth"] = dict(zip(("redshift", "omega_m"), quantity.growth, strict=True))
    return table


def _said(part: Any, default: Any) -> dict[str, Any]:
    return {f.name: getattr(part, f.name) for f in fields(part) if getattr(part, f.name) != getattr(default, f.name)}


def _symmetries(description: Description) -> dict[str, Any]:
    table = asdict(description.symmetries)
    return table if table.pop("declared") else {}


def _box(box: tuple[float, ...]) -> float | tuple[float, ...]:
    return box[0] if len(set(box)) == 1 else box


def _pairs(table: Mapping[str, Any]) -> list[str]:
    return [f"{_key(key)} = {toml_value(value)}" for key, value in table.items()]


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _text(key)


def _text(text: str) -> str:
    # JSON's escapes are TOML's, but for DEL, which JSON lets through.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_value(value: Any) -> str:
    """A value as it stands behind a key of a TOML file.

    Raises
    ------
    InputError
        If it has no form in TOML.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, (int, float)):
        return repr(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml_value(v) for v in value) + "]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(_pairs(value)) + " }" if value else "{}"
    raise InputError(f"{value!r} has no form in TOML; give numbers, texts, lists and tables")
