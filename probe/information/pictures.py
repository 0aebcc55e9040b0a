"""Panels of mutual information: matrices of pairs, and curves along a coordinate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import lazy_loader as lazy

from probe import figures
from probe.contract import Panel
from probe.information.table import APART, NATS, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy import ndarray

np = lazy.load("numpy")

# Of latent variables, in order: Okabe & Ito.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8c6d31")
MARKERS = "os^Dv<>P"
MOST = 12  # rows and columns of a matrix


def of_single(table: Table, places: list[int]) -> Panel:
    """The matrix of latent variables and single quantities; where they are many, of those that know and are known most."""
    values = table.value[:, places]
    rows, columns = _foremost(values.max(1)), [places[i] for i in _foremost(values.max(0))]
    caption = (
        "What each latent variable (row) knows of each quantity (column), with one standard deviation. In brackets the estimate by "
        f"nearest neighbours, '!' where the two are more than {APART:g} errors apart; slanted numbers are not told from nothing."
        + (f" Of {len(table.names)} and {len(places)} those with most." if values.size > len(rows) * len(columns) else "")
    )
    text = "; ".join(f"{table.names[i]}: " + ", ".join(f"{table.what((i, j))} {table.told((i, j))}" for j in columns) for i in rows)
    variables = ("mixtures", "neighbours", "p_value")
    return Panel("Information on single quantities", [("", _matrix(table, rows, columns))], caption, text, variables)


def of_curve(table: Table, quantity: str) -> Panel:
    """The curves of each latent variable along a quantity's coordinate."""
    places = [i for i, what in enumerate(table.what_is) if what == quantity]
    shown = _foremost(table.value[:, places].max(1), len(COLORS))
    best = [(i, places[int(np.argmax(table.value[i, places]))]) for i in shown]
    text = "; ".join(f"{table.who(place)} knows most of {table.what(place)}: {table.told(place)}" for place in best)
    asked = "gmm-mi; open points, dotted: nearest neighbours; a cross where they contradict one another"
    caption = (
        "What each latent variable knows of each point. Filled points, with a band of one standard deviation: "
        f"{asked if table.asked[:, places].any() else 'nearest neighbours alone'}. Grey: below lies 95 % of what neighbours find "
        "in permuted samples, where there is nothing to know."
        + (f" Of {len(table.names)} latent variables the {len(shown)} that know most." if len(shown) < len(table.names) else "")
    )
    variables = ("mixtures", "neighbours", "null")
    return Panel(f"Information on {quantity}", [("", _curves(table, places, shown))], caption, text, variables)


def of_latents(table: Table) -> Panel:
    """The matrix of latent variables with one another; where they are many, of those that share most."""
    values = np.nan_to_num(table.value)
    kept = _foremost(np.maximum(values.max(0), values.max(1)))
    pairs = [(i, j) for j in kept for i in kept if i < j]
    text = "; ".join(f"{table.who(pair)} and {table.what(pair)}: {table.told(pair)}" for pair in pairs)
    caption = (
        "What the latent variables know of one another, with one standard deviation; disentangled ones know nothing. Slanted "
        "numbers are not told from nothing."
        + (f" Of {len(table.names)} the {len(kept)} that share most." if len(kept) < len(table.names) else "")
    )
    variables = ("between_mixtures", "between_neighbours")
    return Panel(
        "Information between latent variables",
        [("", _matrix(table, kept[:-1], kept[1:]))],
        caption,
        text,
        variables,
    )


def _foremost(values: ndarray, most: int = MOST) -> list[int]:
    """Where the largest are, in their own order."""
    found: list[int] = np.sort(np.argsort(-values, kind="stable")[:most]).tolist()
    return found


def _matrix(table: Table, rows: Sequence[int], columns: Sequence[int]) -> Figure:
    """Latent variables by targets: value and error; below in brackets the neighbours'; '!' where the two contradict one another.

    What no test tells from nothing is slanted.
    """
    values = table.value[np.ix_(rows, columns)]
    who, what = [table.names[i] for i in rows], [table.labels[j] for j in columns]
    picture = figures.matrix(values, who, what, table.unit, "mutual information")
    picture.set_size_inches(min(12.0, 2.6 + 1.05 * len(columns)), min(12.0, 1.2 + 0.55 * len(rows)))
    panel = picture.axes[0]
    cells = [(row, column) for (row, column), value in np.ndenumerate(values) if np.isfinite(value)]
    for text, (row, column) in zip(panel.texts, cells, strict=True):
        place = rows[row], columns[column]
        text.set_text(_cell(table, place))
        text.set_fontsize(8)
        if not table.significant[place]:
            text.set_fontstyle("italic")
    return picture


def _cell(table: Table, place: tuple[int, int]) -> str:
    said = f"{table.value[place]:.3f} ± {table.error[place]:.3f}"
    if not table.asked[place]:
        return said
    mark = " !" if table.apart[place] > APART else ""
    return f"{said}\n({table.near[place]:.3f} ± {table.near_error[place]:.3f}){mark}"


def _curves(table: Table, places: Sequence[int], shown: Sequence[int]) -> Figure:
    """What latent variables know of a quantity along its coordinate: gmm-mi with a band, neighbours open, the null grey."""
    data = table.data
    x, null = data.coordinate.values[places], data.null.values[places] / NATS[table.unit]
    picture, axes = figures.figure(width=7.2, height=4.0)
    panel = axes[0, 0]
    panel.fill_between(x, 0, null, color=figures.GREY, alpha=0.3, linewidth=0, label="null, 95 %", zorder=1)
    for latent, color, marker in zip(shown, COLORS, MARKERS, strict=False):
        _curve(panel, table, places, latent, {"color": color, "marker": marker, "markersize": 5})
    if table.asked[:, places].any():
        panel.plot([], [], color=figures.GREY, marker="o", markerfacecolor="none", linestyle=":", linewidth=0.9, label="neighbours")
        if (table.apart[:, places] > APART).any():
            panel.plot([], [], "x", color="#000000", markersize=9, label="contradiction")
    if (x > 0).all() and x.max() > 20 * x.min():
        figures.logarithmic(panel)
    place = places[0]
    panel.set_xlabel(figures.axis_label(str(data.coordinate_name.values[place]), str(data.coordinate_unit.values[place])))
    panel.set_ylabel(figures.axis_label("mutual information", table.unit))
    panel.set_ylim(bottom=0)
    figures.legend(panel, **figures.BESIDE)
    return picture


def _curve(panel: Axes, table: Table, places: Sequence[int], latent: int, look: dict[str, Any]) -> None:
    """One latent variable: where gmm-mi was asked its values, and the neighbours' beside; else the neighbours' alone."""
    x, asked = table.data.coordinate.values[places], table.asked[latent, places]
    seen = asked if asked.any() else ~asked
    value, error = table.value[latent, places], np.nan_to_num(table.error[latent, places], posinf=0.0)
    low, high = np.maximum(value - error, 0), value + error
    panel.fill_between(x[seen], low[seen], high[seen], color=look["color"], alpha=0.18, linewidth=0)
    panel.plot(x[seen], value[seen], label=table.names[latent], linewidth=1.6, **look)
    if asked.any():
        panel.plot(x, table.near[latent, places], linewidth=0.9, linestyle=":", **look | {"markerfacecolor": "none"})
        off = table.apart[latent, places] > APART
        panel.plot(x[off], value[off], "x", color="#000000", markersize=9, zorder=6)
