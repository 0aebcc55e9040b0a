"""The probe `rotation`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import lazy_loader as lazy

import probe
from probe import figures
from probe.contract import Check, Measured, Panel, Probe, Subject, judgement, measurement, percent

if TYPE_CHECKING:
    from numpy import ndarray
    from xarray import Dataset

    from probe.transforms import LatticeSymmetry

np, xr = lazy.load("numpy"), lazy.load("xarray")

AXES = ("x", "y", "z")


class Rotation(Probe):
    """Is every direction alike?

    Three experiments, from the simplest to the strictest.

    - One mode along x, along y, along z (Ho 2018): the answers' spectra must lie on one another. Where the box is not periodic
      they are seen through a Hann window; a number has no spectrum.
    - The rotations of the lattice, which act on fields exactly, positions and vector components both: the error is
      |f(g x) - g f(x)| / |f(x)| on real and on random fields. On a periodic grid a rotation can fix a grid point, a cell centre
      or a point between, and a strided network can respect one of them and no other: all are tried, the best is named,
      and so is a shift of the output's centre against the input's. What remains is rotation; the rest is translation. A box that
      is not periodic turns about its middle. Only rotations that the description grants are judged, the others told.
    - Waves of equal |n| in directions that are no symmetry of the lattice, such as (3,0,0) and (2,2,1): compared with the
      simulator's own difference, since a force mesh tells directions apart too; without it only told.

    How to read it: three lines over one another in the first figure; in the table the error of each class of rotations,
    relative to the output and to what the model adds to its input (a skip connection hides everything else).

    The bound: with pairs, at most half of the model's error power may break the symmetry, which is reached when |f(gx) - g f(x)| is
    as large as the model's error |f(x) - y|; without pairs 2 % of the output, a convention.
    """

    suite, version = "symmetry", 2
    checks = ("cubic_group", "square_group", "orientations", "other_directions", "other_rotations", "exact_rotations")
    controls = ("simulator", "identity", "lpt2", "untrained")
    references = (
        "S. Ho (2018), talk on the deep-learned emulation of N-body simulations: one mode along each axis.",
        "T. Cohen & M. Welling (2016), Group Equivariant Convolutional Networks, arXiv:1602.07576.",
        "J. Gruver et al. (2023), The Lie Derivative for Measuring Learned Equivariance, arXiv:2210.02984.",
    )

    level = measurement(0.2, "amplitude of the waves: a = A|k| of a displacement, else of sqrt(2) rms", low=1e-6, high=10.0)
    fields = measurement(3, "fields that are turned: those of the pairs first, then Gaussian ones", low=1, high=1000)
    input = measurement("", "the input quantity the waves are put into; the first field by default")
    output = measurement("", "the output quantity looked at; the first field by default")
    bound = judgement(None, "largest relative error; by default from the model's error on its pairs, else 2 %", like=0.02, low=0.0)

    def applies(self, subject: Subject) -> str:
        if subject.grid.dimension == 1:
            return "a line has no rotations; `reflection` asks the rest"
        return "" if _turns(subject) else f"no rotation maps the grid {subject.grid.shape} with box {subject.grid.box} onto itself"

    def measure(self, subject: Subject) -> Dataset:
        grid, room = subject.grid, probe.response
        source, output = room.between(subject, self.input, self.output)
        gain = probe.spectra.response_unit(source.unit, output.unit)
        waves = [] if room.no_waves(subject, self.input, self.output) else _waves(grid)
        cases = [room.WaveCase(m, self.level, input=source.name, output=output.name) for m in waves]
        answers = subject.map(room.respond, cases)
        shells = grid.shells().wavenumber.numpy() if waves else np.empty(0)
        turns, centres = _turns(subject), probe.turns.centres(grid, subject.model.stride)
        turned = probe.turns.turn_all(subject, turns, turns, centres, self.fields, output.name)
        granted, classes = probe.turns.point_group(subject.description.symmetries, grid), [t.class_name for t in turns]
        return xr.Dataset(
            {
                "response": ("wave", np.array([a.response for a in answers], dtype=complex), {"units": gain}),
                "power": (
                    ("wave", "shell"),
                    np.array([a.output_power for a in answers]).reshape(len(waves), len(shells)),
                    {"units": probe.spectra.power_unit(output.unit, grid)},
                ),
                "turn_error": (("field", "turn"), turned.error, {"units": ""}),
                "added": ("field", turned.added, {"units": ""}),
                "centre_error": (("centre", "output_centre"), turned.centre_error, {"units": ""}),
                "data_error": probe.equivariance.data_error(subject, output.name),
            },
            coords={
                "wave": [probe.waves.label(m) for m in waves],
                "wavenumber": ("wave", [grid.wavenumber_of(m) for m in waves], {"units": grid.inverse_unit}),
                "turn": [probe.turns.name(t, apart=classes.count(t.class_name) > 1) for t in turns],
                "granted": ("turn", [int(t in granted) for t in turns]),
                "field": [probe.equivariance.name_of_field(subject, i) for i in range(self.fields)],
                "centre": ("centre", list(centres), {"units": "cells"}),
                "output_centre": ("output_centre", list(centres), {"units": "cells"}),
                "shell_wavenumber": ("shell", shells, {"units": grid.inverse_unit}),
            },
            attrs=probe.equivariance.facts(subject)
            | {"level": self.level, "best_centre": turned.best[0], "best_output_centre": turned.best[1], "output": output.name},
        )

    def judge(self, measured: Measured) -> list[Check]:
        model = measured["model"]
        granted = model.granted.values.astype(bool)
        checks = [self._group(measured, granted if granted.any() else ~granted)]
        if model.sizes["wave"]:
            checks += [self._orientations(measured), self._directions(measured)]
        if granted.any() and not granted.all():
            checks.append(_not_granted(model))
        return [*checks, _exactness(model)]

    def _group(self, measured: Measured, asked: ndarray) -> Check:
        model = measured["model"]
        place = int(np.argmax(np.where(asked, _rms(model), -1)))
        errors, worst = model.turn_error.values[:, place], str(model.turn.values[place])
        interval = probe.equivariance.root_mean_square(errors)
        relative = float(np.sqrt(((errors / model.added.values) ** 2).mean()))
        sentence = (
            f"Turning the input changes the answer by {percent(interval.value)} of its size for the worst class ({worst}), "
            f"which is {percent(relative)} of what it adds to its input; "
            f"rotations about {probe.turns.place(float(model.attrs['best_centre']))} do best{_offset(model)}."
        )
        denied = "" if model.granted.any() else str(model.attrs["denied_rotation"])
        name = "cubic_group" if _is_cubic(model) else "square_group"
        return probe.equivariance.symmetry_check(name, interval, measured, self.bound, sentence, denied, f"{len(errors)} fields")

    def _orientations(self, measured: Measured) -> Check:
        model = measured["model"]
        spread = _axis_spread(model)
        sentence = (
            f"One mode put in along each axis comes out with the same spectrum to {percent(spread)} "
            f"(gains {', '.join(f'{float(abs(h)):.4g}' for h in _along_axes(model).response.values)})"
            f"{probe.equivariance.through_window(model)}."
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
            f"that of {measured['model'].attrs['simulator']} differs too, and {percent(excess)} is the model's alone."
        )
        denied = str(measured["model"].attrs["denied_rotation"])
        return probe.equivariance.symmetry_check("other_directions", excess, measured, self.bound, sentence, denied)

    def draw(self, measured: Measured) -> list[Panel]:
        model = measured["model"]
        waves = [self._spectra(measured)] if model.sizes["wave"] else []
        return [*waves, self._classes(measured), *([self._centres(model)] if model.sizes["centre"] > 1 else [])]

    def _spectra(self, measured: Measured) -> Panel:
        model = measured["model"]
        picture, axes = figures.figure()
        chosen = _along_axes(model)
        for index, axis in enumerate(AXES[: chosen.sizes["wave"]]):
            dash = ("-", "--", ":")[index]
            axes[0, 0].plot(
                model.shell_wavenumber,
                np.maximum(chosen.power[index], 1e-300),
                color=figures.ramp(index, 3),
                ls=dash,
                lw=2.2 - 0.4 * index,
                label=f"along {axis}",
            )
        if "simulator" in measured and np.isfinite(_along_axes(measured["simulator"]).power).all():
            axes[0, 0].plot(
                model.shell_wavenumber,
                _along_axes(measured["simulator"]).power.mean("wave"),
                **probe.equivariance.look("simulator", model),
            )
        figures.spectral(axes[0, 0], float(chosen.power.max()), model.shell_wavenumber.attrs["units"], model.power.attrs["units"])
        text = "Gain by wave: " + ", ".join(
            f"{w}: {abs(complex(h)):.4g}" for w, h in zip(model.wave.values, model.response.values, strict=True)
        )
        caption = (
            f"The same mode, n = {chosen.wave.values[0]!s} and its turns, along each axis at level {model.attrs['level']:g}, "
            f"as in Ho (2018){probe.equivariance.through_window(model)}. One line means that the model cannot tell the axes apart."
        )
        return Panel("One mode along each axis", [("", picture)], caption, text, ("power", "response"))

    def _classes(self, measured: Measured) -> Panel:
        model = measured["model"]
        shown = ("model", "untrained", "lpt2", "identity", "simulator")
        errors = {name: _rms(measured[name]) for name in shown if name in measured}
        errors = {name: rms for name, rms in errors.items() if np.isfinite(rms).all()}
        rows = [f"{t}{'' if g else ' (not granted)'}" for t, g in zip(model.turn.values, model.granted.values, strict=True)]
        bound, _ = probe.equivariance.bound_of(measured, self.bound)
        lines = {"bound": bound, "rounding": float(model.attrs["rounding"])}
        picture = figures.ranking(errors, rows, lines, "|f(gx) - g f(x)| / |f(x)|")
        picture.axes[0].set_ylabel("class of rotations")
        text = "; ".join(f"{row}: {error:.3e}" for row, error in zip(rows, errors["model"], strict=True))
        caption = (
            f"Error under the rotations of the lattice, root mean square over {model.sizes['field']} fields, "
            "about the best centre. Points left of rounding are exact. "
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
    """Rotations that map the grid onto itself, granted ones first: one of each class, or all with full effort."""
    room, described, grid = probe.transforms, subject.description, subject.grid
    every = [s for s in room.lattice_symmetries(grid.dimension) if s.determinant == 1 and s.class_name != "identity"]
    group = probe.turns.point_group(described.symmetries, grid)
    granted = [s for s in every if s in group]
    others = [s for s in every if s not in group and s.keeps(grid)]
    if subject.effort == "full":
        return (*granted, *others)
    return (*room.one_of_each_class(granted), *room.one_of_each_class(others))


def _waves(grid: probe.Grid) -> list[tuple[int, ...]]:
    """n = N/6 along each axis, then pairs of equal |n| in different directions, where the grid carries them."""
    n, dimension = probe.waves.default_mode(grid), grid.dimension
    axes = [tuple(n if a == axis else 0 for a in range(dimension)) for axis in range(dimension)]
    equal = [(3, 0, 0), (2, 2, 1), (5, 0, 0), (3, 4, 0), (6, 0, 0), (4, 4, 2)] if dimension == 3 else [(5, 0), (3, 4)]
    limit = (min(grid.shape) - 1) // 2
    return list(dict.fromkeys([*axes, *(m for m in equal if max(m) <= limit and len(set(grid.box)) == 1)]))


def _rms(data: Dataset) -> ndarray:
    """Root mean square error over fields: (turn,)."""
    return np.sqrt((data.turn_error.values**2).mean(0))


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


def _not_granted(model: Dataset) -> Check:
    errors = np.where(model.granted, -1, _rms(model))
    name, error = str(model.turn.values[errors.argmax()]), float(errors.max())
    words = f"Rotations that the description does not grant change the answer by up to {percent(error)} of its size ({name})."
    return Check.info("other_rotations", error, words)


def _exactness(model: Dataset) -> Check:
    exact = [
        str(t) for t, e in zip(model.turn.values, model.turn_error.max("field").values, strict=True) if e <= model.attrs["rounding"]
    ]
    words = f"Exact to rounding: {', '.join(exact)}." if exact else "No rotation is exact to rounding."
    return Check.info("exact_rotations", float(len(exact)), words, unit="classes")


def _is_cubic(model: Dataset) -> bool:
    return any("axis" in str(t) for t in model.turn.values)


def _offset(model: Dataset) -> str:
    shift = float(model.attrs["best_output_centre"]) - float(model.attrs["best_centre"])
    return f", the answer's centre being {shift:+g} cells away" if shift else ""
