"""The probe `scales`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import lazy_loader as lazy

import probe
from probe import figures
from probe.contract import Check, Measured, Panel, Probe, Subject, judgement, measurement, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy import ndarray
    from xarray import Dataset

    from probe.targets import Target

np, xr = lazy.load("numpy"), lazy.load("xarray")

SAMPLES = {"quick": 4, "default": 4, "full": 16}
BANDS = 5
SHELL = 3
UNANSWERED = "it does not answer to every field that a band was taken out of"


class Scales(Probe):
    """Which scales matter?

    The gradient of a number of the answer (a voxel, the power in a shell, an output that is a number) with respect to the input's
    Fourier modes. The square of it times the inputs' power, mode by mode, is the variance of that number that the mode makes, in
    the linear approximation about real fields; for a linear model it is exact. The mean of the input, k = 0, is left out. Summed
    by |k| it says which scales count, by the angle between k and each axis whether all directions do. Then bands of k are taken
    out of the input altogether, and the number changes: no approximation, but an input that no data resemble.

    How to read it: left the shares by |k|, right the same summed up from long waves to short, with the shares of the bands that
    were taken out as marks at the bands' upper edges. Marks on the line: the linear picture holds. The second figure is the share
    by angle over what it would be if all modes of the same |k| counted alike: 1 in all directions, for a model that treats them
    alike.

    What can be wrong. `law`: where the law is known and can be differentiated it is put the same question about the same fields;
    of the first number, 5 % of the variance, a convention, may lie elsewhere (a network that cannot resolve short waves, or leans
    on them). `isotropy`: of the answer, mean over all its points and components, or an output that is a number, the modes along
    each axis count like all others to 5 %, a convention; each field is also asked with its axes in each other's places, so that
    what it prefers itself adds up to nothing. Where the description denies rotations nothing is judged. The power in a shell is
    told, and not judged, for the few modes of one field in it are never isotropic.
    """

    suite, version = "attribution", 1
    checks = ("scales", "law", "isotropy", "removal")
    controls = ("simulator", "identity", "lpt2", "linear_filter", "untrained")
    references = (
        "J. Jasche & B. D. Wandelt (2013), MNRAS 432, 894, arXiv:1203.3639: gradients with respect to initial modes.",
        "L. Lucie-Smith et al. (2018), MNRAS 479, 3405, arXiv:1802.04271: which scales of the initial conditions matter.",
    )

    targets = measurement(
        "",
        "numbers of the answer, as in 'voxel(4, 5, 6), power(3)'; by default a point and a shell's power, or each number",
        check=lambda text: probe.targets.parse_all(text),
    )
    samples = measurement(None, "fields it is asked about; by default 4, or 16 with full effort", like=4, low=2, high=10000)
    bound = judgement(0.05, "largest share of the variance that may lie at other scales than by the law", low=0.0, high=1.0)
    isotropy_bound = judgement(
        0.05, "by how much the modes along an axis may count more or less than all others", low=0.0, high=1.0
    )

    def applies(self, subject: Subject) -> str:
        reasons = [probe.targets.unfit(subject, target) for target in probe.targets.parse_all(self.targets)]
        return next((reason for reason in reasons if reason), "")

    def measure(self, subject: Subject) -> Dataset:
        room, grid, asked = probe.scales, subject.grid, self._targets(subject)
        count = probe.equivariance.count_of_fields(subject, self.samples or SAMPLES[subject.effort])
        bands, even = probe.bands.bands(grid, BANDS), room.together(subject)
        cases = [room.ScalesCase(place, count, str(target), bands) for target in asked for place in range(count)]
        rows = subject.map(room.by_scale, cases, passes=4 + len(bands))
        by_axis = _by_axis(subject, even, count)
        none, targets = {"units": ""}, (len(asked), count)
        edges = [min(one.high, grid.nyquist * grid.dimension**0.5) for one in bands]
        return xr.Dataset(
            {
                "share": (("target", "sample", "bin"), np.array([row.shares for row in rows]).reshape(*targets, -1), none),
                "value": (("target", "sample"), np.array([row.value for row in rows]).reshape(targets), none),
                "removed": (("target", "sample", "band"), np.array([row.removed for row in rows]).reshape(*targets, -1), none),
                "found": (("sample", "axis", "angle"), by_axis[:, 0], none),
                "even": (("sample", "axis", "angle"), by_axis[:, 1], none),
            },
            coords={
                "target": [str(target) for target in asked],
                "unit": ("target", [probe.targets.unit_of(subject, target) for target in asked]),
                "words": ("target", [probe.targets.in_words(target) for target in asked]),
                "wavenumber": ("bin", np.arange(probe.ensemble.count_of(grid)) * grid.fundamental, {"units": grid.inverse_unit}),
                "edge": ("band", edges, {"units": grid.inverse_unit}),
                "sample": [probe.equivariance.name_of_field(subject, place) for place in range(count)],
            },
            attrs=probe.equivariance.facts(subject)
            | {"nyquist": grid.nyquist, "point": "the answer, mean over all points" if even[0][0] >= 0 else "the numbers"},
        )

    def _targets(self, subject: Subject) -> tuple[Target, ...]:
        if self.targets:
            return probe.targets.parse_all(self.targets)
        shell = probe.targets.Target("power", index=min(SHELL, subject.grid.shells().count))
        found = probe.targets.defaults(subject)
        return found if probe.targets.unfit(subject, shell) else (*found, shell)

    def judge(self, measured: Measured) -> list[Check]:
        model = measured["model"]
        if not np.isfinite(model.value.values).all():
            return [Check.not_applicable("scales", "it does not answer to real fields")]
        if not np.nan_to_num(model.share.values).any() and not model.removed.values.any():
            return [Check.info("scales", 0.0, "No scale of the input changes the answer.")]
        checks = [_answer(measured), self._law(measured), self._isotropy(model), _removal(model)]
        return [check for check in checks if check is not None]

    def _law(self, measured: Measured) -> Check | None:
        model, law = measured["model"], measured.get("simulator")
        if law is None or not probe.scales.asked(law).all() or not probe.scales.asked(model).all():
            return None
        rows = np.concatenate([model.share.values[0], law.share.values[0]], -1)
        span = probe.intervals.of_samples(rows, lambda some: probe.scales.apart(*np.split(some, 2, -1)))
        name, unit = str(model.attrs["simulator"]), model.wavenumber.attrs["units"]
        apart = [probe.scales.apart(model.share.values[i], law.share.values[i]) for i in range(1, model.sizes["target"])]
        others = "".join(f"; of {words!s} {percent(float(d))}" for words, d in zip(model.words.values[1:], apart, strict=True))
        sentence = (
            f"Of the variance of {model.words.values[0]!s}, {percent(span.value)} lies at other scales than by {name} (half of it "
            f"below k = {_middle(model, 0):.3g} {unit}, by {name} {_middle(law, 0):.3g}){others}."
        )
        source = f"a convention: {percent(self.bound)} of the variance"
        return Check.judged("law", span, (None, self.bound), sentence, bound_from=source, covers=_covers(model))

    def _isotropy(self, model: Dataset) -> Check | None:
        axes = model.sizes["axis"]
        if axes == 1:
            return None
        found, even = model.found.values[..., -1], model["even"].values[..., -1]
        if not even.sum() > 0:
            return None
        excess = found.sum(0) / even.sum(0) - 1
        worst = int(np.abs(excess).argmax())
        rows = np.stack([found[:, worst], even[:, worst]], -1)
        span = probe.intervals.of_samples(rows, lambda some: some[:, 0].sum() / some[:, 1].sum() - 1)
        told = ", ".join(
            f"{'less' if e < 0 else 'more'} by {percent(abs(e))} along {n}" for n, e in zip("xyz", excess, strict=False)
        )
        sentence = f"For {model.attrs['point']!s}, the modes along an axis count, against all of the same |k|, {told}."
        if denied := str(model.attrs["denied_rotation"]):
            return Check.info(
                "isotropy", span, f"{sentence} The description denies this symmetry ({denied}).", covers=_covers(model)
            )
        if model.attrs["symmetry_assumed"]:
            sentence += " The symmetries of empty space are assumed: the description declares none."
        source = f"a convention: {percent(self.isotropy_bound)} of what all modes of the same |k| make on average"
        bounds = (-self.isotropy_bound, self.isotropy_bound)
        return Check.judged("isotropy", span, bounds, sentence, bound_from=source, covers=_covers(model))

    def draw(self, measured: Measured) -> list[Panel]:
        model = measured["model"]
        changes = np.nan_to_num(model.share.values).any() or model.removed.values.any()
        if not changes or not np.isfinite(model.value.values).all():
            return []
        has_angles = model.sizes["axis"] > 1 and model["even"].values.sum() > 0
        return [_shares_panel(measured), *([_angles(measured)] if has_angles else [])]


def _by_axis(subject: Subject, even: list[tuple[int, str]], count: int) -> ndarray:
    """Variance by angle, and were all of a bin alike, of all that together prefers no direction: (sample, 2, axis, angle)."""
    room = probe.scales
    cases = [room.DirectionsCase(place, count, *one) for one in even for place in range(count)]
    found = subject.map(room.by_direction, cases, passes=4 * len(room.turns_of(subject)))
    return np.array(found).reshape(len(even), count, 2, subject.grid.dimension, -1).sum(0)


def _middle(data: Dataset, place: int, part: float = 0.5) -> float:
    """The k below which a part of the variance lies, to half a bin."""
    return float(probe.scales.quantile(data.share.values[place], data.wavenumber.values, part))


def _covers(model: Dataset) -> str:
    return f"{model.sizes['sample']} fields"


def _answer(measured: Measured) -> Check:
    model, unit = measured["model"], str(measured["model"].wavenumber.attrs["units"])
    if not probe.scales.asked(model)[0]:
        return _without_gradients(model)
    told = [
        f"{words!s}: half from k < {_middle(model, i):.3g} {unit}, nine tenths from k < {_middle(model, i, 0.9):.3g}"
        for i, words in enumerate(model.words.values)
    ]
    k = model.wavenumber.values
    span = probe.intervals.of_samples(model.share.values[0], lambda rows: np.array(probe.scales.quantile(rows, k, 0.5)))
    span = replace(span, low=max(0.0, span.low))
    others = [
        f"{_middle(measured[name], 0):.3g} for {probe.equivariance.look(name, model)['label']}"
        for name in ("simulator", "lpt2", "identity", "untrained")
        if name in measured and probe.scales.asked(measured[name])[0]
    ]
    beside = f"; half of the first from k < {', '.join(others)}" if others else ""
    return Check.info(
        "scales", span, f"Where the variance comes from, of {'; of '.join(told)}{beside}.", unit=unit, covers=_covers(model)
    )


def _without_gradients(model: Dataset) -> Check:
    shares, unit = probe.scales.removal_shares(model)[0], model.wavenumber.attrs["units"]
    if not np.isfinite(shares).all():
        return Check.not_applicable("scales", f"no gradients pass through it, and {UNANSWERED}")
    worst = int(shares.argmax())
    sentence = (
        f"No gradients pass through it; of the bands taken out, that up to k = {float(model.edge[worst]):.3g} {unit} changes "
        f"{model.words.values[0]!s} most ({percent(shares[worst])} of the squared changes)."
    )
    return Check.info("scales", float(shares[worst]), sentence)


def _removal(model: Dataset) -> Check | None:
    """How far the linear shares are from what taking bands out does, of the first target."""
    if not probe.scales.asked(model)[0]:
        return None
    shares, k = probe.scales.removal_shares(model)[0], model.wavenumber.values
    if not np.isfinite(shares).all():
        return Check.not_applicable("removal", UNANSWERED)
    own = probe.scales.normal(model.share.values[0])
    bands = np.searchsorted(model.edge.values, k[1:] * (1 - 1e-9)).clip(max=model.sizes["band"] - 1)
    linear = np.bincount(bands, own[1:], model.sizes["band"]) / max(own[1:].sum(), 1e-300)
    apart = float(np.abs(linear - shares).sum() / 2)
    edges = ", ".join(f"{float(e):.3g}" for e in model.edge)
    told = ", ".join(f"{percent(s)} ({percent(one)})" for s, one in zip(shares, linear, strict=True))
    sentence = (
        f"Taken out one by one, the bands up to k = {edges} {model.wavenumber.attrs['units']} make these shares of the squared "
        f"changes of {model.words.values[0]!s}: {told}; in brackets those of the gradient."
    )
    return Check.info("removal", apart, sentence, covers=_covers(model))


def _shares_panel(measured: Measured) -> Panel:
    model = measured["model"]
    pictures = [(str(target), _picture(measured, i)) for i, target in enumerate(model.target.values)]
    words = []
    for i, target in enumerate(model.target.values):
        if probe.scales.asked(model)[i]:
            shares = zip(model.wavenumber.values, probe.scales.normal(model.share.values[i]), strict=True)
            words.append(f"{target!s} by k: {', '.join(f'{k:.3g}: {percent(s)}' for k, s in shares)}")
        words.append(f"{target!s} by removal: {', '.join(percent(s) for s in probe.scales.removal_shares(model)[i])}")
    caption = (
        "Left: shares of a number's linearised variance by |k| of the input, mean over "
        f"{_covers(model)}; the dotted line is Nyquist, beyond which only the corners of k-space lie. Right: the same summed up, "
        "and as marks the shares of the squared changes when bands are taken out, summed up at the bands' upper edges."
    )
    return Panel("Scales that matter", pictures, caption, "; ".join(words), ("share", "removed", "value"))


def _picture(measured: Measured, place: int) -> Figure:
    model = measured["model"]
    picture, axes = figures.figure(columns=2, width=9.2, height=3.4)
    k = model.wavenumber.values
    for data, look in probe.equivariance.curves(measured, "share", ("untrained", "identity", "lpt2", "simulator", "model")):
        if probe.scales.asked(data)[place]:
            shares = probe.scales.normal(data.share.values[place])
            axes[0, 0].plot(k[1:], shares[1:], **look)
            axes[0, 1].plot(k[1:] + k[1] / 2, np.cumsum(shares)[1:], **look)
    marks = figures.style("model", "model, bands taken out") | {"linestyle": "none", "marker": "o", "markerfacecolor": "none"}
    axes[0, 1].plot(model.edge, np.cumsum(probe.scales.removal_shares(model)[place]), **marks)
    for panel, label in zip(axes[0], ("share of the variance", "share of the variance below k"), strict=True):
        panel.axvline(float(model.attrs["nyquist"]), color=figures.INK, lw=0.8, ls=":")
        figures.logarithmic(panel)
        panel.set_xlabel(figures.axis_label("k of the input", model.wavenumber.attrs["units"]))
        panel.set(ylim=(0, None), ylabel=label)
    figures.legend(axes[0, 1], **figures.BESIDE)
    return picture


def _angles(measured: Measured) -> Panel:
    model = measured["model"]
    bins = model.sizes["angle"] - 1
    middle = (np.arange(bins) + 0.5) / bins
    picture, axes = figures.figure(width=6.4)
    ratio = model.found.values[..., :-1].sum(0) / np.maximum(model["even"].values[..., :-1].sum(0), 1e-300)
    rows = model.found.values[..., :-1], model["even"].values[..., :-1]
    for i, axis in enumerate("xyz"[: len(ratio)]):
        color = ("#0072B2", "#D55E00", "#009E73")[i]
        aside = middle + 0.012 * (i - (len(ratio) - 1) / 2)
        axes[0, 0].plot(aside, ratio[i], color=color, ls=("-", "--", "-.")[i], marker="os^"[i], lw=1.6, label=f"angle to {axis}")
        _, low, high = probe.intervals.over_samples(
            np.stack([rows[0][:, i], rows[1][:, i]], -1), lambda some: some[..., 0].sum(0) / np.maximum(some[..., 1].sum(0), 1e-300)
        )
        axes[0, 0].vlines(aside, np.maximum(low, 0), np.minimum(high, 1e3), color=color, lw=1.0, alpha=0.7)
    axes[0, 0].axhline(1.0, color=figures.INK, lw=0.8)
    top = max(1.2, 1.1 * float(ratio.max()))
    axes[0, 0].set(
        xlabel="|cos| of the angle between k and the axis",
        ylabel="variance / that of all directions alike",
        ylim=(min(0.8, 0.9 * float(ratio.min())), top),
    )
    figures.legend(axes[0, 0], **figures.BESIDE)
    text = "; ".join(f"{axis}: {', '.join(f'{r:.3g}' for r in row)}" for axis, row in zip("xyz", ratio, strict=False))
    caption = (
        f"Of {model.attrs['point']!s}: how much of the variance comes from modes at an angle to each axis, over what it would be "
        f"if all modes of the same |k| counted alike; bars are intervals over {_covers(model)}. On the right are the modes along "
        "the axis."
    )
    return Panel("Directions that matter", [("", picture)], caption, text, ("found", "even"))
