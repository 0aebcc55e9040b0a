"""Sums of rows, in one pass over them at the speed of memory, with derivatives of every order.

What embeddings of bags of words are made of, which is as fast as a bare copy and torch differentiates once, backwards. The sum is
linear: along a tangent it is that of the tangent, and its gradient hands each row what its bag was given.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional


def sum_of_bags(values: Tensor, rows: Tensor, starts: Tensor) -> Tensor:
    """Sum of each bag of rows.

    Parameters
    ----------
    values : Tensor, (all rows, m)
    rows : Tensor, (r,), int64
        Which rows are summed, bag after bag, each at most once.
    starts : Tensor, (bags,), int64
        Where in `rows` each bag begins; none is empty.

    Returns
    -------
    Tensor, (bags, m)
    """
    if values.requires_grad or forward_ad.unpack_dual(values).tangent is not None:
        return _Bags.apply(values, rows, starts)
    return functional.embedding_bag(rows, values, starts, mode="sum")


class _Bags(torch.autograd.Function):
    """The same with every derivative, forward, backward and batched."""

    @staticmethod
    def forward(values: Tensor, rows: Tensor, starts: Tensor) -> Tensor:
        return functional.embedding_bag(rows, values, starts, mode="sum")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        values, *ctx.bags = inputs
        ctx.length = len(values)

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor, None, None]:
        rows, starts = ctx.bags
        group = torch.searchsorted(starts, torch.arange(len(rows), device=rows.device), right=True) - 1
        return given.new_zeros(ctx.length, given.shape[1]).index_copy(0, rows, given.index_select(0, group)), None, None

    @staticmethod
    def jvp(ctx: Any, along: Tensor, *_: None) -> Tensor:
        return _Bags.apply(along, *ctx.bags)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int, None, None], values: Tensor, *bags: Tensor) -> tuple[Tensor, int]:
        beside = values.movedim(in_dims[0], 1)
        return _Bags.apply(beside.flatten(1), *bags).unflatten(1, beside.shape[1:]), 1
