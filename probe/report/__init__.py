"""One HTML file that a referee can read offline; from results alone, never from a model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from probe.contract import Result

__all__ = ["render", "write"]


def render(document: Mapping[str, Any], results: Sequence[Result]) -> str:
    """The report of a run.

    Parameters
    ----------
    document : mapping
        What `run.json` holds; whatever it lacks is left out.
    results : sequence of Result
        A probe that `document` lists but that has no result here is shown with its checks, without figures.

    Returns
    -------
    str
        A whole HTML page that loads nothing from elsewhere.
    """
    from probe.report.page import page

    return page(document, results)


def write(document: Mapping[str, Any], results: Sequence[Result], path: str | os.PathLike[str]) -> Path:
    """Write the report of a run; a report that was there stays whole until the new one is.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    from probe.store import replace_file

    target = Path(path)
    replace_file(target, render(document, results).encode())
    return target
