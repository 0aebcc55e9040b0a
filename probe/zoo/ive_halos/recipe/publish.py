"""What ships: the weights, the held-out haloes with their factors and profiles, and the figures on the card."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from probe.zoo.encoders import Answerer, divergence_from_prior
from probe.zoo.ive_halos.recipe.floor import floor
from probe.zoo.ive_halos.recipe.haloes import POINTS, RADII, SCALE_RADIUS, Haloes, cutouts, draw, noisy, profiles
from probe.zoo.ive_halos.recipe.train import ANSWER_SHIFT, normalised

HELD_OUT_SEED, HELD_OUT = 0, 240
TEST_SEED, TEST = 2, 512
KNOWN_RADII = RADII[::2]
FACTORS = ("normalisation", "inner", "outer", "ratio")


def publish(folder: Path, network: Answerer) -> str:
    """Write the weights and the held-out pairs; returns the figures for the card."""
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, folder / "weights.safetensors")
    (folder / "heldout").mkdir(exist_ok=True)
    for name, values in held_out().items():
        np.save(folder / "heldout" / f"{name}.npy", values)
    return figures(network)


def seen(count: int, seed: int) -> tuple[Haloes, Tensor]:
    """Random haloes and their noisy cutouts, (count, 1, 16, 16, 16) in float32."""
    generator = torch.Generator().manual_seed(seed)
    haloes = draw(count, generator)
    clean = torch.cat([cutouts(haloes[some].float()) for some in torch.arange(count).split(16)])
    return haloes, noisy(clean, generator)


def held_out() -> dict[str, np.ndarray]:
    """Cutouts (240, 1, 16, 16, 16), the profile at the scale radius (240, 1), and a table of what else is known."""
    haloes, values = seen(HELD_OUT, HELD_OUT_SEED)
    table = np.empty(HELD_OUT, dtype=[*((name, "f4") for name in FACTORS), ("log_density", "f4", (len(KNOWN_RADII),))])
    for name in FACTORS:
        table[name] = getattr(haloes, name).numpy()
    table["log_density"] = profiles(haloes, KNOWN_RADII).numpy()
    there = profiles(haloes, torch.tensor([SCALE_RADIUS], dtype=torch.float64))
    return {"input": values.half().numpy(), "truth": there.float().numpy(), "quantities": table}


@torch.no_grad()
def figures(network: Answerer) -> str:
    """Errors and latent variables on fresh haloes, beside rivals and the least error possible, in the card's words."""
    haloes, values = seen(TEST, TEST_SEED)
    mean, log_variance = network.encoder(normalised(values))
    truth = profiles(haloes)
    errors = {"network": answers(network, mean) - truth} | _rivals(values, truth)
    errors["least"] = floor(haloes[:16])[1]
    lines = ["| radius [Mpc/h] | " + " | ".join(errors) + " |", "|---|" + "---|" * len(errors)]
    for place in range(0, len(RADII), 4):
        lines.append(f"| {RADII[place]:.3f} | " + " | ".join(f"{_rms(e[:, place]):.4f}" for e in errors.values()) + " |")
    lines.append("| all | " + " | ".join(f"{_rms(e):.4f}" for e in errors.values()) + " |")
    factors = torch.stack([getattr(haloes, name) for name in FACTORS], 1).numpy()
    r = np.corrcoef(np.concatenate([mean.numpy(), factors], 1).T)[: mean.shape[1], mean.shape[1] :]
    lines += ["", "| latent | KL | " + " | ".join(FACTORS) + " |", "|" + "---|" * 6]
    for place, kl in enumerate(divergence_from_prior(mean, log_variance).mean(0).tolist()):
        lines.append(f"| {place} | {kl:.3f} | " + " | ".join(f"{value:+.3f}" for value in r[place]) + " |")
    return "\n".join(lines)


def answers(network: Answerer, latents: Tensor) -> Tensor:
    """Profiles at all RADII: (n, latent) -> (n, 25), float64, log10 of the density."""
    asked = network.decoder(latents.repeat_interleave(len(RADII), 0), RADII.log10().float().repeat(len(latents)))
    return asked.reshape(len(latents), -1).double() + ANSWER_SHIFT


def shells(values: Tensor) -> Tensor:
    """log10 of the cutouts' density averaged over shells a voxel thick: (n, 13), float64."""
    places = torch.arange(POINTS) - (POINTS - 1) / 2
    radius = (places[:, None, None] ** 2 + places[:, None] ** 2 + places**2).sqrt().floor().long().flatten()
    density = 10 ** values.double().flatten(1)
    total = torch.zeros(len(values), int(radius.max()) + 1, dtype=torch.float64).index_add_(1, radius, density)
    return (total / radius.bincount()).log10()


def _rivals(values: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """Errors of the mean profile, and of a linear regression on the spherically averaged cutout, fitted to haloes of their own."""
    haloes, others = seen(2 * TEST, TEST_SEED + 1)
    fitted = profiles(haloes)
    given, asked = (torch.cat([shells(v), torch.ones(len(v), 1, dtype=torch.float64)], 1) for v in (others, values))
    weights = torch.linalg.lstsq(given, fitted).solution
    return {"linear regression on shells": asked @ weights - truth, "mean profile": fitted.mean(0) - truth}


def _rms(values: Tensor) -> float:
    return float(values.square().mean().sqrt())
