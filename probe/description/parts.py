"""The parts a description is made of."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from probe.description.representation import Representation
from probe.description.rival import Rival, check_names
from probe.fields import Quantity
from probe.grid import Grid

AXES = ("x", "y", "z")
# Of a description without a network: no field is ever put on it.
NOWHERE = Grid((2,), (2.0,), "", "none")
_FILES = ("csv", "npy", "npz", "h5", "hdf5", "hdf", "he5", "nc", "nc4", "cdf", "pt", "pth", "zarr", "fits", "fit", "fts")
_CODE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def names_code(text: str) -> bool:
    """Whether a text has the form `module:object`, and so names code to be run."""
    return _CODE.fullmatch(text) is not None


def names_function(text: str) -> bool:
    """The same where a file and an array in it may stand too: "haloes.npz:mass" names no code."""
    return names_code(text) and text.partition(":")[0].rpartition(".")[2].lower() not in _FILES


@dataclass(frozen=True)
class Symmetries:
    """Which symmetries the model is held to.

    Parameters
    ----------
    translation : tuple of {"x", "y", "z"}
        Axes along which the physics is the same everywhere.
    rotation : "full", "none" or tuple of {"x", "y", "z"}
        About which axes turning changes nothing; in two dimensions the only axis is "z".
    reflection : bool or tuple of {"x", "y", "z"}
        Whether mirroring changes nothing; a tuple holds the axes along which it does not.
    declared : bool
        False where those of empty space are assumed because nobody said otherwise.
    """

    translation: tuple[str, ...] = AXES
    rotation: Literal["full", "none"] | tuple[str, ...] = "full"
    reflection: bool | tuple[str, ...] = True
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


LAWS = ("zero_mean", "conserved_mean", "positive", "divergence_free", "curl_free")


@dataclass(frozen=True)
class Constraints:
    """Laws that the answer keeps whatever the input, beside those that its quantities imply.

    Parameters
    ----------
    zero_mean, conserved_mean, positive : tuple of str
        Outputs, by name, whose mean over the box is zero; is that of the input of the same kind, quantity and unit; that are
        nowhere below zero.
    divergence_free, curl_free : tuple of str
        Vectors among the outputs.
    residual : str
        `module:function` called as `residual(given, answer, **parameters)` on arrays (batch, channel, *grid) in physical units. It
        gives the terms of an equation, whose sum is zero where the law is kept: a tuple of arrays.
    """

    zero_mean: tuple[str, ...] = ()
    conserved_mean: tuple[str, ...] = ()
    positive: tuple[str, ...] = ()
    divergence_free: tuple[str, ...] = ()
    curl_free: tuple[str, ...] = ()
    residual: str = ""

    def check(self, inputs: tuple[Quantity, ...], outputs: tuple[Quantity, ...]) -> None:
        """Refuse what no output can keep.

        Raises
        ------
        ValueError
            If a name is no output's, a derivative is asked of one that is no vector, or there is no input whose mean is kept.
        """
        known, given = {q.name: q for q in outputs}, {(q.kind, q.quantity, q.unit) for q in inputs}
        for key in LAWS:
            for name in getattr(self, key):
                if name not in known:
                    raise ValueError(f"constraints.{key} names {name!r}, which is no output; the outputs are {', '.join(known)}")
                one = known[name]
                if key.endswith("_free") and not one.is_vector:
                    raise ValueError(f"constraints.{key} names {name!r}, a {one.kind}; it takes vectors")
                if key == "conserved_mean" and (one.kind, one.quantity, one.unit) not in given:
                    raise ValueError(f"constraints.{key} names {name!r}, and no input is of its kind, quantity and unit")


@dataclass(frozen=True)
class Call:
    """How the network is called.

    Parameters
    ----------
    inputs : {"channels", "arguments", "keywords", "list", "dict", "time"}
        One tensor of all channels; or each quantity by itself: as arguments in order, as keywords by name, in one list, in one
        dict; or stacked along an axis of time that follows the channels.
    channels : {"first", "last"}
        Where the network has its channel axis.
    parameters : {"keywords", "arguments", "vector", "channels", "none"}
        The conditioning: each a keyword or a further argument of shape (batch,), all one further argument (batch, n), or
        further channels that are the same at every point; or not for the network, but for the normalisation alone.
    output : str or int
        Which item of a tuple (by place) or dict (by name) is the answer; empty: the network gives one tensor.
    residual : bool
        The network's answer, in physical units, is what is to be added to the first channels of its input.
    """

    inputs: str = "channels"
    channels: str = "first"
    parameters: str = "keywords"
    output: str | int = ""
    residual: bool = False


INPUTS = ("channels", "arguments", "keywords", "list", "dict", "time")
PARAMETERS = ("keywords", "arguments", "vector", "channels", "none")


@dataclass(frozen=True)
class DataSource:
    """Where pairs of fields lie, and what belongs to them.

    Parameters
    ----------
    path : str
        A folder or file relative to the description's; or `module:function`: called without arguments it gives (inputs, targets),
        each (pair, channel, *grid).
    input, target : str or tuple of str
        Of each side of a pair a pattern of files, and behind a colon which array of the file: "run_*.h5:/fields/za". Several are
        one for each quantity or one for each channel.
    channels : {"first", "last"}
        Where the files have their axis of channels.
    parameters, quantities : str
        Tables with a row for each pair: values of the conditioning, and physical quantities beside the fields. The latter may be
        `module:function` too: called without arguments it gives a dict of arrays.
    categorical : tuple of str
        Quantities whose whole numbers are names; those of words are so by themselves.
    units : dict of str to str
        Of the quantities.
    coordinates : dict of str to dict
        Of each quantity that is a curve, what it runs along: "name", "unit", and "values", numbers or the name of a column.
    """

    path: str = ""
    input: str | tuple[str, ...] = ""
    target: str | tuple[str, ...] = ""
    channels: str = "first"
    parameters: str = ""
    quantities: str = ""
    categorical: tuple[str, ...] = ()
    units: dict[str, str] = field(default_factory=dict)
    coordinates: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Cosmology:
    """Another universe, or another setting of whatever made the data: what differs there, and pairs that were made there.

    Parameters
    ----------
    name : str
    amplitude : float
        Power of the inputs (A_s of the linear field) over that of the training data. Without pairs the inputs are the model's own
        times its root.
    input, target : str or tuple of str
        Patterns as those of `DataSource`, relative to the description's file; empty: there are no pairs.
    input_factor : float
        What the stored inputs are multiplied with.
    parameters : dict of str to float
        Conditioning of the model there; what is not named keeps its default.
    growth_ratio, omega_m : float or None
        Of the truth there; None: those of `Truth`.
    """

    name: str
    amplitude: float = 1.0
    input: str | tuple[str, ...] = ""
    target: str | tuple[str, ...] = ""
    input_factor: float = 1.0
    parameters: dict[str, float] = field(default_factory=dict)
    growth_ratio: float | None = None
    omega_m: float | None = None


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
    weights : str
        Which set of weights of a checkpoint that holds several: a dotted path in it.
    adapter : str
        `module:function` that calls the network where `call` does not suffice: `adapter(network, values, **parameters)`, from
        (batch, channel, *grid) to the same, both as the network sees them.
    call : Call
    truth : Truth
    symmetries : Symmetries
    constraints : Constraints
    data : DataSource
    cosmologies : tuple of Cosmology
    rivals : tuple of Rival
        Other answers to the inputs of its pairs, which its own are laid beside; no part of what it says of the model.
    conditioning : dict
        For each parameter of the model {"default": number, "bounds": [low, high]}.
    representation : Representation
        Where the latent variables are.
    guessed : tuple of str
        One sentence for each thing that was taken from the weights and that nobody confirmed.
    assumed : tuple of str
        One for each thing that the description leaves out and that has a default; no part of what it says.
    source : str
        The file it was read from; no part of what it says.
    """

    grid: Grid
    inputs: tuple[Quantity, ...]
    outputs: tuple[Quantity, ...]
    name: str = ""
    factory: str = ""
    factory_arguments: dict[str, Any] = field(default_factory=dict)
    weights: str = ""
    adapter: str = ""
    call: Call = Call()
    truth: Truth = Truth()
    symmetries: Symmetries = Symmetries()
    constraints: Constraints = Constraints()
    data: DataSource = DataSource()
    cosmologies: tuple[Cosmology, ...] = ()
    rivals: tuple[Rival, ...] = ()
    conditioning: dict[str, dict[str, Any]] = field(default_factory=dict)
    representation: Representation = field(default_factory=Representation)
    guessed: tuple[str, ...] = ()
    assumed: tuple[str, ...] = field(default=(), compare=False)
    source: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        # The axes of empty space are those that the grid has.
        along = tuple(axis for axis in self.symmetries.translation if axis in AXES[: self.grid.dimension])
        object.__setattr__(self, "symmetries", replace(self.symmetries, translation=along))
        for quantity in (*self.inputs, *self.outputs):
            quantity.constants(self.grid)
            for name in quantity.growth or ():
                if isinstance(name, str) and name not in self.conditioning:
                    raise ValueError(f"{quantity.name!r} grows with {name!r}, which is no parameter; add it to [conditioning]")
        self.constraints.check(self.inputs, self.outputs)
        self._check_cosmologies()
        check_names(self.rivals)
        if self.has_network and all(quantity.is_number for quantity in self.inputs):
            raise ValueError("no input is a field; what is put in as a number alone belongs into [conditioning]")
        if self.call.residual and self.channels_out > self.channels_in:
            raise ValueError(
                f"call.residual adds the answer to the input, and {self.channels_out} channels out are more than "
                f"{self.channels_in} in; leave it out, or add in an adapter"
            )

    def __hash__(self) -> int:
        return hash(self.fingerprint())

    def _check_cosmologies(self) -> None:
        names = [cosmology.name for cosmology in self.cosmologies]
        for cosmology in self.cosmologies:
            if names.count(cosmology.name) > 1:
                raise ValueError(f"two cosmologies are named {cosmology.name!r}; give each a name of its own")
            for name in cosmology.parameters:
                if name not in self.conditioning:
                    raise ValueError(f"cosmology {cosmology.name!r} sets {name!r}, which is no parameter; add it to [conditioning]")

    @property
    def has_network(self) -> bool:
        """Whether there is a network; else what it describes are latent variables that were recorded, on no grid at all."""
        return bool(self.inputs or self.outputs or not self.representation.mean)

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
    def beside(self) -> str:
        """The folder it was read from, where code that it names may lie; empty where it was read from none."""
        return str(self.folder) if self.source else ""

    @property
    def code(self) -> tuple[str, ...]:
        """The code it names, which running the model would run: `module:object` each."""
        transforms = (quantity.transform for quantity in (*self.inputs, *self.outputs))
        places = (self.factory, self.adapter, self.truth.law, self.constraints.residual, self.data.path)
        where = self.representation
        named = [*places, *transforms, where.encoder, where.decoder]
        filed = (where.mean, where.std, self.data.quantities)
        return (*filter(names_code, named), *filter(names_function, filed))

    def plain(self, name: str = "") -> Description:
        """The same physics for a function of physical values: nothing of how a network is called or normalised."""

        def bare(quantities: tuple[Quantity, ...]) -> tuple[Quantity, ...]:
            return tuple(replace(q, shift=0.0, scale=1.0, growth=None, transform="") for q in quantities)

        sides = {"inputs": bare(self.inputs), "outputs": bare(self.outputs)}
        return replace(self, **sides, name=name or self.name, adapter="", call=Call(), conditioning={}, cosmologies=(), rivals=())  # type: ignore[arg-type]

    def as_dict(self) -> dict[str, Any]:
        """As plain numbers, strings, lists and dicts, for JSON, by the keys of a file."""
        # Adding 0 takes the sign off -0.0, which equals 0.0 and is written as it.
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str), parse_float=lambda text: float(text) + 0.0)
        singular = {"inputs": "input", "outputs": "output", "cosmologies": "cosmology", "rivals": "rival"}
        plain["grid"] = plain["grid"] if self.has_network else {}
        return {singular.get(key, key): value for key, value in plain.items()}

    def fingerprint(self) -> str:
        """A hash of what it says, wherever it was read from: 64 hexadecimal digits."""
        said = {key: value for key, value in self.as_dict().items() if key not in ("source", "guessed", "assumed", "rival")}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
