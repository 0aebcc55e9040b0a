"""Python's face of the suite: `probe.run`, and judging a stored run again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from probe import baseline as baselines
from probe import registry, report, store
from probe.contract import Effort, Probe, Result
from probe.errors import InputError
from probe.model import FieldModel
from probe.registry import Settings
from probe.registry import configure as configure
from probe.runner import Plan, Progress, Silent, execute, judge, make_pairs
from probe.runner import document as documents

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
        """2 if a probe ended in an error or nothing gave a verdict, 1 if a check failed or fell behind the baseline, else 0."""
        return documents.exit_status(self.document, strict)

    def _repr_html_(self) -> str:
        return report.render(self.document, list(self.results.values()))


def run(
    probes: str | Sequence[str | type[Probe]],
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
    rivals: Mapping[str, str | Path | FieldModel] | None = None,
    baseline: str | Path | None = None,
    update_baseline: bool = False,
    tolerance: float = baselines.TOLERANCE,
) -> Run:
    """Ask a model some probes.

    Parameters
    ----------
    probes : str or sequence of str or class
        Names of probes or suites, "all", paths to files, or probes themselves.
    model : FieldModel
        From `probe.load` or `probe.wrap`.
    data : path, optional
        A folder of pairs; by default the one the model's description names.
    out : path, optional
        Where to store the run and its report; nothing is stored without it.
    settings : mapping of probe to mapping of parameter to value, optional
    controls : "all", "none" or sequence of str
        Rivals are named like controls.
    rivals : mapping of name to FieldModel, checkpoint, "zoo:NAME" or pattern of files, optional
        Other answers to the inputs of the pairs, which the model's are laid beside; behind a pattern a colon and the array in the
        files. Those of the description are there without it.
    baseline : path, optional
        The record of an earlier run that this one may not fall behind; written where there is none.
    update_baseline : bool
        Record this run there in place of the earlier one.
    tolerance : float
        Relative worsening against the baseline that is let pass where nothing was sampled.

    Raises
    ------
    InputError
        If the run could not start.
    """
    record = None if baseline is None else Path(baseline)
    if record is not None:
        baselines.ready(record)  # refused before any work
    words = [probes] if isinstance(probes, str) else list(probes)
    asked = configure(registry.find(words), settings or {})
    folder = None if out is None else Path(out)
    told, wanted = command or _spelled(words, model), wanted_controls(controls)
    plan = Plan(
        asked, model, make_pairs(model, data), effort, seed, wanted, folder, told, progress or Silent(), rivals=rivals or {}
    )
    results, document = execute(plan, resume, overwrite)
    if record is not None:
        document["baseline"] = baselines.hold(document, record, update_baseline, tolerance)
        if folder is not None:
            store.write_document(folder, document)
    if folder is not None:
        report.write(document, list(results.values()), folder / "report.html")
    return Run(results, document, folder)


def wanted_controls(given: str | Sequence[str]) -> Sequence[str] | None:
    """The controls that "all", "none", a name or names stand for; None for all that there are."""
    if isinstance(given, str):
        return {"all": None, "none": ()}.get(given, (given,))
    return list(given)


def default_folder(model: FieldModel) -> Path:
    """reports/<model>-<first 8 of its sha256>."""
    name = re.sub(r"[^\w.+-]+", "-", model.name.removeprefix("zoo:"))[:_LONGEST_NAME]
    return Path("reports") / f"{name}-{model.sha256[:8] or 'live'}"


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


def _spelled(words: Sequence[str | type[Probe]], model: FieldModel) -> str:
    named = [word if isinstance(word, str) else word.name() for word in words]
    return f"probe.run({named!r}, model)  # {model.name}"
