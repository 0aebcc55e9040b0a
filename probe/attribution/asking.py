"""One target of one sample by one method, asked of a subject, and read."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from numpy import ndarray
from torch import Tensor, nn

from probe.attribution import reading
from probe.attribution.methods import Attribution, attribute
from probe.attribution.setting import METHODS, REMOVALS, SLOPES, Setting
from probe.contract import Subject
from probe.derivatives import GRADIENTS, derivative_of
from probe.equivariance import test_field
from probe.errors import InputError
from probe.fields import Field
from probe.grid import Grid
from probe.parameters import nearest
from probe.targets import Target, density_of, function_of, place_of_target

if TYPE_CHECKING:
    from probe.model import FieldModel

BASELINES = ("zero", "mean", "sample")


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
    """A map, read; NaN where a method has no such number, everywhere where it did not work.

    Attributes
    ----------
    difference, total : float
        f(x) - f(x0), and the sum of the contributions, in the unit of the target.
    nodes : int
    wobble : float
        What the quadrature may be off by.
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
        Share of the amount.
    picture : ndarray, (u, v)
        A plane of the map through the target.
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


def read_methods(named: tuple[str, ...] | None, subject: Subject) -> tuple[str, ...]:
    """The methods asked for; by default those that say most for their cost, without gradients removal alone.

    Raises
    ------
    InputError
        If there is no such method.
    """
    for name in named or ():
        if name not in METHODS:
            raise InputError(f"there is no method {name!r}{nearest(name, METHODS)}; give some of {', '.join(METHODS)}")
    if named:
        return named
    usual = ("integrated_gradients", "gradient")
    return ("occlusion",) if no_methods(("gradient",), subject) else usual


def no_methods(methods: tuple[str, ...], subject: Subject) -> str:
    """Why no gradient method can be asked; empty where one can. Tried once a run by a few passes."""
    if all(method in REMOVALS for method in methods):
        return ""
    derivative = derivative_of(subject)
    return "" if derivative.way in GRADIENTS else f"no usable gradient: {derivative.reason or 'it is found by differences alone'}"


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
    axes = tuple(range(2, given.ndim))
    means = [values_of(subject, i).double().mean(axes, keepdim=True) for i in range(samples)]
    return torch.stack(means).mean(0).to(given).expand_as(given)


def ask(subject: Subject, case: Case) -> Found:
    """The map of one case, read."""
    given, place = values_of(subject, case.sample), place_of_target(subject, case.target, case.sample)
    baseline = baseline_of(subject, case.baseline, case.sample, case.samples)
    try:
        found = map_of(subject, case, given, baseline)
    except InputError as fault:
        if case.method != "deep_lift":
            raise
        return _nothing(subject, case, str(fault))
    return _read(subject, case, found, given, baseline, place)


def map_of(subject: Subject, case: Case, given: Tensor, baseline: Tensor, model: FieldModel | None = None) -> Attribution:
    """The attribution of one case, of the subject's model or of another in its place."""
    asked = model or subject.model
    if case.method == "gradient_shap" and case.samples > 1:
        others = [values_of(subject, i) for i in range(case.samples) if i != case.sample][:8]
        baseline = torch.cat(others)
    network = asked.network if isinstance(asked.network, nn.Module) else None
    return attribute(
        function_of(subject, case.target, case.sample, model),
        given,
        baseline,
        case.method,
        case.setting,
        generator=subject.rng(f"attribution {case.target} {case.sample}"),
        batch_size=asked.batch_size,
        network=network,
    )


def _read(
    subject: Subject, case: Case, found: Attribution, given: Tensor, baseline: Tensor, place: tuple[int, ...] | None
) -> Found:
    grid, is_slope = subject.grid, case.method in SLOPES
    amounts = reading.amount(found.values, is_slope, reading.scatter_of(given))
    mean, expected = reading.profile(amounts, place, grid)
    density = density_of(Field(given, grid, subject.description.inputs))[0]
    channels = torch.stack(
        [reading.amount(found.values[:, c : c + 1], is_slope, s[None]).sum() for c, s in enumerate(reading.scatter_of(given))]
    )
    scales = _no_scales(subject) if found.slope is None else reading.by_scale(found.slope, given - baseline, grid)
    picture = amounts if is_slope and given.shape[1] > 1 else found.values[0].double().sum(0)
    profile, within = _about(amounts, mean, place, subject)
    return Found(
        difference=found.difference,
        total=math.nan if found.contribution is None else float(found.contribution.double().sum()),
        nodes=found.nodes,
        profile=profile,
        within=within,
        shells=scales["shells"],
        axes=scales["axes"],
        mean=float(scales["mean"]),
        channels=(channels / channels.sum().clamp_min(1e-300)).cpu().numpy(),
        picture=reading.slice_of(picture, place),
        wobble=found.wobble,
        **_by_density(amounts, expected, density, case.quantiles, subject),
    )


def _by_density(amounts: Tensor, expected: Tensor, density: Tensor, quantiles: int, subject: Subject) -> dict[str, Any]:
    if float(density.std()) == 0:
        return {"quantiles": torch.full((quantiles,), math.nan).numpy(), "peaks": math.nan, "voids": math.nan}
    return reading.by_density(amounts, expected, density.to(amounts.device), quantiles, subject.grid)


def _about(amounts: Tensor, mean: Tensor, place: tuple[int, ...] | None, subject: Subject) -> tuple[ndarray, ndarray]:
    """Mean amount and share within each distance, padded with NaN to the longest distance of any place."""
    longest = reading.farthest(subject.grid)
    profile, within = (torch.full((longest,), math.nan, dtype=torch.float64) for _ in range(2))
    if place is not None:
        shell = reading.shells_about(place, subject.grid).flatten()
        cells = torch.bincount(shell)
        profile[: len(mean)] = mean.cpu()
        share = (mean.cpu() * cells).cumsum(0)
        within[: len(mean)] = share / share[-1].clamp_min(1e-300)
        within[len(mean) :] = 1.0
    return profile.numpy(), within.numpy()


def _no_scales(subject: Subject) -> dict[str, ndarray]:
    nan = torch.full((), math.nan, dtype=torch.float64)
    return {
        "shells": nan.expand(subject.grid.shells().count).numpy(),
        "axes": nan.expand(subject.grid.dimension).numpy(),
        "mean": nan.numpy(),
    }


def _nothing(subject: Subject, case: Case, reason: str) -> Found:
    nan, grid = torch.full((), math.nan, dtype=torch.float64), subject.grid
    far, channels = reading.farthest(grid), subject.description.channels_in
    scales = _no_scales(subject)
    return Found(
        math.nan,
        math.nan,
        0,
        nan.expand(far).numpy(),
        nan.expand(far).numpy(),
        nan.expand(case.quantiles).numpy(),
        math.nan,
        math.nan,
        scales["shells"],
        scales["axes"],
        math.nan,
        nan.expand(channels).numpy(),
        reading.slice_of(nan.expand(grid.shape), None),
        reason=reason,
    )


def difference(subject: Subject, case: Case) -> float:
    """f(x) - f(x0) of one case."""
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
