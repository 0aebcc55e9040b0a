"""Zarr, by the extra `zarr`: an array of a store in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from probe.data.stored import Stored, chunk_bytes, missing
from probe.errors import InputError

_NAMES = 1000


@contextmanager
def open_zarr(path: Path, key: str) -> Iterator[Stored]:
    """An array of a zarr store, of format 2 or 3."""
    try:
        import zarr
    except ImportError:
        raise InputError(f"{path} is a zarr store, which takes an extra: pip install 'fieldprobe[zarr]'") from None
    root: Any = zarr.open(str(path), mode="r")
    try:
        data = root[key.strip("/")] if key.strip("/") else root
    except KeyError:
        data = None
    if not isinstance(data, zarr.Array):
        raise missing(path, key, _names(root), "array")
    yield Stored(data.shape, data.dtype, _Whole(data, path), _said(root, data), chunk_bytes(data.chunks, data.dtype))


class _Whole:
    """An array whose chunks are looked at before they are read.

    One that is not there would read as zeros. One that Blosc packed and that was cut short would read as whatever lies behind it
    in memory.
    """

    def __init__(self, data: Any, path: Path) -> None:
        self.data, self.folder, self.files = data, path / data.path, data.shards or data.chunks
        self.blosc = not data.shards and bool(data.compressors) and "blosc" in type(data.compressors[-1]).__name__.lower()

    def __getitem__(self, index: Any) -> np.ndarray:
        counts = [range(-(-points // side)) for points, side in zip(self.data.shape, self.files, strict=True)]
        if isinstance(index, int):
            counts[0] = range(index // self.files[0], index // self.files[0] + 1)
        for place in product(*counts):
            self._check(self.data.metadata.encode_chunk_key(place))
        return np.asarray(self.data[index])

    def _check(self, key: str) -> None:
        chunk = self.folder / key
        if not chunk.is_file():
            raise InputError(
                f"{self.folder} lacks the chunk {key}, which would read as {self.data.fill_value}; copy it again, or write it with "
                'config={"write_empty_chunks": True}'
            )
        if self.blosc:
            with chunk.open("rb") as file:
                length, found = int.from_bytes(file.read(16)[12:], "little"), chunk.stat().st_size
            if not 16 <= length == found:
                raise EOFError(f"the chunk {key} has {found} bytes where {length} should be")


def _names(root: Any) -> list[str]:
    members = getattr(root, "members", None)
    found = members(max_depth=None) if members else ()
    return sorted(f"/{name}" for name, one in found if hasattr(one, "shape"))[:_NAMES]


def _said(root: Any, data: Any) -> dict[str, Any]:
    """Attributes of the array, and the box that those of the store state."""
    return {name: value for name, value in root.attrs.items() if "box" in name.lower()} | dict(data.attrs)
