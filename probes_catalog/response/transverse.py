"""The probe `transverse`."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import lazy_loader as lazy

import probe
from probe import figures
from probe.contract import Check, Measured, Panel, Probe, Subject, judgement, measurement, percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xarray import Dataset

    from probe.fields import Quantity
    from probe.grid import Grid
    from probe.polarisation import TrueAcross

np, xr = lazy.load("numpy"), lazy.load("xarray")

SHIFTS = {"quick": 1, "default": 2, "full": 4}
FIELDS = {"quick": 1, "default": 2, "full": 4}
OUTSIDE = "outside the training set"
FLOOR = 1e-9  # where a figure draws what is nothing
SHOWN = ("untrained", "identity", "model", "simulator")
MARKS = {"own": "o", "turned": "s", "along": "^"}


class Transverse(Probe):
    """What happens to modes outside the training set that gravity never grows?

    Transverse waves of a vector, A e cos(k.x + phi) with e.k = 0, in each of their polarisations, and random transverse fields
    (Gaussian, k^-2, with the rms of the data). Measured are the answer at the driving mode along e, across e and along k, the
    mean and harmonics, all longitudinal power that appears, and beside them the gain of a longitudinal wave of the same mode and
    level. Where the inputs of the pairs hold transverse power (1 % and more), the response to it is compared with the truth's.

    As a displacement a lone transverse wave is a shear: it changes no density at any amplitude, so gravity neither grows it nor
    makes anything along k of it. What is left of it depends on how it began: one that starts at rest stays as it is, D(in)/D(out)
    of what a growing mode becomes; one that starts with a growing mode's velocity drifts on while that decays, in an Einstein-de
    Sitter universe to less than three times its size. A simulator that takes every input for a growing mode and scales it back
    to its start does the latter. Nothing of this can be learned from growing modes, and an emulator trained on these answers with
    something of its own: Jamieson et al. (2022) report that theirs fails completely. So without the simulator's or the law's
    answers, and without transverse power in the data, the probe tells and does not judge. For a flow without divergence
    transverse modes are the physical ones, and this probe is its `plane_wave`.

    How to read it: in the first figure the model's points lie on the simulator's; where they lie on the model's own line for
    longitudinal waves, it takes any displacement for a growing mode. The second shows where the answer to one wave goes. The
    mirror image of the wave is the wave half a period on, so a model that keeps reflections and shifts can make longitudinal
    waves at even multiples of k alone: longitudinal power at k itself is a broken symmetry, at 2 k a nonlinearity that gravity
    does not have. Gravity's answer is the same at every amplitude; the check `ladder` tells the model's. Random fields differ:
    two transverse waves do make a density, at second order, so some longitudinal power belongs there and is only told.

    The bound is that of any wave: 5 % of the true response, a convention. What nature nearly wipes out is held to a tenth of its
    largest response, that to longitudinal waves included.
    """

    suite, version = "response", 1
    checks = ("response", "longitudinal", "on_data", "growing_mode", "ladder", "random_fields")
    controls = ("simulator", "identity", "untrained")
    references = (
        "D. Jamieson et al. (2022), Field Level Neural Network Emulator for Cosmological N-body Simulations, arXiv:2206.04594.",
        "T. Buchert (1992), Lagrangian theory of gravitational instability, MNRAS 254, 729.",
    )

    modes = measurement(None, "integer modes n to inject; chosen from the grid by default", like=((3, 0, 0),))
    level = measurement(0.2, "amplitude of the waves: A|k| of a displacement, else of sqrt(2) rms", low=1e-6, high=10.0)
    ladder = measurement((0.05, 0.5), "other amplitudes of the first wave", low=1e-6, high=10.0)
    shifts = measurement(None, "starts averaged over, whole cells apart; by default 1, 2 or 4, by effort", like=2, low=1, high=64)
    fields = measurement(None, "random transverse fields; by default 1, 2 or 4, by effort", like=2, low=0, high=100)
    input = measurement("", "the input vector the waves are put into; the first one by default")
    output = measurement("", "the output vector looked at; the first one by default")
    bound = judgement(
        0.05,
        "largest error of the response, and largest excess of longitudinal amplitude, relative to the truth's",
        low=0.0,
        high=10.0,
    )

    def applies(self, subject: Subject) -> str:
        if subject.grid.dimension == 1:
            return "on a line nothing lies across k: a transverse wave needs a grid of two or three axes"
        source, answered = self._between(subject)
        if reason := probe.response.no_waves(subject, source.name, answered.name):
            return reason
        for word, quantity in (("input", source), ("output", answered)):
            if not quantity.is_vector:
                return (
                    f"the {word} {quantity.name!r} is a {quantity.kind}, which has no direction across k; if its channels are the "
                    f'components of a vector, write kind = "vector" in its table [[{word}]]'
                )
        return ""

    def _between(self, subject: Subject) -> tuple[Quantity, Quantity]:
        described = subject.description
        named = [
            name or next((q.name for q in quantities if q.is_vector), "")
            for name, quantities in ((self.input, described.inputs), (self.output, described.outputs))
        ]
        return probe.response.between(subject, *named)

    def measure(self, subject: Subject) -> Dataset:
        room, grid, (source, answered) = probe.polarisation, subject.grid, self._between(subject)
        modes, shifts = self.modes or probe.waves.default_modes(grid), self.shifts or SHIFTS[subject.effort]
        for mode in modes:
            probe.response.check_mode(mode, grid)
        phases = {mode: probe.waves.whole_cell_phases(mode, grid, shifts) for mode in modes}
        names, polarisations = (source.name, answered.name), range(grid.dimension - 1)
        cases = [room.AcrossCase(mode, p, self.level, phases[mode], *names) for mode in modes for p in polarisations]
        rungs = [room.AcrossCase(modes[0], 0, level, phases[modes[0]], *names) for level in self.ladder]
        found = subject.map(room.respond_across, [*cases, *rungs], passes=shifts)
        beside = [probe.response.WaveCase(mode, self.level, phases[mode], *names) for mode in modes]
        grown = subject.map(probe.response.respond, beside, passes=shifts)
        unit = probe.spectra.response_unit(source.unit, answered.unit)
        over = {"mode": len(modes), "polarisation": len(polarisations)}
        variables: dict[str, Any] = room.tabulate(found[: len(cases)], over, unit)
        variables |= room.tabulate(found[len(cases) :], {"rung": len(rungs)}, unit, "ladder_") if rungs else {}
        variables["growing"] = ("mode", np.array([one.response for one in grown]), {"units": unit})
        variables |= self._fields(subject, source, answered) | room.held_and_answered(subject, source.name, answered.name)
        return xr.Dataset(variables, coords=self._coordinates(modes, grid), attrs=self._attributes(subject, source, answered))

    def _fields(self, subject: Subject, source: Quantity, answered: Quantity) -> dict[str, Any]:
        count = FIELDS[subject.effort] if self.fields is None else self.fields
        if not count or subject.grid.boundary != "periodic":
            return {}
        room = probe.polarisation
        cases = [room.FieldCase(number, source.name, answered.name) for number in range(count)]
        along, across, response = (np.stack(part) for part in zip(*subject.map(room.answer_to_field, cases), strict=True))
        power, over = {"units": probe.spectra.power_unit(answered.unit, subject.grid)}, ("field", "shell")
        unit = {"units": probe.spectra.response_unit(source.unit, answered.unit)}
        return {
            "field_along": (over, along, power),
            "field_across": (over, across, power),
            "field_response": (over, response, unit),
        }

    def _coordinates(self, modes: Sequence[tuple[int, ...]], grid: Grid) -> dict[str, Any]:
        return {
            "mode": [probe.waves.label(mode) for mode in modes],
            "direction": list(probe.polarisation.DIRECTIONS[grid.dimension]),
            "harmonic": list(range(probe.response.HARMONICS + 1)),
            "rung": list(self.ladder),
            "wavenumber": ("mode", [grid.wavenumber_of(mode) for mode in modes], {"units": grid.inverse_unit}),
            "shell_wavenumber": ("shell", grid.shells().wavenumber.numpy(), {"units": grid.inverse_unit}),
        }

    def _attributes(self, subject: Subject, source: Quantity, answered: Quantity) -> dict[str, str | float | int]:
        return probe.equivariance.facts(subject) | {
            "level": self.level,
            "level_means": probe.waves.level_means(source),
            "input": source.name,
            "output": answered.name,
        }

    def judge(self, measured: Measured) -> list[Check]:
        model, truth = measured["model"], probe.polarisation.true_across(measured)
        waves = [self._response(model, truth), self._longitudinal(model, truth)]
        return [*waves, *self._on_data(model), _against_growing(measured), *_up_the_ladder(measured), *_in_fields(measured)]

    def _response(self, model: Dataset, truth: TrueAcross | None) -> Check:
        gain, window = probe.polarisation.gain(model.response), probe.equivariance.through_window(model)
        unit = str(model.response.attrs["units"])
        asked = f"transverse waves at {model.attrs['level_means']} = {model.attrs['level']:g}"
        if truth is None:
            words = (
                f"The gains of {asked} are {float(gain.min()):.4g} to {float(gain.max()):.4g}, that of {model.mode.values[0]!s} is "
                f"{float(gain[0, 0]):.4g}{window}; no truth is known for them{_trained(model)}."
            )
            return Check.info("response", float(gain[0, 0]), words, unit=unit)
        error = truth.response_error(model.response)
        worst = np.unravel_index(int(np.nanargmax(error.values)), error.shape)
        right = probe.polarisation.gain(truth.response)
        sentence = (
            f"Over {asked} the answer at the driving mode is off by at most {percent(float(error[worst]))} of the true response "
            f"(mode {model.mode.values[worst[0]]!s}: gain {float(gain[worst]):.4g} for {float(right[worst]):.4g}), held against "
            f"{truth.source}{_trained(model)}{window}."
        )
        return Check.judged("response", float(error[worst]), (None, self.bound), sentence, bound_from=self._convention())

    def _longitudinal(self, model: Dataset, truth: TrueAcross | None) -> Check:
        if model.attrs["boundary"] != "periodic":
            reason = f"a window mixes directions; it takes a periodic box, and this one's boundary is {model.attrs['boundary']!r}"
            return Check.not_applicable("longitudinal", reason)
        off = model.share**0.5 if truth is None else abs(model.longitudinal**0.5 - truth.longitudinal) / truth.size
        worst = np.unravel_index(int(np.nanargmax(off.values)), off.shape)
        value, where = float(off[worst]), f"(mode {model.mode.values[worst[0]]!s}{_loudest(model, worst)})"
        if truth is None:
            words = f"Along k runs at most {percent(value)} of the answer's amplitude {where}; no truth is known for it."
            return Check.info("longitudinal", value, words)
        found, own = (float(values[worst] / truth.size[worst]) for values in (model.longitudinal**0.5, truth.longitudinal))
        sentence = (
            f"Along k appears {percent(found)} of the true response's amplitude {where}, where {model.attrs['simulator']} has "
            f"{percent(own)}."
        )
        return Check.judged("longitudinal", value, (None, self.bound), sentence, bound_from=self._convention())

    def _on_data(self, model: Dataset) -> list[Check]:
        if "pair_products" not in model:
            return []
        sent, answer, truth = (model.pair_products.sel(product=name).values for name in probe.polarisation.PRODUCTS)
        if probe.polarisation.weighed(sent.sum(0), truth.sum(0)) < model.attrs["rounding"]:
            reason = "what the truth makes of its input's transverse part runs in other directions altogether"
            return [Check.not_applicable("on_data", reason)]
        rows = np.stack([sent, answer - truth, truth], 1)
        error = probe.intervals.of_samples(rows, probe.polarisation.weighed_error)
        error = replace(error, low=max(0.0, error.low))
        gains = [probe.polarisation.weighed(sent.sum(0), product.sum(0)) for product in (answer, truth)]
        sentence = (
            f"Of {percent(float(model.held.mean()))} of their power that the pairs' inputs hold across k the response is off by "
            f"{percent(error.value)} of the truth's own (gain {gains[0]:.4g} for {gains[1]:.4g}, rms over that power)."
        )
        bounds, source, covers = (None, self.bound), self._convention(), f"{len(sent)} pairs"
        return [Check.judged("on_data", error, bounds, sentence, bound_from=source, covers=covers)]

    def _convention(self) -> str:
        return f"a convention: {percent(self.bound)} of the amplitude, as for any wave"

    def draw(self, measured: Measured) -> list[Panel]:
        return [_gains(measured), _where_it_goes(measured)] + ([_fields(measured)] if "field_along" in measured["model"] else [])


def _trained(model: Dataset) -> str:
    """Words on whether such modes were there to be learned."""
    if not model.held.size:
        return f"; they lie {OUTSIDE} of a model of growing modes" if model.attrs["theory"] else f"; they may lie {OUTSIDE}"
    held = float(model.held.mean())
    if held < probe.polarisation.HELD:
        return f"; they lie {OUTSIDE}, if it is like these pairs: their inputs hold {percent(held)} of their power across k"
    return f"; the pairs' inputs hold {percent(held)} of their power across k"


def _loudest(model: Dataset, place: Sequence[Any]) -> str:
    """Words on where the longitudinal part of one answer lies; none where it is rounding, or beyond the fourth harmonic."""
    along = abs(model.response.sel(direction="along")).values[tuple(place)]
    loudest, power = int(along.argmax()), float(model.longitudinal.values[tuple(place)])
    if not power > model.attrs["rounding"] ** 2 or along[loudest] ** 2 < power / 2:
        return ""
    return f", mostly at {'the mean' if loudest == 0 else f'{loudest} k' if loudest > 1 else 'k itself'}"


def _ratio(data: Dataset) -> float:
    """The first wave's gain over that of the longitudinal wave of the same mode; NaN where that gets no answer."""
    grown = float(abs(data.growing[0]))
    return float(probe.polarisation.gain(data.response)[0, 0]) / grown if grown > data.attrs["rounding"] else math.nan


def _against_growing(measured: Measured) -> Check:
    model, ratio = measured["model"], _ratio(measured["model"])
    mode, name = f"{model.mode.values[0]!s}", "growing_mode"
    if not math.isfinite(ratio):
        return Check.not_applicable(name, f"the longitudinal wave {mode} gets no answer along k to compare with")
    sentence = (
        f"The transverse wave {mode} comes out with {ratio:.3g} times the gain of the longitudinal one; a model that takes any "
        f"{model.attrs['input']} for a growing mode gives 1"
    )
    if "simulator" in measured and math.isfinite(own := _ratio(measured["simulator"])):
        sentence += f", {model.attrs['simulator']} {own:.3g}"
    return Check.info(name, ratio, sentence + ".")


def _up_the_ladder(measured: Measured) -> list[Check]:
    model = measured["model"]
    if "ladder_response" not in model:
        return []
    levels, gains, along = probe.polarisation.climbed(model)
    change = float(np.ptp(gains) / gains.max()) if gains.max() > 0 else 0.0
    sentence = (
        f"From {model.attrs['level_means']} = {levels[0]:g} to {levels[-1]:g} the gain of {model.mode.values[0]!s} goes from "
        f"{gains[0]:.4g} to {gains[-1]:.4g}"
    )
    if np.isfinite(along).all():
        sentence += f", and what runs along k from {percent(along[0])} to {percent(along[-1])} of the input"
    return [Check.info("ladder", change, sentence + ".")]


def _in_fields(measured: Measured) -> list[Check]:
    model = measured["model"]
    if "field_along" not in model:
        return []
    share = probe.polarisation.field_share(model)
    worst, k = int(share.values.argmax()), model.shell_wavenumber
    sentence = (
        f"Of the answer to random transverse fields up to {percent(float(share[worst]))} of a shell's power lies along k (at "
        f"{float(k[worst]):.3g} {k.attrs['units']}), and {percent(float(share[0]))} on the largest scales"
    )
    run = measured.get("simulator")
    if run is not None and np.isfinite(run.field_along).all():
        own = probe.polarisation.field_share(run)
        sentence += f"; {model.attrs['simulator']} has {percent(float(own[worst]))} and {percent(float(own[0]))}"
    return [Check.info("random_fields", float(share[worst]), sentence + ".", covers=f"mean over {model.sizes['field']} fields")]


def _gains(measured: Measured) -> Panel:
    model, k = measured["model"], measured["model"].wavenumber
    periodic, order = model.attrs["boundary"] == "periodic", np.argsort(k.values, kind="stable")
    picture, axes = figures.figure(columns=1 + periodic, width=8.6 if periodic else 6.0)
    for data, look in probe.equivariance.curves(measured, "response", SHOWN):
        for panel, values in zip(axes[0], (probe.polarisation.gain(data.response), data.longitudinal**0.5), strict=False):
            figures.rows(panel, k.values[order], np.maximum(values.values[order], FLOOR).T, look)
    grown = {"color": "#0072B2", "linestyle": ":", "marker": "x", "markersize": 5, "label": "model, longitudinal wave"}
    axes[0, 0].plot(k[order], abs(model.growing.values[order]), **grown)
    axes[0, 0].set_ylim(bottom=0)
    for panel, word in zip(axes[0], ("gain across k", "longitudinal amplitude / input"), strict=False):
        panel.set_xlabel(figures.axis_label("k", k.attrs["units"]))
        panel.set_ylabel(figures.axis_label(word, model.response.attrs["units"]))
    if periodic:
        axes[0, 1].set(yscale="log", ylim=(FLOOR / 2, None))
    figures.legend_beside(axes[0])
    used = ("response", "longitudinal", "growing")
    return Panel("Gain of transverse waves", [("", picture)], _caption(model), _numbers(model), used)


def _caption(model: Dataset) -> str:
    right = f", and on the right all that comes out along k, over the input; zero is drawn at {FLOOR:g}"
    second = " Open points are the second polarisation." if model.sizes["polarisation"] > 1 else ""
    return (
        f"Transverse waves at {model.attrs['level_means']} = {model.attrs['level']:g}: what comes out across k at the driving mode"
        f"{right if model.attrs['boundary'] == 'periodic' else ''}. A faithful model lies on {model.attrs['simulator']}; one that "
        f"takes any {model.attrs['input']} for a growing mode on the crosses, its own answer to longitudinal waves.{second}"
        f"{probe.equivariance.through_window(model)}"
    )


def _numbers(model: Dataset) -> str:
    columns = probe.polarisation.gain(model.response).values, np.sqrt(model.longitudinal.values), abs(model.growing.values)
    return "; ".join(
        f"{mode!s}: {', '.join(f'{g:.4g} (along k {a:.1e})' for g, a in zip(gains, along, strict=True))}, "
        f"longitudinal wave {grown:.4g}"
        for mode, gains, along, grown in zip(model.mode.values, *columns, strict=True)
    )


def _where_it_goes(measured: Measured) -> Panel:
    model, words = measured["model"], {"own": "along e", "turned": "along k × e", "along": "along k"}
    picture, axes = figures.figure(width=7.2)
    panel = axes[0, 0]
    for shift, (data, look) in enumerate(probe.equivariance.curves(measured, "response", ("model", "simulator"))):
        fill = "none" if shift else look["color"]
        for place, direction in enumerate(model.direction.values):
            x, y = model.harmonic + 0.12 * (place - 1) + 0.05 * shift, abs(data.response[0, 0].sel(direction=direction))
            dots = {"color": look["color"], "mfc": fill, "label": f"{look['label']}, {words[str(direction)]}"}
            panel.plot(x, np.maximum(y, FLOOR), MARKS[str(direction)], ms=6, **dots)
    panel.set(yscale="log", ylim=(FLOOR / 2, None), xlabel="multiple of the driving k (0: the mean)", xticks=model.harmonic.values)
    panel.set_ylabel(figures.axis_label("amplitude / input", model.response.attrs["units"]))
    figures.legend_beside(axes[0])
    found = abs(model.response[0, 0]).transpose("direction", "harmonic").values
    rows = [
        f"{words[str(name)]}: {', '.join(f'{v:.1e}' for v in row)}" for name, row in zip(model.direction.values, found, strict=True)
    ]
    caption = (
        f"The answer to the transverse wave {model.mode.values[0]!s} at {model.attrs['level_means']} = {model.attrs['level']:g}, "
        "direction by direction. All of it should lie at k along e. Triangles at even multiples of k are a nonlinearity that "
        f"makes longitudinal waves of it, those at k itself a broken reflection. Zero is drawn at {FLOOR:g}."
    )
    return Panel("Where one transverse wave goes", [("", picture)], caption, "Mean, k to 4 k " + "; ".join(rows), ("response",))


def _fields(measured: Measured) -> Panel:
    model, k = measured["model"], measured["model"].shell_wavenumber
    picture, axes = figures.figure(columns=2, width=8.6)
    for data, look in probe.equivariance.curves(measured, "field_along", SHOWN):
        axes[0, 0].plot(k, np.maximum(probe.polarisation.field_share(data), FLOOR), **look)
        axes[0, 1].plot(k, data.field_response.mean("field"), **look)
    axes[0, 0].set(yscale="log", ylim=(FLOOR / 2, 2), ylabel="share of the answer's power along k")
    axes[0, 1].set_ylabel(figures.axis_label("response across k", model.field_response.attrs["units"]))
    axes[0, 1].axhline(0, color=figures.INK, lw=0.6)
    for panel in axes[0]:
        panel.set_xlabel(figures.axis_label("k", k.attrs["units"]))
    figures.legend_beside(axes[0])
    shells = zip(k.values, probe.polarisation.field_share(model).values, model.field_response.mean("field").values, strict=True)
    text = "; ".join(f"k = {x:.3g}: {share:.1e} along k, response {h:.3g}" for x, share, h in shells)
    together = " Transverse waves together do make a density, at second order, so gravity's share is not zero."
    caption = (
        "Random transverse fields: left the share of the answer's power that lies along k, shell by shell, right the response of "
        f"what lies across it. Zero is drawn at {FLOOR:g}.{together if model.attrs['theory'] else ''}"
    )
    return Panel("Random transverse fields", [("", picture)], caption, text, ("field_along", "field_across", "field_response"))
