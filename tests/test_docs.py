"""What the documentation shows works."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from probe.description import parse_description

DOCS = Path(__file__).parent.parent / "docs"
BLOCKS = [
    (path.name, language, text)
    for path in sorted(DOCS.rglob("*.md"))
    for language, text in re.findall(r"```(toml|python)\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
]


@pytest.mark.parametrize("text", [text for _, language, text in BLOCKS if language == "toml"])
def test_every_description_in_the_docs_is_one(text: str) -> None:
    found = parse_description(tomllib.loads(text), "docs")
    assert found.channels_out > 0 or not found.has_network


@pytest.mark.parametrize("text", [text for _, language, text in BLOCKS if language == "python"])
def test_every_piece_of_python_in_the_docs_is_python(text: str) -> None:
    compile(text, "docs", "exec")
