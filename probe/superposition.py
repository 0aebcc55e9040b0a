"""What a map makes of a sum of fields beyond what it makes of each: f(x + y) - f(x) - f(y) + f(0), about the field at rest, 0.

It vanishes for every map that is linear, up to a constant. A second order that goes as B(x, x) leaves 2 B(x, y), whatever else
it makes of x and of y; so does f(b + x + y) - f(b + x) - f(b + y) + f(b) on any background b, here rest. With x and y the long and
the short waves of one field, long waves are the background that the short ones live on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from numpy import ndarray
from torch import Tensor

from probe import spectra, waves
from probe.contract import Subject
from probe.equivariance import test_field
from probe.fields import Field
from probe.grid import Grid
from probe.ladder import LadderErrors

# Below this share of the answer a remainder is held against that share: there is nothing left to be relative to.
FAINT = 0.01
SPLITS = ("long and short waves", "two inputs")


@dataclass(frozen=True)
class SumCase:
    """A sum of two fields, asked at several strengths.

    Attributes
    ----------
    split : str
        One of SPLITS: the two halves of one test field, or two test fields, each over sqrt(2) so that the sum is as large as one.
    field : int
        The test field's place.
    strengths : tuple of float
        What both are multiplied with; 1 is the data as they are.
    output : str
        Name of the quantity looked at; empty for the first field.
    """

    split: str
    field: int
    strengths: tuple[float, ...]
    output: str = ""


@dataclass(frozen=True)
class Remainder:
    """What is left of a sum at each strength.

    Attributes
    ----------
    size, whole : ndarray, (strength,)
        rms of f(x + y) - f(x) - f(y) + f(0) and of f(x + y) - f(0).
    plane : ndarray, (strength, component, *first two sides)
        The remainder through the middle of the box; all of it in one and two dimensions.
    """

    size: ndarray
    whole: ndarray
    plane: ndarray


def superpose(subject: Subject, case: SumCase) -> Remainder:
    """Ask both fields alone and together, at each strength: 1 + 3 passes a strength."""
    first, second = summands(subject, case)
    nothing = _ask(subject, torch.zeros_like(first), case.output)
    rows = []
    for strength in case.strengths:
        x, y = strength * first, strength * second
        both = _ask(subject, x + y, case.output)
        left = both - _ask(subject, x, case.output) - _ask(subject, y, case.output) + nothing
        rows.append((_rms(left), _rms(both - nothing), _plane(left, subject.grid)))
    size, whole, plane = zip(*rows, strict=True)
    return Remainder(np.array(size), np.array(whole), np.stack(plane))


def summands(subject: Subject, case: SumCase) -> tuple[Tensor, Tensor]:
    """x and y, measured from rest: (1, channel, *grid.shape) each, float64."""
    one = _from_rest(test_field(subject, case.field)[0])
    if case.split == SPLITS[0]:
        return halves(one)
    # Another field of the data where there is one, else a made one.
    several = subject.pairs is not None and 1 < len(subject.pairs) > case.field
    place = (case.field + 1) % len(subject.pairs) if several and subject.pairs else case.field + 1
    other = _from_rest(test_field(subject, place)[0])
    return one.values / math.sqrt(2), other.values / math.sqrt(2)


def halves(field: Field) -> tuple[Tensor, Tensor]:
    """The long and the short waves of each quantity, split at the shell that brings the sum of the power to one half.

    What is uniform goes with the long waves.
    """
    grid, long = field.grid, torch.zeros_like(field.values)
    shell = torch.round(grid.wavenumber() / grid.fundamental).long()
    for _, part in field.parts():
        modes = spectra.fourier(field.values[:, part], grid)
        power = modes.abs().square().sum((0, 1)) * grid.hermitian_weight()
        power[(0,) * grid.dimension] = 0
        total = torch.zeros(int(shell.max()) + 1, dtype=power.dtype).index_add_(0, shell.flatten(), power.flatten()).cumsum(0)
        last = int((total < total[-1] / 2).sum())
        long[:, part] = torch.fft.irfftn(modes * (shell <= last), s=grid.shape, dim=grid.axes)
    return long, field.values - long


def _from_rest(field: Field) -> Field:
    """A field less what each of its quantities is at rest, in float64."""
    rest = torch.cat([waves.at_rest(quantity, field.grid) for quantity in field.quantities], 1)
    return field.with_values(field.values.double().cpu() - rest)


def _ask(subject: Subject, raised: Tensor, output: str) -> Tensor:
    """The answer in one quantity to the field at rest with something added: (1, width, *grid.shape), float64."""
    described, grid = subject.description.inputs, subject.grid
    rest = torch.cat([waves.at_rest(quantity, grid) for quantity in described], 1)
    return subject.model(Field(rest + raised, grid, described)).part(output)[1].double()


def _rms(values: Tensor) -> float:
    return float(values.square().mean().sqrt())


def _plane(values: Tensor, grid: Grid) -> ndarray:
    middle = values[0, ..., grid.shape[2] // 2] if grid.dimension == 3 else values[0]
    return middle.float().cpu().numpy()


def share(data: xr.Dataset) -> ndarray:
    """The remainder over the answer, rms over fields, of a dataset of `remainder` and `whole`: (split, strength)."""
    remainder, whole = ((data[name] ** 2).mean("field").values for name in ("remainder", "whole"))
    return np.sqrt(remainder / np.maximum(whole, 1e-300))


def errors(data: xr.Dataset, truth: xr.Dataset, source: str) -> LadderErrors:
    """Shares of two subjects, and the rms of the difference of their remainders over the truth's on the `plane`: a row a split."""
    over = [dim for dim in data.plane.dims if dim not in ("split", "strength")]
    difference, size = (
        np.sqrt((values.astype(float) ** 2).mean(over).values) for values in (data.plane - truth.plane, truth.plane)
    )
    least = FAINT * np.sqrt((truth.whole**2).mean("field").values)
    values = difference / np.maximum(np.maximum(size, least), 1e-300)
    rows, strengths = [str(split) for split in data.split.values], data.strength.values
    return LadderErrors(rows, strengths, share(data), share(truth), values, np.zeros(len(strengths)), source)
