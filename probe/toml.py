"""Values as TOML, which Python's own library only reads."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from probe.errors import InputError


def toml_pairs(table: Mapping[str, Any]) -> list[str]:
    """A table's lines: `key = value` each."""
    return [f"{toml_key(key)} = {toml_value(value)}" for key, value in table.items()]


def toml_key(key: str) -> str:
    """A key, quoted where it must be."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _text(key)


def toml_value(value: Any) -> str:
    """A value as it stands behind a key.

    Raises
    ------
    InputError
        If it has no form in TOML.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, (int, float)):
        return repr(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml_value(v) for v in value) + "]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(toml_pairs(value)) + " }" if value else "{}"
    raise InputError(f"{value!r} has no form in TOML; give numbers, texts, lists and tables")


def _text(text: str) -> str:
    # JSON's escapes are TOML's, but for DEL, which JSON lets through.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
