"""What a description leaves out and what stands in for it: told in every report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def assumed(table: Mapping[str, Any]) -> tuple[str, ...]:
    """One sentence for each default that a description rests on, from its table as tomllib gives it."""
    if "grid" not in table:
        return ()
    grid, truth = table["grid"], table.get("truth", {})
    gravity = truth.get("law") == "gravity"
    defaults = {
        "the box is periodic": "boundary" not in grid,
        "lengths are in cells: no unit is given": "unit" not in grid,
        "the symmetries are those of empty space": "symmetries" not in table,
        "D(out)/D(in) is 1": gravity and "growth_ratio" not in truth,
        "Omega_m is 1 in the growth of the second order": gravity and "omega_m" not in truth,
    }
    channels = [sentence for side in ("input", "output") for one in table[side] for sentence in _of_quantity(side, one)]
    return (*(sentence for sentence, holds in defaults.items() if holds), *channels)


def _of_quantity(side: str, table: Mapping[str, Any]) -> list[str]:
    name = f"the {side} {table['name']!r}" if "name" in table else f"the {side}"
    size = "the size of its scale" if "scale" in table else "a typical size of 1"
    defaults = {
        f"{name} is a scalar": "kind" not in table,
        f"{name} has no unit": "unit" not in table,
        f"waves and random fields put in as {name} have {size}: no rms is given": side == "input" and "rms" not in table,
    }
    return [sentence for sentence, holds in defaults.items() if holds]
