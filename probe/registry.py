"""Which probes there are: every file of `probes_catalog`, every package under the entry-point group `probe.catalog`, any path."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from probe.contract import Probe, nearest
from probe.errors import InputError

Settings = Mapping[str, Mapping[str, Any]]


@cache
def catalogue() -> dict[str, type[Probe]]:
    """Every installed probe by name, suite after suite."""
    packages = ["probes_catalog", *(point.value for point in entry_points(group="probe.catalog"))]
    found = [probe for package in packages for module in _modules(importlib.import_module(package)) for probe in _probes(module)]
    return {probe.name(): probe for probe in sorted(found, key=lambda p: (p.suite, p.name()))}


def find(words: Sequence[str | type[Probe]]) -> list[type[Probe]]:
    """The probes that names, suites, `all`, paths to files and classes stand for, each once, in the order given.

    Raises
    ------
    InputError
        If a word is none of these; the nearest name is told.
    """
    found: dict[str, type[Probe]] = {}
    for word in words:
        for probe in _of(word):
            found.setdefault(probe.name(), probe)
    return list(found.values())


def configure(probes: Sequence[type[Probe]], settings: Settings) -> list[Probe]:
    """The probes with their settings.

    Raises
    ------
    InputError
        If a setting is for a probe that is not asked, or a probe has no such parameter.
    """
    names = [probe.name() for probe in probes]
    for name in settings:
        if name not in names:
            raise InputError(
                f"a setting names the probe {name!r}{nearest(name, names)}, which is not asked; asked are {', '.join(names)}"
            )
    return [probe(**settings.get(probe.name(), {})) for probe in probes]


def _of(word: str | type[Probe]) -> list[type[Probe]]:
    if not isinstance(word, str):
        return [word]
    known = catalogue()
    if word in known:
        return [known[word]]
    suite = [probe for probe in known.values() if word in (probe.suite, "all")]
    if suite:
        return suite
    if word.endswith(".py"):
        return _from_file(Path(word))
    names = [*known, *sorted({probe.suite for probe in known.values()}), "all"]
    raise InputError(f"there is no probe or suite {word!r}{nearest(word, names)}; `probe list` shows them all")


def _from_file(path: Path) -> list[type[Probe]]:
    if not path.is_file():
        raise InputError(f"the probe file {path} is not there")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    probes = list(_probes(module))
    if not probes:
        raise InputError(f"{path} defines no subclass of probe.contract.Probe; `probe explain rotation` shows the file of one")
    return probes


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    if not hasattr(package, "__path__"):
        yield package
        return
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not info.ispkg:
            yield importlib.import_module(info.name)


def _probes(module: ModuleType) -> Iterator[type[Probe]]:
    for value in vars(module).values():
        # Not isinstance: it reads __class__, which would make a lazily imported module load.
        if (
            issubclass(type(value), type)
            and issubclass(value, Probe)
            and value is not Probe
            and value.__module__ == module.__name__
        ):
            yield value
