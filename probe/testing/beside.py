"""A run held to its baseline, as one test after those of its checks.

Whether a check got significantly worse is known only when all are there (Holm's correction), and tests end one by one: so the
checks are judged as always, and a further test compares the run.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from probe.errors import InputError, printable
from probe.report import words
from probe.testing.checks import ProbeCheck, ProbeError
from probe.testing.lazy_run import LazyRun


@dataclass
class HeldToBaseline:
    """The comparison of a run with its baseline: call it in a test.

    Attributes
    ----------
    checks : sequence of ProbeCheck
        All of the run.
    file : Path
        Written where it is not there.
    update : bool
        Record this run in place of the earlier one.
    tolerance : float
        Relative worsening that is let pass where nothing was sampled.
    left_out : set of str
        The ids of checks that are not compared, since their tests are not selected.
    section : dict
        The section `baseline` of run.json; empty before it is called.
    """

    run: LazyRun
    checks: Sequence[ProbeCheck]
    file: Path
    update: bool = False
    tolerance: float = 0.01
    left_out: set[str] = field(default_factory=set)
    section: dict[str, Any] = field(default_factory=dict)

    id = "baseline"

    def __repr__(self) -> str:
        return f"<{self.run.name} held to {self.file}>"

    def __call__(self) -> None:
        """End the test.

        It fails with a table where a check got significantly worse or is no longer judged, is skipped where nothing could be
        compared or recorded, and passes else.
        """
        __tracebackhide__ = True
        import pytest

        reason = self._unrecordable()
        try:
            fault = "" if reason else self.failure()
        except InputError as error:
            raise ProbeError(str(error)) from None
        if fault or (reason and self.update):
            pytest.fail(fault or reason, pytrace=False)
        if reason or (reason := self._untold()):
            pytest.skip(reason)

    def failure(self) -> str:
        """What got worse, as a table; empty where nothing did. What was not asked before is asked.

        Raises
        ------
        InputError
            If the run cannot start, the file is no baseline, or it cannot be written.
        """
        from probe.baseline import fallen, hold
        from probe.report import against
        from probe.testing.summary import changes

        document = self.run.whole().document
        self.section = self._selected(hold(document, self.file, self.update, self.tolerance))
        self.run.keep_baseline(self.section)
        if not (rows := fallen(self.section)):
            return ""
        return "\n".join([printable(against.headline(self.section), longest=None), *changes(rows)])

    def properties(self) -> list[tuple[str, Any]]:
        """What JUnit's file and the summary say of it, a sentence each; empty where nothing was compared."""
        from probe.report import against

        if not self.section:
            return []
        said = [against.headline(self.section), *against.sentences(self.section)]
        return [("model", self.run.name), *(("baseline", printable(f"{sentence}.", longest=None)) for sentence in said)]

    def _unrecordable(self) -> str:
        """Why nothing is recorded though it should be: a part would take the whole's place."""
        if not self.left_out or (self.file.exists() and not self.update):
            return ""
        asked = f"{len(self.checks) - len(self.left_out)} of {words.plural(len(self.checks), 'check')}"
        told = f"Not recorded in {self.file}: only {asked} are selected"
        return f"{told}, and a baseline is recorded as a whole; leave out -k, -m and --lf"

    def _untold(self) -> str:
        """Why a run that did not fail says nothing: it was not recorded, or nothing in it could be compared."""
        from probe.report import against

        compared = any(change["p_worse"] is not None for change in self.section["changes"])
        if self.section["written"] in ("new", "updated") or compared:
            return ""
        return printable(". ".join([against.headline(self.section), *against.sentences(self.section)]), longest=None)

    def _selected(self, section: dict[str, Any]) -> dict[str, Any]:
        """Without the checks that are left out; p-values stay corrected for all that was measured, so that none depends on -k."""

        def kept(name: str) -> bool:
            return not self.left_out & {name, name.partition("/")[0]}

        parts = {key: [one for one in section[key] if kept(one["check"])] for key in ("changes", "known_failures")}
        return section | parts | {"unrecorded": list(filter(kept, section["unrecorded"]))}


def held_to(
    file: str | os.PathLike[str],
    checks: Sequence[ProbeCheck],
    update: bool = False,
    tolerance: float = 0.01,
    today: date | None = None,
) -> tuple[list[ProbeCheck], dict[str, str], HeldToBaseline]:
    """Checks as a baseline has them.

    Returns
    -------
    checks : list of ProbeCheck
        Those that are excused no longer say so when they fail.
    reasons : dict of str to str
        Why those fail that may, by id.
    held : HeldToBaseline
        Their comparison.

    Raises
    ------
    InputError
        If the file is no baseline, or there is no folder for it.
    """
    from probe import baseline

    path, day = Path(file), today or datetime.now(UTC).date()
    baseline.ready(path)
    known = baseline.read(path).known if path.exists() else {}
    over = {name: one for name, one in known.items() if one.expires and day > one.expires}
    told = {name: f"It may no longer fail: it was excused until {one.expires} ({one.reason})" for name, one in over.items()}
    checks = [replace(check, remark=told.get(check.id, "")) for check in checks]
    reasons = {check.id: known[check.id].reason for check in checks if check.id in known and check.id not in over}
    return checks, reasons, HeldToBaseline(checks[0].run, checks, path, update, tolerance)
