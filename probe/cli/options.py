"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

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
