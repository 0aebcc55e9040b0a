"""Exact and perturbative truths of gravity: Zel'dovich, 2LPT, growth.

Particles start on the lattice q and move to x = q + psi(q). With grad^2 phi1 = delta at first order,

    psi1 = -D1 grad phi1,   psi2 = D2 grad phi2,   grad^2 phi2 = sum_{i>j} (phi1,ii phi1,jj - phi1,ij^2),
    D2 = -(3/7) D1^2 Omega_m^(-1/143)

(Bouchet et al. 1995, A&A 296, 575; Scoccimarro 1998, MNRAS 299, 1097, eqs. 2 to 7). In one dimension psi1 is exact until
shells cross (Zel'dovich 1970).
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import torch
from scipy.special import hyp2f1
from torch import Tensor

from probe.grid import Grid
from probe.waves import below_nyquist


def growth_factor(scale_factor: float, omega_m: float) -> float:
    """Linear growth D(a) of flat LambdaCDM with matter only, D(1) = 1.

    D = a 2F1(1/3, 1; 11/6; -a^3 Omega_L / Omega_m) up to normalisation (Heath 1977; Bernardeau et al. 2002, sec. 2.4).
    """
    ratio = (1 - omega_m) / omega_m
    grown = scale_factor * hyp2f1(1 / 3, 1, 11 / 6, -ratio * scale_factor**3)
    return float(grown / hyp2f1(1 / 3, 1, 11 / 6, -ratio))


def second_order_growth(omega_m: float) -> float:
    """D2 / D1^2 = -(3/7) Omega_m^(-1/143), Omega_m at the time of the answer; 1 is Einstein-de Sitter (Bouchet et al. 1995)."""
    return -3 / 7 * omega_m ** (-1 / 143)


def zeldovich(delta: Tensor, grid: Grid) -> Tensor:
    """Zel'dovich displacement psi1(k) = i k / k^2 delta(k), spectral, without the Nyquist mode.

    Parameters
    ----------
    delta : Tensor, (batch, *grid.shape)
        Linear overdensity at the time of the displacement.

    Returns
    -------
    Tensor, (batch, D, *grid.shape), in grid.unit
    """
    return -gradient_of_inverse_laplacian(delta, grid)


def divergence(psi: Tensor, grid: Grid) -> Tensor:
    """Spectral divergence of a vector field: (batch, D, *shape) -> (batch, *shape), in units of psi / grid.unit."""
    wavevectors = grid.wavevectors(psi.device, psi.dtype, derivative=True)
    modes = torch.fft.rfftn(psi, dim=grid.axes)
    total = sum((1j * k * modes[:, axis] for axis, k in enumerate(wavevectors)), torch.zeros_like(modes[:, 0]))
    return torch.fft.irfftn(total, s=grid.shape, dim=grid.axes)


def second_order(delta: Tensor, grid: Grid, omega_m: float = 1.0) -> Tensor:
    """The second-order displacement psi2 that belongs to a linear overdensity, products dealiased by the 3/2 rule.

    Returns
    -------
    Tensor, (batch, D, *grid.shape), in grid.unit
    """
    fine = replace(grid, shape=tuple(3 * points // 2 + points % 2 for points in grid.shape))
    source = resample(_second_order_source(resample(delta, grid, fine), fine), fine, grid)
    return second_order_growth(omega_m) * gradient_of_inverse_laplacian(source, grid)


def lpt2(delta: Tensor, grid: Grid, omega_m: float = 1.0) -> Tensor:
    """Displacement at second order of Lagrangian perturbation theory, psi1 + psi2: (batch, D, *grid.shape)."""
    return zeldovich(delta, grid) + second_order(delta, grid, omega_m)


def gradient_of_inverse_laplacian(source: Tensor, grid: Grid) -> Tensor:
    """grad of the phi that solves grad^2 phi = source: (batch, *shape) -> (batch, D, *shape)."""
    wavevectors = grid.wavevectors(source.device, source.dtype, derivative=True)
    potential = -torch.fft.rfftn(source, dim=grid.axes) * _inverse_square(grid, source)
    return torch.stack([torch.fft.irfftn(1j * k * potential, s=grid.shape, dim=grid.axes) for k in wavevectors], 1)


def resample(field: Tensor, grid: Grid, target: Grid) -> Tensor:
    """The same Fourier series on a finer or coarser grid of the same box; modes at Nyquist of either are dropped.

    Parameters
    ----------
    field : Tensor, (..., *grid.shape)

    Returns
    -------
    Tensor, (..., *target.shape)
    """
    if grid.shape == target.shape:
        return field
    keep = below_nyquist(grid, field.device)
    keep[(0,) * grid.dimension] = True
    source = torch.fft.rfftn(field, dim=grid.axes) * keep
    result = source.new_zeros(*field.shape[: -grid.dimension], *target.half_shape)
    corner = tuple((min(a, b) + 1) // 2 for a, b in zip(grid.shape, target.shape, strict=True))
    sides = [(slice(0, c), slice(-(c - 1), None)) if c > 1 else (slice(0, 1),) for c in corner[:-1]]
    for block in itertools.product(*sides, (slice(0, corner[-1]),)):
        result[(..., *block)] = source[(..., *block)]
    return torch.fft.irfftn(result, s=target.shape, dim=target.axes) * (target.size / grid.size)


def _second_order_source(delta: Tensor, grid: Grid) -> Tensor:
    """sum_{i>j} (phi,ii phi,jj - phi,ij^2)."""
    k = grid.wavevectors(delta.device, delta.dtype, derivative=True)
    potential = -torch.fft.rfftn(delta, dim=grid.axes) * _inverse_square(grid, delta)

    def second_derivative(i: int, j: int) -> Tensor:
        return torch.fft.irfftn(-k[i] * k[j] * potential, s=grid.shape, dim=grid.axes)

    diagonal = [second_derivative(i, i) for i in range(grid.dimension)]
    source = torch.zeros_like(delta)
    for i, j in itertools.combinations(range(grid.dimension), 2):
        source = source + diagonal[i] * diagonal[j] - second_derivative(i, j) ** 2
    return source


def _inverse_square(grid: Grid, like: Tensor) -> Tensor:
    """1/k^2 of the modes below Nyquist, 0 elsewhere."""
    square = grid.wavenumber(like.device).square()
    keep = below_nyquist(grid, like.device)
    return torch.where(keep, 1 / torch.where(keep, square, torch.ones_like(square)), torch.zeros_like(square)).to(like.dtype)
