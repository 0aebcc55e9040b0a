"""What is raised when the trouble is in what was given, not in the program; and text from outside made safe to show."""

from __future__ import annotations

import re

# Control characters act on a terminal; marks of direction reorder a line; half a surrogate cannot be written at all.
_ACTING = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
_LONGEST = 1000


class InputError(Exception):
    """Bad input, told in one sentence: what was found, what was expected, what to do."""

    def __str__(self) -> str:
        return printable(super().__str__())


def printable(text: object, keep: str = "", longest: int | None = _LONGEST) -> str:
    """Text that may come from a file or a model, as it may go to a terminal or a page.

    Parameters
    ----------
    text : object
        What `str` makes of it.
    keep : str
        Control characters to leave as they are, such as line ends.
    longest : int or None
        What is longer loses its middle; None: kept whole.
    """
    said = str(text)
    if longest is not None and len(said) > longest:
        said = f"{said[: longest * 2 // 3]} ... {said[-longest // 3 :]}"
    return _ACTING.sub(
        lambda found: found[0] if found[0] in keep else " " if found[0].isspace() else "\N{REPLACEMENT CHARACTER}", said
    )
