"""Panels of trees: importance over scales and by group, and what the shear adds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

from probe import figures
from probe.contract import Panel
from probe.intervals import over_samples
from probe.trees.growing import between_simulations

if TYPE_CHECKING:
    from xarray import Dataset

_PAIRS = ("simulation", "asked")
Drawn = list[tuple[str, "Dataset", dict[str, Any]]]  # the subjects with the looks of their lines, the model last


def over_scales(model: Dataset, drawn: Drawn) -> Panel:
    """What each feature brought to the prediction, over the radius of its sphere."""
    names, radius = [str(kind) for kind in model.kind.values], model.radius.values
    picture, axes = figures.figure(columns=len(names), width=2.2 + 3.2 * len(names), height=3.6, sharey=True)
    for name, data, look in drawn:
        value, low, high = over_samples(data.impurity.values, lambda rows: rows.mean(0))
        for place, panel in enumerate(axes[0]):
            panel.plot(radius, value[place], **look)
            if name in ("model", "truth"):
                figures.band(panel, radius, np.maximum(low[place], 0), np.minimum(high[place], 1), name)
    for panel, name in zip(axes[0], names, strict=True):
        figures.logarithmic(panel)
        panel.set_title(name)
        panel.set_xlabel(figures.axis_label("radius of the sphere", model.radius.attrs["units"]))
    axes[0, 0].set(ylabel="impurity importance", ylim=(0, None))
    figures.legend_beside(axes[0])
    of_kinds = model.impurity.mean("simulation").sum("radius").values
    text = "Impurity importance of the model, summed over scales: " + ", ".join(
        f"{name} {share:.3g}" for name, share in zip(names, of_kinds, strict=True)
    )
    masses = f" The spheres hold {model.attrs['masses']}." if model.attrs["masses"] else ""
    caption = (
        f"What each feature brought to the prediction of {model.attrs['what']}, over the radius of the sphere; all features of a "
        "line sum to 1. Bands are intervals over the simulations that trees were grown on. The model should follow the truth."
        f"{masses}"
    )
    return Panel("Importance over scales", [("", picture)], caption, text, ("impurity",))


def by_group(model: Dataset, drawn: Drawn) -> Panel:
    """How much worse predictions are when a group of features is exchanged."""
    places = np.arange(model.sizes["group"])
    picture, axes = figures.figure(width=7.4, height=1.5 + 0.42 * len(places))
    panel = axes[0, 0]
    for step, (_, data, look) in enumerate(drawn):
        value, low, high = _over_simulations(data.permutation.values)
        spread = np.nan_to_num(np.stack([value - low, high - value]), posinf=0.0)
        shown = {"color": look["color"], "zorder": look["zorder"], "label": look["label"], "marker": "sD^o"[step % 4]}
        panel.errorbar(value, places + 0.16 * (step - (len(drawn) - 1) / 2), xerr=spread, ls="none", ms=5, lw=1.1, **shown)
    panel.axvline(0, color=figures.INK, lw=0.6)
    panel.set_yticks(places, labels=[str(name) for name in model.group.values])
    panel.set(ylim=(len(places) - 0.5, -0.5), xlabel="permutation importance, share of the variance")
    panel.set_ylabel(figures.axis_label("group, radii", model.radius.attrs["units"]))
    figures.legend(panel, **figures.BESIDE)
    told = [f"{name}: " + ", ".join(f"{float(x):.2g}" for x in data.permutation.mean(_PAIRS)) for name, data, _ in drawn]
    text = f"Permutation importance of {', '.join(str(name) for name in model.group.values)}: {'; '.join(told)}"
    caption = (
        "How much of the variance is predicted no more when a group of features is exchanged among the points of the unseen "
        "simulations; bars are intervals over simulations. The model's points should stand at the truth's."
    )
    return Panel("Importance by group", [("", picture)], caption, text, ("permutation",))


def _over_simulations(values: ndarray) -> tuple[ndarray, ndarray, ndarray]:
    """The mean with its interval, of what trees of each simulation found on each of the others: (simulation, asked, ...)."""
    rows, means = between_simulations(values)
    return over_samples(rows, lambda kept: means(kept)[0].mean(0))


def adding_shear(model: Dataset, drawn: Drawn) -> Panel:
    """What the features leave unexplained without and with the shear, and how far the distributions lie apart."""
    sets = [str(name) for name in model.set.values]
    picture, axes = figures.figure(columns=2, width=8.6, height=3.4)
    labels = {"unexplained": "unexplained share of the variance", "kl": "KL divergence from the truth [nat]"}
    for panel, (variable, label) in zip(axes[0], labels.items(), strict=True):
        for name, data, look in drawn:
            keywords = look | {"marker": "o", "markersize": 5}
            panel.plot(range(len(sets)), data[variable].mean(_PAIRS), **keywords)
            if name in ("model", "truth"):
                panel.plot(range(len(sets)), data[variable].mean("asked").values.T, color=look["color"], lw=0.5, alpha=0.5)
        panel.set_xticks(range(len(sets)), labels=sets)
        panel.set(xlim=(-0.4, len(sets) - 0.6), ylim=(0, None), xlabel="features", ylabel=label)
    axes[0, 1].axhline(float(model.null.mean()), color=figures.GREY, lw=1.1, ls="--", label="independent simulations")
    figures.legend_beside(axes[0])
    told = [
        f"{name}: {' and '.join(f'{float(x):.3g}' for x in data.unexplained.mean(_PAIRS))}, "
        f"{' and '.join(f'{float(x):.2g}' for x in data.kl.mean(_PAIRS))} nat"
        for name, data, _ in drawn
    ]
    text = f"Unexplained share and KL divergence with {' and with '.join(sets)}: {'; '.join(told)}"
    caption = (
        "Left: what the features leave unexplained on unseen simulations; a line that falls is physics of the shear. Right: how "
        "far the distribution of the predictions is from that of what is predicted; a prediction that leaves much unexplained is "
        "too narrow. Thin lines are those of the trees of single simulations."
    )
    return Panel("Adding the shear", [("", picture)], caption, text, ("unexplained", "kl"))
