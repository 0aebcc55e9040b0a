"""Turns of the lattice: which of them a description grants, about which point, and how far a model is from each.

A turn is a rotation or a mirror of the lattice. On a periodic grid it can fix a grid point, a cell centre or a point between; a
strided network can respect one of them and no other, so the point is sought, in the input and in the answer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from probe import equivariance
from probe.contract import Subject
from probe.description import Symmetries
from probe.fields import Field, Quantity
from probe.grid import Grid
from probe.transforms import LatticeSymmetry, lattice_symmetries, one_of_each_class

AXES = ("x", "y", "z")


@dataclass(frozen=True)
class TurnCase:
    """One field turned by every symmetry given, about one centre; the answer's centre may be any of `outputs`.

    Answers are compared in the quantity `output`, or in all together where it is empty.
    """

    field: int
    turns: tuple[LatticeSymmetry, ...]
    centre: float
    outputs: tuple[float, ...]
    output: str = ""


@dataclass(frozen=True)
class TurnAnswer:
    """Errors of one field under each turn, (output centre, turn), and how much the model adds to its input."""

    error: ndarray
    added: float


@dataclass(frozen=True)
class Turned:
    """What all fields say about the best pair of centres, and what singled it out.

    Attributes
    ----------
    error : ndarray, (field, turn)
    added : ndarray, (field,)
    centre_error : ndarray, (centre, output centre)
        The first field's, averaged over the turns that were searched with.
    best : (float, float)
        The centre in the input and that in the answer.
    """

    error: ndarray
    added: ndarray
    centre_error: ndarray
    best: tuple[float, float]


def point_group(symmetries: Symmetries, grid: Grid) -> tuple[LatticeSymmetry, ...]:
    """The turns that a description grants, with all that follow from them, on a grid; the identity first."""
    granted = _generated([*_rotations(symmetries, grid.dimension), *_axis_mirrors(symmetries, grid.dimension)], grid.dimension)
    return tuple(s for s in lattice_symmetries(grid.dimension) if s in granted and s.keeps(grid))


def granted_mirrors(symmetries: Symmetries, grid: Grid) -> tuple[LatticeSymmetry, ...]:
    """The mirrors that a description grants: those along the axes it names, or with `reflection = true` all that follow."""
    named = _axis_mirrors(symmetries, grid.dimension)
    turning = _rotations(symmetries, grid.dimension) if symmetries.reflection is True else []
    granted = _generated([*named, *turning], grid.dimension) if named else set()
    return tuple(s for s in lattice_symmetries(grid.dimension) if s in granted and s.determinant < 0 and s.keeps(grid))


def representatives(turns: Iterable[LatticeSymmetry]) -> list[LatticeSymmetry]:
    """The mirror across every axis, since what leans leans along one, and of all else one of each class."""
    listed = list(turns)
    straight = [s for s in listed if mirrored_axis(s) is not None]
    return [*sorted(straight, key=lambda s: mirrored_axis(s) or 0), *one_of_each_class([s for s in listed if s not in straight])]


def mirrored_axis(symmetry: LatticeSymmetry) -> int | None:
    """The axis that a mirror flips; None where it is no mirror across an axis."""
    straight = symmetry.permutation == tuple(range(len(symmetry.signs)))
    return symmetry.signs.index(-1) if straight and symmetry.signs.count(-1) == 1 else None


def name(symmetry: LatticeSymmetry, apart: bool = False) -> str:
    """A turn in words: a mirror across an axis by that axis, others by their class; with `apart` by where it sends (x, y, z)."""
    axis = mirrored_axis(symmetry)
    if axis is not None:
        return f"mirror {AXES[axis]} → −{AXES[axis]}"
    sent = ",".join(f"{'−' if s < 0 else ''}{AXES[p]}" for s, p in zip(symmetry.signs, symmetry.permutation, strict=True))
    return f"{symmetry.class_name} ({sent})" if apart else symmetry.class_name


def centres(grid: Grid, stride: int, alike: bool = True) -> tuple[float, ...]:
    """Points that a turn may fix: 0, 1/2, ..., s - 1/2 on a periodic grid; the box's middle (-1/2) elsewhere.

    On a periodic grid whose places are not `alike` the middle is tried too.
    """
    middle = () if grid.boundary == "periodic" and alike else (-0.5,)
    return (*(i / 2 for i in range(2 * stride)), *middle) if grid.boundary == "periodic" else middle


def place(centre: float) -> str:
    """A centre in words."""
    if centre < 0:
        return "the middle of the box"
    return f"{'a grid point' if centre == int(centre) else 'a cell centre'} (coordinate {centre:g} cells)"


def turn_all(
    subject: Subject,
    turns: tuple[LatticeSymmetry, ...],
    search: tuple[LatticeSymmetry, ...],
    tried: tuple[float, ...],
    fields: int,
    output: str = "",
) -> Turned:
    """The pair of centres that suits `search` best on the first field, and the errors of all fields under `turns` about it.

    The answer's centre is another than the input's only where that halves the error: an answer of the wrong sign comes a little
    closer to any smooth one that is displaced.
    """
    first = subject.map(turn, [TurnCase(0, search, c, tried, output) for c in tried], passes=len(search) + 1)
    centre_error = np.array([answer.error.mean(-1) for answer in first])
    here = there = int(centre_error.diagonal().argmin())
    if 2 * centre_error.min() < centre_error[here, there]:
        here, there = (int(i) for i in np.unravel_index(int(centre_error.argmin()), centre_error.shape))
    best = tried[here], tried[there]
    chosen = [TurnCase(i, turns, best[0], best[1:], output) for i in range(fields)]
    answers = subject.map(turn, chosen, passes=len(turns) + 1)
    return Turned(np.stack([a.error[0] for a in answers]), np.array([a.added for a in answers]), centre_error, best)


def turn(subject: Subject, case: TurnCase) -> TurnAnswer:
    """Turn one field by every symmetry, and hold the answers against the turned answer about each of its centres."""
    field = asked(subject, case.field)
    answer = subject.model(field)
    values = equivariance.values_of(answer, case.output, answer)
    error = np.empty((len(case.outputs), len(case.turns)))
    for column, symmetry in enumerate(case.turns):
        turned = equivariance.values_of(subject.model(symmetry(field, case.centre)), case.output, answer)
        for row, centre in enumerate(case.outputs):
            expected = equivariance.values_of(symmetry(answer, centre), case.output, answer)
            error[row, column] = equivariance.relative(turned - expected, values)
    return TurnAnswer(error, added(field, answer, case.output))


def added(field: Field, answer: Field, output: str = "") -> float:
    """|f(x) - x| / |f(x)| where the input holds what is compared, else 1: nothing of the answer can be the input; nan for 0."""

    def meaning(*quantities: Quantity) -> list[tuple[str, str, str]]:
        return [(q.kind, q.quantity, q.unit) for q in quantities]

    wanted = meaning(answer.part(output)[0]) if output else meaning(*answer.quantities)
    level = 1 if output else equivariance.levels(answer)
    values = equivariance.values_of(answer, output, answer)
    given = [(meaning(*field.quantities), field.values), *((meaning(q), field.values[:, part]) for q, part in field.parts())]
    shares = [equivariance.relative(values - own / level, values) for what, own in given if what == wanted]
    share = min(shares, default=1.0)
    return share if share > 0 else math.nan


def field_count(subject: Subject, asked: int | None) -> int:
    """How many fields to try symmetries on: those asked for, else the pairs, but at least four fields and at most eight."""
    return asked or min(max(len(subject.pairs or ()), 4), 8)


def asked(subject: Subject, index: int) -> Field:
    """The field of that number to try symmetries on, where and as the model computes."""
    return equivariance.test_field(subject, index)[0].to(subject.model.device, subject.model.dtype)


def _rotations(symmetries: Symmetries, dimension: int) -> list[LatticeSymmetry]:
    """The lattice's rotations about the axes that a description grants; in two dimensions the only axis is z."""
    every = [s for s in lattice_symmetries(dimension) if s.determinant == 1]
    if isinstance(symmetries.rotation, str):
        return every if symmetries.rotation == "full" else []
    if dimension == 2:
        return every if "z" in symmetries.rotation else []
    fixed = [AXES.index(axis) for axis in symmetries.rotation if axis in AXES[:dimension]]
    return [s for s in every if any(s.permutation[a] == a and s.signs[a] == 1 for a in fixed)]


def _axis_mirrors(symmetries: Symmetries, dimension: int) -> list[LatticeSymmetry]:
    """The mirrors across the axes that a description grants."""
    named = AXES if symmetries.reflection is True else symmetries.reflection or ()
    every = {mirrored_axis(s): s for s in lattice_symmetries(dimension)}
    return [every[axis] for axis in range(dimension) if AXES[axis] in named]


def _generated(by: Sequence[LatticeSymmetry], dimension: int) -> set[LatticeSymmetry]:
    group = {lattice_symmetries(dimension)[0]}
    while len(larger := group | {g @ h for g in group for h in by}) > len(group):
        group = larger
    return group
