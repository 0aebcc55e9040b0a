"""`probe report`, and how a finished run is told."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from probe.cli.options import PATH, form_option, settings_of
from probe.errors import printable

if TYPE_CHECKING:
    from probe.interface import Run


@click.command()
@click.argument("folders", nargs=-1, required=True, type=PATH, metavar="DIR...")
@click.option("--set", "settings", multiple=True, metavar="PROBE.PARAMETER=VALUE", help="A bound to judge with.")
@click.option("--strict", is_flag=True, help="Count inconclusive checks as failed.")
@form_option
def report(folders: tuple[Path, ...], settings: tuple[str, ...], strict: bool, form: str) -> None:
    """Judge and draw stored runs again, without the model."""
    from probe import interface, store
    from probe.report import write

    worst = 0
    for folder in folders:
        done = interface.reopen(folder, settings_of(settings))
        store.write_document(folder, done.document)
        write(done.document, list(done.results.values()), folder / "report.html")
        tell(done, form)
        worst = max(worst, done.exit_status(strict))
    sys.exit(worst)


def tell(done: Run, form: str) -> None:
    """The verdicts of a run on standard output, as text or as JSON; on standard error what went wrong, once."""
    for reason in dict.fromkeys(probe["reason"] for probe in done.document["probes"] if probe["verdict"] == "error"):
        click.echo(f"probe: {printable(reason)}", err=True)
    if form == "json":
        import json

        from probe.store import finite

        click.echo(json.dumps(finite(done.document), indent=1))
        return
    from probe.report.text import summary

    click.echo(summary(done.document, colour=sys.stdout.isatty()))
    if done.folder:
        click.echo(printable(f"report: {(done.folder / 'report.html').resolve()}"))
