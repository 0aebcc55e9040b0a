"""Principal components of a layer: the latent variables of a network that has no encoder.

Which covariance? A layer answers (channel, *space). Over samples alone the spatial means of a few samples would span fewer
directions than there are channels, and in a large box each mean is close to that of all: what the layer tells apart, it
tells apart from place to place. So the components are those of the channels over all points of all samples, and a sample's latent
variable is the mean over space of its projection. A layer without space, of a dense network, has one point: there it is the
usual principal-component analysis over samples. A traversal adds a component to every point alike, which moves the sample's latent
variable by as much and leaves the pattern in space as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from probe.errors import InputError
from probe.latents.parts import channels_first, given_by
from probe.model import FieldModel
from probe.model.calling import found

SHARE, MOST, WIDEST = 0.95, 8, 4096


@dataclass(frozen=True)
class Components:
    """Principal components of a layer's channels.

    Attributes
    ----------
    centre : ndarray, (channel,)
        Mean over all points of all samples.
    directions : ndarray, (component, channel)
        Orthonormal, those that are kept; the largest entry of each is positive.
    variances : ndarray, (channel,)
        Of all components, falling.
    """

    centre: np.ndarray
    directions: np.ndarray
    variances: np.ndarray


def channels_of(model: FieldModel, module: nn.Module, values: Tensor) -> Tensor:
    """What a layer gives for values in physical units: (batch, channel, point).

    Raises
    ------
    InputError
        If it gives no tensor with channels, or too many of them.
    """
    answer = given_by(model, module, values)
    if not isinstance(answer, Tensor) or answer.ndim < 2:
        raise InputError(f"the layer gave {found(answer)}; name one that gives a tensor (batch, channel, ...)")
    flat = channels_first(answer, model).flatten(2) if answer.ndim > 2 else answer[..., None]
    if flat.shape[1] > WIDEST:
        raise InputError(f"the layer has {flat.shape[1]} channels, too many for principal components; name a narrower one")
    return flat


def moments_of(model: FieldModel, module: nn.Module, values: Tensor) -> Tensor:
    """Of each sample the mean over space and the products of channels: (batch, channel, 1 + channel), float64."""
    flat = channels_of(model, module, values).double()
    return torch.cat([flat.mean(2, keepdim=True), flat @ flat.mT / flat.shape[2]], 2)


def components_of(means: np.ndarray, products: np.ndarray, count: int = 0) -> Components:
    """From the mean over space of each sample, (sample, channel), and the mean product of channels over everything.

    Parameters
    ----------
    count : int
        How many are kept; 0: those that hold 95 % of the variance, eight at most.
    """
    centre = means.mean(0)
    variances, directions = np.linalg.eigh(products - np.outer(centre, centre))
    variances, directions = np.maximum(variances[::-1], 0.0), directions.T[::-1]
    if not count:
        held = np.cumsum(variances) / max(variances.sum(), np.finfo(float).tiny)
        count = min(MOST, 1 + int(np.searchsorted(held, SHARE)))
    kept = directions[: min(count, len(directions))]
    largest = kept[np.arange(len(kept)), np.abs(kept).argmax(1)]
    return Components(centre, kept * np.sign(largest)[:, None], variances)


def projected(values: Tensor, components: Components) -> Tensor:
    """Latent variables of (batch, channel, point): (batch, component)."""
    centre, directions = (torch.from_numpy(array).to(values) for array in (components.centre, components.directions))
    return (values.mean(2) - centre) @ directions.T


def moved(answer: Tensor, change: Tensor, components: Components, model: FieldModel) -> Tensor:
    """What a layer gave with a change of its latent variables, (batch, component), added to every point alike."""
    added = change.to(answer.device, torch.float64) @ torch.from_numpy(components.directions).to(answer.device)
    last = model.description.call.channels == "last" and answer.ndim > 2
    space = (1,) * (answer.ndim - 2)
    return answer + added.to(answer.dtype).reshape((len(added), *space, -1) if last else (len(added), -1, *space))


def participation_ratio(variances: Sequence[float] | np.ndarray) -> float:
    """(sum of variances)^2 / sum of their squares: n for n equal ones (Gao et al. 2017, bioRxiv 214262)."""
    values = np.asarray(variances, dtype=float)
    return float(values.sum() ** 2 / max((values**2).sum(), np.finfo(float).tiny))
