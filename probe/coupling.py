"""What two plane waves make of each other, and the true answer to it.

The mixed difference [f(+,+) - f(+,-) - f(-,+) + f(-,-)]/4 over both signs of two waves holds neither wave's own answer nor its
harmonics. With inputs Re[d_i exp(i k_i.x)] the coupling K is defined by what it holds at n1 + n2, K d1 d2, and at n1 - n2,
K d1 conj(d2). The amplitudes of a displacement are those of the overdensity -div psi, in and out. For delta = sum a_i cos(k_i.q +
p_i), 2LPT gives psi2 = -(3/14) a1 a2 (1 - mu^2) sum over +- of k±/k±^2 sin(k±.q + p1 ± p2) in an Einstein-de Sitter universe, of
overdensity is (3/14) a1 a2 (1 - mu^2) sum over +- of cos(k±.q + p1 ± p2): K = (3/14) (1 - mu^2) at both.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import xarray as xr
from numpy import ndarray
from torch import Tensor, nn

from probe import perturbation, spectra, waves
from probe.contract import Measured, Subject
from probe.description import Truth
from probe.equivariance import rounding, test_field
from probe.fields import Field, Quantity, place_of
from probe.grid import Grid
from probe.model import FieldModel

Mode = tuple[int, ...]
Pair = tuple[Mode, Mode]
SIDES = {"n1 + n2": 1, "n1 - n2": -1}
SIGNS = ((1, 1), (1, -1), (-1, 1), (-1, -1))

# On 32 points and more: across, parallel, at mu = +-0.6, across with unlike lengths, at 45 degrees. On fewer the like, such that
# no term below the sixth order folds back onto a sum of parallel waves.
_WIDE: tuple[Pair, ...] = (
    ((5, 0, 0), (0, 5, 0)),
    ((3, 0, 0), (5, 0, 0)),
    ((5, 0, 0), (3, 4, 0)),
    ((5, 0, 0), (-3, 4, 0)),
    ((3, 0, 0), (0, 6, 0)),
    ((2, 2, 0), (4, 0, 0)),
)
_NARROW: tuple[Pair, ...] = (
    ((3, 0, 0), (0, 3, 0)),
    ((1, 0, 0), (3, 0, 0)),
    ((3, 0, 0), (1, 2, 0)),
    ((3, 0, 0), (-1, 2, 0)),
    ((2, 0, 0), (0, 4, 0)),
    ((1, 1, 0), (3, 0, 0)),
)
_TINY: tuple[Pair, ...] = (
    ((1, 0, 0), (0, 2, 0)),
    ((1, 0, 0), (2, 0, 0)),
    ((1, 0, 0), (1, 1, 0)),
    ((1, 0, 0), (-1, 1, 0)),
)
FEWEST = 8  # points along an axis that hold two waves and their sum
# A line has many points, and laws on it often damp short waves: its pairs stay long.
_LINES: dict[int, tuple[Pair, ...]] = {FEWEST: (((1,), (2,)),), 16: (((1,), (3,)), ((2,), (5,))), 32: (((1,), (3,)), ((2,), (3,)))}


@dataclass(frozen=True)
class PairCase:
    """Two waves, by their modes and level, at several starts.

    Attributes
    ----------
    first, second : tuple of int
    level : float
        Of each, on the ladder of `probe.waves.physical_amplitude`.
    starts : tuple of (float, float)
        Starting phases of the two [rad]; the couplings are averaged, each with its own phases taken off.
    input, output : str
        Names of the quantities they are put into and looked for in.
    background : int or None
        The test field they are put on; None for rest.
    """

    first: Mode
    second: Mode
    level: float
    starts: tuple[tuple[float, float], ...]
    input: str
    output: str
    background: int | None = None


@dataclass(frozen=True)
class Coupling:
    """What two waves make of each other at n1 + n2 and at n1 - n2: (2,) each.

    Attributes
    ----------
    along : ndarray, complex
        K.
    across : ndarray
        The modulus of what is transverse to n1 +- n2, in the same unit.
    spread : ndarray
        Largest distance of one start's K from the mean.
    floor : ndarray
        What rounding alone may make of K.
    """

    along: ndarray
    across: ndarray
    spread: ndarray
    floor: ndarray


def couple(subject: Subject, case: PairCase) -> Coupling:
    """Put in two waves with both signs of either at each start, and take what they make of each other."""
    grid, described, model = subject.grid, subject.description.inputs, in_double(subject)
    given = torch.cat([_four(subject, case, start) for start in case.starts])
    quantity, values = model(Field(given, grid, described)).part(case.output)
    if model is not subject.model:
        subject.model.passes += len(given)
    values = values.double().cpu()
    four = values.unflatten(0, (len(case.starts), len(SIGNS)))
    mixed = (four[:, 0] - four[:, 1] - four[:, 2] + four[:, 3]) / 4
    sent = _sent(case, described[place_of(described, case.input)], grid)
    along, across, slope = _taken(mixed, [added((case.first, case.second), sign) for sign in SIDES.values()], quantity, grid)
    noise = rounding(model.dtype) * float(values.square().mean().sqrt()) * np.abs(slope) / np.abs(sent).min(0)
    coupling = along / sent
    mean = coupling.mean(0)
    return Coupling(mean, (across / np.abs(sent)).mean(0), np.abs(coupling - mean).max(0), noise)


def _taken(mixed: Tensor, sums: list[Mode], quantity: Quantity, grid: Grid) -> tuple[ndarray, ndarray, ndarray]:
    """Amplitudes along and across the sums of two modes, (starts, 2) each, and what turns an amplitude into these."""
    weight = spectra.window(grid)
    coefficients = spectra.coefficients(mixed * weight, sums, grid) / weight.mean()
    parts = [spectra.along(coefficients[..., side], mode, grid, quantity.is_vector) for side, mode in enumerate(sums)]
    # -div psi of psi = Re[c khat exp(i k.x)] is Re[-i k c exp(i k.x)].
    slope = np.array([-1j * grid.wavenumber_of(mode) if is_displacement(quantity) else 1.0 for mode in sums])
    along, across = (np.stack([part.numpy() for part in each], 1) for each in zip(*parts, strict=True))
    return slope * along, np.abs(slope) * across, slope


def _four(subject: Subject, case: PairCase, start: tuple[float, float]) -> Tensor:
    """The inputs of one mixed difference, in the order of SIGNS: (4, channel, *grid.shape), float64."""
    grid, described = subject.grid, subject.description.inputs
    place = place_of(described, case.input)
    rest = torch.cat([waves.at_rest(quantity, grid) for quantity in described], 1)
    base = rest if case.background is None else test_field(subject, case.background)[0].values.double()
    both = []
    for mode, phase in zip((case.first, case.second), start, strict=True):
        amplitude = waves.physical_amplitude(case.level, mode, described[place], grid)
        both.append(waves.inject([waves.PlaneWave(mode, amplitude, phase)], place, described, grid).values - rest)
    return torch.cat([base + first * both[0] + second * both[1] for first, second in SIGNS])


def _sent(case: PairCase, source: Quantity, grid: Grid) -> ndarray:
    """d1 d2 and d1 conj(d2): (starts, 2), complex."""
    first, second = np.exp(1j * np.array(case.starts)).T
    if is_displacement(source):
        # -div psi of psi = A khat cos(k.x + phi) is A k sin(k.x + phi).
        first, second = -1j * case.level * first, -1j * case.level * second
    else:
        first = waves.physical_amplitude(case.level, case.first, source, grid) * first
        second = waves.physical_amplitude(case.level, case.second, source, grid) * second
    return np.stack([first * second, first * second.conj()], 1)


def in_double(subject: Subject) -> FieldModel:
    """The model in float64 where it is a module, else as it is; made once a run."""
    model = subject.model
    if not isinstance(model.network, nn.Module) or model.dtype == torch.float64:
        return model
    return subject.shared("the model in double precision", model.to_double)


def standing_in(subject: Subject, model: FieldModel, name: str = "") -> Subject:
    """The subject with another model in the place of its own, put the same inputs; what it shares with a run it has alone."""
    return replace(subject, name=name or subject.name, model=model, store={})  # type: ignore[type-var]


def is_displacement(quantity: Quantity) -> bool:
    """Whether its amplitudes are those of its overdensity."""
    return quantity.is_vector and quantity.quantity == "displacement"


def unit(source: Quantity, answered: Quantity, grid: Grid) -> str:
    """Unit of a coupling: the output's over the input's squared, of a displacement those of its overdensity."""
    above = spectra.response_unit(grid.unit, answered.unit) if is_displacement(answered) else answered.unit
    below = "" if is_displacement(source) or not source.unit else f"({source.unit})^2"
    return f"{f'({above})' if above else '1'}/{below}" if below else above


def added(pair: Pair, sign: int) -> Mode:
    """n1 + n2 or n1 - n2."""
    return tuple(n + sign * m for n, m in zip(*pair, strict=True))


def whole_cell_starts(pair: Pair, grid: Grid, count: int) -> tuple[tuple[float, float], ...]:
    """Starting phases of both waves moved together by t, 2 t, 3 t cells along the axes, t = 0, 1, ..."""

    def phase(mode: Mode, t: int) -> float:
        return -2 * math.pi * sum((axis + 1) * t * n / N for axis, (n, N) in enumerate(zip(mode, grid.shape, strict=True)))

    return tuple((phase(pair[0], t), phase(pair[1], t)) for t in range(count))


def default_pairs(grid: Grid) -> list[Pair]:
    """Pairs at several angles, scaled with the number of points; on a line two parallel ones, or one."""
    points = min(grid.shape)
    if grid.dimension == 1:
        return list(_LINES[max(fewest for fewest in _LINES if fewest <= points)])
    chosen, factor = (_WIDE, points // 32) if points >= 32 else ((_NARROW if points >= 16 else _TINY), 1)

    def scaled(mode: Mode) -> Mode:
        return tuple(factor * n for n in mode[: grid.dimension])

    return [(scaled(first), scaled(second)) for first, second in chosen]


def cosine(pair: Pair, grid: Grid) -> float:
    """Of the angle between the two waves."""
    return float(grid.direction_of(pair[0]) @ grid.direction_of(pair[1]))


def second_order(truth: Truth) -> float:
    """K of 2LPT over 1 - mu^2: 3/14 in an Einstein-de Sitter universe without growth."""
    return -(truth.growth_ratio**2) * perturbation.second_order_growth(truth.omega_m or 1.0) / 2


@dataclass(frozen=True)
class TrueCoupling:
    """The true couplings of a measurement's pairs.

    Attributes
    ----------
    values : DataArray, (pair, side)
        NaN where nothing is known.
    scale : float
        Their rms; of gravity where all are small, as on a line, what 2LPT gives waves across each other.
    source, yardstick : str
        Whose they are, and what `scale` is, in words.
    departure : float
        How far the simulator is from 2LPT, relative to `scale`; 0 where there is but one of them.
    """

    values: xr.DataArray
    scale: float
    source: str
    yardstick: str
    departure: float = 0.0

    def strength(self, coupling: xr.DataArray) -> float:
        """By how much the truth is to be multiplied to give these couplings, by least squares; NaN where the truth is nothing."""
        power = float((abs(self.values) ** 2).sum())
        overlap = float((coupling * self.values.conj()).real.sum())
        return overlap / power if power > 1e-12 * self.scale**2 else math.nan


def true_coupling(measured: Measured) -> TrueCoupling | None:
    """The simulator's own couplings, 2LPT where it is silent; None where nobody knows."""
    model = measured["model"]
    theory = None
    if model.attrs["theory"]:
        theory = xr.zeros_like(model.coupling) + float(model.attrs["second_order"]) * (1 - model.cosine**2)
    run = measured["simulator"].coupling if "simulator" in measured else xr.full_like(model.coupling, np.nan)
    known, who = np.isfinite(abs(run)), str(model.attrs["simulator"])
    if not known.any():
        return None if theory is None else _scaled(theory, "2LPT", model)
    source = f"{who}'s own answers" if known.all() else f"{who}'s answers to {int(known.all('side').sum())} of them"
    if theory is None:
        return _scaled(run, source, model)
    truth = _scaled(run.where(known, theory), source + ("" if known.all() else ", and 2LPT"), model)
    # Rounding is added so that 2LPT itself lies within its own distance.
    far = rms((run - theory).where(known)) / truth.scale + float(model.attrs["rounding"])
    return TrueCoupling(truth.values, truth.scale, truth.source, truth.yardstick, far)


def _scaled(values: xr.DataArray, source: str, model: xr.Dataset) -> TrueCoupling:
    scale, across = rms(values), abs(float(model.attrs["second_order"]))
    if model.attrs["theory"] and scale < 0.1 * across:
        return TrueCoupling(values, across, source, "what 2LPT gives waves across each other")
    return TrueCoupling(values, scale, source, "the true couplings' rms")


def drawn_part(model: xr.Dataset, truth: TrueCoupling | None) -> tuple[Callable[[ndarray], ndarray], str]:
    """The part of K that is not there by symmetry alone: real between like quantities, imaginary where a gradient makes it."""
    values = model.coupling if truth is None else truth.values
    return (np.imag, "Im K") if rms(values.imag) > rms(values.real) else (np.real, "Re K")


def rms(values: xr.DataArray) -> float:
    """Root mean square of the moduli over what is known."""
    return float(np.sqrt(np.nanmean(np.abs(values.values) ** 2)))
