"""Loading: descriptions and their order, leave to run code, recipes, live modules, the zoo."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import probe.zoo
from probe.description import Truth, read_description
from probe.errors import InputError
from probe.fields import Quantity
from probe.grid import Grid
from probe.loading import allow, inspect_checkpoint, is_allowed, load, load_recipe, save, wrap
from tests.mynet import CODE, GRID, describe, field, same, small_network


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_what_is_saved_loads_back_from_the_file_alone(module: str, home: Path, suffix: str) -> None:
    network = small_network(module, width=6)
    described = save(network, home / f"ckpt{suffix}", f"{module}:Net", GRID, factory_arguments={"width": 6}, truth=Truth("gravity"))
    model = load(home / f"ckpt{suffix}")
    assert described == home / "ckpt.probe.toml" and same(model, network)
    assert model.description.truth.law == "gravity" and model.grid == GRID
    assert (model.name, model.class_name, len(model.sha256)) == ("ckpt", "Net", 64)
    twin, how = model.untrained_twin(7) or pytest.fail()
    assert how == "initialised" and not same(twin, network)
    assert sorted(p.name for p in home.glob("ckpt*")) == sorted([f"ckpt{suffix}", "ckpt.probe.toml"])


def test_a_class_can_be_given_instead_of_its_name(module: str, home: Path) -> None:
    network = small_network(module)
    save(network, "ckpt.pt", type(network), GRID)
    assert read_description("ckpt.probe.toml").factory == f"{module}:Net"
    assert same(load("ckpt.pt"), network)


def test_a_script_that_saves_what_it_defines_can_be_loaded(home: Path) -> None:
    script = "import probe.loading as p, sys\n" + CODE + "\nif __name__ == '__main__':\n    p.save(Net(), 'ckpt.pt', Net, (8, 8))\n"
    (home / "train_here.py").write_text(script)
    root = str(Path(probe.__path__[0]).parent)
    subprocess.run([sys.executable, "train_here.py"], check=True, env={**os.environ, "PYTHONPATH": root})
    assert load("ckpt.pt").description.factory == "train_here:Net"


def test_saving_refuses_what_would_not_load(module: str, home: Path) -> None:
    network = small_network(module)
    with pytest.raises(InputError, match="does not fit"):
        save(network, "ckpt.pt", f"{module}:Net", GRID, factory_arguments={"width": 5})
    with pytest.raises(InputError, match="no name that can be imported"):
        save(network, "ckpt.pt", lambda: network, GRID)
    with pytest.raises(InputError, match="cannot write"):
        save(network, home / "nowhere" / "ckpt.pt", f"{module}:Net", GRID)
    assert not list(home.glob("ckpt*"))


def test_without_a_description_it_runs_on_guesses(module: str) -> None:
    network = small_network(module)
    torch.save(network.state_dict(), "ckpt.pt")
    model = load("ckpt.pt", factory=type(network))
    assert model.grid == Grid.cubic(64, 64.0, 2) and model.description.inputs[0].is_vector
    assert any("64 points a side" in sentence for sentence in model.description.guessed)


def test_bare_tensors_end_with_what_was_found_and_the_next_command(module: str) -> None:
    torch.save(small_network(module).state_dict(), "ckpt.pt")
    found = r"holds 4 tensors \(\d+ numbers, likely 2-dimensional, 2 channels in and 2 out\)"
    with pytest.raises(InputError, match=found + ".*probe run rotation --model .*ckpt.pt --factory MODULE:CLASS"):
        load("ckpt.pt")


def test_descriptions_have_their_order(module: str, home: Path) -> None:
    torch.save(small_network(module).state_dict(), "ckpt.pt")
    factory = f"{module}:Net"
    (home / "pyproject.toml").write_text(
        '[tool.probe]\nschema = 1\nname = "project"\n[tool.probe.grid]\nshape = [8, 8]\nbox = 8\n'
        '[[tool.probe.input]]\nkind = "vector"\n[[tool.probe.output]]\nkind = "vector"\n'
    )
    assert load("ckpt.pt", factory=factory).name == "project"
    describe("ckpt.probe.toml", name="beside")
    assert load("ckpt.pt", factory=factory).name == "beside"
    describe("other.toml", name="passed")
    assert load("ckpt.pt", factory=factory, spec="other.toml").name == "passed"


def test_a_description_beside_that_names_code_waits_for_leave(module: str, home: Path) -> None:
    torch.save(small_network(module).state_dict(), "ckpt.pt")
    describe("ckpt.probe.toml", **{"name": "x"})
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
    torch.save(small_network(module).state_dict(), "ckpt.pt")
    describe("ckpt.probe.toml", truth=Truth("os:system"))
    with pytest.raises(InputError, match=r"names code \(os:system\)"):
        load("ckpt.pt", factory=f"{module}:Net")


def test_a_copy_elsewhere_is_not_allowed_with_the_original(home: Path) -> None:
    (home / "a.toml").write_text("schema = 1")
    (home / "b.toml").write_text("schema = 1")
    allow("a.toml")
    assert is_allowed(home / "a.toml") and not is_allowed("b.toml")
    with pytest.raises(InputError, match="cannot read"):
        allow("none.toml")


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
    torch.save(small_network(module).state_dict(), "ckpt.pt")
    if sentence is None:
        assert load("ckpt.pt", factory=factory.format(m=module)).class_name == "Net"
        return
    with pytest.raises(InputError, match=sentence):
        load("ckpt.pt", factory=factory.format(m=module))


def test_a_recipe_loads_the_same_model_and_its_variants(module: str) -> None:
    network = small_network(module)
    save(network, "ckpt.pt", f"{module}:Net", GRID)
    model = load("ckpt.pt", batch_size=1)
    assert model.recipe is not None
    again = load_recipe(pickle.loads(pickle.dumps(model.recipe)))
    assert torch.equal(again(field()).values, model(field()).values) and again.batch_size == 1 and again.recipe == model.recipe
    twin, _ = model.untrained_twin(4) or pytest.fail()
    double = twin.to_double()
    assert double.recipe is not None
    assert torch.equal(load_recipe(double.recipe)(field()).values, double(field()).values)
    torch.save(small_network(module, width=4).state_dict(), "ckpt.pt")
    with Path("ckpt.pt").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(InputError, match="has changed since this run began"):
        load_recipe(model.recipe)


def test_a_factory_without_a_name_leaves_no_recipe(module: str) -> None:
    network = small_network(module)
    torch.save(network.state_dict(), "ckpt.pt")
    assert load("ckpt.pt", factory=lambda: type(network)()).recipe is None


def test_loading_leaves_the_global_random_numbers_alone(module: str) -> None:
    save(small_network(module), "ckpt.pt", f"{module}:Net", GRID)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load("ckpt.pt")
    assert torch.equal(torch.rand(3), expected)


def test_a_live_module_is_wrapped_where_it_is(module: str) -> None:
    network = small_network(module)
    model = wrap(network, GRID, name="mine")
    assert same(model, network) and model.name == "mine" and model.recipe is None and len(model.sha256) == 64
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


def test_the_zoo_is_found_by_its_folders(module: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = home / "tinynet"
    folder.mkdir()
    network = small_network(module)
    save(network, folder / "weights.safetensors", f"{module}:Net", GRID)
    (folder / "weights.probe.toml").rename(folder / "model.probe.toml")
    (folder / "card.md").write_text("# A tiny network\n\nMore.\n")
    found = probe.zoo.entries(home)
    assert list(found) == ["tinynet"] and found["tinynet"].summary == "A tiny network"
    for user in ("load", "inspection"):
        monkeypatch.setattr(sys.modules[f"probe.loading.{user}"], "entries", lambda: found)
    model = load("zoo:tinynet")
    assert same(model, network) and model.name == "tinynet" and model.recipe is not None
    assert same(load_recipe(model.recipe), network)
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
    assert torch.equal(model(field()).values, 2 * field().values)
    assert model.recipe is not None and load_recipe(model.recipe).name == "double"


def test_the_list_of_the_zoo_imports_no_torch() -> None:
    code = "import sys, probe.zoo; probe.zoo.entries(); sys.exit('torch' in sys.modules)"
    root = str(Path(probe.__path__[0]).parent)
    assert subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": root}).returncode == 0
