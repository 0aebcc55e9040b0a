"""What is done to the axes of one panel: legends, ticks, logarithmic axes, bands, rows of points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import lazy_loader as lazy

from probe.figures.house import axis_label, house_style, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy import ndarray

np = lazy.load("numpy")


# Where a legend stands that is not to cover data: right of its panel.
BESIDE: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0)}


def legend(axes: Axes, **keywords: Any) -> None:
    """A legend in the house style, out of the way of the data; none where nothing is labelled."""
    if axes.get_legend_handles_labels()[1]:
        with house_style():
            axes.legend(**{"handlelength": 2.6, "labelspacing": 0.35, "borderaxespad": 0.3} | keywords)


def legend_beside(row: ndarray) -> None:
    """One legend for a row of panels, right of the last; each label once."""
    named = {label: handle for axes in row for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    legend(row[-1], handles=list(named.values()), **BESIDE)


def rows(axes: Axes, x: ndarray, values: ndarray, look: Mapping[str, Any]) -> None:
    """A line a row, the first with filled points and the label, the others with open ones; what is no number is left out."""
    for place, row in enumerate(values):
        seen, fill, label = np.isfinite(row), "none" if place else look["color"], None if place else look["label"]
        points = {"marker": "o", "markersize": 5.5 if place else 4, "markerfacecolor": fill, "label": label}
        axes.plot(x[seen], row[seen], **{**look, **points})


def names(axes: Axes, words: Sequence[str]) -> None:
    """A tick with a name at each whole number from 0, slanted where they would run into each other."""
    slanted = len(words) * max(map(len, words)) >= 30
    ends: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    axes.set_xticks(range(len(words)), labels=list(words), **ends)


def logarithmic(axes: Axes) -> None:
    """A logarithmic x axis with ticks at 1, 2 and 5, in plain numbers: spectra span a decade or two."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda k, _: f"{k:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def ladder(axes: Axes, rungs: ndarray, label: str) -> None:
    """A logarithmic x axis with a tick at each rung of a ladder, where they are few."""
    logarithmic(axes)
    axes.set(xlim=(rungs.min() / 1.25, rungs.max() * 1.25), xlabel=label)
    if len(rungs) < 7:
        axes.set_xticks(rungs, labels=[f"{rung:g}" for rung in rungs])


def spectral(axes: Axes, top: float, wavenumber_unit: str, power_unit: str, **keywords: Any) -> None:
    """Axes of the spectra of one wave: nine decades below the highest peak, labels and a legend, whose `keywords` are taken."""
    axes.set(yscale="log", ylim=(top * 1e-9, top * 5))
    axes.set_xlabel(axis_label("k", wavenumber_unit))
    axes.set_ylabel(axis_label("P(k)", power_unit))
    legend(axes, **keywords)


def band(axes: Axes, x: ndarray, low: ndarray, high: ndarray, subject: str) -> None:
    """Shade the interval of a subject's curve; points whose interval is unbounded are left out, since they have no edge."""
    finite = np.isfinite(low) & np.isfinite(high)
    low, high = np.where(finite, low, np.nan), np.where(finite, high, np.nan)
    axes.fill_between(x, low, high, color=style(subject)["color"], alpha=0.16, linewidth=0, zorder=2)
