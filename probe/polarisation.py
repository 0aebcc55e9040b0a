"""Vectors split into what runs along k and what lies across it: transverse waves and fields, and the answers to them.

A vector wave A e cos(k.x + phi) with e.k = 0 is transverse. Its frame is e itself (`own`), in space khat x e (`turned`), and khat
(`along`). As a displacement it is a shear: with psi_i,j = -A e_i k_j sin(k.q) the determinant of 1 + psi_i,j is 1 + e.k (...) = 1
at every amplitude. So a single one changes no density, feels no force and crosses no shells; two of them, or a random
field, make an overdensity at second order, sum_ij psi_i,j psi_j,i / 2 where div psi = 0, and so displacements along k.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from numpy import ndarray
from torch import Tensor

from probe import spectra, waves
from probe.contract import Measured, Subject
from probe.fields import Field, Quantity, place_of
from probe.grid import Grid
from probe.response import FAINT, HARMONICS

PRODUCTS = ("input", "answer", "truth")
DIRECTIONS = {2: ("own", "along"), 3: ("own", "turned", "along")}
# A loss hardly notices a part that holds less than 1 % of the inputs' power: what is done to it was not learned.
HELD = 0.01


@dataclass(frozen=True)
class AcrossCase:
    """One transverse wave, by its mode, polarisation (0, in space also 1) and level, at several starting phases [rad]."""

    mode: tuple[int, ...]
    polarisation: int
    level: float
    phases: tuple[float, ...]
    input: str
    output: str


@dataclass(frozen=True)
class AcrossAnswer:
    """The answer to a transverse wave, averaged over its starting phases.

    Attributes
    ----------
    response : ndarray, (HARMONICS + 1, direction), complex
        Mean, wave and harmonics in the wave's own frame, relative to the input's amplitude.
    longitudinal : float
        Power along k over all modes below Nyquist but the mean, relative to the input's power.
    share : float
        The same relative to the answer's power.

    The last two are NaN in a box that is not periodic, where a window mixes directions.
    """

    response: ndarray
    longitudinal: float
    share: float


@dataclass(frozen=True)
class FieldCase:
    """A random transverse field, by its number, and the quantities it is put into and looked for in."""

    number: int
    input: str
    output: str


def frame(mode: Sequence[int], polarisation: int, grid: Grid) -> Tensor:
    """The unit vectors of DIRECTIONS, one a row: (D, D), float64.

    The first polarisation is the lattice's axis on which k is smallest (the first of several), made orthogonal to k; the
    second is khat times it.
    """
    khat = grid.direction_of(mode)
    first = torch.zeros_like(khat)
    first[int(khat.abs().round(decimals=9).argmin())] = 1
    first = first - (first @ khat) * khat
    first = first / first.norm()
    if grid.dimension == 2:
        return torch.stack([first, khat])
    second = torch.linalg.cross(khat, first)
    own = second if polarisation else first
    return torch.stack([own, torch.linalg.cross(khat, own), khat])


def split(values: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
    """A vector field's modes along k and across it, without the mean and the modes at Nyquist, where k has no one direction.

    Parameters
    ----------
    values : Tensor, (batch, D, *grid.shape)

    Returns
    -------
    along : Tensor, (batch, *half_shape), complex
    across : Tensor, (batch, D, *half_shape), complex
    """
    modes = spectra.fourier(values, grid) * waves.below_nyquist(grid, values.device)
    along = spectra.longitudinal(modes, grid)
    norm = grid.wavenumber(values.device, values.dtype).clone()
    norm[(0,) * grid.dimension] = 1
    ahead = torch.stack([(k / norm).expand(grid.half_shape) for k in grid.wavevectors(values.device, values.dtype)])
    return along, modes - ahead * along[:, None]


def respond_across(subject: Subject, case: AcrossCase) -> AcrossAnswer:
    """Put in one transverse wave at each of its starting phases, and take the answers apart."""
    grid, described = subject.grid, subject.description.inputs
    place, axes = place_of(described, case.input), frame(case.mode, case.polarisation, grid)
    amplitude = waves.physical_amplitude(case.level, case.mode, described[place], grid)
    carrier = torch.stack([torch.cos(waves.phase_of(case.mode, grid) + phase) for phase in case.phases])
    sent = axes[0].reshape(1, -1, *[1] * grid.dimension) * amplitude * carrier[:, None]
    values = subject.model(_on_rest(sent, place, described, grid)).part(case.output)[1].double().cpu()
    ladder, weight = [tuple(m * n for n in case.mode) for m in range(HARMONICS + 1)], spectra.window(grid)
    found = spectra.coefficients(values * weight, ladder, grid) / (weight.mean() * amplitude)
    back = torch.exp(-1j * torch.tensor(case.phases, dtype=torch.float64)[:, None] * torch.arange(HARMONICS + 1))
    response = torch.einsum("bcm,bm,dc->md", found, back, axes.to(found.dtype)) / len(values)
    if grid.boundary != "periodic":
        return AcrossAnswer(response.numpy(), math.nan, math.nan)
    along = float((split(values, grid)[0].abs().square() * grid.hermitian_weight()).sum()) / grid.size
    sent_power, total = len(values) * amplitude**2 / 2 * grid.size, max(float(values.square().sum()), 1e-300)
    return AcrossAnswer(response.numpy(), along / sent_power, along / total)


def tabulate(
    found: Sequence[AcrossAnswer], over: Mapping[str, int], unit: str, prefix: str = ""
) -> dict[str, tuple[tuple[str, ...], ndarray, dict[str, str]]]:
    """The parts of many answers as variables of a dataset; `over` as in `response.tabulate`, `unit` that of the response."""
    units, more = {"response": unit, "longitudinal": f"({unit})^2" if unit else "", "share": ""}, ("harmonic", "direction")
    stacked = {name: np.array([getattr(one, name) for one in found]) for name in units}
    return {
        prefix + name: (
            (*over, *(more if name == "response" else ())),
            values.reshape(*over.values(), *values.shape[1:]),
            {"units": units[name]},
        )
        for name, values in stacked.items()
    }


def _on_rest(sent: Tensor, place: int, described: tuple[Quantity, ...], grid: Grid) -> Field:
    """Values of one quantity on the field at rest."""
    rest = [waves.at_rest(quantity, grid).expand(len(sent), -1, *grid.shape) for quantity in described]
    rest[place] = rest[place] + sent
    return Field(torch.cat(rest, 1), grid, described)


def made_across(grid: Grid, size: float, generator: torch.Generator) -> Tensor:
    """A Gaussian transverse vector field with the spectrum k^-2 and an rms a component: (1, D, *grid.shape), float64."""
    drawn = waves.gaussian_field(grid, lambda k: k**-2, generator, grid.dimension)[None]
    across = torch.fft.irfftn(split(drawn, grid)[1], s=grid.shape, dim=grid.axes)
    return across * (size / across.square().mean().sqrt())


def answer_to_field(subject: Subject, case: FieldCase) -> tuple[ndarray, ndarray, ndarray]:
    """The answer's power along k and across it, and the response across k to a random transverse field: (shell,) each."""
    grid, described = subject.grid, subject.description.inputs
    place = place_of(described, case.input)
    size = waves.typical_size(described[place], grid)
    sent = made_across(grid, size, subject.rng(f"transverse field {case.number}"))
    values = subject.model(_on_rest(sent, place, described, grid)).part(case.output)[1].double().cpu()
    along, across = split(values, grid)
    shells, given = grid.shells(), split(sent, grid)[1]
    to_power = grid.volume / grid.size**2 / shells.modes
    powers = [shells.sum(part.abs().square(), grid) * to_power for part in (along[0], across[0].norm(dim=0))]
    response = _shared(given, across, grid) / _shared(given, given, grid)
    return powers[0].numpy(), powers[1].numpy(), response


def _shared(a: Tensor, b: Tensor, grid: Grid) -> ndarray:
    """Re sum a* b over the modes of each shell: (shell,)."""
    sums: ndarray = grid.shells().sum((a[0].conj() * b[0]).real.sum(0), grid).numpy()
    return sums


def held_by_pairs(subject: Subject, input: str) -> ndarray:
    """The share of each pair's input power (its mean left out) that lies across k: (pair,); empty where nothing tells."""
    if not subject.pairs or subject.grid.boundary != "periodic":
        return np.empty(0)
    shares = []
    for given, _ in subject.pairs:
        along, across = split(given.part(input)[1].double(), subject.grid)
        weight = subject.grid.hermitian_weight()
        power = [float((part.abs().square() * weight).sum()) for part in (along, across)]
        shares.append(power[1] / max(sum(power), 1e-300))
    return np.array(shares)


def answer_to_pair(subject: Subject, case: FieldCase) -> ndarray:
    """Of a pair's input across k: its square, and its product with the model's answer and with the truth: (3, shell)."""
    assert subject.pairs is not None
    given, truth = subject.pairs[case.number]
    answer, grid = subject.model(given).to("cpu"), subject.grid
    sent = split(given.part(case.input)[1].double(), grid)[1]
    products = [sent, *(split(field.part(case.output)[1].double(), grid)[1] for field in (answer, truth))]
    return np.stack([_shared(sent, one, grid) for one in products])


def held_and_answered(subject: Subject, input: str, output: str) -> dict[str, tuple[tuple[str, ...], ndarray, dict[str, str]]]:
    """Variables of a dataset: `held_by_pairs`, and `answer_to_pair` where they hold enough to have been learned."""
    held = subject.shared(f"power across k in the pairs' {input}", lambda: held_by_pairs(subject, input))
    variables: dict[str, tuple[tuple[str, ...], ndarray, dict[str, str]]] = {"held": (("pair",), held, {"units": ""})}
    if held.size and held.mean() >= HELD:
        products = np.stack(subject.map(answer_to_pair, [FieldCase(number, input, output) for number in range(len(held))]))
        variables["product"] = (("product",), np.array(PRODUCTS), {})
        variables["pair_products"] = (("pair", "product", "shell"), products, {"units": ""})
    return variables


def gain(response: xr.DataArray) -> xr.DataArray:
    """What comes out across k at the driving mode, in whichever direction."""
    across = response.sel(harmonic=1, direction=[name for name in response.direction.values if name != "along"])
    return (abs(across) ** 2).sum("direction", skipna=False) ** 0.5


def climbed(data: xr.Dataset) -> tuple[ndarray, ndarray, ndarray]:
    """Levels of the first wave in order, its gain, and the amplitude that appears along k over the input's: (rung,) each."""
    levels = np.append(data.rung.values, float(data.attrs["level"]))
    order = np.argsort(levels)
    gains = np.append(gain(data.ladder_response).values, gain(data.response).values[0, 0])
    along = np.sqrt(np.append(data.ladder_longitudinal.values, data.longitudinal.values[0, 0]))
    return levels[order], gains[order], along[order]


def field_share(data: xr.Dataset) -> xr.DataArray:
    """Share of the power of the answers to the random fields that lies along k: (shell,)."""
    along, across = data.field_along.mean("field"), data.field_across.mean("field")
    return along / (along + across).clip(min=1e-300)


def weighed(sent: ndarray, product: ndarray) -> float:
    """The rms of the response product / sent over the shells, weighed by the power sent: (shell,) each."""
    known = sent > 0
    return math.sqrt(float((product[known] ** 2 / sent[known]).sum() / sent[known].sum()))


def weighed_error(rows: ndarray) -> ndarray:
    """The error of a response over the true response, of input^2, input x error and input x truth: (pair, 3, shell) -> ()."""
    sent, off, truth = rows.sum(0)
    return np.asarray(weighed(sent, off) / weighed(sent, truth))


@dataclass(frozen=True)
class TrueAcross:
    """The true answers to a measurement's waves, where the simulator gave them; NaN elsewhere: (mode, polarisation) each.

    Attributes
    ----------
    response : DataArray, (mode, polarisation, harmonic, direction), complex
    size : DataArray
        What an error is relative to: the response at the driving mode, or a tenth of the largest one, to a longitudinal
        wave too, where it is smaller; 1 where all vanish.
    longitudinal : DataArray
        The root of `AcrossAnswer.longitudinal`.
    source : str
        Whose they are, in words.
    """

    response: xr.DataArray
    size: xr.DataArray
    longitudinal: xr.DataArray
    source: str

    def response_error(self, response: xr.DataArray) -> xr.DataArray:
        """Distance at the driving mode, in all directions, over the size."""
        off = abs(response - self.response).sel(harmonic=1) ** 2
        return off.sum("direction", skipna=False) ** 0.5 / self.size


def true_across(measured: Measured) -> TrueAcross | None:
    """The simulator's own answers; None where it gave none to any of these waves."""
    if "simulator" not in measured:
        return None
    run, who = measured["simulator"], str(measured["model"].attrs["simulator"])
    right = (abs(run.response.sel(harmonic=1)) ** 2).sum("direction", skipna=False) ** 0.5
    known = np.isfinite(right)
    if not known.any():
        return None
    largest = max(float(right.max()), float(np.nan_to_num(abs(run.growing.values)).max()))
    size = right.clip(min=FAINT * largest) if largest else xr.ones_like(right).where(known)
    source = f"{who}'s own answers" if known.all() else f"{who}'s answers to {int(known.sum())} of them"
    return TrueAcross(run.response, size, run.longitudinal**0.5, source)
