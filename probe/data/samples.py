"""Samples that lie in files, one or many in each: counted from the headers, read one at a time."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, permutations
from math import prod
from pathlib import Path

import numpy as np

from probe.data.formats import opened
from probe.data.layout import Layout
from probe.data.stated import check_stated
from probe.errors import InputError, printable
from probe.fields import Quantity
from probe.grid import Grid


@dataclass(frozen=True)
class Part:
    """The samples of some quantities, all under one name in the files of one pattern.

    Attributes
    ----------
    layout : Layout
    key : str
        The array's name within each file.
    paths : tuple of Path
    stands : tuple of tuple of str
        What the pattern's wildcards stand for in each file's name.
    counts : tuple of int or None
        Samples of each file's stack; None of a file that is one sample.
    """

    layout: Layout
    key: str
    paths: tuple[Path, ...]
    stands: tuple[tuple[str, ...], ...]
    counts: tuple[int | None, ...]
    ends: tuple[int, ...]  # samples up to the end of each file

    @classmethod
    def found(cls, stands: dict[Path, tuple[str, ...]], key: str, layout: Layout) -> Part:
        """The samples in these files, counted from their headers.

        Raises
        ------
        InputError
            If a file is damaged, lacks the array, holds another shape or kind, or states another box or unit.
        """
        counts = tuple(_count(path, key, layout) for path in stands)
        return cls(
            layout,
            key,
            tuple(stands),
            tuple(stands.values()),
            counts,
            tuple(accumulate(1 if count is None else count for count in counts)),
        )

    def __len__(self) -> int:
        return self.ends[-1]

    def where(self, index: int) -> tuple[Path, int | None]:
        """The file of a sample, and its place in the file's stack."""
        number = bisect_right(self.ends, index)
        before = self.ends[number - 1] if number else 0
        return self.paths[number], None if self.counts[number] is None else index - before

    def place(self, index: int) -> str:
        """The same in words."""
        path, number = self.where(index)
        named = _named(path, self.key)
        return named if number is None else f"sample {number} of {named}"

    def read(self, index: int) -> np.ndarray:
        """One sample: (channel, *grid)."""
        path, number = self.where(index)
        with opened(path, self.key) as stored:
            count = self.layout.count(stored.shape, stored.dtype, _named(path, self.key))
            if count != self.counts[bisect_right(self.ends, index)]:
                raise InputError(f"{_named(path, self.key)} holds another shape than before, {stored.shape}; run again")
            array = np.array(stored.read(number))
        return self.layout.arranged(array, self.place(index))


def _count(path: Path, key: str, layout: Layout) -> int | None:
    place = _named(path, key)
    with opened(path, key) as stored:
        count = layout.count(stored.shape, stored.dtype, place)
        check_stated(stored.says, layout.grid, layout.quantities, place)
        stored.check_chunk(place, prod(stored.shape if count is None else stored.shape[1:]) * stored.dtype.itemsize)
    return count


def _named(path: Path, key: str) -> str:
    return f"{path}:{key}" if key else str(path)


class FileSamples(Sequence[np.ndarray]):
    """One side of the pairs, from files: (channel, *grid) each, read when it is asked for.

    Parameters
    ----------
    parts : sequence of Part
        One for all quantities, one for each, or one for each channel; their channels follow one another.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = tuple(parts)

    def __len__(self) -> int:
        return len(self.parts[0])

    def __getitem__(self, index: int) -> np.ndarray:  # type: ignore[override]
        read = [part.read(index) for part in self.parts]
        return read[0] if len(read) == 1 else np.concatenate(read)

    @property
    def stacked(self) -> bool:
        """Whether a file holds a stack of them."""
        return any(count is not None for part in self.parts for count in part.counts)

    def place(self, index: int) -> str:
        """Where a sample lies, for messages."""
        return " and ".join(dict.fromkeys(part.place(index) for part in self.parts))

    def name(self, index: int) -> str:
        """What a sample is called: its file, and its number in the file's stack."""
        path, number = self.parts[0].where(index)
        return printable(path.stem if number is None else f"{path.stem} {number}")

    def check_matches(self, other: FileSamples, folder: Path) -> None:
        """Refuse pairs where some of the names that the patterns find are the same on both sides and others are not.

        Raises
        ------
        InputError
            If so: a file and its partner were lost, or the patterns find too much, and sorted order would pair strangers.
        """
        for one, two in permutations((*self.parts, *other.parts), 2):
            partners = set(two.stands)
            alone = [path.name for path, stand in zip(one.paths, one.stands, strict=True) if stand not in partners]
            if 0 < len(alone) < len(one.paths):
                raise InputError(f"in {folder} {alone[0]} has no partner of its name; give it one, or take it away")

    def files(self) -> Iterator[Path]:
        """The files, each once."""
        yield from dict.fromkeys(path for part in self.parts for path in part.paths)


def find_side(
    folder: Path, patterns: Sequence[str], quantities: tuple[Quantity, ...], grid: Grid, channels: str
) -> FileSamples | None:
    """The samples that patterns find; None where there are no such files.

    Raises
    ------
    InputError
        If the patterns are not one for all, one for each quantity or one for each channel, find different numbers of samples, or
        as `Part.found`.
    """
    parts = []
    for pattern, some in zip(patterns, _shared_out(patterns, quantities, grid), strict=True):
        files, _, key = pattern.partition(":")
        if not (stands := files_like(folder, files)):
            return None
        parts.append(Part.found(stands, key, Layout(some, grid, channels)))
    if len({len(part) for part in parts}) > 1:
        found = ", ".join(f"{len(part)} samples like {pattern}" for part, pattern in zip(parts, patterns, strict=True))
        raise InputError(f"{folder} holds {found}; every sample needs each of its channels")
    return FileSamples(parts)


def _shared_out(patterns: Sequence[str], quantities: tuple[Quantity, ...], grid: Grid) -> list[tuple[Quantity, ...]]:
    """What each pattern stands for: everything, one quantity, or one channel."""
    if len(patterns) == 1:
        return [quantities]
    if len(patterns) == len(quantities):
        return [(quantity,) for quantity in quantities]
    channels = [
        Quantity(q.name, "number" if q.is_number else "scalar", unit=q.unit) for q in quantities for _ in range(q.width(grid))
    ]
    if len(patterns) == len(channels):
        return [(channel,) for channel in channels]
    raise InputError(
        f"[data] names {len(patterns)} patterns for {len(quantities)} quantities of {len(channels)} channels; write one for all, "
        "one for each quantity, or one for each channel"
    )


def files_like(data: Path, pattern: str) -> dict[Path, tuple[str, ...]]:
    """The files of a folder that a pattern names, each with what its wildcards stand for, in the order of that.

    A file or a store of its own is itself all that a folder of it would hold.

    Raises
    ------
    InputError
        If the pattern is none.
    """
    alone = data.is_file() or data.suffix.lower() == ".zarr"
    try:
        found = [data] if alone and data.match(pattern) else [] if alone else list(data.glob(pattern))
    except (ValueError, NotImplementedError) as fault:
        raise InputError(f"{pattern!r} is no pattern of files ({fault}); write one like za_*.npy") from None
    wild = re.compile(
        "".join(f"({_WILD.get(piece, '.')})" if i % 2 else re.escape(piece) for i, piece in enumerate(_split(pattern)))
    )
    stands = {}
    for path in found:
        name = path.name if alone else path.relative_to(data).as_posix() if path.is_relative_to(data) else str(path)
        stands[path] = match.groups() if (match := wild.fullmatch(name)) else (name,)
    # Not by whole names: a_1.npy stands before a_10.npy, and 1_a.npy behind 10_a.npy.
    return dict(sorted(stands.items(), key=lambda item: (item[1], item[0])))


_WILD = {"*": "[^/]*", "**": ".*"}


def _split(pattern: str) -> list[str]:
    """Plain text and wildcards in turn."""
    return re.split(r"(\*+|\?|\[[^\]]+\])", pattern)
