"""One output quantity read as one scalar field, for statistics that are made of scalars.

A displacement is read as its overdensity -div psi, any other vector as its divergence; one that is declared free of divergence, in
the plane, as its curl. Scalars and pseudoscalars are read as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from numpy import ndarray
from torch import Tensor
from xarray import Dataset

from probe.agreement import compare
from probe.contract import Measured, Subject
from probe.coupling import is_displacement
from probe.equivariance import PairCase, rivals
from probe.fields import Quantity, place_of
from probe.grid import Grid
from probe.perturbation import divergence
from probe.spectra import response_unit, windowed

FILTERS = {"lpt2_filter": "the best linear filter of 2LPT", "linear_filter": "the best linear filter of the input"}


def asked(subject: Subject, output: str) -> Quantity:
    """The output quantity of a name; the first field without one."""
    outputs = subject.description.outputs
    return outputs[place_of(outputs, output)]


def no_scalar(subject: Subject, output: str, statistic: str) -> str:
    """Why a statistic of pairs cannot be asked of an output quantity; empty where it can."""
    if subject.pairs is None:
        return "it needs pairs of input and truth: give --data, or a [data] table in the description"
    quantity, grid = asked(subject, output), subject.grid
    if quantity.is_number:
        return f"the output {quantity.name!r} is a number, which has no {statistic}; name an output that is a field"
    if min(grid.shape) < 8:
        return f"a grid of {grid.shape} holds no shells to compare; give 8 points or more along each axis"
    if quantity.is_vector and reading(subject, quantity) == "div" and _solenoidal(subject, quantity):
        return f"the divergence of {quantity.name!r}, as which it would be read, is declared zero; name another output"
    return ""


def _solenoidal(subject: Subject, quantity: Quantity) -> bool:
    return quantity.name in subject.description.constraints.divergence_free


def reading(subject: Subject, quantity: Quantity) -> str:
    """What is done to a quantity: nothing, "-div", "div" or "curl"."""
    if not quantity.is_vector:
        return ""
    if is_displacement(quantity):
        return "-div"
    return "curl" if subject.grid.dimension == 2 and _solenoidal(subject, quantity) else "div"


def facts(subject: Subject, quantity: Quantity) -> dict[str, Any]:
    """What was read, as attributes of a measured dataset: `output`, how it is written, and `field_unit`."""
    how, grid = reading(subject, quantity), subject.grid
    unit = response_unit(grid.unit, quantity.unit) if how else quantity.unit
    return {"output": f"{how} {quantity.name}".strip(), "field_unit": unit}


def read_pair(subject: Subject, case: PairCase) -> tuple[Tensor, Tensor, float]:
    """One answer and its truth as scalar fields, through the window where the box is not periodic.

    Returns
    -------
    answer, truth : Tensor, (1, 1, *grid.shape), float64, on the model's device
    rounding : float
        Power that storing the truth, or the network's own arithmetic where that is coarser, may have added, in unit^2 L^D.
    """
    assert subject.pairs is not None
    given, truth = subject.pairs[case.index]
    quantity, values = subject.model(given).part(case.output)
    stored = truth.part(case.output)[1]
    how, grid = reading(subject, quantity), subject.grid
    answer, true = (windowed(read(x.to(values.device).double(), how, grid), grid) for x in (values, stored))
    # A derivative multiplies what storing the truth added by k, which is largest at Nyquist. A network that computes more coarsely
    # than the truth was stored adds as much of its own.
    coarser = torch.finfo(subject.model.dtype).eps / torch.finfo(stored.dtype).eps
    rounding = float(compare(stored, stored, grid)["rounding"]) * max(1.0, coarser) ** 2 * (grid.nyquist**2 if how else 1.0)
    return answer, true, rounding


def read(values: Tensor, how: str, grid: Grid) -> Tensor:
    """A quantity as one scalar field, as `reading` says: (batch, width, *grid.shape) -> (batch, 1, *grid.shape)."""
    if not how:
        return values
    sign = -1 if how == "-div" else 1
    # curl v = d_x v_y - d_y v_x is the divergence of (v_y, -v_x).
    turned = torch.stack([values[:, 1], -values[:, 0]], 1) if how == "curl" else values
    if grid.boundary == "periodic":
        return sign * divergence(turned, grid)[:, None]
    slopes = [
        torch.gradient(turned[:, axis], spacing=h, dim=place)[0]
        for axis, (h, place) in enumerate(zip(grid.spacing, grid.axes, strict=True))
    ]
    return sign * torch.stack(slopes).sum(0)[:, None]


def better_filter(measured: Measured, error: Callable[[Dataset], ndarray]) -> str:
    """The best linear filter, of 2LPT or of the input, that errs less; empty where there is none."""
    return min((name for name in FILTERS if name in measured), key=lambda name: float(error(measured[name]).mean()), default="")


def shown(measured: Measured) -> list[str]:
    """The subjects that are drawn, rivals behind the controls and the model last."""
    names = ("identity", "linear_filter", "lpt2", "lpt2_filter", *rivals(measured["model"]), "model")
    return [name for name in names if name in measured]
