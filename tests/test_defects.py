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
from probe.zoo.defects import Anisotropic, GridLocked, SwappedComponents, ZeroPadded, lag_gain, sag_gain
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
}
# The symmetry bound is held at its convention here, so that the table tells what a probe sees and not how good the pairs are.
SETTINGS = {"rotation": {"bound": 0.02}, "phase": {"bound": 0.02}, "plane_wave": {"aliasing_bound": 0.02}}
PROBES = ("plane_wave", "rotation", "phase", "transfer")
EXPECTED = {
    #                      plane_wave rotation  phase     transfer
    "2LPT": ("pass", "pass", "pass", "pass"),
    "zero padding": ("fail", "fail", "fail", "fail"),
    "anisotropic": ("fail", "fail", "pass", "fail"),
    # Nothing comes out along x, where the wave was put in: its phase has no answer.
    "swapped components": ("fail", "fail", "inconclusive", "fail"),
    # The louder cells lie symmetrically about a grid point: translation is broken, rotation is not.
    "grid locked": ("fail", "pass", "fail", "fail"),
    "high-k sag": ("fail", "pass", "pass", "fail"),
    "phase lag": ("fail", "fail", "pass", "fail"),
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
    assert found == dict(zip(PROBES, EXPECTED[name], strict=True))


def test_every_defect_is_caught_by_a_probe_and_every_probe_catches_one():
    for name in DEFECTS:
        assert "fail" in EXPECTED[name], name
    for place, probe in enumerate(PROBES):
        assert any(EXPECTED[name][place] == "fail" for name in DEFECTS), probe
