"""What surrogates keep is kept to rounding, and what they are to lose is lost."""

from __future__ import annotations

import pytest
import torch

from probe import spectra
from probe.grid import Grid
from probe.surrogates import gaussianised, phase_randomised, rearranged, shuffled
from probe.waves import gaussian_field

GRIDS = pytest.mark.parametrize("grid", [Grid.cubic(12, 5.0, dimension=d) for d in (1, 2, 3)], ids=["1D", "2D", "3D"])


def lognormal(grid):
    """Two samples of two channels that know of each other."""
    drawn = gaussian_field(grid, torch.ones_like, torch.Generator().manual_seed(0), 4).reshape(2, 2, *grid.shape)
    return torch.stack([drawn[:, 0].exp(), (drawn[:, 0] + drawn[:, 1]).exp()], 1)


def generator():
    return torch.Generator().manual_seed(1)


@GRIDS
def test_random_phases_keep_every_modes_power_and_cross_power(grid):
    values = lognormal(grid)
    made = phase_randomised(values, grid, generator())
    before, after = (torch.fft.rfftn(x, dim=grid.axes) for x in (values, made))
    size = before.abs().square().amax()
    for a, b in ((0, 0), (0, 1), (1, 1)):
        products = [(modes[:, a] * modes[:, b].conj()) / size for modes in (before, after)]
        torch.testing.assert_close(products[1], products[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(made.flatten(2).mean(2), values.flatten(2).mean(2), rtol=1e-12, atol=0)
    two = spectra.two_point(values[:1, :1], made[:1, :1], grid)
    assert abs(float(two.cross.sum())) < 0.9 * float(two.power_a.sum())


@GRIDS
def test_shuffled_fields_hold_the_same_values_point_by_point(grid):
    values = lognormal(grid)
    made = shuffled(values, generator())
    assert not torch.equal(made, values)
    for before, after in zip(values, made, strict=True):
        first = [side.flatten(1)[:, side.flatten(1)[0].argsort()] for side in (before, after)]
        torch.testing.assert_close(first[1], first[0], rtol=0, atol=0)


@GRIDS
def test_gaussianised_fields_keep_order_mean_and_variance(grid):
    values = lognormal(grid)
    made = gaussianised(values)
    assert torch.equal(made.flatten(2).argsort(2), values.flatten(2).argsort(2))
    for statistic in (torch.mean, torch.var):
        torch.testing.assert_close(statistic(made.flatten(2), 2), statistic(values.flatten(2), 2), rtol=1e-12, atol=0)
    off = made - made.flatten(2).mean(2).reshape(2, 2, *[1] * grid.dimension)
    assert float(off.pow(3).mean().abs()) < 1e-12 * float(values.pow(3).mean())


@pytest.mark.parametrize("points", [(512,), (32, 32), (12, 12, 12)], ids=["1D", "2D", "3D"])
def test_rearranged_fields_hold_the_same_values_and_nearly_the_same_spectrum(points):
    grid = Grid(points, tuple(float(n) for n in points))
    wide = lognormal(grid).log()
    values = (0.5 * wide / wide.std()).exp()
    made, first = (rearranged(values, grid, generator(), steps=steps) for steps in (100, 0))
    for some in (made, first):
        assert not torch.equal(some, values)
        torch.testing.assert_close(some.flatten(2).sort(2).values, values.flatten(2).sort(2).values, rtol=0, atol=0)
    modulus, nearly, off = (torch.fft.rfftn(x, dim=grid.axes).abs() for x in (values, made, first))
    # Values alone are off by what random values of that distribution are; the steps take nine tenths of that power away.
    assert float((nearly - modulus).square().sum()) < 0.1 * float((off - modulus).square().sum())
