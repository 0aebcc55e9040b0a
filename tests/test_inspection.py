"""What a checkpoint is, without running it; and with the user's leave, what its network does."""

from __future__ import annotations

import json
import os
import pickle
import shlex
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from torch import nn

from probe.cli import main
from probe.description import Description, write_description
from probe.errors import InputError
from probe.fields import Quantity
from probe.grid import Grid
from probe.loading import inspect_checkpoint, save
from probe.loading.anatomy import ExportedTensor, globals_of, members_of, signature_of
from probe.loading.arguments import ModelArguments
from probe.loading.formats import Format
from probe.loading.initial import initialise
from probe.loading.inspection import open_for_examination

GRID = Grid.cubic(8, 16.0, 2, unit="Mpc")
CODE = """
import numpy as np
from torch import nn

class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.first, self.last = nn.Conv2d(2, width, 3, padding=1), nn.Conv2d(width, 2, 1)
    def forward(self, x):
        return x + self.last(self.first(x).tanh())

def doubled(x): return np.roll(2 * x, 1, axis=2)
def adapter(network, x): return network(x)
"""
NAME = "inspected_network"


class _Evil:
    """A pickle that writes a file when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.system, (f"touch {self.path}",)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with its own record of what is allowed, and a network's code that is found only from there."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (tmp_path / f"{NAME}.py").write_text(CODE)
    sys.modules.pop(NAME, None)
    yield tmp_path
    sys.modules.pop(NAME, None)


def _network(**arguments: Any) -> nn.Module:
    torch.manual_seed(0)
    network: nn.Module = __import__(NAME).Net(**arguments)
    return network


def _describe(path: str, **changes: Any) -> None:
    vector = (Quantity("input", "vector"),)
    write_description(Description(GRID, vector, vector, **changes), path)


def _call(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, list(words))
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def test_it_says_what_is_there_and_what_is_missing(home: Path) -> None:
    network = _network()
    torch.save({"state_dict": network.state_dict()}, "bare.pt")
    found = inspect_checkpoint("bare.pt")
    assert [t.name for t in found.tensors] == list(network.state_dict()) and found.tensors[0].shape == (4, 2, 3, 3)
    assert found.numbers == sum(p.numel() for p in network.parameters()) and found.precisions == {"float32": found.numbers}
    assert (found.format, found.dimension, found.channels_in, found.channels_out) == ("torch checkpoint", 2, 2, 2)
    assert found.next_command == "probe run all --model bare.pt --factory MODULE:CLASS" and len(found.missing) == 2
    assert found.describe_command == "probe init bare.pt --factory MODULE:CLASS"
    save(network, "ckpt.safetensors", f"{NAME}:Net", GRID)
    ready = inspect_checkpoint("ckpt.safetensors")
    assert ready.missing == () and ready.format == "safetensors" and ready.describe_command == ""
    assert ready.next_command == "probe run all --model ckpt.safetensors"
    assert ready.as_dict()["tensors"][0]["name"] == ready.tensors[0].name


def test_what_is_missing_follows_what_the_user_gives(home: Path) -> None:
    torch.save(_network().state_dict(), "my net.pt")
    found = inspect_checkpoint("my net.pt", factory="a:B")
    assert len(found.missing) == 1 and found.next_command == "probe run all --model 'my net.pt' --factory a:B"
    _describe("spec.toml", factory="a:B")
    described = inspect_checkpoint("my net.pt", spec="spec.toml")
    assert described.missing == () and described.next_command == "probe run all --model 'my net.pt' --spec spec.toml"


def test_the_table_of_a_project_describes_too(home: Path) -> None:
    torch.save(_network().state_dict(), "ckpt.pt")
    table = "[tool.probe]\nschema = 1\n[tool.probe.grid]\nshape = [8, 8]\nbox = 8\n"
    (home / "pyproject.toml").write_text(table + '[[tool.probe.input]]\nkind = "vector"\n[[tool.probe.output]]\nkind = "vector"\n')
    found = inspect_checkpoint("ckpt.pt")
    assert Path(found.description) == home / "pyproject.toml" and found.describe_command == ""


def test_it_imports_nothing_that_a_file_names(home: Path) -> None:
    (home / "trapped.py").write_text("from pathlib import Path\nPath('trap').touch()\n")
    torch.save(nn.Conv2d(2, 2, 3).state_dict(), "ckpt.pt")
    _describe("ckpt.probe.toml", factory="trapped:Net")
    found = inspect_checkpoint("ckpt.pt")
    assert found.next_command == "probe allow ckpt.probe.toml" and "trapped:Net" in found.missing[0]
    assert not Path("trap").exists()


def test_sets_of_weights_are_listed(home: Path) -> None:
    state = _network().state_dict()
    torch.save({"model": state, "ema": {"weights": state}, "epoch": 3}, "ckpt.pt")
    assert inspect_checkpoint("ckpt.pt").sets == {"model": 4, "ema.weights": 4}
    _, out, _ = _call("inspect", "ckpt.pt")
    assert "ema.weights  4 tensors" in out
    torch.save({"model": state, "ema": {"weights": {"other": torch.ones(3)}}}, "ckpt.pt")
    _describe("spec.toml", factory=f"{NAME}:Net", weights="ema")
    assert [t.name for t in inspect_checkpoint("ckpt.pt", spec="spec.toml").tensors] == ["other"]
    assert len(inspect_checkpoint("ckpt.pt").tensors) == 4


def test_precisions_and_metadata_are_told(home: Path) -> None:
    save_file({"a": torch.ones(3).half(), "b": torch.ones(2, dtype=torch.complex64)}, "m.safetensors", {"trained": "by me\x1b[31m"})
    found = inspect_checkpoint("m.safetensors")
    assert found.precisions == {"float16": 3, "complex64": 2} and found.metadata == {"trained": "by me\x1b[31m"}
    _, out, _ = _call("inspect", "m.safetensors")
    assert "metadata: trained = by me" in out and "\x1b" not in out


def test_a_long_list_loses_its_middle_unless_all_is_asked_for(home: Path) -> None:
    torch.save({f"layer_{i:03}.weight": torch.ones(1) for i in range(144)}, "long.pt")
    short, everything = _call("inspect", "long.pt")[1], _call("inspect", "long.pt", "--all")[1]
    assert "... 120 more" in short and all(name in short for name in ("layer_000.", "layer_011.", "layer_132.", "layer_143."))
    assert "layer_050." not in short and all(f"layer_{i:03}.weight" in everything for i in range(144))


@pytest.mark.parametrize("protocol", range(6))
def test_what_a_pickle_would_import_is_told_and_not_imported(home: Path, protocol: int) -> None:
    trap = home / "trap"
    (home / "evil.pt").write_bytes(pickle.dumps([_Evil(trap), _Evil(trap), Path("a")], protocol=protocol))
    assert globals_of(home / "evil.pt", Format.TORCH) == ("posix.system", "pathlib.PosixPath")
    assert not trap.exists()


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_a_malicious_checkpoint_is_looked_at_and_not_opened(home: Path, form: str) -> None:
    torch.save({"state_dict": _Evil(home / "trap")}, "evil.pt", _use_new_zipfile_serialization=form == "zip")
    found = inspect_checkpoint("evil.pt")
    assert "posix.system" in found.imports and "--trust-pickle" in found.next_command and found.tensors == ()
    status, out, _ = _call("inspect", "evil.pt", "--factory", f"{NAME}:Net")
    assert status == 2 and "posix.system" in out
    assert not (home / "trap").exists()


def _whole(network: nn.Module, path: str) -> None:
    torch.save(network, path)


def _scripted(network: nn.Module, path: str) -> None:
    torch.jit.script(network).save(path)  # type: ignore[no-untyped-call]


def _exported(network: nn.Module, path: str) -> None:
    batch = torch.export.Dim("batch", min=1, max=64)
    exported = torch.export.export(network, (torch.zeros(2, 2, 8, 8),), dynamic_shapes={"x": {0: batch}})
    torch.export.save(exported, path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("write", "name", "member", "imports"),
    [
        (_whole, "m.pt", "data.pkl", f"{NAME}.Net"),
        (_scripted, "m.pt", f"code/__torch__/{NAME}.py", f"__torch__.{NAME}.Net"),
        (_exported, "m.pt2", "models/model.json", None),
    ],
)
def test_files_that_are_code_are_told_without_running_it_and_examined_with_leave(
    home: Path, write: Callable[[nn.Module, str], None], name: str, member: str, imports: str | None
) -> None:
    write(_network(), name)
    found = inspect_checkpoint(name)
    assert member in {part.name for part in found.members} and (imports is None or imports in found.imports)
    assert "--trust-pickle" in found.next_command and "--trust-pickle" in found.missing[0]
    _describe("m.probe.toml")
    status, out, err = _call("inspect", name, "--trust-pickle")
    assert status == 0, err
    assert "receptive field   1 cells back and 1 on, 2 and 2 Mpc" in out
    assert f"next: probe run all --model {name} --trust-pickle" in out


@pytest.mark.filterwarnings("ignore")
def test_an_exported_network_tells_its_shapes(home: Path) -> None:
    _exported(_network(), "m.pt2")
    found = inspect_checkpoint("m.pt2")
    assert found.inputs == (ExportedTensor("x", (None, 2, 8, 8)),) and found.outputs[0].shape == (None, 2, 8, 8)
    assert (found.dimension, found.channels_in, found.channels_out) == (2, 2, 2)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"[",
        b"{}",
        b'{"graph_module": 3}',
        b"[" * 100_000,
        b'{"graph_module": {"graph": {"tensor_values": {}}, "signature": 3}}',
    ],
)
def test_an_exported_network_that_tells_nonsense_tells_nothing(home: Path, said: bytes) -> None:
    with zipfile.ZipFile("m.pt2", "w") as archive:
        archive.writestr("m/models/model.json", said)
    assert signature_of(home / "m.pt2") == ((), ())


def test_what_unpacks_to_more_than_the_file_holds_is_not_unpacked(home: Path) -> None:
    pickled = pickle.dumps(["a" * 10**7, _Evil(home / "trap")])
    with zipfile.ZipFile("bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", pickled)
    assert (home / "bomb.pt").stat().st_size < 10**5
    assert globals_of(home / "bomb.pt", Format.TORCH) == ()
    assert members_of(home / "bomb.pt")[0].size == len(pickled)


def test_a_roundabout_name_in_a_pickle_is_a_question_mark(home: Path) -> None:
    (home / "odd.pt").write_bytes(b"\x80\x04\x93.")  # takes two names from an empty stack
    assert globals_of(home / "odd.pt", Format.TORCH) == ("?",)
    (home / "cut.pt").write_bytes(b"\x80\x04\x8c" + struct.pack("B", 200) + b"cut")
    assert globals_of(home / "cut.pt", Format.TORCH) == ()


def test_with_a_factory_the_network_is_built_and_examined(home: Path) -> None:
    torch.save(_network().state_dict(), "ckpt.pt")
    status, out, err = _call("inspect", "ckpt.pt", "--factory", f"{NAME}:Net")
    assert status == 0, err
    for words in ("Net on cpu in float32, 86 parameters", "2 Conv2d", "stride            1", "1 cells back and 1 on", "bit by bit"):
        assert words in out
    assert "guessed: the grid has 64 points a side" in out
    assert f"describe: probe init ckpt.pt --factory {NAME}:Net" in out
    assert out.splitlines()[-1] == f"next: probe run all --model ckpt.pt --factory {NAME}:Net"


def test_the_next_command_can_be_typed_as_it_is(home: Path) -> None:
    torch.save(_network().state_dict(), "my ckpt.pt")
    _, out, _ = _call("inspect", "my ckpt.pt", "--factory", f"{NAME}:Net")
    for line in out.splitlines()[-2:]:
        words = shlex.split(line.partition(": ")[2])
        assert words[0] == "probe" and _call(*words[1:], *(["--dry-run"] if words[1] == "run" else []))[0] == 0


def test_both_kinds_are_json_too(home: Path) -> None:
    torch.save(_network().state_dict(), "ckpt.pt")
    bare = json.loads(_call("inspect", "ckpt.pt", "--format", "json")[1])
    assert bare["examination"] is None and len(bare["tensors"]) == 4 and bare["next_command"].startswith("probe run all")
    deep = json.loads(_call("inspect", "ckpt.pt", "--factory", f"{NAME}:Net", "--format", "json")[1])
    assert deep["tensors"] == bare["tensors"] and deep["examination"]["receptive_field"]["axes"][0]["left"] == 1
    assert any("64 points" in guess for guess in deep["examination"]["guessed"])


def test_a_description_that_was_merely_found_is_not_run_even_where_it_is_allowed(home: Path) -> None:
    (home / "trapped.py").write_text("from pathlib import Path\nPath('trap').touch()\ndef adapter(network, x): return network(x)\n")
    torch.save(_network().state_dict(), "ckpt.pt")
    _describe("ckpt.probe.toml", adapter="trapped:adapter")
    assert _call("allow", "ckpt.probe.toml")[0] == 0
    status, _, err = _call("inspect", "ckpt.pt", "--factory", f"{NAME}:Net")
    assert status == 2 and "trapped:adapter" in err and "--spec" in err and not Path("trap").exists()
    status, out, err = _call("inspect", "ckpt.pt", "--factory", f"{NAME}:Net", "--spec", "ckpt.probe.toml")
    assert status == 0 and "1 cells back" in out and Path("trap").exists(), err


def test_a_description_that_was_found_tells_the_grid_where_the_user_names_the_code(home: Path) -> None:
    save(_network(), "ckpt.pt", f"{NAME}:Net", GRID)
    assert open_for_examination(ModelArguments("ckpt.pt", factory=f"{NAME}:Net")).grid == GRID
    with pytest.raises(InputError, match="inspect runs none that a file names"):
        open_for_examination(ModelArguments("ckpt.pt", trust_pickle=True))


def test_weights_that_do_not_fit_are_told_after_what_the_file_holds(home: Path) -> None:
    torch.save(_network(width=6).state_dict(), "wide.pt")
    status, out, err = _call("inspect", "wide.pt", "--factory", f"{NAME}:Net")
    assert status == 2 and "first.weight" in out and "of another shape" in err


def test_a_model_that_fails_is_sent_back_to_its_description(home: Path) -> None:
    torch.save(_network().state_dict(), "ckpt.pt")
    described = Description(GRID, (Quantity("a"),), (Quantity("b"),), factory=f"{NAME}:Net")
    write_description(described, "spec.toml")
    status, out, _ = _call("inspect", "ckpt.pt", "--spec", "spec.toml")
    assert status == 0 and "probes cannot ask it as it stands: the model raised RuntimeError" in out
    assert out.splitlines()[-1] == "next: probe inspect ckpt.pt --spec spec.toml"


def test_functions_and_models_of_the_zoo_are_examined_as_they_are(home: Path) -> None:
    _describe("spec.toml")
    status, out, _ = _call("inspect", f"{NAME}:doubled", "--spec", "spec.toml")
    assert status == 0 and "x: 1 cells back and 0 on" in out and "gradients         none" in out
    status, out, _ = _call("inspect", "zoo:burgers_fno")
    assert status == 0 and "safetensors" in out and "SpectralConvolution" in out and "the whole box" in out
    status, out, _ = _call("inspect", "zoo:oracle/gaussian_filter")
    assert status == 0 and "the whole box" in out and "next: probe run all --model zoo:oracle/gaussian_filter" in out


def _onnx(path: str, shape: tuple[int | str, ...]) -> None:
    """A periodic-looking smoothing along the last axis, written without torch."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    weight = helper.make_tensor("weight", kind, (1, 1, 1, 3), [0.25, 0.5, 0.25])
    node = helper.make_node("Conv", ["x", "weight"], ["y"], kernel_shape=[1, 3], pads=[0, 1, 0, 1])
    values = [helper.make_tensor_value_info(name, kind, shape) for name in ("x", "y")]
    graph = helper.make_graph([node], "smooth", values[:1], values[1:], [weight])
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)]), path)


def test_an_onnx_model_tells_its_shapes_and_is_examined_without_gradients(home: Path) -> None:
    _onnx("m.onnx", ("batch", 1, 16, 16))
    found = inspect_checkpoint("m.onnx")
    assert found.inputs == (ExportedTensor("x", (None, 1, 16, 16)),) and found.next_command == "probe run all --model m.onnx"
    status, out, err = _call("inspect", "m.onnx")
    assert status == 0, err
    assert "x: 0 cells back and 0 on; y: 1 cells back and 1 on (by changing single cells in float" in out
    made = initialise("m.onnx")
    assert made.fault == "" and made.description.grid.shape == (16, 16)


def test_an_onnx_model_that_cannot_be_opened_is_told(home: Path) -> None:
    (home / "m.onnx").write_bytes(b"\x08\x07\x12\x07pytorch" + bytes(64))
    assert "onnxruntime" in inspect_checkpoint("m.onnx").missing[0]
