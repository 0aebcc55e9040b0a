"""What an answer becomes when one of the things that it is made of is taken away, or exchanged for another sample's.

For independent inputs X_i with Y = f(X), exchanging one for another sample's changes the answer by (Jansen 1999, eq. 10)

    <|f(..., X_i', ...) - f(..., X_i, ...)|^2> = 2 Var(Y) S_i,

S_i the total-effect index of Sobol': the share of the answer's variance that would remain if all but X_i were known. Of f = sum
c_i X_i it is c_i^2 Var(X_i) / Var(Y), and exchanging changes the answer by 2 c_i^2 Var(X_i). Taking away X_i, that is putting its
mean in its place, changes this f by half as much, c_i^2 Var(X_i). The bands of k of a Gaussian field are such independent inputs.
Inputs that are correlated are not: exchanged one by one they make combinations that do not occur, and they are exchanged
together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from probe.bands import Band, exchanged, removed
from probe.ensemble import inputs_of
from probe.equivariance import test_field
from probe.fields import Field

if TYPE_CHECKING:
    from xarray import Dataset

    from probe.contract import Subject

FEW = 10  # samples: of fewer, numbers that do not vary in space seem correlated whatever they are
STEP = 0.1  # of a parameter without bounds, relative to its size


@dataclass(frozen=True)
class Ingredient:
    """Something that an answer is made of, which can be taken away.

    Attributes
    ----------
    name : str
        As it stands on an axis.
    inputs, parameters : tuple of str
        Names of input quantities and of conditioning parameters, together.
    band : Band or None
        Of all input fields.
    """

    name: str
    inputs: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    band: Band | None = None


@dataclass(frozen=True)
class RemovalCase:
    """One sample, the other whose parts it is given, and what is exchanged and taken away."""

    sample: int
    other: int
    samples: int
    ingredients: tuple[Ingredient, ...]


@dataclass(frozen=True)
class Removal:
    """Mean squares over points, summed over components: (ingredient, output) each, or (output,) where nothing was done.

    Attributes
    ----------
    exchanged, taken : ndarray
        Of the change of the answer.
    exchanged_error, taken_error, error : ndarray
        Of answer minus truth; NaN without pairs.
    mean : ndarray, (output, 3)
        Means of the answer over points, by component (zeros beyond the last).
    square : ndarray
        Mean square of the answer.
    """

    exchanged: ndarray
    taken: ndarray
    exchanged_error: ndarray
    taken_error: ndarray
    error: ndarray
    mean: ndarray
    square: ndarray


def remove(subject: Subject, case: RemovalCase) -> Removal:
    """Exchange and take away each ingredient of one sample."""
    given, other = (test_field(subject, place)[0] for place in (case.sample, case.other))
    has_truth = subject.pairs is not None and case.sample < len(subject.pairs)
    truth = subject.pairs[case.sample][1] if has_truth and subject.pairs is not None else None
    rest, base = rest_of(subject, case.samples), subject.model(given)
    rows: dict[str, list[ndarray]] = {name: [] for name in ("exchanged", "taken", "exchanged_error", "taken_error")}
    for one in case.ingredients:
        ways = {"exchanged": _with(given, other, one, subject, case), "taken": _without(given, rest, one, subject)}
        for way, asked in ways.items():
            answer = base if asked is None else subject.model(asked)
            rows[way].append(_squares(answer, base) if asked is not None else np.full(len(base.quantities), np.nan))
            rows[f"{way}_error"].append(_squares(answer, truth) if asked is not None else np.full(len(base.quantities), np.nan))
    return Removal(
        **{name: np.array(values) for name, values in rows.items()},
        error=_squares(base, truth),
        mean=np.array([_means(base.values[:, part]) for _, part in base.parts()]),
        square=_squares(base, base.with_values(torch.zeros_like(base.values))),
    )


def _squares(answer: Field, other: Field | None) -> ndarray:
    """Mean over points of the squared difference, summed over components, of each output quantity: (output,)."""
    if other is None:
        return np.full(len(answer.quantities), np.nan)
    away = (answer.values.double() - other.values.to(answer.values.device).double()).square()
    return np.array([float(away[:, part].sum(1).mean()) for _, part in answer.parts()])


def _means(values: Tensor) -> ndarray:
    found = values.double().mean((0, *range(2, values.ndim))).cpu().numpy()
    return np.pad(found, (0, 3 - len(found)))


def _with(given: Field, other: Field, one: Ingredient, subject: Subject, case: RemovalCase) -> Field | None:
    """The sample with an ingredient of another; None where the model has not this parameter."""
    if any(name not in subject.model.parameters for name in one.parameters):
        return None
    if one.band is not None:
        return given.with_values(exchanged(given.values.double(), other.values.double(), one.band, given.grid).to(given.values))
    return _replaced(given, other.values, one, {name: _exchanged_parameter(subject, name, case) for name in one.parameters})


def _without(given: Field, rest: Tensor, one: Ingredient, subject: Subject) -> Field | None:
    """The sample without an ingredient: a band empty, an input at its mean, a parameter at its default."""
    if any(name not in subject.model.parameters for name in one.parameters):
        return None
    if one.band is not None:
        return given.with_values(removed(given.values.double(), one.band, given.grid).to(given.values.dtype))
    return _replaced(given, rest.expand_as(given.values), one, {name: subject.model.parameters[name] for name in one.parameters})


def _replaced(given: Field, values: Tensor, one: Ingredient, parameters: Mapping[str, float]) -> Field:
    filled = given.values.clone()
    for quantity, part in given.parts():
        if quantity.name in one.inputs:
            filled[:, part] = values[:, part].to(filled)
    conditioning = tuple({**dict(given.conditioning), **parameters}.items())
    return replace(given.with_values(filled), conditioning=conditioning)


def _exchanged_parameter(subject: Subject, name: str, case: RemovalCase) -> float:
    """The other sample's value; where all have the same, one evenly between the bounds, or a step away without bounds."""
    found = {subject.model.parameters_for(test_field(subject, place)[0])[name] for place in range(case.samples)}
    if len(found) > 1:
        return subject.model.parameters_for(test_field(subject, case.other)[0])[name]
    described, default = subject.description.conditioning[name], subject.model.parameters[name]
    if bounds := described.get("bounds"):
        return float(bounds[0] + (bounds[1] - bounds[0]) * (case.sample + 0.5) / case.samples)
    return default + STEP * (abs(default) or 1.0)


def mean_varies(subject: Subject, samples: int) -> bool:
    """Whether the means of input fields over the box differ between samples by more than 1e-3 of their scatter."""
    means, scatter = [], _moments(subject, samples)[1].diagonal().clamp_min(1e-300).sqrt()
    for place in range(samples):
        given = test_field(subject, place)[0]
        fields = torch.cat([torch.full((part.stop - part.start,), float(not q.is_number)) for q, part in given.parts()])
        means.append(given.values[0].double().flatten(1).mean(1) * fields)
    return bool((torch.stack(means).std(0) > 1e-3 * scatter).any())


def varies(subject: Subject, name: str, samples: int) -> bool:
    """Whether a parameter is not the same for all samples."""
    return len({subject.model.parameters_for(test_field(subject, place)[0]).get(name) for place in range(samples)}) > 1


def rest_of(subject: Subject, samples: int) -> Tensor:
    """The mean of every input channel over samples and points; of one that never varies its size more: (1, channel, 1, ...).

    What is the same everywhere in all samples cannot be exchanged, and its mean is itself: it is moved by its own size instead.
    """
    mean, covariance = _moments(subject, samples)
    scatter = covariance.diagonal().clamp_min(0).sqrt()
    still = scatter <= 1e-6 * mean.abs().clamp_min(1e-30)
    moved = torch.where(still, mean + torch.where(mean == 0, 1.0, mean.abs()), mean)
    return moved.reshape(1, -1, *[1] * subject.grid.dimension)


def _moments(subject: Subject, samples: int) -> tuple[Tensor, Tensor]:
    """Mean and covariance of the input channels over samples and points: (channel,) and (channel, channel), float64."""
    return subject.shared(f"moments of {inputs_of(subject, samples)}", lambda: _measured(subject, samples))


def _measured(subject: Subject, samples: int) -> tuple[Tensor, Tensor]:
    totals: list[Tensor] = []
    shift = test_field(subject, 0)[0].values.double().mean((0, *subject.grid.axes))
    for place in range(samples):
        values = test_field(subject, place)[0].values[0].double().flatten(1) - shift[:, None]
        some = [values.mean(1), values @ values.T / values.shape[1]]
        totals = some if not totals else [a + b for a, b in zip(totals, some, strict=True)]
    mean = totals[0] / samples
    return mean + shift, totals[1] / samples - mean[:, None] * mean


def groups(subject: Subject, samples: int, threshold: float) -> list[tuple[tuple[str, ...], float]]:
    """The input quantities, those together whose channels are correlated beyond a threshold, and by how much at most.

    At one point, over points and samples; numbers take part from ten samples on.
    """
    quantities = test_field(subject, 0)[0].parts()
    covariance = _moments(subject, samples)[1]
    scatter = covariance.diagonal().clamp_min(1e-300).sqrt()
    correlation = (covariance / scatter / scatter[:, None]).abs().numpy()
    found: list[tuple[list[int], float]] = []
    for place in range(len(quantities)):
        members, largest = [place], 0.0
        for other in list(found):
            between = max((_between(quantities, place, m, correlation, samples) for m in other[0]), default=0.0)
            if between > threshold:
                members, largest = [*other[0], *members], max(largest, other[1], between)
                found.remove(other)
        found.append((sorted(members), largest))
    return [(tuple(quantities[m][0].name for m in members), largest) for members, largest in sorted(found)]


def _between(quantities: Sequence, first: int, second: int, correlation: ndarray, samples: int) -> float:
    (one, part), (other, theirs) = quantities[first], quantities[second]
    if (one.is_number or other.is_number) and samples < FEW:
        return 0.0
    return float(correlation[part, theirs].max())


def tabulate(rows: Sequence[Removal]) -> dict[str, Any]:
    """What came of every sample as variables of a dataset."""
    changes = ("exchanged", "taken", "exchanged_error", "taken_error")
    dimensions: dict[str, tuple[str, ...]] = {name: ("sample", "ingredient", "output") for name in changes}
    dimensions |= {"error": ("sample", "output"), "square": ("sample", "output"), "mean": ("sample", "output", "component")}
    return {name: (over, np.stack([getattr(row, name) for row in rows]), {"units": ""}) for name, over in dimensions.items()}


def chosen(data: Dataset) -> slice | list[int]:
    """The places of the outputs looked at: one by its name, or all."""
    name = str(data.attrs["output"])
    return [list(data.output.values).index(name)] if name else slice(None)


def variance(data: Dataset) -> ndarray:
    """Variance of each output looked at over points and samples: (output,); 0 where it is rounding."""
    square = data.square.values.mean(0)[chosen(data)]
    found = square - (data["mean"].values.mean(0)[chosen(data)] ** 2).sum(-1)
    return np.where(found > float(data.attrs["rounding"]) ** 2 * square, found, 0.0)


def answers(data: Dataset) -> bool:
    """Whether it answers, and not the same at all points of all samples."""
    return bool(np.isfinite(data.square.values).all() and variance(data).any())


def sums(data: Dataset, of: str) -> ndarray:
    """Mean squares of each sample: (sample, ingredient, output)."""
    return data[of].values[..., chosen(data)]


def mean_index(change: ndarray, variance: ndarray) -> ndarray:
    """Index from mean squared changes: (..., output) -> (...), mean over the outputs that vary."""
    some = variance > 0
    if not some.any():
        return np.full(change.shape[:-1], np.nan)
    index: ndarray = (change[..., some] / (2 * variance[some])).sum(-1) / some.sum()
    return index


def per_sample(data: Dataset, of: str) -> ndarray:
    """(sample, ingredient); what is taken away counts twice, so that of a sum of independent terms both ways are alike."""
    return mean_index(sums(data, of), variance(data)) * (2 if of == "taken" else 1)


def index(data: Dataset, of: str = "exchanged") -> ndarray:
    """The index of each ingredient, mean over samples: (ingredient,)."""
    found: ndarray = per_sample(data, of).mean(0)
    return found


def growth(data: Dataset) -> ndarray:
    """Error power without each ingredient over that with it: (ingredient,); nothing is said of parameters that were moved."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (sums(data, "taken_error").mean(0) / data.error.values[:, chosen(data)].mean(0)).mean(-1)
    return np.where(np.isfinite(ratio) & (data.moved.values == 0), ratio, np.nan)
