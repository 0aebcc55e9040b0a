"""How to load a model again in another process."""

from __future__ import annotations

from dataclasses import dataclass

from probe.description import Description


@dataclass(frozen=True)
class Recipe:
    """All that another process needs to load the same model: small, picklable, hashable.

    Attributes
    ----------
    source : str
        Path of a checkpoint, `module:function`, or `zoo:NAME`.
    description : Description or None
        None where it is guessed, or comes with the zoo.
    factory : str
        `module:object` that builds the network; empty where the description's serves, or none is needed.
    folder : str
        Where code is looked for first.
    sha256 : str
        Of the file; a file that has changed since is refused. Empty: not held to any.
    trust_pickle : bool
    device : str
    batch_size : int or None
    parameters : tuple of (str, float)
        The conditioning, where it is not the description's default.
    untrained_seed : int or None
        The untrained twin under this seed instead of the model itself.
    double : bool
        In float64.
    """

    source: str
    description: Description | None = None
    factory: str = ""
    folder: str = ""
    sha256: str = ""
    trust_pickle: bool = False
    device: str = "auto"
    batch_size: int | None = None
    parameters: tuple[tuple[str, float], ...] = ()
    untrained_seed: int | None = None
    double: bool = False
