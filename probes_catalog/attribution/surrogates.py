"""The probe `surrogates`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import lazy_loader as lazy

import probe
from probe.contract import Check, Measured, Panel, Probe, Subject, judgement, measurement, percent

if TYPE_CHECKING:
    from numpy import ndarray
    from torch import Tensor
    from xarray import Dataset

    from probe.fields import Field
    from probe.intervals import Interval
    from probe.targets import Target

np, xr, torch = lazy.load("numpy"), lazy.load("xarray"), lazy.load("torch")

SAMPLES = {"quick": 16, "default": 32, "full": 128}
DRAWS = {"quick": 1, "default": 2, "full": 8}


class Surrogates(Probe):
    """Which statistics of the input does its answer use?

    Each input is exchanged for surrogates that keep a part of what it holds: its power spectrum (every mode with a random phase),
    its one-point distribution (the values in random places), nearly both (the values rearranged until the modes have their power
    again), and the order of its values (each exchanged for the Gaussian quantile of its rank: where peaks are, but not how high).
    The mean of the input stays in all of them, its variance too. Asked are the outputs that are numbers. A surrogate has
    everything elsewhere, so that answers that are fields cannot be compared point by point: only statistics of them can, such as
    the power in a shell, where `targets` names them. Over the few samples that fields are mostly given with, what is kept of such a
    statistic is known badly: of fields nothing is asked without a word, and nothing is judged.

    The share kept is the squared correlation, over samples, of the answers to surrogates with the answers as they are: 1 where
    the answer is made of what is left alone, up to 1 / (samples - 1) on average where it has nothing to do with it. What is
    kept by the surrogate that has both spectrum and values, and by neither of the others, is read off both; what no surrogate
    keeps lies beyond: in patterns, which no power spectrum and no histogram holds. Surrogates are unlike any input that it was
    trained on: a shift of all answers says that they hang on what was taken, a correlation that stays, that what is left
    suffices to put samples in order. Neither is what a model trained on surrogates would reach. The rearranged ones have the
    power of the input to some per cent in most shells, to less in the longest waves (see `probe.surrogates`).

    What can be wrong. `beats_power_spectrum`: with pairs, what is right of numbers is known, and their error power is compared
    with that of a ridge regression on ln P(k) in shells of the inputs: each sample predicted from all other pairs, the penalty
    chosen among those too. The bound is 1: a network that does no better than a line through the spectrum is not needed, as one
    that does not beat the best linear filter is not for fields. The regression has only the pairs that are asked about to learn
    from: one fitted to all that the network was trained on would do better, and a failure is the graver for it. Beside it the same
    for quantiles of the field, told and not judged by. A failure usually means a network that learned the mean of the truth, or an
    architecture that cannot see what the spectrum holds.

    How to read the figures: answers over truths, for the inputs as they are and for each surrogate; points on the diagonal are
    right, on another rising line ranked, in a cloud at one height ignorant. Then the shares kept as bars, and beside them
    what is left of the truths' variance as error.
    """

    suite, version = "attribution", 1
    checks = ("beats_power_spectrum", "beats_one_point", "power_spectrum", "one_point", "power_and_one_point", "gaussianised")
    controls = ("untrained",)
    references = (
        "J. Theiler et al. (1992), Physica D 58, 77: random phases.",
        "T. Schreiber & A. Schmitz (1996), PRL 77, 635, arXiv:chao-dyn/9909041: spectrum and distribution kept.",
        "D. H. Weinberg (1992), MNRAS 254, 315: Gaussianising by rank.",
        "S. Ravanbakhsh et al. (2016), arXiv:1711.02033: a network beside regressions on the power spectrum.",
    )

    targets = measurement("", "numbers asked about, as in 'number(Omega_m), power(3)'; by default each output that is a number")
    samples = measurement(
        None, "samples; by default 16, 32 or 128, by effort, and at most as many as there are pairs", like=32, low=3, high=100000
    )
    draws = measurement(None, "surrogates of each kind a sample; by default 1, 2 or 8, by effort", like=2, low=1, high=1000)
    bound = judgement(1.0, "largest error power over that of the regression on ln P(k)", low=0.0, high=1e6)

    def applies(self, subject: Subject) -> str:
        if subject.grid.boundary != "periodic":
            return f"the boundary is {subject.grid.boundary!r}, and phases of modes are exchanged in periodic boxes alone"
        asked = self._targets(subject)
        if not asked:
            return (
                "its answers are fields, and a surrogate has everything elsewhere: they cannot be compared point by point. "
                "Statistics of them can: set surrogates.targets, to 'power(2), power(8)' for instance, and give many samples"
            )
        if all(quantity.is_number for quantity in subject.description.inputs):
            return "the inputs are numbers, which have no spectrum and no distribution"
        if subject.pairs is not None and len(subject.pairs) < 3:
            return f"what is kept shows over samples, and there are {len(subject.pairs)}: give --data with three or more"
        return next((reason for target in asked if (reason := _unfit(subject, target))), "")

    def measure(self, subject: Subject) -> Dataset:
        asked, count = self._targets(subject), self._count(subject)
        draws = int(self.draws or DRAWS[subject.effort])
        cases = [SurrogatesCase(place, draws, tuple(str(t) for t in asked)) for place in range(count)]
        rows = subject.map(ask, cases, passes=2 + draws * (len(probe.surrogates.KINDS) - 1))
        units = [probe.targets.unit_of(subject, target) for target in asked]
        of = ("sample", "target")
        data = xr.Dataset(
            {
                "answer": (of, np.stack([row.answer for row in rows]), {"units": ""}),
                "made": (("sample", "kind", "draw", "target"), np.stack([row.made for row in rows]), {"units": ""}),
                "truth": (of, np.stack([row.truth for row in rows]), {"units": ""}),
            },
            coords={
                "sample": [probe.equivariance.test_field(subject, place)[1] for place in range(count)],
                "kind": list(probe.surrogates.KINDS),
                "target": [target.name if target.kind == "number" and target.name else str(target) for target in asked],
                "unit": ("target", units),
            },
            attrs=probe.equivariance.facts(subject) | {"pairs": int(subject.pairs is not None)},
        )
        return data.assign({f"from_{name}": (of, _regressed(rows, name), {"units": ""}) for name in probe.surrogates.RIVALS})

    def _count(self, subject: Subject) -> int:
        count = int(self.samples or SAMPLES[subject.effort])
        return min(count, len(subject.pairs)) if subject.pairs is not None else count

    def _targets(self, subject: Subject) -> tuple[Target, ...]:
        if self.targets:
            return probe.targets.parse_all(self.targets)
        numbers = [quantity.name for quantity in subject.description.outputs if quantity.is_number]
        return tuple(probe.targets.Target("number", name=name) for name in numbers)

    def judge(self, measured: Measured) -> list[Check]:
        model = measured["model"]
        against = [self._against(model), _beside(model)]
        kept = [_kept(measured, kind) for kind in probe.surrogates.KINDS]
        return [*against, *kept] if against[0].verdict != "not_applicable" else [*kept, *against]

    def _against(self, model: Dataset) -> Check:
        name = "beats_power_spectrum"
        if reason := probe.surrogates.no_rival(model):
            return Check.not_applicable(name, reason)
        ratio, told = _compared(model, "power_spectrum")
        source = "a ridge regression on ln P(k) in shells, each sample predicted from the other pairs: a network that does no "
        source += "better than a line through the power spectrum is not needed"
        return Check.judged(name, ratio, (None, self.bound), told, bound_from=source, covers=_covers(model))

    def draw(self, measured: Measured) -> list[Panel]:
        return [probe.surrogates.pictures.answers_panel(measured["model"]), probe.surrogates.pictures.shares_panel(measured)]


@dataclass(frozen=True)
class SurrogatesCase:
    """One sample, how many surrogates of each kind, and the targets as text."""

    sample: int
    draws: int
    targets: tuple[str, ...]


@dataclass(frozen=True)
class Asked:
    """Of one sample: answers to it and to its surrogates, what is right, and the numbers that regressions are made of.

    Attributes
    ----------
    answer, truth : ndarray, (target,)
        The truth is NaN where there is none.
    made : ndarray, (kind, draw, target)
    power_spectrum, one_point : ndarray, (feature,)
    """

    answer: ndarray
    truth: ndarray
    made: ndarray
    power_spectrum: ndarray
    one_point: ndarray


def ask(subject: Subject, case: SurrogatesCase) -> Asked:
    """The targets about one sample and its surrogates."""
    given = probe.equivariance.test_field(subject, case.sample)[0].to(subject.model.device, subject.model.physical_dtype)
    asked = [probe.targets.parse(text) for text in case.targets]
    readers = [probe.targets.reader_of(subject, target, case.sample) for target in asked]

    def answers(values: Tensor) -> ndarray:
        answer = subject.model(given.with_values(values)).values.double()
        return torch.stack([read(answer) for read in readers], -1).cpu().numpy()

    generator, values, room = subject.rng(f"sample {case.sample}"), given.values.double(), probe.surrogates
    once = answers(torch.cat([values, room.gaussianised(values)]))
    made = []
    for _ in range(case.draws):
        random, mixed = room.phase_randomised(values, given.grid, generator), room.shuffled(values, generator)
        drawn = torch.cat([random, mixed, room.rearranged(values, given.grid, generator)])
        made.append(np.concatenate([answers(drawn), once[1:]]))
    truth = np.array([_truth(subject, target, case.sample) for target in asked])
    return Asked(once[0], truth, np.stack(made, 1), *_features(subject, given))


def _unfit(subject: Subject, target: Target) -> str:
    """Why a target cannot be compared between an input and its surrogates; empty where it can."""
    if target.is_local or target.kind == "error":
        return f"{target}: a surrogate has everything elsewhere; ask for a statistic of the whole answer, such as power(3)"
    if target.kind == "latent":
        return f"{target}: it is the answer that is asked about; ask for a number or a statistic of it, such as power(3)"
    return str(probe.targets.unfit(subject, target))


def _truth(subject: Subject, target: Target, sample: int) -> float:
    if subject.pairs is None or target.kind != "number":
        return float("nan")
    return float(probe.targets.reader_of(subject, target)(subject.pairs[sample][1].values.double()))


def _features(subject: Subject, given: Field) -> tuple[ndarray, ndarray]:
    """What a regression on spectra is made of, and one on values; numbers among the inputs are given to both."""
    numbers, power, one_point = [value for _, value in given.conditioning], [], []
    count = probe.surrogates.QUANTILES
    for quantity, channels in given.parts():
        if quantity.is_number:
            numbers += given.values[:, channels].double().flatten(2).mean(2).flatten().tolist()
            continue
        scalar = probe.scalars.read(given.values[:, channels].double(), probe.scalars.reading(subject, quantity), given.grid)
        found = probe.spectra.power(scalar, given.grid).flatten()
        power.append(found.clamp_min(torch.finfo(torch.float64).tiny).log().cpu().numpy())
        ordered, places = scalar.flatten().sort().values, (np.arange(count) + 0.5) / count * given.grid.size
        one_point.append(ordered[torch.from_numpy(places.astype(int)).to(ordered.device)].cpu().numpy())
    return np.concatenate([*power, numbers]), np.concatenate([*one_point, numbers])


def _regressed(rows: list[Asked], name: str) -> ndarray:
    """Each truth predicted from the other samples: (sample, target); NaN where there is none, or too few."""
    truth, features = np.stack([row.truth for row in rows]), np.stack([getattr(row, name) for row in rows])
    if len(rows) < probe.surrogates.FEWEST:
        return np.full_like(truth, np.nan)
    found = [probe.ridge.held_out(features, true) if np.isfinite(true).all() else np.full(len(true), np.nan) for true in truth.T]
    return np.stack(found, -1)


def _compared(model: Dataset, rival: str) -> tuple[Interval, str]:
    """The error power over that of a regression, and what is to be said of it."""
    known = probe.surrogates.with_truth(model)
    truth = model.truth.values[:, known]
    size = truth.var(0)
    own, other = (((model[name].values[:, known] - truth) ** 2) for name in ("answer", f"from_{rival}"))
    ratio = probe.agreement.over_rival(own, other, size)
    each = [
        f"of the variance of {name!s} it leaves {percent(a)} as error, the regression {percent(b)}"
        for name, a, b in zip(model.target.values[known], own.mean(0) / size, other.mean(0) / size, strict=True)
    ]
    fitted = f"a linear regression on {probe.surrogates.RIVALS[rival]}, fitted to the other {len(truth) - 1} pairs"
    told = f"Its error power is {ratio.value:.2g} times that of {fitted}: {'; '.join(each)}."
    return ratio, told


def _beside(model: Dataset) -> Check:
    if reason := probe.surrogates.no_rival(model):
        return Check.not_applicable("beats_one_point", reason)
    ratio, told = _compared(model, "one_point")
    return Check.info("beats_one_point", ratio, told, covers=_covers(model))


def _covers(model: Dataset) -> str:
    return f"{model.sizes['sample']} samples"


def _kept(measured: Measured, kind: str) -> Check:
    """How much of the answers' variance is kept, mean over the numbers."""
    model, (_, left) = measured["model"], probe.surrogates.KINDS[kind]
    rows, floor = probe.surrogates.rows_of(model, kind)
    each = probe.surrogates.share(rows, floor)
    asked = np.isfinite(each)
    if not asked.any():
        return Check.not_applicable(kind, "its answer is the same for all samples, and there is nothing to keep")
    share = probe.intervals.of_samples(
        rows[:, asked], lambda some: np.nan_to_num(probe.surrogates.share(some, floor[:, asked])).mean(-1)
    )
    share = replace(share, low=max(0.0, share.low), high=min(1.0, share.high))
    told = "; ".join(_one(model, kind, place) for place in np.flatnonzero(asked))
    twin = probe.surrogates.shares(measured["untrained"], kind)[0] if "untrained" in measured else np.array([np.nan])
    beside = f" (its untrained twin: {percent(float(np.nanmean(twin)))})" if np.isfinite(twin).any() else ""
    chance = f"with {_covers(model)} unrelated answers seem to keep up to {percent(1 / (len(rows) - 1))}"
    sentence = f"Where {left}, {percent(share.value)} of the variance of its answers is kept{beside}: {told} ({chance})."
    return Check.info(kind, share, sentence, covers=f"{_covers(model)}, {model.sizes['draw']} surrogates each")


def _one(model: Dataset, kind: str, place: int) -> str:
    """'Omega_m 43 %, moved by 0.49 (4.2 of its standard deviations), correlation with the truth 0.66 instead of 0.95'."""
    answer, made = model.answer.values[:, place], model.made.sel(kind=kind).values[..., place]
    moved = float(made.mean() - answer.mean())
    kept = probe.surrogates.correlation(*probe.surrogates.rows_of(model, kind))[place]
    unit, reverse = str(model.unit.values[place]), " in reverse" if kept < 0 else ""
    told = f"{model.target.values[place]!s} {percent(float(kept) ** 2)}{reverse}, moved by {moved:+.2g} {unit}".rstrip()
    told += f" ({moved / answer.std():+.2g} of their standard deviation)"
    if not probe.surrogates.with_truth(model)[place]:
        return told
    with_truth = probe.surrogates.correlation(*probe.surrogates.rows_of(model, kind, "truth"))[place]
    return f"{told}, correlation with the truth {with_truth:.2f} instead of {probe.surrogates.correlation_as_is(model)[place]:.2f}"
