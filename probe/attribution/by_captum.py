"""The methods that captum does right once its inputs are prepared: DeepLIFT, and what goes when a part is removed."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from probe.attribution.setting import AT_ONCE, Setting
from probe.derivatives import Function
from probe.errors import InputError
from probe.model.batching import Batches


class _Scalar(nn.Module):
    """A function and the network that it calls, as one module: captum hooks the activations of modules."""

    def __init__(self, function: Function, network: nn.Module) -> None:
        super().__init__()
        self.function, self.network = function, network

    def forward(self, values: Tensor) -> Tensor:
        """(batch, channel, *grid) -> (batch,)."""
        return self.function(values)


@contextmanager
def _more_activations() -> Iterator[None]:
    """captum's rule for ReLU holds for every pointwise activation; it lists but six, and takes plain gradients through others."""
    from captum.attr._core import deep_lift as rules

    known = rules.SUPPORTED_NON_LINEAR
    more = [kind for kind in (nn.SiLU, nn.GELU, nn.Mish, nn.Softsign, nn.SELU, nn.CELU, nn.Hardswish) if kind not in known]
    known.update(dict.fromkeys(more, rules.nonlinear))
    try:
        yield
    finally:
        for kind in more:
            del known[kind]


def deep_lift(
    function: Function, values: Tensor, baseline: Tensor, difference: float, setting: Setting, network: nn.Module | None
) -> Tensor:
    """Multipliers; refused where they do not add up, since activations that are no modules go by their gradients in silence."""
    from captum.attr import DeepLift

    if not isinstance(network, nn.Module):
        raise InputError("deep_lift takes the activations of a torch module apart, and this model is a function")
    try:
        with warnings.catch_warnings(), _more_activations(), torch.enable_grad():
            warnings.simplefilter("ignore")
            given = values.detach().clone().requires_grad_()
            found = DeepLift(_Scalar(function, network), multiply_by_inputs=False).attribute(given, baseline)
    except Exception as error:  # hooks meet networks of every make
        first = (str(error).strip().splitlines() or ["no message"])[0][:160]
        raise InputError(f"deep_lift does not go through this network ({type(error).__name__}: {first})") from error
    off = abs(float((found * (values - baseline)).double().sum()) - difference)
    if not off <= setting.tolerance * max(abs(difference), setting.size):
        raise InputError(
            f"deep_lift misses {off:.2g} of the difference {difference:.2g}: an activation of this network is no module of its "
            "own, or multiplies; use integrated_gradients"
        )
    return found.detach()


# Of captum's two, Occlusion rounds its maps to float32 where windows overlap, and leaves cells at a wall to fewer windows. A
# window that slides by half of itself sees what disjoint blocks see from 2^D starts, so that FeatureAblation does both.
def removed(
    function: Function, values: Tensor, baseline: Tensor, method: str, setting: Setting, batches: Batches
) -> tuple[Tensor, int]:
    """Changes under removal, by captum, put through the network in batches of our own: (1, channel, *grid)."""
    from captum.attr import FeatureAblation

    channels, sides = values.shape[1], values.shape[2:]
    window, asked = [min(setting.window, points) for points in sides], 0

    def forward(rows: Tensor) -> Tensor:
        nonlocal asked
        asked += len(rows)
        return batches.run(function, rows)

    # In space that would be eight times as many passes: there blocks do not overlap.
    slides = method == "occlusion" and len(sides) < 3
    starts = list(itertools.product(*[(0, side // 2) if slides and side > 1 else (0,) for side in window]))
    total, at_once = torch.zeros_like(values, dtype=torch.float64), max(1, min(64, AT_ONCE // values[0].numel() // 4))
    for start in starts:
        number = blocks(channels, sides, window, start)
        mask = (
            number.to(values.device)
            if method == "feature_ablation"
            else number[:1].expand_as(number).contiguous().to(values.device)
        )
        found = FeatureAblation(forward).attribute(values, baseline, feature_mask=mask[None], perturbations_per_eval=at_once)
        total += found.double() / torch.bincount(mask.flatten())[mask]
    return (total / len(starts)).to(values.dtype), asked


def blocks(channels: int, sides: Sequence[int], window: Sequence[int], start: Sequence[int] = ()) -> Tensor:
    """Number of the block that each cell of each channel lies in: (channel, *grid), int64.

    Parameters
    ----------
    start : sequence of int, optional
        Cells along each axis that the first block lacks.
    """
    number = torch.arange(channels).reshape(-1, *[1] * len(sides))
    for axis, (points, side, missing) in enumerate(zip(sides, window, start or [0] * len(sides), strict=True)):
        along = (torch.arange(points) + missing) // side
        number = number * (int(along[-1]) + 1) + along.reshape([-1 if a == axis else 1 for a in range(len(sides))])
    return number
