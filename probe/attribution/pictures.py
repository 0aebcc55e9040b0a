"""Figures of attribution maps, and the numbers that they and the checks share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray
from xarray import DataArray, Dataset

from probe import figures, intervals
from probe.attribution.setting import SLOPES
from probe.contract import Measured, Panel, percent
from probe.equivariance import look
from probe.intervals import Interval
from probe.spectra import response_unit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WORDS = {
    "integrated_gradients": "integrated gradients",
    "input_x_gradient": "input x gradient",
    "gradient_shap": "GradientSHAP",
    "smoothgrad": "SmoothGrad",
    "deep_lift": "DeepLift",
    "feature_ablation": "feature ablation",
}

NEAR = 32  # cells along an axis that are drawn around a target in a large box


def left_over(model: Dataset) -> DataArray:
    """|sum of contributions - difference|, rms over samples, over the rms difference: (target, method)."""
    missed = ((model.total - model.difference) ** 2).mean("sample") ** 0.5
    return missed / np.maximum((model.difference**2).mean("sample") ** 0.5, 1e-300)


def in_words(model: Dataset, place: int) -> str:
    return str(model.attrs[f"words_{place}"])


def word(method: object) -> str:
    return WORDS.get(str(method), str(method))


def rows_of(data: Dataset, variable: str, target: int = 0) -> ndarray:
    """What the first method found of a target: (sample, ...)."""
    values: ndarray = data[variable].values[target, 0]
    return values


def of_mean(rows: ndarray) -> Interval:
    kept = rows[np.isfinite(rows)]
    return intervals.of_mean(kept if kept.size else np.full(1, np.nan))


def others(measured: Measured) -> list[str]:
    return [
        n
        for n in ("simulator", "lpt2", "identity", "untrained")
        if n in measured and np.isfinite(measured[n].difference.values).all()
    ]


def look_of(measured: Measured, name: str) -> dict[str, Any]:
    """How a subject is drawn; its label tells its method where that is not the model's."""
    shade, (own, theirs) = look(name, measured["model"]), (measured[n].method.values[0] for n in ("model", name))
    return shade if own == theirs else shade | {"label": f"{shade['label']} ({word(theirs)})"}


def beside(measured: Measured, told: str, variable: str) -> str:
    words = []
    for name in others(measured):
        value = of_mean(
            rows_of(measured[name], variable)[..., -1] if variable == "quantiles" else rows_of(measured[name], variable)
        ).value
        if np.isfinite(value):
            words.append(f"{value:.2g} for {look_of(measured, name)['label']}")
    return f" ({told}: {', '.join(words)})" if words else ""


def half(data: Dataset) -> ndarray:
    """Distance within which half of the amount lies, by linear interpolation between shells: (sample,)."""
    within, far = rows_of(data, "within"), data.distance.values
    return np.array([np.interp(0.5, row, far) for row in within])


# Over samples the contribution C_s of a shell is regressed on the whole difference d: sum C_s d / sum d^2. The shares of all
# shells, of modes beyond them and of the mean add up to that of the whole, 1 where the map is complete.
def shares(data: Dataset, variable: str, target: int = 0) -> ndarray:
    """Share of the difference that each shell or axis contributes: value, low, high, (3, ...)."""
    rows, whole = rows_of(data, variable, target), data.difference.values[target]
    rows = rows.reshape(len(rows), -1)
    both = np.concatenate([rows, np.broadcast_to(whole[:, None], (len(whole), 1))], 1)

    def share(kept: ndarray) -> ndarray:
        weight = kept[..., -1:]
        return (kept[..., :-1] * weight).sum(-2) / np.maximum((weight**2).sum(-2), 1e-300)

    return np.stack(intervals.over_samples(both, share))


def maps_panel(model: Dataset) -> Panel:
    made = [(str(target), _slices(model, i)) for i, target in enumerate(model.target.values)]
    names = {m: word(m) for m in model.method.values}
    peak = [
        f"{word}: from {np.nanmin(model.picture.values[0, i]):.3g} to {np.nanmax(model.picture.values[0, i]):.3g}"
        for i, word in enumerate(names.values())
        if np.isfinite(model.picture.values[0, i]).any()
    ]
    caption = (
        f"The input's density ({model.attrs['density_name']}) and the maps of the sample {model.sample.values[0]!s}, in the plane "
        "of x and y through the target (the cross; of a large box what lies near it). Contributions are signed: red raises the "
        "target, blue lowers it; they share one scale. A gradient of several channels is drawn as its length, each channel times "
        "its scatter."
    )
    text = f"{in_words(model, 0)[:1].upper()}{in_words(model, 0)[1:]}; in the plane drawn {'; '.join(peak)}."
    return Panel("Where it looks", made, caption, text, ("density", "picture"))


def _slices(model: Dataset, target: int) -> Figure:
    spacing, length = np.atleast_1d(model.attrs["spacing"]), str(model.attrs["length_unit"])
    drawn = [i for i in range(model.sizes["method"]) if np.isfinite(model.picture.values[target, i]).any()]
    names = {i: _titled(model, target, i) for i in drawn}
    first = figures.axis_label(str(model.attrs["density_name"]), str(model.density.attrs["units"]))
    if model.sizes["u"] == 1:
        rows = {first: model.density.values[target]} | {names[i]: model.picture.values[target, i] for i in drawn}
        return _lines(rows, float(spacing[0]), length)
    together = [i for i in drawn if model.method.values[i] not in SLOPES]
    apart = [i for i in drawn if model.method.values[i] in SLOPES]
    fields = {first: model.density.values[target]} | {names[i]: model.picture.values[target, i] for i in (*together, *apart)}
    mark = np.asarray(model.attrs["marks"]).reshape(-1, 2)[target]
    (left, right), (low, high) = (_near(n, count) for n, count in zip(mark, model.picture.shape[2:], strict=True))
    fields = {name: values[left:right, low:high] for name, values in fields.items()}
    across, up = (float(h) for h in spacing)
    extent = (left * across, right * across, low * up, high * up)
    groups = [group for group in ([first], [names[i] for i in together], *([names[i]] for i in apart)) if group]
    made = figures.slices(fields, "", extent, length, shared=groups)
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


def _titled(model: Dataset, target: int, place: int) -> str:
    """A method's name with the unit of its map: of one channel's slope the target's over the input's, else the target's."""
    method, unit, below = model.method.values[place], str(model.attrs[f"unit_{target}"]), str(model.density.attrs["units"])
    if method in SLOPES and model.sizes["channel"] == 1:
        unit = response_unit(below, unit)
    return figures.axis_label(word(method), unit)


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
    model = measured["model"]
    count = model.sizes["quantile"]
    picture, axes = figures.figure(width=7.6, height=3.6)
    panel, places = axes[0, 0], np.arange(count + 2)
    labels = [f"{100 * q / count:.0f}–{100 * (q + 1) / count:.0f} %" for q in range(count)] + ["voids", "peaks"]

    def rows(data: Dataset) -> ndarray:
        return np.concatenate([rows_of(data, "quantiles"), rows_of(data, "voids")[:, None], rows_of(data, "peaks")[:, None]], 1)

    own = [of_mean(column) for column in rows(model).T]
    value = np.array([one.value for one in own])
    reach = np.array([[one.value - one.low, one.high - one.value] for one in own]).T
    shade = figures.style("model")
    panel.bar(places, value, 0.6, color=shade["color"], alpha=0.35, label="model")
    panel.errorbar(places, value, np.where(np.isfinite(reach), reach, 0), fmt="none", ecolor=shade["color"], capsize=3, lw=1.4)
    top = np.nanmax(np.append(value, 1.0))
    for name, marker in zip(others(measured), "Ds^o", strict=False):
        found, other = np.array([of_mean(c).value for c in rows(measured[name]).T]), look_of(measured, name)
        panel.plot(places, found, marker, color=other["color"], ms=5.5, label=other["label"], zorder=4)
        top = max(top, np.nanmax(np.append(found, 0.0)))
    panel.axhline(1, color="#D55E00", lw=1, ls=":", label="no preference")
    panel.set_xticks(places, labels=labels)
    panel.set(
        xlabel=f"quantile of the input's density ({model.attrs['density_name']}), from empty to dense",
        ylabel="preference",
        ylim=(0, min(3 * top, 1.05 * np.nanmax(np.append(value + np.where(np.isfinite(reach[1]), reach[1], 0), top)))),
    )
    figures.legend(panel, **figures.BESIDE)
    text = "; ".join(f"{label}: {one.value:.2g} [{one.low:.2g}, {one.high:.2g}]" for label, one in zip(labels, own, strict=True))
    caption = (
        f"|Map| of {in_words(model, 0)} ({word(model.method.values[0])}) in cells of each density, over what cells at the same "
        "distance from the target have on average (over the mean cell where the target is about no place). Bars: the model, with "
        f"99.7 % intervals over {model.sizes['sample']} samples (no further than three times the highest bar); marks: controls. "
        "Voids and peaks are the local minima of the emptiest and the local maxima of the densest quantile."
    )
    return Panel("Dense or empty regions", [("", picture)], caption, text, ("quantiles", "voids", "peaks"))


def profiles_panel(measured: Measured) -> Panel:
    model = measured["model"]
    picture, axes = figures.figure(columns=2, width=8.8)
    end = float(model.distance.values[1])
    for name in ["model", *others(measured)]:
        data, shade = measured[name], look_of(measured, name)
        far = data.distance.values
        mean, within = _mean_known(rows_of(data, "profile")), _mean_known(rows_of(data, "within"))
        axes[0, 0].plot(far, np.where(mean > 0, mean, np.nan), **shade)
        axes[0, 1].plot(far, within, **shade)
        end = max(end, float(far[min(int(np.searchsorted(within, 0.9999)), len(far) - 1)]))
    axes[0, 0].set(yscale="log")
    top = np.nanmax(_mean_known(rows_of(model, "profile")))
    seen = rows_of(model, "profile")
    axes[0, 0].set_ylim(max(top * 1e-7, np.nanmin(np.where(seen > 0, seen, np.nan)) / 5), top * 5)
    axes[0, 0].set_ylabel(figures.axis_label("mean |map| of a cell", str(model.attrs["unit_0"])))
    axes[0, 1].set(ylabel="share of |map| within", ylim=(0, 1.03))
    for panel in axes[0]:
        panel.set_xlim(-0.04 * end, 1.05 * end)
        panel.set_xlabel(figures.axis_label("distance from the target", str(model.distance.attrs["units"])))
    figures.legend(axes[0, 1], **figures.BESIDE)
    within = _mean_known(rows_of(model, "within"))
    told = [
        f"{np.interp(s, within, model.distance.values):.3g} {model.distance.attrs['units']} hold {percent(s)}"
        for s in (0.5, 0.9, 0.99)
    ]
    caption = (
        f"Left: mean of |map| of {in_words(model, 0)} ({word(model.method.values[0])}) at each distance, mean over samples; at "
        "most seven decades are drawn. Right: the share of |map| up to a distance. Distances go the shortest way around a "
        "periodic box."
    )
    return Panel("How near it looks", [("", picture)], caption, "; ".join(told), ("profile", "within"))


def _mean_known(rows: ndarray) -> ndarray:
    known = np.isfinite(rows)
    return np.where(known.any(0), np.where(known, rows, 0).sum(0) / np.maximum(known.sum(0), 1), np.nan)


def spectra_panel(measured: Measured) -> Panel:
    model = measured["model"]
    picture, axes = figures.figure(columns=2, width=8.8, width_ratios=(2, 1))
    k = model.shell_wavenumber.values
    drawn = [name for name in ["model", *others(measured)] if np.isfinite(rows_of(measured[name], "shells")).all()]
    for place, name in enumerate(drawn):
        data, shade = measured[name], look_of(measured, name)
        value, low, high = shares(data, "shells")
        axes[0, 0].plot(k, value, **shade)
        if name == "model":
            figures.band(axes[0, 0], k, low, high, "model")
        aside = np.arange(data.sizes["axis"]) + 0.13 * (place - (len(drawn) - 1) / 2)
        axes[0, 1].plot(aside, shares(data, "axes")[0], **shade | {"marker": "o", "linestyle": "none"})
    figures.logarithmic(axes[0, 0])
    value, low, high = shares(model, "shells")
    edge = 1.6 * np.abs(value).max()
    axes[0, 0].set(ylim=(-edge if value.min() < 0 else -0.1 * edge, edge), ylabel="share of the difference")
    axes[0, 0].set_xlabel(figures.axis_label("k", str(model.shell_wavenumber.attrs["units"])))
    axes[0, 1].set_xticks(range(model.sizes["axis"]), labels=list(model.axis.values))
    axes[0, 1].set(xlim=(-0.6, model.sizes["axis"] - 0.4), xlabel="axis", ylabel="share of the difference")
    for panel in axes[0]:
        panel.axhline(0, color=figures.GREY, lw=0.7)
    figures.legend(axes[0, 1], handles=axes[0, 0].get_legend_handles_labels()[0], **figures.BESIDE)
    rest = float(value.sum())
    text = (
        f"{percent(rest)} of the difference comes from the shells; the largest shares: "
        + ", ".join(
            f"{percent(value[i])} at k = {k[i]:.3g} {model.shell_wavenumber.attrs['units']}" for i in abs(value).argsort()[:-4:-1]
        )
        + f"; by axis {', '.join(f'{n} {percent(a)}' for n, a in zip(model.axis.values, shares(model, 'axes')[0], strict=True))}"
    )
    caption = (
        f"What each shell of |k| of the input contributed to {in_words(model, 0)} ({word(model.method.values[0])}), as a share of "
        "the difference from the baseline over all samples; shells, modes beyond them and the mean add up to 1 where the map is "
        "complete. The band is the 99.7 % interval over samples, drawn for the model. Right: the same split by axis, each mode by "
        "k_i²/k²."
    )
    return Panel("Scale and direction", [("", picture)], caption, text, ("shells", "axes", "mean", "difference"))


def budget_panel(model: Dataset) -> Panel:
    known = [m for m in model.method.values if np.isfinite(model.total.sel({"method": m})).all()]
    faults = "; ".join(str(value) for name, value in model.attrs.items() if name.startswith("fault_"))
    caption = (
        "The sum of the contributions against the difference between the answers to the sample and to the baseline, a point a "
        "sample, both over the rms of the difference. Integrated gradients and DeepLift must lie on the line; of the others it "
        "says how far the target is from linear. A slope has no sum."
    )
    made, axes = figures.figure(width=6.4)
    panel, size = axes[0, 0], np.maximum(np.sqrt((model.difference.values**2).mean(1)), 1e-300)
    for place, target in enumerate(model.target.values):
        for which, method in enumerate(known):
            total = model.total.sel({"method": method}).values[place]
            look = {"color": figures.ramp(place, model.sizes["target"]), "marker": "oDs^v"[which % 5], "ls": "none", "ms": 7}
            panel.plot(
                model.difference.values[place] / size[place],
                total / size[place],
                **look | {"markerfacecolor": "none", "mew": 1.6, "label": f"{target}: {word(method)}"},
            )
    panel.axline((0.0, 0.0), slope=1.0, color=figures.INK, lw=0.8)
    panel.set(xlabel="difference of the answers, over its rms", ylabel="sum of the contributions")
    figures.legend(panel, **figures.BESIDE)
    numbers = [
        f"{word(m)}, sample {i + 1}: {float(model.total.values[0, list(model.method.values).index(m), i]):.5g} for {float(d):.5g}"
        for m in known
        for i, d in enumerate(model.difference.values[0])
    ]
    return Panel(
        "Does it add up?",
        [("", made)],
        caption,
        "; ".join([*numbers, faults] if faults else numbers),
        ("total", "difference", "nodes"),
    )
