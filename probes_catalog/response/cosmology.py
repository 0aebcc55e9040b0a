"""The probe `cosmology`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader as lazy

import probe
from probe import figures
from probe.contract import Check, Measured, Panel, Probe, Subject, judgement, measurement, percent
from probe.errors import InputError
from probe.intervals import PRECEDENCE, verdict_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy import ndarray
    from xarray import Dataset

    from probe.description import Cosmology as Universe

np, xr = lazy.load("numpy"), lazy.load("xarray")

LINEAR = 0.5  # rms of the linear overdensity of all longer waves, up to which scales are large: 2LPT holds there
CONVENTION = 2.0
RIVALS = {"lpt2_filter": "the best linear filter of 2LPT", "linear_filter": "the best linear filter of the input"}


class Cosmology(Probe):
    """Does it still work on another universe than the one it was trained on?

    The tables [[cosmology]] of the description say where to go: another amplitude A_s of the linear field (which scales with its
    root; Ho 2018 takes 0.2, 0.8, 1.2 and 1.8 of the fiducial one), other parameters that the network is conditioned on, or both,
    and which pairs were simulated there. The answers there are held against the truth there: T(k), r(k) and the error power, as
    ratios of spectra averaged over simulations with 99.7 % intervals over simulations. Where there are no pairs but a law is given,
    the law answers; else, for a displacement under gravity, 2LPT does, which is believed on large scales alone, and nothing is
    judged. Nothing of this is particular to cosmology: viscosities, drags or forcings are other universes too.

    Beside the model stand the input itself, 2LPT with the growth there, and the best linear filters H(k) of both, fitted anew on
    the very pairs of each universe: they know how strong nonlinearity is there, and nothing else.

    How to read it: the first figure has a place for each universe; the model should lie below the filter in all of them, and its
    gain (the projection of the answer on the truth) at 1. The second shows the model's own spectra, the third all subjects,
    universe by universe. Whoever learned one amplitude has a gain of 1 at home that goes as 1/sqrt(A_s) elsewhere, while r(k)
    stays high: a swollen or damped copy of the right answer. Falling r means that the couplings are those of another amplitude.
    Every conditioning parameter that has bounds is also varied between them at fixed input, and how much of the answer changes is
    told: a displacement hardly knows Omega_m at fixed linear input, a velocity does; a parameter that changes nothing is not used.

    The bound is the error power of the best linear filter of the input, fitted there, in every universe by itself: errors rightly
    grow with nonlinearity, and the filter's say by how much, so a network that does worse there than sixteen numbers did not take
    along what it learned. Both see the same simulations, and their ratio scatters much less than either; its interval is that
    of its logarithm. The filter of 2LPT is told beside it and is the bound with `rival=lpt2_filter`: as A_s falls it wins against
    any network whose error does not vanish, so it is no fair bound at every amplitude. Where no filter can be fitted (several
    outputs, numbers), the error relative to the truth may at most double, a convention; `degradation_bound` judges that ratio
    anywhere.
    """

    suite, version = "response", 1
    checks = ("beats_linear_filter", "beats_lpt2_filter", "degradation", "gain", "distance", "large_scales", "conditioning")
    controls = ("identity", "lpt2", "linear_filter", "lpt2_filter", "untrained")
    references = (
        "S. Ho (2018), talk on the deep-learned emulation of N-body simulations: A_s of 0.2, 0.8, 1.2 and 1.8.",
        "S. He et al. (2019), PNAS 116, 13825, arXiv:1811.06533.",
        "F. R. Bouchet et al. (1995), A&A 296, 575: at fixed linear displacement the second order goes with Omega_m^(-1/143).",
    )

    output = measurement("", "the output quantity compared; the first field by default")
    amplitudes = measurement((0.2, 0.8, 1.2, 1.8), "A_s of a displacement, without [[cosmology]]", low=1e-6, high=1e6)
    bound = judgement(1.0, "largest error power over that of the best linear filter fitted there", low=0.0, high=1e6)
    rival = judgement("linear_filter", "whose error power that is; the other's is told", choices=("linear_filter", "lpt2_filter"))
    degradation_bound = judgement(
        None, "largest relative error over that at home; by default 2 without a filter, else only told", like=2.0, low=0.0, high=1e6
    )

    def applies(self, subject: Subject) -> str:
        described = subject.description
        probe.fields.place_of(described.outputs, self.output)
        displaced, lawful = probe.controls.is_displacement(described), probe.description.names_code(described.truth.law)
        if displaced or probe.universes.variations(subject) or any(one.target or lawful for one in described.cosmologies):
            return ""
        return (
            "there is no other universe to go to: write [[cosmology]] tables with `input` and `target` (pairs that were made "
            "there), or with an `amplitude` beside a law that is code, or give the parameters in [conditioning] bounds"
        )

    def measure(self, subject: Subject) -> Dataset:
        described = subject.description
        quantity = described.outputs[probe.fields.place_of(described.outputs, self.output)]
        rms = described.inputs[probe.fields.place_of(described.inputs)].rms
        found = probe.universes.held_against_truth(subject, self.universes(subject), quantity)
        return xr.merge([found, probe.universes.conditioning(subject)]).assign_attrs(
            probe.equivariance.facts(subject)
            | found.attrs
            | {"output": quantity.name, "volume": subject.grid.volume, "rms": float("nan") if rms is None else rms}
        )

    def universes(self, subject: Subject) -> list[Universe]:
        """Home where there are pairs; those described, else the ladder of a displacement; those of a law at other parameters."""
        described, of = subject.description, probe.description.Cosmology
        away = list(described.cosmologies)
        if not away and probe.controls.is_displacement(described):
            away = [of(f"A_s x {a:g}", amplitude=a) for a in self.amplitudes]
        names = [universe.name for universe in away]
        if probe.universes.HOME in names:
            raise InputError(f"a [[cosmology]] is named {probe.universes.HOME!r}, as the model's own; give it another name")
        if probe.description.names_code(described.truth.law):
            away += [universe for universe in probe.universes.variations(subject) if universe.name not in names]
        return ([of(probe.universes.HOME)] if subject.pairs else []) + away

    def judge(self, measured: Measured) -> list[Check]:
        model = measured["model"]
        true = [name for name in probe.universes.away(model) if str(model.truth.sel(cosmology=name).item()) != "2LPT"]
        rivals = sorted((name for name in RIVALS if name in measured and true), key=lambda name: name != self.rival)
        checks = [self._against(measured, rival, true) for rival in rivals]
        home = probe.universes.HOME in model.cosmology.values
        checks += [self._degradation(model, true, judged=not rivals)] if true and home else []
        checks += _gain(model, true) if true else []
        checks += _large_scales(model, [name for name in probe.universes.away(model) if name not in true])
        checks += _distance(model)
        checks += [_changes(model)] if "change" in model else []
        if true and not home and not rivals:
            reason = "there are no pairs of the universe that it was trained on: write a [data] table; a filter is fitted then too"
            checks.append(Check.not_applicable("degradation", reason))
        silent = str(model.attrs["without_truth"])
        reason = f"nothing is known to be right at {silent}; give these [[cosmology]] tables `input` and `target`"
        return [*checks, *([Check.not_applicable("large_scales", reason)] if silent and not checks else [])]

    def _against(self, measured: Measured, rival: str, names: list[str]) -> Check:
        """The universe that decides: one that fails goes before one that is undecided, then the largest ratio."""
        model, label = measured["model"], RIVALS[rival]
        found = {str(name): probe.universes.ratio_to(model, measured[rival], name) for name in model.cosmology.values}
        worst = min(names, key=lambda name: (PRECEDENCE.index(verdict_of(found[name], (None, self.bound))), -found[name].value))
        own, other = (percent(probe.universes.relative_error(data, worst).value) for data in (model, measured[rival]))
        rest = ", ".join(f"{ratio.value:.2g} at {name}" for name, ratio in found.items() if name != worst)
        sentence = (
            f"At {worst} the answers are off by {own} of the truth, {label} fitted there by {other}: the model leaves "
            f"{found[worst].value:.2g} of that filter's error power{f' ({rest})' if rest else ''}."
        )
        check, covers = f"beats_{rival}", f"{probe.universes.count(model, worst)} simulations, the same for both"
        if rival != self.rival and len([name for name in RIVALS if name in measured]) > 1:
            return Check.info(check, found[worst], sentence, covers=covers)
        source = f"{label}, fitted on the pairs of that universe: a network that does no better is of no use there"
        return Check.judged(check, found[worst], (None, self.bound), sentence, bound_from=source, covers=covers)

    def _degradation(self, model: Dataset, names: list[str], judged: bool) -> Check:
        found = {name: probe.universes.ratio_to_home(model, name) for name in names}
        worst = max(names, key=lambda name: np.nan_to_num(found[name].value, nan=np.inf))
        errors = {name: percent(probe.universes.relative_error(model, name).value) for name in (probe.universes.HOME, *names)}
        sentence = (
            f"The answers are off by {', '.join(f'{error} at {name}' for name, error in errors.items())} of the truth: at most "
            f"{found[worst].value:.3g} times as much as at home."
        )
        covers = f"{probe.universes.count(model, worst)} simulations"
        if self.degradation_bound is None and not judged:
            return Check.info("degradation", found[worst], sentence, covers=covers)
        bound = CONVENTION if self.degradation_bound is None else self.degradation_bound
        source = "set by the user" if self.degradation_bound is not None else "a convention, for want of a linear filter"
        return Check.judged("degradation", found[worst], (None, bound), sentence, bound_from=source, covers=covers)

    def draw(self, measured: Measured) -> list[Panel]:
        model = measured["model"]
        panels = [_universes_panel(measured)] if model.sizes["cosmology"] else []
        if np.isfinite(model.error_power.values[..., 0]).any():
            panels += [_spectra_panel(model), _subjects_panel(measured)]
        return panels + ([_changes_panel(measured)] if "change" in model else [])


def _gain(model: Dataset, names: list[str]) -> list[Check]:
    there = model.gain.sel(cosmology=names)
    if not np.isfinite(there.values[:, 0]).any():
        return []
    worst = int(np.nanargmax(np.abs(there.values[:, 0] - 1)))
    each = ", ".join(f"{value:.4g} at {name}" for name, value in zip(names, there.values[:, 0], strict=True))
    home = (
        f" and {float(model.gain.sel(cosmology=probe.universes.HOME)[0]):.4g} at home"
        if probe.universes.HOME in model.cosmology.values
        else ""
    )
    sentence = f"Projected on the truth, the answers are {each}{home} of its size."
    low, high = map(float, there.values[worst, 1:])
    value = probe.intervals.Interval(float(there.values[worst, 0]), low, high)
    return [Check.info("gain", value, sentence, covers=f"{probe.universes.count(model, names[worst])} simulations")]


def _rms(model: Dataset) -> dict[str, float]:
    """rms of the inputs of each universe over that at home, or over the description's; nan where neither is known."""
    squares = {str(name): float(np.nanmean(model.input_square.sel(cosmology=name))) for name in model.cosmology.values}
    home = squares.get(probe.universes.HOME, float(model.attrs["rms"]) ** 2)
    return {name: float(np.sqrt(square / home)) for name, square in squares.items() if name != probe.universes.HOME}


def _distance(model: Dataset) -> list[Check]:
    found = {name: ratio for name, ratio in _rms(model).items() if np.isfinite(ratio)}
    if not found:
        return []
    farthest = max(found, key=lambda name: abs(np.log(found[name])))
    seen = "those of the pairs at home" if probe.universes.HOME in model.cosmology.values else "the rms that the description gives"
    each = ", ".join(f"{ratio:.3g} ({name})" for name, ratio in found.items())
    sentence = f"The inputs are {each} times as large as {seen}"
    if probe.universes.HOME in model.cosmology.values:
        power = model.input_power / model.input_power.sel(cosmology=probe.universes.HOME)
        spread = np.sqrt(power.sel(cosmology=list(found)).where(model.input_power.sel(cosmology=probe.universes.HOME) > 0))
        among = float((spread.max("shell") / spread.min("shell")).max())
        sentence += f"; from shell to shell this varies by a factor of {among:.3g} at most"
    return [Check.info("distance", found[farthest], sentence + ".")]


def _large_scales(model: Dataset, names: list[str]) -> list[Check]:
    """Against 2LPT, in the shells up to which the linear overdensity is small."""
    rows = []
    for name in names:
        there = model.sel(cosmology=name)
        linear = there.input_power * there.shell_wavenumber**2 * float(model.attrs["growth_ratio"]) ** 2
        rms = np.sqrt((there.modes * linear).cumsum("shell") / float(model.attrs["volume"])).values
        kept = there.isel(shell=slice(0, max(int((rms <= LINEAR).sum()), 1)))
        weight = kept.modes * kept.power_true
        error = np.sqrt(float((weight * kept.error_power[:, 0]).sum() / weight.sum()))
        r = float((weight * kept.correlation[:, 0]).sum() / weight.sum())
        rows.append((error, f"{percent(error)} off and r = {r:.4f} up to k = {float(kept.shell_wavenumber[-1]):.3g} at {name}"))
    if not rows:
        return []
    sentence = (
        f"Nothing is simulated there; against 2LPT on large scales (linear overdensity below {LINEAR:g} in rms) the answers are "
        f"{'; '.join(words for _, words in rows)} (k in {model.shell_wavenumber.attrs['units']})."
    )
    return [Check.info("large_scales", max(error for error, _ in rows), sentence)]


def _changes(model: Dataset) -> Check:
    change = np.sqrt((model.change**2).mean("field"))
    each = "; ".join(
        f"{output!s}: "
        + ", ".join(f"{percent(float(change.sel(variation=v, output=output)))} at {v!s}" for v in change.variation.values)
        for output in change.output.values
    )
    sentence = f"At fixed input, other parameters change the answer by these shares of it: {each}."
    return Check.info("conditioning", float(change.max()), sentence, covers=f"{model.sizes['field']} inputs")


def _shown(measured: Measured) -> list[str]:
    return [n for n in ("untrained", "identity", "linear_filter", "lpt2", "lpt2_filter", "model") if n in measured]


def _by_amplitude(model: Dataset) -> list[str]:
    """Universes in the order in which they are drawn."""
    order = np.argsort(model.amplitude.values, kind="stable")
    return [str(name) for name in model.cosmology.values[order]]


def _universes_panel(measured: Measured) -> Panel:
    model = measured["model"]
    names, shown = _by_amplitude(model), _shown(measured)
    spectral = bool(np.isfinite(model.gain.values[:, 0]).any())
    picture, axes = figures.figure(columns=1 + spectral, width=4.6 + 4.4 * spectral, height=3.8)
    for index, subject in enumerate(shown):
        look = probe.equivariance.look(subject, model) | {"marker": "os^vDP"[index], "markersize": 5, "linewidth": 1.0}
        errors = [probe.universes.relative_error(measured[subject], name) for name in names]
        axes[0, 0].plot(range(len(names)), [max(error.value, 1e-9) for error in errors], **look)
        if subject == "model":
            value, low, high = (np.array([getattr(error, side) for error in errors]) for side in ("value", "low", "high"))
            low = np.maximum(np.maximum(low, value / 10), 1e-9)
            figures.band(axes[0, 0], np.arange(len(names)), low, np.maximum(high, 1e-9), subject)
        if spectral:
            axes[0, 1].plot(range(len(names)), measured[subject].gain.sel(cosmology=names).values[:, 0], **look)
    axes[0, 0].set(yscale="log", ylabel="relative error, rms")
    if spectral:
        axes[0, 1].axhline(1.0, color=figures.GREY, lw=0.8)
        axes[0, 1].set_ylabel("gain: projection on the truth")
    for panel in axes[0]:
        panel.set_xticks(range(len(names)), labels=names, rotation=30, ha="right")
        panel.set(xlabel="universe", xlim=(-0.4, len(names) - 0.6))
    figures.legend(axes[0, -1], **figures.BESIDE)
    text = "; ".join(
        f"{name}: "
        + ", ".join(f"{subject} {probe.universes.relative_error(measured[subject], name).value:.4f}" for subject in reversed(shown))
        for name in names
    )
    caption = (
        "Left: the error of the model and of the controls over the truth, in rms over all points, by growing amplitude of the "
        "universe; the filters are fitted anew in each. Right: how large the answer is along the truth; a model that learned one "
        f"amplitude leaves 1 on both sides of it. The band is the model's interval. Held against {_truths(model)}."
    )
    return Panel("Universe by universe", [("", picture)], caption, text, ("error_square", "true_square", "gain"))


def _truths(model: Dataset) -> str:
    words = {"pairs": "the pairs made there", "law": "the law's own answers", "2LPT": "2LPT, which holds on large scales"}
    kinds = [str(kind) for kind in model.truth.values]
    return ", ".join(words[kind] for kind in words if kind in kinds)


LABELS = {"transfer_power": "T(k) = P_pred / P_true", "correlation": "r(k)", "error_power": "error power / P_true"}


def _axes(width: float) -> tuple[Figure, ndarray]:
    picture, axes = figures.figure(columns=3, width=width, height=3.5)
    for panel, label in zip(axes[0], LABELS.values(), strict=True):
        panel.set_ylabel(label)
    axes[0, 2].set_yscale("log")
    return picture, axes[0]


def _finished(axes: ndarray, model: Dataset, curves: list[Dataset]) -> None:
    """Scales of k, and limits about 1 that hold the model and that one wild control does not rule."""
    for panel, variable in zip(axes, LABELS, strict=True):
        figures.logarithmic(panel)
        panel.set_xlabel(figures.axis_label("k", model.shell_wavenumber.attrs["units"]))
        if variable != "error_power":
            panel.axhline(1.0, color=figures.GREY, lw=0.8)
            values = np.concatenate([data[variable].values[..., 0].ravel() for data in curves])
            own, top = float(np.nanmax(model[variable].values[..., 0])), float(np.nanmax(values))
            panel.set_ylim(max(float(np.nanmin(values)), 0.0) - 0.03, max(own, min(top, 2.0)) + 0.03)
    figures.legend(axes[-1], **figures.BESIDE)


def _spectra_panel(model: Dataset) -> Panel:
    names = _by_amplitude(model)
    picture, axes = _axes(11.0)
    for index, name in enumerate(names):
        for panel, variable in zip(axes, LABELS, strict=True):
            dash = "--" if name == probe.universes.HOME else "-"
            values = np.maximum(model[variable].sel(cosmology=name).values[:, 0], 1e-30 if variable == "error_power" else -1)
            panel.plot(model.shell_wavenumber, values, color=figures.ramp(index, len(names)), ls=dash, lw=1.5, label=name)
    _finished(axes, model, [model])
    middle = model.sizes["shell"] // 2
    at = model.isel(shell=middle)
    each = [
        f"{name}: T = {there.transfer_power.values[0]:.4f}, r = {there.correlation.values[0]:.5f}, "
        f"error power {there.error_power.values[0]:.2e}"
        for name, there in ((name, at.sel(cosmology=name)) for name in names)
    ]
    text = f"At k = {float(at.shell_wavenumber):.3g}: {'; '.join(each)}"
    caption = (
        "The model's own spectra in every universe, dark to light with growing amplitude; dashed where it was trained. "
        "The power ratio T and the cross-correlation r should be 1 at every scale in all of them"
        f"{probe.equivariance.through_window(model)}."
    )
    return Panel("T(k), r(k) and error power of the model", [("", picture)], caption, text, tuple(LABELS))


def _subjects_panel(measured: Measured) -> Panel:
    model, shown, made = measured["model"], _shown(measured), []
    names = _by_amplitude(model)
    for name in names:
        picture, axes = _axes(11.0)
        there = {subject: measured[subject].sel(cosmology=name) for subject in shown}
        for subject, data in there.items():
            for panel, variable in zip(axes, LABELS, strict=True):
                value, low, high = data[variable].values.T
                floor = 1e-30 if variable == "error_power" else -1
                panel.plot(data.shell_wavenumber, np.maximum(value, floor), **probe.equivariance.look(subject, model))
                if subject == "model":
                    low = np.maximum(low, value / 100) if variable == "error_power" else low
                    figures.band(panel, data.shell_wavenumber.values, low, high, subject)
        _finished(axes, there["model"], list(there.values()))
        made.append((name, picture))
    text = "Error power over the truth's, all shells together: " + "; ".join(
        f"{name}: " + ", ".join(f"{s} {probe.universes.relative_error(measured[s], name).value ** 2:.2e}" for s in reversed(shown))
        for name in names
    )
    caption = (
        "Model and controls in one universe. Below the line of the best linear filter, which was fitted there, is what the network "
        f"took along; the band is the model's interval over simulations{probe.equivariance.through_window(model)}."
    )
    return Panel("Beside the controls", made, caption, text, tuple(LABELS))


def _changes_panel(measured: Measured) -> Panel:
    model = measured["model"]
    change = np.sqrt((model.change**2).mean("field"))
    variations, outputs = [str(v) for v in change.variation.values], [str(o) for o in change.output.values]
    picture, axes = figures.figure(width=3.0 + 1.0 * len(variations), height=3.6)
    for index, output in enumerate(outputs):
        values = np.maximum(change.sel(output=output).values, 1e-9)
        axes[0, 0].plot(
            range(len(variations)), values, "os^vDP"[index % 6], ms=6, color=figures.ramp(index, len(outputs)), label=output
        )
    axes[0, 0].set(yscale="log", ylabel="change of the answer / the answer", xlabel="parameter", xlim=(-0.5, len(variations) - 0.5))
    axes[0, 0].set_xticks(range(len(variations)), labels=variations, rotation=30, ha="right")
    figures.legend(axes[0, 0], **figures.BESIDE)
    text = "; ".join(
        f"{v}: " + ", ".join(f"{o} {float(change.sel(variation=v, output=o)):.3g}" for o in outputs) for v in variations
    )
    caption = (
        "The same inputs under other parameters: the rms of what changes over the rms of the answer, for each output. One that "
        "nothing changes (drawn at 1e-9) does not listen to the parameter."
    )
    return Panel("What the parameters change", [("", picture)], caption, text, ("change",))
