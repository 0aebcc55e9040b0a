"""Scattering coefficients beside the truths', scale by scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from xarray import DataArray, Dataset

from probe import figures
from probe.contract import Measured, Panel
from probe.equivariance import look, through_window
from probe.scalars import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def _by_scale(measured: Measured, variable: str, label: str) -> tuple[Figure, Axes]:
    """A curve for each subject over scales, and the model's interval."""
    model = measured["model"]
    picture, axes = figures.figure(width=6.6)
    panel, x = axes[0, 0], model.centre.values
    for name in shown(measured):
        value, low, high = measured[name][variable].where(model.held == 1).values.T
        panel.plot(x, value, marker="o", markersize=4, **look(name, model))
        if name == "model":
            figures.band(panel, x, low, high, name)
    figures.logarithmic(panel)
    panel.set_xlim(x.min() / 1.12, x.max() * 1.12)
    panel.set_ylabel(label)
    panel.set_xlabel(figures.axis_label("centre of the octave, k", model.centre.attrs["units"]))
    return picture, panel


def first_order_panel(measured: Measured) -> Panel:
    """S1 over the truth's, scale by scale; of what the probe `scattering` measured."""
    model = measured["model"]
    picture, panel = _by_scale(measured, "first_ratio", "S1 / S1 of the truth")
    panel.axhline(1.0, color=figures.GREY, lw=0.8)
    figures.legend(panel, **figures.BESIDE)
    caption = (
        f"First-order coefficients of {model.attrs['output']} over the truth's, averaged over {model.sizes['simulation']} "
        "simulations: the mean modulus at each scale, which should be the truth's. The band is the model's interval"
        f"{through_window(model)}."
    )
    text = "S1 over the truth's: " + _listed(model, model.first_ratio)
    return Panel("First order", [("", picture)], caption, text, ("first_ratio", "first_pred", "first_true"))


def sparsity_panel(measured: Measured) -> Panel:
    """S1 over the rms at each scale, which the power spectrum has no part in."""
    model = measured["model"]
    picture, panel = _by_scale(measured, "sparsity_pred", "S1 / rms at that scale")
    panel.plot(model.centre, model.sparsity_true[:, 0].where(model.held == 1), marker="o", markersize=2, **figures.style("truth"))
    if model.attrs["boundary"] == "periodic":  # any window makes fields sparser
        panel.axhline(float(model.attrs["gaussian"]), color=figures.GREY, lw=1.2, ls=(0, (1, 1.5)), label="Gaussian fields")
    figures.legend(panel, **figures.BESIDE)
    caption = (
        "How evenly the field is filled at each scale: the mean modulus over its root mean square. Gaussian fields lie on the "
        "dotted line, sparse ones below; the power spectrum has no part in it. On long scales a box holds few structures, and the "
        f"value scatters{through_window(model)}."
    )
    text = f"model: {_listed(model, model.sparsity_pred)}; truth: {_listed(model, model.sparsity_true)}"
    return Panel("Sparsity", [("", picture)], caption, text, ("sparsity_pred", "sparsity_true"))


def second_order_panel(measured: Measured) -> Panel:
    """How far S2 is off the truth's for every pair of scales, a figure a subject."""
    model = measured["model"]
    held = np.flatnonzero(model.held.values)
    names, pictures = [f"{k:.3g}" for k in model.centre.values[held]], []
    for name in reversed(shown(measured)):
        error = 100 * (measured[name].second_ratio.values[held][:, held, 0] - 1)
        picture = figures.matrix(error[:-1, 1:], names[:-1], names[1:], "%", "error of S2")
        picture.axes[0].set_xlabel(figures.axis_label("k of the longer scale", model.centre.attrs["units"]))
        picture.axes[0].set_ylabel(figures.axis_label("k", model.centre.attrs["units"]))
        pictures.append((str(look(name, model)["label"]), picture))
    ratios = model.second_ratio.values[held][:, held, 0]
    pairs = [f"{names[i]} on {names[j]}: {ratios[i, j]:.3f}" for i, j in np.argwhere(np.isfinite(ratios))]
    caption = (
        "How far second-order coefficients are off the truth's: how structure of one scale (rows) is arranged on a longer one "
        "(columns)."
    )
    return Panel("Second order", pictures, caption, "S2 over the truth's: " + "; ".join(pairs), ("second_ratio",))


def _listed(model: Dataset, estimate: DataArray) -> str:
    held = [place for place in np.flatnonzero(model.held.values) if np.isfinite(estimate[place, 0])]
    return ", ".join(f"{float(estimate[j, 0]):.3f} at k = {float(model.centre[j]):.3g}" for j in held) or "none"
