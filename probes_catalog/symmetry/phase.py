"""The probe `phase`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import lazy_loader as lazy

import probe
from probe import figures
from probe.contract import Check, Measured, Panel, Probe, Subject, judgement, measurement, percent

if TYPE_CHECKING:
    from xarray import Dataset

np, xr = lazy.load("numpy"), lazy.load("xarray")

HO_2018 = tuple(turn * math.pi for turn in (0, 1 / 6, 1 / 3, 1 / 2, 2 / 3, 1))


@dataclass(frozen=True)
class ShiftCase:
    """One wave in one quantity, and the same wave moved by whole cells; the answers are compared in another."""

    mode: tuple[int, ...]
    level: float
    cells: tuple[int, ...]
    input: str
    output: str


class Phase(Probe):
    """Does it matter where the wave starts?

    A plane wave is put in at different starting phases. Nature, and every network that treats all places alike, answers with
    the same wave moved along: constant gain, and an output phase that follows the input's.

    - Lattice phases: the wave moved by whole cells, by multiples of the network's stride (where a strided periodic network is
      exact) and by the cells between (where it need not be). |f(T x) - T f(x)| / |f(x)| is the error.
    - The six phases of Ho (2018): 0, pi/6, pi/3, pi/2, 2 pi/3 and pi. Most lie between the lattice's, where even an
      equivariant nonlinear network can move a little, since its harmonics alias.

    How to read it: in the first figure six spectra lie on one another; in the second the gain is flat and the phase lag zero.
    A zig-zag of period one stride is a network that knows its own grid: strided convolutions without enough blur do this.

    The bound is that of any broken symmetry: with pairs, at most half of the model's error power may break it; without, 2 %.
    """

    suite, version = "symmetry", 2
    checks = ("six_phases", "lattice_phases", "exact_shifts")
    controls = ("simulator", "identity", "lpt2", "untrained")
    references = (
        "S. Ho (2018), talk on the deep-learned emulation of N-body simulations: six phases of one mode.",
        "R. Zhang (2019), Making Convolutional Networks Shift-Invariant Again, arXiv:1904.11486.",
    )

    mode = measurement(None, "integer mode n of the wave; by default N/6 along the first axis", like=(5, 0, 0))
    level = measurement(0.2, "amplitude: a = A|k| of a displacement, else of sqrt(2) rms", low=1e-6, high=10.0)
    phases = measurement(HO_2018, "starting phases", unit="rad")
    input = measurement("", "the input quantity the wave is put into; the first field by default")
    output = measurement("", "the output quantity looked at; the first field by default")
    bound = judgement(None, "largest relative error; by default from the model's error on its pairs, else 2 %", like=0.02, low=0.0)

    def applies(self, subject: Subject) -> str:
        if subject.grid.boundary != "periodic":
            return f"a wave can be moved only in a periodic box; this one's boundary is {subject.grid.boundary!r}"
        return probe.response.no_waves(subject, self.input, self.output)

    def measure(self, subject: Subject) -> Dataset:
        room, grid, mode = probe.response, subject.grid, self.mode or _default(subject.grid)
        room.check_mode(mode, grid)
        source, output = room.between(subject, self.input, self.output)
        gain = probe.spectra.response_unit(source.unit, output.unit)
        cases = [room.WaveCase(mode, self.level, (p,), source.name, output.name) for p in self.phases]
        waves = subject.map(room.respond, cases)
        stride = subject.model.stride
        # All shifts within two strides, along the diagonal: on a lattice of total stride s nothing new comes after s.
        shifts = [(t,) * grid.dimension for t in range(1, 2 * max(stride, 2) + 1)]
        moved = subject.map(
            answer_to_shift, [ShiftCase(mode, self.level, cells, source.name, output.name) for cells in shifts], passes=2
        )
        return xr.Dataset(
            {
                "response": ("phase", np.array([w.response for w in waves]), {"units": gain}),
                "power": (
                    ("phase", "shell"),
                    np.stack([w.output_power for w in waves]),
                    {"units": probe.spectra.power_unit(output.unit, grid)},
                ),
                "shift_error": ("shift", np.array(moved), {"units": ""}),
                "data_error": probe.equivariance.data_error(subject, output.name),
            },
            coords={
                "phase": ("phase", list(self.phases), {"units": "rad"}),
                "shift": ("shift", [s[0] for s in shifts], {"units": "cells"}),
                "shell_wavenumber": ("shell", grid.shells().wavenumber.numpy(), {"units": grid.inverse_unit}),
            },
            attrs=probe.equivariance.facts(subject) | {"mode": probe.waves.label(mode), "level": self.level},
        )

    def judge(self, measured: Measured) -> list[Check]:
        model = measured["model"]
        denied, stride = str(model.attrs["denied_translation"]), int(model.attrs["stride"])
        worst, gain, lag = _scatter(model), abs(model.response), float(np.abs(np.angle(model.response)).max())
        followed = (
            f"Over {len(model.phase)} starting phases of the mode {model.attrs['mode']} the response moves by at most "
            f"{percent(worst)} from its mean (gain {float(gain.min()):.4g} to {float(gain.max()):.4g}, lag up to {lag:.2g} rad)."
        )
        followed += _beside(measured)
        on, off = _split(model, stride)
        lattice = f"Moving the wave by whole cells changes the answer by at most {percent(float(model.shift_error.max()))}."
        exact = on <= float(model.attrs["rounding"])
        words = f"Shifts by multiples of the stride {stride} are {'exact to rounding' if exact else f'not exact: error {on:.2e}'}"
        judged = probe.equivariance.symmetry_check
        return [
            judged("six_phases", worst, measured, self.bound, followed, denied),
            judged("lattice_phases", float(model.shift_error.max()), measured, self.bound, lattice, denied),
            Check.info("exact_shifts", on, f"{words}{f'; between them the error is up to {percent(off)}' if stride > 1 else ''}."),
        ]

    def draw(self, measured: Measured) -> list[Panel]:
        return [self._spectra(measured), self._response(measured), self._shifts(measured)]

    def _spectra(self, measured: Measured) -> Panel:
        model = measured["model"]
        picture, axes = figures.figure()
        for index, phase in enumerate(model.phase.values):
            color = figures.ramp(index, len(model.phase))
            axes[0, 0].plot(model.shell_wavenumber, np.maximum(model.power[index], 1e-300), color=color, label=_in_pi(phase))
        if "simulator" in measured and np.isfinite(measured["simulator"].power).all():
            axes[0, 0].plot(
                model.shell_wavenumber, measured["simulator"].power.mean("phase"), **probe.equivariance.look("simulator", model)
            )
        units = model.shell_wavenumber.attrs["units"], model.power.attrs["units"]
        figures.spectral(axes[0, 0], float(model.power.max()), *units, ncols=2, title="starting phase")
        peak = model.power.max("shell").values
        text = "Power at the peak by phase: " + ", ".join(
            f"{_in_pi(p)}: {v:.4g}" for p, v in zip(model.phase.values, peak, strict=True)
        )
        caption = (
            f"Spectra of the answers to the mode {model.attrs['mode']} started at each phase, over one another as in Ho (2018). "
            "Where they cannot be told apart the phase does not matter; a fan away from the peak is power that knows the grid."
        )
        return Panel("Six phases over one another", [("", picture)], caption, text, ("power",))

    def _response(self, measured: Measured) -> Panel:
        model = measured["model"]
        picture, axes = figures.figure(columns=2, width=7.6)
        for name in [n for n in ("untrained", "model", "simulator") if n in measured]:
            response, look = measured[name].response, probe.equivariance.look(name, model)
            if name == "model" or _answers(measured[name], model):
                axes[0, 0].plot(model.phase, abs(response) / abs(response).mean(), marker="o", ms=4, **look)
                axes[0, 1].plot(model.phase, np.angle(response), marker="o", ms=4, **look)
        axes[0, 0].ticklabel_format(useOffset=False)
        for panel, middle in zip(axes[0], (1.0, 0.0), strict=True):
            # A scatter of rounding is not to look like one of physics.
            reach = max(2e-3, *(abs(y - middle) for y in panel.get_ylim()))
            panel.set_ylim(middle - reach, middle + reach)
        axes[0, 0].set_ylabel("gain / its mean")
        axes[0, 1].set_ylabel(figures.axis_label("output phase - input phase", "rad"))
        for panel in axes[0]:
            panel.set_xlabel(figures.axis_label("starting phase", "rad"))
        figures.legend(axes[0, 0])
        text = "; ".join(f"{_in_pi(p)}: {complex(h):.4g}" for p, h in zip(model.phase.values, model.response.values, strict=True))
        caption = (
            "Gain and phase lag of the driven mode against where it started. "
            "Both are flat for a model that treats all places alike."
        )
        return Panel("Gain and lag against the starting phase", [("", picture)], caption, "H: " + text, ("response",))

    def _shifts(self, measured: Measured) -> Panel:
        model, floor = measured["model"], float(measured["model"].attrs["rounding"]) / 100
        picture, axes = figures.figure()
        for name in [n for n in ("untrained", "model") if n in measured]:
            axes[0, 0].plot(model["shift"], np.maximum(measured[name].shift_error, floor), marker="o", ms=4, **figures.style(name))
        bound, _ = probe.equivariance.bound_of(measured, self.bound)
        axes[0, 0].axhline(bound, color="#D55E00", lw=1, ls=":", label="bound")
        axes[0, 0].set(
            yscale="log", xlabel=figures.axis_label("shift along the diagonal", "cells"), ylabel="|f(Tx) - T f(x)| / |f(x)|"
        )
        figures.legend(axes[0, 0])
        text = ", ".join(f"{int(t)} cells: {float(e):.2e}" for t, e in zip(model["shift"], model.shift_error, strict=True))
        caption = (
            f"Error of moving the wave by whole cells. A network of stride {int(model.attrs['stride'])} is exact at its multiples "
            "(drawn at the floor of rounding); the height between is what the stride costs."
        )
        return Panel("Whole-cell shifts", [("", picture)], caption, text, ("shift_error",))


def _default(grid: probe.Grid) -> tuple[int, ...]:
    return (probe.waves.default_mode(grid), *(0,) * (grid.dimension - 1))


def answer_to_shift(subject: Subject, case: ShiftCase) -> float:
    """|f(T x) - T f(x)| / |f(x)| for the wave moved by whole cells."""
    grid, given = subject.grid, subject.description.inputs
    place = probe.fields.place_of(given, case.input)
    amplitude = probe.waves.physical_amplitude(case.level, case.mode, given[place], grid)
    start = probe.waves.inject([probe.waves.PlaneWave(case.mode, amplitude)], place, given, grid)
    answer = subject.model(start)
    moved = subject.model(probe.transforms.translate(start, case.cells)).part(case.output)[1]
    expected = probe.transforms.translate(answer, case.cells).part(case.output)[1]
    return probe.equivariance.relative(moved - expected, expected)


def _beside(measured: Measured) -> str:
    """What becomes of the simulator's response, in a sentence; empty where it was not run on these waves."""
    if "simulator" not in measured or not np.isfinite(abs(measured["simulator"].response)).all():
        return ""
    model, run = measured["model"], measured["simulator"]
    who = model.attrs["simulator"]
    return (
        f" That of {who} moves by {percent(_scatter(run))}."
        if _answers(run, model)
        else f" Of this wave {who} leaves nothing; set phase.mode to a longer one."
    )


def _answers(data: Dataset, model: Dataset) -> bool:
    """Whether there is a response to every wave that is more than the rounding of the model's."""
    size, floor = abs(data.response), model.attrs["rounding"] * float(abs(model.response).max())
    return bool((np.isfinite(size) & (size > floor)).all())


def _scatter(data: Dataset) -> float:
    mean = data.response.mean()
    return float(abs(data.response - mean).max() / abs(mean))


def _split(data: Dataset, stride: int) -> tuple[float, float]:
    """Largest error at multiples of the stride, and between them."""
    multiple = data["shift"].values % stride == 0
    errors = data.shift_error.values
    return float(errors[multiple].max()), float(errors[~multiple].max(initial=0.0))


def _in_pi(phase: float) -> str:
    from fractions import Fraction

    turn = Fraction(phase / math.pi).limit_denominator(12)
    top = {0: "0", 1: "π"}.get(turn.numerator, f"{turn.numerator}π")
    return top if turn.denominator == 1 or not turn.numerator else f"{top}/{turn.denominator}"
