"""HDF5 and NetCDF4: one dataset, read by hyperslabs, and nothing outside its file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from probe.data.stored import Stored, chunk_bytes, missing, speaks
from probe.errors import InputError

_LINKS = 16  # followed one after another
_NAMES = 1000


@contextmanager
def open_hdf5(path: Path, key: str) -> Iterator[Stored]:
    """A dataset of an HDF5 or NetCDF4 file."""
    import h5py

    with h5py.File(path, "r", locking=False) as file:
        data = follow(file, key, str(path))
        if not isinstance(data, h5py.Dataset):
            raise missing(path, key, names_in(file), "dataset")
        place = f"{path}:{key}"
        _check_whole(data, place)
        yield Stored(data.shape or (), data.dtype, unpacked(data, data.attrs), said(data), chunk_bytes(data.chunks, data.dtype))


def follow(node: Any, key: str, path: str, links: int = 0) -> Any:
    """The object that a name leads to within its own file; None where it leads nowhere.

    Raises
    ------
    InputError
        If it leads into another file, or round in circles.
    """
    import h5py

    node = node.file if key.startswith("/") else node
    for part in filter(None, key.split("/")):
        link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
        if isinstance(link, h5py.ExternalLink):
            raise InputError(f"{path}:{key} is a link into another file ({link.filename}); give that file itself")
        if isinstance(link, h5py.SoftLink):
            if links == _LINKS:
                raise InputError(f"{path}:{key} is a link that leads round in circles; name the dataset itself")
            node = follow(node, link.path, path, links + 1)
        else:
            node = None if link is None else node[part]
        if node is None:
            return None
    return node


def names_in(file: Any) -> list[str]:
    """The datasets of a file, without those behind links and those that are axes of others."""
    import h5py

    found = list[str]()

    def visit(name: str, node: Any) -> bool | None:
        if isinstance(node, h5py.Dataset) and not h5py.h5ds.is_scale(node.id):
            found.append(f"/{name}")
        return True if len(found) == _NAMES else None

    file.visititems(visit)
    return found


def _check_whole(data: Any, place: str) -> None:
    """Refuse numbers that lie in other files, behind filters that are not here, or were never written."""
    import h5py

    if data.external or (data.is_virtual and any(source.file_name != "." for source in data.virtual_sources())):
        raise InputError(f"{place} only points at numbers in other files; give those files, or write the numbers into this one")
    plan = data.id.get_create_plist()
    for code, _, _, name in map(plan.get_filter, range(plan.get_nfilters())):
        if not h5py.h5z.filter_avail(code):
            said = name.decode(errors="replace") or "without a name"
            raise InputError(f"{place} is packed by the HDF5 filter {code} ({said}), which is not installed; write it with gzip")
    if data.size and not data.is_virtual and data.id.get_space_status() != h5py.h5d.SPACE_STATUS_ALLOCATED:
        raise InputError(f"{place} was never written to its end, and what is absent would read as {data.fillvalue}; write it again")


def said(data: Any) -> dict[str, Any]:
    """What its attributes state of box and unit; a box may be stated by the groups that it lies in, the nearest first."""
    found = {name: data.attrs[name] for name in data.attrs if speaks(name)}
    while data.name != "/":
        data = data.parent
        found = {name: data.attrs[name] for name in data.attrs if speaks(name) and "box" in name.lower()} | found
    return found


def unpacked(data: Any, says: Mapping[str, Any]) -> Any:
    """An array whose numbers stand for value = stored * scale_factor + add_offset, as the CF conventions pack them."""
    keys = ("scale_factor", "add_offset", "_FillValue", "missing_value")
    scale, offset, *marks = (_number(says.get(key)) for key in keys)
    holes = [mark for mark in marks if mark is not None and not np.isnan(mark)]
    if scale is None and offset is None and not holes:
        return data
    return _Packed(data, 1.0 if scale is None else scale, offset or 0.0, holes)


def _number(value: Any) -> float | None:
    found = None if value is None else np.ravel(np.asarray(value))
    return float(found[0]) if found is not None and found.size == 1 and found.dtype.kind in "fiu" else None


class _Packed:
    """Numbers stored by a scale and an offset; what is marked as missing reads as NaN."""

    def __init__(self, data: Any, scale: float, offset: float, holes: list[float]) -> None:
        self.data, self.scale, self.offset, self.holes = data, scale, offset, holes

    def __getitem__(self, index: Any) -> np.ndarray:
        stored = np.asarray(self.data[index])
        absent = np.isin(stored, np.asarray(self.holes).astype(stored.dtype)) if self.holes else None
        if (self.scale, self.offset) != (1.0, 0.0):
            stored = stored * self.scale + self.offset
        if absent is not None and absent.any():
            stored = np.where(absent, np.nan, stored)
        return stored
