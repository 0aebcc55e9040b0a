"""The probe `transfer`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader as lazy

import probe
from probe import figures
from probe.contract import Check, Measured, Panel, Probe, Subject, judgement, measurement, percent
from probe.intervals import Interval

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes
    from numpy import ndarray
    from torch import Tensor
    from xarray import DataArray, Dataset

    from probe.equivariance import PairCase
    from probe.fields import Quantity

np, torch, xr = lazy.load("numpy"), lazy.load("torch"), lazy.load("xarray")


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

    How to read it: the lower the error power the better; a line that meets the best linear filter's has learned nothing more
    at that scale. T below 1 with r near 1 is a damping that one multiplication mends; r below 1 is lost information.

    A box that is not periodic is seen through a Hann window along each axis, both fields alike and without their means: else the
    jump from one wall to the other would be power at every k. Neighbouring modes are then not independent. The filter acts on
    the field mirrored at its walls, where there are no jumps either, and is the best of those that do; the error that it
    and the model are judged by is that of all points, without a window.

    The bound is the best linear filter's error power: a network that does not beat it is not needed.
    """

    suite, version = "statistics", 3
    controls = ("identity", "lpt2", "linear_filter", "lpt2_filter", "untrained")
    references = (
        "S. He et al. (2019), PNAS 116, 13825, arXiv:1811.06533.",
        "S. Ho (2018), talk on the deep-learned emulation of N-body simulations.",
    )

    output = measurement("", "the output quantity compared; the first field by default")
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
        shells, unit = grid.shells(), probe.spectra.power_unit(quantity.unit, grid)
        spectra = {name: (("simulation", "shell"), np.stack([r[name] for r in rows]), {"units": unit}) for name in SPECTRA}
        totals = {name: ("simulation", np.array([r[name] for r in rows]), {"units": f"({quantity.unit})^2"}) for name in TOTALS}
        totals["rounding"] = ("simulation", np.array([r["rounding"] for r in rows]), {"units": unit})
        pictures = {name: (("u", "v"), rows[0][name], {"units": quantity.unit}) for name in ("prediction", "truth")}
        data = xr.Dataset(
            spectra | totals | pictures,
            coords={
                "simulation": [subject.pairs.name(i) for i in range(len(cases))],
                "shell_wavenumber": ("shell", shells.wavenumber.numpy(), {"units": grid.inverse_unit}),
                "modes": ("shell", shells.modes.numpy(), {"units": ""}),
            },
            attrs=probe.equivariance.facts(subject)
            | {"output": quantity.name, "side": float(grid.box[0]), "side_v": float(grid.box[min(1, grid.dimension - 1)])},
        )
        return data.assign(_ratios(data))

    def compare(self, subject: Subject, case: PairCase) -> dict[str, ndarray]:
        """Spectra of one pair, mean squares, and a slice of each field."""
        assert subject.pairs is not None
        given, truth = subject.pairs[case.index]
        answer = subject.model(given).part(self.output)[1].cpu().double()
        stored = truth.part(self.output)[1]
        true = stored.double()
        grid, windowed = subject.grid, probe.spectra.windowed
        two = probe.spectra.two_point(windowed(answer, grid), windowed(true, grid), grid)
        spectra = {
            "power_pred": two.power_a,
            "power_true": two.power_b,
            "cross": two.cross,
            "error": two.error,
            "residual": two.residual,
        }
        return {name: values[0].numpy() for name, values in spectra.items()} | {
            "error_square": (answer - true).square().sum(1).mean().numpy(),
            "true_square": true.square().sum(1).mean().numpy(),
            # White noise of rms s in every cell has the power s^2 h^D; ten units in the last place for making, storing and
            # transforming the truth.
            "rounding": true.square().sum(1).mean().numpy() * (10 * torch.finfo(stored.dtype).eps) ** 2 * grid.volume / grid.size,
            "prediction": _slice(answer),
            "truth": _slice(true),
        }

    def judge(self, measured: Measured) -> list[Check]:
        model = measured["model"]
        rival = next((n for n in ("lpt2_filter", "linear_filter") if n in measured), "")
        relative = _over(model, lambda rows: np.sqrt(rows[..., 0].mean(0) / rows[..., 1].mean(0)), ("error_square", "true_square"))
        count = model.sizes["simulation"]
        own = Check.info(
            "relative_error",
            relative,
            f"The answers are off by {percent(relative.value)} of the truth, "
            f"root mean square over all points of {count} simulations.",
            covers=f"{count} simulations",
        )
        if not rival:
            return [own, *_scales(model)]
        return [self._against(measured, rival), self._by_shell(measured, rival), own, *_scales(model)]

    def _against(self, measured: Measured, rival: str) -> Check:
        model, other, label = measured["model"], measured[rival], _LABELS[rival]
        both = np.stack([model.error_square, other.error_square, model.true_square], -1)
        ratio = _interval(both, lambda rows: rows[..., 0].mean(0) / rows[..., 1].mean(0))
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
        return [_spectra_panel(measured), _error_panel(measured), _slices_panel(measured), _generalisation_panel(measured)]


SPECTRA = ("power_pred", "power_true", "cross", "error", "residual")
TOTALS = ("error_square", "true_square")
_LABELS = {"lpt2_filter": "the best linear filter of 2LPT", "linear_filter": "the best linear filter of the input"}


def _slice(values: Tensor) -> ndarray:
    """One component through the middle of the box: (u, v); a line is one row."""
    array = values[0, 0].numpy()
    if array.ndim == 1:
        return array[None]
    return array if array.ndim == 2 else array[:, :, array.shape[2] // 2]


def _ratios(data: Dataset) -> dict[str, DataArray]:
    """Ratios of spectra averaged over simulations, each with its interval: the last axis is (value, low, high)."""
    stacked = np.stack([data[name].values for name in SPECTRA], -1)
    true = stacked[..., 1].mean(0)
    # A shell where the truth is nothing but rounding (band-limited data) has no ratio.
    held = np.where(true > float(data.rounding.mean()), 1.0, np.nan)[:, None]

    def of(statistic: Callable[[ndarray], ndarray]) -> DataArray:
        with np.errstate(divide="ignore", invalid="ignore"):
            estimate = np.stack(probe.intervals.over_samples(stacked, lambda rows: statistic(rows.mean(0))), -1)
        return xr.DataArray(held * estimate, dims=("shell", "estimate"), attrs={"units": ""})

    # Columns: P_pred, P_true, cross, error, residual.
    return {
        "transfer_power": of(lambda m: m[:, 0] / m[:, 1]),
        "transfer_amplitude": of(lambda m: np.sqrt(m[:, 0] / m[:, 1])),
        "correlation": of(lambda m: m[:, 2] / np.sqrt(np.maximum(m[:, 0] * m[:, 1], 1e-300))),
        "stochasticity": of(lambda m: m[:, 4] / np.maximum(m[:, 0], 1e-300)),
        "error_power": of(lambda m: m[:, 3] / m[:, 1]),
    }


def _interval(rows: ndarray, statistic: Callable[[ndarray], ndarray]) -> Interval:
    value, low, high = probe.intervals.over_samples(rows, statistic)
    return Interval(float(value), float(low), float(high))


def _over(data: Dataset, statistic: Callable[[ndarray], ndarray], names: tuple[str, ...]) -> Interval:
    return _interval(np.stack([data[n].values for n in names], -1), statistic)


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


def _shown(measured: Measured) -> list[str]:
    return [n for n in ("identity", "linear_filter", "lpt2", "lpt2_filter", "model") if n in measured]


def _spectra_panel(measured: Measured) -> Panel:
    model = measured["model"]
    k, labels = model.shell_wavenumber, {"transfer_power": "T(k) = P_pred / P_true", "correlation": "r(k)"}
    picture, axes = figures.figure(columns=3, width=10.0, height=3.5)
    truth = model.power_true.mean("simulation")
    axes[0, 0].plot(k, truth, **figures.style("truth"))
    for name in _shown(measured):
        axes[0, 0].plot(k, measured[name].power_pred.mean("simulation"), **probe.equivariance.look(name, model))
        for column, variable in enumerate(labels, 1):
            value, low, high = measured[name][variable].values.T
            axes[0, column].plot(k, value, **probe.equivariance.look(name, model))
            if name == "model":
                figures.band(axes[0, column], k.values, low, high, name)
    axes[0, 0].set_yscale("log")
    axes[0, 0].set_ylabel(figures.axis_label("P(k)", model.power_true.attrs["units"]))
    for column, (variable, label) in enumerate(labels.items(), 1):
        axes[0, column].set_ylabel(label)
        _focus(axes[0, column], [measured[n][variable].values[:, 0] for n in _shown(measured)])
    for panel in axes[0]:
        figures.logarithmic(panel)
        panel.set_xlabel(figures.axis_label("k", k.attrs["units"]))
    figures.legend(axes[0, 0])
    ends = [(float(k[i]), *(float(model[v][i, 0]) for v in labels)) for i in (0, len(k) // 2, -1)]
    text = "; ".join(f"k = {a:.3g}: T = {t:.4f}, r = {r:.5f}" for a, t, r in ends)
    caption = (
        "Left: power of the truth, of the model and of the controls. "
        "Middle: the power ratio T(k); its square root is the amplitude transfer. "
        "Right: the cross-correlation with the truth. Both should be 1 at every scale. "
        f"The shaded band is the model's interval over simulations{probe.equivariance.through_window(model)}."
    )
    variables = ("transfer_power", "transfer_amplitude", "correlation", "power_true")
    return Panel("P(k), T(k) and r(k)", [("", picture)], caption, text, variables)


def _focus(panel: Axes, curves: list[ndarray]) -> None:
    """Limits about 1 that show the model without being ruled by a control that is far off."""
    low, high = min(np.nanmin(c) for c in curves), max(np.nanmax(c) for c in curves)
    panel.axhline(1.0, color="#8a94a0", lw=0.8)
    panel.set_ylim(max(low, 0.0) - 0.03, min(high, 2.0) + 0.03)


def _error_panel(measured: Measured) -> Panel:
    model = measured["model"]
    k = model.shell_wavenumber
    picture, axes = figures.figure(columns=2, width=8.4)
    for name in _shown(measured):
        for column, variable in enumerate(("error_power", "stochasticity")):
            value, low, high = measured[name][variable].values.T
            axes[0, column].plot(k, value, **probe.equivariance.look(name, model))
            if name in ("model", "lpt2_filter"):
                figures.band(axes[0, column], k.values, np.maximum(low, value / 100), high, name)
    for panel, label in zip(axes[0], ("error power / P_true", "1 - r²"), strict=True):
        panel.set(yscale="log", ylabel=label)
        figures.logarithmic(panel)
        panel.set_xlabel(figures.axis_label("k", k.attrs["units"]))
    figures.legend(axes[0, 0])
    text = "Error power by k: " + ", ".join(
        f"{float(a):.3g}: {float(e):.2e}" for a, e in zip(k, model.error_power[:, 0], strict=True)
    )
    caption = (
        "Left: power of the difference from the truth over the truth's power. "
        "Right: the share of power that no rescaling by scale could mend; "
        f"a linear filter moves a curve on the left but never on the right{probe.equivariance.through_window(model)}."
    )
    return Panel("Error power and stochasticity", [("", picture)], caption, text, ("error_power", "stochasticity"))


def _slices_panel(measured: Measured) -> Panel:
    model, unit = measured["model"], measured["model"].truth.attrs["units"]
    best = next((n for n in ("lpt2", "identity") if n in measured), "")
    truth = model.truth.values
    shown = {"truth": truth}
    if best:
        shown["2LPT" if best == "lpt2" else "input"] = measured[best].prediction.values
    shown["prediction"] = model.prediction.values
    residuals = {f"{name} - truth": values - truth for name, values in shown.items() if name != "truth"}
    extent = (0.0, float(model.attrs["side"]), 0.0, float(model.attrs["side_v"]))
    groups = (list(shown), list(residuals))
    picture = figures.slices(shown | residuals, unit, extent, model.attrs["length_unit"], shared=groups)
    rms = ", ".join(f"{name}: rms {np.sqrt((v**2).mean()):.3g} {unit}" for name, v in residuals.items())
    caption = (
        f"One component of {model.attrs['output']} of {model.simulation.values[0]!s} through the middle of the box. "
        "The fields share one colour scale, the residuals another."
    )
    return Panel("Slices and residuals", [("", picture)], caption, rms, ("truth", "prediction"))


def _generalisation_panel(measured: Measured) -> Panel:
    model = measured["model"]
    k, each = model.shell_wavenumber, (model.error / model.power_true).values
    picture, axes = figures.figure()
    for index, name in enumerate(model.simulation.values[:12]):
        axes[0, 0].plot(k, each[index], color=figures.ramp(index, min(12, len(each))), lw=1.3, label=str(name))
    axes[0, 0].set(yscale="log", ylabel="error power / P_true")
    figures.logarithmic(axes[0, 0])
    axes[0, 0].set_xlabel(figures.axis_label("k", k.attrs["units"]))
    figures.legend(axes[0, 0])
    total = np.sqrt(model.error_square / model.true_square)
    text = "Relative error by simulation: " + ", ".join(
        f"{n}: {float(e):.4f}" for n, e in zip(model.simulation.values, total, strict=True)
    )
    caption = (
        "The error power of each independent simulation by itself. "
        f"Lines that lie together generalise; one that stands apart needs a look{probe.equivariance.through_window(model)}."
    )
    return Panel("Simulation by simulation", [("", picture)], caption, text, ("error", "power_true"))
