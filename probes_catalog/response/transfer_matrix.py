"""The probe `transfer_matrix`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import lazy_loader as lazy

import probe
from probe import figures
from probe.contract import Check, Measured, Panel, Probe, Subject, judgement, measurement, percent

if TYPE_CHECKING:
    from numpy import ndarray
    from xarray import Dataset

    from probe.grid import Grid
    from probe.intervals import Interval

np, xr = lazy.load("numpy"), lazy.load("xarray")

AXES = ("x", "y", "z")
BACKGROUNDS = {"quick": 3, "default": 3, "full": 4}  # twice as many on a line and in the plane, where they cost little
FLOOR = 1e-8  # the faintest share of a column's power that is drawn
FAINTEST = 1e-3  # below this share of the largest gain a phase is that of next to nothing, and not drawn


class TransferMatrix(Probe):
    """Which scale feeds which?

    The model's first derivative, J, is taken about real fields (inputs of the pairs, Gaussian fields without them), in the
    direction of unit waves exp(i k.x): the answer's amplitude at k' is H(k -> k'), one column of the Jacobian in Fourier space.
    For a linear model that treats all places alike the matrix is diagonal and the same about every field, H(k). About one
    background anything nonlinear has more: a wave k and the background's wave k' - k make k'. That is physics, and told as it is.

    Moving the background, and not the wave, by t turns every term off the diagonal by exp(-i (k' - k).t). Averaged over
    the shifts within a stride s, the terms on the aliasing rungs k' = k + (N/s) j therefore vanish, exactly and about every single
    field, for a model that treats all places alike. What survives is aliasing. Rungs that the shifts along one line do not
    reach (those whose j add up to a multiple of s) are asked with `--effort full` alone. A network that shows no stride is looked
    at on the rungs of 4, or 2. Likewise, two backgrounds half a box apart: what survives their average knows its place.

    Derivatives are exact to rounding (forward differentiation, else double backward, both held against central differences
    first); a function without gradients is asked by central differences if it is in float64.

    How to read it: in the first figure each column is a wave, its power spread over the shells of k' that it comes out in; the
    white mark is the wave's own k. A faithful model has the columns of the simulator or of 2LPT beside it; a linear one has one
    cell a column; cells at a fixed distance from the mark whatever the background are aliasing. The second figure is the
    diagonal, gain and phase, along and across the wave. The third says how much goes elsewhere, and why.

    Aliasing and place have the bound of any broken symmetry: with pairs at most half of the model's error power may break it,
    which is reached when two answers that are moved against each other differ by the model's own error; without pairs 2 %, a
    convention. Such two differ by twice the power that survives. Where the law itself can be differentiated, its diagonal about the
    same fields is the truth; the bound is 5 % of all that the wave truly becomes, of one that the law nearly wipes out 5 % of a
    tenth of the largest, a convention. Else the diagonal is told as it is. A failure of aliasing is usually a strided convolution
    or an upsampling without blur, one of the diagonal at high k a scale that the training inputs did not hold.
    """

    suite, version = "response", 1
    checks = ("aliasing", "diagonal", "place", "coupling", "polarisation", "derivative")
    controls = ("simulator", "identity", "lpt2", "linear_filter", "untrained")
    references = (
        "R. Zhang (2019), Making Convolutional Networks Shift-Invariant Again, arXiv:1904.11486.",
        "M. Crocce & R. Scoccimarro (2006), Phys. Rev. D 73, 063520, arXiv:astro-ph/0509419: the response to one mode, averaged.",
        "T. Nishimichi, F. Bernardeau & A. Taruya (2016), Phys. Lett. B 762, 247, arXiv:1411.2970: response functions k to k'.",
    )

    modes = measurement(None, "integer modes n of the waves; chosen from the grid by default", like=((3, 0, 0),))
    backgrounds = measurement(
        None,
        "fields it is linearised about; by default 3 or 4, by effort, twice that in the plane and on a line",
        like=3,
        low=1,
        high=1000,
    )
    stride = measurement(None, "the stride whose rungs are looked at; by default the network's", like=4, low=2, high=64)
    input = measurement("", "the input quantity the waves are put into; the first field by default")
    output = measurement("", "the output quantity looked at; the first field by default")
    bound = judgement(None, "largest relative error that breaks translation; by default that of any symmetry", like=0.02, low=0.0)
    response_bound = judgement(
        0.05, "largest error of the diagonal, relative to all that the wave becomes by the law", low=0.0, high=10.0
    )

    def applies(self, subject: Subject) -> str:
        model = subject.model
        if subject.grid.boundary != "periodic":
            return (
                f"the box's boundary is {subject.grid.boundary!r}, where waves are no modes and the background cannot be moved; "
                "plane_wave asks there, through a window"
            )
        if not model.differentiable and str(probe.coupling.in_double(subject).dtype) != "torch.float64":
            return (
                f"no gradients pass through {model.name}, and central differences need float64: give it as a torch module, or a "
                "function in float64"
            )
        return probe.response.no_waves(subject, self.input, self.output)

    def measure(self, subject: Subject) -> Dataset:
        room, grid, (source, answered) = probe.jacobian, subject.grid, probe.response.between(subject, self.input, self.output)
        for mode in self.modes or ():
            probe.response.check_mode(mode, grid)
        modes = sorted(set(self.modes or _modes(grid)[:: 2 if subject.effort == "quick" else 1]), key=grid.wavenumber_of)
        count, names = self._count(subject), (source.name, answered.name)
        along, cell = _along(subject), subject.effort == "full"
        period = room.period_of(subject, along, self.stride)
        shifts, rungs = room.shifts_of(period, along, cell), room.rungs_of(period, along, cell, grid)
        ahead, across = (tuple(room.Wave(mode, place) for mode in modes) for place in (0, 1))
        cost = probe.derivatives.COST * 2 * len(modes)
        cases = [room.ColumnsCase(place, ahead, shifts, rungs, *names) for place in range(count)]
        found = subject.map(room.columns, cases, passes=cost * len(shifts))
        rest = [room.ColumnsCase(0, across, shifts[:1], (), *names)] if source.is_vector and grid.dimension > 1 else []
        turned = subject.map(room.columns, rest, passes=cost)
        half, derivative = room.half_box(along, grid, subject.model.stride), probe.derivatives.derivative_of(subject)
        placed = subject.map(room.places, [room.ColumnsCase(0, ahead, half, (), *names)] if half else [], passes=2 * cost)
        return xr.Dataset(
            room.tabulate(found, turned, placed, probe.spectra.response_unit(source.unit, answered.unit))
            | {"data_error": probe.equivariance.data_error(subject, answered.name)},
            coords={
                "mode": [probe.waves.label(mode) for mode in modes],
                "wavenumber": ("mode", [grid.wavenumber_of(mode) for mode in modes], {"units": grid.inverse_unit}),
                "shell_wavenumber": ("shell", grid.shells().wavenumber.numpy(), {"units": grid.inverse_unit}),
                "background": [probe.equivariance.name_of_field(subject, place) for place in range(count)],
            },
            attrs=probe.equivariance.facts(subject)
            | ({"denied_translation": ""} if _granted(subject) else {})
            | {"period": period, "rungs_asked": len(rungs), "rungs_all": period ** sum(along) - 1 if period else 0}
            | {"shifts": len(shifts), "way": derivative.way, "apart": derivative.apart, "reason": derivative.reason}
            | {"input": source.name, "output": answered.name},
        )

    def _count(self, subject: Subject) -> int:
        return int(self.backgrounds or BACKGROUNDS[subject.effort] * (1 if subject.grid.dimension > 2 else 2))

    def judge(self, measured: Measured) -> list[Check]:
        model = measured["model"]
        if model.attrs["reason"]:
            return [Check.not_applicable("aliasing", f"it has no first derivative: {model.attrs['reason']}")]
        if not probe.jacobian.size(model).any():
            return [Check.not_applicable("aliasing", "its answer does not depend on waves at all")]
        checks = [self._aliasing(measured), self._diagonal(measured), self._place(measured), _coupling(measured)]
        return checks + ([_blocks(model)] if "across" in model else []) + [_derivative(model)]

    def _aliasing(self, measured: Measured) -> Check:
        model, period = measured["model"], int(measured["model"].attrs["period"])
        if not period:
            return Check.not_applicable("aliasing", "no stride divides this grid; set transfer_matrix.stride to one that does")
        shares = probe.jacobian.shares(model)
        broken, coupled = shares["survives"], float(shares["coupled"].mean())
        # Two answers moved against each other differ by twice the power that breaks the symmetry.
        error = probe.equivariance.root_mean_square(np.sqrt(2 * broken.mean(1)))
        worst = int(broken.mean(0).argmax())
        sentence = (
            f"Of the power that a wave comes out with, {percent(float(broken.mean()))} lies at other k because of the grid (most "
            f"at k = {_k(model, worst)}: {percent(float(broken.mean(0)[worst]))}) and {percent(coupled)} {_why(model)}: with the "
            f"background moved by parts of a stride of {period} the answer changes by {percent(error.value)}."
        )
        asked, every = int(model.attrs["rungs_asked"]), int(model.attrs["rungs_all"])
        if asked < every:
            sentence += f" {asked} of {every} rungs were asked."
        return self._broken("aliasing", error, measured, sentence, _fields(model))

    def _place(self, measured: Measured) -> Check:
        model = measured["model"]
        if "place" not in model:
            return Check.not_applicable("place", "half of the box is no whole number of strides along every axis")
        power = probe.jacobian.misplaced(model)
        error, worst = float(np.sqrt(2 * power.mean())), int(power.argmax())
        sentence = (
            f"With the background moved by half of the box the answer to a wave changes by {percent(error)} (most at k = "
            f"{_k(model, worst)}: {percent(float(np.sqrt(2 * power[worst])))})."
        )
        return self._broken("place", error, measured, sentence, "one field")

    def _broken(self, name: str, error: Interval | float, measured: Measured, sentence: str, covers: str) -> Check:
        denied = str(measured["model"].attrs["denied_translation"])
        return probe.equivariance.symmetry_check(name, error, measured, self.bound, sentence, denied, covers)

    def _diagonal(self, measured: Measured) -> Check:
        model, run = measured["model"], measured.get("simulator")
        gain, unit = _gain(model), str(model.response.attrs["units"])
        if run is None or not np.isfinite(abs(run.response)).all():
            told = ", ".join(f"{g:.3g} at {_k(model, i)}" for i, g in enumerate(gain))
            words = f"The gain H(k -> k) is {told}{_beside(measured, lambda data: ', '.join(f'{g:.3g}' for g in _gain(data)))}."
            return Check.info("diagonal", float(gain[0]), words, unit=unit, covers=_fields(model))
        # All that the wave becomes: where its power goes elsewhere, little is left on the diagonal to be relative to.
        true = np.sqrt(run.total_power.values.mean(0))
        size = np.maximum(true, probe.response.FAINT * true.max())
        errors = np.sqrt((abs(model.response.values - run.response.values) ** 2).sum(-1)) / size
        worst = int(errors.mean(0).argmax())
        error = probe.equivariance.root_mean_square(errors[:, worst])
        yardstick = "all that the wave truly becomes" if true[worst] == size[worst] else "a tenth of the largest true answer"
        sentence = (
            f"The response H(k -> k) is off by {percent(error.value)} of {yardstick} at worst (k = "
            f"{_k(model, worst)}: gain {gain[worst]:.3g} for {_gain(run)[worst]:.3g}), held against {model.attrs['simulator']}, "
            "differentiated about the same fields."
        )
        source = "a convention, that of plane_wave: 5 % of the true response, 0.25 % of its power"
        return Check.judged("diagonal", error, (None, self.response_bound), sentence, bound_from=source, covers=_fields(model))

    def draw(self, measured: Measured) -> list[Panel]:
        if measured["model"].attrs["reason"]:
            return []
        limit, _ = probe.equivariance.bound_of(measured, self.bound)
        return [_matrix(measured), _gains(measured), _budget(measured, limit**2 / 2)]


def _along(subject: Subject) -> tuple[int, ...]:
    """1 along every axis whose places the description grants to be alike; along all where it grants none."""
    granted = _granted(subject)
    return tuple(int(not granted or axis in granted) for axis in AXES[: subject.grid.dimension])


def _granted(subject: Subject) -> set[str]:
    return set(subject.description.symmetries.translation) & set(AXES[: subject.grid.dimension])


def _modes(grid: Grid) -> list[tuple[int, ...]]:
    """Waves along the first axis from long to short, and an oblique one, in the order of |k|."""
    points, rest = min(grid.shape), (0,) * (grid.dimension - 1)
    limit = (points - 1) // 2
    parts = (16, 6, 3) if rest else (64, 16, 8, 4, 3)
    chosen = {(max(1, points // part), *rest) for part in parts}
    if rest:
        chosen.add(((4, 6, 0) if limit >= 6 else (1, 2, 0))[: grid.dimension])
    return sorted((mode for mode in chosen if max(mode) <= limit), key=grid.wavenumber_of)


def _why(model: Dataset) -> str:
    """What most of the rest comes from: half of what knows its place survives two backgrounds half a box apart."""
    misplaced = float(probe.jacobian.misplaced(model).mean()) / 2
    if misplaced > float(probe.jacobian.shares(model)["coupled"].mean()) / 4:
        return "because the model knows its place in the box"
    return "because the background couples it"


def _coupling(measured: Measured) -> Check:
    def coupled(data: Dataset) -> str:
        return percent(float(probe.jacobian.shares(data)["coupled"].mean()))

    model = measured["model"]
    share = probe.intervals.of_mean(probe.jacobian.shares(model)["coupled"].mean(1))
    words = f"About one field, {coupled(model)} of a wave's power comes out coupled to other k{_beside(measured, coupled)}."
    return Check.info("coupling", share, words, covers=_fields(model))


def _beside(measured: Measured, told: Callable[[Dataset], str]) -> str:
    """'; of 2LPT ..., of the input itself ...': the same of whatever it is compared with."""
    others = [name for name in _shown(measured) if name != "model"]
    words = [f"of {probe.equivariance.look(name, measured['model'])['label']} {told(measured[name])}" for name in others]
    return f"; {'; '.join(words)}" if words else ""


def _blocks(model: Dataset) -> Check:
    """The blocks of the diagonal about the first field: what a wave along k and one across it become."""
    ahead, across = abs(model.response.values[0]) ** 2, abs(model.across.values) ** 2
    faint = float(model.attrs["rounding"]) ** 2 * max(ahead.max(), across.max(), 1e-300)
    shares = (ahead[:, 1:].sum(1) / np.maximum(ahead.sum(1), faint), *(across / np.maximum(across.sum(1, keepdims=True), faint)).T)
    turned, back, _, *other = (float(share.max()) for share in shares)
    along, beside = (", ".join(f"{gain:.3g}" for gain in np.sqrt(power)) for power in (ahead[:, 0], across[:, 1]))
    handed = "".join(f" and turned about k by {percent(share)}" for share in other)
    sentence = (
        f"At its own k a longitudinal wave comes out transverse by at most {percent(turned)} of the power, a transverse one "
        f"longitudinal by {percent(back)}{handed}; the gain is {along} along the wave, {beside} across it."
    )
    return Check.info("polarisation", turned, sentence, covers="one field")


def _derivative(model: Dataset) -> Check:
    words = {"forward": "forward differentiation", "double backward": "double backward differentiation"}
    way, apart = str(model.attrs["way"]), float(model.attrs["apart"])
    if way == "differences":
        sentence = f"No gradients pass through it: central differences in float64, {percent(apart)} apart when taken twice."
    else:
        sentence = f"Its derivatives come by {words.get(way, way)}, {percent(apart)} from central differences in its own precision."
    return Check.info("derivative", apart, sentence)


def _matrix(measured: Measured) -> Panel:
    model, shown = measured["model"], [n for n in ("model", "simulator", "lpt2", "untrained") if n in _shown(measured)][:3]
    picture, axes = figures.figure(columns=len(shown), width=2.6 + 2.6 * len(shown), height=4.0, sharey=True)
    edges = (np.arange(model.sizes["shell"] + 1) + 0.5) * model.attrs["fundamental"]
    with figures.house_style():
        for panel, name in zip(axes[0], shown, strict=True):
            values, columns = np.log10(np.maximum(_spread(measured[name]).T, FLOOR)), np.arange(model.sizes["mode"] + 1) - 0.5
            image = panel.pcolormesh(columns, edges, values, cmap="viridis", vmin=-6, vmax=0)
            for color, width in ((figures.INK, 4.0), ("white", 1.6)):
                panel.plot(columns[1:] - 0.5, model.wavenumber, "_", color=color, ms=14 + width, mew=width)
            panel.set_xticks(range(model.sizes["mode"]), labels=[f"{float(k):.3g}" for k in model.wavenumber])
            panel.grid(False)
            panel.set_title(str(probe.equivariance.look(name, model)["label"]))
            panel.set_xlabel(figures.axis_label("k of the wave", model.wavenumber.attrs["units"]))
        axes[0, 0].set_ylabel(figures.axis_label("k' it comes out at", model.wavenumber.attrs["units"]))
        bar = picture.colorbar(image, ax=list(axes[0]), pad=0.02, aspect=30)
        bar.set_label("log10 of the share of the power")
        bar.outline.set_visible(False)  # type: ignore[operator]
    rows = []
    for place, row in enumerate(_spread(model)):
        first, second = np.argsort(row)[:-3:-1]
        peaks = (f"{percent(float(row[i]))} at k' = {float(model.shell_wavenumber[i]):.3g}" for i in (first, second))
        rows.append(f"k = {_k(model, place)}: {', then '.join(peaks)}")
    caption = (
        f"Each column is a wave; the colours are the shares of its power that come out in the shells of k', mean over "
        f"{model.sizes['background']} fields that it rides on. The white mark is the wave's own k. A linear model that treats all "
        "places alike has the marked cells alone; the rest is coupling to the background, and aliasing. Less than "
        "1e-6 is drawn at 1e-6."
    )
    return Panel("Which scale feeds which", [("", picture)], caption, "; ".join(rows), ("shell_power", "total_power"))


def _gains(measured: Measured) -> Panel:
    model, unit = measured["model"], str(measured["model"].response.attrs["units"])
    k = model.wavenumber.values
    picture, axes = figures.figure(columns=2, width=8.8)
    for name in reversed(_shown(measured)):
        data, look = measured[name], probe.equivariance.look(name, model) | {"marker": "o", "markersize": 4}
        axes[0, 0].plot(k, _gain(data), **look)
        axes[0, 1].plot(k, _phase(data.response.values[..., 0].mean(0), model), **look)
        if "across" in data and name == "model":
            turned = look | {"marker": "s", "markerfacecolor": "none", "linewidth": 1.0, "label": "model, across the wave"}
            axes[0, 0].plot(k, abs(data.across.values[:, 1]), **turned)
            axes[0, 1].plot(k, _phase(data.across.values[:, 1], model), **turned)
    axes[0, 0].set_ylim(bottom=0)
    axes[0, 0].set_ylabel(figures.axis_label("gain |H(k → k)|", unit))
    axes[0, 1].set_ylabel(figures.axis_label("phase of H(k → k)", "rad"))
    for panel in axes[0]:
        figures.logarithmic(panel)
        panel.set_xlabel(figures.axis_label("k", model.wavenumber.attrs["units"]))
    figures.legend(axes[0, 1], **figures.BESIDE)
    text = "; ".join(f"k = {_k(model, i)}: {complex(model.response.values[:, i, 0].mean()):.4g}" for i in range(len(k)))
    caption = (
        f"The diagonal of the Jacobian, mean over {model.sizes['background']} fields: what stays at its own k, along the wave "
        "(of a vector; open squares: across it). The phase is that of the mean, "
        f"left out where the gain is below {FAINTEST:g} of the model's largest."
    )
    names = ("response", "across") if "across" in model else ("response",)
    return Panel("Gain and phase about real fields", [("", picture)], caption, f"H along the wave: {text}", names)


def _budget(measured: Measured, limit: float) -> Panel:
    model, k = measured["model"], measured["model"].wavenumber.values
    picture, axes = figures.figure(columns=2, width=8.8, sharey=True)
    titles = {"coupled": "coupled to the background", "survives": "survives on the rungs: aliasing"}
    for panel, (part, title) in zip(axes[0], titles.items(), strict=True):
        for name in reversed(_shown(measured)):
            look = probe.equivariance.look(name, model) | {"marker": "o", "markersize": 4}
            panel.plot(k, np.maximum(probe.jacobian.shares(measured[name])[part].mean(0), FLOOR), **look)
        figures.logarithmic(panel)
        panel.set(yscale="log", ylim=(FLOOR / 2, 2.0))
        with figures.house_style():
            panel.set_title(title)
        panel.set_xlabel(figures.axis_label("k of the wave", model.wavenumber.attrs["units"]))
    axes[0, 1].axhline(limit, color="#D55E00", lw=1, ls=":", label="bound")
    axes[0, 0].set_ylabel("share of the power")
    figures.legend(axes[0, 1], **figures.BESIDE)
    shares = {part: probe.jacobian.shares(model)[part].mean(0) for part in titles}
    text = "; ".join(
        f"k = {_k(model, i)}: coupled {percent(float(shares['coupled'][i]))}, aliased {percent(float(shares['survives'][i]))}"
        for i in range(len(k))
    )
    caption = (
        "What does not stay at its k, as a share of the power that the wave comes out with. Left: what changes its phase as the "
        "background is moved, physics. Right: what survives on the rungs when the background is moved through a stride of "
        f"{int(model.attrs['period'])}. Less than {FLOOR:g} is drawn at {FLOOR:g}."
    )
    return Panel("What goes elsewhere, and why", [("", picture)], caption, text, ("total_power", "rungs_power", "single_power"))


def _spread(data: Dataset) -> ndarray:
    """Shares of each column's power by shell, mean over backgrounds: (mode, shell)."""
    return (data.shell_power.values / np.maximum(data.total_power.values, 1e-300)[..., None]).mean(0)


def _shown(measured: Measured) -> list[str]:
    names = ("model", "simulator", "lpt2", "identity", "linear_filter", "untrained")
    return [n for n in names if n in measured and np.isfinite(abs(measured[n].response)).all()]


def _gain(data: Dataset) -> ndarray:
    """|H(k -> k)| along the wave, mean over backgrounds: (mode,)."""
    return abs(data.response.values[..., 0]).mean(0)


def _phase(response: ndarray, model: Dataset) -> ndarray:
    """The phase where there is something to have one."""
    return np.where(abs(response) > FAINTEST * _gain(model).max(), np.angle(response), np.nan)


def _k(model: Dataset, place: int) -> str:
    return f"{float(model.wavenumber[place]):.3g} {model.wavenumber.attrs['units']}"


def _fields(model: Dataset) -> str:
    return f"{model.sizes['background']} fields"
