"""DeepMass (Jeffrey et al. 2020), its U-Net written in torch around the names of its state_dict."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate


class DeepMass(nn.Module):
    """A convergence map out of a shear survey's Wiener filter -> its denoised self, both as stored: (n, 1, 256, 256).

    Parameters
    ----------
    padding : {"zeros", "replicate"}
        Of every convolution; its authors' is "zeros".
    """

    def __init__(self, padding: str = "zeros") -> None:
        super().__init__()
        widths = [(1, 16), (16, 32), (32, 64), (64, 64), (64, 64), (128, 64), (128, 64), (96, 32), (48, 16)]
        convolutions = {str(11 + i): nn.Conv2d(*pair, 3, padding=1, padding_mode=padding) for i, pair in enumerate(widths)}
        self.c = nn.ModuleDict({**convolutions, "20": nn.Conv2d(16, 1, 1)})
        norms = (16, 32, 64, 64, 64, 64, 128, 96, 48)
        self.b = nn.ModuleDict({str(10 + i): nn.BatchNorm2d(width, eps=1e-3) for i, width in enumerate(norms)})

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for i in range(4):
            skips.append(self.b[str(10 + i)](self.c[str(11 + i)](x).relu()))
            x = avg_pool2d(skips[-1], 2)
        x = self.b["14"](self.c["15"](x).relu())
        x = self.b["15"](self.c["16"](_joined(skips.pop(), x)).relu())
        for i in range(3):
            x = self.c[str(17 + i)](self.b[str(16 + i)](_joined(skips.pop(), x))).relu()
        return self.c["20"](x).sigmoid()


def _joined(skip: Tensor, x: Tensor) -> Tensor:
    return torch.cat([skip, interpolate(x, scale_factor=2)], 1)


def stored(convergence: Tensor) -> Tensor:
    """What the network sees of a convergence map."""
    return 3 * convergence + 0.5


def convergence(answer: Tensor) -> Tensor:
    """What its answer means."""
    return (answer - 0.5) / 3
