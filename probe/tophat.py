"""Compensated top-hats, and what gravity makes of them: spherical collapse in closed form.

A shell of Lagrangian radius q moves as its mean linear overdensity delta_lin(<q) says, until shells cross. In an Einstein-de
Sitter universe (Peebles 1980, sec. 19; Bernardeau et al. 2002, sec. 2.3)

    over:  delta_lin =  (3/20) [6 (t - sin t)]^(2/3),   1 + delta = (9/2) (t - sin t)^2 / (1 - cos t)^3,
    under: delta_lin = -(3/20) [6 (sinh t - t)]^(2/3),  1 + delta = (9/2) (sinh t - t)^2 / (cosh t - 1)^3,

and in LambdaCDM the same to better than a per cent. The displacement at q is psi = q [(1 + delta)^(-1/3) - 1], at first order
-q delta_lin / 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from probe.grid import Grid
from probe.perturbation import divergence, zeldovich

COLLAPSE = 3 / 20 * (12 * math.pi) ** (2 / 3)  # delta_lin = 1.686, where the closed form ends in a point
Numbers = NDArray[np.float64]
_LATEST = 50.0  # where a void's linear overdensity is -1e14
REACH = 1.8  # radii beyond which less than 1e-14 of a top-hat is left


def spherical_collapse(linear: ArrayLike) -> NDArray[np.float64]:
    """1 + delta inside a sphere whose linear overdensity is `linear`, to rounding.

    Parameters
    ----------
    linear : array_like
        Below 1.686, where the sphere collapses.

    Raises
    ------
    ValueError
        If one is at or beyond collapse.
    """
    given = np.atleast_1d(np.asarray(linear, dtype=float))
    if (given >= COLLAPSE).any():
        raise ValueError(f"a linear overdensity of {given.max():.4g} has collapsed; give values below {COLLAPSE:.4g}")
    # Near zero the closed form cancels; its series to third order is exact to 1e-12 there.
    density = 1 + given + 17 / 21 * given**2 + 341 / 567 * given**3
    over, under = given > 1e-3, given < -1e-3
    t = _solved(lambda t: t - np.sin(t), given[over], 2 * math.pi)
    density[over] = 4.5 * (t - np.sin(t)) ** 2 / (1 - np.cos(t)) ** 3
    t = _solved(lambda t: np.sinh(t) - t, -given[under], _LATEST)
    density[under] = 4.5 * (np.sinh(t) - t) ** 2 / (np.cosh(t) - 1) ** 3
    return density.reshape(np.shape(linear))


def _solved(volume: Callable[[Numbers], Numbers], linear: Numbers, latest: float) -> Numbers:
    """The t at which (3/20) [6 volume(t)]^(2/3) = linear, by halving until nothing is left to halve."""
    wanted = (linear / 0.15) ** 1.5 / 6
    low, high = np.zeros_like(wanted), np.full_like(wanted, latest)
    for _ in range(80):
        middle = (low + high) / 2
        below = volume(middle) < wanted
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2


def mean_overdensity(radius: ArrayLike, top_hat: float, level: float) -> NDArray[np.float64]:
    """delta_lin(<q) = level exp(-(q/R)^6): flat within, and gone by 1.6 R, so that the mass is made up for around it.

    A sharp edge would ring on a lattice; of a smooth one every shell still has its closed form.

    Parameters
    ----------
    radius : array_like
        q, in the unit of `top_hat`.
    top_hat : float
        R.
    """
    return level * np.exp(-((np.asarray(radius, dtype=float) / top_hat) ** 6))


def distances(grid: Grid) -> tuple[Tensor, Tensor]:
    """From the middle point of the box: (D, *shape) and its length (*shape), float64, in grid.unit."""
    axes = [(torch.arange(n, dtype=torch.float64) - n // 2) * h for n, h in zip(grid.shape, grid.spacing, strict=True)]
    away = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    return away, away.norm(dim=0)


def top_hat_displacement(grid: Grid, radius: float, level: float) -> Tensor:
    """The linear (Zel'dovich) displacement of a compensated top-hat about the middle point, as far as the grid carries it.

    Parameters
    ----------
    radius : float
        In grid.unit; 1.8 radii must fit into half the box.
    level : float
        Linear overdensity within it, negative for a void.

    Returns
    -------
    Tensor, (D, *grid.shape), float64, in grid.unit

    Raises
    ------
    ValueError
        If the grid is not three-dimensional, or the top-hat does not fit into the box.
    """
    if grid.dimension != 3:
        raise ValueError(f"a top-hat collapses as told here in three dimensions; this grid has {grid.dimension}")
    if 2 * REACH * radius > min(grid.box):
        raise ValueError(f"a top-hat of radius {radius:g} needs a box of {2 * REACH * radius:g}; this one has {min(grid.box):g}")
    away, length = distances(grid)
    psi = -away / 3 * torch.from_numpy(mean_overdensity(length.numpy(), radius, level))
    return zeldovich(-divergence(psi[None], grid), grid)[0]
