"""Options that several commands share, and what their texts stand for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from probe.errors import InputError

PATH = click.Path(path_type=Path)


def model_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """How a model is loaded: --spec, --factory, --trust-pickle."""
    options = (
        click.option("--spec", type=PATH, help="Description of the model, a TOML file."),
        click.option("--factory", help="`module:object` that makes the network whose weights are given."),
        click.option("--trust-pickle", is_flag=True, help="Load files that run code when they are loaded."),
    )
    for option in reversed(options):
        function = option(function)
    return function


def form_option(*forms: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """--format, as the argument `form`: what standard output holds, and nothing else."""
    return click.option("--format", "form", type=click.Choice(forms), default=forms[0], show_default=True)


def tolerance_option(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """How much worse a value may be that nothing was sampled for, as the argument `tolerance`."""
    return click.option(
        name,
        "tolerance",
        type=click.FloatRange(0, 1),
        default=0.01,
        show_default=True,
        help="Relative worsening that is let pass where nothing was sampled.",
    )


def settings_of(given: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """`probe.parameter=value` options as a mapping.

    Raises
    ------
    InputError
        If one has another form.
    """
    result: dict[str, dict[str, str]] = {}
    for item in given:
        place, equals, value = item.partition("=")
        probe, dot, parameter = place.partition(".")
        if not (equals and dot and probe and parameter):
            raise InputError(f"--set takes PROBE.PARAMETER=VALUE; found {item!r}")
        result.setdefault(probe, {})[parameter] = value
    return result


def batch_size_of(text: str) -> int | None:
    """Samples in one pass; None for "auto".

    Raises
    ------
    InputError
        If it is neither.
    """
    if text == "auto":
        return None
    if not text.isdigit() or int(text) < 1:
        raise InputError(f"--batch-size is a whole number from 1, or auto; found {text!r}")
    return int(text)
