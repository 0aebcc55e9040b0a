"""Models that are wrong in just one way: what the probes must catch.

Each defect is a small module that stands behind (or in the place of) a right one. Planted into the trained network of
`zoo:lpt2nbody` it is a model anyone can run: `probe run all --model zoo:defect/zero_padding`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from probe.description import read_description
from probe.grid import Grid
from probe.model import FieldModel
from probe.zoo import entries
from probe.zoo.architectures import ResidualUNet
from probe.zoo.oracles import Filter


class Anisotropic(nn.Module):
    """The first component stretched by 1 + strength: an anisotropic kernel."""

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, values: Tensor) -> Tensor:
        """(batch, D, *grid) -> the same."""
        return torch.cat([(1 + self.strength) * values[:, :1], values[:, 1:]], 1)


class SwappedComponents(nn.Module):
    """The first two components exchanged."""

    def forward(self, values: Tensor) -> Tensor:
        """(batch, D, *grid) -> the same."""
        return torch.cat([values[:, 1:2], values[:, :1], values[:, 2:]], 1)


class GridLocked(nn.Module):
    """Every second cell along each axis louder by `strength`: an answer that knows its own grid, as strides without blur do."""

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, values: Tensor) -> Tensor:
        """(batch, channel, *grid) -> the same."""
        louder = torch.zeros(values.shape[2:], dtype=values.dtype, device=values.device)
        louder[(slice(None, None, 2),) * louder.ndim] = self.strength
        return values * (1 + louder)


class ZeroPadded(nn.Module):
    """A [1, w, 1]/(w + 2) smoothing along each axis that pads with zeros on a periodic box; w grows as the strength falls."""

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, values: Tensor) -> Tensor:
        """(batch, channel, *grid) -> the same."""
        for axis in range(2, values.ndim):
            size = values.shape[axis]
            zero = torch.zeros_like(values.narrow(axis, 0, 1))
            left = torch.cat([zero, values.narrow(axis, 0, size - 1)], axis)
            right = torch.cat([values.narrow(axis, 1, size - 1), zero], axis)
            values = (1 - self.strength) * values + self.strength / 2 * (left + right)
        return values


def sag_gain(radius: float) -> Callable[[Grid], Tensor]:
    """A gain that falls off towards high k: 1 / (1 + (k R)^2)."""
    return lambda grid: 1 / (1 + (grid.wavenumber() * radius) ** 2)


def lag_gain(cells: float) -> Callable[[Grid], Tensor]:
    """A phase that grows with k along the first axis: the answer displaced by a fraction of a cell."""

    def gain(grid: Grid) -> Tensor:
        k = grid.wavevectors(derivative=True)[0]
        return torch.exp(-1j * k * cells * grid.spacing[0]) * torch.ones(grid.half_shape)

    return gain


def planted(defect: Callable[[Grid], nn.Module], name: str) -> FieldModel:
    """The trained network of `zoo:lpt2nbody` with a defect behind it."""
    return _trained(lambda network, grid: nn.Sequential(network, defect(grid)), name)


def zero_padded_network() -> FieldModel:
    """The trained network itself with every convolution padding zeros in the place of its periodic neighbours."""

    def unwrap(network: nn.Module, grid: Grid) -> nn.Module:
        for module in network.modules():
            if isinstance(module, nn.Conv3d) and module.padding_mode == "circular":
                module.padding_mode = "zeros"
        return network

    return _trained(unwrap, "defect/zero_padding")


def _trained(change: Callable[[nn.Module, Grid], nn.Module], name: str) -> FieldModel:
    entry = entries()["lpt2nbody"]
    description = replace(read_description(entry.description), name=name)
    network = ResidualUNet(**description.factory_arguments)
    network.load_state_dict({key: value.float() for key, value in load_file(entry.weights).items()})
    digest = hashlib.sha256(entry.weights.read_bytes() + name.encode()).hexdigest()
    return FieldModel(change(network, description.grid).eval(), description, path=f"zoo:{name}", sha256=digest)


MODELS: dict[str, Callable[[], FieldModel]] = {
    "defect/zero_padding": zero_padded_network,
    "defect/anisotropic": lambda: planted(lambda grid: Anisotropic(0.2), "defect/anisotropic"),
    "defect/swapped_components": lambda: planted(lambda grid: SwappedComponents(), "defect/swapped_components"),
    "defect/grid_locked": lambda: planted(lambda grid: GridLocked(0.2), "defect/grid_locked"),
    "defect/high_k_sag": lambda: planted(lambda grid: Filter(sag_gain(2.0), grid), "defect/high_k_sag"),
    "defect/phase_lag": lambda: planted(lambda grid: Filter(lag_gain(0.25), grid), "defect/phase_lag"),
}
