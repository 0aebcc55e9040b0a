"""First derivatives of a model about a real field, by the first way that works on it.

J(b) u is the derivative of f at the background b in the direction u. In float32 forward differentiation reaches 3e-7 of it,
where central differences never beat 1e-3. A network without biases has no linear regime about zero: b is a real field.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from probe.contract import Subject
from probe.coupling import in_double
from probe.equivariance import relative, test_field
from probe.errors import InputError
from probe.model import FieldModel
from probe.model.batching import Batches, is_out_of_memory

Function = Callable[[Tensor], Tensor]

GRADIENTS = ("forward", "double backward")  # the ways by which a network's own gradients pass
COST = 3  # a derivative takes as long as about so many passes
TOLERANCE = 0.1  # of the derivative; a gradient that is cut on its way is off by all of it, differences in float32 by 1e-3


@dataclass(frozen=True)
class Derivative:
    """J(b) u of one model, by the first way that works on it.

    Attributes
    ----------
    model : FieldModel
        That of the subject, or the same in float64.
    way : str
        "forward", "double backward" or "differences"; "none", and "silent" where it does not answer.
    apart : float
        Distance from central differences, relative to the derivative; nan where there is nothing to compare.
    reason : str
        Why there is no derivative; empty where there is.
    """

    model: FieldModel
    way: str
    apart: float = float("nan")
    reason: str = ""

    def __call__(self, values: Tensor, directions: Tensor) -> Tensor:
        """J(b) u, row by row, in batches that fit into memory; nan where the model is silent.

        Parameters
        ----------
        values, directions : Tensor, (batch, channel, *grid)
            b and u, in the units of the inputs.

        Returns
        -------
        Tensor, (batch, channel, *grid), in the units of the outputs
        """
        if self.way not in _WAYS:
            width = sum(q.width(self.model.grid) for q in self.model.description.outputs)
            return values.new_full((len(values), width, *values.shape[2:]), float("nan"))
        channels, take = values.shape[1], partial(_WAYS[self.way], self.model.function)
        both = torch.cat([values, directions], 1).to(self.model.device, self.model.physical_dtype)
        return Batches(self.model.batch_size).run(lambda rows: take(rows[:, :channels], rows[:, channels:]).detach(), both)


def gradient(function: Function, values: Tensor) -> Tensor:
    """df/dx of a scalar function of each row, zero where it hangs on no input: (batch, channel, *grid) -> the same."""
    with torch.enable_grad():
        given = values.detach().clone().requires_grad_()
        answer = function(given)
        if not answer.requires_grad:
            return torch.zeros_like(values)
        (found,) = torch.autograd.grad(answer.sum(), given, allow_unused=True)
    return torch.zeros_like(values) if found is None else found.detach()


def forward(function: Function, values: Tensor, direction: Tensor) -> Tensor:
    """J(b) u by forward differentiation, exact to rounding."""
    with torch.no_grad():  # the outer graph alone is spared
        return torch.func.jvp(function, (values,), (direction,))[1]


def double_backward(function: Function, values: Tensor, direction: Tensor) -> Tensor:
    """J(b) u as the derivative of J(b)^T w with respect to w, for layers without a forward derivative; exact to rounding."""
    with torch.enable_grad():
        given = values.detach().clone().requires_grad_()
        answer = function(given)
        weight = torch.zeros_like(answer, requires_grad=True)
        (back,) = torch.autograd.grad(answer, given, weight, create_graph=True)
        return torch.autograd.grad(back, weight, direction)[0]


def differences(function: Function, values: Tensor, direction: Tensor) -> Tensor:
    """J(b) u by central differences.

    The step is eps^(1/3) of the background's scatter in the channels that change: what it leaves out and what rounding makes of
    it are alike, eps^(2/3).
    """
    axes = tuple(range(2, values.ndim))
    scatter = (values - values.mean(axes, keepdim=True)) * (direction != 0).flatten(2).any(2).reshape(
        *values.shape[:2], *[1] * len(axes)
    )
    size, length = (x.square().mean((1, *axes), keepdim=True).sqrt() for x in (scatter, direction))
    step = step_of(values.dtype) * torch.where(size > 0, size, 1.0) / torch.where(length > 0, length, 1.0)
    with torch.no_grad():
        return (function(values + step * direction) - function(values - step * direction)) / (2 * step)


def step_of(dtype: torch.dtype) -> float:
    """Step of a central difference, relative to what is changed."""
    return float(torch.finfo(dtype).eps ** (1 / 3))


_WAYS = {"forward": forward, "double backward": double_backward, "differences": differences}


def derivative_of(subject: Subject) -> Derivative:
    """The derivative of a subject's model; which way it can be had is tried once a run.

    Forward differentiation is taken where it goes through the whole network and agrees with central differences: code that
    leaves torch on its way, or detaches, may give zero without a word. Else double backward, tried likewise; else differences,
    in float64 alone.
    """
    return subject.shared("the way to its derivative", lambda: _found(subject))


def _found(subject: Subject) -> Derivative:
    model, given = subject.model, test_field(subject, 0)[0].values
    values = given.to(subject.model.device, subject.model.physical_dtype)
    with torch.no_grad():
        if not model.function(values).isfinite().all():
            return Derivative(model, "silent", reason="it does not answer to real fields")
    direction = _direction(subject, values)
    told = ["no gradients pass through it"]
    for way in GRADIENTS if model.differentiable else ():
        apart, told = _tried(model, way, values, direction)
        if apart <= TOLERANCE:
            return Derivative(model, way, apart)
    double = in_double(subject)
    if double.dtype == torch.float64:
        values, direction = values.double(), direction.double()
        rough = differences(double.function, values, direction)
        # What is not the same function each time has no derivative.
        apart = relative(differences(double.function, values, direction) - rough, rough)
        if rough.isfinite().all() and apart <= TOLERANCE:
            return Derivative(double, "differences", apart)
        told.append(f"central differences are off by {apart:.2g} of themselves when taken twice")
    else:
        told.append("central differences need float64, which this function does not offer")
    return Derivative(model, "none", reason="; ".join(told))


def _direction(subject: Subject, values: Tensor) -> Tensor:
    """The field itself elsewhere: every channel changes by its own scatter, and a number, which has none, by nothing."""
    away = [points // 3 for points in subject.grid.shape]
    return torch.roll(values - values.mean(subject.grid.axes, keepdim=True), away, subject.grid.axes)


def no_gradient(subject: Subject) -> str:
    """Why gradients do not pass back from the answer to the input; empty where they do. Tried once a run, by one of them.

    Under `torch.no_grad` forward derivatives pass, and gradients are zero without a word.
    """
    return subject.shared("whether gradients pass back", lambda: _no_gradient(subject))


# With the weight w = J u the gradient of w.f is J^T J u, whose product with u is |J u|^2.
def _no_gradient(subject: Subject) -> str:
    derivative, model = derivative_of(subject), subject.model
    if derivative.way not in GRADIENTS:
        return derivative.reason or "it is found by differences alone"
    values = test_field(subject, 0)[0].values.to(model.device, model.physical_dtype)
    direction = _direction(subject, values)
    weight = derivative(values, direction)
    try:
        back = gradient(lambda given: (model.function(given) * weight).flatten(1).sum(1), values)
    except Exception as error:  # a network may raise anything
        if is_out_of_memory(error):
            raise InputError(f"memory ran out on one gradient about {tuple(values.shape[1:])}; use a smaller grid") from error
        return f"a gradient raised {type(error).__name__} ({(str(error).strip().splitlines() or ['no message'])[0][:120]})"
    size = weight.double().square().sum()
    passes = (back.double() * direction.double()).sum() >= (1 - TOLERANCE) * size
    return "" if passes else "forward derivatives pass through it, but gradients do not pass back (torch.no_grad stops them)"


def _tried(model: FieldModel, way: str, values: Tensor, direction: Tensor) -> tuple[float, list[str]]:
    """How far one way is from central differences, and what is to be said where it is too far or raises."""
    try:
        exact = _WAYS[way](model.function, values, direction)
        apart = relative(differences(model.function, values, direction) - exact, exact)
    except Exception as error:  # a network may raise anything
        if is_out_of_memory(error):
            raise InputError(f"memory ran out on one derivative about {tuple(values.shape[1:])}; use a smaller grid") from error
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return float("inf"), [f"{way} differentiation raised {type(error).__name__} ({said[:120]})"]
    return apart, [f"{way} differentiation and central differences are {apart:.2g} apart"]
