"""How small a defect may be and still be seen.

Each defect is made weaker step by step, and asked every probe that fails it at full strength. Two strengths are told: the
smallest that is caught, where the bounds hold as they stand in the probe's column (weaker ones pass, rightly); and the smallest
that is seen, where a value of the probe, any check's, verdict or not, stands out of rounding. What rounding does to a value is
measured: the clean model's answers are changed by a unit in the last place, by two patterns fixed in space, and what is seen
differs from the clean model's value by ten times more than that. What is caught or seen at a strength is taken to be so at any
larger one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from probe.contract import Result
from probe.model import FieldModel
from tests.defects import models
from tests.defects.table import ask, columns, expected

STRENGTHS = (1.0, 0.3, 0.1, 0.03, 0.01, *(10.0**-n for n in range(3, 16)))
CAUGHT = ("fail", "error")
# Where the search begins: most bounds lie a little below the table's strengths, most values drown near a unit in the last place.
BOUND, ROUNDING = 0.3, {torch.float64: 1e-13, torch.float32: 1e-5}


class Dithered(nn.Module):
    """Every value times one plus or minus a unit in the last place, by a pattern fixed in space: rough, or smooth along x."""

    def __init__(self, rough: bool) -> None:
        super().__init__()
        self.rough = rough

    def forward(self, values: Tensor) -> Tensor:
        """(batch, channel, *grid) -> the same."""
        pattern = torch.linspace(-1, 1, values.shape[2], dtype=values.dtype).reshape(-1, *[1] * (values.ndim - 3))
        if self.rough:
            pattern = 2 * torch.rand(values.shape[1:], generator=torch.Generator().manual_seed(0), dtype=values.dtype) - 1
        return values * (1 + torch.finfo(values.dtype).eps * pattern)


@dataclass
class Ladder:
    """One grid's clean model in one precision, and everything that stands behind it at any strength.

    Attributes
    ----------
    known : dict of (defect, probe, strength) to Result
        What was measured so far.
    """

    grid: str
    folder: Path
    dtype: torch.dtype = torch.float64
    known: dict[tuple[str, str, float], Result] = field(default_factory=dict)
    clean: dict[str, list[dict[str, float]]] = field(default_factory=dict)

    def caught(self, name: str) -> dict[str, float]:
        """By probe, the smallest strength that fails; nan where none does."""
        return self._smallest(name, BOUND, lambda probe, result: result.verdict in CAUGHT)

    def seen(self, name: str) -> dict[str, float]:
        """By probe, the smallest strength that stands out of rounding."""

        def stands_out(probe: str, result: Result) -> bool:
            return result.verdict == "error" or self._stands_out(probe, result)

        return self._smallest(name, ROUNDING[self.dtype], stands_out)

    def _smallest(self, name: str, guess: float, holds: Callable[[str, Result], bool]) -> dict[str, float]:
        """By halving the ladder from a guess on, of all probes together while they agree."""
        found = dict.fromkeys(self.probes(name), math.nan)

        def search(strengths: Sequence[float], probes: list[str], at: int) -> None:
            if not strengths or not probes:
                return
            results = self._ask(name, probes, strengths[at])
            held = [probe for probe in probes if holds(probe, results[probe])]
            found.update(dict.fromkeys(held, strengths[at]))
            weaker, stronger = strengths[at + 1 :], strengths[:at]
            search(weaker, held, min(2 * at, len(weaker) // 2))
            search(stronger, [probe for probe in probes if probe not in held], len(stronger) // 2)

        search(STRENGTHS, list(found), STRENGTHS.index(guess))
        return found

    def probes(self, name: str) -> list[str]:
        """Those that are expected to catch it at full strength, but for the dear ones whose column says `ladder = false`."""
        cells = {p: cell for p, cell in expected(self.grid, name).items() if columns()[p].get("ladder", True)}
        return [p for p, cell in cells.items() if cell in CAUGHT or (isinstance(cell, dict) and "fail" in cell.values())]

    def _ask(self, name: str, probes: list[str], strength: float) -> dict[str, Result]:
        new = [probe for probe in probes if (name, probe, strength) not in self.known]
        if new:
            model = models.build(self.grid, name, self.folder, strength, self.dtype)
            torch.manual_seed(0)  # of dropout
            for probe, result in ask(model, new).items():
                result.measured.clear()
                self.known[name, probe, strength] = result
        return {probe: self.known[name, probe, strength] for probe in probes}

    def _stands_out(self, probe: str, result: Result) -> bool:
        right, *dithered = self._clean(probe)
        eps = torch.finfo(self.dtype).eps
        for check, value in _values(result).items():
            base = right.get(check, math.nan)
            moved = max((abs(one.get(check, math.nan) - base) for one in dithered), default=0.0)
            # What is nothing but rounding in the clean model may as well vanish.
            noise = max(moved, abs(base) if abs(base) < 100 * eps else eps * abs(base))
            if abs(value - base) > 10 * noise:
                return True
        return False

    def _clean(self, probe: str) -> list[dict[str, float]]:
        """A probe's values of the clean model, and of it with its last places changed."""
        if probe not in self.clean:
            base = models.BASE[self.grid]
            model = models.build(self.grid, base, self.folder, dtype=self.dtype)
            every = [model, *(_behind(model, Dithered(rough)) for rough in (True, False))]
            self.clean[probe] = [_values(ask(one, [probe])[probe]) for one in every]
        return self.clean[probe]


def _behind(model: FieldModel, last: nn.Module) -> FieldModel:
    network = nn.Sequential(model.network, last)
    return FieldModel(network, model.description, code=model.code, dtype=model.dtype, sha256=model.sha256)


def _values(result: Result) -> dict[str, float]:
    return {check.name: check.interval.value for check in result.checks if math.isfinite(check.interval.value)}
