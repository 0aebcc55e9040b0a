"""Shifts and orbits, held to averages written out, to a closed form of aliasing, and to the budget of the error."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from probe.data import Pairs
from probe.fields import Field, Quantity
from probe.grid import Grid
from probe.orbits import Element, OrbitCase, band_limited, orbit, sample, shift_difference
from probe.runner.subject import LocalSubject
from probe.transforms import lattice_symmetries, translate
from tests.models import LINE, SQUARE, on

ALL_KINDS = (Quantity("a"), Quantity("h", "pseudoscalar"), Quantity("v", "vector"), Quantity("w", "pseudovector"))


def random_field(grid, quantities, seed=0):
    width = sum(q.width(grid) for q in quantities)
    generator = torch.Generator().manual_seed(seed)
    return Field(torch.randn(1, width, *grid.shape, generator=generator, dtype=torch.float64), grid, quantities)


@pytest.mark.parametrize("centre", [0.0, 1.5])
def test_an_element_is_undone_exactly(centre):
    field = random_field(Grid.cubic(4, 4.0), ALL_KINDS)
    for g in lattice_symmetries(3):
        element = Element(g, (1, 2, 3), centre)
        assert torch.equal(element.undo(element(field)).values, field.values)


def test_a_small_group_is_taken_whole_each_element_once():
    group = lattice_symmetries(2)
    elements = sample(group, (2, 3), 0.5, 48, torch.Generator())
    assert len(elements) == len(set(elements)) == 48 and elements[0] == Element(group[0], (0, 0), 0.5)


def test_a_large_group_is_sampled_every_turn_alike_and_the_identity_first():
    group = lattice_symmetries(3)
    elements = sample(group, (4, 4, 4), 0.0, 96, torch.Generator().manual_seed(1))
    assert elements[0] == Element(group[0], (0, 0, 0), 0.0)
    assert set(Counter(e.turn for e in elements).values()) == {2}
    assert {t for e in elements for t in e.shift} == {0, 1, 2, 3}
    assert elements == sample(group, (4, 4, 4), 0.0, 96, torch.Generator().manual_seed(1))
    assert len({e.turn for e in sample(group, (4, 4, 4), 0.0, 12, torch.Generator())}) == 12


def crooked(values):
    """A nonlinear model that knows where it is and tells the axes apart."""
    ramp = torch.linspace(1, 2, values.shape[-1], dtype=values.dtype)
    return values * ramp + 0.3 * values.roll(1, -1) ** 2


def test_the_error_over_the_orbit_is_what_averaging_leaves_and_what_breaks_the_symmetry():
    model = on(SQUARE, crooked)
    given, truth = random_field(SQUARE, model.description.inputs, 1), random_field(SQUARE, model.description.outputs, 2)
    pairs = Pairs([given.values[0].numpy()], [truth.values[0].numpy()], model.description, ("one",))
    given, truth = pairs[0]
    elements = sample(lattice_symmetries(2), (2, 2), 0.0, 32, torch.Generator())
    answer = orbit(LocalSubject("model", model, pairs, "default", 0, "certificate"), OrbitCase(0, elements))
    back = torch.stack([g.undo(model(g(given))).values for g in elements])
    average, size = back.mean(0), truth.values.square().sum()
    assert answer.own_error == pytest.approx(float((crooked(given.values) - truth.values).square().sum() / size), rel=1e-13)
    assert answer.average_error == pytest.approx(float((average - truth.values).square().sum() / size), rel=1e-12)
    assert answer.breaking == pytest.approx(float((back - average).square().sum() / 32 / size), rel=1e-12)
    assert answer.orbit_error == pytest.approx(answer.average_error + answer.breaking, rel=1e-13)
    np.testing.assert_allclose(answer.slices[0], (crooked(given.values) - truth.values)[0, 0].numpy(), atol=1e-13)
    np.testing.assert_allclose(answer.slices[0], answer.slices[1] + answer.slices[2], atol=1e-13)


def test_without_a_truth_what_breaks_the_symmetry_is_measured_against_the_answers():
    # A slope of a scalar turns its sign under the mirror: the average over both is 0, and all of the answer breaks the symmetry.
    model = on(LINE, lambda values: values.roll(-1, -1) - values.roll(1, -1))
    elements = sample(lattice_symmetries(1), (1,), 0.0, 2, torch.Generator())
    answer = orbit(LocalSubject("model", model, None, "default", 0, "certificate"), OrbitCase(0, elements))
    assert answer.breaking == pytest.approx(1, rel=1e-14) and answer.average_error < 1e-30


@pytest.mark.parametrize("shape", [(8, 6), (7, 8), (5, 5)])
def test_band_limiting_takes_the_nyquist_modes_and_nothing_else(shape):
    grid = Grid(shape, tuple(map(float, shape)))
    field = random_field(grid, (Quantity("a"),))
    modes = np.fft.fftn(field.values[0, 0].numpy())
    for axis, points in enumerate(shape):
        if points % 2 == 0:
            np.moveaxis(modes, axis, 0)[points // 2] = 0
    np.testing.assert_allclose(band_limited(field).values[0, 0].numpy(), np.fft.ifftn(modes).real, atol=1e-14)


def test_half_a_cell_folds_the_harmonics_of_a_square_as_its_closed_form_says():
    # x = cos(n j q), q = 2 pi / N, 2 n beyond Nyquist: x^2 = 1/2 + 1/2 cos((2n - N) j q). Half a cell on, the harmonic has the
    # phase -n q in the answer to the moved input, and -(2n - N) q / 2 = -n q + pi in the moved answer: they differ by its full
    # amplitude, twice 1/2. |difference|^2 = 1/2 a point against |f|^2 = 1/4 + 1/8.
    points, mode = 64, 21
    wave = torch.cos(2 * np.pi * mode * torch.arange(points, dtype=torch.float64) / points)[None, None]
    model = on(LINE, lambda values: values**2)
    field = Field(wave, LINE, model.description.inputs)
    answer = model(field)
    difference = shift_difference(model, band_limited(field), band_limited(answer), (0.5,))
    assert float(difference.norm() / answer.values.norm()) == pytest.approx(np.sqrt(4 / 3), rel=1e-12)
    whole = shift_difference(model, field, answer, (5,))
    assert float(whole.abs().max()) < 1e-15
    assert torch.equal(translate(answer, (5,)).values, model(translate(field, (5,))).values)
