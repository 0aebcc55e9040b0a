"""The command `probe`: thin; everything heavy is imported when a command needs it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from probe.errors import InputError

if TYPE_CHECKING:
    from probe.contract import Result
    from probe.interface import Run

_MODEL_HELP = "A checkpoint, `module:function`, or `zoo:NAME`."


class _Group(click.Group):
    """Bad input is one sentence and exit status 2; an interrupt is 130."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except InputError as fault:
            if "--debug" in sys.argv:
                raise
            click.echo(f"probe: {fault}", err=True)
            ctx.exit(2)
        except KeyboardInterrupt:
            click.echo("probe: interrupted; what is done is kept, and --resume goes on from there", err=True)
            ctx.exit(130)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fieldprobe", prog_name="probe")
def main() -> None:
    """Physical questions for trained field-to-field networks.

    Exit status: 0 all is well, 1 a check failed, 2 the run could not start or a probe crashed, 130 interrupted.
    """


def _with(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


_MODEL_OPTIONS = _with(
    click.option("--spec", type=click.Path(path_type=Path), help="Description of the model, a TOML file."),
    click.option("--factory", help="`module:object` that makes the network whose weights are given."),
    click.option("--trust-pickle", is_flag=True, help="Load files that run code when they are loaded."),
)


@main.command()
@click.argument("probes", nargs=-1, required=True, metavar="PROBE... | SUITE | all")
@click.option("--model", required=True, help=_MODEL_HELP)
@_MODEL_OPTIONS
@click.option("--data", type=click.Path(path_type=Path), help="Folder of pairs of input and truth.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the run and its report go.  [default: reports/<model>-<hash>]")
@click.option(
    "--set", "settings", multiple=True, metavar="PROBE.PARAMETER=VALUE", help="Set a parameter; `probe explain PROBE` lists them."
)
@click.option("--controls", default="all", show_default=True, help="all, none, or names separated by commas.")
@click.option("--effort", type=click.Choice(["quick", "default", "full"]), default="default", show_default=True)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--batch-size", default="auto", show_default=True, help="Samples in one forward pass, or auto.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--resume", is_flag=True, help="Go on with a run that is there; nothing done is done again.")
@click.option("--overwrite", is_flag=True, help="Replace a run that is there.")
@click.option("--dry-run", is_flag=True, help="Say what would be asked and what not, and stop.")
@click.option("--strict", is_flag=True, help="Count inconclusive checks as failed.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def run(
    probes: tuple[str, ...], model: str, settings: tuple[str, ...], form: str, strict: bool, debug: bool, **options: Any
) -> None:
    """Ask a model some probes, and write a report."""
    from probe import interface, registry
    from probe.loading import load

    asked, wanted = registry.find(probes), _settings(settings)
    interface.configure(asked, wanted)
    size = None if options["batch_size"] == "auto" else _whole(options["batch_size"])
    keywords = {name: options[name] for name in ("spec", "factory", "trust_pickle", "device")}
    subject = load(model, batch_size=size, **keywords)
    folder = options["out"] or interface.default_folder(subject)
    if options["dry_run"]:
        _say_plan(subject, [p.name() for p in asked], options, folder)
        return
    names = options["controls"] if options["controls"] in ("all", "none") else options["controls"].split(",")
    with _progress(debug) as progress:
        done = interface.run(
            probes,
            subject,
            data=options["data"],
            out=folder,
            settings=wanted,
            controls=names,
            effort=options["effort"],
            seed=options["seed"],
            resume=options["resume"],
            overwrite=options["overwrite"],
            command="probe " + shlex.join(sys.argv[1:]),
            progress=progress,
        )
    _finish(done, form, strict)


@main.command("list")
@click.option("--model", help="Say which probes apply to this model, and why others do not.")
@_MODEL_OPTIONS
def list_(model: str | None, **options: Any) -> None:
    """The probes there are, by suite."""
    from probe.registry import catalogue

    reasons = _reasons(model, options) if model else {}
    suite = ""
    for name, probe in catalogue().items():
        if probe.suite != suite:
            suite = probe.suite
            click.echo(click.style(suite, bold=True))
        reason = reasons.get(name, "")
        click.echo(f"  {name:<16} {probe.question()}" + (f"\n  {'':<16} not applicable: {reason}" if reason else ""))


@main.command()
@click.argument("name")
def explain(name: str) -> None:
    """What a probe asks, how it is judged, and every parameter it has."""
    from probe.registry import find

    for probe in find([name]):
        click.echo(f"{click.style(probe.name(), bold=True)}  ({probe.suite}, version {probe.version})\n{probe.question()}\n")
        click.echo(f"{probe.explanation()}\n")
        for role in ("measurement", "judgement"):
            click.echo(click.style(f"Parameters of the {role}", bold=True))
            for parameter in probe.parameters(role).values():
                click.echo(f"  --set {probe.name()}.{parameter.name}={_shown(parameter.default)}\n      {_described(parameter)}")
        click.echo(f"\n{click.style('Controls', bold=True)}: {', '.join(probe.controls)}")
        click.echo(click.style("References", bold=True))
        for reference in probe.references:
            click.echo(f"  {reference}")


@main.command()
@click.argument("model")
@click.option("--trust-pickle", is_flag=True, hidden=True)
def inspect(model: str, trust_pickle: bool) -> None:
    """What a checkpoint holds, found out without running anything of it."""
    from probe.loading import inspect_checkpoint

    found = inspect_checkpoint(model)
    click.echo(f"{found.path}: {found.format}, {found.size} bytes, sha256 {found.sha256[:16]}...")
    width = max((len(tensor.name) for tensor in found.tensors), default=0)
    for tensor in found.tensors:
        click.echo(f"  {tensor.name:<{width}}  {'x'.join(map(str, tensor.shape)) or 'one number'}  {tensor.dtype}")
    click.echo(f"{len(found.tensors)} tensors, {found.numbers} numbers")
    if found.dimension:
        click.echo(f"likely {found.dimension}-dimensional, {found.channels_in} channels in and {found.channels_out} out")
    for lack in found.missing:
        click.echo(f"missing: {lack}")
    click.echo(f"next: {found.next_command}")


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
def allow(file: Path) -> None:
    """Allow the code that a description names, on this machine, as long as the file stays as it is."""
    from probe.loading import allow as record

    record(file)
    click.echo(f"allowed: {file}")


@main.command()
def zoo() -> None:
    """The models that come with the suite."""
    from probe.zoo import entries

    for name, entry in entries().items():
        click.echo(f"zoo:{name:<28} {entry.summary}")
    from probe.zoo import defects, oracles

    for name in oracles.MODELS:
        click.echo(f"zoo:{name:<28} answers known in closed form, 16^3 points")
    for name in defects.MODELS:
        click.echo(f"zoo:{name:<28} zoo:lpt2nbody with one thing wrong")


@main.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR...")
@click.option("--set", "settings", multiple=True, metavar="PROBE.PARAMETER=VALUE", help="A bound to judge with.")
@click.option("--strict", is_flag=True, help="Count inconclusive checks as failed.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def report(folders: tuple[Path, ...], settings: tuple[str, ...], strict: bool, form: str) -> None:
    """Judge and draw stored runs again, without the model."""
    from probe import interface, store
    from probe.report import write

    worst = 0
    for folder in folders:
        done = interface.reopen(folder, _settings(settings))
        store.write_document(folder, done.document)
        write(done.document, list(done.results.values()), folder / "report.html")
        _tell(done, form)
        worst = max(worst, done.exit_status(strict))
    sys.exit(worst)


def _settings(given: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """`probe.parameter=value` options as a mapping."""
    result: dict[str, dict[str, str]] = {}
    for item in given:
        place, equals, value = item.partition("=")
        probe, dot, parameter = place.partition(".")
        if not (equals and dot and probe and parameter):
            raise InputError(f"--set takes PROBE.PARAMETER=VALUE; found {item!r}")
        result.setdefault(probe, {})[parameter] = value
    return result


def _whole(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise InputError(f"--batch-size is a whole number from 1, or auto; found {text!r}")
    return int(text)


def _reasons(model: str, options: dict[str, Any]) -> dict[str, str]:
    from probe.loading import load
    from probe.registry import catalogue
    from probe.runner import make_pairs
    from probe.runner.subject import LocalSubject

    loaded = load(model, **options)
    pairs = make_pairs(loaded, None)
    return {name: p().applies(LocalSubject("model", loaded, pairs, "default", 0, name)) for name, p in catalogue().items()}


def _say_plan(model: Any, names: list[str], options: dict[str, Any], folder: Path) -> None:
    from probe.registry import catalogue
    from probe.runner import make_pairs
    from probe.runner.subject import LocalSubject

    pairs = make_pairs(model, options["data"])
    click.echo(
        f"{model.name} ({model.class_name}, {model.parameter_count} parameters) on {model.device}; the run would go to {folder}"
    )
    for name in names:
        known = catalogue().get(name)
        reason = known().applies(LocalSubject("model", model, pairs, "default", 0, name)) if known else ""
        click.echo(f"  {name:<16} {'not applicable: ' + reason if reason else 'will be asked'}")


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


def _finish(done: Run, form: str, strict: bool) -> None:
    _tell(done, form)
    sys.exit(done.exit_status(strict))


def _tell(done: Run, form: str) -> None:
    if form == "json":
        import json

        from probe.store import finite

        click.echo(json.dumps(finite(done.document), indent=1))
        return
    from probe.report.text import summary

    click.echo(summary(done.document, colour=sys.stdout.isatty()))
    if done.folder:
        click.echo(f"report: {(done.folder / 'report.html').resolve()}")


class _Terminal:
    """Progress on the error stream: a bar on a terminal, a line a probe elsewhere."""

    def __init__(self, debug: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.console, self.debug = Console(stderr=True, highlight=False), debug
        columns = (
            TextColumn("{task.description}"),
            BarColumn(24),
            TextColumn("{task.completed}/{task.total} passes"),
            TimeRemainingColumn(),
        )
        self.bar = Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)
        self.task: Any = None

    def __enter__(self) -> _Terminal:
        self.bar.start()
        return self

    def __exit__(self, *fault: object) -> None:
        self.bar.stop()

    def cost(self, passes: int, seconds: float) -> None:
        """One line before the work."""
        told = f", about {seconds / 60:.0f} min" if seconds >= 120 else f", about {max(seconds, 1):.0f} s" if seconds >= 0 else ""
        self.console.print(f"{passes} passes{told}", markup=False)

    def begin(self, probe: str, subject: str, passes: int) -> None:
        """A new bar."""
        if self.task is not None:
            self.bar.remove_task(self.task)
        self.task = self.bar.add_task(f"{probe}, {subject}", total=passes)

    def advance(self, passes: int) -> None:
        """The bar moves."""
        if self.task is not None:
            self.bar.advance(self.task, passes)

    def end(self, result: Result) -> None:
        """One line a probe."""
        self.console.print(f"{result.verdict:<14} {result.probe.name()}  ({result.seconds:.0f} s)", markup=False)
        if self.debug and result.failure:
            self.console.print(result.failure, markup=False)


def _progress(debug: bool) -> _Terminal:
    return _Terminal(debug)


if __name__ == "__main__":
    main()
