"""The command `probe`: thin; everything heavy is imported when a command needs it."""

from __future__ import annotations

import click

from probe.cli.catalogue import explain, list_
from probe.cli.compare import compare
from probe.cli.ending import Group
from probe.cli.models import allow, init, inspect, zoo
from probe.cli.report import report
from probe.cli.run import run


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks.")
@click.version_option(package_name="fieldprobe", prog_name="probe")
def main() -> None:
    """Physical questions for trained field-to-field networks.

    Exit status: 0 all is well; 1 a check failed that is no known failure, or fell behind the baseline; 2 the run could not start, a
    probe crashed, or nothing gave a verdict; 130 interrupted.
    """


for _command in (run, list_, explain, inspect, init, allow, zoo, report, compare):
    main.add_command(_command)
