"""Noise of the size that a description tells, to see how a network behaves where nobody has data at hand."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from probe.fields import Quantity
from probe.model.field_model import FieldModel


def typical_input(
    model: FieldModel, generator: torch.Generator, samples: int = 1, shape: Sequence[int] = (), strength: float = 1.0
) -> Tensor:
    """White Gaussian noise in the units of the inputs, on the model's device and in its precision.

    Each channel scatters about its `shift` by its `rms`, or by its `scale` where no rms is known; a number is the same at every
    point.

    Parameters
    ----------
    generator : torch.Generator
        On the CPU, so that every device is given the same.
    shape : sequence of int
        The grid's; by default the described one.
    strength : float
        Multiplies the scatter.

    Returns
    -------
    Tensor, (samples, channel, *shape)
    """
    shape = tuple(shape) or model.grid.shape
    parts = [_of_quantity(model, quantity, generator, samples, shape, strength) for quantity in model.description.inputs]
    return torch.cat(parts, 1).to(model.device, model.physical_dtype)


def _of_quantity(
    model: FieldModel, quantity: Quantity, generator: torch.Generator, samples: int, shape: tuple[int, ...], strength: float
) -> Tensor:
    single = (1,) * len(shape)
    drawn = single if quantity.is_number else shape
    noise = torch.randn(samples, quantity.width(model.grid), *drawn, generator=generator, dtype=torch.float64)
    shift, scale = (torch.tensor(each, dtype=torch.float64).reshape(-1, *single) for each in quantity.constants(model.grid))
    scatter = quantity.rms if quantity.rms is not None else scale.abs()
    return (shift + strength * scatter * noise).expand(-1, -1, *shape)
