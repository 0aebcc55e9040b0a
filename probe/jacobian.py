"""The Jacobian of a model in Fourier space, H(k -> k').

With J(b) the Jacobian about a background b and p a unit polarisation, H(k -> k') is the amplitude at k' of what a wave at k
becomes: J(b) [p exp(i k.x)] = sum over k' of H(k -> k') exp(i k'.x), the sum over the whole lattice. J is real and so takes a
cosine and a sine, y_c = J [p cos k.x] and y_s = J [p sin k.x], and with Y(k') = (1/N^D) sum_x y(x) exp(-i k'.x)

    H(k -> k') = Y_c(k') + i Y_s(k'),   H(-k -> k') = conj H(k -> -k') = Y_c(k') - i Y_s(k').

Two derivatives give a column: all k' to which one k goes, and all to which -k goes. Of a half transform's power,
|H(k -> q)|^2 + |H(k -> -q)|^2 = 2 (|Y_c(q)|^2 + |Y_s(q)|^2), and over all k' it is the mean over x of |y_c|^2 + |y_s|^2 (Parseval).

Let S_t move a field by t cells. If f commutes with S_t, J(S_t b) = S_t J(b) S_-t, and since S_t exp(i k.x) = exp(-i k.t) exp(i k.x)
(k.t = 2 pi n.t/N)

    H_{S_t b}(k -> k') = H_b(k -> k') exp(-i (k' - k).t).

So moving the background, and only it, turns every term by a phase, except the diagonal. Over a set T of shifts the mean is
H_b(k -> k') c(k' - k), c(d) = mean over T of exp(-i d.t): wherever c vanishes, whatever survives the mean is broken translation,
exactly, about a single background. Two sets are used, v being 1 along every axis on which all places are to be alike, else 0:

- T = {0, v, 2 v, ..., (s-1) v}. At the rungs d = (N/s) j of a stride s, c(d) = mean_m exp(-2 pi i m j.v/s) = 0 unless j.v is a
  multiple of s. The s^D shifts within one stride's cell reach these rungs too. A network that is exact under multiples of s has
  the same H there about b and S_{s m} b, so that the mean over one cell is then the mean over all N^D shifts.
- T = {0, (N/2) v}: c(d) = 0 where d.v is odd. N/2 being a multiple of the stride, aliasing does not show: what survives there
  knows its place in the box.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy import ndarray
from torch import Tensor

from probe import spectra
from probe.contract import Subject
from probe.derivatives import derivative_of
from probe.equivariance import test_field
from probe.errors import InputError
from probe.fields import Field, Quantity, place_of
from probe.grid import Grid
from probe.polarisation import frame
from probe.response import FAINT, between
from probe.transforms import translate
from probe.waves import phase_of

Mode = tuple[int, ...]
Shift = tuple[int, ...]

_AT_ONCE = 2**23  # numbers in the fields held at once, unless a single pair of them has more


@dataclass(frozen=True)
class Wave:
    """A unit wave p exp(i k.x): its mode, and its polarisation's place in `polarisations`."""

    mode: Mode
    polarisation: int = 0


@dataclass(frozen=True)
class ColumnsCase:
    """Columns of the Jacobian about one background, averaged over shifts of it.

    Attributes
    ----------
    background : int
        Place of the test field.
    waves : tuple of Wave
    shifts : tuple of tuple of int
        In cells along each axis.
    rungs : tuple of tuple of int
        The k' - k, as integer modes, at which the average over the shifts is looked at.
    input, output : str
    """

    background: int
    waves: tuple[Wave, ...]
    shifts: tuple[Shift, ...]
    rungs: tuple[Mode, ...]
    input: str = ""
    output: str = ""


@dataclass(frozen=True)
class Column:
    """What one wave becomes.

    Attributes
    ----------
    diagonal : ndarray, (polarisations of the output,), complex
        H(k -> k), averaged over the shifts.
    rungs : float
        Power on the rungs, sum of |mean of H|^2 over them: what survives the average.
    single : float
        The same about one background, mean of sum |H|^2.
    total : float
        Power of the whole column, |H|^2 over all k', averaged over the shifts.
    power : ndarray, (shells,)
        The like of each shell of k'; modes beyond the last shell, and k' = 0, are in `total` alone.
    """

    diagonal: ndarray
    rungs: float
    single: float
    total: float
    power: ndarray


def columns(subject: Subject, case: ColumnsCase) -> list[Column]:
    """Columns of the Jacobian for each wave of a case."""
    grid, (_, answered) = subject.grid, between(subject, case.input, case.output)
    kept = {wave: _Kept(wave.mode, case.rungs, answered, grid) for wave in case.waves}
    for wave, _, pair in _pushed(subject, case):
        kept[wave].add(pair)
    return [kept[wave].column() for wave in case.waves]


def places(subject: Subject, case: ColumnsCase) -> list[float]:
    """Power that survives the average over two shifts half a box apart, of each wave.

    Half of all k' are looked at, those with (k' - k).v odd, and what survives there is counted twice.
    """
    grid, found = subject.grid, []
    moved = [int(cells != 0) for cells in case.shifts[-1]]
    for wave, rows in itertools.groupby(_pushed(subject, case), lambda row: row[0]):
        mean = torch.stack([pair for _, _, pair in rows]).mean(0)
        transform = spectra.fourier(mean, grid) / grid.size
        apart = sum((one * (n - own) for one, n, own in zip(moved, grid.modes(mean.device), wave.mode, strict=True)))
        power = _paired(transform) * (apart % 2) * grid.hermitian_weight(mean.device)
        found.append(2 * float(power.sum()))
    return found


def _pushed(subject: Subject, case: ColumnsCase) -> Iterator[tuple[Wave, Shift, Tensor]]:
    """J [p cos k.x] and J [p sin k.x] of every wave about every shifted background: (2, channel, *grid), float64."""
    derive, grid, (source, answered) = derivative_of(subject), subject.grid, between(subject, case.input, case.output)
    given = test_field(subject, case.background)[0].to(derive.model.device, derive.model.physical_dtype)
    rows = list(itertools.product(case.waves, case.shifts))
    size = max(1, _AT_ONCE // (4 * given.values.numel()))
    for start in range(0, len(rows), size):
        some = rows[start : start + size]
        moved = [translate(given, shift).values.expand(2, *given.values.shape[1:]) for _, shift in some]
        sent = [_carriers(wave, place_of(given.quantities, source.name), given) for wave, _ in some]
        answers = Field(derive(torch.cat(moved), torch.cat(sent)), grid, subject.description.outputs)
        pairs = answers.part(answered.name)[1].double().unflatten(0, (len(some), 2))
        yield from ((wave, shift, pair) for (wave, shift), pair in zip(some, pairs, strict=True))


def _carriers(wave: Wave, place: int, like: Field) -> Tensor:
    """p cos k.x and p sin k.x in one quantity of a field that is zero elsewhere: (2, channel, *grid)."""
    quantity, part = like.parts()[place]
    phase = phase_of(wave.mode, like.grid, like.values.device)
    unit = polarisations(wave.mode, quantity, like.grid)[wave.polarisation].to(phase.device)
    result = like.values.new_zeros(2, *like.values.shape[1:])
    for row, turned in zip(result[:, part], (torch.cos(phase), torch.sin(phase)), strict=True):
        row[:] = unit.reshape(-1, *[1] * like.grid.dimension) * turned
    return result


def polarisations(mode: Sequence[int], quantity: Quantity, grid: Grid) -> Tensor:
    """Unit polarisations of a wave, the longitudinal one first, then those across it: (D, D), float64; (1, 1) of a scalar."""
    if not quantity.is_vector:
        return torch.ones(1, 1, dtype=torch.float64)
    if grid.dimension == 1:
        return grid.direction_of(mode)[None]
    return torch.roll(frame(mode, 0, grid), 1, 0)  # along k comes last in a wave's own frame


class _Kept:
    """Running sums over shifts of one column."""

    def __init__(self, mode: Mode, rungs: Sequence[Mode], quantity: Quantity, grid: Grid) -> None:
        self.grid, self.count, self.basis = grid, 0, polarisations(mode, quantity, grid)
        self.modes = [mode, *[tuple(n + d for n, d in zip(mode, rung, strict=True)) for rung in rungs]]
        self.mean, self.single, self.total, self.power = torch.zeros(()), 0.0, 0.0, torch.zeros(())

    def add(self, pair: Tensor) -> None:
        """Add J [p cos k.x] and J [p sin k.x] about one background."""
        transform = spectra.fourier(pair, self.grid) / self.grid.size
        at = _at(transform, self.modes, self.grid).cpu()
        self.mean = self.mean + at
        self.single += float(at[:, 1:].abs().square().sum())
        self.total += float(pair.square().sum()) / self.grid.size
        self.power = self.power + self.grid.shells(pair.device).sum(_paired(transform), self.grid).cpu()
        self.count += 1

    def column(self) -> Column:
        mean = self.mean / self.count
        rungs = float(mean[:, 1:].abs().square().sum())
        diagonal = (self.basis.to(mean.dtype) @ mean[:, 0]).numpy()
        return Column(diagonal, rungs, self.single / self.count, self.total / self.count, (self.power / self.count).numpy())


def _paired(transform: Tensor) -> Tensor:
    """Mean of |H(k -> q)|^2 and |H(k -> -q)|^2 over the half transform, summed over channels: (*half_shape,)."""
    return torch.view_as_real(transform).square().sum((0, 1, -1))


def _at(transform: Tensor, modes: Sequence[Mode], grid: Grid) -> Tensor:
    """H(k -> k') of a pair of half transforms: (2, channel, *half_shape) -> (channel, modes), complex."""
    shape = torch.tensor(grid.shape)
    index = torch.tensor(modes) % shape
    flipped = index[:, -1] > grid.shape[-1] // 2
    index = torch.where(flipped[:, None], -index % shape, index).to(transform.device)
    found = transform[(slice(None), slice(None), *index.T)]
    found = torch.where(flipped.to(found.device), found.conj(), found)
    return found[0] + 1j * found[1]


def period_of(subject: Subject, along: Sequence[int], stride: int | None = None) -> int:
    """The stride s whose rungs are looked at: as given, the network's, or where it shows none 4, 2 or 3; 0 if none fits the grid.

    Parameters
    ----------
    along : sequence of int
        1 along every axis that is looked at, else 0.

    Raises
    ------
    InputError
        If the one given does not divide the grid.
    """
    sides = [points for points, asked in zip(subject.grid.shape, along, strict=True) if asked]
    fitting = [s for s in (stride or subject.model.stride, 4, 2, 3) if s > 1 and not any(points % s for points in sides)]
    if stride and stride not in fitting:
        raise InputError(f"the stride {stride} does not divide the grid {subject.grid.shape}; give one that divides it")
    return fitting[0] if fitting else 0


def shifts_of(period: int, along: Sequence[int], cell: bool) -> tuple[Shift, ...]:
    """The shifts by m v, m < s, or with `cell` all within one stride; no shift alone where there is no stride."""
    if not cell:
        return tuple(tuple(m * one for one in along) for m in range(max(period, 1)))
    return tuple(itertools.product(*[range(period) if one and period else range(1) for one in along]))


def rungs_of(period: int, along: Sequence[int], cell: bool, grid: Grid) -> tuple[Mode, ...]:
    """The k' - k = (N/s) j at which the average over `shifts_of` vanishes for every model that treats all places alike."""
    steps = itertools.product(*[range(period) if one and period else range(1) for one in along])
    told = [j for j in steps if any(j) and (cell or sum(j) % period)]
    return tuple(tuple(points // period * n for points, n in zip(grid.shape, j, strict=True)) for j in told)


def half_box(along: Sequence[int], grid: Grid, stride: int) -> tuple[Shift, ...]:
    """No shift, and one by half of the box along every axis asked; empty where that is no whole number of strides."""
    if any(points % (2 * stride) for points, one in zip(grid.shape, along, strict=True) if one):
        return ()
    return ((0,) * grid.dimension, tuple(points // 2 * one for points, one in zip(grid.shape, along, strict=True)))


def tabulate(
    found: Sequence[Sequence[Column]], turned: Sequence[Sequence[Column]], placed: Sequence[Sequence[float]], unit: str
) -> dict[str, Any]:
    """Columns as variables of a dataset, with their units; powers are squares of the response.

    Parameters
    ----------
    found : backgrounds, each with a column of every mode
    turned, placed : of the first background, waves across k and what `places` gives; empty where they were not asked
    unit : str
        Of the response.
    """

    def of(part: str) -> ndarray:
        return np.array([[getattr(column, part) for column in each] for each in found])

    square = {"units": f"({unit})^2" if unit else ""}
    variables: dict[str, Any] = {
        "response": (("background", "mode", "out"), of("diagonal"), {"units": unit}),
        "shell_power": (("background", "mode", "shell"), of("power"), square),
    }
    variables |= {f"{part}_power": (("background", "mode"), of(part), square) for part in ("rungs", "single", "total")}
    if turned:
        variables["across"] = (("mode", "out"), np.array([column.diagonal for column in turned[0]]), {"units": unit})
    if placed:
        variables["place"] = ("mode", np.array(placed[0]), square)
    return variables


def shares(data: xr.Dataset) -> dict[str, ndarray]:
    """Shares of each column's power: on the diagonal, surviving on the rungs, and coupled to other k: (background, mode) each.

    Parameters
    ----------
    data : Dataset
        `response` (background, mode, out), `total_power` and `rungs_power` (background, mode).
    """
    total, diagonal, rungs = data.total_power.values, (abs(data.response.values) ** 2).sum(-1), data.rungs_power.values
    coupled, own = np.maximum(total - diagonal - rungs, 0.0), np.maximum(total, 1e-300)
    return {"diagonal": diagonal / own, "survives": rungs / size(data), "coupled": coupled / own}


def size(data: xr.Dataset) -> ndarray:
    """What broken symmetry is relative to, a power: that of the column, of a faint one a tenth of the largest amplitude.

    The largest of all columns, also of waves across k where `across` (mode, out) holds their diagonal.
    """
    total = data.total_power.values
    across = (abs(data.across.values) ** 2).sum(-1).max() if "across" in data else 0.0
    return np.maximum(total, FAINT**2 * np.maximum(total.max(1, keepdims=True), across))


def misplaced(data: xr.Dataset) -> ndarray:
    """Share of each column's power that survives half a box, about the first background: (mode,); 0 where that was not asked."""
    return data.place.values / size(data)[0] if "place" in data else np.zeros(data.sizes["mode"])
