"""How much one variable knows of another: mutual information by two estimators, with errors and a null."""

from __future__ import annotations

from probe.information import columns, disentanglement, mixture, neighbours, tabulate
from probe.information.estimate import NOTHING, UNKNOWN, Estimate
from probe.information.estimates import Task, from_mixtures, lasts, seconds

__all__ = [
    "NOTHING",
    "UNKNOWN",
    "Estimate",
    "Task",
    "columns",
    "disentanglement",
    "from_mixtures",
    "lasts",
    "mixture",
    "neighbours",
    "seconds",
    "tabulate",
]
