"""A description of a model that has none, from its weights. Physics (units, box, quantity, law) is never guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from probe.description.parts import Description
from probe.errors import InputError
from probe.fields import Quantity
from probe.grid import Grid

_POINTS = {1: 256, 2: 64, 3: 32}


@dataclass(frozen=True)
class Likely:
    """What the shapes of the weights suggest: dimension of the grid, channels in and out."""

    dimension: int
    channels_in: int
    channels_out: int

    def __str__(self) -> str:
        return f"likely {self.dimension}-dimensional, {self.channels_in} channels in and {self.channels_out} out"


def likely_channels(state: Mapping[str, Tensor], module: nn.Module | None = None) -> Likely | None:
    """Dimension and channels from the first and last weights; None where no tensor looks like a convolution's.

    The layers of a module say more than bare tensors, whose transposed convolutions look like plain ones.
    """
    dimensions = [t.ndim - 2 for t in state.values() if 3 <= t.ndim <= 5]
    ends = _ends_of_module(module) if module is not None else None
    ends = ends or _ends_of_state(state)
    # A pointwise convolution of a spectral network is often one-dimensional, whatever the field: the largest kernel counts.
    return Likely(max(dimensions), *ends) if dimensions and ends else None


def guess_description(state: Mapping[str, Tensor], module: nn.Module | None = None) -> Description:
    """A description where nothing is known, each guess told in `guessed`.

    D channels on a D-dimensional grid are taken for one vector, else scalars; 32^3, 64^2 or 256 points, more if the network
    takes only multiples of its stride; periodic; box = N cells.

    Raises
    ------
    InputError
        If the weights give no hint of a dimension.
    """
    likely = likely_channels(state, module)
    if likely is None:
        raise InputError(
            f"{len(state)} tensors were found and none looks like a convolution's, so the grid cannot be guessed; "
            "describe the model in a file and pass it with --spec"
        )
    points = _points_that_fit(module, likely)
    grid = Grid.cubic(points, points, likely.dimension)
    inputs, outputs = _quantities("input", likely.channels_in, grid), _quantities("output", likely.channels_out, grid)
    guessed = (
        f"the grid is {likely.dimension}-dimensional, as the largest kernel among the weights suggests",
        f"the input is {_words(inputs, grid)}, as the first weights suggest",
        f"the output is {_words(outputs, grid)}, as the last weights suggest",
        f"the grid has {points} points a side",
        "the box is periodic",
        f"the box is {points} cells wide (no unit of length is known)",
        "the symmetries are those of empty space",
        "made inputs are Gaussian fields with the spectrum k^-2",
    )
    return Description(grid, inputs, outputs, guessed=guessed)


def _ends_of_module(module: nn.Module) -> tuple[int, int] | None:
    convolution = nn.modules.conv._ConvNd
    layers = [m for m in module.modules() if isinstance(m, (convolution, nn.Linear))]
    if not layers:
        return None
    first, last = layers[0], layers[-1]
    entering = first.in_channels if isinstance(first, convolution) else first.in_features
    return entering, last.out_channels if isinstance(last, convolution) else last.out_features


def _ends_of_state(state: Mapping[str, Tensor]) -> tuple[int, int] | None:
    weights = [t for t in state.values() if t.ndim >= 2 and t.is_floating_point()]
    return (weights[0].shape[1], weights[-1].shape[0]) if weights else None


def _quantities(name: str, channels: int, grid: Grid) -> tuple[Quantity, ...]:
    if channels == grid.dimension and channels > 1:
        return (Quantity(name, "vector"),)
    return tuple(Quantity(name if channels == 1 else f"{name}_{i}") for i in range(channels))


def _words(quantities: tuple[Quantity, ...], grid: Grid) -> str:
    if quantities[0].is_vector:
        return f"one vector of {grid.dimension} components"
    return "one scalar" if len(quantities) == 1 else f"{len(quantities)} scalars"


def _points_that_fit(module: nn.Module | None, likely: Likely) -> int:
    """The first number of points from the usual one up at which the network gives back a field as large as its input."""
    usual = _POINTS[likely.dimension]
    if module is None:
        return usual
    modes = [(m, m.training) for m in module.modules()]
    module.eval()
    try:
        return next((n for n in range(usual, usual + usual // 2) if _keeps_size(module, likely, n)), usual)
    finally:
        for part, training in modes:
            part.training = training


def _keeps_size(module: nn.Module, likely: Likely, points: int) -> bool:
    like = next((p for p in module.parameters() if p.is_floating_point()), torch.empty(0))
    shape = (points,) * likely.dimension
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            answer = module(like.new_zeros((1, likely.channels_in, *shape)))
    except Exception:  # a network may raise anything on a size that it cannot take: that is the answer
        return False
    return isinstance(answer, Tensor) and tuple(answer.shape[2:]) == shape
