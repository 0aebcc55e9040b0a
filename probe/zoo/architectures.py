"""Network architectures of the zoo."""

from __future__ import annotations

import torch
from torch import Tensor, nn


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
