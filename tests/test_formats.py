"""Every kind of file: read if it holds plain tensors, opened with leave if it holds code, told in a sentence if neither."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from probe.errors import InputError
from probe.fields import Field, Quantity
from probe.loading import inspect_checkpoint, load, load_recipe, wrap
from tests.mynet import GRID, describe, field, same, small_network

# Files that are code


def _whole(network: nn.Module, path: str) -> None:
    torch.save(network, path)


def _pickled(network: nn.Module, path: str) -> None:
    Path(path).write_bytes(pickle.dumps({"model": network, "epoch": 3}))


def _scripted(network: nn.Module, path: str) -> None:
    torch.jit.script(network).save(path)  # type: ignore[no-untyped-call]


def _traced(network: nn.Module, path: str) -> None:
    torch.jit.trace(network, _example(network, 2)).save(path)  # type: ignore[no-untyped-call]


def _exported(network: nn.Module, path: str, batch: int = 2) -> None:
    torch.export.save(torch.export.export(network.eval(), (_example(network, batch),)), path)


def _example(network: nn.Module, batch: int) -> torch.Tensor:
    return torch.zeros(batch, 2, 8, 8, dtype=next(network.parameters()).dtype.to_real())


CODE_FILES = {
    "whole.pt": (_whole, "pickle that names"),
    "whole.pkl": (_pickled, "is a pickle"),
    "scripted.pt": (_scripted, "TorchScript"),
    "traced.pt": (_traced, "TorchScript"),
    "exported.pt2": (_exported, "torch.export"),
}
quiet = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")


@quiet
@pytest.mark.parametrize("name", CODE_FILES)
def test_files_that_are_code_need_trust(module: str, name: str) -> None:
    network, (write, said) = small_network(module), CODE_FILES[name]
    write(network, name)
    with pytest.raises(InputError, match=f"{said}.*loading it runs code.*--trust-pickle"):
        load(name)
    with pytest.raises(InputError, match="--trust-pickle"):
        load(name, factory=f"{module}:Net")
    describe("spec.toml")
    model = load(name, spec="spec.toml", trust_pickle=True)
    assert same(model, network)
    assert "--trust-pickle" in inspect_checkpoint(name).next_command
    assert model.recipe is not None and same(load_recipe(model.recipe), network)


@quiet
@pytest.mark.parametrize("name", CODE_FILES)
def test_they_have_gradients_and_take_batches_of_any_size(module: str, name: str) -> None:
    network = small_network(module)
    CODE_FILES[name][0](network, name)
    describe("spec.toml")
    model = load(name, spec="spec.toml", trust_pickle=True)
    five = torch.randn(5, 2, 8, 8, generator=torch.Generator().manual_seed(2))
    answer = model(Field(five, GRID, model.description.inputs)).values
    torch.testing.assert_close(answer, network(five).detach(), rtol=1e-5, atol=1e-6)
    given, direct = five.clone().requires_grad_(), five.clone().requires_grad_()
    model.function(given).square().sum().backward()
    network(direct).square().sum().backward()
    torch.testing.assert_close(given.grad, direct.grad, rtol=1e-5, atol=1e-5)


@quiet
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_a_network_exported_for_a_fixed_batch_answers_any_other(module: str, batch: int) -> None:
    network = nn.Sequential(small_network(module), nn.BatchNorm2d(2), nn.Dropout(0.5))
    _exported(network, "m.pt2", batch)
    model = load("m.pt2", trust_pickle=True)
    torch.testing.assert_close(model(field()).values, network(field().values).detach(), rtol=1e-5, atol=1e-6)
    assert not model.notes
    assert model.grid.shape == (8, 8) and model.description.channels_in == 2
    assert any("as its number of channels suggests" in guess for guess in model.description.guessed)


@quiet
@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("whole.pt", torch.float16),
        ("whole.pt", torch.bfloat16),
        ("whole.pt", torch.float64),
        ("scripted.pt", torch.float16),
        ("traced.pt", torch.float64),
        ("exported.pt2", torch.float64),
    ],
)
def test_whole_networks_are_asked_in_their_own_precision(module: str, name: str, dtype: torch.dtype) -> None:
    network = small_network(module).to(dtype)
    CODE_FILES[name][0](network, name)
    describe("spec.toml")
    model = load(name, spec="spec.toml", trust_pickle=True)
    given = field()
    assert model.dtype == dtype
    expected = network(given.values.to(dtype)).detach().to(torch.promote_types(dtype, torch.float32))
    torch.testing.assert_close(model(given).values, expected, rtol=4 * torch.finfo(dtype).eps, atol=4 * torch.finfo(dtype).eps)


def test_units_of_any_size_survive_half_precision(module: str) -> None:
    network = small_network(module).half()
    tiny = Quantity("vorticity", "vector", scale=1e-9)
    model = wrap(network, GRID, tiny, tiny)
    given = 1e-9 * field().values
    expected = network(field().values.half()).detach().float()
    torch.testing.assert_close(1e9 * model(Field(given, GRID, (tiny,))).values, expected, rtol=1e-2, atol=1e-2)


@quiet
@pytest.mark.parametrize(("name", "single"), [("Spectral", True), ("Mixed", True), ("Spectral", False)])
def test_a_network_of_complex_weights_is_asked_in_their_precision(module: str, name: str, single: bool) -> None:
    network = small_network(module, name)
    if not single:
        network.weight.data = network.weight.data.to(torch.complex128)  # type: ignore[union-attr, operator]
    _whole(network, "m.pt")
    describe("spec.toml")
    model = load("m.pt", spec="spec.toml", trust_pickle=True)
    assert model.dtype == (torch.float32 if single else torch.float64)
    torch.testing.assert_close(model(field()).values, network(field().values.to(model.dtype)).detach())


def test_a_trusted_file_of_plain_tensors_still_needs_its_factory(module: str) -> None:
    network = small_network(module)
    torch.save({"model": network}, "whole.pt")
    torch.save(network.state_dict(), "bare.pt")
    assert load("whole.pt", trust_pickle=True).class_name == "Net"
    describe("spec.toml")
    assert same(load("whole.pt", spec="spec.toml", factory=f"{module}:Net", trust_pickle=True), network)
    with pytest.raises(InputError, match="--factory MODULE:CLASS"):
        load("bare.pt", trust_pickle=True)


@pytest.mark.parametrize("suffix", ["", ".safetensors", ".pkl", ".onnx.pt"])
def test_a_file_is_what_it_holds_and_not_what_it_is_called(module: str, suffix: str) -> None:
    network = small_network(module)
    torch.save(network.state_dict(), f"ckpt{suffix}")
    assert same(load(f"ckpt{suffix}", factory=f"{module}:Net"), network)


# Files that are none


@pytest.mark.parametrize(("share", "suffix"), [(0.5, ".pt"), (0.98, ".pt"), (0.9, ".safetensors"), (0.1, ".safetensors")])
def test_a_file_cut_short_is_told(module: str, home: Path, share: float, suffix: str) -> None:
    path = home / f"ckpt{suffix}"
    (torch.save if suffix == ".pt" else save_file)(small_network(module).state_dict(), path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    for action in (lambda: load(path, factory=f"{module}:Net"), lambda: inspect_checkpoint(path)):
        with pytest.raises(InputError, match="cut short or damaged"):
            action()


def _numpy_archive(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, weight=np.ones(3))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda p: None, "cannot read .*: No such file or directory; give the path"),
        (lambda p: p.mkdir(), "is a folder; give the checkpoint file in it"),
        (lambda p: p.touch(), "is empty"),
        (lambda p: p.write_text("hello, world"), "is no checkpoint .it begins with b'hello, w'"),
        (lambda p: p.write_bytes(b"\x80"), "is no checkpoint"),
        (
            lambda p: p.write_bytes(b"\x93NUMPY{{{{{{{"),
            "is a numpy array and no checkpoint; wrap the network .* --model module:function",
        ),
        (
            _numpy_archive,
            "is a numpy archive and no checkpoint; wrap the network .* --model module:function, or convert .* state_dict",
        ),
        (
            lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99)),
            "is an HDF5 file, as Keras writes them, and no checkpoint; wrap",
        ),
        (lambda p: torch.save({"loss": 3, "epoch": 1}, p), "holds a dict with the keys loss, epoch and no named tensors"),
        (lambda p: torch.save(torch.ones(3), p), "holds a Tensor and no named tensors"),
        (lambda p: torch.save({("a",): torch.ones(3)}, p), "holds a dict with the keys tuple and no named tensors"),
        (lambda p: save_file({}, p), "holds a dict and no named tensors"),
    ],
)
def test_what_is_no_checkpoint_is_told(home: Path, make: Callable[[Path], object], sentence: str) -> None:
    path = home / "ckpt.pt"
    make(path)
    for action in (load, inspect_checkpoint):
        with pytest.raises(InputError, match=sentence) as caught:
            action(path)
        assert "\n" not in str(caught.value)


# Files that would run code


class Evil:
    """Unpickling it writes a file."""

    def __init__(self, trap: Path) -> None:
        self.trap = trap

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.system, (f"touch {self.trap}",)


class Subtle(Evil):
    """The same through functions that no list of dangerous modules holds."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return np.save, (str(self.trap), np.ones(1))


STATE = {"weight": torch.ones(2)}


def _replaced(path: Path, member: str, data: bytes) -> None:
    """The archive with one of its files exchanged."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, data if name.endswith(member) else content)


def _torchscript(path: Path, trap: Path, member: str) -> None:
    torch.jit.script(nn.Conv2d(2, 2, 1)).save(str(path))  # type: ignore[no-untyped-call]
    _replaced(path, member, pickle.dumps(Evil(trap), 2))


def _export(path: Path, trap: Path) -> None:
    _exported(nn.Conv2d(2, 2, 1), str(path))
    stream = io.BytesIO()
    torch.save(Evil(trap), stream)
    _replaced(path, "model.pt", stream.getvalue())


def _object_array(path: Path, trap: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.array([Evil(trap)], dtype=object), allow_pickle=True)


def _object_archive(path: Path, trap: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, weight=np.array([Evil(trap)], dtype=object), allow_pickle=True)


def _old(payload: Callable[[Path], Any]) -> Callable[[Path, Path], None]:
    return lambda path, trap: torch.save(payload(trap), path, _use_new_zipfile_serialization=False)


MALICIOUS: dict[str, Callable[[Path, Path], object]] = {
    **{f"pickle {p}": lambda path, trap, p=p: path.write_bytes(pickle.dumps(Evil(trap), p)) for p in range(6)},  # type: ignore[misc]
    "torch": lambda path, trap: torch.save(Evil(trap), path),
    "torch, in a state_dict": lambda path, trap: torch.save({"state_dict": STATE | {"bias": Evil(trap)}}, path),
    "torch, in a key": lambda path, trap: torch.save({"state_dict": STATE, (Evil(trap),): 1}, path),
    "torch, of another protocol": lambda path, trap: torch.save(STATE | {"x": Evil(trap)}, path, pickle_protocol=4),
    "Lightning": lambda path, trap: torch.save({"state_dict": STATE, "hyper_parameters": {"data": Evil(trap)}}, path),
    "Lightning, subtle": lambda path, trap: torch.save({"state_dict": STATE, "hyper_parameters": {"data": Subtle(trap)}}, path),
    "old torch": _old(Evil),
    "old torch, in a state_dict": _old(lambda trap: STATE | {"bias": Evil(trap)}),
    "old torch, subtle": _old(lambda trap: STATE | {"bias": Subtle(trap)}),
    "TorchScript, data": lambda path, trap: _torchscript(path, trap, "data.pkl"),
    "TorchScript, constants": lambda path, trap: _torchscript(path, trap, "constants.pkl"),
    "torch.export": _export,
    "npy": _object_array,
    "npz": _object_archive,
}


@quiet
@pytest.mark.parametrize("what", MALICIOUS)
@pytest.mark.parametrize("suffix", [".pt", ".onnx", ".safetensors"])
def test_nothing_in_a_file_is_run_without_leave(home: Path, what: str, suffix: str) -> None:
    trap, path = home / "trap.npy", home / f"model{suffix}"
    MALICIOUS[what](path, trap)
    for action in (lambda: load(path), lambda: load(path, factory="torch.nn:Identity"), lambda: inspect_checkpoint(path)):
        try:
            action()
        except InputError as error:
            assert "\n" not in str(error)
    assert not trap.exists()


@pytest.mark.parametrize("what", ["pickle 0", "pickle 2", "pickle 5", "torch", "torch, in a state_dict", "old torch", "Lightning"])
def test_what_would_run_code_is_told_so_and_would_have_run_with_leave(home: Path, what: str) -> None:
    trap, path = home / "trap.npy", home / "model.pt"
    MALICIOUS[what](path, trap)
    told = "is no checkpoint" if what == "pickle 0" else "loading it runs code.*--trust-pickle"
    for action in (load, inspect_checkpoint) if what == "pickle 0" else (load,):
        with pytest.raises(InputError, match=told):
            action(path)
    if what != "pickle 0":
        with pytest.raises(InputError):
            load(path, trust_pickle=True)
        assert trap.exists(), "the payload would have worked"


# Files that claim more than they hold

GIGABYTES = 2**32


def _safetensors(path: Path, header: Any, length: int | None = None) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + bytes(16))


def _claimed(path: Path, old: bytes, new: bytes, zipped: bool) -> None:
    """A checkpoint of four numbers whose pickle says that there are more."""
    torch.save({"weight": torch.ones(4)}, path, _use_new_zipfile_serialization=zipped)
    if zipped:
        with zipfile.ZipFile(path) as archive:
            data = archive.read("model/data.pkl")
        assert old in data
        _replaced(path, "data.pkl", data.replace(old, new))
    else:
        assert old in path.read_bytes()
        path.write_bytes(path.read_bytes().replace(old, new))


def _bomb(path: Path, member: str) -> None:
    torch.save({"weight": torch.ones(4)}, path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, bytes(2**26) if name.endswith(member) else content)


def _long(number: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", number)


def _of_itself(path: Path) -> None:
    found: dict[str, Any] = {"weight": torch.ones(4)}
    found |= {"self": found, "again": [found, found]}
    torch.save(found, path)


CLAIMS: dict[str, Callable[[Path], object]] = {
    "safetensors, a long header": lambda path: _safetensors(path, b"{}", 99_999_999),
    "safetensors, a longer header": lambda path: _safetensors(path, b"{}", 2**63),
    "safetensors, a large tensor": lambda path: _safetensors(
        path, {"w": {"dtype": "F32", "shape": [GIGABYTES], "data_offsets": [0, 4 * GIGABYTES]}}
    ),
    "safetensors, a shape beyond its bytes": lambda path: _safetensors(
        path, {"w": {"dtype": "F32", "shape": [GIGABYTES], "data_offsets": [0, 16]}}
    ),
    "safetensors, no offsets": lambda path: _safetensors(path, {"w": {"dtype": "F32", "shape": [4], "data_offsets": []}}),
    "safetensors, brackets": lambda path: _safetensors(path, b'{"a":' + b"[" * 100_000),
    "safetensors, an unknown dtype": lambda path: _safetensors(
        path, {"w": {"dtype": "F99", "shape": [4], "data_offsets": [0, 16]}}
    ),
    "torch, a large storage": lambda path: _claimed(path, b"K\x04tq\x07", _long(GIGABYTES) + b"tq\x07", True),
    "torch, a large shape": lambda path: _claimed(path, b"K\x04\x85", _long(GIGABYTES) + b"\x85", True),
    "torch, a bytearray": lambda path: _claimed(
        path, b"K\x04\x85", b"cbuiltins\nbytearray\n" + _long(GIGABYTES) + b"\x85R\x85", True
    ),
    "old torch, a large shape": lambda path: _claimed(path, b"K\x04\x85", _long(GIGABYTES) + b"\x85", False),
    "old torch, a bytearray": lambda path: _claimed(
        path, b"K\x04\x85", b"cbuiltins\nbytearray\n" + _long(GIGABYTES) + b"\x85R\x85", False
    ),
    "a zip bomb of numbers": lambda path: _bomb(path, "data/0"),
    "a zip bomb of a pickle": lambda path: _bomb(path, "data.pkl"),
    "a zip bomb of a version": lambda path: _bomb(path, "version"),
}


def _peak() -> int:
    """The most memory that this process has held, in bytes."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of memory is told by Linux")
@pytest.mark.parametrize("what", CLAIMS)
def test_a_file_that_claims_more_than_it_holds_is_refused_without_taking_the_memory(home: Path, what: str) -> None:
    path = home / "model.pt"
    CLAIMS[what](path)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before = _peak()
    with pytest.raises(InputError):
        load(path, factory="torch.nn:Identity")
    try:
        assert not inspect_checkpoint(path).tensors
    except InputError as error:
        assert "\n" not in str(error)
    assert _peak() - before < 2**25


def test_a_checkpoint_that_holds_itself_is_read_once(home: Path) -> None:
    _of_itself(home / "model.pt")
    assert [tensor.name for tensor in inspect_checkpoint("model.pt").tensors] == ["weight"]


def test_one_number_spread_over_a_large_shape_stays_one_number(home: Path) -> None:
    torch.save({"weight": torch.ones(1).expand(10**6, 10**6)}, "model.pt")
    with pytest.raises(InputError, match="of another shape"):
        load("model.pt", factory=lambda: nn.Linear(2, 2, bias=False))
    assert inspect_checkpoint("model.pt").numbers == 10**12
