"""Physical quantities that belong to each sample: numbers, names of classes, and curves along a coordinate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from probe.data.tables import read_columns
from probe.description import DataSource
from probe.description.table import nearest
from probe.errors import InputError


@dataclass(frozen=True)
class Coordinate:
    """What a curve runs along: a name, a unit, and where its points are, (point,)."""

    name: str
    unit: str
    values: np.ndarray


@dataclass(frozen=True)
class Known:
    """A physical quantity of every sample.

    Attributes
    ----------
    name : str
    values : ndarray, (sample,) or (sample, point)
        float64; of words, texts.
    unit : str
    coordinate : Coordinate or None
        None for one number a sample.
    categorical : bool
        Whether its values are names of classes and no quantities.
    """

    name: str
    values: np.ndarray
    unit: str = ""
    coordinate: Coordinate | None = None
    categorical: bool = False

    def at(self, index: int) -> float | str | np.ndarray:
        """The value of one sample."""
        value = self.values[index]
        return value if self.values.ndim > 1 else str(value) if self.values.dtype.kind == "U" else float(value)


def read_known(folder: Path, source: DataSource, rows: int) -> dict[str, Known]:
    """The quantities of the table that a description names, by name.

    Raises
    ------
    InputError
        If the table cannot be read, as `known_from` otherwise.
    """
    return known_from(read_columns(folder, source.quantities), source, rows, str(folder / source.quantities.partition(":")[0]))


def called(function: Callable[[], Any], name: str) -> Any:
    """What a function of the user's gives.

    Raises
    ------
    InputError
        If it raises.
    """
    try:
        return function()
    except Exception as error:  # the function is the user's, and may raise anything
        raise InputError(f"{name} raised {type(error).__name__} ({error}); mend it there") from error


def known_from(columns: Any, source: DataSource, rows: int, place: str) -> dict[str, Known]:
    """Quantities from arrays by name, as the table [data] says what they are.

    Parameters
    ----------
    columns : mapping of str to array
        (sample,), (sample, point) or (point, sample).
    rows : int
        Samples.
    place : str
        Where they are from, for messages.

    Raises
    ------
    InputError
        If an array does not fit the samples or fits them in two ways, or a name stands for none.
    """
    if not isinstance(columns, Mapping) or not all(isinstance(name, str) for name in columns):
        raise InputError(f"{place} gave a {type(columns).__name__}; expected a dict of arrays by name")
    arrays = {name: _real(np.asarray(values), name, place) for name, values in columns.items()}
    for key, named in (("categorical", source.categorical), ("units", source.units), ("coordinates", source.coordinates)):
        for name in named:
            _check_named(name, arrays, f"[data] {key}", place)
    taken = {one["values"] for one in source.coordinates.values() if isinstance(one.get("values"), str)}
    found = dict[str, Known]()
    for name, values in arrays.items():
        # Classes that never occur twice are names of the samples, and say nothing of them.
        classes = values.dtype.kind == "U" or name in source.categorical
        name_of_sample = classes and values.ndim == 1 and len(values) > 1 and len(set(values.tolist())) == len(values)
        if (name in taken and name not in source.coordinates) or name_of_sample:
            continue
        oriented = _oriented(values, rows, name, place)
        along = _coordinate(name, source.coordinates.get(name), oriented.shape[1:], arrays, place)
        words = oriented.dtype.kind == "U"
        found[name] = Known(name, oriented, source.units.get(name, ""), along, words or name in source.categorical)
    return found


def _check_named(name: str, known: Mapping[str, Any], key: str, place: str) -> None:
    if name not in known:
        near = nearest(name, known)
        hint = f"did you mean {near!r}?" if near else f"there is {', '.join(known)}"
        raise InputError(f"{key} names {name!r}, which {place} does not hold; {hint}")


def _real(values: np.ndarray, name: str, place: str) -> np.ndarray:
    """Numbers as float64, words as texts."""
    if values.dtype.kind in "US":
        return values.astype(str)
    if values.dtype.kind not in "fiub":
        raise InputError(f"{name!r} of {place} holds {values.dtype}; expected numbers or words")
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise InputError(f"{name!r} of {place} holds NaN or infinity; give each sample its number")
    return values


def _oriented(values: np.ndarray, rows: int, name: str, place: str) -> np.ndarray:
    """With the axis of the samples first; it is the one of their number."""
    if not values.size:
        raise InputError(f"{name!r} of {place} has shape {values.shape} and holds nothing; leave it out")
    axes = [axis for axis, length in enumerate(values.shape) if length == rows]
    if not axes:
        raise InputError(
            f"{name!r} of {place} has shape {values.shape} and there are {rows} samples; give a row for each, in their order"
        )
    if len(axes) > 1:
        raise InputError(
            f"{name!r} of {place} has shape {values.shape} and there are {rows} samples, so that either axis may be theirs; give "
            "a curve of another number of points, or each point as a quantity of its own"
        )
    return np.moveaxis(values, axes[0], 0)


def _coordinate(
    name: str, said: Mapping[str, Any] | None, points: tuple[int, ...], arrays: Mapping[str, np.ndarray], place: str
) -> Coordinate | None:
    """What a curve runs along; None for one number a sample, and for what is no curve."""
    if len(points) != 1:
        if said is not None:
            raise InputError(f"[data] coordinates names {name!r}, which in {place} is no curve; leave it out")
        return None
    said = said or {}
    stated = said.get("values")
    if isinstance(stated, str):
        _check_named(stated, arrays, f"[data] coordinates of {name!r}", place)
        values = arrays[stated]
    else:
        values = np.arange(points[0]) if stated is None else np.array(stated)
    if values.shape != points or values.dtype.kind == "U":
        raise InputError(f"{name!r} of {place} has {points[0]} points, and its coordinate {values.size}; give a number for each")
    named = said.get("name") or (stated if isinstance(stated, str) else "index" if stated is None else "")
    return Coordinate(named, said.get("unit", ""), values.astype(np.float64))
