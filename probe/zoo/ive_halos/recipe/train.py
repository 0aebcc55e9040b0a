"""Training of the network on a stock of haloes, each time under a symmetry of the cube and with noise drawn anew."""

from __future__ import annotations

import torch
from torch import Tensor

from probe.zoo.encoders import Answerer, Cutout, cutout_network, train
from probe.zoo.ive_halos.recipe.haloes import RADII, cutouts, draw, noisy, profiles

STOCK, SEED, BATCH = 4096, 1, 32
WAKING_BETA, BETA = 4e-5, 6e-5
# What the description says of either side: the network sees (x - shift) / scale.
SEEN_SHIFT, SEEN_SCALE, ANSWER_SHIFT = 2.8, 0.5, 3.8


class Stock:
    """Haloes without noise, made once, and batches of them."""

    def __init__(self, count: int, seed: int) -> None:
        haloes = draw(count, torch.Generator().manual_seed(seed))
        some = [haloes[part] for part in torch.arange(count).split(16)]
        self.seen = torch.cat([cutouts(h.float()).half() for h in some])
        self.profiles = torch.cat([profiles(h) for h in some]).float() - ANSWER_SHIFT

    def batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Cutouts (n, 1, 16, 16, 16), log10 of all radii (n, 25) and the profiles there (n, 25)."""
        chosen = torch.randint(len(self.seen), (BATCH,), generator=generator)
        order = (torch.randperm(3, generator=generator) + 2).tolist()
        mirrored = [axis for axis in (2, 3, 4) if torch.rand((), generator=generator) < 0.5]
        values = noisy(self.seen[chosen].float().permute(0, 1, *order).flip(mirrored), generator)
        return normalised(values), RADII.log10().float().expand(BATCH, -1), self.profiles[chosen]


def normalised(values: Tensor) -> Tensor:
    """Cutouts as the network sees them."""
    return (values - SEEN_SHIFT) / SEEN_SCALE


def trained(minutes: float) -> Answerer:
    """The network after so many minutes, in three cycles.

    When beta has come down, the third latent variable, which holds half a per cent of the answers' variance, has only just come to
    life: the learning rate starts again (Loshchilov & Hutter 2017, arXiv:1608.03983). The fourth has not quite died then, and does
    not under that beta: it ends with a larger one.
    """
    torch.manual_seed(0)
    network, stock = cutout_network(), Stock(STOCK, SEED)
    assert isinstance(network.encoder.body, Cutout)
    network.encoder.body.standardise(normalised(noisy(stock.seen[:1024].float(), torch.Generator().manual_seed(SEED))))
    train(network, stock.batch, WAKING_BETA, minutes / 3, peak=2e-3)
    train(network, stock.batch, WAKING_BETA, 0.4 * minutes, peak=1.2e-3, early=WAKING_BETA)
    train(network, stock.batch, BETA, 0.8 / 3 * minutes, peak=1.2e-3, early=BETA)
    return network
