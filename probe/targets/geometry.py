"""Places on a grid, distances between them, and what is dense in an input."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from numpy import ndarray
from torch import Tensor

from probe.coupling import is_displacement
from probe.fields import Field
from probe.grid import Grid
from probe.scalars import read


def density_of(field: Field) -> Tensor:
    """What is dense or bright in an input: its first field as one scalar, of a displacement the overdensity -div psi.

    A vector that is no displacement is read as its length, on a line as its value.

    Returns
    -------
    Tensor, (batch, *grid.shape), float64
    """
    quantity, values = field.part()
    if is_displacement(quantity):
        return read(values.double(), "-div", field.grid)[:, 0]
    return values.double().square().sum(1).sqrt() if values.shape[1] > 1 else values[:, 0].double()


def within(place: Sequence[int], radius: float, grid: Grid) -> Tensor:
    """1 at the points within a distance of a point, in cells, around a periodic box; else 0: (*grid.shape,), float64."""
    return (distance(place, grid, (1.0,) * grid.dimension) <= radius).double()


def distance(place: Sequence[int], grid: Grid, spacing: Sequence[float] | None = None) -> Tensor:
    """Distance of every point from one, the shortest way around a periodic box: (*grid.shape,), float64, in grid.unit.

    Parameters
    ----------
    spacing : sequence of float, optional
        Of the points, in the place of the grid's own.
    """
    total = torch.zeros(grid.shape, dtype=torch.float64)
    for cells, h in zip(offsets(place, grid), spacing or grid.spacing, strict=True):
        total = total + (cells.double() * h).square()
    return total.sqrt()


def offsets(place: Sequence[int], grid: Grid) -> list[Tensor]:
    """Signed cells of every point from one along each axis, the shortest way around a periodic box, shaped to broadcast."""
    found = []
    for axis, (own, points) in enumerate(zip(place, grid.shape, strict=True)):
        away = torch.arange(points) - own
        if grid.boundary == "periodic":
            away = (away + (points - 1) // 2) % points - (points - 1) // 2
        found.append(away.reshape([-1 if a == axis else 1 for a in range(grid.dimension)]))
    return found


def rings_about(place: Sequence[int], grid: Grid, width: float) -> Tensor:
    """Number of the ring that each cell lies in, centred on multiples of its width from a point: (*grid.shape,), int64."""
    return torch.floor(distance(place, grid) / width + 0.5 + 1e-9).long()


def ring_count(grid: Grid, width: float) -> int:
    """Rings that a box may hold, whatever the point."""
    longest = math.hypot(*(side / 2 if grid.boundary == "periodic" else side for side in grid.box))
    return math.floor(longest / width + 0.5 + 1e-9) + 1


def slice_of(values: Tensor, place: Sequence[int] | None = None) -> ndarray:
    """The plane of the first two axes through a place, or through the middle: (*grid,) -> (u, v); a line is one row."""
    array: ndarray = values.double().cpu().numpy()
    if array.ndim == 1:
        return array[None]
    if array.ndim == 2:
        return array
    return array[:, :, array.shape[2] // 2 if place is None else place[2]]
