"""Numbers that say whether maps are to be believed: what they share, and what they foretell."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from probe.attribution.by_captum import blocks
from probe.attribution.setting import REMOVALS, SLOPES
from probe.derivatives import gradient
from probe.targets import function_of

if TYPE_CHECKING:
    from probe.attribution.sanity import SanityCase
    from probe.contract import Subject


def shared(a: Tensor, b: Tensor) -> float:
    """cos^2 of two maps; 0 where one is nothing, NaN where one is not finite."""
    x, y = a.double().flatten(), b.double().flatten()
    size = float((x @ x) * (y @ y))
    return float((x @ y) ** 2) / size if size > 0 else 0.0 if size == 0 else math.nan


def agreement(amounts: list[Tensor]) -> ndarray:
    """Spearman's rank correlation between maps over all cells: (map, map)."""
    ranks = []
    for one in amounts:
        flat = one.flatten()
        _, where, counts = torch.unique(flat, return_inverse=True, return_counts=True)
        # Ties share the mean of their ranks.
        last = counts.cumsum(0).double()
        rank = (last - (counts.double() - 1) / 2)[where]
        ranks.append((rank - rank.mean()) / (rank - rank.mean()).norm().clamp_min(1e-300))
    both = torch.stack(ranks)
    found: ndarray = (both @ both.T).cpu().numpy()
    return found


# Yeh et al. 2019, eq. 1 and sec. 3: mean over random removals I of (beta I.G - [f(x) - f(x - I)])^2, with the beta that is best
# for the map, over the mean of [f(x) - f(x - I)]^2: 1 - (sum a b)^2 / (sum a^2 sum b^2). captum's infidelity asks the model anew
# for every map, and does not divide; here the same removals serve all. I sets a random half of the blocks to the baseline.
def infidelity(subject: Subject, asked: SanityCase, own: list[Tensor], given: Tensor, baseline: Tensor, scale: Tensor) -> ndarray:
    """Of each map: 0 where it foretells what every removal does, 1 where it knows nothing of it."""
    case, grid = asked.case, subject.grid
    function, draw = function_of(subject, case.target, case.sample), subject.rng(f"removals {case.sample}")
    number = blocks(1, grid.shape, [min(case.setting.window, n) for n in grid.shape])[0]
    foretold, happened = [], []
    with torch.no_grad():
        here = float(function(given))
        for _ in range(asked.masks):
            on = (torch.rand(int(number.max()) + 1, generator=draw) < 0.5)[number].to(given)
            removed = on * (given - baseline)
            happened.append(here - float(function(given - removed)))
            # Slopes foretell by what is removed of each cell, in units of the scatter; contributions by whether it is removed.
            weights = [removed / scale if method in SLOPES else on for method in asked.methods]
            foretold.append([float((a.double() * b.double()).sum()) for a, b in zip(own, weights, strict=True)])
    return np.where([method in REMOVALS for method in asked.methods], np.nan, untold(np.array(foretold), np.array(happened)))


def untold(foretold: ndarray, happened: ndarray) -> ndarray:
    """Infidelity of maps, each at its best amplitude: (removal, map) and (removal,) -> (map,); NaN if not all is finite."""
    if not np.isfinite(happened).all():
        return np.full(foretold.shape[1], np.nan)
    top, bottom = (foretold * happened[:, None]).sum(0) ** 2, (foretold**2).sum(0) * (happened**2).sum()
    left: ndarray = 1 - np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)
    return left


def sensitivity(subject: Subject, asked: SanityCase, given: Tensor, scale: Tensor) -> float:
    """Largest |G(x + d) - G(x)| / |G(x)| of the gradient over random d, each cell within a radius (Yeh et al. 2019, definition
    2.1)."""
    from captum.metrics import sensitivity_max

    function, draw = function_of(subject, asked.case.target, asked.case.sample), subject.rng(f"nudges {asked.case.sample}")

    def explained(values: Tensor | tuple[Tensor, ...]) -> Tensor:
        given = values[0] if isinstance(values, tuple) else values
        return (gradient(function, given) * scale).contiguous()  # captum views it flat

    def nudged(values: Tensor) -> Tensor:
        change = 2 * torch.rand(values.shape, generator=draw, dtype=torch.float64) - 1
        return values + asked.radius * change.to(values) * scale

    return float(sensitivity_max(explained, given, nudged, n_perturb_samples=asked.nudges, max_examples_per_batch=1))
