"""An array in a file as its header tells it, before any of it is read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from probe.description.table import nearest
from probe.errors import InputError

LISTED = 8  # names that a sentence lists
_CHUNK = 2**30  # bytes


@dataclass(frozen=True)
class Stored:
    """An array in a file that is open for as long as this is used.

    Attributes
    ----------
    shape : tuple of int
    dtype : np.dtype
    array : object
        Indexed by a whole number it reads one entry along the first axis, by `...` all.
    says : mapping
        What the file states of it, nearest first: its own attributes, then those of the groups that hold it.
    chunk : int
        Bytes that are unpacked at once to read any of it; 0 where nothing is packed.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    array: Any
    says: Mapping[str, Any] = field(default_factory=dict)
    chunk: int = 0

    def read(self, index: int | None) -> np.ndarray:
        """One entry along the first axis, or all."""
        return np.asarray(self.array[... if index is None else index])

    def check_chunk(self, place: str, needed: int) -> None:
        """Refuse what unpacks to far more than is asked for.

        Parameters
        ----------
        needed : int
            Bytes of one sample.

        Raises
        ------
        InputError
            If a chunk has over a GiB, and over four samples.
        """
        if self.chunk > max(_CHUNK, 4 * needed):
            raise InputError(
                f"{place} is packed in chunks of {self.chunk / 2**30:.3g} GiB, each of which must be unpacked for a sample of "
                f"{needed / 2**20:.3g} MiB; write it again in chunks of one sample"
            )


def chunk_bytes(chunks: Collection[int] | None, dtype: np.dtype) -> int:
    """Bytes of one chunk, unpacked."""
    return prod(chunks) * dtype.itemsize if chunks else 0


def speaks(name: str) -> bool:
    """Whether an attribute is one that may state the box or a unit."""
    return any(word in name.lower() for word in ("box", "unit"))


def missing(path: Path, key: str, known: Collection[str], word: str) -> InputError:
    """The error that says which arrays there are in place of one that is not; `word` is what the format calls them."""
    if not known:
        return InputError(f"{path} holds no {word} at all; give a file that does")
    some = ", ".join(list(known)[:LISTED]) + (f" and {len(known) - LISTED} more" if len(known) > LISTED else "")
    if not key:
        first = next(iter(known)).partition(" ")[0]
        return InputError(f'{path} holds {some}; say which {word} behind the files\' pattern, as in "*{path.suffix}:{first}"')
    near = nearest(key, known)
    hint = f"did you mean {near!r}? " if near else ""
    return InputError(f"{path} holds no {word} {key!r}; {hint}there is {some}")
