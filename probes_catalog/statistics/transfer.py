"""The probe `transfer`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import lazy_loader as lazy

import probe
from probe.contract import Check, Measured, Panel, Probe, Subject, judgement, measurement, percent
from probe.intervals import Interval

if TYPE_CHECKING:
    from numpy import ndarray
    from torch import Tensor
    from xarray import Dataset

    from probe.equivariance import PairCase

np, xr = lazy.load("numpy"), lazy.load("xarray")


class Transfer(Probe):
    """How close is it, scale by scale?

    The model's answers to held-out inputs are compared with the truth in Fourier space.

    - T(k) is the power ratio P_pred / P_true, as in Ho's talk and the code of He et al.; its square root is what others call
      the transfer function. Both are stored, and every axis says which.
    - r(k) = P_x / sqrt(P_pred P_true) is the cross-correlation; 1 - r^2, the share of the truth's power that no rescaling of the
      answer explains, comes from the residual and not from a subtraction.
    - The error power P_{pred - true} / P_true = T + 1 - 2 r sqrt(T) puts both into one number.

    All are ratios of spectra averaged over simulations; the bands are their 99.7 % intervals over simulations (jackknife with
    Student's t below twenty, bootstrap beyond). Beside the model stand the input itself, 2LPT and the best linear filter H(k)
    of either, fitted on these very pairs: much of an improvement over 2LPT can be had with sixteen numbers, and what is left
    is what a network is for.

    Of a vector the parts along k and across it are compared by themselves, and of a displacement the density: particles are moved
    and painted on a mesh of as many points (interlaced and compensated, see `probe.painting`), truth and answer alike. Where the
    outputs hold a velocity beside the displacement, so is the momentum (1 + delta) v, and, where the description says how far a
    velocity moves matter along the line of sight (`redshift_space`, 1/(aH)), the density in redshift space with its multipoles
    l = 0, 2, 4. The line of sight is far away and each axis in turn, or the one axis about which the description lets things turn.

    How to read it: the lower the error power the better; a line that meets the best linear filter's has learned nothing more
    at that scale. T below 1 with r near 1 is a damping that one multiplication mends; r below 1 is lost information.

    A box that is not periodic is seen through a Hann window along each axis, both fields alike and without their means: else the
    jump from one wall to the other would be power at every k. Neighbouring modes are then not independent. The filter acts on
    the field mirrored at its walls, where there are no jumps either, and is the best of those that do; the error that it
    and the model are judged by is that of all points, without a window.

    Simulation by simulation: the lines should differ by no more than the few modes of a shell explain, the grey band (a power of
    Gaussian modes scatters by sqrt(2/modes)). One training, several independent simulations: a line that stands apart, or a
    spread well above 1 in `generalisation`, is a network that knows some fields better than others. With twenty simulations and
    more the correlations between the scales of P(k) are drawn: a network that gets the mean right can still move power together.

    The bound is the best linear filter's error power: a network that does not beat it is not needed. Rivals, other answers to the
    same inputs, are told and not judged by. So are the errors of density, momentum and redshift space: where neither knows the
    phases, an answer with the truth's power is off by twice that power, and a filter that leaves those scales empty by once: a
    bound on it would ask for smoothing.
    """

    suite, version = "statistics", 5
    checks = (
        "beats_linear_filter",
        "shells_below_linear_filter",
        "relative_error",
        "lowest_correlation",
        "density",
        "momentum",
        "redshift_space",
        "generalisation",
        "against_rivals",
    )
    controls = ("identity", "lpt2", "linear_filter", "lpt2_filter", "untrained", "rivals")
    references = (
        "S. He et al. (2019), PNAS 116, 13825, arXiv:1811.06533.",
        "S. Ho (2018), talk on the deep-learned emulation of N-body simulations.",
        "E. Sefusatti et al. (2016), MNRAS 460, 3624, arXiv:1512.07295: interlacing.",
        "N. Kaiser (1987), MNRAS 227, 1: multipoles in redshift space.",
    )

    output = measurement("", "the output quantity compared; the first field by default")
    assignment = measurement("tsc", "how displaced particles share their mass among mesh points", choices=("cic", "tsc"))
    bound = judgement(1.0, "largest error power over that of the best linear filter", low=0.0, high=1e6)

    def applies(self, subject: Subject) -> str:
        if subject.pairs is None:
            return "it needs pairs of input and truth: give --data, or a [data] table in the description"
        quantity = probe.scalars.asked(subject, self.output)
        return f"the output {quantity.name!r} is a number, which has no modes" if quantity.is_number else ""

    def measure(self, subject: Subject) -> Dataset:
        assert subject.pairs is not None
        cases = [probe.equivariance.PairCase(i) for i in range(len(subject.pairs))]
        rows = subject.map(self.compare, cases)
        grid, quantity = subject.grid, probe.scalars.asked(subject, self.output)
        shells, every = grid.shells(), probe.aspects.aspects(subject.description, quantity)
        pictures = {name: (("u", "v"), rows[0][name], {"units": quantity.unit}) for name in ("prediction", "truth")}
        data = xr.Dataset(
            probe.aspects.tabulate(rows, every, grid) | pictures,
            coords={
                "simulation": [subject.pairs.name(i) for i in range(len(cases))],
                "shell_wavenumber": ("shell", shells.wavenumber.numpy(), {"units": grid.inverse_unit}),
                "modes": ("shell", shells.modes.numpy(), {"units": ""}),
            },
            attrs=probe.equivariance.facts(subject)
            | probe.redshift.facts(subject.description, quantity)
            | {"output": quantity.name, "side": float(grid.box[0]), "side_v": float(grid.box[min(1, grid.dimension - 1)])}
            | {f"label_{aspect.prefix}": aspect.label for aspect in every},
        )
        if "redshift_multipoles_true" in data:
            data = data.assign_coords(multipole=list(probe.redshift.degrees(grid)))
        data = data.assign(probe.aspects.ratios(data, every))
        return data.assign(probe.aspects.correlations(data)) if len(cases) >= MANY else data

    def compare(self, subject: Subject, case: PairCase) -> dict[str, ndarray]:
        """Spectra of one pair, mean squares, and a slice of each field."""
        assert subject.pairs is not None
        given, truth = subject.pairs[case.index]
        quantity, answer = probe.scalars.asked(subject, self.output), subject.model(given)
        found = probe.aspects.compare_each(answer, truth, subject.description, quantity, self.assignment)
        pictures = {name: _slice(field.part(quantity.name)[1]) for name, field in (("prediction", answer), ("truth", truth))}
        return found | pictures

    def judge(self, measured: Measured) -> list[Check]:
        model = measured["model"]
        rival = next((n for n in probe.scalars.FILTERS if n in measured), "")
        if not len(probe.panels.held(model)):
            nothing = "the truth holds nothing but its files' rounding at every scale"
            return [Check.not_applicable("beats_linear_filter", nothing), *_relative(model)]
        against = [self._against(measured, rival), self._by_shell(measured, rival)] if rival else []
        painted = [check for aspect in _PAINTED for check in _painted(measured, rival, *aspect)]
        return [*against, *_relative(model), *_scales(model), *painted, *_generalisation(model), *_rivals(measured)]

    def _against(self, measured: Measured, rival: str) -> Check:
        model, other, label = measured["model"], measured[rival], probe.scalars.FILTERS[rival]
        both = np.stack([model.error_square, other.error_square, model.true_square], -1)
        ratio = probe.intervals.of_samples(both, lambda rows: rows[..., 0].mean(0) / rows[..., 1].mean(0))
        size = np.sqrt(both.mean(0) / both[:, 2].mean())
        sentence = (
            f"The answers are off by {percent(size[0])} of the truth, {label} by {percent(size[1])}: "
            f"the model leaves {ratio.value:.2g} of that filter's error power."
        )
        source = "the best linear filter, fitted on the pairs it is judged on: a network that does no better is not needed"
        return Check.judged("beats_linear_filter", ratio, (None, self.bound), sentence, bound_from=source, covers=_covers(model))

    def _by_shell(self, measured: Measured, rival: str) -> Check:
        model, other = measured["model"], measured[rival]
        ratio = (model.error.mean("simulation") / other.error.mean("simulation"))[np.isfinite(model.error_power.values[:, 0])]
        behind = [f"{float(k):.3g}" for k, r in zip(ratio.shell_wavenumber, ratio, strict=True) if r > self.bound]
        more = f" and {len(behind) - 4} more" if len(behind) > 4 else ""
        unit = model.shell_wavenumber.attrs["units"]
        where = f"; it does worse at k = {', '.join(behind[:4])}{more} {unit}" if behind else ", which is all of them"
        count = f"{len(ratio) - len(behind)} of {len(ratio)} shells"
        sentence = (
            f"The error power is below that of {probe.scalars.FILTERS[rival]} in {count}{where} "
            f"(ratio {float(ratio.min()):.2g} to {float(ratio.max()):.2g}){probe.equivariance.through_window(model)}."
        )
        return Check.info("shells_below_linear_filter", float(len(ratio) - len(behind)), sentence, unit="shells")

    def draw(self, measured: Measured) -> list[Panel]:
        model, panels = measured["model"], probe.panels
        if not len(panels.held(model)):
            return [panels.slices_panel(measured)]
        # What the truth holds nothing of, as a flow without curl across k, is not drawn.
        kept = [key.removeprefix("label_") for key in model.attrs if key.startswith("label_")]
        held = [of for of in kept if len(panels.held(model, of))]
        groups = (("density_",), ("longitudinal_", "transverse_"), ("momentum_", "redshift_"))
        made = [panels.spectra_panel(measured, [""]), panels.error_panel(measured)]
        made += [panels.spectra_panel(measured, some) for group in groups if (some := [of for of in group if of in held])]
        made += [panels.error_panel(measured, "density_")] if "density_" in held else []
        made += [panels.multipoles_panel(measured)] if "redshift_" in held else []
        made += [panels.slices_panel(measured), panels.simulations_panel(measured)]
        return made + ([panels.covariance_panel(model)] if "power_correlation_true" in model else [])


# Of what is painted: the check, the prefix of its variables, what it is.
_PAINTED = (
    ("density", "density_", "the density"),
    ("momentum", "momentum_", "the momentum (1 + delta) v"),
    ("redshift_space", "redshift_", "the density in redshift space"),
)
MANY = 20  # simulations: fewer say nothing of a covariance


def _slice(values: Tensor) -> ndarray:
    """One component through the middle of the box: (u, v); a line is one row."""
    array = values[0, 0].double().cpu().numpy()
    if array.ndim == 1:
        return array[None]
    return array if array.ndim == 2 else array[:, :, array.shape[2] // 2]


def _relative(model: Dataset) -> list[Check]:
    """The error over all points; nothing where the truth is zero."""
    if not model.true_square.any():
        return []
    relative, covers = probe.agreement.relative_error(model.error_square.values, model.true_square.values), _covers(model)
    sentence = f"The answers are off by {percent(relative.value)} of the truth, root mean square over all points of {covers}."
    return [Check.info("relative_error", relative, sentence, covers=covers)]


def _covers(model: Dataset) -> str:
    return f"{model.sizes['simulation']} simulations"


def _scales(model: Dataset) -> list[Check]:
    """r in the worst shell, beside the scatter that independent fields would show there."""
    r = model.correlation.values[:, 0]
    worst = int(np.nanargmin(r))
    modes = float(model.modes[worst]) * model.sizes["simulation"]
    window = probe.equivariance.through_window(model)
    sentence = (
        f"The cross-correlation is lowest at k = {float(model.shell_wavenumber[worst]):.3g} "
        f"{model.shell_wavenumber.attrs['units']}: r = {r[worst]:.4f} "
        f"(independent fields would scatter by {'at least ' if window else ''}{1 / np.sqrt(modes):.2g} there){window}."
    )
    value, low, high = (float(edge) for edge in model.correlation.values[worst])
    lowest = Interval(value, low, high)
    return [Check.info("lowest_correlation", lowest, sentence, covers=_covers(model))]


def _painted(measured: Measured, rival: str, check: str, of: str, word: str) -> list[Check]:
    """How far what is painted is off, beside that of the rival filter."""
    model = measured["model"]
    if f"{of}error" not in model:
        reason = str(model.attrs.get(f"no_{check}", ""))
        return [Check.not_applicable(check, reason)] if reason else []
    r, k = model[of + "correlation"].values[:, 0], model.shell_wavenumber
    if not np.isfinite(r).any():
        return [Check.not_applicable(check, f"{word} of the truth is nothing but its files' rounding")]
    off = probe.agreement.relative_error(model[of + "error_square"].values, model[of + "true_square"].values)
    sentence = f"Painted, {word} is off by {percent(off.value)} of the truth's rms"
    worst = int(np.nanargmin(r))
    if rival:
        other = measured[rival]
        theirs = probe.agreement.relative_error(other[of + "error_square"].values, model[of + "true_square"].values)
        sentence += f", that of {probe.scalars.FILTERS[rival]} by {percent(theirs.value)}"
    sentence += f"; its cross-correlation is lowest at k = {float(k[worst]):.3g} {k.attrs['units']}: r = {r[worst]:.4f}"
    if rival:
        sentence += f", the filter's there {float(other[of + 'correlation'][worst, 0]):.4f}"
    sentence += _quadrupole(model) if check == "redshift_space" else ""
    return [Check.info(check, off, sentence + ".", covers=_covers(model))]


def _quadrupole(model: Dataset) -> str:
    """How far the quadrupole is off, of the truth's monopole, where it is farthest."""
    if model.sizes["multipole"] < 2:
        return ""
    pred, true = (model[f"redshift_multipoles_{side}"].mean("simulation") for side in ("pred", "true"))
    off = ((pred - true).sel(multipole=2) / true.sel(multipole=0)).values
    off = np.where(np.isfinite(model.redshift_error_power.values[:, 0]), off, np.nan)
    worst, k = int(np.nanargmax(np.abs(off))), model.shell_wavenumber
    place = f"k = {float(k[worst]):.3g} {k.attrs['units']}"
    return f"; its quadrupole is farthest off at {place}, by {percent(off[worst])} of the monopole"


def _rivals(measured: Measured) -> list[Check]:
    """The error power over all points beside that of every rival."""
    model = measured["model"]
    own, size = model.error_square.values, model.true_square.values
    return probe.rivals.against(
        measured, lambda other: probe.agreement.over(own, other.error_square.values, size), "error power over all points"
    )


# The power of a shell with `modes` modes (k and -k both counted) of a Gaussian field scatters by sqrt(2/modes) of itself.
def _spread(rows: ndarray, modes: ndarray) -> ndarray:
    """Scatter of spectra between simulations over that of Gaussian modes, root mean square over shells."""
    share = rows.var(0, ddof=1) / rows.mean(0) ** 2
    spread: ndarray = np.sqrt((share * modes / 2).mean(-1))
    return spread


def _generalisation(model: Dataset) -> list[Check]:
    """Whether the error power differs between simulations by more than their few modes explain."""
    count = model.sizes["simulation"]
    held = np.isfinite(model.error_power.values[:, 0]) & (model.error > 0).all("simulation").values
    if count < 3 or not held.any():
        return []
    rows, modes = model.error.values[:, held], model.modes.values[held]
    ratio = probe.intervals.of_samples(rows, lambda kept: _spread(kept, modes))
    ratio = replace(ratio, low=max(ratio.low, 0.0))
    total = np.sqrt((model.error_square / model.true_square).values)
    worst = int(total.argmax())
    sentence = (
        f"Between {count} simulations the error power of a shell scatters {ratio.value:.2g} times as much as the number of its "
        f"modes explains; the relative error is {percent(total.min())} to {percent(total[worst])}, the largest in "
        f"{model.simulation.values[worst]!s}{probe.equivariance.through_window(model)}."
    )
    return [Check.info("generalisation", ratio, sentence, covers=_covers(model))]
