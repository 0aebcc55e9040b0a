"""Rivals: other answers to the same inputs, from files and from other models, laid beside the model in every statistics probe."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

import probe
from probe import controls, figures, rivals
from probe.cli import main
from probe.controls import Absent, Control
from probe.description import Description, Rival, parse_description
from probe.description.rival import TAKEN
from probe.errors import InputError
from probe.fields import Field, Quantity
from probe.grid import Grid
from probe.model import FieldModel
from probe.runner import make_pairs
from probe.store import read_document
from tests.models import CUBE, LINE, SQUARE, on, with_pairs

STATISTICS = ("bispectrum", "one_point", "scattering", "transfer")


def curved(x):
    return x + 0.05 * x.abs()


def beside(folder, gain, name="unet", count=4):
    """Answers on disk that are the truth times a gain; their pattern."""
    for index in range(count):
        np.save(folder / f"{name}_{index}.npy", gain * np.load(folder / f"out_{index}.npy"))
    return str(folder / f"{name}_*.npy")


def ask(probes, model, given, **more):
    return probe.run(probes, model, rivals=given, **{"controls": "all", **more})


def check_of(result, name):
    return next(check for check in result.checks if check.name == name)


# --- what they answer ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", [CUBE, SQUARE, LINE], ids=["3D", "2D", "1D"])
def test_the_input_of_a_pair_gets_the_stored_answer_and_any_other_gets_none(grid, tmp_path):
    model = with_pairs(on(grid, lambda x: x), tmp_path, curved)
    pairs = make_pairs(model, None)
    control = rivals.build("U-Net", Rival("U-Net", beside(tmp_path, 0.9)), model, pairs)
    assert isinstance(control, Control) and "4 pairs" in control.sentence and "unet_*.npy" in control.sentence
    for index in (2, 0):
        given, truth = pairs[index]
        torch.testing.assert_close(control.model(given).values, 0.9 * truth.values, rtol=1e-15, atol=0)
        single = control.model(given.to(dtype=torch.float32)).values
        torch.testing.assert_close(single, 0.9 * truth.values, rtol=1e-15, atol=0, check_dtype=False)
    given = pairs[0][0].values
    # Moved by a whole cell it is another input: who answered need not be the same everywhere.
    strangers = torch.cat([1.001 * given, -given, torch.roll(given, 1, -1), torch.zeros_like(given)])
    assert torch.isnan(control.model(Field(strangers, grid, model.description.inputs)).values).all()


def test_another_model_answers_everything_and_in_its_own_normalisation(tmp_path):
    model = with_pairs(on(SQUARE, lambda x: x), tmp_path, curved)
    other = on(SQUARE, lambda x: 3 * x)
    named = tuple(replace(q, name="other", shift=1.0, scale=2.0) for q in other.description.inputs)
    other = FieldModel(other.network, replace(other.description, inputs=named), dtype=torch.float64)
    control = rivals.build("old", other, model, None)
    given = Field(torch.randn(2, 1, *SQUARE.shape, dtype=torch.float64), SQUARE, model.description.inputs)
    torch.testing.assert_close(control.model(given).values, 3 * (given.values - 1) / 2, rtol=1e-14, atol=1e-14)
    assert control.model.description.outputs == model.description.plain().outputs


class Scaled(nn.Module):
    def forward(self, x, A):
        return x * A.reshape(-1, *[1] * (x.ndim - 1))


def conditioned(folder):
    """A model of one parameter, and pairs of one input under two values of it."""
    given = torch.randn(1, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).numpy()
    for index, a in enumerate((1.0, 2.0)):
        np.save(folder / f"in_{index}.npy", given)
        np.save(folder / f"out_{index}.npy", a * given)
        np.save(folder / f"unet_{index}.npy", (a + 0.1) * given)
    (folder / "parameters.csv").write_text("A\n1.0\n2.0\n")
    table = {
        "schema": 1,
        "grid": {"shape": [64], "box": 1.0},
        "input": [{"name": "a"}],
        "output": [{"name": "a"}],
        "conditioning": {"A": {"default": 1.0}},
        "data": {"path": str(folder), "input": "in_*.npy", "target": "out_*.npy", "parameters": "parameters.csv"},
        "rival": [{"name": "U-Net", "answers": "unet_*.npy"}],
    }
    return FieldModel(Scaled(), parse_description(table, str(folder / "m.toml")), dtype=torch.float64), given


def test_pairs_that_differ_in_their_parameters_alone_are_told_apart(tmp_path):
    model, given = conditioned(tmp_path)
    model.description = replace(model.description, source=str(tmp_path / "m.toml"))
    pairs = make_pairs(model, None)
    for rival, expected in ((model.description.rivals[0], (1.1, 2.1)), (model, (1.0, 2.0))):
        control = rivals.build("U-Net", rival, model, pairs)
        for index, gain in enumerate(expected):
            torch.testing.assert_close(control.model(pairs[index][0]).values[0].numpy(), gain * given, rtol=1e-12, atol=0)


# --- in every probe --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STATISTICS)
def test_every_probe_of_the_suite_lays_them_beside_the_model(name, tmp_path):
    model = with_pairs(on(SQUARE, lambda x: 1.02 * curved(x)), tmp_path, curved)
    given = {"U-Net of 2019": beside(tmp_path, 0.9), "twin": on(SQUARE, lambda x: 1.02 * curved(x))}
    result = ask(name, model, given, controls=["linear_filter", *given])[name]
    assert list(result.measured) == ["model", "linear_filter", *given]
    found = check_of(result, "against_rivals")
    # The twin is the model itself; whoever is worse stands behind in the sentence, and the best is what is told.
    assert found.verdict == "info" and found.interval.value == pytest.approx(1)
    assert re.search(r"1 of that of twin .* of that of U-Net of 2019", found.sentence)
    for panel in result.panels():
        legends = {
            text.get_text()
            for _, figure in panel.figures
            for a in figure.axes
            if (legend := a.get_legend())
            for text in legend.get_texts()
        }
        if "model" in legends and {"best linear filter"} & legends:
            assert set(given) <= legends, panel.title


def test_the_error_power_over_a_rivals_is_that_of_their_gains(tmp_path):
    model = with_pairs(on(SQUARE, lambda x: 1.1 * curved(x)), tmp_path, curved)
    found = check_of(ask("transfer", model, {"U-Net": beside(tmp_path, 0.8)})["transfer"], "against_rivals")
    assert found.interval.value == pytest.approx(0.1**2 / 0.2**2, rel=1e-9) and "better" in found.sentence
    exact = check_of(ask("transfer", model, {"U-Net": beside(tmp_path, 1.0)})["transfer"], "against_rivals")
    assert exact.interval.value > 1e10 and "worse" in exact.sentence


def test_one_simulation_does_not_tell_who_is_better(tmp_path):
    model = with_pairs(on(SQUARE, lambda x: 1.1 * curved(x)), tmp_path, curved, count=1)
    found = ask(STATISTICS, model, {"U-Net": beside(tmp_path, 0.8, count=1)})
    for name in STATISTICS:
        sentence = check_of(found[name], "against_rivals").sentence
        assert "of that of U-Net" in sentence and "inf" not in sentence and "better" not in sentence


def test_a_rival_that_is_far_off_fails_where_the_model_passes(tmp_path):
    model = with_pairs(on(SQUARE, curved), tmp_path, curved)
    result = ask("transfer", model, {"U-Net": beside(tmp_path, -1.0)})["transfer"]
    assert result.checks[0].verdict == "pass" and result.control_verdicts["U-Net"]["beats_linear_filter"] == "fail"


def test_other_probes_are_not_asked_of_them(tmp_path):
    model = with_pairs(on(LINE, lambda x: x), tmp_path, curved)
    assert "U-Net" not in ask("conservation", model, {"U-Net": beside(tmp_path, 1.0)})["conservation"].measured


def test_twenty_rivals_look_different_from_one_another_and_from_the_controls():
    looks = [figures.rival_style(place, str(place)) for place in range(20)]
    assert len({(look["color"], str(look["linestyle"])) for look in looks}) == 20
    assert not {look["color"] for look in looks} & {figures.style(name)["color"] for name in (*controls.ORDER, "model", "truth")}


# --- from the description and the command line ---------------------------------------------------------------------------------


def test_they_are_read_from_the_folder_of_the_description_and_taken_up_again_until_they_change(tmp_path, monkeypatch):
    monkeypatch.setattr("probe.report.write", lambda *drawn: None)
    model = with_pairs(on(LINE, lambda x: x), tmp_path, curved)
    beside(tmp_path, 0.9)
    described = replace(model.description, rivals=(Rival("U-Net", "unet_*.npy"),), source=str(tmp_path / "m.toml"))
    model = FieldModel(model.network, described, dtype=torch.float64, sha256="0" * 64)
    asked = {"out": tmp_path / "run", "controls": ["U-Net"], "resume": True}
    first = probe.run("transfer", model, **asked)["transfer"].measured["U-Net"]
    again = probe.run("transfer", model, **asked)["transfer"].measured
    assert again["U-Net"].attrs["recipe"] == first.attrs["recipe"]
    beside(tmp_path, 0.8)
    other = probe.run("transfer", model, **asked)["transfer"]
    assert other.measured["U-Net"].attrs["recipe"] != first.attrs["recipe"] and other.passes == 0
    np.testing.assert_allclose(other.measured["U-Net"].transfer_amplitude[:-1, 0], 0.8, rtol=1e-12)
    assert described.as_dict()["rival"][0]["name"] == "U-Net"
    assert described.fingerprint() == replace(described, rivals=()).fingerprint()


def test_the_command_line_names_files_checkpoints_and_the_zoos_models(tmp_path, monkeypatch):
    truths = Path(probe.__file__).parent / "zoo" / "lpt2nbody" / "heldout" / "nbody_*.npy"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("probe.report.write", lambda *drawn: None)
    given = [f"--rival=right={truths}", "--rival=bias=zoo:lpt2nbody"]
    words = ["run", "transfer", "--model=zoo:lpt2nbody", "--out=run", "--controls=right,bias", *given]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2, done.output  # without a filter nothing is judged
    found = read_document(Path("run"))
    assert list(found["controls"]) == ["right", "bias"] and "another model, lpt2nbody" in found["controls"]["bias"]


def test_the_last_word_on_which_ones_is_that_of_the_controls_wanted(tmp_path):
    model = with_pairs(on(LINE, lambda x: x), tmp_path, curved)
    given = {"one": beside(tmp_path, 0.9), "two": beside(tmp_path, 0.8, "fno")}
    wanted = {"all": {"one", "two"}, "none": set(), "two": {"two"}}
    for word, names in wanted.items():
        result = ask("transfer", model, given, controls=word if word in ("all", "none") else [word])["transfer"]
        assert set(result.measured) & set(given) == names
    with pytest.raises(InputError, match=r"no control 'three'; the controls are simulator, .*, untrained, one, two"):
        ask("transfer", model, given, controls=["three"])


def test_without_pairs_files_answer_nothing_and_it_says_so(tmp_path):
    model = on(LINE, lambda x: x)
    control = rivals.build("U-Net", Rival("U-Net", "unet_*.npy"), model, None)
    assert isinstance(control, Absent) and "there are none" in control.reason


# --- bad input -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"U-Net": "none_*.npy"}, r"'U-Net' has 0 answers in files like .*none_\*.npy .* 4 pairs; give one for each"),
        ({"U-Net": "unet_[01].npy"}, r"'U-Net' has 2 answers .* 4 pairs"),
        ({"U-Net": "none.pt"}, "'U-Net' is the model .*none.pt, which is not there"),
        ({"U-Net": "zoo:nothing"}, "the zoo has no 'nothing'"),
        ({"U-Net": "zoo:lpt2nbody"}, "'U-Net' maps vector displacement .*, and the model scalar .*; give one of the same"),
        ({"U-Net": "short_*.npy"}, "short_0.npy"),
        ({"U-Net": "holes_*.npy"}, "holes_0.npy.* NaN"),
        ({"lpt2": "unet_*.npy"}, "a rival is named 'lpt2', which stands for something else"),
        ({"a/b": "unet_*.npy"}, "a rival is named 'a/b'; begin with a letter"),
        ({"": "unet_*.npy"}, "a rival is named ''"),
    ],
)
def test_what_is_wrong_is_told_in_one_sentence(given, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = with_pairs(on(LINE, lambda x: x), tmp_path, curved)
    beside(tmp_path, 1.0)
    for index in range(4):
        np.save(tmp_path / f"short_{index}.npy", np.zeros((1, 32)))
        np.save(tmp_path / f"holes_{index}.npy", np.full((1, 64), np.nan))
    try:
        found = ask("transfer", model, given)["transfer"]
        told = found.failure
    except InputError as fault:
        told = str(fault)
    assert re.search(sentence, told) and "\n" not in told, told


@pytest.mark.parametrize("name", TAKEN)
def test_no_rival_is_named_as_what_there_is_already(name):
    with pytest.raises(ValueError, match="stands for something else"):
        Rival(name, "a_*.npy")
    assert set(controls.ORDER) < set(TAKEN)


@pytest.mark.parametrize(
    ("tables", "sentence"),
    [
        ([{"name": "a"}], "the rival 'a' needs its answers or its model, one of the two"),
        ([{"name": "a", "answers": "x", "model": "y.pt"}], "needs its answers or its model, one of the two"),
        (
            [{"name": "a", "model": "os:system"}],
            r'model in \[\[rival\]\] number 1 is .os:system.; expected a checkpoint, or "zoo:NAME"',
        ),
        ([{"name": "a", "answers": "x"}, {"name": "a", "answers": "y"}], "two rivals are named 'a'"),
        ([{"name": "a", "answer": "x"}], 'did you mean "answers"'),
    ],
)
def test_a_description_says_them_right(tables, sentence):
    table = {"schema": 1, "grid": {"shape": [8], "box": 1.0}, "input": [{}], "output": [{}], "rival": tables}
    with pytest.raises(InputError, match=sentence):
        parse_description(table, "m.toml")


def test_what_the_description_has_cannot_be_given_again(tmp_path):
    described = Description(Grid.cubic(8, 1.0, 1), (Quantity("a"),), (Quantity("a"),), rivals=(Rival("U-Net", "a_*.npy"),))
    with pytest.raises(InputError, match="has a rival 'U-Net' already"):
        rivals.known(described, {"U-Net": "b_*.npy"})


@pytest.mark.parametrize("text", ["U-Net", "=a_*.npy", "U-Net="])
def test_the_option_has_a_name_and_files(text):
    from probe.parameters import rivals_of

    with pytest.raises(InputError, match="--rival takes NAME=FILES"):
        rivals_of((text,))
    with pytest.raises(InputError, match="names 'a' twice"):
        rivals_of(("a=x", "a=y"))
