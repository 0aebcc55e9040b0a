"""The subgrid closure of Ross et al. (2023) as its authors have it, and the pairs to hold it against."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
from torch import Tensor, nn


class Closure(nn.Sequential):
    """Potential vorticity of two layers -> the subgrid forcing of one, its mean over the box removed: (n, 2, y, x) -> (n, 1, y, x).

    Parameters
    ----------
    last_padding : {"zeros", "circular"}
        Of the last convolution. Its authors left torch's default there, the other seven are circular.
    """

    def __init__(self, last_padding: str = "zeros") -> None:
        widths, kernels = (2, 128, 64, 32, 32, 32, 32, 32), (5, 5, 3, 3, 3, 3, 3)
        layers: list[nn.Module] = []
        for (given, gives), kernel in zip(itertools.pairwise(widths), kernels, strict=True):
            convolution = nn.Conv2d(given, gives, kernel, padding=kernel // 2, padding_mode="circular")
            layers += [convolution, nn.ReLU(), nn.BatchNorm2d(gives)]
        super().__init__(*layers, nn.Conv2d(32, 1, 3, padding=1, padding_mode=last_padding))

    def forward(self, x: Tensor) -> Tensor:
        answer = super().forward(x)
        return answer - answer.mean(dim=(1, 2, 3), keepdim=True)


def as_stored(network: nn.Module, values: Tensor) -> Tensor:
    """The network on fields whose first axis is x: it was trained on arrays whose first axis is y."""
    return network(values.transpose(-1, -2)).transpose(-1, -2)


def upper() -> tuple[np.ndarray, np.ndarray]:
    """(q, S of the upper layer): (39, 2, x, y) in 1/s and (39, 1, x, y) in 1/s^2."""
    return _pairs(0)


def lower() -> tuple[np.ndarray, np.ndarray]:
    """(q, S of the lower layer)."""
    return _pairs(1)


def _pairs(layer: int) -> tuple[np.ndarray, np.ndarray]:
    """All snapshots but the first two, in which the run is still spinning up (upper S: a 36th, a third of the usual)."""
    stored = np.load(Path(os.environ["PROBE_REALDATA"]) / "ocean_closure" / "eddy_forcing.npz")
    q, forcing = (stored[name][2:].swapaxes(-1, -2) for name in ("q", "S"))
    return q, forcing[:, layer : layer + 1]
