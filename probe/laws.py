"""Laws that an answer keeps or does not: its mean, its sign, its derivatives, an equation of the user's."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from probe import spectra
from probe.contract import Subject
from probe.controls import is_displacement
from probe.equivariance import rounding, test_field
from probe.errors import InputError
from probe.fields import Field, Quantity
from probe.grid import Grid

LOWEST = {"density": 0.0, "overdensity": -1.0}
MEANS = {
    "zero": "zero, as the description declares",
    "kept": "the input's, as the description declares",
    "momentum": "D(out)/D(in) times the input's (momentum is conserved)",
    "mass": "the input's (mass is conserved)",
    "overdensity": "zero, the mean of every overdensity",
    "truth": "the truth's mass",
}


@dataclass(frozen=True)
class FieldCase:
    """A real field, by its place: those of the pairs first."""

    index: int


@dataclass(frozen=True)
class Kept:
    """What one field keeps of each law; nan where the law does not concern it.

    Attributes
    ----------
    drift : ndarray, (output,)
        Distance of the mean from what it should be, rms over the components.
    size : ndarray, (output,)
        rms of the field.
    below : ndarray, (output,)
        Share of cells below the lowest value allowed.
    longitudinal, transverse : ndarray, (output, shell)
        Power along k and across it.
    divergence, curl : ndarray, (output,)
        rms of it over the rms of all derivatives, sqrt(|div|^2 + |curl|^2).
    residual : float
        rms of the sum of the equation's terms over the root of their summed mean squares.
    """

    drift: ndarray
    size: ndarray
    below: ndarray
    longitudinal: ndarray
    transverse: ndarray
    divergence: ndarray
    curl: ndarray
    residual: float


def keep(subject: Subject, case: FieldCase) -> tuple[Kept, Kept | None]:
    """What the answer to a field keeps of each law, and what the truth does where there is one."""
    given, _ = test_field(subject, case.index)
    truth = subject.pairs[case.index][1] if subject.pairs and case.index < len(subject.pairs) else None
    answer = subject.model(given)
    return _kept(subject, given, answer, truth), None if truth is None else _kept(subject, given, truth, truth)


def _kept(subject: Subject, given: Field, answer: Field, truth: Field | None) -> Kept:
    """What a field, the answer or the truth, keeps of each law."""
    values, grid, rows = answer.values.double().cpu(), subject.grid, []
    for quantity, part in answer.parts():
        own = values[:, part]
        size = float(own.square().mean().sqrt())
        off = own.mean(grid.axes)[0] - _expected(quantity, part, subject, given, truth)
        lowest = lowest_of(quantity, subject)
        tolerance = rounding(subject.model.dtype) * size
        below = (own < lowest - tolerance).double().mean() if lowest is not None else math.nan
        rows.append((float(off.square().mean().sqrt()), size, float(below), *_split(own, quantity, grid)))
    drift, sizes, low, along, across, divergence, curl = (np.array(column) for column in zip(*rows, strict=True))
    return Kept(drift, sizes, low, along, across, divergence, curl, _left_unsolved(subject, given, answer))


def _split(values: Tensor, quantity: Quantity, grid: Grid) -> tuple[ndarray, ndarray, float, float]:
    """Power along k and across it, (shell,) each, and the rms of divergence and curl over that of both."""
    shells = grid.shells()
    if not quantity.is_vector or grid.boundary != "periodic":
        return np.full(shells.count, math.nan), np.full(shells.count, math.nan), math.nan, math.nan
    modes = spectra.fourier(values, grid)
    along = spectra.longitudinal(modes, grid)
    ahead = torch.stack([k.expand(grid.half_shape) for k in grid.wavevectors()]) / grid.wavenumber().clamp_min(1e-300)
    squares = [part.abs().square() for part in (along[0], (modes[0] - ahead * along[0]).norm(dim=0))]
    power = [(shells.sum(one, grid) / shells.modes * grid.volume / grid.size**2).numpy() for one in squares]
    below = torch.ones(grid.half_shape)
    for n, points in zip(grid.modes(), grid.shape, strict=True):
        below = below * (2 * n.abs() < points)
    weight = grid.hermitian_weight() * grid.wavenumber() ** 2 * below
    derived = np.sqrt([float((weight * one).sum()) for one in squares])
    divergence, curl = derived / max(float(np.hypot(*derived)), 1e-300)
    across = power[1] if grid.dimension > 1 else np.full(shells.count, math.nan)
    return power[0], across, float(divergence), float(curl)


def mean_law(quantity: Quantity, subject: Subject) -> str:
    """Which of MEANS fixes the mean of an output; empty where none does."""
    constraints = subject.description.constraints
    for law, names in (("zero", constraints.zero_mean), ("kept", constraints.conserved_mean)):
        if quantity.name in names:
            return law
    if subject.grid.boundary != "periodic":
        return ""
    if is_displacement(subject.description):
        return "momentum"
    if quantity.quantity in LOWEST and _same(quantity, subject) is not None:
        return "mass"
    if quantity.quantity == "overdensity":
        return "overdensity"
    return "truth" if quantity.quantity == "density" and subject.pairs else ""


def _expected(quantity: Quantity, part: slice, subject: Subject, given: Field, truth: Field | None) -> Tensor | float:
    """The mean that an output should have; without a law the truth's, or zero."""
    law, axes = mean_law(quantity, subject), subject.grid.axes
    if law == "momentum":
        return subject.description.truth.growth_ratio * given.values.double().cpu().mean(axes)[0]
    if law in ("mass", "kept"):
        return given.values[:, _same(quantity, subject)].double().cpu().mean(axes)[0]
    if law in ("truth", ""):
        return truth.values[:, part].double().cpu().mean(axes)[0] if truth is not None else 0.0
    return 0.0


def _same(quantity: Quantity, subject: Subject) -> slice | None:
    """The channels of the input that is of the same quantity and unit, if one is."""
    start = 0
    for one in subject.description.inputs:
        stop = start + one.width(subject.grid)
        if (one.kind, one.quantity, one.unit) == (quantity.kind, quantity.quantity, quantity.unit):
            return slice(start, stop)
        start = stop
    return None


def lowest_of(quantity: Quantity, subject: Subject) -> float | None:
    """Below which a quantity never is; None where nothing says so."""
    declared = 0.0 if quantity.name in subject.description.constraints.positive else None
    return LOWEST.get(quantity.quantity, declared)


def _left_unsolved(subject: Subject, given: Field, answer: Field) -> float:
    """What the user's residual leaves over, relative to its terms where it gives them; nan without one."""
    name = subject.description.constraints.residual
    function = subject.model.code.get(name)
    if function is None:
        return math.nan
    arrays = [field.values.double().cpu().numpy() for field in (given, answer)]
    try:
        terms = function(*arrays, **{**subject.model.parameters, **dict(given.conditioning)})
        if not isinstance(terms, (tuple, list)):
            raise TypeError(f"it gave a {type(terms).__name__}; expected the terms of the equation apart, a tuple of arrays")
        each = [np.asarray(term, dtype=float) for term in terms]
        left = float(np.sqrt(np.mean(sum(each) ** 2)))
    except Exception as error:  # the function is the user's, and may raise anything
        raise InputError(f"the residual {name} raised {type(error).__name__} ({error}); mend it there") from error
    scale = math.sqrt(sum(float(np.mean(term**2)) for term in each))
    return left / scale if scale > 0 else 0.0
