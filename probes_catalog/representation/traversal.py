"""The probe `traversal`."""

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

    from probe.latents import Latents

np, xr = lazy.load("numpy"), lazy.load("xarray")

DRAWN = 8  # latent variables that have a slider
CURVE = {"quick": 21, "default": 51, "full": 101}  # questions along a curve


class Traversal(Probe):
    """What does each latent variable do?

    One latent variable at a time is varied, the others stay at their mean over the samples, or at those of a given one, and the
    answer is decoded: at nine values between the 0.5 % and 99.5 % quantiles of all samples' draws. Draws, because that is what
    the decoder was given in training: of a dead variable they fill the prior, though its mean stands still. Where the answer is a
    number and one parameter has bounds (a time, a radius), it is decoded along it: each value gives a curve.

    Everything else is as for one sample: its input, where the network has a way round its latent variables, and its
    conditioning. A network without an encoder is asked the same of the principal components of a layer, added to every point.

    The change is the difference from the answer where all stay, root mean square, over the scatter: the same difference where all
    latent variables are those of the samples themselves, 32 at most.

    How to read it: move the slider (the arrow keys do), and see what one variable does to a slice, a line or a curve; on the
    right, its difference from the mean's. A good latent variable does one thing. In the spectra, a variable that lifts one end
    of k only is one of scale. In the last figure a variable with little effect is one that the answer does not need.

    Bounds: a latent variable that the encoder pays for (signal over noise above 0.01, see `latents`) and that changes the answer by
    less than 1 % of its scatter is ignored by the decoder; a dead one, whose draws are noise, that changes it by more than 10 %
    adds that noise to every answer (1 % in power, as the rule that calls it dead). Both are conventions. A sample's own latent
    variables decode to the model's own answer, to 0.1 %: where they do not, `gives` or `decoder` in the description is not
    what the network does, or the network draws at random. Without sigma nothing is active or dead, and effects are told only.
    """

    suite, version = "representation", 1
    checks = ("active_decoded", "dead_silent", "round_trip", "effect", "one_way")
    controls = ("untrained",)
    references = (
        "L. Lucie-Smith et al. (2022), PRD 105, 103533, arXiv:2203.08827: an interpretable variational encoder.",
        "R. Iten et al. (2020), PRL 124, 010508, arXiv:1807.10300: SciNet.",
        "I. Higgins et al. (2017), beta-VAE, ICLR: latent traversals.",
    )

    output = measurement("", "the output compared; the first field by default, or all numbers")
    points = measurement(9, "values of each latent variable", low=2, high=101)
    edge = measurement(0.005, "share of all draws beyond either end of the range", low=0.0, high=0.49)
    extend = measurement(1.0, "what the range is multiplied with, about its middle", low=0.01, high=100.0)
    sample = measurement(0, "the pair that stands for all that is no latent variable", low=0)
    others = measurement(
        "mean", "where the other latent variables stay: their mean, or at that sample's", choices=("mean", "sample")
    )
    least = judgement(0.01, "smallest change by an active latent variable, over the scatter", low=0.0, high=10.0)
    silent = judgement(0.1, "largest change by a dead latent variable, over the scatter", low=0.0, high=10.0)
    trip_bound = judgement(1e-3, "largest difference of the decoded from the model's own answer, relative", low=0.0, high=10.0)
    threshold = judgement(0.01, "signal over noise above which a latent variable is active", low=0.0, high=1e6)

    def applies(self, subject: Subject) -> str:
        if reason := probe.latents.no_latents(subject) or probe.latents.no_decoder(subject):
            return str(reason)
        assert subject.pairs is not None
        if self.sample >= len(subject.pairs):
            return f"there are {len(subject.pairs)} pairs, and none of number {self.sample}: set traversal.sample to one that is"
        return ""

    def measure(self, subject: Subject) -> Dataset:
        assert subject.pairs is not None
        over = probe.latents.Range(self.points, self.edge, self.extend, self.sample, self.others == "sample")
        count = self._samples(subject)
        name, values = probe.latents.traversal.questions(subject.description, CURVE[subject.effort])
        asked: list[tuple[str, float] | None] = [(name, float(value)) for value in values] or [None]
        trips = subject.map(probe.latents.trip, [probe.latents.Trip(i, self.output) for i in range(min(count, 8))], passes=2)
        walk, case = probe.latents.walk, probe.latents.Walk
        own = subject.map(walk, [case(-1, over, self.output, q, count) for q in asked], passes=count + 1)
        found = probe.latents.latents_of(subject)
        latents = range(found.mean.shape[1])
        rows = [
            subject.map(walk, [case(latent, over, self.output, q) for q in asked], passes=self.points + 1) for latent in latents
        ]
        data = self._tabulated(subject, rows, own) | {
            "value": (("latent", "point"), probe.latents.traversal.values_of(found, over), {"units": ""}),
            "signal": ("latent", probe.latents.activity.signal(found.mean, found.std), {"units": ""}),
            "trip": (("pair", "square"), np.stack(trips), {"units": ""}),
        }
        return xr.Dataset(data, coords=self._coordinates(subject, found, values), attrs=self._about(subject, found, name))

    def _samples(self, subject: Subject) -> int:
        """How many samples' own latent variables the scatter is taken over."""
        assert subject.pairs is not None
        return min(len(subject.pairs), 16 if subject.effort == "quick" else 32)

    def _tabulated(self, subject: Subject, rows: list[list[dict[str, ndarray]]], own: list[dict[str, ndarray]]) -> dict[str, Any]:
        """Variables from walks: rows[latent][question], and those of the samples themselves."""
        quantities = probe.latents.traversal.compared(subject.description.outputs, self.output)
        unit = quantities[0].unit if len({quantity.unit for quantity in quantities}) == 1 else ""
        # Mean squares over questions, then over the scatter of each number by itself.
        scatter = np.mean([row["square"].mean(0) for row in own], 0)
        change = np.mean([[row["square"] for row in latent] for latent in rows], 1)
        # What is no more than rounding of the answer is no scatter.
        whole = np.mean([row["base_square"] for row in own], 0)
        held = scatter > probe.equivariance.rounding(subject.model.dtype) ** 2 * whole
        share = np.divide(change, scatter, out=np.zeros_like(change), where=held)
        relative = np.sqrt(share.mean(-1) if share.ndim == 3 else share)
        found: dict[str, Any] = {"effect": (("latent", "point"), relative, {"units": ""})}
        if quantities[0].is_number:
            answers = np.array([[row["shown"] for row in latent] for latent in rows])
            base = np.array([row["base_shown"] for row in rows[0]])
            found["answer"] = (("latent", "point", "number", "question"), answers.transpose(0, 2, 3, 1), {"units": unit})
            found["answer_base"] = (("number", "question"), base.T, {"units": unit})
            return found | {"scatter": ("number", np.sqrt(scatter), {"units": unit})}
        place = ("component", "u", "v")[: rows[0][0]["base_shown"].ndim]
        power = {"units": probe.spectra.power_unit(unit, subject.grid)}
        for name, values, base in (("shown", place, {"units": unit}), ("power", ("shell",), power)):
            found[name] = (("latent", "point", *values), np.stack([latent[0][name] for latent in rows]), base)
            found[f"{name}_base"] = (values, rows[0][0][f"base_{name}"], base)
        found["power_change"] = (("latent", "point", "shell"), np.stack([latent[0]["power_change"] for latent in rows]), power)
        found["power_scatter"] = ("shell", own[0]["power_change"].mean(0), power)
        return found | {"scatter": ((), float(np.sqrt(scatter)), {"units": unit})}

    def _coordinates(self, subject: Subject, found: Latents, values: ndarray) -> dict[str, Any]:
        quantities, grid = probe.latents.traversal.compared(subject.description.outputs, self.output), subject.grid
        shared = {"latent": list(found.names)}
        if quantities[0].is_number:
            return shared | {"number": [quantity.name for quantity in quantities], "question": values if len(values) else [0.0]}
        return shared | {"shell_wavenumber": ("shell", grid.shells().wavenumber.numpy(), {"units": grid.inverse_unit})}

    def _about(self, subject: Subject, found: Latents, question: str) -> dict[str, Any]:
        grid = subject.grid
        assert subject.pairs is not None
        return {
            "source": found.source,
            "has_spread": int(found.std is not None),
            "output": probe.latents.traversal.compared(subject.description.outputs, self.output)[0].name,
            "question": question,
            "sample": subject.pairs.name(self.sample),
            "samples": self._samples(subject),
            "boundary": grid.boundary,
            "length_unit": grid.unit,
            "side": float(grid.box[0]),
            "side_v": float(grid.box[min(1, grid.dimension - 1)]),
            "guessed": "; ".join(subject.description.guessed),
        }

    def judge(self, measured: Measured) -> list[Check]:
        model = measured["model"]
        size, told = _sizes(model), _effect(model)
        rest = [self._round_trip(model), told, *_one_way(model)]
        if not model.attrs["has_spread"]:
            return [told, rest[0], *rest[2:]]
        active = model.signal.values > self.threshold
        return [self._decoded(model, size, active), self._silent(model, size, active), *rest]

    def _decoded(self, model: Dataset, size: ndarray, active: ndarray) -> Check:
        """Whether every latent variable that is paid for changes the answer."""
        if not active.any():
            reason = "no latent variable is active (signal over noise above the threshold): the probe latents judges that"
            return Check.not_applicable("active_decoded", reason)
        weakest = int(np.where(active, size, np.inf).argmin())
        ignored = [str(name) for name in model.latent.values[active & (size < self.least)]]
        sentence = f"Of {int(active.sum())} active latent variables {model.latent.values[weakest]!s} changes the answer least, by "
        sentence += f"{percent(size[weakest])} of its scatter" + (
            f"; the decoder ignores {', '.join(ignored)}." if ignored else "."
        )
        source = f"a convention: what changes the answer by less than {percent(self.least)} of its scatter the decoder ignores"
        value, covers = float(size[weakest]), f"the scatter of {model.attrs['samples']} samples"
        return Check.judged("active_decoded", value, (self.least, None), sentence, bound_from=source, covers=covers)

    def _silent(self, model: Dataset, size: ndarray, active: ndarray) -> Check:
        """Whether the noise in dead latent variables stays out of the answer."""
        if active.all():
            return Check.not_applicable("dead_silent", "no latent variable is dead")
        loudest = int(np.where(active, -np.inf, size).argmax())
        sentence = f"Of {int((~active).sum())} dead latent variables {model.latent.values[loudest]!s} changes the answer most, by "
        sentence += f"{percent(size[loudest])} of its scatter over the range that its draws fill."
        source = (
            f"a convention: a dead variable's draws are noise, of which {percent(self.silent**2)} of the scatter's power is let in"
        )
        value, covers = float(size[loudest]), f"the scatter of {model.attrs['samples']} samples"
        return Check.judged("dead_silent", value, (None, self.silent), sentence, bound_from=source, covers=covers)

    def _round_trip(self, model: Dataset) -> Check:
        different, whole = model.trip.values.sum(0)
        off = float(np.sqrt(different / whole)) if whole > 0 else float(different > 0)
        count = model.sizes["pair"]
        sentence = f"Decoded from their own latent variables, {count} samples are off the model's answer by {percent(off)} of it."
        source = "the two are the same function; rounding is far below 0.1 %"
        return Check.judged("round_trip", off, (None, self.trip_bound), sentence, bound_from=source, covers=f"{count} samples")

    def draw(self, measured: Measured) -> list[Panel]:
        model = measured["model"]
        order = np.argsort(-_sizes(model))[:DRAWN]
        panels = [_effect_panel(measured, self.least, self.silent, self.threshold)]
        if "answer" in model and not model.attrs["question"]:
            return [*panels, _numbers_panel(model, order)]
        panels += [_slider(model, int(latent)) for latent in sorted(order)]
        return panels + ([_spectra_panel(model, sorted(order)[:4])] if "power" in model else [])


def _sizes(data: Dataset) -> ndarray:
    """Root mean square of the change over the range, over the scatter: (latent,)."""
    sizes: ndarray = np.sqrt((data.effect.values**2).mean(1))
    return sizes


def _effect(model: Dataset) -> Check:
    size = _sizes(model)
    order = np.argsort(-size)
    told = ", ".join(f"{model.latent.values[i]!s} {percent(size[i])}" for i in order[:8])
    more = f" and {len(order) - 8} more by less" if len(order) > 8 else ""
    sentence = f"Over their range latent variables change the answer by, of its scatter over the samples: {told}{more}."
    return Check.info("effect", float(size[order[0]]), sentence)


def _one_way(model: Dataset) -> list[Check]:
    """How much of the change goes one way along a latent variable: 1 where the answer never turns back."""
    answers = (model.answer if "answer" in model else model.shown).values
    steps = np.diff(answers.reshape(*answers.shape[:2], -1), axis=1)
    there, back = np.maximum(steps, 0).sum(1), np.maximum(-steps, 0).sum(1)
    share = np.maximum(there, back).sum(1) / np.maximum((there + back).sum(1), np.finfo(float).tiny)
    moving = _sizes(model) > 1e-9
    if not moving.any():
        return []
    told = ", ".join(f"{model.latent.values[i]!s} {percent(share[i])}" for i in np.flatnonzero(moving)[:8])
    sentence = f"Share of the change that goes one way, so that an answer tells the latent variable: {told}."
    return [Check.info("one_way", float(share[moving].min()), sentence)]


def _effect_panel(measured: Measured, least: float, silent: float, threshold: float) -> Panel:
    """The change by every latent variable against its value, and in all."""
    model = measured["model"]
    names = [str(name) for name in model.latent.values]
    picture, axes = figures.figure(columns=2, width=8.8, height=3.4, width_ratios=(1.5, 1))
    for i in sorted(np.argsort(-_sizes(model))[:DRAWN]):
        axes[0, 0].plot(model.value[i], model.effect[i], marker="o", ms=3.5, color=figures.ramp(int(i), len(names)), label=names[i])
    # Changes grow to both sides: the legend stands in between, above.
    top = max(1.35 * float(model.effect.max()), 1e-12)
    axes[0, 0].set(xlabel="value of the latent variable", ylabel="change over scatter", ylim=(0, top))
    axes[0, 0].locator_params(axis="x", nbins=5)
    for subject in [name for name in ("untrained", "model") if name in measured]:
        look, size = figures.style(subject), np.maximum(_sizes(measured[subject]), 1e-8)
        face = look["color"] if subject == "model" else "white"
        axes[0, 1].plot(np.arange(len(size)), size, "o", ms=6, color=look["color"], markerfacecolor=face, label=look["label"])
    if model.attrs["has_spread"]:
        active = model.signal.values > threshold
        for wanted, bound, word in ((active, least, "active: above"), (~active, silent, "dead: below")):
            for number, place in enumerate(np.flatnonzero(wanted)):
                color, label = ("#D55E00", "#009E73")[word.startswith("dead")], None if number else word
                axes[0, 1].hlines(bound, place - 0.35, place + 0.35, color=color, lw=1.6, label=label)
    axes[0, 1].set(yscale="log", ylabel="change over scatter, rms", xlabel="latent variable", xlim=(-0.6, len(names) - 0.4))
    figures.names(axes[0, 1], names)
    figures.legend(axes[0, 0], loc="upper center", ncols=2)
    figures.legend(axes[0, 1], **figures.BESIDE)
    text = "Change over scatter: " + ", ".join(f"{n}: {s:.3g}" for n, s in zip(names, _sizes(model), strict=True))
    caption = (
        "How far the answer moves, over its scatter between samples: left along each latent variable, right in all. "
        "One that is active should stand above its bar, a dead one below. Exact zeros are drawn at 1e-8."
    )
    return Panel("How much each latent variable does", [("", picture)], caption, text, ("value", "effect", "signal"))


def _slider(model: Dataset, latent: int) -> Panel:
    """One latent variable: a figure for each of its values."""
    name, values = str(model.latent.values[latent]), model.value.values[latent]
    if "answer" in model:
        make, variables, what = _curve, ("value", "answer", "answer_base"), f"along {model.attrs['question']}"
    elif model.shown.ndim == 4:
        make, variables, what = _line, ("value", "shown", "shown_base"), "along the line"
    else:
        several = f"component {'xyz'[_component(model, latent)]}, " if model.sizes["component"] > 1 else ""
        make, variables, what = _picture, ("value", "shown", "shown_base"), f"{several}in a slice"
    shown = [(f"{name} = {value:.3g}", make(model, latent, place)) for place, value in enumerate(values)]
    size = model.effect.values[latent]
    text = f"Change over scatter along {name}: " + ", ".join(f"{v:.3g}: {s:.3g}" for v, s in zip(values, size, strict=True))
    caption = (
        f"The answer ({model.attrs['output']}, {what}) as {name} goes from {values[0]:.3g} to {values[-1]:.3g} and the others "
        "stay; right, its difference from that where all stay; of curves the whole range is shaded. All else as in "
        f"{model.attrs['sample']}. The axes and colours stay the same, so that what moves is the answer."
    )
    return Panel(f"What {name} does", shown, caption, text, variables)


def _curve(model: Dataset, latent: int, place: int) -> Figure:
    """Numbers along the parameter that is asked about."""
    answers, base = model.answer.values[latent], model.answer_base.values
    return _family(model, answers[:, 0], base[0], place, model.question.values, (model.attrs["question"], ""), model.answer)


def _component(model: Dataset, latent: int) -> int:
    """The component of a vector that moves most along a latent variable."""
    change = model.shown.values[latent] - model.shown_base.values
    return int(np.square(change).mean((0, *range(2, change.ndim))).argmax())


def _line(model: Dataset, latent: int, place: int) -> Figure:
    """A field on a line."""
    answers, base = model.shown.values[latent, :, 0], model.shown_base.values[0]
    cells = np.arange(len(base)) + 0.5 * (model.attrs["boundary"] != "periodic")
    along = ("x", model.attrs["length_unit"])
    return _family(model, answers, base, place, cells * model.attrs["side"] / len(base), along, model.shown)


def _family(
    model: Dataset, curves: ndarray, base: ndarray, place: int, x: ndarray, along: tuple[str, str], variable: Any
) -> Figure:
    """Where all curves lie, one of them, and each one's difference from that where all stay."""
    picture, axes = figures.figure(columns=2, width=8.4, height=3.1)
    for panel, rows, still in zip(axes[0], (curves, curves - base), (base, 0 * base), strict=True):
        panel.fill_between(x, rows.min(0), rows.max(0), color=figures.GREY, alpha=0.25, lw=0, label="over the range")
        panel.plot(x, still, color="black", lw=1.1, ls="--", label="all stay")
        panel.plot(x, rows[place], color=figures.ramp(place, len(rows)), lw=2.6, label="now")
        panel.set_xlabel(figures.axis_label(*along))
    axes[0, 0].set_ylabel(figures.axis_label(str(model.attrs["output"]), variable.attrs["units"]))
    axes[0, 1].set_ylabel(figures.axis_label("difference", variable.attrs["units"]))
    figures.legend(axes[0, 0])
    return picture


def _picture(model: Dataset, latent: int, place: int) -> Figure:
    """A slice of the field and its difference from that where all stay, on the colour scales of all values."""
    component = _component(model, latent)
    every, base = model.shown.values[latent, :, component], model.shown_base.values[component]
    extent = (0.0, float(model.attrs["side"]), 0.0, float(model.attrs["side_v"]))
    unit, length = model.shown.attrs["units"], model.attrs["length_unit"]
    fields = {"answer": every[place], "difference": every[place] - base}
    reach = [float(np.abs(rows).max()) or 1.0 for rows in (every, every - base)]
    limits = [(-size, size) for size in reach]
    return figures.slices(fields, unit, extent, length, shared=[["answer"], ["difference"]], limits=limits)


def _numbers_panel(model: Dataset, order: ndarray) -> Panel:
    """Numbers against each latent variable, in units of their scatter."""
    kept = sorted(order)[:4]
    picture, axes = figures.figure(columns=len(kept), width=2.2 + 2.2 * len(kept), height=3.2, sharey=True)
    answers = model.answer.values[..., 0]
    scatter = np.where(model.scatter.values > 0, model.scatter.values, 1.0)
    for panel, latent in zip(axes[0], kept, strict=True):
        for number, name in enumerate(model.number.values):
            change = (answers[latent, :, number] - model.answer_base.values[number, 0]) / scatter[number]
            panel.plot(model.value[latent], change, marker="o", ms=3.5, color=figures.ramp(number, len(scatter)), label=str(name))
        panel.set(xlabel=str(model.latent.values[latent]), ylabel="change over scatter")
    figures.legend_beside(axes[0])
    text = "Numbers at both ends: " + "; ".join(
        f"{model.latent.values[i]!s}: "
        + ", ".join(f"{a:.3g} to {b:.3g}" for a, b in zip(answers[i, 0], answers[i, -1], strict=True))
        for i in kept
    )
    caption = "Each number against the latent variables, the others at rest: its change from where all stay, over its scatter."
    return Panel("Numbers along latent variables", [("", picture)], caption, text, ("value", "answer", "answer_base", "scatter"))


def _held(power: ndarray) -> ndarray:
    """Power where there is more of it than rounding leaves, NaN elsewhere; all NaN becomes one."""
    most = float(power.max(initial=0.0))
    return np.where(power > 1e-20 * most, power, np.nan) if most > 0 else np.ones_like(power)


def _spectra_panel(model: Dataset, kept: list[int]) -> Panel:
    """Power of the decoded field over that where all stay, and power of the change over that of the scatter."""
    k, count = model.shell_wavenumber.values, model.sizes["point"]
    picture, axes = figures.figure(columns=len(kept), rows=2, width=1.8 + 2.1 * len(kept), height=5.0, sharey="row", sharex=True)
    base, scatter = (_held(model[name].values) for name in ("power_base", "power_scatter"))
    for column, latent in enumerate(kept):
        for place in range(count):
            look = {"color": figures.ramp(place, count), "lw": 1.3, "label": "lowest" if not place else None}
            look["label"] = {0: "lowest value", count - 1: "highest value"}.get(place)
            axes[0, column].plot(k, model.power.values[latent, place] / base, **look)
            axes[1, column].plot(k, np.maximum(model.power_change.values[latent, place] / scatter, 1e-8), **look)
        axes[1, column].set(yscale="log")
        with figures.house_style():
            axes[0, column].set_title(str(model.latent.values[latent]))
        for panel in axes[:, column]:
            figures.logarithmic(panel)
            panel.set_xlabel(figures.axis_label("k", model.shell_wavenumber.attrs["units"]))
    ratios = model.power.values[kept] / base
    if np.nanmax(ratios) > 2 * np.nanmin(ratios):
        axes[0, 0].set(yscale="log")
    axes[0, 0].set_ylabel("P / P where all stay")
    axes[1, 0].set_ylabel("P of change / of scatter")
    figures.legend_beside(axes[0])
    last = {str(model.latent.values[i]): model.power.values[i, -1] / base for i in kept}
    text = "Power at the highest value over that where all stay, least and most over k: " + ", ".join(
        f"{name}: {np.nanmin(ratio):.3g} to {np.nanmax(ratio):.3g}" for name, ratio in last.items()
    )
    caption = (
        "Above: the power spectrum of the decoded field at each value of a latent variable, over that where all stay. Below: the "
        "power of its change over that of the scatter between samples; exact zeros are drawn at 1e-8"
        f"{probe.equivariance.through_window(model)}."
    )
    return Panel("Spectra along latent variables", [("", picture)], caption, text, ("power", "power_base", "power_change"))
