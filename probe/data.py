"""Pairs of input and truth from disk, read when they are asked for."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from probe.description import Description
from probe.errors import InputError, printable
from probe.fields import Field, Quantity


@dataclass(frozen=True)
class Pairs(Sequence[tuple[Field, Field]]):
    """Inputs with their truths; arrays are (channel, *grid), or (grid) for one scalar, or (channel,) for numbers alone.

    Attributes
    ----------
    inputs, targets : sequence of Path or array
        Files are read when they are asked for.
    description : Description
    names : tuple of str
        What each pair is called.
    """

    inputs: Sequence[Any]
    targets: Sequence[Any]
    description: Description
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> tuple[Field, Field]:  # type: ignore[override]
        grid, described = self.description.grid, self.description
        sides = ((self.inputs, described.inputs, "input"), (self.targets, described.outputs, "target"))
        given, truth = (
            Field(_sample(side[index], quantities, described, f"the {word} of {self.names[index]}")[None], grid, quantities)
            for side, quantities, word in sides
        )
        return given, truth

    def __iter__(self) -> Iterator[tuple[Field, Field]]:
        return (self[i] for i in range(len(self)))

    def name(self, index: int) -> str:
        """What a pair is called."""
        return self.names[index]

    def fingerprint(self) -> str:
        """sha256 over names and contents."""
        digest = hashlib.sha256()
        for name, source in zip((*self.names, *self.names), (*self.inputs, *self.targets), strict=True):
            digest.update(os.fsencode(source.name if isinstance(source, Path) else name))
            digest.update(source.read_bytes() if isinstance(source, Path) else np.ascontiguousarray(source).tobytes())
        return digest.hexdigest()


def open_pairs(folder: Path, description: Description) -> Pairs:
    """The pairs that the description's patterns find in a folder, matched in sorted order.

    Raises
    ------
    InputError
        If the folder or the patterns are missing, or the numbers of inputs and targets differ.
    """
    source = description.data
    if not folder.is_dir():
        raise InputError(
            f"the data folder {folder} is not there; give --data a folder of {source.input or 'input'} and target files"
        )
    if not (source.input and source.target):
        raise InputError(
            'the description does not say which files are what: write [data] input = "za_*.npy" and target = "nbody_*.npy"'
        )
    try:
        inputs, targets = (tuple(sorted(folder.glob(pattern))) for pattern in (source.input, source.target))
    except (ValueError, NotImplementedError) as fault:
        raise InputError(
            f"{source.input!r} or {source.target!r} is no pattern of files ({fault}); write one like za_*.npy"
        ) from None
    if not inputs or len(inputs) != len(targets):
        found = f"{len(inputs)} files like {source.input} and {len(targets)} like {source.target}"
        raise InputError(f"{folder} holds {found}; every input needs its target")
    return Pairs(inputs, targets, description, tuple(printable(path.stem) for path in targets))


def call_pairs(function: Callable[[], Any], description: Description) -> Pairs:
    """The pairs that a function of the user's gives: (inputs, targets), each (pair, channel, *grid) or a sequence of samples.

    Raises
    ------
    InputError
        If it raises, or gives something else.
    """
    name = description.data.path or getattr(function, "__name__", "the data function")
    try:
        given = function()
    except Exception as error:  # the function is the user's, and may raise anything
        raise InputError(f"{name} raised {type(error).__name__} ({error}); mend it there") from error
    try:
        inputs, targets = given
        counts = len(inputs), len(targets)
    except (TypeError, ValueError):
        raise InputError(f"{name} gave a {type(given).__name__}; expected (inputs, targets), each (pair, channel, *grid)") from None
    if counts[0] != counts[1] or not counts[0]:
        raise InputError(f"{name} gave {counts[0]} inputs and {counts[1]} targets; every input needs its target")
    return Pairs(inputs, targets, description, tuple(f"pair {i}" for i in range(counts[0])))


def _sample(source: Any, quantities: tuple[Quantity, ...], description: Description, what: str) -> Tensor:
    """One sample as float, from a file or as it is: (channel, *grid); numbers alone may be given as (channel,)."""
    path = source if isinstance(source, Path) else what
    array = _mapped(source) if isinstance(source, Path) else np.asarray(source)
    width = sum(q.width(description.grid) for q in quantities)
    shape = (width, *description.grid.shape)
    if array.shape == description.grid.shape and width == 1:
        array = array[None]
    if array.shape == (width,) and all(q.is_number for q in quantities):
        array = np.broadcast_to(array.reshape(width, *[1] * description.grid.dimension), shape)
    if array.shape != shape or array.dtype.kind not in "fiub":
        raise InputError(
            f"{path} holds {array.dtype} of shape {array.shape}; the description asks for real numbers of shape {shape}"
        )
    values = torch.from_numpy(np.array(array, dtype=np.float32 if np.can_cast(array.dtype, np.float32) else np.float64))
    if not torch.isfinite(values).all():
        raise InputError(f"{path} holds NaN or infinity; clean the field, or leave the file out")
    return values


def _mapped(path: Path) -> np.ndarray:
    try:
        array: np.ndarray = np.lib.format.open_memmap(path, mode="r")  # np.load would open archives too
    except Exception as fault:  # numpy reads the header as an expression of Python, and raises anything on a damaged one
        raise InputError(f"{path} cannot be read as a .npy array ({fault}); write it again with numpy.save") from None
    return array
