"""What an attribution map says physically: where it lies, at what density, distance, scale and direction."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from numpy import ndarray
from torch import Tensor

from probe import spectra
from probe.grid import Grid
from probe.targets import ring_count, rings_about


def amount(values: Tensor, is_slope: bool, scatter: Tensor) -> Tensor:
    """How much of a map lies in each cell, in the unit of the scalar: (1, channel, *grid) -> (*grid,), float64.

    Contributions of a cell's channels add, with their signs. Slopes of channels in different units are first multiplied with what
    the channel scatters by, and their squares add.

    Parameters
    ----------
    scatter : Tensor, (channel,)
    """
    found = values[0].double()
    if not is_slope:
        return found.sum(0).abs()
    return (found * scatter.to(found).reshape(-1, *[1] * (found.ndim - 1))).square().sum(0).sqrt()


def by_channel(values: Tensor, is_slope: bool, scatter: Tensor) -> ndarray:
    """Share of each channel in the amount, zeros of a map that is zero everywhere: (1, channel, *grid) -> (channel,)."""
    total = torch.stack([amount(values[:, c : c + 1], is_slope, scatter[c : c + 1]).sum() for c in range(values.shape[1])])
    shares: ndarray = (total / total.sum().clamp_min(1e-300)).cpu().numpy()
    return shares


def scatter_of(values: Tensor) -> Tensor:
    """Root mean square of each channel about its mean; its value where it is the same at every point: (channel,), float64."""
    flat = values[0].double().flatten(1)
    rms = flat.std(1, correction=0)
    return torch.where(rms > 0, rms, flat[:, 0].abs())


# A map about a place falls off around it, and what lies there is dense or not by chance. So each cell is compared with the mean at
# its distance: the preference of a set of cells is the sum of |a| over it, over the sum of what the mean profile would put there.
# Without a place the profile is flat, and the preference of a tenth of all cells is ten times its share of |a|.
def profile(amounts: Tensor, place: Sequence[int] | None, grid: Grid) -> tuple[Tensor, Tensor]:
    """Mean amount in shells of distance one spacing wide: (distances,) and, at every cell, that of its shell: (*grid,).

    Without a place there is one shell, the box.
    """
    if place is None:
        mean = amounts.mean()
        return mean[None], mean.expand(amounts.shape)
    shell = shells_about(place, grid).to(amounts.device)
    count = int(shell.max()) + 1
    total = torch.zeros(count, dtype=torch.float64, device=amounts.device).scatter_add(0, shell.flatten(), amounts.flatten())
    mean = total / torch.bincount(shell.flatten(), minlength=count).clamp_min(1)
    return mean, mean[shell]


def shells_about(place: Sequence[int], grid: Grid) -> Tensor:
    """Number of the shell of distance, one spacing wide, that each cell lies in: (*grid,), int64."""
    return rings_about(place, grid, min(grid.spacing))


def farthest(grid: Grid) -> int:
    """Shells of distance that a box may hold, whatever the place."""
    return ring_count(grid, min(grid.spacing))


def by_distance(mean: Tensor, place: Sequence[int], grid: Grid) -> dict[str, ndarray]:
    """Mean amount at each distance from a place, and the share of all within it, NaN beyond the box or where there is nothing."""
    profile, within = (torch.full((farthest(grid),), math.nan, dtype=torch.float64) for _ in range(2))
    profile[: len(mean)] = mean.cpu()
    total = (mean.cpu() * torch.bincount(shells_about(place, grid).flatten())).cumsum(0)
    if total[-1] > 0:
        within[: len(mean)] = total / total[-1]
        within[len(mean) :] = 1.0
    return {"profile": profile.numpy(), "within": within.numpy()}


def preference(amounts: Tensor, expected: Tensor, cells: Tensor) -> float:
    """Amount in some cells over what is expected there; NaN where nothing is."""
    there = float(expected[cells].sum())
    return float(amounts[cells].sum()) / there if there > 0 else math.nan


def by_density(amounts: Tensor, expected: Tensor, density: Tensor, quantiles: int, grid: Grid) -> dict[str, ndarray | float]:
    """Preference in quantiles of density from the emptiest to the densest, and at local maxima and minima within the outermost."""
    order = density.flatten().argsort()
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device)
    part = (rank * quantiles // len(order)).reshape(density.shape)
    flat = torch.tensor([preference(amounts, expected, part == q) for q in range(quantiles)], dtype=torch.float64)
    top, bottom = highest(density, grid) & (part == quantiles - 1), highest(-density, grid) & (part == 0)
    return {
        "quantiles": flat.numpy(),
        "peaks": preference(amounts, expected, top),
        "voids": preference(amounts, expected, bottom),
    }


def highest(density: Tensor, grid: Grid) -> Tensor:
    """Cells that lie above all that touch them, around a periodic box: (*grid,), bool."""
    best = density
    for axis in range(grid.dimension):
        if grid.boundary == "periodic":
            beside = [best.roll(1, axis), best.roll(-1, axis)]
        else:
            low, high = best.narrow(axis, 0, 1), best.narrow(axis, best.shape[axis] - 1, 1)
            padded = torch.cat([low, best, high], axis)
            beside = [padded.narrow(axis, 0, best.shape[axis]), padded.narrow(axis, 2, best.shape[axis])]
        best = torch.maximum(best, torch.maximum(*beside))
    return density == best


# By Parseval sum_x G (x - x0) = (1/N) sum_k Re[conj(x - x0)_k G_k]: what each mode of the input contributed, exactly. Weighted by
# k_i^2/k^2 the modes' contributions split by axis, and add up to all but that of the mean.
def by_scale(slope: Tensor, away: Tensor, grid: Grid) -> dict[str, ndarray | float]:
    """Contribution of each shell of |k| and along each axis, summed over channels, and of the mean; in the unit of the scalar."""
    product = torch.zeros(grid.half_shape, dtype=torch.float64, device=slope.device)
    for g, x in zip(slope[0], away[0], strict=True):
        a, b = (torch.view_as_real(spectra.fourier(one.double(), grid)) for one in (g, x))
        product += (a * b).sum(-1) / grid.size
    shells = grid.shells(slope.device)
    weight = product * grid.hermitian_weight(slope.device)
    square = grid.wavenumber(slope.device).square().clamp_min(1e-300)
    axes = [float((weight * k.square() / square).sum()) for k in grid.wavevectors(slope.device)]
    return {
        "shells": shells.sum(product, grid).cpu().numpy(),
        "axes": torch.tensor(axes, dtype=torch.float64).numpy(),
        "mean": float(weight[(0,) * grid.dimension]),
    }
