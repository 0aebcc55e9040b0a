"""Progress on the error stream: a bar on a terminal, a line a probe elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from probe.errors import printable

if TYPE_CHECKING:
    from probe.contract import Result


class Terminal:
    """A Progress that draws; tracebacks too with `debug`."""

    def __init__(self, debug: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.console, self.debug = Console(stderr=True, highlight=False), debug
        columns = (
            TextColumn("{task.description}"),
            BarColumn(24),
            TextColumn("{task.completed}/{task.total} {task.fields[of]}"),
            TimeRemainingColumn(),
        )
        self.bar = Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)
        self.task: Any = None

    def __enter__(self) -> Terminal:
        self.bar.start()
        return self

    def __exit__(self, *fault: object) -> None:
        self.bar.stop()

    def cost(self, passes: int, seconds: float) -> None:
        """One line before the work."""
        self.console.print(f"{passes} passes{_lasting(seconds)}", markup=False)

    def begin(self, probe: str, subject: str, passes: int) -> None:
        """A new bar."""
        if self.task is not None:
            self.bar.remove_task(self.task)
        self.task = self.bar.add_task(f"{probe}, {subject}", total=passes, of="passes")

    def advance(self, passes: int) -> None:
        """The bar moves."""
        if self.task is not None:
            self.bar.advance(self.task, passes)

    def work(self, steps: int, seconds: float, what: str) -> None:
        """One line before the work, where there is any, and the bar begins anew."""
        if steps:
            self.console.print(f"{steps} {what}{_lasting(seconds)}", markup=False)
        if self.task is not None:
            self.bar.reset(self.task, total=steps, of="")

    def end(self, result: Result) -> None:
        """One line a probe."""
        self.console.print(f"{result.verdict:<14} {result.probe.name()}  ({result.seconds:.0f} s)", markup=False)
        if self.debug and result.failure:
            self.console.print(printable(result.failure, keep="\n", longest=None), markup=False)


def _lasting(seconds: float) -> str:
    """Words for a time, none where it is not known."""
    if not seconds >= 0:
        return ""
    return f", about {seconds / 60:.0f} min" if seconds >= 120 else f", about {max(seconds, 1):.0f} s"
