"""One-point distributions beside the truths': densities, how far they lie apart, moments, by smoothing radius."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray
from xarray import Dataset

from probe import distribution, figures, histograms
from probe.contract import Measured, Panel
from probe.equivariance import look, rivals
from probe.intervals import over_samples
from probe.spectra import inverse_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUBJECTS = ("untrained", "identity", "lpt2", "lpt2_filter", "linear_filter")


def _drawn(measured: Measured) -> list[tuple[Dataset, dict[str, Any]]]:
    """The subjects with the keywords of their lines, the model last."""
    model = measured["model"]
    names = [*(name for name in (*SUBJECTS, *rivals(model)) if name in measured), "model"]
    return [(measured[name], look(name, model)) for name in names]


def _views(model: Dataset) -> list[int]:
    return sorted({view for view, _ in histograms.places(model)})


def _by_radius(panel: Axes, model: Dataset, label: str) -> None:
    panel.set_ylabel(label)
    panel.set_xlabel(figures.axis_label("smoothing radius", model.radius.attrs["units"]))


def densities_panel(measured: Measured) -> Panel:
    """Densities and their ratios to the truth's, a figure for each view at each radius; of what `histograms.counted` gives."""
    model = measured["model"]
    named = {place: histograms.where(model, *place) for place in histograms.places(model)}
    made = [(label, _densities_figure(measured, place, label)) for place, label in named.items()]
    mean = model[["kl", "null"]].mean("simulation")
    apart = {place: f" ({null:.3g})" for place in named if np.isfinite(null := float(mean.null[place]))}
    told = [f"{label}: {float(mean.kl[place]):.3g}{apart.get(place, '')}" for place, label in named.items()]
    caption = (
        "Above: the probability density of the values, averaged over simulations (kernel density estimates with one bandwidth for "
        "all). Below: its ratio to the truth's, drawn where the truth has values. The band is what the truths of single "
        "simulations span. Both tails low is a distribution that is too narrow."
    )
    beside = " (a truth's from independent ones in brackets)" if apart else ""
    text = f"KL divergence from the truth in nats{beside}: {'; '.join(told)}"
    return Panel("Distributions", made, caption, text, ("counts", "true_counts", "edges", "bandwidth"))


def _densities_figure(measured: Measured, place: tuple[int, int], label: str) -> Figure:
    model, (view, scale) = measured["model"], place
    edges, unit = model.edges.values[view, scale], str(model.view_unit.values[view])
    middle, widths = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    truths = histograms.densities(model, view, scale)[0]
    mean = truths.mean(0)
    held = mean * model.true_counts.values[:, view, scale].sum() * float(model.bandwidth[view, scale]) > 1
    own = [(histograms.densities(data, view, scale)[1].mean(0), keywords) for data, keywords in _drawn(measured)]
    picture, axes = figures.figure(rows=2, width=7.4, height=5.0, sharex=True, height_ratios=(2.2, 1))
    for panel, over in zip(axes[:, 0], (widths, np.where(held, mean, np.nan)), strict=True):
        low, high = (np.where(held, edge / over, np.nan) for edge in (truths.min(0), truths.max(0)))
        figures.band(panel, middle, low, high, "truth")
        # Thin and above all others: a good model's line lies on the truth's.
        panel.plot(middle, np.where(held, mean / over, np.nan), **figures.style("truth") | {"linewidth": 0.8, "zorder": 6})
        for density, keywords in own:
            panel.plot(middle, np.where(held & (density > 0), density / over, np.nan), **keywords)
    axes[0, 0].set(yscale="log", ylim=((mean / widths)[held].min() / 3, (mean / widths).max() * 3))
    axes[0, 0].set_ylabel(figures.axis_label("density", inverse_of(unit)))
    axes[1, 0].set(ylabel="over the truth's", ylim=(0, 2))
    axes[1, 0].set_xlabel(figures.axis_label(label, unit))
    axes[0, 0].set_xlabel(" ")
    figures.legend(axes[0, 0], **figures.BESIDE)
    return picture


def divergences_panel(measured: Measured, allowed: ndarray) -> Panel:
    """KL divergences by radius, a panel a view.

    Parameters
    ----------
    measured : mapping of subject to Dataset
        As `histograms.counted` gives.
    allowed : ndarray, (view, scale)
        The largest that passes [nat].
    """
    model, views = measured["model"], _views(measured["model"])
    picture, axes = figures.figure(columns=len(views), width=2.4 + 3.8 * len(views), height=3.8, sharey=True)
    for panel, view in zip(axes[0], views, strict=True):
        _divergences(panel, measured, view, allowed[view])
    figures.legend(axes[0, -1], **figures.BESIDE)
    means = {str(keywords["label"]): data.kl for data, keywords in reversed(_drawn(measured))} | {"independent truths": model.null}
    text = "KL divergence in nats, by view and radius: " + "; ".join(
        f"{name}: {', '.join(f'{float(kl[:, *place].mean()):.2g}' for place in histograms.places(model))}"
        for name, kl in means.items()
        if np.isfinite(kl).any()
    )
    caption = (
        "KL(truth || prediction), and that of a truth from those of independent simulations (black; the band spans them). "
        "Lower is better; the model should lie below the dashed line at every radius, and below the best linear filter. "
        f"Blue band: its interval. Exact zeros are drawn at {distribution.LEAST:g}."
    )
    return Panel("KL divergence by scale", [("", picture)], caption, text, ("kl", "null"))


def _divergences(panel: Axes, measured: Measured, view: int, allowed: ndarray) -> None:
    model, radius, least = measured["model"], measured["model"].radius.values, distribution.LEAST
    null = model.null.values[:, view]
    if np.isfinite(null).all():
        panel.plot(radius, null.mean(0), **figures.style("truth", "independent truths") | {"marker": "o", "markersize": 4})
    panel.plot(radius, allowed, color=figures.GREY, lw=1.1, ls="--", label="allowed")
    figures.band(panel, radius, null.min(0), null.max(0), "truth")
    for (data, keywords), marker in zip(reversed(_drawn(measured)), itertools.cycle("os^PDv"), strict=False):
        panel.plot(radius, np.maximum(data.kl.values[:, view].mean(0), least), **keywords | {"marker": marker, "ms": 4.5})
    value, low, high = over_samples(model.kl.values[:, view], lambda rows: rows.mean(0))
    figures.band(panel, radius, np.maximum(low, np.maximum(value, least) / 10), np.maximum(high, least), "model")
    panel.set(yscale="log")
    _by_radius(panel, model, f"KL divergence of {model.view.values[view]!s} [nat]")


def moments_panel(measured: Measured) -> Panel:
    """Variance over the truth's, skewness and excess kurtosis by radius, a figure a view."""
    model, made, told = measured["model"], [], []
    true = distribution.shape(model.true_moments.values.mean(0))
    for view in _views(model):
        lines = [(distribution.shape(data.moments.values.mean(0))[view], keywords) for data, keywords in _drawn(measured)]
        made.append((str(model.view.values[view]), _moments(model, lines, true[view])))
        first = ", ".join(
            f"{f'{own:.4g}' if np.isfinite(own) else 'none'} ({right:.4g})"
            for own, right in zip(lines[-1][0][0, 1:], true[view, 0, 1:], strict=True)
        )
        told.append(f"{model.view.values[view]!s}: {first}")
    caption = (
        "Variance over the truth's, skewness and excess kurtosis, from moments averaged over simulations, by smoothing radius. "
        "All should lie on the black line; a variance below 1 at small radii is power lost on small scales."
    )
    text = f"Variance, skewness and excess kurtosis at the smallest radius, the truth's in brackets: {'; '.join(told)}"
    return Panel("Moments", made, caption, text, ("moments", "true_moments"))


def _moments(model: Dataset, lines: list[tuple[ndarray, dict[str, Any]]], true: ndarray) -> Figure:
    """Of each subject and of the truth mean, variance, skewness and excess kurtosis: (scale, 4) each."""
    picture, axes = figures.figure(columns=3, width=10.4, height=3.4)
    for values, keywords in (*lines, (true, figures.style("truth"))):
        for panel, curve in zip(axes[0], (values[:, 1] / true[:, 1], *values[:, 2:].T), strict=True):
            panel.plot(model.radius, curve, **keywords | {"marker": "o", "markersize": 3.5})
    for panel, label in zip(axes[0], ("variance over the truth's", "skewness", "excess kurtosis"), strict=True):
        _by_radius(panel, model, label)
    ratio = np.stack([values[:, 1] for values, _ in lines]) / true[:, 1]
    if (ratio > 0).all() and ratio.max() > 10 * ratio.min():
        axes[0, 0].set_yscale("log")
    figures.legend(axes[0, 2], **figures.BESIDE)
    return picture
