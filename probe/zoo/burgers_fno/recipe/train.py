"""Training of the network on pairs drawn anew at every step."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from probe.zoo.architectures import FNO
from probe.zoo.burgers_fno.recipe.pairs import Solutions

ARGUMENTS = {"dimension": 1, "modes": 16, "width": 24, "layers": 6}
TRAINING_SEED, FIELDS = 1, 4096
# Wider than the fields asked: a mean of 3 carries a field three times round the box, and what is rare is learned last.
SPREAD = 1.3


def train(steps: int, report: int = 1000, batch: int = 32, peak: float = 2e-3) -> FNO:
    """Train for a given number of steps: the same steps, the same network.

    Adam on the mean square of the difference; the learning rate rises over the first hundredth and falls to zero as a cosine.
    """
    torch.manual_seed(0)
    network = FNO(**ARGUMENTS)
    generator = torch.Generator().manual_seed(0)
    solutions = Solutions(FIELDS, TRAINING_SEED, SPREAD)
    optimiser = torch.optim.Adam(network.parameters(), lr=peak)
    spent = torch.linspace(0, 1, steps).tolist()
    squares = []
    for step, done in enumerate(spent, 1):
        for group in optimiser.param_groups:
            group["lr"] = peak * min(1.0, done / 0.01) * 0.5 * (1 + math.cos(math.pi * done))
        given, truth = solutions.draw(batch, generator).split(1, 1)
        optimiser.zero_grad()
        loss = (network(given) - truth).square().mean()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        squares.append(loss.detach() / truth.square().mean())
        if step % report == 0:
            print(f"step {step:6d}  relative error {_root_mean(squares):.4f}", flush=True)
            squares.clear()
    return network


def _root_mean(squares: list[Tensor]) -> float:
    return float(torch.stack(squares).mean().sqrt())
