"""One target of one sample by one method, asked of a subject, and read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor, nn

from probe.attribution import reading
from probe.attribution.methods import Attribution, attribute
from probe.attribution.setting import METHODS, REMOVALS, SLOPES, Setting
from probe.derivatives import no_gradient
from probe.ensemble import inputs_of
from probe.equivariance import test_field
from probe.errors import InputError
from probe.fields import Field
from probe.grid import Grid
from probe.parameters import nearest
from probe.targets import Target, density_of, function_of, place_of_target, slice_of

if TYPE_CHECKING:
    from probe.contract import Subject
    from probe.model import FieldModel

USUAL = ("integrated_gradients", "gradient")  # those that say most for their cost
MOST_BASELINES = 8  # of GradientSHAP


@dataclass(frozen=True)
class Case:
    """What is attributed, and how.

    Attributes
    ----------
    sample, samples : int
        Place of the input, and how many there are: the others are baselines.
    baseline : {"zero", "mean", "sample"}
        x0: nothing, the mean of each channel over the samples, or the next sample.
    quantiles : int
        Of density.
    """

    target: Target
    method: str
    sample: int
    samples: int
    baseline: str = "mean"
    setting: Setting = field(default_factory=Setting)
    quantiles: int = 5


@dataclass(frozen=True)
class Found:
    """A map, read; NaN where a method has no such number, everywhere but in the difference where it did not work.

    Attributes
    ----------
    difference, total : float
        f(x) - f(x0), and the sum of the contributions, in the unit of the target.
    nodes : int
    profile : ndarray, (distance,)
        Mean amount at each distance; NaN beyond the box, and everywhere for a target about no place.
    within : ndarray, (distance,)
        Share of the amount up to each distance.
    quantiles : ndarray, (quantile,)
        Preference for each quantile of density, 1 being none.
    peaks, voids : float
        For local maxima in the densest quantile and local minima in the emptiest.
    shells, axes : ndarray
        Contribution of each shell of |k|, and along each axis.
    mean : float
        Contribution of k = 0.
    channels : ndarray, (channel,)
        Share of the amount; zeros of a map that is zero everywhere.
    picture : ndarray, (u, v)
        A plane of the map through the target.
    wobble : float
        What the quadrature may be off by.
    reason : str
        Why the method did not work; empty where it did.
    """

    difference: float
    total: float
    nodes: int
    profile: ndarray
    within: ndarray
    quantiles: ndarray
    peaks: float
    voids: float
    shells: ndarray
    axes: ndarray
    mean: float
    channels: ndarray
    picture: ndarray
    wobble: float = 0.0
    reason: str = ""


def check_methods(named: Sequence[str]) -> None:
    """Let known methods pass.

    Raises
    ------
    InputError
        If there is no such method.
    """
    for name in named:
        if name not in METHODS:
            raise InputError(f"there is no method {name!r}{nearest(name, METHODS)}; give some of {', '.join(METHODS)}")


def usable_methods(named: Sequence[str] | None, subject: Subject) -> tuple[str, ...]:
    """Those of the methods asked for, each once, that can be asked of a subject; where none can, occlusion."""
    asked = dict.fromkeys(named or USUAL)
    return tuple(method for method in asked if not no_methods((method,), subject)) or ("occlusion",)


def no_methods(methods: Sequence[str], subject: Subject) -> str:
    """Why not all of some methods can be asked, for want of gradients; empty where they can. Tried once a run by a few passes."""
    if all(method in REMOVALS for method in methods):
        return ""
    reason = no_gradient(subject)
    return f"no usable gradient: {reason}" if reason else ""


def values_of(subject: Subject, sample: int) -> Tensor:
    """The input of a sample on the model's device: (1, channel, *grid)."""
    model: FieldModel = subject.model
    return test_field(subject, sample)[0].values.to(model.device, model.physical_dtype)


def baseline_of(subject: Subject, kind: str, sample: int, samples: int) -> Tensor:
    """x0 of one sample: (1, channel, *grid)."""
    given = values_of(subject, sample)
    if kind == "zero":
        return torch.zeros_like(given)
    if kind == "sample" and samples > 1:
        return values_of(subject, (sample + 1) % samples)
    means = subject.shared(f"means of {inputs_of(subject, samples)}", lambda: _means(subject, samples))
    return means.to(given).expand_as(given)


def _means(subject: Subject, samples: int) -> Tensor:
    """Of each channel over points and samples: (1, channel, 1, ...), float64."""
    axes = subject.grid.axes
    return torch.stack([values_of(subject, i).double().mean(axes, keepdim=True) for i in range(samples)]).mean(0)


def ask(subject: Subject, case: Case) -> Found:
    """The map of one case, read."""
    given = values_of(subject, case.sample)
    baseline = baseline_of(subject, case.baseline, case.sample, case.samples)
    try:
        found = map_of(subject, case, given, baseline)
    except InputError as fault:
        if case.method != "deep_lift":
            raise
        return replace(_unknown(subject, case), difference=difference(subject, case), reason=str(fault))
    return _read(subject, case, found, given, baseline)


def map_of(subject: Subject, case: Case, given: Tensor, baseline: Tensor, model: FieldModel | None = None) -> Attribution:
    """The attribution of one case, of the subject's model or of another in its place; GradientSHAP's against the other samples."""
    asked = model or subject.model
    if case.method == "gradient_shap" and case.samples > 1:
        others = [i for i in range(case.samples) if i != case.sample][:MOST_BASELINES]
        baseline = torch.cat([values_of(subject, i) for i in others])
    return attribute(
        function_of(subject, case.target, case.sample, model),
        given,
        baseline,
        case.method,
        case.setting,
        generator=subject.rng(f"attribution {case.target} {case.sample}"),
        batch_size=asked.batch_size,
        network=asked.network if isinstance(asked.network, nn.Module) else None,
    )


def _unknown(subject: Subject, case: Case) -> Found:
    """Nothing but NaN, in the shapes of what can be read of a map."""
    grid, nan = subject.grid, math.nan
    far, shells, channels = reading.farthest(grid), grid.shells().count, subject.description.channels_in
    shapes = {"profile": far, "within": far, "quantiles": case.quantiles, "shells": shells, "axes": grid.dimension}
    arrays: dict[str, Any] = {name: np.full(count, nan) for name, count in (shapes | {"channels": channels}).items()}
    picture = slice_of(torch.full((), nan).expand(grid.shape))
    return Found(difference=nan, total=nan, nodes=0, peaks=nan, voids=nan, mean=nan, picture=picture, **arrays)


def _read(subject: Subject, case: Case, found: Attribution, given: Tensor, baseline: Tensor) -> Found:
    grid, is_slope, scatter = subject.grid, case.method in SLOPES, reading.scatter_of(given)
    place = place_of_target(subject, case.target, case.sample)
    amounts = reading.amount(found.values, is_slope, scatter)
    mean, expected = reading.profile(amounts, place, grid)
    density = density_of(Field(given, grid, subject.description.inputs))[0].to(amounts.device)
    read: dict[str, Any] = {"channels": reading.by_channel(found.values, is_slope, scatter)}
    if float(density.std()) > 0:
        read |= reading.by_density(amounts, expected, density, case.quantiles, grid)
    if found.slope is not None:
        read |= reading.by_scale(found.slope, given - baseline, grid)
    if place is not None:
        read |= reading.by_distance(mean, place, grid)
    return replace(
        _unknown(subject, case),
        difference=found.difference,
        total=math.nan if found.contribution is None else float(found.contribution.double().sum()),
        nodes=found.nodes,
        wobble=found.wobble,
        picture=slice_of(amounts if is_slope and given.shape[1] > 1 else found.values[0].double().sum(0), place),
        **read,
    )


def difference(subject: Subject, case: Case) -> float:
    """f(x) - f(x0) of one case, whatever its method."""
    function = function_of(subject, case.target, case.sample)
    ends = (values_of(subject, case.sample), baseline_of(subject, case.baseline, case.sample, case.samples))
    with torch.no_grad():
        above, below = (float(function(one)) for one in ends)
    return above - below


def cost(method: str, setting: Setting, grid: Grid) -> int:
    """Passes that one map takes, a gradient being counted as two."""
    windows = math.prod(math.ceil(points / setting.window) for points in grid.shape)
    gradients = {"integrated_gradients": setting.steps, "smoothgrad": setting.draws, "gradient_shap": setting.draws}
    return 1 + windows if method in REMOVALS else 2 + 2 * gradients.get(method, 1)


def default_window(grid: Grid) -> int:
    """Cells a side of which some 64 windows cover the box."""
    return max(1, round(min(grid.shape) / 64 ** (1 / grid.dimension)))
