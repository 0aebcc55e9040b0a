"""Numbers, intervals, bounds and units as they stand in a report: as many digits as mean something, units after them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from probe.intervals import Interval

_RAISED = str.maketrans("0123456789+-./", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻·ᐟ")
_MINUS = "\N{MINUS SIGN}"


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many significant digits: '0.0123', '12 300', '1.23 × 10⁻⁶'."""
    if value is None or math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "∞" if value > 0 else _MINUS + "∞"
    if float(value).is_integer() and abs(value) < 1000:
        return _fixed(value, 0)
    power = _power(value, digits)
    if _plain(power):
        return _fixed(value, digits - 1 - power)
    return f"{_fixed(value / 10.0**power, digits - 1)} × {_ten(power)}"


def interval(span: Interval) -> str:
    """'0.012 [0.010, 0.014]': as many decimals as the interval's half-width deserves; the value alone where it is exact."""
    finite = [x for x in (span.value, span.low, span.high) if math.isfinite(x)]
    if len(finite) < 3:
        return number(span.value) if math.isnan(span.value) else f"{number(span.value)} [{number(span.low)}, {number(span.high)}]"
    half = (span.high - span.low) / 2
    largest = _power(max(finite, key=abs), 3)
    if half <= abs(span.value) * 1e-5:
        return number(span.value)
    decimals = max(-math.floor(math.log10(half)), 1 - _power(span.value, 2) if span.value else 0)
    if _plain(largest):
        return "{} [{}, {}]".format(*(_fixed(x, decimals) for x in (span.value, span.low, span.high)))
    scaled = (_fixed(x / 10.0**largest, decimals + largest) for x in (span.value, span.low, span.high))
    return "({} [{}, {}]) × {}".format(*scaled, _ten(largest))


def bounds(allowed: Sequence[float | None] | None) -> str:
    """'≤ 0.02', '≥ 0.9', '0.9 … 1.1'; nothing where there is no right answer."""
    low, high = (_finite(x) for x in allowed) if allowed else (None, None)
    if low is None and high is None:
        return ""
    if low is None:
        return f"≤ {_short(high)}"
    if high is None:
        return f"≥ {_short(low)}"
    return f"= {_short(low)}" if low == high else f"{_short(low)} … {_short(high)}"


def unit(text: str) -> str:
    """A unit in plain text: '(Mpc/h)^3' becomes '(Mpc/h)³'; nothing for dimensionless."""
    raised = re.sub(r"\^\(?([+-]?\d+(?:[./]\d+)?)\)?", lambda m: m[1].translate(_RAISED), text.strip())
    return "" if raised in ("1", "dimensionless") else raised.replace("*", " ")


def duration(seconds: float | None) -> str:
    """'0.4 s', '3 min 20 s', '2 h 5 min'."""
    if seconds is None or not math.isfinite(seconds):
        return ""
    if seconds < 59.95:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def whole(count: int) -> str:
    """A whole number in groups of three digits."""
    return f"{count:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def _power(value: float, digits: int) -> int:
    # After rounding to so many digits: 0.9999 is 1.00.
    return int(f"{value:.{max(digits - 1, 0)}e}".partition("e")[2])


def _plain(power: int) -> bool:
    return -4 < power < 5


def _fixed(value: float, decimals: int) -> str:
    text = f"{round(value, decimals) + 0.0:.{max(decimals, 0)}f}"
    head, point, tail = text.lstrip("-").partition(".")
    grouped = whole(int(head)) if len(head) > 4 else head
    return (_MINUS if text.startswith("-") and float(text) else "") + grouped + point + tail


def _ten(power: int) -> str:
    return "10" + str(power).translate(_RAISED)


def _short(value: float | None) -> str:
    # Bounds are chosen, not measured: trailing zeros would claim a precision nobody meant.
    text = number(value, 4)
    head, times, tail = text.partition(" × ")
    return (head.rstrip("0").rstrip(".") if "." in head else head) + times + tail


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
