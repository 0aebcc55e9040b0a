"""Shells in |k|, and sums over them in one pass over the transform."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from probe.bags import sum_of_bags

if TYPE_CHECKING:
    from probe.grid.lattice import Grid

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


@lru_cache(maxsize=8)
def shells_of(grid: Grid, device: torch.device) -> Shells:
    """The default shells of a grid, as `Grid.shells` says."""
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
