"""Every run of the simulator that the network and its folder need, each stored as it ends, so that a broken run resumes."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from probe.fields import Quantity
from probe.grid import Grid
from probe.perturbation import divergence, resample, zeldovich
from probe.tophat import top_hat_displacement
from probe.waves import PlaneWave, gaussian_field, phase_of, plane_wave

TRAINING, VALIDATION, HELD_OUT = 98, 4, 4
SEED = 20190

# Single waves: Ho's 0.25 h/Mpc is n = 5 in this box. A ladder of amplitudes on it and on longer and shorter waves, the same
# wave along each axis, oblique waves with a common factor with N, equal |n| in other directions, and the six phases.
LADDER = [((n, 0, 0), a, 0.0) for n in (1, 2, 3, 5, 7, 11) for a in (0.05, 0.2, 0.5, 0.9)]
OBLIQUE = [((4, 6, 0), a, 0.0) for a in (0.05, 0.2, 0.5, 0.9)]
TURNED = [(n, 0.2, 0.0) for n in ((0, 5, 0), (0, 0, 5), (3, 4, 0), (2, 2, 1), (4, 4, 2), (6, 0, 0))]
PHASES = [((5, 0, 0), 0.2, turn * np.pi) for turn in (1 / 6, 1 / 3, 1 / 2, 2 / 3, 1.0)]

# Pairs of waves in the plane z = 0, where an answer is the same at every z: parallel, across, and at mu = +-0.6; each with
# both signs of one wave (the other two are mirror images), so that the second order comes out as a mixed difference.
ACROSS = ((5, 0, 0), (0, 5, 0))
OTHERS = (((3, 0, 0), (5, 0, 0)), ((5, 0, 0), (3, 4, 0)), ((5, 0, 0), (-3, 4, 0)), ((3, 0, 0), (0, 6, 0)), ((2, 2, 0), (4, 0, 0)))
COUPLED = [(ACROSS, 0.1), *((pair, 0.1) for pair in OTHERS), (ACROSS, 0.2)]
PAIRS = [(pair, (a, t * a)) for pair, a in COUPLED for t in (1, -1)]
# Top-hats and voids: radius of 8 cells, linear overdensity.
TOP_HATS = [(32.0, level) for level in (0.145, 0.525, 1.062, -0.525, -1.5)]
# Waves across their own direction, which gravity never grows: mode, axis of the displacement, level A k.
TRANSVERSE = [((n, 0, 0), 1, 0.2) for n in (1, 2, 3, 5, 7)] + [((5, 0, 0), 1, 0.05), ((5, 0, 0), 1, 0.5), ((4, 6, 0), 2, 0.2)]
# A lone wave displaces its particles by less than a cell of the mesh, and what the mesh does to them then hangs on where in a
# cell they started: with the lattice on the cells' centres it makes a second harmonic of 6.5 % at A k = 0.2, which changes sign
# with an offset of half a cell. In a random field the particles cross many cells and this averages out, so a network cannot
# learn it: every made input is run with several offsets of the lattice and the answers are averaged (harmonic: 0.2 %).
OFFSETS = tuple((i / 4, i / 4, i / 4) for i in range(4))
# Of a pair of waves, along x and y, the offsets must not go together.
OFFSETS_OF_PAIRS = tuple((i / 5, 2 * i % 5 / 5, 3 * i % 5 / 5) for i in range(5))
# The primordial amplitude in units of the fiducial one: the held-out random fields again, so that differences between
# amplitudes are free of the scatter between fields and an input is the held-out one times the root of the amplitude.
AMPLITUDES = (0.2, 0.8, 1.2, 1.8)


@dataclass(frozen=True)
class Job:
    """One run: a random field by its number (and amplitude A_s), or a made input by its kind and what it is made from."""

    name: str
    number: int = -1
    amplitude: float = 1.0
    kind: str = ""
    made: tuple = ()


def jobs() -> list[Job]:
    """Every run, the made inputs and the held-out fields first."""
    made: dict[str, list] = {
        "wave": [*LADDER, *OBLIQUE, *TURNED, *PHASES],
        "pair": PAIRS,
        "tophat": TOP_HATS,
        "transverse": TRANSVERSE,
    }
    asked = [Job(f"{kind}_{i:02d}", kind=kind, made=one) for kind, each in made.items() for i, one in enumerate(each)]
    fields = [Job(f"field_{i:03d}", number=i) for i in range(HELD_OUT + VALIDATION + TRAINING)]
    other = [Job(f"amplitude_{a:g}_{i:03d}", number=i, amplitude=a) for a in AMPLITUDES for i in range(HELD_OUT)]
    return fields[: HELD_OUT + VALIDATION] + asked + other + fields[HELD_OUT + VALIDATION :]


def linear_field(number: int, grid: Grid, spectrum: np.ndarray) -> torch.Tensor:
    """The linear overdensity at z = 0 of one random simulation: (*grid.shape), float64."""
    wavenumber, power = spectrum

    def interpolate(k: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(np.exp(np.interp(np.log(k.numpy()), np.log(wavenumber), np.log(power))))

    return gaussian_field(grid, interpolate, torch.Generator().manual_seed(SEED + number))[0]


def run(job: Job, folder: Path, spectrum: np.ndarray) -> str:
    """Simulate one job and store its Zel'dovich displacement and its answer."""
    from probe.zoo.lpt2nbody.recipe.simulator import COARSE, FINE, displaced, second_order_on_fine

    path = folder / f"{job.name}.npz"
    if path.exists():
        return job.name
    first = made_displacement(job, COARSE) if job.made else zeldovich(_linear(job, COARSE, spectrum)[None], COARSE)[0]
    fine = resample(first, COARSE, FINE)
    second = second_order_on_fine(-divergence(fine[None], FINE)[0])[0]
    offsets = {"": OFFSETS[:1], "pair": OFFSETS_OF_PAIRS}.get(job.kind, OFFSETS)
    answer = torch.stack([displaced(fine, second, offset) for offset in offsets]).mean(0)
    partial = folder / f".{job.name}.npz"
    np.savez(partial, input=first.float().numpy(), output=answer.numpy(), made=np.array(repr((job.kind, job.made))))
    partial.rename(path)
    return job.name


def made_displacement(job: Job, grid: Grid) -> torch.Tensor:
    """The Zel'dovich displacement at z = 0 of a made input: (3, *grid.shape), float64, in Mpc/h."""
    match job.kind:
        case "wave":
            mode, level, phase = job.made
            return _wave(mode, level, phase, grid)
        case "pair":
            return sum((_wave(mode, level, 0.0, grid) for mode, level in zip(*job.made, strict=True)), torch.zeros(()))
        case "tophat":
            return top_hat_displacement(grid, *job.made)
        case _:
            mode, axis, level = job.made
            psi = torch.zeros(3, *grid.shape, dtype=torch.float64)
            psi[axis] = level / grid.wavenumber_of(mode) * torch.cos(phase_of(mode, grid))
            return psi


def _wave(mode: tuple[int, ...], level: float, phase: float, grid: Grid) -> torch.Tensor:
    amplitude = level / grid.wavenumber_of(mode)
    return plane_wave(PlaneWave(mode, amplitude, phase), Quantity("psi", "vector"), grid)


def _linear(job: Job, grid: Grid, spectrum: np.ndarray) -> torch.Tensor:
    return job.amplitude**0.5 * linear_field(job.number, grid, spectrum)


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
