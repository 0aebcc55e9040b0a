"""The probe `scattering`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lazy_loader as lazy

import probe
from probe.contract import Check, Measured, Panel, Probe, Subject, judgement, measurement, percent

if TYPE_CHECKING:
    from numpy import ndarray
    from xarray import Dataset

    from probe.equivariance import PairCase
    from probe.intervals import Interval

np, xr = lazy.load("numpy"), lazy.load("xarray")

KINDS = {"coefficients": "scattering coefficients", "normalised": "scattering coefficients without their amplitude"}


class Scattering(Probe):
    """Has the answer the texture of the truth?

    Convolve a field with wavelets of every scale and direction, take the modulus, average over the box: S1, how much there is at
    each scale, with sparse and clumped structure counting less than noise of the same power. Do it again with the modulus:
    S2(j1, j2), how structure of the scale j1 is arranged on the longer scale j2, where P(k) sees nothing and a bispectrum
    little. Both are averaged over directions, so that a quarter turn changes nothing, and over the box, so that a shift changes
    nothing. Scales are octaves, centred on k_Ny/2, k_Ny/4, ...

    The transform is a page of torch: wavelets made in Fourier space on the field's own grid, periodic like the box, in one, two or
    three dimensions alike, whose energies add up to the field's. (kymatio, the library for it, pads fields by reflection, has solid
    harmonics of molecules in three dimensions, and its 0.3.0 does not import with scipy 1.17.) A displacement is read as its
    overdensity -div psi, any other vector as its divergence, or as its curl in the plane where it is declared free of divergence; a
    scalar as it is. Scales that hold nothing but rounding, of the stored truth or of the network's own arithmetic, are left out; a
    faint one counts like any other.

    - S1 and S2 of the answers and of the truth, ratios of averages over simulations, with 99.7 % intervals over simulations.
    - The same without amplitude: S1 over the rms of that part of the field (sqrt(pi)/2 = 0.886 for Gaussian fields, less for sparse
      ones), and S2/S1. A field that is right but for a damping by scale keeps them; scrambled phases change them.

    How to read it: in the first figure the ratios to truth should be 1; a model below 1 on short scales is too smooth. In the
    second S1 over rms lies on the truth's, below the Gaussian line. The third holds the ratios of S2 for every pair of scales. Too
    high a sparsity is too few and too sharp structures; a model at the Gaussian value, where the truth is not, made the right
    power with the wrong phases.

    Both kinds are judged: the mean square over simulations of the difference from the truth, on average over coefficients, is at
    most half of that of the best linear filter, of 2LPT or of the input, whichever does better. That filter loses power and keeps
    the input's phases; whoever does no better has learned no texture. Half is a convention that nothing measured sets (1 would be
    "no better than a filter"), and so is that the filter counts as off by 2 % at least. Beside it stands the scatter between
    independent truths, by which coefficients of one box differ from those of another: an answer that is off by less is no worse
    than another sky.
    """

    suite, version = "statistics", 2
    checks = ("coefficients", "normalised", "scatter", "smallest_scale", "against_rivals")
    controls = ("identity", "lpt2", "linear_filter", "lpt2_filter", "untrained", "rivals")
    references = (
        "S. Mallat (2012), Comm. Pure Appl. Math. 65, 1331, arXiv:1101.2286.",
        "E. Allys et al. (2019), A&A 629, A115, arXiv:1905.01372.",
        "S. Cheng et al. (2020), MNRAS 499, 5902, arXiv:2006.08561: reduced coefficients of fields in cosmology.",
        "E. P. Simoncelli & W. T. Freeman (1995), The steerable pyramid, Proc. ICIP: the wavelets.",
    )

    output = measurement("", "the output quantity compared; the first field by default")
    bound = judgement(0.5, "largest mean square error of the coefficients over the best linear filter's", low=0.0, high=1e6)

    def applies(self, subject: Subject) -> str:
        return probe.scalars.no_scalar(subject, self.output, "texture")

    def measure(self, subject: Subject) -> Dataset:
        assert subject.pairs is not None
        grid, quantity = subject.grid, probe.scalars.asked(subject, self.output)
        cases = [probe.equivariance.PairCase(i, quantity.name) for i in range(len(subject.pairs))]
        rows = subject.map(self.compare, cases)
        facts = probe.scalars.facts(subject, quantity)
        unit = facts["field_unit"]
        shape: dict[str, tuple[tuple[str, ...], str]] = {
            "energy": (("scale",), f"({unit})^2" if unit else ""),
            "first": (("scale",), unit),
            "second": (("scale", "longer_scale"), unit),
        }
        data: dict[str, Any] = {
            f"{name}_{side}": (("simulation", *dims), np.stack([row[f"{name}_{side}"] for row in rows]), {"units": of})
            for name, (dims, of) in shape.items()
            for side in ("pred", "true")
        }
        centres = np.array(probe.scattering.centres(grid))
        strength = data["energy_true"][1].mean(0)
        # White noise of that power in every mode has this mean square, of which a scale sees a part.
        noise = np.mean([row["rounding"] for row in rows]) * grid.size / grid.volume
        coordinates: dict[str, Any] = {
            "simulation": [subject.pairs.name(i) for i in range(len(cases))],
            "centre": ("scale", centres, {"units": grid.inverse_unit}),
            "held": ("scale", (strength > noise).astype(int), {"units": ""}),
        }
        found = xr.Dataset(data, coords=coordinates, attrs=probe.equivariance.facts(subject) | facts)
        gaussian = probe.scattering.gaussian_first(grid.dimension)
        return found.assign(_estimates(found)).assign_attrs(gaussian=gaussian)

    def compare(self, subject: Subject, case: PairCase) -> dict[str, ndarray]:
        """Coefficients of one answer and its truth."""
        answer, truth, rounding = probe.scalars.read_pair(subject, case)
        found = {"rounding": np.array(rounding)}
        for side, field in (("pred", answer), ("true", truth)):
            coefficients = probe.scattering.scatter(field[0, 0], subject.grid)
            for name in ("energy", "first", "second"):
                found[f"{name}_{side}"] = getattr(coefficients, name).cpu().numpy()
        return found

    def judge(self, measured: Measured) -> list[Check]:
        model = measured["model"]
        if not model.held.any():
            return [Check.not_applicable("coefficients", "the truth holds nothing but its files' rounding at every scale")]
        return [*(self._check(measured, kind) for kind in KINDS), _scatter(model), _smallest(model), *_rivals(measured)]

    def _check(self, measured: Measured, kind: str) -> Check:
        model = measured["model"]
        rival = probe.scalars.better_filter(measured, lambda data: _errors(data, model, kind))
        own = _errors(model, model, kind)
        covers, off = f"{len(own)} simulations", percent(float(np.sqrt(own.mean())))
        told = f"The {KINDS[kind]} of {model.attrs['output']} are off by {off}, root mean square over {own.shape[1]}"
        window = probe.equivariance.through_window(model)
        if not rival:
            error = probe.agreement.relative_error(own.mean(1), np.ones(len(own)))
            return Check.info(kind, error, f"{told}{window}; there is no linear filter to hold them against.", covers=covers)
        other = _errors(measured[rival], model, kind)
        ratio = probe.agreement.over_rival(own, other, np.ones(own.shape[1]))
        beside = percent(float(np.sqrt(other.mean())))
        sentence = (
            f"{told}, those of {probe.scalars.FILTERS[rival]} by {beside}: the model leaves {ratio.value:.2g} of that filter's "
            f"mean square error, averaged over coefficients{window}."
        )
        source = "a convention: half of what the best linear filter leaves, which counts as off by 2 % at least"
        return Check.judged(kind, ratio, (None, self.bound), sentence, bound_from=source, covers=covers)

    def draw(self, measured: Measured) -> list[Panel]:
        if not measured["model"].held.any():
            return []
        panels = [probe.panels.first_order_panel(measured), probe.panels.sparsity_panel(measured)]
        return [*panels, probe.panels.second_order_panel(measured)] if measured["model"].held.sum() > 1 else panels


def _columns(data: Dataset, kind: str, side: str) -> ndarray:
    """The coefficients of one kind at the scales that the truth holds: (simulation, coefficient)."""
    held = np.flatnonzero(data.held.values)
    first, second = data[f"first_{side}"].values[:, held], data[f"second_{side}"].values[:, held][:, :, held]
    longer = np.triu_indices(len(held), 1)
    if kind == "normalised":
        with np.errstate(divide="ignore", invalid="ignore"):
            second = second / first[..., None]
            first = first / np.sqrt(data[f"energy_{side}"].values[:, held])
    found: ndarray = np.concatenate([first, second[:, longer[0], longer[1]]], 1)
    return found


def _errors(data: Dataset, truth: Dataset, kind: str) -> ndarray:
    """((S_pred - S_true) / mean S_true)^2: (simulation, coefficient)."""
    true = _columns(truth, kind, "true")
    # An answer without any structure has no texture to normalise: all of it is missing.
    pred = np.nan_to_num(_columns(data, kind, "pred"))
    error: ndarray = ((pred - true) / true.mean(0)) ** 2
    return error


def _rivals(measured: Measured) -> list[Check]:
    """The mean square error of the coefficients beside every rival's."""
    model = measured["model"]
    own = _errors(model, model, "coefficients")

    def ratio(other: Dataset) -> Interval:
        return probe.agreement.over_rival(own, _errors(other, model, "coefficients"), np.ones(own.shape[1]))

    return probe.rivals.against(measured, ratio, "mean square error of the scattering coefficients")


def _scatter(model: Dataset) -> Check:
    count = model.sizes["simulation"]
    if count < 2:
        return Check.not_applicable("scatter", "one simulation alone does not tell how independent truths differ; give more pairs")
    rows = []
    for kind in KINDS:
        true = _columns(model, kind, "true")
        spread = np.sqrt(((true.std(0, ddof=1) / true.mean(0)) ** 2).mean())
        rows.append((float(np.sqrt(_errors(model, model, kind).mean())), float(spread)))
    (error, spread), (shape_error, shape_spread) = rows
    sentence = (
        f"Coefficients of independent truths scatter by {percent(spread)}, the answers are off by {percent(error)}; "
        f"without amplitude by {percent(shape_spread)} and {percent(shape_error)}."
    )
    return Check.info("scatter", error / spread if spread else float("nan"), sentence, covers=f"{count} simulations")


def _smallest(model: Dataset) -> Check:
    place = int(np.flatnonzero(model.held.values)[0])
    interval = probe.intervals.of_samples(
        np.stack([model.first_pred.values[:, place], model.first_true.values[:, place]], -1),
        lambda rows: rows[..., 0].mean(0) / rows[..., 1].mean(0),
    )
    sentence = (
        f"On the shortest scale, k = {float(model.centre[place]):.3g} {model.centre.attrs['units']}, "
        f"S1 is {interval.value:.3g} of the truth's."
    )
    return Check.info("smallest_scale", interval, sentence, covers=f"{model.sizes['simulation']} simulations")


def _estimates(data: Dataset) -> dict[str, Any]:
    """Ratios to truth and S1 over rms from averages over simulations; the last axis is value, low and high."""
    held = np.where(data.held.values == 1, 1.0, np.nan)
    both = held[:, None] * held

    def of(rows: ndarray, statistic: Any, mask: ndarray) -> ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            found = probe.intervals.over_samples(rows, lambda some: statistic(some.mean(0)))
        estimate: ndarray = mask[..., None] * np.stack(found, -1)
        return estimate

    made: dict[str, Any] = {}
    for name, mask, dims in (("first", held, ("scale",)), ("second", both, ("scale", "longer_scale"))):
        pairs = np.stack([data[f"{name}_pred"], data[f"{name}_true"]], -1)
        values = of(pairs, lambda mean: mean[..., 0] / mean[..., 1], mask)
        made[f"{name}_ratio"] = ((*dims, "estimate"), values, {"units": ""})
    for side in ("pred", "true"):
        pairs = np.stack([data[f"first_{side}"], data[f"energy_{side}"]], -1)
        values = of(pairs, lambda mean: mean[..., 0] / np.sqrt(mean[..., 1]), held)
        made[f"sparsity_{side}"] = (("scale", "estimate"), values, {"units": ""})
    return made
