"""Training of the network on the simulated pairs.

The loss is the mean over shells of the logarithm of the error power plus that of the total: every scale counts alike, so
that the large scales, where 2LPT is nearly right, are learned as well as the small ones, which hold most of the error.
"""

from __future__ import annotations

import math
import random
import time
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from probe.fields import Field, Quantity
from probe.grid import Grid
from probe.transforms import lattice_symmetries
from probe.zoo.architectures import ResidualUNet

SCALE = 3.0
QUANTITY = (Quantity("psi", "vector", "displacement", "Mpc/h"),)


def load_pairs(folder: Path, numbers: range) -> tuple[Tensor, Tensor]:
    """Inputs and answers of some random simulations, over SCALE: (n, 3, 32, 32, 32) each."""
    files = [np.load(path) for i in numbers if (path := folder / f"field_{i:03d}.npz").exists()]
    inputs, answers = (torch.from_numpy(np.stack([f[key] for f in files])) / SCALE for key in ("input", "output"))
    return inputs, answers


def error_power(difference: Tensor, grid: Grid) -> Tensor:
    """Power of the difference summed over each shell and, last, over all modes: (shells + 1,)."""
    power = torch.fft.rfftn(difference, dim=grid.axes, norm="ortho").abs().square().sum((0, 1))
    shells = grid.shells()
    return torch.cat([shells.sum(power, grid), (power * grid.hermitian_weight()).sum()[None]])


def loss_of(network: nn.Module, psi: Tensor, truth: Tensor, grid: Grid) -> Tensor:
    """Mean over shells of the logarithm of the error power over the truth's, plus the same of the total."""
    ratio = error_power(network(psi) - truth, grid) / error_power(truth, grid)
    return ratio[:-1].log().mean() + ratio[-1].log()


def augment(psi: Tensor, truth: Tensor, grid: Grid, draw: random.Random) -> tuple[Tensor, Tensor]:
    """The pair under one random symmetry of the cube and one random shift."""
    symmetry = draw.choice(lattice_symmetries(grid.dimension))
    shift = [draw.randrange(points) for points in grid.shape]
    turned, answer = (torch.roll(symmetry(Field(x, grid, QUANTITY)).values, shift, grid.axes) for x in (psi, truth))
    return turned, answer


def train(folder: Path, grid: Grid, minutes: float, held_out: int, validation: int, report: float = 120.0) -> nn.Module:
    """Train for a given time; returns the exponential moving average of the weights.

    Learning rate: linear warm-up over 5 %, then a cosine to zero in *time*, so that a slower machine ends as smoothly. A peak of
    2e-3 killed the coarse levels within minutes (their activations grew until every SiLU behind them was shut), which the loss
    hardly showed and the exactness of one-cell shifts gave away.
    """
    torch.manual_seed(0)
    draw = random.Random(0)
    check = load_pairs(folder, range(held_out, held_out + validation))
    inputs, answers = load_pairs(folder, range(held_out + validation, 10_000))
    # The overloads that torch declares leave the memory format out.
    network: ResidualUNet = ResidualUNet(24).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    for last in network.out.parameters():
        nn.init.zeros_(last)  # begins as the identity
    average = deepcopy(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1.0, weight_decay=1e-3)
    start, step, told = time.monotonic(), 0, 0.0
    while (spent := (time.monotonic() - start) / 60 / minutes) < 1:
        rate = 7e-4 * min(1, spent / 0.05) * 0.5 * (1 + math.cos(math.pi * spent))
        for group in optimiser.param_groups:
            group["lr"] = rate
        chosen = draw.randrange(len(inputs))
        psi, truth = augment(inputs[chosen : chosen + 1], answers[chosen : chosen + 1], grid, draw)
        optimiser.zero_grad()
        loss_of(network, psi.contiguous(memory_format=torch.channels_last_3d), truth, grid).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        step += 1
        with torch.no_grad():
            decay = min(0.998, step / (step + 20))
            for mean, weight in zip(average.parameters(), network.parameters(), strict=True):
                mean.lerp_(weight, 1 - decay)
        if time.monotonic() - told > report:
            told = time.monotonic()
            _tell(average, check, grid, step, spent)
            torch.save(average.state_dict(), folder / "latest.pt")
    _tell(average, check, grid, step, 1.0)
    return average


@torch.no_grad()
def _tell(network: nn.Module, pairs: tuple[Tensor, Tensor], grid: Grid, step: int, spent: float) -> None:
    answers = torch.cat([network(x[None]) for x in pairs[0]])
    ratio = error_power(answers - pairs[1], grid) / error_power(pairs[1], grid)
    relative = (answers - pairs[1]).norm() / pairs[1].norm()
    shells = " ".join(f"{r:.1e}" for r in ratio[:-1].tolist())
    print(f"{100 * spent:3.0f} %  step {step:5d}  relative error {relative:.4f}  error power by shell {shells}", flush=True)
