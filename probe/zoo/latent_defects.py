"""Encoders and decoders that are wrong in just one way: what the probes of latent variables must catch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from probe.zoo.oracles import Bottleneck


class Collapsed(nn.Module):
    """An encoder whose distributions are drawn to the prior by a share `strength`: at 1 they are N(0, 1), whatever it sees."""

    def __init__(self, encoder: nn.Module, strength: float = 1.0) -> None:
        super().__init__()
        self.encoder, self.strength = encoder, strength

    def forward(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, channel, *grid) -> mean and log-variance, (batch, latent) each."""
        mean, log_variance = self.encoder(values)
        return (1 - self.strength) * mean, (1 - self.strength) * log_variance


class Displaced(nn.Module):
    """An encoder whose means are all off by `strength`, away from where the prior is."""

    def __init__(self, encoder: nn.Module, strength: float = 1.0) -> None:
        super().__init__()
        self.encoder, self.strength = encoder, strength

    def forward(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, channel, *grid) -> mean and log-variance, (batch, latent) each."""
        mean, log_variance = self.encoder(values)
        return mean + self.strength, log_variance


class Deaf(nn.Module):
    """A decoder that takes one latent variable times 1 - strength: at 1 it ignores what the encoder pays for."""

    def __init__(self, decoder: nn.Module, latent: int = 0, strength: float = 1.0) -> None:
        super().__init__()
        self.decoder, self.latent, self.strength = decoder, latent, strength

    def forward(self, latents: Tensor) -> Tensor:
        """(batch, latent) -> the decoder's answer."""
        heard = torch.ones(latents.shape[1], dtype=latents.dtype, device=latents.device)
        heard[self.latent] = 1 - self.strength
        answer: Tensor = self.decoder(latents * heard)
        return answer


class Leaking(nn.Module):
    """A decoder into which one latent variable leaks: `strength` times it is added to another."""

    def __init__(self, decoder: nn.Module, latent: int, into: int = 0, strength: float = 1.0) -> None:
        super().__init__()
        self.decoder, self.latent, self.into, self.strength = decoder, latent, into, strength

    def forward(self, latents: Tensor) -> Tensor:
        """(batch, latent) -> the decoder's answer."""
        added = torch.zeros_like(latents)
        added[:, self.into] = self.strength * latents[:, self.latent]
        answer: Tensor = self.decoder(latents + added)
        return answer


class Drawing(Bottleneck):
    """It answers from a draw and not from the means, `strength` being the share of the spread: another answer each time."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, strength: float = 1.0) -> None:
        super().__init__(encoder, decoder)
        self.strength = strength

    def forward(self, values: Tensor) -> Tensor:
        """(batch, channel, *grid) -> the same."""
        mean, log_variance = self.encoder(values)
        answer: Tensor = self.decoder(mean + self.strength * (log_variance / 2).exp() * torch.randn_like(mean))
        return answer
