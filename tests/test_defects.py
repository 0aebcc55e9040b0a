"""The table of planted defects: which probe sees what, and that clean models pass.

Every row is a model, every column a probe, every cell the verdict that is expected of it. A new probe adds a column, a new
defect a row. Clean models are exact; defects are planted one at a time behind a clean one.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from probe.interface import run
from probe.model import FieldModel
from probe.zoo.defects import (
    AbsolutePosition,
    Anisotropic,
    BatchStatistics,
    Bias,
    Checkerboard,
    DropoutLeftOn,
    GlobalNormalisation,
    GridLocked,
    Handed,
    MeanDrift,
    Stateful,
    SwappedComponents,
    ZeroPadded,
    lag_gain,
    sag_gain,
)
from probe.zoo.gravity_defects import Miscoupled, Saturating
from probe.zoo.oracles import Filter, SecondOrder
from tests.models import CUBE, on, with_pairs


def truth(psi: torch.Tensor) -> torch.Tensor:
    """What the pairs hold: 2LPT, which the input and every linear filter of it miss."""
    return SecondOrder(CUBE)(psi)


def behind(defect: nn.Module) -> nn.Module:
    return nn.Sequential(SecondOrder(CUBE), defect)


CLEAN: dict[str, Callable[[], nn.Module]] = {"2LPT": lambda: SecondOrder(CUBE)}
DEFECTS: dict[str, Callable[[], nn.Module]] = {
    "zero padding": lambda: behind(ZeroPadded(0.1)),
    "anisotropic": lambda: behind(Anisotropic(0.2)),
    "swapped components": lambda: behind(SwappedComponents()),
    "grid locked": lambda: behind(GridLocked(0.2)),
    "high-k sag": lambda: behind(Filter(sag_gain(2.0), CUBE)),
    "phase lag": lambda: behind(Filter(lag_gain(0.25), CUBE)),
    "bias": lambda: behind(Bias(0.5)),
    "checkerboard": lambda: behind(Checkerboard(0.2)),
    "mean drift": lambda: behind(MeanDrift(0.05)),
    "batch statistics": lambda: behind(BatchStatistics(0.5)),
    "global normalisation": lambda: behind(GlobalNormalisation(0.2)),
    "absolute position": lambda: behind(AbsolutePosition(0.2)),
    "handed": lambda: behind(Handed(0.2)),
    "dropout left on": lambda: behind(DropoutLeftOn(0.1)),
    "state between calls": lambda: behind(Stateful(0.05)),
    "coupling of the wrong sign": lambda: behind(Miscoupled(CUBE, across=-2.0)),
    "linear only": lambda: behind(Miscoupled(CUBE, across=-1.0)),
    "coupling blind to the angle": lambda: behind(Miscoupled(CUBE, along=1.0)),
    "saturation": lambda: behind(Saturating(3.0)),
}
# The symmetry bound is held at its convention here, so that the table tells what a probe sees and not how good the pairs are.
SETTINGS = {
    "translation": {"bound": 0.02},
    "reflection": {"bound": 0.02},
    "certificate": {"bound": 0.02, "elements": 12, "fields": 1},
    "rotation": {"bound": 0.02},
    "phase": {"bound": 0.02},
    "plane_wave": {"aliasing_bound": 0.02},
    "spherical": {"isotropy_bound": 0.02},
}
PROBES = (
    "plane_wave",
    "rotation",
    "phase",
    "transfer",
    "null",
    "conservation",
    "consistency",
    "translation",
    "reflection",
    "certificate",
    "two_waves",
    "spherical",
)
# None: an answer that is another each time says nothing definite to a probe that does not ask for that.
EXPECTED = {
    # In the order of PROBES.
    "2LPT": ("pass", "pass", "pass", "pass", "pass", "pass", "pass", "pass", "pass", "pass", "pass", "pass"),
    # It and the checkerboard err far more by smoothing than by the symmetry that they break.
    "zero padding": ("fail", "fail", "fail", "fail", "fail", "fail", "pass", "fail", "fail", "pass", "pass", "fail"),
    # Four pairs do not tell whether the curl that the stretching makes is too much.
    "anisotropic": ("fail", "fail", "pass", "fail", "fail", "inconclusive", "pass", "pass", "fail", "fail", "pass", "fail"),
    # Nothing comes out along x, where the wave was put in: its phase has no answer.
    "swapped components": (
        "fail",
        "fail",
        "inconclusive",
        "fail",
        "fail",
        "inconclusive",
        "pass",
        "pass",
        "fail",
        "fail",
        "fail",
        "fail",
    ),
    # The louder cells lie symmetrically about a grid point: translation is broken, rotation is not.
    "grid locked": ("fail", "pass", "fail", "fail", "fail", "pass", "pass", "fail", "pass", "fail", "pass", "pass"),
    "high-k sag": ("fail", "pass", "pass", "fail", "pass", "fail", "pass", "pass", "pass", "pass", "fail", "fail"),
    "phase lag": ("fail", "fail", "pass", "fail", "pass", "pass", "pass", "pass", "fail", "fail", "fail", "fail"),
    "bias": ("fail", "fail", "pass", "fail", "fail", "fail", "pass", "pass", "fail", "fail", "pass", "fail"),
    "checkerboard": ("fail", "fail", "fail", "fail", "fail", "fail", "pass", "fail", "fail", "pass", "pass", "fail"),
    # Its own rms is a direction, (1, 1, 1), which no rotation keeps.
    "mean drift": ("pass", "fail", "pass", "fail", "fail", "fail", "pass", "pass", "fail", "fail", "pass", "fail"),
    # Asked alone it is the clean model, so nothing else sees it.
    "batch statistics": ("pass", "pass", "pass", "pass", "pass", "pass", "fail", "pass", "pass", "pass", "pass", "pass"),
    "global normalisation": ("fail", "pass", "pass", "fail", "fail", "fail", "fail", "pass", "pass", "pass", "fail", "fail"),
    "absolute position": ("fail", "fail", "fail", "fail", "fail", "inconclusive", "pass", "fail", "fail", "fail", "pass", "fail"),
    # A curl: no rotation sees it, nor any wave along its own direction, which has none.
    "handed": ("pass", "pass", "pass", "fail", "pass", "inconclusive", "pass", "pass", "fail", "fail", "pass", "pass"),
    "dropout left on": (None, None, None, None, None, None, "fail", None, None, None, None, None),
    "state between calls": (None, None, None, None, None, None, "fail", None, None, None, None, None),
    # Waves are answered as they should be; what they make of each other is not.
    "coupling of the wrong sign": ("pass", "pass", "pass", "fail", "pass", "pass", "pass", "pass", "pass", "pass", "fail", "fail"),
    "linear only": ("pass", "pass", "pass", "inconclusive", "pass", "pass", "pass", "pass", "pass", "pass", "fail", "fail"),
    # Parallel waves couple too, and so does a wave with itself.
    "coupling blind to the angle": ("fail", "pass", "pass", "fail", "pass", "pass", "fail", "pass", "pass", "pass", "fail", "fail"),
    # It tells at large displacements, where two small waves do not come.
    "saturation": ("fail", "pass", "pass", "inconclusive", "pass", "pass", "pass", "pass", "pass", "pass", "pass", "fail"),
}


@pytest.fixture(scope="module", params=EXPECTED)
def row(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, str]]:
    name = request.param
    model: FieldModel = on(CUBE, (CLEAN | DEFECTS)[name](), name)
    paired = with_pairs(model, tmp_path_factory.mktemp("pairs"), truth)
    results = run(PROBES, paired, controls=["identity", "linear_filter"], settings=SETTINGS)
    return name, {probe: results[probe].verdict for probe in PROBES}


def test_every_cell_of_the_table_is_as_written(row):
    name, found = row
    expected = dict(zip(PROBES, EXPECTED[name], strict=True))
    assert {probe: found[probe] for probe, verdict in expected.items() if verdict} == {p: v for p, v in expected.items() if v}


def test_every_defect_is_caught_by_a_probe_and_every_probe_catches_one():
    for name in DEFECTS:
        assert "fail" in EXPECTED[name], name
    for place, probe in enumerate(PROBES):
        assert any(EXPECTED[name][place] == "fail" for name in DEFECTS), probe
