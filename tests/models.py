"""Small models that tests build for themselves, on top of the zoo's oracles and defects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from probe.description import DataSource
from probe.grid import Grid
from probe.model import FieldModel
from probe.waves import gaussian_field
from probe.zoo import oracles

CUBE = Grid.cubic(16, 64.0, unit="Mpc/h")
SQUARE = Grid.cubic(32, 100.0, dimension=2, unit="km")
LINE = Grid.cubic(64, 1.0, dimension=1, unit="m")


class Function(nn.Module):
    """A module of a plain function, so that it may stand where a network is expected."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, values: Tensor) -> Tensor:
        return self.function(values)


def on(grid: Grid, function: Callable[[Tensor], Tensor] | nn.Module, name: str = "made") -> FieldModel:
    """A float64 model: of displacements on a cube, of one scalar elsewhere."""
    network = function if isinstance(function, nn.Module) else Function(function)
    make = oracles.displacement_model if grid.dimension == 3 else oracles.scalar_model
    return make(network, grid, name)


def with_pairs(model: FieldModel, folder: Path, truth: Callable[[Tensor], Tensor], count: int = 4) -> FieldModel:
    """The model with pairs of Gaussian inputs and a known truth on disk."""
    grid, width = model.grid, model.description.channels_in
    for index in range(count):
        generator = torch.Generator().manual_seed(index)
        given = gaussian_field(grid, lambda k: k**-2, generator, width)[None]
        np.save(folder / f"in_{index}.npy", given[0].numpy())
        np.save(folder / f"out_{index}.npy", truth(given)[0].numpy())
    described = replace(model.description, data=DataSource(str(folder), "in_*.npy", "out_*.npy"))
    return FieldModel(model.network, described, dtype=torch.float64)
