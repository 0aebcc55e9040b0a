"""Where a published network looks: the case study's numbers, and the reason for them found by hand."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

import probe
from probe import attribution, derivatives, targets
from probe.interface import run
from probe.model import FieldModel
from probe.runner.subject import LocalSubject

DATA = Path(os.environ.get("PROBE_REALDATA", ""))
STUDY = Path(__file__).parent.parent / "docs" / "case_studies" / "deepmass"
pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif("PROBE_REALDATA" not in os.environ, reason="PROBE_REALDATA names no folder of networks and data"),
]


@cache
def deepmass() -> FieldModel:
    """The network as the case study describes it."""
    return probe.load(DATA / "mass_mapping" / "deepmass_state_dict.pt", spec=STUDY / "deepmass.probe.toml")


def path() -> tuple[targets.Function, Tensor]:
    """The default target of the first made field, and that field."""
    subject = LocalSubject("model", deepmass(), None, "default", 0, "saliency")
    (target,) = targets.defaults(subject)
    return targets.function_of(subject, target), attribution.values_of(subject, 0)


@cache
def saliency() -> tuple[xr.Dataset, dict[str, str]]:
    """What `saliency` measures of two fields, and its verdicts."""
    result = run("saliency", deepmass(), controls="none", settings={"saliency": {"samples": 2, "methods": ("gradient",)}})[
        "saliency"
    ]
    assert not result.failure, result.failure
    return result.measured["model"], {check.name: check.verdict for check in result.checks}


def test_the_gradient_is_that_of_the_network_by_hand() -> None:
    function, given = path()
    values = given.clone().requires_grad_()
    (found,) = torch.autograd.grad(function(values).sum(), values)
    assert saliency()[0].picture.values[0, 0] == pytest.approx(found[0, 0].numpy(), rel=1e-4, abs=1e-6 * float(found.abs().max()))


def test_most_of_the_gradient_is_the_pixel_itself() -> None:
    picture = saliency()[0].picture.values[0, 0]
    assert picture[128, 128] ** 2 > 0.9 * float((picture**2).sum())


def test_slopes_change_too_fast_on_the_way_from_nothing_for_contributions_to_add_up() -> None:
    function, given = path()
    with torch.no_grad():
        whole = float(function(given) - function(torch.zeros_like(given)))
    places = np.linspace(0.05, 0.95, 10)
    slopes = np.array([float((derivatives.gradient(function, t * given) * given).double().sum()) for t in places])
    # The mean of the slopes would be the difference itself; they are several times as large, and of both signs.
    assert slopes.min() < 0 < slopes.max() and slopes.std() > 2 * abs(whole)


def test_half_of_the_map_lies_within_a_degree_of_the_target() -> None:
    data = saliency()[0]
    half = [np.interp(0.5, row, data.distance.values) for row in data.within.values[0, 0]]
    assert all(0.05 < one < 2.5 for one in half)
    # Beyond the receptive field, 61 pixels of 0.075 degrees along each axis, there is nothing.
    far = data.distance.values > 62 * np.sqrt(2) * 0.075
    assert not np.nan_to_num(data.profile.values[0, 0][:, far]).any()
