"""Everything that can be wrong with what a user gives, through the real command line: one sentence, exit status 2, nothing lost."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.command import call

MODEL, SPEC = Path("ckpt.pt"), Path("ckpt.probe.toml")
GOOD = ("--model", "ckpt.pt")


@dataclass(frozen=True)
class Row:
    """One kind of bad input: what makes it and gives the words after `probe run`, and what is said of it."""

    make: Callable[[], Sequence[str] | None]
    says: str
    probe: str = "phase"


REFUSED: dict[str, Row] = {}
WRONG_ANSWERS: dict[str, Row] = {}


def row(says: str, probe: str = "phase", table: dict[str, Row] = REFUSED) -> Callable[..., Callable[..., None]]:
    def enter(make: Callable[[], Sequence[str] | None]) -> Callable[..., None]:
        table[make.__name__] = Row(make, says, probe)
        return make

    return enter


class Payload:
    """Unpickling it writes a file."""

    def __reduce__(self):
        return (Path.touch, (Path("executed"),))


def describe(old: str, new: str) -> None:
    """Change the description; whoever allowed it allowed something else."""
    text = SPEC.read_text()
    assert old in text
    SPEC.write_text(text.replace(old, new))


def pairs(given: object = None, truth: object = None) -> tuple[str, ...]:
    """A folder with one good pair and one that holds this, and the words that name it."""
    folder = Path("data")
    folder.mkdir()
    good = np.ones((1, 16, 16), np.float32)
    for name, array in (("in_0", good), ("out_0", good), ("in_1", given), ("out_1", truth)):
        np.save(folder / name, good if array is None else array, allow_pickle=True)
    SPEC.write_text(SPEC.read_text() + '\n[data]\ninput = "in_*.npy"\ntarget = "out_*.npy"\n')
    return (*GOOD, "--spec", str(SPEC), "--data", "data")


# Files


@row("none.pt: No such file.*give the path of a checkpoint")
def a_file_that_is_not_there():
    return ("--model", "none.pt")


@row("toml cannot be used .File name too long.; give another")
def a_file_with_too_long_a_name():
    return ("--model", "x" * 5000)


@row("is a folder; give the checkpoint file in it")
def a_folder():
    return ("--model", ".")


@row("is empty; write the checkpoint again")
def an_empty_file():
    MODEL.write_bytes(b"")


@row("is no checkpoint.*give one that torch.save or safetensors wrote")
def a_file_that_is_no_checkpoint():
    MODEL.write_bytes(b"not a checkpoint at all")


@row("is a zip archive and no checkpoint")
def a_zip_that_is_no_checkpoint():
    with zipfile.ZipFile(MODEL, "w") as archive:
        archive.writestr("letter.txt", "hello")


@row("cut short or damaged.*copy or write it again")
def a_checkpoint_cut_after_its_first_bytes():
    MODEL.write_bytes(MODEL.read_bytes()[:200])


@row("cut short or damaged.*copy or write it again")
def a_checkpoint_without_its_last_byte():
    MODEL.write_bytes(MODEL.read_bytes()[:-1])


@row("cut short or damaged.*copy or write it again")
def a_safetensors_file_cut_short():
    save_file(torch.load(MODEL, weights_only=True), "cut.safetensors")
    Path("cut.safetensors").write_bytes(Path("cut.safetensors").read_bytes()[:-1])
    return ("--model", "cut.safetensors", "--spec", str(SPEC))


# Code


@row("loading it runs code.*--trust-pickle")
def a_pickle_that_runs_code():
    MODEL.write_bytes(pickle.dumps(Payload()))


@row("loading it runs code.*--trust-pickle")
def a_checkpoint_with_a_pickle_that_runs_code():
    torch.save({"weights": Payload()}, MODEL)


@row("loading it runs code.*--trust-pickle")
def an_old_checkpoint_with_a_pickle_that_runs_code():
    torch.save({"weights": Payload()}, MODEL, _use_new_zipfile_serialization=False)


@row("holds a code.*loading it runs code|loading it runs code.*--trust-pickle")
def a_whole_module():
    import smallnet

    torch.save(smallnet.Net(), MODEL)


@row("is a TorchScript archive, and loading it runs code.*--trust-pickle")
def a_scripted_network():
    with zipfile.ZipFile(MODEL, "w") as archive:
        archive.writestr("net/constants.pkl", pickle.dumps(Payload()))


@row("is a torch.export archive, and loading it runs code.*--trust-pickle")
def an_exported_network():
    with zipfile.ZipFile(MODEL, "w") as archive:
        archive.writestr("net/archive_format", "pt2")
        archive.writestr("net/data.pkl", pickle.dumps(Payload()))


@row("answers.npz should hold the simulator's answers as arrays `input` and `output`")
def answers_with_a_pickle_that_runs_code():
    np.savez("answers.npz", input=np.array([Payload()], dtype=object), output=np.zeros(1))
    SPEC.write_text(SPEC.read_text() + '\n[truth]\nanswers = "answers.npz"\n')
    return (*GOOD, "--spec", str(SPEC))


@row("names code.*smallnet:Net.*not allowed on this machine.*probe allow")
def a_description_that_changed_since_it_was_allowed():
    SPEC.write_text(SPEC.read_text() + "\n# changed\n")


@row("names code.*subprocess:run.*probe allow")
def subprocess_as_factory():
    describe('"smallnet:Net"', '"subprocess:run"\nfactory_arguments = { args = ["touch", "executed"] }')


@row("names code.*subprocess:run.*probe allow")
def subprocess_as_adapter():
    describe("[grid]", 'adapter = "subprocess:run"\n\n[grid]')


@row("names code.*subprocess:run.*probe allow")
def subprocess_as_law():
    SPEC.write_text(SPEC.read_text() + '\n[truth]\nlaw = "subprocess:run"\n')


@row("names code.*subprocess:run.*probe allow")
def subprocess_as_transform():
    describe('name = "input"', 'name = "input"\ntransform = "subprocess:run"')


@row("names code.*subprocess:run.*probe allow")
def subprocess_as_data():
    SPEC.write_text(SPEC.read_text() + '\n[data]\npath = "subprocess:run"\n')


@row("names code.*subprocess:run.*probe allow")
def subprocess_as_encoder():
    SPEC.write_text(SPEC.read_text() + '\n[representation]\nencoder = "subprocess:run"\n')


@row("gave a .*; expected a torch.nn.Module")
def a_factory_that_makes_no_network():
    return (*GOOD, "--factory", "pathlib:Path")


@row("there is no module 'nowhere'.*run where it can be imported")
def a_factory_that_is_not_there():
    return (*GOOD, "--factory", "nowhere:Net")


# What does not fit


@row("does not fit smallnet:Net.*conv.weight.*check the factory and its factory_arguments")
def weights_that_do_not_fit():
    torch.save({"conv.weight": torch.zeros(2, 2, 3, 3)}, MODEL)


@row("but not the network that they belong to.*--factory")
def bare_weights():
    SPEC.unlink()


@row('"fatcory".*did you mean "factory"')
def an_unknown_key():
    describe("factory =", "fatcory =")


@row("is no TOML.*mend it there")
def a_description_that_is_no_toml():
    SPEC.write_text("grid = [")


@row("shape.*whole numbers of at least 2")
def a_grid_that_is_none():
    describe("[16, 16]", "[16, -16]")
    return (*GOOD, "--spec", str(SPEC))


@row("a grid of 100000 x 100000 x 100000 points does not fit into memory; describe a smaller one")
def a_grid_larger_than_any_memory():
    describe("[16, 16]", "[100000, 100000, 100000]")
    return (*GOOD, "--spec", str(SPEC))


# Data


@row("holds NaN or infinity; clean the field", probe="transfer")
def data_with_nan():
    return pairs(given=np.full((1, 16, 16), np.nan))


@row(r"of shape \(1, 8, 8\); the description asks for", probe="transfer")
def data_on_another_grid():
    return pairs(truth=np.ones((1, 8, 8)))


@pytest.mark.parametrize("kind", ["complex128", "<U1", "datetime64[s]"])
def test_data_of_another_kind_are_refused(place, kind):
    words = pairs(truth=np.zeros((1, 16, 16), kind))
    refused(words, "asks for real numbers", "transfer")


@row("cannot be read as a .npy array.*write it again", probe="transfer")
def data_that_are_python_objects():
    return pairs(truth=np.array([[Payload()]], dtype=object))


@row("cannot be read as a .npy array.*write it again", probe="transfer")
def data_cut_short():
    words = pairs()
    path = Path("data/in_1.npy")
    path.write_bytes(path.read_bytes()[:-10])
    return words


@row("cannot be read as a .npy array.*write it again", probe="transfer")
def data_that_are_no_arrays():
    words = pairs()
    Path("data/in_1.npy").write_text("1 2 3")
    return words


@row(r"holds 0 files like in_\*.npy and 0 like out_\*.npy; every input needs its target", probe="transfer")
def an_empty_data_folder():
    words = pairs()
    shutil.rmtree("data")
    Path("data").mkdir()
    return words


@row(r"2 files like in_\*.npy and 1 like out_\*.npy; every input needs its target", probe="transfer")
def data_without_a_target():
    words = pairs()
    Path("data/out_1.npy").unlink()
    return words


@row("the data folder nowhere is not there; give --data", probe="transfer")
def a_data_folder_that_is_not_there():
    return (*GOOD, "--data", "nowhere")


# Where it goes


@row("cannot be written.*--out")
def a_file_in_the_way():
    Path("file").write_text("")
    return (*GOOD, "--out", "file/below")


@row("cannot be written.*--out")
def a_folder_that_takes_no_files():
    return (*GOOD, "--out", "/proc/self")


@row("cannot be written.*--out")
def a_folder_with_too_long_a_name():
    return (*GOOD, "--out", "o" * 300)


@row("holds a run already; give --resume.*--overwrite.*another --out")
def a_folder_that_holds_another_run():
    shutil.copytree("kept", "another")
    return (*GOOD, "--out", "another")


# Words


@row("there is no probe or suite 'phsae' .did you mean 'phase'")
def an_unknown_probe():
    return (*GOOD, "phsae")


@row("phase has no parameter 'lvel' .did you mean 'level'")
def an_unknown_parameter():
    return (*GOOD, "--set", "phase.lvel=0.1")


@row("phase.level lies between .*; found '-1'")
def a_value_out_of_bounds():
    return (*GOOD, "--set", "phase.level=-1")


@row("found 'inf'")
def a_value_that_is_no_number():
    return (*GOOD, "--set", "phase.level=inf")


@row("--set takes PROBE.PARAMETER=VALUE; found 'phase'")
def a_setting_without_a_parameter():
    return (*GOOD, "--set", "phase")


@row("there is no control 'perfection'; the controls are .*identity")
def an_unknown_control():
    return (*GOOD, "--controls", "perfection")


@row("--batch-size is a whole number from 1, or auto; found 'many'")
def a_batch_size_that_is_none():
    return (*GOOD, "--batch-size", "many")


@row("'abacus' is no device")
def a_device_that_is_none():
    return (*GOOD, "--device", "abacus")


@row("the zoo has no 'lpt2nbdy'; did you mean zoo:lpt2nbody")
def an_unknown_model_of_the_zoo():
    return ("--model", "zoo:lpt2nbdy")


# Models that answer wrongly: each probe ends in an error, and the folder tells why


def wrong_answers(says: str) -> Callable[..., Callable[..., None]]:
    return row(says, table=WRONG_ANSWERS)


@wrong_answers("the model returned NaN or infinity.*check its weights")
def nan():
    return (*GOOD, "--factory", "smallnet:Nan")


@wrong_answers(r"the model returned the shape \(\d+, 1, 16, 8\).*expected.*check the outputs")
def another_shape():
    return (*GOOD, "--factory", "smallnet:Shape")


@wrong_answers(r"the model returned the shape \(\d+, 2, 16, 16\).*expected.*check the outputs")
def other_channels():
    return (*GOOD, "--factory", "smallnet:Channels")


@wrong_answers("the model returned a tuple of 2; expected one tensor.*choose an item")
def a_tuple():
    return (*GOOD, "--factory", "smallnet:Tuple")


@wrong_answers("the model returned a dict with the keys 'field'; expected one tensor.*choose an item")
def a_dict():
    return (*GOOD, "--factory", "smallnet:Dict")


@wrong_answers("the model writes into its input; let forward begin with")
def an_input_that_it_changes():
    return (*GOOD, "--factory", "smallnet:Writes")


@wrong_answers("the model raised ValueError .no field is good enough.*check the channels and the grid")
def an_exception():
    return (*GOOD, "--factory", "smallnet:Raises")


@wrong_answers("memory ran out on a single sample of shape .*; use a smaller grid")
def memory_that_runs_out():
    return (*GOOD, "--factory", "smallnet:Memory")


@wrong_answers("check the channels and the grid")
def channels_that_the_network_does_not_take():
    describe('kind = "scalar"', 'kind = "vector"')
    return (*GOOD, "--spec", str(SPEC))


@wrong_answers("check the channels and the grid")
def a_dimension_that_the_network_does_not_take():
    describe("[16, 16]", "[16, 16, 16]")
    return (*GOOD, "--spec", str(SPEC))


# The tests


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    """Reports without figures, which take longer than all the rest, and at which nothing here looks."""
    monkeypatch.setattr("probe.contract.Result.panels", lambda self: [])


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A run that was there before."""
    folder = tmp_path_factory.mktemp("before") / "kept"
    assert call("run", "phase", "--model", "zoo:oracle/identity", "--controls", "none", "--out", str(folder))[0] == 0
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def sentences(error: str) -> list[str]:
    return [line.removeprefix("probe: ") for line in error.splitlines() if line.startswith("probe: ")]


def refused(words: Sequence[str], says: str, probe: str) -> None:
    """The run does not start: one sentence and nothing else."""
    status, out, err = call("run", probe, *words)
    assert status == 2, (out, err)
    assert len(sentences(err)) == 1 and err.count("\n") == 1 and not out, (out, err)
    assert re.search(says, err), err
    assert not Path("executed").exists()


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_run_is_refused_in_one_sentence_and_nothing_is_lost(place, finished, what):
    shutil.copytree(finished, "kept")
    case = REFUSED[what]
    words = list(case.make() or GOOD)
    # Even with leave to overwrite: the old run goes only when a new one has begun.
    words += [] if "--out" in words else ["--out", "kept", "--overwrite"]
    refused(words, case.says, case.probe)
    assert contents(Path("kept")) == contents(finished)


@pytest.mark.parametrize("what", WRONG_ANSWERS)
def test_a_model_that_answers_wrongly_ends_in_an_error_that_says_so_once(place, finished, what):
    shutil.copytree(finished, "kept")
    case = WRONG_ANSWERS[what]
    status, out, err = call("run", "phase", "rotation", *(case.make() or GOOD), "--out", "kept", "--resume")
    said = sentences(err)
    assert status == 2 and "Traceback" not in err + out
    assert len(said) == 1 and re.search(case.says, said[0]), err
    stored = json.loads(Path("kept/run.json").read_text())
    assert stored["complete"] and [probe["verdict"] for probe in stored["probes"]] == ["error", "error"]
    assert contents(Path("kept"))["phase.nc"] == contents(finished)["phase.nc"]


@pytest.mark.parametrize(
    ("factory", "asked", "note"),
    [
        ("OneByOne", "plane_wave", "the model takes one sample at a time (one at a time, please)"),
        ("SmallMemory", "plane_wave", "memory ran out with"),
        ("Random", "phase", "the model is not deterministic in eval mode: the same input twice gave answers that differ by"),
        (
            "Remembers",
            "phase",
            "the model keeps a state between calls: after another input the same one gave an answer that differs by",
        ),
    ],
)
def test_what_can_be_run_all_the_same_is_run_and_told(place, factory, asked, note):
    status, out, err = call("run", asked, *GOOD, "--factory", f"smallnet:{factory}", "--out", "out")
    assert status in (0, 1) and not sentences(err), err
    document = json.loads(Path("out/run.json").read_text())
    assert [said.startswith(note) for said in document["notes"]] == [True], document["notes"]
    assert f"note: {note}" in out and note in Path("out/report.html").read_text()
    assert {probe["verdict"] for probe in document["probes"]} <= {"pass", "fail", "inconclusive"}


def test_a_model_that_repeats_itself_is_not_suspected(place):
    call("run", "phase", *GOOD, "--out", "out")
    assert json.loads(Path("out/run.json").read_text())["notes"] == []


@pytest.mark.parametrize("kind", [">f4", ">f8", ">i2", "<f2"])
def test_data_of_any_byte_order_are_read_as_what_they_are(place, kind):
    rng = np.random.default_rng(0)
    field = rng.integers(-100, 100, (1, 16, 16))
    words = pairs(given=field.astype(kind), truth=field.astype(kind))
    for name in ("in_0", "out_0"):
        np.save(f"data/{name}", field.astype("<f4"))
    _, _, err = call("run", "transfer", *words, "--controls", "none", "--out", "out")
    assert not sentences(err), err
    from probe import store

    found = store.read_measured(Path("out"), "transfer")["model"]
    np.testing.assert_array_equal(found.power_pred[0], found.power_pred[1])


@pytest.mark.parametrize("what", ["a_pickle_that_runs_code", "subprocess_as_factory", "subprocess_as_law", "a_whole_module"])
def test_inspect_runs_nothing_of_it(place, what):
    REFUSED[what].make()
    status, out, err = call("inspect", "ckpt.pt")
    assert status in (0, 2) and (out or sentences(err))
    assert not Path("executed").exists()


def test_the_command_itself_says_one_sentence_without_a_traceback(place):
    what = REFUSED["a_checkpoint_with_a_pickle_that_runs_code"]
    what.make()
    words = [sys.executable, "-m", "probe.cli", "run", "phase", *GOOD]
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False)
    assert done.returncode == 2 and not done.stdout
    assert len(sentences(done.stderr)) == 1 and done.stderr.count("\n") == 1
    assert re.search(what.says, done.stderr) and not Path("executed").exists()


def test_what_nobody_foresaw_is_one_sentence_too_and_a_traceback_only_on_request(place, monkeypatch):
    from click.testing import CliRunner

    from probe.cli import main

    def broken(*_, **__):
        raise KeyError("a fault of ours")

    monkeypatch.setattr("probe.loading.load", broken)
    done = CliRunner().invoke(main, ["run", "phase", *GOOD])
    assert done.exit_code == 2 and sentences(done.stderr) and "KeyError: 'a fault of ours'" in done.stderr
    monkeypatch.setattr("sys.argv", ["probe", "--debug"])
    assert isinstance(CliRunner().invoke(main, ["--debug", "run", "phase", *GOOD]).exception, KeyError)
