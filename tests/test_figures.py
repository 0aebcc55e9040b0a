"""The house style: the same line for the same subject, labels with units, nothing global."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from probe import figures

SUBJECTS = ("model", "simulator", "truth", "identity", "lpt2", "linear_filter", "untrained")


def test_importing_it_imports_no_drawing_library() -> None:
    code = "import sys, probe.figures; print([m for m in ('matplotlib', 'numpy._core', 'torch') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_a_figure_has_its_panels_and_leaves_global_style_alone() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    made, axes = figures.figure(columns=3, rows=2, width=7.0, height=4.0, sharey=True)
    assert axes.shape == (2, 3)
    assert tuple(made.get_size_inches()) == (7.0, 4.0)
    assert not axes[0, 0].spines["top"].get_visible()
    assert axes[0, 1].get_shared_y_axes().joined(axes[0, 1], axes[0, 2])
    assert dict(matplotlib.rcParams) == before


def test_subjects_differ_in_colour_or_dashes() -> None:
    seen = {(figures.style(s)["color"], str(figures.style(s)["linestyle"])) for s in SUBJECTS}
    assert len(seen) == len(SUBJECTS)
    assert figures.style("identity")["label"] == "input itself"
    assert figures.style("identity", "Zel'dovich (input)")["label"] == "Zel'dovich (input)"


def test_an_unknown_subject_looks_the_same_in_every_process() -> None:
    code = "from probe.figures import style; print(style('half width'))"
    runs = {subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout for _ in range(2)}
    assert runs == {f"{figures.style('half width')}\n"}
    assert figures.style("half width")["color"] not in {figures.style(s)["color"] for s in SUBJECTS}


@pytest.mark.parametrize(
    ("unit", "label"),
    [
        ("", "k"),
        ("dimensionless", "k"),
        ("Mpc/h", r"k [$\mathrm{Mpc}/h$]"),
        ("h/Mpc", r"k [$h/\mathrm{Mpc}$]"),
        ("(Mpc/h)^3", r"k [$(\mathrm{Mpc}/h)^{3}$]"),
        ("m s^-2", r"k [$\mathrm{m}\,\mathrm{s}^{-2}$]"),
        ("km^2 * s^(-1/2)", r"k [$\mathrm{km}^{2}\,\mathrm{s}^{-1/2}$]"),
        ("(1/s^2)^2 (km)^2", r"k [$(1/\mathrm{s}^{2})^{2}\,(\mathrm{km})^{2}$]"),
        ("$odd {unit}", r"k [\$odd {unit}]"),
    ],
)
def test_axis_labels_are_set_and_can_be_drawn(unit: str, label: str) -> None:
    assert figures.axis_label("k", unit) == label
    made, axes = figures.figure(width=2, height=2)
    axes[0, 0].set_xlabel(label)
    made.draw_without_rendering()


def test_a_band_without_edges_does_not_stretch_the_axes() -> None:
    _, axes = figures.figure()
    figures.band(axes[0, 0], np.arange(4.0), np.array([0, 1, -np.inf, 1]), np.array([1, 2, np.inf, 2]), "model")
    assert axes[0, 0].dataLim.ymin == 0
    assert axes[0, 0].dataLim.ymax == 2


def test_a_legend_needs_something_labelled() -> None:
    _, axes = figures.figure()
    figures.legend(axes[0, 0])
    assert axes[0, 0].get_legend() is None
    axes[0, 0].plot([0, 1], **figures.style("lpt2"))
    figures.legend(axes[0, 0], loc="upper left")
    assert axes[0, 0].get_legend().get_texts()[0].get_text() == "2LPT"


def test_slices_share_a_scale_within_their_group_only() -> None:
    fields = {"input": np.eye(4), "output": -3 * np.eye(4), "error": 0.1 * np.eye(4)}
    made = figures.slices(fields, "Mpc/h", extent=(0, 8, 0, 8), extent_unit="Mpc/h", shared=[["input", "output"]])
    limits = [axes.images[0].get_clim() for axes in made.axes[:3]]
    assert limits == [(-3, 3), (-3, 3), (-0.1, 0.1)]
    assert len(made.axes) == 3 + 2
    assert [axes.get_title(loc="left") for axes in made.axes[:3]] == list(fields)


def test_slices_run_right_and_up() -> None:
    values = np.zeros((5, 3))
    values[4, 0] = 1
    image = figures.slices({"f": values}, "", diverging=False).axes[0].images[0]
    assert np.argwhere(image.get_array() == 1).tolist() == [[0, 4]]
    assert image.get_extent() == [0, 5, 0, 3]
    assert image.origin == "lower"


def test_a_matrix_says_its_numbers_and_leaves_gaps_empty() -> None:
    made = figures.matrix(np.array([[0.123, -1.0], [np.nan, 0.5]]), ["a", "b"], ["x", "y"], "h/Mpc", "coupling")
    panel = made.axes[0]
    assert [text.get_text() for text in panel.texts] == ["0.12", "-1", "0.5"]
    assert panel.images[0].get_clim() == (-1, 1)
    assert made.axes[1].get_ylabel() == figures.axis_label("coupling", "h/Mpc")


def test_fields_of_nothing_but_nan_can_be_drawn() -> None:
    figures.slices({"f": np.full((4, 4), np.nan)}, "").draw_without_rendering()


def test_ordered_curves_go_from_dark_to_light() -> None:
    from matplotlib.colors import to_rgb

    brightness = [sum(to_rgb(figures.ramp(n, 5))) for n in range(5)]
    assert brightness == sorted(brightness)
    assert brightness[-1] < 2
    assert figures.ramp(0, 1) == figures.ramp(0, 5)


def test_a_ranking_draws_what_is_exact_at_the_left_edge_and_bears_a_bound_of_zero() -> None:
    lines = {"bound": 0.0, "rounding": 1e-5}
    panel = figures.ranking({"model": np.array([0.1, 0.0])}, ["broken", "exact"], lines, "error").axes[0]
    points = next(line for line in panel.get_lines() if line.get_label() == "model")
    np.testing.assert_allclose(points.get_xdata(), [0.1, 1e-6])
    assert panel.get_xlim()[0] < 1e-6 and [label.get_text() for label in panel.get_yticklabels()] == ["broken", "exact"]
    assert panel.get_ylim() == (1.5, -0.5)


def test_names_are_slanted_only_where_they_would_run_into_each_other() -> None:
    _, axes = figures.figure(columns=2)
    figures.names(axes[0, 0], ["a", "b", "c"])
    figures.names(axes[0, 1], ["input layer", "hidden layer", "output layer"])
    assert [label.get_rotation() for label in axes[0, 0].get_xticklabels()] == [0, 0, 0]
    assert [label.get_rotation() for label in axes[0, 1].get_xticklabels()] == [30, 30, 30]
    assert [label.get_text() for label in axes[0, 0].get_xticklabels()] == ["a", "b", "c"]
