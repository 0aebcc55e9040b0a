"""The parts a description is made of."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from probe.fields import Quantity
from probe.grid import Grid

AXES = ("x", "y", "z")
_CODE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def names_code(text: str) -> bool:
    """Whether a text has the form `module:object`, and so names code to be run."""
    return _CODE.fullmatch(text) is not None


@dataclass(frozen=True)
class Symmetries:
    """Which symmetries the model is held to.

    Parameters
    ----------
    translation : tuple of {"x", "y", "z"}
        Axes along which the physics is the same everywhere.
    rotation : "full", "none" or tuple of {"x", "y", "z"}
        About which axes turning changes nothing; in two dimensions the only axis is "z".
    reflection : bool
    declared : bool
        False where those of empty space are assumed because nobody said otherwise.
    """

    translation: tuple[str, ...] = AXES
    rotation: Literal["full", "none"] | tuple[str, ...] = "full"
    reflection: bool = True
    declared: bool = False


@dataclass(frozen=True)
class Truth:
    """Where right answers come from.

    Parameters
    ----------
    law : str
        "gravity", or `module:function`; empty: symmetry truths only.
    growth_ratio : float
        D(out)/D(in).
    omega_m : float or None
        Omega_m at the time of the output.
    answers : str
        An .npz of the simulator's answers to made inputs, relative to the description's file.
    """

    law: str = ""
    growth_ratio: float = 1.0
    omega_m: float | None = None
    answers: str = ""


@dataclass(frozen=True)
class DataSource:
    """Where pairs of fields lie: a folder relative to the description's file, and a pattern for each side of a pair."""

    path: str = ""
    input: str = ""
    target: str = ""


@dataclass(frozen=True)
class Description:
    """Everything known about a model that its weights do not say.

    Attributes
    ----------
    grid : Grid
    inputs, outputs : tuple of Quantity
    name : str
    factory : str
        `module:object` that builds the network.
    factory_arguments : dict
        What it is called with.
    truth : Truth
    symmetries : Symmetries
    data : DataSource
    conditioning : dict
        For each parameter of the model {"default": number, "bounds": [low, high]}.
    representation : dict
        Where the latent variables are: "encoder", "decoder" or "layer", each with a name.
    guessed : tuple of str
        One sentence for each thing that nobody said and that was assumed.
    source : str
        The file it was read from; no part of what it says.
    """

    grid: Grid
    inputs: tuple[Quantity, ...]
    outputs: tuple[Quantity, ...]
    name: str = ""
    factory: str = ""
    factory_arguments: dict[str, Any] = field(default_factory=dict)
    truth: Truth = Truth()
    symmetries: Symmetries = Symmetries()
    data: DataSource = DataSource()
    conditioning: dict[str, dict[str, Any]] = field(default_factory=dict)
    representation: dict[str, str] = field(default_factory=dict)
    guessed: tuple[str, ...] = ()
    source: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        # The axes of empty space are those that the grid has.
        along = tuple(axis for axis in self.symmetries.translation if axis in AXES[: self.grid.dimension])
        object.__setattr__(self, "symmetries", replace(self.symmetries, translation=along))

    def __hash__(self) -> int:
        return hash(self.fingerprint())

    @property
    def channels_in(self) -> int:
        """Channels of the model's input."""
        return sum(quantity.width(self.grid) for quantity in self.inputs)

    @property
    def channels_out(self) -> int:
        """Channels of the model's output."""
        return sum(quantity.width(self.grid) for quantity in self.outputs)

    @property
    def folder(self) -> Path:
        """What its relative paths are relative to."""
        return Path(self.source).parent if self.source else Path()

    @property
    def code(self) -> tuple[str, ...]:
        """The code it names, which running the model would run: `module:object` each."""
        named = [self.factory, self.truth.law, self.data.path, *self.representation.values()]
        return tuple(text for text in named if names_code(text))

    def as_dict(self) -> dict[str, Any]:
        """As plain numbers, strings, lists and dicts, for JSON."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return plain

    def fingerprint(self) -> str:
        """A hash of what it says, wherever it was read from: 64 hexadecimal digits."""
        said = {key: value for key, value in self.as_dict().items() if key not in ("source", "guessed")}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
