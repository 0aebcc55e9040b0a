"""Attribution maps of one sample, by several methods, each within the memory that a few passes take.

Two kinds of map. A slope G (gradient, SmoothGrad) is how much the scalar f changes for a unit of input. A contribution is what the
departure from a baseline x0 adds to f; those made of a mean slope are a = G (x - x0):

    gradient              G = df/dx (Simonyan, Vedaldi & Zisserman 2013, arXiv:1312.6034)
    smoothgrad            G = mean of df/dx about x + noise (Smilkov et al. 2017, arXiv:1706.03825)
    input_x_gradient      a = df/dx (x - x0) (Shrikumar et al. 2016, arXiv:1605.01713)
    integrated_gradients  a = (x - x0) times the mean of df/dx on the line from x0 to x: sum a = f(x) - f(x0) (Sundararajan, Taly &
                          Yan 2017, arXiv:1703.01365)
    gradient_shap         the like, with x0 drawn among baselines and a point drawn on each line (Lundberg & Lee 2017,
                          arXiv:1705.07874)
    deep_lift             multipliers of finite differences through each activation (Shrikumar et al. 2017, arXiv:1704.02685)
    occlusion             f(x) - f(x with a window set to x0), mean over the windows that hold a cell, shared among its cells
                          (Zeiler & Fergus 2014, arXiv:1311.2901)
    feature_ablation      the like with disjoint blocks, each channel by itself

For f(x) = w.x + b all contributions are w (x - x0), and all slopes w.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from probe.attribution.by_captum import deep_lift, removed
from probe.attribution.setting import AT_ONCE, METHODS, REMOVALS, SLOPES, Setting
from probe.derivatives import Function, gradient
from probe.errors import InputError
from probe.model.batching import Batches


@dataclass(frozen=True)
class Attribution:
    """A map of one sample.

    Attributes
    ----------
    values : Tensor, (1, channel, *grid)
        Slope or contribution, as the method has it.
    slope : Tensor or None, (1, channel, *grid)
        The mean slope; None of a removal, and of a mean over several baselines.
    contribution : Tensor or None, (1, channel, *grid)
        None of a slope.
    difference : float
        f(x) - f(x0); of several baselines minus the mean of theirs.
    nodes : int
        Gradients or passes that it took.
    wobble : float
        By how much the sum changed when the nodes were last doubled: what the quadrature may be off by; 0 where they never were.
    """

    values: Tensor
    slope: Tensor | None
    contribution: Tensor | None
    difference: float
    nodes: int
    wobble: float = 0.0

    @property
    def apart(self) -> float:
        """Sum of the contributions minus f(x) - f(x0); NaN of a slope."""
        return math.nan if self.contribution is None else float(self.contribution.double().sum()) - self.difference


def attribute(
    function: Function,
    values: Tensor,
    baselines: Tensor,
    method: str,
    setting: Setting | None = None,
    *,
    generator: torch.Generator | None = None,
    batch_size: int | None = None,
    network: nn.Module | None = None,
) -> Attribution:
    """The attribution of a scalar to one input.

    Parameters
    ----------
    function : callable
        (batch, channel, *grid) -> (batch,).
    values : Tensor, (1, channel, *grid)
    baselines : Tensor, (n, channel, *grid)
        The first is the baseline, of `gradient_shap` all of them.
    method : str
        One of `METHODS`.
    network : nn.Module, optional
        What `function` calls, whose activations `deep_lift` takes apart.

    Raises
    ------
    InputError
        If there is no such method, or it does not work on this model.
    """
    if method not in METHODS:
        raise InputError(f"there is no method {method!r}; give one of {', '.join(METHODS)}")
    setting, batches = setting or Setting(), Batches(batch_size)
    draw = generator or torch.Generator().manual_seed(0)
    baselines = baselines if method == "gradient_shap" else baselines[:1]
    with torch.no_grad():
        ends = batches.run(function, torch.cat([values, baselines]))
    difference = float(ends[0] - ends[1:].mean())
    if method in REMOVALS:
        change, passes = removed(function, values, baselines, method, setting, batches)
        return Attribution(change, None, change, difference, passes)
    if method == "gradient_shap":
        change = _expected(function, values, baselines, setting, draw, batches)
        return Attribution(change, None, change, difference, setting.draws)
    nodes, wobble = 1, 0.0
    if method == "integrated_gradients":
        slope, nodes, wobble = _integrated(function, values, baselines, difference, setting, batches)
    elif method == "smoothgrad":
        slope, nodes = _smooth(function, values, setting, draw, batches), setting.draws
    elif method == "deep_lift":
        slope = deep_lift(function, values, baselines, difference, setting, network)
    else:
        slope = batches.run(partial(gradient, function), values)
    if method in SLOPES:
        return Attribution(slope, slope, None, difference, nodes)
    contribution = slope * (values - baselines)
    return Attribution(contribution, slope, contribution, difference, nodes, wobble)


def _sum(function: Function, points: Iterator[tuple[Tensor, Tensor]], like: Tensor, batches: Batches) -> Tensor:
    """Sum of weight times slope over points, as many at once as are held: (channel, *grid), float64."""
    total, held = torch.zeros_like(like[0], dtype=torch.float64), max(1, AT_ONCE // like[0].numel())
    rows: list[tuple[Tensor, Tensor]] = []

    def flushed(total: Tensor) -> Tensor:
        if rows:
            found = batches.run(partial(gradient, function), torch.stack([point for point, _ in rows]))
            total = total + sum(
                ((weight * one).double() for one, (_, weight) in zip(found, rows, strict=True)), torch.zeros(()).to(total)
            )
            rows.clear()
        return total

    for row in points:
        rows.append(row)
        if len(rows) == held:
            total = flushed(total)
    return flushed(total)


# captum's IntegratedGradients rounds the weights of its quadrature to float32, takes a fixed number of steps, and holds all of
# them at once unless told how many fit. Here sums are float64, and the nodes are doubled until the map is complete: for a smooth
# network the error of Gauss and Legendre falls faster than any power of their number, with kinks (ReLU) like 1/n.
def _integrated(
    function: Function, values: Tensor, baseline: Tensor, difference: float, setting: Setting, batches: Batches
) -> tuple[Tensor, int, float]:
    away, nodes, spent, before = values - baseline, setting.steps, 0, math.nan
    wanted = setting.tolerance * max(abs(difference), setting.size)
    for doubling in range(setting.doublings + 1):
        places, weights = np.polynomial.legendre.leggauss(nodes)
        one = torch.ones((), dtype=values.dtype, device=values.device)
        points = ((baseline[0] + (1 + t) / 2 * away[0], w / 2 * one) for t, w in zip(places, weights, strict=True))
        total = _sum(function, points, values, batches)
        spent += nodes
        whole = float((total * away[0]).sum())
        if abs(whole - difference) <= wanted or doubling == setting.doublings:
            break
        nodes, before = 2 * nodes, whole
    return total[None].to(values.dtype), spent, 0.0 if math.isnan(before) else abs(whole - before)


# captum's NoiseTunnel and GradientShap draw from the global generators of torch and numpy, have one noise level for all channels,
# whatever their units, and put all draws through the network at once.
def _smooth(function: Function, values: Tensor, setting: Setting, draw: torch.Generator, batches: Batches) -> Tensor:
    axes = tuple(range(2, values.ndim))
    scatter = (values - values.mean(axes, keepdim=True)).square().mean(axes, keepdim=True).sqrt()
    weight = torch.full((), 1 / setting.draws, dtype=values.dtype, device=values.device)

    def points() -> Iterator[tuple[Tensor, Tensor]]:
        for _ in range(setting.draws):
            noise = torch.randn(values.shape[1:], generator=draw, dtype=torch.float64).to(values)
            yield values[0] + setting.noise * scatter[0] * noise, weight

    return _sum(function, points(), values, batches)[None].to(values.dtype)


# The mean of G_i (x - x_i) over baselines x_i is no product of one slope with one departure.
def _expected(
    function: Function, values: Tensor, baselines: Tensor, setting: Setting, draw: torch.Generator, batches: Batches
) -> Tensor:
    """Mean contribution: (1, channel, *grid)."""
    chosen = torch.randint(len(baselines), (setting.draws,), generator=draw).tolist()
    share = torch.rand(setting.draws, generator=draw, dtype=torch.float64).tolist()
    weight = torch.full((), 1 / setting.draws, dtype=values.dtype, device=values.device)
    total = torch.zeros_like(values[0], dtype=torch.float64)
    for which in sorted(set(chosen)):
        away = values[0] - baselines[which]
        points = ((baselines[which] + t * away, weight) for t, i in zip(share, chosen, strict=True) if i == which)
        total = total + _sum(function, points, values, batches) * away
    return total[None].to(values.dtype)
