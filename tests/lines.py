"""Models on a line with stored pairs, for tests of what becomes of a run: a run takes a fraction of a second."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

CODE = """
import numpy as np

def truth(x):
    return x + 0.1 * np.abs(x)

def off(x, share):
    return truth(x) + share * np.roll(x, 5, -1)

def model(x):
    return off(x, 0.010)

def worse(x):
    return off(x, 0.012)

def better(x):
    return off(x, 0.008)

def broken(x):
    raise ValueError("no field is good enough for me")
"""
SPEC = """schema = 1
[grid]
shape = [64]
box = 1.0
[[input]]
name = "field"
rms = 1.0
[[output]]
name = "field"
[data]
path = "{data}"
input = "in_*.npy"
target = "out_*.npy"
"""
ASKED = ("run", "transfer", "--spec", "line.toml", "--controls", "linear_filter", "--overwrite")


def lay_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the models' code, their description, eight pairs and one pair alone; it becomes the working folder."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "home"))
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr("probe.contract.Result.panels", lambda self: [])  # figures take longer than all the rest
    sys.modules.pop("lines_code", None)
    (folder / "lines_code.py").write_text(CODE)
    for name, count in (("pairs", 8), ("others", 6), ("alone", 1)):
        _pairs(folder / name, count, seed=count)
    (folder / "line.toml").write_text(SPEC.format(data="pairs"))
    return folder


def _pairs(folder: Path, count: int, seed: int, truth: Callable[[np.ndarray], np.ndarray] = lambda x: x + 0.1 * np.abs(x)) -> None:
    rng, place = np.random.default_rng(seed), np.arange(64) / 64
    folder.mkdir()
    for index in range(count):
        # Inputs of very different sizes and colours: what a comparison by pairs takes out.
        modes = range(1, 12)
        field = sum(rng.normal() / n * np.cos(2 * np.pi * (n * place + rng.uniform())) for n in modes) * rng.uniform(0.5, 2)
        np.save(folder / f"in_{index}.npy", field)
        np.save(folder / f"out_{index}.npy", truth(field))
