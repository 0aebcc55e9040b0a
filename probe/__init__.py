"""Physical questions for trained field-to-field networks.

`probe.load` or `probe.wrap` a model, `probe.run` probes on it. Everything is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from probe import agreement as agreement
    from probe import aspects as aspects
    from probe import attribution as attribution
    from probe import bags as bags
    from probe import bands as bands
    from probe import bispectra as bispectra
    from probe import controls as controls
    from probe import coupling as coupling
    from probe import data as data
    from probe import derivatives as derivatives
    from probe import description as description
    from probe import distribution as distribution
    from probe import ensemble as ensemble
    from probe import equivariance as equivariance
    from probe import excitation as excitation
    from probe import fields as fields
    from probe import figures as figures
    from probe import grid as grid
    from probe import histograms as histograms
    from probe import information as information
    from probe import intervals as intervals
    from probe import jacobian as jacobian
    from probe import ladder as ladder
    from probe import latents as latents
    from probe import laws as laws
    from probe import orbits as orbits
    from probe import painting as painting
    from probe import panels as panels
    from probe import perturbation as perturbation
    from probe import polarisation as polarisation
    from probe import reach as reach
    from probe import redshift as redshift
    from probe import removal as removal
    from probe import response as response
    from probe import ridge as ridge
    from probe import rivals as rivals
    from probe import scalars as scalars
    from probe import scales as scales
    from probe import scattering as scattering
    from probe import spectra as spectra
    from probe import spheres as spheres
    from probe import summaries as summaries
    from probe import superposition as superposition
    from probe import surrogates as surrogates
    from probe import targets as targets
    from probe import tophat as tophat
    from probe import transforms as transforms
    from probe import trees as trees
    from probe import turns as turns
    from probe import uniform as uniform
    from probe import universes as universes
    from probe import waves as waves
    from probe.grid import Grid as Grid
    from probe.interface import run as run
    from probe.loading import load as load
    from probe.loading import save as save
    from probe.loading import wrap as wrap

__version__ = "0.1.0"
_FUNCTIONS = {"load": "loading", "save": "loading", "wrap": "loading", "run": "interface", "Grid": "grid"}
_ROOMS = (
    "agreement",
    "aspects",
    "attribution",
    "bags",
    "bands",
    "bispectra",
    "contract",
    "controls",
    "coupling",
    "data",
    "derivatives",
    "description",
    "distribution",
    "ensemble",
    "equivariance",
    "excitation",
    "fields",
    "figures",
    "grid",
    "histograms",
    "information",
    "intervals",
    "jacobian",
    "ladder",
    "latents",
    "laws",
    "orbits",
    "painting",
    "panels",
    "perturbation",
    "polarisation",
    "reach",
    "redshift",
    "removal",
    "response",
    "ridge",
    "rivals",
    "scalars",
    "scales",
    "scattering",
    "spectra",
    "spheres",
    "summaries",
    "superposition",
    "surrogates",
    "targets",
    "tophat",
    "transforms",
    "trees",
    "turns",
    "uniform",
    "universes",
    "waves",
)


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(f"probe.{_FUNCTIONS[name]}"), name)
    if name in _ROOMS:
        return importlib.import_module(f"probe.{name}")
    raise AttributeError(f"module 'probe' has no attribute {name!r}")
