"""What of a quantity is held against the truth: itself, of a vector its parts along and across k, of a displacement its density,
with a velocity beside it the momentum and the density in redshift space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from numpy import ndarray
from torch import Tensor

from probe import agreement, painting, redshift, spectra
from probe.coupling import is_displacement
from probe.description import Description
from probe.fields import Field, Quantity
from probe.grid import Grid
from probe.polarisation import split
from probe.redshift import Moving

Variables = dict[str, tuple[str | tuple[str, ...], ndarray, dict[str, str]]]


@dataclass(frozen=True)
class Aspect:
    """One of them.

    Attributes
    ----------
    prefix : str
        Of the names of what is measured: empty for the quantity itself, "longitudinal_", "transverse_", "density_", "momentum_" or
        "redshift_".
    label : str
        In words, with the quantity's name.
    unit : str
    """

    prefix: str
    label: str
    unit: str


def aspects(described: Description, quantity: Quantity) -> tuple[Aspect, ...]:
    """What of an output can be compared; the quantity itself first.

    Parts along and across k are those of vectors in a periodic box of two or three dimensions. A density is painted of a
    displacement in a periodic box, in the box's own unit of length; a momentum where the outputs hold a velocity as well; the
    density in redshift space where the description says how far the velocity moves it.
    """
    name, unit, grid = quantity.name, quantity.unit, described.grid
    found = [Aspect("", name, unit)]
    if grid.boundary != "periodic" or not quantity.is_vector:
        return tuple(found)
    if grid.dimension > 1:
        found += [Aspect("longitudinal_", f"{name} along k", unit), Aspect("transverse_", f"{name} across k", unit)]
    if is_displacement(quantity) and unit in ("", grid.unit):
        found.append(Aspect("density_", f"density of {name}", ""))
    if both := redshift.moving(described, quantity):
        found.append(Aspect("momentum_", f"momentum of {both.displacement.name} and {both.velocity.name}", both.velocity.unit))
        found += [] if both.unsaid else [Aspect("redshift_", "density in redshift space", "")]
    return tuple(found)


def read(field: Field, quantity: Quantity, every: tuple[Aspect, ...], moving: Moving | None, assignment: str) -> dict[str, Tensor]:
    """Each aspect of a quantity as a field, by its prefix.

    Parameters
    ----------
    field : Field
        All outputs of one sample.
    moving : Moving or None
        What momentum and redshift space are made of.
    assignment : str
        How particles share their mass, as in `painting.density`; interlaced and compensated, on a mesh of as many points.

    Returns
    -------
    dict of str to Tensor, (1, channels, *grid.shape), float64
        The part along k is the scalar i khat.f(k), which has its power.
    """
    prefixes, grid, values = [aspect.prefix for aspect in every], field.grid, field.part(quantity.name)[1].double()
    found = {"": values}
    if "transverse_" in prefixes:
        along, across = split(values, grid)
        modes = {"longitudinal_": (1j * along)[:, None], "transverse_": across}
        found |= {name: torch.fft.irfftn(part, s=grid.shape, dim=grid.axes) for name, part in modes.items()}
    if "density_" in prefixes:
        found["density_"] = painting.density(values, grid, assignment=assignment, interlaced=True, compensated=True)[:, None]
    if moving and "momentum_" in prefixes:
        found["momentum_"] = redshift.momentum(field, moving, assignment)
    if moving and "redshift_" in prefixes:
        found["redshift_"] = redshift.density(field, moving, assignment)
    return found


def compare_each(answer: Field, truth: Field, described: Description, quantity: Quantity, assignment: str) -> dict[str, ndarray]:
    """`agreement.compare` of each aspect of one answer and its truth, its names after the aspect's prefix.

    Of the density in redshift space the multipoles as well: redshift_multipoles_pred and _true, (multipole, shell).
    """
    every, moving, grid = aspects(described, quantity), redshift.moving(described, quantity), answer.grid
    true = truth.to(answer.values.device)
    ours, theirs = (read(field, quantity, every, moving, assignment) for field in (answer, true))
    found = agreement.compare(answer.part(quantity.name)[1], truth.part(quantity.name)[1], grid)
    rounding = _roundings(found["rounding"], true, moving)
    for prefix in [aspect.prefix for aspect in every][1:]:
        own = agreement.compare(ours[prefix], theirs[prefix], grid) | {"rounding": rounding.get(prefix, found["rounding"])}
        found |= {prefix + name: values for name, values in own.items()}
    if moving and "redshift_" in ours:
        for side, seen in (("pred", ours), ("true", theirs)):
            found[f"redshift_multipoles_{side}"] = redshift.multipoles(seen["redshift_"][0], moving.lines, grid).cpu().numpy()
    return found


def _roundings(own: ndarray, truth: Field, moving: Moving | None) -> dict[str, ndarray]:
    """The power that storing the truth may have added to what is painted of it."""
    grid = truth.grid
    # A derivative multiplies what storing the truth added by k, which is largest at Nyquist.
    if moving is None:
        return {"density_": np.asarray(own * grid.nyquist**2)}
    parts = [truth.part(q.name)[1] for q in (moving.displacement, moving.velocity)]
    psi, v = (agreement.compare(part, part, grid)["rounding"] for part in parts)
    factor, size = moving.velocity.redshift_space or 0.0, float(parts[1].double().square().sum(1).mean())
    seen = (psi + factor**2 * v) * grid.nyquist**2
    return {"density_": psi * grid.nyquist**2, "redshift_": seen, "momentum_": v + psi * grid.nyquist**2 * size}


def tabulate(rows: Sequence[Mapping[str, ndarray]], every: tuple[Aspect, ...], grid: Grid) -> Variables:
    """What `compare_each` gave of each simulation as variables of a dataset, over the dimensions simulation and shell."""
    found: Variables = {}
    for aspect in every:
        unit, square = spectra.power_unit(aspect.unit, grid), f"({aspect.unit})^2" if aspect.unit else ""
        units = dict.fromkeys(agreement.SPECTRA, unit) | dict.fromkeys(agreement.TOTALS, square) | {"rounding": unit}
        for name, of in units.items():
            values = np.stack([row[aspect.prefix + name] for row in rows])
            found[aspect.prefix + name] = (("simulation", "shell")[: values.ndim], values, {"units": of})
    for name in ("redshift_multipoles_pred", "redshift_multipoles_true"):
        if name in rows[0]:
            values = np.stack([row[name] for row in rows])
            found[name] = (("simulation", "multipole", "shell"), values, {"units": spectra.power_unit("", grid)})
    return found


def ratios(data: xr.Dataset, every: tuple[Aspect, ...]) -> dict[str, xr.DataArray]:
    """`agreement.ratios` of each aspect: the last axis is (value, low, high)."""
    found = {}
    for of in (aspect.prefix for aspect in every):
        stacked = np.stack([data[of + name].values for name in agreement.SPECTRA], -1)
        for name, values in agreement.ratios(stacked, float(data[of + "rounding"].mean())).items():
            found[of + name] = xr.DataArray(values, dims=("shell", "estimate"), attrs={"units": ""})
    return found


def correlations(data: xr.Dataset) -> dict[str, xr.DataArray]:
    """Correlation of P(k) between scales over simulations, of the answers and of the truth: (shell, other shell)."""
    held = np.isfinite(data.error_power.values[:, 0])
    found = {}
    for side in ("pred", "true"):
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.atleast_2d(np.corrcoef(data[f"power_{side}"].values, rowvar=False))
        values = np.where(held & held[:, None], values, np.nan)
        found[f"power_correlation_{side}"] = xr.DataArray(values, dims=("shell", "other_shell"), attrs={"units": ""})
    return found
