"""Model haloes: triaxial double power laws of known factors, their cutouts and their profiles.

    rho(x) = rho_p f(m) / f(r_p),   f(m) = (m/r_s)^-gamma [1 + (m/r_s)^4]^((gamma - beta)/4),   m^2 = x^T M x,   det M = 1

(Zhao 1996, MNRAS 278, 488, in whose form 4 is 1/alpha; Jing & Suto 2002, ApJ 574, 538, for the ellipsoids). Three factors are drawn
independently: the normalisation log10 rho_p at the pivot r_p, the inner slope gamma and the outer slope beta. Axis ratios and
orientation are what a profile should not know of. r_s is the same for all.

Why these. A variational encoder finds principal components of the profiles (see `probe.zoo.encoders`). With a pivot where inner
slopes tilt profiles about their middle, and with the inner slope doing more than the outer one, these are the factors to r = 0.98.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

POINTS, BOX = 16, 1.6  # voxels a side; Mpc/h
SCALE_RADIUS, PIVOT = 0.35, 0.2  # Mpc/h
NORMALISATION, INNER, OUTER = (3.5, 4.5), (0.0, 1.6), (2.5, 3.5)
LEAST_RATIO = 0.5  # of the shortest axis to the longest
NOISE = 0.2  # dex, of each voxel
RADII = torch.logspace(math.log10(BOX / POINTS / 2), math.log10(BOX / 2), 25, dtype=torch.float64)  # Mpc/h


@dataclass(frozen=True)
class Haloes:
    """`normalisation`, `inner`, `outer`, `ratio` (shortest axis to longest): (n,); `form`, the matrix M: (n, 3, 3)."""

    normalisation: Tensor
    inner: Tensor
    outer: Tensor
    ratio: Tensor
    form: Tensor

    def __getitem__(self, some: Any) -> Haloes:
        return Haloes(*(value[some] for value in vars(self).values()))

    def float(self) -> Haloes:
        """The same in single precision."""
        return Haloes(*(value.float() for value in vars(self).values()))

    def log_density(self, square: Tensor) -> Tensor:
        """log10 of the density over the mean one, at m^2 in (Mpc/h)^2: (n, ...) -> (n, ...)."""

        def shape(u: Tensor) -> Tensor:
            return -inner / 2 * u.log() - (outer - inner) / 4 * u.square().log1p()

        each = (-1, *[1] * (square.ndim - 1))
        norm, inner, outer = (value.reshape(each) for value in (self.normalisation, self.inner, self.outer))
        pivot = torch.tensor((PIVOT / SCALE_RADIUS) ** 2, dtype=square.dtype)
        return norm + (shape(square / SCALE_RADIUS**2) - shape(pivot)) / math.log(10)


def draw(count: int, generator: torch.Generator) -> Haloes:
    """Haloes of random factors, shapes and orientations, float64."""

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator, dtype=torch.float64)

    shortest = uniform(LEAST_RATIO, 1.0)
    axes = torch.stack([torch.ones(count), shortest + (1 - shortest) * uniform(0.0, 1.0), shortest], 1)
    axes = axes / axes.prod(1, keepdim=True) ** (1 / 3)
    turn, _ = torch.linalg.qr(torch.randn(count, 3, 3, generator=generator, dtype=torch.float64))
    form = turn @ torch.diag_embed(axes**-2) @ turn.mT
    return Haloes(uniform(*NORMALISATION), uniform(*INNER), uniform(*OUTER), shortest, form)


def cutouts(haloes: Haloes, nodes: int = 3) -> Tensor:
    """log10 of the mean density of each voxel about the centre of a halo, without noise: (n, 1, 16, 16, 16).

    The mean by Gauss and Legendre's rule of `nodes` points along each axis.
    """
    places, weights = (torch.from_numpy(a).to(haloes.form) for a in np.polynomial.legendre.leggauss(nodes))
    side = BOX / POINTS
    x = ((torch.arange(POINTS).to(places)[:, None] + (places + 1) / 2) * side - BOX / 2).flatten()
    f = haloes.form[:, :, :, None, None, None]
    x, y, z = x[:, None, None], x[:, None], x
    square = f[:, 0, 0] * x * x + f[:, 1, 1] * y * y + f[:, 2, 2] * z * z
    square = square + 2 * (f[:, 0, 1] * x * y + f[:, 0, 2] * x * z + f[:, 1, 2] * y * z)
    density = (haloes.log_density(square) * math.log(10)).exp().reshape(-1, *[POINTS, nodes] * 3)
    mean = torch.einsum("bxiyjzk,i,j,k->bxyz", density, *[weights / 2] * 3)
    return mean.log10()[:, None]


def noisy(logarithms: Tensor, generator: torch.Generator) -> Tensor:
    """Every voxel times a lognormal number of mean one and a scatter of NOISE: what else a halo is made of."""
    scatter = torch.randn(logarithms.shape, generator=generator, dtype=logarithms.dtype)
    return logarithms + NOISE * scatter - math.log(10) * NOISE**2 / 2


def profiles(haloes: Haloes, radii: Tensor = RADII, nodes: int = 8) -> Tensor:
    """log10 of the density averaged over spheres, without noise: (n, radius).

    An octant in the frame of the axes is enough: Gauss and Legendre's rule in the cosine, the midpoint rule in the angle.
    """
    places, weights = (torch.from_numpy(a).to(haloes.form) for a in np.polynomial.legendre.leggauss(nodes))
    cosine = ((places + 1) / 2)[:, None]
    angle = (torch.arange(nodes).to(places) + 0.5) * (math.pi / 2 / nodes)
    squares = torch.stack(
        torch.broadcast_tensors((1 - cosine**2) * angle.cos() ** 2, (1 - cosine**2) * angle.sin() ** 2, cosine**2)
    )
    stretch = torch.einsum("bi,ipq->bpq", torch.linalg.eigvalsh(haloes.form), squares)
    density = (haloes.log_density(radii[:, None, None] ** 2 * stretch[:, None]) * math.log(10)).exp()
    return torch.einsum("brpq,p->br", density, weights / 2 / nodes).log10()
