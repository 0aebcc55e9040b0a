"""The lattice a field lives on: its shape, its box, its wavevectors, its shells.

Conventions (all of `probe` keeps to them): a grid of N points a side h = L/N carries the modes k = 2 pi n / L with integer
n; rfft is used, so the last axis holds only n >= 0 and every interior mode there stands for k and -k.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor


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
        return _shells(self, torch.device(device))


# Sums over shells. The shell of a mode and its weight w in the half transform depend on |n_1|, ..., |n_D| alone. So for any
# values v of the half transform, whatever their own symmetry,
#     sum_{n in shell} w(n_D) v(n) = sum_{n in shell, all n_i >= 0} w(n_D) V(n),  V(n) = sum over the signs of v(+-n_1, ..., n_D),
# where the modes 0 and Nyquist of an axis, their own opposites, enter V once. To fold an axis is to add one half of the array to
# the other, row by row, at the speed of memory. In three dimensions two folds leave an octant, a quarter of the half transform,
# and only that is made float64 and scattered into shells. The weight, the same for all that is folded, waits to the very end:
#
# Neighbours along the last axis mostly lie in one shell, and an addition to a number waits for the addition before it. So each
# shell is summed in lanes, by n_D modulo 4, in half the time. The own opposites n_D = 0 and Nyquist have a lane of their own, the
# first: then the weight is 1 for that lane and 2 for the others, and no mode is ever multiplied by it.
LANES = 5


@dataclass(frozen=True)
class Shells:
    """Shells in |k|.

    Attributes
    ----------
    bins : Tensor, int64
        lane (count + 1) + shell of every mode of the octant n_i >= 0, flattened; modes in no shell have `count` for a shell.
    modes : Tensor, (count,)
        Modes in each shell, k and -k both counted (the first shell of a cube holds 18).
    wavenumber : Tensor, (count,)
        Mean |k| of each shell's modes, in 1/unit.
    """

    bins: Tensor
    modes: Tensor
    wavenumber: Tensor

    @property
    def count(self) -> int:
        """Number of shells."""
        return len(self.modes)

    def sum(self, values: Tensor, grid: Grid) -> Tensor:
        """Sum over the full set of modes of each shell.

        Parameters
        ----------
        values : Tensor, (..., *half_shape)
            Real, even under k -> -k.

        Returns
        -------
        Tensor, (..., count), float64
        """
        folded = values.to(torch.float64, copy=True)
        for axis in grid.axes[:-1]:
            folded = fold(folded, axis)
        return self.sum_folded([folded], grid)

    def sum_folded(self, slabs: Iterable[Tensor], grid: Grid) -> Tensor:
        """The same of values that are folded along every axis but the last, in consecutive slabs of the octant's first axis.

        Parameters
        ----------
        slabs : iterable of Tensor, (..., rows, *rest of the octant)

        Returns
        -------
        Tensor, (..., count), float64
        """
        done, lanes = 0, torch.zeros((), dtype=torch.float64, device=self.bins.device)
        for slab in slabs:
            values = slab.flatten(-grid.dimension).double()
            bins = self.bins[done : done + values.shape[-1]]
            lanes = lanes.expand(*values.shape[:-1], LANES * (self.count + 1)).scatter_add(-1, bins.expand_as(values), values)
            done += len(bins)
        parts = lanes.unflatten(-1, (LANES, self.count + 1))[..., :-1]
        return parts[..., 0, :] + 2 * parts[..., 1:, :].sum(-2)

    def spread(self, per_shell: Tensor, grid: Grid) -> Tensor:
        """The value of each mode's shell, 0 outside all shells: (..., count) -> (..., *half_shape)."""
        padded = torch.cat([per_shell, torch.zeros_like(per_shell[..., :1])], -1)
        octant = torch.cat([padded] * LANES, -1)[..., self.bins]
        values = octant.unflatten(-1, [points // 2 + 1 for points in grid.shape])
        for axis, n in zip(grid.axes[:-1], grid.modes(per_shell.device), strict=False):
            values = values.index_select(axis, n.abs().flatten())
        return values


def fold(values: Tensor, axis: int) -> Tensor:
    """Add the mode -n of an axis to the mode n, in place, and return the part with n >= 0 (0 and Nyquist stay as they are)."""
    points = values.shape[axis]
    pairs = (points - 1) // 2
    values.narrow(axis, 1, pairs).add_(values.narrow(axis, points // 2 + 1, pairs).flip(axis))
    return values.narrow(axis, 0, points // 2 + 1)


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


@lru_cache(maxsize=8)
def _shells(grid: Grid, device: torch.device) -> Shells:
    octant = [_along(torch.arange(points // 2 + 1, device=device), a, grid.dimension) for a, points in enumerate(grid.shape)]
    squares = [(n.to(torch.float64) * (2 * math.pi / side)) ** 2 for n, side in zip(octant, grid.box, strict=True)]
    wavenumber = torch.sqrt(sum(squares, torch.zeros((), dtype=torch.float64, device=device)))
    # One part in 10^9 keeps lattice modes that lie on k_Ny, or on an edge, from being moved by rounding.
    shell = torch.floor(wavenumber / grid.fundamental + 0.5 + 1e-9).long()
    inside = (shell >= 1) & (wavenumber <= grid.nyquist * (1 + 1e-9))
    # The last shell is the last that holds a mode: on an odd grid none lies between the last multiple of k_F and k_Ny.
    count = int(shell[inside].max())
    lane = torch.where(2 * octant[-1] % grid.shape[-1] == 0, 0, 1 + octant[-1] % (LANES - 1))
    bins = (lane * (count + 1) + torch.where(inside, shell - 1, count)).flatten()
    bare = Shells(bins, torch.zeros(count, device=device), torch.zeros(count, device=device))
    ones = torch.ones_like(wavenumber)
    for n, points in zip(octant[:-1], grid.shape, strict=False):
        ones = ones * torch.where(2 * n % points == 0, 1.0, 2.0)
    modes = bare.sum_folded([ones], grid)
    return Shells(bins, modes, bare.sum_folded([ones * wavenumber], grid) / modes.clamp_min(1))
