"""Networks that were written to a file for a fixed number of samples, made to take any number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten


class FixedBatch(nn.Module):
    """A network that takes just `size` samples at once, as one that takes any number."""

    def __init__(self, network: nn.Module, size: int) -> None:
        super().__init__()
        self.network, self.size = network, size

    def forward(self, *arguments: Any, **keywords: Any) -> Any:
        """The network's answer to as many samples as are given."""
        return in_parts(self.size, self.network, *arguments, **keywords)


def in_parts(size: int, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """The answer of a function that takes just `size` samples at once; the last part is filled up with its last sample.

    Every tensor among the arguments, and in the answer, has the samples along its first axis.
    """
    leaves, form = tree_flatten((arguments, keywords))
    count = max((len(leaf) for leaf in leaves if isinstance(leaf, Tensor)), default=0)
    answers = []
    for start in range(0, count, size):
        part = [_filled(leaf[start : start + size], size) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        given, named = tree_unflatten(part, form)
        answers.append(function(*given, **named))
    return tree_map(lambda *parts: torch.cat(parts)[:count] if isinstance(parts[0], Tensor) else parts[0], *answers)


def _filled(samples: Tensor, size: int) -> Tensor:
    missing = size - len(samples)
    return torch.cat([samples, samples[-1:].expand(missing, *samples.shape[1:])]) if missing else samples
