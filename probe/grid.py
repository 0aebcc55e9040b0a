"""The lattice a field lives on: its shape, its box, its wavevectors, its shells.

Conventions (all of `probe` keeps to them): a grid of N points a side h = L/N carries the modes k = 2 pi n / L with integer
n; rfft is used, so the last axis holds only n >= 0 and every interior mode there stands for k and -k.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from probe.bags import sum_of_bags


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


# Sums over shells. The shell of a mode depends on |k|, its weight w in the half transform on n_D alone. A row of the half transform
# holds all n_D at one (n_1, ..., n_{D-1}), and rows of equal q^2 = k_1^2 + ... + k_{D-1}^2 fall into shells alike. So for any
# values v of the half transform, whatever their own symmetry,
#     sum_{n in shell} w(n_D) v(n) = sum_{(q, n_D) in shell} w(n_D) V(q, n_D),  V(q, n_D) = sum of v(n) over the rows of this q.
# To fold is to add rows to each other, whole and at the speed of memory (`probe.bags`). On a cube one q has the rows of +-n_1 and
# +-n_2, of the two exchanged, and at times of others: at 128^3 a fourteenth of the half transform remains, in two dimensions a
# half, rows beyond k_Ny are not even read, and only what remains is made float64 and scattered into shells: part by part, so that
# no array comes near the size of the transform. The weight, the same for all that is folded, waits to the very end:
#
# Neighbours along the last axis mostly lie in one shell, and an addition to a number waits for the addition before it. So each
# shell is summed in lanes, by n_D modulo 4, in half the time. The own opposites n_D = 0 and Nyquist have a lane of their own, the
# first: then the weight is 1 for that lane and 2 for the others, and no mode is ever multiplied by it.
LANES = 5
PARTS = 4  # into which as many rows as the transform has are cut


@dataclass(frozen=True)
class Part:
    """Some rows of half transforms that stand one below the other, in groups: those of one field and one q.

    Attributes
    ----------
    groups : slice
        Which q, of those numbered in `Shells`.
    rows : Tensor, (fields * rows,), int64
        Place of each among all rows of all fields.
    starts : Tensor, (fields * groups,), int64
        Where in `rows` each group begins.
    bins : Tensor, (fields, groups * columns), int64
        lane (count + 1) + shell of every mode of each group; modes in no shell have `count` for a shell.
    """

    groups: slice
    rows: Tensor
    starts: Tensor
    bins: Tensor

    def fold(self, values: Tensor) -> Tensor:
        """Sum of each group's rows among all: (fields * all rows, m) -> (fields * groups, m)."""
        return sum_of_bags(values, self.rows, self.starts)

    def fold_own(self, values: Tensor) -> Tensor:
        """The same where only this part's rows are given, in its order: (fields * rows, m) -> (fields * groups, m)."""
        return sum_of_bags(values, torch.arange(len(values), device=values.device), self.starts)


@dataclass(frozen=True, eq=False)
class Shells:
    """Shells in |k|.

    Attributes
    ----------
    group : Tensor, (rows,), int64
        Number of the q of each row of the half transform; rows that reach no shell have the last.
    sizes : Tensor, (groups,), int64
        Rows of each q.
    bins : Tensor, (groups + 1, columns), int64
        As in a part; the last row's modes lie in no shell.
    modes : Tensor, (count,)
        Modes in each shell, k and -k both counted (the first shell of a cube holds 18).
    wavenumber : Tensor, (count,)
        Mean |k| of each shell's modes, in 1/unit.
    """

    group: Tensor
    sizes: Tensor
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
        fields, rows = values.shape[: -grid.dimension], values.double().reshape(-1, values.shape[-1])
        return self.sum_folded(lambda part: part.fold(rows), fields.numel()).reshape(*fields, self.count)

    def sum_folded(self, folded: Callable[[Part], Tensor], fields: int, gathered: bool = False) -> Tensor:
        """The same of values that are folded part by part: (fields * groups, columns) each -> (fields, count), float64.

        Parts are more where all rows are `gathered` to be folded, not only the folded ones made, once as they are and in float64.
        """
        lanes = torch.zeros(fields, LANES * (self.count + 1), dtype=torch.float64, device=self.bins.device)
        made = len(self.group) if gathered else 2 * len(self.sizes)
        for part in _parts(self, fields, math.ceil(PARTS * made / len(self.group))):
            lanes = lanes.scatter_add(1, part.bins, folded(part).double().reshape(part.bins.shape))
        shells = lanes.reshape(fields, LANES, -1)[..., :-1]
        return shells[:, 0] + 2 * shells[:, 1:].sum(1)

    def spread(self, per_shell: Tensor, grid: Grid) -> Tensor:
        """The value of each mode's shell, 0 outside all shells: (..., count) -> (..., *half_shape)."""
        padded = torch.cat([per_shell, torch.zeros_like(per_shell[..., :1])], -1)
        folded = torch.cat([padded] * LANES, -1).index_select(-1, self.bins.flatten()).unflatten(-1, self.bins.shape)
        return folded.index_select(-2, self.group).reshape(*per_shell.shape[:-1], *grid.half_shape)


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
    # In units of k_F: on a cube q^2 is an integer then, and found equal wherever it is.
    squares = [(n.double() * (max(grid.box) / side)) ** 2 for n, side in zip(grid.modes(device), grid.box, strict=True)]
    across = sum(squares[:-1], torch.zeros((1,) * grid.dimension, dtype=torch.float64, device=device)).flatten()
    levels, group, sizes = across.unique(return_inverse=True, return_counts=True)
    wavenumber = torch.sqrt(levels[:, None] + squares[-1].flatten())
    # One part in 10^9 keeps lattice modes that lie on k_Ny, or on an edge, from being moved by rounding.
    shell = torch.floor(wavenumber + 0.5 + 1e-9).long()
    inside = (shell >= 1) & (wavenumber <= grid.nyquist / grid.fundamental * (1 + 1e-9))
    # The last shell is the last that holds a mode: on an odd grid none lies between the last multiple of k_F and k_Ny.
    count, held = int(shell[inside].max()), int(inside.any(1).nonzero().max()) + 1
    last = torch.arange(grid.half_shape[-1], device=device)
    lane = torch.where(2 * last % grid.shape[-1] == 0, 0, 1 + last % (LANES - 1))
    bins = lane * (count + 1) + torch.where(inside, shell - 1, count)
    bins = torch.cat([bins[:held], torch.full_like(bins[:1], count)])
    none = torch.zeros(count, device=device)
    bare = Shells(group.clamp_max(held), sizes[:held], bins, none, none)
    rows = sizes[:, None].expand(wavenumber.shape)
    modes = bare.sum_folded(lambda part: rows[part.groups], 1)[0]
    total = bare.sum_folded(lambda part: (rows * wavenumber)[part.groups], 1)[0]
    return replace(bare, modes=modes, wavenumber=total * grid.fundamental / modes.clamp_min(1))


@lru_cache(maxsize=16)
def _parts(shells: Shells, fields: int, count: int) -> tuple[Part, ...]:
    """All rows that reach a shell, in so many parts of about as many."""
    share = (shells.sizes.cumsum(0) - 1) * count // shells.sizes.sum()
    cuts = [0, *share.unique_consecutive(return_counts=True)[1].cumsum(0).tolist()]
    order, field = shells.group.argsort(stable=True), torch.arange(fields, device=share.device)[:, None]
    parts = []
    for groups in itertools.starmap(slice, itertools.pairwise(cuts)):
        sizes, before = shells.sizes[groups], int(shells.sizes[: groups.start].sum())
        rows = order[before : before + int(sizes.sum())]
        starts = sizes.cumsum(0) - sizes + len(rows) * field
        bins = shells.bins[groups].view(1, -1).expand(fields, -1)
        parts.append(Part(groups, (rows + len(order) * field).flatten(), starts.flatten(), bins))
    return tuple(parts)
