"""Pairs of input and truth from disk, read when they are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from probe.description import Description
from probe.errors import InputError
from probe.fields import Field, Quantity


@dataclass(frozen=True)
class Pairs(Sequence[tuple[Field, Field]]):
    """Inputs with their truths, one file of each a simulation; arrays are (channel, *grid), or (grid) for one scalar.

    Attributes
    ----------
    inputs, targets : tuple of Path
    description : Description
    """

    inputs: tuple[Path, ...]
    targets: tuple[Path, ...]
    description: Description

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> tuple[Field, Field]:  # type: ignore[override]
        grid, described = self.description.grid, self.description
        return (
            Field(_read(self.inputs[index], described.inputs, described)[None], grid, described.inputs),
            Field(_read(self.targets[index], described.outputs, described)[None], grid, described.outputs),
        )

    def __iter__(self) -> Iterator[tuple[Field, Field]]:
        return (self[i] for i in range(len(self)))

    def name(self, index: int) -> str:
        """What a simulation is called: its target's file name."""
        return self.targets[index].stem

    def fingerprint(self) -> str:
        """sha256 over names and contents."""
        digest = hashlib.sha256()
        for path in (*self.inputs, *self.targets):
            digest.update(path.name.encode())
            digest.update(path.read_bytes())
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
    inputs, targets = (tuple(sorted(folder.glob(pattern))) for pattern in (source.input, source.target))
    if not inputs or len(inputs) != len(targets):
        found = f"{len(inputs)} files like {source.input} and {len(targets)} like {source.target}"
        raise InputError(f"{folder} holds {found}; every input needs its target")
    return Pairs(inputs, targets, description)


def _read(path: Path, quantities: tuple[Quantity, ...], description: Description) -> Tensor:
    """One sample as float: (channel, *grid)."""
    try:
        array: np.ndarray = np.lib.format.open_memmap(path, mode="r")  # np.load would open archives too
    except (ValueError, OSError, EOFError) as fault:
        raise InputError(f"{path} cannot be read as a .npy array ({fault}); write it again with numpy.save") from None
    width = sum(q.width(description.grid) for q in quantities)
    shape = (width, *description.grid.shape)
    if array.shape == description.grid.shape and width == 1:
        array = array[None]
    if array.shape != shape or array.dtype.kind not in "fiub":
        raise InputError(
            f"{path} holds {array.dtype} of shape {array.shape}; the description asks for real numbers of shape {shape}"
        )
    values = torch.from_numpy(np.array(array, dtype=np.float32 if np.can_cast(array.dtype, np.float32) else np.float64))
    if not torch.isfinite(values).all():
        raise InputError(f"{path} holds NaN or infinity; clean the field, or leave the file out")
    return values
