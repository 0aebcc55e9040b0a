"""The surrogates themselves."""

from __future__ import annotations

import torch
from torch import Tensor

from probe.grid import Grid


# The phases of white noise's transform are uniform, and those of -k and k opposite. Where a mode is its own opposite the phase is 0
# or pi; at k = 0 it is left alone, so that the mean stays.
def phase_randomised(values: Tensor, grid: Grid, generator: torch.Generator) -> Tensor:
    """The modulus of every mode with random phases, the same for all channels: what depends on the spectra alone stays.

    Parameters
    ----------
    values : Tensor, (batch, channel, *grid.shape)

    Returns
    -------
    Tensor, as `values`
        Power and cross-power of every mode are kept to rounding, and the mean.
    """
    white = torch.randn(len(values), 1, *grid.shape, generator=generator, dtype=torch.float64, device=generator.device)
    turn = torch.fft.rfftn(white.to(values.device), dim=grid.axes)
    turn = turn / turn.abs()
    turn[(..., *(0,) * grid.dimension)] = 1
    modes = torch.fft.rfftn(values.double(), dim=grid.axes) * turn
    return torch.fft.irfftn(modes, s=grid.shape, dim=grid.axes).to(values.dtype)


def shuffled(values: Tensor, generator: torch.Generator) -> Tensor:
    """The same values in random places, all channels of a point together: the one-point distribution is kept exactly.

    Parameters
    ----------
    values : Tensor, (batch, channel, *grid.shape)
    """
    flat = values.flatten(2)
    order = torch.stack([torch.randperm(flat.shape[2], generator=generator, device=generator.device) for _ in flat])
    return flat.gather(2, order.to(flat.device)[:, None].expand_as(flat)).reshape(values.shape)


# Of two steps in turn neither undoes all of the other: every mode is given the modulus that it is to have, and the lowest point the
# lowest value, the next the next. Values come last and are exact; the spectrum is as close as they let it come.
def rearranged(values: Tensor, grid: Grid, generator: torch.Generator, steps: int = 20) -> Tensor:
    """The field's own values in other places, such that the modulus of every mode is nearly kept; phases are random to begin with.

    Parameters
    ----------
    values : Tensor, (batch, channel, *grid.shape)
    steps : int
        Of a field with long tails (a density contrast with an rms of 1.4 on 32^3) twenty leave most shells of P(k) off by 2 to 8 %,
        and fifty by half as much; the longest waves take longest.

    Returns
    -------
    Tensor, as `values`
        Each channel's values are kept exactly; power nearly, and the cross-power of channels as far as the iteration leaves it.
    """
    ordered = values.flatten(2).sort(2).values
    modulus = torch.fft.rfftn(values.double(), dim=grid.axes).abs()
    made = _ranked_as(ordered, phase_randomised(values.double(), grid, generator))
    for _ in range(steps):
        modes = torch.fft.rfftn(made.double(), dim=grid.axes)
        modes = modes * (modulus / modes.abs().clamp_min(torch.finfo(torch.float64).tiny))
        made = _ranked_as(ordered, torch.fft.irfftn(modes, s=grid.shape, dim=grid.axes))
    return made


def _ranked_as(ordered: Tensor, field: Tensor) -> Tensor:
    """Values in ascending order, (batch, channel, points), put where a field's are: its lowest point gets the first."""
    return torch.empty_like(ordered).scatter(2, field.flatten(2).argsort(dim=2, stable=True), ordered).reshape(field.shape)


def gaussianised(values: Tensor) -> Tensor:
    """Each channel's values exchanged by rank for the quantiles of a Gaussian of its own mean and variance: the order is kept.

    Parameters
    ----------
    values : Tensor, (batch, channel, *grid.shape)

    Returns
    -------
    Tensor, as `values`
        A channel's mean and variance are kept to rounding; equal values are ranked by their places.
    """
    flat = values.flatten(2).double()
    count = flat.shape[2]
    ranks = flat.argsort(dim=2, stable=True).argsort(dim=2)
    normal = torch.special.ndtri((torch.arange(count, dtype=torch.float64, device=flat.device) + 0.5) / count)
    normal = normal / normal.square().mean().sqrt()
    deviation = flat.std(2, correction=0, keepdim=True)
    return (flat.mean(2, keepdim=True) + deviation * normal[ranks]).reshape(values.shape).to(values.dtype)
