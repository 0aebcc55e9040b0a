"""Parts of a network that a description names: finding them, and watching or replacing what they give while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from probe.description.table import nearest
from probe.errors import InputError
from probe.model import FieldModel
from probe.model.calling import found

# What stands for no spread at all: exp(-60 / 2) is below the rounding of any latent variable of order one.
_NO_SPREAD = {"std": 0.0, "variance": 0.0, "log_std": -30.0, "log_variance": -60.0}


def part_of(model: FieldModel, name: str) -> nn.Module | Callable[..., Any]:
    """A submodule of the network by its dotted name, or else one of its methods.

    Raises
    ------
    InputError
        If it has neither; the nearest name is told.
    """
    network = model.network
    modules = dict(network.named_modules()) if isinstance(network, nn.Module) else {}
    if name and name in modules:
        return modules[name]
    if name and callable(part := getattr(network, name, None)):
        return part  # type: ignore[no-any-return]
    near = nearest(name, [key for key in modules if key])
    some = f"did you mean {near!r}?" if near else f"it has {', '.join(list(filter(None, modules))[:8]) or 'none'}"
    raise InputError(f"{model.name} has no part {name!r}, which [representation] of its description names; {some}")


@contextmanager
def watched(module: nn.Module) -> Iterator[list[Any]]:
    """What a submodule gave in each call meanwhile, the last last."""
    seen: list[Any] = []
    hook = module.register_forward_hook(lambda module, given, answer: seen.append(answer))
    try:
        yield seen
    finally:
        hook.remove()


@contextmanager
def replaced(module: nn.Module, change: Callable[[Any], Any]) -> Iterator[None]:
    """What a submodule gives is changed meanwhile."""
    hook = module.register_forward_hook(lambda module, given, answer: change(answer))
    try:
        yield
    finally:
        hook.remove()


def given_by(model: FieldModel, module: nn.Module, values: Tensor) -> Any:
    """What a submodule gives while the network answers to values in physical units: a pass each, open to gradients.

    Raises
    ------
    InputError
        If the network does not call it.
    """
    with watched(module) as seen:
        model.function(values)
    if not seen:
        raise InputError(
            f"{model.name} answers without calling {type(module).__name__}, which [representation] names; name another part"
        )
    # Whatever the network tries first, such as how much padding it needs, the last call is the one that counts.
    return seen[-1]


def channels_first(values: Tensor, model: FieldModel) -> Tensor:
    """(batch, channel, *space), wherever the network has its channels."""
    last = model.description.call.channels == "last" and values.ndim > 2
    return values.movedim(-1, 1) if last else values


def split(answer: Any, gives: tuple[str, ...], model: FieldModel) -> tuple[Tensor, Tensor | None]:
    """Mean and standard deviation, (batch, latent), of what an encoder gave.

    Raises
    ------
    InputError
        If it gave something else than the description says.
    """
    parts = dict(zip(gives or ("mean",), _parts(answer, gives, model), strict=True))
    flat = {word: channels_first(part, model).flatten(1) for word, part in parts.items()}
    mean, std = flat.pop("mean"), None
    for word, values in flat.items():
        std = _std(values.double(), word)
        if std.shape != mean.shape:
            raise InputError(
                f"the encoder gave a mean of shape {tuple(mean.shape)} and a {word} of {tuple(std.shape)}; mend `gives`"
            )
    return mean, std


def _std(values: Tensor, word: str) -> Tensor:
    if word == "log_std":
        return values.exp()
    if word == "log_variance":
        return (values / 2).exp()
    return values.sqrt() if word == "variance" else values


def _parts(answer: Any, gives: tuple[str, ...], model: FieldModel) -> list[Tensor]:
    """What an encoder gave, item by item or block by block."""
    items = list(answer) if isinstance(answer, (tuple, list)) else []
    if items and len(items) == len(gives) and all(isinstance(part, Tensor) for part in items):
        return items
    if not isinstance(answer, Tensor) or answer.ndim < 2:
        hint = 'say what each item is: gives = ["mean", "log_variance"]' if not gives else f"`gives` says {', '.join(gives)}"
        raise InputError(f"the encoder gave {found(answer)}; {hint}, or write a function that gives (batch, latent)")
    if len(gives) < 2:
        return [answer]
    axis = _channel_axis(answer, model)
    if answer.shape[axis] % len(gives):
        raise InputError(
            f"the encoder gave {answer.shape[axis]} channels, no {len(gives)} equal blocks of {', '.join(gives)}; mend `gives`"
        )
    return list(answer.chunk(len(gives), axis))


def _channel_axis(answer: Tensor, model: FieldModel) -> int:
    return answer.ndim - 1 if model.description.call.channels == "last" and answer.ndim > 2 else 1


def put(answer: Any, latents: Tensor, gives: tuple[str, ...], model: FieldModel) -> Any:
    """An encoder's answer with other latent variables in it, exactly known: the inverse of `split`."""
    whole, made = _parts(answer, gives, model), []
    for word, part in zip(gives or ("mean",), whole, strict=True):
        if word != "mean":
            made.append(torch.full_like(part, _NO_SPREAD[word]))
            continue
        first = channels_first(part, model)
        values = latents.to(part.dtype).reshape(len(latents), *first.shape[1:])
        moved = model.description.call.channels == "last" and part.ndim > 2
        made.append(values.movedim(1, -1) if moved else values)
    if isinstance(answer, Tensor):
        return torch.cat(made, _channel_axis(answer, model))
    return type(answer)(made) if isinstance(answer, list) else tuple(made)
