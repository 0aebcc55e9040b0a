"""The first questions to a model: how long a pass takes, and whether the same question gets the same answer again."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from probe.errors import InputError
from probe.fields import Field
from probe.model.batching import is_out_of_memory
from probe.model.field_model import FieldModel
from probe.model.typical import typical_input


@dataclass(frozen=True)
class Trial:
    """What came out of it.

    Attributes
    ----------
    seconds : float
        Of one forward pass, without the first, which warms up; nan for a model that cannot make one.
    notes : tuple of str
        What is wrong, in sentences.
    """

    seconds: float
    notes: tuple[str, ...] = ()


def trial(model: FieldModel) -> Trial:
    """Ask a model the same twice and something else in between; none of these passes is counted.

    Raises
    ------
    InputError
        If its grid does not fit into memory.
    """
    if not model.description.has_network:
        return Trial(0.0)
    same, other = _fields(model)
    passes = model.passes
    try:
        first = model(same).values
        started = time.monotonic()
        model(other)
        seconds = time.monotonic() - started
        again = model(same).values
        if (moved := _difference(first, again)) <= _rounding(model.dtype):
            return Trial(seconds)
        # A memory of the last input has settled after one more pass; chance never does.
        at_once = _difference(model(same).values, model(same).values)
    except InputError:
        # The probes will meet it too, and each say so in its result.
        return Trial(math.nan)
    finally:
        model.passes = passes
    return Trial(seconds, (_told(moved, at_once, _rounding(model.dtype)),))


def _told(moved: float, at_once: float, rounding: float) -> str:
    if at_once > rounding:
        what = f"is not deterministic in eval mode: the same input twice gave answers that differ by {100 * at_once:.2g} %"
    else:
        what = f"keeps a state between calls: after another input the same one gave an answer that differs by {100 * moved:.2g} %"
    return f"the model {what}; verdicts below mean little until that is mended"


def _fields(model: FieldModel) -> tuple[Field, Field]:
    generator = torch.Generator().manual_seed(0)
    try:
        values = typical_input(model, generator, samples=2)
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            points = " x ".join(map(str, model.grid.shape))
            raise InputError(f"a grid of {points} points does not fit into memory; describe a smaller one") from error
        raise
    same, other = (Field(one[None], model.grid, model.description.inputs) for one in values)
    return same, other


def _difference(first: Tensor, second: Tensor) -> float:
    """|a - b| over the larger of |a| and |b|."""
    first, second = first.double(), second.double()
    change = (first - second).norm()
    return float(change / max(first.norm(), second.norm())) if change else 0.0


def _rounding(precision: torch.dtype) -> float:
    """What sums in another order may change, as they do on a GPU; one in a hundred in half precision, where that is more."""
    return min(1e3 * torch.finfo(precision).eps, 1e-2)
