"""The document of a run, as run.json holds it."""

from __future__ import annotations

import hashlib
import json
import math
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from probe.baseline import excused, fallen
from probe.contract import Check, Result
from probe.data import Pairs
from probe.description import as_toml
from probe.intervals import CONFIDENCE
from probe.model import FieldModel
from probe.store import SCHEMA, finite

LIBRARIES = ("fieldprobe", "torch", "numpy", "scipy", "xarray", "h5netcdf", "matplotlib", "captum")


def digest(value: Any) -> str:
    """sha256 of a structure's JSON."""
    return hashlib.sha256(json.dumps(finite(value), sort_keys=True).encode()).hexdigest()


def head(model: FieldModel, pairs: Pairs | None, seed: int, effort: str, command: str) -> dict[str, Any]:
    """Everything about a run but its probes."""
    return {
        "schema": SCHEMA,
        "complete": False,
        "model": {
            "name": model.name,
            "path": model.path,
            "sha256": model.sha256,
            "class": model.class_name,
            "parameters": model.parameter_count,
            "loaded": finite(model.loaded),
            "conditioning": model.parameters,
        },
        "description": model.description.as_dict() | ({"source": model.path} if model.path.startswith("zoo:") else {}),
        "description_file": as_toml(model.description),
        "guessed": list(model.description.guessed),
        "assumed": list(model.description.assumed),
        "notes": list(model.notes),
        "data": {"pairs": len(pairs), "names": [pairs.name(i) for i in range(len(pairs))]} if pairs else None,
        "device": str(model.device),
        "dtype": str(model.dtype).removeprefix("torch."),
        "versions": versions(),
        "seed": seed,
        "effort": effort,
        "confidence": CONFIDENCE,
        "command": command,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": 0.0,
        "probes": [],
    }


def versions() -> dict[str, str]:
    """Versions of what took part."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def entry(result: Result) -> dict[str, Any]:
    """One probe of the list `probes`."""
    return {
        "name": result.probe.name(),
        "suite": result.probe.suite,
        "version": result.probe.version,
        "question": result.probe.question(),
        "parameters": finite(result.probe.settings()),
        "recipe": _recipe(result),
        "verdict": result.verdict,
        "headline": result.headline,
        "seconds": result.seconds,
        "passes": result.passes,
        "reason": result.reason,
        "checks": [_check(check, result) for check in result.checks],
    }


def _recipe(result: Result) -> dict[str, str]:
    """What was asked and of which inputs, hashed; empty where nothing was measured."""
    kept = result.measured["model"].attrs if "model" in result.measured else {}
    return {key: str(kept.get(f"recipe_{key}", "")) for key in ("question", "inputs")}


def _check(check: Check, result: Result) -> dict[str, Any]:
    verdicts = {name: of[check.name] for name, of in result.control_verdicts.items() if check.name in of}
    return {
        "name": check.name,
        "value": check.interval.value,
        "low": check.interval.low,
        "high": check.interval.high,
        "samples": list(check.interval.samples) if all(map(math.isfinite, check.interval.samples)) else [],
        "bounds": list(check.bounds) if check.bounds else None,
        "unit": check.unit,
        "verdict": check.verdict,
        "sentence": check.sentence,
        "bound_from": check.bound_from,
        "covers": check.covers,
        "rests_on": list(check.rests_on),
        "controls": verdicts,
    }


def exit_status(document: dict[str, Any], strict: bool = False) -> int:
    """2 if a probe ended in an error or nothing gave a verdict; 1 if a check failed or fell behind the baseline; else 0.

    A known failure is not counted while it only fails: one that got significantly worse is. With `strict`, inconclusive is failed.
    """
    verdicts = {probe["verdict"] for probe in document["probes"]}
    if "error" in verdicts or not verdicts - {"not_applicable", "info"}:
        return 2
    section = document.get("baseline")
    counted, may = {"fail", "inconclusive"} if strict else {"fail"}, excused(section)
    failed = (
        check["verdict"] in counted and f"{probe['name']}/{check['name']}" not in may
        for probe in document["probes"]
        for check in probe["checks"]
    )
    return int(any(failed) or bool(fallen(section)))
