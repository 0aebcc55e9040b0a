"""Make haloes, train, publish: `python -m probe.zoo.ive_halos.recipe WORK_FOLDER [MINUTES]`, MINUTES of one core.

With OMP_NUM_THREADS=1. The network is left in the work folder as well.
"""

from __future__ import annotations

import sys
from pathlib import Path

from safetensors.torch import load_file, save_file

from probe.zoo.encoders import cutout_network
from probe.zoo.ive_halos.recipe.publish import publish
from probe.zoo.ive_halos.recipe.train import trained

if __name__ == "__main__":
    place = Path(sys.argv[1]) / "network.safetensors"
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.is_file():
        save_file(trained(float(sys.argv[2]) if len(sys.argv) > 2 else 3.0).state_dict(), place)
    network = cutout_network()
    network.load_state_dict(load_file(place))
    print(publish(Path(__file__).parents[1], network))
