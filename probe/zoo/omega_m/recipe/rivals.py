"""What the network is compared with: regressions on a few numbers that are measured in the same boxes.

Two sets of numbers: the logarithm of the power in every shell, and the share of the voxels in each of 24 bins of equal share (over
the training boxes) of the density. On each are fitted a ridge regression on all products of two numbers, trees, and a dense
network; the one that does best on the validation boxes is taken, for each parameter by itself.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from probe import spectra
from probe.zoo.omega_m.recipe.universes import GRID

BINS = 24
Parts = dict[str, tuple[Tensor, Tensor]]


def log_power(boxes: Tensor) -> ndarray:
    """ln P(k) of every box, shell by shell: (n, shell)."""
    return np.log(torch.cat([spectra.power(box[None].double(), GRID) for box in boxes]).numpy())


def shares(boxes: Tensor, edges: Tensor) -> ndarray:
    """The root of the share of voxels in each bin, whose scatter is the same in all: (n, bin)."""
    places = [torch.bucketize(box.flatten(), edges) for box in boxes]
    return np.sqrt(np.stack([torch.bincount(place, minlength=len(edges) + 1).numpy() for place in places]) / GRID.size)


def summaries(parts: Parts) -> dict[str, Callable[[Tensor], ndarray]]:
    """The sets of numbers, by what they are called."""
    some = parts["training"][0].flatten()[::997]
    edges = torch.quantile(some, torch.linspace(0, 1, BINS + 1)[1:-1])
    return {"power spectrum": log_power, "one-point PDF": lambda boxes: shares(boxes, edges)}


def regressions() -> dict[str, Callable[[], object]]:
    """The regressions that are tried."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import RidgeCV
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    alphas = np.logspace(-3, 4, 15)
    return {
        "ridge": lambda: make_pipeline(StandardScaler(), PolynomialFeatures(2), StandardScaler(), RidgeCV(alphas)),
        "trees": lambda: HistGradientBoostingRegressor(max_iter=150, learning_rate=0.06, max_leaf_nodes=8, random_state=0),
        "dense network": lambda: make_pipeline(
            StandardScaler(), MLPRegressor((64, 64), alpha=0.1, max_iter=2000, early_stopping=True, random_state=0)
        ),
    }


def rivals(parts: Parts) -> dict[str, ndarray]:
    """Predictions for the held-out boxes: (n, 2) by the name of what they are made from."""
    truth = {name: known.numpy() for name, (_, known) in parts.items()}
    found = {"mean of the training universes": np.repeat(truth["training"].mean(0)[None], len(truth["held out"]), 0)}
    for name, measure in summaries(parts).items():
        numbers = {part: measure(boxes) for part, (boxes, _) in parts.items()}
        columns, words = [], []
        for column in range(truth["training"].shape[1]):
            tried = {word: make().fit(numbers["training"], truth["training"][:, column]) for word, make in regressions().items()}  # type: ignore[attr-defined]
            off = {
                word: np.mean((one.predict(numbers["validation"]) - truth["validation"][:, column]) ** 2)
                for word, one in tried.items()
            }
            best = min(off, key=lambda word: float(off[word]))
            columns.append(tried[best].predict(numbers["held out"]))
            words.append(best)
        found[f"{name} ({words[0]}; {words[1]})"] = np.stack(columns, 1)
    return found
