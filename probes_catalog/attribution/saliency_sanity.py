"""The probe `saliency_sanity`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import lazy_loader as lazy

import probe
from probe import figures
from probe.contract import Check, Measured, Panel, Probe, Subject, judgement, measurement, percent

if TYPE_CHECKING:
    from numpy import ndarray
    from xarray import Dataset

    from probe.attribution.sanity import Sanity
    from probe.intervals import Interval
    from probe.targets import Target

np, xr = lazy.load("numpy"), lazy.load("xarray")

SAMPLES = {"quick": 4, "default": 4, "full": 12}
RAW, REST = 0, 1


class SaliencySanity(Probe):
    """Is the map of what it looked at to be believed?

    Maps of attribution can look right and say nothing: those that Adebayo et al. tested stayed the same, to the eye, when the
    network's weights were made random, as an edge detector's would. So maps of `saliency` are looked at again.

    - Random weights: every parameter, raw and complex ones too, is permuted within its tensor, layer by layer from the output down,
      and the map is made anew. What both have in common is cos² of the two, signs counted, so that falling off alike around the
      target does not count. A skip connection is the same with any weights: where the identity control applies, the maps of f - c
      are compared as well, c being the identity, and the smaller share counts.
    - Methods: Spearman's rank correlation between |maps| of several. A sum of gradients and a gradient need not agree, and
      contributions vanish where the input does; little agreement says that "where it looks" hangs on the method.
    - Infidelity (Yeh et al. 2019): a random half of the input's blocks is set to the baseline; the share of the variance of what
      that does to the target which the map, at its best amplitude, does not foretell.
    - Sensitivity (Yeh et al. 2019): how much the gradient's map changes, at most, when every cell changes by up to 2 % of the
      scatter.

    How to read it: the first figure shows what is left of the map as ever more layers are random; it should fall. The second
    is the agreement between methods.

    The bound on the share left with all weights random is one half, a convention: at least half of the map's power must come from
    what was learned. 1 is a map that does not change at all. A failure means that the map shows the architecture (a skip
    connection, a fixed filter before or behind the network, parameters that hardly matter), not what was learned. The others have
    no right answer and are told.
    """

    suite, version = "attribution", 1
    checks = ("randomisation", "layers", "skip", "agreement", "infidelity", "sensitivity")
    controls = ()
    references = (
        "J. Adebayo et al. (2018), Sanity Checks for Saliency Maps, NeurIPS, arXiv:1810.03292.",
        "C.-K. Yeh et al. (2019), On the (In)fidelity and Sensitivity of Explanations, NeurIPS, arXiv:1901.09392.",
    )

    target = measurement(
        "", "the scalar of the answer; the first of `saliency` by default", check=lambda text: probe.targets.parse(text)
    )
    methods = measurement(
        ("gradient", "integrated_gradients", "smoothgrad"),
        "methods; the first is taken down the layers",
        check=lambda names: probe.attribution.check_methods(names),
    )
    baseline = measurement("mean", "what contributions are counted from", choices=("zero", "mean", "sample"))
    samples = measurement(None, "inputs; by default 4 or 12, by effort", like=4, low=1, high=1000)
    steps = measurement(4, "nodes of integrated gradients", low=1, high=10000)
    draws = measurement(4, "draws of SmoothGrad and GradientSHAP", low=1, high=10000)
    noise = measurement(0.1, "noise of SmoothGrad over each channel's scatter", low=0.0, high=10.0)
    window = measurement(
        None, "cells a side that are removed at once; by default some 64 windows", like=4, unit="cells", low=1, high=4096
    )
    masks = measurement(16, "random removals of infidelity", low=2, high=10000)
    nudges = measurement(4, "random changes of sensitivity", low=1, high=10000)
    radius = measurement(0.02, "their size over each channel's scatter", low=0.0, high=10.0)
    bound = judgement(0.5, "largest share of the map that may be left with random weights", low=0.0, high=1.0)

    def applies(self, subject: Subject) -> str:
        if all(quantity.is_number for quantity in subject.description.inputs):
            return "its inputs are numbers, which have no places to look at"
        return probe.targets.unfit(subject, self.asked(subject))

    def asked(self, subject: Subject) -> Target:
        """The target."""
        return probe.targets.parse(self.target) if self.target else probe.targets.defaults(subject)[0]

    def measure(self, subject: Subject) -> Dataset:
        target, count = self.asked(subject), self._count(subject)
        methods = tuple(dict.fromkeys(self.methods or self.parameters()["methods"].default))
        if reason := probe.attribution.no_methods(methods, subject):
            return xr.Dataset(attrs={"reason": f"there is {reason}; occlusion needs none"})
        rows = self._rows(subject, target, methods, count)
        looked = [place for place, row in enumerate(rows) if not row.reason]
        if not looked:
            return xr.Dataset(attrs={"reason": rows[0].reason})
        dims = {"cascade": ("stage", "as"), "redrawn": ("method", "as"), "skip": ("method",), "infidelity": ("method",)}
        dims |= {"agreement": ("method", "other_method"), "sensitivity": ()}
        return xr.Dataset(
            {
                name: (("sample", *over), np.array([getattr(rows[place], name) for place in looked], dtype=float), {"units": ""})
                for name, over in dims.items()
            },
            coords={
                "method": list(methods),
                "as": ["as it is", "skip removed"],
                "stage": list(rows[looked[0]].stages),
                "sample": [probe.equivariance.name_of_field(subject, place) for place in looked],
            },
            attrs=probe.equivariance.facts(subject) | {"words": probe.targets.in_words(target), "reason": ""},
        )

    def _rows(self, subject: Subject, target: Target, methods: tuple[str, ...], count: int) -> list[Sanity]:
        """What became of the maps of each sample."""
        room, grid = probe.attribution, subject.grid
        window = self.window or room.default_window(grid)
        # No refinement: maps are compared that were made alike, and a map that does not add up is `saliency`'s to tell.
        setting = room.Setting(steps=self.steps, draws=self.draws, noise=self.noise, window=window, doublings=0)
        case = room.Case(target, methods[0], 0, count, self.baseline, setting)
        cases = [room.SanityCase(replace(case, sample=i), methods, self.masks, self.nudges, self.radius) for i in range(count)]
        first, *others = (room.cost(method, setting, grid) for method in methods)
        cost = (room.STAGES + 1) * first + 2 * sum(others) + self.masks + 2 * (self.nudges + 1)
        return subject.map(room.ask_twice, cases, passes=cost)

    def _count(self, subject: Subject) -> int:
        return int(probe.equivariance.count_of_fields(subject, self.samples or SAMPLES[subject.effort]))

    def judge(self, measured: Measured) -> list[Check]:
        model = measured["model"]
        if reason := str(model.attrs["reason"]):
            return [Check.not_applicable("randomisation", reason)]
        return [
            self._randomisation(model),
            self._layers(model),
            _skip(model),
            _agreement(model),
            _infidelity(model),
            _sensitivity(model, self.radius),
        ]

    def _randomisation(self, model: Dataset) -> Check:
        left = lower(model.redrawn.values)
        mean = left.mean(0)
        worst = int(mean.argmax())
        share = _positive(left[:, worst])
        raw = float(model.redrawn.values[:, worst, RAW].mean())
        skipped = np.isfinite(model.redrawn.values[..., REST]).any()
        told = ", ".join(f"{_word(m)} {percent(float(s))}" for m, s in zip(model.method.values, mean, strict=True))
        sentence = (
            f"With every weight random, maps of {model.attrs['words']} keep this share of their power: {told}"
            f"{f' (with the skip connection removed; {percent(raw)} as it is)' if skipped and raw > mean[worst] else ''}."
        )
        if share.low > self.bound:
            what = _word(model.method.values[worst])
            sentence += f" The map of {what} does not explain what the model learned: it shows the architecture."
        source = (
            "a convention: at least half of the map's power must come from what was learned; 1 is a map that weights do not change"
        )
        count = model.sizes["sample"]
        return Check.judged(
            "randomisation",
            share,
            (None, self.bound),
            sentence,
            bound_from=source,
            covers=f"{count} samples, each with weights of its own",
        )

    def _layers(self, model: Dataset) -> Check:
        left = lower(model.cascade.values).mean(0)
        kept = np.flatnonzero(left > self.bound)
        method, count = _word(model.method.values[0]), len(left)
        sentence = (
            f"Of the map ({method}) {percent(float(left[0]))} is left when the last of {count} stages is random "
            f"({model.stage.values[0]!s}), and {percent(float(left[-1]))} when all are"
        )
        if not kept.size:
            sentence += f": never more than {percent(float(left.max()))}"
        elif kept[-1] + 1 < count:
            where = int(kept[-1]) + 1
            sentence += f"; from {where + 1} random stages on ({model.stage.values[where]!s}) less than {percent(self.bound)}"
        return Check.info("layers", float(left[0]), f"{sentence}.", covers=f"{model.sizes['sample']} samples")

    def draw(self, measured: Measured) -> list[Panel]:
        model = measured["model"]
        return [] if model.attrs["reason"] else [self._cascade_panel(model), _agreement_panel(model)]

    def _cascade_panel(self, model: Dataset) -> Panel:
        picture, axes = figures.figure(width=7.6, height=3.8)
        panel, places = axes[0, 0], np.arange(model.sizes["stage"] + 1)
        skipped = np.isfinite(model.cascade.values[..., REST]).any()
        for way, name in ((RAW, "identity" if skipped else "model"), *([(REST, "model")] if skipped else [])):
            rows = model.cascade.values[..., way]
            mean = np.concatenate([[1.0], rows.mean(0)])
            look = figures.style(name, "map as it is" if way == RAW else "skip connection removed")
            panel.plot(places, mean, **look | {"marker": "o", "markersize": 4})
            edges = [_positive(column) for column in rows.T]
            low, high = np.array([1.0, *[e.low for e in edges]]), np.array([1.0, *[e.high for e in edges]])
            figures.band(panel, places, np.clip(low, 0, 1), np.clip(high, 0, 1), name)
        panel.axhline(self.bound, color="#D55E00", lw=1, ls=":", label="bound, all random")
        panel.set_xticks(places, labels=["trained", *[str(s) for s in model.stage.values]], rotation=30, ha="right")
        panel.set(ylim=(-0.03, 1.05), xlabel="made random down to, from the output", ylabel="share of the map's power left")
        figures.legend(panel, **figures.BESIDE)
        left = model.cascade.values.mean(0)
        text = "; ".join(
            f"{stage}: {percent(a)} as it is" + (f", {percent(b)} without the skip" if np.isfinite(b) else "")
            for stage, (a, b) in zip(model.stage.values, left, strict=True)
        )
        caption = (
            f"cos² of the map of {model.attrs['words']} ({_word(model.method.values[0])}) and of the same map when the layers "
            f"from the output down to the one named have random weights; mean over {model.sizes['sample']} samples, each with "
            "weights of its own, and 99.7 % intervals. 1 means that the weights do not matter to the map."
            + (
                " The lower line counts: a network that has no skip connection gets one when the input is taken away."
                if skipped
                else ""
            )
        )
        return Panel("What random weights leave of the map", [("", picture)], caption, text, ("cascade", "redrawn"))


def lower(shares: ndarray) -> ndarray:
    """The smaller of the shares as it is and with the skip removed: (..., 2) -> (...)."""
    return np.where(np.isfinite(shares[..., REST]), np.fmin(shares[..., RAW], shares[..., REST]), shares[..., RAW])


def _positive(rows: ndarray) -> Interval:
    """Mean of shares, with an interval within 0 and 1 where there is one."""
    found = probe.intervals.of_mean(rows)
    return replace(found, low=max(0.0, found.low), high=min(1.0, found.high)) if len(rows) > 1 else found


def _word(method: object) -> str:
    word: str = probe.attribution.method_name(method)
    return word


def _skip(model: Dataset) -> Check:
    shares = model["skip"].values
    if not np.isfinite(shares).any():
        return Check.not_applicable("skip", "the answer is not of the input's quantities, so no skip connection is known")
    mean = _positive(shares[:, 0])
    sentence = f"The identity's map holds {percent(mean.value)} of the power of the model's ({_word(model.method.values[0])})."
    return Check.info("skip", mean, sentence, covers=f"{len(shares)} samples")


def _agreement(model: Dataset) -> Check:
    mean = model.agreement.values.mean(0)
    if len(mean) < 2:
        return Check.not_applicable("agreement", "one method alone has none to agree with")
    pairs = [(i, j) for i in range(len(mean)) for j in range(i)]
    i, j = min(pairs, key=lambda pair: float(mean[pair]))
    sentence = (
        f"Methods rank cells alike with a rank correlation of {mean[i, j]:.3g} or more (least between "
        f"{_word(model.method.values[j])} and {_word(model.method.values[i])})."
    )
    return Check.info(
        "agreement", probe.intervals.of_mean(model.agreement.values[:, i, j]), sentence, covers=f"{model.sizes['sample']} samples"
    )


def _infidelity(model: Dataset) -> Check:
    rows = model.infidelity.values
    if not np.isfinite(rows).any():
        is_removal = set(model.method.values) <= set(probe.attribution.REMOVALS)
        why = "removals are what it is measured by; ask a gradient method"
        return Check.not_applicable("infidelity", why if is_removal else "its answer is not finite where blocks are taken away")
    told = ", ".join(f"{_word(m)} {percent(v)}" for m, v in zip(model.method.values, rows.mean(0), strict=True) if np.isfinite(v))
    sentence = f"Of what a random removal does to the target, the maps leave untold: {told}."
    return Check.info("infidelity", _positive(rows[:, int(np.nanargmin(rows.mean(0)))]), sentence, covers=f"{len(rows)} samples")


def _sensitivity(model: Dataset, radius: float) -> Check:
    if not np.isfinite(model.sensitivity.values).all():
        return Check.not_applicable("sensitivity", "there is no finite gradient that could change")
    found = probe.intervals.of_mean(model.sensitivity.values)
    found = replace(found, low=max(0.0, found.low))
    nudge = f"Nudging every cell by up to {percent(radius)} of the scatter"
    sentence = f"{nudge} changes the gradient's map by at most {percent(found.value)}."
    return Check.info("sensitivity", found, sentence, covers=f"{model.sizes['sample']} samples")


def _agreement_panel(model: Dataset) -> Panel:
    names = [_word(m) for m in model.method.values]
    mean = model.agreement.values.mean(0)
    made = figures.matrix(mean, names, names, "", "correlation")
    with figures.house_style():
        made.axes[0].set(xlabel="method", ylabel="method")
    infidelity = ", ".join(f"{n} {v:.3g}" for n, v in zip(names, model.infidelity.values.mean(0), strict=True))
    text = "; ".join(f"{names[i]} and {names[j]}: {mean[i, j]:.3g}" for i in range(len(names)) for j in range(i)) or "one method"
    caption = (
        "Spearman's rank correlation of |map| between methods over all cells, mean over "
        f"{model.sizes['sample']} samples. 1: they rank cells alike."
    )
    return Panel(
        "Do methods agree?", [("", made)], caption, f"{text}; infidelity: {infidelity}", ("agreement", "infidelity", "sensitivity")
    )
