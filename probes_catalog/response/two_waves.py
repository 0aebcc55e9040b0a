"""The probe `two_waves`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import lazy_loader as lazy

import probe
from probe import figures
from probe.contract import Check, Measured, Panel, Probe, Subject, judgement, measurement, percent
from probe.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy import ndarray
    from xarray import Dataset

    from probe.coupling import Mode, Pair, TrueCoupling
    from probe.fields import Quantity
    from probe.grid import Grid

np, xr = lazy.load("numpy"), lazy.load("xarray")

SHIFTS = {"quick": 1, "default": 2, "full": 4}
BACKGROUNDS = {"quick": 0, "default": 1, "full": 4}


class TwoWaves(Probe):
    """Does it couple modes as gravity does?

    Two plane waves are put in together, with both signs of either. The mixed difference [f(+,+) - f(+,-) - f(-,+) + f(-,-)]/4
    holds neither wave's own answer nor its harmonics, only what the two make of each other. Its modes n1 + n2 and n1 - n2, over
    the product of the two amplitudes, are the coupling K, averaged over whole-cell shifts of the start, in float64 where the
    model is a module. Of a displacement the amplitudes are those of the overdensity -div psi, in and out: K is a pure number.

    Under gravity at second order (2LPT), at the sum and the difference alike, with mu the cosine between k1 and k2,

        K = (3/14) (1 - mu^2) Omega_m^(-1/143) [D(out)/D(in)]^2 :

    real, greatest for waves across each other, zero for parallel ones, which only pass through each other. A simulator's finite
    force mesh changes this, and a faithful emulator copies it: where its answers to the same pairs are known they are the truth,
    with 2LPT beside them.

    How to read it: in the first figure the model's points lie on the simulator's, near the curve of 2LPT. A linear model lies at
    zero, points below it are couplings of the wrong sign, and a row of equal height is a network that does not see the angle.
    The last figure shows the first pair over amplitudes: a plateau is a true second derivative, a coupling that grows as the
    amplitude falls a kink at zero, as LeakyReLU without biases makes it. The same pair is also asked on top of the inputs of the
    pairs of data (Gaussian fields without them), since there a network was trained.

    The bound is a quarter of the true couplings' rms, a convention: a linear model misses the whole of it. Where the simulator
    departs from 2LPT by more, that departure is the bound. Other quantities are held to their own law where one is known, and
    told as they are where none is.
    """

    suite, version = "response", 1
    checks = ("coupling", "parallel", "plateau", "across", "backgrounds")
    controls = ("simulator", "identity", "lpt2", "linear_filter", "untrained")
    references = (
        "F. R. Bouchet et al. (1995), A&A 296, 575: Lagrangian perturbation theory at second order.",
        "R. Scoccimarro (1998), MNRAS 299, 1097, arXiv:astro-ph/9711187.",
        "F. Bernardeau et al. (2002), Phys. Rep. 367, 1, arXiv:astro-ph/0112551.",
    )

    modes = measurement(
        None, "integer modes of the waves, two by two; chosen from the grid by default", like=((5, 0, 0), (0, 5, 0))
    )
    level = measurement(0.1, "amplitude of each wave: a = A|k| of a displacement, else of sqrt(2) rms", low=1e-6, high=10.0)
    ladder = measurement((0.05, 0.2, 0.4), "other amplitudes of the first pair", low=1e-6, high=10.0)
    shifts = measurement(None, "starts averaged over, whole cells apart; by default 1, 2 or 4, by effort", like=2, low=1, high=64)
    backgrounds = measurement(None, "fields the first pair is put on; by default 0, 1 or 4, by effort", like=1, low=0, high=100)
    input = measurement("", "the input quantity the waves are put into; the first field by default")
    output = measurement("", "the output quantity looked at; the first field by default")
    bound = judgement(0.25, "largest rms error of the couplings, relative to the truth's rms", low=0.0, high=10.0)

    def applies(self, subject: Subject) -> str:
        if self.modes is None and min(subject.grid.shape) < probe.coupling.FEWEST:
            return f"two waves and their sum need 8 points along every axis; this grid is {subject.grid.shape}: set two_waves.modes"
        return probe.response.no_waves(subject, self.input, self.output)

    def measure(self, subject: Subject) -> Dataset:
        room, grid, (source, answered) = probe.coupling, subject.grid, probe.response.between(subject, self.input, self.output)
        pairs, names = _pairs(self.modes, grid), (source.name, answered.name)
        shifts = self.shifts or SHIFTS[subject.effort]
        count = BACKGROUNDS[subject.effort] if self.backgrounds is None else self.backgrounds
        at_level = [room.PairCase(*pair, self.level, room.whole_cell_starts(pair, grid, shifts), *names) for pair in pairs]
        # One start is enough to see a plateau.
        rungs = [room.PairCase(*pairs[0], level, ((0.0, 0.0),), *names) for level in self.ladder]
        # Quarter waves apart, what a third wave of the background makes of 2 n1 or 2 n2 averages out.
        quarters = tuple((p, q) for p in (0.0, math.pi / 2) for q in (0.0, math.pi / 2))
        upon = [room.PairCase(*pairs[0], self.level, quarters, *names, place) for place in range(count)]
        found, climbed, laid = (
            subject.map(room.couple, cases, passes=len(room.SIGNS) * starts)
            for cases, starts in ((at_level, shifts), (rungs, 1), (upon, len(quarters)))
        )
        unit = {"units": room.unit(source, answered, grid)}
        parts = {"coupling": "along", "across": "across", "spread": "spread", "floor": "floor"}
        variables = {name: (("pair", "side"), np.stack([getattr(c, part) for c in found]), unit) for name, part in parts.items()}
        for name, over, more in (("ladder", "rung", climbed), ("background", "background", laid)):
            if more:
                variables[f"{name}_coupling"] = ((over, "side"), np.stack([one.along for one in more]), unit)
        return xr.Dataset(variables, coords=self._coordinates(pairs, grid), attrs=self._attributes(subject, source, answered))

    def _coordinates(self, pairs: Sequence[Pair], grid: Grid) -> dict[str, Any]:
        at = [[grid.wavenumber_of(probe.coupling.added(pair, sign)) for sign in probe.coupling.SIDES.values()] for pair in pairs]
        return {
            "pair": [" ".join(probe.waves.label(mode) for mode in pair) for pair in pairs],
            "side": list(probe.coupling.SIDES),
            "rung": list(self.ladder),
            "cosine": ("pair", [probe.coupling.cosine(pair, grid) for pair in pairs], {"units": ""}),
            "wavenumber": (("pair", "side"), np.array(at), {"units": grid.inverse_unit}),
        }

    def _attributes(self, subject: Subject, source: Quantity, answered: Quantity) -> dict[str, str | float | int]:
        return probe.equivariance.facts(subject) | {
            "level": self.level,
            "level_means": probe.waves.level_means(source),
            "second_order": probe.coupling.second_order(subject.description.truth),
            "precision": str(probe.coupling.in_double(subject).dtype).removeprefix("torch."),
            "output": answered.name,
        }

    def judge(self, measured: Measured) -> list[Check]:
        model, truth = measured["model"], probe.coupling.true_coupling(measured)
        checks = [self._coupling(measured, truth), *self._parallel(measured, truth), *_plateau(model), _across(measured)]
        return checks + ([_about_backgrounds(measured, truth)] if "background_coupling" in model else [])

    def _coupling(self, measured: Measured, truth: TrueCoupling | None) -> Check:
        model = measured["model"]
        size, unit = probe.coupling.rms(model.coupling), str(model.coupling.attrs["units"])
        asked = f"{model.sizes['pair']} pairs of waves at {model.attrs['level_means']} = {model.attrs['level']:g}"
        if truth is None:
            words = f"Over {asked} the couplings' rms is {size:.3g}{' ' + unit if unit else ''}; no truth is known for them."
            return Check.info("coupling", size, words, unit=unit)
        if truth.scale <= float(model.floor.max()):
            words = f"Over {asked} {truth.source} hold no coupling beyond rounding; the model's rms is {size:.3g}, the truth's 0."
            return Check.info("coupling", size, words, unit=unit)
        error = probe.coupling.rms(model.coupling - truth.values) / truth.scale
        worst, floor = _worst(model, truth), float(model.floor.max())
        found, right = (_number(v.values.flat[worst], floor) for v in (model.coupling, truth.values))
        sentence = (
            f"Over {asked} the couplings are off by {percent(error)} of {truth.yardstick}{_strength(model, truth)} "
            f"(worst: {_name(model, worst)}, {found} for {right}), held against {truth.source}."
        )
        bound, source = self._bound(truth)
        return Check.judged("coupling", error, (None, bound), sentence, bound_from=source)

    def _parallel(self, measured: Measured, truth: TrueCoupling | None) -> list[Check]:
        """What waves along each other make, relative to what waves across each other do; only gravity has a word on it."""
        model = measured["model"]
        parallel = 1 - model.cosine**2 < 1e-9
        if truth is None or not model.attrs["theory"]:
            return []
        if not parallel.any():
            return [Check.not_applicable("parallel", "no two waves run along each other; set two_waves.modes to such a pair")]
        across = abs(float(model.attrs["second_order"]))
        error = float(abs(model.coupling - truth.values)[parallel].max()) / across
        size = float(abs(model.coupling)[parallel].max()) / across
        sentence = (
            f"Parallel waves couple with {percent(size)} of what waves across each other do in 2LPT, off by {percent(error)}: "
            f"under gravity they pass through each other, held against {truth.source}."
        )
        bound, source = self._bound(truth)
        return [Check.judged("parallel", error, (None, bound), sentence, bound_from=source)]

    def _bound(self, truth: TrueCoupling) -> tuple[float, str]:
        if truth.departure > self.bound:
            return truth.departure, f"the simulator's own departure from 2LPT ({truth.departure:.3g}), larger than {self.bound:g}"
        return self.bound, f"a convention: {percent(self.bound)} of the coupling, which a linear model misses altogether"

    def draw(self, measured: Measured) -> list[Panel]:
        several = len(np.unique(measured["model"].cosine.values.round(6))) > 1
        panels = [_over_angle(measured)] if several else []
        panels += [_pair_by_pair(measured)]
        return panels + ([_up_the_ladder(measured)] if "ladder_coupling" in measured["model"] else [])


def _plateau(model: Dataset) -> list[Check]:
    if "ladder_coupling" not in model:
        return []
    at, scale = model.coupling.isel(pair=0), probe.coupling.rms(model.coupling.isel(pair=0))
    rungs = model.rung.values[np.argsort(model.rung.values)][:2]
    near = model.ladder_coupling.sel(rung=rungs)
    change = float(abs(near - at).max()) / scale if scale > float(model.floor.max()) else 0.0
    sentence = (
        f"From {model.attrs['level_means']} = {min(rungs):g} to {max(rungs):g} the coupling of the pair {model.pair.values[0]!s} "
        f"changes by at most {percent(change)}: a second derivative would stay the same ({model.attrs['precision']})."
    )
    return [Check.info("plateau", change, sentence)]


def _across(measured: Measured) -> Check:
    model, size = measured["model"], probe.coupling.rms(measured["model"].coupling)
    share = probe.coupling.rms(model.across) / size if size > float(model.floor.max()) else 0.0
    words = f"What comes out across n1 +- n2 is {percent(share)} of what comes out along it"
    run = measured.get("simulator")
    if run is not None and np.isfinite(run.across).all() and np.isfinite(run.coupling).all():
        own = probe.coupling.rms(run.coupling)
        words += f"; of {model.attrs['simulator']} it is {percent(probe.coupling.rms(run.across) / own if own else 0.0)}"
    return Check.info("across", share, words + ".")


def _about_backgrounds(measured: Measured, truth: TrueCoupling | None) -> Check:
    """The first pair, at the louder one of its sum and its difference."""
    model, run = measured["model"], measured.get("simulator")
    side = int(abs(model.coupling if truth is None else truth.values).isel(pair=0).fillna(0).values.argmax())
    found, rest = model.background_coupling.isel(side=side), complex(model.coupling.values[0, side])
    right = "" if truth is None else f"; the truth about rest is {_number(truth.values.values[0, side])}"
    if run is not None and np.isfinite(abs(run.background_coupling)).all():
        right += f", on them {_number(run.background_coupling.values[:, side].mean())}"
    apart = float(abs(found - found.mean()).max())
    on = "one field" if found.size == 1 else f"{found.size} fields (at most {apart:.2g} from their mean)"
    sentence = (
        f"On {on}, the coupling of {model.pair.values[0]!s} at {model.side.values[side]!s} is {_number(found.values.mean())} "
        f"against {_number(rest)} about rest{right}."
    )
    unit = str(model.coupling.attrs["units"])
    return Check.info("backgrounds", float(abs(found.mean())), sentence, unit=unit, covers=f"mean over {found.size} fields")


def _over_angle(measured: Measured) -> Panel:
    model, truth = measured["model"], probe.coupling.true_coupling(measured)
    part, word = probe.coupling.drawn_part(model, truth)
    picture, axes = figures.figure()
    panel = axes[0, 0]
    if model.attrs["theory"]:
        mu = np.linspace(-1, 1, 101)
        panel.plot(mu, float(model.attrs["second_order"]) * (1 - mu**2), **figures.style("lpt2"))
    for data, look in probe.equivariance.curves(measured, "coupling"):
        _points(panel, model.cosine.values, part(data.coupling.values), look)
    panel.axhline(0, color=figures.INK, lw=0.6)
    panel.set(xlabel="cosine of the angle between the waves, μ", xlim=(-1.08, 1.08))
    panel.set_ylabel(figures.axis_label(word, model.coupling.attrs["units"]))
    figures.legend(panel, **figures.BESIDE)
    caption = (
        "What two waves make of each other at n1 + n2 (filled) and n1 - n2 (open), over the product of their amplitudes, against "
        f"the cosine of the angle between them; {model.attrs['level_means']} = {model.attrs['level']:g}. Gravity at second order "
        f"is the curve where there is one; a linear model lies at zero, and a faithful one on {model.attrs['simulator']}."
    )
    return Panel("Coupling against angle", [("", picture)], caption, _numbers(measured), ("coupling", "cosine"))


def _pair_by_pair(measured: Measured) -> Panel:
    model, truth = measured["model"], probe.coupling.true_coupling(measured)
    part, word = probe.coupling.drawn_part(model, truth)
    picture, axes = figures.figure(width=7.2, height=1.6 + 0.42 * model.sizes["pair"])
    panel, places = axes[0, 0], np.arange(model.sizes["pair"], dtype=float)
    if model.attrs["theory"]:
        theory = float(model.attrs["second_order"]) * (1 - model.cosine.values**2)
        panel.plot(theory, places, **figures.style("lpt2") | {"linestyle": "none", "marker": "|", "markersize": 18})
    for data, look in probe.equivariance.curves(measured, "coupling"):
        values = part(data.coupling.values)
        for side, (offset, fill) in enumerate(((-0.12, look["color"]), (0.12, "none"))):
            label = look["label"] if side == 0 else None
            panel.plot(values[:, side], places + offset, "o", color=look["color"], mfc=fill, zorder=look["zorder"], label=label)
    panel.axvline(0, color=figures.INK, lw=0.6)
    panel.set_yticks(places, labels=[str(name) for name in model.pair.values])
    panel.set(ylabel="pair of modes", ylim=(len(places) - 0.5, -0.5))
    panel.set_xlabel(figures.axis_label(word, model.coupling.attrs["units"]))
    figures.legend(panel, **figures.BESIDE)
    caption = (
        "The same, pair by pair: filled at n1 + n2, open at n1 - n2. Parallel waves pass through each other under gravity: zero."
    )
    return Panel("Coupling pair by pair", [("", picture)], caption, _numbers(measured), ("coupling", "across"))


def _up_the_ladder(measured: Measured) -> Panel:
    model, truth = measured["model"], probe.coupling.true_coupling(measured)
    part, word = probe.coupling.drawn_part(model, truth)
    picture, axes = figures.figure()
    panel, text = axes[0, 0], ""
    for data, look in probe.equivariance.curves(measured, "coupling"):
        levels = np.append(data.rung.values, float(data.attrs["level"]))
        values = np.concatenate([data.ladder_coupling.values, data.coupling.values[:1]])
        order = np.argsort(levels)
        for side, dash in enumerate(("-", "--")):
            label = look["label"] if side == 0 else None
            keywords = look | {"linestyle": dash, "label": label, "marker": "o", "markersize": 4}
            panel.plot(levels[order], part(values[order, side]), **keywords)
        if data is model:
            text = "; ".join(f"level {levels[i]:g}: {_number(values[i, 0])} and {_number(values[i, 1])}" for i in order)
    figures.ladder(panel, np.append(model.rung.values, model.attrs["level"]), f"level, {model.attrs['level_means']}")
    panel.axhline(0, color=figures.INK, lw=0.6)
    panel.set_ylabel(figures.axis_label(word, model.coupling.attrs["units"]))
    figures.legend(panel)
    caption = (
        f"The pair {model.pair.values[0]!s} over amplitudes: solid at n1 + n2, dashed at n1 - n2. A flat line is a true second "
        "derivative; what bends at the right is the next order, what rises to the left a kink at zero or rounding."
    )
    return Panel("The plateau", [("", picture)], caption, text, ("ladder_coupling", "coupling"))


def _points(panel: Axes, at: ndarray, values: ndarray, look: dict[str, Any]) -> None:
    """Filled points for the sum, open ones for the difference."""
    for side, fill in enumerate((look["color"], "none")):
        label = look["label"] if side == 0 else None
        panel.plot(at, values[:, side], "o", ms=6, color=look["color"], mfc=fill, zorder=look["zorder"], label=label)


def _numbers(measured: Measured) -> str:
    model = measured["model"]
    rows = [
        f"{pair!s}: {_number(k[0])} and {_number(k[1])}" for pair, k in zip(model.pair.values, model.coupling.values, strict=True)
    ]
    return "K at n1 + n2 and n1 - n2: " + "; ".join(rows)


def _number(value: complex, floor: float = 0.0) -> str:
    """A coupling as a reader takes it in: nothing where it is rounding, and its imaginary part only where that is not."""
    value = complex(value)
    if abs(value) <= floor:
        return "0"
    if abs(value.imag) < 1e-3 * abs(value):
        return f"{value.real:.3g}"
    return f"{value.imag:.3g}i" if abs(value.real) < 1e-3 * abs(value) else f"{value:.3g}".replace("j", "i")


def _worst(model: Dataset, truth: TrueCoupling) -> int:
    return int(np.nanargmax(abs(model.coupling - truth.values).values))


def _name(model: Dataset, place: int) -> str:
    pair, side = divmod(place, len(probe.coupling.SIDES))
    return f"{model.pair.values[pair]!s} at {model.side.values[side]!s}"


def _strength(model: Dataset, truth: TrueCoupling) -> str:
    strength = truth.strength(model.coupling)
    return f", {strength:.2f} times as strong on the whole" if math.isfinite(strength) else ""


def _pairs(given: tuple[Mode, ...] | None, grid: Grid) -> list[Pair]:
    """The pairs that are asked, checked.

    Raises
    ------
    InputError
        If the modes do not come two by two, or a wave or a sum of two is none that the grid can carry.
    """
    if given is None:
        return probe.coupling.default_pairs(grid)
    if len(given) % 2:
        raise InputError(f"two_waves.modes are taken two by two; found {len(given)} of them: give an even number")
    pairs = list(zip(given[::2], given[1::2], strict=True))
    for pair in pairs:
        for mode in pair:
            probe.response.check_mode(mode, grid)
        for sign in probe.coupling.SIDES.values():
            probe.response.check_mode(probe.coupling.added(pair, sign), grid)
    return pairs
