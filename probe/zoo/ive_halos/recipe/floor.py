"""How well profiles can be told from noisy cutouts at all.

Noise is normal in the logarithm and the same in every voxel, so the information about a halo's eight parameters (three factors, and
five of its shape) is F = J^T J / NOISE^2 with J the derivative of the cutout, and no unbiased estimate of its profile has a
covariance below K F^-1 K^T, K the derivative of the profile (Cramer & Rao). Who knows from where factors are drawn can do better.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from probe.zoo.ive_halos.recipe.haloes import NOISE, Haloes, cutouts, profiles

STEP = 1e-4
# Symmetric matrices without a trace: M^(1/2) (1 + e S) M^(1/2) keeps det M = 1 to first order.
_SHAPES = torch.zeros(5, 3, 3, dtype=torch.float64)
for _row, (_i, _j) in enumerate(((0, 1), (0, 2), (1, 2))):
    _SHAPES[_row, _i, _j] = _SHAPES[_row, _j, _i] = 1
_SHAPES[3], _SHAPES[4] = torch.diag(torch.tensor([1.0, -1.0, 0.0])), torch.diag(torch.tensor([0.0, 1.0, -1.0]))


def floor(haloes: Haloes) -> tuple[Tensor, Tensor]:
    """Least standard errors of the three factors, (n, 3), and of the profiles, (n, radius)."""
    seen, profile = [], []
    for moved in _directions(haloes):
        forth, back = moved(STEP), moved(-STEP)
        seen.append((cutouts(forth) - cutouts(back)).flatten(1) / (2 * STEP))
        profile.append((profiles(forth) - profiles(back)) / (2 * STEP))
    j, k = torch.stack(seen, 2), torch.stack(profile, 2)
    least = torch.linalg.inv(j.mT @ j / NOISE**2)
    factors = least.diagonal(dim1=1, dim2=2)[:, :3]
    return factors.sqrt(), torch.einsum("nrp,npq,nrq->nr", k, least, k).sqrt()


def _directions(haloes: Haloes) -> list:
    """Functions of a step that give the haloes moved by it, one for each parameter."""
    squares, axes = torch.linalg.eigh(haloes.form)
    root = axes @ torch.diag_embed(squares.sqrt()) @ axes.mT
    one = torch.eye(3, dtype=torch.float64)
    factors = [
        lambda step, name=name: replace(haloes, **{name: getattr(haloes, name) + step})
        for name in ("normalisation", "inner", "outer")
    ]
    return factors + [lambda step, shape=shape: replace(haloes, form=root @ (one + step * shape) @ root) for shape in _SHAPES]
