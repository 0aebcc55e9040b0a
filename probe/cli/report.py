"""`probe report`, and how a finished run is told."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from probe.cli.options import PATH, form_option
from probe.errors import printable
from probe.parameters import settings_of

if TYPE_CHECKING:
    from probe.interface import Run

FORMS = ("text", "json", "junit", "markdown")


@click.command()
@click.argument("folders", nargs=-1, required=True, type=PATH, metavar="DIR...")
@click.option("--set", "settings", multiple=True, metavar="PROBE.PARAMETER=VALUE", help="A bound to judge with.")
@click.option("--strict", is_flag=True, help="Count inconclusive checks as failed.")
@form_option(*FORMS)
def report(folders: tuple[Path, ...], settings: tuple[str, ...], strict: bool, form: str) -> None:
    """Judge and draw stored runs again, without the model."""
    from probe import interface, store
    from probe.report import write

    worst = 0
    for folder in folders:
        done = interface.reopen(folder, settings_of(settings))
        store.write_document(folder, done.document)
        write(done.document, list(done.results.values()), folder / "report.html")
        tell(done, form, strict)
        worst = max(worst, done.exit_status(strict))
    sys.exit(worst)


def tell(done: Run, form: str, strict: bool = False) -> None:
    """What a run found on standard output, in one of FORMS; on standard error what went wrong, once, and where the report lies."""
    for reason in dict.fromkeys(probe["reason"] for probe in done.document["probes"] if probe["verdict"] == "error"):
        click.echo(f"probe: {printable(reason)}", err=True)
    where = str((done.folder / "report.html").resolve()) if done.folder else ""
    click.echo(_formed(done.document, form, where, strict).rstrip("\n"))
    if where:
        click.echo(printable(f"report: {where}"), err=form != "text")


def _formed(document: dict[str, Any], form: str, where: str, strict: bool) -> str:
    from probe.report.junit import junit
    from probe.report.markdown import markdown
    from probe.report.text import summary
    from probe.store import finite

    made: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "text": lambda found: summary(found, colour=sys.stdout.isatty()),
        "json": lambda found: json.dumps(found, indent=1),
        "junit": lambda found: junit(found, strict),
        "markdown": lambda found: markdown(found, where),
    }
    return made[form](finite(document))
