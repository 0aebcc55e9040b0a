"""What a probe is handed: a model or control with everything known about it, and the one loop over forward passes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch

from probe import controls
from probe.contract import Effort
from probe.data import Pairs, answered, open_cosmology, scaled
from probe.description import Cosmology, Description
from probe.equivariance import test_field
from probe.fields import Field
from probe.grid import Grid
from probe.model import FieldModel

Value = TypeVar("Value")
Case = TypeVar("Case")
Answer = TypeVar("Answer")

INPUTS = 4  # that a truth is asked about in another cosmology where there are no pairs


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
    work : callable
        Told the steps of long work that is no pass of the model, their seconds, and what they are.
    under_test : FieldModel, optional
        The model whose controls are put the same inputs; by default `model`.
    """

    name: str
    model: FieldModel
    pairs: Pairs | None
    effort: Effort
    seed: int
    probe: str
    store: dict[tuple[str, str], Any] = field(default_factory=dict)
    advance: Callable[[int], None] = lambda passes: None
    work: Callable[[int, float, str], None] = lambda steps, seconds, what: None
    under_test: FieldModel | None = None

    @property
    def description(self) -> Description:
        """What is known of the model under test."""
        return (self.under_test or self.model).description

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

    def expect(self, steps: int, seconds: float, what: str) -> Callable[[int], None]:
        """Told before long work that is no pass of the model; gives what is to be told of steps done."""
        self.work(steps, seconds, what)
        return self.advance

    def shared(self, key: str, function: Callable[[], Value]) -> Value:
        """`function()`, computed once a run for this model."""
        place = (self.name, key)
        if place not in self.store:
            self.store[place] = function()
        return self.store[place]

    def elsewhere(self, cosmology: Cosmology) -> LocalSubject | None:
        """The same subject in another cosmology, with the pairs known there; None for a control that cannot be made there."""
        return self.shared(f"elsewhere {cosmology}", lambda: self._moved(cosmology))

    def _moved(self, cosmology: Cosmology) -> LocalSubject | None:
        asked, model = _asked_in(cosmology, self.under_test or self.model), _asked_in(cosmology, self.model)
        place = ("", f"pairs {cosmology}")  # the same for the model and its controls
        if place not in self.store:
            self.store[place] = self._pairs_of(cosmology, asked)
        pairs = self.store[place]
        if self.name in controls.ORDER and self.name != "untrained":
            control = controls.build(self.name, asked, pairs, self.seed)
            if isinstance(control, controls.Absent):
                return None
            model = control.model
        return replace(self, model=model, pairs=pairs, under_test=asked, store={})

    def _pairs_of(self, cosmology: Cosmology, asked: FieldModel) -> Pairs | None:
        """Pairs from files; else the inputs at home with the cosmology's power, and the law's answers or those of 2LPT."""
        if cosmology.input or cosmology.target:
            return open_cosmology(cosmology, asked.description)
        name = "simulator" if asked.description.truth.law in asked.code else "lpt2"
        truth = controls.build(name, asked, None, self.seed)
        if isinstance(truth, controls.Absent):
            return None

        def given(index: int) -> Field:
            return scaled(test_field(self, index)[0], math.sqrt(cosmology.amplitude))

        if name == "simulator":
            return answered(len(self.pairs or ()) or INPUTS, given, truth.model, asked.description, "law")
        return answered(INPUTS, given, truth.model, asked.description, "2LPT")


def _asked_in(cosmology: Cosmology, model: FieldModel) -> FieldModel:
    """A model as it is asked in another cosmology: under the parameters there, as far as it has any, and the growth there."""
    moved = model.at(**{name: value for name, value in cosmology.parameters.items() if name in model.parameters})
    here = model.description.truth
    growth = here.growth_ratio if cosmology.growth_ratio is None else cosmology.growth_ratio
    omega_m = here.omega_m if cosmology.omega_m is None else cosmology.omega_m
    moved.description = replace(model.description, truth=replace(here, growth_ratio=growth, omega_m=omega_m))
    return moved


class Rehearsed(Exception):
    """Ends a rehearsal whose passes are all counted."""


class CountingSubject(LocalSubject):
    """A rehearsal: one case of each loop is asked of a function that costs nothing, and the passes of all are counted."""

    passes = 0

    def expect(self, steps: int, seconds: float, what: str) -> Callable[[int], None]:
        """The rehearsal is over: there are no more passes."""
        raise Rehearsed

    def map(self, function: Callable[[Any, Case], Answer], cases: Sequence[Case], passes: int = 1) -> list[Answer]:
        """The first case's answer for all, each counted."""
        self.passes += passes * len(cases)
        return [function(self, cases[0])] * len(cases) if cases else []
