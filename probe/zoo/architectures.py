"""Network architectures of the zoo."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from probe.errors import InputError


def _block(inside: int, outside: int) -> nn.Sequential:
    """Two periodic 3^3 convolutions with SiLU between and after."""
    return nn.Sequential(
        nn.Conv3d(inside, outside, 3, padding=1, padding_mode="circular"),
        nn.SiLU(),
        nn.Conv3d(outside, outside, 3, padding=1, padding_mode="circular"),
        nn.SiLU(),
    )


class ResidualUNet(nn.Module):
    """A periodic residual U-Net on displacement fields, after He et al. 2019 (arXiv:1811.06533), smaller.

    Two levels of stride 2 by 2^3 convolutions, transposed back, skip connections at each level, and the input added to the
    output: the network learns what N-body adds to Zel'dovich. Against that paper: SiLU in the place of batch normalisation
    and ReLU, so that derivatives exist to every order and a field's answer does not depend on its neighbours in a batch.

    Parameters
    ----------
    width : int
        Channels on the finest level; twice that below.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        deep = 2 * width
        self.fine = _block(3, width)
        self.down = nn.Conv3d(width, deep, 2, stride=2)
        self.middle = _block(deep, deep)
        self.down_again = nn.Conv3d(deep, deep, 2, stride=2)
        self.coarse = _block(deep, deep)
        self.up = nn.ConvTranspose3d(deep, deep, 2, stride=2)
        self.middle_back = nn.Sequential(nn.Conv3d(2 * deep, deep, 3, padding=1, padding_mode="circular"), nn.SiLU())
        self.up_again = nn.ConvTranspose3d(deep, width, 2, stride=2)
        self.fine_back = _block(2 * width, width)
        self.out = nn.Conv3d(width, 3, 1)

    def forward(self, psi: Tensor) -> Tensor:
        """(batch, 3, N, N, N) -> the same, N a multiple of 4."""
        fine = self.fine(psi)
        middle = self.middle(self.down(fine))
        coarse = self.coarse(self.down_again(middle))
        middle = self.middle_back(torch.cat([middle, self.up(coarse)], 1))
        fine = self.fine_back(torch.cat([fine, self.up_again(middle)], 1))
        return psi + self.out(fine)


class SpectralConvolution(nn.Module):
    """A convolution over the whole periodic box: each Fourier mode of the channels times a complex matrix of its own.

    Parameters
    ----------
    dimension, width : int
        Axes of the grid; channels in and out.
    modes : int
        Modes n with |n| < modes along every axis answer, the others do not.
    """

    def __init__(self, dimension: int, width: int, modes: int) -> None:
        super().__init__()
        self.modes = modes
        self.axes = tuple(range(-dimension, 0))
        shape = (width, width, *[2 * modes - 1] * (dimension - 1), modes)
        self.weight = nn.Parameter(torch.randn(shape, dtype=torch.complex64) / width)

    def forward(self, values: Tensor) -> Tensor:
        """(batch, width, *grid) -> the same.

        Raises
        ------
        InputError
            If the grid has less than 2 `modes` points a side.
        """
        # A real answer needs c(-n) = conj c(n), and what an inverse transform makes of modes without it is undefined. The modes
        # kept are the same set under n -> -n and lie below Nyquist, where n and -n are one. Of a pair the half transform holds
        # both only in the plane where the last n is 0, and free weights break the pairs there: it is replaced by its Hermitian
        # part, which amounts to the real part of the answer. On a line that plane is the mean alone.
        sides = values.shape[2:]
        if min(sides) < 2 * self.modes:
            raise InputError(f"{self.modes} modes need {2 * self.modes} points a side; found {tuple(sides)}: give a finer grid")
        places = [torch.arange(1 - self.modes, self.modes, device=values.device) % side for side in sides[:-1]]
        spectrum = torch.fft.rfftn(values, dim=self.axes, norm="forward")[..., : self.modes]
        for axis, place in zip(self.axes, places, strict=False):
            spectrum = spectrum.index_select(axis, place)
        answer = torch.einsum("bi...,io...->bo...", spectrum, self.weight)
        plane = answer[..., :1]
        answer = torch.cat([(plane + plane.flip(self.axes[:-1]).conj()) / 2, answer[..., 1:]], -1)
        for axis, place, side in zip(self.axes, places, sides, strict=False):
            shape = list(answer.shape)
            shape[axis] = side
            answer = answer.new_zeros(shape).index_copy(axis, place, answer)
        return torch.fft.irfftn(answer, s=sides, dim=self.axes, norm="forward")  # fills the last axis up with zeros


class FNO(nn.Module):
    """A Fourier neural operator (Li et al. 2020, arXiv:2010.08895) on a periodic grid of one, two or three dimensions.

    Layers u -> GELU(W u + b + K u), K a spectral convolution and W a matrix at every point, the last layer without GELU, stand
    between a pointwise lift and a pointwise projection. Unlike the paper's it is given no coordinates: it cannot tell places
    apart, and a shift by whole cells goes through it exactly. It runs on any grid of at least 2 `modes` points a side.

    Parameters
    ----------
    dimension, modes, width, layers : int
        Axes of the grid; Fourier modes n = 0 ... modes - 1; channels inside; Fourier layers.
    channels_in, channels_out : int
    """

    def __init__(
        self, dimension: int = 1, modes: int = 16, width: int = 32, layers: int = 4, channels_in: int = 1, channels_out: int = 1
    ) -> None:
        super().__init__()
        pointwise = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dimension - 1]
        self.lift = pointwise(channels_in, width, 1)
        self.spectral = nn.ModuleList([SpectralConvolution(dimension, width, modes) for _ in range(layers)])
        self.bypass = nn.ModuleList([pointwise(width, width, 1) for _ in range(layers)])
        self.project = nn.Sequential(pointwise(width, 2 * width, 1), nn.GELU(), pointwise(2 * width, channels_out, 1))

    def forward(self, values: Tensor) -> Tensor:
        """(batch, channels_in, *grid) -> (batch, channels_out, *grid)."""
        hidden = self.lift(values)
        last = len(self.spectral) - 1
        for layer, (spectral, bypass) in enumerate(zip(self.spectral, self.bypass, strict=True)):
            hidden = spectral(hidden) + bypass(hidden)
            hidden = hidden if layer == last else nn.functional.gelu(hidden)
        return self.project(hidden)


class ParameterNetwork(nn.Module):
    """Numbers read off a periodic box of matter, after Ravanbakhsh et al. 2016 (arXiv:1711.02033), smaller.

    Periodic 3^3 convolutions with SiLU, the first with stride 2, the third and later ones behind averages over blocks of 2^3; then
    the mean over what is left of the box and two dense layers. It sees asinh(density contrast), which is linear about the mean,
    logarithmic in peaks, and defined for every input. Against that paper: no batch normalisation and no dropout, so that a
    box's answer does not depend on its neighbours in a batch; the mean instead of dense layers on positions, so that shifts by
    whole blocks change nothing.

    Parameters
    ----------
    width : int
        Channels after the first convolution; twice as many after each further one.
    levels : int
        Convolutions; the total stride is 2^(levels - 1).
    numbers : int
        How many numbers it gives.
    """

    def __init__(self, width: int = 16, levels: int = 4, numbers: int = 2) -> None:
        super().__init__()
        widths = [1, *(width * 2**level for level in range(levels))]
        layers: list[nn.Module] = []
        for level, (inside, outside) in enumerate(pairwise(widths)):
            layers += [nn.AvgPool3d(2)] * (level > 1)
            stride = 1 if level else 2
            layers += [nn.Conv3d(inside, outside, 3, stride=stride, padding=1, padding_mode="circular"), nn.SiLU()]
        self.layers = nn.Sequential(*layers)
        self.read = nn.Sequential(nn.Linear(widths[-1], 64), nn.SiLU(), nn.Linear(64, numbers))

    def forward(self, density: Tensor) -> Tensor:
        """(batch, 1, N, N, N) -> (batch, numbers), N a multiple of 2^(levels - 1)."""
        answer: Tensor = self.read(self.layers(density.asinh()).mean((2, 3, 4)))
        return answer
