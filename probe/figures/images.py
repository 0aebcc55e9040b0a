"""Figures that are made in one call: maps in a row, a matrix with its numbers, a ranking."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import lazy_loader as lazy

from probe.figures.axes import BESIDE, legend
from probe.figures.house import INK, NEXT_DASHES, axis_label, figure, house_style, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from numpy import ndarray

np = lazy.load("numpy")

Extent = tuple[float, float, float, float]


def slices(
    fields: Mapping[str, ndarray],
    unit: str,
    extent: Extent | None = None,
    extent_unit: str = "",
    diverging: bool = True,
    shared: Sequence[Sequence[str]] | None = None,
    limits: Sequence[tuple[float, float]] = (),
    label: str = "value",
) -> Figure:
    """A row of images of two-dimensional fields.

    Parameters
    ----------
    fields : mapping of title to ndarray, (nx, ny)
        The first axis runs to the right, the second upwards.
    unit : str
        Of the values.
    extent : (left, right, bottom, top), optional
        In `extent_unit`; cells without it.
    diverging : bool
        Whether zero means nothing: then colours are symmetric about it.
    shared : sequence of sequences of titles, optional
        Groups that share one colour scale, neighbours in `fields`; a field in no group has its own. By default all share one.
    limits : sequence of (float, float), optional
        Of each group's colours.
    label : str
        What the values are; stands at the colour bars with the unit.
    """
    groups = [list(fields)] if shared is None else [list(group) for group in shared]
    groups += [[title] for title in fields if not any(title in group for group in groups)]
    tall = max((np.shape(f)[1] / np.shape(f)[0] if extent is None else _aspect(extent) for f in fields.values()), default=1.0)
    side = min(2.2, 8.4 / len(fields))
    made, axes = figure(len(fields), width=0.6 + side * len(fields), height=1.25 + side * min(tall, 2.0), sharex=True, sharey=True)
    made.set_layout_engine("compressed")
    panels = dict(zip(fields, axes[0], strict=True))
    with house_style():
        for place, group in enumerate(groups):
            reach = limits[place] if limits else _limits([fields[title] for title in group], diverging)
            for title in group:
                image = _image(panels[title], fields[title], extent, reach, diverging)
                panels[title].set_title(title)
            bar = made.colorbar(image, ax=[panels[title] for title in group], location="bottom", aspect=16 * len(group), pad=0.03)
            bar.set_label(axis_label(label, unit) + _without_power(bar, reach))
            bar.outline.set_visible(False)  # type: ignore[operator]
        for panel in axes[0]:
            panel.set_xlabel(axis_label("x", extent_unit or "cells"))
        axes[0, 0].set_ylabel(axis_label("y", extent_unit or "cells"))
    return made


def matrix(values: ndarray, rows: Sequence[str], columns: Sequence[str], unit: str = "", label: str = "value") -> Figure:
    """A heat map with the numbers written in its cells.

    Parameters
    ----------
    values : ndarray, (len(rows), len(columns))
        A cell that is not a number stays empty.
    label : str
        What the values are; stands at the colour bar with the unit.
    """
    values = np.asarray(values, dtype=float)
    made, axes = figure(width=min(9.0, 2.4 + 0.68 * len(columns)), height=min(9.0, 1.1 + 0.42 * len(rows)))
    panel: Axes = axes[0, 0]
    signed = bool((values < 0).any())
    low, high = _limits([values] if signed else [values, np.zeros(1)], signed)
    with house_style():
        image = panel.imshow(values, cmap="RdBu_r" if signed else "Blues", vmin=low, vmax=high, aspect="auto")
        panel.grid(False)
        slanted = max(map(len, columns), default=0) >= 9
        ends: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
        panel.set_xticks(range(len(columns)), labels=columns, **ends)
        panel.set_yticks(range(len(rows)), labels=rows)
        panel.tick_params(length=0)
        panel.spines[:].set_visible(False)
        for (row, column), value in np.ndenumerate(values):
            if math.isfinite(value):
                strong = abs(value) > 0.6 * max(abs(low), abs(high))
                panel.text(column, row, f"{value:.2g}", ha="center", va="center", fontsize=9, color="white" if strong else INK)
        made.colorbar(image, ax=panel, aspect=22, pad=0.02, label=axis_label(label, unit)).outline.set_visible(False)  # type: ignore[operator]
    return made


def _without_power(bar: Colorbar, limits: tuple[float, float]) -> str:
    """Takes a large or small power of ten out of a bar's numbers, for its label: matplotlib would write it over the label."""
    power = math.floor(math.log10(max(map(abs, limits)) or 1.0))
    if -3 <= power <= 4:
        return ""
    bar.ax.xaxis.set_major_formatter(lambda value, _: f"{value / 10.0**power:.3g}")
    return rf"  $\times\,10^{{{power}}}$"


def _limits(fields: Sequence[ndarray], symmetric: bool) -> tuple[float, float]:
    finite = np.concatenate([np.asarray(f, dtype=float)[np.isfinite(f)] for f in fields])
    if not finite.size:
        return 0.0, 1.0
    if symmetric:
        largest = float(np.abs(finite).max()) or 1.0
        return -largest, largest
    return float(finite.min()), float(finite.max())


def _aspect(extent: Extent) -> float:
    left, right, bottom, top = extent
    return abs((top - bottom) / (right - left))


def _image(axes: Axes, values: ndarray, extent: Extent | None, limits: tuple[float, float], diverging: bool) -> AxesImage:
    values = np.asarray(values)
    area = extent or (0, values.shape[0], 0, values.shape[1])
    colors = "RdBu_r" if diverging else "viridis"
    image = axes.imshow(values.T, origin="lower", extent=area, cmap=colors, vmin=limits[0], vmax=limits[1], interpolation="nearest")
    axes.grid(False)
    return image


def ranking(errors: Mapping[str, ndarray], rows: Sequence[str], lines: Mapping[str, float], label: str) -> Figure:
    """Errors of several subjects on one logarithmic axis, a row for each thing that was tried.

    Parameters
    ----------
    errors : mapping of subject to ndarray, (rows,)
    lines : mapping of word to float
        Verticals to read them against, such as the bound; what lies a decade or more left of all but 0 is drawn there.
    """
    made, axes = figure(width=7.2, height=1.3 + 0.3 * len(rows))
    floor, panel = min(place for place in lines.values() if place > 0) / 10, axes[0, 0]
    for (word, place), dash in zip(lines.items(), NEXT_DASHES[:0:-1], strict=False):
        panel.axvline(place, color="#D55E00", lw=1.1, ls=dash, label=word)
    for (subject, values), marker in zip(errors.items(), "os^vD", strict=False):
        look = style(subject) | {"linestyle": "none", "marker": marker, "markersize": 5.5}
        panel.plot(np.maximum(values, floor), np.arange(len(rows)), **look)
    panel.set(xscale="log", xlim=(floor / 2, None), ylim=(len(rows) - 0.5, -0.5), xlabel=label)
    panel.set_yticks(range(len(rows)), labels=rows)
    legend(panel, **BESIDE)
    return made
