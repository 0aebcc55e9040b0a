"""The baseline's file: TOML, a table a check, so that a change of it reads well and reasons stand beside what they excuse."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from probe import store
from probe.baseline.kept import Kept
from probe.errors import InputError, printable
from probe.record import fault
from probe.toml import toml_key, toml_pairs, toml_value

SCHEMA = 1
DIGITS = 9
_HEAD = """\
# What later runs are compared with: probe run ... --baseline FILE; recorded anew by --baseline-update.
# Yours to write, and kept, are the checks that may fail:
#   [known_failures."probe/check"]
#   reason = "why"
#   expires = 2030-01-31     # the last day; without it, for good
"""


@dataclass(frozen=True)
class Known:
    """A check that may fail: why, and until when."""

    reason: str
    expires: date | None = None


@dataclass(frozen=True)
class Baseline:
    """What a file holds.

    Attributes
    ----------
    model, sha256 : str
        What was recorded.
    recorded : str
        When, YYYY-MM-DD.
    checks : mapping of probe/check to Kept
    known : mapping of probe/check to Known
    """

    model: str
    sha256: str
    recorded: str
    checks: Mapping[str, Kept]
    known: Mapping[str, Known] = field(default_factory=dict)


def ready(path: Path) -> None:
    """Refuse before any work what could not be compared with or written.

    Raises
    ------
    InputError
        If the file is no baseline, or there is no folder for it.
    """
    if path.exists():
        read(path)
    elif not path.parent.is_dir():
        raise InputError(
            f"there is no folder {path.parent} to record the baseline in; make it, or give another file with --baseline"
        )


def read(path: Path) -> Baseline:
    """The baseline in a file.

    Raises
    ------
    InputError
        If it cannot be read, or is none.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"the baseline {path} cannot be read ({error.strerror}); give another with --baseline") from None
    except (ValueError, RecursionError) as error:  # no TOML, no text, or nested without end
        raise InputError(f"the baseline {path} is no TOML ({error}); mend it there, or delete it to record anew") from None
    table = _plain(table)
    if told := fault(table, "baseline"):
        raise InputError(f"the baseline {path} is not one of schema {SCHEMA}: {told}; mend it there, or delete it to record anew")
    known = {
        name: Known(one["reason"], _date(one.get("expires"), name, path)) for name, one in table.get("known_failures", {}).items()
    }
    checks = {name: _kept(one) for name, one in table["checks"].items()}
    return Baseline(table["model"], table["sha256"], table["recorded"], checks, known)


def write(baseline: Baseline, path: Path) -> None:
    """Write a baseline; a kill at any moment leaves the old file or the new one.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    lines = [
        _HEAD,
        *toml_pairs(
            {"schema": SCHEMA, "model": printable(baseline.model), "sha256": baseline.sha256, "recorded": baseline.recorded}
        ),
    ]
    for name, known in sorted(baseline.known.items()):
        lines += ["", f"[known_failures.{toml_key(name)}]", f"reason = {toml_value(known.reason)}"]
        lines += [f"expires = {known.expires.isoformat()}"] if known.expires else []
    lines += [] if baseline.checks else ["", "[checks]"]
    for name, one in sorted(baseline.checks.items()):
        lines += ["", f"[checks.{toml_key(name)}]", *toml_pairs(_table(one))]
    try:
        store.replace_file(path, ("\n".join(lines) + "\n").encode())
    except store.Unwritable as fault:
        raise InputError(
            f"the baseline is not recorded, for {str(fault).partition(';')[0]}; give another file with --baseline"
        ) from None


def _table(one: Kept) -> dict[str, Any]:
    """What differs from its absence."""
    numbers = {"value": one.value, "low": one.low, "high": one.high, "at_least": one.bounds[0], "at_most": one.bounds[1]}
    table: dict[str, Any] = {"verdict": one.verdict}
    table |= {key: _rounded(x) for key, x in numbers.items() if x is not None and math.isfinite(x)}
    table |= {"unit": one.unit} if one.unit else {}
    table |= {"question": one.question, "inputs": one.inputs}
    return table | ({"samples": [_rounded(x) for x in one.samples]} if one.samples else {})


def _kept(table: Mapping[str, Any]) -> Kept:
    return Kept(
        table["verdict"],
        float(table["value"]),
        float(table.get("low", -math.inf)),
        float(table.get("high", math.inf)),
        (table.get("at_least"), table.get("at_most")),
        table.get("unit", ""),
        table["question"],
        table["inputs"],
        tuple(map(float, table.get("samples", ()))),
    )


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _plain(value: Any) -> Any:
    """Dates as texts, as JSON has them."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value


def _date(text: str | None, name: str, path: Path) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise InputError(f"in the baseline {path}, {name} expires on {text!r}; write a day like 2030-01-31") from None
