"""Ways to get gravity wrong in just one way, behind a right answer: what the probes of nonlinear growth must catch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from probe.grid import Grid
from probe.perturbation import divergence, gradient_of_inverse_laplacian, second_order, second_order_growth


class Miscoupled(nn.Module):
    """Second order that is not gravity's, added: pairs of waves couple with (3/14) [across (1 - mu^2) + along mu^2] more.

    Behind 2LPT, across = -2 gives couplings of the wrong sign, across = -1 none at all, along = 1 couplings that do not see the
    angle between the waves.
    """

    def __init__(self, grid: Grid, across: float = 0.0, along: float = 0.0) -> None:
        super().__init__()
        self.grid, self.across, self.along = grid, across, along

    def forward(self, psi: Tensor) -> Tensor:
        """(batch, D, *grid.shape) -> the same."""
        grid = self.grid.of_shape(psi.shape[2:])
        delta = -divergence(psi, grid)
        angled = second_order(delta, grid)
        # Of delta^2 / 2 any two waves make 1, where the source of 2LPT has 1 - mu^2.
        blind = second_order_growth(1.0) * gradient_of_inverse_laplacian(delta.square() / 2, grid)
        return psi + self.across * angled + self.along * (blind - angled)


class Saturating(nn.Module):
    """A displacement that levels off: psi tanh(|psi| / limit) limit / |psi| at every point."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self.limit = limit

    def forward(self, psi: Tensor) -> Tensor:
        """(batch, D, *grid.shape) -> the same."""
        share = psi.norm(dim=1, keepdim=True) / self.limit
        return psi * torch.where(share > 1e-6, torch.tanh(share) / share.clamp_min(1e-30), 1.0)


class InUnits(nn.Module):
    """A defect that acts on physical values, behind a network whose own are smaller by `scale`."""

    def __init__(self, defect: nn.Module, scale: float) -> None:
        super().__init__()
        self.defect, self.scale = defect, scale

    def forward(self, values: Tensor) -> Tensor:
        """(batch, channel, *grid.shape) -> the same."""
        answer: Tensor = self.defect(values * self.scale) / self.scale
        return answer
