"""`reflection` against operators without handedness, and handed ones by an amount written out here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from probe.description import Symmetries
from probe.equivariance import test_field as field_to_mirror
from probe.fields import Quantity
from probe.interface import run
from probe.model import FieldModel
from probe.runner.subject import LocalSubject
from probe.zoo.defects import Handed
from probe.zoo.oracles import Filter, SecondOrder, displacement_model, gaussian_gain
from tests.models import CUBE, LINE, SQUARE, Function, on, with_pairs


def ask(model, effort="default", **settings):
    return run("reflection", model, controls="none", effort=effort, settings={"reflection": settings})["reflection"]


def mirrored(model):
    """The first field that the probe mirrors."""
    return field_to_mirror(LocalSubject("model", model, None, "default", 0, "reflection"), 0)[0].values[0].numpy()


def described(model, **changes):
    return FieldModel(model.network, replace(model.description, **changes), dtype=torch.float64)


def checks(result):
    return {check.name: check for check in result.checks}


def slope(values, axis):
    return (np.roll(values, -1, axis) - np.roll(values, 1, axis)) / 2


def curl(v):
    return np.stack([slope(v[(i + 2) % 3], (i + 1) % 3) - slope(v[(i + 1) % 3], (i + 2) % 3) for i in range(3)])


@pytest.mark.parametrize(
    ("grid", "network"),
    [
        (CUBE, SecondOrder(CUBE)),
        (SQUARE, Filter(gaussian_gain(3.0), SQUARE)),
        (LINE, lambda x: x + x.roll(1, -1) + x.roll(-1, -1)),
    ],
    ids=["2LPT", "filter", "stencil"],
)
def test_what_has_no_handedness_is_exact_to_rounding(grid, network):
    result = ask(on(grid, network), effort="full", fields=1)
    measured = result.measured["model"]
    assert measured.sizes["mirror"] == {3: 24, 2: 4, 1: 1}[grid.dimension]
    assert float(measured.mirror_error.max()) < 100 * np.finfo(float).eps
    assert checks(result)["exact_mirrors"].interval.value == measured.sizes["mirror"]


def test_a_slope_has_the_error_of_its_closed_form_along_its_own_axis_alone():
    # f = x + s d x with d odd: the mirror turns its sign, |f(gx) - g f(x)| = 2 s |d x|, and d x is orthogonal to x.
    strength = 0.2
    for grid in (LINE, SQUARE):
        model = on(grid, Handed(strength))
        x = mirrored(model)[0]
        across = strength * np.linalg.norm(slope(x, 0))
        measured = ask(model, fields=1).measured["model"]
        first = float(measured.mirror_error.sel(mirror="mirror x → −x")[0])
        assert first == pytest.approx(2 * across / np.hypot(np.linalg.norm(x), across), rel=1e-12)
    assert float(measured.mirror_error.sel(mirror="mirror y → −y")[0]) < 1e-15


def test_in_the_plane_a_quarter_turn_added_is_wrong_by_its_closed_form_under_every_mirror():
    # f = (1 + s J) v: the mirror turns J's sign, so 2 s |J v| against sqrt(1 + s^2) |v|.
    strength = 0.2
    model = displacement_model(Handed(strength), SQUARE, "handed")
    measured = ask(model, effort="full", fields=1).measured["model"]
    np.testing.assert_allclose(measured.mirror_error, 2 * strength / np.hypot(1, strength), rtol=1e-12)


def test_in_space_a_curl_added_is_wrong_by_its_closed_form_under_every_mirror():
    strength = 0.2
    model = on(CUBE, Handed(strength))
    v = mirrored(model)
    expected = 2 * strength * np.linalg.norm(curl(v)) / np.linalg.norm(v + strength * curl(v))
    result = ask(model, effort="full", fields=1)
    np.testing.assert_allclose(result.measured["model"].mirror_error, expected, rtol=1e-12)
    assert ask(model).verdict == "fail"
    rotations = run("rotation", model, controls="none", settings={"rotation": {"fields": 1}})["rotation"]
    assert float(rotations.measured["model"].turn_error.max()) < 1e-13


def vorticity(v):
    return (v[:, 1:].roll(-1, 2) - v[:, 1:].roll(1, 2) - v[:, :1].roll(-1, 3) + v[:, :1].roll(1, 3)) / 2


def space_curl(v):
    return Handed(1.0)(v) - v


@pytest.mark.parametrize(
    ("grid", "network", "kind", "wrong"),
    [(SQUARE, vorticity, "pseudoscalar", "scalar"), (CUBE, space_curl, "pseudovector", "vector")],
    ids=["2D", "3D"],
)
def test_a_pseudo_quantity_is_exact_and_called_a_plain_one_it_is_wrong_by_two(grid, network, kind, wrong):
    model = displacement_model(Function(network), grid, "curl")
    right = ask(described(model, outputs=(Quantity("w", kind),)), fields=1)
    assert float(right.measured["model"].mirror_error.max()) < 1e-14
    called = ask(described(model, outputs=(Quantity("w", wrong),)), fields=1)
    np.testing.assert_allclose(called.measured["model"].mirror_error, 2, rtol=1e-12)
    assert checks(called)["mirrors"].interval.value == pytest.approx(2) and called.measured["model"].added == 1


def test_only_mirrors_along_the_granted_axes_are_judged():
    model = on(SQUARE, Handed(0.2))  # a slope along x

    def under(reflection, rotation="none"):
        return checks(ask(described(model, symmetries=Symmetries(("x", "y"), rotation, reflection, declared=True))))

    assert under(("y",))["mirrors"].verdict == "pass"
    assert under(("y",))["other_mirrors"].verdict == "info" and under(("y",))["other_mirrors"].interval.value > 0.1
    assert under(("x",))["mirrors"].verdict == under(True)["mirrors"].verdict == "fail"
    assert under(("y",), rotation="full")["mirrors"].verdict == "pass"
    assert under(False)["mirrors"].verdict == "info" and "denies" in under(False)["mirrors"].sentence


def test_a_mirror_beside_the_inputs_is_found_and_told():
    # Means of blocks of two, put back one cell farther: the mirror of the answer lies one cell beside that of the input.
    def displaced(x):
        return torch.nn.functional.interpolate(torch.nn.functional.avg_pool2d(x, 2), scale_factor=2).roll((1, 1), (2, 3))

    result = ask(on(SQUARE, displaced), fields=1)
    assert float(result.measured["model"].mirror_error.max()) < 1e-15
    assert "1 cells beside" in result.checks[0].sentence


def test_between_walls_the_mirror_lies_in_the_middle_of_the_box():
    walled = described(on(SQUARE, lambda x: x + 0.1 * x.abs()), grid=replace(SQUARE, boundary="zero"))
    result = ask(walled, fields=1)
    assert float(result.measured["model"].mirror_error.max()) == 0 and "the middle of the box" in result.checks[0].sentence


def test_every_output_quantity_counts_however_small_its_unit():
    # Two scalars, the second handed and 1e-6 of the first: half of the mean square error is its own.
    def two(values):
        return torch.cat([1e6 * values, Handed(0.2)(values)], 1)

    model = described(on(LINE, two), outputs=(Quantity("large"), Quantity("small")))
    one = ask(on(LINE, Handed(0.2)), fields=1).measured["model"].mirror_error.item()
    assert ask(model, fields=1).measured["model"].mirror_error.item() == pytest.approx(one / np.sqrt(2), rel=1e-12)


def test_with_pairs_the_bound_is_the_models_own_error(tmp_path):
    check = ask(with_pairs(on(LINE, lambda x: 1.1 * x), tmp_path, lambda x: x)).checks[0]
    assert check.bounds[1] == pytest.approx(0.1 / 1.1, rel=1e-6) and check.covers == "4 fields"
