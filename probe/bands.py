"""Bands of |k|, and fields without one of them or with another field's.

A box that is not periodic is continued by its mirror images first (`probe.controls.continued`): its modes are then cosines, a
band of them is taken out without a jump at the walls, and all bands with the mean still add up to the field.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from probe import spectra
from probe.controls import continued
from probe.grid import Grid


@dataclass(frozen=True)
class Band:
    """low <= |k| < high, in 1/unit of length, without the mean, k = 0; that is a band of its own, of high = 0."""

    low: float
    high: float

    def label(self) -> str:
        """As it is written on an axis, without its unit: 'k < 0.3', 'k 0.3 to 0.6', 'k > 0.6'."""
        if self.high == 0:
            return "mean"
        if self.low == 0:
            return "all k" if math.isinf(self.high) else f"k < {self.high:.3g}"
        return f"k > {self.low:.3g}" if math.isinf(self.high) else f"k {self.low:.3g} to {self.high:.3g}"


MEAN = Band(0.0, 0.0)


def bands(grid: Grid, count: int = 5) -> tuple[Band, ...]:
    """So many bands, fewer on small grids: edges between shells, evenly in log k up to Nyquist; the last has the corners too."""
    top = grid.nyquist / grid.fundamental
    edges = np.unique(np.floor(np.geomspace(0.5, top + 0.5, count + 1)[1:-1] + 0.5).astype(int))
    inner = [float(grid.fundamental * (edge + 0.5)) for edge in edges if 1 <= edge < top - 0.5]
    return tuple(Band(low, high) for low, high in zip((0.0, *inner), (*inner, math.inf), strict=True))


def part(values: Tensor, band: Band, grid: Grid) -> Tensor:
    """What of a field lies in a band: (batch, channel, *grid.shape) each."""
    whole = continued(values, grid)
    own = grid.of_shape(whole.shape[2:])
    k = own.wavenumber(values.device)
    # One part in 10^9 keeps lattice modes on an edge from being moved by rounding.
    inside = (k >= band.low * (1 - 1e-9)) & (k < band.high * (1 - 1e-9)) & (k > 0) if band.high else k == 0
    taken = torch.fft.irfftn(spectra.fourier(whole, own) * inside, s=own.shape, dim=own.axes)
    return taken[(..., *(slice(points) for points in grid.shape))]


def removed(values: Tensor, band: Band, grid: Grid) -> Tensor:
    """A field without a band."""
    return values - part(values, band, grid)


def exchanged(values: Tensor, other: Tensor, band: Band, grid: Grid) -> Tensor:
    """A field with another one's band in the place of its own, phases and amplitudes."""
    return values + part(other - values, band, grid)
