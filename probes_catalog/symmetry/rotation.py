"""The probe `rotation`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import lazy_loader as lazy

import probe
from probe import figures
from probe.contract import Check, Measured, Panel, Probe, Subject, judgement, measurement, percent

if TYPE_CHECKING:
    from numpy import ndarray
    from xarray import DataArray, Dataset

    from probe.fields import Field
    from probe.transforms import LatticeSymmetry

np, xr = lazy.load("numpy"), lazy.load("xarray")

AXES = ("x", "y", "z")


@dataclass(frozen=True)
class TurnCase:
    """One field turned by every symmetry given, about one centre; the answer's centre may be any of `outputs`."""

    field: int
    turns: tuple[LatticeSymmetry, ...]
    centre: float
    outputs: tuple[float, ...]


@dataclass(frozen=True)
class TurnAnswer:
    """Errors of one field under each rotation, (output centre, turn), and how much the model adds to its input."""

    error: ndarray
    added: float


@dataclass(frozen=True)
class Turned:
    """What all fields say about the best pair of centres, and what singled it out.

    Attributes
    ----------
    error : ndarray, (field, turn)
    added : ndarray, (field,)
    centre_error : ndarray, (centre, output centre)
        The first field's, averaged over turns.
    best : (float, float)
        The centre in the input and that in the answer.
    """

    error: ndarray
    added: ndarray
    centre_error: ndarray
    best: tuple[float, float]


class Rotation(Probe):
    """Is every direction alike?

    Three experiments, from the simplest to the strictest.

    - One mode along x, along y, along z (Ho 2018): the answers' spectra must lie on one another.
    - The rotations of the lattice, which act on fields exactly, positions and vector components both: the error is
      |f(g x) - g f(x)| / |f(x)| on real and on random fields. On a periodic grid a rotation can fix a grid point, a cell centre
      or a point between, and a strided network can respect one of them and no other: all are tried, the best is named,
      and so is a shift of the output's centre against the input's. What remains is rotation; the rest is translation.
    - Waves of equal |n| in directions that are no symmetry of the lattice, such as (3,0,0) and (2,2,1): compared with the
      simulator's own difference, since a force mesh tells directions apart too; without it only told.

    How to read it: three lines over one another in the first figure; in the table the error of each class of rotations,
    relative to the output and to what the model adds to its input (a skip connection hides everything else).

    The bound: with pairs, at most half of the model's error power may break the symmetry, which is reached when |f(gx) - g f(x)| is
    as large as the model's error |f(x) - y|; without pairs 2 % of the output, a convention.
    """

    suite, version = "symmetry", 1
    controls = ("simulator", "identity", "lpt2", "untrained")
    references = (
        "S. Ho (2018), talk on the deep-learned emulation of N-body simulations: one mode along each axis.",
        "T. Cohen & M. Welling (2016), Group Equivariant Convolutional Networks, arXiv:1602.07576.",
        "J. Gruver et al. (2023), The Lie Derivative for Measuring Learned Equivariance, arXiv:2210.02984.",
    )

    level = measurement(0.2, "amplitude of the waves: a = A|k| of a displacement, else of sqrt(2) rms", low=1e-6, high=10.0)
    fields = measurement(3, "fields that are turned: those of the pairs first, then Gaussian ones", low=1, high=1000)
    bound = judgement(None, "largest relative error; by default from the model's error on its pairs, else 2 %", like=0.02, low=0.0)

    def applies(self, subject: Subject) -> str:
        if subject.grid.dimension == 1:
            return "a line has no rotations; `reflection` asks the rest"
        return "" if _turns(subject) else f"no rotation maps the grid {subject.grid.shape} with box {subject.grid.box} onto itself"

    def measure(self, subject: Subject) -> Dataset:
        grid = subject.grid
        waves = _waves(grid) if grid.boundary == "periodic" else []
        answers = subject.map(probe.response.respond, [probe.response.WaveCase(m, self.level) for m in waves])
        turns, centres = _turns(subject), _centres(grid, subject.model.stride)
        turned = self._turn_all(subject, turns, centres)
        output = subject.description.outputs[0]
        return xr.Dataset(
            {
                "response": ("wave", np.array([a.response for a in answers], dtype=complex), {"units": ""}),
                "power": (
                    ("wave", "shell"),
                    np.array([a.output_power for a in answers]).reshape(len(waves), -1),
                    {"units": probe.spectra.power_unit(output.unit, grid)},
                ),
                "turn_error": (("field", "turn"), turned.error, {"units": ""}),
                "added": ("field", turned.added, {"units": ""}),
                "centre_error": (("centre", "output_centre"), turned.centre_error, {"units": ""}),
                "data_error": probe.equivariance.data_error(subject),
            },
            coords={
                "wave": [probe.waves.label(m) for m in waves],
                "wavenumber": ("wave", [grid.wavenumber_of(m) for m in waves], {"units": grid.inverse_unit}),
                "turn": [t.class_name if subject.effort != "full" else f"{t.class_name} {_notation(t)}" for t in turns],
                "field": [probe.equivariance.test_field(subject, i)[1] for i in range(self.fields)],
                "centre": ("centre", list(centres), {"units": "cells"}),
                "output_centre": ("output_centre", list(centres), {"units": "cells"}),
                "shell_wavenumber": (
                    "shell",
                    grid.shells().wavenumber.numpy()[: grid.shells().count if waves else 0],
                    {"units": grid.inverse_unit},
                ),
            },
            attrs=probe.equivariance.facts(subject)
            | {"level": self.level, "best_centre": turned.best[0], "best_output_centre": turned.best[1]},
        )

    def _turn_all(self, subject: Subject, turns: tuple[LatticeSymmetry, ...], centres: tuple[float, ...]) -> Turned:
        """The first field about every pair of centres, the others about the pair that is best for it."""
        first = subject.map(turn, [TurnCase(0, turns, c, centres) for c in centres], passes=len(turns) + 1)
        tried = np.array([answer.error for answer in first])
        here, there = np.unravel_index(int(tried.mean(-1).argmin()), tried.shape[:2])
        chosen = [TurnCase(i, turns, centres[here], (centres[there],)) for i in range(1, self.fields)]
        rest = subject.map(turn, chosen, passes=len(turns) + 1)
        error = np.stack([tried[here, there], *(answer.error[0] for answer in rest)])
        added = np.array([first[here].added, *(answer.added for answer in rest)])
        return Turned(error, added, tried.mean(-1), (centres[here], centres[there]))

    def judge(self, measured: Measured) -> list[Check]:
        checks = [self._group(measured)]
        if measured["model"].sizes["wave"]:
            checks += [self._orientations(measured), self._directions(measured)]
        return [*checks, _exactness(measured["model"])]

    def _group(self, measured: Measured) -> Check:
        model = measured["model"]
        errors = model.turn_error.values
        place = int(np.argmax((errors**2).mean(0)))
        interval, worst = probe.equivariance.root_mean_square(errors[:, place]), str(model.turn.values[place])
        relative = float(np.sqrt(((errors[:, place] / model.added.values) ** 2).mean()))
        sentence = (
            f"Turning the input changes the answer by {percent(interval.value)} of its size for the worst class ({worst}), "
            f"which is {percent(relative)} of what it adds to its input; "
            f"rotations about {_place(float(model.attrs['best_centre']))} do best{_offset(model)}."
        )
        denied, covers = str(model.attrs["denied_rotation"]), f"{len(errors)} fields"
        name = "cubic_group" if _is_cubic(model) else "square_group"
        return probe.equivariance.symmetry_check(name, interval, measured, self.bound, sentence, denied, covers)

    def _orientations(self, measured: Measured) -> Check:
        model = measured["model"]
        spread = _axis_spread(model)
        sentence = (
            f"One mode put in along each axis comes out with the same spectrum to {percent(spread)} "
            f"(gains {', '.join(f'{float(abs(h)):.4f}' for h in _along_axes(model).response.values)})."
        )
        return probe.equivariance.symmetry_check(
            "orientations", spread, measured, self.bound, sentence, str(model.attrs["denied_rotation"])
        )

    def _directions(self, measured: Measured) -> Check:
        pairs = _equal(measured["model"])
        if not pairs:
            return Check.not_applicable("other_directions", "this grid has no two short waves of equal |n| in different directions")
        model = [_gap(measured["model"], p) for p in pairs]
        words = ", ".join(f"{a} against {b}: {percent(g.real)}" for (a, b), g in zip(pairs, model, strict=True))
        run = [_gap(measured["simulator"], p) for p in pairs] if "simulator" in measured else []
        if not run or not np.isfinite(np.abs(run)).all():
            return Check.info(
                "other_directions",
                float(np.abs(model).max()),
                f"Waves of equal |k| in other directions: {words}; no symmetry of a lattice.",
            )
        excess = float(np.abs(np.array(model) - np.array(run)).max())
        sentence = (
            f"Between waves of equal |k| in directions the lattice tells apart the response differs by {words}; "
            f"the simulator's own differs too, and {percent(excess)} is the model's alone."
        )
        denied = str(measured["model"].attrs["denied_rotation"])
        return probe.equivariance.symmetry_check("other_directions", excess, measured, self.bound, sentence, denied)

    def draw(self, measured: Measured) -> list[Panel]:
        panels = [self._classes(measured), self._centres(measured["model"])]
        return [self._spectra(measured), *panels] if measured["model"].sizes["wave"] else panels

    def _spectra(self, measured: Measured) -> Panel:
        model = measured["model"]
        picture, axes = figures.figure()
        chosen = _along_axes(model)
        for index, axis in enumerate(AXES[: chosen.sizes["wave"]]):
            dash = ("-", "--", ":")[index]
            axes[0, 0].plot(
                model.shell_wavenumber,
                np.maximum(chosen.power[index], 1e-30),
                color=figures.ramp(index, 3),
                ls=dash,
                lw=2.2 - 0.4 * index,
                label=f"along {axis}",
            )
        if "simulator" in measured and np.isfinite(_along_axes(measured["simulator"]).power).all():
            axes[0, 0].plot(
                model.shell_wavenumber, _along_axes(measured["simulator"]).power.mean("wave"), **figures.style("simulator")
            )
        top = float(chosen.power.max())
        axes[0, 0].set(yscale="log", ylim=(top * 1e-9, top * 5))
        axes[0, 0].set_xlabel(figures.axis_label("k", model.shell_wavenumber.attrs["units"]))
        axes[0, 0].set_ylabel(figures.axis_label("P(k)", model.power.attrs["units"]))
        figures.legend(axes[0, 0])
        text = "Gain by wave: " + ", ".join(
            f"{w}: {abs(complex(h)):.4f}" for w, h in zip(model.wave.values, model.response.values, strict=True)
        )
        caption = (
            f"The same mode, n = {chosen.wave.values[0]!s} and its turns, along each axis at level {model.attrs['level']:g}, "
            "as in Ho (2018). One line means that the model cannot tell the axes apart."
        )
        return Panel("One mode along each axis", [("", picture)], caption, text, ("power", "response"))

    def _classes(self, measured: Measured) -> Panel:
        model = measured["model"]
        shown = [n for n in ("model", "untrained", "lpt2", "identity") if n in measured]
        rms = {n: np.sqrt((measured[n].turn_error ** 2).mean("field")) for n in shown}
        picture, axes = figures.figure(width=7.0, height=1.4 + 0.42 * model.sizes["turn"])
        panel, floor, places = axes[0, 0], 1e-8, np.arange(model.sizes["turn"])
        for index, name in enumerate(shown):
            look = figures.style(name, "Zel'dovich (input)" if name == "identity" and "lpt2" in measured else "")
            panel.plot(
                np.maximum(rms[name], floor),
                places + 0.12 * (index - 1),
                marker="os^v"[index],
                ls="none",
                ms=6,
                color=look["color"],
                label=look["label"],
            )
        bound, _ = probe.equivariance.bound_of(measured, self.bound)
        panel.axvline(bound, color="#D55E00", lw=1.2, ls=":", label="bound")
        panel.set(
            xscale="log",
            xlim=(floor / 2, 3),
            ylim=(model.sizes["turn"] - 0.5, -0.5),
            xlabel="|f(gx) - g f(x)| / |f(x)|",
            ylabel="class of rotations",
        )
        panel.set_yticks(places, labels=list(model.turn.values))
        figures.legend(panel, loc="upper left", bbox_to_anchor=(1.01, 1.0))
        text = "; ".join(f"{t}: {float(e):.3e}" for t, e in zip(model.turn.values, rms["model"], strict=True))
        caption = (
            f"Error under the rotations of the lattice, root mean square over {model.sizes['field']} fields, "
            "about the best centre. Points at the left edge are exact to rounding. "
            "An untrained twin that lies left of the model says the training broke the symmetry."
        )
        return Panel("Rotations of the lattice", [("", picture)], caption, text, ("turn_error", "added"))

    def _centres(self, model: Dataset) -> Panel:
        labels = [f"{c:g}" for c in model.centre.values]
        picture = figures.matrix(model.centre_error.values, labels, labels, "", "equivariance error")
        picture.axes[0].set(
            ylabel=figures.axis_label("centre in the input", "cells"), xlabel=figures.axis_label("centre in the output", "cells")
        )
        caption = (
            "Which point may stay fixed: the mean error over the rotations, turning the input about one centre and the answer "
            "about another. Whole numbers are grid points, halves cell centres. "
            "A network without stride has every diagonal cell alike; one of stride s repeats after s cells."
        )
        best = (
            f"best {model.attrs['best_centre']:g} -> {model.attrs['best_output_centre']:g}: {float(model.centre_error.min()):.3e}"
        )
        return Panel("About which centre", [("", picture)], caption, best, ("centre_error",))


def _turns(subject: Subject) -> tuple[LatticeSymmetry, ...]:
    """Rotations that map the grid onto itself: one of each class, all with full effort; the identity is none."""
    room = probe.transforms
    every = [s for s in room.lattice_symmetries(subject.grid.dimension) if s.determinant == 1 and s.class_name != "identity"]
    kept = [s for s in every if s.keeps(subject.grid)]
    return tuple(kept if subject.effort == "full" else room.one_of_each_class(kept))


def _centres(grid: probe.Grid, stride: int) -> tuple[float, ...]:
    """0, 1/2, ..., s - 1/2 on a periodic grid; elsewhere the middle of the box alone."""
    return tuple(i / 2 for i in range(2 * stride)) if grid.boundary == "periodic" else (-0.5,)


def _waves(grid: probe.Grid) -> list[tuple[int, ...]]:
    """n = N/6 along each axis, then pairs of equal |n| in different directions, where the grid carries them."""
    n, dimension = probe.waves.default_mode(grid), grid.dimension
    axes = [tuple(n if a == axis else 0 for a in range(dimension)) for axis in range(dimension)]
    equal = [(3, 0, 0), (2, 2, 1), (5, 0, 0), (3, 4, 0), (6, 0, 0), (4, 4, 2)] if dimension == 3 else [(5, 0), (3, 4)]
    limit = (min(grid.shape) - 1) // 2
    return list(dict.fromkeys([*axes, *(m for m in equal if max(m) <= limit and len(set(grid.box)) == 1)]))


def turn(subject: Subject, case: TurnCase) -> TurnAnswer:
    """Turn one field by every rotation, and hold the answers against the turned answer about each of its centres."""
    field, _ = probe.equivariance.test_field(subject, case.field)
    field = field.to(subject.model.device, subject.model.dtype)
    answer = subject.model(field)
    error = np.empty((len(case.outputs), len(case.turns)))
    for column, symmetry in enumerate(case.turns):
        turned = subject.model(symmetry(field, case.centre)).values
        for row, centre in enumerate(case.outputs):
            error[row, column] = probe.equivariance.relative(turned - symmetry(answer, centre).values, answer.values)
    return TurnAnswer(error, _added(field, answer))


def _added(field: Field, answer: Field) -> float:
    """|f(x) - x| / |f(x)| where the output is of the input's kind, else 1: nothing of the answer can be the input."""
    same = [(q.kind, q.quantity, q.unit) for q in field.quantities] == [(q.kind, q.quantity, q.unit) for q in answer.quantities]
    share = probe.equivariance.relative(answer.values - field.values, answer.values) if same else 1.0
    return share if share > 0 else float("nan")


def _along_axes(data: Dataset) -> Dataset:
    """The first D waves, one along each axis."""
    return data.isel(wave=slice(0, _dimension(data)))


def _dimension(data: Dataset) -> int:
    return len(probe.waves.mode_of(str(data.wave.values[0])))


def _axis_spread(data: Dataset) -> float:
    """Largest |P_i - P_j| over |P|, summed over shells, as an amplitude: half the relative difference of powers."""
    power = _along_axes(data).power.values
    mean = power.mean(0)
    return float(max(np.abs(a - b).sum() for a in power for b in power) / mean.sum() / 2)


def _equal(data: Dataset) -> list[tuple[str, str]]:
    """Pairs of waves of equal |k| that no rotation of the lattice joins."""
    names = [str(w) for w in data.wave.values]

    def shape(name: str) -> list[int]:
        return sorted(abs(n) for n in probe.waves.mode_of(name))

    return [
        (a, b)
        for i, a in enumerate(names)
        for b in names[i + 1 :]
        if sum(n * n for n in shape(a)) == sum(n * n for n in shape(b))
        and shape(a) != shape(b)
        and i != 1
        and not (len(shape(a)) == 3 and i == 2)
    ]


def _gap(data: Dataset, pair: Sequence[str]) -> complex:
    """H_b / H_a - 1."""
    a, b = (complex(data.response.sel(wave=name)) for name in pair)
    return b / a - 1 if a else complex("nan")


def _exactness(model: Dataset) -> Check:
    exact = [
        str(t) for t, e in zip(model.turn.values, model.turn_error.max("field").values, strict=True) if e <= model.attrs["rounding"]
    ]
    words = f"Exact to rounding: {', '.join(exact)}." if exact else "No rotation is exact to rounding."
    return Check.info("exact_rotations", float(len(exact)), words, unit="classes")


def _is_cubic(model: DataArray | Dataset) -> bool:
    return any("axis" in str(t) for t in model.turn.values)


def _place(centre: float) -> str:
    if centre < 0:
        return "the middle of the box"
    return f"{'a grid point' if centre == int(centre) else 'a cell centre'} (coordinate {centre:g} cells)"


def _offset(model: Dataset) -> str:
    shift = float(model.attrs["best_output_centre"]) - float(model.attrs["best_centre"])
    return f", the answer's centre being {shift:+g} cells away" if shift else ""


def _notation(symmetry: LatticeSymmetry) -> str:
    return (
        "(" + ",".join(f"{'-' if s < 0 else ''}{AXES[p]}" for s, p in zip(symmetry.signs, symmetry.permutation, strict=True)) + ")"
    )
