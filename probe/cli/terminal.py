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
            TextColumn("{task.completed}/{task.total} passes"),
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
            self.console.print(printable(result.failure, keep="\n", longest=None), markup=False)
