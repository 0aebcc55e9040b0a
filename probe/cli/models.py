"""`probe inspect`, `init`, `allow` and `zoo`: models and their descriptions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from probe.cli.options import PATH, form_option, model_options
from probe.errors import printable

if TYPE_CHECKING:
    from probe.loading.arguments import ModelArguments


@click.command()
@click.argument("model")
@model_options
@click.option("--all", "everything", is_flag=True, help="Leave nothing out of a long list.")
@form_option("text", "json")
def inspect(model: str, spec: Path | None, factory: str | None, trust_pickle: bool, everything: bool, form: str) -> None:
    """What a checkpoint holds, found out without running anything of it.

    With --factory, --spec or --trust-pickle the network is built and run too: its layers, stride and receptive field, the grids and
    batches that it takes, whether it is deterministic, its gradients. So are the zoo's, and ONNX models, which hold no code.

    Of a description that is itself the model: the latent variables that were recorded, and the quantities beside them.
    """
    from probe.cli import recorded
    from probe.cli.inspected import file_lines
    from probe.loading import inspect_checkpoint
    from probe.loading.arguments import ModelArguments
    from probe.loading.formats import Format
    from probe.loading.inspection import is_on_disk
    from probe.loading.load import is_description

    given = ModelArguments(model, str(spec) if spec else None, factory, trust_pickle)
    if is_description(model):
        told = recorded.document(given)
        _say_json(told) if form == "json" else _say(recorded.lines(told))
        return
    file = inspect_checkpoint(model, given.spec, factory, trust_pickle) if is_on_disk(model) else None
    if file and form == "text":
        _say(file_lines(file, everything))
    # Named by the user, part of the suite, or an ONNX model, which holds no code.
    harmless = file is None or model.startswith("zoo:") or (file.format == Format.ONNX.value and bool(file.inputs))
    examined = _examine(given, form) if factory or spec or trust_pickle or harmless else {}
    missing, describe, following = (file.missing, file.describe_command, file.next_command) if file else ((), "", "")
    following = given.command("inspect" if examined.get("fault") else "run all --model") if examined else following
    if form == "json":
        _say_json((file.as_dict() if file else {}) | {"next_command": following, "examination": examined or None})
        return
    lines = [*(f"missing: {lack}" for lack in missing), *([f"describe: {describe}"] if describe else []), f"next: {following}"]
    _say(lines)


@click.command()
@click.argument("model")
@click.option("--factory", help="`module:object` that makes the network whose weights are given.")
@click.option("--trust-pickle", is_flag=True, help="Load files that run code when they are loaded.")
@click.option("--out", type=PATH, help="Where it is written.  [default: NAME.probe.toml beside the checkpoint]")
@click.option("--overwrite", is_flag=True, help="Replace a description that is there.")
def init(model: str, **options: Any) -> None:
    """Write a description to be filled in: every key with a comment, what the weights suggest as a guess.

    Reports tell a guess until its sentence is deleted from the list `guessed`. What is written is allowed on this machine.
    """
    from probe.loading.initial import initialise

    made = initialise(model, **options)
    guesses = f"confirm its {len(made.description.guessed)} guesses, and fill in units, lengths and laws"
    lines = [f"wrote {made.path}: read it, {guesses}", *([f"not ready: {made.fault}"] if made.fault else [])]
    _say([*lines, f"next: {made.next_command}"])


@click.command()
@click.argument("file", type=PATH)
def allow(file: Path) -> None:
    """Allow the code that a description names, on this machine, as long as the file stays as it is."""
    from probe.loading import allow as record

    record(file)
    click.echo(printable(f"allowed: {file}"))


@click.command()
def zoo() -> None:
    """The models that come with the suite."""
    from probe.zoo import defects, entries, oracles

    for name, entry in entries().items():
        click.echo(f"zoo:{name:<28} {entry.summary}")
    for name in oracles.MODELS:
        click.echo(f"zoo:{name:<28} answers known in closed form, 16^3 points")
    for name in defects.MODELS:
        click.echo(f"zoo:{name:<28} zoo:lpt2nbody with one thing wrong")


def _examine(given: ModelArguments, form: str) -> dict[str, Any]:
    """What is found out by running the model; said at once where it is wanted as text."""
    from probe.cli.inspected import model_lines
    from probe.loading.inspection import open_for_examination
    from probe.model.examination import examine

    model = open_for_examination(given)
    click.echo("running the network; for a large grid that takes a minute or so", err=True)
    found, guessed = examine(model), model.description.guessed
    if form == "text":
        _say(model_lines(found, guessed))
    return found.as_dict() | {"guessed": guessed}


def _say(lines: Iterable[str]) -> None:
    """Lines on a terminal, whatever names a file holds."""
    click.echo("\n".join(map(printable, lines)))


def _say_json(document: dict[str, Any]) -> None:
    import json

    from probe.store import finite

    click.echo(json.dumps(finite(document), indent=1))
