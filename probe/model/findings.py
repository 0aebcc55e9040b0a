"""What is found out about a model by running it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from probe.model.receptive_field import ReceptiveField


@dataclass(frozen=True)
class LayerKind:
    """Layers of one class: how many, and the parameters that are their own."""

    name: str
    count: int
    parameters: int


@dataclass(frozen=True)
class Sizes:
    """What the network gives back for what it is given.

    Attributes
    ----------
    given, answered : tuple of int
        Sides of the grid that the network itself is handed on the described one, padding of the suite included, and of its answer.
    lost : tuple of int
        Cells a side that are missing from the answer.
    taken, refused : tuple of tuple of int
        Grids near the described one that it answers with finite numbers on the same grid, and those that it does not.
    step : int or None
        The smallest change of all sides, tried both up and down, that it takes; None where there is none.
    """

    given: tuple[int, ...]
    answered: tuple[int, ...]
    lost: tuple[int, ...]
    taken: tuple[tuple[int, ...], ...]
    refused: tuple[tuple[int, ...], ...]
    step: int | None


@dataclass(frozen=True)
class Batching:
    """Samples at once.

    Attributes
    ----------
    taken, refused : tuple of int
        Out of 1, 2, 3 and 8; those too large to be tried are in neither.
    neighbours_matter : bool or None
        Whether the answer to a sample depends on what else is in its batch; None where no two are taken.
    """

    taken: tuple[int, ...]
    refused: tuple[int, ...]
    neighbours_matter: bool | None


@dataclass(frozen=True)
class Repetition:
    """The same input again.

    Attributes
    ----------
    same : bool
        Whether two answers in a row agree in every bit.
    difference : float
        Root mean square between them, over that of the first.
    keeps_state : bool or None
        Whether an answer to something else in between changes it; None for a model that is random anyway.
    """

    same: bool
    difference: float
    keeps_state: bool | None


@dataclass(frozen=True)
class Gradients:
    """Of a random weighting of the answer.

    Attributes
    ----------
    reach_input, finite : bool
        Whether they get to the input; whether all are finite numbers.
    without : tuple of str
        Trainable parameters that get none, or zeros alone.
    frozen : int
        Parameters that are not trainable.
    """

    reach_input: bool
    finite: bool
    without: tuple[str, ...]
    frozen: int


@dataclass(frozen=True)
class Answer:
    """The answer to one kind of input: its root mean square, None where it is not finite."""

    input: str
    rms: float | None


@dataclass(frozen=True)
class Cost:
    """One sample on the described grid, without gradients: seconds, and bytes of the tensors made on the way at their most."""

    seconds: float
    bytes: int


@dataclass(frozen=True)
class Examination:
    """What is found out about a model by running it; a part that could not be found out is None or empty, and told in `faults`.

    Attributes
    ----------
    network, device, dtype : str
    parameters : int
    layers : tuple of LayerKind
    fault : str
        Why probes cannot ask it as it stands; empty where they can.
    writes_into_input : bool
    stride, padding : int
        Total stride; cells of periodic copies that the suite adds on each side.
    sizes, receptive_field, batching, repetition, gradients, answers, cost
    notes : tuple of str
        What had to be done differently to run it.
    faults : tuple of str
        One sentence for each part that raised.
    """

    network: str
    device: str
    dtype: str
    parameters: int
    layers: tuple[LayerKind, ...]
    fault: str
    writes_into_input: bool
    stride: int
    padding: int
    sizes: Sizes | None
    receptive_field: ReceptiveField | None
    batching: Batching | None
    repetition: Repetition | None
    gradients: Gradients | None
    answers: tuple[Answer, ...]
    cost: Cost | None
    notes: tuple[str, ...]
    faults: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return asdict(self)
