"""How networks are called: whatever a network takes and gives, the field model takes and gives fields."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from probe.description import Call, Description
from probe.errors import InputError
from probe.fields import Field, Quantity
from probe.grid import Grid
from probe.loading import wrap
from probe.model import FieldModel
from probe.perturbation import growth_factor

GRID = Grid.cubic(8, 8.0, 2)
DENSITY, WIND = Quantity("density"), Quantity("wind", "vector")
BOTH, AGES = (DENSITY, WIND), {"age": {"default": 2.0}, "size": {"default": 0.5, "bounds": [0.0, 1.0]}}


def _describe(**changes: Any) -> Description:
    return replace(Description(GRID, BOTH, (DENSITY,)), **changes)


def _field(seed: int = 0, inputs: tuple[Quantity, ...] = BOTH) -> Field:
    width = sum(q.width(GRID) for q in inputs)
    values = torch.randn(3, width, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Field(values, GRID, inputs)


def _ask(function: Any, description: Description, field: Field | None = None, **settings: Any) -> Tensor:
    return FieldModel(function, description, dtype=torch.float64, **settings)(field or _field(inputs=description.inputs)).values


def _product(density: Tensor, wind: Tensor) -> Tensor:
    return density * wind.sum(1, keepdim=True)


def _expected(field: Field | None = None) -> Tensor:
    values = (field or _field()).values
    return _product(values[:, :1], values[:, 1:])


class Answer:
    """What some libraries return: an object with the tensors as attributes."""

    def __init__(self, sample: Tensor) -> None:
        self.sample = sample


@pytest.mark.parametrize(
    ("call", "function"),
    [
        (Call(), lambda x: _product(x[:, :1], x[:, 1:])),
        (Call(inputs="arguments"), _product),
        (Call(inputs="keywords"), lambda *, wind, density: _product(density, wind)),
        (Call(inputs="list"), lambda fields: _product(*fields)),
        (Call(inputs="dict"), lambda fields: _product(fields["density"], fields["wind"])),
        (Call(channels="last"), lambda x: _product(x.movedim(-1, 1)[:, :1], x.movedim(-1, 1)[:, 1:]).movedim(1, -1)),
        (Call(inputs="arguments", channels="last"), lambda d, w: d * w.sum(-1, keepdim=True)),
        (Call(output=1), lambda x: (None, _product(x[:, :1], x[:, 1:]))),
        (Call(output=-1), lambda x: [x, x, _product(x[:, :1], x[:, 1:])]),
        (Call(output="mean"), lambda x: {"mean": _product(x[:, :1], x[:, 1:]), "variance": x}),
        (Call(output="sample"), lambda x: Answer(_product(x[:, :1], x[:, 1:]))),
        (Call(residual=True), lambda x: _product(x[:, :1], x[:, 1:]) - x[:, :1]),
    ],
)
def test_a_network_is_called_as_the_description_says(call: Call, function: Any) -> None:
    assert torch.allclose(_ask(function, _describe(call=call)), _expected(), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(
    ("parameters", "function"),
    [
        ("keywords", lambda x, size, age: x[:, :1] * (age * size).reshape(-1, 1, 1, 1)),
        ("arguments", lambda x, age, size: x[:, :1] * (age * size).reshape(-1, 1, 1, 1)),
        ("vector", lambda x, style: x[:, :1] * style.prod(1).reshape(-1, 1, 1, 1)),
        ("channels", lambda x: x[:, :1] * x[:, 3:4] * x[:, 4:5]),
    ],
)
def test_conditioning_reaches_the_network(parameters: str, function: Any) -> None:
    description = _describe(call=Call(parameters=parameters), conditioning=AGES)
    model = FieldModel(function, description, dtype=torch.float64)
    assert torch.equal(model(_field()).values, _field().values[:, :1] * 2.0 * 0.5)
    older = model.at(age=3.0)
    assert torch.equal(older(_field()).values, _field().values[:, :1] * 3.0 * 0.5)
    assert (model.parameters["age"], older.parameters["age"]) == (2.0, 3.0)
    with pytest.raises(InputError, match=r"not conditioned on 'weight' \(its parameters: age, size\)"):
        model.at(weight=1.0)


def test_past_frames_go_in_along_an_axis_of_time_and_come_out_as_quantities() -> None:
    frames = tuple(Quantity(f"frame_{i}", "vector") for i in range(3))
    description = replace(_describe(), inputs=frames, outputs=frames[:2], call=Call(inputs="time"))
    field = _field(inputs=frames)

    def network(x: Tensor) -> Tensor:  # (batch, component, time, y, x)
        assert x.shape == (3, 2, 3, 8, 8)
        return x[:, :, 1:] - x[:, :, :-1]

    answer = _ask(network, description, field)
    first, second, third = (field.part(q.name)[1] for q in frames)
    assert torch.equal(answer, torch.cat([second - first, third - second], 1))


def test_one_frame_can_be_the_answer_of_a_network_on_several() -> None:
    frames = tuple(Quantity(f"frame_{i}") for i in range(3))
    description = replace(_describe(), inputs=frames, outputs=frames[:1], call=Call(inputs="time"))
    assert torch.equal(_ask(lambda x: x[:, :, -1], description), _field(inputs=frames).values[:, 2:])


def test_a_number_goes_out_as_a_channel_that_is_the_same_everywhere() -> None:
    description = _describe(outputs=(Quantity("mean", "number"), Quantity("spread", "number")))
    answer = _ask(lambda x: torch.stack([x.mean((1, 2, 3)), x.std((1, 2, 3))], 1), description)
    values = _field().values
    assert answer.shape == (3, 2, 8, 8)
    assert torch.equal(answer[:, 0, 0, 0], values.mean((1, 2, 3))) and torch.equal(answer[:, 1, 3, 5], values.std((1, 2, 3)))
    single = _describe(outputs=(Quantity("mean", "number"),))
    assert torch.equal(_ask(lambda x: x.mean((1, 2, 3)), single)[:, 0, 7, 7], values.mean((1, 2, 3)))


def test_a_number_goes_in_by_itself() -> None:
    inputs = (DENSITY, Quantity("redshift", "number"))
    field = _field(inputs=inputs)
    field.values[:, 1] = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64).reshape(3, 1, 1)
    description = replace(_describe(), inputs=inputs, call=Call(inputs="arguments"))
    answer = _ask(lambda d, z: d * z.reshape(3, 1, 1, 1), description, field)
    assert torch.equal(answer, field.values[:, :1] * field.values[:, 1:])


def test_an_adapter_calls_the_network_as_it_likes() -> None:
    network = nn.Conv2d(2, 1, 1, bias=False).double()

    def adapter(network: nn.Module, values: Tensor, age: Tensor, size: Tensor) -> Tensor:
        return network(values[:, 1:]) * age.reshape(-1, 1, 1, 1) + size.reshape(-1, 1, 1, 1)

    model = wrap(network, GRID, BOTH, "scalar", adapter=adapter, conditioning=AGES)
    with torch.no_grad():
        assert torch.equal(model(_field()).values, network(_field().values[:, 1:]) * 2.0 + 0.5)
        twin, how = model.untrained_twin(0) or pytest.fail()
        assert how == "shuffled" and torch.equal(twin(_field()).values, twin.network(_field().values[:, 1:]) * 2.0 + 0.5)


def test_normalisation_is_one_constant_a_channel_a_growth_factor_or_a_function() -> None:
    seen: list[Tensor] = []

    def network(x: Tensor) -> Tensor:
        seen.append(x.clone())
        return x[:, :1]

    inputs = (
        Quantity("density", transform="mine:log"),
        Quantity("wind", "vector", shift=(1.0, 2.0), scale=(3.0, 4.0), growth=("z", 0.3)),
    )
    description = _describe(inputs=inputs, outputs=(Quantity("out", scale=5.0, shift=1.0),), conditioning={"z": {"default": 1.0}})
    description = replace(description, call=Call(parameters="none"))
    code = {"mine:log": lambda values, z: values.exp() * (1 + z)}
    answer = _ask(network, description, code=code)
    values, grown = _field().values, growth_factor(0.5, 0.3)
    assert torch.allclose(seen[-1][:, 0], values[:, 0].exp() * 2, rtol=1e-14)
    assert torch.allclose(seen[-1][:, 1], (values[:, 1] - 1) / (3 * grown), rtol=1e-14)
    assert torch.allclose(seen[-1][:, 2], (values[:, 2] - 2) / (4 * grown), rtol=1e-14)
    assert torch.allclose(answer, 5 * values[:, :1].exp() * 2 + 1, rtol=1e-14)


def test_gradients_pass_through_whatever_stands_around_the_network() -> None:
    description = _describe(call=Call(inputs="keywords", residual=True), inputs=(DENSITY, replace(WIND, scale=(2.0, 3.0))))
    model = FieldModel(lambda density, wind: _product(density, wind), description, dtype=torch.float64)
    values = _field().values.requires_grad_()
    (gradient,) = torch.autograd.grad(model.function(values).sum(), values)
    wind = values[:, 1:] / torch.tensor([2.0, 3.0], dtype=torch.float64).reshape(1, 2, 1, 1)
    assert torch.allclose(gradient[:, :1], 1 + wind.sum(1, keepdim=True), rtol=1e-13)
    assert torch.allclose(gradient[:, 2:], values[:, :1] / 3, rtol=1e-13)


def test_a_network_that_shrinks_is_padded_whatever_it_is_called_with() -> None:
    inner = nn.Conv2d(3, 1, 5, bias=False).double()
    model = FieldModel(lambda fields: {"out": inner(torch.cat(fields, 1))}, _describe(call=Call(inputs="list", output="out")))
    model.dtype = torch.float64
    rolled = torch.nn.functional.pad(_field().values, [2] * 4, mode="circular")
    with torch.no_grad():
        assert torch.allclose(model(_field()).values, inner(rolled), rtol=1e-13, atol=1e-14) and model.padding == 2


@pytest.mark.parametrize(
    ("changes", "function", "sentence"),
    [
        ({"call": Call(output="mean")}, lambda x: {"other": x}, "a dict with the keys 'other', which has no 'mean'; mend `output`"),
        ({"call": Call(output=3)}, lambda x: (x, x), "a tuple of 2, which has no 3"),
        ({"call": Call(output=0)}, lambda x: x[:, :1], "one tensor of shape .* which has no 0"),
        ({}, lambda x: {"out": x}, "expected one tensor .* choose an item by `output`"),
    ],
)
def test_an_answer_that_is_not_there_is_told(changes: dict[str, Any], function: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        _ask(function, _describe(**changes))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"inputs": (Quantity("v", "vector", scale=(1.0, 2.0, 3.0)),)}, "2 channels and 3 numbers in its scale"),
        ({"inputs": (Quantity("n", "number"),)}, "no input is a field"),
        ({"inputs": (Quantity("a", growth=("z", 0.3)),)}, "grows with 'z', which is no parameter"),
        ({"outputs": (*BOTH, WIND), "call": Call(residual=True)}, "5 channels out are more than 3 in"),
    ],
)
def test_a_description_that_contradicts_itself_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        _describe(**changes)
