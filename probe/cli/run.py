"""`probe run`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from probe.cli.options import PATH, form_option, model_options, tolerance_option
from probe.cli.report import FORMS, tell
from probe.cli.terminal import Terminal
from probe.errors import InputError, printable
from probe.parameters import batch_size_of, rivals_of, settings_of

if TYPE_CHECKING:
    from probe.model import FieldModel


@click.command()
@click.argument("probes", nargs=-1, required=True, metavar="PROBE... | SUITE | all")
@click.option("--model", required=True, help="A checkpoint, `module:function`, or `zoo:NAME`.")
@model_options
@click.option("--data", type=PATH, help="Folder or file of pairs of input and truth.")
@click.option("--out", type=PATH, help="Where the run and its report go.  [default: reports/<model>-<hash>]")
@click.option(
    "--set", "settings", multiple=True, metavar="PROBE.PARAMETER=VALUE", help="Set a parameter; `probe explain PROBE` lists them."
)
@click.option("--controls", default="all", show_default=True, help="all, none, or names separated by commas.")
@click.option(
    "--rival",
    "rivals",
    multiple=True,
    metavar="NAME=FILES",
    help="Other answers to lay the model's beside: a pattern of files, a checkpoint, or `zoo:NAME`.",
)
@click.option("--effort", type=click.Choice(["quick", "default", "full"]), default="default", show_default=True)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--batch-size", default="auto", show_default=True, help="Samples in one forward pass, or auto.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--resume", is_flag=True, help="Go on with a run that is there; nothing done is done again.")
@click.option("--overwrite", is_flag=True, help="Replace a run that is there.")
@click.option("--dry-run", is_flag=True, help="Say what would be asked and what not, and stop.")
@click.option("--strict", is_flag=True, help="Count inconclusive checks as failed.")
@click.option(
    "--baseline", type=PATH, help="Record of an earlier run that this one may not fall behind; written where there is none."
)
@click.option("--baseline-update", is_flag=True, help="Record this run there in place of the earlier one.")
@tolerance_option("--baseline-tolerance")
@form_option(*FORMS)
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def run(
    probes: tuple[str, ...], model: str, settings: tuple[str, ...], form: str, strict: bool, debug: bool, **options: Any
) -> None:
    """Ask a model some probes, and write a report."""
    from probe import interface, registry
    from probe.loading import load

    if options["baseline_update"] and not options["baseline"]:
        raise InputError("--baseline-update records a run in a file; name it with --baseline FILE")
    asked, wanted = registry.find(probes), settings_of(settings)
    interface.configure(asked, wanted)
    keywords = {name: options[name] for name in ("spec", "factory", "trust_pickle", "device")}
    subject = load(model, batch_size=batch_size_of(options["batch_size"]), **keywords)
    folder = options["out"] or interface.default_folder(subject)
    if options["dry_run"]:
        _say_plan(subject, [p.name() for p in asked], options["data"], folder)
        return
    names = options["controls"] if options["controls"] in ("all", "none") else options["controls"].split(",")
    with Terminal(debug) as progress:
        done = interface.run(
            probes,
            subject,
            data=options["data"],
            out=folder,
            settings=wanted,
            controls=names,
            rivals=rivals_of(options["rivals"]),
            effort=options["effort"],
            seed=options["seed"],
            resume=options["resume"],
            overwrite=options["overwrite"],
            command="probe " + shlex.join(sys.argv[1:]),
            progress=progress,
            baseline=options["baseline"],
            update_baseline=options["baseline_update"],
            tolerance=options["tolerance"],
        )
    tell(done, form, strict)
    sys.exit(done.exit_status(strict))


def _say_plan(model: FieldModel, names: list[str], data: Path | None, folder: Path) -> None:
    from probe.cli.catalogue import reasons

    what = f"{model.name} ({model.class_name}, {model.parameter_count} parameters)"
    click.echo(printable(f"{what} on {model.device}; the run would go to {folder}"))
    why, width = reasons(model, data), max(map(len, names), default=0)
    for name in names:
        reason = why.get(name, "")
        click.echo(printable(f"  {name:<{width}} {'not applicable: ' + reason if reason else 'will be asked'}"))
