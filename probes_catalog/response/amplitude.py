"""The probe `amplitude`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lazy_loader as lazy

import probe
from probe import figures
from probe.contract import Check, Measured, Panel, Probe, Subject, judgement, measurement, percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy import ndarray
    from xarray import Dataset

    from probe.coupling import Mode, Pair
    from probe.fields import Quantity
    from probe.grid import Grid

np, xr = lazy.load("numpy"), lazy.load("xarray")

STARTS = {"quick": 1, "default": 2, "full": 4}
# Of the pair, and real fields: one is enough to see whether a coupling stays the same.
FEWER = {"quick": 1, "default": 1, "full": 4}
# Of a displacement, over D(out)/D(in), so that shells cross at the level 1 of what comes out.
LADDER, PAIR_LADDER = (0.05, 0.2, 0.5, 0.9), (0.05, 0.1, 0.2)
# Of anything else, about the rms of the data.
USUAL_LADDER, USUAL_PAIR_LADDER = (0.1, 0.3, 1.0, 2.0), (0.1, 0.3, 1.0)


class Amplitude(Probe):
    """Where does it stop being linear, and does it know?

    The same waves are asked over a ladder of amplitudes, and sums of real fields beside their parts.

    - The response H of one wave at each amplitude, a = A|k| of a displacement and multiples of sqrt(2) rms of anything else. A
      lone wave of gravity stays what it is, grown, until shells cross at a = 1: H is constant. A network that divides by the
      size of its field, as InstanceNorm or GroupNorm do, forgets the amplitude: |H| falls as 1/a.
    - The second order: the coupling K of two waves across each other (as in `two_waves`; on a line along each other) at each
      amplitude. 2LPT says K = (3/14) (1 - mu^2) at all of them.
    - Superposition: f(x + y) - f(x) - f(y) + f(0) for the long and the short waves of one input, and for two inputs, relative to
      f(x + y) - f(0), at several strengths. A linear model leaves nothing, a second order as much more as the fields are stronger.

    The truth is the simulator's own answers, or the law, at the same amplitude; else Zel'dovich for one wave and 2LPT for two. Of
    real fields only a law knows the answer; 2LPT stands beside the model, unjudged, for fields of today are beyond it. Slopes
    about a background prove nothing: those of an untrained network agree to four digits.

    How to read it: the model's lines follow the truth's as far as it can be trusted, and the checks name that amplitude. Whether
    it knows is said by `linearity`: how much its response changes over the ladder, beside the truth's change. Amplitudes above the
    dotted line are larger than those of single modes in the data. A response that falls over the whole ladder is a
    normalisation; one that sags at the top alone, and most for the longest wave, a saturation.

    The bounds: 10 % of the response, twice what `plane_wave` allows at one amplitude, as the ends of the ladder lie outside the
    data; a quarter of the coupling and of the remainder, as in `two_waves`: a linear model misses all of either. Where
    the simulator itself departs from theory by more, that departure is the bound. The rungs above `up_to` are told, not judged.
    """

    suite, version = "response", 1
    checks = ("gain", "second_order", "superposition", "linearity")
    controls = ("simulator", "identity", "lpt2", "linear_filter", "untrained")
    references = (
        "Y. B. Zel'dovich (1970), A&A 5, 84.",
        "F. R. Bouchet et al. (1995), A&A 296, 575: Lagrangian perturbation theory at second order.",
        "D. Ulyanov, A. Vedaldi, V. Lempitsky (2016), arXiv:1607.08022: instance normalisation removes contrast.",
    )

    modes = measurement(
        None,
        "integer modes of the single waves; by default one of N/6 and the longest, on a line two long ones",
        like=((5, 0, 0), (1, 0, 0)),
    )
    levels = measurement(
        None,
        "ladder of the single waves: a = A|k| of a displacement, by default 0.05,0.2,0.5,0.9 over the growth ratio, else of "
        "sqrt(2) rms, by default 0.1,0.3,1,2",
        like=(0.05, 0.2),
        low=1e-6,
        high=100.0,
    )
    pair_levels = measurement(
        None,
        "ladder of the pair, of each wave: by default 0.05,0.1,0.2 over the growth ratio, else 0.1,0.3,1",
        like=(0.05, 0.1),
        low=1e-6,
        high=100.0,
    )
    strengths = measurement((0.25, 0.5, 1.0), "what the real fields are multiplied with; 1 is as they are", low=1e-6, high=100.0)
    input = measurement("", "the input quantity the waves are put into; the first field by default")
    output = measurement("", "the output quantity looked at; the first field by default")
    up_to = judgement(1.0, "highest level that is judged, times the growth ratio", low=0.0, high=100.0)
    bound = judgement(0.1, "largest error of the response, relative to the true response", low=0.0, high=10.0)
    second_bound = judgement(
        0.25, "largest error of the coupling and of the remainder of a sum, relative to the truth's", low=0.0, high=10.0
    )

    def applies(self, subject: Subject) -> str:
        return probe.response.no_waves(subject, self.input, self.output)

    def measure(self, subject: Subject) -> Dataset:
        grid, (source, answered) = subject.grid, probe.response.between(subject, self.input, self.output)
        modes, levels = self._modes(grid), _ladder(subject, source, self.levels, LADDER, USUAL_LADDER)
        held = [probe.ladder.level_in_data(subject, mode, source.name) for mode in modes]
        coords: dict[str, Any] = {
            "mode": [probe.waves.label(mode) for mode in modes],
            "level": list(levels),
            "harmonic": list(range(probe.response.HARMONICS + 1)),
            "wavenumber": ("mode", [grid.wavenumber_of(mode) for mode in modes], {"units": grid.inverse_unit}),
            "strength": list(self.strengths),
            "split": list(probe.superposition.SPLITS),
        }
        variables = self._climb(subject, modes, levels, source, answered) | self._add(subject, answered)
        variables["held"] = ("mode", held, {"units": ""})
        attrs = _attributes(subject, source, answered)
        if min(grid.shape) >= probe.coupling.FEWEST:
            pair = probe.coupling.default_pairs(grid)[0]
            rungs = _ladder(subject, source, self.pair_levels, PAIR_LADDER, USUAL_PAIR_LADDER)
            variables |= self._couple(subject, pair, rungs, source, answered)
            coords |= {"rung": list(rungs), "side": list(probe.coupling.SIDES), "cosine": probe.coupling.cosine(pair, grid)}
            attrs["pair"] = " ".join(map(probe.waves.label, pair))
        return xr.Dataset(variables, coords=coords, attrs=attrs)

    def _modes(self, grid: Grid) -> tuple[Mode, ...]:
        usual = probe.waves.default_modes(grid)
        # A line has many points, and laws on it often wipe out its short waves.
        modes: tuple[Mode, ...] = self.modes or (usual[2:0:-1] if grid.dimension == 1 and len(usual) > 2 else usual[:2])
        for mode in modes:
            probe.response.check_mode(mode, grid)
        return modes

    def _climb(
        self, subject: Subject, modes: Sequence[Mode], levels: Sequence[float], source: Quantity, answered: Quantity
    ) -> dict[str, Any]:
        """Each wave at each level."""
        room, grid, starts = probe.response, subject.grid, STARTS[subject.effort]
        cases = [
            room.WaveCase(mode, level, probe.waves.whole_cell_phases(mode, grid, starts), source.name, answered.name)
            for mode in modes
            for level in levels
        ]
        answers = subject.map(room.respond, cases, passes=starts)
        table = room.tabulate(answers, {"mode": len(modes), "level": len(levels)}, source, answered, grid)
        return {name: table[name] for name in ("response", "harmonic_response")}

    def _couple(self, subject: Subject, pair: Pair, rungs: Sequence[float], source: Quantity, answered: Quantity) -> dict[str, Any]:
        """The pair at each level."""
        room, grid, starts = probe.coupling, subject.grid, FEWER[subject.effort]
        phases, names = room.whole_cell_starts(pair, grid, starts), (source.name, answered.name)
        cases = [room.PairCase(*pair, level, phases, *names) for level in rungs]
        found = subject.map(room.couple, cases, passes=len(room.SIGNS) * starts)
        unit = {"units": room.unit(source, answered, grid)}
        parts = {"coupling": "along", "coupling_floor": "floor"}
        return {name: (("rung", "side"), np.stack([getattr(one, part) for one in found]), unit) for name, part in parts.items()}

    def _add(self, subject: Subject, answered: Quantity) -> dict[str, Any]:
        """The sums of real fields at each strength."""
        room, count, unit = probe.superposition, FEWER[subject.effort], {"units": answered.unit}
        cases = [room.SumCase(split, place, self.strengths, answered.name) for split in room.SPLITS for place in range(count)]
        found = subject.map(room.superpose, cases, passes=1 + 3 * len(self.strengths))
        over, across = ("split", "field", "strength"), ("component", *("u", "v")[: subject.grid.dimension])
        variables = {}
        for name, part, more in (("remainder", "size", ()), ("whole", "whole", ()), ("plane", "plane", across)):
            values = np.stack([getattr(one, part) for one in found])
            variables[name] = ((*over, *more), values.reshape(len(room.SPLITS), count, *values.shape[1:]), unit)
        return variables

    def judge(self, measured: Measured) -> list[Check]:
        return [self._gain(measured), self._second_order(measured), self._superposition(measured), self._linearity(measured)]

    def _judged(self, model: Dataset, rung: str) -> ndarray:
        """Which rungs are judged: (rung,)."""
        inside: ndarray = model[rung].values * model.attrs["growth_ratio"] <= self.up_to
        return inside

    def _gain(self, measured: Measured) -> Check:
        model, errors = measured["model"], probe.ladder.wave_errors(measured)
        asked = f"{_from_to(model, errors.levels)} the response to {probe.ladder.in_a_row(errors.rows)}"
        asked += probe.equivariance.through_window(model)
        inside, unit = self._judged(model, "level"), str(model.response.attrs["units"])
        return probe.ladder.held_to_truth("gain", asked, errors, inside, self.bound, "the response's amplitude", unit)

    def _second_order(self, measured: Measured) -> Check:
        model, share = measured["model"], "the coupling, which a linear model misses altogether"
        if "coupling" not in model:
            return Check.not_applicable("second_order", "two waves and their sum need 8 points along every axis")
        errors, unit = probe.ladder.coupling_errors(measured), str(model.coupling.attrs["units"])
        asked = f"{_from_to(model, errors.levels)} the coupling of the pair {model.attrs['pair']}"
        inside = self._judged(model, "rung")
        return probe.ladder.held_to_truth("second_order", asked, errors, inside, self.second_bound, share, unit)

    def _superposition(self, measured: Measured) -> Check:
        """Sums of real fields, held to a law where there is one; else told, beside 2LPT."""
        model, room, many = measured["model"], probe.superposition, measured["model"].sizes["field"]
        asked = (
            f"Of {f'{many} inputs' if many > 1 else 'an input'} at {probe.ladder.in_a_row(model.strength.values)} times the usual "
            "size, what the answer to a sum has beyond the answers to its parts, over the answer,"
        )
        if "simulator" in measured and np.isfinite(measured["simulator"].plane).all():
            errors = room.errors(model, measured["simulator"], str(model.attrs["simulator"]))
            share = "the remainder, which a linear model misses altogether"
            inside = model.strength.values <= 1
            return probe.ladder.held_to_truth("superposition", asked, errors, inside, self.second_bound, share)
        own = float(room.share(model).max())
        if "lpt2" not in measured:
            return Check.info("superposition", own, f"{asked} is at most {percent(own)}; no truth is known for it.")
        errors = room.errors(model, measured["lpt2"], "2LPT")
        each = [f"{percent(error)} at {at:g}" for error, at in zip(errors.values.max(0), errors.levels, strict=True)]
        words = f"{asked} is at most {percent(own)}, of 2LPT {percent(errors.truth.max())}; off from 2LPT's by up to "
        return Check.info("superposition", own, f"{words}{probe.ladder.in_a_row(each)}. Nothing is judged.")

    def _linearity(self, measured: Measured) -> Check:
        """How much the response changes, and with which power of the amplitude, beside the truth's."""
        model, errors, inside = measured["model"], probe.ladder.wave_errors(measured), self._judged(measured["model"], "level")
        if inside.sum() < 2:
            return Check.not_applicable("linearity", f"it takes two levels below {self.up_to:g}; set amplitude.levels")
        levels, own = errors.levels[inside], errors.found[:, inside]
        change, mode = probe.ladder.change(own)
        sentence = (
            f"{_from_to(model, levels)} the response to {errors.rows[mode]} changes by {percent(change)}, as the power "
            f"{_signed(probe.ladder.power(levels, own[mode]))} of the amplitude (0: linear, -1: the amplitude is forgotten)"
        )
        right = errors.truth[[mode]][:, inside]
        if np.isfinite(right).all():
            truth = percent(probe.ladder.change(right)[0]), _signed(probe.ladder.power(levels, right[0]))
            sentence += f"; the truth's by {truth[0]}, as the power {truth[1]}"
        return Check.info("linearity", change, sentence + ".")

    def draw(self, measured: Measured) -> list[Panel]:
        return [self._draw_ladders(measured), _draw_sums(measured), *_draw_remainder(measured)]

    def _draw_ladders(self, measured: Measured) -> Panel:
        model, errors = measured["model"], probe.ladder.wave_errors(measured)
        paired = "coupling" in model
        picture, axes = figures.figure(columns=1 + paired, width=8.6 if paired else 6.0)
        panel = axes[0, 0]
        right = abs(errors.truth[0])
        figures.band(panel, errors.levels, (1 - self.bound) * right, (1 + self.bound) * right, "simulator")
        for data, look in probe.equivariance.curves(measured, "response"):
            figures.rows(panel, errors.levels, abs(data.response.values), look)
        if model.attrs["theory"]:
            panel.axhline(float(model.attrs["growth_ratio"]), **probe.equivariance.look("identity", model))
        if np.isfinite(model.held[0]):
            panel.axvline(float(model.held[0]), color=figures.INK, lw=0.9, ls=":", label="rms of a mode in the data")
        figures.ladder(panel, errors.levels, f"level, {model.attrs['level_means']}")
        panel.set_ylabel(figures.axis_label("gain |H|", model.response.attrs["units"]))
        panel.set_ylim(0, 1.15 * panel.get_ylim()[1])
        if paired:
            _draw_couplings(axes[0, 1], measured)
        figures.legend_beside(axes[0])
        used = ("response", "held", *["coupling"] * paired)
        return Panel("Response and coupling up the ladder", [("", picture)], _caption(model), _numbers(model), used)


def _draw_couplings(panel: Axes, measured: Measured) -> None:
    model, truth = measured["model"], probe.coupling.true_coupling(measured)
    part, word = probe.coupling.drawn_part(model, truth)
    if model.attrs["theory"]:
        panel.axhline(float(model.attrs["second_order"] * (1 - model.cosine**2)), **figures.style("lpt2"))
    for data, look in probe.equivariance.curves(measured, "coupling"):
        rounding = abs(data.coupling) <= data.coupling_floor
        figures.rows(panel, model.rung.values, part(data.coupling.where(~rounding, 0).values).T, look)
    panel.axhline(0, color=figures.INK, lw=0.6)
    panel.set_ylabel(figures.axis_label(f"coupling {word}", model.coupling.attrs["units"]))
    figures.ladder(panel, model.rung.values, f"level, {model.attrs['level_means']}")


def _caption(model: Dataset) -> str:
    filled, *others = model.mode.values
    words = f"Gain of {filled!s} (filled points)" + (f" and {probe.ladder.in_a_row(others)} (open)" if others else "")
    words += (
        f" over amplitudes{probe.equivariance.through_window(model)}. A faithful model lies on {model.attrs['simulator']}, or the "
        "theory (the shade is the bound, of the first wave); a network that forgets the amplitude falls as one over it."
    )
    if np.isfinite(model.held[0]):
        words += " Right of the dotted line a wave is louder than single modes of the data."
    if "coupling" in model:
        words += f" Right panel: the coupling of {model.attrs['pair']} at n1 + n2 (filled) and n1 - n2 (open)."
    return words


def _numbers(model: Dataset) -> str:
    rows = {f"|H| of {mode!s}": (abs(row), model.level) for mode, row in zip(model.mode.values, model.response.values, strict=True)}
    if "coupling" in model:
        rows["|K|"] = (np.sqrt((abs(model.coupling.values) ** 2).mean(1)), model.rung)
    return "; ".join(
        f"{name}: " + ", ".join(f"{size:.4g} at {float(level):g}" for size, level in zip(sizes, levels, strict=True))
        for name, (sizes, levels) in rows.items()
    )


def _draw_sums(measured: Measured) -> Panel:
    model, lowest, text = measured["model"], 1e-6, []
    picture, axes = figures.figure(columns=model.sizes["split"], width=8.6, sharey=True)
    for panel, split in zip(axes[0], model.split.values, strict=True):
        figures.ladder(panel, model.strength.values, "strength of the fields")
        panel.set(yscale="log", ylabel="remainder / answer [%]")
        panel.set_title(str(split), fontsize=9.5, loc="left")
    for data, look in probe.equivariance.curves(measured, "remainder", ("untrained", "lpt2", "model", "simulator")):
        for panel, split, shares in zip(axes[0], model.split.values, probe.superposition.share(data), strict=True):
            panel.plot(model.strength, 100 * np.maximum(shares, lowest), marker="o", markersize=4.5, **look)
            text.append(f"{look['label']}, {split!s}: " + ", ".join(percent(float(share)) for share in shares))
    figures.legend_beside(axes[0])
    caption = (
        "What the answer to a sum of real fields has beyond the answers to its parts, rms, over the answer. A second order rises "
        "in proportion to the strength, the answer of a network that forgets amplitudes stays level; nothing is left of a linear "
        "model (0.0001 % is the lowest drawn)."
    )
    strengths = f"At {probe.ladder.in_a_row(model.strength.values)} times the usual size: "
    return Panel("Superposition of real fields", [("", picture)], caption, strengths + "; ".join(text), ("remainder", "whole"))


def _draw_remainder(measured: Measured) -> list[Panel]:
    """The remainder of the first sum itself, at the strength nearest to the data's; on a line there is no picture."""
    model = measured["model"]
    if "v" not in model.plane.dims:
        return []
    place, unit = int(abs(model.strength.values - 1).argmin()), str(model.plane.attrs["units"])
    shown = {
        look["label"]: data.plane.values[0, 0, place, 0].astype(float)
        for data, look in probe.equivariance.curves(measured, "plane", ("model", "lpt2", "simulator"))
    }
    width, height = (float(model.attrs[side]) for side in ("width", "height"))
    picture = figures.slices(shown, unit, (0.0, width, 0.0, height), str(model.attrs["length_unit"]))
    text = ", ".join(f"{name}: rms {np.sqrt(np.mean(values**2)):.3g} {unit}".rstrip() for name, values in shown.items())
    caption = (
        f"What the {model.split.values[0]!s} of one input make of each other at {float(model.strength[place]):g} times their size: "
        "one component, through the middle of the box. It should be the same picture, and not of the same size alone."
    )
    return [Panel("What a sum has beyond its parts", [("", picture)], caption, text, ("plane",))]


def _from_to(model: Dataset, levels: ndarray) -> str:
    return f"From {model.attrs['level_means']} = {levels.min():g} to {levels.max():g}"


def _signed(power: float) -> str:
    return f"{round(power, 2) + 0.0:.2f}" if np.isfinite(power) else "unknown"


def _ladder(subject: Subject, source: Quantity, given: tuple[float, ...] | None, grown: tuple, usual: tuple) -> tuple[float, ...]:
    """The levels asked, in rising order; by default those of gravity's displacement over D(out)/D(in), or those about the rms."""
    if given is not None:
        return tuple(sorted(set(given)))
    if source.quantity != "displacement":
        return usual
    return tuple(level / subject.description.truth.growth_ratio for level in grown)


def _attributes(subject: Subject, source: Quantity, answered: Quantity) -> dict[str, str | float | int]:
    box = subject.grid.box
    return probe.equivariance.facts(subject) | {
        "level_means": probe.waves.level_means(source),
        "second_order": probe.coupling.second_order(subject.description.truth),
        "input": source.name,
        "output": answered.name,
        "width": float(box[0]),
        "height": float(box[-1] if len(box) < 2 else box[1]),
    }
