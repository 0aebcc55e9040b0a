"""Every figure of every probe, in every dimension: labelled, with something in it, and with the numbers beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from probe.interface import run
from tests.models import CUBE, LINE, SQUARE, on, with_pairs

WALLED = [replace(grid, boundary=boundary) for grid, boundary in ((CUBE, "zero"), (SQUARE, "reflect"), (LINE, "none"))]


@pytest.fixture(scope="module", params=[CUBE, SQUARE, LINE, *WALLED], ids=["3D", "2D", "1D", "3D walled", "2D walled", "1D walled"])
def results(request, tmp_path_factory):
    def nearly(values):
        return 0.98 * values + 0.01 * values.abs()

    model = with_pairs(on(request.param, nearly), tmp_path_factory.mktemp("pairs"), lambda values: values + 0.02 * values.abs())
    return [result for result in run("all", model).values() if result.verdict != "not_applicable"]


def axes_of(result):
    return [(p.title, axes) for p in result.panels() for _, figure in p.figures for axes in figure.axes]


def holds_something(axes):
    lines = [np.isfinite(np.asarray(line.get_ydata(), dtype=float)).any() for line in axes.get_lines()]
    return any(lines) or axes.images or axes.collections or axes.patches


def test_no_panel_is_empty_and_every_axis_is_labelled(results):
    assert len(results) >= 2
    for result in results:
        for title, axes in axes_of(result):
            assert holds_something(axes), (result.probe.name(), title)
            upright = any(shared.get_ylabel() for shared in axes.get_shared_y_axes().get_siblings(axes))
            labelled = (axes.get_xlabel() and upright) or axes.get_label() == "<colorbar>" or axes.images
            assert labelled, (result.probe.name(), title)


def test_every_panel_says_how_to_read_it_and_what_the_numbers_are(results):
    for result in results:
        for panel in result.panels():
            assert len(panel.caption) > 40 and any(letter.isdigit() for letter in panel.text), (result.probe.name(), panel.title)
            assert panel.variables and set(panel.variables) <= set(result.measured["model"].variables)


def test_what_is_stored_carries_its_unit(results):
    for result in results:
        for name, variable in result.measured["model"].data_vars.items():
            assert "units" in variable.attrs, (result.probe.name(), name)


def test_a_verdict_is_reached_in_every_dimension(results):
    assert {result.verdict for result in results} <= {"pass", "fail", "inconclusive", "info"}
    sentences = [check.sentence for result in results for check in result.checks if check.verdict != "not_applicable"]
    assert all(sentence.endswith((".", ")")) for sentence in sentences)
