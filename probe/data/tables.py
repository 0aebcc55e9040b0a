"""Numbers that belong to each sample: columns by name, one row a pair."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Collection, Mapping
from itertools import islice
from math import prod
from pathlib import Path

import numpy as np

from probe.data.formats import FORMATS, opened
from probe.data.hdf5 import follow
from probe.data.stored import missing
from probe.errors import InputError

_MOST = 2**27  # numbers of a column


def read_table(folder: Path, place: str, rows: int | None, wanted: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """The columns of a table beside the samples.

    Parameters
    ----------
    folder : Path
    place : str
        "params.csv", whose first line names the columns (those without a name are left out); "params.npz", an array each;
        "params.npy" or "runs.h5:/table" with named fields; "runs.h5:/group", a dataset each.
    rows : int or None
        Pairs; None: any number, and columns of words too.
    wanted : tuple of str
        Columns that must be there, and are all that is read; empty: every column of numbers.

    Returns
    -------
    dict of str to array, (rows, ...)

    Raises
    ------
    InputError
        If the file or a column is missing, it is damaged, has another number of rows, or holds anything but finite numbers.
    """
    name, _, key = place.partition(":")
    path = folder / name
    if not path.is_file():
        raise InputError(f"the table {path} is not there; give a .csv, .npy, .npz or HDF5 file with a column each")
    read = _READERS.get(path.suffix.lower(), _of_fields)
    found = read(path, key, rows, wanted)
    if not found:
        raise InputError(f"{path} holds no column of numbers; write one, with its name in the first line")
    return found


def read_columns(folder: Path, place: str) -> dict[str, np.ndarray]:
    """Every column of a table, of whatever length, those of words too."""
    return read_table(folder, place, None)


def _checked(column: np.ndarray, place: str, words: bool = False) -> np.ndarray:
    if words and column.dtype.kind in "US":
        return column.astype(str)
    if words and all(isinstance(value, (bytes, str)) for value in column.ravel()) and column.dtype.kind == "O":  # of HDF5
        return np.char.decode(column.astype(bytes), "utf-8") if isinstance(column.flat[0], bytes) else column.astype(str)
    if column.dtype.kind not in "fiub":
        raise InputError(f"{place} holds {column.dtype}; expected numbers")
    values = column.astype(float)
    if not np.isfinite(values).all():
        raise InputError(f"{place} holds NaN or infinity; give each row its number")
    return values


def _check_rows(shape: tuple[int, ...], place: str, rows: int | None) -> None:
    if (rows is not None and shape[:1] != (rows,)) or prod(shape) > _MOST:
        raise InputError(f"{place} has shape {shape} and there are {rows} pairs; give a row for each, in their order")


def _asked(names: Collection[str], wanted: tuple[str, ...], path: Path) -> Collection[str]:
    """The columns to read: those that are wanted, or all."""
    for name in wanted:
        if name not in names:
            raise missing(path, name, list(names), "column")
    return wanted or names


def _of_csv(path: Path, key: str, rows: int | None, wanted: tuple[str, ...]) -> dict[str, np.ndarray]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = list(islice(filter(None, csv.reader(file, skipinitialspace=True)), None if rows is None else rows + 2))
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise InputError(f"{path} cannot be read as a .csv ({fault}); write it again") from None
    head, body = [name.strip() for name in (lines or [[]])[0]], lines[1:]
    if rows is not None and len(body) != rows:
        count = "more" if len(body) > rows else str(len(body))
        raise InputError(f"{path} has {count} rows and there are {rows} pairs; give a row for each, in their order")
    if len(head) == 1 and any(mark in head[0] for mark in ";\t"):
        raise InputError(f"{path} has one column, {head[0]!r}; separate its columns by commas")
    if twice := [name for name in head if name and head.count(name) > 1]:
        raise InputError(f"{path} names two columns {twice[0]!r}; give each a name of its own")
    for number, row in enumerate(body, 1):
        if len(row) != len(head):
            raise InputError(f"row {number} of {path} has {len(row)} values for {len(head)} columns; mend it there")
    found = dict[str, np.ndarray]()
    for name in _asked([name for name in head if name], wanted, path):
        place = head.index(name)
        texts = [row[place].strip() for row in body]
        if (numbers := _numbers(texts, name, path, bool(wanted))) is not None:
            found[name] = _checked(numbers, f"the column {name!r} of {path}")
        elif rows is None:
            found[name] = np.array(texts)
    return found


def _numbers(texts: list[str], name: str, path: Path, needed: bool) -> np.ndarray | None:
    """A column as numbers; None where it is words and nobody asked for it by name."""
    odd = [row for row, text in enumerate(texts, 1) if not _is_number(text)]
    if not odd:
        return np.array([float(text) for text in texts])
    # Where most are numbers, a cell that was left empty or crossed out makes no words of the others.
    if needed or 2 * len(odd) < len(texts):
        what = repr(texts[odd[0] - 1]) if texts[odd[0] - 1] else "an empty cell"
        raise InputError(f"row {odd[0]} of the column {name!r} of {path} holds no number but {what}; mend it there")
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _of_fields(path: Path, key: str, rows: int | None, wanted: tuple[str, ...]) -> dict[str, np.ndarray]:
    """An array with named fields."""
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"{path} is no table that is read; give a .csv, .npy, .npz or HDF5 file with a column each")
    with opened(path, key) as stored:
        if not stored.dtype.names:
            raise InputError(f"{path} holds {stored.dtype} without named columns; give a .csv, or an array with named fields")
        names = _asked(stored.dtype.names, wanted, path)
        _check_rows(stored.shape, str(path), rows)
        table = stored.read(None)
    return {name: _checked(table[name], f"the column {name!r} of {path}", rows is None) for name in names}


def _of_arrays(path: Path, names: Mapping[str, str], rows: int | None, wanted: tuple[str, ...]) -> dict[str, np.ndarray]:
    """An array for each column, by the name that it has in the file."""
    found = dict[str, np.ndarray]()
    for name in _asked(names, wanted, path):
        place = f"the column {name!r} of {path}"
        with opened(path, names[name]) as stored:
            _check_rows(stored.shape, place, rows)
            found[name] = _checked(stored.read(None), place, rows is None)
    return found


def _of_npz(path: Path, key: str, rows: int | None, wanted: tuple[str, ...]) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
    except (OSError, zipfile.BadZipFile) as fault:
        raise InputError(f"{path} cannot be read as an .npz archive ({fault}); write it again with numpy.savez") from None
    return _of_arrays(path, {name: name for name in names}, rows, wanted)


def _of_hdf5(path: Path, key: str, rows: int | None, wanted: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The datasets of a group, or one with named fields."""
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as file:
            group = follow(file, key, str(path))
            inside = dict(group.items()) if isinstance(group, h5py.Group) else {}
            names = [name for name, item in inside.items() if isinstance(item, h5py.Dataset)]
    except OSError as fault:
        raise InputError(f"{path} cannot be read as an HDF5 file ({fault}); write it again with h5py") from None
    if inside and not names:
        place = f"{path.name}:{key.rstrip('/')}/{next(iter(inside))}"
        raise InputError(f"{path} holds groups alone ({', '.join(inside)}) and no columns; name one, as {place}")
    if not names:
        return _of_fields(path, key, rows, wanted)
    return _of_arrays(path, {name: f"{key.rstrip('/')}/{name}" for name in names}, rows, wanted)


_READERS = {".csv": _of_csv, ".npz": _of_npz, **dict.fromkeys((".h5", ".hdf5", ".hdf", ".he5", ".nc", ".nc4"), _of_hdf5)}
