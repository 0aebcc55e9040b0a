"""Pairs of input and truth, read when they are asked for."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from probe.data.fingerprint import of_files
from probe.data.known import Known, called, known_from, read_known
from probe.data.layout import Layout
from probe.data.samples import FileSamples, find_side
from probe.data.tables import read_table
from probe.description import Cosmology, Description, names_function
from probe.errors import InputError
from probe.fields import Field, Quantity
from probe.waves import at_rest


@dataclass(frozen=True)
class Pairs(Sequence[tuple[Field, Field]]):
    """Inputs with their truths; arrays are (channel, *grid), or (grid) for one scalar, or (channel,) for numbers alone.

    Attributes
    ----------
    inputs, targets : sequence of array
        Those in files are read when they are asked for.
    description : Description
    names : tuple of str
        What each pair is called.
    factor : float
        What the inputs are multiplied with.
    truth : str
        What the targets are: "pairs" that were made with the data, answers of the "law", or of "2LPT".
    conditioning : mapping of str to array, (pair,)
        Of each pair the parameters that the model is called with.
    beside : mapping of str to Known
        Physical quantities that belong to each pair.
    tables : tuple of Path
        The files that hold the last two.
    """

    inputs: Sequence[Any]
    targets: Sequence[Any]
    description: Description
    names: tuple[str, ...]
    factor: float = 1.0
    truth: str = "pairs"
    conditioning: Mapping[str, np.ndarray] = field(default_factory=dict)
    beside: Mapping[str, Known] = field(default_factory=dict)
    tables: tuple[Path, ...] = ()

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> tuple[Field, Field]:  # type: ignore[override]
        return self.given(index), self.truth_of(index)

    def __iter__(self) -> Iterator[tuple[Field, Field]]:
        return (self[i] for i in range(len(self)))

    def given(self, index: int) -> Field:
        """The input of a pair alone."""
        given = self._read(self.inputs, self.description.inputs, index, f"the input of {self.names[index]}")
        return scaled(replace(given, conditioning=tuple(self.parameters(index).items())), self.factor)

    def truth_of(self, index: int) -> Field:
        """The truth of a pair alone."""
        return self._read(self.targets, self.description.outputs, index, f"the target of {self.names[index]}")

    def _read(self, side: Sequence[Any], quantities: tuple[Quantity, ...], index: int, what: str) -> Field:
        described = self.description
        layout = Layout(quantities, described.grid, described.data.channels)
        return Field(_sample(side, index, layout, what), described.grid, quantities)

    def name(self, index: int) -> str:
        """What a pair is called."""
        return self.names[index]

    def parameters(self, index: int) -> dict[str, float]:
        """What the model is called with for a pair; what is not named keeps its default."""
        return {name: float(column[index]) for name, column in self.conditioning.items()}

    def quantities(self, index: int) -> dict[str, float | str | np.ndarray]:
        """Physical quantities that belong to a pair, by name."""
        return {name: one.at(index) for name, one in self.beside.items()}

    def fingerprint(self) -> str:
        """sha256 over names and contents; of files beyond a GiB in all, over sizes, dates and ends."""
        digest = hashlib.sha256()
        for side in (self.inputs, self.targets):
            if isinstance(side, FileSamples):
                digest.update(of_files(side.files()))
                continue
            for name, source in zip(self.names, side, strict=True):
                digest.update(os.fsencode(name))
                digest.update(np.ascontiguousarray(source).tobytes())
        digest.update(of_files(self.tables))
        for name, one in self.beside.items():
            digest.update(name.encode() + np.ascontiguousarray(one.values).tobytes())
        return digest.hexdigest()


def scaled(field: Field, factor: float) -> Field:
    """A field whose distance from rest is multiplied by a factor; a number stays as it is."""
    if factor == 1.0:
        return field
    parts = []
    for quantity, channels in field.parts():
        values = field.values[:, channels]
        rest = at_rest(quantity, field.grid).to(values)
        parts.append(values if quantity.is_number else rest + factor * (values - rest))
    return field.with_values(torch.cat(parts, 1))


def open_cosmology(cosmology: Cosmology, description: Description) -> Pairs:
    """The pairs of another cosmology, whose patterns start at the description's folder.

    Raises
    ------
    InputError
        If one of the patterns is missing, or as `open_pairs`.
    """
    if not (cosmology.input and cosmology.target):
        raise InputError(
            f"the cosmology {cosmology.name!r} has {'an input' if cosmology.input else 'a target'} alone; "
            'write both, input = "za_*.npy" and target = "nbody_*.npy", or neither'
        )
    source = replace(description.data, path="", input=cosmology.input, target=cosmology.target, parameters="", quantities="")
    pairs = open_pairs(description.folder, replace(description, data=source))
    return replace(pairs, description=description, factor=cosmology.input_factor)


class _Made(Sequence[Any]):
    """Samples that are made when they are asked for."""

    def __init__(self, length: int, make: Callable[[int], Any]) -> None:
        self.length, self.make = length, make

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: Any) -> Any:
        return self.make(index)


def answered(
    count: int, given: Callable[[int], Field], answer: Callable[[Field], Field], description: Description, truth: str
) -> Pairs:
    """Pairs of made inputs, of one sample each, and the answers of a truth to them; those of a "law" are kept."""

    def put(index: int) -> np.ndarray:
        return given(index).values[0].cpu().numpy()

    def answer_to(index: int) -> np.ndarray:
        return answer(given(index)).values[0].cpu().numpy()

    # A law may be a solver that takes its time; 2LPT is quick, and fields are large.
    targets = _Made(count, cache(answer_to) if truth == "law" else answer_to)
    return Pairs(_Made(count, put), targets, description, tuple(f"input {i}" for i in range(count)), truth=truth)


def open_pairs(folder: Path, description: Description) -> Pairs:
    """The pairs that the description's patterns find in a folder, or in one file, matched in sorted order.

    Raises
    ------
    InputError
        If the folder or the patterns are missing, the numbers of inputs and targets differ, or a file is damaged, lacks what the
        patterns name, or holds another shape, kind, box or unit than the description says.
    """
    source, grid = description.data, description.grid
    if not folder.exists():
        wanted = _said(source.input) or "input"
        raise InputError(f"the data folder {folder} is not there; give --data a folder of {wanted} and target files")
    if not (source.input and source.target):
        raise InputError(
            'the description does not say which files are what: write [data] input = "za_*.npy" and target = "nbody_*.npy"'
        )
    inputs = find_side(folder, _each(source.input), description.inputs, grid, source.channels)
    targets = find_side(folder, _each(source.target), description.outputs, grid, source.channels)
    if inputs is None or targets is None or len(inputs) != len(targets):
        raise _unpaired(folder, (source.input, inputs), (source.target, targets))
    inputs.check_matches(targets, folder)
    names = tuple(targets.name(i) for i in range(len(targets)))
    return _with_tables(Pairs(inputs, targets, description, names), folder if folder.is_dir() else folder.parent)


def _each(patterns: str | tuple[str, ...]) -> tuple[str, ...]:
    return (patterns,) if isinstance(patterns, str) else patterns


def _said(patterns: str | tuple[str, ...]) -> str:
    return " and ".join(_each(patterns))


def _unpaired(folder: Path, *sides: tuple[str | tuple[str, ...], FileSamples | None]) -> InputError:
    if folder.is_file() and not all(side for _, side in sides):
        wanted = " and ".join(_said(patterns) for patterns, _ in sides)
        return InputError(f"{folder} is a file, and not one like {wanted}; give such a file, or a folder of them")
    word = "samples" if any(side and side.stacked for _, side in sides) else "files"
    (given, inputs), (true, targets) = ((_said(patterns), len(side or ())) for patterns, side in sides)
    return InputError(f"{folder} holds {inputs} {word} like {given} and {targets} like {true}; every input needs its target")


def _with_tables(pairs: Pairs, folder: Path) -> Pairs:
    """The pairs with the numbers that belong to each."""
    source, wanted = pairs.description.data, tuple(pairs.description.conditioning)
    if source.parameters and not wanted:
        raise InputError(
            f"[data] parameters = {source.parameters!r} is what the model is called with, and it has none; describe them in "
            "[conditioning], or write quantities in the place of parameters"
        )
    conditioning = read_table(folder, source.parameters, len(pairs), wanted) if source.parameters else {}
    filed = bool(source.quantities) and not names_function(source.quantities)
    beside = read_known(folder, source, len(pairs)) if filed else pairs.beside
    for name, column in conditioning.items():
        if column.ndim > 1:
            raise InputError(
                f"the column {name!r} of {source.parameters} has shape {column.shape}; a parameter is one number a pair"
            )
    places = (source.parameters, source.quantities if filed else "")
    tables = tuple(folder / place.partition(":")[0] for place in places if place)
    return replace(pairs, conditioning=conditioning, beside=beside, tables=tables)


def call_pairs(function: Callable[[], Any], description: Description) -> Pairs:
    """The pairs that a function of the user's gives: (inputs, targets), each (pair, channel, *grid) or a sequence of samples.

    A third item is a dict of physical quantities that belong to each pair.

    Raises
    ------
    InputError
        If it raises, or gives something else.
    """
    name = description.data.path or getattr(function, "__name__", "the data function")
    given = called(function, name)
    try:
        inputs, targets, *more = given
        counts = len(inputs), len(targets)
    except (TypeError, ValueError):
        raise InputError(f"{name} gave a {type(given).__name__}; expected (inputs, targets), each (pair, channel, *grid)") from None
    if counts[0] != counts[1] or not counts[0]:
        raise InputError(f"{name} gave {counts[0]} inputs and {counts[1]} targets; every input needs its target")
    if len(more) > 1:
        raise InputError(f"{name} gave {2 + len(more)} items; expected (inputs, targets), and a dict of quantities behind them")
    if more and description.data.quantities:
        raise InputError(f"{name} gives quantities, and [data] quantities names {description.data.quantities!r}; keep one of them")
    beside = known_from(more[0], description.data, counts[0], name) if more else {}
    names = tuple(f"pair {i}" for i in range(counts[0]))
    return _with_tables(Pairs(inputs, targets, description, names, beside=beside), description.folder)


def with_quantities(pairs: Pairs, function: Callable[[], Any]) -> Pairs:
    """The pairs with the physical quantities that a function of the user's gives: a dict of arrays.

    Raises
    ------
    InputError
        If it raises, or gives something else.
    """
    source = pairs.description.data
    return replace(pairs, beside=known_from(called(function, source.quantities), source, len(pairs), source.quantities))


def _sample(side: Sequence[Any], index: int, layout: Layout, what: str) -> Tensor:
    """One sample as float: (1, channel, *grid)."""
    if isinstance(side, FileSamples):
        array, what = side[index], side.place(index)
    else:
        array = layout.arranged(np.asarray(side[index]), what)
    values = torch.from_numpy(np.array(array, dtype=np.float32 if np.can_cast(array.dtype, np.float32) else np.float64, order="C"))
    if not torch.isfinite(values).all():
        raise InputError(f"{what} holds NaN or infinity; clean the field, or leave it out")
    return values[None]
