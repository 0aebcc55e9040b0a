"""The probe `consistency`."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import lazy_loader as lazy

import probe
from probe import figures
from probe.contract import Check, Measured, Panel, Probe, Subject, judgement, measurement, percent
from probe.errors import InputError

if TYPE_CHECKING:
    from numpy import ndarray
    from torch import Tensor
    from xarray import Dataset

    from probe.fields import Field

np, xr, torch = lazy.load("numpy"), lazy.load("xarray"), lazy.load("torch")

TILES = 4
# Of each repetition: what was done twice, in the words of the sentence that follows "The answer changes by X ".
WORDS = {
    "repeat": "when the same input is asked twice",
    "after_another": "when another input is asked in between",
    "batch_size": "when the input is asked in a batch of {} instead of alone",
    "batch_neighbours": "when the other samples of its batch change",
    "device": "on a GPU instead of a CPU",
}


@dataclass(frozen=True)
class FieldCase:
    """A real field, by its place, and how many others there are in a batch with it."""

    index: int
    neighbours: int = 0


@dataclass(frozen=True)
class Boxes:
    """What a longer box changes.

    Attributes
    ----------
    tiles : float
        |f(tiles of x) - tiles of f(x)| / |tiles of f(x)|.
    far : ndarray, (distance,)
        rms of the change at each distance from a tile made louder, over the rms of the answer.
    reason : str
        Why it could not be asked; empty otherwise.
    """

    tiles: float
    far: ndarray
    reason: str = ""


class Consistency(Probe):
    """Is it the same function each time?

    An answer may hang on the input and on nothing else. Each of these is asked for on real fields, and told as a difference
    relative to the answer.

    - Twice the same input, and again after another one: dropout that was left on, a state that is kept between calls.
    - Alone and in a batch, and in a batch whose other samples are others and louder: statistics that are taken over the batch.
    - In float32 and in float64: how much rounding grows on its way through the network, digits lost in a subtraction.
    - In a box four times as long, made of tiles of the same periodic field: where the answer is not tiles of the same answer, the
      network belongs to its box (as Fourier layers do), which is told. Where it is, one tile is made louder, up to three times in
      its middle: a change that does not fade with the distance is a statistic over the whole box, such as instance or group
      normalisation, and the network answers otherwise on a crop than on the full box.
    - On a CPU and on a GPU, where there is one.

    How to read it: the first figure shows every difference, with its bound; the second how far a loud neighbour is heard. A network
    of finite receptive field is silent beyond it, and gravity itself is heard a little everywhere.

    Bounds: differences that should not be are held to rounding, a hundred units in the last place or twice the measured
    difference between float32 and float64. That difference itself is held to 0.1 %, or ten units in the last place of a lower
    precision: far below what a trained network gets wrong, a convention; so is a GPU's, which rounds coarser. What a loud tile
    changes at the farthest place is held to 2 % of the answer, a convention, or to what it changes in 2LPT where that is more: a
    nonlocal law is heard far away too. The error on data is no measure of any of this.
    """

    suite, version = "symmetry", 1
    checks = ("repeat", "after_another", "batch_size", "batch_neighbours", "precision", "tiles", "far", "device")
    controls = ("lpt2", "untrained")
    references = (
        "S. Ioffe & C. Szegedy (2015), Batch Normalization, arXiv:1502.03167: statistics of the batch and of the population.",
        "D. Ulyanov, A. Vedaldi & V. Lempitsky (2016), Instance Normalization, arXiv:1607.08022.",
    )

    fields = measurement(2, "real fields: those of the pairs first, then Gaussian ones", low=1, high=100)
    batch = measurement(4, "samples in a batch", low=2, high=1000)
    loudness = measurement(3.0, "how much louder the tile is made in its middle", low=1.01, high=100.0)
    largest_box = measurement(2**21, "points of the longest box that is asked; larger ones are left out", low=0, high=2**40)
    bound = judgement(None, "largest relative difference where there should be none; by default rounding", like=1e-5, low=0.0)
    precision_bound = judgement(None, "largest relative difference between precisions; by default 0.1 %", like=1e-3, low=0.0)
    far_bound = judgement(0.02, "largest relative change far away, or that in 2LPT where it is more", low=0.0, high=10.0)

    def measure(self, subject: Subject) -> Dataset:
        alone = [FieldCase(i) for i in range(self.fields)]
        together = [FieldCase(i, self.batch - 1) for i in range(self.fields)]
        repeated = np.array(subject.map(ask_again, alone, passes=4))
        batched = np.array(subject.map(ask_in_batches, together, passes=2 * self.batch + 1))
        columns = {
            "repeat": repeated[:, 0],
            "after_another": repeated[:, 1],
            "batch_size": batched[:, 0],
            "batch_neighbours": batched[:, 1],
            "precision": np.array(subject.map(ask_in_double, alone, passes=2)),
            "device": np.array(subject.map(ask_elsewhere, alone, passes=2 if torch.cuda.is_available() else 0)),
        }
        boxes = subject.map(self.ask_in_a_longer_box, alone[:1], passes=2 * TILES + 1)[0]
        eps = float(torch.finfo(subject.model.dtype).eps)
        return xr.Dataset(
            {name: ("field", values, {"units": ""}) for name, values in columns.items()}
            | {"tiles": ((), boxes.tiles, {"units": ""}), "far": ("distance", boxes.far, {"units": ""})},
            coords={
                "field": [probe.equivariance.name_of_field(subject, i) for i in range(self.fields)],
                "distance": ("distance", np.arange(1, len(boxes.far) + 1), {"units": "cells"}),
            },
            attrs=probe.equivariance.facts(subject)
            | {"eps": eps, "dtype": str(subject.model.dtype).removeprefix("torch.")}
            | {"no_boxes": boxes.reason, "side": subject.grid.shape[0], "batch": self.batch, "loudness": self.loudness},
        )

    def ask_in_a_longer_box(self, subject: Subject, case: FieldCase) -> Boxes:
        """Tiles of one field, and the same with the first tile louder."""
        grid = subject.grid
        nothing = np.full(0, math.nan)
        if reason := self._no_longer_box(subject):
            return Boxes(math.nan, nothing, reason)
        field, _ = probe.equivariance.test_field(subject, case.index)
        long = grid.of_shape((TILES * grid.shape[0], *grid.shape[1:]))
        tiled = replace(field, values=_tiled(field.values), grid=long)
        try:
            answer = _places(subject.model(tiled))
            louder = _places(subject.model(_louder(tiled, grid.shape[0], self.loudness)))
        except InputError as error:
            return Boxes(math.nan, nothing, f"it takes no longer box ({error})")
        own = _tiled(_places(subject.model(field)))
        return Boxes(probe.equivariance.relative(answer - own, own), _by_distance(louder - answer, answer, grid.shape[0]))

    def _no_longer_box(self, subject: Subject) -> str:
        grid = subject.grid
        if grid.boundary != "periodic":
            return f"a longer box is made of tiles of a periodic field; this one's boundary is {grid.boundary!r}"
        if all(q.is_number for q in subject.description.outputs):
            return "it gives numbers alone, which belong to the whole box"
        if subject.effort == "quick":
            return "a longer box is left out with --effort quick"
        if TILES * grid.size > self.largest_box:
            return f"the box would have {TILES * grid.size} points; set consistency.largest_box to at least that many"
        return ""

    def judge(self, measured: Measured) -> list[Check]:
        model = measured["model"]
        bound, source = self._exact_bound(model)
        checks = [self._same(model, name, bound, source) for name in ("repeat", "after_another")]
        if any(check.verdict == "fail" for check in checks):
            reason = "the same input does not give the same answer again, so nothing finer can be told"
            rest = ("batch_size", "batch_neighbours", "precision", "tiles", "far", "device")
            return checks + [Check.not_applicable(name, reason) for name in rest]
        checks += [self._same(model, name, bound, source) for name in ("batch_size", "batch_neighbours")]
        return [*checks, self._precision(model), self._tiles(model), self._far(measured, bound), self._device(model)]

    def _exact_bound(self, model: Dataset) -> tuple[float, str]:
        """Rounding; where it is measured and the model repeats itself, as it grows in this network."""
        if self.bound is not None:
            return self.bound, "set by the user"
        floor, grown = float(model.attrs["rounding"]), 2 * float(model.precision.max())
        repeats = max(float(model[name].max()) for name in ("repeat", "after_another")) <= floor
        if repeats and floor < grown <= 2 * self._coarsest(model):
            return grown, f"rounding: twice the difference between {model.attrs['dtype']} and float64 in this network"
        return floor, f"rounding: a hundred units in the last place of {model.attrs['dtype']}"

    def _coarsest(self, model: Dataset) -> float:
        """How far precisions may lie apart."""
        return max(1e-3, 10 * float(model.attrs["eps"])) if self.precision_bound is None else self.precision_bound

    def _same(self, model: Dataset, name: str, bound: float, source: str) -> Check:
        """A check on a difference that should not be there."""
        worst = float(model[name].max())
        if not math.isfinite(worst):
            return Check.not_applicable(name, "the model takes one sample at a time")
        changes = f"changes by {percent(worst)}" if worst else "does not change at all"
        sentence = f"The answer {changes} {WORDS[name].format(int(model.attrs['batch']))}."
        return Check.judged(name, worst, (None, bound), sentence, bound_from=source, covers=f"{len(model.field)} fields, the worst")

    def _precision(self, model: Dataset) -> Check:
        worst, dtype = float(model.precision.max()), str(model.attrs["dtype"])
        if not math.isfinite(worst):
            reason = "it computes in float64 already" if dtype == "float64" else "it cannot be computed in float64"
            return Check.not_applicable("precision", reason)
        digits = worst / float(model.attrs["eps"])
        sentence = f"Computing in {dtype} changes the answer by {percent(worst)}, {digits:.2g} units in its last place."
        source = "a convention, 0.1 % or ten units in the last place" if self.precision_bound is None else "set by the user"
        return Check.judged("precision", worst, (None, self._coarsest(model)), sentence, bound_from=source)

    def _tiles(self, model: Dataset) -> Check:
        if model.attrs["no_boxes"]:
            return Check.not_applicable("tiles", str(model.attrs["no_boxes"]))
        error = float(model.tiles)
        own = "" if error <= model.attrs["rounding"] else ": the network belongs to its box"
        sentence = f"A box of {TILES} tiles of a field is answered by tiles of the answer to {percent(error)}{own}."
        return Check.info("tiles", error, sentence)

    def _far(self, measured: Measured, exact: float) -> Check:
        model = measured["model"]
        if model.attrs["no_boxes"]:
            return Check.not_applicable("far", str(model.attrs["no_boxes"]))
        if float(model.tiles) > exact:
            return Check.not_applicable(
                "far", f"a longer box is another question for this network ({percent(float(model.tiles))} off)"
            )
        heard, cells = _farthest(model)
        bound, source = self.far_bound, f"a convention, {percent(self.far_bound)} of the answer"
        gravity = _farthest(measured["lpt2"])[0] if "lpt2" in measured else math.nan
        if gravity > bound:
            bound, source = gravity, "what the loud tile changes in 2LPT"
        quiet = heard <= float(model.attrs["rounding"])
        words = "nothing to rounding" if quiet else percent(heard)
        sentence = (
            f"A tile made up to {model.attrs['loudness']:g} times louder changes {words} of the answer {cells} cells away or more."
        )
        return Check.judged("far", heard, (None, bound), sentence, bound_from=source)

    def _device(self, model: Dataset) -> Check:
        worst = float(model.device.max())
        if not math.isfinite(worst):
            return Check.not_applicable("device", "there is no second device on this machine that the model can be put on")
        sentence = f"The answer changes by {percent(worst)} {WORDS['device']}."
        source = "a convention, 0.1 % or ten units in the last place" if self.precision_bound is None else "set by the user"
        return Check.judged("device", worst, (None, self._coarsest(model)), sentence, bound_from=source)

    def draw(self, measured: Measured) -> list[Panel]:
        panels = [self._differences(measured)]
        return [*panels, self._heard(measured)] if measured["model"].sizes["distance"] else panels

    def _differences(self, measured: Measured) -> Panel:
        model = measured["model"]
        names = [n for n in (*WORDS, "precision") if np.isfinite(model[n]).any()]
        picture, axes = figures.figure(width=7.4, height=1.4 + 0.42 * len(names))
        panel, floor = axes[0, 0], float(model.attrs["eps"]) / 10
        for index, subject in enumerate(n for n in ("model", "untrained", "lpt2") if n in measured):
            look = figures.style(subject)
            values = [float(np.maximum(measured[subject][n].max(), floor)) for n in names]
            places = np.arange(len(names)) + 0.14 * (index - 1)
            panel.plot(values, places, "os^"[index], ms=6, color=look["color"], label=look["label"])
        exact, coarse = self._exact_bound(model)[0], self._coarsest(model)
        for place, name in enumerate(names):
            bound = coarse if name in ("precision", "device") else exact
            panel.vlines(bound, place - 0.35, place + 0.35, color="#D55E00", lw=1.6, label="bound" if place == 0 else None)
        panel.set(xscale="log", xlim=(floor / 2, None), ylim=(len(names) - 0.5, -0.5), ylabel="asked again")
        panel.set_xlabel("difference / answer")
        panel.set_yticks(range(len(names)), labels=[n.replace("_", " ") for n in names])
        figures.legend(panel, **figures.BESIDE)
        text = "; ".join(f"{n}: {float(model[n].max()):.2e}" for n in names)
        caption = (
            f"How much the answer changes when nothing about the input does, the worst of {len(model.field)} fields. "
            "Points at the left edge are identical; bars are bounds, and right of its bar it is another function each time."
        )
        return Panel("The same input, asked again", [("", picture)], caption, text, tuple(names))

    def _heard(self, measured: Measured) -> Panel:
        model = measured["model"]
        picture, axes = figures.figure()
        floor = float(model.attrs["eps"]) / 10
        for name in [n for n in ("untrained", "lpt2", "model") if n in measured and measured[n].sizes["distance"]]:
            data = measured[name]
            axes[0, 0].plot(data.distance, np.maximum(data.far, floor), **figures.style(name))
        axes[0, 0].axhline(self.far_bound, color="#D55E00", lw=1.2, ls=":", label="bound")
        axes[0, 0].set(yscale="log", ylim=(floor / 2, None), ylabel="change / answer")
        axes[0, 0].set_xlabel(figures.axis_label("distance from the loud tile", "cells"))
        figures.legend(axes[0, 0])
        near, (far, cells) = float(model.far[0]), _farthest(model)
        text = f"Change next to the tile: {near:.2e}; {cells} cells away and more: {far:.2e}."
        caption = (
            "One tile of a long box is made louder; how much the answer changes at each distance from it. A network of finite "
            "receptive field drops to the floor (rounding), nonlocal physics fades, a statistic over the whole box does not."
        )
        return Panel("How far a loud neighbour is heard", [("", picture)], caption, text, ("far",))


def ask_again(subject: Subject, case: FieldCase) -> tuple[float, float]:
    """Relative difference of the second answer to a field, and of one after another field, from the first."""
    field, other = (probe.equivariance.test_field(subject, case.index + i)[0] for i in (0, 1))
    first, second = (subject.model(field).values for _ in range(2))
    subject.model(other)
    third = subject.model(field).values
    return probe.equivariance.relative(second - first, first), probe.equivariance.relative(third - first, first)


def ask_in_batches(subject: Subject, case: FieldCase) -> tuple[float, float]:
    """Relative difference of the answer in a batch from that alone, and between two batches; nan where none is taken.

    The neighbours are half as far from rest as they were in the one, and twice as far in the other.
    """
    fields = [probe.equivariance.test_field(subject, case.index + i)[0] for i in range(case.neighbours + 1)]
    others = torch.cat([field.values for field in fields[1:]])
    rest = torch.cat([probe.waves.at_rest(q, subject.grid) for q in subject.description.inputs], 1)
    size = len(others) + 1
    together = subject.model.asked(batch_size=size)
    alone = subject.model.asked(batch_size=1)(fields[0]).values
    batches = [torch.cat([fields[0].values, (rest + factor * (others.double() - rest)).to(others)]) for factor in (0.5, 2.0)]
    quiet, loud = (together(fields[0].with_values(batch)).values[:1] for batch in batches)
    if together.batch_size != size:
        return math.nan, math.nan
    return probe.equivariance.relative(quiet - alone, alone), probe.equivariance.relative(loud - quiet, quiet)


def ask_in_double(subject: Subject, case: FieldCase) -> float:
    """Relative difference of the answer from that in float64; nan where there is none but that."""
    model, field = subject.model, probe.equivariance.test_field(subject, case.index)[0]
    if model.dtype == torch.float64:
        return math.nan
    rounded = field.to(dtype=model.physical_dtype)
    answer = model(rounded).values.double()
    try:
        exact = model.to_double()(rounded).values
    except InputError:
        return math.nan
    return probe.equivariance.relative(answer - exact, exact)


def ask_elsewhere(subject: Subject, case: FieldCase) -> float:
    """Relative difference of the answer on the CPU from that on a GPU; nan without one, or for a plain callable."""
    model, field = subject.model, probe.equivariance.test_field(subject, case.index)[0]
    if not torch.cuda.is_available() or not isinstance(model.network, torch.nn.Module):
        return math.nan
    answer = model(field).values.cpu()
    other = model.asked(device="cuda" if model.device.type == "cpu" else "cpu")(field).values.cpu()
    return probe.equivariance.relative(other - answer, answer)


def _tiled(values: Tensor) -> Tensor:
    return torch.cat([values] * TILES, 2)


def _places(answer: Field) -> Tensor:
    """The quantities that have a place, in float64 on the CPU: (1, channel, *grid)."""
    parts = [answer.values[:, part] for quantity, part in answer.parts() if not quantity.is_number]
    return torch.cat(parts, 1).double().cpu()


def _louder(field: Field, side: int, loudness: float) -> Field:
    """The first tile farther from rest, by `loudness` in its middle and not at all at its edges."""
    window = torch.zeros(field.grid.shape[0], dtype=torch.float64)
    window[:side] = torch.sin(math.pi * (torch.arange(side, dtype=torch.float64) + 0.5) / side) ** 2
    factor = 1 + (loudness - 1) * window.reshape(-1, *[1] * (field.grid.dimension - 1))
    values = field.values.double().clone()
    for quantity, part in field.parts():
        if not quantity.is_number:
            rest = probe.waves.at_rest(quantity, field.grid).to(values)
            values[:, part] = rest + (values[:, part] - rest) * factor.to(values)
    return field.with_values(values)


def _by_distance(change: Tensor, answer: Tensor, side: int) -> ndarray:
    """rms of a change at each distance from the first tile, on both sides of it, over the rms of the answer: (distance,)."""
    slabs = change.square().transpose(0, 2).flatten(1).mean(1)[side:]
    far = (len(slabs) + 1) // 2
    both = (slabs[:far] + slabs.flip(0)[:far]) / 2
    return (both.sqrt() / answer.square().mean().sqrt().clamp_min(1e-300)).numpy()


def _farthest(data: Dataset) -> tuple[float, int]:
    """rms change over the farthest quarter of a tile, and where that begins, in cells."""
    begin = max(0, data.sizes["distance"] - max(1, int(data.attrs["side"]) // 4))
    far = data.far.values[begin:]
    return (float(np.sqrt(np.mean(far**2))) if len(far) else math.nan), begin + 1
