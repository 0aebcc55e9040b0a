"""What our network must not lose: every check of two probes is a test."""

import os

from probe.testing import parametrize_with_probes

# In a project of your own: "checkpoints/latest.pt", and its description beside it.
CHECKPOINT = os.environ.get("CHECKPOINT", "zoo:lpt2nbody")
DESCRIPTION = os.environ.get("DESCRIPTION")
# A long wave and one near the end of the grid, at one amplitude and place: enough to see a linear response that is lost.
WAVES = {"plane_wave": {"modes": "5:0:0,11:0:0", "levels": "0.2", "shifts": "1"}}
KNOWN = {
    "plane_wave/response": "short waves come out 10 % too strong: how the simulator's force mesh damps them was not learned",
}


@parametrize_with_probes(
    CHECKPOINT,
    probes=["plane_wave", "conservation"],
    spec=DESCRIPTION,
    settings=WAVES,
    effort="quick",
    controls=["simulator"],
    expected_failures=KNOWN,
    out="report",
)
def test_physics(check):
    check()
