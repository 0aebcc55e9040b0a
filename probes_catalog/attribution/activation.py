"""The probe `activation`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lazy_loader as lazy

import probe
from probe import figures
from probe.contract import Check, Measured, Panel, Probe, Subject, judgement, measurement, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy import ndarray
    from xarray import Dataset

np, xr = lazy.load("numpy"), lazy.load("xarray")

STARTS = {"quick": 2, "default": 3, "full": 8}
STEPS = {"quick": 6, "default": 12, "full": 40}
SAMPLES = {"quick": 4, "default": 8, "full": 32}
SATURATED = 1e-3  # of the excitation: a pull that is weaker comes from a number that has levelled off
MARKS = {"linestyle": "none", "marker": "o", "markersize": 4, "markerfacecolor": "none"}


class Activation(Probe):
    """What input would excite it most?

    Among all inputs that have the power of real ones, mode by mode, the one that makes a number of the answer as large as it can
    be: by default a point of the answer (of a displacement its overdensity there), or an output that is a number; or a channel of
    a named layer, or the mean square of all its channels (DeepDream). The sizes of the modes are held and their phases turned,
    step by step towards those of the gradient, from several random starts: the power cannot run away to scales that no data have,
    as it does where an input is merely punished for being unusual. For a linear model that treats all places alike the result is
    known: every phase aligned, as in a matched filter, with the value sum over k of |H(k)| |a_k|.

    How to read it: the maps show what was found, from each start. One and the same structure means that the model waits for one
    thing; starts that end apart, at the same value, for any of many. The curves show how far above real inputs it gets (grey:
    their values, mean and two standard deviations; all have the mean and the numbers of the first), and which scales do it. The
    spectrum is that of real inputs by construction, but at Nyquist, where modes are left empty, and stands there to show it.

    An input that excites the model as no real one does is where it is most likely to be wrong. Where the law is known it is asked
    about that very input, and of what the model makes beyond the mean of real inputs 20 % may not be the law's, a convention: the
    input was chosen for what the model makes of it, so that its errors are all on one side. Under gravity the answer of 2LPT is
    told beside it, and not judged.
    """

    suite, version = "attribution", 1
    checks = ("excitation", "truth", "agreement", "scales")
    controls = ("lpt2", "untrained")
    references = (
        "D. Erhan, Y. Bengio, A. Courville & P. Vincent (2009), Visualizing higher-layer features, Univ. Montreal TR 1341.",
        "A. Mordvintsev, C. Olah & M. Tyka (2015), Inceptionism; C. Olah et al. (2017), Feature visualization, Distill.",
        "M. Journee, Y. Nesterov, P. Richtarik & R. Sepulchre (2010), JMLR 11, 517: generalised power method.",
    )

    target = measurement(
        "",
        "a number of the answer, as in 'voxel(4, 5, 6)' or 'power(3)'; by default a point, or the first number",
        check=lambda text: probe.targets.parse(text),
    )
    layer = measurement("", "a layer of the network by its dotted name, in the place of a target")
    channel = measurement(-1, "channel of the layer; -1 for the mean square of all", low=-1, high=100000)
    starts = measurement(None, "random starts; by default 2, 3 or 8, by effort", like=3, low=1, high=1000)
    steps = measurement(None, "steps at most; by default 6, 12 or 40, by effort", like=12, low=1, high=10000)
    bound = judgement(0.2, "largest share of the excitation that the law does not know", low=0.0, high=10.0)

    def applies(self, subject: Subject) -> str:
        if not subject.model.differentiable:
            return f"no gradients pass through {subject.model.name}, which say how to turn the phases: give it as a torch module"
        if self.layer and subject.name in ("model", "untrained", "rehearsal"):
            return probe.excitation.no_layer(subject.model.network, self.layer) if subject.name != "rehearsal" else ""
        if self.layer:
            return f"a {subject.name.replace('_', ' ')} has no layers"
        return probe.targets.unfit(subject, self._target(subject))

    def _target(self, subject: Subject) -> probe.targets.Target:
        return probe.targets.parse(self.target) if self.target else probe.targets.defaults(subject)[0]

    def measure(self, subject: Subject) -> Dataset:
        room, grid, effort = probe.excitation, subject.grid, subject.effort
        # A control may lack what the model has.
        reason = self.applies(subject) or probe.derivatives.no_gradient(subject)
        attrs = probe.equivariance.facts(subject) | {"reason": reason}
        if reason:
            return xr.Dataset(attrs=attrs)
        samples = probe.equivariance.count_of_fields(subject, SAMPLES[effort])
        starts, steps = int(self.starts or STARTS[effort]), int(self.steps or STEPS[effort])
        target, words, unit = self._asked(subject)
        case = room.ExciteCase(target, self.layer, self.channel, samples, starts, steps)
        (found,) = subject.map(room.excite, [case], passes=samples + starts * (1 + 4 * steps))
        truth = None if self.layer else room.truth_of(subject)
        power = probe.spectra.power_unit(_input_unit(subject), grid)
        return xr.Dataset(
            {
                "value": (("start", "step"), found.values, {"units": unit}),
                "usual": ("sample", found.usual, {"units": unit}),
                "truth": ("start", found.truth, {"units": unit}),
                "alike": ("start", found.alike, {"units": ""}),
                "listened": (("start", "bin"), found.listened, {"units": unit}),
                "cut": (("start", "u", "v"), found.cuts, {"units": ""}),
                "power": ("shell", found.power, {"units": power}),
                "wanted": ("shell", found.wanted, {"units": power}),
            },
            coords={
                "wavenumber": ("bin", np.arange(probe.ensemble.count_of(grid)) * grid.fundamental, {"units": grid.inverse_unit}),
                "shell_wavenumber": ("shell", grid.shells().wavenumber.numpy(), {"units": grid.inverse_unit}),
                "sample": [probe.equivariance.name_of_field(subject, place) for place in range(samples)],
            },
            attrs=attrs | {"words": words, "whose": truth[0] if truth else "", "sides": list(grid.box)},
        )

    def _asked(self, subject: Subject) -> tuple[str, str, str]:
        """What is excited as a target, in words, and its unit."""
        if self.layer:
            channel = "the mean square of all channels" if self.channel < 0 else f"channel {self.channel}"
            return "", f"{channel} of the layer {self.layer}", ""
        target = self._target(subject)
        return str(target), probe.targets.in_words(target), probe.targets.unit_of(subject, target)

    def judge(self, measured: Measured) -> list[Check]:
        model = measured["model"]
        if model.attrs["reason"]:
            return [Check.not_applicable("excitation", f"it has no gradient to follow: {model.attrs['reason']}")]
        checks = [_excitation(measured), self._truth(model), _agreement(model), _scales(model)]
        return [check for check in checks if check is not None]

    def _truth(self, model: Dataset) -> Check | None:
        best, whose = _best(model), str(model.attrs["whose"])
        made, truth, gain = float(model.value[best, -1]), float(model.truth[best]), _gain(model)
        if not np.isfinite(truth) or not gain:
            return None
        unknown = (made - truth) / gain
        sentence = (
            f"Of that very input {whose} makes {truth:.4g}{_unit(model)}, the model {made:.4g}: "
            f"{'more' if unknown >= 0 else 'less'} by {percent(abs(unknown))} of its excitation beyond the mean of real inputs."
        )
        if whose != "the law":
            if "overdensity" in str(model.attrs["words"]) and max(made, truth) > 1:
                sentence += " Beyond an overdensity of 1 streams cross, and 2LPT does not hold either."
            return Check.info("truth", unknown, sentence, covers="the best start")
        source = "a convention: a fifth of the excitation, for the input was chosen by the model"
        return Check.judged("truth", unknown, (-self.bound, self.bound), sentence, bound_from=source, covers="the best start")

    def draw(self, measured: Measured) -> list[Panel]:
        model = measured["model"]
        return [] if model.attrs["reason"] else [_found(model), _curves(measured)]


def _input_unit(subject: Subject) -> str:
    """Unit of the first input field."""
    inputs = subject.description.inputs
    return inputs[probe.fields.place_of(inputs)].unit


def _unit(model: Dataset) -> str:
    unit = str(model.value.attrs["units"])
    return f" {unit}" if unit else ""


def _best(model: Dataset) -> int:
    return int(model.value.values[:, -1].argmax())


def _gain(model: Dataset) -> float:
    """By how much the best start lies above the mean of real inputs."""
    return float(model.value.values[:, -1].max() - model.usual.values.mean())


def _scatter(model: Dataset) -> float:
    """Standard deviation of the value over real inputs; of a single one, over that and those of random phases."""
    usual = model.usual.values
    return float(np.std(usual if len(usual) > 1 else np.concatenate([usual, model.value.values[:, 0]]), ddof=1))


def _excitation(measured: Measured) -> Check:
    model = measured["model"]
    scatter, made, mean = _scatter(model), float(model.value.values[:, -1].max()), float(model.usual.values.mean())
    far = _gain(model) / scatter if scatter > 0 else 0.0
    others = [
        f"{look['label']} to {float(data.value.values[:, -1].max()):.4g}"
        for data, look in probe.equivariance.curves(measured, "value", ("lpt2", "untrained"))
    ]
    beside = f" The same search brings {', '.join(others)}." if others else ""
    sentence = (
        f"With the power of real inputs and its phases chosen, an input brings {model.attrs['words']!s} to "
        f"{made:.4g}{_unit(model)}: {far:.2g} standard deviations above the mean of {model.sizes['sample']} real ones "
        f"({mean:.4g}, at most {float(model.usual.max()):.4g}); random phases make {float(model.value[:, 0].mean()):.4g}.{beside}"
    )
    return Check.info(
        "excitation", made, sentence, unit=str(model.value.attrs["units"]), covers=f"the best of {model.sizes['start']} starts"
    )


def _agreement(model: Dataset) -> Check | None:
    if model.sizes["start"] < 2:
        return None
    others = np.delete(model.alike.values, _best(model))
    reached, gain = model.value.values[:, -1], _gain(model) or 1.0
    sentence = (
        f"From {model.sizes['start']} starts the values reached differ by {percent(float(np.ptp(reached)) / abs(gain))} of the "
        f"excitation, and the inputs found are correlated with the best by {others.min():.2f} to {others.max():.2f}."
    )
    return Check.info("agreement", float(others.mean()), sentence, covers=f"{model.sizes['start']} starts")


def _share(model: Dataset) -> ndarray:
    """What each |k| adds to first order, at the best start, over the sum of all: (bin,)."""
    rows = model.listened.values[_best(model)]
    share: ndarray = rows / max(abs(rows.sum()), 1e-300)
    return share


def _scales(model: Dataset) -> Check:
    share, k = np.maximum(_share(model), 0.0), model.wavenumber.values
    half, most = (float(np.interp(part, np.cumsum(share) / max(share.sum(), 1e-300), k + k[1] / 2)) for part in (0.5, 0.9))
    unit = model.wavenumber.attrs["units"]
    # The sum is what the number gains as all modes grow together.
    if model.listened.values[_best(model)].sum() <= SATURATED * abs(_gain(model)):
        return Check.not_applicable("scales", "at the end larger modes would not excite it more: what it gives has levelled off")
    sentence = f"Half of what excites it lies at k < {half:.3g} {unit}, nine tenths at k < {most:.3g}."
    against = float(share.sum() - _share(model).sum())
    if against > 0.05 * share.sum():
        sentence += f" Other scales pull against it, {percent(against / share.sum())} as much."
    return Check.info("scales", half, sentence, unit=str(unit))


def _found(model: Dataset) -> Panel:
    labels = [f"start {i}: {float(v):.3g}" for i, v in enumerate(model.value.values[:, -1])][:4]
    sides, unit = [float(side) for side in model.attrs["sides"]], str(model.attrs["length_unit"])
    cuts = model.cut.values[:4]
    if cuts.shape[1] == 1:
        picture, axes = figures.figure(width=6.6)
        x = np.arange(cuts.shape[2]) * sides[0] / cuts.shape[2]
        for index, (label, cut) in enumerate(zip(labels, cuts[:, 0], strict=True)):
            axes[0, 0].plot(x, cut, color=figures.ramp(index, len(cuts)), lw=1.5, label=label)
        axes[0, 0].set_xlabel(figures.axis_label("x", unit))
        axes[0, 0].set_ylabel("input found")
        figures.legend(axes[0, 0], **figures.BESIDE)
    else:
        picture = figures.slices(dict(zip(labels, cuts, strict=True)), "", (0.0, sides[0], 0.0, sides[1]), unit)
    caption = (
        f"The inputs that excite {model.attrs['words']!s} most, from each random start (of a displacement its overdensity, of "
        "other vectors the first component), in a plane through the middle of the box; above each the value reached. "
        "Power is all that is held: a field so made may have values that no real one has."
    )
    text = (
        f"values reached: {', '.join(f'{float(v):.4g}' for v in model.value.values[:, -1])}; correlation with the best: "
        + ", ".join(f"{float(r):.2f}" for r in model.alike.values)
    )
    return Panel("The input that excites it most", [("", picture)], caption, text, ("cut", "value"))


def _curves(measured: Measured) -> Panel:
    model = measured["model"]
    caption = (
        f"Left: {model.attrs['words']!s} step by step from each start, at 0 with random phases; grey are real inputs, mean and two "
        "standard deviations. Middle: what each |k| adds to the excitation at the end, to first order; below zero are scales that "
        "pull against it. Right: the power of the input found, which is that of real inputs mode by mode."
    )
    held = model.wanted.values > 0
    apart = np.abs(model.power.values[held] / model.wanted.values[held] - 1).max()
    told = ", ".join(f"{k:.3g}: {percent(s)}" for k, s in zip(model.wavenumber.values, _share(model), strict=True))
    text = f"share of the excitation by k: {told}; powers agree to {apart:.1g}"
    variables = ("value", "usual", "listened", "power", "wanted")
    return Panel("How it is reached, and at which scales", [("", _drawn(measured))], caption, text, variables)


def _drawn(measured: Measured) -> Figure:
    model = measured["model"]
    picture, axes = figures.figure(columns=3, width=12.4, height=3.4)
    climb, scales, spectrum = axes[0]
    _climb(climb, measured)
    scales.plot(model.wavenumber[1:], _share(model)[1:], **figures.style("model"))
    scales.set_ylabel("share of the excitation")
    if not _share(model).any():
        with figures.house_style():
            scales.text(0.5, 0.6, "levelled off: no scale pulls", ha="center", transform=scales.transAxes)
    held = model.wanted.values > 0
    spectrum.plot(model.shell_wavenumber[held], model.wanted[held], **figures.style("truth", "power of real inputs"))
    spectrum.plot(model.shell_wavenumber[held], model.power[held], **figures.style("model", "of the input found") | MARKS)
    spectrum.set(yscale="log")
    spectrum.set_ylabel(figures.axis_label("P(k)", str(model.power.attrs["units"])))
    for panel in (scales, spectrum):
        figures.logarithmic(panel)
        panel.set_xlabel(figures.axis_label("k of the input", model.wavenumber.attrs["units"]))
    figures.legend_beside(axes[0])
    return picture


def _climb(panel: Any, measured: Measured) -> None:
    """The value step by step from each start, over those of real inputs."""
    model = measured["model"]
    mean, scatter, steps = float(model.usual.values.mean()), _scatter(model), np.arange(model.sizes["step"])
    panel.axhspan(mean - 2 * scatter, mean + 2 * scatter, color=figures.GREY, alpha=0.25, lw=0, label="real inputs")
    for data, look in probe.equivariance.curves(measured, "value", ("untrained", "model")):
        for place, row in enumerate(data.value.values):
            panel.plot(steps[: len(row)], row, **look | {"label": look["label"] if not place else None, "linewidth": 1.4})
    panel.set_xlabel("step")
    panel.set_ylabel(figures.axis_label("value", str(model.value.attrs["units"])))
