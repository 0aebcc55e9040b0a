"""Simulate, train, publish: `python -m probe.zoo.omega_m.recipe WORK_FOLDER`, an hour on one idle core.

With OMP_NUM_THREADS=1; the simulator needs the extra `train`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from probe.zoo.omega_m.recipe.publish import publish
from probe.zoo.omega_m.recipe.train import train
from probe.zoo.omega_m.recipe.universes import simulate_all

if __name__ == "__main__":
    work = Path(sys.argv[1])
    simulate_all(work)
    print(publish(work, Path(__file__).parents[1], train(work)))
