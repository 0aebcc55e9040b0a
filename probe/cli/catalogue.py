"""`probe list` and `probe explain`: what can be asked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from probe.cli.options import model_options
from probe.errors import printable

if TYPE_CHECKING:
    from probe.model import FieldModel


@click.command("list")
@click.option("--model", help="Say which probes apply to this model, and why others do not.")
@model_options
def list_(model: str | None, **options: Any) -> None:
    """The probes there are, by suite."""
    from probe.registry import catalogue

    why: dict[str, str] = {}
    if model:
        from probe.loading import load

        why = reasons(load(model, **options))
    suite, width = "", max(map(len, catalogue()))
    for name, probe in catalogue().items():
        if probe.suite != suite:
            suite = probe.suite
            click.echo(click.style(suite, bold=True))
        reason = why.get(name, "")
        click.echo(
            f"  {name:<{width}} {probe.question()}" + (f"\n  {'':<{width}} not applicable: {printable(reason)}" if reason else "")
        )


@click.command()
@click.argument("name")
def explain(name: str) -> None:
    """What a probe asks, how it is judged, and every parameter it has."""
    from probe.registry import find

    for probe in find([name]):
        click.echo(f"{click.style(probe.name(), bold=True)}  ({probe.suite}, version {probe.version})\n{probe.question()}\n")
        click.echo(f"{probe.explanation()}\n")
        click.echo(f"{click.style('Checks', bold=True)}: {', '.join(probe.checks) or 'known when it is asked'}")
        for role in ("measurement", "judgement"):
            click.echo(click.style(f"Parameters of the {role}", bold=True))
            for parameter in probe.parameters(role).values():
                click.echo(f"  --set {probe.name()}.{parameter.name}={_shown(parameter.default)}\n      {_described(parameter)}")
        click.echo(f"\n{click.style('Controls', bold=True)}: {', '.join(probe.controls)}")
        click.echo(click.style("References", bold=True))
        for reference in probe.references:
            click.echo(f"  {reference}")


def reasons(model: FieldModel, data: Path | None = None) -> dict[str, str]:
    """Why each probe of the catalogue cannot be asked of a model; empty where it can."""
    from probe.registry import catalogue
    from probe.runner import make_pairs
    from probe.runner.subject import LocalSubject

    pairs = make_pairs(model, data)
    return {name: p().reason(LocalSubject("model", model, pairs, "default", 0, name)) for name, p in catalogue().items()}


def _shown(value: Any) -> str:
    if value is None:
        return "..."
    if isinstance(value, tuple):
        return ",".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in value)
    return str(value) or "''"


def _described(parameter: Any) -> str:
    words = [f"{parameter.help} ({parameter.kind}"]
    if parameter.unit:
        words.append(f"in {parameter.unit}")
    if parameter.low is not None or parameter.high is not None:
        low, high = ("..." if bound is None else bound for bound in (parameter.low, parameter.high))
        words.append(f"from {low} to {high}")
    return ", ".join(words) + ")"
