"""What an answer becomes when one latent variable is varied and the others stay.

A variable is taken over the range that draws of all samples fill, since draws are what the decoder was given in training: of a dead
variable, whose means stand still, that is the prior's. Changes are differences from the answer where all stay (the base), and are
compared with the scatter: the same differences where all are those of the samples themselves. Large fields are decoded one by
one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor

from probe import spectra
from probe.fields import Field, Quantity, place_of
from probe.latents.decoding import decoded
from probe.latents.encoding import Latents, latents_of

if TYPE_CHECKING:
    from xarray import Dataset

    from probe.contract import Subject
    from probe.grid import Grid

_HELD = 2**25  # numbers of decoded fields at once
_STRATA = 64  # of each sample's normal distribution
_PIXELS = 96  # of a stored slice, at most


@dataclass(frozen=True)
class Range:
    """How far each latent variable is taken, and what the others are.

    Attributes
    ----------
    points : int
    edge : float
        Share of all draws beyond either end.
    extend : float
        The range about its middle is multiplied with it.
    sample : int
        The pair whose input and conditioning stand for all that is no latent variable.
    own : bool
        Whether the others are that sample's; else the mean of all.
    """

    points: int = 9
    edge: float = 0.005
    extend: float = 1.0
    sample: int = 0
    own: bool = False


@dataclass(frozen=True)
class Walk:
    """One latent variable over its range, asked one question; -1: those of the first `samples` samples themselves."""

    latent: int
    range: Range
    output: str = ""
    question: tuple[str, float] | None = None
    samples: int = 0


def values_of(found: Latents, over: Range) -> np.ndarray:
    """The values that each latent variable takes: (latent, point), evenly spaced between quantiles of draws of all samples."""
    strata = ndtri((np.arange(_STRATA) + 0.5) / _STRATA) if found.std is not None else np.zeros(1)
    std = np.zeros_like(found.mean) if found.std is None else found.std
    drawn = found.mean[:, None] + std[:, None] * strata[:, None]
    low, high = np.quantile(drawn.reshape(-1, drawn.shape[2]), [over.edge, 1 - over.edge], axis=0)
    middle, half = (low + high) / 2, (high - low) / 2 * over.extend
    steps = np.linspace(-1.0, 1.0, over.points)
    taken: np.ndarray = middle[:, None] + half[:, None] * steps
    return taken


def base_of(found: Latents, over: Range) -> np.ndarray:
    """What stays: (latent,)."""
    return found.mean[over.sample] if over.own else found.mean.mean(0)


def walk(subject: Subject, case: Walk) -> dict[str, np.ndarray]:
    """What the answer becomes along one walk.

    Returns
    -------
    dict of str to ndarray, (point, ...)
        "square", mean squares of the change, (point,) of a field and (point, number) of numbers; "shown", the numbers, the line, or
        a slice of each of the field's components; of a field "power" and "power_change", (point, shell). Under "base_..." the
        base's own, its mean squares among them.
    """
    found, asked = latents_of(subject), dict([case.question] if case.question else [])
    base = torch.from_numpy(base_of(found, case.range))[None]
    if case.latent < 0:
        latents = torch.from_numpy(found.mean[: case.samples])
    else:
        latents = base.repeat(case.range.points, 1)
        latents[:, case.latent] = torch.from_numpy(values_of(found, case.range)[case.latent])
    sample, quantities = case.range.sample, compared(subject.description.outputs, case.output)
    home = _chosen(decoded(subject, base, sample, **asked), quantities)
    answers = (decoded(subject, some, sample, **asked) for some in _few(latents, subject))
    rows = [_described(_chosen(answer, quantities), home, answer.grid, quantities) for answer in answers]
    along = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    own = _described(home, home, subject.grid, quantities)
    square = _described(home, torch.zeros_like(home), subject.grid, quantities)["square"]
    return along | {"base_square": square[0]} | {f"base_{name}": own[name][0] for name in ("shown", "power") if name in own}


def _few(latents: Tensor, subject: Subject) -> Iterator[Tensor]:
    size = subject.description.channels_out * subject.grid.size
    yield from latents.split(max(1, _HELD // size))


def compared(outputs: tuple[Quantity, ...], name: str = "") -> tuple[Quantity, ...]:
    """The outputs that are looked at: one by its name, the first field, or all numbers where there is no field.

    Raises
    ------
    InputError
        If there is no output of that name.
    """
    first = outputs[place_of(outputs, name)]
    return (first,) if name or not first.is_number else outputs


def _chosen(answer: Field, quantities: tuple[Quantity, ...]) -> Tensor:
    """(batch, width, *grid) of a field; (batch, number) of numbers."""
    parts = [answer.part(quantity.name)[1].double() for quantity in quantities]
    if quantities[0].is_number:
        return torch.cat([part.flatten(1)[:, :1] for part in parts], 1)
    return parts[0]


def _described(answer: Tensor, home: Tensor, grid: Grid, quantities: tuple[Quantity, ...]) -> dict[str, np.ndarray]:
    change = answer - home
    if quantities[0].is_number:
        return {"square": change.square().cpu().numpy(), "shown": answer.cpu().numpy()}
    found = {
        "square": change.square().sum(1).flatten(1).mean(1),
        "shown": shown(answer),
        "power": spectra.power(spectra.windowed(answer, grid), grid),
        "power_change": spectra.power(spectra.windowed(change, grid), grid),
    }
    return {name: values.cpu().numpy() for name, values in found.items()}


def shown(values: Tensor) -> Tensor:
    """Each component on a line, or in a slice of 96 points a side at most through the middle: (batch, width, u) or (.., u, v)."""
    flat = values if values.ndim < 5 else values[..., values.shape[4] // 2]
    if flat.ndim == 3:
        return flat
    steps = [-(-points // _PIXELS) for points in flat.shape[2:]]
    return flat[:, :, :: steps[0], :: steps[1]]


def sizes(data: Dataset) -> np.ndarray:
    """How far each latent variable changes the answer over its range: root mean square of `effect`, (latent,)."""
    found: np.ndarray = np.sqrt((data.effect.values**2).mean(1))
    return found


@dataclass(frozen=True)
class Trip:
    """There and back: a pair's input, answered by the model, and by its own latent variables decoded."""

    index: int
    output: str = ""


def trip(subject: Subject, case: Trip) -> np.ndarray:
    """Sums of squares of the difference between the two answers, and of the model's: (2,)."""
    assert subject.pairs is not None
    own = torch.from_numpy(latents_of(subject).mean[case.index])[None]
    quantities = compared(subject.description.outputs, case.output)
    answers = [subject.model(subject.pairs.given(case.index)), decoded(subject, own, case.index)]
    straight, back = (_chosen(answer, quantities) for answer in answers)
    return torch.stack([(back - straight).square().sum(), straight.square().sum()]).cpu().numpy()


def questions(description: Any, count: int) -> tuple[str, np.ndarray]:
    """The parameter along which numbers are curves, and its values: the one with bounds, where there is but one.

    Returns
    -------
    name : str
        Empty where the answer is a field, or there is no such parameter.
    values : ndarray
    """
    bounded = {name: one["bounds"] for name, one in description.conditioning.items() if "bounds" in one}
    if len(bounded) != 1 or not all(quantity.is_number for quantity in description.outputs):
        return "", np.empty(0)
    ((name, (low, high)),) = bounded.items()
    return name, np.linspace(low, high, count)
