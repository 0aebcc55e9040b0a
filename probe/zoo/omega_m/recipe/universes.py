"""The universes: Omega_m and sigma_8 of every box, their linear spectra, and the boxes themselves.

Flat LambdaCDM; Omega_b, h and n_s are those of zoo:lpt2nbody. sigma_8 is that of the linear spectrum,

    sigma_8^2 = int dk/k k^3 P(k) / (2 pi^2) W(8 k)^2,   W(x) = 3 (sin x - x cos x) / x^3.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from scipy.stats import qmc

from probe import painting
from probe.grid import Grid
from probe.perturbation import second_order, zeldovich
from probe.waves import gaussian_field

HELD_OUT, VALIDATION, TRAINING = 32, 64, 1404
SEED = 17110
BOUNDS = {"Omega_m": (0.1, 0.5), "sigma_8": (0.6, 1.0)}
GRID = Grid.cubic(32, 128.0, unit="Mpc/h")
FINE = Grid.cubic(64, 128.0, unit="Mpc/h")
NODES = np.linspace(0.1, 0.5, 17)
WAVENUMBERS = np.geomspace(1e-3, 5.0, 400)


def parameters(count: int) -> np.ndarray:
    """Omega_m and sigma_8 of the first boxes, a scrambled Sobol sequence that fills the bounds evenly: (count, 2)."""
    low, high = np.array(list(BOUNDS.values())).T
    drawn = qmc.Sobol(2, seed=SEED).random_base2(int(np.ceil(np.log2(count))))
    return low + (high - low) * drawn[:count]


def table_of_spectra() -> np.ndarray:
    """Linear P(k) at z = 0 by CAMB at the NODES of Omega_m: (node, wavenumber), at WAVENUMBERS, in (Mpc/h)^3."""
    from probe.zoo.lpt2nbody.recipe.simulator import linear_power

    return np.stack([np.exp(CubicSpline(np.log(k), np.log(power))(np.log(WAVENUMBERS))) for k, power in map(linear_power, NODES)])


def spectrum(omega_m: float, sigma_8: float, table: np.ndarray) -> np.ndarray:
    """Linear P(k) at WAVENUMBERS, its logarithm a cubic spline of Omega_m through the table, scaled to sigma_8."""
    shape = np.exp(CubicSpline(NODES, np.log(table))(omega_m))
    return shape * (sigma_8 / sigma(shape)) ** 2


def sigma(power: np.ndarray, radius: float = 8.0) -> float:
    """Standard deviation of the linear overdensity in spheres of a radius in Mpc/h."""
    x = WAVENUMBERS * radius
    window = 3 * (np.sin(x) - x * np.cos(x)) / x**3
    return float(np.sqrt(np.trapezoid(WAVENUMBERS**3 * power / (2 * np.pi**2) * window**2, np.log(WAVENUMBERS))))


def box(number: int, omega_m: float, sigma_8: float, table: np.ndarray) -> torch.Tensor:
    """The density contrast at z = 0 of one universe: (*GRID.shape,), float64.

    Particles on FINE run to z = 0 and are painted by triangular-shaped clouds on the mesh of GRID, eight a cell. They are not
    interlaced: taking images out moves modes by half a cell, and beside high peaks that makes densities below zero.
    """
    from probe.zoo.lpt2nbody.recipe.simulator import evolved

    power = np.log(spectrum(omega_m, sigma_8, table))

    def interpolate(k: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(np.exp(np.interp(np.log(k.numpy()), np.log(WAVENUMBERS), power)))

    delta = gaussian_field(FINE, interpolate, torch.Generator().manual_seed(SEED + number))
    first, second = zeldovich(delta, FINE)[0], second_order(delta, FINE)[0]
    psi = evolved(first, second, FINE, omega_m)
    return painting.density(psi[None], FINE, mesh=GRID, assignment="tsc")[0]


def store(number: int, folder: Path) -> str:
    """Run one box and store it with its parameters, unless it is there."""
    path = folder / f"box_{number:04d}.npz"
    if not path.exists():
        omega_m, sigma_8 = parameters(HELD_OUT + VALIDATION + TRAINING)[number]
        delta = box(number, omega_m, sigma_8, np.load(folder / "linear_power.npy"))
        partial = folder / f".box_{number:04d}.npz"
        np.savez(partial, delta=delta.numpy().astype(np.float32), parameters=[omega_m, sigma_8])
        partial.rename(path)
    return path.stem


def simulate_all(folder: Path, workers: int = 1) -> None:
    """Run every box that is not yet in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = folder / "linear_power.npy"
    if not stored.exists():
        np.save(stored, table_of_spectra())
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    numbers = range(HELD_OUT + VALIDATION + TRAINING)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for done in [pool.submit(store, number, folder) for number in numbers]:
            print(done.result(), flush=True)
