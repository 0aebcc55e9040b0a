"""The probe `certificate`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import lazy_loader as lazy

import probe
from probe import figures
from probe.contract import Check, Measured, Panel, Probe, Subject, judgement, measurement, percent
from probe.intervals import Interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy import ndarray
    from xarray import Dataset

    from probe.orbits import Element

np, xr = lazy.load("numpy"), lazy.load("xarray")

AXES = ("x", "y", "z")
ELEMENTS = {"quick": 12, "default": 48, "full": 192}
SUMS, SLICES = ("own_error", "orbit_error", "average_error"), ("error_slice", "left_slice", "broken_slice")


@dataclass(frozen=True)
class Tried:
    """A symmetry that is tried: its name, the class it is drawn with, "shift", "rotation" or "mirror", whether it is granted.

    A shift has its axis and its size in cells too.
    """

    name: str
    row: str
    kind: str
    granted: bool
    axis: str = ""
    cells: float = 0.0


class Certificate(Probe):
    """Which symmetries does it hold exactly, which nearly, which not?

    One table of all that a lattice can ask, and what breaking it costs on data.

    - Shifts along each axis by every divisor of its length (those that a model holds exactly are the multiples of one of them),
      and by half a cell. All rotations and mirrors of the lattice about the point that suits the model best, as `rotation`
      and `reflection` find it. Each error is |f(g x) - g f(x)| / |f(x)|; what is below rounding is exact, and the exact ones
      together are the largest group that the model holds.
    - With pairs (x, y): how much of the error breaks the symmetry. With F the average of g^-1 f(g x) over symmetries g,
      mean_g |f(gx) - g y|^2 = |F - y|^2 + mean_g |g^-1 f(gx) - F|^2: the error power over the orbit is what averaging leaves
      plus what breaks the symmetry. F is what averaging the answers at inference would give, and its error is measured.

    The symmetries averaged over are those that the description grants: turns about that point, then shifts by whole cells,
    modulo those that are exact. A group larger than `elements` is sampled, every turn as often as every other, with random
    shifts; F is then the average over the elements drawn, for which the identity above holds as it stands; it keeps about one
    part in `elements` of the power that the average over the whole group would remove.

    How to read it: in the first figure what lies left of rounding is exact, and what lies right of the bound broken. In the second
    the hatched part of a bar is error that averaging would remove; a small one says that the model errs alike in every
    orientation, and that a symmetric architecture would not help by its symmetry alone. Half a cell has no right answer (see
    `translation`).

    The bound: symmetry breaking below half of the error power on data: a model beyond it owes more of its error to broken
    symmetry than to all else. Without pairs two answers that a symmetry joins may differ by 2 % of their size, a convention.
    """

    suite, version = "symmetry", 1
    checks = ("symmetry_breaking", "averaging", "exact_group", "ranking")
    # What an untrained twin holds exactly follows from the architecture; `translation`, `rotation` and `reflection` tell it.
    controls = ("identity",)
    references = (
        "B. Elesedy & S. Zaidi (2021), Provably Strict Generalisation Benefit for Equivariant Models, arXiv:2102.10333.",
        "J. Gruver et al. (2023), The Lie Derivative for Measuring Learned Equivariance, arXiv:2210.02984.",
    )

    fields = measurement(2, "fields that each symmetry is tried on: of the pairs first, then Gaussian ones", low=1, high=1000)
    pairs = measurement(8, "pairs, at most, that are averaged over the symmetries", low=1, high=10000)
    elements = measurement(None, "symmetries averaged over; by default 12, 48 or 192, by effort", like=48, low=2, high=100000)
    share = judgement(0.5, "largest share of the error power on data that may break the symmetry", low=0.0, high=1.0)
    bound = judgement(None, "error of what is nearly held; by default the model's own on its pairs, else 2 %", like=0.02, low=0.0)

    def measure(self, subject: Subject) -> Dataset:
        symmetries, grid, room = subject.description.symmetries, subject.grid, probe.turns
        turns = [s for s in probe.transforms.lattice_symmetries(grid.dimension)[1:] if s.keeps(grid)]
        centres = room.centres(grid, subject.model.stride, len(symmetries.translation) == grid.dimension)
        turned = room.turn_all(subject, tuple(turns), tuple(room.representatives(turns)), centres, self.fields)
        group, kinds = room.point_group(symmetries, grid), {1: "rotation", -1: "mirror"}
        tried = [Tried(room.name(t, apart=True), t.class_name, kinds[t.determinant], t in group) for t in turns]
        shifts, errors = self._shifts(subject)
        table = _table([*shifts, *tried], np.concatenate([errors, turned.error], 1)).assign_attrs(probe.equivariance.facts(subject))
        periods, centre = _periods(table, grid), centres[int(turned.centre_error.diagonal().argmin())]
        count = ELEMENTS[subject.effort] if self.elements is None else self.elements
        elements = probe.orbits.sample(group, periods, centre, count, subject.rng("elements"))
        table["data_error"] = probe.equivariance.data_error(subject)
        order, best = len(group) * math.prod(periods), turned.best[0]
        return table.assign(self._orbits(subject, elements)).assign_attrs(elements=len(elements), order=order, best_centre=best)

    def _shifts(self, subject: Subject) -> tuple[list[Tried], ndarray]:
        """Shifts along each axis by the divisors of its length and by half a cell, with their errors; none between walls."""
        grid, granted, tried = subject.grid, subject.description.symmetries.translation, []
        for axis, points in zip(AXES, grid.shape if grid.boundary == "periodic" else (), strict=False):
            for cells in (0.5, *(d for d in range(1, points) if points % d == 0)):
                words = "half a cell" if cells == 0.5 else f"{cells:g} cell{'s' * (cells > 1)}"
                tried.append(Tried(f"{words} along {axis}", f"shift by {words}", "shift", axis in granted, axis, cells))
        shifts = tuple(tuple(t.cells if axis == t.axis else 0 for axis in AXES[: grid.dimension]) for t in tried)
        cases = [probe.orbits.ShiftCase(i, shifts) for i in range(self.fields)] if tried else []
        answers = subject.map(probe.orbits.move, cases, passes=len(shifts) + 2)
        return tried, np.array([a.error for a in answers]).reshape(self.fields, len(tried))

    def _orbits(self, subject: Subject, elements: tuple[Element, ...]) -> dict[str, Any]:
        """What the orbits of the pairs say; without pairs, of those of made fields, what breaks the symmetry."""
        paired = subject.pairs is not None
        count = min(len(subject.pairs), self.pairs) if subject.pairs is not None else probe.turns.field_count(subject, None)
        answers = subject.map(probe.orbits.orbit, [probe.orbits.OrbitCase(i, elements) for i in range(count)], passes=len(elements))
        found: dict[str, Any] = {"orbit": [probe.equivariance.name_of_field(subject, i) for i in range(count)]}
        for name in ("breaking", *SUMS) if paired else ("breaking",):
            found[name] = "orbit", np.array([getattr(a, name) for a in answers]), {"units": ""}
        unit = {"units": subject.description.outputs[0].unit}
        return found | {name: (("u", "v"), cut, unit) for name, cut in zip(SLICES, answers[0].slices, strict=True) if paired}

    def judge(self, measured: Measured) -> list[Check]:
        model = measured["model"]
        averaging = [_averaging(model)] if _paired(model) else []
        return [self._breaking(measured), *averaging, _exactness(model), self._ranking(measured)]

    def _breaking(self, measured: Measured) -> Check:
        model, name = measured["model"], "symmetry_breaking"
        exact, over = f"Exact: {_exact_words(model)}.", f"{model.sizes['orbit']} {'pairs' if _paired(model) else 'fields'}"
        if model.attrs["order"] == 1:
            return Check.not_applicable(name, f"the description grants no symmetry that changes this grid. {exact}")
        if not _paired(model):
            apart = probe.equivariance.root_mean_square(np.sqrt(2 * model.breaking.values))
            sentence = (
                f"Two answers that a symmetry joins differ by {percent(apart.value)} of their size ({_drawn(model)}). {exact}"
            )
            return probe.equivariance.symmetry_check(name, apart, measured, self.bound, sentence, "", over)
        share = _ratio(model, "breaking", "orbit_error")
        sentence = f"{percent(share.value)} of the error power on {over} breaks the symmetry ({_drawn(model)}). {exact}"
        if model.attrs["symmetry_assumed"]:
            sentence += " The symmetries of empty space are assumed: the description declares none."
        source = (
            "half of the error power: beyond it broken symmetry costs more than all else"
            if self.share == 0.5
            else "set by the user"
        )
        return Check.judged(name, share, (None, self.share), sentence, bound_from=source, covers=over)

    def _ranking(self, measured: Measured) -> Check:
        model = measured["model"]
        bound, source = probe.equivariance.bound_of(measured, self.bound)
        held = {row: e for row, e in _rows(model).items() if "half a cell" not in row and "not granted" not in row}
        broken = [f"{row} {percent(e)}" for row, e in held.items() if e > bound]
        nearly = [f"{row} {percent(e)}" for row, e in held.items() if model.attrs["rounding"] < e <= bound]
        sentence = (
            f"Broken, with an error above {percent(bound)}, {source.partition(':')[0]}: {', '.join(broken) or 'nothing'}. "
            f"Nearly held: {', '.join(nearly) or 'nothing'}. Exact: {len(held) - len(broken) - len(nearly)} of {len(held)} classes."
        )
        return Check.info("ranking", max(held.values(), default=0.0), sentence, covers=f"{model.sizes['field']} fields")

    def draw(self, measured: Measured) -> list[Panel]:
        model = measured["model"]
        return [self._ranked(measured), *([_budget(model), _pictures(model)] if _paired(model) else [])]

    def _ranked(self, measured: Measured) -> Panel:
        model = measured["model"]
        rows, (bound, _) = _rows(model), probe.equivariance.bound_of(measured, self.bound)
        lines = {"bound": bound, "rounding": float(model.attrs["rounding"])}
        picture = figures.ranking({"model": np.array([*rows.values()])}, [*rows], lines, "|f(gx) - g f(x)| / |f(x)|")
        picture.axes[0].set_ylabel("symmetry, worst first")
        caption = (
            f"The largest error in every class, root mean square over {model.sizes['field']} fields, turns about "
            f"{probe.turns.place(float(model.attrs['best_centre']))}. Left of rounding is exact, between the lines nearly held, "
            "right of the bound broken. Half a cell has no right answer: what lies beyond Nyquist folds back."
        )
        text = "; ".join(f"{row}: {error:.3e}" for row, error in rows.items())
        return Panel("Every symmetry of the lattice", [("", picture)], caption, text, ("error",))


def _table(tried: list[Tried], errors: ndarray) -> Dataset:
    return xr.Dataset(
        {"error": (("field", "symmetry"), errors, {"units": ""})},
        coords={
            "symmetry": [t.name for t in tried],
            "row": ("symmetry", [t.row if t.granted else f"{t.row} (not granted)" for t in tried]),
            "kind": ("symmetry", [t.kind for t in tried]),
            "granted": ("symmetry", [int(t.granted) for t in tried]),
            "axis": ("symmetry", [t.axis for t in tried]),
            "cells": ("symmetry", [t.cells for t in tried], {"units": "cells"}),
        },
    )


def _paired(model: Dataset) -> bool:
    return "orbit_error" in model


def _exact(model: Dataset) -> ndarray:
    """Which symmetries are exact to rounding on every field."""
    return model.error.values.max(0) <= model.attrs["rounding"]


def _rows(model: Dataset) -> dict[str, float]:
    """Classes, worst first, with the largest root mean square over fields among their members."""
    rms, rows = np.sqrt((model.error.values**2).mean(0)), model.row.values
    worst = {str(row): float(rms[rows == row].max()) for row in rows}
    return dict(sorted(worst.items(), key=lambda item: -item[1]))


def _exact_shifts(model: Dataset) -> dict[str, int]:
    """For each axis along which shifts were tried the smallest that is exact; 0 where none is."""
    found, whole = dict[str, int](), _exact(model) & (model.cells.values >= 1)
    for axis in [a for a in AXES if a in model.axis.values]:
        sizes = model.cells.values[whole & (model.axis.values == axis)]
        found[axis] = int(sizes.min()) if sizes.size else 0
    return found


def _periods(model: Dataset, grid: probe.Grid) -> tuple[int, ...]:
    """How many shifts along each axis are new: one where none are granted, else those below the exact ones."""
    exact, points = _exact_shifts(model), dict(zip(AXES, grid.shape, strict=False))
    granted = [a for a in exact if model.granted.values[model.axis.values == a].all()]
    # Turns take one axis to another, so that only what is exact along all of them may be left out.
    common = math.lcm(*(exact[a] or points[a] for a in granted))
    return tuple(1 if a not in granted else common if n % common == 0 else n for a, n in points.items())


def _ratio(model: Dataset, above: str, below: str) -> Interval:
    """A ratio of means over pairs, with its interval over pairs; an error below rounding counts as rounding."""
    rows, least = np.stack([model[above].values, model[below].values], -1), model.attrs["rounding"] ** 2
    return probe.intervals.of_samples(rows, lambda r: r[..., 0].mean(0) / np.maximum(r[..., 1].mean(0), least))


def _drawn(model: Dataset) -> str:
    count, order = int(model.attrs["elements"]), int(model.attrs["order"])
    return f"all {count} of the group" if count == order else f"{count} of {order} symmetries, drawn at random"


def _averaging(model: Dataset) -> Check:
    """What the average over the elements is off by, against the model alone."""
    ratio, over = _ratio(model, "average_error", "own_error"), f"{model.sizes['orbit']} pairs"
    own, left = (math.sqrt(float(model[name].mean())) for name in ("own_error", "average_error"))
    sentence = (
        f"Averaging the answers over {int(model.attrs['elements'])} symmetries at inference takes the error on {over} from "
        f"{percent(own)} to {percent(left)} of the truth: {percent(ratio.value)} of its power is left, at as many times the cost."
    )
    if ratio.low > 1:
        sentence += " It makes the answers worse: the truth does not hold these symmetries itself."
    return Check.info("averaging", ratio, sentence, covers=over)


def _exactness(model: Dataset) -> Check:
    turns = (_exact(model) & (model.kind.values != "shift")).sum() + 1
    return Check.info("exact_group", float(turns), f"The largest exact group: {_exact_words(model)}.", unit="turns")


def _exact_words(model: Dataset) -> str:
    """The largest group that is exact to rounding, in words."""
    periods = _exact_shifts(model)
    along = [f"every shift along {a}" if p == 1 else f"shifts by {p} cells along {a}" for a, p in periods.items() if p]
    shifts = " and ".join(along) or "no shift"
    if len(set(periods.values())) == 1 and (period := periods["x"]):
        shifts = "every shift by whole cells" if period == 1 else f"shifts by {period} cells along every axis"
    turns = _turn_words(model)
    # Where every shift is exact, one point is as good as the next.
    about = f" about {probe.turns.place(float(model.attrs['best_centre']))}" if turns and set(periods.values()) != {1} else ""
    return f"{shifts}; {turns or 'no rotation or mirror'}{about}"


def _turn_words(model: Dataset) -> str:
    exact, kind = _exact(model), model.kind.values
    rotations, mirrors = exact[kind == "rotation"], exact[kind == "mirror"]
    body = {(23, 24): "cube", (3, 4): "square"}.get((rotations.size, mirrors.size), "lattice")
    named = [str(name) for name in model.symmetry.values[exact & (kind != "shift")]]
    if rotations.size and rotations.all():
        return f"the {body}'s rotations{' and mirrors' if mirrors.all() else ''}"
    if len(named) > 4:
        return f"{rotations.sum()} of {rotations.size} rotations and {mirrors.sum()} of {mirrors.size} mirrors of the {body}"
    return ", ".join(named)


def _budget(model: Dataset) -> Panel:
    """Bars of the error power over the orbit of each pair."""
    picture, axes = figures.figure(width=7.2, height=1.4 + 0.32 * model.sizes["orbit"])
    panel, places = axes[0, 0], np.arange(model.sizes["orbit"])
    panel.barh(places, model.average_error, color="#0072B2", label="left after averaging")
    panel.barh(places, model.breaking, left=model.average_error, color="#E69F00", hatch="///", label="breaks the symmetry")
    panel.plot(model.own_error, places, "k|", ms=14, label="the model alone")
    panel.set_yticks(places, labels=[str(name) for name in model.orbit.values])
    panel.set(xlabel="error power / power of the truth", ylabel="pair", ylim=(len(places) - 0.5, -0.5))
    figures.legend(panel, **figures.BESIDE)
    rows = zip(model.orbit.values, *(model[name].values for name in ("orbit_error", "average_error", "breaking")), strict=True)
    text = "; ".join(f"{name}: {error:.3e} = {left:.3e} + {broken:.3e}" for name, error, left, broken in rows)
    caption = (
        f"The error power of each pair, averaged over its orbit ({_drawn(model)}): what the average F of the answers leaves, "
        "|F - y|^2, and what breaks the symmetry, mean |f - F|^2. The stroke is the model's error as it is, without turning."
    )
    return Panel("The error budget", [("", picture)], caption, text, ("breaking", *SUMS))


def _pictures(model: Dataset) -> Panel:
    """The error of the first pair, and the two parts of it."""
    cuts = dict(zip(("f(x) - y", "F - y", "f(x) - F"), (model[name].values for name in SLICES), strict=True))
    unit = model[SLICES[0]].attrs["units"]
    text = "; ".join(f"{title}: rms {np.sqrt((cut**2).mean()):.3g} {unit}".rstrip() for title, cut in cuts.items())
    caption = (
        f"{model.orbit.values[0]!s}, one component through the middle of the box: the model's error, what averaging over the "
        "symmetries leaves of it, and what it removes, in one scale of colour."
    )
    picture = figures.slices(cuts, unit) if model.sizes["u"] > 1 else _lines(cuts, unit)
    return Panel("What averaging would remove", [("", picture)], caption, text, SLICES)


def _lines(cuts: dict[str, ndarray], unit: str) -> Figure:
    """On a line the cuts are curves."""
    picture, axes = figures.figure(width=7.0)
    for (title, cut), color, dash in zip(cuts.items(), ("#000000", "#0072B2", "#E69F00"), ("-", "--", ":"), strict=True):
        axes[0, 0].plot(cut[0], color=color, ls=dash, label=title)
    axes[0, 0].set(xlabel=figures.axis_label("x", "cells"), ylabel=figures.axis_label("error", unit))
    figures.legend(axes[0, 0])
    return picture
