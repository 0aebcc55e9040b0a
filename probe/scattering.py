"""Wavelet scattering of scalar fields on a periodic grid of one, two or three dimensions, at the field's own resolution.

kymatio, the library for it, was weighed and not taken: its transforms pad by reflection and average over windows, where a box of
physics is periodic and has no edge; its three-dimensional one is made for molecules, and 0.3.0 fails to import with scipy 1.17.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from probe.grid import Grid

BATCH = 2**22  # points that are transformed at once
SMALL = 2**18  # points of a grid whose wavelets are kept


# A wavelet is a function of k: psi_jn(k) = c_n R(|k|/xi_j) (khat.n)^p where khat.n > 0, else 0, with R(u) = cos(pi/2 log2 u) for
# 1/2 < u < 2 and xi_j = k_Ny / 2^(j+1), j = 0, 1, ..., J - 1: the steerable pyramid (Simoncelli & Freeman 1995), halved so that
# what it makes of a wave is a complex envelope without a carrier. R(u)^2 + R(2u)^2 = cos^2 + sin^2 = 1: octaves add up to 1
# between xi_(J-1) and xi_0. The directions n are one of each antipodal pair of a spherical design with weights c_n^2, so that
# sum_n c_n^2 (khat.n)^(2p) = 2 for every khat: of k and -k, of which a real field holds both, one is seen, with 2. Hence
#     sum_jn <|f * psi_jn|^2> = sum_k |c_k|^2 sum_j R(k/xi_j)^2: energy is kept exactly, and no direction is preferred by it.
# In the plane four directions, p = 3: sum_l cos^6(theta - pi l/4) = 4 (6 choose 3)/4^3 = 5/4 for every theta. In space the three
# axes and the four diagonals of the cube, p = 2, with Lebedev's weights 1/15 and 3/40 (of 14 points, exact to degree 5; of
# (khat.n)^4 the mean is 1/5). On a line the positive modes, p = 0.
_AXES: tuple[tuple[float, ...], ...] = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
_DIAGONALS: tuple[tuple[float, ...], ...] = tuple((1.0, y, z) for y, z in itertools.product((1.0, -1.0), repeat=2))
POWER = {1: 0, 2: 3, 3: 2}


def directions(dimension: int) -> list[tuple[tuple[float, ...], float]]:
    """Unit vectors n and their c_n^2."""
    if dimension == 1:
        return [((1.0,), 2.0)]
    if dimension == 2:
        return [((math.cos(turn), math.sin(turn)), 2 / 1.25) for turn in (math.pi * step / 4 for step in range(4))]
    diagonals = [tuple(x / math.sqrt(3) for x in n) for n in _DIAGONALS]
    return [(n, 20 / 15) for n in _AXES] + [(n, 20 * 3 / 40) for n in diagonals]


def centres(grid: Grid) -> list[float]:
    """xi_j of the wavelets, from the shortest scale to the longest whose octave still holds two shells, in 1/unit."""
    count = max(1, math.floor(math.log2(grid.nyquist / grid.fundamental) + 1e-9) - 1)
    return [grid.nyquist / 2 ** (j + 1) for j in range(count)]


def wavelet(grid: Grid, scale: int, place: int, device: torch.device | str = "cpu") -> Tensor:
    """psi_jn of every mode in the layout of fftn: (*grid.shape,), float64; zero at k = 0 and from k_Ny on."""
    return (_kept if grid.size <= SMALL else _made)(grid, scale, place, torch.device(device))


def _made(grid: Grid, scale: int, place: int, device: torch.device) -> Tensor:
    direction, weight = directions(grid.dimension)[place]
    square = along = torch.zeros((), dtype=torch.float64, device=device)
    for axis, (points, side, component) in enumerate(zip(grid.shape, grid.box, direction, strict=True)):
        k = torch.fft.fftfreq(points, side / points / (2 * math.pi), dtype=torch.float64, device=device)
        k = k.reshape([-1 if a == axis else 1 for a in range(grid.dimension)])
        square, along = square + k * k, along + component * k
    wavenumber = square.sqrt().clamp_min(1e-3 * grid.fundamental)
    octave = torch.log2(wavenumber / centres(grid)[scale])
    radial = torch.where(octave.abs() < 1, torch.cos(math.pi / 2 * octave), 0.0)
    # A direction at right angles is one of rounding's sign.
    ahead = along > 1e-9 * wavenumber
    return math.sqrt(weight) * radial * torch.where(ahead, along / wavenumber, 0.0) ** POWER[grid.dimension] * ahead


_kept = lru_cache(maxsize=64)(_made)


@dataclass(frozen=True)
class Coefficients:
    """Scattering coefficients of one field, averaged over the box and over directions.

    Attributes
    ----------
    energy : Tensor, (scales,)
        <|f * psi_j|^2>, in unit^2.
    first : Tensor, (scales,)
        S1 = <|f * psi_j|>, in unit.
    second : Tensor, (scales, scales)
        S2 = <||f * psi_j1| * psi_j2|>, in unit, of all pairs of directions; nan unless the second scale is the longer one.
    """

    energy: Tensor
    first: Tensor
    second: Tensor


# Mallat (2012), Comm. Pure Appl. Math. 65, 1331; on fields of physics Allys et al. (2019), A&A 629, A115, and Cheng et al. (2020),
# MNRAS 499, 5902. A plane wave A cos(k.x + phi) has a flat envelope: S1 = (A/2) mean_n psi_jn(+-k), and no second order.
def scatter(field: Tensor, grid: Grid) -> Coefficients:
    """Scattering coefficients to second order, all directions averaged.

    Parameters
    ----------
    field : Tensor, (*grid.shape)

    Returns
    -------
    Coefficients
        In float64, on the field's device. Moving the field by whole cells changes them by rounding, quarter turns too.
    """
    scales, count = len(centres(grid)), len(directions(grid.dimension))
    modes = torch.fft.fftn(field.double(), dim=grid.axes)
    energy, first = modes.real.new_zeros(2, scales)
    second = modes.real.new_full((scales, scales), torch.nan)
    for j in range(scales):
        second[j, j + 1 :] = 0
        for n in range(count):
            envelope = torch.fft.ifftn(modes * wavelet(grid, j, n, modes.device), dim=grid.axes).abs()
            energy[j] += envelope.square().mean() / count
            first[j] += envelope.mean() / count
            if j + 1 < scales:
                second[j, j + 1 :] += _means(torch.fft.fftn(envelope, dim=grid.axes), j + 1, grid) / count
    return Coefficients(energy, first, second)


def _means(modes: Tensor, shortest: int, grid: Grid) -> Tensor:
    """Mean envelope at every scale from one on, over all directions: (scales - shortest,)."""
    scales, count = len(centres(grid)), len(directions(grid.dimension))
    cases = list(itertools.product(range(shortest, scales), range(count)))
    step, means = max(1, BATCH // grid.size), []
    for start in range(0, len(cases), step):
        filters = torch.stack([wavelet(grid, j, n, modes.device) for j, n in cases[start : start + step]])
        means.append(torch.fft.ifftn(modes * filters, dim=grid.axes).abs().mean(grid.axes))
    return torch.cat(means).reshape(-1, count).mean(1)


# The envelope of a Gaussian field is the modulus of a circular complex Gaussian: its mean is sqrt(pi)/2 of its rms, which goes with
# the direction as c_n.
def gaussian_first(dimension: int) -> float:
    """S1 over the root of the energy that a Gaussian field has on an isotropic grid, in the limit of many modes."""
    weights = [weight for _, weight in directions(dimension)]
    mean, square = sum(math.sqrt(w) for w in weights) / len(weights), sum(weights) / len(weights)
    return math.sqrt(math.pi / 4) * mean / math.sqrt(square)
