"""The probe `bispectrum`."""

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

np, torch, xr = lazy.load("numpy"), lazy.load("torch"), lazy.load("xarray")

SHAPES = {
    "equilateral": "three waves of one length",
    "folded": "two waves of one length and their sum",
    "squeezed": "one long wave and two short ones",
    "isosceles": "two waves of one length at every angle",
}


class Bispectrum(Probe):
    """Are the phases right too?

    A power spectrum does not see phases: scramble them, and filaments turn into noise of the same P(k). The lowest statistic that
    sees them is the bispectrum, <f(k1) f(k2) f(k3)> = V B for k1 + k2 + k3 = 0, which is zero for every Gaussian field. It is
    estimated by Fourier transforms of the shells: equilateral triangles, squeezed ones (one long wave, which modulates short
    ones), and isosceles ones at every angle; on a line folded and squeezed ones. Triangles whose products would alias are left out.
    Vectors are read as their divergence (a displacement as its overdensity -div psi; in the plane what is declared free of
    divergence as its curl).

    - B of the answers and of the truth, averaged over simulations, with 99.7 % intervals over simulations.
    - The reduced bispectrum Q = B / (P1 P2 + P2 P3 + P3 P1): without the amplitude, so that what is only too weak keeps its Q.
    - The ratio B_pred / B_true, left out where the truth's own lies within two standard errors of a Gaussian field's, zero.

    The verdict does not rest on that ratio, which is noise wherever B_true crosses zero. The error B_pred - B_true of each
    simulation (in which most of the realisation's scatter drops out, since both see the same waves) is squared and divided by the
    triangle's own size, which is never small: the mean of B_true^2 over simulations, or where it is larger the variance
    s_B V P1 P2 P3 / N_tri of a Gaussian field of the truth's power. Averaged over simulations it is held against the linear
    filter's kind by kind of triangle, so that no single one rules the verdict. Triangles with a side in a shell that holds
    nothing but rounding, of the stored truth or of the network's own arithmetic, are left out; a faint shell counts like any other.

    How to read it: in the figures of B and Q the curves of the model and of the truth lie on one another, and the ratio is 1; the
    controls tell what a linear map of the input has without learning. B too low with Q right is smoothing; Q too low is a network
    more linear than the truth; a right equilateral and a wrong squeezed one does not know how long waves change the growth of short
    ones; B = 0 with the right P(k) is scrambled phases.

    The bound: at most half of the error power of the best linear filter's bispectrum, of 2LPT or of the input, whichever does
    better. A linear filter knows the waves but makes no triangles of them; whoever leaves as much has learned nothing about phases
    that is not in its input. Half is a convention that nothing measured sets (1 would be "no better than a filter"), and so is that
    the filter's relative error counts as 2 % at least.
    """

    suite, version = "statistics", 2
    checks = ("beats_linear_filter", "relative_error", "equilateral", "folded", "squeezed", "isosceles", "against_rivals")
    controls = ("identity", "lpt2", "linear_filter", "lpt2_filter", "untrained", "rivals")
    references = (
        "R. Scoccimarro (2000), ApJ 544, 597, astro-ph/0004086: the estimator.",
        "E. Sefusatti et al. (2016), MNRAS 460, 3624, arXiv:1512.07295: aliasing and normalisation.",
        "R. Scoccimarro et al. (1998), ApJ 496, 586, astro-ph/9704075: variance and the reduced bispectrum.",
    )

    output = measurement("", "the output quantity compared; the first field by default")
    long_side = measurement(1, "shell of the long wave of squeezed triangles", low=1, high=64)
    triangles = measurement(24, "most triangles of one shape, spread over their shells", low=1, high=1024)
    bound = judgement(0.5, "largest error power of B over that of the best linear filter's", low=0.0, high=1e6)

    def applies(self, subject: Subject) -> str:
        return probe.scalars.no_scalar(subject, self.output, "bispectrum")

    def measure(self, subject: Subject) -> Dataset:
        assert subject.pairs is not None
        grid, quantity = subject.grid, probe.scalars.asked(subject, self.output)
        shapes = probe.bispectra.families(grid, self.long_side, self.triangles)
        triples = self.triples(subject)
        cases = [probe.equivariance.PairCase(i, quantity.name) for i in range(len(subject.pairs))]
        rows = subject.map(self.compare, cases)
        facts = probe.scalars.facts(subject, quantity)
        unit = probe.bispectra.bispectrum_unit(facts["field_unit"], grid)
        per = {"bispectrum": ("triangle", unit), "power": ("shell", probe.spectra.power_unit(facts["field_unit"], grid))}
        data: dict[str, Any] = {
            f"{name}_{side}": (("simulation", dim), np.stack([row[f"{name}_{side}"] for row in rows]), {"units": of})
            for name, (dim, of) in per.items()
            for side in ("pred", "true")
        }
        data["member"] = (("shape", "triangle"), [[int(t in of) for t in triples] for of in shapes.values()], {"units": ""})
        rounding = float(np.mean([row["rounding"] for row in rows]))
        true = torch.from_numpy(data["power_true"][1].mean(0)).to(subject.model.device)
        data |= probe.bispectra.described(triples, true, rounding, grid, f"({unit})^2")
        names = {"simulation": [subject.pairs.name(i) for i in range(len(cases))], "shape": list(shapes)}
        found = xr.Dataset(data, coords=names, attrs=probe.equivariance.facts(subject) | facts)
        return found.assign(probe.bispectra.estimates(found))

    def triples(self, subject: Subject) -> tuple[tuple[int, int, int], ...]:
        """The triangles of all shapes."""
        shapes = probe.bispectra.families(subject.grid, self.long_side, self.triangles)
        return probe.bispectra.together(shapes, subject.grid, subject.model.device)

    def compare(self, subject: Subject, case: PairCase) -> dict[str, ndarray]:
        """Bispectra and power spectra of one answer and its truth."""
        grid, triples = subject.grid, self.triples(subject)
        answer, truth, rounding = probe.scalars.read_pair(subject, case)
        found = {"rounding": np.array(rounding)}
        for side, field in (("pred", answer), ("true", truth)):
            found[f"bispectrum_{side}"] = probe.bispectra.bispectrum(field[0, 0], triples, grid).cpu().numpy()
            found[f"power_{side}"] = probe.spectra.power(field, grid)[0].cpu().numpy()
        return found

    def judge(self, measured: Measured) -> list[Check]:
        model = measured["model"]
        if not np.isfinite(model.gaussian_variance).any():
            return [Check.not_applicable("beats_linear_filter", "the truth holds no triangles but of its files' rounding")]
        best = probe.scalars.better_filter(measured, lambda data: _errors(data, model))
        against = [self._against(measured, best)] if best else []
        return [
            *against,
            _relative_check(model),
            *(_strength(model, str(shape)) for shape in model.shape.values),
            *_rivals(measured),
        ]

    def _against(self, measured: Measured, rival: str) -> Check:
        model = measured["model"]
        own, other = (_errors(measured[name], model) for name in ("model", rival))
        ratio = probe.agreement.over_rival(own, other, np.ones(own.shape[1]))
        errors = [percent(_relative(measured[name], model).value) for name in ("model", rival)]
        window, label = probe.equivariance.through_window(model), probe.scalars.FILTERS[rival]
        sentence = (
            f"The bispectrum of {model.attrs['output']} is off by {errors[0]} of the truth's, that of {label} by {errors[1]}: "
            f"the model leaves {ratio.value:.2g} of that filter's error power, averaged over kinds of triangle{window}."
        )
        source = "a convention: half of what the best linear filter leaves, which makes no triangles of its own"
        return Check.judged(
            "beats_linear_filter", ratio, (None, self.bound), sentence, bound_from=source, covers=f"{len(own)} simulations"
        )

    def draw(self, measured: Measured) -> list[Panel]:
        if not np.isfinite(measured["model"].gaussian_variance).any():
            return []
        panels = [probe.panels.bispectrum_panel(measured), probe.panels.reduced_panel(measured)]
        known = np.isfinite(measured["model"].ratio[:, 0]).any()
        return [*panels, probe.panels.bispectrum_ratio_panel(measured)] if known else panels


def _errors(data: Dataset, truth: Dataset, variable: str = "pred") -> ndarray:
    """Squared error of B, each over the size of the truth's: (simulation, triangle); of nothing the truth's own square."""
    held = np.isfinite(truth.gaussian_variance.values)
    size = np.maximum((truth.bispectrum_true**2).mean("simulation"), truth.gaussian_variance)
    answer = data.bispectrum_pred if variable == "pred" else 0.0
    found: ndarray = ((answer - truth.bispectrum_true) ** 2 / size).values[:, held]
    return found


def _relative(data: Dataset, truth: Dataset) -> Interval:
    """Error of B relative to the truth's, root mean square over triangles and simulations."""
    error, nothing = _errors(data, truth), _errors(data, truth, "nothing")
    return probe.agreement.relative_error(error.mean(1), nothing.mean(1))


def _rivals(measured: Measured) -> list[Check]:
    """The error power of B beside every rival's, kind by kind of triangle as beside the filter's."""
    model = measured["model"]
    own = _errors(model, model)

    def ratio(other: Dataset) -> Interval:
        return probe.agreement.over_rival(own, _errors(other, model), np.ones(own.shape[1]))

    return probe.rivals.against(measured, ratio, "error power of the bispectrum, averaged over kinds of triangle,")


def _relative_check(model: Dataset) -> Check:
    relative, kinds = _relative(model, model), int(np.isfinite(model.gaussian_variance).sum())
    height = np.sqrt((model.bispectrum_true**2 / model.gaussian_variance).mean())
    sentence = (
        f"The bispectrum is off by {percent(relative.value)} of the truth's, root mean square over {kinds} kinds of triangle, each "
        f"over its own size; the truth's own is {float(height):.3g} times what a Gaussian field's of its power would be."
    )
    return Check.info("relative_error", relative, sentence, covers=f"{model.sizes['simulation']} simulations")


def _strength(model: Dataset, shape: str) -> Check:
    """By how much the truth's bispectra of one shape are to be multiplied to give the model's, by weighted least squares."""
    kept = model.isel(triangle=probe.bispectra.places(model, shape))
    if not kept.sizes["triangle"]:
        there = int(model.member.sel(shape=shape).sum())
        why = "has none" if not there else "holds next to nothing"
        rest = "that do not alias; use a larger grid" if not there else "but rounding in their shells"
        return Check.not_applicable(shape, f"of {shape} triangles the {'grid' if not there else 'truth'} {why} {rest}")
    weight = 1 / kept.gaussian_variance.values
    both = np.stack([kept.bispectrum_pred.values, kept.bispectrum_true.values], -1)

    def slope(rows: ndarray) -> ndarray:
        pred, true = np.moveaxis(rows.mean(0), -1, 0)
        return (weight * pred * true).sum() / max((weight * true**2).sum(), 1e-300)

    interval: Interval = probe.intervals.of_samples(both, slope)
    sentence = (
        f"The {shape} bispectrum ({SHAPES[shape]}) is {interval.value:.3g} of the truth's, "
        f"by weighted least squares over {len(weight)} kinds of triangle."
    )
    return Check.info(shape, interval, sentence, covers=f"{len(both)} simulations")
