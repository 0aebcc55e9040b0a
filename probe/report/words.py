"""Verdicts and controls in words, and the verdict of a whole run in one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

CONTROLS = {
    "simulator": "the simulator",
    "identity": "the identity",
    "lpt2": "2LPT",
    "linear_filter": "the best linear filter",
    "lpt2_filter": "the best linear filter of 2LPT",
    "untrained": "the untrained twin",
}
SAID = {"fail": "failed", "inconclusive": "inconclusive", "pass": "passed"}

Answered = Sequence[tuple[str, Mapping[str, str]]]


def verdict(name: str) -> str:
    """A verdict as a word."""
    return name.replace("_", " ")


def control(name: str) -> str:
    """A control as it stands in a sentence: 'the identity'; a rival by its own name."""
    return CONTROLS.get(name, name)


def short(name: str) -> str:
    """A control as it stands in a list: 'identity'."""
    return control(name).removeprefix("the ")


def tally(checks: Answered) -> str:
    """'2 failed, 1 inconclusive, 5 passed of 8 checks', of the checks that have a right answer."""
    counts = Counter(found for found, _ in checks if found in SAID)
    total = sum(counts.values())
    if not total:
        return "No check gave a verdict"
    listed = ", ".join(f"{counts[name]} {SAID[name]}" for name in SAID if counts[name])
    return f"{listed} of {plural(total, 'check')}"


def also_passed(checks: Answered) -> str:
    """'Of the 5 checks that passed, the identity passes 3 too, the untrained twin 2'; nothing without controls."""
    passed = [controls for found, controls in checks if found == "pass"]
    asked = [name for name in _ordered(passed) if name != "simulator"]
    if not asked:
        return ""
    counts = {name: sum(controls.get(name) == "pass" for controls in passed) for name in asked}
    first, *others = [f"{control(name)} {'passes ' if n == 0 else ''}{counts[name] or 'none'}" for n, name in enumerate(asked)]
    of = "Of the one check that passed" if len(passed) == 1 else f"Of the {len(passed)} checks that passed"
    return ", ".join([f"{of}, {first} too" if counts[asked[0]] else f"{of}, {first}", *others])


def remarks(probes: Sequence[str], checks: Answered) -> list[str]:
    """What else there is to say of a run: probes that crashed or could not be asked, checks without a right answer."""
    crashed, unasked = list(probes).count("error"), list(probes).count("not_applicable")
    free = sum(found == "info" for found, _ in checks)
    said = [
        f"{plural(crashed, 'probe')} ended in an error" if crashed else "",
        f"{plural(unasked, 'probe')} could not be asked" if unasked else "",
        f"{plural(free, 'check')} without a right answer" if free else "",
    ]
    return [part for part in said if part]


def plural(count: int, word: str) -> str:
    """'1 check', '2 checks'."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _ordered(groups: Sequence[Mapping[str, str]]) -> list[str]:
    found = {name for group in groups for name in group}
    return [name for name in CONTROLS if name in found] + sorted(found - set(CONTROLS))
