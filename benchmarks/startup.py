"""How long the commands that load no model take, beside bare Python: `python benchmarks/startup.py`, half a minute."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys

COMMANDS = (["list"], ["explain", "rotation"], ["--help"])


def processor_time(words: list[str]) -> float:
    """Seconds of user and system time that a command takes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def ratios(repeats: int = 15) -> str:
    """The table: medians of processor time, bare Python and the command taking turns."""
    rows = ["| command | python -c pass [ms] | ratio |", "| --- | --- | --- |"]
    for command in COMMANDS:
        taken = [
            (processor_time([sys.executable, "-c", "pass"]), processor_time([sys.executable, "-m", "probe.cli", *command]))
            for _ in range(repeats)
        ]
        bare, ours = map(statistics.median, zip(*taken, strict=True))
        rows.append(f"| probe {' '.join(command)} | {1000 * bare:.0f} | {ours / bare:.1f} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(ratios())
