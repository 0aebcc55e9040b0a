"""Reading a TOML table strictly: every key of the right type, and none that nobody asked for."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping
from typing import Any

from probe.errors import InputError


def nearest(word: str, known: Collection[str]) -> str:
    """The known word nearest to one that is not known; empty where none is near."""
    by_lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.45)
    return by_lower[found[0]] if found else ""


class Table:
    """One table of a description. It remembers what it was asked for; `done` refuses the rest.

    Parameters
    ----------
    values : mapping
        As tomllib gives it.
    where : str
        Its name in the file, such as "[grid]"; empty for the top level.
    source : str
        The file, for messages.
    """

    def __init__(self, values: object, where: str, source: str) -> None:
        self.where, self.source = where, source
        self._asked: set[str] = set()
        if not isinstance(values, Mapping):
            raise InputError(f"{source}: {where} is {values!r}; expected a table, such as {where} with one key a line")
        self._values = values

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def take(self, key: str, default: Any = None) -> Any:
        """A value of any type."""
        self._asked.add(key)
        return self._values.get(key, default)

    def refuse(self, key: str, expected: str) -> InputError:
        """The error that says what a key holds and what it should."""
        return InputError(f"{self.source}: {self._full(key)} is {self._values.get(key)!r}; expected {expected}")

    def text(self, key: str, default: str = "", choices: tuple[str, ...] = ()) -> str:
        """A string, one of `choices` if there are any."""
        value = self.take(key, default)
        if not isinstance(value, str) or (choices and value not in choices):
            raise self.refuse(key, "one of " + ", ".join(f'"{c}"' for c in choices) if choices else "a text in quotes")
        if "\0" in value:
            raise self.refuse(key, "a text without NUL, which no file that it names or is stored in can hold")
        return value

    def number(self, key: str, default: float | None = None, positive: bool = False) -> float | None:
        """A finite number."""
        if key not in self:
            self._asked.add(key)
            return default
        value = self.take(key)
        if not is_number(value) or (positive and value <= 0):
            raise self.refuse(key, "a positive number" if positive else "a finite number")
        return float(value)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings."""
        value = self.take(key, [])
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise self.refuse(key, "a list of texts in quotes")
        return tuple(value)

    def flag(self, key: str, default: bool) -> bool:
        """true or false."""
        value = self.take(key, default)
        if not isinstance(value, bool):
            raise self.refuse(key, "true or false")
        return value

    def table(self, key: str) -> Table:
        """A table within; empty where absent."""
        return Table(self.take(key, {}), f"{self._prefix}{key}]" if self.where else f"[{key}]", self.source)

    def tables(self, key: str, least: int = 1) -> list[Table]:
        """A list of tables: [[key]] each, `least` or more of them."""
        values = self.take(key, [])
        if not isinstance(values, list) or len(values) < least:
            raise InputError(f"{self.source}: {self._full(key)} is missing or no list of tables; write [[{key}]] for each")
        return [Table(value, f"[[{key}]] number {i}", self.source) for i, value in enumerate(values, 1)]

    def plain(self, key: str) -> dict[str, Any]:
        """A table whose keys are the user's own."""
        table = self.table(key)
        return dict(table._values)

    def done(self) -> None:
        """Refuse keys that were never asked for."""
        for key in self._values:
            if key not in self._asked:
                near = nearest(key, self._asked)
                hint = f'did you mean "{near}"?' if near else f"known are {', '.join(sorted(self._asked))}"
                raise InputError(f'{self.source}: unknown key "{key}" {self._place}; {hint}')

    @property
    def _prefix(self) -> str:
        return self.where.rstrip("]") + "."

    @property
    def _place(self) -> str:
        return f"in {self.where}" if self.where else "at the top level"

    def _full(self, key: str) -> str:
        return f"{key} in {self.where}" if self.where else key


def is_number(value: object) -> bool:
    """Whether it is a finite number, and not true or false."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        return False
