"""What a file states of itself, held against the description: taken from neither silently, and refused where they differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from probe.errors import InputError
from probe.fields import Quantity
from probe.grid import Grid

_BOX = ("box", "boxsize", "boxlength")
_BOX_UNIT = ("boxunit", "boxunits")
_UNIT = ("unit", "units", "bunit")
_NONE = ("", "1", "none", "dimensionless")
_CLOSE = 1e-5  # a box that was stored in float32, or typed with six digits


def check_stated(says: Mapping[str, Any], grid: Grid, quantities: tuple[Quantity, ...], place: str) -> None:
    """Refuse a file that states another box or another unit than the description.

    Raises
    ------
    InputError
        One sentence that names both.
    """
    for name, value in says.items():
        word = name.lower().replace("_", "").replace(" ", "")
        if word in _BOX:
            _check_box(name, value, grid, place)
        elif word in _BOX_UNIT:
            _check_unit(name, value, grid.unit, "the box's", "[grid]", place)
        elif word in _UNIT:
            for quantity in quantities:
                _check_unit(name, value, quantity.unit, f"that of {quantity.name!r}", "its table", place)


def _check_box(name: str, value: Any, grid: Grid, place: str) -> None:
    found = np.ravel(np.asarray(value))
    if found.dtype.kind not in "fiu":
        return
    fits = found.size in (1, grid.dimension) and np.allclose(found.astype(float), grid.box, rtol=_CLOSE, atol=0)
    if not fits:
        said = ", ".join(f"{side:g}" for side in found[:4])
        own = ", ".join(f"{side:g}" for side in grid.box)
        raise InputError(
            f"{place} states a box of {said} ({name}), and the description one of {own} {grid.unit}; mend box and unit in [grid], "
            "or give the data of this box"
        )


def _check_unit(name: str, value: Any, described: str, whose: str, where: str, place: str) -> None:
    said = value.decode(errors="replace") if isinstance(value, bytes) else value
    if not isinstance(said, str) or not described:  # what the description leaves open, it does not contradict
        return
    one, other = ("" if text.strip().lower() in _NONE else "".join(text.split()) for text in (said, described))
    if one != other:
        raise InputError(
            f"{place} states the unit {said!r} ({name}), and the description says that {whose} is {described!r}; mend {where}, or "
            "the file if both mean the same"
        )
