"""The probe `saliency`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader as lazy

import probe
from probe.contract import Check, Measured, Panel, Probe, Subject, judgement, measurement, percent

if TYPE_CHECKING:
    from xarray import Dataset

    from probe.attribution import Case, Found, Setting
    from probe.intervals import Interval
    from probe.targets import Target

np, xr = lazy.load("numpy"), lazy.load("xarray")

SAMPLES = {"quick": 2, "default": 4, "full": 16}


class Saliency(Probe):
    """Which part of the input did it use?

    A scalar of the answer, the target, is attributed to the cells of the input. By default it is the answer at a point in the
    middle of the box (of a displacement the overdensity there), or each number that the model gives; `targets` takes others:
    voxel(4, 5, 6), voxel(peak), region(4, 5, 6, radius=3), divergence, mean, power(3), error(3), number(Omega_m), latent(0).

    Methods: integrated_gradients and gradient by default; input_x_gradient, smoothgrad, gradient_shap, deep_lift, occlusion,
    feature_ablation. The first is the one that checks are about. Contributions say what the departure from the baseline (nothing,
    the mean of the data, or another sample; of gradient_shap all other samples) adds to the target; a gradient says how much the
    target would move. Where no gradient passes through the model, cells are occluded instead, and the reason is told.

    Maps are read physically, each number with its error over samples:

    - against the density of the input (of a displacement -div psi), in quantiles and at peaks and voids. A preference of 1 is none.
      Around a target at a place cells are compared with the mean at their distance from it, since what lies near counts more;
    - against the distance from the target, around a periodic box;
    - by |k| and by axis: the departure times the mean slope, mode by mode, adds up to the whole contribution (Parseval).

    Matilla et al. found a network that reads cosmology off weak-lensing maps to look at the regions of low convergence,
    Villanueva-Domingo and Villaescusa-Navarro one that looks at the bright regions of 21 cm maps. Neither is right or wrong: these
    are told, not judged, beside 2LPT and the untrained twin. A twin with the same preference says that the architecture, not the
    training, made it.

    Judged is completeness: contributions must add up to the difference between the answers to the sample and to the baseline. The
    error left is the quadrature's, which is refined until it is met; the bound is 1 % of the rms difference over the samples, a
    convention that the refinement aims at, or rounding where that is more. A map that misses it does not account for the answer:
    gradients that are cut on their way (detach, rounding, a lookup), or a function with jumps.

    How to read the figures: slices of the input's density and of each map through the target; the mean of |map| at each distance;
    shares by scale; preference by density, with error bars, and a line at 1 for none; what completeness leaves.
    """

    suite, version = "attribution", 2
    checks = ("density", "reach", "scales", "completeness", "gradients")
    controls = ("simulator", "identity", "lpt2", "untrained")
    references = (
        "J. M. Z. Matilla, M. Sharma, D. Hsu & Z. Haiman (2020), Phys. Rev. D 102, 123506, arXiv:2007.06529: low-convergence "
        "regions.",
        "P. Villanueva-Domingo & F. Villaescusa-Navarro (2021), ApJ 907, 44, arXiv:2006.14305: bright regions of 21 cm maps.",
        "M. Sundararajan, A. Taly & Q. Yan (2017), Axiomatic Attribution for Deep Networks, arXiv:1703.01365: completeness.",
        "N. Kokhlikyan et al. (2020), Captum, arXiv:2009.07896.",
    )

    targets = measurement(
        "",
        "scalars of the answer, such as voxel(4, 5, 6), power(3); chosen by what the answer is by default",
        check=lambda text: probe.targets.parse_all(text),
    )
    methods = measurement(
        None,
        "methods, the one that is judged first; two by default",
        like=("gradient",),
        check=lambda names: probe.attribution.check_methods(names),
    )
    baseline = measurement("mean", "what contributions are counted from", choices=("zero", "mean", "sample"))
    samples = measurement(None, "inputs; by default 2, 4 or 16, by effort", like=4, low=1, high=1000)
    steps = measurement(8, "nodes of the first quadrature of integrated gradients", low=1, high=10000)
    draws = measurement(8, "draws of SmoothGrad and GradientSHAP", low=1, high=10000)
    noise = measurement(0.1, "noise of SmoothGrad over each channel's scatter", low=0.0, high=10.0)
    window = measurement(
        None, "cells a side that are occluded at once; by default some 64 windows", like=4, unit="cells", low=1, high=4096
    )
    quantiles = measurement(5, "quantiles of density", low=2, high=100)
    bound = judgement(0.01, "largest error of completeness, relative to the rms difference", low=0.0, high=10.0)

    def applies(self, subject: Subject) -> str:
        if all(quantity.is_number for quantity in subject.description.inputs):
            return "its inputs are numbers, which have no places to look at"
        reasons = [probe.targets.unfit(subject, target) for target in self.asked(subject)]
        return next(filter(None, reasons), "")

    def asked(self, subject: Subject) -> tuple[Target, ...]:
        """The targets."""
        return probe.targets.parse_all(self.targets) or probe.targets.defaults(subject)

    def measure(self, subject: Subject) -> Dataset:
        targets, count, room = self.asked(subject), self._count(subject), probe.attribution
        methods, reason = room.usable_methods(self.methods, subject), room.no_methods(("gradient",), subject)
        attrs = probe.equivariance.facts(subject) | {"baseline": self.baseline, "reason": reason}
        differences = np.array([self._differences(subject, target, count) for target in targets])
        if not np.isfinite(differences).all():
            return xr.Dataset({"difference": (("target", "sample"), differences, {"units": ""})}, attrs=attrs)
        found = [
            [self._maps(subject, target, method, count, float(size)) for method in methods]
            for target, size in zip(targets, np.sqrt((differences**2).mean(1)), strict=True)
        ]
        return room.tabulate(subject, targets, methods, found).assign_attrs(attrs)

    def _maps(self, subject: Subject, target: Target, method: str, count: int, size: float) -> list[Found]:
        """One method's maps of all samples, read."""
        setting = self.setting(subject, size)
        cases = [self._case(target, method, sample, count, setting) for sample in range(count)]
        return subject.map(probe.attribution.ask, cases, passes=probe.attribution.cost(method, setting, subject.grid))

    def setting(self, subject: Subject, size: float) -> Setting:
        """How maps are made, for a target whose differences are of a size."""
        window = self.window or probe.attribution.default_window(subject.grid)
        tolerance = self.parameters()["bound"].default / 2
        return probe.attribution.Setting(self.steps, tolerance, size, self.draws, self.noise, window)

    def _case(self, target: Target, method: str, sample: int, count: int, setting: Setting) -> Case:
        return probe.attribution.Case(target, method, sample, count, self.baseline, setting, self.quantiles)

    def _differences(self, subject: Subject, target: Target, count: int) -> list[float]:
        cases = [self._case(target, "gradient", sample, count, probe.attribution.Setting()) for sample in range(count)]
        return subject.map(probe.attribution.difference, cases, passes=2)

    def _count(self, subject: Subject) -> int:
        return int(probe.equivariance.count_of_fields(subject, self.samples or SAMPLES[subject.effort]))

    def judge(self, measured: Measured) -> list[Check]:
        model, room = measured["model"], probe.attribution.summary
        reason = str(model.attrs["reason"])
        if not room.answers(model):
            return [Check.not_applicable("completeness", _silent(model))]
        if why := room.no_map(model):
            checks = [Check.not_applicable("density", why)]
        else:
            checks = [_density(measured), _reach(measured), _scales(measured)]
        checks.append(self._completeness(model))
        if reason:
            checks.append(Check.not_applicable("gradients", f"cells were occluded, for there is {reason}"))
        return checks

    def _completeness(self, model: Dataset) -> Check:
        room, finite = probe.attribution.summary, np.isfinite(model.total.values).all((0, 2))
        complete = [i for i, m in enumerate(model.method.values) if m in probe.attribution.COMPLETE and finite[i]]
        if not complete:
            return Check.not_applicable("completeness", _nothing_adds_up(model))
        missed = room.left_over(model).values[:, complete]
        target, method = np.unravel_index(int(missed.argmax()), missed.shape)
        value, rows = float(missed[target, method]), model.isel(target=target, method=complete[method])
        wobble = float(np.sqrt((rows.wobble**2).mean() / np.maximum((rows.difference**2).mean(), 1e-300)))
        limit = max(self.bound, float(model.attrs["rounding"]))
        sentence = (
            f"The contributions of {probe.attribution.method_name(rows.method.item())} to "
            f"{room.target_in_words(model, int(target))} add up to the difference of the answers within "
            f"{percent(value)} of its rms over {model.sizes['sample']} samples, with up to {int(rows.nodes.max())} gradients a map."
        )
        if value > limit and value - wobble <= limit:
            sentence += (
                f" The quadrature has not converged: doubling its nodes moved the sum by {percent(wobble)}. The gradients change "
                "too fast from baseline to sample to tell what adds up; give more steps, or a baseline that is nearer."
            )
        elif value > limit:
            sentence += " More nodes do not mend it: gradients are cut on their way, or the answer jumps."
        # What is missing is known exactly; how much of it the quadrature may yet find matters where it is too much.
        span = probe.intervals.Interval(value, max(0.0, value - wobble), value) if value > limit else value
        source = "a convention, to which the quadrature is refined: 1 % of the rms difference, or rounding where it is more"
        return Check.judged("completeness", span, (None, limit), sentence, bound_from=source)

    def draw(self, measured: Measured) -> list[Panel]:
        model, room = measured["model"], probe.attribution.pictures
        if not probe.attribution.summary.answers(model):
            return []
        if probe.attribution.summary.no_map(model):
            return [room.maps_panel(model), room.budget_panel(model)]
        panels = [room.maps_panel(model), room.preferences_panel(measured)]
        if np.isfinite(model.profile.values[0]).any():
            panels.append(room.profiles_panel(measured))
        if np.isfinite(model.shells.values[0, 0]).any():
            panels.append(room.spectra_panel(measured))
        return [*panels, room.budget_panel(model)]


def _silent(model: Dataset) -> str:
    """Why there are no finite differences."""
    if "does not answer" in str(model.attrs["reason"]):
        return "it does not answer to real fields"
    return f"it does not answer to every sample and its baseline ({model.attrs['baseline']!s}); baseline takes zero, mean or sample"


def _nothing_adds_up(model: Dataset) -> str:
    faults = [str(value) for name, value in model.attrs.items() if name.startswith("fault_")]
    known = [why for why in (str(model.attrs["reason"]), *faults) if why]
    return known[0] if known else "none of the methods asked for adds up; ask integrated_gradients"


def _density(measured: Measured) -> Check:
    model, room = measured["model"], probe.attribution.summary
    rows = room.rows_of(model, "quantiles")
    top, bottom, peaks, voids = (
        room.mean_of(column) for column in (rows[:, -1], rows[:, 0], room.rows_of(model, "peaks"), room.rows_of(model, "voids"))
    )
    share = f"{100 / rows.shape[1]:.3g} %"
    if not np.isfinite(top.value):
        return Check.not_applicable("density", f"the input is the same everywhere, or the map is empty near its densest {share}")
    like = "cells at their distance" if np.isfinite(room.rows_of(model, "profile")).any() else "the mean cell"
    others = {"the emptiest": bottom, "peaks": peaks, "voids": voids}
    told = "".join(f", {name} {one.value:.2g} times" for name, one in others.items() if np.isfinite(one.value))
    beside = room.controls_beside(measured, "the densest", lambda data: room.rows_of(data, "quantiles")[:, -1])
    sentence = (
        f"In attributing {room.map_in_words(model)}, the densest {share} of the input count {top.value:.2g} times as much "
        f"as {like}{told}{beside}: {_leaning(top, bottom)}."
    )
    return Check.info("density", top, sentence, covers=f"{rows.shape[0]} samples")


def _leaning(top: Interval, bottom: Interval) -> str:
    if top.low > max(1.0, bottom.high):
        return "it looks at dense regions"
    if bottom.low > max(1.0, top.high):
        return "it looks at empty regions"
    if min(top.low, bottom.low) > 1:
        return "it looks at dense and at empty regions"
    return "no preference that the samples can tell"


def _reach(measured: Measured) -> Check:
    model, room = measured["model"], probe.attribution.summary
    if not np.isfinite(room.rows_of(model, "profile")).any():
        return Check.not_applicable("reach", "the target is about no place, so nothing is near or far")
    half, most, unit = room.mean_of(room.radius(model)), room.mean_of(room.radius(model, 0.9)), str(model.distance.attrs["units"])
    sentence = (
        f"Half of the map lies within {half.value:.3g} {unit} of the target, nine tenths within {most.value:.3g} {unit}"
        f"{room.controls_beside(measured, 'half', room.radius)}."
    )
    return Check.info("reach", half, sentence, unit=unit, covers=f"{model.sizes['sample']} samples")


def _scales(measured: Measured) -> Check:
    model, room = measured["model"], probe.attribution.summary
    if not np.isfinite(room.rows_of(model, "shells")).all():
        name = probe.attribution.method_name(model.method.values[0])
        return Check.not_applicable("scales", f"{name} has no slope to take apart by scale")
    share, axes, level = (room.shares(model, part)[0] for part in ("shells", "axes", "mean"))
    k, unit = model.shell_wavenumber.values, model.shell_wavenumber.attrs["units"]
    strong = int(abs(share).argmax())
    weight = abs(share).cumsum() / max(abs(share).sum(), 1e-300)
    half = float(k[int((weight >= 0.5).argmax())])
    along = ", ".join(f"{percent(a)} along {name}" for a, name in zip(axes, model.axis.values, strict=True))
    sentence = (
        f"Half of what the shells contribute comes from k up to {half:.3g} {unit}, most from k = {k[strong]:.3g} {unit} "
        f"({percent(share[strong])} of the difference); by direction {along}, and "
        f"{percent(float(level[0])) if abs(level[0]) >= 5e-5 else 'nothing'} from the mean of the input."
    )
    return Check.info("scales", half, sentence, unit=unit, covers=f"{model.sizes['sample']} samples")
