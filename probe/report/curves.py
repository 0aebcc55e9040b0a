"""Curves of an SVG with no more points than the eye can tell apart, each written as its step from the one before."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import lazy_loader as lazy

if TYPE_CHECKING:
    from numpy import ndarray

np = lazy.load("numpy")

# Points of 1/72 inch: half of what matplotlib itself leaves out of lines; outlines of filled areas it writes in full.
TOLERANCE = 0.05
_STEP = 100  # the parts of a point that are written
_LINE = re.compile(r"M(-?[\d.]+) (-?[\d.]+)((?:L-?[\d.]+ -?[\d.]+)+)(z?)")


def thinned(path: str) -> str:
    """What the attribute `d` of a path says, in fewer words: its polylines are nowhere further off than TOLERANCE.

    Parameters
    ----------
    path : str
        Absolute commands, as matplotlib writes them; curves of Bézier stay as they are.
    """
    return _LINE.sub(lambda line: _written(line[1], line[2], line[3]) + line[4], path)


def _written(x: str, y: str, rest: str) -> str:
    points = np.array([[float(x), float(y)], *(pair.split() for pair in rest[1:].split("L"))], dtype=float)
    steps = np.rint(points[kept(points)] * _STEP).astype(int)
    start, moves = steps[0], np.diff(steps, axis=0)
    line = " ".join(f"{_number(dx)} {_number(dy)}" for dx, dy in moves).replace(" -", "-")
    return f"M{_number(start[0])} {_number(start[1])}l{line}"


def _number(parts: int) -> str:
    """Hundredths as a number: -5 is '-.05'."""
    text = f"{parts / _STEP:.2f}".rstrip("0").rstrip(".")
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


# The point that is farthest from the chord of a stretch is kept where it is farther than the tolerance, and both halves are looked
# at in turn (Ramer 1972, Comput. Graph. Image Process. 1, 244; Douglas & Peucker 1973, Cartographica 10, 112). Distances are to the
# chord as a segment: an outline comes back to where it began.
def kept(points: ndarray, tolerance: float = TOLERANCE) -> ndarray:
    """Which points of a polyline to keep so that the others are not farther from it than the tolerance: (n, 2) -> (n,) of bool."""
    keep = np.zeros(len(points), dtype=bool)
    keep[[0, -1]] = True
    stretches = [(0, len(points) - 1)]
    while stretches:
        first, last = stretches.pop()
        if last - first < 2:
            continue
        chord, inner = points[last] - points[first], points[first + 1 : last] - points[first]
        along = np.clip(inner @ chord / max(float(chord @ chord), 1e-300), 0, 1)
        far = np.hypot(*(inner - along[:, None] * chord).T)
        place = first + 1 + int(far.argmax())
        if far.max() > tolerance:
            keep[place] = True
            stretches += [(first, place), (place, last)]
    return keep
