"""How a command ends that cannot go on: one sentence and an exit status, whatever went wrong."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from probe.errors import InputError, printable


class Group(click.Group):
    """Bad input is one sentence and exit status 2; an interrupt is 130. Tracebacks only with --debug."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _terminated_as_interrupted():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("probe: interrupted; what is done is kept, and --resume goes on from there", err=True)
            ctx.exit(130)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except Exception as fault:
            if "--debug" in sys.argv:
                raise
            click.echo(f"probe: {_told(fault)}", err=True)
            ctx.exit(2)


def _told(fault: Exception) -> str:
    if isinstance(fault, InputError):
        return str(fault)
    if isinstance(fault, OSError) and fault.strerror:
        return printable(f"{fault.filename or 'standard output'} cannot be used ({fault.strerror}); give another, or make room")
    what = printable(f"{type(fault).__name__}: {fault}")
    return f"unexpected {what}; `probe --debug ...` shows where: please report it"


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM, by which a batch system ends a job, does what an interrupt does."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may choose what signals do
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
