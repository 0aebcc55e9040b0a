"""Python's face of the suite: `probe.run`, and judging a stored run again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from probe import controls as controls_room
from probe import registry, report, store
from probe.contract import Effort, Probe, Result, nearest
from probe.errors import InputError
from probe.model import FieldModel
from probe.runner import Plan, Progress, Silent, execute, judge, make_pairs
from probe.runner import document as documents

Settings = Mapping[str, Mapping[str, Any]]


@dataclass
class Run(Mapping[str, Result]):
    """The results of a run by probe, with its document; shows itself in a notebook.

    Attributes
    ----------
    results : dict of str to Result
    document : dict
        What run.json holds.
    folder : Path or None
        Where it is stored.
    """

    results: dict[str, Result]
    document: dict[str, Any]
    folder: Path | None = None

    def __getitem__(self, name: str) -> Result:
        return self.results[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def exit_status(self, strict: bool = False) -> int:
        """2 if a probe ended in an error or nothing gave a verdict, 1 if a check failed, else 0."""
        return documents.exit_status(self.document, strict)

    def _repr_html_(self) -> str:
        return report.render(self.document, list(self.results.values()))


def run(
    probes: str | Sequence[str],
    model: FieldModel,
    *,
    data: str | Path | None = None,
    out: str | Path | None = None,
    settings: Settings | None = None,
    controls: str | Sequence[str] = "all",
    effort: Effort = "default",
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    command: str = "",
    progress: Progress | None = None,
) -> Run:
    """Ask a model some probes.

    Parameters
    ----------
    probes : str or sequence of str
        Names of probes or suites, "all", or paths to files.
    model : FieldModel
        From `probe.load` or `probe.wrap`.
    data : path, optional
        A folder of pairs; by default the one the model's description names.
    out : path, optional
        Where to store the run and its report; nothing is stored without it.
    settings : mapping of probe to mapping of parameter to value, optional
    controls : "all", "none" or sequence of str

    Raises
    ------
    InputError
        If the run could not start.
    """
    words = [probes] if isinstance(probes, str) else list(probes)
    asked = configure(registry.find(words), settings or {})
    wanted = {"all": controls_room.ORDER, "none": ()}.get(controls, controls) if isinstance(controls, str) else controls
    wanted = [wanted] if isinstance(wanted, str) else list(wanted)
    folder = None if out is None else Path(out)
    pairs = make_pairs(model, data)
    plan = Plan(asked, model, pairs, effort, seed, wanted, folder, command or _spelled(words, model), progress or Silent())
    results, document = execute(plan, resume, overwrite)
    if folder is not None:
        report.write(document, list(results.values()), folder / "report.html")
    return Run(results, document, folder)


def default_folder(model: FieldModel) -> Path:
    """reports/<model>-<first 8 of its sha256>."""
    return Path("reports") / f"{model.name.removeprefix('zoo:').replace('/', '-')}-{model.sha256[:8] or 'live'}"


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


def reopen(folder: Path, settings: Settings | None = None) -> Run:
    """A stored run judged and drawn again, without the model; bounds may differ from what they were.

    Raises
    ------
    InputError
        If the folder holds no run, or a setting is of the measurement.
    """
    document = store.read_document(folder)
    wanted = settings or {}
    stored = {entry["name"]: entry for entry in document["probes"]}
    classes = registry.find(list(stored))
    for probe in configure(classes, wanted):
        for name in wanted.get(probe.name(), {}):
            if name not in probe.parameters("judgement"):
                raise InputError(
                    f"{probe.name()}.{name} changes what is measured; run the probe again with --set {probe.name()}.{name}=..."
                )
    results = {}
    for probe_class in classes:
        entry = stored[probe_class.name()]
        kept = {name: value for name, value in entry["parameters"].items() if name in probe_class.parameters()}
        results[probe_class.name()] = _reopened(folder, probe_class(**kept | dict(wanted.get(probe_class.name(), {}))), entry)
    document["probes"] = [documents.entry(result) for result in results.values()]
    return Run(results, document, folder)


def _reopened(folder: Path, probe: Probe, entry: Mapping[str, Any]) -> Result:
    result = Result(probe, seconds=entry["seconds"], passes=entry["passes"], reason=entry["reason"])
    if entry["verdict"] == "error":
        result.failure = entry["reason"]
        return result
    result.measured = store.read_measured(folder, probe.name())
    if result.measured:
        judge(result)
    return result


def _spelled(words: Sequence[str], model: FieldModel) -> str:
    return f"probe.run({list(words)!r}, model)  # {model.name}"
