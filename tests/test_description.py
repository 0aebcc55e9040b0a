"""Descriptions: read strictly, written so that they read back, guessed where there are none."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import torch
from torch import nn

from probe.description import (
    Constraints,
    Cosmology,
    DataSource,
    Description,
    Representation,
    Symmetries,
    Truth,
    guess_description,
    likely_channels,
    parse_description,
    read_description,
    write_description,
)
from probe.errors import InputError
from probe.fields import Quantity
from probe.grid import Grid

WHOLE = """
schema = 1
name = "emulator"
factory = "mynet:UNet"
factory_arguments = { width = 32, deep = { levels = [2, 4], norm = "none" } }
[grid]
shape = [32, 32, 32]
box = 128.0
unit = "Mpc/h"
boundary = "periodic"
[[input]]
name = "psi"
kind = "vector"
quantity = "displacement"
unit = "Mpc/h"
rms = 3.1
shift = 0.5
scale = 2.0
[[output]]
name = "psi_final"
kind = "vector"
quantity = "displacement"
unit = "Mpc/h"
[truth]
law = "gravity"
growth_ratio = 1.25
omega_m = 0.31
answers = "answers.npz"
[symmetries]
translation = ["x", "y"]
rotation = ["z"]
reflection = false
[constraints]
zero_mean = ["psi_final"]
curl_free = ["psi_final"]
residual = "mynet:euler"
[conditioning]
Omega_m = { default = 0.31, bounds = [0.1, 0.5] }
[representation]
layer = "coarse"
[data]
path = "heldout"
input = "za_*.npy"
target = "nbody_*.npy"
[[cosmology]]
name = "A_s x 0.2"
amplitude = 0.2
input = "heldout/za_*.npy"
target = "0.2/nbody_*.npy"
input_factor = 0.4472135955
parameters = { Omega_m = 0.2 }
omega_m = 0.2
[[cosmology]]
growth_ratio = 0.5
"""

SHORT = {
    "schema": 1,
    "grid": {"shape": [8, 8], "box": 8},
    "input": [{"kind": "vector"}],
    "output": [{"kind": "scalar"}],
}


def _with(**changes: object) -> dict[str, object]:
    return {**SHORT, **changes}


def test_every_key_of_the_design_is_understood(tmp_path: Path) -> None:
    found = parse_description(tomllib.loads(WHOLE), str(tmp_path / "m.probe.toml"))
    assert found.grid == Grid.cubic(32, 128.0, unit="Mpc/h")
    assert found.inputs == (Quantity("psi", "vector", "displacement", "Mpc/h", 3.1, 0.5, 2.0),)
    assert found.truth == Truth("gravity", 1.25, 0.31, "answers.npz")
    assert found.symmetries == Symmetries(("x", "y"), ("z",), False, True)
    assert found.constraints == Constraints(zero_mean=("psi_final",), curl_free=("psi_final",), residual="mynet:euler")
    assert found.conditioning == {"Omega_m": {"default": 0.31, "bounds": [0.1, 0.5]}}
    assert found.representation == Representation(layer="coarse")
    assert found.data == DataSource("heldout", "za_*.npy", "nbody_*.npy")
    first, second = found.cosmologies
    assert first == Cosmology(
        "A_s x 0.2", 0.2, "heldout/za_*.npy", "0.2/nbody_*.npy", 0.4472135955, {"Omega_m": 0.2}, growth_ratio=None, omega_m=0.2
    )
    assert second == Cosmology("cosmology1", growth_ratio=0.5)
    assert found.factory_arguments == {"width": 32, "deep": {"levels": [2, 4], "norm": "none"}}
    assert found.folder == tmp_path and found.channels_in == 3


def test_what_is_written_reads_back_equal(tmp_path: Path) -> None:
    whole = parse_description(tomllib.loads(WHOLE), "")
    awkward = Description(
        Grid((8, 6), (1.5, 2e-7)),
        (Quantity('a "quoted" \\ name\n\x7f'), Quantity("b", "pseudoscalar", scale=1e-30)),
        (Quantity("c", "vector"),),
        factory="m:f",
        factory_arguments={"odd key": [True, -1, 1e22, {"x": []}]},
    )
    for description in (whole, awkward, parse_description(SHORT, "")):
        path = tmp_path / "written.probe.toml"
        write_description(description, path)
        assert read_description(path) == description
        assert read_description(path).fingerprint() == description.fingerprint()


def test_an_argument_without_a_form_in_toml_is_refused(tmp_path: Path) -> None:
    description = Description(Grid.cubic(4, 4), (Quantity("a"),), (Quantity("b"),), factory_arguments={"activation": nn.ReLU})
    with pytest.raises(InputError, match="has no form in TOML"):
        write_description(description, tmp_path / "x.toml")
    assert not list(tmp_path.iterdir())


def test_the_fingerprint_follows_what_is_said_and_not_where() -> None:
    here, there = parse_description(SHORT, "a/x.toml"), parse_description(SHORT, "b/y.toml")
    assert here == there and here.fingerprint() == there.fingerprint() and hash(here) == hash(there)
    other = parse_description(_with(truth={"growth_ratio": 1.5}), "a/x.toml")
    assert other.fingerprint() != here.fingerprint()


def test_what_is_equal_has_the_same_fingerprint() -> None:
    one, other = (Description(Grid.cubic(8, 8.0), (Quantity("a", shift=zero),), (Quantity("b"),)) for zero in (0.0, -0.0))
    assert one == other and one.fingerprint() == other.fingerprint()


def test_symmetries_of_empty_space_are_assumed_and_marked() -> None:
    assert parse_description(SHORT, "").symmetries == Symmetries(("x", "y"), "full", True, declared=False)
    assert parse_description(_with(symmetries={"rotation": "none"}), "").symmetries == Symmetries(("x", "y"), "none", True, True)


def test_the_code_it_names_is_listed() -> None:
    named = parse_description(_with(factory="a:B", truth={"law": "c:d"}, representation={"encoder": "e:f"}), "")
    assert named.code == ("a:B", "c:d", "e:f")
    assert parse_description(_with(constraints={"residual": "g:h"}), "").code == ("g:h",)
    assert parse_description(_with(truth={"law": "gravity"}, representation={"layer": "coarse"}), "").code == ()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"schema": 2}, "schema is 2; this version reads schema 1"),
        ({"schema": True}, "schema is True"),
        ({"gird": {}}, 'unknown key "gird" at the top level; did you mean "grid"?'),
        ({"grid": {"shape": [8], "box": 1, "bocks": 2}}, r'unknown key "bocks" in \[grid\]; did you mean "box"'),
        ({"grid": {"shape": [8], "box": -1}}, "box in .* is -1; expected a positive length"),
        ({"grid": {"shape": [8.5], "box": 1}}, "expected one to three whole numbers"),
        ({"grid": {"shape": [8, 8], "box": [1, 2, 3]}}, "a list of 2 of them"),
        ({"grid": {"shape": [8], "box": float("nan")}}, "expected a positive length"),
        ({"grid": {"shape": [8], "box": 1, "boundary": "open"}}, "is 'open'; expected one of \"periodic\""),
        ({"grid": 3}, r"\[grid\] is 3; expected a table"),
        ({"input": []}, r"input is missing or no list of tables; write \[\[input\]\]"),
        ({"input": [{"kind": "tensor"}]}, r"kind in \[\[input\]\] number 1 is 'tensor'"),
        ({"input": [{"kindd": "scalar"}]}, 'did you mean "kind"'),
        ({"output": [{"scale": 0}]}, "must not vanish"),
        ({"output": [{"scale": 10**400}]}, "expected a finite number"),
        ({"output": [{"rms": "big"}]}, "rms in .* is 'big'; expected a positive number"),
        ({"output": [{"redshift_space": 0.01}]}, 'redshift_space, which is for vectors whose quantity is "velocity"; leave it out'),
        ({"output": [{"kind": "vector", "quantity": "velocity", "redshift_space": 0}]}, "is 0; expected a positive number"),
        ({"factory": "mynet.UNet"}, 'expected "module:object"'),
        ({"truth": {"law": "magic"}}, 'expected "gravity" or "module:function"'),
        ({"truth": {"growth_ratio": 0}}, "expected a positive number"),
        ({"truth": {"Omega_m": 0.3}}, 'unknown key "Omega_m" .* did you mean "omega_m"'),
        ({"symmetries": {"translation": ["z"]}}, "a list of axes out of"),
        ({"symmetries": {"rotation": ["x"]}}, '"full", "none" or a list of axes'),
        ({"symmetries": {"reflection": "yes"}}, "expected true, false or a list of axes"),
        ({"conditioning": {"A": 3}}, r"\[conditioning.A\] is 3; expected a table"),
        ({"conditioning": {"A": {}}}, "has no default"),
        ({"conditioning": {"A": {"default": 1, "bounds": [2, 1]}}}, "low < high"),
        ({"representation": {"encoderr": "x"}}, 'did you mean "encoder"'),
        ({"data": {"target": 3}}, "expected a text in quotes"),
        ({"constraints": {"zero_meen": []}}, r'in \[constraints\]; did you mean "zero_mean"'),
        ({"constraints": {"positive": "output"}}, "expected a list of texts in quotes"),
        ({"constraints": {"positive": ["psi"]}}, "names 'psi', which is no output; the outputs are output"),
        ({"constraints": {"curl_free": ["output"]}}, "names 'output', a scalar; it takes vectors"),
        ({"constraints": {"conserved_mean": ["output"]}}, "no input is of its kind, quantity and unit"),
        ({"constraints": {"residual": "euler"}}, 'expected "module:object"'),
        ({"cosmology": {"name": "dense"}}, r"cosmology is missing or no list of tables; write \[\[cosmology\]\]"),
        ({"cosmology": [{"amplitud": 2}]}, 'did you mean "amplitude"'),
        ({"cosmology": [{"amplitude": 0}]}, "amplitude in .* is 0; expected a positive number"),
        ({"cosmology": [{"parameters": {"A": "big"}}]}, "expected a table of finite numbers"),
        ({"cosmology": [{"name": "a", "parameters": {"A": 1}}]}, "cosmology 'a' sets 'A', which is no parameter"),
        ({"cosmology": [{"name": "a"}, {"name": "a"}]}, "two cosmologies are named 'a'"),
    ],
)
def test_what_is_wrong_is_told_in_one_sentence(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        parse_description(_with(**changes), "m.probe.toml")
    assert str(caught.value).startswith("m.probe.toml: ") and "\n" not in str(caught.value)


def test_a_file_that_is_missing_or_no_toml_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the description"):
        read_description(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("= 3")
    with pytest.raises(InputError, match="is no TOML"):
        read_description(tmp_path / "bad.toml")


def test_the_table_of_a_project_file_is_read(tmp_path: Path) -> None:
    body = WHOLE.replace("[[", "[[tool.probe.").replace("\n[", "\n[tool.probe.").replace("[tool.probe.[", "[[").strip()
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n[tool.probe]\n" + body)
    assert read_description(tmp_path / "pyproject.toml") == parse_description(tomllib.loads(WHOLE), "")


class _Strided(nn.Module):
    def __init__(self, dimension: int, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.down = getattr(nn, f"Conv{dimension}d")(inside, 4, stride, stride=stride)
        self.up = getattr(nn, f"ConvTranspose{dimension}d")(4, outside, stride, stride=stride)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.up(self.down(values))
        return answer


@pytest.mark.parametrize(
    ("dimension", "inside", "outside", "stride", "points"), [(1, 1, 2, 3, 258), (2, 2, 2, 5, 65), (3, 3, 1, 2, 32)]
)
def test_grid_and_channels_are_guessed(dimension: int, inside: int, outside: int, stride: int, points: int) -> None:
    network = _Strided(dimension, inside, outside, stride)
    found = guess_description(network.state_dict(), network)
    assert found.grid == Grid.cubic(points, points, dimension)
    assert (found.channels_in, found.channels_out) == (inside, outside)
    assert found.inputs[0].is_vector == (inside == dimension > 1) and found.outputs[0].is_vector == (outside == dimension > 1)
    assert not any(q.quantity or q.unit for q in found.inputs + found.outputs) and found.truth == Truth()
    assert any(f"{points} points a side" in sentence for sentence in found.guessed)
    assert network.training


def test_tensors_alone_suggest_dimension_and_channels() -> None:
    network = nn.Sequential(nn.Conv2d(2, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 5, 1))
    likely = likely_channels(network.state_dict())
    assert likely is not None and (likely.dimension, likely.channels_in, likely.channels_out) == (2, 2, 5)


def test_weights_that_suggest_nothing_are_told() -> None:
    with pytest.raises(InputError, match="the grid cannot be guessed"):
        guess_description(nn.Linear(3, 3).state_dict(), nn.Linear(3, 3))
