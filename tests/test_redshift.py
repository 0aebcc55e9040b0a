"""Momentum and redshift space, held to sums over modes and particles one by one and to Kaiser's multipoles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from probe import redshift
from probe.description import Description, Symmetries
from probe.fields import Field, Quantity
from probe.grid import Grid
from probe.waves import gaussian_field

GRIDS = [Grid((12, 15, 8), (30.0, 30.0, 20.0), "Mpc/h"), Grid((18, 15), (36.0, 30.0), "Mpc/h"), Grid((32,), (40.0,), "Mpc/h")]
every_grid = pytest.mark.parametrize("grid", GRIDS, ids=["3D", "2D", "1D"])
PSI = Quantity("psi", "vector", "displacement", "Mpc/h")
VELOCITY = Quantity("v", "vector", "velocity", "km/s", redshift_space=0.01)


def described(grid, velocity=VELOCITY, symmetries=None):
    return Description(grid, (PSI, velocity), (PSI, velocity), symmetries=symmetries or Symmetries())


def legendre(degree, mu):
    """Legendre's polynomials times 2 l + 1 in space, 2 cos(l theta) in the plane; by numpy's own series."""
    if len(mu) == 3:
        return (2 * degree + 1) * np.polynomial.legendre.Legendre.basis(degree)(mu[0])
    return (2 if degree else 1) * np.polynomial.chebyshev.Chebyshev.basis(degree)(mu[0])


def by_modes(seen, lines, grid):
    """Multipoles as sums over all modes of fftn, shell by shell of the width k_F."""
    k = np.stack(
        np.meshgrid(*(2 * np.pi * np.fft.fftfreq(n, s / n) for n, s in zip(grid.shape, grid.box, strict=True)), indexing="ij")
    )
    size = np.sqrt((k**2).sum(0))
    shell = np.floor(size / grid.fundamental + 0.5 + 1e-9).astype(int)
    shell[(shell < 1) | (size > grid.nyquist * (1 + 1e-9))] = 0
    found = np.zeros((len(redshift.degrees(grid)), shell.max()))
    for one, axis in zip(seen, lines, strict=True):
        power = np.abs(np.fft.fftn(one)) ** 2 * grid.volume / grid.size**2
        mu = np.stack([k[axis] / np.where(size > 0, size, 1)] * grid.dimension)
        for place, degree in enumerate(redshift.degrees(grid)):
            weight = legendre(degree, mu) if grid.dimension > 1 else 1.0
            found[place] += np.bincount(shell.ravel(), (power * weight).ravel())[1:] / np.bincount(shell.ravel())[1:]
    return found


def waves(grid, f, seed=0):
    """What linear theory sees of a Gaussian field along each axis, delta (1 + f mu^2), over the root of their number; and delta."""
    delta = gaussian_field(grid, lambda k: k**-2, torch.Generator().manual_seed(seed))[0]
    size = grid.wavenumber().clone()
    size[(0,) * grid.dimension] = 1
    modes = torch.fft.rfftn(delta)
    seen = [torch.fft.irfftn(modes * (1 + f * (k / size) ** 2), s=grid.shape) for k in grid.wavevectors()]
    return torch.stack(seen) / grid.dimension**0.5, delta


@every_grid
def test_multipoles_are_the_sums_over_every_mode(grid):
    lines = tuple(range(grid.dimension))
    seen = waves(grid, 0.7)[0]
    found = redshift.multipoles(seen, lines, grid)
    expected = by_modes(seen.numpy(), lines, grid)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13 * expected.max())
    one = redshift.multipoles(seen[-1:], lines[-1:], grid)
    np.testing.assert_allclose(one, by_modes(seen[-1:].numpy(), lines[-1:], grid), rtol=0, atol=1e-13 * expected.max())


@every_grid
def test_what_is_not_distorted_has_no_quadrupole_to_rounding_however_few_its_modes(grid):
    found = redshift.multipoles(waves(grid, 0.0)[0], tuple(range(grid.dimension)), grid)
    assert found[0].min() > 0
    if grid.dimension > 1:
        assert (found[1].abs() / found[0]).max() < 1e-13


@pytest.mark.parametrize("mode", [(0, 0, 3), (0, 3, 3), (1, 2, 2), (3, 0, 0)])
def test_a_plane_wave_has_kaisers_boost_along_each_line_of_sight(mode):
    grid, f = Grid.cubic(16, 10.0), 0.8
    phase = sum(2 * np.pi * n * np.arange(16).reshape([-1 if a == i else 1 for a in range(3)]) / 16 for i, n in enumerate(mode))
    wave = torch.from_numpy(np.cos(phase))
    for axis in range(3):
        mu = mode[axis] / np.linalg.norm(mode)
        found = redshift.multipoles((1 + f * mu**2) * wave[None], (axis,), grid).sum(1)
        alone = redshift.multipoles(wave[None], (axis,), grid).sum(1)[0]
        for place, degree in enumerate((0, 2, 4)):
            expected = (2 * degree + 1) * np.polynomial.legendre.Legendre.basis(degree)(mu) * (1 + f * mu**2) ** 2
            assert found[place] / alone == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("dimension", [2, 3])
def test_where_shells_hold_many_modes_the_multipoles_are_kaisers(dimension):
    grid, f = Grid.cubic({2: 128, 3: 32}[dimension], 10.0, dimension), 0.5
    # Every mode of one power: what is left is how evenly the modes of a shell lie.
    size = grid.wavenumber().clone()
    size[(0,) * dimension] = 1
    point = torch.zeros(grid.shape, dtype=torch.float64)
    point[(0,) * dimension] = 1
    seen = torch.stack(
        [torch.fft.irfftn(torch.fft.rfftn(point) * (1 + f * (k / size) ** 2), s=grid.shape) for k in grid.wavevectors()]
    )
    found = redshift.multipoles(seen / dimension**0.5, tuple(range(dimension)), grid)
    alone = redshift.multipoles(point[None], (0,), grid)[0]
    kaiser = {
        3: (1 + 2 / 3 * f + f**2 / 5, 4 / 3 * f + 4 / 7 * f**2, 8 / 35 * f**2),
        2: (1 + f + 3 / 8 * f**2, f + f**2 / 2, f**2 / 8),
    }
    shells = slice(8, -1)
    mu = (grid.wavevectors()[0] / size).expand(grid.half_shape)
    fourth = (grid.shells().sum(mu**4, grid) / grid.shells().modes)[shells]
    uneven = float((fourth - {2: 3 / 8, 3: 1 / 5}[dimension]).abs().max())
    assert uneven < 0.02
    # Of what multiplies mu^4 and more in (1 + f mu^2)^2 (2 l + 1) L_l: at most 1/4, 7 + 2 and, with mu^8, 40 (1 + f)^2.
    for place, most in enumerate((0.5, 12, 40 * (1 + f) ** 2)):
        np.testing.assert_allclose((found[place] / alone)[shells], kaiser[dimension][place], rtol=0, atol=most * uneven)


def matter(grid, size=0.3, seed=0):
    """White displacements of a fraction of a cell, and velocities that are not theirs: (1, 2 D, *grid.shape)."""
    drawn = torch.randn(1, 2 * grid.dimension, *grid.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    drawn[:, : grid.dimension] *= size * min(grid.spacing)
    drawn[:, grid.dimension :] *= 100 * size * min(grid.spacing)
    return Field(drawn, grid, (PSI, VELOCITY))


@every_grid
def test_momentum_and_density_are_those_of_particles_summed_one_by_one(grid):
    field = matter(grid)
    of = redshift.moving(described(grid), PSI)
    psi, v = (field.part(name)[1][0].flatten(1).numpy() for name in ("psi", "v"))
    places = np.stack(np.meshgrid(*(np.arange(n) * h for n, h in zip(grid.shape, grid.spacing, strict=True)), indexing="ij"))
    q = places.reshape(grid.dimension, -1)
    modes = [tuple(int(a == axis) for a in range(grid.dimension)) for axis in range(grid.dimension)]
    momentum, density = redshift.momentum(field, of, "tsc")[0], redshift.density(field, of, "tsc")[0] * grid.dimension**0.5
    for mode in modes:
        k = np.array(grid.wavevector_of(mode))
        here = np.exp(-1j * k @ (q + psi))
        # Left of TSC's images after interlacing: |m| >= 2 along an axis, (n / (m N - n))^3 with n/N <= 1/8; of white particles each
        # image is as loud as the mode, and there are four of that size along each axis, the mean among them.
        for axis in range(grid.dimension):
            found = torch.fft.fftn(momentum[axis])[mode]
            assert abs(found - (v[axis] * here).sum()) < 8 * (1 / 15) ** 3 * np.sqrt(grid.size) * np.abs(v).max()
            moved = np.exp(-1j * k @ (q + psi + 0.01 * v[axis] * (np.arange(grid.dimension) == axis)[:, None])).sum()
            assert abs(torch.fft.fftn(density[axis])[mode] - moved) < 8 * (1 / 15) ** 3 * np.sqrt(grid.size)
            assert abs(moved) > 0.05 * np.sqrt(grid.size) * np.linalg.norm(k) * min(grid.spacing)


def test_the_line_of_sight_is_every_axis_or_the_one_about_which_things_may_turn():
    cube, square = Grid.cubic(8, 8.0, unit="Mpc/h"), Grid.cubic(8, 8.0, 2, unit="Mpc/h")
    assert redshift.lines_of_sight(described(cube)) == (0, 1, 2)
    assert redshift.lines_of_sight(described(cube, symmetries=Symmetries(rotation=("y",), declared=True))) == (1,)
    assert redshift.lines_of_sight(described(cube, symmetries=Symmetries(rotation="none", declared=True))) == (0, 1, 2)
    assert redshift.lines_of_sight(described(square, symmetries=Symmetries(rotation=("z",), declared=True))) == (0, 1)


def test_what_does_not_move_together_is_not_put_together():
    cube = Grid.cubic(8, 8.0, unit="Mpc/h")
    assert redshift.moving(described(cube), PSI) == redshift.moving(described(cube), VELOCITY)
    assert redshift.moving(described(replace(cube, boundary="zero")), PSI) is None
    assert redshift.moving(described(cube, Quantity("v", "vector", "wind", "km/s")), PSI) is None
    assert redshift.moving(Description(cube, (PSI,), (PSI,)), PSI) is None
    assert redshift.moving(described(replace(cube, unit="kpc")), PSI) is None
    unsaid = redshift.moving(described(cube, replace(VELOCITY, redshift_space=None)), PSI)
    assert unsaid is not None and "write redshift_space = 0.01" in unsaid.unsaid


def test_how_far_redshifts_move_things_is_said_of_velocities_alone():
    for kind, quantity in (("scalar", "velocity"), ("pseudovector", "velocity"), ("vector", "displacement")):
        with pytest.raises(ValueError, match='for vectors whose quantity is "velocity"'):
            Quantity("x", kind, quantity, redshift_space=0.01)
