"""Fields of predictions and truths counted in shared bins, at several smoothing scales: what one-point statistics are made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from numpy import ndarray
from torch import Tensor

from probe import distribution, perturbation, spectra
from probe.contract import Subject
from probe.controls import continued
from probe.distribution import Bins, Spread
from probe.equivariance import PairCase, facts
from probe.fields import Field, Quantity
from probe.grid import Grid

LARGEST = 0.25  # of the box's shortest side: a field smoothed by more has hardly a mode left
ROUNDING = 1e-6  # of the largest value, as float32 files hold it: what varies less is not told from their rounding


@dataclass(frozen=True)
class CountCase:
    """One pair of the data, by its place, and the bins of every view at every radius, view by view."""

    index: int
    bins: tuple[Bins, ...]


@dataclass(frozen=True)
class Views:
    """What is looked at of an output: it as a whole or its components, and the overdensity of a displacement, at every radius.

    Attributes
    ----------
    radii : tuple of float
        Standard deviations of the Gaussian smoothing, in the grid's unit, rising.
    apart : bool
        Whether a vector's components are looked at one by one.
    """

    quantity: Quantity
    grid: Grid
    radii: tuple[float, ...]
    apart: bool

    @property
    def names(self) -> dict[str, str]:
        """The views with their units."""
        axes, name = ("x", "y", "z")[: self.grid.dimension], self.quantity.name
        found = dict.fromkeys([f"{name}_{axis}" for axis in axes] if self._split else [name], self.quantity.unit)
        return found | ({f"-div {name}": spectra.response_unit(self.grid.unit, self.quantity.unit)} if self._is_displaced else {})

    @property
    def _split(self) -> bool:
        return self.apart and self.quantity.is_vector

    @property
    def _is_displaced(self) -> bool:
        """Whether -div is an overdensity: of a displacement, to first order."""
        return self.quantity.kind == "vector" and self.quantity.quantity == "displacement" and self.grid.boundary == "periodic"

    def of(self, field: Field, device: torch.device) -> Iterator[Tensor]:
        """Every view of a single sample at every radius, one by one, in float64: (components, *grid.shape)."""
        values = field.part(self.quantity.name)[1].to(device, torch.float64)
        for view in values[0].split(1) if self._split else [values[0]]:
            yield from (smoothed(view, self.grid, radius) for radius in self.radii)
        if self._is_displaced:
            overdensity = -perturbation.divergence(values, self.grid)
            yield from (smoothed(overdensity, self.grid, radius) for radius in self.radii)

    def spread(self, subject: Subject, case: PairCase) -> list[Spread]:
        """Where the values of one truth lie; no pass of the model."""
        assert subject.pairs is not None
        return [distribution.spread_of(values) for values in self.of(subject.pairs[case.index][1], subject.model.device)]

    def count(self, subject: Subject, case: CountCase) -> dict[str, ndarray]:
        """Counts and moments of the prediction and of the truth of one pair: (view and radius, ...)."""
        assert subject.pairs is not None
        given, truth = subject.pairs[case.index]
        found: dict[str, ndarray] = {}
        for prefix, field in (("", subject.model(given)), ("true_", truth)):
            seen = zip(self.of(field, subject.model.device), case.bins, strict=True)
            rows = [(distribution.count(view, bins), distribution.moments(view)) for view, bins in seen]
            found |= {
                prefix + name: np.stack(part) for name, part in zip(("counts", "moments"), zip(*rows, strict=True), strict=True)
            }
        return found

    def bins(self, spreads: list[list[Spread]]) -> tuple[Bins, ...]:
        """The bins of every view at every radius; none for what smoothing left nothing of but rounding."""
        found, count = [], len(self.radii)
        for place in range(len(spreads[0])):
            sharpest = [rows[place - place % count] for rows in spreads]
            largest = max(max(abs(spread.lowest), abs(spread.highest)) for spread in sharpest)
            found.append(distribution.fit([rows[place] for rows in spreads], ROUNDING * largest))
        return tuple(found)


def smoothed(values: Tensor, grid: Grid, radius: float) -> Tensor:
    """A field smoothed by a Gaussian of standard deviation `radius`, exp(-(k R)^2/2); mirrored at the walls of a box that has them.

    Parameters
    ----------
    values : Tensor, (..., *grid.shape)
    radius : float
        In the grid's unit.
    """
    if radius == 0:
        return values
    whole = continued(values, grid)
    own = grid.of_shape(whole.shape[-grid.dimension :])
    gain = torch.exp(-0.5 * (own.wavenumber(values.device) * radius) ** 2).to(values.dtype)
    inside = tuple(slice(points) for points in grid.shape)
    return torch.fft.irfftn(spectra.fourier(whole, own) * gain, s=own.shape, dim=own.axes)[(..., *inside)]


def radii(scales: tuple[float, ...], grid: Grid) -> dict[float, float]:
    """The radius in the grid's unit of each scale in cells of the widest spacing, of those that the box has room for."""
    found = {scale: scale * max(grid.spacing) for scale in sorted(set(scales))}
    return {scale: radius for scale, radius in found.items() if radius <= LARGEST * min(grid.box) * (1 + 1e-9)}


def counted(subject: Subject, quantity: Quantity, scales: tuple[float, ...]) -> xr.Dataset:
    """Counts and moments of an output in all pairs, with the KL divergence of each prediction from its truth, and the null.

    Pairs are read one by one, truths twice: the bins are fitted to them first.

    Returns
    -------
    xarray.Dataset
        counts, true_counts (simulation, view, scale, bin), of which the first and last lie outside the bins; moments, true_moments
        (..., moment); edges (view, scale, edge) and bandwidth (view, scale), 0 where the truth has no distribution; kl and null
        (simulation, view, scale) [nat].
    """
    assert subject.pairs is not None
    grid, room = subject.grid, radii(scales, subject.grid)
    attributes = facts(subject)
    views = Views(quantity, grid, tuple(room.values()), grid.dimension > 1 and bool(attributes["denied_rotation"]))
    indices = range(len(subject.pairs))
    bins = views.bins(subject.map(views.spread, [PairCase(i) for i in indices], passes=0))
    rows = subject.map(views.count, [CountCase(i, bins) for i in indices])
    lattice = (len(views.names), len(room))
    data: dict[str, tuple] = {
        prefix + name: (
            ("simulation", "view", "scale", last),
            np.stack([row[prefix + name] for row in rows]).reshape(len(rows), *lattice, -1),
            {"units": unit},
        )
        for prefix in ("", "true_")
        for name, last, unit in (("counts", "bin", ""), ("moments", "moment", "powers of the view's unit"))
    }
    edges, bandwidth = np.stack([b.edges() for b in bins]), np.array([b.bandwidth for b in bins])
    data["edges"] = (("view", "scale", "edge"), edges.reshape(*lattice, -1), {"units": "the view's unit"})
    data["bandwidth"] = (("view", "scale"), bandwidth.reshape(lattice), {"units": "bins"})
    coordinates = {
        "simulation": [subject.pairs.name(i) for i in indices],
        "view": list(views.names),
        "view_unit": ("view", list(views.names.values())),
        "scale": ("scale", list(room), {"units": "cells"}),
        "radius": ("scale", list(room.values()), {"units": grid.unit}),
        "moment": list(distribution.MOMENTS),
    }
    skipped = ", ".join(f"{scale:g}" for scale in sorted(set(scales) - set(room)))
    made = xr.Dataset(data, coords=coordinates, attrs=attributes | {"output": quantity.name, "skipped": skipped})
    return made.assign(_divergences(made))


def _divergences(data: xr.Dataset) -> dict[str, tuple]:
    own, null = np.full((2, data.sizes["simulation"], data.sizes["view"], data.sizes["scale"]), np.nan)
    for place in places(data):
        true, predicted = densities(data, *place)
        own[:, *place], null[:, *place] = distribution.kl_divergence(true, predicted), distribution.null_of(true)
    return {name: (("simulation", "view", "scale"), kl, {"units": "nat"}) for name, kl in (("kl", own), ("null", null))}


def places(data: xr.Dataset) -> list[tuple[int, int]]:
    """Views and radii at which the truth has a distribution."""
    return [(int(view), int(scale)) for view, scale in np.argwhere(data.bandwidth.values > 0)]


def densities(data: xr.Dataset, view: int, scale: int) -> tuple[ndarray, ndarray]:
    """Probability in each bin of truth and prediction: (simulation, bins) each."""
    width = float(data.bandwidth[view, scale])
    true, own = (distribution.density(data[name].values[:, view, scale], width) for name in ("true_counts", "counts"))
    return true, own


def where(data: xr.Dataset, view: int, scale: int) -> str:
    """'psi smoothed by 2 cells (8 Mpc/h)', or 'psi unsmoothed'."""
    cells, radius, unit = float(data.scale[scale]), float(data.radius[scale]), data.radius.attrs["units"]
    words = f"smoothed by {cells:g} cells" + (f" ({radius:.3g} {unit})" if unit != "cell" else "")
    return f"{data.view.values[view]!s} {words if cells else 'unsmoothed'}"
