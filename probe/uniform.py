"""Inputs without any physics in them, and what comes out: uniform fields, fields moved as a whole, checkerboards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from probe import spectra, waves
from probe.contract import Subject
from probe.equivariance import test_field
from probe.fields import Field, parts_of
from probe.grid import Grid

LARGEST = 5
ZERO_IS_NOTHING = ("displacement", "overdensity")


@dataclass(frozen=True)
class UniformCase:
    """The field at rest with one channel raised by `offset`, in its unit; channel -1 raises none."""

    channel: int = -1
    offset: float = 0.0


@dataclass(frozen=True)
class UniformAnswer:
    """The answer to a uniform field.

    Attributes
    ----------
    mean : ndarray, (channel,)
    size : ndarray, (output,)
        Its rms.
    power : ndarray, (output, *half_shape)
        What each mode adds to the mean square, itself and its opposite together; k = 0 left out.
    picture : ndarray, (output, *first two sides)
        A slice of the component with the largest ripples.
    """

    mean: ndarray
    size: ndarray
    power: ndarray
    picture: ndarray


@dataclass(frozen=True)
class FieldCase:
    """A real field, -1 for the field at rest, and how far it is moved as a whole along each axis."""

    field: int
    offset: float = 0.0


@dataclass(frozen=True)
class CheckerboardCase:
    """A checkerboard of an amplitude in one input, by its place, on the field at rest."""

    input: int
    mode: tuple[int, ...]
    amplitude: float


def nothing(subject: Subject) -> Tensor:
    """The field at rest: (1, channel, *grid.shape), float64."""
    grid = subject.grid
    return torch.cat([waves.at_rest(q, grid) * (q.quantity not in ZERO_IS_NOTHING) for q in subject.description.inputs], 1)


def answer_to_uniform(subject: Subject, case: UniformCase) -> UniformAnswer:
    """The answer to a uniform field, taken apart in Fourier space."""
    given = nothing(subject)
    if case.channel >= 0:
        given[:, case.channel] += case.offset
    answer = _ask(subject, given)
    values, grid = answer.values, subject.grid
    modes = spectra.fourier(values - values.mean(grid.axes, keepdim=True), grid)
    power = modes[0].abs().square() / grid.size**2 * torch.where(_is_own_opposite(grid), 1, 2)
    power.flatten(1)[:, 0] = 0
    plane = values[0, ..., 0] if grid.dimension == 3 else values[0]
    parts = [part for _, part in answer.parts()]
    loudest = [part.start + int(power[part].flatten(1).sum(1).argmax()) for part in parts]
    return UniformAnswer(
        values[0].flatten(1).mean(1).numpy(),
        _by_quantity(values, answer),
        np.stack([power[part].mean(0).numpy() for part in parts]),
        np.stack([plane[channel].numpy() for channel in loudest]),
    )


def answer_to_usual(subject: Subject, case: FieldCase) -> tuple[ndarray, ndarray, ndarray]:
    """rms of the answer to a real field, (output,), of it about its mean, (output,), and of the field about its mean, (input,)."""
    field, _ = test_field(subject, case.field)
    answer = _ask(subject, field.values)
    return _by_quantity(answer.values, answer), _by_quantity(_fluctuation(answer), answer), _by_quantity(_fluctuation(field), field)


def answer_to_move(subject: Subject, case: FieldCase) -> ndarray:
    """rms of f(x + c) - f(x) - D(out)/D(in) c for a displacement c along each axis: (axis,)."""
    start = nothing(subject) if case.field < 0 else test_field(subject, case.field)[0].values.double().cpu()
    answer, growth = _ask(subject, start).values, subject.description.truth.growth_ratio
    errors = []
    for axis in range(subject.grid.dimension):
        step = torch.zeros(subject.grid.dimension, dtype=torch.float64)
        step[axis] = case.offset
        step = step.reshape(1, -1, *[1] * subject.grid.dimension)
        errors.append(float((_ask(subject, start + step).values - answer - growth * step).square().mean().sqrt()))
    return np.array(errors)


def answer_to_checkerboard(subject: Subject, case: CheckerboardCase) -> tuple[ndarray, ndarray]:
    """Of each output the gain of the checkerboard, and the rms of what it changes on other modes but the mean: (output,) each."""
    grid = subject.grid
    quantity, channels = parts_of(subject.description.inputs, grid)[case.input]
    sign = torch.cos(waves.phase_of(case.mode, grid)).round()
    ahead = grid.direction_of(case.mode) if quantity.is_vector else torch.ones(1, dtype=torch.float64)
    rest = nothing(subject)
    raised = rest.clone()
    raised[:, channels] += case.amplitude * ahead.reshape(-1, *[1] * grid.dimension) * sign
    answer = _ask(subject, raised)
    change = answer.with_values(answer.values - _ask(subject, rest).values)
    own = (change.values * sign).mean(grid.axes, keepdim=True) * sign
    left = change.values - own - change.values.mean(grid.axes, keepdim=True)
    gain = [_along(own[:, part].flatten(2)[0, :, 0], ahead) / case.amplitude for _, part in change.parts()]
    return np.array(gain), _by_quantity(left, change)


def _ask(subject: Subject, values: Tensor) -> Field:
    """The answer in float64 on the CPU."""
    return subject.model(Field(values, subject.grid, subject.description.inputs)).to("cpu", torch.float64)


def _along(amplitude: Tensor, ahead: Tensor) -> float:
    """The longitudinal part where input and answer are of one kind, else the norm with the sign of the first component."""
    if len(amplitude) == len(ahead):
        return float(amplitude @ ahead)
    return float(amplitude.norm() * torch.sign(amplitude[0]))


def _fluctuation(field: Field) -> Tensor:
    values = field.values.double().cpu()
    return values - values.mean(field.grid.axes, keepdim=True)


def _by_quantity(values: Tensor, field: Field) -> ndarray:
    """rms over components and points of each quantity: (quantity,)."""
    return np.array([float(values[:, part].double().square().mean().sqrt()) for _, part in field.parts()])


def _is_own_opposite(grid: Grid) -> Tensor:
    """Modes of the rfftn layout that are their own opposite: n = 0 and Nyquist along every axis."""
    own = torch.ones(grid.half_shape, dtype=torch.bool)
    for n, points in zip(grid.modes(), grid.shape, strict=True):
        own = own & (2 * n % points == 0)
    return own


def largest_modes(power: ndarray, grid: Grid) -> tuple[list[list[str]], ndarray]:
    """The modes that hold most, each for itself and its opposite, and their rms: (output, rank) each.

    Parameters
    ----------
    power : ndarray, (output, *half_shape)
        Of each mode and its opposite together.
    """
    signed = np.stack([np.broadcast_to(n.numpy(), grid.half_shape).ravel() for n in grid.modes()], 1)
    nyquist = 2 * np.abs(signed) == grid.shape
    free = np.where(nyquist, 0, signed)
    first = np.take_along_axis(free, (free != 0).argmax(1)[:, None], 1)[:, 0]
    # In the planes 0 and Nyquist of the last axis both of a pair stand: the one whose first component is positive is named.
    named = (first >= 0) | (free[:, -1] != 0)
    flat = np.where(named, power.reshape(len(power), -1), 0.0)
    best = np.argsort(-flat, axis=1)[:, :LARGEST]
    names = [[waves.label(np.where(nyquist[i], abs(signed[i]), signed[i]).tolist()) for i in row] for row in best]
    return names, np.sqrt(np.take_along_axis(flat, best, 1))


def total_power(power: ndarray, grid: Grid) -> ndarray:
    """The sum over pairs of modes of the rfftn layout, where n and -n both stand in the planes 0 and Nyquist of the last axis."""
    once = torch.where(_is_own_opposite(grid), 1.0, grid.hermitian_weight() / 2).numpy()
    return (power * once).reshape(len(power), -1).sum(1)
