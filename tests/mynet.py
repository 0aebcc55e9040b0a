"""A user's module, with a small network and some functions in it, for the tests of loading."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from probe.description import write_description
from probe.fields import Field, Quantity
from probe.grid import Grid
from probe.loading import wrap
from probe.model import FieldModel

GRID = Grid.cubic(8, 16.0, 2, unit="Mpc")
CODE = """
import functools
import numpy as np, torch
from torch import nn, Tensor

class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.first, self.last = nn.Conv2d(2, width, 3, padding=1), nn.Conv2d(width, 2, 1)
    def forward(self, x):
        return x + self.last(torch.tanh(self.first(x)))

class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = Net()
    def forward(self, x):
        return self.net(x)

class Spectral(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, 2, dtype=torch.complex64))
    def forward(self, x):
        return torch.fft.ifft2(torch.einsum("io,bixy->boxy", self.weight, torch.fft.fft2(x))).real

class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.local, self.spectral = nn.Conv2d(2, 2, 1), Spectral()
    def forward(self, x):
        return self.local(x) + self.spectral(x)

class Array:
    def __init__(self, values):
        self.values = values
    def __array__(self, dtype=None, copy=None):
        return self.values

class Scale:
    def __init__(self, by):
        self.by = by
    def __call__(self, x):
        return self.by * x

def number(): return 3
def doubled(x): return np.roll(2 * x, 1, axis=2)
def written(x):
    x += 1
    return x
def same(x): return x
def like_jax(x): return Array(2 * x)
def in_a_tuple(x): return x, {"twice": Array(2 * x)}
def swapped(x): return (2 * x).astype(">f8")
def texts(x): return np.full(x.shape, "text")
def added(psi, delta): return psi + np.concatenate([delta, delta], 1)
def on_tensors(x: Tensor) -> Tensor: return x.sin()
def asked_in(x):
    assert x.dtype == np.float32 and not x.flags.writeable
    return x.astype(np.float64)
tripled, halved = Scale(3), functools.partial(np.multiply, 0.5)
"""


def small_network(module: str, name: str = "Net", **arguments: Any) -> nn.Module:
    """A network of the user's module, with reproducible weights."""
    sys.path.insert(0, str(Path.cwd()))
    torch.manual_seed(0)
    made: nn.Module = getattr(__import__(module), name)(**arguments)
    return made


def field() -> Field:
    """Two vectors on the grid."""
    return Field(torch.randn(2, 2, 8, 8, generator=torch.Generator().manual_seed(1)), GRID, (Quantity("input", "vector"),))


def same(model: FieldModel, made: nn.Module) -> bool:
    """Whether a model answers just as a network does."""
    with torch.no_grad():
        return torch.equal(model(field()).values, made(field().values))


def describe(path: str, **changes: Any) -> None:
    """Write a description of a network of vectors on the grid."""
    write_description(wrap(nn.Conv2d(2, 2, 1), GRID, factory=None, **changes).description, path)
