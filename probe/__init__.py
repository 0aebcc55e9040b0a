"""Physical questions for trained field-to-field networks.

`probe.load` or `probe.wrap` a model, `probe.run` probes on it. Everything is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from probe import controls as controls
    from probe import coupling as coupling
    from probe import data as data
    from probe import equivariance as equivariance
    from probe import fields as fields
    from probe import figures as figures
    from probe import grid as grid
    from probe import intervals as intervals
    from probe import laws as laws
    from probe import orbits as orbits
    from probe import perturbation as perturbation
    from probe import response as response
    from probe import spectra as spectra
    from probe import tophat as tophat
    from probe import transforms as transforms
    from probe import turns as turns
    from probe import uniform as uniform
    from probe import waves as waves
    from probe.grid import Grid as Grid
    from probe.interface import run as run
    from probe.loading import load as load
    from probe.loading import save as save
    from probe.loading import wrap as wrap

__version__ = "0.1.0"
_FUNCTIONS = {"load": "loading", "save": "loading", "wrap": "loading", "run": "interface", "Grid": "grid"}
_ROOMS = (
    "contract",
    "controls",
    "coupling",
    "data",
    "equivariance",
    "fields",
    "figures",
    "grid",
    "intervals",
    "laws",
    "orbits",
    "perturbation",
    "response",
    "spectra",
    "tophat",
    "transforms",
    "turns",
    "uniform",
    "waves",
)


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(f"probe.{_FUNCTIONS[name]}"), name)
    if name in _ROOMS:
        return importlib.import_module(f"probe.{name}")
    raise AttributeError(f"module 'probe' has no attribute {name!r}")
