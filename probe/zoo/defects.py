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
from probe.zoo.gravity_defects import InUnits, Miscoupled, Saturating
from probe.zoo.oracles import Filter


class Anisotropic(nn.Module):
    """The first component stretched by 1 + strength: an anisotropic kernel."""

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, values: Tensor) -> Tensor:
        """(batch, D, *grid) -> the same."""
        return torch.cat([(1 + self.strength) * values[:, :1], values[:, 1:]], 1)


class AnisotropicKernel(nn.Module):
    """A share of each value taken from its two neighbours along the first axis and from no others."""

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, values: Tensor) -> Tensor:
        """(batch, channel, *grid) -> the same."""
        axis = 2 - values.ndim
        beside = (torch.roll(values, 1, axis) + torch.roll(values, -1, axis)) / 2
        return (1 - self.strength) * values + self.strength * beside


class SwappedComponents(nn.Module):
    """The first two components exchanged, by a share of each."""

    def __init__(self, strength: float = 1.0) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, values: Tensor) -> Tensor:
        """(batch, D, *grid) -> the same."""
        swapped = torch.cat([values[:, 1:2], values[:, :1], values[:, 2:]], 1)
        return (1 - self.strength) * values + self.strength * swapped


class FlippedSign(nn.Module):
    """The first channel times 1 - 2 strength: at full strength of the wrong sign, as a sign flipped in training data makes it."""

    def __init__(self, strength: float = 1.0) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, values: Tensor) -> Tensor:
        """(batch, channel, *grid) -> the same."""
        return torch.cat([(1 - 2 * self.strength) * values[:, :1], values[:, 1:]], 1)


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


class Bias(nn.Module):
    """A constant added to every channel."""

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, values: Tensor) -> Tensor:
        """(batch, channel, *grid) -> the same."""
        return values + self.strength


class MeanDrift(nn.Module):
    """A mean that drifts: every channel raised by a fraction of the field's own rms, so that nothing in still gives nothing out."""

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, values: Tensor) -> Tensor:
        """(batch, channel, *grid) -> the same."""
        return values + self.strength * _rms(values)


class Checkerboard(nn.Module):
    """Mixes in the field coarsened by two and brought back by a transposed convolution of kernel 3 and stride 2, weights all equal.

    Of three taps at stride two even cells get two and odd cells one: along each axis a constant comes back times 1 +- 1/3.
    """

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, values: Tensor) -> Tensor:
        """(batch, channel, *grid) -> the same, of even sides."""
        dimension, channels = values.ndim - 2, values.shape[1]
        coarsen = (nn.functional.conv1d, nn.functional.conv2d, nn.functional.conv3d)[dimension - 1]
        mean = values.new_full((channels, 1, *[2] * dimension), 0.5**dimension)
        raised = torch.zeros_like(values)
        raised[(slice(None),) * 2 + (slice(None, None, 2),) * dimension] = coarsen(values, mean, stride=2, groups=channels)
        for axis in range(2, values.ndim):
            raised = (raised + raised.roll(1, axis) + raised.roll(2, axis)) / 1.5
        return (1 - self.strength) * values + self.strength * raised


class StrideAliased(nn.Module):
    """Mixes in the field taken through a convolution of stride two and back, both kernels without a fault of their own.

    Down with [1, 2, 1]/4, which leaves half of what two cells cannot hold, back up with [1, 2, 1]/2, which is interpolation along
    lines: a constant stays one and grid points are centres of symmetry, but what was not smoothed away comes back as another wave.
    """

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, values: Tensor) -> Tensor:
        """(batch, channel, *grid) -> the same, of even sides."""
        dimension, channels = values.ndim - 2, values.shape[1]
        convolve = (nn.functional.conv1d, nn.functional.conv2d, nn.functional.conv3d)[dimension - 1]
        kernel = line = values.new_tensor([0.25, 0.5, 0.25])
        for _ in range(dimension - 1):
            kernel = kernel[..., None] * line
        kernel = kernel.expand(channels, 1, *kernel.shape)
        periodic = nn.functional.pad(values, (1, 0) * dimension, mode="circular")
        raised = torch.zeros_like(values)
        raised[(slice(None),) * 2 + (slice(None, None, 2),) * dimension] = convolve(periodic, kernel, stride=2, groups=channels)
        # A transposed convolution is a convolution of the field with zeros between its points.
        wide = nn.functional.pad(raised, (1, 1) * dimension, mode="circular")
        back = convolve(wide, kernel * 2**dimension, groups=channels)
        return (1 - self.strength) * values + self.strength * back


class NotANumber(nn.Module):
    """NaN wherever the answer lies farther from zero than a limit that few fields reach: a root of the wrong sign."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self.limit = limit

    def forward(self, values: Tensor) -> Tensor:
        """(batch, channel, *grid) -> the same."""
        return torch.where(values.abs() > self.limit, torch.nan, values)


class DropoutLeftOn(nn.Module):
    """Dropout that does not hear of eval mode."""

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, values: Tensor) -> Tensor:
        """(batch, channel, *grid) -> the same."""
        return nn.functional.dropout(values, self.strength, training=True)


class BatchStatistics(nn.Module):
    """Each sample scaled by its rms over that of its batch, to a power: nothing happens to a sample that is asked alone."""

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, values: Tensor) -> Tensor:
        """(batch, channel, *grid) -> the same."""
        own = _rms(values)
        return values * (own / own.square().mean().sqrt().clamp_min(1e-30)) ** self.strength


class GlobalNormalisation(nn.Module):
    """The field over its rms in the whole box, to a power: 1 is instance normalisation without its mean."""

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, values: Tensor) -> Tensor:
        """(batch, channel, *grid) -> the same."""
        return values / _rms(values).clamp_min(1e-30) ** self.strength


class Stateful(nn.Module):
    """A fraction of the input of the call before, where it had the same shape, added to the answer."""

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength, self.before = strength, torch.zeros(())

    def forward(self, values: Tensor) -> Tensor:
        """(batch, channel, *grid) -> the same."""
        before, self.before = self.before, values.clone()
        return values + self.strength * before if before.shape == values.shape else values


def _rms(values: Tensor) -> Tensor:
    """Of each sample, over channels and points, shaped to broadcast."""
    return values.square().flatten(1).mean(1).sqrt().reshape(-1, *[1] * (values.ndim - 1))


class AbsolutePosition(nn.Module):
    """An answer that knows where it is: louder along the first axis, from 1 - strength at one end to 1 + strength at the other."""

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, values: Tensor) -> Tensor:
        """(batch, channel, *grid) -> the same."""
        ramp = torch.linspace(-1, 1, values.shape[2], dtype=values.dtype, device=values.device)
        return values * (1 + self.strength * ramp.reshape(-1, *[1] * (values.ndim - 3)))


class Handed(nn.Module):
    """A filter that tells left from right, by `strength`: z x v is added to a field in the plane, in space its curl, else a slope.

    Differences are central, in cells; the slope of anything that is not one vector is that along the first axis.
    """

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, values: Tensor) -> Tensor:
        """(batch, channel, *grid) -> the same."""
        dimension = values.ndim - 2
        if values.shape[1] != dimension or dimension == 1:
            return values + self.strength * _slope(values, -dimension)
        if dimension == 2:
            return values + self.strength * torch.stack([-values[:, 1], values[:, 0]], 1)
        turns = ((1, 2), (2, 0), (0, 1))
        curl = [_slope(values[:, second], first - 3) - _slope(values[:, first], second - 3) for first, second in turns]
        return values + self.strength * torch.stack(curl, 1)


def _slope(values: Tensor, axis: int) -> Tensor:
    return (torch.roll(values, -1, axis) - torch.roll(values, 1, axis)) / 2


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


SCALE = 3.0  # Mpc/h, what the trained network's outputs are multiplied with
MODELS: dict[str, Callable[[], FieldModel]] = {
    "defect/zero_padding": zero_padded_network,
    "defect/absolute_position": lambda: planted(lambda grid: AbsolutePosition(0.3), "defect/absolute_position"),
    "defect/anisotropic": lambda: planted(lambda grid: Anisotropic(0.2), "defect/anisotropic"),
    "defect/swapped_components": lambda: planted(lambda grid: SwappedComponents(), "defect/swapped_components"),
    "defect/grid_locked": lambda: planted(lambda grid: GridLocked(0.2), "defect/grid_locked"),
    "defect/handed": lambda: planted(lambda grid: Handed(1.0), "defect/handed"),
    "defect/high_k_sag": lambda: planted(lambda grid: Filter(sag_gain(2.0), grid), "defect/high_k_sag"),
    "defect/bias": lambda: planted(lambda grid: Bias(0.2), "defect/bias"),
    "defect/checkerboard": lambda: planted(lambda grid: Checkerboard(0.2), "defect/checkerboard"),
    "defect/stride_aliased": lambda: planted(lambda grid: StrideAliased(0.3), "defect/stride_aliased"),
    "defect/flipped_sign": lambda: planted(lambda grid: FlippedSign(), "defect/flipped_sign"),
    "defect/not_a_number": lambda: planted(lambda grid: NotANumber(7.0), "defect/not_a_number"),
    "defect/mean_drift": lambda: planted(lambda grid: MeanDrift(0.05), "defect/mean_drift"),
    "defect/dropout": lambda: planted(lambda grid: DropoutLeftOn(0.05), "defect/dropout"),
    "defect/batch_statistics": lambda: planted(lambda grid: BatchStatistics(0.5), "defect/batch_statistics"),
    "defect/global_normalisation": lambda: planted(lambda grid: GlobalNormalisation(0.5), "defect/global_normalisation"),
    "defect/state": lambda: planted(lambda grid: Stateful(0.05), "defect/state"),
    "defect/linear_only": lambda: planted(lambda grid: InUnits(Miscoupled(grid, across=-1.0), SCALE), "defect/linear_only"),
    "defect/wrong_coupling": lambda: planted(lambda grid: InUnits(Miscoupled(grid, across=-2.0), SCALE), "defect/wrong_coupling"),
    "defect/blind_coupling": lambda: planted(lambda grid: InUnits(Miscoupled(grid, along=1.0), SCALE), "defect/blind_coupling"),
    "defect/saturation": lambda: planted(lambda grid: InUnits(Saturating(6.0), SCALE), "defect/saturation"),
    "defect/phase_lag": lambda: planted(lambda grid: Filter(lag_gain(0.25), grid), "defect/phase_lag"),
}
