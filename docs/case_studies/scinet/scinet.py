"""SciNet for the damped pendulum (Iten et al. 2020) as its authors have it, two ways to ask it, and the closed form."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor, nn

TIMES = np.linspace(0.0, 5.0, 50)  # s, when the pendulum is looked at


class SciNet(nn.Module):
    """x at 50 times and the time t of a question -> x there, through two latent variables: (n, 1, 50), (n,) -> (n, 1).

    Parameters carry the names of the authors' checkpoint; a weight is (in, out).
    """

    def __init__(self) -> None:
        super().__init__()
        for part, widths in (("encoder", (50, 500, 100, 4)), ("decoder", (3, 100, 100, 1))):
            for i, (given, gives) in enumerate(itertools.pairwise(widths)):
                name = f"{part}__{i}th_{part[:3]}_layer__"
                self.register_parameter(f"{name}w", nn.Parameter(torch.randn(given, gives) / given**0.5))
                self.register_parameter(f"{name}b", nn.Parameter(torch.zeros(gives)))

    def _dense(self, part: str, values: Tensor) -> Tensor:
        for i in range(3):
            name = f"{part}__{i}th_{part[:3]}_layer__"
            values = values @ self.get_parameter(f"{name}w") + self.get_parameter(f"{name}b")
            values = nn.functional.elu(values) if i < 2 else values
        return values

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        mean = self._dense("encoder", x[:, 0])[:, 2:]  # of the latent variables; the first two are log sigma
        return self._dense("decoder", torch.cat([mean, t[:, None]], 1))


def the_next_five_seconds(network: nn.Module, values: Tensor) -> Tensor:
    """Fifty questions in the place of one, each 5 s after one of the times looked at: (n, 1, 50) -> (n, 1, 50)."""
    answers = [network(values, values.new_full((len(values),), t + 5.0)) for t in TIMES]
    return torch.stack(answers, -1)


def encode(network: SciNet, values: Tensor, t: Tensor) -> Tensor:
    """log sigma and mean of two latent variables, whatever the question: (n, 1, 50) -> (n, 4)."""
    return network._dense("encoder", values[:, 0])


def decode(network: SciNet, latents: Tensor, t: Tensor) -> Tensor:
    """The answer to a question about latent variables: (n, 2), (n,) -> (n, 1)."""
    return network._dense("decoder", torch.cat([latents, t[:, None]], 1))


def pendulum(times: np.ndarray, damping: np.ndarray, spring: np.ndarray) -> np.ndarray:
    """x(t) of pendulums let go at x = 1: (n,) each -> (n, times)."""
    b, kappa = damping[:, None], spring[:, None]
    return np.real(np.exp((-b + np.sqrt(b**2 - 4 * kappa + 0j)) * times / 2))


def questions() -> tuple[np.ndarray, np.ndarray]:
    """x of forty pendulums at the times looked at, and where each is after 2.5 s: (40, 1, 50) and (40, 1)."""
    return _pendulums(TIMES)[:, None], _pendulums(np.array([2.5]))


def later() -> tuple[np.ndarray, np.ndarray]:
    """x of the same pendulums at the times looked at, and 5 s after each: (40, 1, 50) twice."""
    return _pendulums(TIMES)[:, None], _pendulums(TIMES + 5.0)[:, None]


def pendulums() -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """A thousand pendulums, where each is after 2.5 s, and its damping and spring constant."""
    draw = np.random.default_rng(1)
    damping, spring = draw.uniform(0.5, 1.0, 1000), draw.uniform(5.0, 10.0, 1000)
    seen, there = (pendulum(times, damping, spring) for times in (TIMES, np.array([2.5])))
    return seen[:, None], there, {"damping": damping, "spring": spring}


def _pendulums(times: np.ndarray) -> np.ndarray:
    """Forty of the kind that it was trained on: damping in [0.5, 1], spring constant in [5, 10]."""
    draw = np.random.default_rng(0)
    return pendulum(times, draw.uniform(0.5, 1.0, 40), draw.uniform(5.0, 10.0, 40))
