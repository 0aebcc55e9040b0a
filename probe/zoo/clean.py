"""Networks that hold a symmetry by how they are built, whatever their weights, and right answers beside those of `oracles`."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from probe.fields import Field, Quantity
from probe.grid import Grid
from probe.transforms import lattice_symmetries


class GroupAverage(nn.Module):
    """The mean of g^-1 f(g x) over all symmetries g of the lattice about one point: exact under each of them, whatever f is.

    Parameters
    ----------
    network : Module
        f, on one quantity and to the same.
    centre : float
        The coordinate, in cells along every axis, of the point that stays fixed: a multiple of 1/2.
    """

    def __init__(self, network: nn.Module, grid: Grid, quantity: Quantity, centre: float) -> None:
        super().__init__()
        self.network, self.grid, self.quantity, self.centre = network, grid, quantity, centre

    def forward(self, values: Tensor) -> Tensor:
        """(batch, channel, *grid.shape) -> the same.

        Raises
        ------
        ValueError
            If the grid is not the same along every axis.
        """
        field = Field(values, self.grid.of_shape(values.shape[2:]), (self.quantity,))
        group = lattice_symmetries(field.grid.dimension)
        turned = torch.cat([g(field, self.centre).values for g in group])
        answers = self.network(turned).split(len(values))
        return torch.stack(
            [g.inverse(field.with_values(answer), self.centre).values for g, answer in zip(group, answers, strict=True)]
        ).mean(0)


class Unstrided(nn.Module):
    """Periodic convolutions of kernel 3 without stride, SiLU between: a shift by whole cells goes through exactly.

    Parameters
    ----------
    dimension, channels, width : int
        Axes of the grid; channels in and out; channels inside.
    """

    def __init__(self, dimension: int, channels: int, width: int = 4) -> None:
        super().__init__()
        convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dimension - 1]
        sizes = (channels, width, width, channels)
        layers: list[nn.Module] = []
        for inside, outside in itertools.pairwise(sizes):
            layers += [convolution(inside, outside, 3, padding=1, padding_mode="circular"), nn.SiLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, values: Tensor) -> Tensor:
        """(batch, channels, *grid) -> the same."""
        answer: Tensor = self.layers(values)
        return answer


class SmoothedSquare(nn.Module):
    """A smoothed scalar u = G * x that spreads by its own square: u + strength R^2 Laplacian(G * u^2), G a Gaussian of radius R.

    Nonlinear, local, and its mean is that of its input. With R of one and a half cells next to nothing is left at Nyquist that
    could fold back, so that it commutes with shifts by parts of a cell too. Of two waves a cos(k1.x) and b cos(k2.x) it makes
    -strength a b |R k|^2 G(k1) G(k2) G(k) cos(k.x) at k = k1 + k2 and k1 - k2.
    """

    def __init__(self, grid: Grid, radius: float, strength: float) -> None:
        super().__init__()
        self.grid, self.radius, self.strength = grid, radius, strength

    def forward(self, values: Tensor) -> Tensor:
        """(batch, channel, *grid) -> the same."""
        grid = self.grid.of_shape(values.shape[2:])
        square = (grid.wavenumber(values.device) * self.radius).square().to(values.dtype)
        gain = torch.exp(-square / 2)
        modes = torch.fft.rfftn(values, dim=grid.axes) * gain
        smooth = torch.fft.irfftn(modes, s=grid.shape, dim=grid.axes)
        modes = modes - self.strength * square * gain * torch.fft.rfftn(smooth.square(), dim=grid.axes)
        return torch.fft.irfftn(modes, s=grid.shape, dim=grid.axes)
