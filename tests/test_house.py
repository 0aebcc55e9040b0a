"""The order of the house, read from the source: a room of `probe` imports only rooms that stand before it.

Nothing is imported here. What stands under TYPE_CHECKING does not count, since it does not run; what is imported inside a function
does, since a room that needs another when it is used stands behind it all the same, and a cycle that waits for a call is a cycle.
"""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GROUND = (
    *("grid", "fields", "transforms", "spectra", "painting", "waves", "perturbation"),
    *("model", "zoo", "loading", "data", "controls", "intervals"),
)
ABOVE = {"contract", "runner", "report", "cli"}
RECIPES = "recipes"  # programs that made what lies in the zoo; run by hand, imported by nobody, behind all rooms

Rooms = dict[str, set[str]]


def test_no_room_imports_one_that_stands_behind_it() -> None:
    in_order(rooms(ROOT / "probe"))


def test_the_ground_knows_nothing_of_contract_runner_report_and_command_line() -> None:
    graph = rooms(ROOT / "probe")
    assert set(GROUND) <= set(graph)
    assert {room: reached(graph, room) & ABOVE for room in GROUND if reached(graph, room) & ABOVE} == {}


def test_the_report_needs_neither_torch_nor_a_model() -> None:
    needed = reached(rooms(ROOT / "probe"), "report") | {"report"}
    assert "model" not in needed
    heavy = [path for path in sources(ROOT / "probe") if room_of(path, ROOT / "probe") in needed and "torch" in outside(path)]
    assert heavy == []


def test_the_engine_knows_no_probe() -> None:
    assert [path for path in sources(ROOT / "probe") if "probes_catalog" in outside(path)] == []


def test_a_probe_knows_no_other_probe_and_no_face() -> None:
    found = {path.relative_to(ROOT): probe_or_face(path) for path in sources(ROOT / "probes_catalog")}
    assert len(found) > 25
    assert {path: names for path, names in found.items() if names} == {}


def test_nobody_imports_a_recipe() -> None:
    assert RECIPES not in {needed for room in rooms(ROOT / "probe").values() for needed in room}


@pytest.mark.parametrize("inside", ["", "def later():\n    "])
def test_a_cycle_of_rooms_is_found_even_when_it_waits_for_a_call(tmp_path: Path, inside: str) -> None:
    write(tmp_path, {"one.py": "from probe import two", "two/__init__.py": "", "two/deep.py": f"{inside}from probe.one import x"})
    with pytest.raises(CycleError):
        in_order(rooms(tmp_path))


def test_what_is_imported_for_types_alone_makes_no_cycle(tmp_path: Path) -> None:
    guarded = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from probe.one import x\nelse:\n    from probe import three"
    write(tmp_path, {"one.py": "import probe.two", "two.py": guarded, "three.py": ""})
    assert rooms(tmp_path) == {"one": {"two"}, "two": {"three"}, "three": set()}


def test_a_room_that_is_reached_by_way_of_another_is_found(tmp_path: Path) -> None:
    write(tmp_path, {"grid.py": "from probe.fields import x", "fields.py": "from probe.cli import y", "cli.py": "import torch"})
    assert reached(rooms(tmp_path), "grid") == {"fields", "cli"}
    assert outside(tmp_path / "cli.py") == {"torch"}


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("from probes_catalog.symmetry import phase", {"probes_catalog.symmetry"}),
        ("import probe.runner", {"probe.runner"}),
        ("import probe\nprobe.report.write", {"probe.report"}),
        ("import probe\nfrom probe.contract import Probe\nprobe.response.ask", set()),
    ],
)
def test_a_probe_that_knows_another_or_a_face_is_found(tmp_path: Path, code: str, names: set[str]) -> None:
    write(tmp_path, {"asked.py": code})
    assert probe_or_face(tmp_path / "asked.py") == names


def in_order(graph: Rooms) -> list[str]:
    """The rooms from the ground up; CycleError, which names the rooms, where there is no such order."""
    return list(TopologicalSorter(graph).static_order())


@cache
def rooms(package: Path) -> Rooms:
    """Which other rooms every room imports; a room is a module or a package directly under `probe`."""
    paths = list(sources(package))
    graph: Rooms = {room_of(path, package): set() for path in paths}
    for path in paths:
        room = room_of(path, package)
        for name in imported(ast.parse(path.read_text())):
            if name.startswith("probe."):
                needed = RECIPES if name.startswith("probe.zoo.") and ".recipe" in name else name.split(".")[1]
                # Of what the face `probe` hands out beside rooms, a room may ask its version alone.
                assert needed in graph or name == "probe.__version__", f"{path} imports {name}, which is no room"
                graph[room] |= {needed} & set(graph) - {room}
    return graph


def room_of(path: Path, package: Path) -> str:
    place = path.relative_to(package)
    return RECIPES if "recipe" in place.parent.parts else place.parts[0].removesuffix(".py")


def sources(package: Path) -> Iterator[Path]:
    """All files but the package's own face, which hands rooms out."""
    return (path for path in sorted(package.rglob("*.py")) if path != package / "__init__.py")


def imported(tree: ast.AST) -> Iterator[str]:
    """Full names of all that is imported, wherever it stands but under TYPE_CHECKING."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            yield from imported(ast.Module(node.orelse, []))
        else:
            yield from imported(node)


def reached(graph: Rooms, room: str) -> set[str]:
    """All rooms that a room needs, by way of others too."""
    found: set[str] = set()
    while new := {needed for one in {room, *found} for needed in graph[one]} - found:
        found |= new
    return found


def outside(path: Path) -> set[str]:
    """The packages that a file imports, its own left out."""
    return {name.split(".")[0] for name in imported(ast.parse(path.read_text()))} - {"probe"}


def probe_or_face(path: Path) -> set[str]:
    """The other probes, and the rooms `cli`, `runner` and `report`, that a probe's file knows."""
    tree = ast.parse(path.read_text())
    names = {".".join(name.split(".")[:2]) for name in imported(tree)}
    used = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    faces = {f"probe.{room}" for room in ABOVE - {"contract"}}
    return {name for name in names | used if name in faces or name.startswith("probes_catalog.")}


def write(folder: Path, files: dict[str, str]) -> None:
    for name, code in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(code)
