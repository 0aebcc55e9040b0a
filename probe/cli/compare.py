"""`probe compare`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from probe.cli.options import PATH, form_option, tolerance_option
from probe.errors import InputError


@click.command()
@click.argument("folders", nargs=-1, required=True, type=PATH, metavar="DIR DIR...")
@form_option("text", "json", "markdown")
@tolerance_option("--tolerance")
def compare(folders: tuple[Path, ...], form: str, tolerance: float) -> None:
    """Compare stored runs with the first of them, without any model.

    Exit status: 1 if a check is significantly worse than in the first run, or no longer judged; 2 if nothing could be compared.
    """
    from probe import baseline, store
    from probe.report import side

    if len(folders) < 2 or len(set(folders)) < len(folders):
        raise InputError(f"compare takes two or more folders of runs, each once; found {', '.join(map(str, folders))}")
    found = baseline.beside({str(folder): store.read_document(folder) for folder in folders}, tolerance)
    if form == "json":
        import json

        click.echo(json.dumps(found, indent=1))
    else:
        click.echo(side.markdown(found) if form == "markdown" else side.text(found))
    told = {change["found"] for row in found["checks"] for change in row["changes"] if change}
    sys.exit(2 if not told - {"untold"} else int(found["worse"] > 0))
