"""Scalars of a model's answer, written as text: what an answer is attributed to, or what is made as large as it can be.

    voxel(4, 5, 6)           one component of a field at one grid point; without numbers, in the middle of the box
    voxel(peak)              at the highest point of the sample's own input (of a displacement: of its overdensity)
    voxel(void)              at the lowest
    region(4, 5, 6, radius=3)
                             the mean over the points within a distance, in cells
    divergence(4, 5, 6)      of a vector field at a point
    overdensity(4, 5, 6)     of a displacement at a point: -div psi
    mean                     over the box
    power(3)                 in the third shell of |k|; without a number the mean square over all points
    error(3)                 power of answer minus truth in that shell; without a number the mean square
    number(Omega_m)          an output that is a number, by name or place
    latent(0)                a latent variable of the model

The name of an output quantity and an axis may stand beside the numbers: `voxel(4, 5, 6, psi, y)`; without them it is the first
field and the first axis. Divergences are central differences over the two neighbours along each axis, whose weight at |k| along an
axis is sin(k h)/(k h) of the derivative: a spectral derivative is made of all points of a line, and no target at a point would be
local.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields

from probe.errors import InputError
from probe.parameters import nearest

LOCAL = ("voxel", "region", "divergence", "overdensity")
KINDS = (*LOCAL, "mean", "power", "error", "number", "latent")
AXES = ("x", "y", "z")
EXTREMES = ("peak", "void")
RADIUS = 2.0  # cells


@dataclass(frozen=True)
class Target:
    """A scalar of a model's answer; `str` gives the text that it is written as.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    place : tuple of int
        Grid point that a local one is about; empty for the middle of the box.
    at : {"", "peak", "void"}
        Or the highest or lowest point of each sample's input.
    index : int or None
        Shell, counted from 1, of `power` and `error`; of `number` and `latent` its place.
    name, axis : str
        Output quantity and component; empty for the first field and the first axis.
    radius : float
        Of a region, in cells.
    """

    kind: str
    place: tuple[int, ...] = ()
    at: str = ""
    index: int | None = None
    name: str = ""
    axis: str = ""
    radius: float = RADIUS

    def __str__(self) -> str:
        index = () if self.index is None else (self.index,)
        plain = re.fullmatch(r"[^\W\d]\w*", self.name) and self.name not in (*AXES, *EXTREMES)
        words = [*map(str, (*self.place, *index)), self.at, self.name if plain or not self.name else f"name={self.name}", self.axis]
        words += [f"radius={self.radius:g}"] if self.kind == "region" else []
        told = ", ".join(word for word in words if word)
        return f"{self.kind}({told})" if told else self.kind

    @property
    def is_local(self) -> bool:
        """Whether it is about one place of the answer."""
        return self.kind in LOCAL


def parse(text: str) -> Target:
    """The target that a text stands for.

    Raises
    ------
    InputError
        With the nearest word, if there is no such target.
    """
    if len(_items(text)) > 1:
        raise InputError(f"{text!r} names {len(_items(text))} targets; give one")
    found = re.fullmatch(r"\s*(\w+)\s*(?:\((.*)\))?\s*", text, re.DOTALL)
    if found is None or found[1] not in KINDS:
        word = found[1] if found else text
        raise InputError(
            f"{text!r} is no target{nearest(word, KINDS)}; one is {', '.join(KINDS)}, as in voxel(4, 5, 6) or power(3)"
        )
    kind, numbers, said = found[1], list[int](), dict[str, str]()
    for word in (w.strip() for w in (found[2] or "").split(",")):
        if re.fullmatch(r"[+-]?\d+", word):
            numbers.append(int(word))
        elif word:
            key, equals, value = word.rpartition("=")
            key = key.strip() if equals else "at" if word in EXTREMES else "axis" if word in AXES else "name"
            if key in said:
                raise InputError(f"{text!r} says its {key} twice; say it once")
            said[key] = value.strip()
    return _checked(_target(kind, numbers, said, text), text)


def _target(kind: str, numbers: Sequence[int], said: dict[str, str], text: str) -> Target:
    known = [field.name for field in fields(Target) if field.name in ("at", "name", "axis", "radius")]
    for key in said:
        if key not in known:
            raise InputError(f"{text!r}: there is no {key!r}{nearest(key, known)}; a target takes {', '.join(known)}")
    try:
        radius = float(said.get("radius", RADIUS))
    except ValueError:
        raise InputError(f"{text!r}: the radius is a number of cells") from None
    at, name, axis = (said.get(key, "") for key in ("at", "name", "axis"))
    if kind == "number" and axis and not name:
        name, axis = axis, ""  # a number has no axes, and may be called x
    if kind in LOCAL:
        return Target(kind, tuple(numbers), at, None, name, axis, radius)
    if len(numbers) > 1:
        raise InputError(f"{text!r} holds {len(numbers)} numbers; {kind} takes one")
    return Target(kind, (), at, numbers[0] if numbers else None, name, axis, radius)


def _checked(target: Target, text: str) -> Target:
    faults = {
        f"an axis is one of {', '.join(AXES)}": target.axis not in ("", *AXES),
        f"a place is {' or '.join(EXTREMES)}, or a grid point": target.at not in ("", *EXTREMES),
        "give a grid point or a word for it, not both": bool(target.at and target.place),
        f"{target.kind} is about no place": bool(target.at) and not target.is_local,
        f"{target.kind} takes no radius": target.radius != RADIUS and target.kind != "region",
        "the radius is a number of cells from 0": not 0 <= target.radius < math.inf,
        "shells are counted from 1": target.kind in ("power", "error") and target.index is not None and target.index < 1,
        "places are counted from 0": target.kind in ("number", "latent") and (target.index or 0) < 0,
    }
    for fault, present in faults.items():
        if present:
            raise InputError(f"{text!r}: {fault}")
    return target


def parse_all(text: str) -> tuple[Target, ...]:
    """The targets of a list, each once, separated by commas outside of brackets, or by semicolons.

    Raises
    ------
    InputError
        If one of them is no target.
    """
    return tuple(dict.fromkeys(parse(item) for item in _items(text)))


def _items(text: str) -> list[str]:
    if text.count("(") != text.count(")"):
        raise InputError(f"{text!r} has a bracket without its other; a target is written as in voxel(4, 5, 6)")
    return [item for item in re.split(r"[;,]\s*(?![^(]*\))", text) if item.strip()]


def in_words(target: Target) -> str:
    """What it is, as a sentence may go on after 'of'."""
    of = f" of {target.name}" if target.name and target.kind != "number" else ""
    where = {"peak": "the input's highest point", "void": "the input's lowest point"}.get(target.at, "")
    where = where or (f"the point {target.place}" if target.place else "the middle of the box")
    shell = f"in shell {target.index}" if target.index is not None else "of all points"
    part = f"the component {target.axis}" if target.axis else "the answer"
    return {
        "voxel": f"{part}{of} at {where}",
        "region": f"the mean of {part}{of} within {target.radius:g} cells of {where}",
        "divergence": f"the divergence{of} at {where}",
        "overdensity": f"the overdensity -div{of} at {where}",
        "mean": f"the mean of {part}{of}",
        "power": f"the power{of} {shell}" if target.index is not None else f"the mean square{of} {shell}",
        "error": f"the error power{of} {shell}" if target.index is not None else f"the mean squared error{of} {shell}",
        "number": f"the number {target.name or (target.index or 0)}",
        "latent": f"the latent variable {target.index or 0}",
    }[target.kind]
