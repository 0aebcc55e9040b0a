"""The probe `receptive_field`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lazy_loader as lazy

import probe
from probe import figures
from probe.contract import Check, Measured, Panel, Probe, Subject, judgement, measurement, percent

if TYPE_CHECKING:
    from numpy import ndarray
    from xarray import Dataset

    from probe.intervals import Interval

np, xr = lazy.load("numpy"), lazy.load("xarray")

FIELDS = {"quick": 2, "default": 4, "full": 8}
PLACES = {"quick": 2, "default": 2, "full": 8}
COMPLETE = 0.999  # of the law's influence: beyond the distance that holds it the law does not look
FLOOR = 1e-8  # the faintest share that is drawn


class ReceptiveField(Probe):
    """How far does it look?

    The gradient of the answer at one point with respect to the input, about real fields (inputs of the pairs, Gaussian fields
    without them), at several points that run through a cell of the network's stride, by default its two ends, where the answer
    differs most; `probe inspect` tells what all of them together can see. Where it is not zero is the receptive field.
    How far the answer looks in fact is much less: the effective radius is the root mean square distance of the gradient's square,
    which is where the variance of the linearised answer to white noise comes from. The influence, the sum of the gradient's
    absolute values, is the most that all cells of a ring can do together. Quantities of different units count by their scatter.

    Layers that normalise by the whole box (InstanceNorm, GroupNorm, LayerNorm over space), pool over it or act in Fourier space
    look everywhere: the exact support says so, and each cell's share of it is so small that the effective radius does not. The
    influence does: a mean over the box has next to no energy in any one cell, and yet moves the answer as a whole.

    How to read it: the first figure shows where the influence comes from, ring by ring and summed up; the second is a map of the
    gradient about the point, on a logarithmic scale. Straight edges are a convolution's box; a pattern that changes from point to
    point within a stride is the grid's own; an even carpet far from the point is a normalisation.

    The scale that physics needs is the law's own, where it can be differentiated: it is put the same question about the same
    fields. Two things can then be wrong, each at most 5 % of the influence, a convention. `needed`: the law looks at cells that
    the network cannot see, usually for want of depth. `elsewhere`: the network looks farther than the distance that holds 99.9 %
    of the law's influence, usually through a normalisation by the whole box, and its answer in one place will change with what
    happens far away, and with the size of the box. Under gravity 2LPT stands beside it, and no more is judged: tides have no
    range, and what of them a network needs depends on how close its answer has to be.

    A function without gradients is asked the other way round: one cell of its input is changed by its scatter, up and down.
    """

    suite, version = "attribution", 1
    checks = ("reach", "needed", "elsewhere", "stride", "change", "whole_box")
    controls = ("simulator", "lpt2", "untrained")
    references = (
        "W. Luo, Y. Li, R. Urtasun & R. Zemel (2016), Understanding the effective receptive field, arXiv:1701.04128.",
        "A. Araujo, W. Norris & J. Sim (2019), Computing receptive fields of convolutional neural networks, Distill.",
    )

    fields = measurement(None, "fields it is asked about; by default 2, 4 or 8, by effort", like=2, low=1, high=1000)
    places = measurement(
        None, "grid points of the answer that are asked; by default 2, or up to 8 with full effort", like=((16, 16, 16),)
    )
    output = measurement("", "the output quantity looked at; the first field by default")
    bound = judgement(0.05, "largest share of influence out of the model's sight, or beyond the law's", low=0.0, high=1.0)

    def applies(self, subject: Subject) -> str:
        outputs = subject.description.outputs
        quantity = outputs[probe.fields.place_of(outputs, self.output)]
        if quantity.is_number:
            return (
                f"the output {quantity.name!r} is a number, which has no place to look from; `scales` and `importance` take numbers"
            )
        for place in self.places or ():
            if len(place) != subject.grid.dimension:
                return f"the point {place} has not {subject.grid.dimension} numbers; set receptive_field.places so"
        return ""

    def measure(self, subject: Subject) -> Dataset:
        room, grid = probe.reach, subject.grid
        chosen = self.places or room.places_of(grid, subject.model.stride, PLACES[subject.effort])
        asked = tuple(tuple(n % points for n, points in zip(p, grid.shape, strict=True)) for p in chosen)
        count, derivative = self.fields or FIELDS[subject.effort], probe.derivatives.derivative_of(subject)
        attrs = self._attributes(subject) | {"by_change": int(bool(probe.derivatives.no_gradient(subject)))}
        # A module without a derivative is not the same function each time; a plain function is asked by changing cells.
        if derivative.way == "silent" or (derivative.way == "none" and subject.model.differentiable):
            return xr.Dataset(attrs=attrs | {"reason": derivative.reason})
        width = sum(q.width(grid) for q in subject.description.outputs)
        cases = [room.LookCase(place, asked, self.output) for place in range(count)]
        found = subject.map(room.look, cases, passes=1 + 2 * width * len(asked))
        return xr.Dataset(
            room.tabulate(found),
            coords={
                "distance": ("ring", np.arange(room.rings(grid)) * max(grid.spacing), {"units": grid.unit}),
                "background": [probe.equivariance.name_of_field(subject, place) for place in range(count)],
                "place": [probe.waves.label(place) for place in asked],
            },
            attrs=attrs | {"reason": ""},
        )

    def _attributes(self, subject: Subject) -> dict[str, Any]:
        grid = subject.grid
        layers = probe.reach.whole_box_layers(subject.model.network)
        return probe.equivariance.facts(subject) | {
            "layers": ", ".join(layers),
            "spacing": max(grid.spacing),
            "spacings": list(grid.spacing),
            "shape": list(grid.shape),
        }

    def judge(self, measured: Measured) -> list[Check]:
        model = measured["model"]
        if model.attrs["reason"]:
            return [Check.not_applicable("reach", f"it cannot be asked where it looks: {model.attrs['reason']}")]
        if not model.energy.values.any():
            return [Check.info("reach", 0.0, "Its answer depends on no cell of the input.", unit=_unit(model))]
        return [_reach(measured), *self._against_the_law(measured), _stride(model), *_change(measured), _whole_box(model)]

    def _against_the_law(self, measured: Measured) -> list[Check]:
        model, law = measured["model"], measured.get("simulator")
        if law is None or law.attrs["reason"] or not np.isfinite(model.blind.values).all():
            return []
        far = _radius(law.influence.values.mean((0, 1)), law, COMPLETE)
        blind = probe.intervals.of_mean(model.blind.values.mean(1))
        beyond = probe.intervals.of_mean(model.influence.values[..., model.distance.values > far].sum(-1).mean(1))
        name, source = str(model.attrs["simulator"]), f"a convention: {percent(self.bound)} of the influence"
        words = {
            "needed": f"Of what {name} looks at, {percent(blind.value)} lies in cells that the model does not see",
            "elsewhere": f"Of what the model looks at, {percent(beyond.value)} lies beyond {far:.3g} {_unit(model)}",
        }
        tails = {"needed": ".", "elsewhere": f", within which {name} finds {percent(COMPLETE)} of what it needs{_because(model)}."}
        return [
            Check.judged(check, share, (None, self.bound), words[check] + tails[check], bound_from=source, covers=_covers(model))
            for check, share in (("needed", blind), ("elsewhere", beyond))
        ]

    def draw(self, measured: Measured) -> list[Panel]:
        model = measured["model"]
        if model.attrs["reason"] or not model.energy.values.any():
            return []
        return [_profile(measured), _map(model)]


def _unit(model: Dataset) -> str:
    return str(model.attrs["length_unit"])


def _covers(model: Dataset) -> str:
    return f"{model.sizes['background']} fields"


def _radius(shares: ndarray, model: Dataset, part: float) -> float:
    """The distance within which a part of it lies, to half a cell: (ring,) -> in the grid's unit."""
    total = np.cumsum(shares) / max(shares.sum(), 1e-300)
    return float(model.distance.values[min(int(np.searchsorted(total, part - 1e-12)), len(total) - 1)])


def _because(model: Dataset) -> str:
    return f" ({model.attrs['layers']} look everywhere)" if model.attrs["layers"] else ""


def _radii(data: Dataset) -> str:
    shares = data.influence.values.mean((0, 1))
    half, most = (_radius(shares, data, part) for part in (0.5, 0.95))
    return f"half of the influence lies within {half:.3g} {_unit(data)}, 95 % within {most:.3g} {_unit(data)}"


def _effective(data: Dataset) -> Interval:
    return probe.equivariance.root_mean_square(np.sqrt((data.radius.values**2).mean(1)))


def _reach(measured: Measured) -> Check:
    model = measured["model"]
    reach, shape = model.reach.values.max((0, 1)), np.array(model.attrs["shape"])
    whole = reach.sum(1) + 1 >= shape
    size = _effective(model)
    axes = [
        f"{axis}: {'all of it' if all_of_it else f'{int(back)} cells back, {int(on)} on'}"
        for axis, all_of_it, (back, on) in zip("xyz", whole, reach, strict=False)
    ]
    far = "the whole box" if whole.all() else "; ".join(axes)
    stride, count = int(model.attrs["stride"]), model.sizes["place"]
    asked = f"{count} point{'s' if count > 1 else ''} asked"
    if count < stride and not whole.all():
        asked += f" of {stride} along a stride; others may see farther, and `probe inspect` unites them all"
    sentence = (
        f"An answer ({asked}) can see {far}; {_radii(model)}, and its effective radius is "
        f"{size.value:.3g} {_unit(model)} ({size.value / float(model.attrs['spacing']):.3g} cells){_beside(measured)}."
    )
    if model.attrs["by_change"]:
        sentence += " No gradients pass through it: single cells were changed by their scatter instead."
    return Check.info("reach", size, sentence, unit=_unit(model), covers=_covers(model))


def _beside(measured: Measured) -> str:
    """'; that of 2LPT is ...' for whatever it is compared with."""
    words = [
        f"that of {look['label']} {_effective(data).value:.3g}"
        for data, look in probe.equivariance.curves(measured, "radius", ("simulator", "lpt2", "untrained"))
    ]
    return f"; {', '.join(words)}" if words else ""


def _stride(model: Dataset) -> Check:
    if model.sizes["place"] == 1:
        return Check.not_applicable("stride", "one point was asked, and has none to differ from; set receptive_field.places")
    radius, offset = model.radius.values.mean(0), model.offset.values.mean(0)
    spread = float(np.ptp(radius) / max(radius.mean(), 1e-300))
    moved = np.abs(offset).max(1)
    stride = int(model.attrs["stride"])
    sentence = (
        f"From point to point {f'within a stride of {stride}' if stride > 1 else '(there is no stride)'} the effective radius "
        f"changes by {percent(spread)} "
        f"({radius.min():.3g} to {radius.max():.3g} {_unit(model)}), and what is looked at lies {moved.min():.2g} to "
        f"{moved.max():.2g} cells beside the point."
    )
    return Check.info("stride", spread, sentence, covers=f"{model.sizes['place']} points of one stride cell")


def _change(measured: Measured) -> list[Check]:
    """Of a displacement: where what it adds to its input comes from, beside 2LPT."""
    told = {}
    for name in ("model", "lpt2"):
        if name in measured and "change_influence" in measured[name] and np.isfinite(measured[name].change_influence).all():
            shares = measured[name].change_influence.values.mean((0, 1))
            told[name] = [_radius(shares, measured[name], part) for part in (0.5, 0.95)]
    if "model" not in told or not measured["model"].change_influence.values.any():
        return []
    unit = _unit(measured["model"])
    half, most = told["model"]
    sentence = f"Half of what it adds to the displacement hangs on cells within {half:.3g} {unit}, 95 % within {most:.3g} {unit}"
    if "lpt2" in told:
        sentence += f"; of 2LPT these are {told['lpt2'][0]:.3g} and {told['lpt2'][1]:.3g} {unit}"
    return [Check.info("change", half, sentence + ".", unit=unit, covers=_covers(measured["model"]))]


def _whole_box(model: Dataset) -> Check:
    cells = model.cells.values.sum(-1)
    support, seen = (float(((model[name] * model.cells).sum("ring").values / cells).max()) for name in ("support", "seen"))
    shares = model.influence.values.mean((0, 1))
    most = _radius(shares, model, 0.95)
    layers = f" {model.attrs['layers']} look everywhere by how they are built." if model.attrs["layers"] else ""
    sentence = (
        f"The gradient is not zero in {percent(support)} of the {int(cells.max())} cells of the box, and above rounding in "
        f"{percent(seen)}; cells farther than {most:.3g} {_unit(model)} hold "
        f"{percent(float(shares[model.distance.values > most].sum()))} of the influence.{layers}"
    )
    return Check.info("whole_box", support, sentence)


def _profile(measured: Measured) -> Panel:
    model = measured["model"]
    picture, axes = figures.figure(columns=2, width=9.2, height=3.5)
    end = float(model.attrs["spacing"])
    for data, look in probe.equivariance.curves(measured, "influence", ("untrained", "lpt2", "simulator", "model")):
        shares = data.influence.values.mean((0, 1))
        held = shares > 0
        axes[0, 0].plot(data.distance.values[held], np.maximum(shares[held], FLOOR), **look | {"marker": "o", "markersize": 3})
        axes[0, 1].plot(data.distance, np.cumsum(shares), **look)
        end = max(end, _radius(shares, data, 0.9999))
        if data is model:
            energy = data.energy.values.mean((0, 1))
            axes[0, 1].plot(
                data.distance, np.cumsum(energy), **look | {"linewidth": 1.1, "linestyle": ":", "label": "model, square"}
            )
    effective = _effective(model).value
    axes[0, 1].axvline(effective, color="#D55E00", lw=1.1, ls="--", label="effective radius")
    axes[0, 0].set(yscale="log", ylabel="share of the influence in a ring")
    axes[0, 1].set(ylim=(0, 1.03), ylabel="share within the distance")
    for panel in axes[0]:
        panel.set_xlim(-0.04 * end, 1.05 * end)
        panel.set_xlabel(figures.axis_label("distance from the point", _unit(model)))
    figures.legend(axes[0, 1], **figures.BESIDE)
    told = ", ".join(f"{float(d):.3g}: {s:.2e}" for d, s in zip(model.distance, model.influence.values.mean((0, 1)), strict=True))
    caption = (
        f"Where the influence on an answer comes from, mean over {_covers(model)} and {model.sizes['place']} points. Left: ring by "
        f"ring, a cell wide; less than {FLOOR:g} is drawn there. Right: summed up from the point outwards, and the same of the "
        "gradient's square (dots), whose root mean square distance is the effective radius."
    )
    text = f"{_radii(model)}; effective radius {effective:.3g} {_unit(model)}; by distance {told}"
    return Panel("How far it looks", [("", picture)], caption, text, ("influence", "energy", "radius"))


def _map(model: Dataset) -> Panel:
    """The gradient about each point, as maps; on a line as curves."""
    with np.errstate(divide="ignore"):
        cuts = np.log10(np.maximum(model.cut.values.mean(0), 1e-6))
    labels, word = [f"point {place}" for place in model.place.values], "log10 of the gradient / its largest"
    spacings = [float(h) for h in model.attrs["spacings"]]
    edges = [
        (np.array([-0.5, points - 0.5]) - points // 2) * h for points, h in zip(cuts.shape[:0:-1][::-1], spacings, strict=False)
    ]
    if cuts.shape[1] == 1:
        picture, axes = figures.figure(width=6.4)
        away = (np.arange(cuts.shape[2]) - cuts.shape[2] // 2) * spacings[0]
        for index, (label, cut) in enumerate(zip(labels, cuts[:, 0], strict=True)):
            axes[0, 0].plot(away, cut, color=figures.ramp(index, len(cuts)), lw=1.5, label=label)
        axes[0, 0].set_ylabel(word)
        axes[0, 0].set_xlabel(figures.axis_label("distance from the point", _unit(model)))
        figures.legend(axes[0, 0], **figures.BESIDE)
    else:
        shown, extent = dict(zip(labels[:4], cuts, strict=False)), (*edges[0], *edges[1])
        picture = figures.slices(shown, "", extent, _unit(model), diverging=False, limits=[(-6, 0)], label=word)
    caption = (
        "Size of the gradient about each point, over its largest, in the plane through it; mean over "
        f"{_covers(model)}; less than 1e-6 is drawn at 1e-6. Points follow each other through one cell of the stride."
    )
    reach = model.reach.values.max((0, 1))
    text = "reach: " + "; ".join(f"{a}: {int(b)} cells back, {int(o)} on" for a, (b, o) in zip("xyz", reach, strict=False))
    return Panel("Where it looks", [("", picture)], caption, text, ("cut", "reach"))
