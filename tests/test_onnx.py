"""ONNX models are run as they are, on any number of samples, without gradients; what a hostile one asks for is refused."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import probe
from probe.description import Call
from probe.errors import InputError
from probe.fields import Field, Quantity
from probe.grid import Grid
from probe.loading import inspect_checkpoint, load, load_recipe
from tests.mynet import GRID, describe, field

SIDES = (2, 8, 8)
KERNEL = np.random.default_rng(0).standard_normal((2, 2, 3, 3)).astype(np.float32)


def tensor(name: str, shape: Sequence[int | str] | None, kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def write(
    path: str, nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: Sequence[Any] = (), domain: str = ""
) -> Path:
    graph = helper.make_graph(nodes, "net", inputs, outputs, list(weights))
    versions = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    model = helper.make_model(graph, opset_imports=versions, ir_version=8)
    Path(path).write_bytes(model.SerializeToString())
    return Path(path)


def convolution(path: str, batch: int | str = "batch") -> Path:
    """A 3x3 convolution that pads zeros, as an exporter writes it."""
    node = helper.make_node("Conv", ["x", "weight"], ["y"], pads=[1, 1, 1, 1])
    weights = numpy_helper.from_array(KERNEL, "weight")
    return write(path, [node], [tensor("x", (batch, *SIDES))], [tensor("y", (batch, *SIDES))], [weights])


def convolved(values: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.conv2d(values, torch.from_numpy(KERNEL), padding=1)


@pytest.mark.parametrize("batch", ["batch", 1, 2, 3])
def test_it_answers_any_number_of_samples_whatever_it_was_exported_for(home: Path, batch: int | str) -> None:
    convolution("net.onnx", batch)
    describe("spec.toml")
    model = load("net.onnx", spec="spec.toml")
    given = torch.randn(5, *SIDES, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(model(Field(given, GRID, model.description.inputs)).values, convolved(given), rtol=1e-5, atol=1e-5)
    assert not model.differentiable and model.untrained_twin(0) is None and not model.notes
    assert model.loaded["format"] == "ONNX model" and len(model.sha256) == 64
    assert model.recipe is not None and torch.equal(load_recipe(model.recipe)(field()).values, model(field()).values)


def test_without_a_description_its_shapes_tell_grid_and_channels(home: Path) -> None:
    convolution("net.onnx")
    model = load("net.onnx")
    assert model.grid == Grid.cubic(8, 8.0, 2) and model.description.inputs[0].is_vector
    assert "the box is periodic" in model.description.guessed and not any(
        "suggests" in g and "grid" in g for g in model.description.guessed
    )


@pytest.mark.parametrize("shape", [None, ("batch", 2, "height", "width"), ("batch", "channels", 8, 8), ("batch", 2)])
def test_shapes_that_do_not_suffice_are_told(home: Path, shape: Sequence[int | str] | None) -> None:
    write("net.onnx", [helper.make_node("Identity", ["x"], ["y"])], [tensor("x", shape)], [tensor("y", shape)])
    with pytest.raises(
        InputError, match=r"does not state one field in and one out, both in full \(it takes x .*\); describe it .* --spec"
    ):
        load("net.onnx")


@pytest.mark.parametrize(("kind", "dtype"), [(TensorProto.DOUBLE, torch.float64), (TensorProto.FLOAT16, torch.float16)])
def test_it_is_asked_in_its_own_precision(home: Path, kind: int, dtype: torch.dtype) -> None:
    write(
        "net.onnx", [helper.make_node("Mul", ["x", "x"], ["y"])], [tensor("x", (1, *SIDES), kind)], [tensor("y", (1, *SIDES), kind)]
    )
    model = load("net.onnx")
    assert model.dtype == dtype and torch.equal(model(field()).values.to(dtype), field().values.to(dtype) ** 2)


def several(path: str) -> Path:
    """psi + scale * delta, and its double, of two fields and a number for each sample."""
    nodes = [
        helper.make_node("Reshape", ["scale", "form"], ["factor"]),
        helper.make_node("Mul", ["delta", "factor"], ["scaled"]),
        helper.make_node("Add", ["psi", "scaled"], ["sum"]),
        helper.make_node("Add", ["sum", "sum"], ["double"]),
    ]
    inputs = [tensor("psi", ("b", *SIDES)), tensor("delta", ("b", 1, 8, 8)), tensor("scale", ("b",))]
    outputs = [tensor("sum", ("b", *SIDES)), tensor("double", ("b", *SIDES))]
    return write(path, nodes, inputs, outputs, [numpy_helper.from_array(np.array([-1, 1, 1, 1]), "form")])


@pytest.mark.parametrize(("inputs", "parameters"), [("arguments", "arguments"), ("keywords", "keywords"), ("dict", "keywords")])
@pytest.mark.parametrize("output", ["sum", "double"])
def test_several_inputs_and_outputs_are_told_apart_by_order_or_name(home: Path, inputs: str, parameters: str, output: str) -> None:
    several("net.onnx")
    quantities = (Quantity("psi", "vector"), Quantity("delta"))
    call = Call(inputs=inputs, parameters=parameters, output=output)
    described = probe.wrap(lambda x: x, GRID, quantities, "vector", call=call, conditioning={"scale": {"default": 2.0}}).description
    probe.description.write_description(described, "spec.toml")
    model = load("net.onnx", spec="spec.toml")
    given = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(4))
    expected = (given[:, :2] + 2 * given[:, 2:]) * (2 if output == "double" else 1)
    torch.testing.assert_close(model(Field(given, GRID, quantities)).values, expected)


def test_other_inputs_than_it_has_are_told(home: Path) -> None:
    several("net.onnx")
    describe("spec.toml")
    with pytest.raises(
        InputError, match=r"takes the inputs psi, delta, scale; found 1 in order: set `inputs` and `parameters` in \[call\]"
    ):
        load("net.onnx", spec="spec.toml")(field())
    convolution("one.onnx")
    describe("wide.toml")
    text = Path("wide.toml").read_text().replace("[8, 8]", "[16, 16]")
    Path("wide.toml").write_text(text)
    with pytest.raises(InputError, match=r"the model raised .* on an input of shape \(1, 2, 16, 16\)"):
        model = load("one.onnx", spec="wide.toml")
        model(Field(torch.zeros(1, 2, 16, 16), model.grid, model.description.inputs))


def test_a_factory_has_no_place_beside_it(home: Path) -> None:
    convolution("net.onnx")
    with pytest.raises(InputError, match=r"is an ONNX model, which holds a network .* no --factory"):
        load("net.onnx", factory="torch.nn:Identity")


@pytest.mark.parametrize(
    ("version", "sentence"),
    [(None, "onnxruntime, which runs them, is not installed"), ("1.23.2", "onnxruntime 1.23.2 reads files anywhere")],
)
def test_without_a_runtime_that_can_be_used_it_says_what_to_install(
    home: Path, monkeypatch: pytest.MonkeyPatch, version: str | None, sentence: str
) -> None:
    convolution("net.onnx")
    if version is None:
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
    else:
        monkeypatch.setattr("onnxruntime.__version__", version)
    with pytest.raises(InputError, match=rf"{sentence}.*; pip install 'fieldprobe\[onnx\]'"):
        load("net.onnx")
    assert inspect_checkpoint("net.onnx").format == "ONNX model"


# Hostile files


def external(place: str, sides: Sequence[int] = SIDES) -> Any:
    """Weights that lie in another file."""
    weights = TensorProto(name="weight", data_type=TensorProto.FLOAT, dims=sides, data_location=TensorProto.EXTERNAL)
    weights.external_data.add(key="location", value=place)
    return weights


def sum_with(weights: Any, path: str = "folder/net.onnx") -> Path:
    node = helper.make_node("Add", ["x", "weight"], ["y"])
    return write(path, [node], [tensor("x", ("b", *SIDES))], [tensor("y", ("b", *SIDES))], [weights])


@pytest.fixture
def folder(home: Path) -> Path:
    """A model's folder, beside a file that is none of its business."""
    (home / "folder").mkdir()
    for name in ("secret.bin", "folder/weights.bin"):
        np.ones(SIDES, np.float32).tofile(home / name)
    (home / "folder" / "link.bin").symlink_to(home / "secret.bin")
    return home


def test_weights_in_a_file_beside_it_are_read(folder: Path) -> None:
    model = load(sum_with(external("weights.bin")))
    torch.testing.assert_close(model(field()).values, field().values + 1)


@pytest.mark.parametrize(
    "place", ["../secret.bin", "{folder}/secret.bin", "x/../../secret.bin", "link.bin", "*/_ORT_MEM_ADDR_/*", "none.bin"]
)
def test_weights_anywhere_else_are_not(folder: Path, place: str) -> None:
    path = sum_with(external(place.format(folder=folder)))
    with pytest.raises(InputError, match=r"cannot be loaded by onnxruntime \(.*\); export it again") as caught:
        load(path)
    assert "\n" not in str(caught.value)


def unknown_operation(path: Path) -> Path:
    node = helper.make_node("Run", ["x"], ["y"], domain="their.own")
    return write(str(path), [node], [tensor("x", ("b", *SIDES))], [tensor("y", ("b", *SIDES))], domain="their.own")


def large_weights(path: Path, size: int) -> Path:
    weights = TensorProto(name="weight", data_type=TensorProto.FLOAT, dims=[size])
    return write(str(path), [helper.make_node("Add", ["x", "weight"], ["y"])], [tensor("x", (1,))], [tensor("y", None)], [weights])


def texts(path: Path) -> Path:
    given, answered = (tensor(name, (1,), TensorProto.STRING) for name in "xy")
    return write(str(path), [helper.make_node("Identity", ["x"], ["y"])], [given], [answered])


HOSTILE = {
    "an operation of its own": unknown_operation,
    "weights that are not there": lambda path: large_weights(path, 2**28),
    "weights beyond any file": lambda path: large_weights(path, 2**40),
    "weights beyond their file": lambda path: sum_with(external("weights.bin", (2**28,)), str(path)),
    "no ONNX": lambda path: path.write_bytes(b"hello"),
    "no graph": lambda path: path.write_bytes(b"\x08\x07\x12\x07pytorch" + bytes(64)),
    "texts": texts,
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_cannot_be_run_is_told_in_one_sentence(folder: Path, what: str) -> None:
    path = folder / "folder" / "net.onnx"
    HOSTILE[what](path)
    with pytest.raises(InputError, match="export it") as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert inspect_checkpoint(path).missing


def test_constants_are_not_computed_beyond_what_the_file_warrants(home: Path) -> None:
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["large"]),
        helper.make_node("ReduceSum", ["large"], ["zero"], keepdims=0),
        helper.make_node("Add", ["x", "zero"], ["y"]),
    ]
    shape = numpy_helper.from_array(np.array([2**26]), "shape")
    write("net.onnx", nodes, [tensor("x", ("b", *SIDES))], [tensor("y", ("b", *SIDES))], [shape])
    onnx.checker.check_model("net.onnx")
    refs = Path("/proc/self/clear_refs")
    if not refs.exists():
        pytest.skip("the peak of memory is told by Linux")
    refs.write_text("5")
    before = _peak()
    load("net.onnx")
    assert _peak() - before < 2**26  # a quarter of what it would be


def _peak() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])
