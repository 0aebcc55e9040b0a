"""The law: a damped pendulum that is let go at x = 1 (Iten et al. 2020, arXiv:1807.10300, section "Damped pendulum").

    x'' + b x' + kappa x = 0
    x(t) = Re exp((-b + sqrt(b^2 - 4 kappa)) t / 2) = exp(-b t/2) cos(omega t),   omega^2 = kappa - b^2/4

b in [0.5, 1] and kappa in [5, 10], as the authors draw them, are always underdamped. The speed at t = 0 is -b/2.
"""

from __future__ import annotations

import torch
from torch import Tensor

TIMES = torch.linspace(0, 5, 50, dtype=torch.float64)  # s, when the pendulum is looked at
LATEST = 10.0  # s, of a question
DAMPING, SPRING = (0.5, 1.0), (5.0, 10.0)  # kg/s, kg/s^2


def frequency(damping: Tensor, spring: Tensor) -> Tensor:
    """omega."""
    return (spring - damping.square() / 4).sqrt()


def pendulum(damping: Tensor, spring: Tensor, times: Tensor) -> Tensor:
    """x(t): (n,) each and (m,) or (n, m) -> (n, m)."""
    return torch.exp(-damping[:, None] * times / 2) * torch.cos(frequency(damping, spring)[:, None] * times)


def pendulums(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Damping and spring constant, uniform and independent: (count,) each, float64."""
    share = torch.rand(2, count, generator=generator, dtype=torch.float64)
    damping, spring = (low + (high - low) * s for (low, high), s in zip((DAMPING, SPRING), share, strict=True))
    return damping, spring
