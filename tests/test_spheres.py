"""Density and shear in spheres, held to plane waves, overlapping spheres, a compensated Gaussian and Parseval."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from probe.errors import InputError
from probe.fields import Field, Quantity
from probe.grid import Grid
from probe.spheres import CRITICAL_DENSITY, contrast, ellipticity, mass, prolateness, scales, shear, window
from probe.tophat import distances
from probe.transforms import lattice_symmetries
from probe.waves import gaussian_field, phase_of

CUBE = Grid.cubic(24, 60.0, unit="Mpc/h")
GRIDS = [Grid.cubic(48, 60.0, dimension=1), Grid.cubic(32, 60.0, dimension=2), CUBE]
MODES = {1: (3,), 2: (2, -3), 3: (2, -3, 1)}


def noise(grid, batch=1, seed=0, power=lambda k: k**-1):
    return gaussian_field(grid, power, torch.Generator().manual_seed(seed), batch)


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_the_window_is_the_transform_of_a_ball(dimension):
    # Of chords across the ball: int_-1^1 cos(x u) (1 - u^2)^((D-1)/2) du over the same at x = 0; u = sin t.
    def chord(x):
        return quad(lambda t: math.cos(x * math.sin(t)) * math.cos(t) ** dimension, -math.pi / 2, math.pi / 2, epsabs=1e-13)[0]

    places = [0.0, 1e-6, 1e-3, 0.1, 0.2999, 0.3001, 1.0, 4.493, 17.0]
    expected = [chord(x) / chord(0.0) for x in places]
    np.testing.assert_allclose(window(torch.tensor(places, dtype=torch.float64), dimension), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("grid", GRIDS, ids=["1D", "2D", "3D"])
def test_a_plane_wave_is_seen_through_its_window(grid):
    mode = MODES[grid.dimension]
    wave, radius = torch.cos(phase_of(mode, grid) + 0.3), 7.0
    damped = float(window(torch.tensor(grid.wavenumber_of(mode) * radius, dtype=torch.float64), grid.dimension))
    seen = contrast(1.5 + wave[None], grid, [0.0, radius])
    torch.testing.assert_close(seen[0], torch.stack([1.5 + wave, 1.5 + damped * wave]), rtol=0, atol=1e-13)


@pytest.mark.parametrize("grid", GRIDS[1:], ids=["2D", "3D"])
def test_the_shear_of_a_plane_wave_stretches_along_k_alone(grid):
    mode, d = MODES[grid.dimension], grid.dimension
    wave, radius = torch.cos(phase_of(mode, grid) + 0.3), 7.0
    delta = wave * float(window(torch.tensor(grid.wavenumber_of(mode) * radius, dtype=torch.float64), d))
    parts = torch.stack([(1 - 1 / d) * delta, *[-delta / d] * (d - 1)])
    found = shear(2 + wave[None], grid, [radius])
    torch.testing.assert_close(found[0, 0], parts.sort(0, descending=True).values, rtol=0, atol=1e-13)
    torch.testing.assert_close(ellipticity(found)[0, 0], delta.abs(), rtol=0, atol=1e-13)
    if d == 3:
        torch.testing.assert_close(prolateness(found)[0, 0], delta, rtol=0, atol=3e-13)


def test_a_compensated_gaussian_is_met_to_rounding():
    # del^2 phi = delta of phi = -exp(-r^2 / 2 s^2): delta has no mass outside, so its periodic images do not pull. In the sphere
    # about the centre the mean of delta is the flux of grad phi, 3 phi'(R) / R; the shear is delta - 2 phi'/r - delta/3 along r
    # and phi'/r - delta/3 across it.
    grid, s = Grid.cubic(40, 40.0), 2.5
    _, r = distances(grid)
    profile = torch.exp(-((r / s) ** 2) / 2)
    pull = profile / s**2  # phi'/r
    delta = pull * (3 - (r / s) ** 2)
    centre = torch.tensor([int(r.argmin())])
    radii = [1.5, 4.0, 9.0]
    expected = [3 * math.exp(-((radius / s) ** 2) / 2) / s**2 for radius in radii]
    np.testing.assert_allclose(contrast(delta[None], grid, radii, centre)[0, :, 0], expected, rtol=0, atol=1e-12)
    along, across = delta - 2 * pull - delta / 3, pull - delta / 3
    eigenvalues = torch.stack([along, across, across]).sort(0, descending=True).values
    torch.testing.assert_close(shear(delta[None], grid, [0.0])[0, 0], eigenvalues, rtol=0, atol=1e-12)


@pytest.mark.parametrize("grid, tolerance", [(GRIDS[0], 0.0011), (CUBE, 0.0084)], ids=["1D", "3D"])
def test_a_top_hat_in_a_sphere_is_the_overlap_of_two_balls(grid, tolerance):
    # The series of the field stops at Nyquist q, and W W falls as k^-(D + 1), with a sign that changes as cos k(b - a): what is
    # left out is below 1/2 V/(pi a b q) / (q (b - a)) on a line, 9 V/(4 pi^2 a^2 b^2 q) / (q (b - a)) in space.
    inner, outer = 8.0, 12.0
    flat, _ = distances(grid)
    r = flat.norm(dim=0)
    origin = torch.zeros(grid.shape, dtype=torch.float64)
    origin.view(-1)[int(r.argmin())] = 1.0
    volume = {1: 2 * inner, 3: 4 / 3 * math.pi * inner**3}[grid.dimension]
    # A field of height 1 within `inner`: the transform of a ball times its volume, in cells.
    ball = contrast(origin[None], grid, [inner])[0, 0] * (volume * grid.size / grid.volume)
    seen = contrast(ball[None], grid, [outer])[0, 0].flatten()
    for place in (int(r.argmin()), int((r - 10.0).abs().argmin()), int((r - 24.0).abs().argmin())):
        share = overlap(float(r.flatten()[place]), inner, outer, grid.dimension)
        assert float(seen[place]) == pytest.approx(share, abs=tolerance)


def overlap(d, a, b, dimension):
    """The part of the ball b that lies in the ball a, their centres d apart."""
    if d >= a + b:
        return 0.0
    if dimension == 1:
        return max(0.0, min(a, d + b) - max(-a, d - b)) / (2 * b)
    if d <= b - a:
        return (a / b) ** 3
    lens = math.pi * (a + b - d) ** 2 * (d * d + 2 * d * (a + b) - 3 * (a - b) ** 2) / (12 * d)
    return lens / (4 / 3 * math.pi * b**3)


@pytest.mark.parametrize("grid", GRIDS[1:], ids=["2D", "3D"])
def test_eigenvalues_are_ordered_and_sum_to_zero_and_hold_their_share_of_the_variance(grid):
    delta = noise(grid, 2)
    radii = scales(grid, 3)
    found = shear(delta, grid, radii)
    assert (found.diff(dim=2) <= 0).all()
    assert found.sum(2).abs().max() < 1e-13 * found.abs().max() * 10
    # Parseval: sum_ij (k_i k_j / k^2 - delta_ij / D)^2 = 1 - 1/D for every mode below Nyquist.
    axes = grid.axes
    expected = (1 - 1 / grid.dimension) * contrast(delta, grid, radii).square().mean(axes)
    torch.testing.assert_close(found.square().sum(2).mean(axes), expected, rtol=1e-12, atol=0)


def test_the_variance_in_spheres_is_the_integral_of_the_spectrum():
    grid, radii = CUBE, (4.0, 9.0)
    delta = noise(grid, 40, power=lambda k: torch.exp(-k))
    found = contrast(delta, grid, radii).var((2, 3, 4)).mean(0)
    n = np.fft.fftfreq(24, 1 / 24)
    k = 2 * np.pi / 60 * np.sqrt(n[:, None, None] ** 2 + n[:, None] ** 2 + n**2)
    inside = (np.abs(n) < 12)[:, None, None] & (np.abs(n) < 12)[:, None] & (np.abs(n) < 12) & (k > 0)
    for radius, sigma2 in zip(radii, found.tolist(), strict=True):
        x = k[inside] * radius
        terms = np.exp(-k[inside]) / 60.0**3 * (3 * (np.sin(x) - x * np.cos(x)) / x**3) ** 2
        # Each pair k, -k has a chi-square of two degrees of freedom: the scatter over 40 boxes, four sigma.
        assert sigma2 == pytest.approx(terms.sum(), abs=4 * math.sqrt(2 * (terms**2).sum() / 40))


@pytest.mark.parametrize("grid", GRIDS[1:], ids=["2D", "3D"])
def test_features_turn_with_the_field(grid):
    # White to Nyquist: the modes there turn as well.
    delta = torch.randn(1, *grid.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    quantity = (Quantity("x", "scalar"),)

    def turned(values, symmetry):
        return symmetry(Field(values.reshape(-1, 1, *grid.shape), grid, quantity)).values.reshape(values.shape)

    for symmetry in lattice_symmetries(grid.dimension)[1::5]:
        for feature in (contrast, shear):
            before = feature(delta, grid, [5.0])
            torch.testing.assert_close(feature(turned(delta, symmetry), grid, [5.0]), turned(before, symmetry), rtol=0, atol=1e-12)


def test_points_are_read_off_the_field():
    delta, points = noise(CUBE, 2), torch.tensor([0, 17, 13823])
    for feature in (contrast, shear):
        whole = feature(delta, CUBE, [3.0, 9.0])
        torch.testing.assert_close(feature(delta, CUBE, [3.0, 9.0], points), whole.flatten(-3)[..., points], rtol=0, atol=0)


def test_features_are_differentiable_where_eigenvalues_meet_as_well():
    grid = Grid.cubic(6, 6.0)
    delta = noise(grid, power=torch.ones_like).requires_grad_()
    for feature in (contrast, shear):
        assert torch.autograd.gradcheck(lambda x, of=feature: of(x, grid, [1.5], torch.tensor([0, 40])), delta)
    # About the middle of a lone point two eigenvalues are one and the same.
    lone = torch.zeros(1, 6, 6, 6, dtype=torch.float64)
    lone[0, 0, 0, 0] = 1
    lone.requires_grad_()
    shear(lone, grid, [1.0])[:, :, 0].sum().backward()
    assert lone.grad.isfinite().all()


def test_single_precision_is_summed_in_double():
    delta = noise(CUBE).float()
    assert contrast(delta, CUBE, [3.0]).dtype == shear(delta, CUBE, [3.0]).dtype == torch.float64


def test_scales_run_from_a_cell_to_a_share_of_the_box():
    grid = Grid((16, 16, 32), (32.0, 32.0, 128.0), unit="Mpc/h")
    radii = scales(grid, 50)
    assert len(radii) == 50 and radii[-1] == pytest.approx(8.0)
    assert 4 / 3 * math.pi * radii[0] ** 3 == pytest.approx(2 * 2 * 4)
    steps = np.diff(np.log(radii))
    np.testing.assert_allclose(steps, steps[0], rtol=1e-9)
    assert scales(Grid.cubic(8, 8.0, dimension=1), 1) == pytest.approx((0.5,))


def test_masses_are_those_of_the_mean_density():
    # 8 Mpc/h spheres weigh 5.95e14 Omega_m Msun/h, as cluster papers say.
    assert mass(8.0, CUBE, 0.3) == pytest.approx(0.3 * 5.952e14, rel=1e-3)
    # G = 4.30091e-9 Mpc (km/s)^2 / Msun, H0 = 100 h km/s/Mpc.
    assert pytest.approx(3 * 100**2 / (8 * math.pi * 4.30091e-9), rel=1e-5) == CRITICAL_DENSITY
    with pytest.raises(InputError, match="in boxes of Mpc/h"):
        mass(8.0, Grid.cubic(8, 8.0), 0.3)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: contrast(torch.zeros(1, 4, 4), CUBE, [1.0]), "found the shape"),
        (lambda: contrast(torch.zeros(1, 4, 4), Grid.cubic(4, 4.0, dimension=2, boundary="zero"), [1.0]), "boundary 'zero'"),
        (lambda: shear(torch.zeros(1, 4), Grid.cubic(4, 4.0, dimension=1), [1.0]), "no tidal shear on a line"),
        (lambda: window(torch.zeros(1), 4), "one, two and three dimensions"),
    ],
)
def test_what_cannot_be_is_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()
