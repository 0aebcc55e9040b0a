"""What is wrong with a field that is put in, or with an answer that comes out, told in one sentence."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from probe.description import Description
from probe.errors import InputError
from probe.fields import Field
from probe.model.calling import found


def check_field(field: Field, description: Description, name: str) -> None:
    """Refuse a field that the model was not described for."""
    grid, own, channels = field.grid, description.grid, field.values.shape[1]
    if grid.dimension != own.dimension or channels != description.channels_in:
        raise InputError(
            f"{name} takes {description.channels_in} channels on a {own.dimension}-dimensional grid; found {channels} "
            f"on {grid.dimension} dimensions: give it a field of the inputs that its description names"
        )
    if len(field) == 0:
        raise InputError(f"{name} was given no sample at all; give a field with at least one")
    if not torch.isfinite(field.values).all():
        raise InputError(f"the input of {name} holds NaN or infinity; give it finite numbers")


def check_answer(answer: Any, expected: tuple[int, ...], given: tuple[int, ...]) -> None:
    """Refuse an answer that is no real tensor of the described shape."""
    if not isinstance(answer, Tensor):
        raise InputError(
            f"the model returned {found(answer)}; expected one tensor of shape {expected}: "
            "choose an item by `output` in [call] of its description, or write an adapter"
        )
    shape = tuple(answer.shape)
    if answer.is_complex():
        raise InputError(f"the model returned complex numbers of shape {shape}; give each part a channel of its own")
    if shape != expected:
        raise InputError(
            f"the model returned the shape {shape} for an input of {given}; expected {expected}: "
            "check the outputs and the grid in its description"
        )


def check_finite(answers: Tensor, field: Field) -> None:
    """Refuse answers that hold NaN or infinity."""
    if not torch.isfinite(answers).all():
        bad = int((~torch.isfinite(answers)).flatten(1).any(1).sum())
        raise InputError(
            f"the model returned NaN or infinity for {bad} of {len(answers)} inputs of rms {field.norm().max():.3g}; "
            "check its weights, and shift and scale in its description"
        )
