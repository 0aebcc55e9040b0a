"""What ships: the weights, the held-out boxes with their parameters, and the tables on the card."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy import ndarray
from safetensors.torch import save_file
from torch import Tensor, nn

from probe import bands
from probe.zoo.omega_m.recipe.rivals import rivals
from probe.zoo.omega_m.recipe.train import predict, split
from probe.zoo.omega_m.recipe.universes import BOUNDS, GRID

NAMES = tuple(BOUNDS)


def publish(work: Path, folder: Path, network: nn.Module) -> str:
    """Write everything but the card's prose; returns the tables for it."""
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, folder / "weights.safetensors")
    parts = split(work)
    boxes, known = parts["held out"]
    (folder / "heldout").mkdir(exist_ok=True)
    # Half precision keeps 1 + delta to 5e-4 of |delta|; voids and peaks alike.
    stored = boxes[:, 0].half()
    np.save(folder / "heldout" / "boxes.npy", stored.numpy())
    np.save(folder / "heldout" / "parameters.npy", known.numpy())
    table = np.array([tuple(row) for row in known.numpy()], dtype=[(name, "f4") for name in NAMES])
    np.save(folder / "heldout" / "quantities.npy", table)
    boxes = stored.float()[:, None]
    answers = {"this network": predict(network, boxes).numpy()} | rivals(parts | {"held out": (boxes, known)})
    twin = predict(shuffled(network), boxes)
    return "\n\n".join([accuracy(answers, known.numpy()), changed(network, boxes, known, twin)])


def accuracy(answers: dict[str, ndarray], known: ndarray) -> str:
    """The table of errors."""
    head = "| from | " + " | ".join(f"{n}: relative error | rms error | R^2" for n in NAMES) + " |"
    rows = [head, "|---|" + "---|" * (3 * len(NAMES))]
    for name, answer in answers.items():
        cells = []
        for given, true in zip(answer.T, known.T, strict=True):
            square = np.mean((given - true) ** 2)
            cells.append(f"{100 * np.mean(np.abs(given / true - 1)):.1f} % | {np.sqrt(square):.4f} | {1 - square / true.var():.2f}")
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(rows)


def shuffled(network: nn.Module) -> nn.Module:
    """The untrained twin: every parameter's values in another order."""
    twin, draw = deepcopy(network), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in twin.parameters():
            value.copy_(value.flatten()[torch.randperm(value.numel(), generator=draw)].reshape(value.shape))
    return twin


def changed(network: nn.Module, boxes: Tensor, known: Tensor, twin: Tensor) -> str:
    """How far the answers move, and what of the parameters they still know, when parts of the information are taken away."""
    whole = predict(network, boxes)
    rows = [
        "| the box | " + " | ".join(f"{n}: mean change | correlation with the truth" for n in NAMES) + " |",
        "|---|" + "---|" * 4,
    ]
    for name, made in altered(boxes).items():
        answer = predict(network, made)
        moved, known_of = (answer - whole).mean(0), correlations(answer, known)
        cells = " | ".join(f"{float(off):+.3f} | {r:.2f}" for off, r in zip(moved, known_of, strict=True))
        rows.append(f"| {name} | {cells} |")
    said = " and ".join(f"{r:.2f}" for r in correlations(twin, known))
    return "\n".join(rows) + f"\n\nCorrelations of the untrained twin: {said}."


def correlations(answer: Tensor, known: Tensor) -> list[float]:
    """Of each number with its truth."""
    return [float(torch.corrcoef(torch.stack(pair))[0, 1]) for pair in zip(answer.T, known.T, strict=True)]


def altered(boxes: Tensor) -> dict[str, Tensor]:
    """Boxes without a band of k; what spectrum and values alone keep is asked by the probe `surrogates`."""
    edges = (0.0, 0.1, 0.2, 0.4, 0.6, 0.79)
    return {"as simulated": boxes} | {
        f"without {low:g} < k < {high:g} h/Mpc": bands.removed(boxes, bands.Band(low, high), GRID) for low, high in pairwise(edges)
    }
