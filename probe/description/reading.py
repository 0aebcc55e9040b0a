"""A description from TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

from probe.description.assumed import assumed
from probe.description.parts import (
    AXES,
    INPUTS,
    LAWS,
    NOWHERE,
    PARAMETERS,
    Call,
    Constraints,
    Cosmology,
    DataSource,
    Description,
    Symmetries,
    Truth,
    names_code,
)
from probe.description.representation import read_representation
from probe.description.rival import read_rival
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
    except (ValueError, RecursionError) as error:  # no TOML, no UTF-8, too long a number, too many brackets
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
    # Latent variables that were recorded need neither a network nor a grid.
    recorded = "mean" in top.plain("representation") and not any(key in top for key in ("grid", "input", "output"))
    grid, least = (NOWHERE, 0) if recorded else (_grid(top.table("grid")), 1)
    try:
        description = Description(
            grid=grid,
            inputs=tuple(_quantity(t, f"input{i or ''}") for i, t in enumerate(top.tables("input", least))),
            outputs=tuple(_quantity(t, f"output{i or ''}") for i, t in enumerate(top.tables("output", least))),
            name=top.text("name"),
            factory=_code(top, "factory"),
            factory_arguments=top.plain("factory_arguments"),
            weights=top.text("weights"),
            adapter=_code(top, "adapter"),
            call=_call(top.table("call"), adapted="adapter" in top),
            truth=_truth(top.table("truth")),
            symmetries=_symmetries(top.table("symmetries"), grid, declared="symmetries" in top),
            constraints=_constraints(top.table("constraints")),
            data=_data(top.table("data")),
            cosmologies=tuple(_cosmology(t, f"cosmology{i or ''}") for i, t in enumerate(top.tables("cosmology", least=0))),
            rivals=tuple(read_rival(t, f"rival{i or ''}") for i, t in enumerate(top.tables("rival", least=0))),
            conditioning=_conditioning(top.table("conditioning"), top.plain("conditioning")),
            representation=read_representation(top.table("representation")),
            guessed=top.texts("guessed"),
            assumed=assumed(table),
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
    if "transform" in table and ("shift" in table or "scale" in table):
        raise table.refuse("transform", "no shift and no scale beside it: a transform stands in their place")
    quantity = Quantity(
        name=table.text("name", name),
        kind=cast(Kind, table.text("kind", "scalar", get_args(Kind))),
        quantity=table.text("quantity"),
        unit=table.text("unit"),
        rms=table.number("rms", None, positive=True),
        shift=_numbers(table, "shift", 0.0),
        scale=_numbers(table, "scale", 1.0),
        growth=_growth(table) if "growth" in table else None,
        transform=_code(table, "transform"),
        redshift_space=table.number("redshift_space", None, positive=True),
    )
    table.done()
    return quantity


def _numbers(table: Table, key: str, default: float) -> float | tuple[float, ...]:
    """One number, or a list of them."""
    value = table.take(key, default)
    each = value if isinstance(value, list) and value else [value]
    if not all(map(is_number, each)):
        raise table.refuse(key, "a finite number, or a list of one a channel")
    return tuple(float(v) for v in value) if isinstance(value, list) else float(value)


def _growth(table: Table) -> tuple[float | str, float | str]:
    """Redshift and Omega_m, each a number or the name of a conditioning parameter."""
    growth = table.table("growth")
    found = growth.take("redshift"), growth.take("omega_m")
    for key, value in zip(("redshift", "omega_m"), found, strict=True):
        if not isinstance(value, str) and not (is_number(value) and value >= 0):
            raise growth.refuse(key, "a number, or the name of a parameter in [conditioning]")
    growth.done()
    return found


def _call(table: Table, adapted: bool) -> Call:
    call = Call(
        inputs=table.text("inputs", "channels", INPUTS),
        channels=table.text("channels", "first", ("first", "last")),
        parameters=table.text("parameters", "keywords", PARAMETERS),
        output=table.take("output", ""),
        residual=table.flag("residual", False),
    )
    if not isinstance(call.output, (str, int)) or isinstance(call.output, bool):
        raise table.refuse("output", "the place or the name of an item of what the network returns")
    if adapted and call != Call(residual=call.residual):
        raise table.refuse("inputs", "only residual beside an adapter: the adapter itself calls the network")
    table.done()
    return call


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
    if not _are_axes(translation, along):
        raise table.refuse("translation", f"a list of axes out of {list(along)}")
    rotation = table.take("rotation", "full")
    if rotation not in ("full", "none") and not (rotation and _are_axes(rotation, about)):
        raise table.refuse("rotation", f'"full", "none" or a list of axes out of {list(about)}')
    turns = tuple(rotation) if isinstance(rotation, list) else cast(Literal["full", "none"], rotation)
    reflection = table.take("reflection", True)
    if not isinstance(reflection, bool) and not _are_axes(reflection, along):
        raise table.refuse("reflection", f"true, false or a list of axes out of {list(along)}")
    mirrored = tuple(reflection) if isinstance(reflection, list) else reflection
    symmetries = Symmetries(tuple(translation), turns, mirrored, declared)
    table.done()
    return symmetries


def _constraints(table: Table) -> Constraints:
    names = {key: table.texts(key) for key in LAWS}
    constraints = Constraints(**names, residual=_code(table, "residual"))
    table.done()
    return constraints


def _are_axes(value: object, axes: tuple[str, ...]) -> bool:
    return isinstance(value, list) and all(axis in axes for axis in value)


def _data(table: Table) -> DataSource:
    units, coordinates = table.table("units"), table.table("coordinates")
    data = DataSource(
        path=table.text("path"),
        input=_patterns(table, "input"),
        target=_patterns(table, "target"),
        channels=table.text("channels", "first", ("first", "last")),
        parameters=table.text("parameters"),
        quantities=table.text("quantities"),
        categorical=table.texts("categorical"),
        units={key: units.text(key) for key in table.plain("units")},
        coordinates={key: _coordinate(coordinates.table(key)) for key in table.plain("coordinates")},
    )
    table.done()
    return data


def _coordinate(table: Table) -> dict[str, Any]:
    """What a quantity that is a curve runs along."""
    found: dict[str, Any] = {"name": table.text("name"), "unit": table.text("unit")}
    if (values := table.take("values")) is not None:
        if not isinstance(values, str) and not (isinstance(values, list) and values and all(map(is_number, values))):
            raise table.refuse("values", "a list of numbers, or the name of a column")
        found["values"] = values if isinstance(values, str) else [float(value) for value in values]
    table.done()
    return {key: value for key, value in found.items() if value != ""}


def _patterns(table: Table, key: str) -> str | tuple[str, ...]:
    """One pattern of files, or a list of them."""
    return table.texts(key) if isinstance(table.take(key, ""), list) else table.text(key)


def _cosmology(table: Table, name: str) -> Cosmology:
    given = table.plain("parameters")
    if not all(map(is_number, given.values())):
        raise table.refuse("parameters", "a table of finite numbers, such as { Omega_m = 0.2 }")
    cosmology = Cosmology(
        name=table.text("name", name),
        amplitude=cast(float, table.number("amplitude", 1.0, positive=True)),
        input=_patterns(table, "input"),
        target=_patterns(table, "target"),
        input_factor=cast(float, table.number("input_factor", 1.0)),
        parameters={key: float(value) for key, value in given.items()},
        growth_ratio=table.number("growth_ratio", None, positive=True),
        omega_m=table.number("omega_m", None, positive=True),
    )
    table.done()
    return cosmology


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
