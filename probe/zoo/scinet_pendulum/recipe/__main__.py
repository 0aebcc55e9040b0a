"""Train under five betas, publish: `python -m probe.zoo.scinet_pendulum.recipe WORK_FOLDER [MINUTES]`, MINUTES of a core each.

With OMP_NUM_THREADS=1: on layers as small as these threads only wait for one another.
"""

from __future__ import annotations

import sys
from pathlib import Path

from probe.zoo.scinet_pendulum.recipe.publish import publish
from probe.zoo.scinet_pendulum.recipe.sweep import draw, networks, write
from probe.zoo.scinet_pendulum.recipe.train import BETA

if __name__ == "__main__":
    folder, work = Path(__file__).parents[1], Path(sys.argv[1])
    work.mkdir(parents=True, exist_ok=True)
    found = networks(work, float(sys.argv[2]) if len(sys.argv) > 2 else 0.7)
    print(publish(folder, found[BETA]))
    write(folder / "sweep.csv", found)
    draw(folder / "sweep.csv", folder / "beta.png")
