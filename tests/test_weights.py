"""Weights are found wherever a training script put them, the choice among several is the documented one, and it is recorded."""

from __future__ import annotations

import argparse
import functools
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from probe.errors import InputError
from probe.loading import inspect_checkpoint, load, save
from tests.mynet import GRID, describe, same, small_network

State = dict[str, torch.Tensor]


def under(prefix: str, state: Mapping[str, torch.Tensor]) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def halved(state: Mapping[str, torch.Tensor]) -> State:
    return {name: tensor / 2 for name, tensor in state.items()}


def part(name: str, state: Mapping[str, torch.Tensor]) -> State:
    return {key.removeprefix(f"{name}."): tensor for key, tensor in state.items() if key.startswith(f"{name}.")}


# How the weights are saved; where they are then found, and what is taken off their names.
WRAPPED: dict[str, tuple[Callable[[State], Any], str, str]] = {
    "Lightning": (lambda s: {"state_dict": s, "epoch": 3, "hyper_parameters": {"width": 4}}, "state_dict", ""),
    "with an optimiser": (lambda s: {"model": s, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}}, "model", ""),
    "model_state_dict": (lambda s: {"model_state_dict": s}, "model_state_dict", ""),
    "nested twice": (lambda s: {"ema": {"state_dict": s}}, "ema.state_dict", ""),
    "a user's key": (lambda s: {"my best weights": s, "loss": torch.ones(())}, "my best weights", ""),
    "in a list": (lambda s: {"ensemble": [part("first", s), s]}, "ensemble.1", ""),
    "parallel": (lambda s: under("module.", s), "", "module."),
    "parallel in the middle": (lambda s: {f"{name.replace('.', '.module.')}": t for name, t in s.items()}, "", ""),
    "compiled": (lambda s: under("_orig_mod.", s), "", ""),
    "compiled in the middle": (lambda s: {name.replace(".", "._orig_mod."): t for name, t in s.items()}, "", ""),
    "compiled and parallel": (lambda s: {"state_dict": under("model._orig_mod.module.", s)}, "state_dict", "model.module."),
    "in an attribute": (
        lambda s: {"state_dict": under("generator.net.", s) | {"loss.weight": torch.ones(2)}},
        "state_dict",
        "generator.net.",
    ),
    "one of two networks": (lambda s: {"generator": s, "discriminator": {"first.weight": torch.ones(4, 1, 3, 3)}}, "generator", ""),
    "part by part": (lambda s: {"epoch": 1, "nets": {"first": part("first", s), "last": part("last", s)}}, "nets", ""),
    "an averaged model": (lambda s: {"n_averaged": torch.tensor(7), **under("module.", s)}, "", "module."),
    "a Lightning callback": (lambda s: {"callbacks": {"EMA{decay=0.9}": {"state": s}}}, "callbacks.EMA{decay=0.9}.state", ""),
}


@pytest.mark.parametrize("how", WRAPPED)
@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_are_found_however_they_are_wrapped(module: str, how: str, zipped: bool) -> None:
    network, (wrap, place, prefix) = small_network(module), WRAPPED[how]
    torch.save(wrap(network.state_dict()), "ckpt.pt", _use_new_zipfile_serialization=zipped)
    model = load("ckpt.pt", factory=f"{module}:Net")
    assert same(model, network)
    assert (model.loaded.get("taken_from", ""), model.loaded.get("prefix", "")) == (place, prefix)
    assert not model.notes and "also_there" not in model.loaded


def test_what_torch_wraps_itself_is_found(module: str) -> None:
    network = small_network(module)
    compiled = small_network(module)
    compiled.first = torch.compile(compiled.first)  # type: ignore[assignment]
    for wrapper in (AveragedModel(network), nn.DataParallel(network), torch.compile(network), compiled):
        torch.save(wrapper.state_dict(), "ckpt.pt")  # type: ignore[union-attr]
        assert same(load("ckpt.pt", factory=f"{module}:Net"), network)
    assert load("ckpt.pt", factory=f"{module}:Net").loaded["wrappers"] == ["_orig_mod."]


def test_a_compiled_network_takes_and_gives_plain_names(module: str) -> None:
    network = small_network(module)
    torch.save(network.state_dict(), "ckpt.pt")
    assert same(load("ckpt.pt", factory=lambda: torch.compile(small_network(module, width=4), backend="eager")), network)
    save(torch.compile(network), "saved.pt", f"{module}:Net", GRID)  # type: ignore[arg-type]
    assert same(load("saved.pt"), network)


# How two sets of weights are saved, the second one halved: what is taken by default, and what stands beside it.
SEVERAL: dict[str, tuple[Callable[[State, State], Any], str, list[str]]] = {
    "the first of two": (lambda a, b: {"best": a, "last": b}, "best", ["last"]),
    "the shallower": (lambda a, b: {"old": {"model": b}, "model": a}, "model", ["old.model"]),
    "no average": (lambda a, b: {"ema": b, "model": a}, "model", ["ema"]),
    "no average by another name": (
        lambda a, b: {"averaged_state": b, "swa_model": b, "net": a},
        "net",
        ["averaged_state", "swa_model"],
    ),
    "ema_pytorch": (
        lambda a, b: under("ema_model.", b) | under("online_model.", a) | {"initted": torch.tensor(True), "step": torch.tensor(4)},
        "online_model",
        ["ema_model"],
    ),
    "averages beside the network": (
        lambda a, b: {"state_dict": under("net.", a) | under("net_ema.", b)},
        "state_dict.net",
        ["state_dict.net_ema"],
    ),
}


@pytest.mark.parametrize("how", SEVERAL)
def test_of_several_sets_one_is_taken_and_all_can_be_chosen(module: str, how: str) -> None:
    network, (make, taken, others) = small_network(module), SEVERAL[how]
    torch.save(make(network.state_dict(), halved(network.state_dict())), "ckpt.pt")
    model = load("ckpt.pt", factory=f"{module}:Net")
    assert same(model, network) and model.loaded["also_there"] == others
    assert model.notes == [
        f"the weights were taken from {taken}; those of {', '.join(others)} would fit too: choose by `weights` in a description"
    ]
    for place, expected in ((taken, network.state_dict()), *((other, halved(network.state_dict())) for other in others)):
        describe("spec.toml", weights=place)
        chosen = load("ckpt.pt", factory=f"{module}:Net", spec="spec.toml")
        assert torch.equal(chosen.network.first.weight, expected["first.weight"]) and not chosen.notes  # type: ignore[attr-defined]


def test_a_choice_may_name_a_place_above_or_a_prefix(module: str) -> None:
    network = small_network(module)
    torch.save({"ema": {"decay": 0.9, "state_dict": under("_orig_mod.module.", network.state_dict())}, "model": {}}, "ckpt.pt")
    for place in ("ema", "ema.state_dict", "ema.state_dict.module", "ema.state_dict._orig_mod.module"):
        describe("spec.toml", weights=place)
        assert same(load("ckpt.pt", factory=f"{module}:Net", spec="spec.toml"), network)


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ("emma", r"holds no weights under 'emma'; it has model, model.first, model.last, ema, .*: did you mean 'ema'\?"),
        ("model.first.weight", r"holds no weights under 'model.first.weight'; it has "),
        ("x", "it has model, .*: give one of them as `weights`"),
    ],
)
def test_a_choice_that_is_not_there_is_told_with_what_is(module: str, weights: str, sentence: str) -> None:
    state = small_network(module).state_dict()
    torch.save({"model": state, "ema": halved(state)}, "ckpt.pt")
    describe("spec.toml", weights=weights)
    with pytest.raises(InputError, match=sentence):
        load("ckpt.pt", factory=f"{module}:Net", spec="spec.toml")


def test_a_small_part_of_a_large_network_is_not_taken_in_silence(module: str) -> None:
    torch.save({"model": small_network(module).state_dict(), "optimizer": {"exp_avg": torch.ones(3)}}, "ckpt.pt")
    model = load("ckpt.pt", factory=lambda: nn.Conv2d(4, 2, 1))
    assert (model.loaded["prefix"], model.loaded["tensors"], model.loaded["unused"]) == ("last.", 2, 2) and not model.notes
    torch.save({"model": small_network(module).state_dict() | {"middle.weight": torch.ones(1)}}, "ckpt.pt")
    model = load("ckpt.pt", factory=lambda: nn.Conv2d(4, 2, 1))
    assert model.notes == ["2 tensors were taken from model.last, and 3 beside them not used"]


def test_whole_networks_are_chosen_alike(module: str) -> None:
    network, other = small_network(module), small_network(module, width=5)
    torch.save({"ema": other, "model": network}, "whole.pt")
    model = load("whole.pt", trust_pickle=True)
    assert same(model, network) and (model.loaded["taken_from"], model.loaded["also_there"]) == ("model", ["ema"])
    describe("spec.toml", weights="ema")
    assert same(load("whole.pt", spec="spec.toml", trust_pickle=True), other)
    describe("spec.toml", weights="nowhere")
    with pytest.raises(InputError, match="holds no weights under 'nowhere'; it has ema, "):
        load("whole.pt", spec="spec.toml", trust_pickle=True)


def test_tensors_that_do_not_fit_are_named(module: str) -> None:
    torch.save(small_network(module, width=6).state_dict(), "wide.pt")
    misfit = r"first first.weight \(\(6, 2, 3, 3\) for \(4, 2, 3, 3\)\)"
    with pytest.raises(InputError, match=rf"3 tensors are of another shape \({misfit}\)"):
        load("wide.pt", factory=f"{module}:Net")
    state = small_network(module).state_dict()
    del state["last.bias"]
    torch.save({"model": state}, "short.pt")
    with pytest.raises(InputError, match=r"does not fit .*: 1 tensors are missing from the file \(first last.bias\); check the"):
        load("short.pt", factory=f"{module}:Net")
    torch.save({"model": state | {"last.bias": torch.zeros(2), "more": torch.zeros(1)}}, "more.pt")
    with pytest.raises(InputError, match=r"1 tensors are unknown to the network \(first more\)"):
        load("more.pt", factory=f"{module}:Net")
    torch.save({"a": torch.zeros(1), "state_dict": {"b": torch.zeros(1), "c": torch.zeros(1)}}, "other.pt")
    with pytest.raises(InputError, match=r"4 tensors are missing .*; 2 tensors are unknown to the network \(first b\)"):
        load("other.pt", factory=f"{module}:Net")


def test_a_count_of_batches_may_be_missing_as_in_old_files(module: str) -> None:
    network = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)).eval()
    torch.save({name: t for name, t in network.state_dict().items() if "tracked" not in name}, "old.pt")
    assert same(load("old.pt", factory=lambda: nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2))), network)


@pytest.mark.parametrize(
    ("dtype", "converted", "rounded"),
    [
        (torch.float16, "float16 to float32", False),
        (torch.bfloat16, "bfloat16 to float32", False),
        (torch.float64, "float64 to float32", True),
    ],
)
def test_other_precisions_are_put_into_the_networks_own(module: str, dtype: torch.dtype, converted: str, rounded: bool) -> None:
    network = small_network(module)
    for parameter in network.parameters():  # values that each of them holds exactly
        parameter.data = parameter.data.bfloat16().half().float()
    torch.save({name: t.to(dtype) for name, t in network.state_dict().items()}, "ckpt.pt")
    model = load("ckpt.pt", factory=f"{module}:Net")
    assert same(model, network) and model.dtype == torch.float32 and model.loaded["converted"] == [converted]
    assert model.notes == ([f"the weights were rounded from {converted}"] if rounded else [])


@pytest.mark.parametrize("name", ["Spectral", "Mixed"])
def test_complex_weights_are_read_in_both_precisions(module: str, name: str) -> None:
    network = small_network(module, name)
    torch.save({key: t.to(torch.complex128 if t.is_complex() else t.dtype) for key, t in network.state_dict().items()}, "ckpt.pt")
    describe("spec.toml")
    model = load("ckpt.pt", factory=f"{module}:{name}", spec="spec.toml")
    assert same(model, network) and model.dtype == torch.float32
    assert model.notes == ["the weights were rounded from complex128 to complex64"]


def test_neither_pairs_of_numbers_nor_codes_are_taken_for_weights(module: str) -> None:
    network = small_network(module, "Spectral")
    torch.save({name: torch.view_as_real(t) for name, t in network.state_dict().items()}, "pairs.pt")
    with pytest.raises(InputError, match=r"of another shape \(first weight \(\(2, 2, 2\) for complex \(2, 2\)\)\)"):
        load("pairs.pt", factory=f"{module}:Spectral")
    torch.save({"weight": torch.ones(2, 2)}, "real.pt")
    with pytest.raises(InputError, match=r"of another shape \(first weight \(\(2, 2\) for complex \(2, 2\)\)\)"):
        load("real.pt", factory=f"{module}:Spectral")
    state = small_network(module).state_dict()
    torch.save(state | {"first.weight": torch.zeros(4, 2, 3, 3, dtype=torch.int8)}, "codes.pt")
    with pytest.raises(InputError, match=r"of another shape \(first first.weight \(int8 \(4, 2, 3, 3\) for \(4, 2, 3, 3\)\)\)"):
        load("codes.pt", factory=f"{module}:Net")


def test_tensors_that_hold_no_numbers_are_told(module: str) -> None:
    state = small_network(module).state_dict()
    torch.save(state | {"first.weight": torch.zeros(4, 2, 3, 3, device="meta")}, "meta.pt")
    with pytest.raises(InputError, match=r"could not be put into .*Net \(.*meta.*\); save its state_dict as plain tensors"):
        load("meta.pt", factory=f"{module}:Net")


class Config:
    """Stands for a class that is not there where the checkpoint is read."""

    def __init__(self) -> None:
        self.width = 4


class Attributes(dict[str, Any]):
    """A dictionary of a class of its own, as Lightning has one."""


@pytest.mark.parametrize(
    "beside",
    [
        {"hyper_parameters": Config()},
        {"hyper_parameters": Attributes(width=4, config=Config())},
        {"args": argparse.Namespace(lr=0.1, out=Path("here"))},
        {"loss": np.float64(0.5), "losses": np.ones(3), "by_epoch": defaultdict(list, {1: 2})},
        {"optimizer": functools.partial(torch.optim.Adam, lr=0.1), "act": nn.GELU(), "kind": float},
        {"sorted": OrderedDict(a=Config())},
    ],
    ids=lambda beside: next(iter(beside)),
)
def test_hyperparameters_of_any_class_are_left_out_and_never_made(module: str, beside: dict[str, Any]) -> None:
    network = small_network(module)
    torch.save({"state_dict": network.state_dict(), **beside}, "ckpt.pt")
    model = load("ckpt.pt", factory=f"{module}:Net")
    assert same(model, network) and model.loaded["left_out"] and not model.notes
    assert len(inspect_checkpoint("ckpt.pt").tensors) == 4


def test_weights_that_were_left_out_are_not_taken_for_missing(module: str) -> None:
    torch.save({"state_dict": small_network(module), "width": torch.ones(1)}, "ckpt.pt")
    with pytest.raises(InputError, match=r"is a pickle that names .*Net, and loading it runs code"):
        load("ckpt.pt", factory=f"{module}:Net")


def test_the_record_says_what_was_read(module: str) -> None:
    torch.save({"ema": under("module.", small_network(module).half().state_dict())}, "ckpt.pt")
    loaded = load("ckpt.pt", factory=f"{module}:Net").loaded
    assert {key: value for key, value in loaded.items() if key not in ("sha256", "code")} == {
        "format": "torch checkpoint",
        "factory": f"{module}:Net",
        "taken_from": "ema",
        "prefix": "module.",
        "tensors": 4,
        "converted": ["float16 to float32"],
    }
    assert len(loaded["sha256"]) == 64
