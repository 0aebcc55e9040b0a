"""A run that asks a probe when its answer is first wanted, and shares it among the processes of one test session.

Nothing is imported or loaded before that. A probe is measured once: in one process its result is kept; workers of
pytest-xdist share the run directory, where each probe has a lock and a stored measurement is used again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict
from uuid import uuid4

from probe.contract import Effort, Probe, Result
from probe.errors import InputError

if TYPE_CHECKING:
    from probe.interface import Run
    from probe.model import FieldModel
    from probe.runner import Begun

# Workers of one session have the same number.
SESSION = os.environ.get("PYTEST_XDIST_TESTRUNUID") or uuid4().hex


class Asking(TypedDict, total=False):
    """How a model is loaded and asked, as `probe run` has it."""

    spec: str | os.PathLike[str] | None
    factory: str | None
    trust_pickle: bool
    data: str | os.PathLike[str] | None
    controls: str | Sequence[str]
    effort: Effort
    device: str
    batch_size: int | None
    seed: int
    out: str | os.PathLike[str] | None
    resume: bool
    overwrite: bool


@dataclass
class LazyRun:
    """Probes on one model, each asked when it is first wanted.

    Attributes
    ----------
    model : str, path, FieldModel or callable
        What `probe.load` takes, a model, or a function that makes one.
    probes : list of Probe
    out : path, optional
        Where it is stored; "auto": `reports/<model>-<first 8 of its sha256>`; None: in memory alone.
    resume, overwrite : bool
        What to do with a run that is there: go on with it, or replace it. One that tests wrote is replaced in any case.
    scratch : Path, optional
        Where worker processes share what is stored nowhere else.
    """

    model: Any
    probes: list[Probe]
    spec: str | os.PathLike[str] | None = None
    factory: str | None = None
    trust_pickle: bool = False
    data: str | os.PathLike[str] | None = None
    controls: str | Sequence[str] = "all"
    effort: Effort = "default"
    device: str = "auto"
    batch_size: int | None = None
    seed: int = 0
    out: str | os.PathLike[str] | None = None
    resume: bool = False
    overwrite: bool = False
    scratch: Path | None = None
    results: dict[str, Result] = field(default_factory=dict)
    folder: Path | None = None
    _begun: Begun | InputError | None = None

    @property
    def name(self) -> str:
        """The model as it stands in the names of tests: `zoo:NAME`, a file's name, a function's."""
        if isinstance(self.model, str | os.PathLike):
            text = os.fspath(self.model)
            return text if text.startswith("zoo:") else Path(text).name
        return str(getattr(self.model, "name", "") or getattr(self.model, "__name__", "model"))

    def result(self, name: str) -> Result:
        """What a probe found, asked now if it was not before.

        Raises
        ------
        InputError
            If the run cannot start.
        """
        if name not in self.results:
            begun = self._begin()
            chosen = next(probe for probe in self.probes if probe.name() == name)
            with self._lock(name):
                # What is there was left for this run to use, or stored by another worker of this session.
                self.results[name] = begun.ask(chosen, resume=True)
            if self.folder:
                self._record(begun)
        return self.results[name]

    def whole(self) -> Run:
        """All its probes asked."""
        from probe.interface import Run

        results = {probe.name(): self.result(probe.name()) for probe in self.probes}
        return Run(results, self._begin().document, self.folder)

    def keep_baseline(self, section: dict[str, Any]) -> None:
        """The run beside its baseline, kept with it."""
        begun = self._begin()
        begun.document["baseline"] = section
        if self.folder:
            self._record(begun)

    def write_report(self) -> Path | None:
        """The report of what was asked; None where nothing is kept."""
        if self.folder is None or self.folder == self.scratch:
            return None
        return write_report(self.folder, self.results)

    def _begin(self) -> Begun:
        if self._begun is None:
            try:
                self._begun = self._start()
            except InputError as fault:
                self._begun = fault
        if isinstance(self._begun, InputError):
            raise self._begun
        return self._begun

    def _start(self) -> Begun:
        from probe.interface import default_folder, wanted_controls
        from probe.runner import Begun, Plan, make_pairs

        model = self._loaded()
        folder = default_folder(model) if self.out == "auto" else Path(self.out) if self.out else self.scratch
        pairs = make_pairs(model, None if self.data is None else Path(self.data))
        told = f"pytest  # {', '.join(probe.name() for probe in self.probes)} on {self.name}"
        plan = Plan(self.probes, model, pairs, self.effort, self.seed, wanted_controls(self.controls), folder, told)
        begun = Begun(plan)
        if folder is not None:
            self._open(folder, begun)
        return begun

    def _loaded(self) -> FieldModel:
        from probe.loading import load
        from probe.model import FieldModel

        if isinstance(self.model, str | os.PathLike):
            return load(self.model, self.spec, self.factory, self.trust_pickle, self.device, self.batch_size)
        model = self.model if isinstance(self.model, FieldModel) else self.model()
        if not isinstance(model, FieldModel):
            raise InputError(f"{self.name} gave a {type(model).__name__}; expected a FieldModel, from probe.load or probe.wrap")
        return model

    def _open(self, folder: Path, begun: Begun) -> None:
        """Take the run directory for this session, unless another worker did; refuse one that is somebody else's."""
        from probe import store

        store.prepare(folder, resume=True, overwrite=False)
        self.folder = folder
        with self._lock("run"):
            held, session = _held(folder, self.overwrite), folder / ".session"
            if held and session.is_file() and session.read_text() == SESSION:
                if held["model"]["sha256"] != begun.document["model"]["sha256"]:
                    raise InputError(f"{folder} holds the run of another model of this session; give each its own `out`")
                return
            if held and not (held["command"].startswith("pytest") or self.resume or self.overwrite):
                raise InputError(
                    f"{folder} holds a run that no test wrote; give another `out` (--probe-out), or leave to go on with it "
                    "(--probe-resume) or to replace it (--probe-overwrite)"
                )
            store.clear(folder, overwrite=not self.resume)
            store.write_document(folder, begun.document)
            session.write_text(SESSION)

    def _record(self, begun: Begun) -> None:
        """run.json with what this process and others found so far."""
        from probe import store

        assert self.folder is not None
        with self._lock("run"):
            held = _held(self.folder, overwrite=True)
            entries = {entry["name"]: entry for d in (held, begun.document) for entry in d.get("probes", [])}
            names = [name for name in dict.fromkeys([*(p.name() for p in self.probes), *entries]) if name in entries]
            whole = {probe.name() for probe in self.probes} <= entries.keys()
            found = {"complete": whole, "probes": [entries[name] for name in names]}
            beside = {key: held[key] for key in ("baseline",) if key in held}
            store.write_document(self.folder, beside | begun.document | found)

    def _lock(self, name: str) -> AbstractContextManager[Any]:
        """One process at a time, where there are several."""
        if self.folder is None or "PYTEST_XDIST_WORKER" not in os.environ:
            return nullcontext()
        from filelock import FileLock

        return FileLock(self.folder / f".{name}.lock")


def write_report(folder: Path, results: dict[str, Result]) -> Path:
    """The report of a stored run; what this process did not ask is judged again from what is stored."""
    from probe import interface, report, store

    document = store.read_document(folder)
    for lock in folder.glob(".*.lock"):
        lock.unlink(missing_ok=True)
    if any(entry["name"] not in results for entry in document["probes"]):
        results = {**interface.reopen(folder), **results}
    return report.write(document, list(results.values()), folder / "report.html")


def _held(folder: Path, overwrite: bool) -> dict[str, Any]:
    from probe import store

    if not (folder / "run.json").exists():
        return {}
    try:
        return store.read_document(folder)
    except InputError:
        if overwrite:
            return {}
        raise
