"""The symmetries of a lattice, acting on fields: rotations, reflections, translations.

A symmetry g moves positions and turns components: (g f)(x) = R f(g^-1 x) for a vector, with another factor det R for a
pseudo-quantity. On a periodic grid g may fix a grid point, a cell centre or a point between; a strided network can respect
one such centre and no other, so the centre is part of the transformation.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from probe.fields import Field, Quantity
from probe.grid import Grid

# A class of the hyperoctahedral group is its signed cycle type: the sorted (length, sign) of the cycles of the permutation.
_CLASS_NAMES = {
    ((1, 1),): "identity",
    ((1, -1),): "reflection",
    ((1, 1), (1, 1)): "identity",
    ((1, -1), (1, 1)): "mirror across an axis",
    ((1, -1), (1, -1)): "180° rotation",
    ((2, 1),): "mirror across a diagonal",
    ((2, -1),): "90° rotation",
    ((1, 1), (1, 1), (1, 1)): "identity",
    ((1, -1), (1, -1), (1, 1)): "180° about an axis",
    ((1, 1), (2, -1)): "90° about an axis",
    ((1, -1), (2, 1)): "180° about a face diagonal",
    ((3, 1),): "120° about a body diagonal",
    ((1, -1), (1, -1), (1, -1)): "inversion",
    ((1, -1), (1, 1), (1, 1)): "mirror across an axis",
    ((1, 1), (2, 1)): "mirror across a diagonal",
    ((1, -1), (2, -1)): "90° rotoreflection",
    ((3, -1),): "60° rotoreflection",
}


@dataclass(frozen=True)
class LatticeSymmetry:
    """A symmetry of the square or cubic lattice: (g x)_i = signs[i] x_permutation[i]."""

    permutation: tuple[int, ...]
    signs: tuple[int, ...]

    @property
    def determinant(self) -> int:
        """+1 for a rotation, -1 where handedness changes."""
        inversions = sum(a > b for a, b in itertools.combinations(self.permutation, 2))
        sign = -1 if inversions % 2 else 1
        for s in self.signs:
            sign *= s
        return sign

    @property
    def class_name(self) -> str:
        """Its conjugacy class, in words."""
        cycles, left = [], set(range(len(self.signs)))
        while left:
            start = current = left.pop()
            length, sign = 1, self.signs[current]
            while (current := self.permutation[current]) != start:
                left.discard(current)
                length, sign = length + 1, sign * self.signs[current]
            cycles.append((length, sign))
        return _CLASS_NAMES[tuple(sorted(cycles))]

    def keeps(self, grid: Grid) -> bool:
        """Whether it maps the grid onto itself."""
        return all(grid.shape[p] == grid.shape[i] and grid.box[p] == grid.box[i] for i, p in enumerate(self.permutation))

    def turn(self, mode: tuple[int, ...]) -> tuple[int, ...]:
        """Where it sends a vector, such as a mode n."""
        return tuple(s * mode[p] for s, p in zip(self.signs, self.permutation, strict=True))

    @property
    def inverse(self) -> LatticeSymmetry:
        """The symmetry that undoes it, about the same centre."""
        back = tuple(self.permutation.index(i) for i in range(len(self.signs)))
        return LatticeSymmetry(back, tuple(self.signs[i] for i in back))

    def __matmul__(self, first: LatticeSymmetry) -> LatticeSymmetry:
        """The product: `first`, then this one, about the same centre."""
        pairs = list(zip(self.permutation, self.signs, strict=True))
        return LatticeSymmetry(tuple(first.permutation[p] for p, _ in pairs), tuple(s * first.signs[p] for p, s in pairs))

    def __call__(self, field: Field, centre: float = 0.0) -> Field:
        """g f, g fixing the point whose every coordinate is `centre` cells (a multiple of 1/2).

        Raises
        ------
        ValueError
            If the grid is not mapped onto itself.
        """
        if not self.keeps(field.grid):
            raise ValueError(f"{self.class_name} does not map the grid {field.grid.shape}, box {field.grid.box}, onto itself")
        moved = self._move(field.values, field.grid, centre)
        return field.with_values(torch.cat([self._turn_part(moved[:, part], q) for q, part in field.parts()], 1))

    def _move(self, values: Tensor, grid: Grid, centre: float) -> Tensor:
        moved = values.permute(0, 1, *(2 + p for p in self.permutation))
        flipped = [axis for axis, sign in zip(grid.axes, self.signs, strict=True) if sign < 0]
        # Reflection about c sends j to 2c - j; a plain flip sends it to -1 - j.
        return torch.roll(moved.flip(flipped), [round(2 * centre) + 1] * len(flipped), flipped) if flipped else moved

    def _turn_part(self, values: Tensor, quantity: Quantity) -> Tensor:
        sign = self.determinant if quantity.is_pseudo else 1
        if not quantity.is_vector:
            return sign * values
        signs = torch.tensor(self.signs, dtype=values.dtype, device=values.device) * sign
        return values[:, list(self.permutation)] * signs.reshape(-1, *[1] * (values.ndim - 2))


@lru_cache(maxsize=4)
def lattice_symmetries(dimension: int) -> tuple[LatticeSymmetry, ...]:
    """All 2 (1D), 8 (2D) or 48 (3D) symmetries of the lattice, the identity first."""
    return tuple(
        LatticeSymmetry(permutation, signs)
        for permutation in itertools.permutations(range(dimension))
        for signs in itertools.product((1, -1), repeat=dimension)
    )


def one_of_each_class(symmetries: list[LatticeSymmetry]) -> list[LatticeSymmetry]:
    """The first symmetry of each conjugacy class: enough where the model treats a class alike, an honest sample where not."""
    first: dict[str, LatticeSymmetry] = {}
    for symmetry in symmetries:
        first.setdefault(symmetry.class_name, symmetry)
    return list(first.values())


def translate(field: Field, cells: tuple[float, ...]) -> Field:
    """f(x - t) on a periodic grid: a roll for whole cells, a phase of the Fourier modes otherwise.

    A sub-cell shift loses the Nyquist mode, which has no direction to move in (its sign would make the field complex).
    """
    if all(float(c).is_integer() for c in cells):
        return field.with_values(torch.roll(field.values, [int(c) for c in cells], field.grid.axes))
    grid, values = field.grid, field.values
    shift = tuple(c * h for c, h in zip(cells, grid.spacing, strict=True))
    phase = sum(k * s for k, s in zip(grid.wavevectors(values.device), shift, strict=True))
    below = torch.ones(grid.half_shape, dtype=torch.bool, device=values.device)
    for n, points in zip(grid.modes(values.device), grid.shape, strict=True):
        below = below & (2 * n.abs() < points)
    modes = torch.fft.rfftn(values.double(), dim=grid.axes) * torch.exp(-1j * torch.as_tensor(phase)) * below
    return field.with_values(torch.fft.irfftn(modes, s=grid.shape, dim=grid.axes).to(values.dtype))
