"""What probes draw with: one house style, and the same line for the same subject in every figure.

Figures are made as `matplotlib.figure.Figure` objects, never through pyplot, so nothing global changes and nothing has to
be closed. matplotlib is imported when the first figure is made, not before: every probe file imports this module.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import lazy_loader as lazy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from numpy import ndarray

np = lazy.load("numpy")

Extent = tuple[float, float, float, float]

INK, RULE, GREY = "#2b3440", "#e4e7eb", "#8a94a0"
_LONGEST_UNIT = 60  # characters; no axis has room for more

# Helvetica's metrics are shared by Arial and Liberation Sans, so text measured here fits where the report is read.
HOUSE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Arial", "Helvetica", "Liberation Sans", "DejaVu Sans"],
    "font.size": 9.5,
    "mathtext.fontset": "custom",
    "mathtext.cal": "sans",
    "mathtext.fallback": "stixsans",
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.5,
    "axes.titlelocation": "left",
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.use_mathtext": True,
    "axes.formatter.limits": (-3, 4),
    "axes.unicode_minus": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "text.color": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "svg.fonttype": "none",
    "svg.hashsalt": "probe",
}

_FILTER = (0, (3, 1, 1, 1, 1, 1))
# Okabe & Ito's palette, which every common form of colour blindness tells apart; the dashes tell them apart in print.
_SUBJECTS: dict[str, dict[str, Any]] = {
    "model": {"color": "#0072B2", "linestyle": "-", "linewidth": 2.0, "zorder": 5, "label": "model"},
    "simulator": {"color": "#000000", "linestyle": (0, (5, 1.5)), "linewidth": 1.3, "zorder": 4, "label": "simulator"},
    "truth": {"color": "#000000", "linestyle": "-", "linewidth": 1.1, "zorder": 3.5, "label": "truth"},
    "identity": {"color": "#E69F00", "linestyle": "--", "linewidth": 1.5, "zorder": 3, "label": "input itself"},
    "lpt2": {"color": "#009E73", "linestyle": "-.", "linewidth": 1.5, "zorder": 3, "label": "2LPT"},
    "linear_filter": {"color": "#CC79A7", "linestyle": _FILTER, "linewidth": 1.5, "zorder": 3, "label": "best linear filter"},
    "lpt2_filter": {"color": "#D55E00", "linestyle": _FILTER, "linewidth": 1.5, "zorder": 3, "label": "best linear filter of 2LPT"},
    "untrained": {"color": "#7f8790", "linestyle": ":", "linewidth": 1.8, "zorder": 2.5, "label": "untrained twin"},
}
_NEXT_COLORS = ("#56B4E9", "#8c6d31")
# Of rivals, in their order: colours that neither the controls have nor, from Tol's muted palette, are taken for one another.
_RIVAL_COLORS = ("#56B4E9", "#882255", "#999933", "#332288", "#8c6d31")
_NEXT_DASHES: tuple[Any, ...] = ("-", "--", "-.", ":")


def house_style() -> AbstractContextManager[None]:
    """The house style as a context: text and legends that are made inside it follow it too."""
    import matplotlib

    return matplotlib.rc_context(HOUSE)


def figure(columns: int = 1, rows: int = 1, width: float = 6.0, height: float = 3.6, **gridspec: Any) -> tuple[Figure, ndarray]:
    """A figure in the house style.

    Parameters
    ----------
    columns, rows : int
    width, height : float
        Of the whole figure [inches].
    **gridspec
        What `Figure.subplots` takes beside: `sharex`, `sharey`, `width_ratios`, `height_ratios`, `gridspec_kw`.

    Returns
    -------
    figure : Figure
    axes : ndarray of Axes, (rows, columns)
        Always two axes, so `axes[0, 0]` where there is one panel.
    """
    from matplotlib.figure import Figure

    with house_style():
        made = Figure(figsize=(width, height), layout="constrained")
        axes = made.subplots(rows, columns, squeeze=False, **gridspec)
    return made, axes


def style(subject: str, label: str = "") -> dict[str, Any]:
    """Keywords of a line for a subject, the same in every figure.

    Parameters
    ----------
    subject : str
        "model", "simulator", "truth", "identity", "lpt2", "linear_filter", "untrained", or any other name: those get a
        colour and dashes that depend on the name alone.
    label : str
        Put in the legend instead of the usual word, such as "Zel'dovich (input)" for the identity.
    """
    known = _SUBJECTS.get(subject)
    if known is None:
        # Python's own hash changes from one process to the next.
        color, dash = divmod(zlib.crc32(subject.encode()) % (len(_NEXT_COLORS) * len(_NEXT_DASHES)), len(_NEXT_DASHES))
        known = {"color": _NEXT_COLORS[color], "linestyle": _NEXT_DASHES[dash], "linewidth": 1.4, "zorder": 3, "label": subject}
    return known | {"label": label or known["label"]}


def rival_style(place: int, name: str) -> dict[str, Any]:
    """Keywords of a line for a rival, by its place among them: the first twenty all differ."""
    color, dash = _RIVAL_COLORS[place % len(_RIVAL_COLORS)], _NEXT_DASHES[place // len(_RIVAL_COLORS) % len(_NEXT_DASHES)]
    return {"color": color, "linestyle": dash, "linewidth": 1.5, "zorder": 3.2, "label": name}


def ramp(index: int, count: int) -> str:
    """The colour of one of `count` ordered curves of the same subject: dark to light, and never too pale for white paper."""
    import matplotlib
    from matplotlib.colors import to_hex

    return to_hex(matplotlib.colormaps["viridis"](0.85 * index / max(count - 1, 1)))


def axis_label(name: str, unit: str = "") -> str:
    """'name [unit]', or just the name where there is no unit; 'Mpc/h' and '(Mpc/h)^3' are set as a physicist would."""
    return f"{name} [{set_unit(unit)}]" if unit.strip() not in ("", "1", "dimensionless") else name


def set_unit(unit: str) -> str:
    """A unit in mathtext: upright, but for the italic h of the Hubble constant; plain text where it is no simple formula."""
    if len(unit) > _LONGEST_UNIT:
        unit = unit[:_LONGEST_UNIT] + "…"
    if not re.fullmatch(r"[A-Za-z0-9µ%°().*/^+\- ]+", unit):
        return unit.replace("$", r"\$")
    # Brackets around a power go, those around what is raised to it stay: (h/Mpc)^(1/2), (1/s^2)^2.
    power = r"[+-]?\d+(?:[./]\d+)?"
    words = re.sub(rf"\^(?:\(({power})\)|({power}))", lambda m: f"^{{{m[1] or m[2]}}}", unit.replace("%", r"\%"))
    words = re.sub(r"[A-Za-zµ]+", lambda m: "h" if m[0] == "h" else rf"\mathrm{{{m[0]}}}", words)
    return "$" + re.sub(r"\s*\*\s*|\s+", r"\\,", words.strip()) + "$"


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
    for (word, place), dash in zip(lines.items(), _NEXT_DASHES[:0:-1], strict=False):
        panel.axvline(place, color="#D55E00", lw=1.1, ls=dash, label=word)
    for (subject, values), marker in zip(errors.items(), "os^vD", strict=False):
        look = style(subject) | {"linestyle": "none", "marker": marker, "markersize": 5.5}
        panel.plot(np.maximum(values, floor), np.arange(len(rows)), **look)
    panel.set(xscale="log", xlim=(floor / 2, None), ylim=(len(rows) - 0.5, -0.5), xlabel=label)
    panel.set_yticks(range(len(rows)), labels=rows)
    legend(panel, **BESIDE)
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
