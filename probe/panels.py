"""Panels of answers beside their truths, scale by scale: spectra, errors, slices, one simulation and another, redshift space.

They draw what `agreement` and `aspects` measured; its names stand behind an aspect's prefix.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy import ndarray
from xarray import Dataset

from probe import figures
from probe.contract import Measured, Panel
from probe.equivariance import look, rivals, through_window
from probe.intervals import over_samples
from probe.scalars import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def held(model: Dataset, of: str = "") -> ndarray:
    """The places of the shells where the truth is more than rounding."""
    places: ndarray = np.flatnonzero(np.isfinite(model[of + "error_power"].values[:, 0]))
    return places


def spectra_panel(measured: Measured, aspects: list[str]) -> Panel:
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
    model = measured["model"]
    k, labels = model.shell_wavenumber, {of + "transfer_power": "T(k) = P_pred / P_true", of + "correlation": "r(k)"}

    def ratio(name: str, variable: str) -> ndarray:
        # What correlates with the truth by its rounding alone is not drawn.
        some = measured[name][of + "power_pred"].mean("simulation") > model[of + "rounding"].mean()
        values: ndarray = measured[name][variable].where(some | (variable != of + "correlation")).values
        return values

    picture, axes = figures.figure(columns=3, width=10.0, height=3.5)
    truth = model[of + "power_true"].mean("simulation")
    axes[0, 0].plot(k, truth, **figures.style("truth"))
    for name in shown(measured):
        axes[0, 0].plot(k, measured[name][of + "power_pred"].mean("simulation"), **look(name, model))
        for column, value in enumerate((ratio(name, variable) for variable in labels), 1):
            axes[0, column].plot(k, value[:, 0], **look(name, model))
            if name == "model":
                figures.band(axes[0, column], k.values, value[:, 1], value[:, 2], name)
    r = model[of + "correlation"].values[:, 0]
    noise = (1 - r**2) / np.sqrt(model.modes.values * model.sizes["simulation"])
    axes[0, 2].fill_between(k, r - noise, r + noise, color=figures.GREY, alpha=0.35, linewidth=0, zorder=2.2)
    axes[0, 0].set_yscale("log")
    axes[0, 0].set_ylim(bottom=max(axes[0, 0].get_ylim()[0], float(truth[held(model, of)].min()) / 1e3))
    axes[0, 0].set_ylabel(figures.axis_label("P(k)", model[of + "power_true"].attrs["units"]))
    for column, (variable, label) in enumerate(labels.items(), 1):
        axes[0, column].set_ylabel(label)
        _focus(axes[0, column], [ratio(name, variable)[:, 0] for name in shown(measured)])
    for panel in axes[0]:
        figures.logarithmic(panel)
        panel.set_xlabel(figures.axis_label("k", k.attrs["units"]))
    figures.legend(axes[0, 0])
    return picture


def _focus(panel: Axes, curves: list[ndarray]) -> None:
    """Limits about 1 that show the model without being ruled by a control that is far off."""
    every = np.concatenate([*curves, [1.0]])
    low, high = np.nanmin(every), np.nanmax(every)
    panel.axhline(1.0, color=figures.GREY, lw=0.8)
    panel.set_ylim(max(low, 0.0) - 0.03, min(high, 2.0) + 0.03)


def error_panel(measured: Measured, aspects: list[str]) -> Panel:
    model, (of,) = measured["model"], aspects
    k = model.shell_wavenumber
    picture, axes = figures.figure(columns=2, width=8.4)
    best = next((name for name in ("lpt2_filter", "linear_filter") if name in measured), "")
    also = f" and of the {look(best, model)['label']}" if best else ""
    for name in shown(measured):
        for column, variable in enumerate((of + "error_power", of + "stochasticity")):
            value, low, high = measured[name][variable].values.T
            axes[0, column].plot(k, value, **look(name, model))
            if name in ("model", best):
                figures.band(axes[0, column], k.values, np.maximum(low, value / 10), high, name)
    for panel, label in zip(axes[0], ("error power / P_true", "1 - r²"), strict=True):
        panel.set(yscale="log", ylabel=label)
        figures.logarithmic(panel)
        panel.set_xlabel(figures.axis_label("k", k.attrs["units"]))
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


def slices_panel(measured: Measured) -> Panel:
    """Maps or curves of the first simulation and what is left of the truth; a figure for the model, and for each rival."""
    model, unit = measured["model"], measured["model"].truth.attrs["units"]
    truth, made, told = model.truth.values, [], []
    best = next((n for n in ("lpt2", "identity") if n in measured), "")
    beside = {"2LPT" if best == "lpt2" else "input": measured[best].prediction.values} if best else {}
    for name in ["model", *(name for name in rivals(model) if name in measured)]:
        own = "prediction" if name == "model" else name
        fields = {"truth": truth, **beside, own: measured[name].prediction.values}
        residuals = {f"{field} - truth": values - truth for field, values in fields.items() if field != "truth"}
        made.append((name, (_profiles if len(truth) == 1 else _images)(model, fields, residuals)))
        told += [f"{field}: rms {np.sqrt((v**2).mean()):.3g} {unit}".rstrip() for field, v in residuals.items()]
    where = "" if len(truth) == 1 else " through the middle of the box"
    caption = (
        f"One component of {model.attrs['output']} of {model.simulation.values[0]!s}{where}. "
        "The fields share one scale, the residuals another."
    )
    pictures = made if len(made) > 1 else [("", made[0][1])]
    return Panel("Slices and residuals", pictures, caption, ", ".join(dict.fromkeys(told)), ("truth", "prediction"))


def _images(model: Dataset, fields: dict[str, ndarray], residuals: dict[str, ndarray]) -> Figure:
    """Maps, the fields in one colour scale and the residuals in another."""
    extent = (0.0, float(model.attrs["side"]), 0.0, float(model.attrs["side_v"]))
    groups = (list(fields), list(residuals))
    return figures.slices(fields | residuals, model.truth.attrs["units"], extent, model.attrs["length_unit"], shared=groups)


def _profiles(model: Dataset, fields: dict[str, ndarray], residuals: dict[str, ndarray]) -> Figure:
    """Curves along a line, the fields on the left and the residuals on the right."""
    looks = {"truth": figures.style("truth"), "prediction": figures.style("model", "prediction")}
    other = figures.style("identity", "input")
    picture, axes = figures.figure(columns=2, width=8.4, height=3.2)
    for panel, curves, word in zip(axes[0], (fields, residuals), ("value", "less the truth"), strict=True):
        for name, values in curves.items():
            place = (np.arange(values.size) + 0.5 * (model.attrs["boundary"] != "periodic")) * (model.attrs["side"] / values.size)
            field = name.removesuffix(" - truth")
            panel.plot(place, values[0], **(look(field, model) if field in rivals(model) else looks.get(field, other)))
        panel.set_xlabel(figures.axis_label("x", model.attrs["length_unit"]))
        panel.set_ylabel(figures.axis_label(word, model.truth.attrs["units"]))
    figures.legend(axes[0, 0])
    return picture


def simulations_panel(measured: Measured) -> Panel:
    model = measured["model"]
    seen = model.isel(shell=held(model))
    k, each = seen.shell_wavenumber, (seen.error / seen.power_true.mean("simulation")).values
    picture, axes = figures.figure(columns=2, width=9.6, width_ratios=(2, 1))
    mean, noise = each.mean(0), np.sqrt(2 / seen.modes.values)
    low = np.maximum(mean * (1 - noise), mean / 10)
    axes[0, 0].fill_between(k, low, mean * (1 + noise), color=figures.GREY, alpha=0.3, linewidth=0, label="sampling noise")
    for index, name in enumerate(model.simulation.values[:12]):
        axes[0, 0].plot(k, each[index], color=figures.ramp(index, min(12, len(each))), lw=1.3, label=str(name))
    axes[0, 1].plot(k, seen.modes, **figures.style("truth") | {"marker": "o", "markersize": 3})
    axes[0, 0].set(yscale="log", ylabel="error power / mean P_true")
    axes[0, 1].set(yscale="log", ylabel="modes in the shell")
    if seen.modes.max() < 10 * seen.modes.min():
        axes[0, 1].set(yscale="linear", ylim=(0, None))
    for panel in axes[0]:
        figures.logarithmic(panel)
        panel.set_xlabel(figures.axis_label("k", k.attrs["units"]))
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


def covariance_panel(model: Dataset) -> Panel:
    """Correlation of the power between scales, of the truth and of the answers, and the scatter of each."""
    k, names = model.shell_wavenumber, {"true": "truth", "pred": "model"}
    picture, axes = figures.figure(columns=3, width=11.4, height=3.4)
    edge = len(k) + 0.5
    for panel, (side, word) in zip(axes[0], names.items(), strict=False):
        values = model[f"power_correlation_{side}"]
        image = panel.imshow(values, origin="lower", extent=(0.5, edge, 0.5, edge), cmap="RdBu_r", vmin=-1, vmax=1)
        panel.grid(False)
        panel.set(xlabel="shell", ylabel="shell")
        panel.locator_params(integer=True)
        with figures.house_style():
            panel.set_title(word)
            bar = picture.colorbar(image, ax=panel, shrink=0.8, label="correlation of P")
            bar.outline.set_visible(False)  # type: ignore[operator]
    scatter = {}
    for side, word in names.items():
        power = model[f"power_{side}"]
        scatter[word] = (power.std("simulation", ddof=1) / power.mean("simulation")).values
        axes[0, 2].plot(k, scatter[word], **figures.style(word))
    axes[0, 2].plot(k, np.sqrt(2 / model.modes), color=figures.GREY, lw=1.2, ls=":", label="Gaussian modes")
    axes[0, 2].set(yscale="log", ylabel="scatter of P over its mean")
    figures.logarithmic(axes[0, 2])
    axes[0, 2].set_xlabel(figures.axis_label("k", k.attrs["units"]))
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


def multipoles_panel(measured: Measured) -> Panel:
    """Multipoles in redshift space over the truth's monopole: of the truth, the model and the controls, with the model's error."""
    model = measured["model"]
    k, names = model.shell_wavenumber, [f"P{'₀₁₂₃₄'[int(degree)]}" for degree in model.multipole]
    scale = model.redshift_multipoles_true.sel(multipole=0).mean("simulation")
    seen = np.isfinite(model.redshift_error_power.values[:, 0])
    picture, axes = figures.figure(columns=len(names), width=0.6 + 3.2 * len(names), height=3.5)
    true = (model.redshift_multipoles_true.mean("simulation") / scale).where(seen)
    found = {}
    for place, (panel, word) in enumerate(zip(axes[0], names, strict=True)):
        panel.plot(k, true[place], **figures.style("truth"))
        for name in shown(measured):
            found[name] = (measured[name].redshift_multipoles_pred.mean("simulation") / scale).where(seen).values
            panel.plot(k, found[name][place], **look(name, model))
        both = np.stack([model[f"redshift_multipoles_{side}"].values[:, place] for side in ("pred", "true")], -1)
        both = np.concatenate([both, model.redshift_multipoles_true.values[:, :1].transpose(0, 2, 1)], -1)
        _, low, high = over_samples(both, lambda rows: (m := rows.mean(0))[:, 0] / m[:, 2] - m[:, 1] / m[:, 2])
        figures.band(panel, k.values, true[place].values + low, true[place].values + high, "model")
        figures.logarithmic(panel)
        panel.set_xlabel(figures.axis_label("k", k.attrs["units"]))
        panel.set_ylabel(f"{word} / P₀ of the truth")
        every = np.concatenate([true[place].values, found["model"][place], *(np.clip(v[place], -1, 2) for v in found.values())])
        margin = 0.06 * max(float(np.nanmax(every) - np.nanmin(every)), 0.1)
        panel.set_ylim(float(np.nanmin(every)) - margin, float(np.nanmax(every)) + margin)
    figures.legend(axes[0, -1], **figures.BESIDE)
    places = np.flatnonzero(seen)[[0, -1]]
    text = "; ".join(
        f"k = {float(k[i]):.3g}: "
        + ", ".join(f"{word} {found['model'][p, i]:.3g} ({float(true[p, i]):.3g})" for p, word in enumerate(names))
        for i in places
    )
    caption = (
        f"Multipoles of the power in redshift space, averaged over {model.attrs['lines_of_sight']} as line of sight and over "
        f"{model.sizes['simulation']} simulations, over the truth's monopole. Infall squeezes: a positive quadrupole on large "
        "scales; random motions stretch: a negative one on small scales. The shaded band is the interval of the model's difference "
        "from this truth. In the few modes of the first shells P₄ holds the lattice's own anisotropy, in the truth and in the "
        "answers alike."
    )
    return Panel(
        "Multipoles in redshift space",
        [("", picture)],
        caption,
        f"Multipoles over the truth's monopole, the truth's own in brackets: {text}",
        ("redshift_multipoles_pred", "redshift_multipoles_true"),
    )
