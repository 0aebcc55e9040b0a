"""How a field gets into a network and its answer out, as the table [call] of a description says."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from probe.description import Description
from probe.errors import InputError


@dataclass(frozen=True)
class Caller:
    """Calls a network on (batch, channel, *grid), and gives the answer as (batch, channel, *grid), both as the network sees them.

    Attributes
    ----------
    description : Description
    parameters : mapping of str to float
        The conditioning.
    adapter : callable or None
        Calls the network in the place of all this.
    """

    description: Description
    parameters: Mapping[str, float]
    adapter: Callable[..., Any] | None = None

    def __call__(self, network: Callable[..., Any], values: Tensor) -> Any:
        """The network's answer; not a tensor of the described shape where the network gives something else."""
        conditioning = self.conditioning(values)
        if self.adapter is not None:
            answer = self.adapter(network, values, **conditioning)
            return self._spread(answer, values) if isinstance(answer, Tensor) else answer
        arguments, keywords = self._arguments(values, conditioning)
        return self.shaped(network(*arguments, **keywords), values)

    def conditioning(self, values: Tensor) -> dict[str, Tensor]:
        """The parameters, (batch,) each, for so many samples."""
        return {name: values.new_full((len(values),), value) for name, value in self.parameters.items()}

    def shaped(self, answer: Any, values: Tensor, bare: bool = False) -> Any:
        """What the network gives as (batch, channel, *grid), where it can be; a `bare` tensor is the item that `output` names."""
        answer = self._one_of(answer, bare) if self.adapter is None else answer
        return self._spread(answer, values) if isinstance(answer, Tensor) else answer

    def partly(self, part: Callable[..., Any], values: Tensor) -> Any:
        """What a method of the network gives: it is called with what the network is, and of the conditioning with what it names."""
        conditioning = self.conditioning(values)
        along = conditioning if self.description.call.parameters == "channels" else {}
        arguments, keywords = self._arguments(values, along)
        return part(*arguments, **keywords, **named(part, conditioning))

    def _arguments(self, values: Tensor, conditioning: Mapping[str, Tensor]) -> tuple[list[Any], dict[str, Any]]:
        """What the network is called with."""
        call, keywords = self.description.call, dict[str, Any]()
        if conditioning and call.parameters == "channels":
            constant = [v.reshape(-1, 1, *[1] * (values.ndim - 2)).expand(-1, 1, *values.shape[2:]) for v in conditioning.values()]
            values = torch.cat([values, *constant], 1)
        arguments = self._inputs(values)
        if call.inputs in ("keywords", "dict"):
            named = dict(zip((q.name for q in self.description.inputs), arguments, strict=True))
            arguments, keywords = ([named], {}) if call.inputs == "dict" else ([], named)
        elif call.inputs == "list":
            arguments = [arguments]
        if conditioning and call.parameters == "keywords":
            keywords |= conditioning
        elif conditioning and call.parameters == "vector":
            arguments.append(torch.stack(list(conditioning.values()), 1))
        elif call.parameters == "arguments":
            arguments += conditioning.values()
        return arguments, keywords

    def _inputs(self, values: Tensor) -> list[Any]:
        """The field in one tensor or one for each quantity, with the channel axis where the network has it."""
        call = self.description.call
        if call.inputs == "channels":
            return [self._outward(values)]
        widths = [quantity.width(self.description.grid) for quantity in self.description.inputs]
        parts = torch.split(values, widths, 1)
        if call.inputs == "time":
            return [self._outward(torch.stack(parts, 2))]
        numbers = [quantity.is_number for quantity in self.description.inputs]
        return [p.flatten(1)[:, 0] if number else self._outward(p) for p, number in zip(parts, numbers, strict=True)]

    def _outward(self, values: Tensor) -> Tensor:
        return values.movedim(1, -1) if self.description.call.channels == "last" else values

    def _one_of(self, answer: Any, bare: bool = False) -> Any:
        """The item that the description chooses, its channels first."""
        wanted = self.description.call.output
        if wanted != "" and not (bare and isinstance(answer, Tensor)):
            answer = _item(answer, wanted)
        if self.description.call.channels == "last" and isinstance(answer, Tensor) and answer.ndim > 2:
            answer = answer.movedim(-1, 1)
        return answer

    def _spread(self, answer: Tensor, values: Tensor) -> Tensor:
        """An axis of time as channels, one frame after another; plain numbers the same at every point."""
        if self.description.call.inputs == "time" and answer.ndim == values.ndim + 1:
            return answer.transpose(1, 2).flatten(1, 2)
        outputs = self.description.outputs
        if all(quantity.is_number for quantity in outputs) and answer.numel() == len(values) * len(outputs):
            shaped = answer.reshape(len(values), len(outputs), *[1] * (values.ndim - 2))
            return shaped.expand(-1, -1, *values.shape[2:])
        return answer


def named(function: Callable[..., Any], conditioning: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters that a function's signature names."""
    own = inspect.signature(function).parameters
    return {name: value for name, value in conditioning.items() if name in own}


def _item(answer: Any, wanted: str | int) -> Any:
    """An item of what a network returned, by place or by name."""
    try:
        if isinstance(answer, (tuple, list)) and isinstance(wanted, int):
            return answer[wanted]
        if isinstance(answer, Mapping):
            return answer[wanted]
        if isinstance(wanted, str) and not isinstance(answer, Tensor):
            return getattr(answer, wanted)
    except (IndexError, KeyError, AttributeError):
        pass
    raise InputError(f"the model returned {found(answer)}, which has no {wanted!r}; mend `output` in [call] of its description")


def found(answer: object) -> str:
    """What a network returned, in words."""
    if isinstance(answer, Tensor):
        return f"one tensor of shape {tuple(answer.shape)}"
    if isinstance(answer, Mapping):
        return f"a dict with the keys {', '.join(map(repr, answer))}"
    if isinstance(answer, (tuple, list)):
        return f"a {type(answer).__name__} of {len(answer)}"
    return f"an object of type {type(answer).__name__}"
