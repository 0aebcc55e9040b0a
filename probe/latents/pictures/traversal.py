"""Panels of a traversal: what each latent variable does, and how much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from probe import figures
from probe.contract import Measured, Panel
from probe.equivariance import through_window
from probe.latents.pictures.space import few
from probe.latents.traversal import sizes

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy import ndarray
    from xarray import Dataset


def effects(measured: Measured, order: ndarray, least: float, silent: float, threshold: float) -> Panel:
    """The change by every latent variable against its value, and in all.

    Parameters
    ----------
    order : ndarray
        Places of the latent variables that get a curve, those that do most first.
    least, silent : float
        Change over scatter that an active latent variable should reach, and that a dead one should not.
    threshold : float
        Signal over noise above which a latent variable is active.
    """
    model = measured["model"]
    names = [str(name) for name in model.latent.values]
    picture, axes = figures.figure(columns=2, width=8.8, height=3.4, width_ratios=(1.5, 1))
    for i in sorted(order):
        axes[0, 0].plot(model.value[i], model.effect[i], marker="o", ms=3.5, color=figures.ramp(int(i), len(names)), label=names[i])
    # Changes grow to both sides: the legend stands in between, above.
    top = max(1.35 * float(model.effect.max()), 1e-12)
    axes[0, 0].set(xlabel="value of the latent variable", ylabel="change over scatter", ylim=(0, top))
    axes[0, 0].locator_params(axis="x", nbins=5)
    for subject in [name for name in ("untrained", "model") if name in measured]:
        look, size = figures.style(subject), np.maximum(sizes(measured[subject]), 1e-8)
        face = look["color"] if subject == "model" else "white"
        axes[0, 1].plot(np.arange(len(size)), size, "o", ms=6, color=look["color"], markerfacecolor=face, label=look["label"])
    if model.attrs["has_spread"]:
        active = model.signal.values > threshold
        for wanted, bound, word in ((active, least, "active: above"), (~active, silent, "dead: below")):
            for number, place in enumerate(np.flatnonzero(wanted)):
                color, label = ("#D55E00", "#009E73")[word.startswith("dead")], None if number else word
                axes[0, 1].hlines(bound, place - 0.35, place + 0.35, color=color, lw=1.6, label=label)
    axes[0, 1].set(yscale="log", ylabel="change over scatter, rms", xlabel="latent variable", xlim=(-0.6, len(names) - 0.4))
    figures.names(axes[0, 1], few(names))
    figures.legend(axes[0, 0], loc="upper center", ncols=2)
    figures.legend(axes[0, 1], **figures.BESIDE)
    text = "Change over scatter: " + ", ".join(f"{n}: {s:.3g}" for n, s in zip(names, sizes(model), strict=True))
    caption = (
        "How far the answer moves, over its scatter between samples: left along each latent variable, right in all. "
        "One that is active should stand above its bar, a dead one below. Exact zeros are drawn at 1e-8."
    )
    return Panel("How much each latent variable does", [("", picture)], caption, text, ("value", "effect", "signal"))


def slider(model: Dataset, latent: int) -> Panel:
    """One latent variable: a figure for each of its values."""
    name, values = str(model.latent.values[latent]), model.value.values[latent]
    if "answer" in model:
        make, variables, what = _curve, ("value", "answer", "answer_base"), f"along {model.attrs['question']}"
    elif model.shown.ndim == 4:
        make, variables, what = _line, ("value", "shown", "shown_base"), "along the line"
    else:
        several = f"component {'xyz'[_component(model, latent)]}, " if model.sizes["component"] > 1 else ""
        make, variables, what = _picture, ("value", "shown", "shown_base"), f"{several}in a slice"
    shown = [(f"{name} = {value:.3g}", make(model, latent, place)) for place, value in enumerate(values)]
    size = model.effect.values[latent]
    text = f"Change over scatter along {name}: " + ", ".join(f"{v:.3g}: {s:.3g}" for v, s in zip(values, size, strict=True))
    caption = (
        f"The answer ({model.attrs['output']}, {what}) as {name} goes from {values[0]:.3g} to {values[-1]:.3g} and the others "
        "stay; right, its difference from that where all stay; of curves the whole range is shaded. All else as in "
        f"{model.attrs['sample']}. The axes and colours stay the same, so that what moves is the answer."
    )
    return Panel(f"What {name} does", shown, caption, text, variables)


def _curve(model: Dataset, latent: int, place: int) -> Figure:
    """Numbers along the parameter that is asked about."""
    answers, base = model.answer.values[latent], model.answer_base.values
    return _family(model, answers[:, 0], base[0], place, model.question.values, (model.attrs["question"], ""), model.answer)


def _component(model: Dataset, latent: int) -> int:
    """The component of a vector that moves most along a latent variable."""
    change = model.shown.values[latent] - model.shown_base.values
    return int(np.square(change).mean((0, *range(2, change.ndim))).argmax())


def _line(model: Dataset, latent: int, place: int) -> Figure:
    """A field on a line."""
    answers, base = model.shown.values[latent, :, 0], model.shown_base.values[0]
    cells = np.arange(len(base)) + 0.5 * (model.attrs["boundary"] != "periodic")
    along = ("x", model.attrs["length_unit"])
    return _family(model, answers, base, place, cells * model.attrs["side"] / len(base), along, model.shown)


def _family(
    model: Dataset, curves: ndarray, base: ndarray, place: int, x: ndarray, along: tuple[str, str], variable: Any
) -> Figure:
    """Where all curves lie, one of them, and each one's difference from that where all stay."""
    picture, axes = figures.figure(columns=2, width=9.4, height=3.1)
    for panel, rows, still in zip(axes[0], (curves, curves - base), (base, 0 * base), strict=True):
        panel.fill_between(x, rows.min(0), rows.max(0), color=figures.GREY, alpha=0.25, lw=0, label="over the range")
        panel.plot(x, still, color="black", lw=1.1, ls="--", label="all stay")
        panel.plot(x, rows[place], color=figures.ramp(place, len(rows)), lw=2.6, label="now")
        panel.set_xlabel(figures.axis_label(*along))
    axes[0, 0].set_ylabel(figures.axis_label(str(model.attrs["output"]), variable.attrs["units"]))
    axes[0, 1].set_ylabel(figures.axis_label("difference", variable.attrs["units"]))
    # What is rounding of the answer lies on the line.
    reach = 1e-6 * float(np.abs(curves).max())
    if 0 < float(np.abs(curves - base).max()) < reach:
        axes[0, 1].set_ylim(-reach, reach)
    figures.legend_beside(axes[0])
    return picture


def _picture(model: Dataset, latent: int, place: int) -> Figure:
    """A slice of the field and its difference from that where all stay, on the colour scales of all values."""
    component = _component(model, latent)
    every, base = model.shown.values[latent, :, component], model.shown_base.values[component]
    extent = (0.0, float(model.attrs["side"]), 0.0, float(model.attrs["side_v"]))
    unit, length = model.shown.attrs["units"], model.attrs["length_unit"]
    fields = {"answer": every[place], "difference": every[place] - base}
    reach = [float(np.abs(rows).max()) or 1.0 for rows in (every, every - base)]
    limits = [(-size, size) for size in reach]
    return figures.slices(fields, unit, extent, length, shared=[["answer"], ["difference"]], limits=limits)


def numbers(model: Dataset, order: ndarray) -> Panel:
    """Numbers against each latent variable, in units of their scatter."""
    kept = sorted(order)[:4]
    picture, axes = figures.figure(columns=len(kept), width=2.2 + 2.2 * len(kept), height=3.2, sharey=True)
    answers = model.answer.values[..., 0]
    scatter = np.where(model.scatter.values > 0, model.scatter.values, 1.0)
    for panel, latent in zip(axes[0], kept, strict=True):
        for number, name in enumerate(model.number.values):
            change = (answers[latent, :, number] - model.answer_base.values[number, 0]) / scatter[number]
            panel.plot(model.value[latent], change, marker="o", ms=3.5, color=figures.ramp(number, len(scatter)), label=str(name))
        panel.set(xlabel=str(model.latent.values[latent]), ylabel="change over scatter")
    figures.legend_beside(axes[0])
    text = "Numbers at both ends: " + "; ".join(
        f"{model.latent.values[i]!s}: "
        + ", ".join(f"{a:.3g} to {b:.3g}" for a, b in zip(answers[i, 0], answers[i, -1], strict=True))
        for i in kept
    )
    caption = "Each number against the latent variables, the others at rest: its change from where all stay, over its scatter."
    return Panel("Numbers along latent variables", [("", picture)], caption, text, ("value", "answer", "answer_base", "scatter"))


def _held(power: ndarray) -> ndarray:
    """Power where there is more of it than rounding leaves, NaN elsewhere; all NaN becomes one."""
    most = float(power.max(initial=0.0))
    return np.where(power > 1e-20 * most, power, np.nan) if most > 0 else np.ones_like(power)


def spectra(model: Dataset, kept: list[int]) -> Panel:
    """Power of the decoded field over that where all stay, and power of the change over that of the scatter."""
    picture, axes = figures.figure(columns=len(kept), rows=2, width=1.8 + 2.1 * len(kept), height=5.0, sharey="row", sharex=True)
    base, scatter = (_held(model[name].values) for name in ("power_base", "power_scatter"))
    for column, latent in enumerate(kept):
        _ratios(axes[:, column], model, latent, base, scatter)
    ratios = model.power.values[kept] / base
    if np.nanmax(ratios) > 2 * np.nanmin(ratios):
        axes[0, 0].set(yscale="log")
    axes[0, 0].set_ylabel("P / P where all stay")
    axes[1, 0].set_ylabel("P of change / of scatter")
    figures.legend_beside(axes[0])
    last = {str(model.latent.values[i]): model.power.values[i, -1] / base for i in kept}
    text = "Power at the highest value over that where all stay, least and most over k: " + ", ".join(
        f"{name}: {np.nanmin(ratio):.3g} to {np.nanmax(ratio):.3g}" for name, ratio in last.items()
    )
    caption = (
        "Above: the power spectrum of the decoded field at each value of a latent variable, over that where all stay. Below: the "
        "power of its change over that of the scatter between samples; exact zeros are drawn at 1e-8"
        f"{through_window(model)}."
    )
    return Panel("Spectra along latent variables", [("", picture)], caption, text, ("power", "power_base", "power_change"))


def _ratios(axes: ndarray, model: Dataset, latent: int, base: ndarray, scatter: ndarray) -> None:
    """A column of panels: at each value of a latent variable the power, and that of the change."""
    k, count = model.shell_wavenumber.values, model.sizes["point"]
    for place in range(count):
        label = {0: "lowest value", count - 1: "highest value"}.get(place)
        look: dict[str, Any] = {"color": figures.ramp(place, count), "lw": 1.3, "label": label}
        axes[0].plot(k, model.power.values[latent, place] / base, **look)
        axes[1].plot(k, np.maximum(model.power_change.values[latent, place] / scatter, 1e-8), **look)
    axes[1].set(yscale="log")
    with figures.house_style():
        axes[0].set_title(str(model.latent.values[latent]))
    for panel in axes:
        figures.logarithmic(panel)
        panel.set_xlabel(figures.axis_label("k", model.shell_wavenumber.attrs["units"]))
