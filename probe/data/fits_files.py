"""FITS, by the extra `fits`: the image of one header unit, read by sections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from warnings import catch_warnings

import numpy as np

from probe.data.stored import Stored, missing
from probe.errors import InputError

_TYPES = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}


@contextmanager
def open_fits(path: Path, key: str) -> Iterator[Stored]:
    """The image of a FITS file: of a header unit by its number or name, of the first by default."""
    try:
        from astropy.io import fits
    except ImportError:
        raise InputError(f"{path} is a FITS file, which takes an extra: pip install 'fieldprobe[fits]'") from None
    with catch_warnings(action="ignore"), fits.open(path, memmap=True) as units:
        unit = _unit(units, key)
        if unit is None or not unit.is_image or not unit.shape:
            known = [f"{i}" if not one.name else f"{i} ({one.name})" for i, one in enumerate(units) if one.is_image and one.shape]
            raise missing(path, key, known, "image")
        held, size = unit.fileinfo(), path.stat().st_size
        if held["datLoc"] + unit.size > size:
            raise EOFError(f"{size} bytes where {held['datLoc'] + unit.size} should be")
        says = {name: value for name, value in unit.header.items() if name}
        yield Stored(unit.shape, np.dtype(_TYPES[unit.header["BITPIX"]]), unit.section, says, _packed(unit))


def _unit(units: Any, key: str) -> Any:
    try:
        return units[int(key) if key.isdecimal() else key or 0]
    except (KeyError, IndexError):
        return None


def _packed(unit: Any) -> int:
    """Bytes of a tile of a compressed image, 0 of a plain one."""
    tile = getattr(unit, "tile_shape", None)
    return int(np.prod(tile)) * abs(unit.header["BITPIX"]) // 8 if tile else 0
