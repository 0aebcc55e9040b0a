"""Pairs of u(0) and u(1): random initial fields, and as many more as the symmetries of the law give for nothing."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from probe.grid import Grid
from probe.waves import gaussian_field
from probe.zoo.burgers_fno.recipe.burgers import TIME, evolve

GRID = Grid.cubic(128, 1.0, dimension=1, unit="L")


def spectrum(k: Tensor) -> Tensor:
    """Power of the initial fields: the covariance 625 (-d2/dx2 + 25)^-2 of Li et al. 2020 (arXiv:2010.08895, section 5.1)."""
    return 625 / (k * k + 25) ** 2


def initial(count: int, seed: int) -> Tensor:
    """Random initial fields, the mean, of variance 1, among their modes: (count, 1, 128), float64."""
    generator = torch.Generator().manual_seed(seed)
    waves = gaussian_field(GRID, spectrum, generator, count)
    mean = torch.randn(count, 1, generator=generator, dtype=torch.float64) * math.sqrt(spectrum(torch.zeros(())))
    return (waves + mean)[:, None]


class Solutions:
    """Random fields without a mean and what becomes of them, from which pairs are drawn.

    Whoever moves with the mean U sees no mean: u = U + v(x - U t). So each solved v gives a pair for every U, every place and both
    directions of the line, all of which are drawn at random.

    Parameters
    ----------
    count, seed : int
        How many fields are solved, and their seed.
    spread : float
        The standard deviation of the means; 1 is what `initial` has.
    """

    def __init__(self, count: int, seed: int, spread: float) -> None:
        self.spread = spread
        fields = initial(count, seed)
        given = fields - fields.mean(2, keepdim=True)
        solved = torch.cat([evolve(some) for some in given.split(64)])
        self.modes = torch.fft.rfft(torch.cat([given, solved], 1), norm="forward")

    def draw(self, batch: int, generator: torch.Generator) -> Tensor:
        """Random pairs: (batch, 2, 128), float32, the input first."""
        modes = self.modes[torch.randint(len(self.modes), (batch,), generator=generator)]
        mean, place, side = torch.rand(3, batch, 1, 1, generator=generator, dtype=torch.float64)
        mean = self.spread * math.sqrt(2) * torch.erfinv(2 * mean - 1)  # a quantile: normal
        modes = torch.where(side < 0.5, modes, -modes.conj())  # u(x) -> -u(-x)
        moved = place + mean * TIME * torch.tensor([[0.0], [1.0]])
        turned = modes * torch.exp(-2j * math.pi * torch.arange(modes.shape[-1]) * moved)
        return (torch.fft.irfft(turned, n=GRID.size, norm="forward") + mean).float()
