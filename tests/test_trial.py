"""The first questions to a model: what repeats itself is left alone, what does not is told."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from probe.description import Description
from probe.errors import InputError
from probe.fields import Quantity
from probe.grid import Grid
from probe.model import FieldModel
from probe.model.trial import trial

SCALAR = (Quantity("field"),)
DESCRIPTION = Description(Grid.cubic(32, 1.0, 1), SCALAR, SCALAR)


class Noisy(nn.Module):
    """What it is given, with a relative error that differs from call to call."""

    def __init__(self, noise: float, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.noise, self.weight = noise, nn.Parameter(torch.ones(1, dtype=dtype))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.weight * values * (1 + self.noise * torch.randn_like(values))


class Counting(nn.Module):
    """Grows a little with each call."""

    calls = 0

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return values * (1 + 0.01 * self.calls)


class Remembering(nn.Module):
    """Adds a trace of what it was asked last."""

    last: torch.Tensor | float = 0.0

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        answer, self.last = values + 0.1 * self.last, values.clone()
        return answer


@pytest.mark.parametrize(
    ("noise", "dtype", "told"),
    [
        (0.0, torch.float32, False),
        (1e-6, torch.float32, False),  # sums in another order, as on a GPU
        (1e-2, torch.float32, True),
        (1e-6, torch.float64, True),
        (1e-3, torch.bfloat16, False),
        (0.1, torch.bfloat16, True),
    ],
)
def test_what_differs_by_more_than_rounding_is_told(noise, dtype, told):
    notes = trial(FieldModel(Noisy(noise, dtype), DESCRIPTION)).notes
    assert [note.startswith("the model is not deterministic in eval mode: the same input twice") for note in notes] == [True] * told


@pytest.mark.parametrize("network", [Counting(), Remembering()])
def test_a_state_between_calls_is_told(network):
    (note,) = trial(FieldModel(network, DESCRIPTION)).notes
    # One that changes with every call cannot be told from chance.
    what = "is not deterministic" if isinstance(network, Counting) else "keeps a state between calls"
    assert note.startswith(f"the model {what}") and note.endswith("verdicts below mean little until that is mended")


def test_dropout_and_normalisation_in_eval_mode_are_no_chance():
    network = nn.Sequential(nn.BatchNorm1d(1), nn.Dropout(0.5))
    network.train()
    assert trial(FieldModel(network, DESCRIPTION)).notes == ()
    assert network[1].training


def test_it_takes_time_and_counts_no_pass():
    model = FieldModel(Noisy(0.0), DESCRIPTION)
    assert trial(model).seconds > 0 and model.passes == 0


def test_a_model_without_an_answer_is_left_to_the_probes():
    found = trial(FieldModel(lambda values: values / 0, DESCRIPTION))
    assert math.isnan(found.seconds) and found.notes == ()


def test_a_grid_that_fits_into_no_memory_is_refused():
    large = Description(Grid.cubic(10**5, 1.0, 3), SCALAR, SCALAR)
    with pytest.raises(InputError, match="100000 x 100000 x 100000 points does not fit into memory; describe a smaller one"):
        trial(FieldModel(lambda values: values, large))
