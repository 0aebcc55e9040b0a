"""A first description: every key with its comment, every guess marked, and it works at once."""

from __future__ import annotations

import tomllib
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from probe import interface
from probe.cli import main
from probe.description import (
    Call,
    Cosmology,
    DataSource,
    Description,
    Representation,
    Rival,
    Symmetries,
    Truth,
    guess_description,
    parse_description,
    read_description,
)
from probe.description.guess import about, example_description
from probe.description.parts import Constraints
from probe.description.template import template
from probe.errors import InputError
from probe.fields import Quantity
from probe.grid import Grid
from probe.loading import is_allowed, load
from probe.loading.initial import initialise

CODE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.first, self.last = nn.Conv2d(2, width, 3, padding=1), nn.Conv2d(width, 2, 1)
    def forward(self, x):
        return x + self.last(torch.tanh(self.first(x)))

class Several(Net):
    def forward(self, x):
        return {"loss": 3.0, "field": super().forward(x)[:, :1]}

class Wide(Net):
    def __init__(self, width):
        super().__init__(width)

class Dense(nn.Module):
    def __init__(self):
        super().__init__()
        self.map = nn.Linear(64, 64)
    def forward(self, x):
        return self.map(x)
"""
NAME = "initial_network"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with its own record of what is allowed, a network's code and a checkpoint of it."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / f"{NAME}.py").write_text(CODE)
    torch.manual_seed(0)
    torch.save(__import__(NAME).Net().state_dict(), "ckpt.pt")
    return tmp_path


def _call(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, list(words))
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def test_what_is_written_is_allowed_and_works_at_once(home: Path) -> None:
    status, out, err = _call("init", "ckpt.pt", "--factory", f"{NAME}:Net")
    assert status == 0, err
    assert "wrote ckpt.probe.toml" in out and out.splitlines()[-1] == "next: probe run all --model ckpt.pt"
    assert is_allowed("ckpt.probe.toml") and "not ready" not in out
    result = interface.run(["phase"], load("ckpt.pt"), controls="none", effort="quick")["phase"]
    assert result.checks and not result.failure
    assert sorted(p.name for p in home.glob("ckpt*")) == ["ckpt.probe.toml", "ckpt.pt"]


def test_it_says_what_was_guessed_and_keeps_saying_so_until_that_is_deleted(home: Path) -> None:
    made = initialise("ckpt.pt", f"{NAME}:Net")
    network = __import__(NAME).Net()
    expected = guess_description(network.state_dict(), network)
    assert read_description(made.path) == replace(expected, factory=f"{NAME}:Net")
    assert load("ckpt.pt").description.guessed == expected.guessed
    text = made.path.read_text()
    made.path.write_text("\n".join(line for line in text.splitlines() if "64 points a side" not in line or "guessed" in line))
    rest = read_description(made.path).guessed
    assert set(expected.guessed) - set(rest) == {"the grid has 64 points a side"}


def test_an_item_of_what_the_network_returns_is_guessed(home: Path) -> None:
    made = initialise("ckpt.pt", f"{NAME}:Several")
    assert made.fault == "" and made.description.call == Call(output="field") and made.description.channels_out == 1
    assert 'output = "field"' in made.path.read_text()


def test_of_several_sets_of_weights_the_one_taken_is_written(home: Path) -> None:
    state = torch.load("ckpt.pt", weights_only=True)
    torch.save({"ema": state, "model": {name: 2 * value for name, value in state.items()}}, "two.pt")
    made = initialise("two.pt", f"{NAME}:Net")
    assert made.fault == "" and made.description.weights == "model"
    assert "guessed: the weights are those of 'model'; those of 'ema' would fit too" in made.path.read_text()
    assert load("two.pt").loaded["taken_from"] == "model"


def test_without_a_factory_its_place_is_left_open(home: Path) -> None:
    status, out, _ = _call("init", "ckpt.pt")
    assert status == 0 and "not ready: nothing says what builds the network" in out
    assert out.splitlines()[-1] == "next: probe run all --model ckpt.pt --factory MODULE:CLASS"
    text = Path("ckpt.probe.toml").read_text()
    assert '# factory = "mynet:UNet"' in text
    Path("ckpt.probe.toml").write_text(text.replace('# factory = "mynet:UNet"', f'factory = "{NAME}:Net"'))
    assert load("ckpt.pt", spec="ckpt.probe.toml").class_name == "Net"


def test_a_factory_that_needs_arguments_is_sent_there(home: Path) -> None:
    with pytest.raises(InputError, match="probe init without --factory leaves their place open"):
        initialise("ckpt.pt", f"{NAME}:Wide")


def test_a_whole_network_needs_no_factory(home: Path) -> None:
    torch.save(__import__(NAME).Net(), "whole.pt")
    with pytest.raises(InputError, match="--trust-pickle"):
        initialise("whole.pt")
    made = initialise("whole.pt", trust_pickle=True)
    assert made.fault == "" and made.next_command == "probe run all --model whole.pt --trust-pickle"


def test_weights_that_tell_nothing_get_an_example_to_be_mended(home: Path) -> None:
    torch.save(__import__(NAME).Dense().state_dict(), "dense.pt")
    made = initialise("dense.pt", f"{NAME}:Dense")
    assert made.description == replace(example_description(), factory=f"{NAME}:Dense") and made.fault == ""


def test_nothing_is_replaced_without_leave(home: Path) -> None:
    Path("ckpt.probe.toml").write_text("mine")
    for out in (None, "ckpt.probe.toml"):
        with pytest.raises(InputError, match="is there already; give --overwrite"):
            initialise("ckpt.pt", f"{NAME}:Net", out=out)
    assert Path("ckpt.probe.toml").read_text() == "mine"
    initialise("ckpt.pt", f"{NAME}:Net", overwrite=True)
    assert read_description("ckpt.probe.toml").factory == f"{NAME}:Net"


def test_it_can_be_written_elsewhere(home: Path) -> None:
    status, out, _ = _call("init", "ckpt.pt", "--factory", f"{NAME}:Net", "--out", "elsewhere.toml")
    assert status == 0 and out.splitlines()[-1] == "next: probe run all --model ckpt.pt --spec elsewhere.toml"
    assert not Path("ckpt.probe.toml").exists()
    assert _call("init", "ckpt.pt", "--factory", f"{NAME}:Net", "--out", "no/where.toml")[0] == 2


@pytest.mark.parametrize("source", ["zoo:lpt2nbody", f"{NAME}:Net", "none.pt"])
def test_what_no_description_can_be_guessed_for_is_told(home: Path, source: str) -> None:
    status, _, err = _call("init", source)
    assert status == 2 and err.startswith("probe: ") and not list(home.glob("*.toml"))


WHOLE = Description(
    Grid((16, 8), (4.0, 2.0), "km", "zero"),
    (Quantity("psi", "vector", "displacement", "km", 2.0, growth=("z", 0.3)), Quantity('odd "name"', shift=1.0, scale=2.0)),
    (Quantity("q", "pseudoscalar", transform="m:f"), Quantity("n", "number")),
    name="mine",
    factory="m:Net",
    factory_arguments={"width": 3, "odd key": [1.5, "x = y"]},
    weights="ema.state_dict",
    call=Call("arguments", "last", "vector", "mean", True),
    truth=Truth("gravity", 1.5, 0.3, "answers.npz"),
    symmetries=Symmetries(("x",), "none", ("x",), True),
    constraints=Constraints(zero_mean=("q",)),
    data=DataSource("heldout", "a_*.npy", "b_*.npy"),
    cosmologies=(Cosmology("low", 0.2, "a_*.npy", "b_*.npy", 0.5, {"z": 0.2, "odd key": 1.0}), Cosmology("open", omega_m=0.2)),
    conditioning={"z": {"default": 0.5, "bounds": [0.0, 1.0]}, "odd key": {"default": 1.0}},
    rivals=(Rival("U-Net of 2019", ("a_*.npy", "b.h5:x")), Rival("twin", model="zoo:twin")),
    representation=Representation(layer="coarse"),
    guessed=("the box is periodic", "something else"),
)


def _read(text: str) -> Description:
    return parse_description(tomllib.loads(text), "x.toml")


def test_whatever_is_described_reads_back_from_the_template() -> None:
    in_three = Description(Grid.cubic(8, 8.0), (Quantity("a"),), (Quantity("b", "vector"),), adapter="m:adapter")
    for description in (WHOLE, in_three, example_description()):
        again = _read(template(description, 'a "name" \x1b'))
        assert again == description and again.guessed == description.guessed


@pytest.mark.parametrize("part", [Call, Truth, Constraints, Cosmology, DataSource, Quantity, Grid, Rival, Symmetries])
def test_every_key_there_is_stands_in_the_template(part: type) -> None:
    bare = template(Description(Grid.cubic(8, 8.0), (Quantity("a"),), (Quantity("b"),)), "ckpt.pt")
    keys = {line.lstrip("# ").partition(" = ")[0] for line in bare.splitlines() if " = " in line}
    assert {f.name for f in fields(part)} - {"declared"} <= keys
    assert {"factory", "factory_arguments", "weights", "adapter", "encoder", "decoder", "layer"} <= keys


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_every_commented_key_is_one_that_can_be_taken_as_it_stands(dimension: int) -> None:
    bare = Description(Grid.cubic(8, 8.0, dimension), (Quantity("a"),), (Quantity("b"),))
    lines = template(bare, "ckpt.pt").splitlines()
    offers = [number for number, line in enumerate(lines) if line.startswith("# ") and " = " in line.partition("  #")[0]]
    assert len(offers) > 30
    headers = [number for number, line in enumerate(lines) if line.removeprefix("# ").startswith("[")]
    for number in offers:
        taken = {number, *[header for header in headers if header < number][-1:]}
        text = "\n".join(line.removeprefix("# ") if place in taken else line for place, line in enumerate(lines))
        names = (
            "zero_mean",
            "conserved_mean",
            "positive",
            "divergence_free",
            "curl_free",
            "redshift",
            "parameters = {",
            "U-Net of 2019",
        )
        if not any(name in lines[number] for name in names):  # these name outputs and parameters that this description lacks
            assert _read(text) is not None


def test_each_guess_is_marked_at_the_key_that_it_is_about() -> None:
    network = nn.Sequential(nn.Conv3d(3, 4, 3, padding=1), nn.Conv3d(4, 3, 3, padding=1))
    guessed = guess_description(network.state_dict(), network)
    lines = template(guessed, "ckpt.pt").splitlines()
    for guess in guessed.guessed:
        marked = [line for line in lines if f"guessed: {guess}" in line or f"; {guess}" in line]
        assert about(guess) and len(marked) == 1, guess
        assert marked[0].lstrip("# ").startswith(about(guess).rpartition(".")[2] if "." in about(guess) else "[symmetries]")
    assert "# unit = " in "\n".join(lines) and "# law = " in "\n".join(lines) and "# quantity = " in "\n".join(lines)
