"""Figures of attribution maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

from probe import figures
from probe.attribution.setting import SLOPES, method_name
from probe.attribution.summary import controls_of, look_of, map_in_words, mean_of, radius, rows_of, shares, target_in_words
from probe.contract import Panel, percent
from probe.spectra import response_unit

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from xarray import Dataset

    from probe.contract import Measured
    from probe.intervals import Interval

NEAR = 32  # cells along an axis that are drawn around a target in a large box


def maps_panel(model: Dataset) -> Panel:
    """The first sample's density and maps, in a plane through each target."""
    made = [(str(target), _slices(model, i)) for i, target in enumerate(model.target.values)]
    ranges = [
        f"{method_name(method)}: from {picture.min():.3g} to {picture.max():.3g}"
        for method, picture in zip(model.method.values, model.picture.values[0], strict=True)
        if np.isfinite(picture).all()
    ]
    caption = (
        f"The input's density ({model.attrs['density_name']}) and the maps of the sample {model.sample.values[0]!s}, in the plane "
        "of x and y through the target (the cross; of a large box what lies near it). Contributions are signed: red raises the "
        "target, blue lowers it; they share one scale. A gradient of several channels is drawn as its length, each channel times "
        "its scatter."
    )
    words = target_in_words(model)
    text = f"{words[:1].upper()}{words[1:]}; in the plane drawn {'; '.join(ranges) or 'no map'}."
    return Panel("Where it looks", made, caption, text, ("density", "picture"))


def _slices(model: Dataset, target: int) -> Figure:
    spacing, length = np.atleast_1d(model.attrs["spacing"]), str(model.attrs["length_unit"])
    pictures = {m: p for m, p in zip(model.method.values, model.picture.values[target], strict=True) if np.isfinite(p).all()}
    signed, slopes = ([_titled(model, target, m) for m in pictures if (m in SLOPES) is slope] for slope in (False, True))
    first = figures.axis_label(str(model.attrs["density_name"]), str(model.density.attrs["units"]))
    fields = {first: model.density.values[target]} | {_titled(model, target, m): p for m, p in pictures.items()}
    if model.sizes["u"] == 1:
        return _lines(fields, float(spacing[0]), length)
    mark = np.asarray(model.attrs["marks"]).reshape(-1, 2)[target]
    (left, right), (low, high) = (_near(n, count) for n, count in zip(mark, model.picture.shape[2:], strict=True))
    drawn = {name: fields[name][left:right, low:high] for name in (first, *signed, *slopes)}
    across, up = (float(h) for h in spacing)
    extent = (left * across, right * across, low * up, high * up)
    groups = [group for group in ([first], signed, *([name] for name in slopes)) if group]
    made = figures.slices(drawn, "", extent, length, shared=groups)
    for panel in made.axes:
        if panel.get_xlabel() and np.isfinite(mark).all() and panel.get_title(loc="left"):
            panel.plot((mark[0] + 0.5) * across, (mark[1] + 0.5) * up, "+", color=figures.INK, ms=9, mew=1.2)
    return made


def _near(place: float, count: int) -> tuple[int, int]:
    """Cells drawn along an axis: all where there are few or no place, else those near the target, which in a large box is a dot."""
    if count <= 2 * NEAR or not np.isfinite(place):
        return 0, count
    first = min(max(int(place) - NEAR // 2, 0), count - NEAR)
    return first, first + NEAR


def _titled(model: Dataset, target: int, method: str) -> str:
    """A method's name with the unit of its map: of one channel's slope the target's over the input's, else the target's."""
    unit, below = str(model.attrs[f"unit_{target}"]), str(model.density.attrs["units"])
    if method in SLOPES and model.sizes["channel"] == 1:
        unit = response_unit(below, unit)
    return figures.axis_label(method_name(method), unit)


def _lines(fields: dict[str, ndarray], spacing: float, length: str) -> Figure:
    made, axes = figures.figure(rows=len(fields), width=7.2, height=0.8 + 1.5 * len(fields), sharex=True)
    for place, ((name, values), panel) in enumerate(zip(fields.items(), axes[:, 0], strict=True)):
        shade = figures.style("truth" if place == 0 else "model")
        panel.plot(np.arange(values.shape[1]) * spacing, values[0], color=shade["color"], lw=1.4)
        with figures.house_style():
            panel.set_title(name)
        panel.set_ylabel("input" if place == 0 else "map")
        panel.set_xlabel(figures.axis_label("x", length))
    return made


def preferences_panel(measured: Measured) -> Panel:
    """How much cells of each density count, and local minima and maxima, of the model and its controls."""
    model = measured["model"]
    count = model.sizes["quantile"]
    labels = [f"{100 * q / count:.0f}–{100 * (q + 1) / count:.0f} %" for q in range(count)] + ["voids", "peaks"]
    own = _preferences(model)
    picture, axes = figures.figure(width=7.6, height=3.6)
    panel = axes[0, 0]
    top = _bars(panel, own)
    for name, marker in zip(controls_of(measured), "Ds^o", strict=False):
        found, other = np.array([one.value for one in _preferences(measured[name])]), look_of(measured, name)
        panel.plot(range(count + 2), found, marker, color=other["color"], ms=5.5, label=other["label"], zorder=4)
        top = np.nanmax(np.append(found, top))
    panel.axhline(1, color="#D55E00", lw=1, ls=":", label="no preference")
    panel.set_xticks(range(count + 2), labels=labels)
    highest = np.nanmax([top, *[one.high for one in own if np.isfinite(one.high)]])
    panel.set(
        xlabel=f"quantile of the input's density ({model.attrs['density_name']}), from empty to dense",
        ylabel="preference",
        ylim=(0, min(3 * top, 1.05 * highest)),
    )
    figures.legend(panel, **figures.BESIDE)
    text = "; ".join(f"{label}: {one.value:.2g} [{one.low:.2g}, {one.high:.2g}]" for label, one in zip(labels, own, strict=True))
    caption = (
        f"|Map| of {map_in_words(model)} in cells of each density, over what cells at the same distance from the target have on "
        "average (over the mean cell where the target is about no place). Bars: the model, with "
        f"99.7 % intervals over {model.sizes['sample']} samples (no further than three times the highest bar); marks: controls. "
        "Voids and peaks are the local minima of the emptiest and the local maxima of the densest quantile."
    )
    return Panel("Dense or empty regions", [("", picture)], caption, text, ("quantiles", "voids", "peaks"))


def _preferences(data: Dataset) -> list[Interval]:
    """Preference for each quantile from empty to dense, for voids and for peaks."""
    columns = [*rows_of(data, "quantiles").T, rows_of(data, "voids"), rows_of(data, "peaks")]
    return [mean_of(column) for column in columns]


def _bars(panel: Any, own: list[Interval]) -> float:
    """Draws the model's preferences with their intervals; the highest of them, or 1 where that is more."""
    places, shade = np.arange(len(own)), figures.style("model")
    value = np.array([one.value for one in own])
    reach = np.array([[one.value - one.low, one.high - one.value] for one in own]).T
    panel.bar(places, value, 0.6, color=shade["color"], alpha=0.35, label="model")
    panel.errorbar(places, value, np.where(np.isfinite(reach), reach, 0), fmt="none", ecolor=shade["color"], capsize=3, lw=1.4)
    return float(np.nanmax(np.append(value, 1.0)))


def profiles_panel(measured: Measured) -> Panel:
    """The mean of the map at each distance from the target, and its share within, of the model and its controls."""
    model = measured["model"]
    unit = str(model.distance.attrs["units"])
    told = [f"{mean_of(radius(model, s)).value:.3g} {unit} hold {percent(s)}" for s in (0.5, 0.9, 0.99)]
    caption = (
        f"Left: mean of |map| of {map_in_words(model)} at each distance, mean over samples; at "
        "most seven decades are drawn. Right: the share of |map| up to a distance. Distances go the shortest way around a "
        "periodic box."
    )
    return Panel("How near it looks", [("", _profiles(measured))], caption, "; ".join(told), ("profile", "within"))


def _profiles(measured: Measured) -> Figure:
    model = measured["model"]
    picture, axes = figures.figure(columns=2, width=8.8)
    end = float(model.distance.values[1])
    for name in ["model", *controls_of(measured)]:
        data, shade = measured[name], look_of(measured, name)
        far = data.distance.values
        mean, within = _mean_known(rows_of(data, "profile")), _mean_known(rows_of(data, "within"))
        axes[0, 0].plot(far, np.where(mean > 0, mean, np.nan), **shade)
        axes[0, 1].plot(far, within, **shade)
        end = max(end, float(far[min(int(np.searchsorted(within, 0.9999)), len(far) - 1)]))
    seen, top = rows_of(model, "profile"), np.nanmax(_mean_known(rows_of(model, "profile")))
    axes[0, 0].set(yscale="log", ylim=(max(top * 1e-7, seen[seen > 0].min() / 5), top * 5))
    axes[0, 0].set_ylabel(figures.axis_label("mean |map| of a cell", str(model.attrs["unit_0"])))
    axes[0, 1].set(ylabel="share of |map| within", ylim=(0, 1.03))
    for panel in axes[0]:
        panel.set_xlim(-0.04 * end, 1.05 * end)
        panel.set_xlabel(figures.axis_label("distance from the target", str(model.distance.attrs["units"])))
    figures.legend(axes[0, 1], **figures.BESIDE)
    return picture


def _mean_known(rows: ndarray) -> ndarray:
    """Mean over the samples that have a number, NaN where none has: (sample, ...) -> (...)."""
    known = np.isfinite(rows)
    return np.where(known.any(0), np.where(known, rows, 0).sum(0) / np.maximum(known.sum(0), 1), np.nan)


def spectra_panel(measured: Measured) -> Panel:
    """What each shell of |k| and each axis of the input contributed, of the model and its controls."""
    model = measured["model"]
    k, unit = model.shell_wavenumber.values, str(model.shell_wavenumber.attrs["units"])
    value, along = shares(model, "shells")[0], shares(model, "axes")[0]
    most = ", ".join(f"{percent(value[i])} at k = {k[i]:.3g} {unit}" for i in abs(value).argsort()[:-4:-1])
    by_axis = ", ".join(f"{name} {percent(share)}" for name, share in zip(model.axis.values, along, strict=True))
    text = f"{percent(float(value.sum()))} of the difference comes from the shells; the largest shares: {most}; by axis {by_axis}"
    caption = (
        f"What each shell of |k| of the input contributed to {map_in_words(model)}, as a share of "
        "the difference from the baseline over all samples; shells, modes beyond them and the mean add up to 1 where the map is "
        "complete. The band is the 99.7 % interval over samples, drawn for the model. Right: the same split by axis, each mode by "
        "k_i²/k²."
    )
    return Panel("Scale and direction", [("", _spectra(measured))], caption, text, ("shells", "axes", "mean", "difference"))


def _spectra(measured: Measured) -> Figure:
    model = measured["model"]
    picture, axes = figures.figure(columns=2, width=8.8, width_ratios=(2, 1))
    k, (value, low, high) = model.shell_wavenumber.values, shares(model, "shells")
    drawn = [name for name in ["model", *controls_of(measured)] if np.isfinite(rows_of(measured[name], "shells")).all()]
    figures.band(axes[0, 0], k, low, high, "model")
    for place, name in enumerate(drawn):
        data, shade = measured[name], look_of(measured, name)
        axes[0, 0].plot(k, shares(data, "shells")[0], **shade)
        aside = np.arange(data.sizes["axis"]) + 0.13 * (place - (len(drawn) - 1) / 2)
        axes[0, 1].plot(aside, shares(data, "axes")[0], **shade | {"marker": "o", "linestyle": "none"})
    figures.logarithmic(axes[0, 0])
    edge = 1.6 * np.abs(value).max()
    axes[0, 0].set(ylim=(-edge if value.min() < 0 else -0.1 * edge, edge), ylabel="share of the difference")
    axes[0, 0].set_xlabel(figures.axis_label("k", str(model.shell_wavenumber.attrs["units"])))
    axes[0, 1].set_xticks(range(model.sizes["axis"]), labels=list(model.axis.values))
    axes[0, 1].set(xlim=(-0.6, model.sizes["axis"] - 0.4), xlabel="axis", ylabel="share of the difference")
    for panel in axes[0]:
        panel.axhline(0, color=figures.GREY, lw=0.7)
    figures.legend(axes[0, 1], handles=axes[0, 0].get_legend_handles_labels()[0], **figures.BESIDE)
    return picture


def budget_panel(model: Dataset) -> Panel:
    """Sums of contributions against the differences that they should add up to, a point a sample."""
    known = [i for i, total in enumerate(np.moveaxis(model.total.values, 1, 0)) if np.isfinite(total).all()]
    caption = (
        "The sum of the contributions against the difference between the answers to the sample and to the baseline, a point a "
        "sample, both over the rms of the difference. Integrated gradients and DeepLift must lie on the line; of the others it "
        "says how far the target is from linear. A slope has no sum."
    )
    numbers = [
        f"{method_name(model.method.values[i])}, sample {place}: {total:.5g} for {whole:.5g}"
        for i in known
        for place, (total, whole) in enumerate(zip(model.total.values[0, i], model.difference.values[0, i], strict=True), 1)
    ]
    faults = [str(value) for name, value in model.attrs.items() if name.startswith("fault_")]
    text = "; ".join([*numbers, *faults]) or "no method has sums"
    return Panel("Does it add up?", [("", _budget(model, known))], caption, text, ("total", "difference", "nodes"))


def _budget(model: Dataset, known: list[int]) -> Figure:
    made, axes = figures.figure(width=6.4)
    panel = axes[0, 0]
    for place, target in enumerate(model.target.values):
        for i in known:
            total, whole = model.total.values[place, i], model.difference.values[place, i]
            size = max(float(np.sqrt((whole**2).mean())), 1e-300)
            look = {"color": figures.ramp(place, model.sizes["target"]), "marker": "oDs^v"[i % 5], "ls": "none", "ms": 7}
            look |= {"markerfacecolor": "none", "mew": 1.6, "label": f"{target}: {method_name(model.method.values[i])}"}
            panel.plot(whole / size, total / size, **look)
    panel.axline((0.0, 0.0), slope=1.0, color=figures.INK, lw=0.8)
    panel.set(xlabel="difference of the answers, over its rms", ylabel="sum of the contributions")
    figures.legend(panel, **figures.BESIDE)
    return made
