"""Models with latent variables that are known in closed form, on any grid and of any kind of quantity."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from probe.description import DataSource, Description, Representation
from probe.fields import Quantity
from probe.grid import Grid
from probe.loading import load
from probe.model import FieldModel
from probe.runner import make_pairs
from probe.runner.subject import LocalSubject
from probe.zoo.oracles import Bottleneck, LinearDecoder, LinearEncoder

STD = (0.1, 0.5, 1.0)
GIVES = ("mean", "log_variance")
COUNT = 60


def patterns(grid: Grid, width: int, count: int = 3, dead: Sequence[int] = (2,)) -> Tensor:
    """Orthogonal waves in one component after another, (count, width, *grid); those that are dead are zero."""
    x = grid.positions()[0] / grid.box[0]
    made = torch.zeros(count, width, *grid.shape, dtype=torch.float64)
    for i in range(count):
        made[i, i % width] = 0.0 if i in dead else (1 + i) * torch.cos(2 * torch.pi * (i + 1) * x).expand(grid.shape)
    return made


def coefficients(count: int = 3, samples: int = COUNT) -> np.ndarray:
    """Factors of the samples, of order one and independent: (sample, count)."""
    return np.random.default_rng(7).normal(size=(samples, count)) * np.sqrt([1, 0.5, 1.0, 1.0][:count])


def encoded(
    network: nn.Module,
    grid: Grid,
    inputs: np.ndarray,
    targets: np.ndarray,
    quantity: Quantity,
    output: Quantity | None = None,
    code: Mapping[str, Callable[..., Any]] | None = None,
    beside: Mapping[str, Any] | None = None,
    **about: Any,
) -> FieldModel:
    """A float64 model with pairs that a function gives."""
    about = {"representation": Representation("encoder", GIVES)} | about
    about["data"] = about.get("data", DataSource("made:pairs"))
    described = Description(grid, (quantity,), (output or quantity,), name="made", **about)

    def pairs() -> tuple[Any, ...]:
        return (inputs, targets) if beside is None else (inputs, targets, beside)

    return FieldModel(network, described, code={"made:pairs": pairs, **(code or {})}, dtype=torch.float64, sha256="0" * 64)


def bottleneck(
    grid: Grid,
    kind: str = "scalar",
    dead: Sequence[int] = (2,),
    std: Sequence[float] = STD,
    change: Callable[[nn.Module, nn.Module], nn.Module] = Bottleneck,
    samples: int = COUNT,
    **about: Any,
) -> FieldModel:
    """Latent variables that are the coefficients of waves, and the field of those waves back again."""
    quantity = Quantity("field", kind, unit="m", rms=1.0)  # type: ignore[arg-type]
    waves = patterns(grid, quantity.width(grid), dead=dead)
    fields = np.tensordot(coefficients(samples=samples), waves.numpy(), 1)
    return encoded(change(LinearEncoder(waves, std), LinearDecoder(waves)), grid, fields, fields, quantity, **about)


def recorded(folder: Path, mean: np.ndarray, std: np.ndarray | None = None, said: str = "", **columns: np.ndarray) -> FieldModel:
    """Latent variables that were recorded, with quantities beside them; `said` goes on with the table [data]."""
    np.save(folder / "mean.npy", mean)
    text = 'schema = 1\n[representation]\nmean = "mean.npy"\n'
    if std is not None:
        np.save(folder / "std.npy", std)
        text += 'std = "std.npy"\n'
    if columns:
        np.savez(folder / "known.npz", **columns)
        text += f'[data]\nquantities = "known.npz"\n{said}'
    (folder / "recorded.probe.toml").write_text(text)
    return load(folder / "recorded.probe.toml")


def subject(model: FieldModel, name: str = "model") -> LocalSubject:
    """The model as a probe is handed it."""
    return LocalSubject(name, model, make_pairs(model, None), "default", 0, "latents")
