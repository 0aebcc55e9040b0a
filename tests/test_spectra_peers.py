"""Spectra beside those of other packages, in the bins in which they can be compared. Needs `pip install '.[benchmark]'`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy import ndarray

from probe import spectra
from probe.grid import Grid

GRIDS = [
    Grid.cubic(32, 100.0, 2),
    Grid((16, 25), (100.0, 150.0)),
    Grid.cubic(24, 100.0),
    Grid.cubic(21, 100.0),
    Grid((16, 24, 21), (50.0, 100.0, 80.0)),
]


def _pair(grid: Grid) -> tuple[ndarray, ndarray]:
    rng = np.random.default_rng(0)
    a = rng.standard_normal(grid.shape)
    return a, 0.6 * a + rng.standard_normal(grid.shape)


def _ours(grid: Grid, *fields: ndarray) -> list[ndarray]:
    a, b = (torch.from_numpy(field)[None, None] for field in fields)
    return [found[0].numpy() for found in spectra.powers(a, b, grid)]


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_powerbox_finds_the_same_in_our_shells(grid: Grid) -> None:
    get_power = pytest.importorskip("powerbox.tools").get_power
    a, b = _pair(grid)
    shells = grid.shells()
    edges = (np.arange(shells.count + 1) + 0.5 - 1e-9) * grid.fundamental
    edges[-1] = min((shells.count + 0.5 - 1e-9) * grid.fundamental, grid.nyquist * (1 + 1e-9))

    def theirs(field: ndarray, other: ndarray | None = None):
        return get_power(field, list(grid.box), deltax2=other, bins=edges, dimensionless=False, nthreads=1)

    power_a, power_b, cross = _ours(grid, a, b)
    np.testing.assert_array_equal(theirs(a).nsamples, shells.modes.numpy())
    np.testing.assert_allclose(theirs(a).power, power_a, rtol=1e-12)
    np.testing.assert_allclose(theirs(b).power, power_b, rtol=1e-12)
    np.testing.assert_allclose(theirs(a, b).power, cross, rtol=1e-12, atol=1e-13 * power_a.max())


@pytest.mark.parametrize("points", [24, 21])
def test_jaxpm_finds_the_same_but_the_first_shell_and_the_sign_of_cross_power(points: int) -> None:
    power_spectrum = pytest.importorskip("jaxpm.utils").power_spectrum
    grid = Grid.cubic(points, 100.0)
    a, b = _pair(grid)
    power_a, _, cross = _ours(grid, a, -b)
    theirs = np.asarray(power_spectrum(a.astype(np.float32), box_shape=grid.box, kedges=grid.fundamental)[1])
    # Its first edge is 3/2 k_F, and it drops the bin below it: shells 2, 3, ...
    held = slice(1, 1 + len(theirs))
    assert len(theirs) >= grid.shells().count - 2
    np.testing.assert_allclose(theirs, power_a[held], rtol=1e-5)  # single precision
    crossed = power_spectrum(a.astype(np.float32), -b.astype(np.float32), box_shape=grid.box, kedges=grid.fundamental)[1]
    assert (cross[held] < 0).all()
    np.testing.assert_allclose(np.asarray(crossed), -cross[held], rtol=1e-4)  # |P_ab|: the sign is lost


def _within_both(field: ndarray) -> ndarray:
    """The modes m <= |n| < m + 1/2: of one shell in our shells, m - 1/2 <= |n| < m + 1/2, and in Pylians', m <= |n| < m + 1."""
    n = np.fft.fftfreq(len(field), 1 / len(field))
    norm = np.sqrt(sum(np.square(component) for component in np.meshgrid(*[n] * field.ndim, indexing="ij")))
    return np.fft.ifftn(np.fft.fftn(field) * ((norm % 1 < 0.5) & (norm >= 1) & (norm < len(field) // 2))).real.astype(np.float32)


@pytest.mark.parametrize("points", [24, 21])
@pytest.mark.parametrize("dimension", [2, 3])
def test_pylians_finds_the_same_in_the_modes_that_its_shells_share_with_ours(points: int, dimension: int) -> None:
    library = pytest.importorskip("Pk_library")
    grid = Grid.cubic(points, 100.0, dimension)
    a, b = map(_within_both, _pair(grid))
    if dimension == 3:
        theirs = library.XPk([a, b], 100.0, 0, ["None", "None"], 1)
        count, found = theirs.Nmodes3D, [theirs.Pk[:, 0, 0], theirs.Pk[:, 0, 1], theirs.XPk[:, 0, 0]]
    else:
        planes = [library.Pk_plane(field, 100.0, "None", 1, False) for field in (a, b)]
        count, found = planes[0].Nmodes, [plane.Pk for plane in planes]
    modes, below = grid.shells().modes.numpy(), slice(0, points // 2 - 1)
    for power, ours in zip(found, _ours(grid, a, b), strict=False):
        # It counts k and -k as one mode. Single precision.
        np.testing.assert_allclose(2 * (count * power)[below], (modes * ours)[below], rtol=1e-4)


def test_pylians_doubles_the_nyquist_mode() -> None:
    library = pytest.importorskip("Pk_library")
    grid = Grid.cubic(16, 100.0)
    wave = np.broadcast_to((-1.0) ** np.arange(16), grid.shape).astype(np.float32)  # mean square 1
    theirs = library.Pk(wave, 100.0, 0, "None", 1, False)
    assert 2 * float(theirs.Nmodes3D @ theirs.Pk[:, 0]) / grid.volume == pytest.approx(2)
    assert float(_ours(grid, wave, wave)[0] @ grid.shells().modes.numpy()) / grid.volume == pytest.approx(1)
