"""What is kept of a check so that a later one can be compared with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

JUDGED = ("fail", "inconclusive", "pass")


@dataclass(frozen=True)
class Kept:
    """A check's value, with what it was measured over.

    Attributes
    ----------
    value, low, high : float
        In `unit`; infinite edges where one input alone was sampled.
    bounds : (float or None, float or None)
        What passes; (None, None) without a right answer.
    question, inputs : str
        Hashes of what was asked and of which inputs.
    samples : tuple of float
        The jackknife's pseudo-values, one an input.
    """

    verdict: str
    value: float
    low: float
    high: float
    bounds: tuple[float | None, float | None] = (None, None)
    unit: str = ""
    question: str = ""
    inputs: str = ""
    samples: tuple[float, ...] = ()

    @property
    def judged(self) -> bool:
        """Whether it has a right answer."""
        return self.verdict in JUDGED

    @property
    def deterministic(self) -> bool:
        """Whether nothing was sampled."""
        return self.low == self.value == self.high and not self.samples


def kept(document: Mapping[str, Any]) -> dict[str, Kept]:
    """Every value that a run measured, by probe/check, in its order; what is no number is left out."""
    return {
        f"{probe['name']}/{check['name']}": _of(check, probe["recipe"])
        for probe in document["probes"]
        for check in probe["checks"]
        if check["value"] is not None and check["verdict"] in (*JUDGED, "info")
    }


def _of(check: Mapping[str, Any], recipe: Mapping[str, str]) -> Kept:
    low, high = check["bounds"] or (None, None)
    return Kept(
        check["verdict"],
        float(check["value"]),
        -math.inf if check["low"] is None else float(check["low"]),
        math.inf if check["high"] is None else float(check["high"]),
        (_finite(low), _finite(high)),
        check["unit"],
        recipe["question"],
        recipe["inputs"],
        tuple(map(float, check["samples"])),
    )


def _finite(edge: float | None) -> float | None:
    return edge if edge is not None and math.isfinite(edge) else None
