"""Training of the network on the simulated boxes: mean square error of the two numbers, each over its spread in the universes."""

from __future__ import annotations

import math
import random
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from probe.fields import Field, Quantity
from probe.transforms import lattice_symmetries
from probe.zoo.architectures import ParameterNetwork
from probe.zoo.omega_m.recipe.universes import BOUNDS, GRID, HELD_OUT, TRAINING, VALIDATION

ARGUMENTS = {"width": 16, "levels": 4, "numbers": 2}
QUANTITY = (Quantity("delta", "scalar"),)
SHIFT = torch.tensor([(low + high) / 2 for low, high in BOUNDS.values()])
SCALE = torch.tensor([(high - low) / math.sqrt(12) for low, high in BOUNDS.values()])


def load_boxes(folder: Path, numbers: range) -> tuple[Tensor, Tensor]:
    """Density contrasts (n, 1, *GRID.shape) and parameters (n, 2)."""
    files = [np.load(folder / f"box_{i:04d}.npz") for i in numbers]
    boxes, known = (torch.from_numpy(np.stack([f[key] for f in files])).float() for key in ("delta", "parameters"))
    return boxes[:, None], known


def split(folder: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """The boxes by what they are for."""
    edges = {
        "held out": (0, HELD_OUT),
        "validation": (HELD_OUT, HELD_OUT + VALIDATION),
        "training": (HELD_OUT + VALIDATION, HELD_OUT + VALIDATION + TRAINING),
    }
    return {name: load_boxes(folder, range(*edge)) for name, edge in edges.items()}


def augment(boxes: Tensor, draw: random.Random) -> Tensor:
    """Each box under one random symmetry of the cube and one random shift."""
    symmetries = lattice_symmetries(GRID.dimension)
    turned = [draw.choice(symmetries)(Field(box[None], GRID, QUANTITY)).values for box in boxes]
    return torch.cat([torch.roll(box, [draw.randrange(n) for n in GRID.shape], GRID.axes) for box in turned])


def train(folder: Path, steps: int = 16_000, batch: int = 8, peak: float = 1e-3, report: int = 400) -> nn.Module:
    """Train for a number of steps; returns that moving average of the weights which did best on the validation boxes.

    Adam with decoupled weight decay; the learning rate rises over 3 % of the steps and falls to zero as a cosine of them.
    """
    torch.manual_seed(0)
    draw = random.Random(0)
    parts = split(folder)
    boxes, known = parts["training"]
    network = ParameterNetwork(**ARGUMENTS)
    average, best, least = deepcopy(network), deepcopy(network), math.inf
    optimiser = torch.optim.AdamW(network.parameters(), lr=peak, weight_decay=1e-2)
    for step in range(1, steps + 1):
        spent = step / steps
        for group in optimiser.param_groups:
            group["lr"] = peak * min(1, spent / 0.03) * 0.5 * (1 + math.cos(math.pi * spent))
        chosen = [draw.randrange(len(boxes)) for _ in range(batch)]
        optimiser.zero_grad()
        loss = ((network(augment(boxes[chosen], draw)) - (known[chosen] - SHIFT) / SCALE) ** 2).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        with torch.no_grad():
            for mean, weight in zip(average.parameters(), network.parameters(), strict=True):
                mean.lerp_(weight, 1 - min(0.998, step / (step + 20)))
        if step % report == 0:
            off = square_error(average, *parts["validation"])
            if off.sum() < least:
                least, best = float(off.sum()), deepcopy(average)
            print(f"step {step:6d}  training {float(loss.detach()):.3f}  validation {off.tolist()}", flush=True)
            torch.save(best.state_dict(), folder / "latest.pt")
    return min((best, average), key=lambda one: float(square_error(one, *parts["validation"]).sum()))


@torch.no_grad()
def predict(network: nn.Module, boxes: Tensor) -> Tensor:
    """Omega_m and sigma_8 of every box: (n, 2)."""
    return torch.cat([network(some) for some in boxes.split(16)]) * SCALE + SHIFT


def square_error(network: nn.Module, boxes: Tensor, known: Tensor) -> Tensor:
    """Mean square error of each number over its variance in the universes: (2,)."""
    return ((predict(network, boxes) - known) / SCALE).square().mean(0)
