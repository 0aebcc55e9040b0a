"""The probe `null`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import lazy_loader as lazy

import probe
from probe import figures
from probe.contract import Check, Measured, Panel, Probe, Subject, judgement, measurement, percent

if TYPE_CHECKING:
    from numpy import ndarray
    from xarray import DataArray, Dataset

    from probe.fields import Quantity
    from probe.uniform import CheckerboardCase, UniformCase

np, xr = lazy.load("numpy"), lazy.load("xarray")

AXES, MODES = ("x", "y", "z"), ("nx", "ny", "nz")


class Null(Probe):
    """What comes out when nothing goes in?

    Four inputs without any physics in them, whose answers are known beforehand.

    - The field at rest: displacements and overdensities zero, every other quantity at its `shift`, the mean of the data. Under
      gravity nothing moves: the answer is zero. Where a law is named, its own answer is the truth; elsewhere what comes out is
      told, because a source may be physics.
    - Uniform fields: each channel raised and lowered by its rms. A law that is the same everywhere answers with a uniform field,
      whatever its value. Ripples are the network's own. A network of total stride s ripples at the modes (N/s) j, its rungs: the
      checkerboard of a transposed convolution, whose kernel overlaps unevenly, sits there. What is off the rungs comes from
      padding or from positions. Every Fourier mode is shown: averaged along an axis most would vanish.
    - A uniform displacement, at rest and on real fields: f(x + c) = f(x) + D(out)/D(in) c, because moving everything changes no
      force. Displacements are mostly bulk motion, so with c = rms no neighbourhood sees anything new.
    - The checkerboard itself, the Nyquist mode along each axis and along the diagonal: it may come back weaker, but on no other
      mode.

    How to read it: in the first figure every point is a mode of the answer; a clean model has none above rounding, and rings are
    rungs. A mean that is not zero is a bias; rings above the floor are a transposed convolution or a stride; a cloud is padding.

    Everything is told relative to a usual answer, that to a real field: about its mean for ripples, and for what leaves a
    checkerboard scaled down to a field as weak. The bound is 2 %, a convention. The error on data is no measure here, because the
    right answers are known exactly. Ripples and leaks are broken translation: where the description denies it they are only told.
    """

    suite, version = "response", 1
    checks = ("at_rest", "uniform_fields", "uniform_displacement", "checkerboard")
    controls = ("simulator", "identity", "untrained")
    references = (
        "A. Odena, V. Dumoulin & C. Olah (2016), Deconvolution and Checkerboard Artifacts, doi:10.23915/distill.00003.",
        "D. Jamieson et al. (2022), Field Level Neural Network Emulator for Cosmological N-body Simulations, arXiv:2206.04594.",
    )

    offset = measurement(1.0, "how far uniform fields are raised and lowered, in rms of the real fields", low=1e-6, high=100.0)
    level = measurement(0.2, "amplitude of the checkerboard: a = A|k| of a displacement, else of sqrt(2) rms", low=1e-6, high=10.0)
    fields = measurement(2, "real fields: those of the pairs first, then Gaussian ones", low=1, high=100)
    bound = judgement(0.02, "largest residual over a usual answer", low=0.0, high=10.0)

    def measure(self, subject: Subject) -> Dataset:
        usual = subject.map(probe.uniform.answer_to_usual, [probe.uniform.FieldCase(i) for i in range(self.fields)])
        size, spread, given = (np.sqrt(np.mean(np.square(rows), axis=0)) for rows in zip(*usual, strict=True))
        inputs, outputs = subject.description.inputs, subject.description.outputs
        scale = xr.Dataset(
            {
                "usual_size": ("output", size, {"units": _unit(outputs)}),
                "usual_spread": ("output", spread, {"units": _unit(outputs)}),
            },
            coords={"output": [q.name for q in outputs]},
        )
        sizes = [self.offset * (own or probe.waves.typical_size(q, subject.grid)) for own, q in zip(given, inputs, strict=True)]
        parts = [
            scale,
            self._uniform(subject, sizes, spread),
            self._moved(subject, sizes[0], size),
            self._checkerboards(subject, spread, given),
        ]
        return xr.merge(parts, combine_attrs="no_conflicts").assign_attrs(probe.equivariance.facts(subject))

    def _uniform(self, subject: Subject, sizes: list[float], spread: ndarray) -> Dataset:
        """The answers to uniform fields; every mode of that to nothing at all, and of that with the largest ripples."""
        room, grid, outputs = probe.uniform, subject.grid, subject.description.outputs
        labels, cases = _raised(subject, sizes)
        answers = subject.map(room.answer_to_uniform, cases)
        whole = np.array([room.total_power(a.power, grid) for a in answers])
        shown = list(dict.fromkeys([0, int(_ratio(np.sqrt(whole), spread).max(1).argmax())]))
        rungs = probe.spectra.ladder_mask((0,) * grid.dimension, grid, subject.model.stride).numpy()
        on_rungs = _ratio(np.array([room.total_power(a.power * rungs, grid) for a in answers]), whole)
        ranked = [room.largest_modes(a.power, grid) for a in answers]
        unit, modes = {"units": _unit(outputs)}, MODES[: grid.dimension]
        return xr.Dataset(
            {
                "mean": (("uniform", "channel"), np.array([a.mean for a in answers]), unit),
                "answer_size": (("uniform", "output"), np.array([a.size for a in answers]), unit),
                "ripple": (("uniform", "output"), np.sqrt(whole), unit),
                "on_rungs": (("uniform", "output"), on_rungs, {"units": ""}),
                "largest": (("uniform", "output", "rank"), np.array([r[1] for r in ranked]), unit),
                "mode_size": (("shown", "output", *modes), np.sqrt([answers[i].power for i in shown]), unit),
                "picture": (
                    ("shown", "output", *AXES[: min(2, grid.dimension)]),
                    np.array([answers[i].picture for i in shown]),
                    unit,
                ),
            },
            coords={
                "uniform": labels,
                "shown": [labels[i] for i in shown],
                "channel": [c for q in outputs for c in _components(q, grid)],
                "of_output": ("channel", [i for i, q in enumerate(outputs) for _ in range(q.width(grid))]),
                "largest_mode": (("uniform", "output", "rank"), np.array([r[0] for r in ranked])),
                "wavenumber": (modes, grid.wavenumber().numpy(), {"units": grid.inverse_unit}),
                "rung": (modes, rungs.astype(np.int8)),
            },
        )

    def _moved(self, subject: Subject, offset: float, size: ndarray) -> Dataset:
        """What a uniform displacement is not carried through by; nothing but for displacements under gravity."""
        if not probe.controls.is_displacement(subject.description):
            return xr.Dataset()
        room, dimension, moved = probe.uniform, subject.grid.dimension, subject.description.inputs[0]
        cases = [room.FieldCase(i, offset) for i in range(-1, self.fields)]
        errors = subject.map(room.answer_to_move, cases, passes=1 + dimension)
        names = ["at rest", *(f"{i + 1}: {probe.equivariance.name_of_field(subject, i)}" for i in range(self.fields))]
        return xr.Dataset(
            {"shift_error": (("background", "axis"), _ratio(np.array(errors), size[0]), {"units": ""})},
            coords={"background": names, "axis": list(AXES[:dimension])},
            attrs={"offset": offset, "offset_unit": moved.unit},
        )

    def _checkerboards(self, subject: Subject, spread: ndarray, given: ndarray) -> Dataset:
        """How much of a checkerboard comes back, and how much elsewhere, over what a field of its size usually gives."""
        cases = _boards(subject, self.level)
        if not cases:
            return xr.Dataset()
        inputs, grid = subject.description.inputs, subject.grid
        answers = subject.map(probe.uniform.answer_to_checkerboard, cases, passes=2)
        usual = np.array([c.amplitude / math.sqrt(inputs[c.input].width(grid)) / given[c.input] * spread for c in cases])
        labels = [f"{inputs[c.input].name} {probe.waves.label(c.mode)}" for c in cases]
        return xr.Dataset(
            {
                "gain": (("checkerboard", "output"), np.array([a[0] for a in answers]), {"units": ""}),
                "leak": (("checkerboard", "output"), _ratio(np.array([a[1] for a in answers]), usual), {"units": ""}),
            },
            coords={"checkerboard": labels},
        )

    def judge(self, measured: Measured) -> list[Check]:
        return [self._at_rest(measured), self._ripples(measured), self._displaced(measured), self._leaks(measured)]

    def _judged(self, name: str, value: float, sentence: str) -> Check:
        source = f"a convention, {percent(self.bound)} of a usual answer: the right one is known exactly"
        return Check.judged(name, value, (None, self.bound), sentence, bound_from=source)

    def _unbroken(self, name: str, value: float, sentence: str, model: Dataset) -> Check:
        """A verdict that rests on translation."""
        if denied := str(model.attrs["denied_translation"]):
            told = f"{sentence} The description denies this symmetry ({denied}), so nothing is judged."
            return Check.info(name, value, told)
        if model.attrs["symmetry_assumed"]:
            sentence += " The symmetries of empty space are assumed: the description declares none."
        return self._judged(name, value, sentence)

    def _at_rest(self, measured: Measured) -> Check:
        model = measured["model"]
        means, size = model["mean"].values[0], _ratio(model.answer_size.values[0], model.usual_size.values)
        worst = int(size.argmax())
        listed = ", ".join(f"{c} {v:.3g}" for c, v in zip(model.channel.values, means, strict=True))
        sentence = f"Nothing in, {percent(size[worst])} of a usual answer out (mean: {_with(listed, model['mean'])})."
        if "shift_error" in model:
            return self._judged("at_rest", float(size[worst]), sentence)
        if "simulator" not in measured or not np.isfinite(measured["simulator"]["mean"].values[0]).all():
            return Check.info("at_rest", float(size[worst]), f"{sentence} No law says what it should be.")
        off = np.abs(means - measured["simulator"]["mean"].values[0]) / model.usual_size.values[model.of_output]
        sentence += f" Its mean is {percent(float(off.max()))} of a usual answer away from the law's own."
        return self._judged("at_rest", float(off.max()), sentence)

    def _ripples(self, measured: Measured) -> Check:
        model = measured["model"]
        ripple = _ratio(model.ripple.values, model.usual_spread.values)
        case, output = np.unravel_index(int(ripple.argmax()), ripple.shape)
        worst = float(ripple[case, output])
        if worst <= float(model.attrs["rounding"]):
            sentence = f"Each of {len(ripple)} uniform fields comes back uniform to rounding."
        else:
            listed = zip(model.largest_mode.values[case, output], model.largest.values[case, output], strict=True)
            modes = ", ".join(f"{mode} {size:.2g}" for mode, size in list(listed)[:3] if size > 0)
            share = percent(float(model.on_rungs[case, output]))
            sentence = (
                f"Of {len(ripple)} uniform fields the worst ({model.uniform.values[case]!s}) comes back with ripples of "
                f"{percent(worst)} of a usual answer, {share} of their power {_rungs(model)}; the largest modes are "
                f"{_with(modes, model.largest)}."
            )
        return self._unbroken("uniform_fields", worst, sentence, model)

    def _displaced(self, measured: Measured) -> Check:
        model = measured["model"]
        if "shift_error" not in model:
            reason = 'asked of displacements alone: one in, one out, and law = "gravity" on a periodic grid'
            return Check.not_applicable("uniform_displacement", reason)
        rest, real = float(model.shift_error[0].max()), float(model.shift_error[1:].max())
        sentence = (
            f"A uniform displacement of {model.attrs['offset']:.3g} {model.attrs['offset_unit']}, which changes no force, changes "
            f"the answer beyond itself by {percent(real)} on {len(model.background) - 1} fields and by {percent(rest)} at rest."
        )
        return self._judged("uniform_displacement", max(rest, real), sentence)

    def _leaks(self, measured: Measured) -> Check:
        model = measured["model"]
        if "leak" not in model:
            return Check.not_applicable(
                "checkerboard", "a checkerboard needs a periodic box with an even number of points along an axis"
            )
        case, output = np.unravel_index(int(model.leak.values.argmax()), model.leak.shape)
        worst = float(model.leak[case, output])
        gains = ", ".join(f"{n} {g:.3g}" for n, g in zip(model.checkerboard.values, model.gain.values[:, output], strict=True))
        sentence = (
            f"A checkerboard comes back on modes other than its own with {percent(worst)} of what a field of its size gives; "
            f"of itself (gain): {gains}."
        )
        return self._unbroken("checkerboard", worst, sentence, model)

    def draw(self, measured: Measured) -> list[Panel]:
        model = measured["model"]
        flat = [self._pictures(model)] if model.picture.ndim == 4 else []
        return [self._modes(model), *flat, *([self._residuals(measured)] if {"shift_error", "leak"} & set(model) else [])]

    def _modes(self, model: Dataset) -> Panel:
        shown, outputs = model.sizes["shown"], model.sizes["output"]
        picture, axes = figures.figure(
            columns=shown, rows=outputs, width=3.6 + 3.2 * shown, height=0.6 + min(2.8 * outputs, 14.0), sharey="row"
        )
        k, rung = model.wavenumber.values.ravel()[1:], model.rung.values.ravel()[1:].astype(bool)
        for row, column in np.ndindex(outputs, shown):
            panel, usual = axes[row, column], float(model.usual_spread[row]) or 1.0
            floor = float(model.attrs["rounding"]) / 100
            size = np.maximum(model.mode_size.values[column, row].ravel()[1:] / usual, floor)
            panel.plot(k[~rung], size[~rung], ".", ms=3, color="#0072B2", alpha=0.5, rasterized=True, label="every other mode")
            if rung.any():
                panel.plot(k[rung], size[rung], "o", ms=7, mfc="none", mec="#D55E00", mew=1.4, label=_rungs(model))
            panel.axhline(floor, color=figures.GREY, lw=0.8, ls=":", label="rounding")
            panel.set(yscale="log", ylim=(floor / 3, max(10 * float(size.max()), 1e-2)), title=f"{model.shown.values[column]!s}")
            panel.set_xlabel(figures.axis_label("|k|", model.wavenumber.attrs["units"]))
            panel.set_ylabel(f"mode of {model.output.values[row]!s} / usual answer" if column == 0 else "")
        figures.legend(axes[0, -1], **figures.BESIDE)
        text = "; ".join(
            f"{case}: " + ", ".join(f"{m} {s:.3g}" for m, s in zip(modes, sizes, strict=True))
            for case, modes, sizes in zip(
                model.uniform.values, model.largest_mode.values[:, 0], model.largest.values[:, 0], strict=True
            )
        )
        caption = (
            "Every Fourier mode but the mean of the answers to uniform fields, as rms relative to a usual answer: nothing at all, "
            "and the uniform field with the largest ripples. Nothing should stand above rounding, where exact zeros are drawn. "
            f"Rings stand {_rungs(model)}, where transposed convolutions and strides leave their mark; points above the floor come "
            "from padding."
        )
        return Panel("Uniform fields, mode by mode", [("", picture)], caption, "Largest modes: " + text, ("mode_size", "largest"))

    def _pictures(self, model: Dataset) -> Panel:
        names = [f"{name!s}, loudest component" for name in model.output.values]
        rows = {
            str(case): dict(zip(names, values, strict=True))
            for case, values in zip(model.shown.values, model.picture.values, strict=True)
        }
        drawn = [(case, figures.slices(named, model.picture.attrs["units"], shared=[])) for case, named in rows.items()]
        text = "; ".join(f"{c}, {n}: {v.min():.3g} to {v.max():.3g}" for c, named in rows.items() for n, v in named.items())
        caption = "A slice of the answers to uniform fields. One colour is what a uniform field deserves."
        return Panel("The answers themselves", drawn, caption, text, ("picture",))

    def _residuals(self, measured: Measured) -> Panel:
        model = measured["model"]
        kinds = [kind for kind in ("shift_error", "leak") if kind in model]
        words = {"shift_error": "|f(x + c) - f(x) - Dc| / usual", "leak": "off the checkerboard / usual"}
        picture, axes = figures.figure(columns=len(kinds), width=1.0 + 3.4 * len(kinds), height=3.8)
        floor = float(model.attrs["rounding"]) / 100
        for panel, kind in zip(axes[0], kinds, strict=True):
            for index, name in enumerate(n for n in ("model", "untrained", "identity") if n in measured):
                look = probe.equivariance.look(name, model)
                values = np.maximum(measured[name][kind].values.max(1), floor)
                places = np.arange(len(values)) + 0.1 * (index - 1)
                panel.plot(places, values, "os^"[index], ms=6, color=look["color"], label=look["label"])
            panel.axhline(self.bound, color="#D55E00", lw=1.2, ls=":", label="bound")
            panel.set(yscale="log", ylabel=words[kind], ylim=(floor / 3, None), xlabel=model[kind].dims[0])
            panel.set_xticks(range(model[kind].shape[0]), labels=model[model[kind].dims[0]].values, rotation=30, ha="right")
        figures.legend(axes[0, -1])
        text = "; ".join(
            f"{n}: {float(v.max()):.3g}"
            for kind in kinds
            for n, v in zip(model[kind][model[kind].dims[0]].values, model[kind], strict=True)
        )
        caption = (
            "What should not be there, over a usual answer: of a uniform displacement whatever is not that displacement (worst "
            "axis), of a checkerboard whatever is on other modes. Points at the lower edge are exact to rounding."
        )
        return Panel("Moved as a whole, and the checkerboard", [("", picture)], caption, text, tuple(kinds))


def _raised(subject: Subject, sizes: list[float]) -> tuple[list[str], list[UniformCase]]:
    """The field at rest, and each channel raised and lowered (raised alone with quick effort) by a usual input's rms."""
    labels, cases, channel = ["nothing"], [probe.uniform.UniformCase()], 0
    signs = (1,) if subject.effort == "quick" else (1, -1)
    for quantity, size in zip(subject.description.inputs, sizes, strict=True):
        for name in _components(quantity, subject.grid):
            for sign in signs if not quantity.is_number else ():
                labels.append(f"{name} {sign * size:+.3g} {quantity.unit}".strip())
                cases.append(probe.uniform.UniformCase(channel, sign * size))
            channel += 1
    return labels, cases


def _boards(subject: Subject, level: float) -> list[CheckerboardCase]:
    """Nyquist along each axis that has one, and along all of them at once, in every input that is a field."""
    grid = subject.grid
    top = [points // 2 if points % 2 == 0 else 0 for points in grid.shape]
    modes = [tuple(n if a == axis else 0 for a in range(grid.dimension)) for axis, n in enumerate(top) if n] + [tuple(top)]
    modes = list(dict.fromkeys(mode for mode in modes if any(mode))) if grid.boundary == "periodic" else []
    inputs = [(i, q) for i, q in enumerate(subject.description.inputs) if not q.is_number]
    return [
        probe.uniform.CheckerboardCase(i, mode, probe.waves.physical_amplitude(level, mode, q, grid))
        for i, q in inputs
        for mode in modes
    ]


def _components(quantity: Quantity, grid: probe.Grid) -> list[str]:
    return [f"{quantity.name}_{axis}" for axis in AXES[: grid.dimension]] if quantity.is_vector else [quantity.name]


def _unit(quantities: tuple[Quantity, ...]) -> str:
    """The unit that all share; where they differ each output has its own, and one word cannot say it."""
    units = {q.unit for q in quantities}
    return units.pop() if len(units) == 1 else ""


def _with(listed: str, variable: DataArray) -> str:
    return f"{listed} {variable.attrs['units']}".strip()


def _rungs(model: Dataset) -> str:
    stride = int(model.attrs["stride"])
    return f"on the rungs (N/{stride}) j of stride {stride}" if stride > 1 else "on rungs (a network of stride 1 has none)"


def _ratio(top: ndarray, bottom: ndarray) -> ndarray:
    """Top over bottom; 0 where both vanish."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.asarray(top) == 0, 0.0, np.divide(top, bottom))
