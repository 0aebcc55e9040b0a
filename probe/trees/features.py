"""Features of a field around points of it, and what stands at the points: spheres of density and shear (`probe.spheres`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from probe import spheres
from probe.contract import Subject
from probe.equivariance import PairCase, test_field
from probe.fields import Field
from probe.grid import Grid
from probe.scalars import read

KINDS = ("density contrast", "ellipticity of the shear", "prolateness of the shear")


@dataclass(frozen=True)
class Sampling:
    """What is taken of every simulation.

    Attributes
    ----------
    input, output : str
        Names of the quantities that the features are made of and that is predicted.
    radii : tuple of float
        Of the spheres, in the grid's unit.
    points : int
        Points a simulation, drawn at random.
    growth : float
        What the input is multiplied with before the answer's change against it is taken; 0: the answer itself is predicted.
    """

    input: str
    output: str
    radii: tuple[float, ...]
    points: int
    growth: float

    def draw(self, subject: Subject, case: PairCase) -> dict[str, ndarray]:
        """Features (point, feature), and the target and the answer's rms, of the model ("") and of the truth ("true_")."""
        grid, (given, _) = subject.grid, test_field(subject, case.index)
        density = scalar_of(given, self.input)
        draw = np.random.default_rng(subject.rng(f"points {case.index}").initial_seed())
        points = torch.from_numpy(draw.choice(grid.size, min(self.points, grid.size), replace=False))
        found = {"features": features(density.to(subject.model.device), grid, self.radii, points)}
        fields = {"": subject.model(given).to("cpu")} | ({"true_": subject.pairs[case.index][1]} if subject.pairs else {})
        for prefix, field in fields.items():
            answer = scalar_of(field, self.output)
            target = answer - self.growth * density if self.growth else answer
            found[prefix + "target"] = target.flatten()[points].numpy()
            found[prefix + "size"] = answer.std().numpy()
        return found


def scalar_of(field: Field, name: str) -> Tensor:
    """A quantity as a scalar, a vector by -div, which of a displacement is the overdensity: (1, *grid.shape), float64."""
    quantity, values = field.part(name)
    return read(values.double(), "-div" if quantity.is_vector else "", field.grid)[:, 0]


def kinds(grid: Grid) -> tuple[str, ...]:
    """The features that there are on a grid: on a line there is no shear, in a plane no prolateness."""
    return KINDS[: grid.dimension]


def features(density: Tensor, grid: Grid, radii: Sequence[float], points: Tensor) -> ndarray:
    """The features at some points, kind by kind and radius by radius: (point, kind * radius)."""
    points = points.to(density.device)
    found = [spheres.contrast(density, grid, radii, points)]
    if grid.dimension > 1:
        eigenvalues = spheres.shear(density, grid, radii, points)
        found += [spheres.ellipticity(eigenvalues), spheres.prolateness(eigenvalues)][: grid.dimension - 1]
    return torch.cat(found, 1)[0].T.cpu().numpy()


@dataclass(frozen=True)
class Group:
    """Features that are exchanged together: density or shear in spheres of one octave of radii."""

    name: str
    shear: bool
    features: tuple[int, ...]


def groups(grid: Grid, radii: Sequence[float]) -> list[Group]:
    """Density first, then the shear, each from small spheres to large ones."""
    octave = np.floor(np.log2(np.array(radii) / radii[0]) + 1e-9).astype(int)
    found = []
    for word, family in (("density", range(1)), ("shear", range(1, len(kinds(grid))))):
        for band in np.unique(octave) if len(family) else ():
            places = np.flatnonzero(octave == band)
            ends = dict.fromkeys(f"{radii[place]:.2g}" for place in (places[0], places[-1]))
            name = f"{word}, {' to '.join(ends)}"
            found.append(Group(name, word == "shear", tuple(int(kind * len(radii) + i) for kind in family for i in places)))
    return found
