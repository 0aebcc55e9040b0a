"""Where the latent variables of a model are."""

from __future__ import annotations

from dataclasses import dataclass, fields

from probe.description.table import Table, is_number

GIVES = ("mean", "std", "log_std", "variance", "log_variance")
PRIORS = ("normal", "none")


@dataclass(frozen=True)
class Representation:
    """Where the latent variables of a model are: an encoder gives them, a layer holds them, or they were recorded.

    Parameters
    ----------
    encoder : str
        Dotted name of a submodule or of a method of the network, or `module:function`, called as
        `function(network, values, **conditioning)` on (batch, channel, *grid) as the network sees them.
    gives : tuple of {"mean", "std", "log_std", "variance", "log_variance"}
        What it gives: items of a tuple, or equal blocks of the channels of one tensor, in order. Empty: one tensor, the mean.
    decoder : str
        What makes the answer of them: a submodule, a method, or `module:function`, called as
        `function(network, latents, **conditioning)` on (batch, latent). Empty: the network itself, the answer of a submodule that
        encodes being replaced.
    layer : str
        Of a network without an encoder: dotted name of a submodule, whose principal components are the latent variables.
    components : int
        How many of them are kept; 0: those that hold 95 % of the variance, eight at most.
    mean, std : str
        Latent variables that were recorded, (sample, latent): a file relative to the description's, behind a colon the name of an
        array in it, or `module:function` without arguments that gives the array.
    names : tuple of str
        What the latent variables are called.
    prior : {"normal", "none"}
        What each was drawn towards in training: N(0, 1), or nothing.
    """

    encoder: str = ""
    gives: tuple[str, ...] = ()
    decoder: str = ""
    layer: str = ""
    components: int = 0
    mean: str = ""
    std: str = ""
    names: tuple[str, ...] = ()
    prior: str = "normal"

    def __post_init__(self) -> None:
        where = [key for key in ("encoder", "layer", "mean") if getattr(self, key)]
        if len(where) > 1:
            raise ValueError(f"representation says {' and '.join(where)}, each of which gives latent variables; keep one")
        if twice := [name for name in self.names if self.names.count(name) > 1]:
            raise ValueError(f"representation.names names {twice[0]!r} twice; give each latent variable a name of its own")
        if len(self.gives) != len(set(self.gives)):
            raise ValueError(f"representation.gives names one thing twice ({', '.join(self.gives)}); name each once")
        if len(spreads := [word for word in self.gives if word != "mean"]) > 1:
            raise ValueError(f"representation.gives names {' and '.join(spreads)}, which say the same; one is enough")
        if self.gives and "mean" not in self.gives:
            raise ValueError("representation.gives names no mean; say what the encoder gives, in order")

    def __bool__(self) -> bool:
        return bool(self.encoder or self.layer or self.mean)

    def stated(self) -> dict[str, object]:
        """What has not its default value, by the keys of a file."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}


def read_representation(table: Table) -> Representation:
    """From its table in a description.

    Raises
    ------
    InputError
        If a key is unknown or of another type.
    ValueError
        If what is said does not go together.
    """
    gives, components = table.texts("gives"), table.take("components", 0)
    if any(word not in GIVES for word in gives):
        raise table.refuse("gives", "a list out of " + ", ".join(f'"{word}"' for word in GIVES))
    if not is_number(components) or not isinstance(components, int) or components < 0:
        raise table.refuse("components", "a whole number of principal components")
    texts = {key: table.text(key) for key in ("encoder", "decoder", "layer", "mean", "std")}
    found = Representation(
        **texts, gives=gives, components=components, names=table.texts("names"), prior=table.text("prior", "normal", PRIORS)
    )
    table.done()
    return found
