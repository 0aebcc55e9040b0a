"""Probes as tests: one test for each check, a model checked at once, and the proof of a probe. Importing it loads no torch."""

from __future__ import annotations

from probe.testing.asking import ChecksFailed, check_model, parametrize_with_probes
from probe.testing.beside import HeldToBaseline
from probe.testing.certificate import certify
from probe.testing.checks import ProbeCheck, ProbeError
from probe.testing.lazy_run import LazyRun

__all__ = [
    "ChecksFailed",
    "HeldToBaseline",
    "LazyRun",
    "ProbeCheck",
    "ProbeError",
    "certify",
    "check_model",
    "parametrize_with_probes",
]
