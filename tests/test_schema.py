"""run.json has a published form, which is what is written and what is read."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from probe import record, store
from probe.errors import InputError
from tests.command import call
from tests.lines import ASKED, lay_out


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A run's document, as it is stored, with everything in it: pairs, controls, a baseline."""
    with pytest.MonkeyPatch.context() as patch:
        lay_out(tmp_path_factory.mktemp("schema"), patch)
        words = ("--model", "lines_code:model", "--baseline", "base.toml")
        assert call(*ASKED, *words, "--out", "a")[0] == 0 and call(*ASKED, *words, "--out", "b")[0] == 0
        yield json.loads(Path("b/run.json").read_text())


@pytest.mark.parametrize("form", ["run", "baseline"])
def test_the_schema_is_one(form):
    schema = record.schema(form)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"].endswith("2020-12/schema") and schema["$id"].startswith(f"urn:fieldprobe:schema:{form}:")
    assert schema["properties"]["schema"]["const"] == int(schema["$id"].rpartition(":")[2])


@pytest.mark.parametrize("form", ["run", "baseline"])
def test_every_place_says_what_it_holds(form):
    schema = record.schema(form)

    def silent(part, where):
        if isinstance(part, dict):
            for name, inner in part.get("properties", {}).items():
                if "$ref" not in inner and not inner.get("description"):
                    yield f"{where}.{name}"
            for name, inner in part.items():
                yield from silent(inner, f"{where}.{name}")

    assert list(silent(schema, "")) == []
    closed = [name for name, part in {"run": schema, **schema["$defs"]}.items() if part.get("additionalProperties") is False]
    assert set(closed) == ({"run", *schema["$defs"]} - {"verdict", "description"})


def test_what_a_run_writes_is_of_it_by_another_reader_too(written):
    assert written["schema"] == store.SCHEMA and written["baseline"]["changes"]
    assert not list(Draft202012Validator(record.schema("run")).iter_errors(written))


def changed(document, place, value):
    document = copy.deepcopy(document)
    here = document
    for key in place[:-1]:
        here = here[key]
    here[place[-1]] = value
    return document


CHECK = ("probes", 0, "checks", 0)


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        ((*CHECK, "verdict"), "fine", "probes[0].checks[0].verdict is 'fine'; expected one of 'error', 'fail'"),
        ((*CHECK, "value"), "0.1", "probes[0].checks[0].value is '0.1'; expected a finite number or null"),
        ((*CHECK, "value"), float("inf"), "expected a finite number or null"),
        ((*CHECK, "value"), True, "expected a finite number or null"),
        ((*CHECK, "bounds"), [0.1], "probes[0].checks[0].bounds is a list of 1; expected a list of 2"),
        ((*CHECK, "verdikt"), "pass", "probes[0].checks[0] has an unknown key 'verdikt' (did you mean 'verdict'?)"),
        (("probes", 0, "passes"), 1.0, "probes[0].passes is 1.0; expected a whole number"),
        (("model",), [], "model is a list of 0; expected a table"),
        (("complete",), 1, "complete is 1; expected true or false"),
        (("seed",), None, "seed is None; expected a whole number"),
        (("versions",), {"torch": 2}, "versions.torch is 2; expected a text"),
        (("description", "grid", "shape"), 64, "description.grid.shape is 64; expected a list"),
    ],
)
def test_what_is_not_of_it_is_told_in_one_sentence_with_its_place(tmp_path, written, place, value, says):
    (tmp_path / "run.json").write_text(json.dumps(changed(written, place, value)))
    with pytest.raises(InputError) as told:
        store.read_document(tmp_path)
    assert says in str(told.value) and "run the probes again with --resume" in str(told.value)


def test_what_is_missing_is_named(tmp_path, written):
    for place in ("model", "probes", "confidence"):
        (tmp_path / "run.json").write_text(json.dumps({k: v for k, v in written.items() if k != place}))
        with pytest.raises(InputError, match=f"it has no '{place}'"):
            store.read_document(tmp_path)


def test_a_run_of_the_first_version_is_read_and_one_of_a_later_is_not(tmp_path, written):
    first = copy.deepcopy(written) | {"schema": 1}
    del first["baseline"]
    for probe in first["probes"]:
        del probe["recipe"]
        for check in probe["checks"]:
            del check["samples"]
    (tmp_path / "run.json").write_text(json.dumps(first))
    read = store.read_document(tmp_path)
    assert read["schema"] == 2 and not record.fault(read, "run")
    (tmp_path / "run.json").write_text(json.dumps(written | {"schema": 3}))
    with pytest.raises(InputError, match="not a run of schema 2 or 1"):
        store.read_document(tmp_path)


@pytest.mark.parametrize("words", [["list"], ["explain", "phase"], ["--help"], ["compare", "--help"]])
def test_the_schema_is_not_loaded_before_a_run_is_read(words):
    seen = "import sys; from probe.cli import main; main(sys.argv[1:], standalone_mode=False); "
    told = "print(sorted({'jsonschema', 'probe.record', 'probe.baseline'} & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", seen + told, *words], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
