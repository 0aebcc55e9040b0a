"""Other answers to the same inputs, which a model's are laid beside."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from probe.description.table import Table

# What tables of results and --controls call something else.
TAKEN = (
    *("simulator", "identity", "lpt2", "linear_filter", "lpt2_filter", "untrained"),
    *("model", "judged", "truth", "rivals", "all", "none"),
)
# A name is a group in a file, stands in lists with commas and in legends.
_NAME = re.compile(r"[^\W_][^/,=$\\]*")


@dataclass(frozen=True)
class Rival:
    """One of them: answers that lie in files, or another model that is asked the same.

    Parameters
    ----------
    name : str
        What reports and --controls call it.
    answers : str or tuple of str
        Patterns of files like those of `DataSource.target`, with one answer to the input of each pair, in their order; relative to
        the description's file.
    model : str
        A checkpoint of the same inputs and outputs, with a description of its own beside it, relative to the description's file; or
        "zoo:NAME".
    """

    name: str
    answers: str | tuple[str, ...] = ""
    model: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or not self.name.isprintable() or self.name != self.name.strip():
            raise ValueError(f"a rival is named {self.name!r}; begin with a letter or digit, and use none of / , = $ and backslash")
        if self.name in TAKEN:
            raise ValueError(f"a rival is named {self.name!r}, which stands for something else already; give it another name")
        if bool(self.answers) == bool(self.model):
            raise ValueError(
                f'the rival {self.name!r} needs its answers or its model, one of the two: answers = "{self.name}_*.npy", or '
                'model = "other.pt"'
            )


def check_names(rivals: Iterable[Rival]) -> None:
    """Refuse two of one name.

    Raises
    ------
    ValueError
        If there are two.
    """
    names = [rival.name for rival in rivals]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise ValueError(f"two rivals are named {twice!r}; give each a name of its own")


def read_rival(table: Table, name: str) -> Rival:
    """From its table in a description; `name` is what it is called if it does not say so itself.

    Raises
    ------
    InputError
        If a key is unknown or of another type, or the model is `module:function`.
    ValueError
        If what is said does not go together.
    """
    model = table.text("model")
    # Its own description, found beside a checkpoint, is what may name code, if it was allowed.
    if ":" in model and not model.startswith("zoo:"):
        raise table.refuse("model", 'a checkpoint, or "zoo:NAME"')
    answers = table.texts("answers") if isinstance(table.take("answers", ""), list) else table.text("answers")
    called = table.text("name", name)
    table.done()
    return Rival(called, answers, model)
