"""The probe `transfer`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import lazy_loader as lazy

import probe
from probe import figures
from probe.contract import Check, Measured, Panel, Probe, Subject, judgement, measurement, percent
from probe.intervals import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy import ndarray
    from torch import Tensor
    from xarray import DataArray, Dataset

    from probe.equivariance import PairCase
    from probe.fields import Quantity

np, xr = lazy.load("numpy"), lazy.load("xarray")


class Transfer(Probe):
    """How close is it, scale by scale?

    The model's answers to held-out inputs are compared with the truth in Fourier space.

    - T(k) is the power ratio P_pred / P_true, as in Ho's talk and the code of He et al.; its square root is what others call
      the transfer function. Both are stored, and every axis says which.
    - r(k) = P_x / sqrt(P_pred P_true) is the cross-correlation; 1 - r^2, the share of the truth's power that no rescaling of the
      answer explains, comes from the residual and not from a subtraction.
    - The error power P_{pred - true} / P_true = T + 1 - 2 r sqrt(T) puts both into one number.

    All are ratios of spectra averaged over simulations; the bands are their 99.7 % intervals over simulations (jackknife with
    Student's t below twenty, bootstrap beyond). Beside the model stand the input itself, 2LPT and the best linear filter H(k)
    of either, fitted on these very pairs: much of an improvement over 2LPT can be had with sixteen numbers, and what is left
    is what a network is for.

    Of a vector the parts along k and across it are compared by themselves, and of a displacement the density: particles are moved
    and painted on a mesh of as many points (interlaced and compensated, see `probe.painting`), truth and answer alike.

    How to read it: the lower the error power the better; a line that meets the best linear filter's has learned nothing more
    at that scale. T below 1 with r near 1 is a damping that one multiplication mends; r below 1 is lost information.

    A box that is not periodic is seen through a Hann window along each axis, both fields alike and without their means: else the
    jump from one wall to the other would be power at every k. Neighbouring modes are then not independent. The filter acts on
    the field mirrored at its walls, where there are no jumps either, and is the best of those that do; the error that it
    and the model are judged by is that of all points, without a window.

    Simulation by simulation: the lines should differ by no more than the few modes of a shell explain, the grey band (a power of
    Gaussian modes scatters by sqrt(2/modes)). One training, several independent simulations: a line that stands apart, or a
    spread well above 1 in `generalisation`, is a network that knows some fields better than others. With twenty simulations and
    more the correlations between the scales of P(k) are drawn: a network that gets the mean right can still move power together.

    The bound is the best linear filter's error power: a network that does not beat it is not needed. The density's error is told
    and not judged: where neither knows the phases, an answer with the truth's power is off by twice that power, and a filter that
    leaves those scales empty by once: a bound on it would ask for smoothing.
    """

    suite, version = "statistics", 4
    checks = (
        "beats_linear_filter",
        "shells_below_linear_filter",
        "relative_error",
        "lowest_correlation",
        "density",
        "generalisation",
    )
    controls = ("identity", "lpt2", "linear_filter", "lpt2_filter", "untrained")
    references = (
        "S. He et al. (2019), PNAS 116, 13825, arXiv:1811.06533.",
        "S. Ho (2018), talk on the deep-learned emulation of N-body simulations.",
        "E. Sefusatti et al. (2016), MNRAS 460, 3624, arXiv:1512.07295: interlacing.",
    )

    output = measurement("", "the output quantity compared; the first field by default")
    assignment = measurement("tsc", "how displaced particles share their mass among mesh points", choices=("cic", "tsc"))
    bound = judgement(1.0, "largest error power over that of the best linear filter", low=0.0, high=1e6)

    def applies(self, subject: Subject) -> str:
        if subject.pairs is None:
            return "it needs pairs of input and truth: give --data, or a [data] table in the description"
        quantity = self.quantity(subject)
        return f"the output {quantity.name!r} is a number, which has no modes" if quantity.is_number else ""

    def quantity(self, subject: Subject) -> Quantity:
        """The output quantity compared."""
        outputs = subject.description.outputs
        return outputs[probe.fields.place_of(outputs, self.output)]

    def measure(self, subject: Subject) -> Dataset:
        assert subject.pairs is not None
        cases = [probe.equivariance.PairCase(i) for i in range(len(subject.pairs))]
        rows = subject.map(self.compare, cases)
        grid, quantity = subject.grid, self.quantity(subject)
        shells, every = grid.shells(), probe.aspects.aspects(quantity, grid)
        pictures = {name: (("u", "v"), rows[0][name], {"units": quantity.unit}) for name in ("prediction", "truth")}
        data = xr.Dataset(
            probe.aspects.tabulate(rows, every, grid) | pictures,
            coords={
                "simulation": [subject.pairs.name(i) for i in range(len(cases))],
                "shell_wavenumber": ("shell", shells.wavenumber.numpy(), {"units": grid.inverse_unit}),
                "modes": ("shell", shells.modes.numpy(), {"units": ""}),
            },
            attrs=probe.equivariance.facts(subject)
            | {"output": quantity.name, "side": float(grid.box[0]), "side_v": float(grid.box[min(1, grid.dimension - 1)])}
            | {f"label_{aspect.prefix}": aspect.label for aspect in every},
        )
        data = data.assign(probe.aspects.ratios(data, every))
        return data.assign(_correlations(data)) if len(cases) >= MANY else data

    def compare(self, subject: Subject, case: PairCase) -> dict[str, ndarray]:
        """Spectra of one pair, mean squares, and a slice of each field."""
        assert subject.pairs is not None
        given, truth = subject.pairs[case.index]
        answer, stored = subject.model(given).part(self.output)[1], truth.part(self.output)[1]
        every = probe.aspects.aspects(self.quantity(subject), subject.grid)
        found = probe.aspects.compare_each(answer, stored, every, subject.grid, self.assignment)
        return found | {"prediction": _slice(answer), "truth": _slice(stored)}

    def judge(self, measured: Measured) -> list[Check]:
        model = measured["model"]
        rival = next((n for n in ("lpt2_filter", "linear_filter") if n in measured), "")
        relative = probe.agreement.relative_error(model.error_square.values, model.true_square.values)
        count = model.sizes["simulation"]
        own = Check.info(
            "relative_error",
            relative,
            f"The answers are off by {percent(relative.value)} of the truth, "
            f"root mean square over all points of {count} simulations.",
            covers=f"{count} simulations",
        )
        against = [self._against(measured, rival), self._by_shell(measured, rival)] if rival else []
        return [*against, own, *_scales(model), *_density(measured, rival), *_generalisation(model)]

    def _against(self, measured: Measured, rival: str) -> Check:
        model, other, label = measured["model"], measured[rival], _LABELS[rival]
        both = np.stack([model.error_square, other.error_square, model.true_square], -1)
        ratio = probe.agreement.interval(both, lambda rows: rows[..., 0].mean(0) / rows[..., 1].mean(0))
        size = np.sqrt(both.mean(0) / both[:, 2].mean())
        sentence = (
            f"The answers are off by {percent(size[0])} of the truth, {label} by {percent(size[1])}: "
            f"the model leaves {ratio.value:.2g} of that filter's error power."
        )
        source = "the best linear filter, fitted on the pairs it is judged on: a network that does no better is not needed"
        return Check.judged(
            "beats_linear_filter", ratio, (None, self.bound), sentence, bound_from=source, covers=f"{len(both)} simulations"
        )

    def _by_shell(self, measured: Measured, rival: str) -> Check:
        model, other = measured["model"], measured[rival]
        ratio = (model.error.mean("simulation") / other.error.mean("simulation"))[np.isfinite(model.error_power.values[:, 0])]
        behind = [f"{float(k):.3g}" for k, r in zip(ratio.shell_wavenumber, ratio, strict=True) if r > self.bound]
        more = f" and {len(behind) - 4} more" if len(behind) > 4 else ""
        unit = model.shell_wavenumber.attrs["units"]
        where = f"; it does worse at k = {', '.join(behind[:4])}{more} {unit}" if behind else ", which is all of them"
        sentence = (
            f"The error power is below that of {_LABELS[rival]} in {len(ratio) - len(behind)} of {len(ratio)} shells{where} "
            f"(ratio {float(ratio.min()):.2g} to {float(ratio.max()):.2g}){probe.equivariance.through_window(model)}."
        )
        return Check.info("shells_below_linear_filter", float(len(ratio) - len(behind)), sentence, unit="shells")

    def draw(self, measured: Measured) -> list[Panel]:
        model = measured["model"]
        across = [prefix for prefix in ("longitudinal_", "transverse_") if f"label_{prefix}" in model.attrs]
        density = ["density_"] if "label_density_" in model.attrs else []
        panels = [_spectra_panel(measured, [""]), _error_panel(measured, [""])]
        panels += [_spectra_panel(measured, prefixes) for prefixes in (density, across) if prefixes]
        panels += [_error_panel(measured, density)] if density else []
        panels += [_slices_panel(measured), _generalisation_panel(measured)]
        return panels + ([_covariance_panel(model)] if "power_correlation_true" in model else [])


_GREY = "#8a94a0"
_LABELS = {"lpt2_filter": "the best linear filter of 2LPT", "linear_filter": "the best linear filter of the input"}
MANY = 20  # simulations: fewer say nothing of a covariance


def _slice(values: Tensor) -> ndarray:
    """One component through the middle of the box: (u, v); a line is one row."""
    array = values[0, 0].double().cpu().numpy()
    if array.ndim == 1:
        return array[None]
    return array if array.ndim == 2 else array[:, :, array.shape[2] // 2]


def _correlations(data: Dataset) -> dict[str, DataArray]:
    """Correlation of P(k) between scales over simulations, of the answers and of the truth: (shell, other shell)."""
    held = np.isfinite(data.error_power.values[:, 0])
    found = {}
    for side in ("pred", "true"):
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.atleast_2d(np.corrcoef(data[f"power_{side}"].values, rowvar=False))
        values = np.where(held & held[:, None], values, np.nan)
        found[f"power_correlation_{side}"] = xr.DataArray(values, dims=("shell", "other_shell"), attrs={"units": ""})
    return found


def _scales(model: Dataset) -> list[Check]:
    """r in the worst shell, beside the scatter that independent fields would show there."""
    r = model.correlation.values[:, 0]
    worst = int(np.nanargmin(r))
    modes = float(model.modes[worst]) * model.sizes["simulation"]
    window = probe.equivariance.through_window(model)
    sentence = (
        f"The cross-correlation is lowest at k = {float(model.shell_wavenumber[worst]):.3g} "
        f"{model.shell_wavenumber.attrs['units']}: r = {r[worst]:.4f} "
        f"(independent fields would scatter by {'at least ' if window else ''}{1 / np.sqrt(modes):.2g} there){window}."
    )
    low, high = model.correlation.values[worst, 1:]
    return [
        Check.info(
            "lowest_correlation",
            Interval(float(r[worst]), float(low), float(high)),
            sentence,
            covers=f"{model.sizes['simulation']} simulations",
        )
    ]


def _density(measured: Measured, rival: str) -> list[Check]:
    """How far the painted density is off, beside that of the rival filter."""
    model = measured["model"]
    if "density_error" not in model:
        return []
    off = probe.agreement.relative_error(model.density_error_square.values, model.density_true_square.values)
    sentence = f"Painted, the density is off by {percent(off.value)} of the truth's rms"
    if rival:
        other = measured[rival]
        theirs = probe.agreement.relative_error(other.density_error_square.values, model.density_true_square.values)
        sentence += f", that of {_LABELS[rival]} by {percent(theirs.value)}"
    r, k = model.density_correlation.values[:, 0], model.shell_wavenumber
    worst = int(np.nanargmin(r))
    sentence += f"; its cross-correlation is lowest at k = {float(k[worst]):.3g} {k.attrs['units']}: r = {r[worst]:.4f}"
    if rival:
        sentence += f", the filter's there {float(other.density_correlation[worst, 0]):.4f}"
    return [Check.info("density", off, sentence + ".", covers=f"{model.sizes['simulation']} simulations")]


# The power of a shell with `modes` modes (k and -k both counted) of a Gaussian field scatters by sqrt(2/modes) of itself.
def _spread(rows: ndarray, modes: ndarray) -> ndarray:
    """Scatter of spectra between simulations over that of Gaussian modes, root mean square over shells."""
    share = rows.var(0, ddof=1) / rows.mean(0) ** 2
    spread: ndarray = np.sqrt((share * modes / 2).mean(-1))
    return spread


def _generalisation(model: Dataset) -> list[Check]:
    """Whether the error power differs between simulations by more than their few modes explain."""
    count, held = (
        model.sizes["simulation"],
        np.isfinite(model.error_power.values[:, 0]) & (model.error > 0).all("simulation").values,
    )
    if count < 3 or not held.any():
        return []
    rows, modes = model.error.values[:, held], model.modes.values[held]
    ratio = probe.agreement.interval(rows, lambda kept: _spread(kept, modes))
    ratio = replace(ratio, low=max(ratio.low, 0.0))
    total = np.sqrt((model.error_square / model.true_square).values)
    worst = int(total.argmax())
    sentence = (
        f"Between {count} simulations the error power of a shell scatters {ratio.value:.2g} times as much as the number of its "
        f"modes explains; the relative error is {percent(total.min())} to {percent(total[worst])}, the largest in "
        f"{model.simulation.values[worst]!s}{probe.equivariance.through_window(model)}."
    )
    return [Check.info("generalisation", ratio, sentence, covers=f"{count} simulations")]


def _shown(measured: Measured) -> list[str]:
    return [n for n in ("identity", "linear_filter", "lpt2", "lpt2_filter", "model") if n in measured]


def _held(model: Dataset, of: str = "") -> ndarray:
    """The places of the shells where the truth is more than rounding."""
    places: ndarray = np.flatnonzero(np.isfinite(model[of + "error_power"].values[:, 0]))
    return places


def _spectra_panel(measured: Measured, aspects: list[str]) -> Panel:
    model = measured["model"]
    k, words = model.shell_wavenumber, [model.attrs[f"label_{of}"] for of in aspects]
    pictures = [("" if len(aspects) == 1 else word, _spectra(measured, of)) for of, word in zip(aspects, words, strict=True)]
    ratios = ("transfer_power", "correlation")
    text = "; ".join(
        f"{word}, k = {float(k[i]):.3g}: T = {float(model[of + ratios[0]][i, 0]):.4f}, r = {float(model[of + ratios[1]][i, 0]):.5f}"
        for of, word in zip(aspects, words, strict=True)
        for i in _held(model, of)[[0, -1]]
    )
    caption = (
        f"Of {' and '.join(words)}. Left: power of the truth, of the model and of the controls. "
        "Middle: the power ratio T(k); its square root is the amplitude transfer. "
        "Right: the cross-correlation with the truth. Both should be 1 at every scale. "
        "The shaded band is the model's interval over simulations, the grey one what the number of modes leaves open in r, "
        f"(1 - r²)/sqrt(modes); what holds nothing but rounding has no r{probe.equivariance.through_window(model)}."
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
    for name in _shown(measured):
        axes[0, 0].plot(k, measured[name][of + "power_pred"].mean("simulation"), **probe.equivariance.look(name, model))
        for column, value in enumerate((ratio(name, variable) for variable in labels), 1):
            axes[0, column].plot(k, value[:, 0], **probe.equivariance.look(name, model))
            if name == "model":
                figures.band(axes[0, column], k.values, value[:, 1], value[:, 2], name)
    r = model[of + "correlation"].values[:, 0]
    noise = (1 - r**2) / np.sqrt(model.modes.values * model.sizes["simulation"])
    axes[0, 2].fill_between(k, r - noise, r + noise, color=_GREY, alpha=0.35, linewidth=0, zorder=2.2)
    axes[0, 0].set_yscale("log")
    axes[0, 0].set_ylim(bottom=max(axes[0, 0].get_ylim()[0], float(truth[_held(model, of)].min()) / 1e3))
    axes[0, 0].set_ylabel(figures.axis_label("P(k)", model[of + "power_true"].attrs["units"]))
    for column, (variable, label) in enumerate(labels.items(), 1):
        axes[0, column].set_ylabel(label)
        _focus(axes[0, column], [ratio(name, variable)[:, 0] for name in _shown(measured)])
    for panel in axes[0]:
        figures.logarithmic(panel)
        panel.set_xlabel(figures.axis_label("k", k.attrs["units"]))
    figures.legend(axes[0, 0])
    return picture


def _focus(panel: Axes, curves: list[ndarray]) -> None:
    """Limits about 1 that show the model without being ruled by a control that is far off."""
    every = np.concatenate([*curves, [1.0]])
    low, high = np.nanmin(every), np.nanmax(every)
    panel.axhline(1.0, color=_GREY, lw=0.8)
    panel.set_ylim(max(low, 0.0) - 0.03, min(high, 2.0) + 0.03)


def _error_panel(measured: Measured, aspects: list[str]) -> Panel:
    model, (of,) = measured["model"], aspects
    k = model.shell_wavenumber
    picture, axes = figures.figure(columns=2, width=8.4)
    for name in _shown(measured):
        for column, variable in enumerate((of + "error_power", of + "stochasticity")):
            value, low, high = measured[name][variable].values.T
            axes[0, column].plot(k, value, **probe.equivariance.look(name, model))
            if name in ("model", "lpt2_filter"):
                figures.band(axes[0, column], k.values, np.maximum(low, value / 10), high, name)
    for panel, label in zip(axes[0], ("error power / P_true", "1 - r²"), strict=True):
        panel.set(yscale="log", ylabel=label)
        figures.logarithmic(panel)
        panel.set_xlabel(figures.axis_label("k", k.attrs["units"]))
    figures.legend(axes[0, 0])
    text = "Error power by k: " + ", ".join(
        f"{float(k[i]):.3g}: {float(model[of + 'error_power'][i, 0]):.2e}" for i in _held(model, of)
    )
    caption = (
        f"Of {model.attrs[f'label_{of}']}. Left: power of the difference from the truth over the truth's power. "
        "Right: the share of power that no rescaling by scale could mend; "
        "a linear filter moves a curve on the left but never on the right. Shaded are intervals over simulations, of the "
        f"model and of the filter of 2LPT, cut at a tenth of the value{probe.equivariance.through_window(model)}."
    )
    title = f"Error power and stochasticity of {model.attrs[f'label_{of}']}"
    return Panel(title, [("", picture)], caption, text, (of + "error_power", of + "stochasticity"))


def _slices_panel(measured: Measured) -> Panel:
    model, unit = measured["model"], measured["model"].truth.attrs["units"]
    best = next((n for n in ("lpt2", "identity") if n in measured), "")
    truth = model.truth.values
    shown = {"truth": truth}
    if best:
        shown["2LPT" if best == "lpt2" else "input"] = measured[best].prediction.values
    shown["prediction"] = model.prediction.values
    residuals = {f"{name} - truth": values - truth for name, values in shown.items() if name != "truth"}
    picture = (_profiles if len(truth) == 1 else _images)(model, shown, residuals)
    rms = ", ".join(f"{name}: rms {np.sqrt((v**2).mean()):.3g} {unit}" for name, v in residuals.items())
    where = "" if len(truth) == 1 else " through the middle of the box"
    caption = (
        f"One component of {model.attrs['output']} of {model.simulation.values[0]!s}{where}. "
        "The fields share one scale, the residuals another."
    )
    return Panel("Slices and residuals", [("", picture)], caption, rms, ("truth", "prediction"))


def _images(model: Dataset, shown: dict[str, ndarray], residuals: dict[str, ndarray]) -> Figure:
    """Maps, the fields in one colour scale and the residuals in another."""
    extent = (0.0, float(model.attrs["side"]), 0.0, float(model.attrs["side_v"]))
    groups = (list(shown), list(residuals))
    return figures.slices(shown | residuals, model.truth.attrs["units"], extent, model.attrs["length_unit"], shared=groups)


def _profiles(model: Dataset, shown: dict[str, ndarray], residuals: dict[str, ndarray]) -> Figure:
    """Curves along a line, the fields on the left and the residuals on the right."""
    looks = {"truth": figures.style("truth"), "prediction": figures.style("model", "prediction")}
    other = figures.style("identity", "input")
    picture, axes = figures.figure(columns=2, width=8.4, height=3.2)
    for panel, fields, word in zip(axes[0], (shown, residuals), ("value", "less the truth"), strict=True):
        for name, values in fields.items():
            place = (np.arange(values.size) + 0.5 * (model.attrs["boundary"] != "periodic")) * (model.attrs["side"] / values.size)
            panel.plot(place, values[0], **looks.get(name.removesuffix(" - truth"), other))
        panel.set_xlabel(figures.axis_label("x", model.attrs["length_unit"]))
        panel.set_ylabel(figures.axis_label(word, model.truth.attrs["units"]))
    figures.legend(axes[0, 0])
    return picture


def _generalisation_panel(measured: Measured) -> Panel:
    model = measured["model"]
    seen = model.isel(shell=_held(model))
    k, each = seen.shell_wavenumber, (seen.error / seen.power_true.mean("simulation")).values
    picture, axes = figures.figure(columns=2, width=8.4, width_ratios=(2, 1))
    mean, noise = each.mean(0), np.sqrt(2 / seen.modes.values)
    low = np.maximum(mean * (1 - noise), mean / 10)
    axes[0, 0].fill_between(k, low, mean * (1 + noise), color=_GREY, alpha=0.3, linewidth=0, label="sampling noise")
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
    figures.legend(axes[0, 0])
    total = np.sqrt(model.error_square / model.true_square)
    text = "Relative error by simulation: " + ", ".join(
        f"{n}: {float(e):.4f}" for n, e in zip(model.simulation.values, total, strict=True)
    )
    caption = (
        "Left: the error power of each independent simulation by itself. Lines that lie together generalise; one that stands apart "
        "needs a look. The grey band is how far the mean of all would scatter for a Gaussian error with the number of modes on the "
        f"right{probe.equivariance.through_window(model)}."
    )
    return Panel("Simulation by simulation", [("", picture)], caption, text, ("error", "power_true", "modes"))


def _covariance_panel(model: Dataset) -> Panel:
    """Correlation of the power between scales, of the truth and of the answers, and the scatter of each."""
    k, names = model.shell_wavenumber, {"true": "truth", "pred": "model"}
    picture, axes = figures.figure(columns=3, width=10.0, height=3.4)
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
    axes[0, 2].plot(k, np.sqrt(2 / model.modes), color=_GREY, lw=1.2, ls=":", label="Gaussian modes")
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
        f"A model of the right covariance shows the truth's pictures{probe.equivariance.through_window(model)}."
    )
    variables = ("power_correlation_true", "power_correlation_pred", "power_true", "power_pred")
    return Panel("Covariance of P(k)", [("", picture)], caption, text, variables)
