"""Figures as markup: small, whole, and the same to look at."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy import ndarray

from probe import figures
from probe.report.curves import TOLERANCE, kept, thinned
from probe.report.pictures import Pictures


@pytest.fixture
def drawn() -> list[str]:
    """Two figures of one page, with a logarithmic axis, whose ticks are formulas."""
    pictures, markup = Pictures(), []
    for color in ("#0072B2", "#0072B2"):
        made, axes = figures.figure()
        axes[0, 0].plot([1, 10, 100], [1e-3, 1e-2, 1e-1], color=color, marker="o")
        axes[0, 0].set(xscale="log", yscale="log", xlabel="k [$h/\\mathrm{Mpc}$]")
        markup.append(str(pictures.markup(made, "label", "text")))
    return markup


def test_they_are_well_formed_and_every_reference_is_met_in_its_own_figure(drawn):
    for svg in drawn:
        ElementTree.fromstring(svg)
        used = set(re.findall(r"url\(#([^)]+)\)", svg)) | set(re.findall(r'href="#([^"]+)"', svg))
        assert used and used <= set(re.findall(r' id="([^"]+)"', svg))
    assert not set(re.findall(r' id="([^"]+)"', drawn[0])) & set(re.findall(r' id="([^"]+)"', drawn[1]))


def test_each_style_is_written_once_a_page_and_every_class_has_its_rule(drawn):
    page = "".join(drawn)
    rules = re.findall(r"\.(s\d+)\{([^}]*)\}", page)
    assert len({style for _, style in rules}) == len(rules) and " style=" not in page
    assert set(re.findall(r'class="([^"]+)"', page)) == {name for name, _ in rules}
    assert len(drawn[1]) < len(drawn[0])


def test_the_characters_of_a_formula_keep_their_places(drawn):
    texts = ElementTree.fromstring(drawn[0]).iter("tspan")
    spans = [(span.text, span.get("x", "").split()) for span in texts]
    assert any(text == "10" for text, _ in spans)
    assert all(len(places) in (1, len(text or "")) for text, places in spans)


def distance(points: ndarray, line: ndarray) -> ndarray:
    """Of each point from a polyline, its stretches sampled a thousand times."""
    share = np.linspace(0, 1, 1000)[:, None, None]
    dense = (line[:-1] + share * np.diff(line, axis=0)).reshape(-1, 2)
    return np.hypot(*(points[:, None] - dense).transpose(2, 0, 1)).min(1)


def read(path: str) -> list[ndarray]:
    """The polylines of a path written as M and relative l."""
    found = []
    for line in re.findall(r"M[^Mz]*", path):
        start, steps = (np.array(re.findall(r"-?[\d.]+", part), dtype=float).reshape(-1, 2) for part in line[1:].split("l"))
        found.append(np.concatenate([start, start + steps.cumsum(0)]))
    return found


def written(points: ndarray) -> str:
    return "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in points)


def test_a_thinned_curve_is_nowhere_further_off_than_the_eye_can_tell():
    x = np.linspace(0, 400, 700)
    bump = np.stack([x, 200 - 150 * np.exp(-(((x - 180) / 40) ** 2)) + 2 * np.sin(x / 3)], 1)
    (line,) = read(thinned(written(bump)))
    assert len(line) < len(bump) / 2
    assert distance(bump, line).max() < TOLERANCE + 0.01  # and the last digit that is written
    np.testing.assert_allclose(line[[0, -1]], bump[[0, -1]], atol=0.006)


def test_an_outline_that_comes_back_to_where_it_began_keeps_its_far_corner_and_its_end():
    outline = np.array([[0, 0], [10, 0.01], [20, 0], [20, 30], [10, 30.01], [0, 30], [0, 0]])
    assert kept(outline).tolist() == [True, False, True, True, False, True, True]
    back = np.array([[0.0, 0.0], [30.0, 0.0], [10.0, 0.0]])  # beyond its own end and back
    assert kept(back).all()


def test_steps_add_up_without_drift_and_the_rest_of_a_path_stays():
    walk = np.random.default_rng(3).normal(size=(400, 2)).cumsum(0)
    mixed = f"{written(walk)}zM1 2C3 4 5 6 7 8zM1 2"
    made = thinned(mixed)
    assert made.endswith("zM1 2C3 4 5 6 7 8zM1 2")
    (line,) = read(made.partition("z")[0])
    assert distance(walk, line).max() < TOLERANCE + 0.01
    assert distance(walk[[-1]], line[[-1, -1]])[0] < 0.01


def test_groups_that_say_nothing_are_left_out_and_the_others_close(drawn):
    for svg in drawn:
        assert "<g>" not in svg
        assert svg.count("<g ") == svg.count("</g>") > 0
