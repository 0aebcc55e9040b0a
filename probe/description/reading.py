"""A description from TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

from probe.description.parts import AXES, DataSource, Description, Symmetries, Truth, names_code
from probe.description.table import Table, is_number
from probe.errors import InputError
from probe.fields import Kind, Quantity
from probe.grid import Grid

BOUNDARIES = ("periodic", "zero", "reflect", "none")


def read_description(path: str | Path) -> Description:
    """Read a description from a TOML file, or from the table [tool.probe] of a pyproject.toml.

    Raises
    ------
    InputError
        If there is no such file, or it is no TOML, or does not say what a description must.
    """
    path = Path(path)
    try:
        table = tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise InputError(f"cannot read the description {path}: {error.strerror}; give the path of a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no TOML: {error}; mend it there") from error
    if path.name == "pyproject.toml":
        table = table.get("tool", {}).get("probe", {})
    # Absolute, so that relative paths in it mean the same in another process.
    return replace(parse_description(table, str(path)), source=str(path.absolute()))


def parse_description(table: Mapping[str, Any], source: str) -> Description:
    """A description from its table.

    Parameters
    ----------
    table : mapping
        As tomllib gives it.
    source : str
        The file it came from: stands in messages, and relative paths in it start there.

    Raises
    ------
    InputError
        One sentence, for an unknown key (with the nearest known one), a wrong type or a wrong value.
    """
    top = Table(table, "", source)
    if top.take("schema") != 1 or isinstance(top.take("schema"), bool):
        found = top.take("schema", "missing")
        raise InputError(f"{source}: schema is {found}; this version reads schema 1: begin the file with the line schema = 1")
    grid = _grid(top.table("grid"))
    try:
        description = Description(
            grid=grid,
            inputs=tuple(_quantity(t, f"input{i or ''}") for i, t in enumerate(top.tables("input"))),
            outputs=tuple(_quantity(t, f"output{i or ''}") for i, t in enumerate(top.tables("output"))),
            name=top.text("name"),
            factory=_code(top, "factory"),
            factory_arguments=top.plain("factory_arguments"),
            truth=_truth(top.table("truth")),
            symmetries=_symmetries(top.table("symmetries"), grid, declared="symmetries" in top),
            data=_data(top.table("data")),
            conditioning=_conditioning(top.table("conditioning"), top.plain("conditioning")),
            representation=_representation(top.table("representation")),
            source=source,
        )
    except ValueError as error:
        raise InputError(f"{source}: {error}") from error
    top.done()
    return description


def _code(table: Table, key: str) -> str:
    value = table.text(key)
    if value and not names_code(value):
        raise table.refuse(key, '"module:object"')
    return value


def _grid(table: Table) -> Grid:
    shape, box = table.take("shape"), table.take("box")
    if not isinstance(shape, list) or not 1 <= len(shape) <= 3 or not all(type(n) is int and n >= 2 for n in shape):
        raise table.refuse("shape", "one to three whole numbers of at least 2, such as [32, 32, 32]")
    sides = box if isinstance(box, list) else [box] * len(shape)
    if len(sides) != len(shape) or not all(is_number(side) and side > 0 for side in sides):
        raise table.refuse("box", f"a positive length, or a list of {len(shape)} of them")
    unit, boundary = table.text("unit", "cell"), table.text("boundary", "periodic", BOUNDARIES)
    grid = Grid(tuple(shape), tuple(float(side) for side in sides), unit, boundary)
    table.done()
    return grid


def _quantity(table: Table, name: str) -> Quantity:
    quantity = Quantity(
        name=table.text("name", name),
        kind=cast(Kind, table.text("kind", "scalar", get_args(Kind))),
        quantity=table.text("quantity"),
        unit=table.text("unit"),
        rms=table.number("rms", None, positive=True),
        shift=cast(float, table.number("shift", 0.0)),
        scale=cast(float, table.number("scale", 1.0)),
    )
    table.done()
    return quantity


def _truth(table: Table) -> Truth:
    law = table.text("law")
    if law not in ("", "gravity") and not names_code(law):
        raise table.refuse("law", '"gravity" or "module:function"')
    growth_ratio = cast(float, table.number("growth_ratio", 1.0, positive=True))
    truth = Truth(law, growth_ratio, table.number("omega_m", None, positive=True), table.text("answers"))
    table.done()
    return truth


def _symmetries(table: Table, grid: Grid, declared: bool) -> Symmetries:
    along, about = AXES[: grid.dimension], AXES if grid.dimension == 3 else ("z",)
    translation = table.take("translation", list(along))
    if not isinstance(translation, list) or not set(translation) <= set(along):
        raise table.refuse("translation", f"a list of axes out of {list(along)}")
    rotation = table.take("rotation", "full")
    if rotation not in ("full", "none") and not (isinstance(rotation, list) and rotation and set(rotation) <= set(about)):
        raise table.refuse("rotation", f'"full", "none" or a list of axes out of {list(about)}')
    turns = tuple(rotation) if isinstance(rotation, list) else cast(Literal["full", "none"], rotation)
    symmetries = Symmetries(tuple(translation), turns, table.flag("reflection", True), declared)
    table.done()
    return symmetries


def _data(table: Table) -> DataSource:
    data = DataSource(table.text("path"), table.text("input"), table.text("target"))
    table.done()
    return data


def _representation(table: Table) -> dict[str, str]:
    found = {key: table.text(key) for key in ("encoder", "decoder", "layer")}
    table.done()
    return {key: value for key, value in found.items() if value}


def _conditioning(table: Table, plain: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Each parameter of the model: a default, and bounds if there are any."""
    result: dict[str, dict[str, Any]] = {}
    for key in plain:
        one = table.table(key)
        if (default := one.number("default")) is None:
            raise InputError(f"{one.source}: {one.where} has no default; write {key} = {{ default = 0.31, bounds = [0.1, 0.5] }}")
        result[key] = {"default": default}
        if (bounds := one.take("bounds")) is not None:
            if not (isinstance(bounds, list) and len(bounds) == 2 and all(map(is_number, bounds)) and bounds[0] < bounds[1]):
                raise one.refuse("bounds", "two numbers [low, high] with low < high")
            result[key]["bounds"] = [float(b) for b in bounds]
        one.done()
    return result
