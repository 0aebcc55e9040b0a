"""Channels with a meaning: which belong to what, and what does not fit."""

from __future__ import annotations

import math

import pytest
import torch

from probe.errors import InputError
from probe.fields import Field, Quantity, place_of
from probe.grid import Grid

GRID = Grid.cubic(4, 4.0)
QUANTITIES = (Quantity("a"), Quantity("v", "vector"), Quantity("h", "pseudoscalar"), Quantity("w", "pseudovector"))


def _field(samples: int = 2) -> Field:
    values = torch.arange(samples * 8 * 64, dtype=torch.float32).reshape(samples, 8, 4, 4, 4)
    return Field(values, GRID, QUANTITIES)


@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize(
    ("kind", "is_vector", "is_pseudo"),
    [("scalar", False, False), ("pseudoscalar", False, True), ("vector", True, False), ("pseudovector", True, True)],
)
def test_a_vector_takes_one_channel_for_each_axis(kind: str, is_vector: bool, is_pseudo: bool, dimension: int) -> None:
    quantity = Quantity("q", kind)  # type: ignore[arg-type]
    assert (quantity.is_vector, quantity.is_pseudo) == (is_vector, is_pseudo)
    assert quantity.width(Grid.cubic(4, 1.0, dimension)) == (dimension if is_vector else 1)


def test_parts_take_the_channels_in_order() -> None:
    assert [(q.name, (s.start, s.stop)) for q, s in _field().parts()] == [
        ("a", (0, 1)),
        ("v", (1, 4)),
        ("h", (4, 5)),
        ("w", (5, 8)),
    ]


def test_a_part_is_found_by_its_name_and_the_first_without_one() -> None:
    field = _field()
    quantity, values = field.part("h")
    assert quantity is QUANTITIES[2] and torch.equal(values, field.values[:, 4:5])
    quantity, values = field.part()
    assert quantity is QUANTITIES[0] and torch.equal(values, field.values[:, :1])
    with pytest.raises(InputError, match="no quantity 'u'; give one of a, v, h, w"):
        field.part("u")


def test_without_a_name_the_first_field_stands_before_any_number() -> None:
    number, field, other = Quantity("z", "number"), Quantity("a"), Quantity("b")
    assert place_of((number, field, other)) == 1
    assert place_of((number, field, other), "z") == 0
    assert place_of((number, Quantity("t", "number"))) == 0
    values = torch.stack([torch.zeros(4, 4, 4), torch.ones(4, 4, 4)])[None]
    assert Field(values, GRID, (number, field)).part()[0] is field


def test_the_norm_is_the_root_mean_square_of_each_sample() -> None:
    field = _field()
    by_hand = [math.sqrt(sum(x * x for x in sample) / len(sample)) for sample in field.values.flatten(1).tolist()]
    assert field.norm().dtype == torch.float64
    assert field.norm().tolist() == pytest.approx(by_hand, rel=1e-14)
    # Squares of float32 beyond its range are still right: the mean is taken in float64.
    huge = field.with_values(torch.full_like(field.values, 1e30))
    assert huge.norm().tolist() == pytest.approx([float(torch.tensor(1e30))] * 2, rel=1e-14)


def test_a_field_keeps_its_meaning_in_another_precision() -> None:
    field = _field().to(dtype=torch.float64)
    assert field.values.dtype == torch.float64
    assert field.grid is GRID and field.quantities is QUANTITIES and len(field) == 2


@pytest.mark.parametrize("shape", [(2, 7, 4, 4, 4), (2, 8, 4, 4, 5), (8, 4, 4, 4), (2, 8, 4, 4)])
def test_values_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="does not fit 8 channels"):
        Field(torch.zeros(shape), GRID, QUANTITIES)


def test_impossible_quantities_are_refused() -> None:
    with pytest.raises(ValueError, match="a kind is one of scalar, pseudoscalar, vector, pseudovector"):
        Quantity("q", "tensor")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="scale 0"):
        Quantity("q", scale=0.0)
