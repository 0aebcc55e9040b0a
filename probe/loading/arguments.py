"""How a model is named on the command line."""

from __future__ import annotations

import shlex
from dataclasses import dataclass


@dataclass(frozen=True)
class ModelArguments:
    """A model and how it is to be loaded, as `load` takes them and the command line spells them.

    Attributes
    ----------
    source : str
        A checkpoint, `module:function`, or `zoo:NAME`.
    spec, factory : str or None
    trust_pickle : bool
    """

    source: str
    spec: str | None = None
    factory: str | None = None
    trust_pickle: bool = False

    def command(self, words: str) -> str:
        """A command on this model as it is typed, such as "run all --model" or "init"."""
        options = [word for key, value in (("--factory", self.factory), ("--spec", self.spec)) if value for word in (key, value)]
        return shlex.join(["probe", *words.split(), self.source, *options, *(["--trust-pickle"] if self.trust_pickle else [])])
