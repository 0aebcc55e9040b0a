"""Models whose every answer is known in closed form: what the probes are held to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from probe.description import Description, Symmetries, Truth
from probe.fields import Quantity
from probe.grid import Grid
from probe.model import FieldModel
from probe.perturbation import divergence, second_order

PSI = Quantity("psi", "vector", "displacement", "Mpc/h", rms=3.0)


class Filter(nn.Module):
    """A linear operator H(k): each mode of each channel times a number, real or complex.

    Parameters
    ----------
    gain : callable
        (grid, wavevectors of the rfftn layout) -> H, broadcasting over the modes.
    """

    def __init__(self, gain: Callable[[Grid], Tensor], grid: Grid) -> None:
        super().__init__()
        self.grid = grid
        self.register_buffer("gain", gain(grid))

    def forward(self, values: Tensor) -> Tensor:
        """(batch, channel, *grid.shape) -> the same."""
        modes = torch.fft.rfftn(values, dim=self.grid.axes) * self.gain.to(values.dtype.to_complex())  # type: ignore[operator]
        return torch.fft.irfftn(modes, s=self.grid.shape, dim=self.grid.axes)


class SecondOrder(nn.Module):
    """2LPT: psi in, psi1 + psi2 out, on the grid or another of its spacing."""

    def __init__(self, grid: Grid, omega_m: float = 1.0) -> None:
        super().__init__()
        self.grid, self.omega_m = grid, omega_m

    def forward(self, psi: Tensor) -> Tensor:
        """(batch, D, *grid.shape) -> the same."""
        grid = self.grid.of_shape(psi.shape[2:])
        return psi + second_order(-divergence(psi, grid), grid, self.omega_m)


class LinearEncoder(nn.Module):
    """z_j = <w_j, x>/|w_j|^2 of patterns w_j, with a given spread: where x is a sum of orthogonal patterns, its coefficients.

    Parameters
    ----------
    patterns : Tensor, (latent, channel, *grid)
        A pattern that is zero gives a latent variable that is dead.
    std : sequence of float
        Of each latent variable.
    """

    def __init__(self, patterns: Tensor, std: Sequence[float]) -> None:
        super().__init__()
        rows = patterns.flatten(1)
        self.register_buffer("rows", rows / rows.square().sum(1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny))
        self.register_buffer("log_variance", 2 * torch.tensor(std, dtype=torch.float64).log())

    def forward(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, channel, *grid) -> mean and log-variance, (batch, latent) each."""
        mean = values.flatten(1) @ self.rows.to(values).T  # type: ignore[operator]
        return mean, self.log_variance.to(values).expand_as(mean)  # type: ignore[operator]


class LinearDecoder(nn.Module):
    """sum_j z_j w_j of patterns w_j, (latent, channel, *grid)."""

    def __init__(self, patterns: Tensor) -> None:
        super().__init__()
        self.register_buffer("patterns", patterns)

    def forward(self, latents: Tensor) -> Tensor:
        """(batch, latent) -> (batch, channel, *grid)."""
        return torch.tensordot(latents, self.patterns.to(latents), 1)  # type: ignore[operator]


class Bottleneck(nn.Module):
    """An encoder and a decoder: the answer is that of the latent variables' means."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, values: Tensor) -> Tensor:
        """(batch, channel, *grid) -> the same."""
        answer: Tensor = self.decoder(self.encoder(values)[0])
        return answer


def gaussian_gain(radius: float) -> Callable[[Grid], Tensor]:
    """H(k) = exp(-k^2 R^2 / 2), R in the grid's unit."""
    return lambda grid: torch.exp(-0.5 * (grid.wavenumber() * radius) ** 2)


def displacement_model(network: nn.Module, grid: Grid, name: str) -> FieldModel:
    """A network on displacements under gravity, in float64, that declares the symmetries of empty space."""
    axes = ("x", "y", "z")[: grid.dimension]
    description = Description(
        grid, (PSI,), (PSI,), name=name, truth=Truth("gravity"), symmetries=Symmetries(axes, "full", True, declared=True)
    )
    # What an oracle does follows from its name.
    return FieldModel(network.double(), description, dtype=torch.float64, sha256=hashlib.sha256(name.encode()).hexdigest())


def scalar_model(network: nn.Module, grid: Grid, name: str) -> FieldModel:
    """The same on one scalar without a law."""
    plain = Quantity("field", "scalar", rms=1.0)
    described = displacement_model(network, grid, name).description
    description = replace(described, inputs=(plain,), outputs=(plain,), truth=Truth())
    return FieldModel(network, description, dtype=torch.float64, sha256=hashlib.sha256(f"scalar {name}".encode()).hexdigest())


GRID = Grid.cubic(16, 64.0, unit="Mpc/h")
MODELS: dict[str, Callable[[], FieldModel]] = {
    "oracle/identity": lambda: displacement_model(nn.Identity(), GRID, "oracle/identity"),
    "oracle/gaussian_filter": lambda: displacement_model(Filter(gaussian_gain(4.0), GRID), GRID, "oracle/gaussian_filter"),
    "oracle/lpt2": lambda: displacement_model(SecondOrder(GRID), GRID, "oracle/lpt2"),
}
