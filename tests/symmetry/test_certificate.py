"""`certificate` against models whose symmetries, and whose share of broken symmetry, are known in closed form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from probe.description import Symmetries
from probe.interface import run
from probe.model import FieldModel
from probe.zoo.defects import AbsolutePosition, Anisotropic, GridLocked, Handed, ZeroPadded
from probe.zoo.oracles import SecondOrder, displacement_model
from tests.models import CUBE, LINE, SQUARE, on, with_pairs


def ask(model, effort="default", **settings):
    return run("certificate", model, controls="none", effort=effort, settings={"certificate": settings})["certificate"]


def described(model, **changes):
    return FieldModel(model.network, replace(model.description, **changes), dtype=torch.float64)


def checks(result):
    return {check.name: check for check in result.checks}


def exact(result):
    return checks(result)["exact_group"].sentence.removeprefix("The largest exact group: ").removesuffix(".")


def same(values):
    return values


def test_a_stretched_component_owes_two_thirds_of_its_error_to_broken_symmetry(tmp_path):
    # f = S x with S = diag(1 + e, 1, 1), y = x. Over the cube's group the stretched axis is each in turn: the error power is
    # e^2 / 3 of |x|^2, the average F = (1 + e / 3) x is off by e^2 / 9, and the other two thirds break the symmetry.
    stretch = 0.1
    result = ask(with_pairs(on(CUBE, Anisotropic(stretch)), tmp_path, same), fields=1)
    measured = result.measured["model"]
    np.testing.assert_allclose(measured.orbit_error, stretch**2 / 3, rtol=1e-12)
    np.testing.assert_allclose(measured.average_error, stretch**2 / 9, rtol=1e-12)
    np.testing.assert_allclose(measured.breaking, 2 * stretch**2 / 9, rtol=1e-12)
    headline = result.checks[0]
    assert headline.name == "symmetry_breaking" and headline.verdict == "fail"
    assert headline.interval.value == pytest.approx(2 / 3, rel=1e-12)
    first = np.load(tmp_path / "in_0.npy")
    own = stretch**2 * (first[0] ** 2).sum() / (first**2).sum()
    assert float(measured.own_error[0]) == pytest.approx(own, rel=1e-12)
    assert "16 of" not in exact(result) and "every shift" in exact(result)


def test_the_budget_closes_to_rounding_for_a_sample_of_the_group_too(tmp_path):
    model = with_pairs(on(SQUARE, lambda x: ZeroPadded(0.5)(x + 0.1 * x.roll(1, -1) ** 2)), tmp_path, same)
    measured = ask(model, elements=20).measured["model"]
    assert measured.attrs["elements"] == 20 < measured.attrs["order"] == 8 * 32 * 32
    np.testing.assert_allclose(measured.orbit_error, measured.average_error + measured.breaking, rtol=1e-13)


def test_a_handed_filter_holds_the_rotations_and_averaging_mends_all_of_it(tmp_path):
    # f = (1 + s J) x: half of the group turns J's sign, F = x, and the whole of the error breaks the symmetry.
    model = displacement_model(Handed(0.2), SQUARE, "handed")
    result = ask(with_pairs(model, tmp_path, same))
    assert exact(result) == "every shift by whole cells; the square's rotations"
    assert result.checks[0].interval.value == pytest.approx(1, rel=1e-12)
    assert checks(result)["averaging"].interval.value < 1e-25
    np.testing.assert_allclose(result.measured["model"].orbit_error, 0.04, rtol=1e-12)


def test_without_pairs_two_answers_that_a_symmetry_joins_are_compared():
    # |f - F| = s |x|, and two members of the orbit differ by sqrt(2) times that, against |f| = sqrt(1 + s^2) |x|.
    result = ask(displacement_model(Handed(0.2), SQUARE, "handed"))
    expected = np.sqrt(2) * 0.2 / np.hypot(1, 0.2)
    assert result.checks[0].interval.value == pytest.approx(expected, rel=1e-12) and result.checks[0].verdict == "fail"
    assert "convention" in result.checks[0].bound_from
    assert "averaging" not in checks(result) and len(result.panels()) == 1


class Blocks(torch.nn.Module):
    def forward(self, x):
        return x + torch.nn.functional.interpolate(torch.nn.functional.avg_pool3d(x, 2), scale_factor=2)


@pytest.mark.parametrize(
    ("grid", "network", "words"),
    [
        (CUBE, SecondOrder(CUBE), "every shift by whole cells; the cube's rotations and mirrors"),
        (CUBE, Blocks(), "shifts by 2 cells along every axis; the cube's rotations and mirrors about a cell centre"),
        (SQUARE, GridLocked(0.2), "shifts by 2 cells along every axis; the square's rotations and mirrors about a grid point"),
        (SQUARE, AbsolutePosition(0.1), "every shift along y; mirror y → −y about"),
        (LINE, ZeroPadded(0.5), "no shift; no rotation or mirror"),
        (LINE, GridLocked(0.2), "shifts by 2 cells along every axis; mirror x → −x about a grid point"),
        (LINE, Handed(0.2), "every shift by whole cells; no rotation or mirror"),
    ],
    ids=["2LPT", "blocks", "grid locked", "position", "zero padding", "line", "slope"],
)
def test_the_largest_exact_group_is_told_in_words(grid, network, words):
    assert exact(ask(on(grid, network), fields=1)).startswith(words)


def test_classes_are_ranked_worst_first_and_told_apart_by_the_bound():
    result = ask(on(SQUARE, lambda x: GridLocked(0.2)(x) + 1e-4 * x.roll(1, -1)), bound=0.02)
    sentence = checks(result)["ranking"].sentence
    broken, nearly = sentence.index("Broken"), sentence.index("Nearly")
    assert broken < sentence.index("shift by 1 cell") < nearly < sentence.index("mirror across an axis")
    rows = [part.partition(":")[0] for part in result.panels()[0].text.split("; ")]
    assert rows[0] == "shift by 1 cell" and len(rows) == 1 + 5 + 4


def test_an_error_of_nothing_but_rounding_breaks_no_symmetry(tmp_path):
    result = ask(with_pairs(on(CUBE, SecondOrder(CUBE)), tmp_path, SecondOrder(CUBE)), fields=1)
    assert result.checks[0].verdict == "pass" and result.checks[0].interval.value < 1e-3


def test_only_symmetries_that_are_granted_count(tmp_path):
    model = with_pairs(displacement_model(Handed(0.2), SQUARE, "handed"), tmp_path, same)
    turning = ask(described(model, symmetries=Symmetries(("x", "y"), "full", False, declared=True)))
    assert turning.measured["model"].attrs["order"] == 4 and turning.checks[0].interval.value == 0
    assert "mirror across an axis (not granted)" in turning.panels()[0].text
    assert "mirror" not in checks(turning)["ranking"].sentence
    locked = with_pairs(on(LINE, AbsolutePosition(0.2)), tmp_path, same)
    nothing = ask(described(locked, symmetries=Symmetries((), "none", False, declared=True)))
    assert nothing.checks[0].verdict == "not_applicable" and nothing.verdict == "info"


def test_where_the_truth_itself_breaks_the_symmetry_averaging_is_said_to_hurt(tmp_path):
    handed = Handed(0.2)
    model = displacement_model(torch.nn.Sequential(handed), SQUARE, "handed")
    sentence = checks(ask(with_pairs(model, tmp_path, lambda x: 1.01 * handed(x))))["averaging"].sentence
    assert "the truth does not hold these symmetries itself" in sentence


def test_between_walls_there_are_turns_about_the_middle_and_no_shifts():
    walled = described(on(SQUARE, ZeroPadded(0.5)), grid=replace(SQUARE, boundary="zero"))
    result = ask(walled)
    assert exact(result) == "no shift; the square's rotations and mirrors about the middle of the box"
    assert result.measured["model"].attrs["order"] == 8 and result.checks[0].verdict == "pass"


def test_effort_decides_how_many_symmetries_are_averaged_over():
    model = on(CUBE, GridLocked(0.2))
    counts = {effort: ask(model, effort, fields=1).measured["model"].attrs["elements"] for effort in ("quick", "default", "full")}
    assert counts == {"quick": 12, "default": 48, "full": 192}
