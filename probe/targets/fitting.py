"""Which targets a subject has, in what unit, and where they are: nothing here calls a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from probe import latents, spectra
from probe.coupling import is_displacement
from probe.equivariance import test_field
from probe.fields import Quantity, parts_of, place_of
from probe.parameters import nearest
from probe.targets.geometry import density_of
from probe.targets.language import AXES, Target

if TYPE_CHECKING:
    from probe.contract import Subject


def defaults(subject: Subject) -> tuple[Target, ...]:
    """What the answer is attributed to without a word: each output that is a number; of a field a point in the middle of the box.

    Of a displacement it is the overdensity there, of anything else the first component of the first field.
    """
    outputs = subject.description.outputs
    numbers = tuple(Target("number", name=quantity.name) for quantity in outputs if quantity.is_number)
    if len(numbers) == len(outputs):
        return numbers
    return (Target("overdensity" if is_displacement(outputs[place_of(outputs)]) else "voxel"),)


def unfit(subject: Subject, target: Target) -> str:
    """Why a subject has no such scalar; empty where it has. No forward pass."""
    if target.kind == "latent":
        return _no_latent(subject, target)
    outputs, grid = subject.description.outputs, subject.grid
    numbers = [q.name for q in outputs if q.is_number]
    if target.kind == "number":
        if not numbers:
            return f"{target}: no output is a number"
        known = target.name in ("", *numbers) and (target.index or 0) < len(numbers)
        return "" if known else f"{target}: the outputs that are numbers are {', '.join(numbers)}"
    names = [q.name for q in outputs if not q.is_number]
    if not names:
        return f"{target}: the outputs are numbers; ask for {', '.join(f'number({name})' for name in numbers)}"
    if target.name not in ("", *names):
        return f"{target}: there is no output field {target.name!r}{nearest(target.name, names)}; they are {', '.join(names)}"
    quantity = outputs[place_of(outputs, target.name)]
    if target.axis and (not quantity.is_vector or target.axis not in AXES[: grid.dimension]):
        return f"{target}: {quantity.name!r} has no component {target.axis!r}"
    return _unfit_field(subject, target, quantity)


def _unfit_field(subject: Subject, target: Target, quantity: Quantity) -> str:
    grid = subject.grid
    if target.kind == "divergence" and not quantity.is_vector:
        return f"{target}: {quantity.name!r} is no vector, so it has no divergence"
    if target.kind == "overdensity" and not is_displacement(quantity):
        return f"{target}: {quantity.name!r} is no displacement"
    if target.kind == "error" and subject.pairs is None:
        return f"{target}: an error needs pairs of input and truth: give --data, or a [data] table in the description"
    if target.index is not None and target.index > grid.shells().count:
        return f"{target}: the grid {grid.shape} has {grid.shells().count} shells"
    if target.place and len(target.place) != grid.dimension:
        return f"{target}: a grid point has {grid.dimension} numbers"
    if any(not -points <= n < points for n, points in zip(target.place, grid.shape, strict=False)):
        return f"{target}: the grid is {grid.shape}; places run from 0 to one less"
    if target.at and all(q.is_number for q in subject.description.inputs):
        return f"{target}: the inputs are numbers, which have no {target.at}"
    return ""


def _no_latent(subject: Subject, target: Target) -> str:
    reason = latents.no_latents(subject)
    return f"{target}: {reason}" if reason else ""


def unit_of(subject: Subject, target: Target) -> str:
    """The unit of a target."""
    outputs, grid = subject.description.outputs, subject.grid
    if target.kind == "latent":
        return ""
    quantity = number_of(subject, target)[0] if target.kind == "number" else outputs[place_of(outputs, target.name)]
    if target.kind in ("divergence", "overdensity"):
        return spectra.response_unit(grid.unit, quantity.unit)
    if target.kind not in ("power", "error"):
        return quantity.unit
    if target.index is not None:
        return spectra.power_unit(quantity.unit, grid)
    return f"({quantity.unit})^2" if quantity.unit else ""


def place_of_target(subject: Subject, target: Target, sample: int = 0) -> tuple[int, ...] | None:
    """Grid point that a target is about in the answer to one sample; None where it is about none."""
    if not target.is_local:
        return None
    grid = subject.grid
    if target.at:
        density = density_of(test_field(subject, sample)[0])[0]
        # Next to a wall half of what a point depends on is missing: only the inner half of each axis is searched there.
        edge = [0 if grid.boundary == "periodic" else points // 4 for points in grid.shape]
        inner = density[tuple(slice(e, points - e) for e, points in zip(edge, grid.shape, strict=True))]
        flat = torch.tensor(int(inner.argmax() if target.at == "peak" else inner.argmin()))
        found = torch.unravel_index(flat, inner.shape)
        return tuple(int(n) + e for n, e in zip(found, edge, strict=True))
    if target.place:
        return tuple(n % points for n, points in zip(target.place, grid.shape, strict=True))
    return tuple(points // 2 for points in grid.shape)


def number_of(subject: Subject, target: Target) -> tuple[Quantity, slice]:
    """The output that a `number` is, and its channel."""
    numbers = [part for part in parts_of(subject.description.outputs, subject.grid) if part[0].is_number]
    named = [one for one in numbers if one[0].name == target.name]
    return named[0] if named else numbers[target.index or 0]
