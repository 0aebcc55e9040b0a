"""What of a quantity is held against the truth: itself, of a vector its parts along and across k, of a displacement its density."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from numpy import ndarray
from torch import Tensor

from probe import agreement, painting, spectra
from probe.coupling import is_displacement
from probe.fields import Quantity
from probe.grid import Grid
from probe.polarisation import split


@dataclass(frozen=True)
class Aspect:
    """One of them.

    Attributes
    ----------
    prefix : str
        Of the names of what is measured: empty for the quantity itself, "longitudinal_", "transverse_" or "density_".
    label : str
        In words, with the quantity's name.
    unit : str
    """

    prefix: str
    label: str
    unit: str


def aspects(quantity: Quantity, grid: Grid) -> tuple[Aspect, ...]:
    """What of a quantity can be compared on a grid; the quantity itself first.

    Parts along and across k are those of vectors in a periodic box of two or three dimensions. A density is painted of a
    displacement in a periodic box, in the box's own unit of length.
    """
    name, unit = quantity.name, quantity.unit
    found = [Aspect("", name, unit)]
    if grid.boundary != "periodic" or not quantity.is_vector:
        return tuple(found)
    if grid.dimension > 1:
        found += [Aspect("longitudinal_", f"{name} along k", unit), Aspect("transverse_", f"{name} across k", unit)]
    if is_displacement(quantity) and unit in ("", grid.unit):
        found.append(Aspect("density_", f"density of {name}", ""))
    return tuple(found)


def read(values: Tensor, every: tuple[Aspect, ...], grid: Grid, assignment: str) -> dict[str, Tensor]:
    """Each aspect of a quantity as a field, by its prefix.

    Parameters
    ----------
    values : Tensor, (1, width, *grid.shape)
    assignment : str
        How particles share their mass, as in `painting.density`; interlaced and compensated, on a mesh of as many points.

    Returns
    -------
    dict of str to Tensor, (1, channels, *grid.shape), float64
        The part along k is the scalar i khat.f(k), which has its power.
    """
    prefixes, field = [aspect.prefix for aspect in every], values.double()
    found = {"": field}
    if "transverse_" in prefixes:
        along, across = split(field, grid)
        modes = {"longitudinal_": (1j * along)[:, None], "transverse_": across}
        found |= {name: torch.fft.irfftn(part, s=grid.shape, dim=grid.axes) for name, part in modes.items()}
    if "density_" in prefixes:
        found["density_"] = painting.density(field, grid, assignment=assignment, interlaced=True, compensated=True)[:, None]
    return found


def compare_each(answer: Tensor, stored: Tensor, every: tuple[Aspect, ...], grid: Grid, assignment: str) -> dict[str, ndarray]:
    """`agreement.compare` of each aspect of one answer and its truth, its names after the aspect's prefix."""
    ours, theirs = (read(values, every, grid, assignment) for values in (answer, stored.to(answer.device)))
    found = agreement.compare(answer, stored, grid)
    # A derivative multiplies what storing the truth added by k, which is largest at Nyquist.
    rounding = {"density_": found["rounding"] * np.array(grid.nyquist**2)}
    for prefix in [aspect.prefix for aspect in every][1:]:
        own = agreement.compare(ours[prefix], theirs[prefix], grid) | {"rounding": rounding.get(prefix, found["rounding"])}
        found |= {prefix + name: values for name, values in own.items()}
    return found


def tabulate(
    rows: Sequence[Mapping[str, ndarray]], every: tuple[Aspect, ...], grid: Grid
) -> dict[str, tuple[str | tuple[str, ...], ndarray, dict[str, str]]]:
    """What `compare_each` gave of each simulation as variables of a dataset, over the dimensions simulation and shell."""
    found: dict[str, tuple[str | tuple[str, ...], ndarray, dict[str, str]]] = {}
    for aspect in every:
        unit, square = spectra.power_unit(aspect.unit, grid), f"({aspect.unit})^2" if aspect.unit else ""
        units = dict.fromkeys(agreement.SPECTRA, unit) | dict.fromkeys(agreement.TOTALS, square) | {"rounding": unit}
        for name, of in units.items():
            values = np.stack([row[aspect.prefix + name] for row in rows])
            found[aspect.prefix + name] = (("simulation", "shell")[: values.ndim], values, {"units": of})
    return found


def ratios(data: xr.Dataset, every: tuple[Aspect, ...]) -> dict[str, xr.DataArray]:
    """`agreement.ratios` of each aspect: the last axis is (value, low, high)."""
    found = {}
    for of in (aspect.prefix for aspect in every):
        stacked = np.stack([data[of + name].values for name in agreement.SPECTRA], -1)
        for name, values in agreement.ratios(stacked, float(data[of + "rounding"].mean())).items():
            found[of + name] = xr.DataArray(values, dims=("shell", "estimate"), attrs={"units": ""})
    return found
