"""Functions of arrays and of tensors as models."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import probe
from probe.description import Call
from probe.errors import InputError
from probe.fields import Field, Quantity
from probe.loading import load, load_recipe
from probe.loading.code import OnArrays, source_sha256
from tests.mynet import GRID, describe, field


def test_functions_of_arrays_and_of_tensors_are_models(module: str) -> None:
    describe("spec.toml")
    arrays, tensors = (load(f"{module}:{name}", spec="spec.toml") for name in ("doubled", "on_tensors"))
    given = field()
    assert torch.equal(arrays(given).values, torch.roll(2 * given.values, 1, 2)) and not arrays.differentiable
    assert torch.equal(tensors(given).values, given.values.sin()) and tensors.differentiable
    assert torch.equal(load(f"{module}:same", spec="spec.toml")(given).values, given.values)
    assert len(arrays.sha256) == 64 and arrays.name == f"{module}:doubled"
    with pytest.raises(InputError, match="written writes into its input"):
        load(f"{module}:written", spec="spec.toml")(given)


def test_a_function_needs_a_description_and_must_be_one(module: str) -> None:
    with pytest.raises(InputError, match="tells no grid and no channels; describe it with --spec FILE"):
        load(f"{module}:doubled")
    describe("spec.toml")
    with pytest.raises(InputError, match="is a class; expected a function of arrays"):
        load(f"{module}:Net", spec="spec.toml")


@pytest.mark.parametrize(("name", "factor"), [("like_jax", 2), ("tripled", 3), ("halved", 0.5), ("swapped", 2), ("asked_in", 1)])
def test_whatever_can_be_called_and_gives_what_numpy_makes_an_array_of(module: str, name: str, factor: float) -> None:
    """Of JAX's kind; an object that can be called; a functools.partial; another byte order; float64 of float32."""
    describe("spec.toml")
    model = load(f"{module}:{name}", spec="spec.toml")
    answer = model(field()).values
    assert torch.equal(answer, factor * field().values) and answer.dtype == torch.float32
    assert not model.differentiable and len(model.sha256) == 64
    assert model.recipe is not None and torch.equal(load_recipe(model.recipe)(field()).values, answer)


@pytest.mark.parametrize("name", ["doubled", "tripled", "halved"])
def test_its_file_may_not_change_within_a_run(module: str, home: Path, name: str) -> None:
    describe("spec.toml")
    recipe = load(f"{module}:{name}", spec="spec.toml").recipe
    assert recipe is not None
    with (home / f"{module}.py").open("a") as file:
        file.write("\n# changed\n")
    with pytest.raises(InputError, match="has changed since this run began"):
        load_recipe(recipe)


def test_an_item_may_be_chosen_of_several_arrays(module: str) -> None:
    described = probe.wrap(lambda x: x, GRID, call=Call(output=0)).description
    probe.description.write_description(described, "spec.toml")
    assert torch.equal(load(f"{module}:in_a_tuple", spec="spec.toml")(field()).values, field().values)
    describe("plain.toml")
    with pytest.raises(InputError, match="the model returned a tuple of 2; expected one tensor"):
        load(f"{module}:in_a_tuple", spec="plain.toml")(field())


def test_several_arrays_go_in_as_they_are_described(module: str) -> None:
    quantities = (Quantity("psi", "vector"), Quantity("delta"))
    for inputs in ("arguments", "keywords"):
        described = probe.wrap(lambda x: x, GRID, quantities, "vector", call=Call(inputs=inputs)).description
        probe.description.write_description(described, "spec.toml")
        given = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(5))
        answer = load(f"{module}:added", spec="spec.toml")(Field(given, GRID, quantities)).values
        assert torch.equal(answer, given[:, :2] + given[:, 2:])


def test_an_answer_that_holds_no_numbers_is_told(module: str) -> None:
    describe("spec.toml")
    with pytest.raises(InputError, match="the model returned an object of type ndarray; expected one tensor"):
        load(f"{module}:texts", spec="spec.toml")(field())


@pytest.mark.parametrize(
    ("given", "answered"), [("longdouble", torch.float64), ("clongdouble", torch.complex128), (">i4", torch.int32)]
)
def test_numbers_that_torch_does_not_have_become_the_nearest_it_has(given: str, answered: torch.dtype) -> None:
    answer = OnArrays(lambda x: x.astype(given))(torch.arange(3.0))
    assert answer.dtype == answered and torch.equal(answer, torch.arange(3).to(answered))


def test_half_precision_that_numpy_does_not_have_passes_both_ways() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    answer = OnArrays(lambda x: x.astype(ml_dtypes.bfloat16))(torch.arange(3.0, dtype=torch.bfloat16))
    assert torch.equal(answer, torch.arange(3.0))


def test_what_has_no_source_has_no_hash() -> None:
    assert source_sha256(torch.sin) == "" and source_sha256(3) == ""
