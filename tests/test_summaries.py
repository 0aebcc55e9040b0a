"""Quantities of the input fields: each beside its closed form, on lines, planes and cubes, and for numbers among the inputs."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import probe
from probe import spheres, summaries
from probe.data import call_pairs
from probe.description import DataSource, Description
from probe.fields import Quantity
from probe.model import FieldModel
from probe.runner.subject import LocalSubject

LINE, PLANE, CUBE = (probe.Grid.cubic(16, 32.0, dimension, unit="Mpc/h") for dimension in (1, 2, 3))
DELTA = (Quantity("delta"),)
AMPLITUDES = np.array([0.5, 1.0, 2.0])
GRIDS = pytest.mark.parametrize("grid", [LINE, PLANE, CUBE], ids=["line", "plane", "cube"])


def subject(grid, fields, inputs=DELTA):
    """A subject whose pairs have these inputs."""
    described = Description(grid, inputs, (Quantity("out"),), data=DataSource("made:pairs"))
    model = FieldModel(nn.Identity(), described, dtype=torch.float64)
    outputs = np.zeros((len(fields), 1, *grid.shape))
    return LocalSubject("model", model, call_pairs(lambda: (fields, outputs), described), "default", 0, "mutual_information")


def waves(grid, mode=1):
    """1 + A cos(k x) along the first axis."""
    x = grid.positions()[0].numpy() * np.ones(grid.shape)
    return 1 + AMPLITUDES[:, None].reshape(-1, 1, *[1] * grid.dimension) * np.cos(2 * math.pi * mode * x / grid.box[0])


def found(grid, fields, **how):
    return {one.name: one for one in summaries.of_inputs(subject(grid, fields, **how))}


@GRIDS
def test_moments_and_power_of_a_wave_are_those_of_its_formula(grid):
    seen = found(grid, waves(grid))
    np.testing.assert_allclose(seen["mean of delta"].values, 1, rtol=1e-6)
    np.testing.assert_allclose(seen["standard deviation of delta"].values, AMPLITUDES / math.sqrt(2), rtol=1e-6)
    np.testing.assert_allclose(seen["largest value of delta"].values, 1 + AMPLITUDES, rtol=1e-6)
    power = seen["ln P of delta"]
    assert power.coordinate.name == "k" and power.coordinate.unit == "h/Mpc"
    # The two modes of a wave hold A^2 V/4 each; its octave is the first.
    shells = grid.shells()
    octave = np.floor(np.log2(shells.wavenumber.numpy() / grid.fundamental) + 0.5) == 0
    expected = np.log(AMPLITUDES**2 * grid.volume / 2 / shells.modes.numpy()[octave].sum())
    np.testing.assert_allclose(power.values[:, 0], expected, rtol=1e-6)


@GRIDS
def test_a_wave_seen_through_spheres_is_its_window_high_and_pressed_along_itself(grid):
    seen = found(grid, waves(grid))
    sigma = seen["sigma(R) of delta"]
    window = spheres.window(
        torch.tensor([grid.fundamental * radius for radius in sigma.coordinate.values], dtype=torch.float64), grid.dimension
    )
    expected = AMPLITUDES[:, None] * np.abs(window.numpy()) / math.sqrt(2)
    np.testing.assert_allclose(sigma.values, expected, rtol=1e-6)
    np.testing.assert_allclose(seen["peak height of delta"].values, math.sqrt(2), rtol=1e-6)
    if grid.dimension > 1:
        # (1 - 1/D, -1/D, ...) delta at a peak of delta: t_1 - t_D = delta.
        np.testing.assert_allclose(seen["ellipticity at the peak of delta"].values, math.sqrt(2), rtol=1e-6)
    if grid.dimension == 3:
        np.testing.assert_allclose(seen["prolateness at the peak of delta"].values, math.sqrt(2), rtol=1e-6)
    assert ("ellipticity at the peak of delta" in seen) == (grid.dimension > 1)
    assert ("prolateness at the peak of delta" in seen) == (grid.dimension == 3)


def test_a_displacement_is_read_as_its_overdensity():
    x = CUBE.positions()[0].numpy() * np.ones(CUBE.shape)
    k = 2 * CUBE.fundamental
    psi = np.zeros((3, 3, *CUBE.shape))
    psi[:, 0] = AMPLITUDES[:, None, None, None] / k * np.cos(k * x)  # -div psi = A sin kx
    seen = found(CUBE, psi, inputs=(Quantity("psi", "vector", "displacement", unit="Mpc/h"),))
    np.testing.assert_allclose(seen["standard deviation of -div psi"].values, AMPLITUDES / math.sqrt(2), rtol=1e-6)
    assert seen["standard deviation of -div psi"].unit == ""


def test_between_walls_there_are_no_spheres_and_power_goes_through_the_window():
    walls = replace(LINE, boundary="none")
    seen = found(walls, waves(walls))
    assert set(seen) == {"mean of delta", "standard deviation of delta", "largest value of delta", "ln P of delta"}
    # Power goes as the amplitude squared, whatever the window.
    np.testing.assert_allclose(np.diff(seen["ln P of delta"].values[:, 0]), 2 * np.log(2), rtol=1e-6)


def test_without_pairs_there_is_nothing():
    one = subject(LINE, waves(LINE))
    assert summaries.of_inputs(replace(one, pairs=None, store={})) == []
    assert summaries.of_inputs(one) is summaries.of_inputs(one)


def test_a_field_at_rest_has_no_peak_and_no_infinities():
    seen = found(PLANE, np.ones((3, 1, *PLANE.shape)))
    assert all(np.isfinite(one.values).all() for one in seen.values())
    assert (seen["peak height of delta"].values == 0).all()
