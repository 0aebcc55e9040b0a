"""Typed parameters of a probe: options of the command line, keys of a file, and documentation at once; and what options say."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, overload

from probe.errors import InputError

if TYPE_CHECKING:
    from probe.contract import Probe


class Parameter:
    """A typed parameter of a probe, declared as a class attribute by `measurement` or `judgement`."""

    def __init__(
        self,
        role: str,
        default: Any,
        help: str,
        unit: str,
        low: float | None,
        high: float | None,
        like: Any,
        choices: tuple,
        check: Callable[[Any], object] | None = None,
    ) -> None:
        self.role, self.default, self.help, self.unit = role, default, help, unit
        self.low, self.high, self.choices, self.check = low, high, choices, check
        self.example = default if like is None else like
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Parameter: ...
    @overload
    def __get__(self, instance: Probe, owner: type) -> Any: ...
    def __get__(self, instance: Probe | None, owner: type) -> Any:
        return self if instance is None else instance.values.get(self.name, self.default)

    @property
    def kind(self) -> str:
        """Its type, in words."""
        words = {bool: "true or false", int: "whole number", float: "number", str: "word"}
        if not isinstance(self.example, tuple):
            return words[type(self.example)]
        inner = self.example[0]
        return f"{words[type(inner)]}s, comma-separated" if not isinstance(inner, tuple) else "modes such as 3:0:0,2:2:1"

    def read(self, given: Any, probe: str) -> Any:
        """The value that text or a Python object stands for, checked.

        Raises
        ------
        InputError
            If it is not of the parameter's kind, out of its bounds, or refused by its check.
        """
        if given is None:
            return None
        try:
            value = _convert(given, self.example)
        except (ValueError, TypeError, OverflowError):
            raise InputError(f"{probe}.{self.name} is a {self.kind}; found {given!r}") from None
        if self.choices and value not in self.choices:
            raise InputError(f"{probe}.{self.name} is one of {', '.join(map(str, self.choices))}; found {given!r}")
        for number in _numbers(value):
            below = self.low is not None and number < self.low
            if below or (self.high is not None and number > self.high) or not math.isfinite(number):
                raise InputError(f"{probe}.{self.name} lies between {self.low} and {self.high}; found {given!r}")
        if value and self.check is not None:
            try:
                self.check(value)
            except InputError as fault:
                raise InputError(f"{probe}.{self.name}: {fault}") from None
        return value


def measurement(
    default: Any,
    help: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    like: Any = None,
    choices: tuple = (),
    check: Callable[[Any], object] | None = None,
) -> Any:
    """A parameter of what is measured: changing it means asking the model again.

    `like` is an example that gives the type where the default is None; `check` raises InputError at what cannot be meant, of a
    value that is not empty.
    """
    return Parameter("measurement", default, help, unit, low, high, like, choices, check)


def judgement(
    default: Any,
    help: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    like: Any = None,
    choices: tuple = (),
) -> Any:
    """A parameter of how it is judged: it can change later, without the model."""
    return Parameter("judgement", default, help, unit, low, high, like, choices)


def nearest(name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    """' (did you mean ...?)' or nothing."""
    match = get_close_matches(name, list(known), 1, 0.5)
    return f" (did you mean {match[0]!r}?)" if match else ""


def _convert(given: Any, example: Any) -> Any:
    if isinstance(example, tuple):
        items = given.split(",") if isinstance(given, str) else list(given)
        inner = example[0]
        if isinstance(inner, tuple):
            return tuple(tuple(int(n) for n in (i.split(":") if isinstance(i, str) else i)) for i in items)
        return tuple(_convert(item, inner) for item in items)
    if isinstance(example, bool):
        if str(given).lower() not in ("true", "false", "yes", "no", "1", "0"):
            raise ValueError(given)
        return str(given).lower() in ("true", "yes", "1")
    if isinstance(example, int) and float(given) != int(float(given)):
        raise ValueError(given)
    return type(example)(float(given)) if isinstance(example, int) else type(example)(given)


def _numbers(value: Any) -> list[float]:
    if isinstance(value, tuple):
        return [n for item in value for n in _numbers(item)]
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else []


def settings_of(given: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """`probe.parameter=value` options as a mapping.

    Raises
    ------
    InputError
        If one has another form.
    """
    result: dict[str, dict[str, str]] = {}
    for item in given:
        place, equals, value = item.partition("=")
        probe, dot, parameter = place.partition(".")
        if not (equals and dot and probe and parameter):
            raise InputError(f"--set takes PROBE.PARAMETER=VALUE; found {item!r}")
        result.setdefault(probe, {})[parameter] = value
    return result


def rivals_of(given: tuple[str, ...]) -> dict[str, str]:
    """`NAME=FILES` options as a mapping.

    Raises
    ------
    InputError
        If one has another form, or two have one name.
    """
    result: dict[str, str] = {}
    for item in given:
        name, equals, what = (part.strip() for part in item.partition("="))
        if not (name and equals and what):
            raise InputError(f"--rival takes NAME=FILES, such as 'U-Net of 2019=unet_*.npy'; found {item!r}")
        if name in result:
            raise InputError(f"--rival names {name!r} twice; give each a name of its own")
        result[name] = what
    return result


def batch_size_of(text: str) -> int | None:
    """Samples in one pass; None for "auto".

    Raises
    ------
    InputError
        If it is neither.
    """
    if text == "auto":
        return None
    if not text.isdigit() or int(text) < 1:
        raise InputError(f"--batch-size is a whole number from 1, or auto; found {text!r}")
    return int(text)
