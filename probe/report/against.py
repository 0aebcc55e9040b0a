"""What a run's baseline says of it, and how a change is told: the same words in the terminal, in Markdown and on the page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from probe.intervals import Interval
from probe.report import numbers, words

_STATES = {
    "fails": "may fail: {reason}{until}",
    "inconclusive": "may fail: {reason}{until}",
    "expired": "fails, and may no longer: it was excused until {expires} ({reason})",
    "passes": "passes now, though it may fail ({reason}): take it out of the known failures",
    "unanswered": "may fail ({reason}), but was not answered: is it called so?",
}


def headline(section: Mapping[str, Any]) -> str:
    """A run beside its baseline, in one sentence."""
    file, compared = section["file"], [c for c in section["changes"] if c["p_worse"] is not None]
    if section["written"] == "new":
        return f"Recorded in {file}: later runs are compared with this one"
    if section["written"] == "updated":
        return f"Recorded in {file} in place of the earlier run ({_earlier(section)}); known failures are kept"
    if section["written"] == "withheld":
        return f"Not recorded in {file}: a probe ended in an error, or nothing gave a verdict"
    worse, better = (sum(c["found"] == found for c in compared) for found in ("worse", "better"))
    many = "No check was" if not compared else f"None of {words.plural(len(compared), 'check')} is" if not worse else ""
    if not compared:
        return f"{many} compared with {file} ({_earlier(section)})"
    said = many or f"{worse} of {words.plural(len(compared), 'check')} {'is' if worse == 1 else 'are'}"
    also = f", {better} better" if better else ""
    return f"{said} significantly worse{also} than in {file} ({_earlier(section)})"


def sentences(section: Mapping[str, Any]) -> list[str]:
    """What else there is to say: checks lost, better, not compared, not recorded; known failures."""
    of = {found: [c for c in section["changes"] if c["found"] == found] for found in ("lost", "better", "untold")}
    said = [f"{c['check']} was judged in the baseline and is no longer" for c in of["lost"]]
    said += [f"{c['check']} is better: {change(c)}" for c in of["better"]]
    said += list(_known(section))
    reasons = {c["how"]: [d["check"] for d in of["untold"] if d["how"] == c["how"]] for c in of["untold"]}
    said += [f"not compared: {', '.join(names)} ({reason})" for reason, names in reasons.items()]
    if section["unrecorded"]:
        said.append(f"not in the baseline: {', '.join(section['unrecorded'])}; --baseline-update records them")
    return said


def change(one: Mapping[str, Any]) -> str:
    """'0.0123 → 0.045 (+0.0327 [0.030, 0.035]; 8 inputs, paired)'."""
    unit = numbers.unit(one["unit"])
    return (
        f"{numbers.number(one['before'])} → {numbers.number(one['after'])} {unit}".rstrip() + f" ({difference(one)}; {one['how']})"
    )


def difference(one: Mapping[str, Any]) -> str:
    """'+0.0327 [0.030, 0.035]'."""
    value, low, high = (one[key] for key in ("difference", "low", "high"))
    if value is None:
        return "unknown"
    ends = (-math.inf if low is None else low, math.inf if high is None else high)
    return ("+" if value > 0 else "") + numbers.interval(Interval(value, *ends))


def _known(section: Mapping[str, Any]) -> Iterator[str]:
    for one in section["known_failures"]:
        if one["state"] in _STATES:
            until = f" (until {one['expires']})" if one["expires"] else ""
            yield f"{one['check']} " + _STATES[one["state"]].format(reason=one["reason"], expires=one["expires"], until=until)


def _earlier(section: Mapping[str, Any]) -> str:
    name = " ".join(filter(None, (section["model"], section["sha256"][:8])))
    return f"{name}, {section['recorded']}"
