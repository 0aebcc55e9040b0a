"""Panels of mutual information: matrices of pairs, and curves along a coordinate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import lazy_loader as lazy

from probe import figures
from probe.contract import Panel
from probe.information.table import APART, NATS, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

np = lazy.load("numpy")

# Of latent variables, in order: Okabe & Ito.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8c6d31")
MARKERS = "os^Dv<>P"


def of_single(table: Table, places: list[int]) -> Panel:
    """The matrix of latent variables and single quantities."""
    columns = [table.labels[i] for i in places]
    caption = (
        "What each latent variable (row) knows of each quantity (column), with one standard deviation. In brackets the estimate by "
        f"nearest neighbours, '!' where the two are more than {APART:g} errors apart; slanted numbers are not told from nothing."
    )
    text = "; ".join(
        f"{who}: " + ", ".join(f"{table.what((i, j))} {table.told((i, j))}" for j in places) for i, who in enumerate(table.names)
    )
    variables = ("mixtures", "neighbours", "p_value")
    return Panel("Information on single quantities", [("", _matrix(table, places, columns))], caption, text, variables)


def of_curve(table: Table, quantity: str) -> Panel:
    """The curves of each latent variable along a quantity's coordinate."""
    places = [i for i, what in enumerate(table.what_is) if what == quantity]
    best = [(i, places[int(np.argmax(table.value[i, places]))]) for i in range(len(table.names))]
    text = "; ".join(f"{table.who(place)} knows most of {table.what(place)}: {table.told(place)}" for place in best)
    asked = "gmm-mi; open points, dotted: nearest neighbours; a cross where they contradict one another"
    caption = (
        "What each latent variable knows of each point. Filled points, with a band of one standard deviation: "
        f"{asked if table.asked[:, places].any() else 'nearest neighbours alone'}. Grey: below lies 95 % of what neighbours find "
        "in permuted samples, where there is nothing to know."
    )
    variables = ("mixtures", "neighbours", "null")
    return Panel(f"Information on {quantity}", [("", _curves(table, quantity))], caption, text, variables)


def of_latents(table: Table) -> Panel:
    """The matrix of latent variables with one another."""
    places = list(range(1, len(table.names)))
    pairs = [(i, j) for j in places for i in range(j)]
    text = "; ".join(f"{table.who(pair)} and {table.what(pair)}: {table.told(pair)}" for pair in pairs)
    caption = (
        "What the latent variables know of one another, with one standard deviation; disentangled ones know nothing. Slanted "
        "numbers are not told from nothing."
    )
    variables = ("between_mixtures", "between_neighbours")
    return Panel(
        "Information between latent variables",
        [("", _matrix(table, places, table.names[1:], table.names[:-1]))],
        caption,
        text,
        variables,
    )


def _matrix(table: Table, places: Sequence[int], columns: Sequence[str], rows: Sequence[str] = ()) -> Figure:
    """Latent variables by targets: value and error; below in brackets the neighbours'; '!' where the two contradict one another.

    What no test tells from nothing is slanted.
    """
    rows = rows or table.names
    values = table.value[: len(rows), places]
    picture = figures.matrix(values, rows, columns, table.unit, "mutual information")
    picture.set_size_inches(min(12.0, 2.6 + 1.05 * len(columns)), min(12.0, 1.2 + 0.55 * len(rows)))
    panel = picture.axes[0]
    cells = [(row, column) for (row, column), value in np.ndenumerate(values) if np.isfinite(value)]
    for text, (row, column) in zip(panel.texts, cells, strict=True):
        place = row, places[column]
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


def _curves(table: Table, quantity: str) -> Figure:
    """What each latent variable knows of a quantity along its coordinate: gmm-mi with a band, neighbours open, the null grey."""
    data = table.data
    places = [i for i, what in enumerate(table.what_is) if what == quantity]
    x = data.coordinate.values[places]
    picture, axes = figures.figure(width=7.2, height=4.0)
    panel = axes[0, 0]
    null = data.null.values[places] / NATS[table.unit]
    panel.fill_between(x, 0, null, color=figures.GREY, alpha=0.3, linewidth=0, label="null, 95 %", zorder=1)
    for latent, name in enumerate(table.names):
        color, marker = COLORS[latent % len(COLORS)], MARKERS[latent % len(MARKERS)]
        near, asked = table.near[latent, places], table.asked[latent, places]
        look = {"color": color, "marker": marker, "markersize": 5}
        if not asked.any():
            error = table.near_error[latent, places]
            panel.fill_between(x, np.maximum(near - error, 0), near + error, color=color, alpha=0.18, linewidth=0)
            panel.plot(x, near, label=name, linewidth=1.6, **look)
            continue
        value, error = table.value[latent, places][asked], table.error[latent, places][asked]
        panel.fill_between(x[asked], np.maximum(value - error, 0), value + error, color=color, alpha=0.18, linewidth=0)
        panel.plot(x[asked], value, label=name, linewidth=1.6, **look)
        panel.plot(x, near, linewidth=0.9, linestyle=":", **look | {"markerfacecolor": "none"})
        off = table.apart[latent, places] > APART
        panel.plot(x[off], table.value[latent, places][off], "x", color="#000000", markersize=9, zorder=6)
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
