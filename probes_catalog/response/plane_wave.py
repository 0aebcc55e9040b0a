"""The probe `plane_wave`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader as lazy

import probe
from probe import figures
from probe.contract import Check, Measured, Panel, Probe, Subject, judgement, measurement, percent

if TYPE_CHECKING:
    from xarray import Dataset

np, xr = lazy.load("numpy"), lazy.load("xarray")


class PlaneWave(Probe):
    """What does one Fourier mode become?

    One plane wave is put into the model, on the lattice of the box, and its answer is taken apart in Fourier space. For a
    displacement psi(x) = A khat cos(k.x + phi) the overdensity is A |k| sin(k.x + phi), and the ladder of amplitudes is one
    in a = A |k|: shells cross at a = 1, and until then the Zel'dovich answer (the input, scaled by growth) is exact in one
    dimension. Other quantities are asked at multiples of sqrt(2) times their rms.

    - H(k) is the complex response at the driving mode: its modulus is the gain, its argument the phase lag.
    - Harmonics m k come from nonlinearity. A simulator's force mesh makes some of its own, and a faithful emulator copies
      them: where the simulator's answer to the same wave is known, that is the truth, with theory beside it.
    - A periodic network of total stride s can answer only with modes m n + (N/s) j. Power on the rungs j != 0 is aliasing,
      power off that set breaks the network's own periodicity: zero padding does that.
    - A box that is not periodic gets the same waves, and its answers are seen through a Hann window along each axis, which falls to
      nothing at the walls: the response and the harmonics of the middle of the box, exact for any linear operator that is
      the same everywhere. What rests on periodicity (aliasing, the allowed set) is not asked there.

    How to read it: the first figure shows the power spectrum of the answer to one wave, as in Ho's talk of 2018; the second
    the gain and phase against k; the third how far the answer is from the truth over wavenumber and amplitude. A gain that
    sags towards high k where the simulator's does not is the usual failure; a phase that grows with k is a displaced output.

    The bound on the response is 5 % of the answer, a convention: 0.25 % of the power of one mode; where the simulator
    itself departs from theory by more, that departure is the bound. Of a wave that nature nearly wipes out nothing is left to be
    relative to: below a tenth of the largest response, errors are relative to that tenth. The bound on aliasing is that of
    any broken symmetry.
    """

    suite, version = "response", 2
    checks = ("response", "harmonics", "allowed_modes", "aliasing", "top_of_the_ladder")
    controls = ("simulator", "identity", "lpt2", "untrained")
    references = (
        "S. Ho (2018), talk on the deep-learned emulation of N-body simulations: single modes, orientations and phases.",
        "S. He et al. (2019), PNAS 116, 13825, arXiv:1811.06533.",
        "Y. B. Zel'dovich (1970), A&A 5, 84.",
    )

    modes = measurement(None, "integer modes n to inject; chosen from the grid by default", like=((3, 0, 0),))
    levels = measurement(
        (0.05, 0.2, 0.5, 0.9), "ladder of amplitudes: a = A|k| of a displacement, else of sqrt(2) rms", low=0.0, high=10.0
    )
    shifts = measurement(4, "starting places averaged over, whole cells apart", low=1, high=64)
    input = measurement("", "the input quantity the wave is put into; the first field by default")
    output = measurement("", "the output quantity looked at; the first field by default")
    level = judgement(0.2, "the level of the ladder that is judged", low=0.0, high=10.0)
    bound = judgement(
        0.05, "largest error of the response and of the harmonics, relative to the truth's response", low=0.0, high=10.0
    )
    aliasing_bound = judgement(
        None, "largest share of the answer's amplitude on aliasing rungs; by default that of any symmetry", like=0.02
    )

    def applies(self, subject: Subject) -> str:
        return probe.response.no_waves(subject, self.input, self.output)

    def measure(self, subject: Subject) -> Dataset:
        room, grid, modes = probe.response, subject.grid, self.modes or probe.waves.default_modes(subject.grid)
        for mode in modes:
            room.check_mode(mode, grid)
        started = [probe.waves.whole_cell_phases(mode, grid, self.shifts) for mode in modes]
        source, quantity = room.between(subject, self.input, self.output)
        cases = [
            room.WaveCase(mode, level, phases, source.name, quantity.name)
            for mode, phases in zip(modes, started, strict=True)
            for level in self.levels
        ]
        answers = subject.map(room.respond, cases, passes=self.shifts)
        variables = room.tabulate(answers, {"mode": len(modes), "level": len(self.levels)}, source, quantity, grid)
        about = {
            "input": source.name,
            "output": quantity.name,
            "level_means": probe.waves.level_means(source),
        }
        return xr.Dataset(
            {**variables, "data_error": probe.equivariance.data_error(subject, quantity.name)},
            coords={
                "mode": [probe.waves.label(m) for m in modes],
                "level": list(self.levels),
                "harmonic": list(range(room.HARMONICS + 1)),
                "wavenumber": ("mode", [grid.wavenumber_of(m) for m in modes], {"units": grid.inverse_unit}),
                "shell_wavenumber": ("shell", grid.shells().wavenumber.numpy(), {"units": grid.inverse_unit}),
            },
            attrs=probe.equivariance.facts(subject) | about,
        )

    def judge(self, measured: Measured) -> list[Check]:
        model = measured["model"]
        level = _nearest_level(model, self.level)
        return [
            self._response(measured, level),
            self._harmonics(measured, level),
            _off_lattice(model),
            self._aliasing(measured, level),
            _top_of_the_ladder(measured["model"]),
        ]

    def _response(self, measured: Measured, level: float) -> Check:
        at, truth = measured["model"].sel(level=level), probe.response.true_answer(measured, level)
        gain = float(abs(at.response).isel(mode=0))
        window = probe.equivariance.through_window(at)
        if truth is None:
            return Check.info(
                "response", gain, f"The gain of the mode {at.mode.values[0]} is {gain:.4g}{window}; no truth is known for it."
            )
        error, bound = truth.response_error(at.response), max(self.bound, truth.departure[0])
        worst = int(np.nanargmax(error.values))
        mode, k, unit = str(at.mode.values[worst]), float(at.wavenumber[worst]), at.wavenumber.attrs["units"]
        found, right = float(abs(at.response[worst])), float(abs(truth.response[worst]))
        sentence = (
            f"Over {len(at.mode)} plane waves at {at.attrs['level_means']} = {level:g}, the answer at the driving mode is off by "
            f"at most {percent(float(error[worst]))} of {truth.yardstick(worst)} (mode {mode}, k = {k:.3g} {unit}: "
            f"gain {found:.4g} for {right:.4g}), held against {truth.source}{window}."
        )
        return Check.judged(
            "response", float(error[worst]), (None, bound), sentence, bound_from=_from(self.bound, truth.departure[0])
        )

    def _harmonics(self, measured: Measured, level: float) -> Check:
        at, truth = measured["model"].sel(level=level), probe.response.true_answer(measured, level)
        window = probe.equivariance.through_window(at)
        if truth is None or not np.isfinite(abs(truth.harmonics)).any():
            others = np.sqrt((abs(probe.response.others(at.harmonic_response)) ** 2).sum("harmonic"))
            size = float(others.max() / abs(at.response).max())
            words = f"The mean and harmonics amount to at most {percent(size)} of the largest response{window}; no truth is known."
            return Check.info("harmonics", size, words)
        error = truth.harmonics_error(probe.response.others(at.harmonic_response))
        worst, bound = int(np.nanargmax(error.values)), max(self.bound, truth.departure[1])
        sentence = (
            f"The mean and the harmonics 2 k to {probe.response.HARMONICS} k at level {level:g} are off by at most "
            f"{percent(float(error[worst]))} of {truth.yardstick(worst)} (mode {at.mode.values[worst]!s}), "
            f"held against {truth.source}{window}."
        )
        return Check.judged(
            "harmonics", float(error[worst]), (None, bound), sentence, bound_from=_from(self.bound, truth.departure[1])
        )

    def _aliasing(self, measured: Measured, level: float) -> Check:
        model = measured["model"]
        if reason := _not_periodic(model):
            return Check.not_applicable("aliasing", reason)
        share = np.sqrt(model.rungs.sel(level=level))
        worst = int(share.values.argmax())
        stride = int(model.attrs["stride"])
        if stride == 1:
            return Check.not_applicable("aliasing", "a network without stride has no aliasing rungs; `allowed_modes` asks the rest")
        sentence = (
            f"At most {percent(float(share[worst]))} of the answer's amplitude lies on the aliasing rungs of the stride {stride} "
            f"(mode {model.mode.values[worst]!s}, level {level:g})."
        )
        denied = str(model.attrs["denied_translation"])
        return probe.equivariance.symmetry_check("aliasing", float(share[worst]), measured, self.aliasing_bound, sentence, denied)

    def draw(self, measured: Measured) -> list[Panel]:
        return [self._spectra(measured), self._gain(measured), *self._validity(measured), self._ladder(measured)]

    def _spectra(self, measured: Measured) -> Panel:
        model = measured["model"].isel(mode=SHOWN)
        window, pictures, words = probe.equivariance.through_window(model), [], []
        # The input has a place in the figure only where it has the answer's unit.
        alike = model.input_power.attrs["units"] == model.output_power.attrs["units"]
        for level in model.level.values:
            picture, axes = figures.figure()
            at, k = model.sel(level=level), model.shell_wavenumber
            if alike:
                axes[0, 0].plot(k, np.maximum(at.input_power, 1e-300), "s", ms=4, color="#E69F00", label="input")
            for name in [n for n in ("untrained", "model", "simulator") if n in measured]:
                power = measured[name].output_power.isel(mode=SHOWN).sel(level=level)
                if np.isfinite(power).all():
                    axes[0, 0].plot(k, np.maximum(power, 1e-300), **probe.equivariance.look(name, model))
            top = max(float(at.output_power.max()), float(at.input_power.max()) if alike else 0.0)
            figures.spectral(axes[0, 0], top, k.attrs["units"], model.output_power.attrs["units"])
            pictures.append((f"level {level:g}", picture))
            gain, second = float(abs(at.response)), float(abs(at.harmonic_response[2]))
            words.append(f"level {level:g}: gain {gain:.4g}, second harmonic {second:.2e}")
        caption = (
            f"Power of the answer to the single mode {model.mode.item()!s}, as in Ho (2018); "
            f"levels are {model.attrs['level_means']}. "
            "The peak is the injected mode, the others its harmonics and, for the network, what its lattice adds. "
            f"A faithful model puts its peaks where {model.attrs['simulator']} does, at the same height; what lies between them is "
            f"leakage{window}. {'Through the window a peak is three modes wide. ' if window else ''}"
            "The axis ends nine decades below."
        )
        return Panel("One mode in, its spectrum out", pictures, caption, "; ".join(words), ("input_power", "output_power"))

    def _gain(self, measured: Measured) -> Panel:
        model = measured["model"]
        level = _nearest_level(model, self.level)
        order = np.argsort(model.wavenumber.values, kind="stable")
        picture, axes = figures.figure(columns=2, width=7.6)
        for name in [n for n in ("untrained", "lpt2", "identity", "model", "simulator") if n in measured]:
            response = measured[name].response.sel(level=level).values
            keywords = probe.equivariance.look(name, model)
            # What is nothing to rounding has no phase.
            gain = np.abs(response)
            lag = np.where(gain > model.attrs["rounding"] * np.nan_to_num(gain).max(), np.angle(response), np.nan)
            for panel, values in zip(axes[0], (gain, lag), strict=True):
                straight, oblique = (
                    [i for i in order if _is_oblique(model, i) == turned and np.isfinite(values[i])] for turned in (0, 1)
                )
                panel.plot(model.wavenumber[straight], values[straight], marker="o", ms=3.5, **keywords)
                panel.plot(
                    model.wavenumber[oblique], values[oblique], marker="D", ms=5, ls="none", mfc="none", color=keywords["color"]
                )
        axes[0, 0].set_ylabel(figures.axis_label("gain |H(k)|", model.response.attrs["units"]))
        axes[0, 1].set_ylabel(figures.axis_label("phase of H(k)", "rad"))
        for panel in axes[0]:
            panel.set_xlabel(figures.axis_label("k", model.wavenumber.attrs["units"]))
        figures.legend(axes[0, 0])
        rows = [
            f"k = {float(w):.3g}: {complex(h):.4g}"
            for w, h in zip(model.wavenumber[order], model.response.sel(level=level)[order], strict=True)
        ]
        caption = (
            f"Response at the driving mode against wavenumber at level {level:g}{probe.equivariance.through_window(model)}. "
            f"Left the gain, right the phase lag; a perfect model lies on the line of {model.attrs['simulator']} "
            "(on the theory's where there is none). "
            "Open diamonds are oblique waves, which a force mesh treats differently."
        )
        return Panel("Gain and phase", [("", picture)], caption, "H: " + ", ".join(rows), ("response", "transverse"))

    def _validity(self, measured: Measured) -> list[Panel]:
        model = measured["model"]
        truths = [(level, probe.response.true_answer(measured, level)) for level in model.level.values]
        errors = [truth.response_error(model.response.sel(level=level)) for level, truth in truths if truth is not None]
        if len(errors) < len(truths):
            return []
        table = np.stack(errors)
        order = np.argsort(model.wavenumber.values, kind="stable")
        columns = [f"{model.mode.values[i]!s}\n{float(model.wavenumber[i]):.2g}" for i in order]
        rows = [f"{level:g}" for level in model.level.values]
        picture = figures.matrix(100 * table[:, order], rows, columns, "%", "error of the response")
        picture.axes[0].set(
            xlabel=figures.axis_label("mode n, and its k", model.wavenumber.attrs["units"]),
            ylabel=f"level, {model.attrs['level_means']}",
        )
        text = "; ".join(f"level {level}: up to {percent(np.nanmax(row))}" for level, row in zip(rows, table, strict=True))
        caption = (
            "Where the response can be trusted: its error relative to the truth's, over wavenumber and amplitude. Small is good."
        )
        return [Panel("Validity map", [("", picture)], caption, text, ("response",))]

    def _ladder(self, measured: Measured) -> Panel:
        model = measured["model"].isel(mode=SHOWN)
        picture, axes = figures.figure(columns=2, width=7.6)
        for name in [n for n in ("model", "simulator") if n in measured]:
            at, look = abs(measured[name].harmonic_response.isel(mode=SHOWN)), probe.equivariance.look(name, model)
            for m, dash in ((1, "-"), (2, "--"), (3, ":")):
                keywords = look | {"linestyle": dash, "label": f"{look['label']}, {m} k"}
                axes[0, 0].plot(model.level, at.sel(harmonic=m), marker="o", ms=3.5, **keywords)
        shares = {name: words for name, words in _SHARES.items() if np.isfinite(model[name]).any()}
        for (name, words), marker in zip(shares.items(), "vos^", strict=False):
            axes[0, 1].plot(model.level, np.maximum(model[name], 1e-20), marker=marker, ms=4, label=words)
        axes[0, 0].set(yscale="log", ylabel=figures.axis_label("amplitude of the harmonic / input", model.response.attrs["units"]))
        axes[0, 1].set(yscale="log", ylabel="share of the answer's power")
        for panel in axes[0]:
            panel.set_xlabel(f"level, {model.attrs['level_means']}")
            figures.legend(panel)
        rows = [f"{words} {float(model[name].max()):.1e}" for name, words in shares.items()]
        window = probe.equivariance.through_window(model)
        right = "that lies across the wave" if window else "that no smooth periodic map would make; `off` must be zero to rounding"
        caption = (
            f"The mode {model.mode.item()!s} up the ladder of amplitudes{window}. "
            f"Left: the wave and its harmonics, those of {model.attrs['simulator']} in black. Right: the share of power {right}."
        )
        text = "Largest shares: " + ", ".join(rows)
        return Panel("Up the ladder", [("", picture)], caption, text, ("harmonic_response", *shares))


SHOWN = 0  # the mode in the figures: the first, which by default is n = N/6
_SHARES = {"transverse": "transverse", "beyond": "harmonics beyond 4 k", "rungs": "aliasing rungs", "off": "off the allowed set"}


def _from(bound: float, floor: float) -> str:
    if floor > bound:
        return f"the simulator's own departure from theory ({floor:.3g}), which is larger than the convention {bound:g}"
    return f"a convention: {percent(bound)} of the amplitude, {percent(bound**2)} of one mode's power"


def _not_periodic(model: Dataset) -> str:
    """Why what lies beside the wave cannot be told apart; empty in a periodic box."""
    boundary = str(model.attrs["boundary"])
    if boundary == "periodic":
        return ""
    return f"it rests on a periodic box; this one's boundary is {boundary!r}, and the window it is seen through spreads every mode"


def _off_lattice(model: Dataset) -> Check:
    if reason := _not_periodic(model):
        return Check.not_applicable("allowed_modes", reason)
    worst, limit = float(model.off.max()), float(model.attrs["rounding"]) ** 2
    sentence = (
        f"{percent(worst)} of the answer's power lies on modes that a periodic network of stride {int(model.attrs['stride'])} "
        f"cannot reach; rounding alone makes less than {limit:.0e}."
    )
    if model.attrs["denied_translation"]:
        return Check.info("allowed_modes", worst, sentence + " The description denies the symmetry, so nothing is judged.")
    return Check.judged(
        "allowed_modes", worst, (None, limit), sentence, bound_from="rounding: (100 units in the last place)^2, as a power"
    )


def _top_of_the_ladder(model: Dataset) -> Check:
    at = model.isel(level=-1, mode=SHOWN)
    gain = float(abs(at.response))
    return Check.info(
        "top_of_the_ladder",
        gain,
        f"At level {float(at.level):g}, the ladder's top, the gain of the mode {at.mode.item()} is {gain:.4g}.",
    )


def _nearest_level(model: Dataset, wanted: float) -> float:
    return float(min(model.level.values, key=lambda level: abs(level - wanted)))


def _is_oblique(model: Dataset, index: int) -> bool:
    return sum(n != 0 for n in probe.waves.mode_of(str(model.mode.values[index]))) > 1
