"""A run as JUnit XML, which CI services read: a suite a probe, a case a check.

`<properties>` stand with the suite, `check.value` and so on: the schemas that Jenkins and Ant publish allow them nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from xml.etree import ElementTree as ET

from probe.baseline import excused, fallen
from probe.errors import printable
from probe.report import against, numbers
from probe.report.sections import recorded

KEPT = ("value", "low", "high", "bounds", "unit")


def junit(document: Mapping[str, Any], strict: bool = False) -> str:
    """What a run found, as JUnit XML.

    Parameters
    ----------
    document : mapping
        What `run.json` holds.
    strict : bool
        Whether inconclusive counts as failed.
    """
    suites = [_suite(probe, document, strict) for probe in document["probes"]]
    root = ET.Element("testsuites", {"name": _clean(document["model"]["name"])})
    for key in ("tests", "failures", "errors"):
        root.set(key, str(sum(int(suite.get(key, 0)) for suite in suites)))
    root.set("time", _seconds(document["seconds"]))
    root.extend(suites)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(probe: Mapping[str, Any], document: Mapping[str, Any], strict: bool) -> ET.Element:
    name, section = probe["name"], document.get("baseline")
    worse = {change["check"]: change for change in fallen(section) if change["check"].partition("/")[0] == name}
    may = excused(section)
    cases = [_case(probe, check, worse.pop(f"{name}/{check['name']}", None), may, strict) for check in probe["checks"]]
    cases += [_lost(probe, change) for change in worse.values()]
    if probe["verdict"] == "error" or not cases:
        cases.append(_whole(probe))
    suite = ET.Element("testsuite", {"name": _clean(name), "tests": str(len(cases))})
    for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(key, str(sum(case.find(tag) is not None for case in cases)))
    suite.set("time", _seconds(probe["seconds"]))
    suite.set("timestamp", _clean(document["started"][:19]))
    suite.append(_properties(probe["checks"]))
    suite.extend(cases)
    return suite


def _properties(checks: Iterable[Mapping[str, Any]]) -> ET.Element:
    properties = ET.Element("properties")
    for check in checks:
        for key in KEPT:
            value = check[key] if isinstance(check[key], str) else "" if check[key] is None else json.dumps(check[key])
            ET.SubElement(properties, "property", {"name": f"{_clean(check['name'])}.{key}", "value": _clean(value)})
    return properties


def _case(
    probe: Mapping[str, Any], check: Mapping[str, Any], worse: Mapping[str, Any] | None, may: Mapping[str, str], strict: bool
) -> ET.Element:
    case, verdict, said = _empty(probe, check["name"]), check["verdict"], check["sentence"]
    reason = may.get(f"{probe['name']}/{check['name']}")
    if worse:
        _end(case, "failure", "worse", f"{_fallen(worse)}. {said}", _numbers(check))
    elif verdict in ("fail", "inconclusive") and reason is not None:
        _end(case, "skipped", "known failure", f"known failure ({reason}): {said}")
    elif verdict == "fail" or (strict and verdict == "inconclusive"):
        _end(case, "failure", verdict, said, _numbers(check))
    elif verdict in ("inconclusive", "not_applicable"):
        _end(case, "skipped", verdict, f"{verdict.replace('_', ' ')}: {said}")
    if verdict != "not_applicable":
        ET.SubElement(case, "system-out").text = _clean(f"{said} {_numbers(check)}")
    return case


def _lost(probe: Mapping[str, Any], change: Mapping[str, Any]) -> ET.Element:
    case = _empty(probe, change["check"].partition("/")[2])
    _end(case, "failure", "lost", _fallen(change))
    return case


def _whole(probe: Mapping[str, Any]) -> ET.Element:
    """The one case of a probe that crashed or could not be asked."""
    case = _empty(probe, probe["name"])
    _end(case, "error" if probe["verdict"] == "error" else "skipped", probe["verdict"], probe["reason"])
    return case


def _fallen(change: Mapping[str, Any]) -> str:
    lost = change["found"] == "lost"
    return "judged in the baseline and no longer" if lost else f"significantly worse than the baseline: {against.change(change)}"


def _numbers(check: Mapping[str, Any]) -> str:
    found = recorded(check)
    value = f"{numbers.interval(found.interval)} {numbers.unit(found.unit)}".strip()
    allowed = numbers.bounds(found.bounds)
    return (
        f"[{value}{f', allowed {allowed}' if allowed else ''}; {found.covers}{f'; {found.bound_from}' if found.bound_from else ''}]"
    )


def _empty(probe: Mapping[str, Any], name: str) -> ET.Element:
    place = ".".join(filter(None, (probe["suite"], probe["name"])))
    return ET.Element("testcase", {"name": _clean(name), "classname": _clean(place), "time": "0.000"})


def _end(case: ET.Element, tag: str, kind: str, message: str, text: str = "") -> None:
    ET.SubElement(case, tag, {"type": kind, "message": _clean(message)}).text = _clean(text) or None


def _seconds(value: float | None) -> str:
    return f"{value or 0.0:.3f}"


def _clean(value: object) -> str:
    # Two characters that no XML may hold, beside those that nothing may show.
    return printable(value).replace("\ufffe", "").replace("\uffff", "")
