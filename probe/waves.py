"""Inputs made to be asked with: plane waves and Gaussian random fields.

A plane wave of a displacement is psi(x) = A khat cos(k.x + phi), whose overdensity -div psi = A |k| sin(k.x + phi) has the
amplitude a = A |k|; shell crossing is at a = 1. A plane wave of a scalar is A cos(k.x + phi).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from probe.fields import Field, Quantity
from probe.grid import Grid


@dataclass(frozen=True)
class PlaneWave:
    """A plane wave on the lattice of a box.

    Parameters
    ----------
    mode : tuple of int
        n, where k = 2 pi n / L; strictly below Nyquist along every axis.
    amplitude : float
        A, in the unit of the quantity.
    phase : float
        phi, in radians.
    """

    mode: tuple[int, ...]
    amplitude: float
    phase: float = 0.0


def label(mode: Sequence[int]) -> str:
    """A mode as it is written: '(5,0,0)'."""
    return f"({','.join(map(str, mode))})"


def mode_of(label: str) -> tuple[int, ...]:
    """The mode that a label stands for."""
    return tuple(int(n) for n in label.strip("()").split(","))


def nearest_mode(wavevector: Sequence[float], grid: Grid) -> tuple[int, ...]:
    """The lattice mode n nearest to a wavevector given in 1/unit.

    Raises
    ------
    ValueError
        If that mode is zero, or not strictly below Nyquist along every axis.
    """
    mode = tuple(round(k * side / (2 * math.pi)) for k, side in zip(wavevector, grid.box, strict=True))
    check_mode(mode, grid)
    return mode


def check_mode(mode: Sequence[int], grid: Grid) -> None:
    """Refuse a mode that the grid cannot carry as a plane wave."""
    if len(mode) != grid.dimension:
        raise ValueError(f"mode {tuple(mode)} has {len(mode)} components; this grid has {grid.dimension} axes")
    if not any(mode):
        raise ValueError("the mode 0 is no wave; give at least one component that is not 0")
    if any(2 * abs(n) >= points for n, points in zip(mode, grid.shape, strict=True)):
        limit = tuple((points - 1) // 2 for points in grid.shape)
        raise ValueError(f"mode {tuple(mode)} is not below Nyquist on a grid of {grid.shape}; give components of at most {limit}")


def phase_of(mode: Sequence[int], grid: Grid, device: torch.device | str = "cpu") -> Tensor:
    """k.x in radians at every grid point, to rounding whatever the mode (n.j is reduced modulo N in integers)."""
    total = torch.zeros(grid.shape, dtype=torch.float64, device=device)
    for axis, (n, points) in enumerate(zip(mode, grid.shape, strict=True)):
        turn = (n * torch.arange(points, device=device)) % points
        total = total + (turn.double() * (2 * math.pi / points)).reshape([-1 if a == axis else 1 for a in range(grid.dimension)])
    return total


def plane_wave(wave: PlaneWave, quantity: Quantity, grid: Grid, device: torch.device | str = "cpu") -> Tensor:
    """A plane wave of one quantity: longitudinal for a vector, plain for a scalar.

    Returns
    -------
    Tensor, (width, *grid.shape), float64
    """
    check_mode(wave.mode, grid)
    carrier = wave.amplitude * torch.cos(phase_of(wave.mode, grid, device) + wave.phase)
    if not quantity.is_vector:
        return carrier[None]
    return grid.direction_of(wave.mode, device).reshape(-1, *[1] * grid.dimension) * carrier


def gaussian_field(grid: Grid, power: Callable[[Tensor], Tensor], generator: torch.Generator, batch: int = 1) -> Tensor:
    """Gaussian random scalar fields with a given power spectrum; modes at Nyquist and at k = 0 are zero.

    Parameters
    ----------
    power : callable
        P(k) in unit^D, for |k| in 1/unit (never called at 0).

    Returns
    -------
    Tensor, (batch, *grid.shape), float64
    """
    device = generator.device
    white = torch.randn(batch, *grid.shape, generator=generator, dtype=torch.float64, device=device)
    wavenumber = grid.wavenumber(device).clone()
    wavenumber[(0,) * grid.dimension] = grid.fundamental
    # <|f(k)|^2>/V = P with f(k) = h^D sum f, and <|sum white|^2> = N: the amplitude is sqrt(P N / V) of the plain transform.
    amplitude = torch.sqrt(power(wavenumber) * grid.size / grid.volume)
    return torch.fft.irfftn(
        torch.fft.rfftn(white, dim=grid.axes) * amplitude * below_nyquist(grid, device), s=grid.shape, dim=grid.axes
    )


def below_nyquist(grid: Grid, device: torch.device | str = "cpu") -> Tensor:
    """True for the modes of the rfftn layout that are strictly below Nyquist along every axis, and not k = 0."""
    keep = torch.ones(grid.half_shape, dtype=torch.bool, device=device)
    for n, points in zip(grid.modes(device), grid.shape, strict=True):
        keep = keep & (2 * n.abs() < points)
    keep[(0,) * grid.dimension] = False
    return keep


def physical_amplitude(level: float, mode: Sequence[int], quantity: Quantity, grid: Grid) -> float:
    """A of a plane wave at a level of the ladder.

    The level of a displacement is the overdensity's amplitude a = A |k|; of anything else the wave's root mean square over
    the quantity's own, sqrt(2) rms being the level 1 (1.0 stands in for an rms that nothing is known of).
    """
    if quantity.quantity == "displacement":
        return level / grid.wavenumber_of(tuple(mode))
    return level * math.sqrt(2) * (1.0 if quantity.rms is None else quantity.rms)


def default_mode(grid: Grid) -> int:
    """n = N/6 of the shortest axis, moved off the values whose low harmonics fold back onto the wave."""
    points = min(grid.shape)
    wanted = max(1, round(points / 6))
    clear = [n for n in range(1, (points - 1) // 2 + 1) if is_clear(n, points)]
    return min(clear or [wanted], key=lambda n: (abs(n - wanted), n))


def is_clear(n: int, points: int) -> bool:
    """Whether no harmonic from the second to the fourth folds back onto the wave itself: (m +- 1) n never vanishes modulo N."""
    return all((m + side) * n % points for m in (2, 3, 4) for side in (1, -1))


def inject(waves: Sequence[PlaneWave], index: int, quantities: tuple[Quantity, ...], grid: Grid) -> Field:
    """A batch of fields at rest (each quantity at its `shift`) but for one wave each in the quantity `index`."""
    rest = [torch.full((1, q.width(grid), *grid.shape), q.shift, dtype=torch.float64) for q in quantities]
    batch = []
    for wave in waves:
        parts = list(rest)
        parts[index] = parts[index] + plane_wave(wave, quantities[index], grid)
        batch.append(torch.cat(parts, 1))
    return Field(torch.cat(batch), grid, quantities)
