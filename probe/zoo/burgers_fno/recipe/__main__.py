"""Solve, train, publish: `python -m probe.zoo.burgers_fno.recipe [STEPS]`, a quarter of an hour on one core.

With OMP_NUM_THREADS=1: on fields as small as these threads only wait for one another.
"""

from __future__ import annotations

import sys
from pathlib import Path

from probe.zoo.burgers_fno.recipe.publish import publish
from probe.zoo.burgers_fno.recipe.train import train

if __name__ == "__main__":
    print(publish(Path(__file__).parents[1], train(int(sys.argv[1]) if len(sys.argv) > 1 else 40_000)))
