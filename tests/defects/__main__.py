"""`python -m tests.defects PROBE...` prints columns as measured; `--write` measures the ladder and writes docs/defects.md."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch

from probe.contract import Result
from tests.defects import models
from tests.defects.table import ask, columns


def column(probe: str, folder: Path) -> None:
    """Print one probe's column, with what did not pass beside each cell."""
    for grid, rows in models.ROWS.items():
        print(f"\n[{grid}]", flush=True)
        for name in rows:
            result = ask(models.build(grid, name, folder), [probe], trained=grid == "trained")[probe]
            print(f'"{name}" = "{result.verdict}"{_told(result)}', flush=True)


def _told(result: Result) -> str:
    if result.failure or not result.checks:
        return f"  # {result.reason.splitlines()[0][:110]}"
    notable = [c for c in result.checks if c.verdict not in ("pass", "not_applicable")]
    words = ", ".join(f"{c.name} {c.verdict} {c.interval.value:.2g}" for c in notable)
    return f"  # {words}" if words else ""


def main(words: list[str]) -> None:
    """Do what the command line says."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        if words == ["--write"]:
            from tests.defects import page

            page.write(Path(folder))
            return
        for probe in words:
            print(f"# {probe}.toml" + ("" if probe in columns() else ", without settings"))
            column(probe, Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
