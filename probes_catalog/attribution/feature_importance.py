"""The probe `feature_importance`."""

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

    from probe.fields import Quantity
    from probe.intervals import Interval
    from probe.trees.pictures import Drawn

np = lazy.load("numpy")

POINTS = {"quick": 500, "default": 2000, "full": 8000}
SIMULATIONS = {"quick": 4, "default": 4, "full": 16}
SCALES = {"quick": 12, "default": 50, "full": 50}


class FeatureImportance(Probe):
    """Which physics predicts the output?

    The experiment of Lucie-Smith et al. (2018, 2019), on fields. At random points of every input its density contrast (of a vector
    -div, which of a displacement is the overdensity) is averaged over spheres of 50 mass scales, from one cell to a quarter of the
    box's side, and so is the tidal shear: ellipticity t1 - t3 and prolateness 3 (t1 + t3) of its eigenvalues. Gradient-boosted
    trees learn to predict from these 150 features what the model gives at the same point: a scalar as it is, a vector by -div.
    Where input and output are of one kind it is what the model adds to the input (times the growth), since what a skip
    connection hands through is predicted by itself.

    The same trees are asked of the truth, at the same points, from the same features: they say which physics the answer depends
    on, and whether the model's answer depends on the same. Trees are grown on one simulation and asked about all others, each
    in turn. A feature's impurity importance is its share of the fall of squared error in training (scikit-learn's
    GradientBoostingRegressor; its histogram-based sister has none). Permutation importance is how much worse the prediction
    on the others gets when a group is exchanged among the points. A group is the density, or the shear, in spheres of one
    octave of radii: neighbouring scales say nearly the same, and one alone is made up for by the next.

    How to read it: in the first figures the model's importance should follow the truth's. In the last, what density leaves
    unexplained and the shear explains is tidal physics: gravity's second order is a third of the square of the density less half
    the square of the shear, and a model which does not see it has coupled modes without regard to their angle. "Adding the shear
    does not improve" is what Lucie-Smith et al. found of halo masses; it is told by the squared error and, as there, by the KL
    divergence of predicted and true distribution. Importances say what suffices for a prediction, not what a network looks at,
    and little where `explained` is near zero: then the answer hangs on what spheres about the point do not hold.

    What is judged is the share of the model's importance that stands elsewhere than the truth's: half the sum over groups of
    the differences of two profiles of sum 1. Its bound is what a truth's profile differs by from those of other simulations, and
    a tenth besides, a convention. The size of the answer does not enter: `transfer` and `amplitude` ask for that. Where adding the
    shear improves the prediction of the truth, it is to improve that of the model by at least half as much of its variance.
    """

    suite, version = "attribution", 2
    checks = ("same_physics", "tidal", "adding_shear", "adding_shear_kl", "explained", "scale")
    controls = ("lpt2", "untrained")
    references = (
        "L. Lucie-Smith, H. Peiris, A. Pontzen & M. Lochner (2018), MNRAS 479, 3405, arXiv:1802.04271.",
        "L. Lucie-Smith, H. Peiris & A. Pontzen (2019), MNRAS 490, 331, arXiv:1906.06339.",
        "J. H. Friedman (2001), Annals of Statistics 29, 1189: gradient-boosted trees.",
        "L. Breiman (2001), Machine Learning 45, 5: permutation importance.",
    )

    input = measurement("", "the input quantity that the features are made of; the first field by default")
    output = measurement("", "the output quantity that is predicted; the first field by default")
    target = measurement("", "what of it: the answer, or its change against the input", choices=("", "answer", "change"))
    scales = measurement(None, "radii of the spheres; by default 12, 50 or 50, by effort", like=50, low=2, high=1000)
    points = measurement(None, "points a simulation; by default 500, 2000 or 8000, by effort", like=2000, low=50, high=10**7)
    simulations = measurement(None, "simulations at most; by default 4, 4 or 16, by effort", like=4, low=2, high=10**4)
    lacking = judgement(0.5, "largest share of what the shear adds that the model may lack", low=0.0, high=10.0)
    tolerance = judgement(
        0.1, "share of the importance that may stand elsewhere besides the scatter of the truth's", low=0.0, high=1.0
    )

    def applies(self, subject: Subject) -> str:
        given, asked = self.quantities(subject)
        if asked.is_number or given.is_number:
            side, name = ("output", asked.name) if asked.is_number else ("input", given.name)
            return f"the {side} {name!r} is a number, which has no points; where there is a field, set feature_importance.{side}"
        if subject.grid.boundary != "periodic":
            return f"spheres reach beyond the walls of a box whose boundary is {subject.grid.boundary!r}"
        if subject.pairs is not None and len(subject.pairs) < 2:
            return "trees grown on one simulation are asked about the others; the data hold one alone: give more pairs"
        if self.target == "change" and not _alike(given, asked):
            return f"{asked.name!r} is not what {given.name!r} is, so there is no change; set feature_importance.target=answer"
        return ""

    def quantities(self, subject: Subject) -> tuple[Quantity, Quantity]:
        """The quantities that features are made of and that is predicted."""
        sides = (subject.description.inputs, self.input), (subject.description.outputs, self.output)
        given, asked = (every[probe.fields.place_of(every, name)] for every, name in sides)
        return given, asked

    def measure(self, subject: Subject) -> Dataset:
        given, asked = self.quantities(subject)
        changed = self.target != "answer" and _alike(given, asked)
        growth = subject.description.truth.growth_ratio if changed else 0.0
        radii = probe.spheres.scales(subject.grid, self.scales or SCALES[subject.effort])
        sampling = probe.trees.Sampling(self.input, self.output, radii, self.points or POINTS[subject.effort], growth)
        count = probe.equivariance.count_of_fields(subject, self.simulations or SIMULATIONS[subject.effort])
        data = probe.trees.measured(subject, sampling, count)
        what = f"-div {asked.name}" if asked.is_vector else asked.name
        said = f"the change of {what} against {given.name}" if changed else what
        return data.assign_attrs({"what": said, "masses": _masses(subject, radii)})

    def judge(self, measured: Measured) -> list[Check]:
        model, truth = measured["model"], _truth(measured)
        covers = f"{model.sizes['simulation']} simulations, trees grown on each and asked about each of the others"
        return [
            self._same(model, truth, covers),
            self._tidal(model, truth, covers),
            *_shear(model, truth, covers),
            _explained(model, truth, covers),
            _scale(model, truth, covers),
        ]

    def _same(self, model: Dataset, truth: Dataset | None, covers: str) -> Check:
        """Whether the importance stands where the truth's does."""
        if truth is None:
            return Check.not_applicable("same_physics", "it needs pairs of input and truth: give --data, or a [data] table")
        rows, means = probe.trees.between_simulations(model.permutation.values, truth.permutation.values)
        own, true = map(probe.trees.profile, means(rows))
        if not true.any():
            word = f"nothing about a point predicts {model.attrs['what']} of the truth"
            return Check.not_applicable("same_physics", f"{word}; another feature_importance.target may be predicted")
        found = probe.intervals.of_samples(
            rows, lambda kept: probe.trees.apart(*(probe.trees.profile(each).mean(0) for each in means(kept)))
        )
        found = replace(found, low=max(0.0, found.low))
        others = [np.delete(true, i, axis=0).mean(0) for i in range(len(true))]
        null = float(probe.trees.apart(true, np.stack(others)).mean())
        off = own.mean(0) - true.mean(0)
        place = int(np.abs(off).argmax())
        sentence = (
            f"{percent(found.value)} of what predicts {model.attrs['what']} stands elsewhere than in the truth, where single "
            f"simulations differ by {percent(null)}: most in {_told(model, place)}, which has {percent(own.mean(0)[place])} of the "
            f"importance instead of {percent(true.mean(0)[place])}."
        )
        source = f"the scatter of the truth's profile between simulations, and {percent(self.tolerance)} besides, a convention"
        return Check.judged("same_physics", found, (None, null + self.tolerance), sentence, bound_from=source, covers=covers)

    def _tidal(self, model: Dataset, truth: Dataset | None, covers: str) -> Check:
        """How much of what the shear adds to the prediction of the truth it does not add to that of the model."""
        if truth is None or model.sizes["set"] == 1:
            reason = "on a line there is no shear" if truth is not None else "it needs pairs of input and truth: give --data"
            return Check.not_applicable("tidal", reason)
        rows, gains = probe.trees.between_simulations(*(-np.diff(data.unexplained.values)[..., 0] for data in (model, truth)))
        needed = probe.intervals.of_samples(rows, lambda kept: gains(kept)[1].mean())
        if not needed.low > 0:
            word = f"adding the shear does not improve the prediction of {model.attrs['what']} of the truth"
            return Check.not_applicable(
                "tidal", f"{word} ({percent(needed.value)} of the variance, at least {percent(needed.low)})"
            )

        def share(kept: ndarray) -> ndarray:
            model_gain, needed_gain = (gain.mean() for gain in gains(kept))
            return 1 - model_gain / needed_gain

        lacking = probe.intervals.of_samples(rows, share)
        word = percent(lacking.value) if lacking.value > 0 else "nothing"
        sentence = (
            f"The shear explains {percent(needed.value)} of the variance of {model.attrs['what']} of the truth beyond the density, "
            f"and {percent(float(gains(rows)[0].mean()))} of the model's: the model lacks {word} of it."
        )
        source = "a convention: a model that does not see the shear lacks all of it"
        return Check.judged("tidal", lacking, (None, self.lacking), sentence, bound_from=source, covers=covers)

    def draw(self, measured: Measured) -> list[Panel]:
        drawn, room = _drawn(measured), probe.trees.pictures
        return [
            room.over_scales(measured["model"], drawn),
            room.by_group(measured["model"], drawn),
            room.adding_shear(measured["model"], drawn),
        ]


def _alike(given: Quantity, asked: Quantity) -> bool:
    return (given.kind, given.quantity, given.unit) == (asked.kind, asked.quantity, asked.unit)


def _masses(subject: Subject, radii: tuple[float, ...]) -> str:
    """'1e+11 to 2e+14 Msun/h', where the box has masses and the universe is known; else empty."""
    grid, omega_m = subject.grid, subject.description.truth.omega_m
    if grid.dimension != 3 or grid.unit != "Mpc/h" or omega_m is None:
        return ""
    least, most = (probe.spheres.mass(radius, grid, omega_m) for radius in (radii[0], radii[-1]))
    return f"{least:.1e} to {most:.1e} Msun/h"


def _truth(measured: Measured) -> Dataset | None:
    """What was found of the truths, under the names of what is found of a model."""
    data = measured.get("judged", measured["model"])
    names = [str(name) for name in data if str(name).startswith("true_")]
    return data[names].rename({name: name.removeprefix("true_") for name in names}) if names else None


def _told(model: Dataset, place: int) -> str:
    """'the density in spheres of 2.5 to 5 Mpc/h'."""
    word, radii = str(model.group.values[place]).split(", ")
    return f"the {word} in spheres of {radii} {model.radius.attrs['units']}"


def _shear(model: Dataset, truth: Dataset | None, covers: str) -> list[Check]:
    """Whether adding the shear improves the prediction: of the points one by one, and of their distribution."""
    found, words = [], {"adding_shear": ("unexplained", "squared error"), "adding_shear_kl": ("kl", "KL divergence from the truth")}
    for name, (variable, word) in words.items():
        if model.sizes["set"] == 1:
            found.append(Check.not_applicable(name, "on a line there is no shear"))
            continue
        ratio, verdict = _ratio(model, variable)
        does = {"better": "improves", "worse": "spoils", "no better": "does not improve"}[verdict]
        what = str(model.attrs["what"]) + (", as far as the simulations can tell" if verdict == "no better" else "")
        also = ""
        if truth is not None:
            its, said = _ratio(truth, variable)
            also = f"; of the truth {its.value:.3g} times: {said}"
        apart = float(model.null.mean())
        null = f" Independent simulations are {apart:.2g} nats apart." if variable == "kl" and np.isfinite(apart) else ""
        sentence = (
            f"Adding the shear {does} the prediction of {what}: with it the {word} is {ratio.value:.3g} times that "
            f"without ({ratio.low:.3g} to {ratio.high:.3g}){also}.{null}"
        )
        found.append(Check.info(name, ratio, sentence, covers=covers))
    return found


def _ratio(data: Dataset, variable: str) -> tuple[Interval, str]:
    """With the shear over without, simulation by simulation."""
    without, both = np.moveaxis(data[variable].values, -1, 0)
    return probe.trees.compared(without, both)


def _explained(model: Dataset, truth: Dataset | None, covers: str) -> Check:
    rows, left = probe.trees.between_simulations(model.unexplained.values[..., -1])
    share = probe.intervals.of_samples(rows, lambda kept: 1 - left(kept)[0].mean())
    also = "" if truth is None else f"; of the truth {percent(1 - float(truth.unexplained[..., -1].mean()))}"
    sentence = f"All features together explain {percent(share.value)} of the variance of {model.attrs['what']}{also}."
    return Check.info("explained", share, sentence, covers=covers)


def _scale(model: Dataset, truth: Dataset | None, covers: str) -> Check:
    """The radius about which the density's importance stands: the mean of its logarithm."""
    radius, unit = model.radius.values, str(model.radius.attrs["units"])

    def middle(rows: ndarray) -> ndarray:
        share = rows.mean(0) / max(float(rows.mean(0).sum()), 1e-300)
        return np.exp((share * np.log(radius)).sum())

    found = probe.intervals.of_samples(model.impurity.values[:, 0], middle)
    also = "" if truth is None else f"; of the truth about {float(middle(truth.impurity.values[:, 0])):.3g}"
    masses = f" (50 scales hold {model.attrs['masses']})" if model.attrs["masses"] else ""
    sentence = f"The density matters in spheres of about {found.value:.3g} {unit}{also}{masses}."
    return Check.info("scale", found, sentence.replace("50 scales", f"{len(radius)} scales"), unit=unit, covers=covers)


def _drawn(measured: Measured) -> Drawn:
    """The subjects with the looks of their lines: controls, the truth, the model last."""
    model, truth = measured["model"], _truth(measured)
    found = [
        (name, measured[name], probe.equivariance.look(name, model)) for name in FeatureImportance.controls if name in measured
    ]
    found += [] if truth is None else [("truth", truth, figures.style("truth"))]
    return [*found, ("model", model, figures.style("model"))]
