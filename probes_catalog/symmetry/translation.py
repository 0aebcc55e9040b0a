"""The probe `translation`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import lazy_loader as lazy

import probe
from probe import figures
from probe.contract import Check, Measured, Panel, Probe, Subject, judgement, measurement, percent
from probe.intervals import Interval

if TYPE_CHECKING:
    from numpy import ndarray
    from xarray import Dataset

np, xr = lazy.load("numpy"), lazy.load("xarray")

AXES = ("x", "y", "z")
PARTS = (0.25, 0.5)


class Translation(Probe):
    """Is every place alike?

    The input is moved, and the answer should move with it. The error is |f(T x) - T f(x)| / |f(x)|, on fields of the pairs and
    then on random ones.

    - Whole cells, along each axis and along the diagonal: every shift within two strides, then wider ones up to half of the box.
      On a periodic lattice these are exact, and so is a network of total stride s at multiples of s if it pads periodically.
      Between them it need not be: it samples every s cells what it has not smoothed, and so knows its place in the stride.
    - Parts of a cell, by the phases of the Fourier modes. Input and answer are compared strictly below Nyquist, since the mode
      at Nyquist cannot be moved by half a cell. This has no right answer of its own: what anything nonlinear makes beyond
      Nyquist folds back, and folds otherwise when the grid is displaced. N-body displacements kept on every fourth particle
      change by 14 % under half a cell, more than the error of a network that learned them. So it is judged only against the law.
    - Where in the box the errors are, averaged over the whole-cell shifts.

    How to read it: in the first figure a comb that touches the floor at multiples of the stride is aliasing, and its height the
    price of the stride; a line that does not come down there knows absolute positions. In the second figure zero padding on
    a periodic box stands at the walls, a coordinate channel all over, aliasing as a comb.

    Only axes that the description grants are judged. A box with walls is not the same everywhere; there windows of a larger
    random field, displaced against each other, are compared at least `margin` cells from the walls, by default a quarter of the
    box. Whether a network sees farther nobody has said, so nothing is judged until `margin` is set, to its receptive field.

    The bound: with pairs, at most half of the model's error power may break the symmetry, which is reached when
    |f(Tx) - T f(x)| is as large as the model's error |f(x) - y|; without pairs 2 % of the output, a convention.
    """

    suite, version = "symmetry", 1
    checks = ("whole_cells", "parts_of_a_cell", "exact_shifts", "other_axes")
    controls = ("simulator", "identity", "untrained")
    references = (
        "R. Zhang (2019), Making Convolutional Networks Shift-Invariant Again, arXiv:1904.11486.",
        "A. Azulay & Y. Weiss (2019), Why do deep convolutional networks generalize so poorly..., arXiv:1805.12177.",
        "O. Kayhan & J. van Gemert (2020), On Translation Invariance in CNNs, arXiv:2003.07064.",
    )

    fields = measurement(
        None, "fields that are moved: of the pairs first, then made ones; by default 4 to 8", like=4, low=1, high=1000
    )
    margin = measurement(None, "cells left out at walls; set to the receptive field it makes the check a verdict", like=8, low=0)
    bound = judgement(None, "largest relative error; by default from the model's error on its pairs, else 2 %", like=0.02, low=0.0)

    def applies(self, subject: Subject) -> str:
        margin, shape = self._margin(subject.grid), subject.grid.shape
        if margin is None:
            return ""
        if any(q.is_number for q in (*subject.description.inputs, *subject.description.outputs)):
            return "a number has no place, and a field between walls cannot be moved as a whole"
        if min(shape) - 2 * margin < 4:
            return f"a margin of {margin} cells leaves less than four of {min(shape)}; set translation.margin to fewer"
        return ""

    def _margin(self, grid: probe.Grid) -> int | None:
        """None on a periodic grid."""
        if grid.boundary == "periodic":
            return None
        return min(grid.shape) // 4 if self.margin is None else int(self.margin)

    def measure(self, subject: Subject) -> Dataset:
        grid, margin, count = subject.grid, self._margin(subject.grid), probe.turns.field_count(subject, self.fields)
        shifts = _shifts(grid, subject.model.stride, margin)
        cases = [probe.orbits.ShiftCase(i, tuple(shifts.values()), margin) for i in range(count)]
        answers = subject.map(probe.orbits.move, cases, passes=len(shifts) + (2 if margin is None else 1))
        granted, directions = subject.description.symmetries.translation, [direction for direction, _ in shifts]
        asked = [probe.equivariance.name_of_field(subject, i) for i in range(count)]
        return xr.Dataset(
            {
                "shift_error": (("field", "shift"), np.stack([a.error for a in answers]), {"units": ""}),
                "added": ("field", np.array([a.added for a in answers]), {"units": ""}),
                "profile": (("axis", "position"), np.mean([a.profile for a in answers], 0), {"units": ""}),
                "data_error": probe.equivariance.data_error(subject),
            },
            coords={
                "direction": ("shift", directions),
                "cells": ("shift", [cells for _, cells in shifts], {"units": "cells"}),
                "granted": ("shift", [int(set(_axes(d, grid)) <= set(granted)) for d in directions]),
                "axis": list(AXES[: grid.dimension]),
                "position": ("position", list(range(max(grid.shape))), {"units": "cells"}),
                "field": asked if margin is None else ["window of a Gaussian field, k^-2"] * count,
            },
            attrs=probe.equivariance.facts(subject)
            | {"margin": -1 if margin is None else margin, "vouched": int(margin is None or self.margin is not None)},
        )

    def judge(self, measured: Measured) -> list[Check]:
        model = measured["model"]
        granted, whole = model.granted.values == 1, _whole(model)
        denied = "" if granted.any() else str(model.attrs["denied_translation"])
        asked = granted | (not granted.any())
        checks = [self._whole_cells(measured, asked & whole, denied), _exactness(model, asked & whole)]
        if not whole.all():
            checks.insert(1, self._parts(measured, asked & ~whole, denied))
        if not asked.all():
            error = float(_rms(model)[~asked].max())
            axes = " and ".join(sorted({str(d) for d in model.direction.values[~asked]} - {"diagonal"}))
            words = f"Along {axes}, where the description grants nothing, moving it changes the answer by up to {percent(error)}."
            checks.append(Check.info("other_axes", error, words))
        return checks

    def _whole_cells(self, measured: Measured, asked: ndarray, denied: str) -> Check:
        model, place = measured["model"], _place(measured["model"], asked)
        interval, margin = _interval(model, place), int(model.attrs["margin"])
        relative = float(np.sqrt(((model.shift_error.values[:, place] / model.added.values) ** 2).mean()))
        sentence = (
            f"Moving the input by whole cells changes the answer by {percent(interval.value)} of its size at worst "
            f"({_named(model, place)}), which is {percent(relative)} of what it adds to its input."
        )
        if margin >= 0:
            sentence += f" This is {margin} cells and more from the walls."
        if not denied and not model.attrs["vouched"]:
            sentence += " A network that sees farther sees the walls: set translation.margin to its receptive field for a verdict."
            return Check.info("whole_cells", interval, sentence, covers=_fields(model))
        return probe.equivariance.symmetry_check("whole_cells", interval, measured, self.bound, sentence, denied, _fields(model))

    def _parts(self, measured: Measured, asked: ndarray, denied: str) -> Check:
        model, place = measured["model"], _place(measured["model"], asked)
        interval, name = _interval(model, place), "parts_of_a_cell"
        sentence = f"Moving it by parts of a cell changes what lies below Nyquist by {percent(interval.value)} at worst"
        run = measured.get("simulator")
        own = np.full(model.sizes["field"], np.nan) if run is None else run.shift_error.values[:, place]
        if denied or not np.isfinite(own).all():
            reason = "what the truth makes beyond Nyquist folds back too, and how much only the law could tell: not judged"
            return Check.info(name, interval, f"{sentence} ({_named(model, place)}); {reason}.", covers=_fields(model))
        excess = _amplitude(model.shift_error.values[:, place] ** 2 - own**2)
        law = percent(float(np.sqrt((own**2).mean())))
        own_part = f"in power {percent(excess.value)} is the model's alone"
        sentence += f", the answer of the law itself by {law} ({_named(model, place)}); {own_part}."
        return probe.equivariance.symmetry_check(name, excess, measured, self.bound, sentence, "", _fields(model))

    def draw(self, measured: Measured) -> list[Panel]:
        return [self._sizes(measured), self._profile(measured["model"])]

    def _sizes(self, measured: Measured) -> Panel:
        model, floor = measured["model"], float(measured["model"].attrs["rounding"]) / 100
        picture, axes = figures.figure(width=7.0)
        errors, names = _rms(model), list(dict.fromkeys(model.direction.values))
        if "untrained" in measured:
            sizes, worst = _worst(measured["untrained"], _whole(model))
            axes[0, 0].plot(sizes, np.maximum(worst, floor), **figures.style("untrained", "untrained twin, worst direction"))
        for index, name in enumerate(names):
            look = {"color": figures.ramp(index, len(names)), "marker": "os^D"[index], "ms": 4.5}
            for whole in (True, False):
                more = {"label": f"along {_words(str(name))}"} if whole else {"ls": "none", "mfc": "none"}
                place = (model.direction.values == name) & (_whole(model) == whole)
                axes[0, 0].plot(model.cells[place], np.maximum(errors[place], floor), **look, **more)
        bound, _ = probe.equivariance.bound_of(measured, self.bound)
        axes[0, 0].axhline(bound, color="#D55E00", lw=1, ls=":", label="bound")
        axes[0, 0].set_xscale("log", base=2)
        axes[0, 0].xaxis.set_major_formatter(lambda x, _: f"{x:g}")
        axes[0, 0].set(yscale="log", xlabel=figures.axis_label("shift", "cells"), ylabel="|f(Tx) - T f(x)| / |f(x)|")
        figures.legend(axes[0, 0], **figures.BESIDE)
        sizes, worst = _worst(model, model.cells.values > 0)
        text = "Worst direction: " + ", ".join(f"{t:g} cells: {e:.2e}" for t, e in zip(sizes, worst, strict=True))
        caption = (
            f"Error against the size of the shift, root mean square over {model.sizes['field']} fields; the floor is rounding. "
            f"A network of stride {int(model.attrs['stride'])} touches it at the multiples of its stride and nowhere else; "
            "one that knows absolute positions, or sees the edge of the box, never does. Hollow: parts of a cell."
        )
        return Panel("Shifts of every size", [("", picture)], caption, text, ("shift_error",))

    def _profile(self, model: Dataset) -> Panel:
        floor = float(model.attrs["rounding"]) / 100
        picture, axes = figures.figure(width=7.0)
        rms = np.sqrt(model.profile.values)
        for index, axis in enumerate(model.axis.values):
            look = {"color": figures.ramp(index, len(rms)), "ls": ("-", "--", ":")[index], "marker": "os^"[index], "ms": 3}
            axes[0, 0].plot(model.position, rms[index], label=f"position along {axis}", **look)
        axes[0, 0].set_ylim(0, 1.1 * max(float(np.nanmax(rms)), floor))
        axes[0, 0].set(xlabel=figures.axis_label("position", "cells"), ylabel="rms of f(Tx) - T f(x), over rms of f(x)")
        figures.legend(axes[0, 0])
        text = "; ".join(
            f"along {axis}: largest {np.nanmax(line):.2e} at cell {int(np.nanargmax(line))}, smallest {np.nanmin(line):.2e}"
            for axis, line in zip(model.axis.values, rms, strict=True)
        )
        caption = (
            "Where the difference between the answer to the moved input and the moved answer lies, averaged over all shifts by "
            "whole cells and over the other axes. A rise at the ends is padding, a comb the stride, a tilt an absolute coordinate."
        )
        return Panel("Where in the box", [("", picture)], caption, text, ("profile",))


def _shifts(grid: probe.Grid, stride: int, margin: int | None) -> dict[tuple[str, float], tuple[float, ...]]:
    """Shifts in cells along each axis, by direction and size."""
    found: dict[tuple[str, float], tuple[float, ...]] = {}
    for direction in [*AXES[: grid.dimension], *(["diagonal"] if grid.dimension > 1 else [])]:
        along = _axes(direction, grid)
        room = min(n for axis, n in zip(AXES, grid.shape, strict=False) if axis in along) - 2 * (margin or 0)
        for size in [*(PARTS if margin is None else ()), *_sizes(stride, room // 2)]:
            found[direction, size] = tuple(size if axis in along else 0 for axis in AXES[: grid.dimension])
    return found


def _sizes(stride: int, limit: int) -> list[float]:
    """Two strides (of at least four cells) densely, sixteen sizes at most; then four more up to the limit."""
    near = min(2 * max(stride, 4), limit)
    dense = np.linspace(1, near, min(near, 16)).round()
    spread = np.geomspace(near, limit, 5).round()
    return sorted({float(t) for t in (*dense, *spread, stride, 2 * stride) if t <= limit})


def _axes(direction: str, grid: probe.Grid) -> tuple[str, ...]:
    return AXES[: grid.dimension] if direction == "diagonal" else (direction,)


def _rms(data: Dataset) -> ndarray:
    """Root mean square over fields: (shift,)."""
    return np.sqrt((data.shift_error.values**2).mean(0))


def _worst(data: Dataset, asked: ndarray) -> tuple[ndarray, ndarray]:
    """Every size among the shifts asked, and its largest error over directions."""
    cells, errors = data.cells.values[asked], _rms(data)[asked]
    sizes = np.unique(cells)
    return sizes, np.array([errors[cells == size].max() for size in sizes])


def _whole(data: Dataset) -> ndarray:
    return data.cells.values % 1 == 0


def _place(data: Dataset, asked: ndarray) -> int:
    """The shift with the largest error among those asked."""
    return int(np.argmax(np.where(asked, _rms(data), -1)))


def _interval(data: Dataset, place: int) -> Interval:
    return probe.equivariance.root_mean_square(data.shift_error.values[:, place])


def _amplitude(power: ndarray) -> Interval:
    """The root of a mean power, which may be negative; its edges are the roots of the power's."""
    mean = probe.intervals.of_mean(power)
    low, high = (float(_root(np.float64(edge))) for edge in (mean.low, mean.high))
    return replace(probe.intervals.of_samples(power, lambda rows: _root(rows.mean(0))), low=low, high=high)


def _root(power: ndarray) -> ndarray:
    return np.sign(power) * np.sqrt(np.abs(power))


def _fields(data: Dataset) -> str:
    return f"{data.sizes['field']} fields"


def _named(data: Dataset, place: int) -> str:
    cells = float(data.cells[place])
    return f"{cells:g} cell{'' if cells == 1 else 's'} along {_words(str(data.direction.values[place]))}"


def _exactness(model: Dataset, asked: ndarray) -> Check:
    """The smallest shift all of whose multiples are exact to rounding, and what lies between them."""
    sizes, worst = _worst(model, asked)
    exact, stride = worst <= model.attrs["rounding"], int(model.attrs["stride"])
    period = next((int(t) for t in sizes if exact[sizes % t == 0].all()), 0)
    own = "its total stride" if period == stride else f"its total stride is taken for {stride}"
    left = f"between them the error is up to {percent(worst.max())}"
    words = f"Shifts by multiples of {period} cells ({own}) are exact to rounding; {left}."
    if period == 1:
        words = "Every shift by whole cells is exact to rounding."
    if period == 0:
        words = (
            f"No shift is exact to rounding, by multiples of the stride {stride} neither: it, or its padding, knows where it is."
        )
    return Check.info("exact_shifts", float(period), words, unit="cells")


def _words(direction: str) -> str:
    return "the diagonal" if direction == "diagonal" else direction
