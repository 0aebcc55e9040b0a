"""One simulation and another: the error of each, and how the power of scales goes up and down together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy import ndarray
from xarray import Dataset

from probe import figures
from probe.contract import Measured, Panel
from probe.equivariance import through_window
from probe.panels.spectra import held, over_k

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


MOST = 12  # simulations that are drawn


def simulations_panel(measured: Measured) -> Panel:
    """The error power of each simulation by itself, beside the scatter that the number of modes explains."""
    model = measured["model"]
    seen = model.isel(shell=held(model))
    picture, axes = figures.figure(columns=2, width=9.6, width_ratios=(2, 1))
    _each(axes[0, 0], seen)
    axes[0, 1].plot(seen.shell_wavenumber, seen.modes, **figures.style("truth") | {"marker": "o", "markersize": 3})
    axes[0, 1].set(yscale="log", ylabel="modes in the shell")
    if seen.modes.max() < 10 * seen.modes.min():
        axes[0, 1].set(yscale="linear", ylim=(0, None))
    for panel in axes[0]:
        over_k(panel, seen.shell_wavenumber)
    figures.legend(axes[0, 0], **figures.BESIDE)
    total = np.sqrt(model.error_square / model.true_square)
    text = "Relative error by simulation: " + ", ".join(
        f"{n}: {float(e):.4f}" for n, e in zip(model.simulation.values, total, strict=True)
    )
    caption = (
        "Left: the error power of each independent simulation by itself. Lines that lie together generalise; one that stands apart "
        "needs a look. The grey band is how far the mean of all would scatter for a Gaussian error with the number of modes on the "
        f"right{through_window(model)}."
    )
    return Panel("Simulation by simulation", [("", picture)], caption, text, ("error", "power_true", "modes"))


def _each(panel: Axes, seen: Dataset) -> None:
    """A line a simulation, and how far their mean would scatter for a Gaussian error."""
    k, each = seen.shell_wavenumber, (seen.error / seen.power_true.mean("simulation")).values
    mean, noise = each.mean(0), np.sqrt(2 / seen.modes.values)
    low = np.maximum(mean * (1 - noise), mean / 10)
    panel.fill_between(k, low, mean * (1 + noise), color=figures.GREY, alpha=0.3, linewidth=0, label="sampling noise")
    for index, name in enumerate(seen.simulation.values[:MOST]):
        panel.plot(k, each[index], color=figures.ramp(index, min(MOST, len(each))), lw=1.3, label=str(name))
    panel.set(yscale="log", ylabel="error power / mean P_true")


def covariance_panel(model: Dataset) -> Panel:
    """Correlation of the power between scales, of the truth and of the answers, and the scatter of each."""
    k, names = model.shell_wavenumber, {"true": "truth", "pred": "model"}
    picture, axes = figures.figure(columns=3, width=11.4, height=3.4)
    scatter = {}
    for panel, (side, word) in zip(axes[0], names.items(), strict=False):
        _correlation(picture, panel, model[f"power_correlation_{side}"].values, word)
        power = model[f"power_{side}"]
        scatter[word] = (power.std("simulation", ddof=1) / power.mean("simulation")).values
        axes[0, 2].plot(k, scatter[word], **figures.style(word))
    axes[0, 2].plot(k, np.sqrt(2 / model.modes), color=figures.GREY, lw=1.2, ls=":", label="Gaussian modes")
    axes[0, 2].set(yscale="log", ylabel="scatter of P over its mean")
    over_k(axes[0, 2], k)
    figures.legend(axes[0, 2])
    text = "Scatter of P(k) over its mean by k: " + "; ".join(
        f"{float(a):.3g}: truth {t:.3g}, model {m:.3g}" for a, t, m in zip(k, *scatter.values(), strict=True)
    )
    caption = (
        f"Over {model.sizes['simulation']} simulations. Left and middle: how far the power of two shells goes up and down "
        "together, in the truth and in the answers. Right: how far it scatters in each, beside sqrt(2/modes) of Gaussian modes. "
        f"A model of the right covariance shows the truth's pictures{through_window(model)}."
    )
    variables = ("power_correlation_true", "power_correlation_pred", "power_true", "power_pred")
    return Panel("Covariance of P(k)", [("", picture)], caption, text, variables)


def _correlation(picture: Figure, panel: Axes, values: ndarray, word: str) -> None:
    """A map of correlations between shells: (shell, shell)."""
    edge = len(values) + 0.5
    image = panel.imshow(values, origin="lower", extent=(0.5, edge, 0.5, edge), cmap="RdBu_r", vmin=-1, vmax=1)
    panel.grid(False)
    panel.set(xlabel="shell", ylabel="shell")
    panel.locator_params(integer=True)
    with figures.house_style():
        panel.set_title(word)
        bar = picture.colorbar(image, ax=panel, shrink=0.8, label="correlation of P")
        bar.outline.set_visible(False)  # type: ignore[operator]
