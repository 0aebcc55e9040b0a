"""The probe `mutual_information`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import lazy_loader as lazy

import probe
from probe.contract import Check, Measured, Panel, Probe, Subject, judgement, measurement
from probe.errors import InputError
from probe.information import pictures
from probe.information.table import APART, LISTED, NATS, Table
from probe.intervals import Interval
from probe.parameters import nearest

if TYPE_CHECKING:
    from numpy import ndarray
    from xarray import Dataset

    from probe.information.tabulate import Asked, Target
    from probe.latents import Latents

np = lazy.load("numpy")

THINNED = 5  # points of a curve that gmm-mi is asked about at default effort


class MutualInformation(Probe):
    """What does each latent variable know?

    Mutual information I(z; y) of each latent variable z with each physical quantity y beside the samples: single ones, classes,
    and curves along a coordinate (a profile in radius, a history in time), point by point. It is zero where they are independent,
    whatever the relation, and does not change when either is mapped one to one; of two Gaussian variables it is -1/2 ln(1 -
    rho^2). Where there are no quantities beside the samples, or on request, those of the input fields are taken: moments, power
    in bands, and in spheres the spread, the highest peak and the tides about it.

    z is one draw mu + sigma eps from each sample's distribution, not its mean. A dead latent variable's mean hardly moves, but by
    its ranks it can know everything (1.6 nats were seen), while the network is given the draw, which knows nothing.

    Two estimators stand beside one another. gmm-mi fits Gaussian mixtures and has its error from bootstrap; by default each
    marginal is made Gaussian first, from its ranks, since raw scales and heavy tails bias it; published figures were made raw,
    and so are ours with `marginals=raw`. Nearest neighbours (Kraskov et al. 2004, Ross 2014, by scikit-learn) have their error
    from the scatter of parts of the samples, and their null from permutation; which pairs carry information at all is told by
    that null, with at most `false_discoveries` of them false (Benjamini & Hochberg 1995). Mixtures come out too low where a
    relation is bent, which bootstrap does not see: where one needed several components, its distance from the neighbours is added
    to its error. Class sizes may differ. gmm-mi takes seconds to minutes a pair: its answers are kept in the user's cache folder
    (~/.cache/fieldprobe); `--effort quick` leaves it out, the default asks it about at most five points of each curve, `full`
    about all, and about pairs of latent variables. A control is put to neighbours alone.

    How to read it: a row of the matrix is what one latent variable knows, a column who knows of one quantity. Disentangled
    variables have one bright cell in each row and column, and know nothing of one another. In the curves, what lies within the
    grey null is not told from nothing; filled points are gmm-mi, open ones neighbours: where they part, believe neither.

    A factor that must be known (`factors`) and is not: too narrow a bottleneck, too strong a prior, or a quantity that the task
    did not need. An active latent variable that knows nothing of any quantity holds something that nobody named. The bound is the
    information of a variable that explains a tenth of the variance of a Gaussian one, 0.053 nats, a convention. Information in a
    draw can never pass that of the draw about the input, at most ln(spread of all draws) - <ln sigma>: what does was not drawn,
    or sigma is none.
    """

    suite, version, needs_network = "representation", 2, False
    checks = (
        "factors_known", "pairs_known", "latents_informative", "within_capacity", "estimators_agree",
        "between_latents", "information_gap", "modularity",
    )  # fmt: skip
    controls = ("untrained",)
    references = (
        "D. Piras et al. (2023), MLST 4, 025006, arXiv:2211.00024: GMM-MI.",
        "L. Lucie-Smith et al. (2022), PRD 105, 103533, arXiv:2203.08827: latent variables of halo profiles.",
        "A. Kraskov, H. Stögbauer & P. Grassberger (2004), PRE 69, 066138: nearest neighbours.",
        "B. C. Ross (2014), PLoS ONE 9, e87357: nearest neighbours of classes.",
        "C. M. Holmes & I. Nemenman (2019), PRE 100, 022404: the error of such estimates.",
        "Y. Benjamini & Y. Hochberg (1995), JRSS B 57, 289: false discoveries.",
        "R. T. Q. Chen et al. (2018), arXiv:1802.04942, eq. 6: mutual information gap.",
        "K. Ridgeway & M. C. Mozer (2018), arXiv:1802.05312, sec. 3: modularity.",
    )

    estimator = measurement("both", "what estimates: gmm-mi and neighbours, or these alone", choices=("both", "neighbours"))
    draws = measurement(True, "take a draw from each latent variable's distribution, not its mean")
    draw_seed = measurement(None, "seed of the draws, numpy's default_rng; of the run's without", like=42, low=0, high=2**62)
    marginals = measurement("gaussian", "what gmm-mi fits: normal scores of ranks, or raw values", choices=("gaussian", "raw"))
    of_fields = measurement(False, "quantities of the input fields too, though others are given")
    points = measurement(None, "points of each curve that gmm-mi is asked about; by effort without", like=5, low=1, high=10**6)
    threshold_fit = measurement(1e-5, "gmm-mi: change of the log-likelihood at which a fit ends", low=1e-12, high=1.0)
    reg_covar = measurement(1e-15, "gmm-mi: added to the variances of a mixture", low=0.0, high=1.0)
    n_inits = measurement(3, "gmm-mi: starts of each fit", low=1, high=100)
    n_folds = measurement(2, "gmm-mi: folds of the cross-validation", low=2, high=20)
    n_bootstrap = measurement(50, "gmm-mi: bootstrap samples", low=2, high=10_000)
    mc_samples = measurement(100_000, "gmm-mi: points of the integral", low=1000, high=10**8)
    neighbours = measurement(3, "which nearest neighbour is looked for", low=1, high=100)
    permutations = measurement(1000, "permuted samples of the null; at least 20 for each pair", low=100, high=10**6)
    workers = measurement(0, "processes for gmm-mi; 0: one for each core", low=0, high=1024)
    factors = judgement((), "quantities that must be known; none without", like=("name",))
    least = judgement(
        0.0527, "information that counts: -1/2 ln(1 - 0.1), a tenth of a Gaussian's variance", unit="nat", low=0.0, high=100.0
    )
    false_discoveries = judgement(
        0.05, "share of false ones among the pairs that are said to carry information", low=1e-6, high=0.5
    )
    unit = judgement("nat", "unit of information", choices=("nat", "bit"))

    def applies(self, subject: Subject) -> str:
        if reason := probe.latents.no_latents(subject):
            return reason
        if subject.pairs is None and not probe.latents.known(subject):
            return "it needs quantities beside the recorded latent variables, no mere names: write quantities = ... in [data]"
        where = subject.description.representation
        count = len(probe.latents.latents_of(subject).mean) if where.mean else len(subject.pairs or ())
        least = probe.information.columns.LEAST
        return f"it needs {least} samples, and hundreds to be of use; the data hold {count}" if count < least else ""

    def measure(self, subject: Subject) -> Dataset:
        found = probe.latents.latents_of(subject)
        every = self._targets(subject)
        drawn, refused = self._drawn(subject, found), self._refused(subject)
        asked = self._asked(subject, not refused, len(every) * drawn.shape[1])
        advance = self._announced(subject, drawn, every, asked)
        data = probe.information.tabulate.measured(drawn, found.names, every, asked, advance)
        capacity = probe.information.tabulate.capacity(found.mean, found.std)
        about = {
            "source": found.source,
            "drawn": int(self.draws and found.std is not None),
            "has_spread": int(found.std is not None),
            "refused": refused,
            "marginals": self.marginals,
            "samples": len(drawn),
            "guessed": "; ".join(subject.description.guessed),
        }
        return data.assign(capacity=("latent", capacity, {"units": "nat"})).assign_attrs(about)

    def _announced(self, subject: Subject, drawn: ndarray, every: list[Target], asked: Asked) -> Callable[[int], None]:
        """Says how many estimates by gmm-mi there will be and how long all takes; gives what is told of those done."""
        given = list(probe.information.tabulate.tasks(drawn, every, asked).values())
        low, high = probe.information.lasts(len(drawn), asked.settings)
        count, latents = drawn.shape
        pairs = latents * len(every) + latents * (latents - 1) // 2
        lasting = probe.information.seconds(given, self.workers)
        lasting += probe.information.neighbours.seconds(count, pairs, asked.permutations)
        return subject.expect(len(given), lasting, f"estimates of mutual information, each {low:.2g} to {high:.2g} s of a core")

    def _targets(self, subject: Subject) -> list[Target]:
        known = probe.latents.known(subject)
        if self.of_fields or not known:
            known = [*known, *probe.summaries.of_inputs(subject)]
        return probe.information.tabulate.targets(known)

    def _drawn(self, subject: Subject, found: Latents) -> ndarray:
        """Each latent variable's samples: (sample, latent)."""
        if found.std is None or not self.draws:
            return found.mean
        return found.draw(subject.rng("draw").initial_seed() if self.draw_seed is None else self.draw_seed)

    def _refused(self, subject: Subject) -> str:
        """Why gmm-mi is not asked; empty where it is."""
        if subject.name not in ("model", "rehearsal"):
            return "a control is put to nearest neighbours alone"
        if self.estimator == "neighbours" or subject.effort == "quick":
            return "nearest neighbours alone were asked for"
        return str(probe.information.mixture.refusal())

    def _asked(self, subject: Subject, mixtures: bool, pairs: int) -> Asked:
        names = ("threshold_fit", "reg_covar", "n_inits", "n_folds", "n_bootstrap")
        values = {name: getattr(self, name) for name in names} | {"MC_samples": self.mc_samples}
        settings = probe.information.mixture.Settings(self.marginals == "gaussian", **values)
        full = subject.effort == "full"
        points = self.points or (None if full else THINNED)
        # So that one true pair alone can be told at a false discovery rate of 5 %.
        permutations = max(self.permutations, 20 * pairs)
        return probe.information.tabulate.Asked(mixtures, points, full, settings, self.neighbours, permutations, self.workers)

    def judge(self, measured: Measured) -> list[Check]:
        model = measured["model"]
        table = Table(model, self.false_discoveries, self.unit)
        if not model.sizes["target"]:
            return [Check.not_applicable("pairs_known", "there is no quantity to know; write quantities = ... in [data]")]
        if table.silent.all():
            nothing = f"no latent variable can be judged{table.nothing_in}"
            return [Check.not_applicable("pairs_known", nothing), *_between(table, self.false_discoveries)]
        checks = [self._factors_known(table)] if self.factors else []
        checks += [_pairs_known(table), self._informative(table), self._within_capacity(table), _agreement(table)]
        return [*checks, *_between(table, self.false_discoveries), *self._disentanglement(table)]

    @property
    def _bound(self) -> float:
        """`least` in the unit of judgement."""
        return float(self.least) / NATS[self.unit]

    def _factors_known(self, table: Table) -> Check:
        """The factor that is known least, by the variable that knows most of it."""
        best = {name: place for name in self.factors if (place := table.best_of_quantity(name))}
        for name in self.factors:
            if name not in best:
                there = dict.fromkeys(table.what_is)
                raise InputError(
                    f"there is no quantity {name!r}{nearest(name, there)} to be a factor; there are {', '.join(there)}"
                )
        best = {name: place for name, place in best.items() if not table.silent[place[1]]}
        if not best:
            return Check.not_applicable("factors_known", f"of the factors {', '.join(self.factors)}{table.nothing_in}")
        worst = min(best, key=lambda name: table.value[best[name]])
        told = "; ".join(f"{name} by {table.who(best[name])}: {table.told(best[name])}" for name in best)
        sentence = (
            f"Of {len(best)} factors, {worst} is known least, {table.told(best[worst])}. Best known: {told}{table.nothing_in}."
        )
        return self._judged("factors_known", table, table.interval(best[worst]), sentence)

    def _judged(self, name: str, table: Table, found: Interval, sentence: str) -> Check:
        source = f"{self.least:g} nats, what a variable knows that explains a tenth of a Gaussian's variance: a convention"
        return Check.judged(name, found, (self._bound, None), sentence, bound_from=source, unit=self.unit, covers=table.covers)

    def _informative(self, table: Table) -> Check:
        """The active latent variable that knows least, of what it knows most of."""
        name, capacity = "latents_informative", table.data.capacity.values
        active = [i for i in range(len(capacity)) if not capacity[i] < self.least]
        if not active:
            return Check.info(name, 0.0, f"No latent variable is active: none can know {table.amount(self._bound)} of its input.")
        best = {i: table.best_of_latent(i) for i in active}
        worst = min(active, key=lambda i: table.value[best[i]])
        dead = [table.names[i] for i in range(len(capacity)) if i not in active]
        sentence = (
            f"Of {len(active)} {'active ' * table.data.attrs['has_spread']}latent variables {table.names[worst]} knows least: of "
            f"{table.what(best[worst])} {table.told(best[worst])}" + (f"; {', '.join(dead)} cannot know anything." if dead else ".")
        )
        if table.data.attrs["has_spread"]:
            return self._judged(name, table, table.interval(best[worst]), sentence)
        return Check.info(name, table.interval(best[worst]), sentence, unit=self.unit, covers=table.covers)

    def _within_capacity(self, table: Table) -> Check:
        """How many pairs seem to hold more information than a draw can, beyond their errors."""
        name, capacity = "within_capacity", table.data.capacity.values / NATS[self.unit]
        if not table.data.attrs["has_spread"]:
            return Check.not_applicable(name, f"there is no spread to draw from: {table.data.attrs['source']}")
        beyond = [(i, j) for i, j in np.ndindex(table.value.shape) if table.interval((i, j)).low > capacity[i] + self._bound]
        worst = divmod(int(np.argmax(table.value - capacity[:, None])), table.value.shape[1])
        how = "A draw" if table.data.attrs["drawn"] else "The mean, not a draw,"
        sentence = (
            f"{how} of {table.who(worst)} seems to know {table.told(worst)} of {table.what(worst)}, where a draw can know "
            f"{table.amount(float(capacity[worst[0]]))} of anything: {len(beyond)} of {table.value.size} pairs are beyond that."
        )
        source = (
            f"information cannot be made (data processing): at most ln(spread) - <ln sigma>, and {self.least:g} nats for rounding"
        )
        return Check.judged(name, len(beyond), (None, 0), sentence, bound_from=source, covers=table.covers)

    def _disentanglement(self, table: Table) -> list[Check]:
        """Over single quantities: of those declared as factors, else of all."""
        single = np.flatnonzero(~table.silent & np.array([not along for along in table.along]))
        places = [i for i in single if not self.factors or table.what_is[i] in self.factors]
        told = table.significant[:, places].any(1)
        if not told.any() or len(places) < 2:
            return []
        held = np.where(table.significant, table.value, 0.0)[np.ix_(told, places)]
        entropies = table.data.entropy.values[places] / NATS[self.unit]
        room, words = probe.information.disentanglement, ", ".join(table.what_is[i] for i in places)
        gap, modular = room.information_gap(held, entropies), room.modularity(held)
        return [
            Check.info(
                "information_gap",
                gap,
                f"Of {words}, the latent variable that knows most leads the second by {gap:.2g} of the factor's entropy on average "
                f"(numbers: of {room.BINS} equally filled bins).",
            ),
            Check.info(
                "modularity", modular, f"Of {words}, modularity is {modular:.2g}: 1 where each variable knows of one alone."
            ),
        ]

    def draw(self, measured: Measured) -> list[Panel]:
        model = measured["model"]
        if not model.sizes["target"]:
            return []
        table = Table(model, self.false_discoveries, self.unit)
        single = [i for i, along in enumerate(table.along) if not along]
        curves = dict.fromkeys(what for what, along in zip(table.what_is, table.along, strict=True) if along)
        panels = [pictures.of_single(table, single)] if single else []
        panels += [pictures.of_curve(table, name) for name in curves]
        between = Table(model, self.false_discoveries, self.unit, "between_")
        return [*panels, pictures.of_latents(between)] if len(table.names) > 1 else panels


def _pairs_known(table: Table) -> Check:
    """Which pairs carry information."""
    names: dict[str, list[str]] = {who: [] for who in table.names}
    for latent, target in zip(*np.nonzero(table.significant), strict=True):
        names[table.names[latent]].append(table.what_is[target])
    said = {who: ", ".join(dict.fromkeys(what)) or "nothing" for who, what in names.items()}
    if len(said) > LISTED:
        said = {who: what for who, what in said.items() if names[who]} | {"the others": "nothing"}
    told = "; ".join(f"{who} of {what}" for who, what in said.items())
    count, total = int(table.significant.sum()), table.significant.size
    sentence = f"{count} of {total} pairs carry information: {told}{table.nothing_in}."
    return Check.info("pairs_known", float(count), sentence, covers=table.covers)


def _agreement(table: Table) -> Check:
    """How many pairs the two estimators contradict one another about: which of them is off nobody knows."""
    if not table.asked.any():
        why = table.data.attrs["refused"] or "gmm-mi could fit no mixture to any pair that it was asked about"
        return Check.not_applicable("estimators_agree", f"{why}: there is one estimate of each pair")
    where = [(int(i), int(j)) for i, j in np.argwhere(table.apart > APART)]
    failed = int(table.data.attrs["failed"])
    told = "; ".join(f"{table.who(place)} of {table.what(place)}: {table.told(place)}" for place in where[:5])
    sentence = (
        f"gmm-mi and nearest neighbours are more than {APART:g} errors apart in {len(where)} of {int(table.asked.sum())} pairs"
        + (f": {told}{'; ...' if len(where) > 5 else ''}." if where else ".")
        + (f" In {failed} more gmm-mi could fit no mixture." if failed else "")
    )
    return Check.judged(
        "estimators_agree", Interval(len(where), 0, len(where)), (None, 0), sentence, bound_from="none may be",
        covers=table.covers,
    )  # fmt: skip


def _between(table: Table, rate: float) -> list[Check]:
    """The two latent variables that know most of one another."""
    if len(table.names) < 2:
        return []
    other = Table(table.data, rate, table.unit, "between_")
    first, second = divmod(int(np.nanargmax(other.value)), len(other.names))
    place = (first, second)
    word = "" if other.significant[place] else ", not told from nothing"
    sentence = f"Most of one another know {other.who(place)} and {other.what(place)}: {other.told(place)}{word}."
    return [Check.info("between_latents", other.interval(place), sentence, unit=table.unit, covers=table.covers)]
