"""Zel'dovich, 2LPT and growth, held to closed forms: one wave, two waves, the centre of a sphere, an integral."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from scipy.integrate import quad
from torch import Tensor

from probe.grid import Grid
from probe.perturbation import (
    divergence,
    gradient_of_inverse_laplacian,
    growth_factor,
    lpt2,
    resample,
    second_order,
    second_order_growth,
    zeldovich,
)
from probe.waves import below_nyquist

GRIDS = [Grid.cubic(12, 5.0, 1), Grid((9, 8), (9.0, 12.0)), Grid((6, 7, 8), (6.0, 10.0, 8.0))]
IDS = ["1D", "2D", "3D"]


def _wavevector(mode: tuple[int, ...], grid: Grid) -> Tensor:
    return torch.tensor([2 * math.pi * n / side for n, side in zip(mode, grid.box, strict=True)], dtype=torch.float64)


def _angle(mode: tuple[int, ...], grid: Grid) -> Tensor:
    """k.q, with n.j reduced modulo N in integers."""
    total = torch.zeros(grid.shape, dtype=torch.float64)
    for axis, (n, points) in enumerate(zip(mode, grid.shape, strict=True)):
        turns = torch.tensor([(n * j) % points / points for j in range(points)], dtype=torch.float64)
        total = total + turns.reshape([-1 if a == axis else 1 for a in range(grid.dimension)])
    return 2 * math.pi * total


def _noise(grid: Grid, batch: int = 2) -> Tensor:
    """White noise below Nyquist, without its mean."""
    white = torch.randn(batch, *grid.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return torch.fft.irfftn(torch.fft.rfftn(white, dim=grid.axes) * below_nyquist(grid), s=grid.shape, dim=grid.axes)


# --- first order -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [(3,), (1, -2), (0, 3), (2, -1, 3), (-1, 0, 0)])
def test_zeldovich_of_a_plane_wave_is_exact(mode: tuple[int, ...]) -> None:
    grid, a, phi = GRIDS[len(mode) - 1], 0.3, 0.9
    # delta = a sin(k.q + phi) comes of psi = a k/k^2 cos(k.q + phi).
    k = _wavevector(mode, grid)
    found = zeldovich(a * torch.sin(_angle(mode, grid) + phi)[None], grid)[0]
    expected = torch.stack([a * ki / k.square().sum() * torch.cos(_angle(mode, grid) + phi) for ki in k])
    assert torch.allclose(found, expected, rtol=0, atol=1e-13 * a)


@pytest.mark.parametrize("grid", GRIDS, ids=IDS)
def test_minus_the_divergence_of_zeldovich_is_the_overdensity(grid: Grid) -> None:
    delta = _noise(grid)
    assert torch.allclose(-divergence(zeldovich(delta, grid), grid), delta, rtol=0, atol=1e-13 * float(delta.abs().max()))


@pytest.mark.parametrize("grid", GRIDS, ids=IDS)
def test_mean_and_nyquist_of_an_overdensity_move_nothing(grid: Grid) -> None:
    nyquist = (-1.0) ** torch.arange(grid.shape[-1]) if grid.shape[-1] % 2 == 0 else torch.zeros(grid.shape[-1])
    delta = torch.zeros(1, *grid.shape, dtype=torch.float64) + 2.0 + nyquist
    assert zeldovich(delta, grid).abs().max() < 1e-14
    assert second_order(delta, grid).abs().max() < 1e-14


@pytest.mark.parametrize("grid", GRIDS[1:], ids=IDS[1:])
def test_the_divergence_is_the_sum_of_analytic_derivatives(grid: Grid) -> None:
    modes = [(1, 2, -1), (-2, 1, 3), (2, 0, 1)]
    waves = [m[: grid.dimension] for m in modes[: grid.dimension]]
    psi = torch.stack([torch.sin(_angle(m, grid) + 0.2) for m in waves])[None]
    expected = sum(_wavevector(m, grid)[axis] * torch.cos(_angle(m, grid) + 0.2) for axis, m in enumerate(waves))
    assert torch.allclose(divergence(psi, grid)[0], expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("grid", GRIDS, ids=IDS)
def test_the_gradient_of_the_inverse_laplacian_of_a_wave_is_analytic(grid: Grid) -> None:
    mode = (2, -1, 1)[: grid.dimension]
    k = _wavevector(mode, grid)
    found = gradient_of_inverse_laplacian(torch.cos(_angle(mode, grid))[None], grid)[0]
    expected = torch.stack([ki / k.square().sum() * torch.sin(_angle(mode, grid)) for ki in k])
    assert torch.allclose(found, expected, rtol=0, atol=1e-13)


# --- second order ------------------------------------------------------------------------------------------------------------


def _two_waves(
    one: tuple[int, ...], two: tuple[int, ...], a: tuple[float, float], phi: tuple[float, float], omega_m: float, grid: Grid
) -> Tensor:
    """psi2 = -(3/14) Omega_m^(-1/143) a1 a2 (1 - mu^2) sum over k+ and k- of k/k^2 sin(k.q + phi1 +- phi2): (D, *shape).

    A sum at or beyond Nyquist is no mode of the grid, and is left out.
    """
    k1, k2 = _wavevector(one, grid), _wavevector(two, grid)
    one_minus_square = 1 - float((k1 * k2).sum() / (k1.norm() * k2.norm())) ** 2
    total = torch.zeros(grid.dimension, *grid.shape, dtype=torch.float64)
    for sign in (1, -1):
        mode = tuple(n + sign * m for n, m in zip(one, two, strict=True))
        if not any(mode) or any(2 * abs(n) >= points for n, points in zip(mode, grid.shape, strict=True)):
            continue
        k = _wavevector(mode, grid)
        total += (k / k.square().sum()).reshape(-1, *[1] * grid.dimension) * torch.sin(_angle(mode, grid) + phi[0] + sign * phi[1])
    return -3 / 14 * omega_m ** (-1 / 143) * a[0] * a[1] * one_minus_square * total


def _found(
    one: tuple[int, ...], two: tuple[int, ...], a: tuple[float, float], phi: tuple[float, float], omega_m: float, grid: Grid
) -> Tensor:
    delta = a[0] * torch.cos(_angle(one, grid) + phi[0]) + a[1] * torch.cos(_angle(two, grid) + phi[1])
    return second_order(delta[None], grid, omega_m)[0]


@pytest.mark.parametrize("two", [m for m in itertools.product((-2, 0, 1, 2), repeat=3) if any(m)], ids=str)
def test_two_waves_give_the_second_order_displacement_of_theory(two: tuple[int, ...]) -> None:
    grid, one = Grid((10, 12, 9), (10.0, 15.0, 7.0)), (1, 2, -1)
    a, phi = (0.3, 0.2), (0.4, 1.1)
    expected = _two_waves(one, two, a, phi, 0.3, grid)
    assert torch.allclose(_found(one, two, a, phi, 0.3, grid), expected, rtol=0, atol=1e-12 * a[0] * a[1])


def test_two_waves_in_the_plane_give_theirs() -> None:
    grid = Grid((16, 12), (16.0, 20.0))
    expected = _two_waves((3, 1), (1, -2), (0.5, 0.4), (0.0, 0.7), 1.0, grid)
    assert expected.abs().max() > 0.01
    assert torch.allclose(_found((3, 1), (1, -2), (0.5, 0.4), (0.0, 0.7), 1.0, grid), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("two", [(1, -1, 2), (-1, 1, -2), (2, -2, 4)])
def test_parallel_waves_have_no_second_order(two: tuple[int, ...]) -> None:
    found = _found((1, -1, 2), two, (0.5, 0.5), (0.0, 0.8), 1.0, Grid.cubic(16, 30.0))
    assert found.abs().max() < 1e-14


def test_one_dimension_has_no_second_order() -> None:
    grid = GRIDS[0]
    assert (second_order(_noise(grid), grid) == 0).all()


@pytest.mark.parametrize(
    ("one", "two"),
    [((5, 3), (5, -3)), ((5, 3), (-5, 3)), ((4, 3), (4, -3)), ((7, 2), (6, 5)), ((1, 7), (2, 7))],
    ids=["sum 10", "difference 10", "sum at Nyquist", "sum 13, 7", "sum 14"],
)
def test_sums_of_waves_beyond_nyquist_give_nothing_rather_than_a_folded_mode(one: tuple[int, int], two: tuple[int, int]) -> None:
    grid = Grid.cubic(16, 16.0, 2)
    expected = _two_waves(one, two, (0.3, 0.3), (0.2, 0.5), 1.0, grid)
    both = [tuple(n + s * m for n, m in zip(one, two, strict=True)) for s in (1, -1)]
    assert any(2 * abs(n) >= 16 for mode in both for n in mode), "one of the two is beyond"
    assert expected.abs().max() > 1e-4, "the other is not"
    assert torch.allclose(_found(one, two, (0.3, 0.3), (0.2, 0.5), 1.0, grid), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("points", [15, 16])
def test_products_of_the_highest_waves_do_not_fold_on_odd_and_even_grids(points: int) -> None:
    grid, top = Grid.cubic(points, 10.0, 2), (points - 1) // 2
    found = _found((top, 1), (top, -1), (1.0, 1.0), (0.0, 0.0), 1.0, grid)
    assert torch.allclose(found, _two_waves((top, 1), (top, -1), (1.0, 1.0), (0.0, 0.0), 1.0, grid), rtol=0, atol=1e-13)
    assert found.abs().max() > 1e-4


def test_the_centre_of_a_symmetric_peak_contracts_as_spherical_collapse_does() -> None:
    # At the crossing of three equal waves the strain is isotropic. There r/q = 1 - delta/3 - delta^2/21 - ... (the expansion of the
    # spherical model; Bernardeau 1994, ApJ 427, 51), delta the linear overdensity at the centre.
    grid, a = Grid.cubic(8, 20.0), 0.3
    delta = sum(
        (a * torch.cos(_angle(m, grid)) for m in ((1, 0, 0), (0, 1, 0), (0, 0, 1))), torch.zeros(grid.shape, dtype=torch.float64)
    )[None]
    for psi, strain in ((zeldovich(delta, grid), -a), (second_order(delta, grid), -((3 * a) ** 2) / 21)):
        for axis in range(3):
            only = torch.zeros_like(psi)
            only[:, axis] = psi[:, axis]
            assert float(divergence(only, grid)[0, 0, 0, 0]) == pytest.approx(strain, rel=1e-12)


def test_second_order_is_quadratic_and_lpt2_is_the_sum_of_both() -> None:
    grid = GRIDS[2]
    delta = _noise(grid)
    size = float(second_order(delta, grid).abs().max())
    assert torch.allclose(second_order(-3 * delta, grid), 9 * second_order(delta, grid), rtol=0, atol=1e-13 * 9 * size)
    assert torch.allclose(lpt2(delta, grid, 0.3), zeldovich(delta, grid) + second_order(delta, grid, 0.3), rtol=0, atol=1e-14)
    assert torch.allclose(
        second_order(delta, grid, 0.3), 0.3 ** (-1 / 143) * second_order(delta, grid), rtol=0, atol=1e-14 * 2 * size
    )


def test_second_order_has_no_curl() -> None:
    grid = GRIDS[2]
    psi = second_order(_noise(grid), grid)
    modes = torch.fft.rfftn(psi, dim=grid.axes)
    k = torch.stack(torch.broadcast_tensors(*grid.wavevectors(derivative=True))).to(modes)
    curl = torch.linalg.cross(k.expand_as(modes), modes, dim=1)
    assert curl.abs().square().sum() < 1e-28 * (k.abs().square().sum(0) * modes.abs().square().sum(1)).sum()


# --- growth ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("a", [0.01, 0.1, 0.5, 1.0])
def test_growth_without_lambda_is_the_scale_factor(a: float) -> None:
    assert growth_factor(a, 1.0) == pytest.approx(a, rel=1e-15)


@pytest.mark.parametrize("omega_m", [0.1, 0.3, 0.3089, 0.7])
@pytest.mark.parametrize("a", [0.02, 0.25, 0.5, 0.9, 1.0, 2.0])
def test_growth_is_the_growth_integral(a: float, omega_m: float) -> None:
    def hubble(x: float) -> float:
        return math.sqrt(omega_m * x**-3 + 1 - omega_m)

    def integral(to: float) -> float:  # D(a) = (5/2) Omega_m H(a) int_0^a da / (a H)^3 (Heath 1977)
        return (
            2.5 * omega_m * hubble(to) * quad(lambda x: (x * hubble(x)) ** -3 if x > 0 else 0.0, 0, to, epsabs=0, epsrel=1e-12)[0]
        )

    assert growth_factor(a, omega_m) == pytest.approx(integral(a) / integral(1.0), rel=1e-10)


def test_growth_today_agrees_with_the_published_fit() -> None:
    # Carroll, Press & Turner 1992, ARA&A 30, 499, eq. 29: D(1)/a in the limit of early times, good to a per cent or two.
    omega_m, omega_l = 0.3, 0.7
    fit = 2.5 * omega_m / (omega_m ** (4 / 7) - omega_l + (1 + omega_m / 2) * (1 + omega_l / 70))
    assert 1e-4 / growth_factor(1e-4, omega_m) == pytest.approx(fit, rel=0.01)


def test_second_order_growth_is_minus_three_sevenths() -> None:
    assert second_order_growth(1.0) == pytest.approx(-3 / 7, rel=1e-15)
    # log D2 falls with log Omega_m at 1/143.
    assert math.log(second_order_growth(0.3) / second_order_growth(1.0)) == pytest.approx(-math.log(0.3) / 143, rel=1e-12)


# --- resampling --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize(("points", "fine"), [(8, 12), (8, 11), (7, 11), (7, 10), (8, 9), (7, 8), (4, 5)])
def test_resampling_up_and_down_is_the_identity_below_nyquist(points: int, fine: int, dimension: int) -> None:
    grid, target = Grid.cubic(points, 3.0, dimension), Grid.cubic(fine, 3.0, dimension)
    field = _noise(grid) + 0.7  # the mean is kept too
    there = resample(field, grid, target)
    assert there.shape == (2, *target.shape)
    assert torch.allclose(resample(there, target, grid), field, rtol=0, atol=1e-13)
    assert torch.allclose(there.flatten(1).mean(1), field.flatten(1).mean(1), rtol=1e-13)


@pytest.mark.parametrize(
    ("shape", "target"), [((8, 6, 5), (12, 9, 8)), ((9, 8, 7), (5, 6, 7)), ((6, 6, 6), (6, 6, 6)), ((4, 12, 6), (8, 6, 6))]
)
def test_a_resampled_wave_is_the_wave_at_the_new_points(shape: tuple[int, ...], target: tuple[int, ...]) -> None:
    box = (4.0, 5.0, 6.0)
    grids = Grid(shape, box), Grid(target, box)
    for mode in itertools.product(*(range(-3, 4) for _ in shape)):
        carried = [all(2 * abs(n) < points for n, points in zip(mode, g.shape, strict=True)) for g in grids]
        if carried[0]:
            there = resample(torch.cos(_angle(mode, grids[0]) + 0.3), *grids)
            expected = torch.cos(_angle(mode, grids[1]) + 0.3) * carried[1]  # what the target cannot carry is dropped, not folded
            assert torch.allclose(there, expected, rtol=0, atol=1e-14)
