"""The clean networks hold what they are built to hold, and the defects that came with them break what they say."""

from __future__ import annotations

import math

import pytest
import torch

from probe.fields import Field
from probe.transforms import lattice_symmetries
from probe.zoo.clean import GroupAverage, SmoothedSquare, Unstrided
from probe.zoo.defects import AnisotropicKernel, FlippedSign, NotANumber, StrideAliased
from tests.defects.models import PSI, SCALAR, SMALL, seeded
from tests.models import SQUARE

EXACT = 1e-13  # of float64 answers of order one


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize(("grid", "quantity", "centre"), [(SQUARE, SCALAR, 0.0), (SQUARE, SCALAR, 1.5), (SMALL, PSI, -0.5)])
def test_a_group_average_turns_with_its_input_and_its_network_does_not(grid, quantity, centre):
    channels = quantity.width(grid)
    network = seeded(lambda: Unstrided(grid.dimension, channels))
    average = GroupAverage(network, grid, quantity, centre)
    field = Field(noise(1, channels, *grid.shape), grid, (quantity,))
    turn = lattice_symmetries(grid.dimension)[3]
    for function, holds in ((average, True), (network, False)):
        turned = function(turn(field, centre).values)
        expected = turn(field.with_values(function(field.values)), centre).values
        assert ((turned - expected).norm() < EXACT * expected.norm()) == holds


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_an_unstrided_network_moves_with_its_input(dimension):
    network, axes = seeded(lambda: Unstrided(dimension, 2)), tuple(range(2, 2 + dimension))
    values = noise(1, 2, *[8] * dimension)
    cells = (1, 3, 2)[:dimension]
    torch.testing.assert_close(network(values.roll(cells, axes)), network(values).roll(cells, axes), rtol=0, atol=EXACT)


def test_a_smoothed_square_of_two_waves_is_its_closed_form():
    radius, strength, (a, b) = 1.5 * SQUARE.spacing[0], 0.5, (0.7, 0.4)
    first, second = (3, 0), (1, 2)
    x, y = (axis.reshape(shape) for axis, shape in zip(SQUARE.positions(), ((-1, 1), (1, -1)), strict=True))

    def phase(mode):
        return 2 * math.pi / SQUARE.box[0] * (mode[0] * x + mode[1] * y)

    def gain(mode):
        return math.exp(-0.5 * (2 * math.pi / SQUARE.box[0] * radius) ** 2 * (mode[0] ** 2 + mode[1] ** 2))

    def made(mode, of):
        square = (2 * math.pi / SQUARE.box[0] * radius) ** 2 * (mode[0] ** 2 + mode[1] ** 2)
        return -strength * of * square * gain(mode) * torch.cos(phase(mode))

    given = a * torch.cos(phase(first)) + b * torch.cos(phase(second))
    one, two = a * gain(first), b * gain(second)
    expected = one * torch.cos(phase(first)) + two * torch.cos(phase(second))
    expected = expected + made((6, 0), one**2 / 2) + made((2, 4), two**2 / 2) + made((4, 2), one * two) + made((2, -2), one * two)
    answer = SmoothedSquare(SQUARE, radius, strength)(given[None, None])
    torch.testing.assert_close(answer[0, 0], expected, rtol=0, atol=EXACT)


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_a_stride_without_blur_knows_its_grid_by_two_and_nothing_else(dimension):
    aliased, axes, values = StrideAliased(1.0), tuple(range(2, 2 + dimension)), noise(1, 2, *[8] * dimension)
    answer = aliased(values)
    torch.testing.assert_close(aliased(torch.ones_like(values)), torch.ones_like(values), rtol=0, atol=EXACT)
    torch.testing.assert_close(aliased(values.roll(2, 2)), answer.roll(2, 2), rtol=0, atol=EXACT)
    mirrored = aliased(values.flip(axes).roll([1] * dimension, axes))
    torch.testing.assert_close(mirrored, answer.flip(axes).roll([1] * dimension, axes), rtol=0, atol=EXACT)
    assert (aliased(values.roll(1, 2)) - answer.roll(1, 2)).norm() > 0.1 * answer.norm()


def test_a_wave_through_a_stride_of_two_comes_back_with_its_alias():
    # cos(k x), of gain cos^2(k/2) down; up, lines through every second point give it cos^2(k/2) and its alias sin^2(k/2).
    wave, cells = 2 * math.pi * 5 / 32, torch.arange(32, dtype=torch.float64)
    down, up = math.cos(wave / 2) ** 2, math.sin(wave / 2) ** 2
    expected = down * (down * torch.cos(wave * cells) + up * torch.cos((wave + math.pi) * cells))
    answer = StrideAliased(1.0)(torch.cos(wave * cells)[None, None])[0, 0]
    torch.testing.assert_close(answer, expected, rtol=0, atol=EXACT)


def test_small_defects_do_what_they_say():
    values = noise(1, 3, 4, 4, 4)
    assert torch.equal(FlippedSign()(values)[:, 0], -values[:, 0]) and torch.equal(FlippedSign()(values)[:, 1:], values[:, 1:])
    assert torch.equal(torch.isnan(NotANumber(2.0)(values)), values.abs() > 2.0)
    smoothed = AnisotropicKernel(0.5)(values)
    torch.testing.assert_close(smoothed[..., 1, :, :], (values[..., 0, :, :] + 2 * values[..., 1, :, :] + values[..., 2, :, :]) / 4)
