"""NetCDF, version 4, which is HDF5, and the classic versions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from warnings import catch_warnings

from probe.data.hdf5 import open_hdf5, unpacked
from probe.data.stored import Stored, missing


@contextmanager
def open_netcdf(path: Path, key: str) -> Iterator[Stored]:
    """A variable of a NetCDF file."""
    with path.open("rb") as file:
        classic = file.read(3) == b"CDF"
    with (_open_classic if classic else open_hdf5)(path, key) as stored:
        yield stored


@contextmanager
def _open_classic(path: Path, key: str) -> Iterator[Stored]:
    from scipy.io import netcdf_file

    # Of variables that still point into the file when it is closed: they are let go of.
    with catch_warnings(action="ignore"), netcdf_file(path, mmap=True) as file:
        name = key.strip("/")
        if name not in file.variables:
            raise missing(path, key, list(file.variables), "variable")
        variable = file.variables[name]
        if variable.data.shape != variable.shape:
            raise EOFError(f"{variable.data.shape} where {variable.shape} should be")
        says = {name: _text(value) for name, value in variable._attributes.items()}
        around = {name: _text(value) for name, value in file._attributes.items() if "box" in name.lower()}
        yield Stored(variable.shape, variable.data.dtype, unpacked(variable.data, says), around | says)


def _text(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
