"""What a model does when it is run, found out by running it: nothing here judges or prints, and what raises becomes a sentence.

All parts ask `model.function`, in eval mode, on noise of the described size (`probe.model.typical`), and leave the global random
numbers and the count of passes as they were.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from probe.errors import InputError
from probe.fields import Field
from probe.model.field_model import FieldModel
from probe.model.findings import Answer, Batching, Cost, Examination, Gradients, LayerKind, Repetition, Sizes
from probe.model.memory import peak_memory
from probe.model.receptive_field import receptive_field
from probe.model.typical import typical_input

_Part = TypeVar("_Part")
_BATCHES = (1, 2, 3, 8)
_NUMBERS_AT_ONCE = 2**23  # a batch of more is not tried: memory may not hold what the network makes of it


def examine(model: FieldModel) -> Examination:
    """Find out what a model does by running it; no exception of the model's gets out."""
    passes, faults = model.passes, list[str]()

    def part(name: str, find: Callable[[FieldModel], _Part]) -> _Part | None:
        try:
            return find(model)
        except Exception as error:  # the model is the user's, and may raise anything
            faults.append(f"{name}: {_told(error)}")
            return None

    with torch.random.fork_rng(devices=[model.device] if model.device.type == "cuda" else []):
        fault = fault_of(model)
        cost = part("one pass", cost_of)
        found = Examination(
            network=model.class_name,
            device=str(model.device),
            dtype=str(model.dtype).removeprefix("torch."),
            parameters=model.parameter_count,
            layers=layers_of(model.network),
            fault=fault,
            writes_into_input="writes into its input" in fault,  # as FieldModel says it, of networks and of functions of arrays
            stride=model.stride if cost else 1,
            padding=model.padding,
            sizes=part("sizes", sizes_of) if cost else None,
            receptive_field=part("receptive field", receptive_field) if cost else None,
            batching=part("batches", batching_of) if cost else None,
            repetition=part("repetition", repetition_of) if cost else None,
            gradients=part("gradients", gradients_of) if cost and model.differentiable else None,
            answers=(part("answers", answers_of) if cost else None) or (),
            cost=cost,
            notes=tuple(model.notes),
            faults=tuple(faults),
        )
    model.passes = passes
    return found


def fault_of(model: FieldModel) -> str:
    """Why probes cannot ask a model, in one sentence; empty where they can."""
    try:
        model(Field(typical_input(model, _generator()), model.grid, model.description.inputs))
    except Exception as error:  # beside InputError that of a grid for which there is no memory
        return _told(error)
    return ""


def layers_of(network: object) -> tuple[LayerKind, ...]:
    """Modules that have no parts, or parameters of their own, by class, in the order in which they come."""
    if not isinstance(network, nn.Module):
        return ()
    count, parameters, seen = Counter[str](), Counter[str](), set[int]()
    for module in network.modules():
        own = [p for p in module.parameters(recurse=False) if id(p) not in seen]  # tied weights count once
        seen.update(map(id, own))
        if own or not any(True for _ in module.children()):
            name = type(module).__name__
            count[name] += 1
            parameters[name] += sum(p.numel() for p in own)
    return tuple(LayerKind(name, number, parameters[name]) for name, number in count.items())


def sizes_of(model: FieldModel) -> Sizes:
    """Which grids the network takes around the described one, and what it loses on that."""
    own = model.grid.shape
    answered = tuple(_ask(model, own).shape[2:])
    steps = sorted({model.stride, *(2**power for power in range(max(2, model.stride.bit_length())))})
    changes = [sign * step for step in steps for sign in (-1, 1)]
    shapes = {change: tuple(side + change for side in own) for change in changes if min(own) + change >= 2}
    taken = {change: _takes(model, shape) for change, shape in shapes.items()}
    return Sizes(
        given=tuple(side + 2 * model.padding for side in own),
        answered=answered,
        lost=tuple(side + 2 * model.padding - left for side, left in zip(own, answered, strict=True)),
        taken=tuple(sorted(shapes[change] for change, good in taken.items() if good)),
        refused=tuple(sorted(shapes[change] for change, good in taken.items() if not good)),
        step=next((step for step in steps if taken.get(step) and taken.get(-step)), None),
    )


def batching_of(model: FieldModel) -> Batching:
    """How many samples at once it takes, and whether they mind each other."""
    taken, refused = list[int](), list[int]()
    for size in _BATCHES:
        if size * model.grid.size * model.description.channels_in <= _NUMBERS_AT_ONCE:
            (taken if _takes(model, model.grid.shape, size) else refused).append(size)
    matter = _neighbours_matter(model) if 2 in taken else None
    return Batching(tuple(taken), tuple(refused), matter)


def repetition_of(model: FieldModel) -> Repetition:
    """Whether it answers the same input with the same numbers."""
    values = typical_input(model, _generator())
    first, again = _quiet(model, values), _quiet(model, values)
    _quiet(model, typical_input(model, _generator(1), strength=3.0))
    same = torch.equal(first, again)
    state = not torch.equal(first, _quiet(model, values)) if same else None
    return Repetition(same, _difference(first, again), state)


def gradients_of(model: FieldModel) -> Gradients:
    """Where gradients get to."""
    values = typical_input(model, _generator()).requires_grad_()
    answer = model.function(values)
    parameters = dict(model.network.named_parameters()) if isinstance(model.network, nn.Module) else {}
    trainable = {name: p for name, p in parameters.items() if p.requires_grad}
    if not answer.requires_grad:
        return Gradients(False, True, tuple(trainable), len(parameters) - len(trainable))
    weights = torch.randn(answer.shape, generator=_generator(), dtype=torch.float64).to(answer)
    entering, *others = torch.autograd.grad((answer * weights).sum(), [values, *trainable.values()], allow_unused=True)
    return Gradients(
        reach_input=entering is not None and bool((entering != 0).any()),
        finite=all(bool(g.isfinite().all()) for g in (entering, *others) if g is not None),
        without=tuple(name for name, g in zip(trainable, others, strict=True) if g is None or not (g != 0).any()),
        frozen=len(parameters) - len(trainable),
    )


def answers_of(model: FieldModel) -> tuple[Answer, ...]:
    """How large the answers to nothing, to noise and to loud noise are."""
    noise = typical_input(model, _generator())
    loud = typical_input(model, _generator(), strength=10.0)
    inputs = {"zeros": torch.zeros_like(noise), "noise": noise, "noise ten times as strong": loud}
    return tuple(Answer(name, _rms(_quiet(model, values))) for name, values in inputs.items())


def cost_of(model: FieldModel) -> Cost:
    """What one pass takes; the first, which warms up, is not counted."""
    values = typical_input(model, _generator())
    _quiet(model, values)
    started = time.perf_counter()
    _quiet(model, values)
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
    return Cost(time.perf_counter() - started, peak_memory(model.function, values))


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@torch.no_grad()
def _quiet(model: FieldModel, values: Tensor) -> Tensor:
    """The answer without gradients; the values are the caller's and stay as they are."""
    return model.function(values.clone())


def _ask(model: FieldModel, shape: tuple[int, ...], samples: int = 1) -> Tensor:
    return _quiet(model, typical_input(model, _generator(), samples, shape))


def _takes(model: FieldModel, shape: tuple[int, ...], samples: int = 1) -> bool:
    """Whether it answers with finite numbers on the same grid."""
    try:
        answer = _ask(model, shape, samples)
    except Exception:  # a network may raise anything on what it cannot take: that is the answer
        return False
    return len(answer) == samples and tuple(answer.shape[2:]) == shape and bool(answer.isfinite().all())


def _neighbours_matter(model: FieldModel) -> bool:
    """Whether the answer to one sample changes, by more than rounding, with the other one of two."""
    one, other, third = typical_input(model, _generator(), samples=3)
    first = _quiet(model, torch.stack([one, other]))[0]
    second = _quiet(model, torch.stack([one, 3 * third]))[0]
    return _difference(first, second) > 100 * torch.finfo(model.dtype).eps


def _difference(one: Tensor, other: Tensor) -> float:
    """Root mean square between two answers over that of the first."""
    wide = one.to(torch.float64), other.to(torch.float64)
    between, size = float((wide[0] - wide[1]).norm()), float(wide[0].norm())
    return between / size if size else between


def _rms(answer: Tensor) -> float | None:
    rms = float(answer.to(torch.float64).square().mean().sqrt())
    return rms if math.isfinite(rms) else None


def _told(error: Exception) -> str:
    if isinstance(error, InputError):
        return str(error)
    first = str(error).strip().partition("\n")[0][:200]
    return f"the model raised {type(error).__name__} ({first})"
