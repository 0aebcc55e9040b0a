"""What a checkpoint, a file name, a description or a stored run puts into the suite stays text: in the report, in the terminal."""

from __future__ import annotations

import copy
import json
import re
import shutil
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import xarray as xr

import probe
from probe import interface, store
from probe.description import DataSource, Description
from probe.errors import InputError, printable
from probe.fields import Quantity
from probe.grid import Grid
from probe.model import FieldModel
from probe.report import render
from probe.report.text import summary
from tests.command import call
from tests.models import LINE, on

MARKUP = (
    "<script>alert(1)</script></script><img src=x onerror=alert(1)>"
    "\" onmouseover=\"alert(1)' onload='x&lt;<!--{{ 7 * 7 }}{% raw %}]]>"
)
TERMINAL = "\x1b[2J\x1b]0;title\x07\x9b31m\rover\nunder\u202egnp.exe\u2066"
NASTY = {
    "markup and terminal codes": MARKUP + TERMINAL,
    "half a surrogate": "caf\udce9",
    "ten thousand letters": "A" * 10_000,
    "mathematics": r"$\frac{$ ${x} %s \\",
}
ACTING = re.compile("[\0-\x09\x0b-\x1f\x7f-\x9f\u202e\u2066\ud800-\udfff]")


# All that the template and the figures are made of.
TAGS = re.compile(
    r"html|head|meta|title|style|script|body|header|main|section|aside|details|summary|figure|figcaption|div|"
    r"span|p|pre|b|strong|code|h1|h2|h3|h4|ul|li|dl|dt|dd|table|thead|tbody|tr|th|td|a|br|wbr|img|"
    r"label|input|output|svg|symbol|defs|use|g|path|circle|rect|text|tspan|clippath"
)
ATTRIBUTES = re.compile(
    r"alt|aria-describedby|aria-hidden|aria-label|aria-labelledby|aria-valuetext|charset|class|clip-path|content|"
    r"cx|cy|d|data-label|download|fill|for|height|href|http-equiv|id|lang|max|min|name|r|role|rx|scope|"
    r"src|step|stroke|stroke-dasharray|stroke-width|style|title|transform|type|value|viewbox|width|x|y"
)


class Elements(HTMLParser):
    """The elements of a page, the names of their attributes, and where its links lead."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href")]


def safe(page: str) -> None:
    """The page holds no element and no attribute but its own, one script, no foreign link, and no acting character."""
    found = Elements(page)
    assert not [tag for tag in found.tags if not TAGS.fullmatch(tag)]
    assert not [name for name in found.attributes if not ATTRIBUTES.fullmatch(name)]
    assert found.tags.count("script") == 1
    assert all(
        link.startswith(("#", "data:text/csv", "data:image/png", "https://arxiv.org/", "https://doi.org/")) for link in found.links
    )
    assert not ACTING.search(page.replace("\t", "")), ACTING.findall(page)[:5]
    assert page.rstrip().endswith("</html>")


def subject(text: str, folder: Path) -> Any:
    """A model that says this wherever it can: its class, its name, its quantities, its pairs, its settings."""
    written = text.encode(errors="replace").decode()  # no file of a description can hold half a surrogate
    quantity = Quantity(written, "scalar", written, written)
    source = DataSource(str(folder), "in_*.npy", "out_*.npy")
    description = Description(Grid.cubic(16, 16.0, 1), (quantity,), (quantity,), written, data=source, guessed=(written,))
    for side in ("in", "out"):
        np.save(folder / f"{side}_{text[:20].replace('/', '')}.npy", np.cos(np.arange(16.0)))
    network = type(written, (torch.nn.Identity,), {})()
    return FieldModel(network, description, name=text, path=text, loaded={"weights": text, "code": {text: text}})


@pytest.mark.parametrize("what", NASTY)
def test_what_a_model_and_its_data_say_stays_text(tmp_path, what):
    text = NASTY[what]
    run = probe.run("transfer", subject(text, tmp_path), out=tmp_path / "run", command=f"probe {text}")
    assert {result.verdict for result in run.values()} <= {"pass", "fail", "inconclusive"}, run.document
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    safe(page)
    assert "could not be drawn" not in page and ("{{ 7 * 7 }}" in page) == ("{{ 7 * 7 }}" in text)
    document = json.loads((tmp_path / "run" / "run.json").read_text())
    assert document["model"]["name"] == text
    said = summary(document)
    assert not ACTING.search(said) and max(map(len, said.splitlines())) < 1100
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["report.html", "run.json", "transfer.nc"]


@pytest.mark.parametrize("what", NASTY)
def test_what_a_model_raises_stays_text(what):
    def raises(values):
        raise ValueError(NASTY[what])

    run = probe.run("phase", on(LINE, raises), controls="none")
    assert run["phase"].verdict == "error" and "\n" not in run["phase"].reason and len(run["phase"].reason) < 1100
    safe(render(run.document, list(run.values())))
    assert not ACTING.search(summary(run.document))


def test_a_crash_of_a_probe_stays_text(monkeypatch):
    def crash(*_):
        raise RuntimeError(MARKUP + TERMINAL)

    monkeypatch.setattr("probes_catalog.symmetry.phase.Phase.measure", crash)
    run = probe.run("phase", on(LINE, lambda x: x), controls="none")
    page = render(run.document, list(run.values()))
    safe(page)
    assert "Traceback" in page and not ACTING.search(summary(run.document))


@pytest.mark.parametrize("name", ["../../outside", "/etc/passwd", "a\0b", "-rf", "..", "x" * 500, "ü" * 500, MARKUP])
def test_the_folder_of_a_run_lies_where_runs_lie(name):
    folder = interface.default_folder(on(LINE, lambda x: x, name))
    assert folder.parent == Path("reports") and folder.name not in (".", "..")
    assert len(folder.name.encode()) < 255 and "\0" not in folder.name


def test_a_probe_cannot_name_a_file_elsewhere(tmp_path, monkeypatch):
    from probes_catalog.symmetry.phase import Phase

    monkeypatch.setattr(Phase, "name", classmethod(lambda cls: "../outside"))
    monkeypatch.setattr("probe.registry.catalogue", lambda: {"phase": Phase})
    with pytest.raises(InputError, match="names no file"):
        store.write_measured(tmp_path, Phase.name(), {"model": xr.Dataset()})
    assert not list(tmp_path.parent.glob("outside*"))


@pytest.mark.parametrize(
    "command", [["inspect"], ["init"], ["allow"], ["list", "--model"], ["run", "phase", "--dry-run", "--model"]]
)
def test_no_command_says_to_a_terminal_what_a_name_tells_it(place, command):
    name, spec = f"{TERMINAL}café.pt", Path("ckpt.probe.toml")
    spec.write_text(f"name = {json.dumps(TERMINAL)}\n{spec.read_text()}")
    if command[-1] == "--model":
        Path("ckpt.pt").rename(name)
    else:
        torch.save({f"{TERMINAL}conv.weight": torch.zeros(1, 1, 3, 3), TERMINAL: torch.zeros(2)}, name)
    status, out, err = call(*command, name, *(["--spec", str(spec)] if command[-1] == "--model" else []))
    assert status == 0 and out and not ACTING.search(out + err), (out, err)


@pytest.mark.parametrize("text", [TERMINAL, "caf\udce9", "\0"])
def test_an_error_is_one_line_that_any_terminal_can_take(text):
    said = str(InputError(f"{text} was found; give something else"))
    assert not ACTING.search(said) and "\n" not in said and said.endswith("was found; give something else")
    said.encode()


def test_a_long_error_keeps_its_beginning_and_what_to_do():
    said = str(InputError(f"found {'x' * 10_000}; give something else"))
    assert len(said) < 1100 and said.startswith("found xxx") and said.endswith("xxx; give something else")


def test_names_of_every_language_are_shown_as_they_are():
    assert printable("Überdichte δ, 密度, نرم\u200cافزار, 👩\u200d🔬") == "Überdichte δ, 密度, نرم\u200cافزار, 👩\u200d🔬"


# Stored runs that someone has changed


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Path:
    """A run as it should be."""
    folder = tmp_path_factory.mktemp("stored") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("probe.contract.Result.panels", lambda self: [])  # figures take longer than all the rest
        probe.run(["phase", "rotation"], on(LINE, lambda x: 0.9 * x), out=folder, controls="identity")
    return folder


@pytest.fixture
def undrawn(monkeypatch):
    """Reports without figures, which take longer than all the rest."""
    monkeypatch.setattr("probe.contract.Result.panels", lambda self: [])


def reported(folder: Path) -> str:
    """`probe report` gives a sentence, or a page that is safe: which, in one word."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    status, _, err = call("report", str(folder))
    said = [line for line in err.splitlines() if line.startswith("probe: ")]
    assert "Traceback" not in err and not ACTING.search(err)
    if status == 2 and said and (folder / "report.html").read_bytes() == before["report.html"]:
        assert len(said) == 1 and {path.name: path.read_bytes() for path in folder.iterdir()} == before
        return "refused"
    assert status in (0, 1, 2)
    safe((folder / "report.html").read_text(encoding="utf-8"))
    return "shown"


def places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """Every place in a structure."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(item, (*path, key))


def put(document: Any, place: tuple, value: Any) -> Any:
    """The same structure with another value there."""
    changed = copy.deepcopy(document)
    here = changed
    for key in place[:-1]:
        here = here[key]
    here[place[-1]] = value
    return changed


WRONG = [
    None,
    True,
    -1,
    1e308,
    10**200,
    "x",
    MARKUP + TERMINAL,
    [],
    {},
    [[]],
    {"a": {"b": MARKUP}},
    ["x", 1, None],
    "../../outside",
]


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_a_run_changed_in_any_place_is_refused_or_shown_as_text(tmp_path, stored):
    document = json.loads((stored / "run.json").read_text())
    found = []
    for index, place in enumerate(places(document)):
        for value in WRONG[index % 4 :: 4]:
            folder = tmp_path / "run"
            shutil.copytree(stored, folder, dirs_exist_ok=True)
            (folder / "run.json").write_text(json.dumps(put(document, place, value)))
            found.append(reported(folder))
    assert {"refused", "shown"} == set(found)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"schema": 1}',
        '{"schema": 2, "probes": []}',
        '{"schema": 1, "probes": [{}]}',
        '{"schema": 1, "probes": {"a": 1}}',
        '{"schema": 1, "probes": [], "seconds": NaN}',
        '{"schema": 1, "probes": [], "seed": 1e999}',
        '{"schema": 1, "probes": [], "seed": ' + "9" * 5000 + "}",
        '{"schema": 1, "probes": [], "model": ' + "[" * 5000 + "]" * 5000 + "}",
        '{"schema": 1, "probes": [], "model": {"loaded": ' + '{"a": ' * 100 + "1" + "}" * 101 + "}",
        "\ufeff{}",
    ],
    ids=range(14),
)
def test_a_document_that_is_none_is_refused(tmp_path, stored, text):
    shutil.copytree(stored, tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text(text)
    assert reported(tmp_path / "run") == "refused"


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("name", ["./evil.py", "evil.py", "all", "symmetry", "../../outside", MARKUP])
def test_a_name_in_a_stored_run_chooses_no_code_and_no_file(tmp_path, stored, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("evil.py").write_text("from pathlib import Path\nPath('executed').touch()\n")
    shutil.copytree(stored, tmp_path / "run")
    document = json.loads((stored / "run.json").read_text())
    document["probes"][0]["name"] = name
    Path("run/run.json").write_text(json.dumps(document))
    assert reported(tmp_path / "run") == "shown"
    assert not Path("executed").exists()
    kept = json.loads(Path("run/run.json").read_text())["probes"]
    assert kept[0] == document["probes"][0] and len(kept) == 2


@pytest.mark.usefixtures("undrawn")
def test_a_probe_whose_measurement_is_gone_keeps_what_was_found(tmp_path, stored):
    shutil.copytree(stored, tmp_path / "run")
    (tmp_path / "run" / "phase.nc").unlink()
    call("report", str(tmp_path / "run"))
    _, _, err = call("report", str(tmp_path / "run"), "--set", "phase.bound=0.1")
    assert "no longer holds what phase measured" in err
    before, after = (json.loads((folder / "run.json").read_text())["probes"] for folder in (stored, tmp_path / "run"))
    assert after[0] == before[0] and after[0]["checks"]


def alter(change: Callable[[dict[str, xr.Dataset]], dict[str, xr.Dataset]]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        store.write_measured(path.parent, path.stem, change(store.read_measured(path.parent, path.stem)))

    return write


def giant(path: Path) -> None:
    """A terabyte in a few hundred bytes: chunks that were never written take no room."""
    with h5py.File(path, "a") as file:
        file["model"].create_dataset("giant", (10**12,), "f8", chunks=(10**4,), fillvalue=0.0)


def elsewhere(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file["model"].create_dataset("secret", (8,), "u1", external=[("/etc/passwd", 0, 8)])


ALTERED: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "refused"),
    "no netCDF": (lambda path: path.write_text("hello"), "refused"),
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:-500]), "refused"),
    "no subjects": (alter(lambda found: {}), "shown"),
    "no model": (alter(lambda found: {"identity": found["identity"]}), "refused"),
    "a variable gone": (alter(lambda found: {name: data.drop_vars("response") for name, data in found.items()}), "refused"),
    "words for numbers": (
        alter(lambda found: {name: data.assign(response=("q", ["a"])) for name, data in found.items()}),
        "refused",
    ),
    "another dimension": (alter(lambda found: {name: data.expand_dims("more") for name, data in found.items()}), ""),
    "nothing but NaN": (alter(lambda found: {name: data * np.nan for name, data in found.items()}), ""),
    "markup": (alter(lambda found: {name: data.assign_attrs(guessed=MARKUP) for name, data in found.items()}), "shown"),
    "a subject of markup": (alter(lambda found: found | {MARKUP.replace("/", ""): found["identity"]}), "shown"),
    "a terabyte": (giant, "refused"),
    "a file elsewhere": (elsewhere, "refused"),
}


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("what", ALTERED)
def test_measurements_that_someone_changed_are_refused_or_shown_as_text(tmp_path, stored, what):
    shutil.copytree(stored, tmp_path / "run")
    change, expected = ALTERED[what]
    change(tmp_path / "run" / "phase.nc")
    assert reported(tmp_path / "run") == expected or not expected
