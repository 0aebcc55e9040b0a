"""Damaged, mutated and absurd files: nothing but an InputError ever comes of them, and no more memory is taken than they warrant.

Every property is tried a few times with each change, and in earnest by the slow tests; the examples are the same each time.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import struct
import tomllib
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from safetensors.torch import save_file

from probe import interface, store
from probe.controls import Control, build
from probe.data import open_pairs
from probe.description import (
    Call,
    Cosmology,
    DataSource,
    Description,
    Symmetries,
    Truth,
    guess_description,
    parse_description,
    read_description,
    write_description,
)
from probe.description.parts import INPUTS, PARAMETERS
from probe.errors import InputError
from probe.fields import Quantity
from probe.grid import Grid
from probe.loading import inspect_checkpoint, load
from probe.loading.initial import initialise
from tests.models import LINE, on
from tests.test_description import WHOLE

EXAMPLES = pytest.mark.parametrize("examples", [30, pytest.param(500, marks=pytest.mark.slow)])
QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]


def holds(examples: int, *strategies: Any) -> Callable[[Callable[..., None]], None]:
    """Try a property at once, on the same examples each time."""

    def run(promise: Callable[..., None]) -> None:
        settings(max_examples=examples, derandomize=True, database=None, deadline=None, suppress_health_check=QUIET)(
            given(*strategies)(promise)
        )()

    return run


# Changes to the bytes of a file

PLACES = some.floats(0, 1, exclude_max=True)
LENGTHS = some.integers(1, 64)
BYTES = some.one_of(
    some.binary(min_size=1, max_size=9),
    some.sampled_from(
        [b"\0", b"\xff" * 4, b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"\0" * 7 + b"\x40", b"999999999999", b"-1", b"[" * 500]
    ),
)
EDITS = some.lists(
    some.one_of(
        some.tuples(some.just("write"), PLACES, BYTES),
        some.tuples(some.just("insert"), PLACES, BYTES),
        some.tuples(some.just("flip"), PLACES, some.integers(0, 7)),
        some.tuples(some.just("cut"), PLACES, LENGTHS),
        some.tuples(some.just("end"), PLACES, LENGTHS),
        some.tuples(some.just("copy"), PLACES, some.tuples(PLACES, LENGTHS)),
        some.tuples(some.just("repeat"), PLACES, some.tuples(LENGTHS, some.integers(2, 50))),
    ),
    min_size=1,
    max_size=8,
)


def edited(content: bytes, edits: list[tuple[str, float, Any]]) -> bytes:
    """The content after all changes."""
    for how, where, what in edits:
        at = int(where * len(content))
        match how:
            case "write":
                content = content[:at] + what + content[at + len(what) :]
            case "insert":
                content = content[:at] + what + content[at:]
            case "flip":
                content = content[:at] + bytes(byte ^ (1 << what) for byte in content[at : at + 1]) + content[at + 1 :]
            case "cut":
                content = content[:at] + content[at + what :]
            case "end":
                content = content[: at + what]
            case "copy":
                start = int(what[0] * len(content))
                content = content[:at] + content[start : start + what[1]] + content[at + what[1] :]
            case "repeat":
                content = content[:at] + content[at : at + what[0]] * what[1] + content[at + what[0] :]
    return content


# Checkpoints


class Net(torch.nn.Module):
    """What the checkpoints are of."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.conv(values)


class Settings:
    """What a training script keeps beside the weights."""

    width = 3


def zipped(pickled: bytes, tensors: dict[str, bytes]) -> bytes:
    """A checkpoint of these parts, well formed as an archive."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, part in {"data.pkl": pickled, "byteorder": b"little", "version": b"3\n"}.items():
            archive.writestr(f"archive/{name}", part)
        for name, part in tensors.items():
            archive.writestr(f"archive/data/{name}", part)
    return content.getvalue()


def saved(what: Any, **how: Any) -> bytes:
    content = io.BytesIO()
    torch.save(what, content, **how)
    return content.getvalue()


def parts(checkpoint: bytes) -> tuple[bytes, dict[str, bytes]]:
    """The pickle of a checkpoint, and its tensors."""
    with zipfile.ZipFile(io.BytesIO(checkpoint)) as archive:
        whole = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    return whole["data.pkl"], {name[5:]: part for name, part in whole.items() if name.startswith("data/")}


def scripted() -> bytes:
    content = io.BytesIO()
    with warnings.catch_warnings(action="ignore"):  # that nobody should write these any more
        torch.jit.save(torch.jit.trace(Net(), torch.zeros(1, 1, 8, 8)), content)
    return content.getvalue()


def checkpoint(kind: str) -> bytes:
    """A small one of each kind."""
    torch.manual_seed(0)
    state = Net().state_dict()
    match kind:
        case "torch":
            return saved(state)
        case "old torch":
            return saved(state, _use_new_zipfile_serialization=False)
        case "lightning":
            nested = {f"net.{name}": tensor for name, tensor in state.items()}
            return saved({"state_dict": nested, "epoch": 3, "hyper_parameters": {"width": 32, "made": Settings()}, "ema": [state]})
        case "other numbers":
            return saved({"conv.weight": state["conv.weight"].to(torch.complex64), "conv.bias": state["conv.bias"].half()})
        case "safetensors":
            path = Path("made.safetensors")
            save_file(state, path, {"format": "pt"})
            return path.read_bytes()
        case "whole module":
            return saved(Net())
        case "TorchScript":
            return scripted()
        case _:
            return pickle.dumps({name: tensor.numpy() for name, tensor in state.items()}, protocol=2)


KINDS = ("torch", "old torch", "lightning", "other numbers", "safetensors", "whole module", "TorchScript", "pickle")
SPEC = """schema = 1
[grid]
shape = [8, 8]
box = 8.0
[[input]]
kind = "scalar"
[[output]]
kind = "scalar"
"""


def read(path: Path) -> None:
    """Every way in which a checkpoint is read without leave to run it; an InputError is an answer."""
    ways: tuple[Callable[[], object], ...] = (
        lambda: load(path, spec=path.parent / "spec.toml", factory=Net),
        lambda: load(path),
        lambda: inspect_checkpoint(path),
        lambda: initialise(path, out=path.parent / "guessed.toml", overwrite=True),
    )
    for way in ways:
        with suppress(InputError):
            way()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    (tmp_path / "spec.toml").write_text(SPEC)
    return tmp_path


@EXAMPLES
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_checkpoint_is_refused_or_read(folder, kind, examples):
    whole, path = checkpoint(kind), folder / f"ckpt.{'safetensors' if kind == 'safetensors' else 'pt'}"

    @holds(examples, EDITS)
    def _(edits):
        path.write_bytes(edited(whole, edits))
        read(path)


@EXAMPLES
@pytest.mark.parametrize("kind", ["torch", "lightning", "other numbers"])
def test_a_checkpoint_whose_pickle_is_damaged_inside_a_whole_archive_is_refused_or_read(folder, kind, examples):
    pickled, tensors = parts(checkpoint(kind))

    @holds(examples, EDITS)
    def _(edits):
        (folder / "ckpt.pt").write_bytes(zipped(edited(pickled, edits), tensors))
        read(folder / "ckpt.pt")


JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=5),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


@EXAMPLES
def test_a_header_of_safetensors_with_anything_in_it_is_refused_or_read(folder, examples):
    entry = some.fixed_dictionaries(
        {},
        optional={
            "dtype": some.sampled_from(["F32", "F16", "BF16", "F8_E4M3", "F8_E8M0", "F4", "C64", "U64", "BOOL", "X"]) | JSON,
            "shape": some.lists(some.integers(-1, 2**64), max_size=4) | JSON,
            "data_offsets": some.lists(some.integers(-1, 2**64), max_size=3) | JSON,
        },
    )

    @holds(examples, some.dictionaries(some.sampled_from(["conv.weight", "conv.bias", "__metadata__", ""]), entry | JSON))
    def _(header):
        said = json.dumps(header).encode()
        (folder / "ckpt.safetensors").write_bytes(struct.pack("<Q", len(said)) + said + bytes(40))
        read(folder / "ckpt.safetensors")


# Files that claim what they do not hold


def memory_taken(work: Callable[[], None]) -> int:
    """Bytes of address space that this takes at its peak, in a process of its own; an InputError is an answer."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        before = _peak()
        try:
            with suppress(InputError):
                work()
            os.write(writer, str(_peak() - before).encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as said:
        return int(said.read() or "-1")


def _peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmPeak")).split()[1])


class Claim:
    """A tensor of a storage that is said to hold so many numbers."""

    def __init__(self, shape: tuple[int, ...], stride: tuple[int, ...], held: int) -> None:
        self.shape, self.stride, self.held = shape, stride, held

    def __reduce__(self) -> Any:
        return torch._utils._rebuild_tensor_v2, (Held(self.held), 0, self.shape, self.stride, False, OrderedDict())


class Held(int):
    """How many numbers a storage is said to hold."""


class Storages(pickle.Pickler):
    """Refers to a storage as torch.save does."""

    def persistent_id(self, what: Any) -> Any:
        return ("storage", torch.FloatStorage, "0", "cpu", int(what)) if isinstance(what, Held) else None


def claiming(claim: Claim) -> bytes:
    pickled = io.BytesIO()
    Storages(pickled, protocol=2).dump({"conv.weight": claim})
    return zipped(pickled.getvalue(), {"0": bytes(64)})


def shared_without_end() -> dict:
    """A dictionary of two dictionaries that are one, and so on: 2^40 paths through it."""
    found: dict = {}
    for _ in range(40):
        found = {"a": found, "b": found}
    return found


def holding_itself() -> dict:
    found: dict = {}
    found["state_dict"] = found
    return found


def safetensors_header(header: dict) -> bytes:
    said = json.dumps(header).encode()
    return struct.pack("<Q", len(said)) + said + bytes(64)


def bomb() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(2**27))
    return content.getvalue()


GIGA = 2**33
ABSURD: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a storage of 32 gigabytes": ("ckpt.pt", lambda: claiming(Claim((GIGA,), (1,), GIGA))),
    "a tensor larger than its storage": ("ckpt.pt", lambda: claiming(Claim((GIGA,), (1,), 16))),
    "one number, repeated without end": ("ckpt.pt", lambda: claiming(Claim((10**6, 10**6, 3, 3), (0, 0, 0, 0), 16))),
    "negative sizes": ("ckpt.pt", lambda: claiming(Claim((-5, -5), (1, 1), 16))),
    "the same dictionary 2^40 times": ("ckpt.pt", lambda: saved(shared_without_end())),
    "a dictionary that holds itself": ("ckpt.pt", lambda: saved(holding_itself())),
    "a list in a list in a list": ("ckpt.pt", lambda: zipped(b"\x80\2" + b"]" * 10_000 + b"a" * 9_999 + b".", {})),
    "a bytearray of 8 gigabytes": ("ckpt.pt", lambda: zipped(b"\x80\2c__builtin__\nbytearray\n\x8a\5\0\0\0\0\2\x85R.", {})),
    "a hundred megabytes of nothing, compressed": ("ckpt.pt", bomb),
    "a header of a terabyte": ("ckpt.safetensors", lambda: struct.pack("<Q", 2**40) + b"{" + bytes(100)),
    "a header of ninety megabytes": ("ckpt.safetensors", lambda: struct.pack("<Q", 90_000_000) + b"{" + bytes(100)),
    "a header nested without end": ("ckpt.safetensors", lambda: struct.pack("<Q", 5 * 10**4) + b'{"a":' * 10**4 + bytes(64)),
    "gigabytes in a header": (
        "ckpt.safetensors",
        lambda: safetensors_header({"conv.weight": {"dtype": "F32", "shape": [GIGA], "data_offsets": [0, 4 * GIGA]}}),
    ),
}


def test_a_checkpoint_of_such_parts_is_read_where_it_claims_what_it_holds(folder):
    (folder / "ckpt.pt").write_bytes(claiming(Claim((1, 1, 3, 3), (9, 9, 3, 1), 16)))
    assert inspect_checkpoint(folder / "ckpt.pt").tensors[0].shape == (1, 1, 3, 3)


@pytest.mark.parametrize("what", ABSURD)
def test_a_checkpoint_that_claims_more_than_it_holds_takes_no_memory_for_it(folder, what):
    name, make = ABSURD[what]
    (folder / name).write_bytes(make())
    taken = memory_taken(lambda: read(folder / name))
    assert 0 <= taken < 100e6 + 10 * (folder / name).stat().st_size, f"{taken / 1e6:.0f} MB"


def npy(header: str, content: bytes = bytes(64)) -> bytes:
    padded = header.encode("latin-1") + b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(padded)) + padded + content


HEADERS = [
    "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000,), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999999999,), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (-5,), }",
    "{'descr': '|S0', 'fortran_order': False, 'shape': (4, 5), }",
    "{'descr': '|S999999999', 'fortran_order': False, 'shape': (4, 5), }",
    "{'descr': [('a', '<f8', (1000000, 1000000))], 'fortran_order': False, 'shape': (1,), }",
    "{'descr': 'O', 'fortran_order': False, 'shape': (4, 5), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (4, 5), 'more': 1}",
    "(" * 5000,
    "[" * 90,
    "-" * 9000 + "1",
    "",
    "{'descr': __import__('os').system('touch executed'), 'fortran_order': False, 'shape': ()}",
]
PAIRED = Description(Grid((4, 5), (4.0, 5.0)), (Quantity("a"),), (Quantity("a"),), data=DataSource("", "in_*.npy", "out_*.npy"))


def read_data(folder: Path) -> None:
    with suppress(InputError):
        pairs = open_pairs(folder, PAIRED)
        pairs.fingerprint()
        list(pairs)


@pytest.mark.parametrize("header", HEADERS, ids=range(len(HEADERS)))
def test_data_that_claim_what_they_do_not_hold_are_refused(folder, header):
    np.save(folder / "out_0", np.zeros((4, 5)))
    (folder / "in_0.npy").write_bytes(npy(header))
    taken = memory_taken(lambda: read_data(folder))
    assert 0 <= taken < 100e6, f"{taken / 1e6:.0f} MB"
    with pytest.raises(InputError, match=r"in_0\.npy"):
        list(open_pairs(folder, PAIRED))
    assert not (folder / "executed").exists()


@EXAMPLES
def test_damaged_data_are_refused_or_read(folder, examples):
    np.save(folder / "out_0", np.zeros((4, 5)))
    np.save(folder / "in_0", np.arange(20.0).reshape(4, 5))
    whole = (folder / "in_0.npy").read_bytes()

    @holds(examples, EDITS)
    def _(edits):
        (folder / "in_0.npy").write_bytes(edited(whole, edits))
        read_data(folder)


@EXAMPLES
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damaged_answers_of_a_simulator_are_refused_or_read(folder, save, examples):
    model = on(LINE, lambda values: values)
    described = replace(model.description, truth=Truth(answers="answers.npz"), source=str(folder / "spec.toml"))
    model.description = described
    field = np.zeros((2, 1, *LINE.shape))
    save(folder / "answers.npz", input=field, output=field)
    whole = (folder / "answers.npz").read_bytes()
    assert isinstance(build("simulator", model, None, 0), Control)

    @holds(examples, EDITS)
    def _(edits):
        (folder / "answers.npz").write_bytes(edited(whole, edits))
        with suppress(InputError):
            build("simulator", model, None, 0)


# Descriptions


def parsed(path: Path) -> None:
    """Reading a description and all that a run does with it before the model is asked."""
    with suppress(InputError):
        description = read_description(path)
        description.fingerprint()
        with suppress(InputError):
            write_description(description, path.with_name("again.toml"))


@EXAMPLES
def test_a_damaged_description_is_refused_or_read(folder, examples):
    @holds(examples, EDITS)
    def _(edits):
        (folder / "spec.toml").write_bytes(edited(WHOLE.encode(), edits))
        parsed(folder / "spec.toml")


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """Every place in a structure."""
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, item in below for place in ((*path, key), *places(item, (*path, key)))]


RARE = ("weights", "adapter", "call", "inputs", "channels", "parameters", "residual", "growth", "redshift", "transform", "guessed")
KEYS = sorted({key for place in places(tomllib.loads(WHOLE)) for key in place if isinstance(key, str)} | set(RARE))
VALUES = some.recursive(
    some.booleans()
    | some.integers()
    | some.integers(-(10**400), 10**400)
    | some.floats()
    | some.text(max_size=8)
    | some.sampled_from(
        ["periodic", "vector", "gravity", "a:b", "full", "x", "\0", "A" * 10_000, 10**400, float("nan"), float("inf")]
    ),
    lambda inner: (
        some.lists(inner, max_size=4) | some.dictionaries(some.sampled_from(KEYS) | some.text(max_size=4), inner, max_size=5)
    ),
    max_leaves=12,
)
TABLES = some.dictionaries(some.sampled_from(KEYS), VALUES, max_size=8)


@EXAMPLES
def test_a_table_of_anything_is_refused_or_parsed(examples):
    whole = tomllib.loads(WHOLE)

    @holds(examples, TABLES, some.lists(some.tuples(some.sampled_from(places(whole)), VALUES), max_size=3))
    def _(table, changes):
        with suppress(InputError):
            parse_description(table, "somewhere")
        changed = tomllib.loads(WHOLE)
        for place, value in changes:
            here = changed
            with suppress(KeyError, IndexError, TypeError):
                for key in place[:-1]:
                    here = here[key]
                here[place[-1]] = value
        with suppress(InputError):
            parse_description(changed, "somewhere").fingerprint()


NESTED = ["a = " + "[" * 5000, "a = " + "{a = " * 5000, "[" + "a." * 5000 + "a]", "a." * 5000 + "a = 1", "a = " + "9" * 10_000]


@pytest.mark.parametrize("text", NESTED, ids=range(len(NESTED)))
def test_a_description_nested_without_end_is_refused(folder, text):
    (folder / "spec.toml").write_text(text)
    with pytest.raises(InputError, match=r"spec\.toml"):
        read_description(folder / "spec.toml")


def test_a_description_of_an_absurd_grid_takes_no_memory(folder):
    (folder / "spec.toml").write_text(SPEC.replace("[8, 8]", "[100000, 100000, 100000]"))
    (folder / "ckpt.pt").write_bytes(checkpoint("torch"))

    def work() -> None:
        interface.run("phase", load(folder / "ckpt.pt", spec=folder / "spec.toml", factory=Net))

    with pytest.raises(InputError, match="does not fit into memory"):
        work()
    assert 0 <= memory_taken(work) < 200e6


NAMES = some.text(some.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=6)
NUMBERS = some.floats(allow_nan=False, allow_infinity=False)
POSITIVE = some.floats(min_value=1e-300, max_value=1e300)
CODE = some.sampled_from(["", "mynet:UNet", "a.b:c.d"])
PLAIN = some.recursive(
    some.booleans() | some.integers(-(2**63), 2**63 - 1) | some.floats(allow_nan=False) | NAMES,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


@some.composite
def quantities(draw: Any, dimension: int) -> tuple[Quantity, ...]:
    """One to three of them, with constants a number or one a channel."""
    made = []
    for index in range(draw(some.integers(1, 3))):
        kind = draw(some.sampled_from(["scalar", "pseudoscalar", "vector"]))
        width = dimension if kind == "vector" else 1
        shift = NUMBERS | some.tuples(*[NUMBERS] * width)
        name = f"{draw(NAMES)}{index}"
        rms = draw(some.none() | POSITIVE)
        made.append(
            Quantity(name, kind, draw(some.just("") | NAMES), draw(some.just("") | NAMES), rms, draw(shift), draw(POSITIVE))
        )
    return tuple(made)


@some.composite
def descriptions(draw: Any) -> Description:
    """Anything that a description may say."""
    dimension = draw(some.integers(1, 3))
    axes = ("x", "y", "z")[:dimension]
    shape = tuple(draw(some.lists(some.integers(2, 10**4), min_size=dimension, max_size=dimension)))
    box = tuple(draw(some.lists(POSITIVE, min_size=dimension, max_size=dimension)))
    boundary = draw(some.sampled_from(["periodic", "zero", "reflect", "none"]))
    along = tuple(draw(some.lists(some.sampled_from(axes), unique=True)))
    rotation = draw(some.sampled_from(["full", "none", ("z",)] if dimension > 1 else ["full", "none"]))
    conditioning = draw(some.dictionaries(NAMES, some.fixed_dictionaries({"default": NUMBERS}), max_size=2))
    call = Call(
        inputs=draw(some.sampled_from(INPUTS)),
        parameters=draw(some.sampled_from(PARAMETERS)),
        output=draw(NAMES | some.integers(0, 9)),
    )
    return Description(
        grid=Grid(shape, box, draw(NAMES), boundary),
        inputs=draw(quantities(dimension)),
        outputs=draw(quantities(dimension)),
        name=draw(some.just("") | NAMES),
        factory=draw(CODE),
        factory_arguments=draw(some.dictionaries(NAMES, PLAIN, max_size=2)),
        call=call,
        truth=Truth(draw(some.sampled_from(["", "gravity", "a:b"])), draw(POSITIVE), draw(some.none() | POSITIVE)),
        symmetries=Symmetries(along, rotation, draw(some.booleans()), True),
        data=DataSource(*draw(some.tuples(*[some.just("") | NAMES] * 3))),
        cosmologies=tuple(
            Cosmology(
                name,
                draw(POSITIVE),
                *draw(some.tuples(*[some.just("") | NAMES] * 2)),
                draw(NUMBERS),
                dict.fromkeys(conditioning, 1.0),
            )
            for name in draw(some.lists(NAMES, unique=True, max_size=2))
        ),
        conditioning=conditioning,
        guessed=tuple(draw(some.lists(NAMES, max_size=2))),
    )


@EXAMPLES
def test_any_description_reads_back_as_it_was_written(folder, examples):
    @holds(examples, descriptions())
    def _(description):
        write_description(description, folder / "written.toml")
        again = read_description(folder / "written.toml")
        assert again.as_dict() | {"source": "", "assumed": ()} == description.as_dict() | {"source": "", "assumed": ()}
        assert again.fingerprint() == description.fingerprint()


@EXAMPLES
def test_a_description_is_guessed_of_any_tensors_or_refused(examples):
    shapes = some.lists(some.integers(0, 5), max_size=6)

    @holds(examples, some.dictionaries(NAMES, shapes, max_size=5))
    def _(state):
        with suppress(InputError):
            guess_description({name: torch.zeros(shape) for name, shape in state.items()})


# Stored runs


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("stored") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("probe.contract.Result.panels", lambda self: [])  # figures take longer than all the rest
        interface.run("phase", on(LINE, lambda x: 0.9 * x), out=folder, controls="none")
    return folder


def reopened(folder: Path) -> None:
    """All that `probe report` does but to draw."""
    from probe.report import render
    from probe.report.text import summary

    with suppress(InputError):
        done = interface.reopen(folder)
        store.write_document(folder, done.document)
        assert render(done.document, []).rstrip().endswith("</html>") and summary(done.document)


@EXAMPLES
@pytest.mark.parametrize("name", ["run.json", "phase.nc"])
def test_a_damaged_run_is_refused_or_shown(folder, stored, name, examples):
    whole = (stored / name).read_bytes()
    run = folder / "run"

    @holds(examples, EDITS)
    def _(edits):
        shutil.copytree(stored, run, dirs_exist_ok=True)
        (run / name).write_bytes(edited(whole, edits))
        reopened(run)
