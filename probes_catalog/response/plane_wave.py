"""The probe `plane_wave`."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING

import lazy_loader as lazy

import probe
from probe import figures
from probe.contract import Check, Measured, Panel, Probe, Subject, judgement, measurement, percent

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

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

    How to read it: the first figure shows the power spectrum of the answer to one wave, as in Ho's talk of 2018; the second
    the gain and phase against k; the third how far the answer is from the truth over wavenumber and amplitude. A gain that
    sags towards high k where the simulator's does not is the usual failure; a phase that grows with k is a displaced output.

    The bound on the response is 5 % of the answer, a convention: 0.25 % of the power of one mode; where the simulator
    itself departs from theory by more, that departure is the bound. The bound on aliasing is that of any broken symmetry.
    """

    suite, version = "response", 1
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
    input = measurement("", "the input quantity the wave is put into; the first by default")
    output = measurement("", "the output quantity looked at; the first by default")
    level = judgement(0.2, "the level of the ladder that is judged", low=0.0, high=10.0)
    bound = judgement(
        0.05, "largest error of the response and of the harmonics, relative to the truth's response", low=0.0, high=10.0
    )
    aliasing_bound = judgement(
        None, "largest share of the answer's amplitude on aliasing rungs; by default that of any symmetry", like=0.02
    )

    def applies(self, subject: Subject) -> str:
        if subject.grid.boundary != "periodic":
            return f"a plane wave needs a periodic box; this one's boundary is {subject.grid.boundary!r}"
        return ""

    def measure(self, subject: Subject) -> Dataset:
        room, grid, modes = probe.response, subject.grid, self.modes or default_modes(subject.grid)
        for mode in modes:
            probe.waves.check_mode(mode, grid)
        cases = [room.WaveCase(m, a, _phases(m, grid, self.shifts), self.input, self.output) for m in modes for a in self.levels]
        answers = subject.map(room.respond, cases, passes=self.shifts)
        table = {part.name: np.array([getattr(a, part.name) for a in answers]) for part in fields(room.WaveAnswer)}
        dims = {"harmonic_response": ("harmonic",), "input_power": ("shell",), "output_power": ("shell",)}
        variables = {
            name: (
                ("mode", "level", *dims.get(name, ())),
                values.reshape(len(modes), len(self.levels), *values.shape[1:]),
                {"units": ""},
            )
            for name, values in table.items()
        }
        given, answered = subject.description.inputs, subject.description.outputs
        quantity = next(q for q in answered if self.output in ("", q.name))
        source = next(q for q in given if self.input in ("", q.name))
        data = xr.Dataset(
            {**variables, "data_error": probe.equivariance.data_error(subject)},
            coords={
                "mode": [probe.waves.label(m) for m in modes],
                "level": list(self.levels),
                "harmonic": list(range(room.HARMONICS + 1)),
                "wavenumber": ("mode", [grid.wavenumber_of(m) for m in modes], {"units": grid.inverse_unit}),
                "shell_wavenumber": ("shell", grid.shells().wavenumber.numpy(), {"units": grid.inverse_unit}),
            },
            attrs=probe.equivariance.facts(subject) | {"input": source.name, "output": quantity.name},
        )
        data["input_power"].attrs["units"] = probe.spectra.power_unit(source.unit, grid)
        data["output_power"].attrs["units"] = probe.spectra.power_unit(quantity.unit, grid)
        data.attrs["level_means"] = "a = A|k|" if source.quantity == "displacement" else "amplitude / (sqrt(2) rms)"
        data.attrs["theory"] = int(probe.controls.is_displacement(subject.description))
        return data

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
        at, (truth, source, floor) = measured["model"].sel(level=level), _truth_at(measured, level)
        gain = float(abs(at.response).isel(mode=0))
        if truth is None:
            return Check.info(
                "response", gain, f"The gain of the mode {at.mode.values[0]} is {gain:.3f}; no truth is known for it."
            )
        error = abs(at.response - truth) / abs(truth)
        worst = int(np.nanargmax(error.values))
        mode, k, unit = str(at.mode.values[worst]), float(at.wavenumber[worst]), at.wavenumber.attrs["units"]
        sentence = (
            f"Over {len(at.mode)} plane waves at {at.attrs['level_means']} = {level:g}, the answer at the driving mode is off by "
            f"at most {percent(float(error[worst]))} (mode {mode}, k = {k:.3g} {unit}: "
            f"gain {float(abs(at.response[worst])):.3f} for {float(abs(truth[worst])):.3f}), held against {source}."
        )
        return Check.judged(
            "response", float(error[worst]), (None, max(self.bound, floor)), sentence, bound_from=_from(self.bound, floor)
        )

    def _harmonics(self, measured: Measured, level: float) -> Check:
        at = measured["model"].sel(level=level)
        truth, source, floor = _harmonics_at(measured, level)
        if truth is None:
            size = float(np.sqrt((abs(_others(at.harmonic_response)) ** 2).sum("harmonic")).max())
            return Check.info(
                "harmonics", size, f"Harmonics amount to at most {percent(size)} of the input's amplitude; no truth is known."
            )
        error = np.sqrt((abs(_others(at.harmonic_response) - truth) ** 2).sum("harmonic", skipna=False))
        worst = int(np.nanargmax(error.values))
        sentence = (
            f"The mean and the harmonics 2 k to {probe.response.HARMONICS} k at level {level:g} are off by at most "
            f"{percent(float(error[worst]))} of the wave (mode {at.mode.values[worst]!s}), held against {source}."
        )
        return Check.judged(
            "harmonics", float(error[worst]), (None, max(self.bound, floor)), sentence, bound_from=_from(self.bound, floor)
        )

    def _aliasing(self, measured: Measured, level: float) -> Check:
        model = measured["model"]
        share = np.sqrt(model.rungs.sel(level=level))
        worst = int(share.values.argmax())
        stride = int(model.attrs["stride"])
        sentence = (
            f"At most {percent(float(share[worst]))} of the answer's amplitude lies on the aliasing rungs of the stride {stride} "
            f"(mode {model.mode.values[worst]!s}, level {level:g})."
        )
        denied = str(model.attrs["denied_translation"])
        return probe.equivariance.symmetry_check("aliasing", float(share[worst]), measured, self.aliasing_bound, sentence, denied)

    def draw(self, measured: Measured) -> list[Panel]:
        return [self._spectra(measured), self._gain(measured), *self._validity(measured), self._ladder(measured)]

    def _spectra(self, measured: Measured) -> Panel:
        model, pictures, words = measured["model"], [], []
        place = SHOWN
        shown = [name for name in ("untrained", "model", "simulator") if name in measured]
        for level in model.level.values:
            picture, axes = figures.figure()
            for name in ("input", *shown):
                spectrum = model.input_power if name == "input" else measured[name].output_power
                line = spectrum.isel(mode=place).sel(level=level)
                if np.isfinite(line).all():
                    keywords = (
                        {"color": "#E69F00", "marker": "s", "ls": "none", "label": "input"}
                        if name == "input"
                        else figures.style(name)
                    )
                    axes[0, 0].plot(model.shell_wavenumber, np.maximum(line, 1e-30), markersize=4, **keywords)
            top = float(model.input_power.isel(mode=place).sel(level=level).max())
            axes[0, 0].set(yscale="log", ylim=(top * 1e-9, top * 5))
            axes[0, 0].set_xlabel(figures.axis_label("k", model.shell_wavenumber.attrs["units"]))
            axes[0, 0].set_ylabel(figures.axis_label("P(k)", model.output_power.attrs["units"]))
            figures.legend(axes[0, 0])
            pictures.append((f"level {level:g}", picture))
            at = model.isel(mode=place).sel(level=level)
            words.append(
                f"level {level:g}: gain {float(abs(at.response)):.4f}, second harmonic {float(abs(at.harmonic_response[2])):.2e}"
            )
        caption = (
            f"Power of the answer to the single mode {model.mode.values[place]!s}, as in Ho (2018); "
            f"levels are {model.attrs['level_means']}. "
            "The peak is the injected mode, the others its harmonics and, for the network, what its lattice adds. "
            "A faithful model puts its peaks where the simulator does, at the same height; what lies between them is leakage. "
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
            keywords = figures.style(name, "Zel'dovich (input)" if name == "identity" and model.attrs["theory"] else "")
            for panel, values in zip(axes[0], (np.abs(response), np.angle(response)), strict=True):
                straight, oblique = (
                    [i for i in order if _is_oblique(model, i) == turned and np.isfinite(values[i])] for turned in (0, 1)
                )
                panel.plot(model.wavenumber[straight], values[straight], marker="o", ms=3.5, **keywords)
                panel.plot(
                    model.wavenumber[oblique], values[oblique], marker="D", ms=5, ls="none", mfc="none", color=keywords["color"]
                )
        axes[0, 0].set_ylabel("gain |H(k)|")
        axes[0, 1].set_ylabel(figures.axis_label("phase of H(k)", "rad"))
        for panel in axes[0]:
            panel.set_xlabel(figures.axis_label("k", model.wavenumber.attrs["units"]))
        figures.legend(axes[0, 0])
        rows = [
            f"k = {float(w):.3g}: {complex(h):.4f}"
            for w, h in zip(model.wavenumber[order], model.response.sel(level=level)[order], strict=True)
        ]
        caption = (
            f"Response at the driving mode against wavenumber at level {level:g}. Left the gain, right the phase lag; "
            "a perfect model lies on the simulator's line (on the theory's where there is none). "
            "Open diamonds are oblique waves, which a force mesh treats differently."
        )
        return Panel("Gain and phase", [("", picture)], caption, "H: " + ", ".join(rows), ("response", "transverse"))

    def _validity(self, measured: Measured) -> list[Panel]:
        model = measured["model"]
        errors = [_truth_at(measured, float(level))[0] for level in model.level]
        if any(truth is None for truth in errors):
            return []
        table = np.stack(
            [
                abs(model.response.sel(level=lv) - t) / abs(t)
                for lv, t in zip(model.level.values, errors, strict=True)
                if t is not None
            ]
        )
        order = np.argsort(model.wavenumber.values, kind="stable")
        columns = [f"{model.mode.values[i]!s}\n{float(model.wavenumber[i]):.2g}" for i in order]
        picture = figures.matrix(
            100 * table[:, order], [f"{lv:g}" for lv in model.level.values], columns, "%", "error of the response"
        )
        picture.axes[0].set(
            xlabel=figures.axis_label("mode n, and its k", model.wavenumber.attrs["units"]),
            ylabel=f"level, {model.attrs['level_means']}",
        )
        text = "; ".join(f"level {lv:g}: up to {percent(row.max())}" for lv, row in zip(model.level.values, table, strict=True))
        caption = (
            "Where the response can be trusted: its error relative to the truth's, over wavenumber and amplitude. Small is good."
        )
        return [Panel("Validity map", [("", picture)], caption, text, ("response",))]

    def _ladder(self, measured: Measured) -> Panel:
        model = measured["model"]
        place = SHOWN
        picture, axes = figures.figure(columns=2, width=7.6)
        for name in [n for n in ("model", "simulator") if n in measured]:
            at = abs(measured[name].harmonic_response.isel(mode=place))
            for m, dash in ((1, "-"), (2, "--"), (3, ":")):
                keywords = figures.style(name) | {"linestyle": dash, "label": f"{name}, {m} k"}
                axes[0, 0].plot(model.level, at.sel(harmonic=m), marker="o", ms=3.5, **keywords)
        budget = model.isel(mode=place)
        for name, marker in (("beyond", "o"), ("rungs", "s"), ("off", "^"), ("transverse", "v")):
            axes[0, 1].plot(model.level, np.maximum(budget[name], 1e-20), marker=marker, ms=4, label=_SHARES[name])
        axes[0, 0].set(yscale="log", ylabel="amplitude of the harmonic / input")
        axes[0, 1].set(yscale="log", ylabel="share of the answer's power")
        for panel in axes[0]:
            panel.set_xlabel(f"level, {model.attrs['level_means']}")
            figures.legend(panel)
        rows = [f"{_SHARES[n]} {float(budget[n].max()):.1e}" for n in _SHARES]
        caption = (
            f"The mode {model.mode.values[place]!s} up the ladder of amplitudes. "
            "Left: the wave and its harmonics, the simulator's in black. "
            "Right: the share of power that no smooth periodic map would make; `off` must be zero to rounding."
        )
        return Panel(
            "Up the ladder", [("", picture)], caption, "Largest shares: " + ", ".join(rows), ("harmonic_response", *_SHARES)
        )


SHOWN = 0  # the mode in the figures: the first, which by default is n = N/6
_SHARES = {"beyond": "harmonics beyond 4 k", "rungs": "aliasing rungs", "off": "off the allowed set", "transverse": "transverse"}


def default_modes(grid: probe.Grid) -> tuple[tuple[int, ...], ...]:
    """Waves along the first axis from the longest to short ones, and an oblique one whose components share a factor with N."""
    middle = probe.waves.default_mode(grid)
    limit = (grid.shape[0] - 1) // 2
    wanted = {1, 2, 3, middle, round(1.4 * middle), round(2.2 * middle)}
    along = sorted(n for n in wanted if n <= limit and probe.waves.is_clear(n, grid.shape[0]))
    rest = (0,) * (grid.dimension - 1)
    oblique = [(4, 6, 0)[: grid.dimension]] if grid.dimension > 1 and min(grid.shape) > 12 else []
    first = [(n, *rest) for n in along]
    return (*[m for m in first if m[0] == middle], *[m for m in first if m[0] != middle], *oblique)


def _phases(mode: tuple[int, ...], grid: probe.Grid, shifts: int) -> tuple[float, ...]:
    """2 pi n t / N for t = 0, 1, ... cells along the first axis the wave runs on: the wave moved by whole cells."""
    axis = next(i for i, n in enumerate(mode) if n)
    return tuple(-2 * math.pi * mode[axis] * t / grid.shape[axis] for t in range(shifts))


def _truth_at(measured: Measured, level: float) -> tuple[DataArray | None, str, float]:
    """The true response at a level, what it is, and how far the simulator is from theory."""
    model = measured["model"]
    theory = xr.full_like(model.response.sel(level=level), model.attrs["growth_ratio"]) if model.attrs["theory"] else None
    if "simulator" not in measured:
        return theory, "the Zel'dovich answer", 0.0
    run = measured["simulator"].response.sel(level=level)
    known = np.isfinite(abs(run))
    if not known.any():
        return theory, "the Zel'dovich answer (the simulator was not run on these waves)", 0.0
    # Relative to the truth, as the model's error is; rounding is added so that theory itself lies within.
    floor = float((abs(run - theory) / abs(run)).max()) + model.attrs["rounding"] if theory is not None else 0.0
    truth = run if theory is None else run.where(known, theory)
    return truth, f"the simulator's answers to {int(known.sum())} of them", floor


def _harmonics_at(measured: Measured, level: float) -> tuple[DataArray | None, str, float]:
    """True mean and harmonics at a level; theory has none before shell crossing."""
    model = measured["model"]
    theory = xr.zeros_like(_others(model.harmonic_response.sel(level=level))) if model.attrs["theory"] and level < 1 else None
    if "simulator" not in measured:
        return theory, "the Zel'dovich answer, which has none", 0.0
    run = _others(measured["simulator"].harmonic_response.sel(level=level))
    known = np.isfinite(abs(run)).all("harmonic")
    if not known.any():
        return theory, "the Zel'dovich answer, which has none", 0.0
    floor = float(np.sqrt((abs(run) ** 2).sum("harmonic")).max()) if theory is not None else 0.0
    return (run if theory is None else run.where(known, theory)), "the simulator's own", floor


def _others(harmonics: DataArray) -> DataArray:
    return harmonics.sel(harmonic=[0, *range(2, probe.response.HARMONICS + 1)])


def _from(bound: float, floor: float) -> str:
    if floor > bound:
        return f"the simulator's own departure from theory ({floor:.3g}), which is larger than the convention {bound:g}"
    return f"a convention: {percent(bound)} of the amplitude, {percent(bound**2)} of one mode's power"


def _off_lattice(model: Dataset) -> Check:
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
        f"At level {float(at.level):g}, the ladder's top, the gain of the mode {at.mode.item()} is {gain:.3f}.",
    )


def _nearest_level(model: Dataset, wanted: float) -> float:
    return float(min(model.level.values, key=lambda level: abs(level - wanted)))


def _is_oblique(model: Dataset, index: int) -> bool:
    return sum(n != 0 for n in probe.waves.mode_of(str(model.mode.values[index]))) > 1
