"""Panels of latent variables: which are used, the space that they span, what they share, and components of a layer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from probe import figures, intervals
from probe.contract import Measured, Panel
from probe.latents import activity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy import ndarray
    from xarray import Dataset

SHOWN = 4  # latent variables in the figure of the space that they span
CLOUD = 900  # points in all panels of pairs together
PAIRED = 12  # latent variables in the matrix of correlations
NAMED = 10  # names under an axis


def use(measured: Measured, threshold: float) -> Panel:
    """KL and signal over noise of every latent variable, beside the untrained twin's.

    Parameters
    ----------
    threshold : float
        Signal over noise above which a latent variable is active.
    """
    model = measured["model"]
    normal = model.attrs["prior"] != "none"
    names = [str(name) for name in model.latent.values]
    picture, axes = figures.figure(columns=1 + normal, width=min(3.2 + (1 + normal) * (1.2 + 0.35 * len(names)), 10.0), height=3.4)
    for subject in [name for name in ("model", "untrained") if name in measured]:
        value, low, high = (np.maximum(edge, 1e-6) for edge in activity.signal_over_samples(*activity.stored(measured[subject])))
        _bars(axes[0, 0], value, low, high, subject)
        if normal:
            _bars(axes[0, 1], *intervals.over_samples(_divergence(measured[subject]), lambda rows: rows.mean(0)), subject)
    axes[0, 0].axhline(threshold, color="#D55E00", lw=1.3, ls="--", label="active above")
    spread = "signal over noise, Var(μ) / mean of σ²" if "std" in model else "variance over the largest"
    axes[0, 0].set(yscale="log", ylabel=spread, xlabel="latent variable")
    for panel in axes[0]:
        figures.names(panel, few(names))
    if normal:
        axes[0, 1].set(xlabel="latent variable", ylim=(0, None))
        axes[0, 1].set_ylabel(figures.axis_label("KL from the prior", "nat"))
    figures.legend_beside(axes[0])
    signal = activity.signal(*activity.stored(model))
    text = "Signal over noise: " + ", ".join(f"{n}: {s:.3g}" for n, s in zip(names, signal, strict=True))
    caption = (
        "Left: how far the samples' means lie apart, over the spread of each: above the dashed line a variable is active. "
        + ("Right: the mean divergence from N(0, 1), the price of what it says. " if normal else "")
        + "Signals below 1e-6 are drawn at it. Bars are intervals over samples"
        + ("; open points are the untrained twin." if "untrained" in measured else ".")
    )
    return Panel("Which latent variables are used", [("", picture)], caption, text, _variables(model))


def few(names: list[str]) -> list[str]:
    """Names under an axis, some of them empty where there are too many to stand beside one another."""
    step = -(-len(names) // NAMED)
    return [name if place % step == 0 else "" for place, name in enumerate(names)]


def _divergence(data: Dataset) -> ndarray:
    """KL of each sample, (sample, latent) [nat]; NaN of a latent variable that is infinitely far from the prior in some."""
    mean, std = activity.stored(data)
    assert std is not None
    each = activity.divergence(mean, std)
    return np.where(np.isfinite(each).all(0), each, np.nan)


def _variables(data: Dataset) -> tuple[str, ...]:
    return ("mean", "std") if "std" in data else ("mean",)


def _bars(axes: Axes, value: ndarray, low: ndarray, high: ndarray, subject: str) -> None:
    """A point with its interval for every latent variable, filled for the model."""
    look, place = figures.style(subject), np.arange(len(value)) + (0.0 if subject == "model" else 0.18)
    face = look["color"] if subject == "model" else "white"
    finite = np.isfinite(low) & np.isfinite(high)
    axes.vlines(place[finite], low[finite], high[finite], color=look["color"], lw=1.6)
    axes.plot(place, value, "o", ms=6, color=look["color"], markerfacecolor=face, label=look["label"])


def space(model: Dataset, order: ndarray) -> Panel:
    """Where the samples lie: each latent variable by itself against the prior, and pairs of them."""
    mean, std = activity.stored(model)
    kept, names = order[:SHOWN], [str(name) for name in model.latent.values]
    picture, axes = figures.figure(columns=len(kept), rows=len(kept), width=1.2 + 2.1 * len(kept), height=0.9 + 1.9 * len(kept))
    pairs = max(1, len(kept) * (len(kept) - 1) // 2)
    drawn = np.linspace(0, len(mean) - 1, min(len(mean), CLOUD // pairs)).astype(int)
    for row, below in enumerate(kept):
        for column, left in enumerate(kept):
            axis: Axes = axes[row, column]
            if column > row:
                axis.remove()
            elif column == row:
                _alone(axis, mean[:, below], None if std is None else std[:, below], model.attrs["prior"] != "none")
            else:
                axis.plot(mean[drawn, left], mean[drawn, below], ".", ms=2.5, color=figures.style("model")["color"], alpha=0.5)
            axis.set_xlabel(names[left])
            axis.set_ylabel("density" if column == row else names[below])
    with figures.house_style():
        picture.legend(*axes[0, 0].get_legend_handles_labels(), loc="upper right" if len(kept) > 1 else "outside right upper")
    centre, covariance = activity.together(mean, std)
    text = "Mean and spread of all draws: " + ", ".join(
        f"{names[i]}: {centre[i]:.3g} and {math.sqrt(covariance[i, i]):.3g}" for i in kept
    )
    caption = (
        "On the diagonal the density of each latent variable over all samples, smoothed where they lie apart"
        + (", beside the prior N(0, 1)" if model.attrs["prior"] != "none" else "")
        + f"; below it the samples' means, {len(drawn)} of {len(mean)}"
        + (f"; the {len(kept)} that say most" if len(kept) < len(order) else "")
        + ". Structure in a cloud of points is knowledge that two variables share."
    )
    return Panel("The space that they span", [("", picture)], caption, text, _variables(model))


def _alone(axes: Axes, mean: ndarray, std: ndarray | None, prior: bool) -> None:
    """The density of all draws of one latent variable, or a histogram where there is no spread."""
    color = figures.style("model")["color"]
    if std is None:
        axes.hist(mean, bins=min(40, max(5, len(mean) // 5)), density=True, color=color, alpha=0.5, label="samples")
        return
    reach = max(4.0 if prior else 0.0, float(np.abs(mean).max() + 3 * std.max()))
    points = np.linspace(-reach, reach, 201)
    # Narrow spreads would each be a peak of their own: smoothed as any density of samples (Silverman 1986, eq. 3.31).
    width = np.maximum(std, 0.9 * mean.std() * len(mean) ** -0.2)
    axes.plot(points, activity.density(mean, width, points), color=color, lw=1.8, label="all samples")
    if prior:
        axes.plot(points, np.exp(-(points**2) / 2) / math.sqrt(2 * math.pi), color="black", lw=1.1, ls="--", label="prior")


def correlations(model: Dataset, order: ndarray) -> Panel:
    """The matrix of correlations of draws between latent variables, the first in order where they are many."""
    kept = np.sort(order[:PAIRED])
    names = [str(name) for name in model.latent.values[kept]]
    values = activity.correlation(*activity.stored(model))[np.ix_(kept, kept)]
    picture = figures.matrix(values, names, names, label="correlation")
    pairs = [(abs(values[i, j]), names[i], names[j], values[i, j]) for i in range(len(names)) for j in range(i)]
    closest = sorted((pair for pair in pairs if math.isfinite(pair[0])), reverse=True)[:5]
    text = "Strongest correlations: " + (", ".join(f"{a} and {b}: {r:.3f}" for _, a, b, r in closest) or "none of 0 pairs")
    caption = (
        "Correlation of draws between latent variables. Disentangled ones are uncorrelated; so is a dead one, "
        "whatever it holds, because its draws are noise."
        + (f" Of {len(order)} the {len(kept)} that say most." if len(kept) < len(order) else "")
    )
    return Panel("Correlations", [("", picture)], caption, text, _variables(model))


def components(measured: Measured) -> Panel:
    """Variance by component, and how much of it the first ones hold."""
    picture, axes = figures.figure(columns=2, width=8.4, height=3.3)
    for subject in [name for name in ("untrained", "model") if name in measured]:
        variances, look = measured[subject].component_variance.values, figures.style(subject)
        count = np.arange(1, len(variances) + 1)
        whole = max(float(variances.sum()), 1e-300)
        axes[0, 0].plot(count, np.maximum(variances / whole, 1e-12), marker="o", ms=3, **look)
        axes[0, 1].plot(count, np.cumsum(variances) / whole, marker="o", ms=3, **look)
    axes[0, 0].set(yscale="log", ylabel="share of the variance", xlabel="component")
    axes[0, 1].set(ylim=(0, 1.03), ylabel="share in this and all before", xlabel="component")
    for panel in axes[0]:
        panel.locator_params(axis="x", integer=True)
    figures.legend_beside(axes[0])
    variances = measured["model"].component_variance.values
    shares = variances / max(float(variances.sum()), 1e-300)
    text = "Share of the variance by component: " + ", ".join(f"{share:.3g}" for share in shares[:12])
    caption = (
        "Principal components of the layer's channels over all points of all samples. A steep fall is a layer that uses few "
        "directions; the untrained twin's tells how many the architecture alone would."
    )
    return Panel("Principal components", [("", picture)], caption, text, ("component_variance",))
