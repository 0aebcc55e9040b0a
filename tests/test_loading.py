"""Loading: every kind of file, nothing run without leave, and one sentence for whatever is wrong."""

from __future__ import annotations

import itertools
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import probe.zoo
from probe.description import Truth, read_description, write_description
from probe.errors import InputError
from probe.fields import Field, Quantity
from probe.grid import Grid
from probe.loading import allow, inspect_checkpoint, is_allowed, load, load_recipe, save, wrap
from probe.model import FieldModel

GRID = Grid.cubic(8, 16.0, 2, unit="Mpc")
CODE = """
import numpy as np, torch
from torch import nn, Tensor

class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.first, self.last = nn.Conv2d(2, width, 3, padding=1), nn.Conv2d(width, 2, 1)
    def forward(self, x):
        return x + self.last(torch.tanh(self.first(x)))

def number(): return 3
def doubled(x): return np.roll(2 * x, 1, axis=2)
def written(x):
    x += 1
    return x
def same(x): return x
def on_tensors(x: Tensor) -> Tensor: return x.sin()
"""
_counter = itertools.count()


class _Evil:
    """A pickle that writes a file when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.system, (f"touch {self.path}",)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with its own record of what is allowed."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


@pytest.fixture
def module(home: Path) -> str:
    """The name of a module with networks and functions, found only from the working folder."""
    name = f"mynet_{os.getpid()}_{next(_counter)}"
    (home / f"{name}.py").write_text(CODE)
    return name


def _network(module: str, **arguments: Any) -> nn.Module:
    sys.path.insert(0, str(Path.cwd()))
    torch.manual_seed(0)
    network: nn.Module = __import__(module).Net(**arguments)
    return network


def _field() -> Field:
    return Field(torch.randn(2, 2, 8, 8, generator=torch.Generator().manual_seed(1)), GRID, (Quantity("input", "vector"),))


def _same(model: FieldModel, network: nn.Module) -> bool:
    with torch.no_grad():
        return torch.equal(model(_field()).values, network(_field().values))


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_what_is_saved_loads_back_from_the_file_alone(module: str, home: Path, suffix: str) -> None:
    network = _network(module, width=6)
    described = save(network, home / f"ckpt{suffix}", f"{module}:Net", GRID, factory_arguments={"width": 6}, truth=Truth("gravity"))
    model = load(home / f"ckpt{suffix}")
    assert described == home / "ckpt.probe.toml" and _same(model, network)
    assert model.description.truth.law == "gravity" and model.grid == GRID
    assert (model.name, model.class_name, len(model.sha256)) == ("ckpt", "Net", 64)
    twin, how = model.untrained_twin(7) or pytest.fail()
    assert how == "initialised" and not _same(twin, network)
    assert sorted(p.name for p in home.glob("ckpt*")) == sorted([f"ckpt{suffix}", "ckpt.probe.toml"])


def test_a_class_can_be_given_instead_of_its_name(module: str, home: Path) -> None:
    network = _network(module)
    save(network, "ckpt.pt", type(network), GRID)
    assert read_description("ckpt.probe.toml").factory == f"{module}:Net"
    assert _same(load("ckpt.pt"), network)


def test_a_script_that_saves_what_it_defines_can_be_loaded(home: Path) -> None:
    script = "import probe.loading as p, sys\n" + CODE + "\nif __name__ == '__main__':\n    p.save(Net(), 'ckpt.pt', Net, (8, 8))\n"
    (home / "train_here.py").write_text(script)
    root = str(Path(probe.__path__[0]).parent)
    subprocess.run([sys.executable, "train_here.py"], check=True, env={**os.environ, "PYTHONPATH": root})
    assert load("ckpt.pt").description.factory == "train_here:Net"


def test_saving_refuses_what_would_not_load(module: str, home: Path) -> None:
    network = _network(module)
    with pytest.raises(InputError, match="does not fit"):
        save(network, "ckpt.pt", f"{module}:Net", GRID, factory_arguments={"width": 5})
    with pytest.raises(InputError, match="no name that can be imported"):
        save(network, "ckpt.pt", lambda: network, GRID)
    with pytest.raises(InputError, match="cannot write"):
        save(network, home / "nowhere" / "ckpt.pt", f"{module}:Net", GRID)
    assert not list(home.glob("ckpt*"))


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda state: {"state_dict": state, "epoch": 3, "hyper_parameters": {"width": 4}},
        lambda state: {"model": state, "optimizer": {"state": {}}},
        lambda state: {"model_state_dict": state},
        lambda state: {"ema": {"state_dict": state}},
        lambda state: {"module." + key: value for key, value in state.items()},
        lambda state: {"model._orig_mod." + key: value for key, value in state.items()},
        lambda state: {"state_dict": {"net." + key: value for key, value in state.items()} | {"loss.weight": torch.ones(2)}},
        lambda state: {key: value.half() for key, value in state.items()},
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_are_found_however_they_are_wrapped(module: str, wrapped: Callable[[Any], Any], zipped: bool) -> None:
    network = _network(module)
    for parameter in network.parameters():  # values that half precision holds exactly
        parameter.data = parameter.data.half().float()
    torch.save(wrapped(network.state_dict()), "ckpt.pt", _use_new_zipfile_serialization=zipped)
    model = load("ckpt.pt", factory=f"{module}:Net")
    assert model.dtype == torch.float32 and _same(model, network)


def test_without_a_description_it_runs_on_guesses(module: str) -> None:
    network = _network(module)
    torch.save(network.state_dict(), "ckpt.pt")
    model = load("ckpt.pt", factory=type(network))
    assert model.grid == Grid.cubic(64, 64.0, 2) and model.description.inputs[0].is_vector
    assert any("64 points a side" in sentence for sentence in model.description.guessed)


def test_bare_tensors_end_with_what_was_found_and_the_next_command(module: str) -> None:
    torch.save(_network(module).state_dict(), "ckpt.pt")
    found = r"holds 4 tensors \(\d+ numbers, likely 2-dimensional, 2 channels in and 2 out\)"
    with pytest.raises(InputError, match=found + ".*probe run rotation --model .*ckpt.pt --factory MODULE:CLASS"):
        load("ckpt.pt")


def _description_for(module: str, path: str, **changes: Any) -> None:
    description = wrap(nn.Conv2d(2, 2, 1), GRID, factory=None, **changes).description
    write_description(description, path)


def test_descriptions_have_their_order(module: str, home: Path) -> None:
    torch.save(_network(module).state_dict(), "ckpt.pt")
    factory = f"{module}:Net"
    (home / "pyproject.toml").write_text(
        '[tool.probe]\nschema = 1\nname = "project"\n[tool.probe.grid]\nshape = [8, 8]\nbox = 8\n'
        '[[tool.probe.input]]\nkind = "vector"\n[[tool.probe.output]]\nkind = "vector"\n'
    )
    assert load("ckpt.pt", factory=factory).name == "project"
    _description_for(module, "ckpt.probe.toml", name="beside")
    assert load("ckpt.pt", factory=factory).name == "beside"
    _description_for(module, "other.toml", name="passed")
    assert load("ckpt.pt", factory=factory, spec="other.toml").name == "passed"


def test_a_description_beside_that_names_code_waits_for_leave(module: str, home: Path) -> None:
    torch.save(_network(module).state_dict(), "ckpt.pt")
    _description_for(module, "ckpt.probe.toml", **{"name": "x"})
    text = Path("ckpt.probe.toml").read_text()
    Path("ckpt.probe.toml").write_text(text.replace("schema = 1", f'schema = 1\nfactory = "{module}:Net"'))
    with pytest.raises(InputError, match=r"names code \(mynet.*:Net\) and was not allowed .* `probe allow .*` or pass --spec"):
        load("ckpt.pt")
    assert load("ckpt.pt", spec="ckpt.probe.toml").class_name == "Net"
    assert load("ckpt.pt", factory=f"{module}:Net").class_name == "Net"
    allow("ckpt.probe.toml")
    assert load("ckpt.pt").class_name == "Net"
    Path("ckpt.probe.toml").write_text(Path("ckpt.probe.toml").read_text() + "\n# changed\n")
    assert not is_allowed("ckpt.probe.toml")
    with pytest.raises(InputError, match="was not allowed"):
        load("ckpt.pt")


def test_a_truth_that_is_code_waits_for_leave_even_with_a_factory(module: str) -> None:
    torch.save(_network(module).state_dict(), "ckpt.pt")
    _description_for(module, "ckpt.probe.toml", truth=Truth("os:system"))
    with pytest.raises(InputError, match=r"names code \(os:system\)"):
        load("ckpt.pt", factory=f"{module}:Net")


def test_a_copy_elsewhere_is_not_allowed_with_the_original(home: Path) -> None:
    (home / "a.toml").write_text("schema = 1")
    (home / "b.toml").write_text("schema = 1")
    allow("a.toml")
    assert is_allowed(home / "a.toml") and not is_allowed("b.toml")
    with pytest.raises(InputError, match="cannot read"):
        allow("none.toml")


@pytest.mark.parametrize("form", ["zip", "legacy", "bare", "nested"])
def test_a_malicious_pickle_is_never_opened_without_leave(home: Path, form: str) -> None:
    trap, path = home / "trap", home / "ckpt.pt"
    if form == "bare":
        path.write_bytes(pickle.dumps(_Evil(trap)))
    else:
        payload = {"state_dict": {"weight": torch.ones(2), "bias": _Evil(trap)}} if form == "nested" else _Evil(trap)
        torch.save(payload, path, _use_new_zipfile_serialization=form != "legacy")
    with pytest.raises(InputError):
        load(path, factory="torch.nn:Identity")
    found = inspect_checkpoint(path)
    assert not trap.exists()
    assert "--trust-pickle" in found.next_command and not found.tensors
    with pytest.raises(InputError):
        load(path, trust_pickle=True)
    assert trap.exists(), "the payload would have worked"


def _whole(network: nn.Module, path: str) -> None:
    torch.save(network, path)


def _scripted(network: nn.Module, path: str) -> None:
    torch.jit.script(network).save(path)  # type: ignore[no-untyped-call]


def _exported(network: nn.Module, path: str) -> None:
    torch.export.save(torch.export.export(network, (torch.zeros(2, 2, 8, 8),)), path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("write", "name", "said"),
    [(_whole, "m.pt", "pickle that names"), (_scripted, "m.pt", "TorchScript"), (_exported, "m.pt2", "torch.export")],
)
def test_files_that_are_code_need_trust(module: str, write: Callable[[nn.Module, str], None], name: str, said: str) -> None:
    network = _network(module)
    write(network, name)
    with pytest.raises(InputError, match=f"{said}.*loading it runs code.*--trust-pickle"):
        load(name)
    with pytest.raises(InputError, match="--trust-pickle"):
        load(name, factory=f"{module}:Net")
    _description_for(module, "spec.toml")
    model = load(name, spec="spec.toml", trust_pickle=True)
    assert _same(model, network)
    assert "--trust-pickle" in inspect_checkpoint(name).next_command


def test_a_trusted_file_of_plain_tensors_still_needs_its_factory(module: str) -> None:
    network = _network(module)
    torch.save({"model": network}, "whole.pt")
    torch.save(network.state_dict(), "bare.pt")
    assert load("whole.pt", trust_pickle=True).class_name == "Net"
    _description_for(module, "spec.toml")
    assert _same(load("whole.pt", spec="spec.toml", factory=f"{module}:Net", trust_pickle=True), network)
    with pytest.raises(InputError, match="--factory MODULE:CLASS"):
        load("bare.pt", trust_pickle=True)


def _cut(path: Path, share: float) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


@pytest.mark.parametrize(("share", "suffix"), [(0.5, ".pt"), (0.98, ".pt"), (0.9, ".safetensors"), (0.1, ".safetensors")])
def test_a_file_cut_short_is_told(module: str, home: Path, share: float, suffix: str) -> None:
    path = home / f"ckpt{suffix}"
    state = _network(module).state_dict()
    if suffix == ".pt":
        torch.save(state, path)
    else:
        save_file(state, path)
    _cut(path, share)
    for action in (lambda: load(path, factory=f"{module}:Net"), lambda: inspect_checkpoint(path)):
        with pytest.raises(InputError, match="cut short or damaged"):
            action()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda p: None, "cannot read .*: No such file or directory; give the path"),
        (lambda p: p.mkdir(), "is a folder; give the checkpoint file in it"),
        (lambda p: p.touch(), "is empty"),
        (lambda p: p.write_text("hello, world"), "is no checkpoint .it begins with b'hello, w'"),
        (lambda p: p.write_bytes(b"\x80"), "is no checkpoint"),
        (lambda p: p.write_bytes(b"\x93NUMPY{{{{{{{"), "is no checkpoint"),
        (lambda p: torch.save({"loss": 3, "epoch": 1}, p), "holds a dict with the keys loss, epoch and no named tensors"),
        (lambda p: torch.save(torch.ones(3), p), "holds a Tensor and no named tensors"),
    ],
)
def test_what_is_no_checkpoint_is_told(home: Path, make: Callable[[Path], object], sentence: str) -> None:
    path = home / "ckpt.pt"
    make(path)
    for action in (load, inspect_checkpoint):
        with pytest.raises(InputError, match=sentence) as caught:
            action(path)
        assert "\n" not in str(caught.value)


def test_an_onnx_file_is_told(home: Path) -> None:
    (home / "m.onnx").write_bytes(b"\x08\x07\x12\x07pytorch" + bytes(64))
    with pytest.raises(InputError, match=r"ONNX model, which is not read even with --trust-pickle; .*module:function"):
        load("m.onnx", trust_pickle=True)


@pytest.mark.parametrize(
    ("factory", "sentence"),
    [
        ("{m}:Net", None),
        ("{m}:Nett", "has no 'Nett'; did you mean 'Net'"),
        ("{m}x:Net", "there is no module"),
        ("{m}:number", "gave a int; expected a torch.nn.Module"),
        ("{m}:CODE.x", "has no 'CODE'"),
        ("{m}:np", "is a module; expected what makes"),
        ("torch.nn:Conv2d", r"Conv2d\(\) raised TypeError .* check its factory_arguments"),
        ("torch.nn:Identity", r"does not fit torch.nn:Identity: 4 tensors are unknown to the network \(first first.weight\)"),
    ],
)
def test_a_factory_that_does_not_serve_is_told(module: str, factory: str, sentence: str | None) -> None:
    torch.save(_network(module).state_dict(), "ckpt.pt")
    if sentence is None:
        assert load("ckpt.pt", factory=factory.format(m=module)).class_name == "Net"
        return
    with pytest.raises(InputError, match=sentence):
        load("ckpt.pt", factory=factory.format(m=module))


def test_tensors_that_do_not_fit_are_named(module: str) -> None:
    torch.save(_network(module, width=6).state_dict(), "wide.pt")
    misfit = r"first first.weight \(\(6, 2, 3, 3\) for \(4, 2, 3, 3\)\)"
    with pytest.raises(InputError, match=rf"3 tensors are of another shape \({misfit}\)"):
        load("wide.pt", factory=f"{module}:Net")
    state = _network(module).state_dict()
    del state["last.bias"]
    torch.save(state, "short.pt")
    with pytest.raises(InputError, match=r"1 tensors are missing from the file \(first last.bias\)"):
        load("short.pt", factory=f"{module}:Net")


def test_functions_of_arrays_and_of_tensors_are_models(module: str) -> None:
    _description_for(module, "spec.toml")
    arrays, tensors = (load(f"{module}:{name}", spec="spec.toml") for name in ("doubled", "on_tensors"))
    given = _field()
    assert torch.equal(arrays(given).values, torch.roll(2 * given.values, 1, 2)) and not arrays.differentiable
    assert torch.equal(tensors(given).values, given.values.sin()) and tensors.differentiable
    assert torch.equal(load(f"{module}:same", spec="spec.toml")(given).values, given.values)
    assert len(arrays.sha256) == 64 and arrays.name == f"{module}:doubled"
    with pytest.raises(InputError, match="written writes into its input"):
        load(f"{module}:written", spec="spec.toml")(given)


def test_a_function_needs_a_description_and_must_be_one(module: str) -> None:
    with pytest.raises(InputError, match="tells no grid and no channels; describe it with --spec FILE"):
        load(f"{module}:doubled")
    _description_for(module, "spec.toml")
    with pytest.raises(InputError, match="is a class; expected a function of arrays"):
        load(f"{module}:Net", spec="spec.toml")


def test_a_recipe_loads_the_same_model_and_its_variants(module: str) -> None:
    network = _network(module)
    save(network, "ckpt.pt", f"{module}:Net", GRID)
    model = load("ckpt.pt", batch_size=1)
    assert model.recipe is not None
    again = load_recipe(pickle.loads(pickle.dumps(model.recipe)))
    assert torch.equal(again(_field()).values, model(_field()).values) and again.batch_size == 1 and again.recipe == model.recipe
    twin, _ = model.untrained_twin(4) or pytest.fail()
    double = twin.to_double()
    assert double.recipe is not None
    assert torch.equal(load_recipe(double.recipe)(_field()).values, double(_field()).values)
    torch.save(_network(module, width=4).state_dict(), "ckpt.pt")
    with Path("ckpt.pt").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(InputError, match="has changed since this run began"):
        load_recipe(model.recipe)


def test_a_factory_without_a_name_leaves_no_recipe(module: str) -> None:
    network = _network(module)
    torch.save(network.state_dict(), "ckpt.pt")
    assert load("ckpt.pt", factory=lambda: type(network)()).recipe is None


def test_loading_leaves_the_global_random_numbers_alone(module: str) -> None:
    save(_network(module), "ckpt.pt", f"{module}:Net", GRID)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load("ckpt.pt")
    assert torch.equal(torch.rand(3), expected)


def test_a_live_module_is_wrapped_where_it_is(module: str) -> None:
    network = _network(module)
    model = wrap(network, GRID, name="mine")
    assert _same(model, network) and model.name == "mine" and model.recipe is None and len(model.sha256) == 64
    assert wrap(network, 16).grid == Grid.cubic(16, 16.0, 2)
    assert wrap(network, (4, 8)).grid == Grid((4, 8), (4.0, 8.0))
    mixed = wrap(lambda x: x[:, :1], GRID, ["scalar", Quantity("q", "pseudoscalar")], "scalar")
    assert mixed.description.channels_in == 2 and mixed.description.outputs == (Quantity("output"),)
    with torch.no_grad():
        next(network.parameters()).add_(1)
    assert wrap(network, GRID).sha256 != model.sha256


def test_what_cannot_be_wrapped_is_told() -> None:
    with pytest.raises(InputError, match=r"grid = 8 tells no dimension.* such as \(8, 8\)"):
        wrap(lambda x: x, 8)
    with pytest.raises(InputError, match="is no grid"):
        wrap(lambda x: x, (1, 1))
    with pytest.raises(InputError, match="input is 'vektor'; expected a Quantity or a kind"):
        wrap(lambda x: x, (8, 8), "vektor")


def test_inspection_says_what_is_there_and_what_is_missing(module: str, home: Path) -> None:
    network = _network(module)
    torch.save({"state_dict": network.state_dict()}, "bare.pt")
    found = inspect_checkpoint("bare.pt")
    assert [t.name for t in found.tensors] == list(network.state_dict()) and found.tensors[0].shape == (4, 2, 3, 3)
    assert found.numbers == sum(p.numel() for p in network.parameters()) and found.tensors[0].dtype == "float32"
    assert (found.format, found.dimension, found.channels_in, found.channels_out) == ("torch checkpoint", 2, 2, 2)
    assert found.next_command == "probe run rotation --model bare.pt --factory MODULE:CLASS" and len(found.missing) == 2
    save(network, "ckpt.safetensors", f"{module}:Net", GRID)
    ready = inspect_checkpoint("ckpt.safetensors")
    assert ready.missing == () and ready.format == "safetensors"
    assert ready.next_command == "probe run rotation --model ckpt.safetensors"
    assert ready.as_dict()["tensors"][0]["name"] == ready.tensors[0].name


def test_inspection_imports_nothing_that_a_file_names(home: Path) -> None:
    (home / "trapped.py").write_text("from pathlib import Path\nPath('trap').touch()\n")
    torch.save(nn.Conv2d(2, 2, 3).state_dict(), "ckpt.pt")
    _description_for("", "ckpt.probe.toml")
    text = Path("ckpt.probe.toml").read_text().replace("schema = 1", 'schema = 1\nfactory = "trapped:Net"')
    Path("ckpt.probe.toml").write_text(text)
    found = inspect_checkpoint("ckpt.pt")
    assert found.next_command == "probe allow ckpt.probe.toml" and "trapped:Net" in found.missing[0]
    assert not Path("trap").exists()


def test_the_zoo_is_found_by_its_folders(module: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = home / "tinynet"
    folder.mkdir()
    network = _network(module)
    save(network, folder / "weights.safetensors", f"{module}:Net", GRID)
    (folder / "weights.probe.toml").rename(folder / "model.probe.toml")
    (folder / "card.md").write_text("# A tiny network\n\nMore.\n")
    found = probe.zoo.entries(home)
    assert list(found) == ["tinynet"] and found["tinynet"].summary == "A tiny network"
    for user in ("load", "inspection"):
        monkeypatch.setattr(sys.modules[f"probe.loading.{user}"], "entries", lambda: found)
    model = load("zoo:tinynet")
    assert _same(model, network) and model.name == "tinynet" and model.recipe is not None
    assert _same(load_recipe(model.recipe), network)
    assert inspect_checkpoint("zoo:tinynet").missing == ()
    with pytest.raises(InputError, match="the zoo has no 'tinynat'; did you mean zoo:tinynet"):
        load("zoo:tinynat")


def test_models_made_in_python_are_in_the_zoo_too(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "my_oracles.py").write_text(
        "from probe.loading.live import wrap\nMODELS = {'oracle/double': lambda: wrap(lambda x: 2 * x, (8, 8), name='double')}\n"
    )
    monkeypatch.syspath_prepend(home)
    monkeypatch.setattr(sys.modules["probe.loading.load"], "_PYTHON_ZOO", ("my_oracles",))
    model = load("zoo:oracle/double")
    assert torch.equal(model(_field()).values, 2 * _field().values)
    assert model.recipe is not None and load_recipe(model.recipe).name == "double"


def test_the_list_of_the_zoo_imports_no_torch() -> None:
    code = "import sys, probe.zoo; probe.zoo.entries(); sys.exit('torch' in sys.modules)"
    root = str(Path(probe.__path__[0]).parent)
    assert subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": root}).returncode == 0
