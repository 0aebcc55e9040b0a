"""Bispectra beside the truths', by shape of the triangles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy import ndarray
from xarray import Dataset

from probe import figures
from probe.bispectra import places
from probe.contract import Measured, Panel
from probe.equivariance import look, through_window
from probe.scalars import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def _along(model: Dataset, shape: str, panel: Axes) -> tuple[ndarray, ndarray]:
    """Places and abscissae of one shape's triangles, and the axis to draw them against: k, or the angle of two sides."""
    held = places(model, shape)
    panel.set_title(shape)
    if shape != "isosceles":
        panel.set_xlabel(figures.axis_label("k" if shape != "squeezed" else "k of the short waves", model.sides.attrs["units"]))
        figures.logarithmic(panel)
        return held, model.sides.values[held, 0 if shape == "folded" else 2]
    same, third = model.shells.values[held, 1], model.shells.values[held, 2]
    panel.set_xlabel("angle between the equal sides / π")
    # Sides add up to zero: |k1 + k2|^2 = 2 k^2 (1 + cos theta).
    return held, np.arccos(np.clip(third**2 / (2 * same**2) - 1, -1, 1)) / np.pi


def _panels(measured: Measured, label: str, unit: str) -> tuple[Figure, list[tuple[Axes, ndarray, ndarray]]]:
    """A figure with a panel for each shape: the panel, its triangles and where they stand on its axis."""
    shapes = [shape for shape in measured["model"].shape.values if len(places(measured["model"], str(shape)))]
    picture, axes = figures.figure(columns=len(shapes), width=1.8 + 3.0 * len(shapes), height=3.5)
    for panel in axes[0]:
        panel.set_ylabel(figures.axis_label(label, unit))
    return picture, [(panel, *_along(measured["model"], str(shape), panel)) for panel, shape in zip(axes[0], shapes, strict=True)]


def _span(x: ndarray, logarithmic: bool) -> tuple[float, float]:
    """Limits that hold every place, whatever is drawn there."""
    low, high = float(x.min()), float(x.max())
    return (low / 1.12, high * 1.12) if logarithmic else (low - 0.04, high + 0.04)


def _curves(panel: Axes, held: ndarray, x: ndarray, measured: Measured, variable: str) -> None:
    """A curve for each subject, and limits that show them all."""
    values = []
    for name in shown(measured):
        values.append(measured[name][variable].values[held, 0])
        marker = {"marker": "o", "markersize": 3.5} if name == "model" else {}
        panel.plot(x, values[-1], **look(name, measured["model"]) | marker)
    level = 1.0 if variable == "ratio" else 0.0
    own = [values[-1]] if level else [values[-1], measured["model"].reduced_true.values[held, 0]]
    # Controls that are far off do not rule the axis.
    reach = 3 * float(np.nanmax(np.abs(np.concatenate([*own, [level]])))) or 1.0
    wanted = np.clip(np.concatenate([*own, *values, [level]]), -reach, reach)
    margin = 0.08 * (float(np.nanmax(wanted) - np.nanmin(wanted)) or reach)
    panel.set_ylim(float(np.nanmin(wanted)) - margin, float(np.nanmax(wanted)) + margin)
    panel.set_xlim(*_span(x, panel.get_xscale() == "log"))


def bispectrum_panel(measured: Measured) -> Panel:
    """|B| over each shape's triangles; of what the probe `bispectrum` measured."""
    model = measured["model"]
    picture, panels = _panels(measured, "|B|", model.mean_true.attrs["units"])
    for panel, held, x in panels:
        scatter = np.sqrt(model.gaussian_variance.values[held] / model.sizes["simulation"])
        panel.fill_between(x, scatter, color=figures.GREY, alpha=0.16, linewidth=0, label="scatter of Gaussian fields")
        curves = {"truth": model.mean_true} | {name: measured[name].mean_pred for name in shown(measured)}
        for name, curve in curves.items():
            value, line = curve.values[held, 0], look(name, model)
            panel.plot(x, np.abs(value), **line)
            panel.plot(x[value < 0], -value[value < 0], "o", ms=4.5, mfc="white", mec=line["color"], zorder=line["zorder"])
        lowest = np.abs(model.mean_true.values[held, 0]).min() / 30
        panel.set(yscale="log", ylim=(max(lowest, float(scatter.min()) / 1e3), None))
    figures.legend(panels[-1][0], **figures.BESIDE)
    caption = (
        f"Modulus of the bispectrum of {model.attrs['output']}, averaged over {model.sizes['simulation']} simulations; an open "
        "circle marks a negative one. The grey area is what the average of as many Gaussian fields of the truth's power would "
        f"scatter by{through_window(model)}."
    )
    return Panel("Bispectrum", [("", picture)], caption, _told(model, "mean_pred", "B"), ("mean_pred", "mean_true", "sides"))


def reduced_panel(measured: Measured) -> Panel:
    """The reduced bispectrum Q over each shape's triangles."""
    model = measured["model"]
    picture, panels = _panels(measured, "Q", model.reduced_true.attrs["units"])
    for panel, held, x in panels:
        panel.axhline(0.0, color=figures.GREY, lw=0.8)
        panel.plot(x, model.reduced_true.values[held, 0], **figures.style("truth"))
        _curves(panel, held, x, measured, "reduced_pred")
        low, high = (model.reduced_true.values[held, 0] + edge for edge in model.reduced_error.values[held, 1:].T)
        figures.band(panel, x, low, high, "model")
    figures.legend(panels[-1][0], **figures.BESIDE)
    caption = (
        "Reduced bispectrum Q = B / (P1 P2 + P2 P3 + P3 P1) of averaged spectra; a Gaussian field's is zero. The shaded band is "
        "the interval of the model's difference from this truth over simulations."
    )
    text = _told(model, "reduced_pred", "Q")
    return Panel("Reduced bispectrum", [("", picture)], caption, text, ("reduced_pred", "reduced_true", "reduced_error"))


def bispectrum_ratio_panel(measured: Measured) -> Panel:
    """B over the truth's, where the truth's is more than noise."""
    model = measured["model"]
    picture, panels = _panels(measured, "B / B of the truth", "")
    for panel, held, x in panels:
        panel.axhline(1.0, color=figures.GREY, lw=0.8)
        _curves(panel, held, x, measured, "ratio")
        low, high = model.ratio.values[held, 1:].T
        figures.band(panel, x, low, high, "model")
    figures.legend(panels[-1][0], **figures.BESIDE)
    caption = (
        "Ratio of averaged bispectra; left out where the truth's lies within two standard errors of zero and it would be noise. "
        "The shaded band is the model's interval over simulations."
    )
    return Panel("Ratio to truth", [("", picture)], caption, _told(model, "ratio", "B / B of the truth"), ("ratio",))


def _told(model: Dataset, variable: str, label: str) -> str:
    """The model's values at the first, the middle and the last triangle of each shape."""
    parts = []
    for shape in model.shape.values:
        known = (held := places(model, str(shape)))[np.isfinite(model[variable].values[held, 0])]
        chosen = known[sorted({0, len(known) // 2, len(known) - 1})] if len(known) else known
        at = [f"{model[variable].values[p, 0]:.3g} at shells {':'.join(map(str, model.shells.values[p]))}" for p in chosen]
        parts.append(f"{shape}: {label} = {', '.join(at) or 'none'}")
    return "; ".join(parts)
