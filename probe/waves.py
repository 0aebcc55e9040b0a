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
    the quantity's own, sqrt(2) rms being the level 1.
    """
    if quantity.quantity == "displacement":
        return level / grid.wavenumber_of(tuple(mode))
    return level * math.sqrt(2) * typical_size(quantity, grid)


def level_means(quantity: Quantity) -> str:
    """What the levels of `physical_amplitude` are, in words."""
    return "a = A|k|" if quantity.quantity == "displacement" else "amplitude / (sqrt(2) rms)"


def typical_size(quantity: Quantity, grid: Grid) -> float:
    """The rms of a quantity; where it is not known that of its `scale` over its channels, which is 1 where nothing is known."""
    if quantity.rms is not None:
        return quantity.rms
    scale = quantity.constants(grid)[1]
    return math.sqrt(sum(s * s for s in scale) / len(scale))


def default_mode(grid: Grid) -> int:
    """n = N/6 of the shortest axis, moved off the values whose low harmonics fold back onto the wave."""
    points, margin = min(grid.shape), margin_of(grid)
    wanted = max(1 + margin, round(points / 6))
    clear = [n for n in range(1, (points - 1) // 2 + 1) if is_clear(n, points, margin)]
    return min(clear or [wanted], key=lambda n: (abs(n - wanted), n))


def default_modes(grid: Grid) -> tuple[tuple[int, ...], ...]:
    """Waves along the first axis from the longest to short ones, and an oblique one whose components share a factor with N.

    The first is the default mode.
    """
    middle, points = default_mode(grid), grid.shape[0]
    wanted = {1, 2, 3, middle, round(1.4 * middle), round(2.2 * middle)}
    along = sorted(n for n in wanted if 2 * n < points and is_clear(n, points, margin_of(grid))) or [middle]
    ordered = [*(n for n in along if n == middle), *(n for n in along if n != middle)]
    oblique = [(4, 6, 0)[: grid.dimension]] if grid.dimension > 1 and min(grid.shape) > 12 else []
    return (*[(n, *(0,) * (grid.dimension - 1)) for n in ordered], *oblique)


def is_clear(n: int, points: int, margin: int = 0) -> bool:
    """Whether the mean and the harmonics up to the fourth stay more than `margin` modes away from the wave, modulo N."""
    # A harmonic m n lies at (m - 1) n from n, and at (m + 1) n from -n.
    return all(min(d * n % points, -d * n % points) > margin for d in range(1, 6))


def margin_of(grid: Grid) -> int:
    """How many modes away from its own a wave is seen: 0 in a periodic box, 1 through the window of `spectra.window`."""
    return 0 if grid.boundary == "periodic" else 1


def whole_cell_phases(mode: Sequence[int], grid: Grid, count: int) -> tuple[float, ...]:
    """Starting phases of a wave moved by 0, 1, ... whole cells along the first axis that it runs on."""
    axis = next(i for i, n in enumerate(mode) if n)
    return tuple(-2 * math.pi * mode[axis] * cells / grid.shape[axis] for cells in range(count))


def at_rest(quantity: Quantity, grid: Grid) -> Tensor:
    """Each channel of a quantity at its shift, at every point: (1, width, *grid.shape), float64."""
    shift = torch.tensor(quantity.constants(grid)[0], dtype=torch.float64)
    return shift.reshape(1, -1, *[1] * grid.dimension).expand(1, -1, *grid.shape)


def inject(waves: Sequence[PlaneWave], index: int, quantities: tuple[Quantity, ...], grid: Grid) -> Field:
    """A batch of fields at rest (each quantity at its `shift`) but for one wave each in the quantity `index`."""
    rest = [at_rest(quantity, grid) for quantity in quantities]
    batch = []
    for wave in waves:
        parts = list(rest)
        parts[index] = parts[index] + plane_wave(wave, quantities[index], grid)
        batch.append(torch.cat(parts, 1))
    return Field(torch.cat(batch), grid, quantities)
