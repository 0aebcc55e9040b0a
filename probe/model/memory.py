"""How much memory a pass takes."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only


class _Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the tensors that are made and still alive, whatever made them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.alive: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tree_map_only(Tensor, lambda tensor: self._enter(tensor, counts=False), (args, kwargs))
        answer = operation(*args, **(kwargs or {}))
        tree_map_only(Tensor, self._enter, answer)
        return answer

    def _enter(self, tensor: Tensor, counts: bool = True) -> None:
        """A storage is entered once: views are no memory of their own, and what was there before counts nothing."""
        storage = tensor.untyped_storage()
        key = id(storage)
        if key not in self.alive:
            self.alive[key] = storage.nbytes() if counts else 0
            weakref.finalize(storage, self.alive.pop, key, None)
            self.peak = max(self.peak, sum(self.alive.values()))


def peak_memory(function: Callable[[Tensor], Any], values: Tensor) -> int:
    """Bytes of the tensors that a function makes on the way to its answer, at the moment when they are most, without gradients.

    What an operation uses within itself is not seen, nor what is no tensor.
    """
    ledger = _Ledger()
    with torch.no_grad(), ledger:
        function(values)
    return ledger.peak
