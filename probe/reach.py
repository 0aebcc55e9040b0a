"""How far an answer looks: its gradient at one point with respect to the input, cell by cell.

With g_ci(x) the derivative of the component c of the answer at p with respect to the channel i of the input at x, and s_i the
scatter of that channel's quantity, so that quantities of any unit count alike,

    e(x) = sum over c, i of (s_i g_ci(x))^2,    a(x) = sum over c, i of |s_i g_ci(x)|.

The energy e is the variance of the linearised answer that white noise at x makes; its root mean square distance from p is the
effective radius (W. Luo et al. 2016, whose receptive field is the support of e). The influence a is the most that changing x by
its own scatter, all such cells together, can change the linearised answer: a mean over the whole box has next to no energy in any
one cell, and yet moves the answer as a whole.

Where no gradients pass, one cell of the input is changed by its scatter, up and down, and the cells of the answer that change are
looked at: how far a cell is seen. For a linear model that treats all places alike that is the same picture seen from the other end.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor, nn

from probe.controls import Absent, build
from probe.coupling import in_double, is_displacement, standing_in
from probe.derivatives import no_gradient
from probe.description import names_code
from probe.equivariance import rounding, test_field
from probe.fields import Field, parts_of, place_of
from probe.grid import Grid
from probe.model import FieldModel
from probe.targets import distance, offsets, ring_count, rings_about, slice_of

if TYPE_CHECKING:
    from probe.contract import Subject

Place = tuple[int, ...]


@dataclass(frozen=True)
class LookCase:
    """Grid points of the answer to one field, which are asked where they look.

    Attributes
    ----------
    field : int
        Place of the test field.
    places : tuple of tuple of int
    output : str
        Name of the output quantity; empty for the first field.
    """

    field: int
    places: tuple[Place, ...]
    output: str = ""


@dataclass(frozen=True)
class Look:
    """Where one point looks.

    Attributes
    ----------
    energy, influence : ndarray, (ring,)
        Shares by distance from the point; a ring is a spacing wide and centred on multiples of it, the first is the point's own
        cell.
    change_energy, change_influence : ndarray, (ring,)
        The like of answer minus input, where both are the same displacement; else NaN.
    cells : ndarray, (ring,)
        How many cells a ring has.
    support, seen : ndarray, (ring,)
        Shares of them whose gradient is not zero, and is above rounding of the largest.
    blind : float
        Share of the law's own influence that lies in cells whose gradient is not above rounding; NaN where no law has a derivative.
    reach : ndarray, (axis, 2)
        Cells back and cells on, along each axis, of the support.
    radius : float
        Root mean square distance of the energy, in the grid's unit.
    offset : ndarray, (axis,)
        Mean position of the energy from the point, in cells.
    cut : ndarray, (u, v)
        Root of the energy over its largest, in the plane through the point along the first two axes, the point in the middle.
    """

    energy: ndarray
    influence: ndarray
    change_energy: ndarray
    change_influence: ndarray
    cells: ndarray
    support: ndarray
    seen: ndarray
    blind: float
    reach: ndarray
    radius: float
    offset: ndarray
    cut: ndarray


DIMENSIONS = {
    name: ("ring",) for name in ("energy", "influence", "change_energy", "change_influence", "cells", "support", "seen")
} | {
    "reach": ("axis", "side"),
    "blind": (),
    "radius": (),
    "offset": ("axis",),
    "cut": ("u", "v"),
}


def places_of(grid: Grid, stride: int, most: int) -> tuple[Place, ...]:
    """Grid points from the middle of the box on, through a stride cell along its diagonal: at most so many, or two."""
    steps = np.unique(np.linspace(0, max(stride, 2) - 1, min(most, max(stride, 2))).round().astype(int))
    return tuple(tuple(int(points // 2 + step) % points for points in grid.shape) for step in steps)


def rings(grid: Grid) -> int:
    """Number of rings by distance, whatever the point."""
    return ring_count(grid, max(grid.spacing))


def look(subject: Subject, case: LookCase) -> list[Look]:
    """Where each point of a case looks."""
    given, floor, law = test_field(subject, case.field)[0], rounding(in_double(subject).dtype), _law_of(subject)
    theirs = _gradients(law, given, case) if law is not None else itertools.repeat(None)
    own = zip(_gradients(subject, given, case), theirs, strict=False)
    return [_taken_apart(sums, truth and truth[1], place, subject.grid, floor) for (place, sums), truth in own]


def _law_of(subject: Subject) -> Subject | None:
    """The law in the model's place, where the description names one that has a derivative."""
    if not names_code(subject.description.truth.law):
        return None

    def found() -> Subject | None:
        law = build("simulator", subject.model, subject.pairs, 0)
        other = None if isinstance(law, Absent) else standing_in(subject, law.model, "law")
        return None if other is None or no_gradient(other) else other

    return subject.shared("the law and its derivative", found)


def tabulate(found: Sequence[Sequence[Look]]) -> dict[str, Any]:
    """Looks of every field and place as variables of a dataset, over the dimensions background and place."""
    units = {"offset": "cells", "reach": "cells"}
    return {
        part.name: (
            ("background", "place", *DIMENSIONS[part.name]),
            np.array([[getattr(one, part.name) for one in row] for row in found]),
            {"units": units.get(part.name, "")},
        )
        for part in fields(Look)
    }


class _Sums:
    """Running sums over components, by cell: energy and influence, (*grid,) float64 each, and of answer minus input."""

    def __init__(self) -> None:
        self.parts: dict[str, Tensor] = {}

    def add(self, weighed: Tensor, of: str = "") -> None:
        """Add s_i g_ci of one component: (channel, *grid)."""
        for name, values in (("energy", weighed.square().sum(0)), ("influence", weighed.abs().sum(0))):
            self.parts[of + name] = self.parts[of + name] + values if of + name in self.parts else values


def _gradients(subject: Subject, given: Field, case: LookCase) -> Iterator[tuple[Place, _Sums]]:
    """The sums of each place of a case."""
    ask = _by_change if no_gradient(subject) else _by_gradient
    model, described, grid = in_double(subject), subject.description, subject.grid
    model = model.at(**model.parameters_for(given))
    given = given.to(model.device, model.physical_dtype)
    asked, channels = parts_of(described.outputs, grid)[place_of(described.outputs, case.output)]
    own, first = parts_of(described.inputs, grid)[place_of(described.inputs)]
    grown = is_displacement(own) and is_displacement(asked)
    size = scatter_of(given)[first.start].item()
    subject.model.passes += 1 if model is not subject.model else 0
    for place in case.places:
        sums = _Sums()
        for weighed, itself in ask(model, given, place, channels):
            sums.add(weighed)
            if grown:
                if itself is not None:
                    weighed[(itself, *place)] -= described.truth.growth_ratio * size
                sums.add(weighed, "change_")
        yield place, sums


def scatter_of(given: Field) -> Tensor:
    """The scatter of the quantity of each channel, 0 of a number, 1 of a field that is the same everywhere: (channel,), float64."""
    found = []
    for quantity, part in given.parts():
        values = given.values[:, part].double()
        size = (values - values.mean(given.grid.axes, keepdim=True)).square().mean().sqrt()
        size = torch.zeros_like(size) if quantity.is_number else torch.where(size > 0, size, 1.0)
        found.append(size.expand(part.stop - part.start))
    return torch.cat(found)


_Rows = Iterator[tuple[Tensor, int | None]]


def _by_gradient(model: FieldModel, given: Field, place: Place, channels: slice) -> _Rows:
    """s_i g_ci of each component of the answer at a point, (channel, *grid), and the channel of the input that it is itself."""
    weight = scatter_of(given).reshape(-1, *[1] * given.grid.dimension)
    itself = given.parts()[place_of(given.quantities)][1].start
    with torch.enable_grad():
        values = given.values.detach().clone().requires_grad_()
        answer = model.function(values)[0, channels]
        for n in reversed(place):
            answer = answer[..., n]
        for component, value in enumerate(answer):
            # An answer that hangs on nothing has no graph.
            gradient = torch.autograd.grad(value, values, retain_graph=True)[0] if value.requires_grad else torch.zeros_like(values)
            yield gradient[0].double() * weight.to(gradient.device), itself + component


def _by_change(model: FieldModel, given: Field, place: Place, channels: slice) -> _Rows:
    """What a change of each channel at a point by its scatter makes of all components, (component, *grid), and which it is."""
    own = given.parts()[place_of(given.quantities)][1]
    for channel, size in enumerate(scatter_of(given).tolist()):
        if not size:
            continue
        step = torch.zeros_like(given.values)
        step[(0, channel, *place)] = size
        with torch.no_grad():
            up, down = model.function(given.values + step), model.function(given.values - step)
        yield (up - down)[0, channels].double() / 2, channel - own.start if own.start <= channel < own.stop else None


def _taken_apart(sums: _Sums, law: _Sums | None, place: Place, grid: Grid, floor: float) -> Look:
    energy = sums.parts["energy"]
    away = distance(place, grid).to(energy.device)
    ring = rings_about(place, grid, max(grid.spacing)).to(energy.device).flatten()
    count = rings(grid)

    def by_ring(values: Tensor) -> ndarray:
        return (
            torch.zeros(count, dtype=torch.float64, device=ring.device).index_add_(0, ring, values.double().flatten()).cpu().numpy()
        )

    def shares(name: str) -> ndarray:
        if name not in sums.parts:
            return np.full(count, np.nan)
        values = by_ring(sums.parts[name])
        return values / max(values.sum(), 1e-300)

    cells = by_ring(torch.ones_like(energy))
    total = energy.sum().clamp_min(1e-300)
    root, positions = energy.sqrt(), [steps.to(energy.device) for steps in offsets(place, grid)]
    seen, needed = root > floor * root.max(), None if law is None else law.parts["influence"]
    return Look(
        **{name: shares(name) for name in ("energy", "influence", "change_energy", "change_influence")},
        cells=cells,
        support=by_ring(energy > 0) / np.maximum(cells, 1),
        seen=by_ring(seen) / np.maximum(cells, 1),
        blind=math.nan if needed is None else float((needed * ~seen).sum() / needed.sum().clamp_min(1e-300)),
        reach=np.array([_ends(energy, steps) for steps in positions]),
        radius=float((energy * away.square()).sum().div(total).sqrt()),
        offset=np.array([float((energy * steps).sum() / total) for steps in positions]),
        cut=_cut(root / root.max().clamp_min(1e-300), place, grid),
    )


def _ends(energy: Tensor, steps: Tensor) -> tuple[int, int]:
    """Cells back and cells on along an axis in which there is any energy."""
    axis = max(range(steps.ndim), key=lambda a: steps.shape[a])
    others = [a for a in range(energy.ndim) if a != axis]
    seen = energy.amax(others) > 0 if others else energy > 0
    reached = steps.flatten()[seen]
    return (max(0, -int(reached.min())), max(0, int(reached.max()))) if len(reached) else (0, 0)


def _cut(values: Tensor, place: Place, grid: Grid) -> ndarray:
    """The plane through a point along the first two axes, moved so that the point lies in its middle: (u, v); a line is one row."""
    middle = [points // 2 for points in grid.shape]
    moves = [m - n for m, n in zip(middle, place, strict=True)]
    values = torch.roll(values, moves, grid.axes)
    for axis, move in enumerate(moves if grid.boundary != "periodic" else ()):
        values.narrow(axis, 0 if move > 0 else values.shape[axis] + move, abs(move)).zero_()  # beyond a wall there is nothing
    return slice_of(values)


# What sees the whole box by how it is built, by the names of torch's classes.
_WHOLE = ("InstanceNorm", "GroupNorm", "AdaptiveAvgPool", "AdaptiveMaxPool", "MultiheadAttention")


def whole_box_layers(network: object) -> list[str]:
    """Layers that make every cell of the answer depend on the whole box, by class with their number: ["2 InstanceNorm3d"]."""
    if not isinstance(network, nn.Module):
        return []
    found: list[str] = []
    for layer in network.modules():
        name = type(layer).__name__
        by_batch = "BatchNorm" in name and not getattr(layer, "track_running_stats", True)
        wide = name == "LayerNorm" and len(getattr(layer, "normalized_shape", ())) > 1
        spectral = any(parameter.is_complex() for parameter in layer.parameters(recurse=False))
        if by_batch or wide or spectral or any(word in name for word in _WHOLE):
            found.append(name)
    return [f"{found.count(name)} {name}" for name in dict.fromkeys(found)]
