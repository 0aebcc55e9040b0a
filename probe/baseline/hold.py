"""A run held to its baseline: recorded where there is none, compared where there is, known failures told from others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from probe.baseline.changes import LEVEL, TOLERANCE, changes
from probe.baseline.file import Baseline, Known, read, write
from probe.baseline.kept import Kept, kept
from probe.store import finite


def hold(
    document: Mapping[str, Any], file: str | Path, update: bool = False, tolerance: float = TOLERANCE, today: date | None = None
) -> dict[str, Any]:
    """Compare a run with the baseline in a file, or record it there.

    Parameters
    ----------
    document : mapping
        What run.json holds.
    file : path
        Written where there is no file; a run with a crash, or in which nothing gave a verdict, is not recorded.
    update : bool
        Record this run in place of the earlier one; known failures are kept.
    tolerance : float
        Relative worsening of a deterministic value that is let pass.
    today : date, optional
        By which known failures expire.

    Returns
    -------
    dict
        The section `baseline` of run.json.

    Raises
    ------
    InputError
        If the file is no baseline, or cannot be written.
    """
    path = Path(file)
    earlier = read(path) if path.exists() else None
    now, model, day = kept(document), document["model"], today or datetime.now(UTC).date()
    asked = [probe["name"] for probe in document["probes"] if probe["verdict"] != "error"]
    known = earlier.known if earlier else {}
    found = changes(earlier.checks, now, asked, tolerance) if earlier else []
    written = "" if earlier and not update else _record(document, now, path, known, day, "updated" if earlier else "new")
    section = {
        "file": str(path),
        "written": written,
        "model": earlier.model if earlier else model["name"],
        "sha256": earlier.sha256 if earlier else model["sha256"],
        "recorded": earlier.recorded if earlier else day.isoformat(),
        "level": LEVEL,
        "tolerance": tolerance,
        "changes": [asdict(change) for change in found],
        "unrecorded": [name for name in now if earlier and name not in earlier.checks and now[name].judged],
        "known_failures": [_state(document, name, one, day) for name, one in sorted(known.items())],
    }
    plain: dict[str, Any] = finite(section)
    return plain


def fallen(section: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The changes of a section that count against a run: what got worse or is no longer answered; none when that was accepted."""
    if not section or section["written"] in ("new", "updated"):
        return []
    return [change for change in section["changes"] if change["found"] in ("worse", "lost")]


def excused(section: Mapping[str, Any] | None) -> dict[str, str]:
    """The reasons of checks that fail, or cannot be told, and may."""
    known = section["known_failures"] if section else []
    return {one["check"]: one["reason"] for one in known if one["state"] in ("fails", "inconclusive")}


def _record(
    document: Mapping[str, Any], now: Mapping[str, Kept], path: Path, known: Mapping[str, Known], day: date, done: str
) -> str:
    whole = document["complete"] and not any(probe["verdict"] == "error" for probe in document["probes"])
    if not whole or not any(one.judged for one in now.values()):
        return "withheld"
    model = document["model"]
    write(Baseline(model["name"], model["sha256"], day.isoformat(), now, known), path)
    return done


def _state(document: Mapping[str, Any], name: str, known: Known, day: date) -> dict[str, Any]:
    """What has become of a known failure."""
    probe, _, check = name.partition("/")
    asked = {one["name"]: {c["name"]: c["verdict"] for c in one["checks"]} for one in document["probes"]}
    verdict = asked.get(probe, {}).get(check, "")
    state = {"fail": "fails", "inconclusive": "inconclusive", "pass": "passes"}.get(verdict, "unanswered")
    if state in ("fails", "inconclusive") and known.expires and day > known.expires:
        state = "expired"
    return {
        "check": name,
        "reason": known.reason,
        "expires": known.expires.isoformat() if known.expires else None,
        "state": state if probe in asked else "not_asked",
    }
