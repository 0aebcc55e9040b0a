"""What a probe is handed: a model or control with everything known about it, and the one loop over forward passes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch

from probe.contract import Effort
from probe.data import Pairs
from probe.description import Description
from probe.grid import Grid
from probe.model import FieldModel

Value = TypeVar("Value")
Case = TypeVar("Case")
Answer = TypeVar("Answer")


@dataclass
class LocalSubject:
    """A subject measured in this process.

    Attributes
    ----------
    probe : str
        The probe it is handed to: part of every seed.
    store : dict
        Values that `shared` keeps for the whole run.
    advance : callable
        Told the number of passes after each case.
    about : Description, optional
        What is known of the model under test, whose controls are put the same inputs; by default that of `model`.
    """

    name: str
    model: FieldModel
    pairs: Pairs | None
    effort: Effort
    seed: int
    probe: str
    store: dict[tuple[str, str], Any] = field(default_factory=dict)
    advance: Callable[[int], None] = lambda passes: None
    about: Description | None = None

    @property
    def description(self) -> Description:
        """What is known of the model under test."""
        return self.about or self.model.description

    @property
    def grid(self) -> Grid:
        """The grid it is asked on."""
        return self.model.description.grid

    def rng(self, name: str) -> torch.Generator:
        """A generator that depends on the run's seed, the probe and the name alone."""
        digest = hashlib.sha256(f"{self.seed}/{self.probe}/{name}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))

    def map(self, function: Callable[[Any, Case], Answer], cases: Sequence[Case], passes: int = 1) -> list[Answer]:
        """`function(subject, case)` for each case, in order."""
        answers = []
        for case in cases:
            answers.append(function(self, case))
            self.advance(passes)
        return answers

    def shared(self, key: str, function: Callable[[], Value]) -> Value:
        """`function()`, computed once a run for this model."""
        place = (self.name, key)
        if place not in self.store:
            self.store[place] = function()
        return self.store[place]


class CountingSubject(LocalSubject):
    """A rehearsal: one case of each loop is asked of a function that costs nothing, and the passes of all are counted."""

    passes = 0

    def map(self, function: Callable[[Any, Case], Answer], cases: Sequence[Case], passes: int = 1) -> list[Answer]:
        """The first case's answer for all, each counted."""
        self.passes += passes * len(cases)
        return [function(self, cases[0])] * len(cases) if cases else []
