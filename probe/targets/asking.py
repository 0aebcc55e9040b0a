"""A target as a function of the input: differentiable, batched, in physical units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, zeros

from probe import latents, spectra
from probe.coupling import standing_in
from probe.derivatives import Function
from probe.equivariance import test_field
from probe.errors import InputError
from probe.fields import Field, parts_of, place_of
from probe.grid import Grid
from probe.model import FieldModel
from probe.targets.fitting import number_of, place_of_target, unfit
from probe.targets.geometry import within
from probe.targets.language import AXES, Target

if TYPE_CHECKING:
    from probe.contract import Subject


def function_of(subject: Subject, target: Target, sample: int = 0, model: FieldModel | None = None) -> Function:
    """The target as a function of the input: (batch, channel, *grid) in physical units -> (batch,), float64, open to gradients.

    Parameters
    ----------
    sample : int
        Place of the sample (see `probe.equivariance.test_field`): its conditioning, its truth for `error`, its peak or void.
    model : FieldModel, optional
        In the place of the subject's, such as the same in float64, or a twin; passes are the subject's all the same.

    Raises
    ------
    InputError
        If the subject has no such target.
    """
    if reason := unfit(subject, target):
        raise InputError(reason)
    asked = _conditioned(model or subject.model, test_field(subject, sample)[0])
    if target.kind == "latent":
        return _latent(subject, target, asked)
    take = reader_of(subject, target, sample)

    def function(values: Tensor) -> Tensor:
        if asked is not subject.model:
            subject.model.passes += len(values)
        return take(asked.function(values).double())

    return function


def _conditioned(model: FieldModel, field: Field) -> FieldModel:
    """The model under the conditioning that belongs to a field."""
    wanted = model.parameters_for(field)
    return model if wanted == model.parameters else model.at(**wanted)


def _latent(subject: Subject, target: Target, model: FieldModel) -> Function:
    encode, place = latents.latent_function(subject if model is subject.model else standing_in(subject, model)), target.index or 0

    def latent(values: Tensor) -> Tensor:
        found = encode(values)
        if place >= found.shape[1]:
            raise InputError(f"{target}: there are {found.shape[1]} latent variables, counted from 0")
        return found[:, place].double()

    return latent


def reader_of(subject: Subject, target: Target, sample: int = 0) -> Function:
    """The target, which is no latent variable, as a function of the answer: (batch, channel, *grid), float64 -> (batch,)."""
    grid, outputs = subject.grid, subject.description.outputs
    if target.kind == "number":
        channels = number_of(subject, target)[1]
        return lambda answer: answer[:, channels].flatten(1).mean(1)
    channels = parts_of(outputs, grid)[place_of(outputs, target.name)][1]
    read_field = _field_reader(subject, target, sample)
    return lambda answer: read_field(answer[:, channels])


def _field_reader(subject: Subject, target: Target, sample: int) -> Function:
    """The same as a function of one output field: (batch, width, *grid) -> (batch,)."""
    grid, component = subject.grid, AXES.index(target.axis or "x")
    if target.kind in ("power", "error"):
        truth = None
        if target.kind == "error":
            truth = _truth(subject, target, sample)
        return lambda field: _power(field if truth is None else field - truth.to(field.device), target.index, grid)
    if target.kind == "mean":
        return lambda field: field[:, component].flatten(1).mean(1)
    place = place_of_target(subject, target, sample)
    assert place is not None
    if target.kind == "voxel":
        cell: tuple[Any, ...] = (slice(None), component, *place)
        return lambda field: field[cell]
    if target.kind == "region":
        weight = within(place, target.radius, grid)
        return lambda field: (field[:, component] * weight.to(field.device)).flatten(1).sum(1) / float(weight.sum())
    sign = -1 if target.kind == "overdensity" else 1
    return lambda field: sign * _divergence(field, place, grid)


def _truth(subject: Subject, target: Target, sample: int) -> Tensor:
    if subject.pairs is None or sample >= len(subject.pairs):
        raise InputError(f"{target}: there is no truth to the sample {sample}; there are {len(subject.pairs or ())} pairs")
    return subject.pairs[sample][1].part(target.name)[1].double()


def _power(field: Tensor, shell: int | None, grid: Grid) -> Tensor:
    """Power in one shell, or the mean square over points of the summed squares of components: (batch,)."""
    if shell is None:
        return field.square().sum(1).flatten(1).mean(1)
    return spectra.power(spectra.windowed(field, grid), grid)[:, shell - 1]


def _divergence(field: Tensor, place: Sequence[int], grid: Grid) -> Tensor:
    """Divergence at a point by central differences, one-sided at a wall: (batch, D, *grid) -> (batch,)."""
    total = zeros(len(field), dtype=field.dtype, device=field.device)
    for axis, (points, h) in enumerate(zip(grid.shape, grid.spacing, strict=True)):
        ends = [place[axis] + 1, place[axis] - 1]
        if grid.boundary != "periodic":
            ends = [min(max(n, 0), points - 1) for n in ends]
        cells: list[Any] = [(slice(None), axis, *place[:axis], n % points, *place[axis + 1 :]) for n in ends]
        up, down = (field[cell] for cell in cells)
        total = total + (up - down) / (h * (ends[0] - ends[1]))
    return total
