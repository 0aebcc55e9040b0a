"""Which cells of its input can change a network's answer at one point.

The gradient of the answer at one point with respect to the input is different from zero in just those cells that change it: its
support is the receptive field. It is taken

- in float64 wherever the network can be put into it: the product of many small weights is still not zero there, and no convolution
  is computed by a fast algorithm that leaves rounding where zeros belong. In a lower precision, what is below rounding relative
  to the largest gradient is taken for zero;
- of the output channels with different weights, so that they do not cancel;
- on several random inputs of several strengths, because a ReLU that is off, or a maximum that is taken elsewhere, hides what lies
  behind it: where the first three inputs agree in every cell nothing is hidden, else supports are united until twelve inputs in a
  row have added nothing to the reach;
- at each position modulo the stride, because a strided network reaches less far on one side and farther on the other as the
  position moves through a stride cell: the union of them all is told;
- along one axis at a time on a long thin box, because in a small one a periodic network meets itself. A box is long enough when
  the cells farther from the point than 3/8 of it are all without influence; it is doubled until they are, or until it is
  eight times the described one, or the network takes no larger one.

A function without gradients is asked the other way round: one cell of the input is changed, and the cells of the answer that change
with it are seen. Over a whole stride cell that is the same, but influences below rounding are lost.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from probe.errors import InputError
from probe.model.field_model import FieldModel
from probe.model.typical import typical_input

_AGREE, _QUIET, _MOST = 3, 12, 48  # inputs that agree; in a row that add nothing; in all
_STRENGTHS = (1.0, 3.0, 0.3, 10.0)
_THIN = 8  # cells across a thin box, rounded up to the stride
_NUMBERS = 2**16  # in one input, or twice the described box where that is more

_Seen = Iterator[tuple[list[int], Tensor]]
_See = Callable[[FieldModel, Tensor, int, int], _Seen]


@dataclass(frozen=True)
class Reach:
    """How far back (left) and on (right) along one axis a cell of the input can change the answer at a point.

    Attributes
    ----------
    axis : str
    left, right : int or None
        In cells; None where it is everywhere, as far as the network could be asked.
    left_length, right_length : float or None
        In `unit`.
    unit : str
    whole_box : bool
        Whether that is at least as much as the described box.
    """

    axis: str
    left: int | None
    right: int | None
    left_length: float | None
    right_length: float | None
    unit: str
    whole_box: bool


@dataclass(frozen=True)
class ReceptiveField:
    """The reach along each axis, and how it was found."""

    axes: tuple[Reach, ...]
    method: str


def receptive_field(model: FieldModel, seconds: float = 120.0) -> ReceptiveField:
    """The receptive field of a model; how, is told at the head of this module.

    Parameters
    ----------
    seconds : float
        After so long no further input is tried, beyond the first along each axis, and the method says so.

    Raises
    ------
    InputError
        If the model gives no answer on its grid, its answer hangs on no cell, or it has no gradients and is random.
    """
    until, stride = time.monotonic() + seconds, model.stride
    ways: list[tuple[_See, str]] = [(_by_change, "by changing single cells")]
    if model.differentiable:
        ways.insert(0, (_by_gradient, "by gradients"))
    fault = InputError("")
    for see, how in ways:
        for asked in _precisions(model):
            inquiry = _Inquiry(asked, stride, see, until)
            try:
                axes = tuple(inquiry.reach(axis) for axis in range(model.grid.dimension))
            except InputError as error:
                fault = error
            else:
                hurried = ", on few inputs for want of time" if inquiry.hurried else ""
                return ReceptiveField(axes, f"{how} in {str(asked.dtype).removeprefix('torch.')}{hurried}")
    raise fault


def _precisions(model: FieldModel) -> list[FieldModel]:
    """In float64, if it can be copied, then as it is; a plain callable is given float64 fields, which it may or may not take."""
    with warnings.catch_warnings(action="ignore"), suppress(Exception):  # of how scripted networks are copied; some cannot be
        double = model.to_double() if isinstance(model.network, nn.Module) else copy(model)
        double.dtype = torch.float64
        return [double, model]
    return [model]


@dataclass
class _Inquiry:
    """One way of asking one model.

    Attributes
    ----------
    see : callable
        For each position in a stride cell: where along an axis cells matter, relative to the point; and all that matter, as seen.
    until : float
        The time after which no further input is tried.
    hurried : bool
        Whether that came about.
    """

    model: FieldModel
    stride: int
    see: _See
    until: float
    hurried: bool = False

    def reach(self, axis: int) -> Reach:
        """Along one axis, on longer and longer boxes."""
        grid = self.model.grid
        side, spacing = grid.shape[axis], grid.spacing[axis]
        found = None
        for length in (side, 2 * side, 4 * side, 8 * side):
            try:
                found = self._extents(axis, length)
            except InputError:
                if length == side:
                    raise
                break  # the network takes no longer box: what was found on the last one stands
            if found and max(found) <= 3 * length // 8:
                break
        if found is None:
            return Reach("xyz"[axis], None, None, None, None, grid.unit, whole_box=True)
        left, right = found
        return Reach("xyz"[axis], left, right, left * spacing, right * spacing, grid.unit, whole_box=left + right + 1 >= side)

    def _extents(self, axis: int, length: int) -> tuple[int, int] | None:
        """Cells back and on along an axis in a box of that length; None where they are all of it."""
        fault = InputError(f"a box of {length} cells is too large to ask it on")
        for shape in self._boxes(axis, length):
            try:
                return self._united(shape, axis)
            except InputError as error:
                fault = error
        raise fault

    def _boxes(self, axis: int, length: int) -> Iterator[tuple[int, ...]]:
        """Long along one axis, and thin across it; as wide as described for networks that take no thin one."""
        own, channels = self.model.grid.shape, self.model.description.channels_in
        thin = self.stride * math.ceil(_THIN / self.stride)
        most = max(_NUMBERS, 2 * math.prod(own) * channels)
        across = (tuple(min(thin, n) for n in own), own)
        shapes = [tuple(length if a == axis else n for a, n in enumerate(sides)) for sides in across]
        yield from (shape for shape in dict.fromkeys(shapes) if math.prod(shape) * channels <= most)

    def _united(self, shape: tuple[int, ...], axis: int) -> tuple[int, int] | None:
        """The union over inputs and positions on one box."""
        generator = torch.Generator().manual_seed(0)
        reach, quiet, cells = set[int](), 0, list[list[Tensor]]()
        for number in range(_MOST):
            values = typical_input(self.model, generator, shape=shape, strength=_STRENGTHS[number % len(_STRENGTHS)])
            before = _ends(reach)
            cells.append([])
            for places, seen in self.see(self.model, values, axis, self.stride):
                if number < _AGREE:
                    cells[-1].append(seen)
                reach.update(places)
                if sum(_ends(reach)) + 1 >= shape[axis]:
                    return None
            quiet = quiet + 1 if _ends(reach) == before else 0
            agree = number + 1 == _AGREE and all(all(map(torch.equal, cells[0], other)) for other in cells)
            if quiet == _QUIET or agree:
                break
            if time.monotonic() > self.until:
                self.hurried = True
                break
        if not reach:
            raise InputError("its answer hangs on no cell of the input")
        return _ends(reach)


def _ends(reach: set[int]) -> tuple[int, int]:
    """Cells back and cells on."""
    return max(0, -min(reach, default=0)), max(0, max(reach, default=0))


def _by_gradient(model: FieldModel, values: Tensor, axis: int, stride: int) -> _Seen:
    values.requires_grad_()
    answer = _ask(model.function, values)
    if not answer.requires_grad:
        raise InputError("no gradients flow from its answer to its input")
    inside, outside = _fields(model)
    weights = torch.arange(1.0, len(outside) + 1, dtype=answer.dtype, device=answer.device).sqrt()
    moved = _offset(values, answer, axis)
    for position in _positions(answer, stride):
        (gradient,) = _ask(torch.autograd.grad, weights @ answer[(0, outside, *position)], values, retain_graph=True)
        size = gradient[0, inside].abs().nan_to_num(0, 0)
        floor = 0.0 if size.dtype == torch.float64 else float(size.max()) * torch.finfo(size.dtype).eps
        seen = (size > floor).any(0)
        yield [place - position[axis] - moved for place in _along(seen, axis)], seen


@torch.no_grad()
def _by_change(model: FieldModel, values: Tensor, axis: int, stride: int) -> _Seen:
    inside, outside = _fields(model)
    answer = _ask(model.function, values.clone())
    if not torch.equal(answer, _ask(model.function, values.clone())):
        raise InputError("it has no gradients, and two answers to the same input differ")
    moved = _offset(values, answer, axis)
    for position in _positions(values, stride):
        other, cell = values.clone(), tuple[Any, ...]((0, inside, *position))
        other[cell] += 1 + 3 * values[0, inside].flatten(1).std(1)
        seen = (_ask(model.function, other) != answer)[0, outside].any(0)
        yield [position[axis] - moved - place for place in _along(seen, axis)], seen


def _ask(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """What the user's code gives; whatever it raises becomes one sentence."""
    try:
        return function(*arguments, **keywords)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"the model raised {type(error).__name__} ({str(error).strip().partition(chr(10))[0][:200]})") from error


def _fields(model: FieldModel) -> tuple[list[int], list[int]]:
    """The channels that have a place, of the inputs and of the outputs."""
    described = model.description
    sides = []
    for quantities in (described.inputs, described.outputs):
        numbers = [quantity.is_number for quantity in quantities for _ in range(quantity.width(model.grid))]
        sides.append([channel for channel, number in enumerate(numbers) if not number])
    if not sides[1]:
        raise InputError("its answer is a number, which has no place")
    return sides[0], sides[1]


def _positions(values: Tensor, stride: int) -> Iterator[tuple[int, ...]]:
    """Points about the middle that run through a stride cell, along all axes at once."""
    for step in range(stride):
        yield tuple((side // 2 + step) % side for side in values.shape[2:])


def _offset(values: Tensor, answer: Tensor, axis: int) -> int:
    """Where the answer begins in the input, for a network that does not pad."""
    return (values.shape[2 + axis] - answer.shape[2 + axis]) // 2


def _along(seen: Tensor, axis: int) -> list[int]:
    """The places along an axis at which anything is seen."""
    places: list[int] = seen.movedim(axis, 0).reshape(seen.shape[axis], -1).any(1).nonzero().flatten().tolist()
    return places
