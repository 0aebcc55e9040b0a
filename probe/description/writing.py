"""A description as TOML, which reads back equal."""

from __future__ import annotations

import os
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from probe.description.parts import Call, Constraints, Cosmology, DataSource, Description, Truth
from probe.errors import InputError
from probe.fields import Quantity
from probe.toml import toml_pairs, toml_value

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
    if description.has_network:
        lines += ["", "[grid]", *toml_pairs({**asdict(description.grid), "box": _box(description.grid.box)})]
    for key, quantities in (("input", description.inputs), ("output", description.outputs)):
        for quantity in quantities:
            lines += ["", f"[[{key}]]", *toml_pairs(_quantity(quantity))]
    tables = {
        "call": _said(description.call, Call()),
        "truth": _said(description.truth, Truth()),
        "symmetries": _symmetries(description),
        "constraints": _said(description.constraints, Constraints()),
        "conditioning": description.conditioning,
        "representation": description.representation.stated(),
        "data": _said(description.data, DataSource()),
    }
    for key, table in tables.items():
        if table:
            lines += ["", f"[{key}]", *toml_pairs(table)]
    for cosmology in description.cosmologies:
        lines += ["", "[[cosmology]]", *toml_pairs({"name": cosmology.name} | _said(cosmology, Cosmology("")))]
    for rival in description.rivals:
        lines += ["", "[[rival]]", *toml_pairs({key: value for key, value in asdict(rival).items() if value})]
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
