"""Shifts and orbits: how far a model is from treating every place alike, and what breaking its symmetries costs on data.

A symmetry g of a lattice is a turn about a point, then a shift. With F the average of g^-1 f(g x) over a set of them,
mean_g |f(gx) - g y|^2 = |F - y|^2 + mean_g |g^-1 f(gx) - F|^2: the error power over the orbit is what averaging would leave, plus
what breaks the symmetry.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from probe import equivariance, waves
from probe.contract import Subject
from probe.fields import Field
from probe.grid import Grid
from probe.model import FieldModel
from probe.transforms import LatticeSymmetry, translate
from probe.turns import added, asked

# f(T x) - T f(x) and T f(x), each quantity over its level in f(x), and the cell along each axis that they begin at.
Moved = tuple[Tensor, Tensor, tuple[int, ...]]


@dataclass(frozen=True)
class Element:
    """A symmetry g of the lattice: a turn about the point whose every coordinate is `centre` cells, then a shift by whole cells."""

    turn: LatticeSymmetry
    shift: tuple[int, ...]
    centre: float = 0.0

    def __call__(self, field: Field) -> Field:
        """g f."""
        return translate(self.turn(field, self.centre), self.shift)

    def undo(self, field: Field) -> Field:
        """g^-1 f."""
        return self.turn.inverse(translate(field, tuple(-cells for cells in self.shift)), self.centre)


@dataclass(frozen=True)
class ShiftCase:
    """One field moved by every shift given, in cells along each axis; between walls, what is within `margin` cells is left out."""

    field: int
    shifts: tuple[tuple[float, ...], ...]
    margin: int | None = None


@dataclass(frozen=True)
class ShiftAnswer:
    """Errors of one field under each shift, what the model adds to its input, and where along each axis the errors are.

    `profile` is (axis, position): the mean square of the difference over that of the answer, over all shifts by whole cells.
    """

    error: ndarray
    added: float
    profile: ndarray


@dataclass(frozen=True)
class OrbitCase:
    """One field, of the pairs first, and the symmetries that it is taken through."""

    field: int
    elements: tuple[Element, ...]


@dataclass(frozen=True)
class OrbitAnswer:
    """The answers to a field over its orbit, each turned back: sums of squares over that of the truth.

    Without a truth y is 0 in what follows, and the sums are over that of the answers, mean_g |f(gx)|^2. Each quantity counts by
    its own level there, so that all count alike.

    Attributes
    ----------
    own_error : float
        |f(g x) - g y|^2 of the first element.
    orbit_error : float
        mean_g |f(gx) - g y|^2.
    average_error : float
        |F - y|^2, F the average over the elements.
    breaking : float
        mean_g |g^-1 f(gx) - F|^2, by a running sum of its own and not as the difference of the two above.
    slices : ndarray, (3, u, v)
        f(x) - y, F - y and f(x) - F, f(x) by the first element: one component through the middle of the box.
    """

    own_error: float
    orbit_error: float
    average_error: float
    breaking: float
    slices: ndarray


def sample(
    group: Sequence[LatticeSymmetry], periods: tuple[int, ...], centre: float, count: int, generator: torch.Generator
) -> tuple[Element, ...]:
    """Turns about a centre, each with a shift modulo `periods`: all where there are at most `count`, else that many.

    A sample takes every turn as often as every other, in random order, with random shifts; the identity comes first.
    """
    if len(group) * math.prod(periods) <= count:
        return tuple(Element(g, t, centre) for t in itertools.product(*map(range, periods)) for g in group)
    rounds = range(math.ceil(count / len(group)))
    order = [i for _ in rounds for i in torch.randperm(len(group), generator=generator).tolist()]
    order.remove(0)
    shifts = [tuple(int(torch.randint(p, (), generator=generator)) for p in periods) for _ in order]
    drawn = [Element(group[i], shift, centre) for i, shift in zip(order, shifts, strict=True)]
    return (Element(group[0], (0,) * len(periods), centre), *drawn[: count - 1])


def orbit(subject: Subject, case: OrbitCase) -> OrbitAnswer:
    """Take one field through its orbit; sums run in float64."""
    field, truth = asked(subject, case.field), _truth(subject, case.field)
    answers = (g.undo(subject.model(g(field))) for g in case.elements)
    first = next(answers)
    level = equivariance.levels(first if truth is None else truth).double()
    right = torch.zeros_like(level) if truth is None else truth.values / level
    own = mean = first.values.double() / level
    error, breaking = _square(own - right), 0.0
    for count, given in enumerate(answers, 2):
        answer = given.values.double() / level
        step = answer - mean
        mean = mean + step / count
        breaking += float((step * (answer - mean)).sum())
        error += _square(answer - right)
    error, breaking = error / len(case.elements), breaking / len(case.elements)
    size = max(error if truth is None else _square(right), 1e-300)
    cut = [middle_slice(part * level, field.grid) for part in (own - right, mean - right, own - mean)]
    return OrbitAnswer(_square(own - right) / size, error / size, _square(mean - right) / size, breaking / size, np.stack(cut))


def move(subject: Subject, case: ShiftCase) -> ShiftAnswer:
    """Move one field by every shift, and hold the answers against the moved answer."""
    more, moved = (_periodic if case.margin is None else _between_walls)(subject, case)
    sums = np.zeros((2, subject.grid.dimension, max(subject.grid.shape)))
    errors = []
    for cells, (difference, reference, start) in zip(case.shifts, moved, strict=True):
        errors.append(equivariance.relative(difference, reference))
        if _is_whole(cells):
            _add_profile(sums, difference, reference, start)
    profile = np.divide(sums[0], sums[1], out=np.full_like(sums[0], np.nan), where=sums[1] > 0)
    return ShiftAnswer(np.array(errors), more, profile)


def _add_profile(sums: ndarray, difference: Tensor, reference: Tensor, start: tuple[int, ...]) -> None:
    """Add one difference's mean squares by position to a sum, (2, axis, position): squares, and how often each place was seen."""
    squares = difference.double().square().mean((0, 1)).cpu().numpy() / max(float(reference.double().square().mean()), 1e-300)
    for axis, (begin, count) in enumerate(zip(start, squares.shape, strict=True)):
        sums[0, axis, begin : begin + count] += squares.mean(tuple(a for a in range(squares.ndim) if a != axis))
        sums[1, axis, begin : begin + count] += 1


def _periodic(subject: Subject, case: ShiftCase) -> tuple[float, Iterator[Moved]]:
    """A field that comes in again on the other side; parts of a cell are asked of what lies below Nyquist."""
    model, field = subject.model, asked(subject, case.field)
    whole, limited = (field, model(field)), band_limited(field)
    below = limited, band_limited(model(limited))

    def moved(cells: tuple[float, ...]) -> Moved:
        given, answer = whole if _is_whole(cells) else below
        return shift_difference(model, given, answer, cells) / level, answer.values / level, (0,) * len(cells)

    level = equivariance.levels(whole[1])
    return added(*whole), map(moved, case.shifts)


def _between_walls(subject: Subject, case: ShiftCase) -> tuple[float, Iterator[Moved]]:
    """A window moved over a larger field; what is compared lies at least the margin from the walls of both windows."""
    grid, model, margin = subject.grid, subject.model, case.margin or 0
    reach = int(max(max(cells) for cells in case.shifts))
    sides = tuple(points + reach for points in grid.shape)
    wide = Grid(sides, tuple(h * n for h, n in zip(grid.spacing, sides, strict=True)), grid.unit)
    whole = equivariance.made_field(subject, case.field, wide)

    def seen(field: Field) -> Field:
        return Field(field.values[_box((reach,) * grid.dimension, sides)], grid, field.quantities).to(model.device, model.dtype)

    def moved(cells: tuple[float, ...]) -> Moved:
        start = tuple(margin + int(c) for c in cells)
        inside = _box(start, tuple(points - margin for points in grid.shape))
        reference = translate(answer, cells).values[inside]
        difference = model(seen(translate(whole, cells))).values[inside] - reference
        return difference / level, reference / level, start

    answer = model(seen(whole))
    level = equivariance.levels(answer)
    return added(seen(whole), answer), map(moved, case.shifts)


def shift_difference(model: FieldModel, field: Field, answer: Field, cells: tuple[float, ...]) -> Tensor:
    """f(T x) - T f(x) on a periodic grid.

    For parts of a cell the difference of what lies below Nyquist, for an input that lies there (`band_limited`).
    """
    moved = model(translate(field, cells))
    return (moved if _is_whole(cells) else band_limited(moved)).values - translate(answer, cells).values


def band_limited(field: Field) -> Field:
    """A field without its modes at Nyquist, which a shift by part of a cell cannot move."""
    grid, values = field.grid, field.values
    keep = waves.below_nyquist(grid, values.device)
    keep[(0,) * grid.dimension] = True
    modes = torch.fft.rfftn(values.double(), dim=grid.axes) * keep
    return field.with_values(torch.fft.irfftn(modes, s=grid.shape, dim=grid.axes).to(values.dtype))


def middle_slice(values: Tensor, grid: Grid) -> ndarray:
    """The first sample's first component through the middle of the box: (u, v); a line is one row."""
    array = values[0, 0].cpu().numpy()
    return array[None] if grid.dimension == 1 else array if grid.dimension == 2 else array[:, :, grid.shape[2] // 2]


def _truth(subject: Subject, index: int) -> Field | None:
    """The truth of a field of the pairs; None of a made one."""
    if subject.pairs is None or index >= len(subject.pairs):
        return None
    return subject.pairs[index][1].to(subject.model.device, torch.float64)


def _square(values: Tensor) -> float:
    return float(values.square().sum())


def _box(start: tuple[int, ...], stop: tuple[int, ...]) -> tuple[slice, ...]:
    """The part of every sample and channel between two corners."""
    return (slice(None), slice(None), *map(slice, start, stop))


def _is_whole(cells: tuple[float, ...]) -> bool:
    return all(float(c).is_integer() for c in cells)
