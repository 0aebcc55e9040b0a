"""Several runs side by side: every check's values, and what changed against the first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from probe.baseline.changes import LEVEL, TOLERANCE, changes
from probe.baseline.kept import kept
from probe.store import finite


def beside(runs: Mapping[str, Mapping[str, Any]], tolerance: float = TOLERANCE) -> dict[str, Any]:
    """Compare runs with the first of them.

    Parameters
    ----------
    runs : mapping of str to mapping
        What each folder's run.json holds, the reference first.
    tolerance : float
        Relative worsening of a deterministic value that is let pass.

    Returns
    -------
    dict
        `runs` (what each is), `level` (family-wise, shared by the later runs), `tolerance`, `worse` (how many changes count against
        a later run) and `checks`: each with its unit, bounds, one value a run (None where it has none) and one change a later run.
    """
    first, *later = runs.values()
    level = LEVEL / max(1, len(later))
    held, moved = kept(first), []
    for document in later:
        asked = [probe["name"] for probe in document["probes"] if probe["verdict"] != "error"]
        moved.append({one.check: one for one in changes(held, kept(document), asked, tolerance, level)})
    found = [{f"{p['name']}/{c['name']}": c for p in document["probes"] for c in p["checks"]} for document in runs.values()]
    result = {
        "schema": 1,
        "runs": [_about(folder, document) for folder, document in runs.items()],
        "level": level,
        "tolerance": tolerance,
        "worse": sum(one.found in ("worse", "lost") for of in moved for one in of.values()),
        "checks": [_row(name, found, moved) for name in dict.fromkeys(name for of in found for name in of)],
    }
    plain: dict[str, Any] = finite(result)
    return plain


def _about(folder: str, document: Mapping[str, Any]) -> dict[str, Any]:
    model = document["model"]
    return {"folder": folder, "name": model["name"], "sha256": model["sha256"]} | {
        key: document[key] for key in ("started", "seed")
    }


def _row(name: str, found: list[dict[str, Any]], moved: list[dict[str, Any]]) -> dict[str, Any]:
    last = next(of[name] for of in reversed(found) if name in of)
    values = [{key: of[name][key] for key in ("value", "low", "high", "verdict")} if name in of else None for of in found]
    return {
        "check": name,
        "unit": last["unit"],
        "bounds": last["bounds"],
        "values": values,
        "changes": [asdict(of[name]) if name in of else None for of in moved],
    }
