"""The probe `one_point`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import lazy_loader as lazy

import probe
from probe.contract import Check, Measured, Panel, Probe, Subject, judgement, measurement, percent
from probe.intervals import PRECEDENCE, verdict_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy import ndarray
    from xarray import Dataset

    from probe.intervals import Interval

np = lazy.load("numpy")

LEVELS = (0.001, 0.01, 0.99, 0.999)
BEYOND = 10  # values that must lie beyond a quantile for it to be told
OTHERS = {
    "linear_filter": "the best linear filter of the input",
    "lpt2_filter": "the best linear filter of 2LPT",
    "lpt2": "2LPT",
    "identity": "the input itself",
    "untrained": "the untrained twin",
}


class OnePoint(Probe):
    """Does it get the distribution right?

    The values of the model's answers to held-out inputs, wherever they stand, are compared with those of the truth: as they are and
    smoothed by Gaussians of 2, 4 and 8 cells (of the widest spacing; radii above a quarter of the box are left out). A vector's
    components are taken together where no direction is preferred, one by one elsewhere; of a displacement in a periodic box its
    overdensity -div psi is looked at as well. At walls the smoothing sees the field mirrored.

    Each field is counted in 512 bins that are fitted to the truths and shared by all; what falls outside is counted too. The
    densities are Gaussian kernel density estimates of Silverman's bandwidth in u = asinh((x - median)/scale), in which tails are
    short; KL(truth || prediction) is the same in u as in x. It is measured simulation by simulation. The kernel makes it fall
    short by a share of about 3 (b/sigma)^2, which is 3 % for 10^5 values and a third for 100; an answer that is the truth has
    exactly zero. Moments are averages over simulations of each simulation's own.

    The null is the divergence of each truth from all other truths together: a KDE's KL of two finite samples is never zero, and
    large waves differ from box to box. Simulations are resampled (jackknife with Student's t below twenty, bootstrap beyond), never
    voxels, which are not independent; a single simulation decides nothing.

    How to read it: in the first figures the model should follow the truth into both tails; the ratio below should stay within the
    band that single truths span. In the second the model should lie below the null. A ratio that falls on both sides is a
    distribution too narrow: it regressed to the mean, as the best linear filter must. One tail alone is clipped or saturated, a
    slope is a bias, and wrong skewness with the right variance is a missing coupling of modes.

    The bound is the null and a tolerance on top. The null is lenient where boxes differ much, as on large scales: prediction and
    truth come from one input, and a good model lies far below it. It alone is out of any network's reach where all boxes are
    alike to parts in thousands, as -div psi cell by cell; so that of a Gaussian whose variance is 10 % too small is allowed
    besides, 0.0029 nats. That is a convention that nothing measured sets: a wave's amplitude may be off by 5 %, as elsewhere in the
    suite, and so its power by 10 %. Every control is measured
    alike, and the ratio to each is told, simulation by simulation, with whether it tells the two apart: the best linear filter's
    is the one to beat. Two sets of features are compared in this way too: what adds nothing is "no better".
    """

    suite, version = "statistics", 1
    checks = (
        "kl_divergence",
        "mean",
        "variance",
        "skewness",
        "kurtosis",
        "tails",
        *(f"against_{name}" for name in OTHERS),
        "against_rivals",
    )
    controls = ("identity", "lpt2", "linear_filter", "lpt2_filter", "untrained", "rivals")
    references = (
        "L. Lucie-Smith, H. Peiris & A. Pontzen (2019), MNRAS 490, 331, arXiv:1906.06339: KL divergence of predictions by KDE.",
        "B. W. Silverman (1986), Density Estimation, eq. 3.28.",
        "M. P. Wand, J. S. Marron & D. Ruppert (1991), JASA 86, 343: density estimates in transformed variables.",
        "T. M. Cover & J. A. Thomas (2006), Elements of Information Theory, sec. 2.8.",
    )

    output = measurement("", "the output quantity looked at; the first field by default")
    scales = measurement((0.0, 2.0, 4.0, 8.0), "standard deviations of the Gaussian smoothing", unit="cells", low=0.0, high=1e4)
    bound = judgement(1.0, "largest KL divergence over what is allowed, the null and the tolerance", low=0.0, high=1e6)
    tolerance = judgement(0.1, "error of a Gaussian's variance whose KL divergence is allowed besides", low=0.0, high=0.9)

    def applies(self, subject: Subject) -> str:
        if subject.pairs is None:
            return "it needs pairs of input and truth: give --data, or a [data] table in the description"
        quantity, box = probe.scalars.asked(subject, self.output), subject.grid.box
        if quantity.is_number:
            word = f"the output {quantity.name!r} is a number, one a simulation, which has no distribution over points"
            return f"{word}; set one_point.output to a field, if there is one"
        room = probe.histograms.radii(self.scales, subject.grid)
        return "" if room else f"every smoothing scale is above a quarter of the box {box}; set one_point.scales smaller"

    def measure(self, subject: Subject) -> Dataset:
        return probe.histograms.counted(subject, probe.scalars.asked(subject, self.output), self.scales)

    def judge(self, measured: Measured) -> list[Check]:
        model = measured["model"]
        if not probe.histograms.places(model):
            return [Check.not_applicable("kl_divergence", "the truth has the same value everywhere: there is no distribution")]
        worst, headline = self._against_null(model)
        rest = [_moment(model, *words) for words in _MOMENTS] + _tails(model)
        return [
            headline,
            *rest,
            *(_against(measured, name, worst) for name in OTHERS if name in measured),
            *_rivals(measured, worst),
        ]

    def _allowed(self, model: Dataset) -> ndarray:
        """The largest KL divergence: (view, scale) [nats]; of a single truth nothing but the tolerance is known.

        A prediction that is another realisation of a distribution a little off is, to second order, as far away as both together.
        """
        null = np.nan_to_num(model.null.values).mean(0)
        allowed: ndarray = self.bound * (null + probe.distribution.gaussian_kl(self.tolerance))
        return allowed

    def _against_null(self, model: Dataset) -> tuple[tuple[int, int], Check]:
        """Where it is decided, and the check: what fails first, then what is undecided, then the largest share of its bound."""
        allowed, places = self._allowed(model), probe.histograms.places(model)
        found = {place: _positive(probe.intervals.of_mean(model.kl.values[:, *place])) for place in places}
        rank = {place: PRECEDENCE.index(verdict_of(kl, (None, float(allowed[place])))) for place, kl in found.items()}
        share = {place: kl.value / max(float(allowed[place]), probe.distribution.LEAST) for place, kl in found.items()}
        worst = min(places, key=lambda place: (rank[place], -share[place]))
        kl, limit, null = found[worst], float(allowed[worst]), float(model.null.values[:, *worst].mean())
        apart = f"a truth is {null:.3g} from independent ones" if np.isfinite(null) else "no second truth is known"
        skipped = str(model.attrs["skipped"])
        walls = "" if model.attrs["boundary"] == "periodic" else "; for smoothing, fields are mirrored at the walls"
        sentence = (
            f"The distribution of {probe.histograms.where(model, *worst)} is {kl.value:.3g} nats from the truth's, where {apart}: "
            f"{share[worst]:.2g} times what is allowed, {_nearest(len(places))}"
            + (f" ({skipped} cells are above a quarter of the box)" if skipped else "")
            + f"{walls}."
        )
        source = (
            f"{f'{self.bound:g} times ' if self.bound != 1 else ''}the null, KL divergence of a truth from those of independent "
            f"simulations, with that of a Gaussian {percent(self.tolerance)} too small in variance, a convention"
        )
        covers, bounds = f"{model.sizes['simulation']} simulations", (None, limit)
        return worst, Check.judged("kl_divergence", kl, bounds, sentence, bound_from=source, unit="nat", covers=covers)

    def draw(self, measured: Measured) -> list[Panel]:
        if not probe.histograms.places(measured["model"]):
            return []
        panels = probe.panels
        return [
            panels.densities_panel(measured),
            panels.divergences_panel(measured, self._allowed(measured["model"])),
            panels.moments_panel(measured),
        ]


def _nearest(count: int) -> str:
    return f"nearest to the bound of {count} views and radii" if count > 1 else "in the one view and radius that there is"


def _positive(found: Interval) -> Interval:
    """An interval of something of which nothing lies below zero."""
    return replace(found, low=max(0.0, found.low))


# Name; what it is of prediction and truth, (..., 4) each as of `shape`; where it would be right; in words.
_MOMENTS: tuple[tuple[str, Callable[[ndarray, ndarray], ndarray], float, str], ...] = (
    ("mean", lambda a, b: (a[..., 0] - b[..., 0]) / np.sqrt(b[..., 1]), 0.0, "off the truth's by {} of its standard deviation"),
    ("variance", lambda a, b: a[..., 1] / b[..., 1], 1.0, "{} times the truth's"),
    ("skewness", lambda a, b: a[..., 2] - b[..., 2], 0.0, "off the truth's by {}"),
    ("kurtosis", lambda a, b: a[..., 3] - b[..., 3], 0.0, "off the truth's by {}"),
)


def _moment(model: Dataset, name: str, statistic: Callable[[ndarray, ndarray], ndarray], right: float, words: str) -> Check:
    """One moment where it is farthest from right, with its interval over simulations."""
    both = np.stack([model.moments.values, model.true_moments.values], 1)

    def of(rows: ndarray) -> ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            return statistic(*(probe.distribution.shape(side) for side in rows.mean(0)))

    off = np.abs(of(both) - right)
    worst = max(probe.histograms.places(model), key=lambda place: np.nan_to_num(off[place], nan=np.inf))
    found = probe.intervals.of_samples(both, lambda rows: of(rows)[worst])
    label = "excess kurtosis" if name == "kurtosis" else name
    if not np.isfinite(found.value):
        where = probe.histograms.where(model, *worst)
        return Check.not_applicable(name, f"{where} of the answers has the same value everywhere, and so no {label}")
    told = words.format(f"{found.value:.3g}")
    sentence = f"The {label} of {probe.histograms.where(model, *worst)} is {told}, the farthest of all."
    return Check.info(name, found, sentence, covers=f"{model.sizes['simulation']} simulations")


def _tails(model: Dataset) -> list[Check]:
    """Distance of the outer quantiles from the truth's median over that of the truth's own, where it is farthest from 1."""
    both = np.stack([model.counts.values, model.true_counts.values], 1)
    levels = [level for level in LEVELS if min(level, 1 - level) * both[:, 1].sum((0, -1)).max() >= BEYOND]

    def of(rows: ndarray, view: int, scale: int) -> ndarray:
        edges = model.edges.values[view, scale]
        own, true = (probe.distribution.quantiles(side, edges, [0.5, *levels]) for side in rows[:, :, view, scale].sum(0))
        ratio: ndarray = (own[1:] - true[0]) / (true[1:] - true[0])
        return ratio

    found = {(*place, i): value for place in probe.histograms.places(model) for i, value in enumerate(of(both, *place))}
    if not found:
        return []
    *place, level = max(found, key=lambda key: abs(found[key] - 1))
    ratio = probe.intervals.of_samples(both, lambda rows: of(rows, *place)[level])
    sentence = (
        f"The quantile at {100 * levels[level]:g} % of {probe.histograms.where(model, *place)} lies {ratio.value:.3g} times as far "
        "from the truth's median as the truth's own, the farthest of all."
    )
    return [Check.info("tails", ratio, sentence, covers=f"{model.sizes['simulation']} simulations")]


def _against(measured: Measured, name: str, worst: tuple[int, int]) -> Check:
    """The KL divergence beside a control's, where the headline decides; how many of all views and radii it does better at."""
    model, other = measured["model"], measured[name]
    places = probe.histograms.places(model)
    found = {p: probe.distribution.compared(model.kl.values[:, *p], other.kl.values[:, *p]) for p in places}
    (ratio, word), words = found[worst], [word for _, word in found.values()]
    own, its = (float(data.kl.values[:, *worst].mean()) for data in (model, other))
    count, beside = model.sizes["simulation"], f"{ratio.value:.2g} times that of {OTHERS[name]}"
    sentence = f"The KL divergence of {probe.histograms.where(model, *worst)} is {beside}"
    if count == 1:
        sentence += f" ({own:.3g} and {its:.3g} nats); which is better, one simulation does not tell."
    else:
        sentence += (
            f" simulation by simulation ({ratio.low:.2g} to {ratio.high:.2g}): {word} ({own:.3g} and {its:.3g} nats on average). "
            f"It is better in {words.count('better')} and worse in {words.count('worse')} of {len(words)} views and radii."
        )
    covers = f"{count} simulations, the same for both"
    return Check.info(f"against_{name}", ratio, sentence, covers=covers)


def _rivals(measured: Measured, worst: tuple[int, int]) -> list[Check]:
    """The KL divergence beside every rival's, where the headline decides."""
    own, where = measured["model"].kl.values[:, *worst], probe.histograms.where(measured["model"], *worst)
    return probe.rivals.against(
        measured, lambda other: probe.distribution.compared(own, other.kl.values[:, *worst])[0], f"KL divergence of {where}"
    )
