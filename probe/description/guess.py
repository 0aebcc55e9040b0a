"""A description of a model that has none, from its weights. Physics (units, box, quantity, law) is never guessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from probe.description.parts import Call, Description
from probe.errors import InputError
from probe.fields import Quantity
from probe.grid import Grid

_POINTS = {1: 256, 2: 64, 3: 32}
_MOST_CHANNELS = 2**16  # more are no channels: a tensor in a file may claim any shape

# How a guess begins, and the key of a description that it is about.
_ABOUT = {
    "the grid is": "grid.shape",
    "the grid has": "grid.shape",
    "the box is periodic": "grid.boundary",
    "the box is": "grid.box",
    "the input is": "input.kind",
    "the output is": "output.kind",
    "the answer is item": "call.output",
    "the symmetries are": "symmetries",
    "the weights are": "weights",
    "made inputs are": "input.rms",
}


def about(guess: str) -> str:
    """The key that a guess is about, such as "grid.box"; empty for a sentence that is no guess of ours."""
    return next((key for beginning, key in _ABOUT.items() if guess.startswith(beginning)), "")


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
    return Likely(max(dimensions), *ends) if dimensions and ends and all(0 < n <= _MOST_CHANNELS for n in ends) else None


def guess_description(state: Mapping[str, Tensor], module: nn.Module | None = None) -> Description:
    """A description where nothing is known, each guess told in `guessed`.

    D channels on a D-dimensional grid are taken for one vector, else scalars; 32^3, 64^2 or 256 points, more if the network
    takes only multiples of its stride; periodic; box = N cells; of a tuple or dict that a module returns, the first item on that
    grid.

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
    points, item, channels_out = _first_answer(module, likely) or (_POINTS[likely.dimension], "", None)
    grid = Grid.cubic(points, points, likely.dimension)
    inputs = _quantities("input", likely.channels_in, grid)
    outputs = _quantities("output", channels_out or likely.channels_out, grid)
    guessed = [
        f"the grid is {likely.dimension}-dimensional, as the largest kernel among the weights suggests",
        f"the input is {_words(inputs, grid)}, as the first weights suggest",
        f"the output is {_words(outputs, grid)}, as {'its answer has' if channels_out else 'the last weights suggest'}",
        f"the grid has {points} points a side",
        "the box is periodic",
        f"the box is {points} cells wide (no unit of length is known)",
        "the symmetries are those of empty space",
        "made inputs are Gaussian fields with the spectrum k^-2",
    ]
    if item != "":
        guessed.append(f"the answer is item {item!r} of what the network returns, the first that is such a field")
    return Description(grid, inputs, outputs, call=Call(output=item), guessed=tuple(guessed))


def description_of_shapes(inputs: Sequence[Sequence[int | None]], outputs: Sequence[Sequence[int | None]]) -> Description | None:
    """A description of an exported network, by the shapes (batch, channel, *grid) that its file states.

    Grid and channels are known then, and what they mean is guessed, as in `guess_description`. None where they are not stated in
    full, or there is not one field in and one on the same grid out.
    """
    if len(inputs) != 1 or len(outputs) != 1 or not 3 <= len(inputs[0]) <= 5 or tuple(inputs[0][2:]) != tuple(outputs[0][2:]):
        return None
    sides = [side for side in inputs[0][2:] if side is not None and side > 1]
    channels_in, channels_out = inputs[0][1], outputs[0][1] if len(outputs[0]) > 1 else None
    if not channels_in or not channels_out or len(sides) < len(inputs[0]) - 2:
        return None
    grid = Grid(tuple(sides), tuple(map(float, sides)))
    given, answered = _quantities("input", channels_in, grid), _quantities("output", channels_out, grid)
    guessed = (
        f"the input is {_words(given, grid)}, as its number of channels suggests",
        f"the output is {_words(answered, grid)}, as its number of channels suggests",
        "the box is periodic",
        f"the box is {' x '.join(map(str, sides))} cells wide (no unit of length is known)",
        "the symmetries are those of empty space",
        "made inputs are Gaussian fields with the spectrum k^-2",
    )
    return Description(grid, given, answered, guessed=guessed)


def example_description() -> Description:
    """A description to be mended, for weights that tell nothing: one scalar on a square."""
    guessed = (
        "the grid is a square of 64 points a side: an example, since nothing in the weights tells",
        "the input is one scalar: an example",
        "the output is one scalar: an example",
    )
    return Description(Grid.cubic(64, 64, 2), (Quantity("input"),), (Quantity("output"),), guessed=guessed)


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


def _first_answer(module: nn.Module | None, likely: Likely) -> tuple[int, str | int, int] | None:
    """The first number of points from the usual one up at which the network gives back a field as large as its input.

    With the item of the answer that is this field ("" for the answer itself), and its channels; None where there is none.
    """
    if module is None:
        return None
    usual = _POINTS[likely.dimension]
    modes = [(m, m.training) for m in module.modules()]
    module.eval()
    try:
        for points in range(usual, usual + usual // 2):
            for item, values in _items(_answer(module, likely, points)).items():
                if isinstance(values, Tensor) and tuple(values.shape[2:]) == (points,) * likely.dimension:
                    return points, item, values.shape[1]
    finally:
        for part, training in modes:
            part.training = training
    return None


def _answer(module: nn.Module, likely: Likely, points: int) -> Any:
    like = next((p for p in module.parameters() if p.is_floating_point()), torch.empty(0))
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            return module(like.new_zeros((1, likely.channels_in, *(points,) * likely.dimension)))
    except Exception:  # a network may raise anything on a size that it cannot take: that is the answer
        return None


def _items(answer: Any) -> Mapping[str | int, Any]:
    """What a network returned, by the `output` that a description would choose it with."""
    if isinstance(answer, (tuple, list)):
        return dict(enumerate(answer))
    if isinstance(answer, Mapping):
        return {key: value for key, value in answer.items() if isinstance(key, str)}
    return {"": answer}
