"""The probe `importance`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import lazy_loader as lazy

import probe
from probe import figures
from probe.contract import Check, Measured, Panel, Probe, Subject, judgement, measurement, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy import ndarray
    from xarray import Dataset

    from probe.intervals import Interval
    from probe.removal import Ingredient

np, xr = lazy.load("numpy"), lazy.load("xarray")

SAMPLES = {"quick": 4, "default": 8, "full": 64}
MADE = {"quick": 3, "default": 4, "full": 16}  # Gaussian fields, where there are no pairs
FLOOR = 1e-6  # the faintest index that is drawn
NAMED = 3  # ingredients that the headline names


class Importance(Probe):
    """Which inputs matter?

    Each thing that an answer is made of (the input quantities, bands of k of all input fields together, the conditioning
    parameters) is exchanged for that of another sample, and by itself taken away: an input is put to its mean, a band is emptied,
    a parameter goes to its default. Exchanging keeps each part as likely as the data have it, and breaks only what ties it to the
    rest: for a band of k these are the phases. The change of the answer, <|f(exchanged) - f|^2> / (2 Var f), is the total-effect
    index of Sobol': the share of the answer's variance that would remain if all the rest were known. It is c^2 Var(X) / Var(f)
    for a sum of terms c X. With pairs the error's power is measured in the same way.

    Inputs whose channels are correlated beyond a threshold are exchanged together: by themselves they would make combinations that
    no data hold. Where all samples have the same value of a parameter it is drawn evenly between its bounds, and where it has none
    moved by a tenth; then nothing is said of the error, for the truth belongs to the value in the data. What is the same at all
    points of all samples cannot be exchanged, and is moved by its own size instead of taken away.

    How to read it: left, the index with its interval over samples, filled for exchanged and open for taken away (of a sum of
    independent terms of mean zero both are alike; far apart they show how nonlinear it is, or an answer out of its depth on
    inputs that no data resemble). The indices of inputs that do not interact sum to 1, of others to more. Right, by what factor
    the error's power grows. A band without which the error gets smaller is one that the network misreads.

    What can be wrong. `used`: an input or a parameter that is described and changes nothing to rounding is not connected, unless
    the law does not know it either. `needed`: taking away a band or an input must not make the answers better, by more than a
    tenth of the error's power, a convention (what matters nothing scatters about 0). `law`: where the law is known, each index is
    that of the law to 0.05 in its root, a convention, as a response that is off by 5 % would be.
    """

    suite, version = "attribution", 1
    checks = ("importance", "used", "needed", "law", "correlated")
    controls = ("simulator", "identity", "lpt2", "linear_filter", "untrained")
    references = (
        "M. J. W. Jansen (1999), Comput. Phys. Commun. 117, 35: analysis of variance designs for model output.",
        "L. Breiman (2001), Machine Learning 45, 5: permutation importance.",
        "A. Fisher, C. Rudin & F. Dominici (2019), JMLR 20, 177, arXiv:1801.01489: model reliance.",
        "C. Strobl et al. (2008), BMC Bioinformatics 9, 307: correlated inputs.",
    )

    samples = measurement(
        None, "samples; by default 4, 8 or 64 of the pairs, by effort, and half of it without pairs", like=8, low=2, high=10000
    )
    bands = measurement(5, "bands of k, about evenly in log k", low=1, high=64)
    threshold = measurement(0.7, "correlation from which inputs are exchanged together", low=0.0, high=1.0)
    output = measurement("", "the output quantity looked at; all by default, each over its variance")
    worse = judgement(0.1, "by how much of its power the error may fall when something is taken away", low=0.0, high=1.0)
    bound = judgement(0.05, "largest difference from the law's index, in its root", low=0.0, high=1.0)

    def applies(self, subject: Subject) -> str:
        if subject.pairs is not None and len(subject.pairs) < 2:
            return "there is but one pair, and nothing that its parts could be exchanged for; give --data with two or more"
        return ""

    def measure(self, subject: Subject) -> Dataset:
        room, count = probe.removal, self._count(subject)
        if self.output:
            probe.fields.place_of(subject.description.outputs, self.output)
        found = room.groups(subject, count, self.threshold)
        every = self._ingredients(subject, [names for names, _ in found])
        cases = [room.RemovalCase(place, (place + 1) % count, count, tuple(every)) for place in range(count)]
        rows = subject.map(room.remove, cases, passes=1 + 2 * len(every))
        kinds = ["band" if one.band else "input" if one.inputs else "parameter" for one in every]
        outputs = [quantity.name for quantity in subject.description.outputs]
        data = xr.Dataset(
            probe.removal.tabulate(rows),
            coords={
                "ingredient": [one.name for one in every],
                "kind": ("ingredient", kinds),
                "output": outputs,
                "sample": [probe.equivariance.name_of_field(subject, place) for place in range(count)],
            },
            attrs=probe.equivariance.facts(subject)
            | {"correlated": "; ".join(f"{' and '.join(names)} ({largest:.2f})" for names, largest in found if len(names) > 1)}
            | {"threshold": self.threshold, "wavenumber_unit": subject.grid.inverse_unit, "output": self.output},
        )
        moved = [bool(one.parameters) and not any(room.varies(subject, name, count) for name in one.parameters) for one in every]
        return data.assign(moved=("ingredient", np.array(moved, dtype=int), {"units": ""}))

    def _count(self, subject: Subject) -> int:
        by_effort = MADE if subject.pairs is None else SAMPLES
        return int(probe.equivariance.count_of_fields(subject, self.samples or by_effort[subject.effort]))

    def _ingredients(self, subject: Subject, inputs: list[tuple[str, ...]]) -> list[Ingredient]:
        room, unit = probe.removal, subject.grid.inverse_unit
        every = [room.Ingredient(" + ".join(names), inputs=names) for names in inputs]
        if room.mean_varies(subject, self._count(subject)):
            every.append(room.Ingredient("mean", band=probe.bands.MEAN))
        every += [room.Ingredient(f"{one.label()} {unit}", band=one) for one in probe.bands.bands(subject.grid, self.bands)]
        return every + [room.Ingredient(name, parameters=(name,)) for name in subject.description.conditioning]

    def judge(self, measured: Measured) -> list[Check]:
        model = measured["model"]
        if not probe.removal.variance(model).any():
            return [Check.info("importance", 0.0, "Its answer is the same at all points of all samples: nothing matters to it.")]
        checks = [_ranking(measured), _used(measured)]
        checks += [one for one in (self._needed(model), self._law(measured), _correlated(model)) if one is not None]
        return checks

    def _needed(self, model: Dataset) -> Check | None:
        """The error power without each band or input, relative to the whole: the least."""
        room = probe.removal
        error = model.error.values[:, room.chosen(model)]
        if not np.isfinite(error).all():
            return None
        square = model.square.values[:, room.chosen(model)]
        if (error.mean(0) <= float(model.attrs["rounding"]) ** 2 * square.mean(0)).any():
            return Check.not_applicable("needed", "its answers are the truth to rounding: there is no error that could get smaller")
        kept = np.flatnonzero(model.kind.values != "parameter")
        rows = np.stack([room.sums(model, "taken_error")[:, i] for i in kept], 1)
        growth = (rows.mean(0) / error.mean(0)).mean(-1) - 1
        worst = int(growth.argmin())
        both = np.stack([rows[:, worst], error], -1)
        change = probe.intervals.of_samples(both, lambda some: (some[..., 0].mean(0) / some[..., 1].mean(0)).mean(-1) - 1)
        name = str(model.ingredient.values[kept[worst]])
        change = replace(change, low=max(-1.0, change.low))  # no power falls by more than all of it
        told = f"without it the error's power {'falls' if change.value < 0 else 'grows'} by {percent(abs(change.value))}"
        sentence = f"Of all bands and inputs {name} is missed least: {told}."
        source = f"an answer must not get better without a part of the input; {percent(self.worse)} are a convention"
        return Check.judged("needed", change, (-self.worse, None), sentence, bound_from=source, covers=_covers(model))

    def _law(self, measured: Measured) -> Check | None:
        model, law, room = measured["model"], measured.get("simulator"), probe.removal
        if law is None or not room.answers(law):
            return None
        both = {name: np.sqrt(room.per_sample(data, "exchanged")) for name, data in (("model", model), ("law", law))}
        known = np.isfinite(both["law"]).all(0) & np.isfinite(both["model"]).all(0)
        index, true = room.index(model), room.index(law)
        apart = np.where(known, np.abs(np.sqrt(index) - np.sqrt(true)), -1.0)
        worst = int(apart.argmax())
        rows = np.stack([room.sums(model, "exchanged")[:, worst], room.sums(law, "exchanged")[:, worst]], -1)
        own, theirs = room.variance(model), room.variance(law)
        error = probe.intervals.of_samples(
            rows,
            lambda some: abs(
                np.sqrt(room.mean_index(some[:, :, 0].mean(0), own)) - np.sqrt(room.mean_index(some[:, :, 1].mean(0), theirs))
            ),
        )
        name = str(model.attrs["simulator"])
        sentence = (
            f"Where the model is farthest from {name}, {model.ingredient.values[worst]!s} makes {percent(index[worst])} of "
            f"its answer's variance, and {percent(true[worst])} of {name}'s: the roots are {error.value:.2g} apart."
        )
        source = "a convention: a response off by 5 %, as in plane_wave"
        return Check.judged("law", error, (None, self.bound), sentence, bound_from=source, covers=_covers(model))

    def draw(self, measured: Measured) -> list[Panel]:
        return [_panel(measured)] if probe.removal.answers(measured["model"]) else []


def _interval(model: Dataset, place: int, of: str = "exchanged") -> Interval:
    found = probe.intervals.of_mean(probe.removal.per_sample(model, of)[:, place])
    return replace(found, low=max(0.0, found.low))


def _covers(model: Dataset) -> str:
    return f"{model.sizes['sample']} samples"


def _ranking(measured: Measured) -> Check:
    model = measured["model"]
    index = probe.removal.index(model)
    asked = np.where(
        np.isfinite(index) & ((model.kind.values != "input") | (list(model.kind.values).count("input") > 1)), index, -1.0
    )
    order = np.argsort(-asked)[:NAMED]
    told = ", ".join(f"{model.ingredient.values[i]!s} ({_told(asked[i])})" for i in order if asked[i] >= 0)
    beside = _beside(measured, int(order[0]))
    sentence = f"Exchanged for another sample's, these account for the largest shares of the answer's variance: {told}{beside}."
    return Check.info("importance", _interval(model, int(order[0])), sentence, covers=_covers(model))


def _told(index: float) -> str:
    """A share that may be more than all of it."""
    return percent(index) if index < 1.5 else f"{index:.2g} times all of it"


def _beside(measured: Measured, place: int) -> str:
    words = []
    for name in ("simulator", "lpt2", "linear_filter", "untrained"):
        if name in measured and probe.removal.answers(measured[name]):
            index = probe.removal.index(measured[name])[place]
            label = probe.equivariance.look(name, measured["model"])["label"]
            words += [f"for {label} {_told(index)}"] if np.isfinite(index) else []
    return f"; the first of these {', '.join(words)}" if words else ""


def _used(measured: Measured) -> Check:
    room, model, floor = probe.removal, measured["model"], float(measured["model"].attrs["rounding"]) ** 2
    asked = model.kind.values != "band"

    def moves(data: Dataset) -> ndarray:
        # Of any output, also of one that is the same everywhere; what could not be asked is not held against it.
        change = np.fmax(room.sums(data, "exchanged"), room.sums(data, "taken")).max(0)
        found: ndarray = ~(change <= floor * data.square.values.max(0)[room.chosen(data)]).all(-1)
        return found

    idle = asked & ~moves(model)
    if "simulator" in measured and room.answers(measured["simulator"]):
        idle &= moves(measured["simulator"])
    names = [str(name) for name in model.ingredient.values[idle]]
    sentence = (
        f"{', '.join(names)} {'changes' if len(names) == 1 else 'change'} nothing to rounding, though described: not connected."
        if names
        else f"{'Its input' if asked.sum() == 1 else f'Each of the {int(asked.sum())} inputs and parameters described'} "
        "changes the answer."
    )
    source = "rounding: what is described and changes nothing is not connected"
    return Check.judged("used", float(idle.sum()), (None, 0.0), sentence, bound_from=source, unit="inputs")


def _correlated(model: Dataset) -> Check | None:
    if not (told := str(model.attrs["correlated"])):
        return None
    sentence = f"Exchanged together, being correlated by more than {float(model.attrs['threshold']):g}: {told}."
    return Check.info("correlated", float(told.count(";") + 1), sentence, unit="groups")


def _shown(measured: Measured) -> list[str]:
    names = ("untrained", "linear_filter", "lpt2", "simulator", "model")
    return [name for name in names if name in measured and probe.removal.answers(measured[name])]


def _panel(measured: Measured) -> Panel:
    model, room = measured["model"], probe.removal
    has_error = bool(np.isfinite(model.error.values).all())
    caption = (
        "How much the answer changes when a part of the input is exchanged for another sample's (filled, with the interval over "
        f"{_covers(model)}) or taken away (open), as a share of its variance; less than {FLOOR:g} is drawn there."
        + (
            " Right: how much larger the error's power is without it; left of the line the answers are better without."
            if has_error
            else ""
        )
    )
    columns = model.ingredient.values, room.index(model), room.index(model, "taken"), room.growth(model)
    text = "; ".join(
        f"{name!s}: exchanged {percent(a)}, taken away {percent(b)}" + (f", error times {g:.3g}" if np.isfinite(g) else "")
        for name, a, b, g in zip(*columns, strict=True)
    )
    variables = ("exchanged", "taken", "taken_error", "error", "square")
    return Panel("What the answer is made of", [("", _picture(measured, has_error))], caption, text, variables)


def _picture(measured: Measured, has_error: bool) -> Figure:
    model, room, shown = measured["model"], probe.removal, _shown(measured)
    count = model.sizes["ingredient"]
    width, height = 9.6 if has_error else 6.6, 1.4 + 0.34 * count
    picture, axes = figures.figure(columns=2 if has_error else 1, width=width, height=height, sharey=True)
    for place, name in enumerate(shown):
        points = {"linestyle": "none", "marker": "os^vD"[place % 5], "markersize": 6 if name == "model" else 5}
        look = probe.equivariance.look(name, model) | points
        _points(axes[0, 0], measured[name], np.arange(count), look, name == "model")
        if has_error and name != "simulator":
            axes[0, 1].plot(room.growth(measured[name]), np.arange(count), **look)
    indices = np.concatenate([room.index(measured[name]) for name in shown])
    least = max(FLOOR, min(indices[indices > 0], default=FLOOR) / 10)
    axes[0, 0].set(xscale="log", xlim=(least, None), ylim=(count - 0.5, -0.5), xlabel="share of the answer's variance")
    axes[0, 0].set_ylabel("part of the input")
    axes[0, 0].set_yticks(range(count), labels=[str(name) for name in model.ingredient.values])
    if has_error:
        axes[0, 1].axvline(1.0, color=figures.INK, lw=0.8)
        axes[0, 1].set(xscale="log", xlabel="error power without it / with it")
    figures.legend_beside(axes[0])
    return picture


def _points(panel: Any, data: Dataset, rows: ndarray, look: dict[str, Any], whole: bool) -> None:
    """Indices of one subject, of the model with intervals and both ways."""
    index = np.maximum(probe.removal.index(data), FLOOR)
    panel.plot(index, rows, **look)
    if not whole:
        return
    panel.plot(
        np.maximum(probe.removal.index(data, "taken"), FLOOR),
        rows,
        **look | {"markerfacecolor": "none", "markersize": 8.5, "label": "model, taken away"},
    )
    for row in rows:
        span = _interval(data, int(row))
        if np.isfinite(span.value):
            panel.plot(np.maximum([span.low, min(span.high, 1e3)], FLOOR), [row, row], color=look["color"], lw=1.2)
