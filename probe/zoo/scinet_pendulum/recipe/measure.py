"""How good a trained network is: its errors over all questions, and what its latent variables know of damping and spring."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from probe.information import columns, disentanglement, neighbours
from probe.zoo.encoders import Answerer, divergence_from_prior
from probe.zoo.scinet_pendulum.recipe.pendulum import LATEST, TIMES, frequency, pendulum, pendulums

TEST_SEED, TEST = 2, 2000
QUESTIONS = torch.linspace(0, LATEST, 101, dtype=torch.float64)


@dataclass(frozen=True)
class Measured:
    """Of fresh pendulums.

    Attributes
    ----------
    error, error_of_draws : float
        Root mean square over pendulums and questions, of answers from means and from draws; the first swing is 1.
    divergence : ndarray, (latent,)
        KL, mean over pendulums [nat].
    correlation : ndarray, (latent, 3)
        Of means with damping, spring constant and frequency.
    information : ndarray, (latent, 2)
        Of draws with damping and spring constant [nat], by nearest neighbours.
    """

    error: float
    error_of_draws: float
    divergence: np.ndarray
    correlation: np.ndarray
    information: np.ndarray

    @property
    def gap(self) -> float:
        """Mutual information gap; see `probe.information.disentanglement`."""
        return disentanglement.information_gap(self.information, np.full(2, np.log(disentanglement.BINS)))

    @property
    def modularity(self) -> float:
        """How far each latent variable knows of one factor alone."""
        return disentanglement.modularity(self.information)


@torch.no_grad()
def measure(network: Answerer) -> Measured:
    """Ask it about 2000 fresh pendulums, 101 times each."""
    generator = torch.Generator().manual_seed(TEST_SEED)
    damping, spring = pendulums(TEST, generator)
    truth = pendulum(damping, spring, QUESTIONS)
    mean, log_variance = network.encoder(pendulum(damping, spring, TIMES).float()[:, None])
    draw = mean + (log_variance / 2).exp() * torch.randn(mean.shape, generator=generator)
    factors = torch.stack([damping, spring, frequency(damping, spring)], 1).numpy()
    together = np.corrcoef(np.concatenate([mean.numpy(), factors], 1).T)
    known = [[_information(z, factor) for factor in factors[:, :2].T] for z in draw.numpy().T]
    error, error_of_draws = (float((answers(network, z) - truth).square().mean().sqrt()) for z in (mean, draw))
    return Measured(
        error,
        error_of_draws,
        divergence_from_prior(mean, log_variance).mean(0).numpy(),
        together[: mean.shape[1], mean.shape[1] :],
        np.array(known),
    )


def answers(network: Answerer, latents: Tensor) -> Tensor:
    """To all QUESTIONS: (n, latent) -> (n, 101), float64."""
    asked = network.decoder(latents.repeat_interleave(len(QUESTIONS), 0), QUESTIONS.float().repeat(len(latents)))
    return asked.reshape(len(latents), -1).double()


def _information(latent: np.ndarray, factor: np.ndarray) -> float:
    return neighbours.estimated(columns.checked(latent, "a latent variable"), columns.checked(factor, "a factor")).value
