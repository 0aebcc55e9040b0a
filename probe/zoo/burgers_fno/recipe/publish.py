"""What ships: the weights, the held-out pairs, and the figures on the card."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from probe.zoo.architectures import FNO
from probe.zoo.burgers_fno.recipe.burgers import evolve
from probe.zoo.burgers_fno.recipe.pairs import initial

HELD_OUT_SEED, HELD_OUT = 0, 16
TEST_SEED, TEST = 2, 1000


def publish(folder: Path, network: FNO) -> str:
    """Write the weights and the held-out pairs; returns the figures for the card."""
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, folder / "weights.safetensors")
    (folder / "heldout").mkdir(exist_ok=True)
    given = initial(HELD_OUT, HELD_OUT_SEED)
    for number, (before, after) in enumerate(zip(given.float(), evolve(given).float(), strict=True)):
        np.save(folder / "heldout" / f"input_{number:02d}.npy", before.numpy())
        np.save(folder / "heldout" / f"truth_{number:02d}.npy", after.numpy())
    return figures(network)


@torch.no_grad()
def figures(network: FNO) -> str:
    """Error on many fresh fields, all together and by the size of the mean, in the card's words."""
    given = initial(TEST, TEST_SEED)
    truth = torch.cat([evolve(some) for some in given.split(64)])
    answer = network(given.float()).double()
    mean = given.mean(2).abs().flatten()
    rows = [("all", mean >= 0), *((f"{low} to {low + 1}", mean.floor() == low) for low in range(3)), ("3 and more", mean >= 3)]
    lines = [f"rms of the input {float(given.square().mean().sqrt()):.4f}, of the answer {float(truth.square().mean().sqrt()):.4f}"]
    lines += ["", "| abs(mean) | fields | relative error | of the waves | median | worst |", "|---|---|---|---|---|---|"]
    lines += [f"| {name} | {int(some.sum())} | {_errors(answer[some], truth[some])} |" for name, some in rows if some.any()]
    return "\n".join(lines)


def _errors(answer: Tensor, truth: Tensor) -> str:
    """Over all fields relative to the truth and to the truth without its mean, then the median and the largest of one field."""
    off = answer - truth
    waves = truth - truth.mean(2, keepdim=True)
    each = off.norm(dim=2) / truth.norm(dim=2)
    return " | ".join(f"{float(x):.4f}" for x in (off.norm() / truth.norm(), off.norm() / waves.norm(), each.median(), each.max()))
