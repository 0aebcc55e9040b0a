"""The probe `saliency`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader as lazy

import probe
from probe.contract import Check, Measured, Panel, Probe, Subject, judgement, measurement, percent
from probe.errors import InputError

if TYPE_CHECKING:
    from numpy import ndarray
    from xarray import Dataset

    from probe.attribution import Case, Found, Setting
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
    the mean of the data, or another sample) adds to the target; a gradient says how much the target would move. Where no gradient
    passes through the model, cells are occluded instead, and the reason is told.

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

    suite, version = "attribution", 1
    checks = ("density", "reach", "scales", "completeness", "gradients")
    controls = ("simulator", "identity", "lpt2", "untrained")
    references = (
        "J. M. Z. Matilla, M. Sharma, D. Hsu & Z. Haiman (2020), Phys. Rev. D 102, 123506, arXiv:2007.06529: low-convergence "
        "regions.",
        "P. Villanueva-Domingo & F. Villaescusa-Navarro (2021), ApJ 907, 44, arXiv:2006.14305: bright regions of 21 cm maps.",
        "M. Sundararajan, A. Taly & Q. Yan (2017), Axiomatic Attribution for Deep Networks, arXiv:1703.01365: completeness.",
        "N. Kokhlikyan et al. (2020), Captum, arXiv:2009.07896.",
    )

    targets = measurement("", "scalars of the answer, such as voxel(4, 5, 6), power(3); chosen by what the answer is by default")
    methods = measurement(None, "methods, the one that is judged first; two by default", like=("gradient",))
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
        targets, count = self.asked(subject), self._count(subject)
        methods, reason = (
            probe.attribution.read_methods(self.methods, subject),
            probe.attribution.no_methods(("gradient",), subject),
        )
        if reason and self.methods:
            methods = tuple(m for m in methods if not probe.attribution.no_methods((m,), subject))
            if not methods:
                raise InputError(f"saliency.methods: {reason}; give occlusion or feature_ablation")
        sizes = [float(np.sqrt(np.mean(np.square(self._differences(subject, target, count))))) for target in targets]
        found: list[list[list[Found]]] = []
        for target, size in zip(targets, sizes, strict=True):
            setting, rows = self.setting(subject, size), []
            for method in methods:
                cases = [self._case(target, method, sample, count, setting) for sample in range(count)]
                rows.append(subject.map(probe.attribution.ask, cases, passes=probe.attribution.cost(method, setting, subject.grid)))
            found.append(rows)
        facts = probe.equivariance.facts(subject) | {"baseline": self.baseline, "reason": reason}
        return _tabulated(subject, targets, methods, found, facts)

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
        model = measured["model"]
        if not np.isfinite(model.difference.values).all():
            return [Check.not_applicable("completeness", "it does not answer to real fields")]
        checks = [_density(measured), _reach(measured), _scales(measured), self._completeness(model)]
        if reason := str(model.attrs["reason"]):
            checks.append(Check.not_applicable("gradients", f"cells were occluded, for there is {reason}"))
        return checks

    def _completeness(self, model: Dataset) -> Check:
        complete = [
            m for m in model.method.values if m in probe.attribution.COMPLETE and np.isfinite(model.total.sel({"method": m})).all()
        ]
        if not complete:
            told = str(model.attrs["reason"]) or "none of the methods asked for adds up; ask integrated_gradients"
            return Check.not_applicable("completeness", told)
        room = probe.attribution.pictures
        missed = room.left_over(model.sel({"method": complete}))
        target, method = np.unravel_index(int(missed.values.argmax()), missed.shape)
        value, rows = float(missed.values[target, method]), model.sel({"method": complete}).isel(target=target, method=method)
        wobble = float(np.sqrt((rows.wobble**2).mean() / np.maximum((rows.difference**2).mean(), 1e-300)))
        limit = max(self.bound, float(model.attrs["rounding"]))
        sentence = (
            f"The contributions of {room.word(complete[method])} to {room.in_words(model, int(target))} add up to the difference "
            f"of the answers within {percent(value)} of its rms over {model.sizes['sample']} samples, with up to "
            f"{int(rows.nodes.max())} gradients a map."
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
        model = measured["model"]
        if not np.isfinite(model.difference.values).all():
            return []
        room = probe.attribution.pictures
        panels = [room.maps_panel(model), room.preferences_panel(measured)]
        if np.isfinite(model.profile.values).any():
            panels.append(room.profiles_panel(measured))
        if np.isfinite(model.shells.values).any():
            panels.append(room.spectra_panel(measured))
        return [*panels, room.budget_panel(model)]


def _tabulated(
    subject: Subject, targets: tuple[Target, ...], methods: tuple[str, ...], found: list[list[list[Found]]], facts: dict
) -> Dataset:
    """What was found, by target, method and sample, as a dataset."""
    grid, first = subject.grid, found[0][0][0]
    over = ("target", "method", "sample")
    dims = {"profile": "distance", "within": "distance", "quantiles": "quantile", "shells": "shell", "axes": "axis"}
    dims |= {"channels": "channel"}

    def of(part: str) -> ndarray:
        return np.array([[[getattr(one, part) for one in row] for row in rows] for rows in found], dtype=float)

    units = [probe.targets.unit_of(subject, target) for target in targets]
    unit = units[0] if len(set(units)) == 1 else ""  # targets of several units have theirs in the attributes
    plain = ("nodes", "peaks", "voids", "within", "quantiles", "channels")
    variables = {
        name: ((*over, *([dims[name]] if name in dims else [])), of(name), {"units": "" if name in plain else unit})
        for name in ("total", "nodes", "wobble", "peaks", "voids", "mean", *dims)
    }
    variables["difference"] = (("target", "sample"), of("difference")[:, 0], {"units": unit})
    variables["picture"] = (("target", "method", "u", "v"), of("picture")[:, :, 0], {"units": unit})
    places = [probe.targets.place_of_target(subject, target, 0) for target in targets]
    variables["density"] = _density_about(subject, places)
    attrs = facts | {f"fault_{m}": found[0][i][0].reason for i, m in enumerate(methods) if found[0][i][0].reason}
    attrs |= {f"words_{i}": probe.targets.in_words(target) for i, target in enumerate(targets)}
    attrs |= {f"unit_{i}": unit for i, unit in enumerate(units)}
    marks = [[float(n) for n in (*(place or ()), np.nan, np.nan)[:2]] for place in places]
    return xr.Dataset(
        variables,
        coords={
            "target": [str(target) for target in targets],
            "method": list(methods),
            "sample": [probe.equivariance.name_of_field(subject, i) for i in range(len(found[0][0]))],
            "axis": list("xyz"[: grid.dimension]),
            "distance": ("distance", np.arange(len(first.profile)) * min(grid.spacing), {"units": grid.unit}),
            "shell_wavenumber": ("shell", grid.shells().wavenumber.numpy(), {"units": grid.inverse_unit}),
        },
        attrs=attrs
        | {"marks": np.array(marks).ravel(), "spacing": np.array(grid.spacing[:2]), "density_name": _density_name(_given(subject))},
    )


def _density_about(subject: Subject, places: list[tuple[int, ...] | None]) -> tuple[tuple[str, ...], ndarray, dict[str, str]]:
    """The first input's density in the plane through each target, as a variable."""
    density, given = probe.targets.density_of(probe.equivariance.test_field(subject, 0)[0])[0], _given(subject)
    slices = np.array([probe.attribution.slice_of(density, place) for place in places])
    return ("target", "u", "v"), slices, {"units": "" if probe.coupling.is_displacement(given) else given.unit}


def _given(subject: Subject) -> probe.fields.Quantity:
    """The input that a density is of."""
    inputs = subject.description.inputs
    return inputs[probe.fields.place_of(inputs)]


def _density_name(quantity: probe.fields.Quantity) -> str:
    return f"-div {quantity.name}" if probe.coupling.is_displacement(quantity) else quantity.name


def _density(measured: Measured) -> Check:
    model, room = measured["model"], probe.attribution.pictures
    rows = room.rows_of(model, "quantiles")
    top, bottom = room.of_mean(rows[:, -1]), room.of_mean(rows[:, 0])
    share = f"{100 / rows.shape[1]:.3g} %"
    if not np.isfinite(top.value):
        return Check.not_applicable("density", "the map is empty, or the input the same everywhere")
    leaning = ""
    if top.low > max(1.0, bottom.high):
        leaning = "looks at dense regions"
    elif bottom.low > max(1.0, top.high):
        leaning = "looks at empty regions"
    elif min(top.low, bottom.low) > 1:
        leaning = "looks at dense and at empty regions"
    sentence = (
        f"In attributing {room.in_words(model, 0)} ({room.word(model.method.values[0])}), the densest {share} of the input count "
        f"{top.value:.2g} times as much as cells at their distance, the emptiest {bottom.value:.2g} times, peaks "
        f"{room.of_mean(room.rows_of(model, 'peaks')).value:.2g} and voids "
        f"{room.of_mean(room.rows_of(model, 'voids')).value:.2g}{room.beside(measured, 'the densest', 'quantiles')}: "
        f"{f'it {leaning}' if leaning else 'no preference that the samples can tell'}."
    )
    if not np.isfinite(room.rows_of(model, "profile")).any():
        sentence = sentence.replace("cells at their distance", "the mean cell")
    return Check.info("density", top, sentence, covers=f"{rows.shape[0]} samples")


def _reach(measured: Measured) -> Check:
    model, room = measured["model"], probe.attribution.pictures
    if not np.isfinite(room.rows_of(model, "within")).any():
        return Check.not_applicable("reach", "the target is about no place, so nothing is near or far")
    half, unit = room.of_mean(room.half(model)), str(model.distance.attrs["units"])
    nine = np.mean([np.interp(0.9, row, model.distance.values) for row in room.rows_of(model, "within")])
    others = [f"{np.mean(room.half(measured[n])):.3g} for {room.look_of(measured, n)['label']}" for n in room.others(measured)]
    told = f" (half: {', '.join(others)})" if others else ""
    sentence = f"Half of the map lies within {half.value:.3g} {unit} of the target, nine tenths within {nine:.3g} {unit}{told}."
    return Check.info("reach", half, sentence, unit=unit, covers=f"{model.sizes['sample']} samples")


def _scales(measured: Measured) -> Check:
    model, room = measured["model"], probe.attribution.pictures
    if not np.isfinite(room.rows_of(model, "shells")).all():
        return Check.not_applicable("scales", f"{room.word(model.method.values[0])} has no slope to take apart by scale")
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
