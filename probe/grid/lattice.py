"""The lattice itself: points, sides, modes and their wavevectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from probe.grid.shells import Shells, shells_of


@dataclass(frozen=True)
class Grid:
    """A regular lattice.

    Parameters
    ----------
    shape : tuple of int
        Points along each axis; its length is the dimension D.
    box : tuple of float
        Side lengths, in `unit`.
    unit : str
        Unit of length; "cell" where nothing is known.
    boundary : {"periodic", "zero", "reflect", "none"}
        What lies beyond the box.
    """

    shape: tuple[int, ...]
    box: tuple[float, ...]
    unit: str = "cell"
    boundary: str = "periodic"

    def __post_init__(self) -> None:
        if len(self.shape) != len(self.box):
            raise ValueError(f"a grid of {len(self.shape)} axes has a box of {len(self.box)} sides; give one side an axis")
        if min(self.shape) < 2 or min(self.box) <= 0:
            raise ValueError(f"a grid needs two points an axis and positive sides; found shape {self.shape}, box {self.box}")

    @classmethod
    def cubic(cls, points: int, box: float, dimension: int = 3, unit: str = "cell", boundary: str = "periodic") -> Grid:
        """A grid with the same number of points and the same side along every axis."""
        return cls((points,) * dimension, (float(box),) * dimension, unit, boundary)

    @property
    def dimension(self) -> int:
        """Number of axes D."""
        return len(self.shape)

    @property
    def axes(self) -> tuple[int, ...]:
        """The grid axes of a tensor whose last D axes lie on this grid."""
        return tuple(range(-self.dimension, 0))

    @property
    def size(self) -> int:
        """Number of points."""
        return math.prod(self.shape)

    @property
    def volume(self) -> float:
        """Volume of the box, in unit^D."""
        return math.prod(self.box)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Distance h between points along each axis, in `unit`."""
        return tuple(side / points for side, points in zip(self.box, self.shape, strict=True))

    def of_shape(self, shape: Sequence[int]) -> Grid:
        """The same lattice with another number of points: the spacing stays, the box follows."""
        if tuple(shape) == self.shape:
            return self
        return replace(self, shape=tuple(shape), box=tuple(h * n for h, n in zip(self.spacing, shape, strict=True)))

    @property
    def inverse_unit(self) -> str:
        """Unit of wavenumbers: h/Mpc for Mpc/h."""
        above, slash, below = self.unit.partition("/")
        return f"{below}/{above}" if slash and "/" not in below else f"1/{self.unit}"

    @property
    def fundamental(self) -> float:
        """k_F = 2 pi / max L, in 1/unit."""
        return 2 * math.pi / max(self.box)

    @property
    def nyquist(self) -> float:
        """k_Ny = min pi / h, in 1/unit: the largest |k| that every direction resolves."""
        return math.pi / max(self.spacing)

    @property
    def half_shape(self) -> tuple[int, ...]:
        """Shape of the field's rfftn."""
        return (*self.shape[:-1], self.shape[-1] // 2 + 1)

    def wavevector_of(self, mode: tuple[int, ...]) -> tuple[float, ...]:
        """k = 2 pi n / L of an integer mode n, in 1/unit."""
        return tuple(2 * math.pi * n / side for n, side in zip(mode, self.box, strict=True))

    def wavenumber_of(self, mode: tuple[int, ...]) -> float:
        """|k| of an integer mode n, in 1/unit."""
        return math.hypot(*self.wavevector_of(mode))

    def direction_of(self, mode: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
        """khat of an integer mode n: (D,), float64."""
        wavevector = torch.tensor(self.wavevector_of(tuple(mode)), dtype=torch.float64, device=device)
        return wavevector / wavevector.norm()

    def positions(self, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
        """Coordinates of the points along each axis, in `unit`, shaped to broadcast over the grid."""
        return tuple(
            _along(torch.arange(points, device=device, dtype=dtype) * h, axis, self.dimension)
            for axis, (points, h) in enumerate(zip(self.shape, self.spacing, strict=True))
        )

    def modes(self, device: torch.device | str = "cpu") -> tuple[Tensor, ...]:
        """Integer modes n of the rfftn layout along each axis, shaped to broadcast (int64)."""
        return _modes(self.shape, torch.device(device))

    def wavevectors(
        self, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float64, derivative: bool = False
    ) -> tuple[Tensor, ...]:
        """k = 2 pi n / L along each axis of the rfftn layout, shaped to broadcast, in 1/unit.

        With `derivative` the Nyquist mode of even axes is zero: i k there has no sign, and a real field no derivative.
        """
        return _wavevectors(self, torch.device(device), dtype, derivative)

    def wavenumber(self, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float64) -> Tensor:
        """|k| of every mode of the rfftn layout, in 1/unit."""
        return _wavenumber(self, torch.device(device), dtype)

    def hermitian_weight(self, device: torch.device | str = "cpu") -> Tensor:
        """How many modes of the full transform each entry of the last rfft axis stands for: 1 at n = 0 and Nyquist, else 2."""
        n = torch.arange(self.half_shape[-1], device=device)
        return torch.where(2 * n % self.shape[-1] == 0, 1.0, 2.0).to(torch.float64)

    def shells(self, device: torch.device | str = "cpu") -> Shells:
        """The default shells: centred on multiples of k_F, width k_F, up to k_Ny inclusive, without k = 0."""
        return shells_of(self, torch.device(device))


def _along(values: Tensor, axis: int, dimension: int) -> Tensor:
    return values.reshape([-1 if a == axis else 1 for a in range(dimension)])


@lru_cache(maxsize=16)
def _modes(shape: tuple[int, ...], device: torch.device) -> tuple[Tensor, ...]:
    full = [torch.fft.fftfreq(n, 1 / n, device=device).round().long() for n in shape[:-1]]
    half = torch.arange(shape[-1] // 2 + 1, device=device)
    return tuple(_along(n, axis, len(shape)) for axis, n in enumerate([*full, half]))


@lru_cache(maxsize=16)
def _wavevectors(grid: Grid, device: torch.device, dtype: torch.dtype, derivative: bool) -> tuple[Tensor, ...]:
    result = []
    for n, points, side in zip(grid.modes(device), grid.shape, grid.box, strict=True):
        k = n.to(torch.float64) * (2 * math.pi / side)
        if derivative:
            k = torch.where(2 * n.abs() == points, torch.zeros_like(k), k)
        result.append(k.to(dtype))
    return tuple(result)


@lru_cache(maxsize=8)
def _wavenumber(grid: Grid, device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.sqrt(sum((k * k for k in grid.wavevectors(device, torch.float64)), torch.zeros((), device=device))).to(dtype)
