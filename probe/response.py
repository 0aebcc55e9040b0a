"""The answer to one plane wave, taken apart in Fourier space, and the true answer to it: what several probes ask.

In a box that is not periodic the answer is looked at through the window of `probe.spectra`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
import xarray as xr
from numpy import ndarray
from torch import Tensor

from probe import spectra, waves
from probe.contract import Measured, Subject
from probe.errors import InputError
from probe.fields import Quantity, place_of
from probe.grid import Grid

HARMONICS = 4

# Below this share of the largest true response a wave is held against that share: what nature wipes out has no size to be
# relative to.
FAINT = 0.1


@dataclass(frozen=True)
class WaveCase:
    """One wave at one or several starting phases.

    Attributes
    ----------
    mode : tuple of int
    level : float
        On the ladder of `probe.waves.physical_amplitude`.
    phases : tuple of float
        In radians; the answers are averaged, each with its own phase taken off.
    input, output : str
        Names of the quantities it is put into and looked for in; empty for the first field.
    """

    mode: tuple[int, ...]
    level: float
    phases: tuple[float, ...] = (0.0,)
    input: str = ""
    output: str = ""


@dataclass(frozen=True)
class WaveAnswer:
    """The answer to one wave, taken apart; averaged over its starting phases.

    Attributes
    ----------
    response : complex
        H(k) at the driving mode.
    response_spread : float
        Largest distance of one starting phase's response from the mean.
    harmonic_response : ndarray, (HARMONICS + 1,), complex
        Mean, wave and harmonics, relative to the input's amplitude.
    transverse, beyond, rungs, off : float
        Shares of the answer's power: across the wave, on harmonics beyond the last, on aliasing rungs, off the allowed set. The
        last three mean something in a periodic box alone, and are NaN elsewhere.
    input_power, output_power : ndarray, (shells,)
    """

    response: complex
    response_spread: float
    harmonic_response: ndarray
    transverse: float
    input_power: ndarray
    output_power: ndarray
    beyond: float
    rungs: float
    off: float


def between(subject: Subject, input: str = "", output: str = "") -> tuple[Quantity, Quantity]:
    """The input and the output quantity of those names; without a name the first field.

    Raises
    ------
    InputError
        If there is no such quantity.
    """
    inputs, outputs = subject.description.inputs, subject.description.outputs
    return inputs[place_of(inputs, input)], outputs[place_of(outputs, output)]


def no_waves(subject: Subject, input: str = "", output: str = "") -> str:
    """Why a wave cannot be put into one quantity and looked for in another; empty where it can."""
    for word, quantity in zip(("input", "output"), between(subject, input, output), strict=True):
        if quantity.is_number:
            return f"the {word} {quantity.name!r} is a number, which has no modes"
    return ""


def check_mode(mode: Sequence[int], grid: Grid) -> None:
    """Refuse a mode that the grid cannot carry as a plane wave, or whose response the window would mix with something else.

    Raises
    ------
    InputError
    """
    try:
        waves.check_mode(mode, grid)
    except ValueError as fault:
        raise InputError(str(fault)) from None
    seen = any(2 <= abs(n) <= points / 2 - 1 for n, points in zip(mode, grid.shape, strict=True))
    if grid.boundary != "periodic" and not seen:
        limit = waves.label([points // 2 - 1 for points in grid.shape])
        raise InputError(
            f"the mode {waves.label(mode)} is too long or too short for the window through which a box with the boundary "
            f"{grid.boundary!r} is seen; give one with a component between 2 and that of {limit}"
        )


def respond(subject: Subject, case: WaveCase) -> WaveAnswer:
    """Put in one wave at each of its starting phases, and take the answers apart."""
    grid, described = subject.grid, subject.description.inputs
    place = place_of(described, case.input)
    amplitude = waves.physical_amplitude(case.level, case.mode, described[place], grid)
    given = waves.inject([waves.PlaneWave(case.mode, amplitude, p) for p in case.phases], place, described, grid)
    quantity, values = subject.model(given).part(case.output)
    values = values.double()
    along, across = _harmonics(values, case.mode, grid, quantity.is_vector)
    phases = torch.tensor(case.phases, dtype=torch.float64, device=values.device)
    turned = torch.stack([c * torch.exp(-1j * m * phases) for m, c in enumerate(along)], -1) / amplitude
    seen = spectra.windowed(values, grid)
    total = seen.square().flatten(1).sum(1).clamp_min(1e-300)
    return WaveAnswer(
        response=complex(turned[:, 1].mean()),
        response_spread=float((turned[:, 1] - turned[:, 1].mean()).abs().max()),
        harmonic_response=turned.mean(0).cpu().numpy(),
        transverse=float((across[1].square() / 2 * grid.size / total).mean()),
        input_power=spectra.power(spectra.windowed(given.part(described[place].name)[1], grid), grid).mean(0).numpy(),
        output_power=spectra.power(seen, grid).mean(0).cpu().numpy(),
        **_budget(seen, case.mode, grid, subject.model.stride, total),
    )


def tabulate(
    answers: Sequence[WaveAnswer], over: Mapping[str, int], given: Quantity, answered: Quantity, grid: Grid
) -> dict[str, tuple[tuple[str, ...], ndarray, dict[str, str]]]:
    """The parts of many answers as variables of a dataset, with their units.

    Parameters
    ----------
    over : mapping of str to int
        The dimensions along which the answers lie, the last running fastest, and their lengths.
    given, answered : Quantity
        What the waves were put into and looked for in.
    """
    dims = {"harmonic_response": ("harmonic",), "input_power": ("shell",), "output_power": ("shell",)}
    gain = spectra.response_unit(given.unit, answered.unit)
    units = dict.fromkeys(("response", "response_spread", "harmonic_response"), gain)
    units |= {f"{side}_power": spectra.power_unit(q.unit, grid) for side, q in (("input", given), ("output", answered))}
    stacked = {part.name: np.array([getattr(answer, part.name) for answer in answers]) for part in fields(WaveAnswer)}
    return {
        name: ((*over, *dims.get(name, ())), values.reshape(*over.values(), *values.shape[1:]), {"units": units.get(name, "")})
        for name, values in stacked.items()
    }


def _harmonics(values: Tensor, mode: tuple[int, ...], grid: Grid, is_vector: bool) -> tuple[list[Tensor], list[Tensor]]:
    """Amplitudes of the mean, the wave and its harmonics: along the wave, complex, and across it; (batch,) each."""
    weight = spectra.window(grid, values.device)
    ladder = [tuple(m * n for n in mode) for m in range(HARMONICS + 1)]
    coefficients = spectra.coefficients(values * weight, ladder, grid) / weight.mean()
    parts = [spectra.along(coefficients[..., m], mode, grid, is_vector) for m in range(HARMONICS + 1)]
    return [along for along, _ in parts], [across for _, across in parts]


def _budget(values: Tensor, mode: tuple[int, ...], grid: Grid, stride: int, total: Tensor) -> dict[str, float]:
    """Shares of the answer's power: on harmonics beyond the fourth, on aliasing rungs, off the allowed set."""
    if grid.boundary != "periodic":
        return dict.fromkeys(("beyond", "rungs", "off"), float("nan"))
    power = spectra.fourier(values, grid).abs().square().sum(1) * grid.hermitian_weight(values.device) / grid.size
    harmonic, allowed = spectra.ladder_mask(mode, grid), spectra.ladder_mask(mode, grid, stride)
    near = spectra.modes_mask([tuple(m * n for n in mode) for m in range(HARMONICS + 1)], grid)
    masks = {"beyond": harmonic & ~near, "rungs": allowed & ~harmonic, "off": ~allowed}
    return {name: float(((power * mask.to(power.device)).flatten(1).sum(1) / total).mean()) for name, mask in masks.items()}


@dataclass(frozen=True)
class TrueAnswer:
    """The true answers to the waves of one level.

    Attributes
    ----------
    response : DataArray, (mode,), complex
    harmonics : DataArray, (mode, harmonic), complex
        Mean and harmonics from the second on, relative to the input's amplitude; NaN where nothing is known of them.
    source : str
        Whose they are, in words.
    departure : (float, float)
        How far the simulator is from theory, in the response and in the harmonics; 0 where there is but one of them.
    """

    response: xr.DataArray
    harmonics: xr.DataArray
    source: str
    departure: tuple[float, float] = (0.0, 0.0)

    @property
    def size(self) -> xr.DataArray:
        """What an error is relative to: the response, or a tenth of the largest one where it is smaller: (mode,)."""
        size = abs(self.response)
        return size.clip(min=FAINT * size.max())

    def yardstick(self, place: int) -> str:
        """What the errors of one mode are relative to, in words."""
        faint = float(abs(self.response[place])) < float(self.size[place])
        return "a tenth of the largest response" if faint else "the true response"

    def response_error(self, response: xr.DataArray) -> xr.DataArray:
        """|H - H_true| over its size: (mode,)."""
        return abs(response - self.response) / self.size

    def harmonics_error(self, harmonics: xr.DataArray) -> xr.DataArray:
        """Root of the summed squares of the mean's and the harmonics' errors over the size of the response: (mode,)."""
        return (abs(harmonics - self.harmonics) ** 2).sum("harmonic", skipna=False) ** 0.5 / self.size


def others(harmonics: xr.DataArray) -> xr.DataArray:
    """The mean and the harmonics from the second on: what a linear operator does not make of a wave."""
    return harmonics.sel(harmonic=[0, *range(2, HARMONICS + 1)])


def true_answer(measured: Measured, level: float) -> TrueAnswer | None:
    """What is true of a measurement's waves: the simulator's own answers, theory where it is silent; None where nobody knows."""
    model = measured["model"].sel(level=level)
    theory = _zeldovich(model, level) if model.attrs["theory"] else None
    if "simulator" not in measured:
        return theory
    run, who = measured["simulator"].sel(level=level), model.attrs["simulator"]
    known = np.isfinite(abs(run.response))
    if not known.any():
        return theory and replace(theory, source=f"{theory.source} ({who} gave none to these waves)")
    source = f"{who}'s own answers" if known.all() else f"{who}'s answers to {int(known.sum())} of them"
    truth = TrueAnswer(run.response, others(run.harmonic_response), source)
    if theory is None:
        return truth
    truth = replace(truth, response=truth.response.where(known, theory.response))
    truth = replace(truth, harmonics=truth.harmonics.where(known, theory.harmonics))
    # Rounding is added so that theory itself lies within its own distance.
    far = [_largest(error) for error in (truth.response_error(theory.response), truth.harmonics_error(theory.harmonics))]
    return replace(truth, departure=(far[0] + model.attrs["rounding"], far[1] + model.attrs["rounding"]))


def _zeldovich(model: xr.Dataset, level: float) -> TrueAnswer:
    """The input grown, without harmonics until shells cross."""
    growth = model.attrs["growth_ratio"]
    harmonics = xr.full_like(others(model.harmonic_response), 0.0 if level * growth < 1 else np.nan)
    return TrueAnswer(xr.full_like(model.response, growth), harmonics, "the Zel'dovich answer")


def _largest(errors: xr.DataArray) -> float:
    return float(errors.fillna(0).max())
