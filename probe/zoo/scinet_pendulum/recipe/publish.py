"""What ships: the weights, the held-out pendulums with their factors and curves, and the figures on the card."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from probe.zoo.encoders import Answerer
from probe.zoo.scinet_pendulum.recipe.measure import QUESTIONS, TEST, TEST_SEED, measure
from probe.zoo.scinet_pendulum.recipe.pendulum import LATEST, TIMES, frequency, pendulum, pendulums

HELD_OUT_SEED, HELD_OUT = 0, 1000
QUESTION = 2.5  # s
LATER = torch.arange(1, 21, dtype=torch.float64) * (LATEST / 20)  # of the curves beside the pairs; at 0 all are 1


def publish(folder: Path, network: Answerer) -> str:
    """Write the weights and the held-out pairs; returns the figures for the card."""
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, folder / "weights.safetensors")
    (folder / "heldout").mkdir(exist_ok=True)
    for name, values in held_out().items():
        np.save(folder / "heldout" / f"{name}.npy", values)
    return figures(network)


def held_out() -> dict[str, np.ndarray]:
    """x as it is looked at (1000, 1, 50), where it is at the question's time (1000, 1), and a table of what else is known."""
    damping, spring = pendulums(HELD_OUT, torch.Generator().manual_seed(HELD_OUT_SEED))
    fields = [(name, "f4") for name in ("damping", "spring", "frequency")]
    table = np.empty(HELD_OUT, dtype=[*fields, ("x", "f4", (len(LATER),))])
    for name, values in (("damping", damping), ("spring", spring), ("frequency", frequency(damping, spring))):
        table[name] = values.numpy()
    table["x"] = pendulum(damping, spring, LATER).numpy()
    seen, truth = (pendulum(damping, spring, times).float().numpy() for times in (TIMES, torch.tensor([QUESTION]).double()))
    return {"input": seen[:, None], "truth": truth, "quantities": table}


def figures(network: Answerer) -> str:
    """Errors and latent variables on fresh pendulums, beside two answers that need no network, in the card's words."""
    found = measure(network)
    lines = [f"rms error {found.error:.4f} from means, {found.error_of_draws:.4f} from draws; {_rivals()}"]
    lines += [f"information gap {found.gap:.2f}, modularity {found.modularity:.2f}", ""]
    lines += ["| latent | KL | damping | spring constant | frequency | knows of damping | of the spring |", "|" + "---|" * 7]
    for place, (kl, r, known) in enumerate(zip(found.divergence, found.correlation, found.information, strict=True)):
        numbers = (f"{kl:.3f}", *(f"{value:+.3f}" for value in r), *(f"{value:.2f}" for value in known))
        lines.append(f"| {place} | {' | '.join(numbers)} |")
    return "\n".join(lines)


def _rivals() -> str:
    """Errors of the mean pendulum and of linear regressions, one for each question, fitted to pendulums of their own."""
    drawn = [pendulums(TEST, torch.Generator().manual_seed(seed)) for seed in (TEST_SEED + 1, TEST_SEED)]
    (seen, given), (fitted, truth) = ([pendulum(*factors, times) for factors in drawn] for times in (TIMES, QUESTIONS))
    centre = seen.mean(0)
    _, axes = torch.linalg.eigh((seen - centre).T @ (seen - centre))
    found = {"the mean pendulum": _rms(truth - fitted.mean(0))}
    for count, name in ((2, "linear regressions on two principal components"), (len(TIMES), "on all fifty values")):
        known, asked = (_with_one((values - centre) @ axes[:, -count:]) for values in (seen, given))
        # Fifty values of two factors are nearly dependent: what single precision cannot tell apart is left out.
        weights = torch.linalg.lstsq(known, fitted, rcond=1e-6, driver="gelsd").solution
        found[name] = _rms(truth - asked @ weights)
    return ", ".join(f"{name} {error:.4f}" for name, error in found.items())


def _with_one(values: Tensor) -> Tensor:
    return torch.cat([values, torch.ones_like(values[:, :1])], 1)


def _rms(values: Tensor) -> float:
    return float(values.square().mean().sqrt())
