"""Latent variables and density profiles of haloes, from the interpretable variational encoder of Lucie-Smith et al. (2022)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np


def _stored(name: str) -> np.ndarray:
    values: np.ndarray = np.load(Path(os.environ["PROBE_REALDATA"]) / "ive_halos" / name)
    return values


def mean() -> np.ndarray:
    """Means of the latent variables of 4332 haloes: (4332, 3)."""
    return _stored("latent_mean_11_testset_epoch_27.npy")


def std() -> np.ndarray:
    """Their standard deviations: (4332, 3)."""
    return _stored("latent_std_11_testset_epoch_27.npy")


def quantities() -> dict[str, np.ndarray]:
    """log10 of the density of each halo in 13 radial bins: (13, 4332)."""
    return {"log_rho": _stored("true_log_rho_per_radial_bin_sim11_testset.npy")}
