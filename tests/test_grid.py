"""The lattice: its conventions, its wavevectors, and the counting of modes that every spectrum rests on."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import pytest
import torch

from probe.grid import Grid

GRIDS = [
    Grid.cubic(8, 16.0, 1),
    Grid.cubic(9, 9.0, 1),
    Grid.cubic(8, 20.0, 2),
    Grid.cubic(7, 7.0, 2),
    Grid((6, 9), (6.0, 9.0)),
    Grid((8, 6), (10.0, 12.0)),
    Grid.cubic(6, 30.0, 3),
    Grid.cubic(5, 1.0, 3),
    Grid((4, 6, 7), (8.0, 6.0, 14.0)),
    Grid((8, 4, 4), (8.0, 4.0, 4.0)),
    Grid((5, 4), (16.0, 12.0)),
]


def _named(grid: Grid) -> str:
    return f"{'x'.join(map(str, grid.shape))}"


def _full_modes(grid: Grid) -> list[tuple[int, ...]]:
    """Every mode of the full (not half) transform; an even axis holds -N/2 and not N/2."""
    return list(itertools.product(*(range(-(points // 2), (points + 1) // 2) for points in grid.shape)))


def _counted_by_hand(grid: Grid) -> tuple[dict[int, int], dict[int, float]]:
    """Modes and the sum of |k|/k_F in each shell, in rational arithmetic: no rounding decides an edge."""
    longest = Fraction(max(grid.box))
    nyquist_squared = min((points * longest / (2 * Fraction(side))) ** 2 for points, side in zip(grid.shape, grid.box, strict=True))
    count: dict[int, int] = {}
    total: dict[int, float] = {}
    for mode in _full_modes(grid):
        squared = sum((n * longest / Fraction(side)) ** 2 for n, side in zip(mode, grid.box, strict=True))
        if squared < Fraction(1, 4) or squared > nyquist_squared:
            continue
        # Shell s holds s - 1/2 <= |k|/k_F < s + 1/2.
        shell = next(s for s in itertools.count(1) if squared < Fraction(2 * s + 1, 2) ** 2)
        count[shell] = count.get(shell, 0) + 1
        total[shell] = total.get(shell, 0.0) + math.sqrt(squared)
    return count, total


def test_the_first_shell_of_a_cube_holds_18_modes() -> None:
    # 6 of |n| = 1 and 12 of |n| = 1.41; the 8 of |n| = 1.73 lie beyond 3/2.
    shells = Grid.cubic(32, 128.0).shells()
    assert shells.modes[0] == 18
    assert shells.wavenumber[0].item() == pytest.approx((6 + 12 * math.sqrt(2)) / 18 * 2 * math.pi / 128, rel=1e-14)


@pytest.mark.parametrize("grid", GRIDS, ids=_named)
def test_shells_count_every_mode_of_the_full_lattice_once(grid: Grid) -> None:
    count, total = _counted_by_hand(grid)
    shells = grid.shells()
    assert shells.modes.tolist() == [count[s] for s in range(1, max(count) + 1)]
    mean = [total[s] / count[s] * grid.fundamental for s in range(1, max(count) + 1)]
    assert shells.wavenumber.tolist() == pytest.approx(mean, rel=1e-13)


@pytest.mark.parametrize("grid", GRIDS, ids=_named)
def test_all_shells_together_hold_every_mode_from_half_the_fundamental_to_nyquist(grid: Grid) -> None:
    between = 0
    for mode in _full_modes(grid):
        k = math.sqrt(sum((2 * math.pi * n / side) ** 2 for n, side in zip(mode, grid.box, strict=True)))
        between += 0.5 * grid.fundamental * (1 - 1e-12) <= k <= grid.nyquist * (1 + 1e-12)
    assert grid.shells().modes.sum() == between


@pytest.mark.parametrize("points", [3, 5, 7, 8, 9, 15, 16])
@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_no_shell_is_empty(points: int, dimension: int) -> None:
    # On an odd grid no mode lies between the last multiple of k_F below k_Ny and k_Ny = N/2 k_F.
    shells = Grid.cubic(points, 1.0, dimension).shells()
    assert shells.count == points // 2
    assert (shells.modes > 0).all()


@pytest.mark.parametrize("grid", GRIDS, ids=_named)
def test_the_half_space_stands_for_the_whole(grid: Grid) -> None:
    weights = torch.broadcast_to(grid.hermitian_weight(), grid.half_shape)
    assert weights.sum() == grid.size
    stood_for = sorted(
        n
        for entry, w in zip(itertools.product(*map(range, grid.half_shape)), weights.flatten().tolist(), strict=True)
        for n in _pair(entry, w, grid)
    )
    assert stood_for == sorted(itertools.product(*map(range, grid.shape)))


def _pair(entry: tuple[int, ...], weight: float, grid: Grid) -> list[tuple[int, ...]]:
    """The entries of the full transform that one entry of the half one stands for, by its weight."""
    opposite = tuple(-n % points for n, points in zip(entry, grid.shape, strict=True))
    return [entry] if weight == 1 else [entry, opposite]


@pytest.mark.parametrize("grid", GRIDS, ids=_named)
def test_shell_sums_of_an_even_field_equal_those_over_the_full_transform(grid: Grid) -> None:
    values = torch.randn(2, *grid.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    full = torch.fft.fftn(values, dim=grid.axes).abs().square()
    half = full[..., : grid.half_shape[-1]]
    count, _ = _counted_by_hand(grid)
    expected = torch.zeros(2, max(count), dtype=torch.float64)
    for mode in _full_modes(grid):
        k = grid.wavenumber_of(mode) / grid.fundamental
        if 0.5 - 1e-12 <= k <= grid.nyquist / grid.fundamental + 1e-12:
            expected[:, math.floor(k + 0.5 + 1e-12) - 1] += full[(slice(None), *mode)]
    assert torch.allclose(grid.shells().sum(half, grid), expected, rtol=1e-13)


@pytest.mark.parametrize("grid", GRIDS, ids=_named)
def test_wavevectors_are_two_pi_n_over_l_in_the_order_of_rfftn(grid: Grid) -> None:
    for axis, (k, points, side) in enumerate(zip(grid.wavevectors(), grid.shape, grid.box, strict=True)):
        if axis < grid.dimension - 1:
            n = [j if 2 * j < points else j - points for j in range(points)]  # numpy's order: an even axis' Nyquist is -N/2
        else:
            n = list(range(points // 2 + 1))
        assert k.shape == tuple(len(n) if a == axis else 1 for a in range(grid.dimension))
        assert k.flatten().tolist() == pytest.approx([2 * math.pi * m / side for m in n], rel=1e-15)
        assert grid.modes()[axis].flatten().tolist() == n


@pytest.mark.parametrize("grid", GRIDS, ids=_named)
def test_a_derivative_has_no_nyquist_mode_and_keeps_all_others(grid: Grid) -> None:
    plain, derivative = grid.wavevectors(), grid.wavevectors(derivative=True)
    for k, d, points in zip(plain, derivative, grid.shape, strict=True):
        nyquist = k.abs().flatten() == k.abs().max() if points % 2 == 0 else torch.zeros(k.numel(), dtype=torch.bool)
        assert nyquist.sum() == (points % 2 == 0)
        assert (d.flatten()[nyquist] == 0).all()
        assert torch.equal(d.flatten()[~nyquist], k.flatten()[~nyquist])


@pytest.mark.parametrize("grid", GRIDS, ids=_named)
def test_wavenumber_is_the_length_of_the_wavevector(grid: Grid) -> None:
    for index, n in enumerate(itertools.product(*(m.flatten().tolist() for m in grid.modes()))):
        assert grid.wavenumber().flatten()[index].item() == pytest.approx(grid.wavenumber_of(n), rel=1e-15, abs=0)


def test_scales_follow_from_the_longest_side_and_the_coarsest_spacing() -> None:
    grid = Grid((8, 4), (8.0, 12.0), "Mpc/h")
    assert grid.spacing == (1.0, 3.0)
    assert grid.fundamental == pytest.approx(2 * math.pi / 12)
    assert grid.nyquist == pytest.approx(math.pi / 3)
    assert (grid.volume, grid.size, grid.half_shape, grid.axes) == (96.0, 32, (8, 3), (-2, -1))
    assert grid.wavevector_of((1, -2)) == pytest.approx((2 * math.pi / 8, -4 * math.pi / 12))
    x, y = grid.positions()
    assert x.shape == (8, 1) and y.shape == (1, 4)
    assert x.flatten().tolist() == [0, 1, 2, 3, 4, 5, 6, 7] and y.flatten().tolist() == [0, 3, 6, 9]


@pytest.mark.parametrize(("unit", "inverse"), [("Mpc/h", "h/Mpc"), ("cell", "1/cell"), ("km", "1/km"), ("Mpc", "1/Mpc")])
def test_the_unit_of_wavenumbers_is_one_over_that_of_lengths(unit: str, inverse: str) -> None:
    assert Grid.cubic(4, 1.0, unit=unit).inverse_unit == inverse


@pytest.mark.parametrize(
    ("shape", "box", "said"),
    [
        ((8, 8), (1.0,), "2 axes has a box of 1 sides"),
        ((8,), (1.0, 1.0), "1 axes has a box of 2 sides"),
        ((1, 8), (1.0, 1.0), "two points"),
        ((8, 8), (1.0, 0.0), "positive sides"),
        ((8, 8), (-1.0, 1.0), "positive sides"),
    ],
)
def test_impossible_grids_are_refused(shape: tuple[int, ...], box: tuple[float, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Grid(shape, box)


def test_a_longer_box_keeps_its_spacing_and_the_same_one_its_every_digit() -> None:
    grid = Grid((6, 10), (0.7, 3.3), "km", "none")
    longer = grid.of_shape((24, 10))
    assert longer.shape == (24, 10) and longer.boundary == "none" and longer.unit == "km"
    assert longer.spacing == pytest.approx(grid.spacing, rel=1e-15)
    assert grid.of_shape([6, 10]) == grid
