"""The probe `traversal`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lazy_loader as lazy

import probe
from probe.contract import Check, Measured, Panel, Probe, Subject, judgement, measurement, percent

if TYPE_CHECKING:
    from numpy import ndarray
    from xarray import Dataset

    from probe.latents import Latents

np, xr = lazy.load("numpy"), lazy.load("xarray")

DRAWN = 8  # latent variables that have a slider
_ALIKE = "the samples' own latent variables all decode to the same answer: there is no scatter to compare a change with"
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
        size, told = probe.latents.traversal.sizes(model), _effect(model)
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
        if not size.any():
            return Check.not_applicable("dead_silent", _ALIKE)
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
        model, pictures = measured["model"], probe.latents.pictures.traversal
        order = np.argsort(-probe.latents.traversal.sizes(model))[:DRAWN]
        panels = [pictures.effects(measured, order, self.least, self.silent, self.threshold)]
        if "answer" in model and not model.attrs["question"]:
            return [*panels, pictures.numbers(model, order)]
        panels += [pictures.slider(model, int(latent)) for latent in sorted(order)]
        return panels + (
            [pictures.spectra(model, sorted(order[:4]))] if "power" in model and model.power_scatter.values.any() else []
        )


def _effect(model: Dataset) -> Check:
    size = probe.latents.traversal.sizes(model)
    if not size.any():
        return Check.not_applicable("effect", _ALIKE)
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
    moving = probe.latents.traversal.sizes(model) > 1e-9
    if not moving.any():
        return []
    order = [i for i in np.argsort(share) if moving[i]]
    told = ", ".join(f"{model.latent.values[i]!s} {percent(share[i])}" for i in order[:8])
    more = f" and {len(order) - 8} more by more" if len(order) > 8 else ""
    sentence = f"Share of the change that goes one way, so that an answer tells the latent variable: {told}{more}."
    return [Check.info("one_way", float(share[moving].min()), sentence)]
