"""Tests without a file: the model that --probe-model names, and under it one item a check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from probe.testing.beside import HeldToBaseline
from probe.testing.checks import ProbeCheck, ProbeError, expected


class ModelUnderTest(pytest.Collector):
    """The model; its children are its checks, and their comparison with a baseline."""

    checks: Sequence[ProbeCheck | HeldToBaseline] = ()
    reasons: Mapping[str, str] = {}

    @classmethod
    def of(
        cls, parent: pytest.Collector, checks: Sequence[ProbeCheck | HeldToBaseline], reasons: Mapping[str, str]
    ) -> ModelUnderTest:
        """The node of a session."""
        node = cls.from_parent(parent, name="probe", nodeid="probe")
        node.checks, node.reasons = checks, reasons
        return node

    def collect(self) -> Iterator[pytest.Item]:
        """One item a check; nothing is loaded or measured."""
        for check in self.checks:
            name = f"{check.id}[{check.run.name}]"
            # Said in full, so that what stands in brackets is one with what --lf reads from its record.
            item = CheckItem.from_parent(self, name=name, check=check, nodeid=f"{self.nodeid}::{name}")
            if check.id in self.reasons:
                item.add_marker(expected(self.reasons[check.id], None))
            yield item


class CheckItem(pytest.Item):
    """One check of a probe, or the comparison of all."""

    def __init__(self, check: ProbeCheck | HeldToBaseline, **words: Any) -> None:
        super().__init__(**words)
        self.check = check

    def runtest(self) -> None:
        """Ask, or take what was found when another check of the probe was asked."""
        self.check()

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The sentence alone: where in the suite it was raised says nothing."""
        return str(excinfo.value) if excinfo.errisinstance(ProbeError) else super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[str, None, str]:
        """Under the model's name."""
        return self.check.run.name, None, self.name
