"""Runs probes on a model and its controls, stores each result as it comes, resumes."""

from __future__ import annotations

import hashlib
import math
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import torch
import xarray as xr

from probe import controls as controls_room
from probe import rivals as rivals_room
from probe import store
from probe.contract import Effort, Probe, Result
from probe.data import Pairs, call_pairs, open_cosmology, open_pairs, with_quantities
from probe.data.recorded import open_recorded
from probe.errors import InputError, printable
from probe.fields import Field
from probe.model import FieldModel
from probe.model.trial import trial
from probe.model.typical import typical_input
from probe.runner import document
from probe.runner.subject import CountingSubject, LocalSubject
from probe.waves import typical_size


class Progress(Protocol):
    """Told what goes on; the command line draws it."""

    def cost(self, passes: int, seconds: float) -> None:
        """Before long work: how many passes of the model, about how long."""

    def begin(self, probe: str, subject: str, passes: int) -> None:
        """A probe starts on a subject."""

    def advance(self, passes: int) -> None:
        """Some passes are done."""

    def work(self, steps: int, seconds: float, what: str) -> None:
        """Before long work that is no pass of the model: how many steps of what, about how long; `advance` counts them."""

    def end(self, result: Result) -> None:
        """A probe is done."""


class Silent:
    """A Progress that says nothing."""

    def cost(self, passes: int, seconds: float) -> None:
        """Nothing."""

    def begin(self, probe: str, subject: str, passes: int) -> None:
        """Nothing."""

    def advance(self, passes: int) -> None:
        """Nothing."""

    def work(self, steps: int, seconds: float, what: str) -> None:
        """Nothing."""

    def end(self, result: Result) -> None:
        """Nothing."""


@dataclass
class Plan:
    """Everything a run needs to know; see `run` for the meaning."""

    probes: list[Probe]
    model: FieldModel
    pairs: Pairs | None
    effort: Effort = "default"
    seed: int = 0
    wanted_controls: Sequence[str] | None = None
    folder: Path | None = None
    command: str = ""
    progress: Progress = field(default_factory=Silent)
    shared: dict[tuple[str, str], Any] = field(default_factory=dict)
    rivals: Mapping[str, str | Path | FieldModel] = field(default_factory=dict)

    def subject(self, kind: type[LocalSubject], name: str, model: FieldModel, probe: Probe) -> LocalSubject:
        """The subject a probe is handed."""
        kept = self.shared if kind is LocalSubject else {}
        return kind(name, model, self.pairs, self.effort, self.seed, probe.name(), kept, under_test=self.model)

    def recipe(self, probe: Probe, subject: str, content: str = "") -> str:
        """What one measurement depends on, hashed; where it agrees, a stored measurement is used again.

        `content` is a hash of what a rival is.
        """
        model = self.model
        depends = {
            "probe": [probe.name(), probe.version, probe.settings("measurement")],
            "subject": [subject, content] if content else subject,
            # A model without a hash (a live function) may have changed since: nothing stored is its own.
            "model": [model.sha256 or uuid4().hex, model.description.fingerprint(), model.parameters],
            "code": [uuid4().hex if name.startswith("live:") else name for name in model.code] + [model.loaded.get("code")],
            "answers": _content(model) if subject == "simulator" else None,
            "data": [self._paired, *self._elsewhere],
            "run": [self.seed, self.effort, str(model.dtype), model.device.type],
        }
        return document.digest(depends)

    def question(self, probe: Probe) -> dict[str, str]:
        """What a measurement asks whatever the network, and of which inputs, hashed: where both agree, two runs can be paired."""
        described = self.model.description
        said = described.as_dict()
        asked = {
            "probe": [probe.name(), probe.version, probe.settings("measurement"), self.effort],
            "description": [said[key] for key in ("grid", "truth", "symmetries", "constraints", "cosmology")],
            # Not how the network is normalised, which a new training changes, but what made inputs take from it.
            "quantities": [
                [q.name, q.kind, q.quantity, q.unit, q.shift, typical_size(q, described.grid)]
                for q in (*described.inputs, *described.outputs)
            ],
            # A stride decides which waves and shifts are asked.
            "model": [self.model.parameters, self.model.stride],
        }
        drawn = [asked, self.seed, self._paired, *self._elsewhere]
        return {"question": document.digest(asked)[:16], "inputs": document.digest(drawn)[:16]}

    @cached_property
    def _paired(self) -> str | None:
        if self.model.description.representation.mean:
            recorded = open_recorded(self.model.description, self.model.code).fingerprint()
            return recorded + (self.pairs.fingerprint() if self.pairs else "")
        return self.pairs.fingerprint() if self.pairs else None

    @cached_property
    def _elsewhere(self) -> list[str]:
        """Fingerprints of the pairs of other cosmologies; what cannot be read is told by the probes that need it."""
        found, described = [], self.model.description
        for cosmology in described.cosmologies:
            try:
                found.append(open_cosmology(cosmology, described).fingerprint() if cosmology.input else "")
            except (InputError, OSError) as fault:
                found.append(str(fault))
        return found


def _content(model: FieldModel) -> str:
    """sha256 of the simulator's stored answers; empty where it answers by a law."""
    if not model.description.truth.answers:
        return ""
    return hashlib.sha256(controls_room.answers_path(model.description).read_bytes()).hexdigest()


def make_pairs(model: FieldModel, data: str | Path | None) -> Pairs | None:
    """Pairs from a folder given, else from the folder or function the description names, else none."""
    described = model.description
    if not described.has_network or (data is None and not described.data.path):
        return None
    if data is None and (function := model.code.get(described.data.path)):
        pairs = call_pairs(function, described)
    else:
        folder = Path(data) if data is not None else Path(described.source).parent / described.data.path
        pairs = open_pairs(folder, described)
    quantities = model.code.get(described.data.quantities)
    return with_quantities(pairs, quantities) if quantities else pairs


def execute(plan: Plan, resume: bool = False, overwrite: bool = False) -> tuple[dict[str, Result], dict[str, Any]]:
    """Measure, judge and store every probe of a plan.

    Returns
    -------
    results : dict of str to Result
    document : dict
        What run.json holds.

    Raises
    ------
    InputError
        If the run could not start, or can no longer be stored. A probe that crashes ends in `error` and the others go on.
    """
    if plan.folder is not None:
        store.prepare(plan.folder, resume, overwrite)
    begun = Begun(plan)
    counts = {probe.name(): _rehearse(plan, probe) for probe in plan.probes}
    # The untrained twin and other models take as long as the model, a law as long as it takes; other controls next to nothing.
    slow = {name for name in begun.controls if name == "untrained" or begun.asks(name)}
    passes = sum(counts[p.name()] * sum(name == "model" or name in slow for name in begun.on(p)) for p in plan.probes)
    plan.progress.cost(passes, passes * begun.tried.seconds + _seconds_of_law(plan, begun.controls.get("simulator"), counts))
    if plan.folder is not None:
        # Only now that nothing can refuse any more.
        store.clear(plan.folder, overwrite)
    for probe in plan.probes:
        result = begun.ask(probe, resume, counts[probe.name()])
        if plan.folder is not None:
            store.write_document(plan.folder, begun.document)
        plan.progress.end(result)
    return begun.results, begun.document


class Begun:
    """A plan under way: what all its probes need is made once, then each is asked when its turn comes, in any order.

    Attributes
    ----------
    controls : dict of str to Control
    results : dict of str to Result
    document : dict
        What run.json holds.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan, self.tried, self.started = plan, trial(plan.model), time.monotonic()
        self.rivals = rivals_room.known(plan.model.description, plan.rivals)
        wanted = (*controls_room.ORDER, *self.rivals) if plan.wanted_controls is None else plan.wanted_controls
        built = {name: self._built(name) for name in wanted}
        self.controls = {name: c for name, c in built.items() if isinstance(c, controls_room.Control)}
        self.document = document.head(plan.model, plan.pairs, plan.seed, plan.effort, plan.command)
        self.document["controls"] = {name: c.sentence for name, c in self.controls.items()}
        self.document["not_controls"] = {name: c.reason for name, c in built.items() if isinstance(c, controls_room.Absent)}
        self.results: dict[str, Result] = {}

    def _built(self, name: str) -> controls_room.Control | controls_room.Absent:
        plan = self.plan
        if name in self.rivals:
            return rivals_room.build(name, self.rivals[name], plan.model, plan.pairs)
        return controls_room.build(name, plan.model, plan.pairs, plan.seed, self.rivals)

    def asks(self, name: str) -> bool:
        """Whether a control is another model, and not answers that are known."""
        rival = self.rivals.get(name)
        return isinstance(rival, FieldModel) or bool(rival and rival.model)

    def on(self, probe: Probe) -> dict[str, FieldModel]:
        """What a probe is measured on: the model, and the controls that it wants and that there are, rivals last."""
        wanted = [*probe.controls, *(self.rivals if "rivals" in probe.controls else ())]
        return {"model": self.plan.model, **{n: self.controls[n].model for n in wanted if n in self.controls}}

    def ask(self, probe: Probe, resume: bool = False, passes: int = 0) -> Result:
        """Measure, judge and store one probe of the plan; `passes` is what the progress is told it will take."""
        result = _one(self.plan, probe, self, passes, resume)
        self.results[probe.name()] = result
        self.document["probes"].append(document.entry(result))
        self.document["seconds"] = time.monotonic() - self.started
        self.document["notes"] = [*self.tried.notes, *self.plan.model.notes]
        self.document["complete"] = len(self.results) == len(self.plan.probes)
        return result


def _one(plan: Plan, probe: Probe, begun: Begun, passes: int, resume: bool) -> Result:
    """One probe on the model and the controls it wants; a crash is kept in the result."""
    started, before = time.monotonic(), plan.model.passes
    result = Result(probe)
    try:
        result.reason = probe.reason(plan.subject(LocalSubject, "model", plan.model, probe))
        if not result.reason:
            stored = _stored(plan, probe) if resume else {}
            models = begun.on(probe)
            rivals = "\n".join(name for name in models if name in begun.rivals)
            for name, model in models.items():
                measured = _measure(plan, probe, name, model, stored.get(name), passes)
                result.measured[name] = measured.assign_attrs(rivals=rivals)
            if plan.folder is not None:
                store.write_measured(plan.folder, probe.name(), result.measured)
            judge(result)
    except store.Unwritable:
        raise  # to go on would be to measure what cannot be kept
    except InputError as fault:
        result.reason = result.failure = str(fault)
    except Exception as fault:
        result.reason, result.failure = printable(f"{type(fault).__name__}: {fault}"), traceback.format_exc()
    result.passes, result.seconds = plan.model.passes - before, time.monotonic() - started
    return result


def _seconds_of_law(plan: Plan, simulator: controls_room.Control | None, counts: Mapping[str, int]) -> float:
    """Seconds that a law takes to answer what the model is asked, from one answer; nan where it gives none."""
    if simulator is None or plan.model.description.truth.law not in plan.model.code:
        return 0.0
    law, generator = simulator.model, torch.Generator().manual_seed(0)
    field = Field(typical_input(plan.model, generator), law.grid, law.description.inputs)
    started = time.monotonic()
    try:
        law(field)
    except InputError:
        # The probes will meet it too, and each say so in its result.
        return math.nan
    asked = sum(counts[probe.name()] for probe in plan.probes if "simulator" in probe.controls)
    return asked * (time.monotonic() - started)


def _stored(plan: Plan, probe: Probe) -> dict[str, xr.Dataset]:
    """What an earlier run measured; a damaged file is measured again."""
    try:
        return store.read_measured(plan.folder, probe.name()) if plan.folder else {}
    except InputError:
        return {}


def _measure(plan: Plan, probe: Probe, name: str, model: FieldModel, stored: xr.Dataset | None, passes: int) -> xr.Dataset:
    # Of a control the hash is a rival's: that of its files, or of the other model.
    recipe = plan.recipe(probe, name, model.sha256 if name != "model" and name not in controls_room.ORDER else "")
    if stored is not None and stored.attrs.get("recipe") == recipe:
        return stored
    subject = plan.subject(LocalSubject, name, model, probe)
    subject.advance = plan.progress.advance
    subject.work = getattr(plan.progress, "work", subject.work)  # a listener need not hear of it
    plan.progress.begin(probe.name(), name, passes)
    agreed = {f"recipe_{key}": value for key, value in plan.question(probe).items()}
    return probe.measure(subject).assign_attrs(recipe=recipe, **agreed)


def judge(result: Result) -> None:
    """Fill in the checks from what was measured, and each control's verdicts as if it were the model."""
    guessed = tuple(filter(None, str(result.measured["model"].attrs.get("guessed", "")).split("; ")))
    result.checks = [replace(check, rests_on=guessed) for check in result.probe.judge(result.measured)]
    declared = result.probe.checks
    if declared and (unknown := [check.name for check in result.checks if check.name not in declared]):
        raise InputError(f"{result.probe.name()} gave {', '.join(unknown)}, which its `checks` does not declare; add it there")
    for name in result.measured:
        if name not in ("model", "simulator"):
            in_its_place = {**result.measured, "model": result.measured[name], "judged": result.measured["model"]}
            checks = result.probe.judge(in_its_place)
            result.control_verdicts[name] = {check.name: check.verdict for check in checks}


def _rehearse(plan: Plan, probe: Probe) -> int:
    """Passes of the model that a probe will take: its measurement is run on a function that answers zeros at once."""
    width = sum(q.width(plan.model.grid) for q in plan.model.description.outputs)

    def zeros(values: torch.Tensor) -> torch.Tensor:
        return values.new_zeros(len(values), width, *values.shape[2:])

    silent = FieldModel(zeros, plan.model.description.plain(), device=str(plan.model.device), dtype=plan.model.dtype)
    subject = plan.subject(CountingSubject, "rehearsal", silent, probe)
    assert isinstance(subject, CountingSubject)
    try:
        if not probe.reason(subject):
            probe.measure(subject)
    except Exception:
        # What is wrong will be said when the probe is really run; a rehearsal only counts.
        return subject.passes
    return subject.passes
