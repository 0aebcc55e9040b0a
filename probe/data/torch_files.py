"""Tensors that torch.save wrote, alone or in dicts and lists: mapped into memory, and nothing in the file is run."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from probe.data.stored import Stored, missing
from probe.errors import InputError

_DEPTH, _NAMES = 6, 1000


@contextmanager
def open_torch(path: Path, key: str) -> Iterator[Stored]:
    """A tensor of a .pt file; its name is the keys and places that lead to it, with / between."""
    found = _loaded(path)
    for part in filter(None, key.split("/")):
        found = _item(found, part)
    if not isinstance(found, Tensor):
        raise missing(path, key, list(islice(_names(_loaded(path)), _NAMES)), "tensor")
    if found.layout is not torch.strided or found.is_quantized or found.device.type != "cpu":
        raise InputError(f"{path}:{key} holds a {found.layout} tensor; save a dense one, tensor.to_dense()")
    tensor = found.detach().resolve_conj().resolve_neg()
    if tensor.dtype is torch.bfloat16 or "float8" in str(tensor.dtype):
        yield Stored(tuple(tensor.shape), np.dtype(np.float32), _Widened(tensor))
    else:
        array = tensor.numpy()
        yield Stored(array.shape, array.dtype, array)


class _Widened:
    """Numbers of a kind that numpy does not know, as float32, which holds them all."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def __getitem__(self, index: Any) -> np.ndarray:
        return self.tensor[index].float().numpy()


def _loaded(path: Path) -> Any:
    if not zipfile.is_zipfile(path):
        raise ValueError("no archive of torch's, or the old kind, which cannot be read piece by piece")
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as fault:
        raise InputError(f"{path} holds more than tensors, and loading it would run code; save a dict of tensors") from fault


def _item(found: Any, part: str) -> Any:
    if isinstance(found, Mapping):
        return found.get(part, found.get(int(part)) if part.isdecimal() else None)
    if isinstance(found, (list, tuple)) and part.isdecimal() and int(part) < len(found):
        return found[int(part)]
    return None


def _names(found: Any, at: str = "", depth: int = 0) -> Iterator[str]:
    """The tensors in it, each by its name."""
    if isinstance(found, Tensor):
        yield at
    elif depth < _DEPTH and isinstance(found, (Mapping, list, tuple)):
        for key, one in found.items() if isinstance(found, Mapping) else enumerate(found):
            yield from _names(one, f"{at}/{key}".lstrip("/"), depth + 1)
