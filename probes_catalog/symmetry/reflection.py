"""The probe `reflection`."""

from __future__ import annotations

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


class Reflection(Probe):
    """Does it tell left from right?

    The input is mirrored, and the answer should be the mirrored answer: gravity, fluids and nearly all that fields are made of
    have no handedness. The mirrors are those of the lattice, which act exactly, without interpolation: across each axis, across
    the diagonals, the inversion through a point, and rotations joined to a mirror. A vector's components turn with the grid;
    a pseudovector (a vorticity) and a pseudoscalar (a helicity) change sign on top. On a line there is one, x to -x.

    - The error is |f(g x) - g f(x)| / |f(x)|, on fields of the pairs and then on random ones.
    - On a periodic grid a mirror can lie on a grid point, on a cell's middle or between, and a strided network can respect one of
      them and no other: all are tried, the best is named, and so is a shift of the answer's mirror against the input's. What
      remains is handedness; the rest is translation, which `translation` asks after.
    - Every mirror across an axis is tried, since a stencil that leans to one side leans along one axis; of the others one of
      each class, all of them with full effort.

    Only mirrors that the description grants are judged: `reflection = true` grants the mirrors across all axes and those that
    follow with the rotations granted; a list of axes grants the mirrors across these. The others are measured and told.

    How to read it: points on the left edge are exact; a mirror to the right of the bound is broken. An error near 2 is an answer
    of the wrong sign: most often a channel of a wrongly described kind (a vorticity called a scalar), or components flipped in
    training data. A small one that the untrained twin shares is what random kernels do, and training did not remove it.

    The bound: with pairs, at most half of the model's error power may break the symmetry, which is reached when
    |f(gx) - g f(x)| is as large as the model's error |f(x) - y|; without pairs 2 % of the output, a convention.
    """

    suite, version = "symmetry", 1
    checks = ("mirrors", "other_mirrors", "exact_mirrors")
    controls = ("identity", "untrained")
    references = (
        "T. Cohen & M. Welling (2016), Group Equivariant Convolutional Networks, arXiv:1602.07576.",
        "R. Wang, R. Walters & R. Yu (2021), Incorporating Symmetry into Deep Dynamics Models, arXiv:2002.03061.",
    )

    fields = measurement(
        None, "fields that are mirrored: of the pairs first, then made ones; by default 4 to 8", like=4, low=1, high=1000
    )
    bound = judgement(None, "largest relative error; by default from the model's error on its pairs, else 2 %", like=0.02, low=0.0)

    def measure(self, subject: Subject) -> Dataset:
        room, described, count = probe.turns, subject.description, probe.turns.field_count(subject, self.fields)
        granted = room.granted_mirrors(described.symmetries, subject.grid)
        mirrors = _mirrors(subject, granted)
        alike = len(described.symmetries.translation) == subject.grid.dimension
        tried = room.centres(subject.grid, subject.model.stride, alike)
        turned = room.turn_all(subject, mirrors, mirrors, tried, count)
        classes = [m.class_name for m in mirrors]
        return xr.Dataset(
            {
                "mirror_error": (("field", "mirror"), turned.error, {"units": ""}),
                "added": ("field", turned.added, {"units": ""}),
                "centre_error": (("centre", "output_centre"), turned.centre_error, {"units": ""}),
                "data_error": probe.equivariance.data_error(subject),
            },
            coords={
                "mirror": [room.name(m, apart=classes.count(m.class_name) > 1) for m in mirrors],
                "granted": ("mirror", [int(m in granted) for m in mirrors]),
                "field": [probe.equivariance.name_of_field(subject, i) for i in range(count)],
                "centre": ("centre", list(tried), {"units": "cells"}),
                "output_centre": ("output_centre", list(tried), {"units": "cells"}),
            },
            attrs=probe.equivariance.facts(subject) | {"best_centre": turned.best[0], "best_output_centre": turned.best[1]},
        )

    def judge(self, measured: Measured) -> list[Check]:
        model = measured["model"]
        granted = model.granted.values.astype(bool)
        denied = str(model.attrs["denied_reflection"]) if not granted.any() else ""
        checks = [self._mirrors(measured, granted if granted.any() else ~granted, denied)]
        if granted.any() and not granted.all():
            worst = _rms(model)[~granted]
            name, error = str(model.mirror.values[~granted][worst.argmax()]), float(worst.max())
            words = f"Mirrors that the description does not grant change the answer by up to {percent(error)} of its size ({name})."
            checks.append(Check.info("other_mirrors", error, words))
        return [*checks, _exactness(model)]

    def _mirrors(self, measured: Measured, asked: ndarray, denied: str) -> Check:
        model = measured["model"]
        place = int(np.argmax(np.where(asked, _rms(model), -1)))
        errors = model.mirror_error.values[:, place]
        interval = probe.equivariance.root_mean_square(errors)
        relative = float(np.sqrt(((errors / model.added.values) ** 2).mean()))
        sentence = (
            f"Mirroring the input changes the answer by {percent(interval.value)} of its size for the worst mirror "
            f"({model.mirror.values[place]}), which is {percent(relative)} of what it adds to its input; "
            f"mirrors through {probe.turns.place(float(model.attrs['best_centre']))} do best{_offset(model)}."
        )
        return probe.equivariance.symmetry_check(
            "mirrors", interval, measured, self.bound, sentence, denied, f"{len(errors)} fields"
        )

    def draw(self, measured: Measured) -> list[Panel]:
        return [self._classes(measured), self._centres(measured["model"])]

    def _classes(self, measured: Measured) -> Panel:
        model = measured["model"]
        rows = [f"{m}{'' if g else ' (not granted)'}" for m, g in zip(model.mirror.values, model.granted.values, strict=True)]
        errors = {name: _rms(measured[name]) for name in ("model", "untrained", "identity") if name in measured}
        bound, _ = probe.equivariance.bound_of(measured, self.bound)
        lines = {"bound": bound, "rounding": float(model.attrs["rounding"])}
        picture = figures.ranking(errors, rows, lines, "|f(gx) - g f(x)| / |f(x)|")
        picture.axes[0].set_ylabel("mirror")
        caption = (
            f"Error under the mirrors of the lattice, root mean square over {model.sizes['field']} fields, about the best centre. "
            "Points left of rounding are exact. An untrained twin left of the model says that training broke the symmetry; "
            "one to its right, that training (or data seen in all orientations) mended it."
        )
        text = "; ".join(f"{row}: {error:.3e}" for row, error in zip(rows, errors["model"], strict=True))
        return Panel("Mirrors of the lattice", [("", picture)], caption, text, ("mirror_error", "added"))

    def _centres(self, model: Dataset) -> Panel:
        labels = [f"{c:g}" for c in model.centre.values]
        picture = figures.matrix(model.centre_error.values, labels, labels, "", "mean error")
        picture.axes[0].set(ylabel=figures.axis_label("input at", "cells"), xlabel=figures.axis_label("output at", "cells"))
        caption = (
            "Where the mirror lies: the mean error, the input mirrored through one point and the answer through another. Whole "
            "numbers are grid points, halves cell centres, -0.5 the middle of the box. Without stride the diagonal is all alike; "
            "a low cell off the diagonal is an answer that sits beside its input."
        )
        best = (
            f"best {model.attrs['best_centre']:g} -> {model.attrs['best_output_centre']:g}: {float(model.centre_error.min()):.3e}"
        )
        return Panel("Through which point", [("", picture)], caption, best, ("centre_error",))


def _mirrors(subject: Subject, granted: tuple[LatticeSymmetry, ...]) -> tuple[LatticeSymmetry, ...]:
    """The mirrors that map the grid onto itself, granted ones first: one of each class, all with full effort."""
    every = probe.transforms.lattice_symmetries(subject.grid.dimension)
    others = [s for s in every if s.determinant < 0 and s.keeps(subject.grid) and s not in granted]
    if subject.effort == "full":
        return (*granted, *others)
    return (*probe.turns.representatives(granted), *probe.turns.representatives(others))


def _rms(data: Dataset) -> ndarray:
    """Root mean square over fields: (mirror,)."""
    return np.sqrt((data.mirror_error.values**2).mean(0))


def _exactness(model: Dataset) -> Check:
    exact = [
        str(m) for m, e in zip(model.mirror.values, model.mirror_error.max("field"), strict=True) if e <= model.attrs["rounding"]
    ]
    words = f"Exact to rounding: {', '.join(exact)}." if exact else "No mirror is exact to rounding."
    return Check.info("exact_mirrors", float(len(exact)), words, unit="mirrors")


def _offset(model: Dataset) -> str:
    shift = float(model.attrs["best_output_centre"]) - float(model.attrs["best_centre"])
    return f", the answer's mirror lying {shift:+g} cells beside the input's" if shift else ""
