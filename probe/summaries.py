"""Summaries of the input fields, quantities of each pair where no table says what a latent variable might know.

Of the first input field, read as one scalar (`probe.scalars`):

- its mean, standard deviation and largest value;
- the power in octaves of k, as ln P: (sample, band);
- in periodic boxes, in spheres of radius R: the standard deviation sigma(R) of the field seen through the sphere; the peak height
  nu(R) = max (f_R - mean) / sigma(R); with two axes or more the tidal ellipticity t_1 - t_D at that peak, with three its
  prolateness 3 (t_1 + t_3), both over sigma(R) (`probe.spheres`).

Inputs that are numbers are quantities themselves. Moments of a field are those of the box that is seen, without a correction for
what varies on larger scales.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from probe import scalars, spectra, spheres
from probe.contract import Subject
from probe.data.known import Coordinate, Known
from probe.fields import Field, Quantity
from probe.grid import Grid

RADII = 4


def of_inputs(subject: Subject) -> list[Known]:
    """The quantities of all pairs' inputs, computed once a run.

    Returns
    -------
    list of Known
        Empty without pairs.
    """
    return subject.shared("quantities of the inputs", lambda: _of_inputs(subject))


def _of_inputs(subject: Subject) -> list[Known]:
    pairs = subject.pairs
    if pairs is None:
        return []
    rows = [_of_field(subject, pairs.given(index)) for index in range(len(pairs))]
    return [
        Known(name, np.stack([row[name][0] for row in rows]), unit, coordinate) for name, (_, unit, coordinate) in rows[0].items()
    ]


Row = dict[str, tuple[ndarray, str, Coordinate | None]]


def _of_field(subject: Subject, given: Field) -> Row:
    """Everything of one input: values, unit and coordinate by name."""
    row: Row = {}
    fields = [(quantity, channels) for quantity, channels in given.parts() if not quantity.is_number]
    for quantity, channels in given.parts():
        if quantity.is_number:
            for place, value in enumerate(given.values[0, channels].reshape(channels.stop - channels.start, -1)[:, 0]):
                name = quantity.name if channels.stop - channels.start == 1 else f"{quantity.name} {place}"
                row[name] = np.array(float(value)), quantity.unit, None
    if fields:
        quantity, channels = fields[0]
        how = scalars.reading(subject, quantity)
        scalar = scalars.read(given.values[:, channels].double(), how, given.grid)
        row |= _of_scalar(scalar, given.grid, str(scalars.facts(subject, quantity)["output"]), _unit(subject, quantity))
    return row


def _unit(subject: Subject, quantity: Quantity) -> str:
    return str(scalars.facts(subject, quantity)["field_unit"])


def _of_scalar(values: Tensor, grid: Grid, name: str, unit: str) -> Row:
    """Of one scalar field (1, 1, *grid.shape)."""
    moments = {"mean": values.mean(), "standard deviation": values.std(correction=0), "largest value": values.max()}
    row: Row = {f"{word} of {name}": (moment.cpu().numpy(), unit, None) for word, moment in moments.items()}
    where, power = _bands(values, grid)
    if len(where):
        row[f"ln P of {name}"] = power, "", Coordinate("k", grid.inverse_unit, where)
    if grid.boundary == "periodic":
        radii = spheres.scales(grid, RADII)
        at = Coordinate("R", grid.unit, np.array(radii))
        units = {"sigma(R)": unit}
        row |= {f"{word} of {name}": (of, units.get(word, ""), at) for word, of in _in_spheres(values[:, 0], grid, radii)}
    return row


def _bands(values: Tensor, grid: Grid) -> tuple[ndarray, ndarray]:
    """Mean k and ln of the mean power of the modes of each octave of k, from the fundamental upwards."""
    shells = grid.shells(values.device)
    power, k, modes = (
        x.cpu().numpy() for x in (spectra.power(spectra.windowed(values, grid), grid)[0], shells.wavenumber, shells.modes)
    )
    octave = np.floor(np.log2(k / grid.fundamental) + 0.5).astype(int)
    bands = [octave == band for band in np.unique(octave)]
    where = np.array([np.average(k[some], weights=modes[some]) for some in bands])
    mean = np.array([np.average(power[some], weights=modes[some]) for some in bands])
    return where, np.log(np.maximum(mean, np.finfo(float).tiny))


def _in_spheres(field: Tensor, grid: Grid, radii: tuple[float, ...]) -> Iterator[tuple[str, ndarray]]:
    """What is seen in spheres, a number a radius: (1, *grid.shape) -> name, (radius,)."""
    seen = spheres.contrast(field, grid, radii).flatten(2)[0]
    off = seen - seen.mean(1, keepdim=True)
    sigma = off.square().mean(1).sqrt()
    height, place = off.max(1)
    # What the sphere leaves nothing of has no peak.
    safe = torch.where(sigma > 1e-12 * field.abs().max(), sigma, torch.full_like(sigma, torch.inf))
    yield "sigma(R)", sigma.cpu().numpy()
    yield "peak height", (height / safe).cpu().numpy()
    if grid.dimension == 1:
        return
    at = [spheres.shear(field, grid, radii[i : i + 1], place[i : i + 1])[:, 0] for i in range(len(radii))]
    eigenvalues = torch.stack(at, 1)
    names = {"ellipticity at the peak": spheres.ellipticity}
    if grid.dimension == 3:
        names["prolateness at the peak"] = spheres.prolateness
    for name, of in names.items():
        yield name, (of(eigenvalues)[0, :, 0] / safe).cpu().numpy()
