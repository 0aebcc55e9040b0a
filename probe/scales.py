"""How much of a number's variance each mode of the input makes, by |k| and by direction; and what it is without bands of k.

The number is a target (`probe.targets`) about a real field; how its gradient becomes shares of modes is told in `probe.ensemble`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from probe import bands, ensemble, spectra
from probe.bands import Band
from probe.derivatives import gradient, no_gradient
from probe.equivariance import facts, test_field
from probe.fields import Field, Quantity, parts_of, place_of
from probe.targets import defaults, function_of, parse
from probe.transforms import LatticeSymmetry

if TYPE_CHECKING:
    from xarray import Dataset

    from probe.contract import Subject


@dataclass(frozen=True)
class ScalesCase:
    """A target about one field, and bands to take out; so many samples make the ensemble."""

    sample: int
    samples: int
    target: str
    bands: tuple[Band, ...]


@dataclass(frozen=True)
class ByScale:
    """A target: its value, its variance by bin of |k|, (bin,), and its change by the band that is taken out, (band,)."""

    value: float
    shares: ndarray
    removed: ndarray


def by_scale(subject: Subject, case: ScalesCase) -> ByScale:
    """One target about one field; shares are NaN where no gradients pass."""
    grid, values = subject.grid, _given(subject, case.sample).values
    function = function_of(subject, parse(case.target), case.sample)
    with torch.no_grad():
        value = float(function(values))
        without = (bands.removed(values.double(), band, grid).to(values) for band in case.bands)
        removed = np.array([value - float(function(some)) for some in without])
    if no_gradient(subject):
        return ByScale(value, np.full(ensemble.count_of(grid), np.nan), removed)
    weights = ensemble.ensemble_of(subject, case.samples).variance(gradient(function, values)[0])
    return ByScale(value, ensemble.by_bin(weights, grid).cpu().numpy(), removed)


def _given(subject: Subject, sample: int) -> Field:
    return test_field(subject, sample)[0].to(subject.model.device, subject.model.physical_dtype)


@dataclass(frozen=True)
class DirectionsCase:
    """A channel of the answer at all points, or a target where there is none (-1), about one field."""

    sample: int
    samples: int
    channel: int
    target: str = ""


def together(subject: Subject) -> list[tuple[int, str]]:
    """What together prefers no direction, as channel and target: each channel of the first output field; else the numbers."""
    outputs = subject.description.outputs
    quantity, channels = parts_of(outputs, subject.grid)[place_of(outputs)]
    if quantity.is_number:
        return [(-1, str(target)) for target in defaults(subject)]
    return [(channel, "") for channel in range(channels.start, channels.stop)]


def by_direction(subject: Subject, case: DirectionsCase) -> tuple[ndarray, ndarray]:
    """Variance by angle and were all of a bin alike, (axis, angle) each, summed over the field with its axes exchanged in turn."""
    grid, given = subject.grid, _given(subject, case.sample)
    if no_gradient(subject):
        nothing = np.full((grid.dimension, ensemble.BINS + 1), np.nan)
        return nothing, nothing
    found, even = torch.zeros(()), torch.zeros(())
    for turn in turns_of(subject):
        everywhere = case.channel >= 0
        function = _all_over(subject, case, turn) if everywhere else function_of(subject, parse(case.target), case.sample)
        weights = ensemble.ensemble_of(subject, case.samples).variance(gradient(function, turn(given).values)[0])
        one, other = (rows.cpu() for rows in ensemble.directions(weights, grid))
        found, even = found + one, even + other
    return found.numpy(), even.numpy()


# A field that is drawn has directions of its own, and a nonlinear model about it prefers them. Over a field and its turns x -> y ->
# z -> x those of a model that turns with it add up to the same along every axis, exactly: what is left is the model's own. (In the
# plane x and y change places, which is a mirror, and is done where the description grants mirrors.)
def turns_of(subject: Subject) -> list[LatticeSymmetry]:
    """The turns of its axes into each other's places that a field is asked under."""
    axes = tuple(range(subject.grid.dimension))
    every = [LatticeSymmetry((*axes[m:], *axes[:m]), (1,) * len(axes)) for m in axes]
    mirrored = len(axes) == 2 and facts(subject)["denied_reflection"]
    granted = not mirrored and all(turn.keeps(subject.grid) for turn in every)
    return every if granted else every[:1]


# The gradient of sum_x z(x) f(x), z of random phases and |z(k)| = 1, is sum_x z(x) g_x, g_x that of f at x. Over draws of z its
# square at k has the mean of |g_x(k)|^2 over all x; of a model that is linear and treats all places alike it is that very value,
# whatever the phases are.
def _all_over(subject: Subject, case: DirectionsCase, turn: LatticeSymmetry) -> Callable[[Tensor], Tensor]:
    """One channel of the answer, all points together at random phases: (batch, channel, *grid) -> (batch,)."""
    grid, generator = subject.grid, subject.rng(f"phases {case.sample}")
    modes = spectra.fourier(torch.randn(grid.shape, generator=generator, dtype=torch.float64), grid)
    phases = torch.fft.irfftn(modes / modes.abs(), s=grid.shape, dim=grid.axes)[None, None]
    spread = turn(Field(phases, grid, (Quantity("phases"),))).values[0, 0]
    asked = subject.model.at(**subject.model.parameters_for(test_field(subject, case.sample)[0]))

    def function(values: Tensor) -> Tensor:
        subject.model.passes += len(values) if asked is not subject.model else 0
        return (asked.function(values)[:, case.channel].double() * spread.to(values.device)).flatten(1).sum(1)

    return function


def asked(data: Dataset) -> ndarray:
    """Whether each target has shares: (target,)."""
    total = data.share.values.sum((1, 2))
    found: ndarray = np.isfinite(total) & (total > 0)
    return found


def normal(rows: ndarray) -> ndarray:
    """Shares of the variance, all samples together: (sample, bin) -> (bin,)."""
    total: ndarray = rows.sum(0) / max(rows.sum(), 1e-300)
    return total


def apart(own: ndarray, theirs: ndarray) -> ndarray:
    """Total variation of two distributions, (sample, bin) each: the variance that would have to be moved to other bins."""
    moved: ndarray = np.abs(normal(own) - normal(theirs)).sum() / 2
    return moved


def quantile(rows: ndarray, k: ndarray, part: float) -> float:
    """The k below which a part of the variance lies, linear between the bins' upper edges, so that it moves with the shares."""
    return float(np.interp(part, np.cumsum(normal(rows)), k + k[1] / 2))


def removal_shares(data: Dataset) -> ndarray:
    """Squared changes when bands are taken out, over their sum: (target, band)."""
    square = (data.removed.values**2).sum(1)
    shares: ndarray = square / np.maximum(square.sum(-1, keepdims=True), 1e-300)
    return shares
