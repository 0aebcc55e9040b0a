"""Sums of bags of rows: a loop over them, and what a linear map must give under every derivative."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from probe.bags import sum_of_bags

BAGS = [[4, 0], [2], [7, 1, 5]]  # 3 and 6 are in none
ROWS, STARTS = torch.tensor([row for bag in BAGS for row in bag]), torch.tensor([0, 2, 3])


def summed(values: Tensor) -> Tensor:
    return sum_of_bags(values, ROWS, STARTS)


def values(*lead: int) -> Tensor:
    return torch.randn(*lead, 8, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_each_bag_is_the_sum_of_its_rows(dtype: torch.dtype, rounding: float) -> None:
    given = values().to(dtype)
    expected = torch.stack([sum(given[row] for row in bag) for bag in BAGS])
    assert torch.allclose(summed(given), expected, rtol=rounding, atol=rounding)


def test_the_sum_has_derivatives_of_every_order() -> None:
    given = values().requires_grad_()
    assert torch.autograd.gradcheck(
        summed, (given,), check_forward_ad=True, check_batched_grad=True, check_batched_forward_grad=True
    )
    assert torch.autograd.gradgradcheck(lambda x: summed(x).pow(3), (given,))


def test_along_a_tangent_the_sum_is_that_of_the_tangent() -> None:
    given, tangent = values(2)
    assert torch.equal(torch.func.jvp(summed, (given,), (tangent,))[1], summed(tangent))
    each = torch.func.vmap(torch.func.jvp, in_dims=(None, 0, 0))(summed, (values(3),), (values(3),))[1]
    assert torch.equal(each, torch.stack([summed(x) for x in values(3)]))
