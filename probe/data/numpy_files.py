""".npy and .npz: mapped into memory where they lie bare, unpacked as a stream where they are packed; never a pickle."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import EllipsisType
from typing import IO, Any, Literal, cast

import numpy as np

from probe.data.stored import Stored, missing
from probe.errors import InputError

_BLOCK = 2**14  # numbers that are unpacked at once


@contextmanager
def open_npy(path: Path, key: str) -> Iterator[Stored]:
    """The array of a .npy file, mapped."""
    if key:
        raise InputError(f"{path} holds one array, and none named {key!r}; leave the name out, or give a .npz")
    array = np.lib.format.open_memmap(path, mode="r")  # np.load would open archives too
    yield Stored(array.shape, array.dtype, array)


@contextmanager
def open_npz(path: Path, key: str) -> Iterator[Stored]:
    """One array of a .npz file: mapped, or unpacked as a stream of which one sample is kept."""
    with zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        if key not in names:
            raise missing(path, key, names, "array")
        member = archive.getinfo(f"{key}.npy")
        with archive.open(member) as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = cast(tuple[tuple[int, ...], bool, np.dtype], read(file))
            if dtype.hasobject:
                raise InputError(f"{path}:{key} holds Python objects, which only running a pickle would open; save numbers")
            array: Any
            if member.compress_type == zipfile.ZIP_STORED and 0 not in shape:
                place = _content(path, member.header_offset) + file.tell()
                array = np.memmap(path, dtype, "r", place, shape, "F" if fortran else "C")
            else:
                array = _Stream(file, file.tell(), shape, fortran, dtype)
            yield Stored(shape, dtype, array)


def _content(path: Path, header: int) -> int:
    """Where the content of an archive's member begins, behind its local header: 30 bytes, its name and what else is said."""
    with path.open("rb") as file:
        file.seek(header + 26)
        return header + 30 + sum(struct.unpack("<HH", file.read(4)))


@dataclass(frozen=True)
class _Stream:
    """An array in an archive, from where its numbers begin."""

    file: IO[bytes]
    begin: int
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype

    def __getitem__(self, index: int | EllipsisType) -> np.ndarray:
        self.file.seek(self.begin)
        order: Literal["F", "C"] = "F" if self.fortran else "C"
        if isinstance(index, EllipsisType):
            return np.frombuffer(self._bytes(prod(self.shape)), self.dtype).reshape(self.shape, order=order)
        inner = self.shape[1:]
        if self.fortran:
            return self._scattered(index, prod(inner)).reshape(inner, order=order)
        for left in range(index * prod(inner), 0, -_BLOCK):
            self._bytes(min(left, _BLOCK))
        return np.frombuffer(self._bytes(prod(inner)), self.dtype).reshape(inner)

    def _scattered(self, index: int, size: int) -> np.ndarray:
        """In Fortran's order a sample has one number in every group of as many as there are samples."""
        count, found = self.shape[0], np.empty(size, self.dtype)
        at_once = max(1, _BLOCK // count)
        for start in range(0, size, at_once):
            groups = min(at_once, size - start)
            found[start : start + groups] = np.frombuffer(self._bytes(groups * count), self.dtype)[index::count]
        return found

    def _bytes(self, numbers: int) -> bytes:
        wanted = numbers * self.dtype.itemsize
        held = self.file.read(wanted)
        if len(held) != wanted:
            raise EOFError(f"{len(held)} bytes where {wanted} should be")
        return held
