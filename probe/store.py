"""The run directory: run.json, one netCDF file a probe, the report. Every file is written whole or not at all."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from probe.errors import InputError

SCHEMA = 1


def prepare(folder: Path, resume: bool, overwrite: bool) -> None:
    """Make the run directory, or refuse one that holds another run.

    Raises
    ------
    InputError
        If it holds a run and neither leave was given, or if it cannot be written.
    """
    if (folder / "run.json").exists() and not (resume or overwrite):
        raise InputError(
            f"{folder} holds a run already; give --resume to go on with it, --overwrite to replace it, or another --out"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as fault:
        raise InputError(f"the output folder {folder} cannot be written ({fault.strerror}); give another with --out") from None
    if overwrite:
        for path in (*folder.glob("*.nc"), folder / "run.json", folder / "report.html"):
            path.unlink(missing_ok=True)


def replace_file(path: Path, write: Callable[[Path], None]) -> None:
    """Write beside the path, then move into place: a kill at any moment leaves the old file or the new one."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        write(partial)
        os.replace(partial, path)
    except OSError as fault:
        raise InputError(f"{path} cannot be written ({fault.strerror or fault}); what was stored before is kept") from None
    finally:
        partial.unlink(missing_ok=True)


def write_document(folder: Path, document: Mapping[str, Any]) -> None:
    """run.json; numbers are finite or null."""
    text = json.dumps(finite(document), indent=1, allow_nan=False)
    replace_file(folder / "run.json", lambda path: _write_text(path, text))


def read_document(folder: Path) -> dict[str, Any]:
    """run.json of a finished or broken run.

    Raises
    ------
    InputError
        If it is missing or not one of ours.
    """
    path = folder / "run.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{folder} holds no run.json; give the folder that `probe run` wrote") from None
    except (OSError, ValueError) as fault:
        raise InputError(f"{path} cannot be read ({fault})") from None
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise InputError(f"{path} is not a run of schema {SCHEMA}; it was written by another version")
    return document


def write_measured(folder: Path, probe: str, measured: Mapping[str, xr.Dataset]) -> None:
    """<probe>.nc: one group a subject."""

    def write(path: Path) -> None:
        for index, (subject, dataset) in enumerate(measured.items()):
            _encoded(dataset).to_netcdf(path, mode="a" if index else "w", group=subject, engine="h5netcdf")

    replace_file(folder / f"{probe}.nc", write)


def read_measured(folder: Path, probe: str) -> dict[str, xr.Dataset]:
    """What was measured, by subject; empty where nothing is stored."""
    path = folder / f"{probe}.nc"
    if not path.exists():
        return {}
    try:
        groups = xr.open_groups(path, engine="h5netcdf")
        result = {name.strip("/"): _decoded(data.load()) for name, data in groups.items() if name != "/"}
        for data in groups.values():
            data.close()
        return result
    except (OSError, ValueError) as fault:
        raise InputError(f"{path} cannot be read ({fault}); measure again with --overwrite") from None


def finite(value: Any) -> Any:
    """The same structure as JSON holds it: tuples as lists, numbers that are not finite as null."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


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
