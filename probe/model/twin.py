"""Copies of a network: with its parameters shuffled, or in double precision."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection
from copy import deepcopy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from probe.model.structure import precision_of

_Module = TypeVar("_Module", bound=nn.Module)
_BatchNorm = nn.modules.batchnorm._BatchNorm


def shuffled(
    network: _Module,
    seed: int,
    shape: tuple[int, ...],
    call: Callable[[nn.Module, Tensor], Any],
    only: Collection[str] | None = None,
) -> _Module:
    """A copy in which every parameter, raw and complex ones too, is permuted within its tensor.

    Each tensor keeps its distribution and loses what it learned. The running statistics of batch normalisation belong to
    the old weights: they are estimated again from four Gaussian inputs.

    Parameters
    ----------
    shape : tuple of int
        (channel, *grid) of an input.
    call : callable
        How the network is called on a batch of them.
    only : collection of str, optional
        Names of the parameters that are permuted; all by default. A parameter is permuted alike whatever others are.
    """
    twin = _copy(network)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in twin.named_parameters():
            order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
            if only is None or name in only:
                parameter.copy_(parameter.flatten()[order].view_as(parameter))
        _estimate_statistics(twin, generator, shape, call)
    return twin


def _estimate_statistics(
    network: nn.Module, generator: torch.Generator, shape: tuple[int, ...], call: Callable[[nn.Module, Tensor], Any]
) -> None:
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if not norms:
        return
    network.eval()
    kept = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum, norm.training = None, True  # None: the plain average over the four
    device, dtype = norms[0].running_mean.device, precision_of(network)  # type: ignore[union-attr]
    for _ in range(4):
        call(network, torch.randn(1, *shape, generator=generator).to(device, dtype))
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum, norm.training = momentum, False


def double_copy(network: _Module) -> _Module:
    """A copy with float64 and complex128 weights and buffers (`Module.double` leaves complex ones as they are)."""

    def widen(tensor: Tensor) -> Tensor:
        if tensor.is_complex():
            return tensor.to(torch.complex128)
        return tensor.double() if tensor.is_floating_point() else tensor

    wide: _Module = _copy(network)._apply(widen)  # type: ignore[no-untyped-call]
    return wide


def _copy(network: _Module) -> _Module:
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # torch's, of torch's own code in exported networks
        return deepcopy(network)
