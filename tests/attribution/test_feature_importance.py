"""`feature_importance` on answers whose physics is known: one scale of the density, the shear alone, gravity's second order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from probe.description import DataSource, Description
from probe.fields import Quantity
from probe.grid import Grid
from probe.interface import run
from probe.intervals import of_mean, of_samples
from probe.model import FieldModel
from probe.perturbation import zeldovich
from probe.runner.subject import LocalSubject
from probe.spheres import contrast, ellipticity, scales, shear
from probe.trees import FeatureTable, Fold, Group, apart, between_simulations, compared, groups, profile
from probe.waves import gaussian_field
from probe.zoo.gravity_defects import Miscoupled
from probe.zoo.oracles import SecondOrder
from tests.models import CUBE, LINE, SQUARE, Function, on, with_pairs

RADII = 5
SMALL = {"scales": RADII, "points": 300, "simulations": 3}


def ask(model, controls="none", **settings):
    return run("feature_importance", model, controls=controls, settings={"feature_importance": SMALL | settings})[
        "feature_importance"
    ]


def check_of(result, name):
    return next(check for check in result.checks if check.name == name)


def of_white_noise(grid, function, folder, truth=None, kind="scalar"):
    """A model from one scalar to another quantity, with pairs of white noise."""
    model = FieldModel(
        Function(function),
        Description(grid, (Quantity("delta"),), (Quantity("y", kind),), data=source(folder)),
        dtype=torch.float64,
    )
    for index in range(3):
        given = gaussian_field(grid, torch.ones_like, torch.Generator().manual_seed(index))[None]
        np.save(folder / f"in_{index}.npy", given[0].numpy())
        np.save(folder / f"out_{index}.npy", (truth or function)(given)[0].numpy())
    return model


def source(folder):
    return DataSource(str(folder), "in_*.npy", "out_*.npy")


@pytest.mark.parametrize("grid", [Grid.cubic(12, 12.0), SQUARE, LINE], ids=["3D", "2D", "1D"])
def test_an_answer_of_one_scale_gives_that_scale_all_importance(grid, tmp_path):
    radii = scales(grid, RADII)
    names = groups(grid, radii)
    right = next(i for i, group in enumerate(names) if 2 in group.features)
    result = ask(of_white_noise(grid, lambda x: contrast(x[:, 0], grid, [radii[2]]), tmp_path), target="answer")
    found = result.measured["model"]
    assert result.verdict == "pass" and check_of(result, "same_physics").interval.value == 0
    # A split chooses from a third of the features, so that neighbours do a part of the work.
    assert (profile(found.permutation.mean("asked").values)[:, right] > 0.8).all()
    assert found.impurity.values.mean(0)[0].argmax() == 2
    np.testing.assert_allclose(found.impurity.sum(("kind", "radius")), 1, rtol=1e-12)
    assert check_of(result, "explained").interval.value > 0.6
    if grid is LINE:
        assert check_of(result, "adding_shear").verdict == "not_applicable"
    else:
        assert (
            "does not improve" in check_of(result, "adding_shear").sentence or check_of(result, "adding_shear").interval.value > 0.9
        )


@pytest.mark.parametrize("grid", [Grid.cubic(12, 12.0), SQUARE], ids=["3D", "2D"])
def test_an_answer_of_the_shear_alone_is_found_there_and_not_in_the_density(grid, tmp_path):
    radius = scales(grid, RADII)[2]
    result = ask(of_white_noise(grid, lambda x: ellipticity(shear(x[:, 0], grid, [radius])), tmp_path), points=500, target="answer")
    found = result.measured["model"]
    share = profile(found.permutation.mean("asked").values)
    assert (share[:, found.shear.values].sum(1) > 0.9).all()
    assert found.impurity.values.mean(0)[1].argmax() == 2
    told = check_of(result, "adding_shear")
    assert told.interval.value < 0.5 and (found.unexplained.mean("asked")[:, 0] > 0.8).all()


def test_a_vectors_answer_is_its_divergence(tmp_path):
    grid = Grid.cubic(12, 12.0)
    radius = scales(grid, RADII)[2]
    # -div of the Zel'dovich displacement of a density is that density.
    model = of_white_noise(grid, lambda x: zeldovich(contrast(x[:, 0], grid, [radius])[:, 0], grid), tmp_path, kind="vector")
    found = ask(model).measured["model"]
    assert found.impurity.values.mean(0)[0].argmax() == 2 and found.attrs["what"] == "-div y"


def test_a_coupling_blind_to_the_angle_lacks_the_shear_of_gravitys_second_order(tmp_path):
    right = with_pairs(on(CUBE, SecondOrder(CUBE)), tmp_path, SecondOrder(CUBE), count=8)
    result = ask(right, scales=4)
    assert result.verdict != "fail" and check_of(result, "same_physics").interval.value == 0
    blind = torch.nn.Sequential(SecondOrder(CUBE), Miscoupled(CUBE, along=1.0))
    told = ask(FieldModel(blind, right.description, dtype=torch.float64), scales=4, points=500, simulations=8)
    lacking = check_of(told, "tidal")
    # Trees pay a little for features that say nothing: more than all is lacking.
    assert lacking.verdict == "fail" and lacking.interval.value > 0.9
    assert check_of(told, "adding_shear").interval.value > 1


def test_what_a_skip_connection_hands_through_is_no_physics(tmp_path):
    model = with_pairs(on(CUBE, lambda psi: psi), tmp_path, SecondOrder(CUBE))
    result = ask(model)
    assert result.verdict == "fail" and check_of(result, "same_physics").interval.value == pytest.approx(0.5)
    assert float(abs(result.measured["model"].permutation).max()) == 0
    itself = ask(model, target="answer")
    assert float(itself.measured["model"].unexplained.mean()) < 0.2


def test_without_pairs_it_tells_and_does_not_judge():
    result = ask(on(SQUARE, lambda x: x + 0.1 * x**2))
    assert check_of(result, "same_physics").verdict == "not_applicable" and result.verdict == "info"
    assert result.panels()


def test_a_truth_that_adds_nothing_has_no_physics_to_be_held_to(tmp_path):
    result = ask(with_pairs(on(SQUARE, lambda x: x), tmp_path, lambda x: x))
    assert "nothing about a point predicts" in check_of(result, "same_physics").sentence


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"outputs": (Quantity("n", "number"),)}, "'n' is a number"),
        ({"grid": replace(SQUARE, boundary="zero")}, "reach beyond the walls"),
    ],
)
def test_where_there_are_no_spheres_it_says_so(change, reason):
    model = on(SQUARE, lambda x: x)
    model = FieldModel(model.network, replace(model.description, **change), dtype=torch.float64)
    result = ask(model)
    assert result.verdict == "not_applicable" and reason in result.reason


def test_one_simulation_leaves_nothing_to_be_asked_about(tmp_path):
    result = ask(with_pairs(on(SQUARE, lambda x: x), tmp_path, lambda x: x, count=1))
    assert result.verdict == "not_applicable" and "give more pairs" in result.reason


def test_trees_find_the_shares_of_independent_features():
    draw = np.random.default_rng(0)
    features = draw.uniform(-1, 1, (3, 1500, 4))
    target = 2 * features[..., 0] + features[..., 1]
    every = [Group(name, False, (i,)) for i, name in enumerate("abc")] + [Group("a and b", False, (0, 1))]
    table = FeatureTable(features, target, every, 0)
    grown = table.grow(LocalSubject("model", None, None, "default", 0, "x"), Fold(0, (0, 1, 2, 3)))
    # Exchanged, a feature of weight w has the mean square error 2 w^2 var(x), of the variance 5 var(x) of the target; trees of
    # 1500 points leave a few per cent.
    assert np.isnan(grown.unexplained[0]) and (grown.unexplained[1:] < 0.05).all()
    np.testing.assert_allclose(grown.permutation[1:], [[1.6, 0.4, 0.0, 2.0]] * 2, atol=0.2)
    np.testing.assert_allclose(grown.impurity, [0.8, 0.2, 0.0, 0.0], atol=0.05)


@pytest.mark.parametrize("count", [3, 5])
def test_simulations_are_sampled_as_grown_on_and_as_asked_about(count):
    draw = np.random.default_rng(1)
    grown_on, asked_about = draw.normal(size=(2, count))
    errors = grown_on[:, None] + asked_about
    np.fill_diagonal(errors, np.nan)
    rows, means = between_simulations(errors)
    found = of_samples(rows, lambda kept: means(kept)[0].mean())
    # Of a sum the shares of simulations are their own parts, and the interval that of the mean of independent numbers; means over
    # those asked about, sampled as if they were independent, would leave out most of what these scatter by.
    np.testing.assert_allclose(found.samples, grown_on + asked_about, rtol=1e-10)
    right = of_mean(grown_on + asked_about)
    np.testing.assert_allclose([found.value, found.low, found.high], [right.value, right.low, right.high], rtol=1e-10)


def test_two_simulations_are_asked_about_each_other():
    rows, means = between_simulations(np.array([[np.nan, 3.0], [5.0, np.nan]]))
    assert means(rows)[0].tolist() == [3.0, 5.0] and means(rows[:1])[0].tolist() == [3.0]


def test_with_more_features_the_error_is_compared_pair_by_pair():
    errors = np.array([[np.nan, 1.0, 2.0], [3.0, np.nan, 4.0], [5.0, 6.0, np.nan]])
    ratio, word = compared(errors, errors / 2)
    np.testing.assert_allclose([ratio.value, ratio.low, ratio.high], 0.5)
    assert word == "better" and compared(errors / 2, errors)[1] == "worse" and compared(errors, errors)[1] == "no better"


def test_profiles_differ_by_the_share_that_stands_elsewhere():
    one, other = profile(np.array([[3.0, 1.0, -0.1], [0.0, 0.0, 0.0]])), profile(np.array([[1.0, 1.0, 2.0], [1.0, 0.0, 0.0]]))
    np.testing.assert_allclose(one, [[0.75, 0.25, 0.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(apart(one, other), [0.5, 0.5])
