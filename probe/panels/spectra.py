"""Spectra of answers beside their truths', and what is left of the difference, scale by scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy import ndarray
from xarray import DataArray, Dataset

from probe import figures
from probe.contract import Measured, Panel
from probe.equivariance import look, through_window
from probe.scalars import FILTERS, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def held(model: Dataset, of: str = "") -> ndarray:
    """The places of the shells where the truth is more than rounding, of the aspect with this prefix: (held,)."""
    places: ndarray = np.flatnonzero(np.isfinite(model[of + "error_power"].values[:, 0]))
    return places


def over_k(panel: Axes, k: DataArray) -> None:
    """A logarithmic axis of wavenumbers with its label."""
    figures.logarithmic(panel)
    panel.set_xlabel(figures.axis_label("k", k.attrs["units"]))


def spectra_panel(measured: Measured, aspects: list[str]) -> Panel:
    """P(k), T(k) and r(k), a figure for each aspect.

    Parameters
    ----------
    measured : mapping of subject to Dataset
        As `transfer` measures: what `agreement.ratios` gives, and spectra by simulation.
    aspects : list of str
        Prefixes of their variables, "" for the quantity itself; their labels stand in the model's attributes.
    """
    model = measured["model"]
    k, words = model.shell_wavenumber, [model.attrs[f"label_{of}"] for of in aspects]
    pictures = [("" if len(aspects) == 1 else word, _spectra(measured, of)) for of, word in zip(aspects, words, strict=True)]
    ratios = ("transfer_power", "correlation")
    text = "; ".join(
        f"{word}, k = {float(k[i]):.3g}: T = {float(model[of + ratios[0]][i, 0]):.4f}, r = {float(model[of + ratios[1]][i, 0]):.5f}"
        for of, word in zip(aspects, words, strict=True)
        for i in held(model, of)[[0, -1]]
    )
    caption = (
        f"Of {' and '.join(words)}. Left: power of the truth, of the model and of the controls. "
        "Middle: the power ratio T(k); its square root is the amplitude transfer. "
        "Right: the cross-correlation with the truth. Both should be 1 at every scale. "
        "The shaded band is the model's interval over simulations, the grey one what the number of modes leaves open in r, "
        f"(1 - r²)/sqrt(modes); what holds nothing but rounding has no r{through_window(model)}."
    )
    variables = tuple(of + v for of in aspects for v in ("transfer_power", "transfer_amplitude", "correlation", "power_true"))
    return Panel(f"P(k), T(k) and r(k) of {' and '.join(words)}", pictures, caption, text, (*variables, "modes"))


def _spectra(measured: Measured, of: str) -> Figure:
    model, labels = measured["model"], {"transfer_power": "T(k) = P_pred / P_true", "correlation": "r(k)"}
    picture, axes = figures.figure(columns=3, width=10.0, height=3.5)
    _power(axes[0, 0], measured, of)
    for panel, (variable, label) in zip(axes[0, 1:], labels.items(), strict=True):
        ratios = {name: _ratio(measured, name, of, variable) for name in shown(measured)}
        for name, value in ratios.items():
            panel.plot(model.shell_wavenumber, value[:, 0], **look(name, model))
        _, low, high = ratios["model"].T
        figures.band(panel, model.shell_wavenumber.values, low, high, "model")
        panel.set_ylabel(label)
        _focus(panel, [value[:, 0] for value in ratios.values()])
    r = model[of + "correlation"].values[:, 0]
    noise = (1 - r**2) / np.sqrt(model.modes.values * model.sizes["simulation"])
    axes[0, 2].fill_between(model.shell_wavenumber, r - noise, r + noise, color=figures.GREY, alpha=0.35, linewidth=0, zorder=2.2)
    for panel in axes[0]:
        over_k(panel, model.shell_wavenumber)
    figures.legend(axes[0, 0])
    return picture


def _power(panel: Axes, measured: Measured, of: str) -> None:
    """Spectra of the truth and of every subject, cut three decades below the truth's least."""
    model = measured["model"]
    truth = model[of + "power_true"].mean("simulation")
    panel.plot(model.shell_wavenumber, truth, **figures.style("truth"))
    for name in shown(measured):
        panel.plot(model.shell_wavenumber, measured[name][of + "power_pred"].mean("simulation"), **look(name, model))
    panel.set_yscale("log")
    panel.set_ylim(bottom=max(panel.get_ylim()[0], float(truth[held(model, of)].min()) / 1e3))
    panel.set_ylabel(figures.axis_label("P(k)", model[of + "power_true"].attrs["units"]))


def _ratio(measured: Measured, name: str, of: str, variable: str) -> ndarray:
    """A ratio with its interval, (shell, 3); what correlates with the truth by its rounding alone is not drawn."""
    some = measured[name][of + "power_pred"].mean("simulation") > measured["model"][of + "rounding"].mean()
    values: ndarray = measured[name][of + variable].where(some | (variable != "correlation")).values
    return values


def _focus(panel: Axes, curves: list[ndarray]) -> None:
    """Limits about 1 that show the model without being ruled by a control that is far off."""
    every = np.concatenate([*curves, [1.0]])
    low, high = np.nanmin(every), np.nanmax(every)
    panel.axhline(1.0, color=figures.GREY, lw=0.8)
    panel.set_ylim(max(low, 0.0) - 0.03, min(high, 2.0) + 0.03)


def error_panel(measured: Measured, of: str = "") -> Panel:
    """Error power and stochasticity of the aspect with this prefix, beside the best linear filter's."""
    model, k = measured["model"], measured["model"].shell_wavenumber
    picture, axes = figures.figure(columns=2, width=8.4)
    best = next((name for name in FILTERS if name in measured), "")
    also = f" and of the {look(best, model)['label']}" if best else ""
    labels = {"error_power": "error power / P_true", "stochasticity": "1 - r²"}
    for panel, (variable, label) in zip(axes[0], labels.items(), strict=True):
        for name in shown(measured):
            value, low, high = measured[name][of + variable].values.T
            panel.plot(k, value, **look(name, model))
            if name in ("model", best):
                figures.band(panel, k.values, np.maximum(low, value / 10), high, name)
        panel.set(yscale="log", ylabel=label)
        over_k(panel, k)
    figures.legend(axes[0, 0])
    text = "Error power by k: " + ", ".join(
        f"{float(k[i]):.3g}: {float(model[of + 'error_power'][i, 0]):.2e}" for i in held(model, of)
    )
    caption = (
        f"Of {model.attrs[f'label_{of}']}. Left: power of the difference from the truth over the truth's power. "
        "Right: the share of power that no rescaling by scale could mend; "
        "a linear filter moves a curve on the left but never on the right. Shaded are intervals over simulations, of the "
        f"model{also}, cut at a tenth of the value{through_window(model)}."
    )
    title = f"Error power and stochasticity of {model.attrs[f'label_{of}']}"
    return Panel(title, [("", picture)], caption, text, (of + "error_power", of + "stochasticity"))
