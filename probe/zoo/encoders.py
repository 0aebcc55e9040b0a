"""Networks with a bottleneck of latent variables, and their training: what is seen goes through, a question is answered behind it.

After SciNet (Iten et al. 2020, arXiv:1807.10300) and the interpretable variational encoder (Lucie-Smith et al. 2022,
arXiv:2203.08827). The encoder looks at the input alone and gives a normal distribution for each latent variable; the decoder sees
latent variables and the question. The loss is the mean square error, over questions, of an answer from a draw, plus beta times the
Kullback-Leibler divergence of these distributions from a standard normal one (Higgins et al. 2017).

What beta does. Where the answer depends linearly on Gaussian factors, the optimum is that of Tipping & Bishop (1999) with a noise
of variance beta/2: latent variables are the principal components of the answers over all questions; the one of variance lambda has
KL ln(2 lambda/beta)/2, and none, KL 0, where lambda < beta/2 (Lucas et al. 2019, arXiv:1911.02469). So beta says which differences
between answers are worth a latent variable, and those left over are dead.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


def dense(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers of these widths with SiLU between."""
    layers: list[nn.Module] = []
    for given, gives in itertools.pairwise(widths):
        layers += [nn.Linear(given, gives), nn.SiLU()]
    return nn.Sequential(*layers[:-1])


class Encoder(nn.Module):
    """A body that gives (batch, 2 `latents`), read as mean and log-variance of each latent variable.

    Parameters
    ----------
    body : nn.Module
    """

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, channel, *grid) -> mean and log-variance, (batch, latent) each."""
        mean, log_variance = self.body(values).chunk(2, 1)
        return mean, log_variance


class Decoder(nn.Module):
    """Latent variables and a question -> the answer, a number.

    Parameters
    ----------
    latents, width, layers : int
        Latent variables; units of a hidden layer; hidden layers.
    centre, reach : float
        The questions are centre - reach ... centre + reach; the layers see them as -1 ... 1.
    """

    def __init__(self, latents: int, width: int, layers: int, centre: float, reach: float) -> None:
        super().__init__()
        self.centre, self.reach = centre, reach
        self.body = dense([latents + 1, *[width] * layers, 1])

    def forward(self, latents: Tensor, question: Tensor) -> Tensor:
        """(batch, latent), (batch,) -> (batch, 1)."""
        return self.body(torch.cat([latents, (question[:, None] - self.centre) / self.reach], 1))


class Answerer(nn.Module):
    """An encoder, latent variables, and a decoder that is asked a question; it answers from the latent variables' means."""

    def __init__(self, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, values: Tensor, question: Tensor) -> Tensor:
        """(batch, channel, *grid), (batch,) -> (batch, 1)."""
        mean, _ = self.encoder(values)
        return self.decoder(mean, question)


def curve_network(latents: int = 3, points: int = 50, width: int = 128, centre: float = 5.0, reach: float = 5.0) -> Answerer:
    """Looks at a curve of `points` values through two hidden layers; the decoder has three."""
    body = nn.Sequential(nn.Flatten(), dense([points, width, width, 2 * latents]))
    return Answerer(Encoder(body), Decoder(latents, width, 3, centre, reach))


class Cutout(nn.Module):
    """Sees a cube with something in its middle: through three convolutions 3^3 of stride 2, and by its radial profile beside them.

    The profile is the mean of all shells about the middle, a voxel thick, and the logarithmic slopes between neighbouring ones. Two
    dense layers read both. Convolutions alone take far longer to find what thousands of voxels say together, and means of shells in
    the place of slopes hide what sets one profile apart under what they share. Zeros are padded: nothing is periodic.

    Parameters
    ----------
    points : int
        Voxels a side, a multiple of 8.
    width, numbers : int
        Channels of the first convolution, twice as many after it; numbers that it gives.
    """

    weights: Tensor
    mean: Tensor
    spread: Tensor

    def __init__(self, points: int, width: int, numbers: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for given, gives in ((1, width), (width, 2 * width), (2 * width, 2 * width)):
            layers += [nn.Conv3d(given, gives, 3, 2, padding=1), nn.SiLU()]
        self.convolutions = nn.Sequential(*layers, nn.Flatten())
        self.register_buffer("weights", _profile(points), persistent=False)
        count = self.weights.shape[1]
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("spread", torch.ones(count))
        self.read = dense([2 * width * (points // 8) ** 3 + count, 64, 64, numbers])

    def standardise(self, values: Tensor) -> None:
        """See radial profiles relative to the mean and the spread of these, (batch, 1, points, points, points)."""
        profile = values.flatten(1) @ self.weights
        self.mean, self.spread = profile.mean(0), profile.std(0)

    def forward(self, values: Tensor) -> Tensor:
        """(batch, 1, points, points, points) -> (batch, numbers)."""
        profile = (values.flatten(1) @ self.weights - self.mean) / self.spread
        return self.read(torch.cat([self.convolutions(values), profile], 1))


def _profile(points: int) -> Tensor:
    """What the voxels of a cube are multiplied with: (voxel, 1 + slopes)."""
    places = torch.arange(points) - (points - 1) / 2
    radius = (places[:, None, None] ** 2 + places[:, None] ** 2 + places**2).sqrt().flatten()
    shells = nn.functional.one_hot(radius.floor().long()).float()
    shells = shells / shells.sum(0)
    return torch.cat([shells.mean(1, keepdim=True), shells.diff(dim=1) / (radius @ shells).log10().diff()], 1)


def cutout_network(latents: int = 4, points: int = 16, width: int = 16, centre: float = -0.699, reach: float = 0.602) -> Answerer:
    """Looks at a cube; the decoder has two hidden layers."""
    return Answerer(Encoder(Cutout(points, width, 2 * latents)), Decoder(latents, 128, 2, centre, reach))


def divergence_from_prior(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL of N(mean, variance) from N(0, 1) in nats, of each latent variable of each sample.

    (mean^2 + variance - ln variance - 1)/2; Kingma & Welling 2014 (arXiv:1312.6114), appendix B.
    """
    return (mean.square() + log_variance.exp() - log_variance - 1) / 2


def loss(network: Answerer, values: Tensor, questions: Tensor, truth: Tensor, beta: float, generator: torch.Generator) -> Tensor:
    """Mean square error of the answers from one draw a sample plus beta KL.

    Parameters
    ----------
    values : Tensor, (batch, channel, *grid)
    questions, truth : Tensor, (batch, question)
    beta : float
    generator : torch.Generator

    Returns
    -------
    Tensor, a number
    """
    mean, log_variance = network.encoder(values)
    draw = mean + (log_variance / 2).exp() * torch.randn(mean.shape, generator=generator)
    answers = network.decoder(draw.repeat_interleave(questions.shape[1], 0), questions.flatten())
    error = (answers[:, 0] - truth.flatten()).square().mean()
    return error + beta * divergence_from_prior(mean, log_variance).sum(1).mean()


def train(
    network: Answerer,
    draw: Callable[[torch.Generator], tuple[Tensor, Tensor, Tensor]],
    beta: float,
    minutes: float,
    peak: float,
    early: float = 0.03,
    steps: int = 0,
) -> None:
    """Train for a given time of the processor, or for a number of steps, in place.

    Adam; the learning rate rises over 2 % of the time and falls to zero as a cosine of it, so that a slower machine ends as
    smoothly. Beta falls from `early`, exponentially over half of the time: latent variables come to life one by one, the largest
    component first, where all at once they share components among them.

    Parameters
    ----------
    network : Answerer
    draw : function of a generator
        Gives a batch: values, questions and their true answers, as `loss` takes them.
    beta, minutes, peak : float
        Weight of the KL in the end; length, of one core; highest learning rate.
    early : float
        Beta at the start, by default so much that one latent variable is worth it at most.
    steps : int
        In the place of `minutes`, the same on every machine; 0: none.
    """
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(network.parameters(), lr=peak)
    start, step, told = time.process_time(), 0, 0.0
    while (spent := step / steps if steps else (time.process_time() - start) / 60 / minutes) < 1:
        for group in optimiser.param_groups:
            group["lr"] = peak * min(1.0, spent / 0.02) * 0.5 * (1 + math.cos(math.pi * spent))
        optimiser.zero_grad()
        found = loss(network, *draw(generator), max(beta, beta * (early / beta) ** (1 - 2 * spent)), generator)
        found.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        step += 1
        if spent - told > 0.1:
            told = spent
            print(f"{100 * spent:3.0f} %  step {step:6d}  loss {found.item():.3e}", flush=True)
