"""Python's face of the suite: `probe.run`, and judging a stored run again."""

from __future__ import annotations

import re
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
_LONGEST_NAME = 60  # characters of a folder, in up to four bytes each: file systems take 255


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
    name = re.sub(r"[^\w.+-]+", "-", model.name.removeprefix("zoo:"))[:_LONGEST_NAME]
    return Path("reports") / f"{name}-{model.sha256[:8] or 'live'}"


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

    A probe that is not installed here, or whose measurement is gone, keeps what was found then.

    Raises
    ------
    InputError
        If the folder holds no run, what it holds is damaged, or a setting is of the measurement.
    """
    document = store.read_document(folder)
    wanted = settings or {}
    # Only what is installed: a name in a file that anyone may have written must not choose what is imported.
    installed = registry.catalogue()
    known = {entry["name"]: installed[entry["name"]] for entry in document["probes"] if entry["name"] in installed}
    for probe in configure(list(known.values()), wanted):
        for name in wanted.get(probe.name(), {}):
            if name not in probe.parameters("judgement"):
                raise InputError(
                    f"{probe.name()}.{name} changes what is measured; run the probe again with --set {probe.name()}.{name}=..."
                )
    results = {}
    for entry in document["probes"]:
        if (probe_class := known.get(entry["name"])) and (result := _reopened(folder, probe_class, entry, wanted)):
            results[entry["name"]] = result
    document["probes"] = [documents.entry(results[e["name"]]) if e["name"] in results else e for e in document["probes"]]
    return Run(results, document, folder)


def _reopened(folder: Path, probe_class: type[Probe], entry: Mapping[str, Any], settings: Settings) -> Result | None:
    """One probe judged again; None where nothing is stored that could be."""
    name = probe_class.name()
    kept = {key: value for key, value in entry["parameters"].items() if key in probe_class.parameters()}
    probe = probe_class(**kept | dict(settings.get(name, {})))
    result = Result(probe, seconds=entry["seconds"], passes=entry["passes"], reason=entry["reason"])
    if entry["verdict"] == "error":
        result.failure = entry["reason"]
        return result
    result.measured = store.read_measured(folder, name)
    if not result.measured and not entry["checks"]:
        return result  # it could not be asked
    if not result.measured and name in settings:
        raise InputError(f"{folder} no longer holds what {name} measured, so it cannot be judged again; run it with --resume")
    if not result.measured:
        return None
    try:
        judge(result)
    except Exception as fault:  # what is stored may have been changed, or be of another version of the probe
        told = f"what {folder} holds of {name} cannot be judged ({type(fault).__name__}: {fault})"
        raise InputError(f"{told}; run {name} again with --resume") from fault
    return result


def _spelled(words: Sequence[str], model: FieldModel) -> str:
    return f"probe.run({list(words)!r}, model)  # {model.name}"
