"""Simulate, train, publish: `python -m probe.zoo.lpt2nbody.recipe WORK_FOLDER [MINUTES]`.

About an hour and three quarters on two cores.
"""

from __future__ import annotations

import sys
from pathlib import Path

from probe.zoo.lpt2nbody.recipe.publish import GRID, publish
from probe.zoo.lpt2nbody.recipe.simulate import HELD_OUT, VALIDATION, simulate_all
from probe.zoo.lpt2nbody.recipe.train import train

if __name__ == "__main__":
    work = Path(sys.argv[1])
    simulate_all(work, workers=2)
    network = train(work, GRID, float(sys.argv[2]) if len(sys.argv) > 2 else 48.0, HELD_OUT, VALIDATION)
    print(publish(work, Path(__file__).parents[1], network, HELD_OUT))
