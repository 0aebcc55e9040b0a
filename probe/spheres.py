"""Density and tidal shear in spheres: the scalars of a density field by which halo formation is told.

A field delta seen through a sphere of radius R is delta_R(k) = W(kR) delta(k). The window is the transform of a top-hat,

    D = 1: sin x / x,   D = 2: 2 J_1(x) / x,   D = 3: 3 (sin x - x cos x) / x^3,   x = kR.

With del^2 phi = delta_R the tidal shear is the traceless part of phi's second derivatives,

    T_ij = d_i d_j phi - delta_ij delta_R / D,   T_ij(k) = (k_i k_j / k^2 - delta_ij / D) W(kR) delta(k),

with the eigenvalues t_1 >= ... >= t_D, whose sum is zero. Ellipticity t_1 - t_D; in three dimensions also prolateness
3 (t_1 + t_3), positive where matter flows in along two axes onto a filament's line, negative onto a sheet (Bond & Myers 1996,
ApJS 103, 1; Sheth, Mo & Tormen 2001, MNRAS 323, 1, whose e and p are these over delta; without that division they stand for
themselves at points where delta is zero: Lucie-Smith et al. 2018, sec. 2.2). A plane wave, which collapses along k alone, has
(1 - 1/D, -1/D, ...) delta where delta > 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from scipy.special import j1
from torch import Tensor

from probe.errors import InputError
from probe.grid import Grid

# 3 H0^2 / (8 pi G) in h^2 Msun / Mpc^3: the mean density of matter is Omega_m times it (IAU 2015 GM_sun, PDG 2024 table 2.1).
CRITICAL_DENSITY = 2.77536627e11
LARGEST = 0.25  # of the shortest side: two such spheres side by side fill it, and the box still holds several of each
_SERIES = (1.0, -1 / 10, 1 / 280, -1 / 15120, 1 / 1330560, -1 / 172972800)


def window(x: Tensor, dimension: int) -> Tensor:
    """W of a ball, 1 at x = kR = 0, to 1e-13.

    Parameters
    ----------
    x : Tensor, float64
    dimension : {1, 2, 3}

    Raises
    ------
    InputError
        If the dimension is another.
    """
    if dimension not in (1, 2, 3):
        raise InputError(f"spheres are known in one, two and three dimensions; found {dimension}")
    if dimension == 1:
        return torch.sinc(x / math.pi)
    if dimension == 2:
        # torch's own J_1 is 8e-10 off beside x = 4.5.
        bessel = torch.as_tensor(j1(x.cpu().numpy()), device=x.device)
        return torch.where(x == 0, torch.ones_like(x), 2 * bessel / torch.where(x == 0, torch.ones_like(x), x))
    # sin x - x cos x cancels to x^3/3.
    small = x.abs() < 0.3
    safe = torch.where(small, torch.ones_like(x), x)
    series = sum((c * x.square() ** n for n, c in enumerate(_SERIES)), torch.zeros_like(x))
    return torch.where(small, series, 3 * (safe.sin() - safe * safe.cos()) / safe**3)


def scales(grid: Grid, count: int, largest: float = LARGEST) -> tuple[float, ...]:
    """Radii from the sphere of one cell's volume to a share of the shortest side, evenly spaced in log M, in grid.unit."""
    ball = math.pi ** (grid.dimension / 2) / math.gamma(grid.dimension / 2 + 1)
    first = (grid.volume / grid.size / ball) ** (1 / grid.dimension)
    last = max(largest * min(grid.box), first)
    return tuple(first * (last / first) ** (i / max(count - 1, 1)) for i in range(count))


def mass(radius: float, grid: Grid, omega_m: float) -> float:
    """M = (4/3) pi R^3 rho_mean in Msun/h.

    Raises
    ------
    InputError
        If the grid is not three-dimensional in Mpc/h.
    """
    if grid.dimension != 3 or grid.unit != "Mpc/h":
        raise InputError(f"a sphere has a mass in boxes of Mpc/h; this grid has {grid.dimension} axes in {grid.unit!r}")
    return 4 / 3 * math.pi * radius**3 * omega_m * CRITICAL_DENSITY


def contrast(delta: Tensor, grid: Grid, radii: Sequence[float], points: Tensor | None = None) -> Tensor:
    """delta averaged over the sphere about each point.

    Parameters
    ----------
    delta : Tensor, (batch, *grid.shape)
        Any scalar field, in a periodic box.
    radii : sequence of float
        In grid.unit; 0 leaves the field as it is.
    points : Tensor, (point,), int64, optional
        Places in the flattened grid; all without.

    Returns
    -------
    Tensor, (batch, radius, *grid.shape) or (batch, radius, point), float64
        Differentiable with respect to delta.

    Raises
    ------
    InputError
        If the box is not periodic, or the field does not lie on the grid.
    """
    modes = _modes(delta, grid)
    return torch.stack([_seen(modes * _window_on(grid, radius, delta.device), grid, points) for radius in radii], 1)


def shear(delta: Tensor, grid: Grid, radii: Sequence[float], points: Tensor | None = None) -> Tensor:
    """Eigenvalues of the tidal shear in the sphere about each point, the largest first.

    Parameters
    ----------
    delta, radii, points
        As in `contrast`; the mean of delta makes no shear.

    Returns
    -------
    Tensor, (batch, radius, D, *grid.shape) or (batch, radius, D, point), float64
        Differentiable with respect to delta.

    Raises
    ------
    InputError
        As `contrast`; and on a line, where there is no shear.
    """
    if grid.dimension == 1:
        raise InputError("there is no tidal shear on a line: give a grid of two or three axes")
    modes, tensors = _modes(delta, grid), _tensor(grid, delta.device)
    found = []
    for radius in radii:
        smooth = modes * _window_on(grid, radius, delta.device)
        parts = {pair: _seen(smooth * of_k, grid, points) for pair, of_k in tensors.items()}
        found.append(torch.linalg.eigvalsh(_matrix(parts, grid.dimension)).flip(-1).movedim(-1, 1))
    return torch.stack(found, 1)


def ellipticity(eigenvalues: Tensor) -> Tensor:
    """t_1 - t_D of the eigenvalues that `shear` gives: (batch, radius, D, ...) -> (batch, radius, ...)."""
    return eigenvalues[:, :, 0] - eigenvalues[:, :, -1]


def prolateness(eigenvalues: Tensor) -> Tensor:
    """3 (t_1 + t_3) = -3 t_2: (batch, radius, 3, ...) -> (batch, radius, ...); of two eigenvalues it would always be zero."""
    return 3 * (eigenvalues[:, :, 0] + eigenvalues[:, :, -1])


def _modes(delta: Tensor, grid: Grid) -> Tensor:
    if grid.boundary != "periodic" or delta.shape[1:] != grid.shape:
        raise InputError(
            f"spheres are cut from (batch, *{grid.shape}) fields in a periodic box; found the shape {tuple(delta.shape)} and the "
            f"boundary {grid.boundary!r}"
        )
    return torch.fft.rfftn(delta.double(), dim=grid.axes)


def _window_on(grid: Grid, radius: float, device: torch.device) -> Tensor:
    return window(grid.wavenumber(device) * radius, grid.dimension)


def _seen(modes: Tensor, grid: Grid, points: Tensor | None) -> Tensor:
    """The field of some modes, (batch, *shape), or its values at points, (batch, point)."""
    field = torch.fft.irfftn(modes, s=grid.shape, dim=grid.axes)
    return field if points is None else field.flatten(1)[:, points]


def _tensor(grid: Grid, device: torch.device) -> dict[tuple[int, int], Tensor]:
    """k_i k_j / k^2 - delta_ij / D of every mode and pair i <= j but the last, which the trace gives; 0 at k = 0.

    Across axes a wave at Nyquist is a sine that the lattice does not see, so there k_i k_j is zero.
    """
    square = grid.wavenumber(device).square()
    square[(0,) * grid.dimension] = 1
    full, odd = (grid.wavevectors(device, derivative=derivative) for derivative in (False, True))
    found = {}
    for i in range(grid.dimension):
        for j in range(i, grid.dimension):
            if i == j == grid.dimension - 1:
                break
            found[i, j] = full[i].square() / square - 1 / grid.dimension if i == j else odd[i] * odd[j] / square
            found[i, j][(0,) * grid.dimension] = 0
    return found


def _matrix(parts: dict[tuple[int, int], Tensor], dimension: int) -> Tensor:
    """The symmetric traceless matrices: (..., D, D)."""
    last = -sum((part for (i, j), part in parts.items() if i == j), torch.zeros((), dtype=torch.float64))
    every = parts | {(dimension - 1, dimension - 1): last}
    return torch.stack([torch.stack([every[min(i, j), max(i, j)] for j in range(dimension)], -1) for i in range(dimension)], -2)
