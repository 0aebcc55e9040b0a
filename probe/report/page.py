"""The page: what the template shows of a run, and the filling of the template."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from probe.errors import printable
from probe.intervals import PRECEDENCE
from probe.report import against, numbers, prose, words
from probe.report.pictures import Pictures
from probe.report.sections import Section, from_record, from_result

if TYPE_CHECKING:
    from probe.contract import Result

HERE = Path(__file__).parent
OPTIONAL: dict[str, Any] = {
    "complete": True,
    "guessed": [],
    "assumed": [],
    "notes": [],
    "versions": {},
    "controls": {},
    "not_controls": {},
    "command": "",
}


def page(document: Mapping[str, Any], results: Sequence[Result]) -> str:
    """The whole page as text."""
    sections = _sections(document, results)
    checks = [(row.check.verdict, row.controls) for section in sections for row in section.rows]
    verdicts = [section.verdict for section in sections]
    script, css = ((HERE / name).read_text("utf-8") for name in ("page.js", "page.css"))
    template = _environment().get_template("page.html")
    return template.render(
        run=OPTIONAL | {key: value for key, value in document.items() if value is not None},
        model={"path": "", "sha256": "", "loaded": {}} | dict(document.get("model") or {}),
        name=name_of(document),
        facts=_facts(document),
        sections=sections,
        verdict=next((v for v in PRECEDENCE if v in verdicts), "not_applicable"),
        tally=words.tally(checks),
        also_passed=words.also_passed(checks),
        remarks=words.remarks(verdicts, checks),
        baseline=_against(document.get("baseline")),
        description=document.get("description_file") or toml(document.get("description") or {}),
        css=Markup(css),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def name_of(document: Mapping[str, Any]) -> str:
    """What the model is called."""
    model = document.get("model") or {}
    return str(model.get("name") or Path(str(model.get("path") or "model")).name)


def toml(description: Mapping[str, Any], prefix: str = "") -> str:
    """A description as the TOML that a user would write."""
    plain, tables = [], []
    for key, value in description.items():
        if isinstance(value, Mapping):
            tables.append(f"\n[{prefix}{key}]\n" + toml(value, f"{prefix}{key}."))
        elif isinstance(value, list | tuple) and value and all(isinstance(item, Mapping) for item in value):
            tables.extend(f"\n[[{prefix}{key}]]\n" + toml(item, f"{prefix}{key}.") for item in value)
        elif value is not None:
            plain.append(f"{key} = {_toml_value(value)}\n")
    return "".join(plain + tables).lstrip("\n")


def grid_in_words(grid: Mapping[str, Any]) -> str:
    """'32³ points, box 128 Mpc/h, periodic'."""
    shape, box = (_sides(grid.get(key)) for key in ("shape", "box"))
    same = len(set(shape)) == 1 and len(shape) > 1
    points = f"{shape[0]:g}{numbers.unit(f'^{len(shape)}')}" if same else " × ".join(f"{n:g}" for n in shape)
    side = " × ".join(f"{s:g}" for s in (box[:1] if len(set(box)) == 1 else box))
    parts = [f"{points} points" if shape else "", f"box {side} {numbers.unit(str(grid.get('unit') or ''))}".strip() if box else ""]
    return ", ".join(part for part in [*parts, str(grid.get("boundary") or "")] if part)


def _sections(document: Mapping[str, Any], results: Sequence[Result]) -> list[Section]:
    pictures = Pictures()
    by_name = {result.probe.name(): result for result in results}
    records = {str(record.get("name")): record for record in document.get("probes") or []}
    order = [*records, *(name for name in by_name if name not in records)]
    return [from_result(by_name[name], pictures) if name in by_name else from_record(records[name]) for name in order]


def _facts(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    model, description = document.get("model") or {}, document.get("description") or {}
    size = model.get("parameters")
    facts = [
        ("Model", str(model.get("class") or "")),
        ("Parameters", numbers.whole(size) if isinstance(size, int) else ""),
        ("Grid", grid_in_words(description.get("grid") or {})),
        *_channels(description),
        ("Truth", str((description.get("truth") or {}).get("law") or "")),
        ("Device", str(document.get("device") or "")),
        ("Seed", "" if document.get("seed") is None else str(document["seed"])),
        ("Effort", str(document.get("effort") or "")),
        ("Run", _when(document)),
    ]
    return [(name, value) for name, value in facts if value]


def _channels(description: Mapping[str, Any]) -> list[tuple[str, str]]:
    into, out = (_quantities(description.get(key)) for key in ("input", "output"))
    return [("Input and output", into)] if into == out else [("Input", into), ("Output", out)]


def _against(section: Mapping[str, Any] | None) -> dict[str, Any]:
    if not section:
        return {}
    worse = [f"{change['check']}: {against.change(change)}" for change in section["changes"] if change["found"] == "worse"]
    return {"headline": against.headline(section), "items": [*worse, *against.sentences(section)]}


def _when(document: Mapping[str, Any]) -> str:
    started = str(document.get("started") or "").replace("T", " ").partition(".")[0]
    took = numbers.duration(document.get("seconds"))
    return ", ".join(part for part in (started, took and f"took {took}") if part)


def _quantities(listed: Any) -> str:
    items = [item for item in listed or [] if isinstance(item, Mapping)]
    return ", ".join(" ".join(filter(None, (str(q.get("name", "")), _bracketed(q)))) for q in items)


def _bracketed(quantity: Mapping[str, Any]) -> str:
    what = " ".join(filter(None, (str(quantity.get("kind") or ""), str(quantity.get("quantity") or ""))))
    return f"({', '.join(filter(None, (what, numbers.unit(str(quantity.get('unit') or '')))))})" if what else ""


def _sides(value: Any) -> list[float]:
    return [] if value is None else [float(x) for x in value] if isinstance(value, list | tuple) else [float(value)]


def _toml_value(value: Any) -> str:
    import json

    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml_value(item)}" for key, item in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False, default=str)


def _shown(value: Any) -> Any:
    """What a file said, without the characters that no page may hold; what is markup already has been made of it."""
    if not isinstance(value, str):
        return value
    clean = printable(value, keep="\n\t", longest=None)
    return Markup(clean) if isinstance(value, Markup) else clean


def _environment() -> Environment:
    made = Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, finalize=_shown)
    made.trim_blocks = made.lstrip_blocks = True
    made.filters |= {
        "interval": numbers.interval,
        "bounds": numbers.bounds,
        "unit": numbers.unit,
        "duration": numbers.duration,
        "passes": lambda count: f"{numbers.whole(count)} forward pass{'' if count == 1 else 'es'}",
        "whole": numbers.whole,
        "prose": prose.prose,
        "inline": prose.inline,
        "linked": prose.linked,
        "word": words.verdict,
        "control": words.control,
        "short": words.short,
        "capital": lambda text: text[:1].upper() + text[1:],
    }
    return made
