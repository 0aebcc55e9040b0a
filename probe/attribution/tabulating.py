"""Maps of all targets, methods and samples as one dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy import ndarray

from probe.attribution.asking import Found
from probe.coupling import is_displacement
from probe.equivariance import name_of_field, test_field
from probe.fields import Quantity, place_of
from probe.targets import Target, density_of, in_words, place_of_target, slice_of, unit_of

if TYPE_CHECKING:
    from probe.contract import Subject

DIMENSIONS = {
    "profile": ("distance",),
    "within": ("distance",),
    "quantiles": ("quantile",),
    "shells": ("shell",),
    "axes": ("axis",),
    "channels": ("channel",),
} | {name: () for name in ("difference", "total", "nodes", "wobble", "peaks", "voids", "mean")}
WITHOUT_UNIT = ("nodes", "peaks", "voids", "within", "quantiles", "channels")


def tabulate(
    subject: Subject, targets: Sequence[Target], methods: Sequence[str], found: Sequence[Sequence[Sequence[Found]]]
) -> xr.Dataset:
    """What was found, by target, method and sample; the pictures are the first sample's.

    Attributes tell targets in words, their units and the cells they are about, and why a method did not work.
    """
    grid, first = subject.grid, found[0][0]
    units = [unit_of(subject, target) for target in targets]
    unit = units[0] if len(set(units)) == 1 else ""  # targets of several units have theirs in the attributes

    def of(part: str) -> ndarray:
        return np.array([[[getattr(one, part) for one in row] for row in rows] for rows in found], dtype=float)

    variables = {
        name: (("target", "method", "sample", *over), of(name), {"units": "" if name in WITHOUT_UNIT else unit})
        for name, over in DIMENSIONS.items()
    }
    variables["picture"] = (("target", "method", "u", "v"), of("picture")[:, :, 0], {"units": unit})
    variables["density"] = _density_about(subject, targets)
    return xr.Dataset(
        variables,
        coords={
            "target": [str(target) for target in targets],
            "method": list(methods),
            "sample": [name_of_field(subject, i) for i in range(len(first))],
            "axis": list("xyz"[: grid.dimension]),
            "distance": ("distance", np.arange(len(first[0].profile)) * min(grid.spacing), {"units": grid.unit}),
            "shell_wavenumber": ("shell", grid.shells().wavenumber.numpy(), {"units": grid.inverse_unit}),
        },
        attrs=_told(subject, targets, units) | _faults(methods, found),
    )


def _told(subject: Subject, targets: Sequence[Target], units: Sequence[str]) -> dict[str, Any]:
    """What figures and sentences need beside the numbers."""
    places = [place_of_target(subject, target, 0) for target in targets]
    marks = [[float(n) for n in (*(place or ()), np.nan, np.nan)[:2]] for place in places]
    told: dict[str, Any] = {f"words_{i}": in_words(target) for i, target in enumerate(targets)}
    told |= {f"unit_{i}": unit for i, unit in enumerate(units)} | {"marks": np.array(marks).ravel()}
    given = _given(subject)
    name = f"-div {given.name}" if is_displacement(given) else given.name
    return told | {"spacing": np.array(subject.grid.spacing[:2]), "density_name": name}


def _faults(methods: Sequence[str], found: Sequence[Sequence[Sequence[Found]]]) -> dict[str, str]:
    """Why a method did not work, the first time that it did not."""
    reasons = {method: [one.reason for rows in found for one in rows[i] if one.reason] for i, method in enumerate(methods)}
    return {f"fault_{method}": told[0] for method, told in reasons.items() if told}


def _density_about(subject: Subject, targets: Sequence[Target]) -> tuple[tuple[str, ...], ndarray, dict[str, str]]:
    """The first input's density in the plane through each target, as a variable."""
    density, given = density_of(test_field(subject, 0)[0])[0], _given(subject)
    slices = [slice_of(density, place_of_target(subject, target, 0)) for target in targets]
    return ("target", "u", "v"), np.array(slices), {"units": "" if is_displacement(given) else given.unit}


def _given(subject: Subject) -> Quantity:
    """The input that a density is of."""
    inputs = subject.description.inputs
    return inputs[place_of(inputs)]
