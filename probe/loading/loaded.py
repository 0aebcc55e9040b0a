"""The record of which weights of a file went into a network."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Loaded:
    """Where a network's weights were found, and what was done to them.

    Attributes
    ----------
    taken_from : str
        Dotted place of their dictionary in the file; empty: the file itself.
    prefix : str
        What was taken off every name, such as "module.".
    wrappers : tuple of str
        What was taken out of the middle of names, such as "_orig_mod.".
    tensors, unused : int
        How many were taken, and how many of the same dictionaries were neither that nor among the others.
    also_there : tuple of str
        Other places in the file whose weights would have fitted.
    converted : tuple of str
        Such as "float16 to float32": from the file to the network.
    left_out : tuple of str
        Classes named in the file that were not made.
    """

    taken_from: str = ""
    prefix: str = ""
    wrappers: tuple[str, ...] = ()
    tensors: int = 0
    unused: int = 0
    also_there: tuple[str, ...] = ()
    converted: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As plain values for JSON, without what is empty."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items() if value}

    def sentences(self) -> tuple[str, ...]:
        """What a user should know: that there was a choice, that much of the file was not used, and that numbers were rounded."""
        chosen = ".".join(filter(None, (self.taken_from, self.prefix.rstrip(".")))) or "the file itself"
        others = ", ".join(self.also_there)
        said = {
            f"the weights were taken from {chosen}; those of {others} would fit too: choose by `weights` in a description": others,
            f"{self.tensors} tensors were taken from {chosen}, and {self.unused} beside them not used": self.unused > self.tensors,
        }
        said |= {f"the weights were rounded from {pair}": _loses_digits(*pair.split(" to ")) for pair in self.converted}
        return tuple(sentence for sentence, holds in said.items() if holds)


def _loses_digits(found: str, own: str) -> bool:
    return torch.finfo(getattr(torch, found)).eps < torch.finfo(getattr(torch, own)).eps
