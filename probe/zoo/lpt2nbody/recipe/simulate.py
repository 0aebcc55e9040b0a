"""Every run of the simulator that the network and its folder need, each stored as it ends, so that a broken run resumes."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from probe.grid import Grid
from probe.perturbation import resample, zeldovich
from probe.waves import gaussian_field, phase_of

TRAINING, VALIDATION, HELD_OUT = 98, 4, 4
SEED = 20190

# Single waves: Ho's 0.25 h/Mpc is n = 5 in this box. A ladder of amplitudes on it and on longer and shorter waves, the same
# wave along each axis, oblique waves with a common factor with N, equal |n| in other directions, and the six phases.
LADDER = [((n, 0, 0), a, 0.0) for n in (1, 2, 3, 5, 7, 11) for a in (0.05, 0.2, 0.5, 0.9)]
OBLIQUE = [((4, 6, 0), a, 0.0) for a in (0.05, 0.2, 0.5, 0.9)]
TURNED = [(n, 0.2, 0.0) for n in ((0, 5, 0), (0, 0, 5), (3, 4, 0), (2, 2, 1), (4, 4, 2), (6, 0, 0))]
PHASES = [((5, 0, 0), 0.2, turn * np.pi) for turn in (1 / 6, 1 / 3, 1 / 2, 2 / 3, 1.0)]


@dataclass(frozen=True)
class Job:
    """One run: a random field by its number, or a single wave by (mode, overdensity amplitude, phase)."""

    name: str
    number: int = -1
    wave: tuple = ()


def jobs() -> list[Job]:
    """Every run, the waves and the held-out fields first."""
    waves = [Job(f"wave_{i:02d}", wave=w) for i, w in enumerate([*LADDER, *OBLIQUE, *TURNED, *PHASES])]
    fields = [Job(f"field_{i:03d}", number=i) for i in range(HELD_OUT + VALIDATION + TRAINING)]
    return fields[: HELD_OUT + VALIDATION] + waves + fields[HELD_OUT + VALIDATION :]


def linear_field(number: int, grid: Grid, spectrum: np.ndarray) -> torch.Tensor:
    """The linear overdensity at z = 0 of one random simulation: (*grid.shape), float64."""
    wavenumber, power = spectrum

    def interpolate(k: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(np.exp(np.interp(np.log(k.numpy()), np.log(wavenumber), np.log(power))))

    return gaussian_field(grid, interpolate, torch.Generator().manual_seed(SEED + number))[0]


def run(job: Job, folder: Path, spectrum: np.ndarray) -> str:
    """Simulate one job and store its Zel'dovich displacement and its answer."""
    from probe.zoo.lpt2nbody.recipe.simulator import COARSE, FINE, simulate

    path = folder / f"{job.name}.npz"
    if path.exists():
        return job.name
    if job.wave:
        mode, amplitude, phase = job.wave
        coarse, fine = (amplitude * torch.sin(phase_of(mode, g) + phase) for g in (COARSE, FINE))
    else:
        coarse = linear_field(job.number, COARSE, spectrum)
        fine = resample(coarse, COARSE, FINE)
    answer = simulate(fine)
    partial = folder / f".{job.name}.npz"
    np.savez(partial, input=zeldovich(coarse[None], COARSE)[0].float().numpy(), output=answer.numpy(), wave=np.array(str(job.wave)))
    partial.rename(path)
    return job.name


def simulate_all(folder: Path, workers: int) -> None:
    """Run every job that is not yet in `folder`."""
    from probe.zoo.lpt2nbody.recipe.simulator import linear_power

    folder.mkdir(parents=True, exist_ok=True)
    stored = folder / "linear_power.npy"
    if not stored.exists():
        np.save(stored, np.stack(linear_power()))
    spectrum = np.load(stored)
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for done in [pool.submit(run, job, folder, spectrum) for job in jobs()]:
            print(done.result(), flush=True)
