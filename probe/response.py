"""The answer to one plane wave, taken apart in Fourier space: what several probes ask."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from numpy import ndarray
from torch import Tensor

from probe import spectra, waves
from probe.contract import Subject
from probe.grid import Grid

HARMONICS = 4


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
        Names of the quantities it is put into and looked for in; empty for the first.
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
        Shares of the answer's power: across the wave, on harmonics beyond the last, on aliasing rungs, off the allowed set.
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


def respond(subject: Subject, case: WaveCase) -> WaveAnswer:
    """Put in one wave at each of its starting phases, and take the answers apart."""
    grid = subject.grid
    described = subject.description.inputs
    place = next(i for i, q in enumerate(described) if case.input in ("", q.name))
    amplitude = waves.physical_amplitude(case.level, case.mode, described[place], grid)
    given = waves.inject([waves.PlaneWave(case.mode, amplitude, p) for p in case.phases], place, described, grid)
    quantity, values = subject.model(given).part(case.output)
    values = values.double()
    phases = torch.tensor(case.phases, dtype=torch.float64, device=values.device)
    ladder = [tuple(m * n for n in case.mode) for m in range(HARMONICS + 1)]
    coefficients = spectra.coefficients(values, ladder, grid)
    along, across = zip(
        *(spectra.along(coefficients[..., m], case.mode, grid, quantity.is_vector) for m in range(HARMONICS + 1)), strict=True
    )
    turned = torch.stack([c * torch.exp(-1j * m * phases) for m, c in enumerate(along)], -1) / amplitude
    total = values.square().flatten(1).sum(1)
    shares = _budget(spectra.fourier(values, grid), case.mode, grid, subject.model.stride, total)
    return WaveAnswer(
        response=complex(turned[:, 1].mean()),
        response_spread=float((turned[:, 1] - turned[:, 1].mean()).abs().max()),
        harmonic_response=turned.mean(0).cpu().numpy(),
        transverse=float((across[1].square() / 2 * grid.size / total.clamp_min(1e-300)).mean()),
        input_power=spectra.power(given.part(case.input)[1], grid).mean(0).numpy(),
        output_power=spectra.power(values, grid).mean(0).cpu().numpy(),
        **shares,
    )


def _budget(modes: Tensor, mode: tuple[int, ...], grid: Grid, stride: int, total: Tensor) -> dict[str, float]:
    """Shares of the answer's power: on harmonics beyond the fourth, on aliasing rungs, off the allowed set."""
    power = modes.abs().square().sum(1) * grid.hermitian_weight(modes.device) / grid.size
    harmonic, allowed = spectra.ladder_mask(mode, grid), spectra.ladder_mask(mode, grid, stride)
    near = spectra.modes_mask([tuple(m * n for n in mode) for m in range(HARMONICS + 1)], grid)
    masks = {"beyond": harmonic & ~near, "rungs": allowed & ~harmonic, "off": ~allowed}
    share = total.clamp_min(1e-300)
    return {name: float(((power * mask.to(power.device)).flatten(1).sum(1) / share).mean()) for name, mask in masks.items()}
