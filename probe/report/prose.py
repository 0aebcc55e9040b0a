"""Docstrings and references as HTML: paragraphs, bullet lists, indented blocks, links; everything else is escaped."""

from __future__ import annotations

import re
from textwrap import dedent

from markupsafe import Markup, escape

_BULLET = re.compile(r"\s*(?:[-*•]|\d+\.)\s+")
_LINK = re.compile(
    r"(?P<url>https?://[^\s<>\"']+[^\s<>\"'.,;)])"
    r"|(?P<arxiv>arXiv:\s?(?P<id>\d{4}\.\d{4,5}))"
    r"|(?P<doi>doi:\s?(?P<name>10\.\S+[^\s.,;)]))",
    re.IGNORECASE,
)


def prose(text: str) -> Markup:
    """The paragraphs, lists and indented blocks of a docstring."""
    return Markup("\n").join(_block(block) for block in re.split(r"\n\s*\n", text.strip("\n")) if block.strip())


def inline(text: str) -> Markup:
    """One run of text: `code` in back quotes, the rest escaped."""
    parts = re.split(r"``?([^`]+)``?", text)
    return Markup("").join(Markup("<code>{}</code>").format(p) if n % 2 else escape(p) for n, p in enumerate(parts))


def linked(text: str) -> Markup:
    """A reference with its address, arXiv number or DOI made a link."""
    result, end = Markup(""), 0
    for match in _LINK.finditer(text):
        address = match["url"] or (f"https://arxiv.org/abs/{match['id']}" if match["arxiv"] else f"https://doi.org/{match['name']}")
        result += escape(text[end : match.start()]) + Markup('<a href="{}">{}</a>').format(address, match[0])
        end = match.end()
    return result + escape(text[end:])


def _block(block: str) -> Markup:
    lines = block.strip("\n").split("\n")
    if len(lines) == 2 and re.fullmatch(r"\s*[-=~]{3,}\s*", lines[1]):
        return Markup("<h4>{}</h4>").format(lines[0].strip())
    first = next((n for n, line in enumerate(lines) if _BULLET.match(line)), None)
    if first is not None:
        before = _block("\n".join(lines[:first])) if first else Markup("")
        return before + _bullets(lines[first:])
    if all(line.startswith("    ") for line in lines):
        return Markup("<pre>{}</pre>").format(dedent("\n".join(lines)))
    return Markup("<p>{}</p>").format(inline(" ".join(line.strip() for line in lines)))


def _bullets(lines: list[str]) -> Markup:
    """Each line with a bullet opens an item; the others go on with it."""
    items: list[str] = []
    for line in lines:
        if _BULLET.match(line):
            items.append(_BULLET.sub("", line, count=1))
        else:
            items[-1] += " " + line.strip()
    return Markup("<ul>{}</ul>").format(Markup("").join(Markup("<li>{}</li>").format(inline(item)) for item in items))
