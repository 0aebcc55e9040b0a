"""Training of the network on pendulums and questions drawn anew at every step."""

from __future__ import annotations

import torch
from torch import Tensor

from probe.zoo.encoders import Answerer, curve_network, train
from probe.zoo.scinet_pendulum.recipe.pendulum import LATEST, TIMES, pendulum, pendulums

BATCH, QUESTIONS = 128, 4
BETA = 1e-4


def pairs(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """A batch: x at TIMES (n, 1, 50), times of questions (n, 4), x there (n, 4); float32."""
    damping, spring = pendulums(BATCH, generator)
    questions = LATEST * torch.rand(BATCH, QUESTIONS, generator=generator, dtype=torch.float64)
    seen, truth = (pendulum(damping, spring, times).float() for times in (TIMES, questions))
    return seen[:, None], questions.float(), truth


def trained(beta: float, minutes: float) -> Answerer:
    """The network after so many minutes under this beta."""
    torch.manual_seed(0)
    network = curve_network()
    train(network, pairs, beta, minutes, peak=3e-3)
    return network
