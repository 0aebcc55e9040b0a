"""The run directory: run.json, one netCDF file a probe, the report. Every file is written whole or not at all."""

from __future__ import annotations

import io
import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from probe.errors import InputError
from probe.record import check_record, upgraded

SCHEMA = 2
_DIGITS = 300


class Unwritable(InputError):
    """The run directory takes no more: it is gone, closed or full."""


def prepare(folder: Path, resume: bool, overwrite: bool) -> None:
    """Make the run directory, or refuse one that holds another run; nothing in it is touched yet.

    Raises
    ------
    InputError
        If it holds a run and neither leave was given, or if it cannot be written.
    """
    try:
        if (folder / "run.json").exists() and not (resume or overwrite):
            raise InputError(
                f"{folder} holds a run already; give --resume to go on with it, --overwrite to replace it, or another --out"
            )
        folder.mkdir(parents=True, exist_ok=True)
        trial = folder / ".writable.partial"
        trial.touch()
        trial.unlink()
    except (OSError, ValueError) as fault:
        raise InputError(f"the output folder {folder} cannot be written ({_reason(fault)}); give another with --out") from None


def clear(folder: Path, overwrite: bool) -> None:
    """Take away what a kill left half written, and with `overwrite` the run that is there."""
    old = (*folder.glob("*.nc"), folder / "run.json", folder / "report.html") if overwrite else ()
    for path in (*folder.glob(".*.partial"), *old):
        path.unlink(missing_ok=True)


def replace_file(path: Path, content: bytes) -> None:
    """Write beside the path, then move into place: a kill at any moment leaves the old file or the new one.

    Raises
    ------
    Unwritable
        The old file is kept.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            # Some file systems tell only now that they are full.
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as fault:
        told = f"{path} cannot be written ({_reason(fault)}); what was stored before is kept"
        raise Unwritable(f"{told}: make room or give another --out, and go on with --resume") from None
    finally:
        partial.unlink(missing_ok=True)


def write_document(folder: Path, document: Mapping[str, Any]) -> None:
    """run.json; numbers are finite or null."""
    replace_file(folder / "run.json", json.dumps(finite(document), indent=1, allow_nan=False).encode())


def read_document(folder: Path) -> dict[str, Any]:
    """run.json of a finished or broken run.

    Raises
    ------
    InputError
        If it is missing, damaged, or not one of ours.
    """
    path = folder / "run.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"), parse_int=_whole)
    except FileNotFoundError:
        raise InputError(f"{folder} holds no run.json; give the folder that `probe run` wrote") from None
    except (OSError, ValueError, RecursionError) as fault:
        raise InputError(f"{path} cannot be read ({_reason(fault)}); run the probes again with --resume") from None
    if isinstance(document, dict) and document.get("schema") == 1:
        document = upgraded(document)
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise InputError(f"{path} is not a run of schema {SCHEMA} or 1; it was written by another version of fieldprobe")
    check_record(document, path)
    return document


def write_measured(folder: Path, probe: str, measured: Mapping[str, xr.Dataset]) -> None:
    """<probe>.nc: one group a subject."""
    content = io.BytesIO()
    # Made in memory: HDF5 crashes the process at its end where a disk was full.
    xr.DataTree.from_dict({subject: _encoded(data) for subject, data in measured.items()}).to_netcdf(content, engine="h5netcdf")
    replace_file(_file(folder, probe), content.getvalue())


def read_measured(folder: Path, probe: str) -> dict[str, xr.Dataset]:
    """What was measured, by subject; empty where nothing is stored.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    path = _file(folder, probe)
    if not path.exists():
        return {}
    try:
        _weigh(path)
        groups = xr.open_groups(path, engine="h5netcdf")
        result = {name.strip("/"): _decoded(data.load()) for name, data in groups.items() if name != "/"}
        for data in groups.values():
            data.close()
    except Exception as fault:  # HDF5 and what stands on it raise anything on a damaged file
        raise InputError(f"{path} cannot be read ({_reason(fault)}); run {probe} again with --resume") from None
    return result


def finite(value: Any) -> Any:
    """The same structure as JSON holds it: tuples as lists, numbers that are not finite as null, what it does not know as text."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, np.generic):
        return finite(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, int | str) else str(value)


def _file(folder: Path, probe: str) -> Path:
    if not re.fullmatch(r"\w+", probe):
        raise InputError(f"a probe is called {probe!r}, which names no file; call it by letters, digits and underscores")
    return folder / f"{probe}.nc"


def _weigh(path: Path) -> None:
    """Refuse a file that claims far more than it holds, or that takes its values from elsewhere."""
    claimed = 0

    def add(_: str, item: h5py.Dataset | h5py.Group) -> None:
        nonlocal claimed
        if isinstance(item, h5py.Dataset):
            if item.is_virtual or item.external:
                raise ValueError(f"{item.name} lies in another file")
            claimed += (item.size or 0) * item.dtype.itemsize

    with h5py.File(path) as file:
        file.visititems(add)
    if claimed > 20 * path.stat().st_size + 2**24:
        raise ValueError(f"it claims to hold {claimed} bytes")


def _whole(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _reason(fault: Exception) -> str:
    return getattr(fault, "strerror", None) or f"{fault}" or type(fault).__name__


def _encoded(dataset: xr.Dataset) -> xr.Dataset:
    """Complex variables with a last axis `part` of real and imaginary."""
    parts = {
        name: xr.concat([variable.real, variable.imag], dim="part").transpose(..., "part").assign_attrs(variable.attrs)
        for name, variable in dataset.data_vars.items()
        if np.iscomplexobj(variable)
    }
    return dataset.assign(parts)


def _decoded(dataset: xr.Dataset) -> xr.Dataset:
    whole = {
        name: (variable.isel(part=0) + 1j * variable.isel(part=1)).assign_attrs(variable.attrs)
        for name, variable in dataset.data_vars.items()
        if "part" in variable.dims
    }
    return dataset.assign(whole)
