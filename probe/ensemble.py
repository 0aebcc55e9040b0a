"""The inputs as an ensemble: their power by |k| out to the corners, and how much of a number's variance each mode makes.

With x = sum over k of a_k exp(i k.x) and a number y whose gradient is G(x), the linearised change of y is sum over x of G(x) dx =
sum over k of da_k conj(G(k)), G(k) = sum over x of G(x) exp(-i k.x). For inputs whose modes are independent (any field drawn
alike at all places), its variance is the sum over modes of

    w(k) = |G(k)|^2 <|a_k|^2>,

exactly so of a linear y. Vectors that are drawn alike in all directions have a power along k, A, and one in each direction across
it, B: w = |khat.G|^2 A + |G - khat khat.G|^2 B. Quantities are taken as independent of each other. A box that is not periodic
lends its inputs' power through the window of `probe.spectra`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from probe import spectra
from probe.equivariance import test_field
from probe.fields import Field, Quantity
from probe.grid import Grid

if TYPE_CHECKING:
    from probe.contract import Subject

BINS = 5  # of the cosine between k and an axis


@dataclass(frozen=True)
class Ensemble:
    """Mean squared amplitudes <|a_k|^2> of each quantity of the inputs.

    Attributes
    ----------
    grid : Grid
    quantities : tuple of Quantity
    along, across : tuple of Tensor, (bins,), float64
        Of each quantity: along k, of a scalar all of it, and in each direction across k.
    """

    grid: Grid
    quantities: tuple[Quantity, ...]
    along: tuple[Tensor, ...]
    across: tuple[Tensor, ...]

    def sizes(self, device: torch.device | str = "cpu") -> list[tuple[Tensor, Tensor]]:
        """<|a_k|^2> of every mode of the half transform, along and across, of each quantity."""
        place = bins_of(self.grid, device)
        return [(a.to(device)[place], b.to(device)[place]) for a, b in zip(self.along, self.across, strict=True)]

    def variance(self, gradient: Tensor) -> Tensor:
        """w(k) of a gradient, each entry of the half transform with its opposite: (channel, *grid) -> (*half_shape,), float64."""
        field = Field(gradient[None].double(), self.grid, self.quantities)
        total = torch.zeros(self.grid.half_shape, dtype=torch.float64, device=gradient.device)
        for (quantity, part), (ahead, beside) in zip(field.parts(), self.sizes(gradient.device), strict=True):
            along, across = _split(spectra.fourier(field.values[:, part], self.grid), quantity, self.grid)
            total = total + along[0] * ahead + across[0] * beside
        return total * self.grid.hermitian_weight(gradient.device)


def bins_of(grid: Grid, device: torch.device | str = "cpu") -> Tensor:
    """The bin of each mode of the half transform: centred on multiples of k_F, out to the corners; 0 holds k = 0 alone."""
    return torch.floor(grid.wavenumber(device) / grid.fundamental + 0.5 + 1e-9).long()


def count_of(grid: Grid) -> int:
    """Number of bins."""
    return int(bins_of(grid).max()) + 1


def by_bin(values: Tensor, grid: Grid) -> Tensor:
    """Sums over the bins of what stands at each mode of the half transform: (*half_shape,) -> (bins,), float64."""
    place = bins_of(grid, values.device).flatten()
    total = torch.zeros(count_of(grid), dtype=torch.float64, device=values.device)
    return total.index_add_(0, place, values.double().flatten())


def _split(modes: Tensor, quantity: Quantity, grid: Grid) -> tuple[Tensor, Tensor]:
    """Squared sizes along and across k: (batch, width, *half_shape) -> (batch, *half_shape) each."""
    total = modes.abs().square().sum(1)
    if not quantity.is_vector:
        return total, torch.zeros_like(total)
    along = spectra.longitudinal(modes, grid).abs().square()
    return along, (total - along).clamp_min(0)


def ensemble_of(subject: Subject, samples: int) -> Ensemble:
    """The ensemble of so many inputs; computed once a run. Numbers have no modes."""
    return subject.shared(f"ensemble of {inputs_of(subject, samples)}", lambda: _measured(subject, samples))


def inputs_of(subject: Subject, samples: int) -> str:
    """So many inputs, as they stand in the recipe of what is shared: those of pairs are all probes', made ones each probe's own."""
    return f"{samples} inputs" if subject.pairs is not None else f"{samples} made inputs {subject.rng('').initial_seed()}"


def _measured(subject: Subject, samples: int) -> Ensemble:
    grid, described = subject.grid, subject.description.inputs
    weight = grid.hermitian_weight()
    modes = by_bin(weight.expand(grid.half_shape), grid)
    totals = [[torch.zeros_like(modes), torch.zeros_like(modes)] for _ in described]
    for place in range(samples):
        for (quantity, part), total in zip((given := test_field(subject, place)[0]).parts(), totals, strict=True):
            values = spectra.windowed(given.values[:, part].double().cpu(), grid)
            values = values - values.mean(grid.axes, keepdim=True)
            for sums, power in zip(total, _split(spectra.fourier(values, grid) / grid.size, quantity, grid), strict=True):
                sums += by_bin(power[0] * weight, grid) * (not quantity.is_number)
    sides = [(a / samples / modes, b / samples / modes / max(grid.dimension - 1, 1)) for a, b in totals]
    return Ensemble(grid, described, tuple(a for a, _ in sides), tuple(b for _, b in sides))


def directions(weights: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
    """How weights of modes lie by |cos| of the angle between k and each axis, and how they would if all of a bin were alike.

    Parameters
    ----------
    weights : Tensor, (*half_shape,)
        Each with its opposite.

    Returns
    -------
    found, even : Tensor, (axis, BINS + 1), float64
        Sums over bins of equal width in |cos|; the last is the sum of cos^2.
    """
    device, place = weights.device, bins_of(grid, weights.device)
    weight = grid.hermitian_weight(device).expand(grid.half_shape)
    mean = by_bin(weights, grid) / by_bin(weight, grid)
    norm = grid.wavenumber(device).clone()
    norm[(0,) * grid.dimension] = 1
    rows = []
    for values in (weights, mean[place] * weight):
        kept = torch.where(place > 0, values, 0.0)
        for k in grid.wavevectors(device):
            cosine = (k.abs() / norm).expand(grid.half_shape)
            cell = (cosine * BINS).long().clamp_max(BINS - 1).flatten()
            shares = torch.zeros(BINS, dtype=torch.float64, device=device).index_add_(0, cell, kept.flatten())
            rows.append(torch.cat([shares, (kept * cosine.square()).sum()[None]]))
    found, even = torch.stack(rows).unflatten(0, (2, grid.dimension))
    return found, even
