"""What a network's structure is, as far as watching it run can tell."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode


class _Sides(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the smallest side of every grid that a convolution or pooling gives, whatever module or function calls it."""

    def __init__(self, dimensions: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.dimensions, self.seen = dimensions, list[int]()

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = operation(*args, **(kwargs or {}))
        grid = answer[0] if isinstance(answer, tuple) else answer
        if "conv" in operation.name() or "pool" in operation.name():
            # torch pools a line as a plane of one row.
            sides = grid.shape[3:] if self.dimensions == 3 and grid.ndim == 4 and grid.shape[2] == 1 else grid.shape[2:]
            if len(sides) == self.dimensions - 2 and max(sides) > 1:
                self.seen.append(min(sides))
        return answer


def precision_of(network: object) -> torch.dtype:
    """The real dtype that a network computes in: that of its first parameter in floating point, complex ones too; else float32."""
    if isinstance(network, nn.Module):
        for parameter in network.parameters():
            if parameter.is_floating_point() or parameter.is_complex():
                return parameter.dtype.to_real()
    return torch.float32


def stride_of(network: Callable[[Tensor], Tensor], sample: Tensor, padding: int = 0) -> int:
    """Total stride: the side of the input over the side of the smallest grid that a convolution or pooling gives.

    An estimate. Grids of a single point, as global pooling makes, do not count. 1 where it cannot be told. With `padding`
    cells added around the field the inner grids are a little too large, and the nearest power of two is taken.
    """
    sides = _Sides(sample.ndim)
    try:
        with torch.no_grad(), sides:
            network(sample)
    except Exception:  # a model that cannot be run at all says so, with its reason, when it is asked
        return 1
    side, smallest = min(sample.shape[2:]), min(sides.seen, default=math.inf)
    if smallest >= side:
        return 1
    if padding:
        between = math.sqrt((side - 2 * padding) * side) / smallest
        return int(2 ** round(math.log2(max(1.0, between))))
    return max(1, round(side / smallest))


def padding_of(network: Callable[[Tensor], Tensor], sample: Tensor) -> int:
    """Cells to add around a periodic field on each side so that a network without padding gives back as many as it was meant to.

    0 where none is needed or nothing helps.
    """
    lost = _lost(network, sample, 0)
    # A strided network rounds, so what it loses on the larger box decides; small steps up find the box that suits.
    for padding in range(lost // 2, min(sample.shape[2:])) if lost > 0 and lost % 2 == 0 else ():
        if _lost(network, sample, padding) == 2 * padding:
            return padding
    return 0


def pad(values: Tensor, padding: int) -> Tensor:
    """Periodic copies of the field, `padding` cells on each side."""
    return nn.functional.pad(values, [padding] * 2 * (values.ndim - 2), mode="circular") if padding else values


def _lost(network: Callable[[Tensor], Tensor], sample: Tensor, padding: int) -> int:
    """Points a side that are missing from the answer to a padded sample; -1 where that cannot be told."""
    given = pad(sample, padding)
    try:
        with torch.no_grad():
            answer = network(given)
        lost = {a - b for a, b in zip(given.shape[2:], answer.shape[2:], strict=True)}
    except Exception:  # too small a box, or no tensor: no padding to be learned from it
        return -1
    return lost.pop() if len(lost) == 1 else -1
