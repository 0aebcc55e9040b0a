"""Two-point statistics, held to sums written out, to Parseval, to single waves and to white noise."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from probe import spectra, waves
from probe.errors import InputError
from probe.grid import Grid

GRIDS = [
    Grid.cubic(16, 5.0, 1),
    Grid.cubic(15, 5.0, 1),
    Grid.cubic(8, 16.0, 2),
    Grid((7, 10), (3.5, 10.0)),
    Grid.cubic(6, 12.0, 3),
    Grid.cubic(5, 1.0, 3),
    Grid((4, 6, 5), (8.0, 6.0, 5.0)),
]
IDS = ["x".join(map(str, g.shape)) for g in GRIDS]


def _random(grid: Grid, batch: int = 1, channels: int = 1, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, channels, *grid.shape, generator=generator, dtype=torch.float64)


def _full_modes(grid: Grid) -> list[tuple[int, ...]]:
    return list(itertools.product(*(range(-(points // 2), (points + 1) // 2) for points in grid.shape)))


def _shell_of(mode: tuple[int, ...], grid: Grid) -> int | None:
    """Number from 0 of the shell of a mode, None outside all: width k_F, centred on k_F, 2 k_F, ..., up to k_Ny."""
    k = math.sqrt(sum((2 * math.pi * n / side) ** 2 for n, side in zip(mode, grid.box, strict=True)))
    nyquist = min(math.pi * points / side for points, side in zip(grid.shape, grid.box, strict=True))
    fundamental = 2 * math.pi / max(grid.box)
    return None if k < fundamental / 2 or k > nyquist * (1 + 1e-12) else math.floor(k / fundamental + 0.5 + 1e-12) - 1


def _phase(mode: tuple[int, ...], grid: Grid) -> Tensor:
    """k.x at the points, with n.j reduced modulo N in integers."""
    total = torch.zeros(grid.shape, dtype=torch.float64)
    for axis, (n, points) in enumerate(zip(mode, grid.shape, strict=True)):
        turns = [(n * j) % points / points for j in range(points)]
        total = total + torch.tensor(turns, dtype=torch.float64).reshape([-1 if a == axis else 1 for a in range(grid.dimension)])
    return 2 * math.pi * total


def _by_direct_sum(a: Tensor, b: Tensor, grid: Grid) -> Tensor:
    """Re <f_a f_b*>/V in each shell with f(k) = h^D sum_x f(x) exp(-i k.x), mode by mode, no FFT: (batch, shells)."""
    cell = math.prod(side / points for side, points in zip(grid.box, grid.shape, strict=True))
    total: dict[int, Tensor] = {}
    count: dict[int, int] = {}
    for mode in _full_modes(grid):
        if (shell := _shell_of(mode, grid)) is not None:
            wave = torch.exp(-1j * _phase(mode, grid))
            fa, fb = (cell * (values * wave).sum(grid.axes) for values in (a, b))
            total[shell] = total.get(shell, 0) + (fa * fb.conj()).real.sum(1)
            count[shell] = count.get(shell, 0) + 1
    return torch.stack([total[s] / count[s] for s in sorted(total)], -1) / math.prod(grid.box)


def _in_shells(values: Tensor, grid: Grid) -> Tensor:
    """The field without k = 0 and without the corners beyond k_Ny."""
    inside = torch.tensor([_shell_of(m, grid) is not None for m in _full_modes(grid)]).reshape(grid.shape)
    inside = torch.fft.ifftshift(inside, grid.axes)  # _full_modes runs from -N/2 up
    return torch.fft.ifftn(torch.fft.fftn(values, dim=grid.axes) * inside, dim=grid.axes).real


@pytest.mark.parametrize("grid", GRIDS, ids=IDS)
def test_spectra_are_the_sums_of_their_definition(grid: Grid) -> None:
    a, b = _random(grid, 2, 2, 1), _random(grid, 2, 2, 2) + 0.5 * _random(grid, 2, 2, 1)
    # Some hundred terms, each right to a few eps.
    assert torch.allclose(spectra.power(a, grid), _by_direct_sum(a, a, grid), rtol=1e-12)
    scale = float(spectra.power(a, grid).max())
    assert torch.allclose(spectra.powers(a, b, grid)[2], _by_direct_sum(a, b, grid), rtol=1e-12, atol=1e-13 * scale)
    both = spectra.two_point(a, b, grid)
    assert torch.allclose(both.power_a, _by_direct_sum(a, a, grid), rtol=1e-12)
    assert torch.allclose(both.power_b, _by_direct_sum(b, b, grid), rtol=1e-12)
    assert torch.allclose(both.cross, _by_direct_sum(a, b, grid), rtol=1e-12, atol=1e-13 * scale)
    assert torch.allclose(both.error, _by_direct_sum(a - b, a - b, grid), rtol=1e-12)


@pytest.mark.parametrize("grid", GRIDS, ids=IDS)
def test_power_times_modes_over_the_volume_is_the_mean_square(grid: Grid) -> None:
    values = _in_shells(_random(grid, 3, 2), grid)
    total = (spectra.power(values, grid) * grid.shells().modes).sum(1) / math.prod(grid.box)
    mean_square = values.square().sum(1).flatten(1).mean(1)
    assert mean_square.min() > 0.1
    assert torch.allclose(total, mean_square, rtol=1e-13)


@pytest.mark.parametrize("grid", GRIDS, ids=IDS)
def test_hermitian_weights_hold_parseval_with_corners_and_mean(grid: Grid) -> None:
    values = _random(grid)
    squared = spectra.fourier(values, grid).abs().square() * grid.hermitian_weight()
    assert float(squared.sum()) / grid.size == pytest.approx(float(values.square().sum()), rel=1e-13)


@pytest.mark.parametrize("grid", GRIDS, ids=IDS)
def test_a_wave_in_every_direction_lands_in_its_shell_with_its_power(grid: Grid) -> None:
    amplitude = 1.7
    waves = [m for m in _full_modes(grid) if all(2 * abs(n) < points for n, points in zip(m, grid.shape, strict=True)) and any(m)]
    values = torch.stack([amplitude * torch.cos(_phase(m, grid) + 0.3 * i) for i, m in enumerate(waves)])[:, None]
    power, modes = spectra.power(values, grid), grid.shells().modes
    expected = torch.zeros_like(power)
    for i, mode in enumerate(waves):
        if (shell := _shell_of(mode, grid)) is not None:  # |f(k)|^2 = (A V / 2)^2 at k and -k
            expected[i, shell] = amplitude**2 * math.prod(grid.box) / 2 / modes[shell]
    assert (expected > 0).any(0)[:-1].all(), "every shell is hit, but for a last one that may hold Nyquist modes alone"
    assert torch.allclose(power, expected, rtol=1e-13, atol=1e-13 * float(expected.max()))


@pytest.mark.parametrize("grid", [Grid.cubic(64, 32.0, 1), Grid.cubic(24, 6.0, 2), Grid((9, 12, 10), (9.0, 6.0, 20.0))], ids=str)
def test_white_noise_has_the_power_of_its_variance_times_the_cell(grid: Grid) -> None:
    sigma, batch = 1.5, 20
    power = spectra.power(sigma * _random(grid, batch, seed=5), grid).mean(0)
    expected = sigma**2 * math.prod(grid.box) / math.prod(grid.shape)
    # The sum over a shell is chi^2 of `modes` degrees of freedom for each sample: its relative scatter is sqrt(2 / dof).
    z = (power / expected - 1) / torch.sqrt(2 / (grid.shells().modes * batch))
    assert z.abs().max() < 4.5
    assert z.square().sum() < z.numel() + 4 * math.sqrt(2 * z.numel())


def test_the_powers_of_components_add() -> None:
    grid = GRIDS[6]
    values = _random(grid, 2, 3)
    alone = sum(spectra.power(values[:, i : i + 1], grid) for i in range(3))
    assert torch.allclose(spectra.power(values, grid), alone, rtol=1e-14)


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_doubling_the_box_at_the_same_values_scales_power_by_its_volume(dimension: int) -> None:
    small, large = Grid.cubic(6, 3.0, dimension), Grid.cubic(6, 6.0, dimension)
    values = _random(small)
    assert torch.allclose(spectra.power(values, large), 2**dimension * spectra.power(values, small), rtol=1e-14)
    assert torch.allclose(large.shells().wavenumber, small.shells().wavenumber / 2, rtol=1e-14)


def test_a_wave_sampled_finer_in_the_same_box_keeps_its_power() -> None:
    coarse, fine = Grid.cubic(8, 10.0, 2), Grid.cubic(16, 10.0, 2)
    powers = [spectra.power(torch.cos(_phase((2, 1), g) + 0.2)[None, None], g)[0, 1] for g in (coarse, fine)]
    assert float(powers[0]) == pytest.approx(float(powers[1]), rel=1e-13)


@pytest.mark.parametrize("grid", GRIDS, ids=IDS)
def test_the_error_power_is_the_identity_of_transfer_and_correlation(grid: Grid) -> None:
    truth, noise = _random(grid, 2, 2, 1), _random(grid, 2, 2, 2)
    both = spectra.two_point(0.8 * truth + 0.5 * noise, truth, grid)
    t, r = both.power_a / both.power_b, both.cross / torch.sqrt(both.power_a * both.power_b)
    # Nothing here is small, so nothing cancels.
    assert torch.allclose(both.error / both.power_b, t + 1 - 2 * r * torch.sqrt(t), rtol=1e-12)
    assert torch.allclose(both.residual / both.power_a, 1 - r**2, rtol=1e-12)


def _nearly_equal(grid: Grid, share: float, batch: int) -> tuple[Tensor, Tensor]:
    """An a whose 1 - r^2 with b is `share` in every shell: b plus a noise made orthogonal to it shell by shell; and b."""
    b, noise = _in_shells(_random(grid, batch, 3, 1), grid), _in_shells(_random(grid, batch, 3, 2), grid)

    def scaled(values: Tensor, factor: Tensor) -> Tensor:
        return torch.fft.irfftn(spectra.fourier(values, grid) * spectra.spread(factor, grid)[:, None], s=grid.shape, dim=grid.axes)

    noise = noise - scaled(b, spectra.powers(noise, b, grid)[2] / spectra.power(b, grid))
    level = torch.sqrt(share / (1 - share) * spectra.power(b, grid) / spectra.power(noise, grid))
    return b + scaled(noise, level), b


def test_stochasticity_of_one_in_10_to_the_8_is_right_where_subtraction_fails() -> None:
    grid, share = Grid.cubic(12, 24.0), 1e-8
    a, b = _nearly_equal(grid, share, 8)
    exact = spectra.two_point(a, b, grid)
    # In float64 a residual of relative amplitude 1e-4 carries roundings of a few eps/1e-4 = 1e-11.
    assert torch.allclose(exact.residual / exact.power_a, torch.full_like(exact.power_a, share), rtol=1e-10)

    a32, b32 = a.float(), b.float()
    rounded = spectra.two_point(a32.double(), b32.double(), grid)  # of what float32 could hold of the two
    single = spectra.two_point(a32, b32, grid)
    for part in ("error", "residual"):
        truth, found = (getattr(x, part).mean(0) / x.power_a.mean(0) for x in (rounded, single))
        # a - b is exact in float32 where they nearly agree, and its transform right to some 1e-7 of itself.
        assert torch.allclose(found, truth, rtol=5e-6)
    subtracted = 1 - single.cross**2 / (single.power_a * single.power_b)
    assert ((subtracted - share).abs() / share).max() > 0.3


def test_the_residual_of_a_field_that_is_zero_in_truth_is_all_of_it() -> None:
    grid = GRIDS[2]
    both = spectra.two_point(_random(grid), torch.zeros(1, 1, *grid.shape, dtype=torch.float64), grid)
    assert torch.equal(both.residual, both.power_a)


@pytest.mark.parametrize("grid", GRIDS, ids=IDS)
def test_spread_gives_each_mode_the_value_of_its_shell(grid: Grid) -> None:
    count = grid.shells().count
    given = torch.stack([torch.arange(1, count + 1, dtype=torch.float64), -torch.arange(1, count + 1, dtype=torch.float64)])
    spread = spectra.spread(given, grid)
    for index in itertools.product(*map(range, grid.half_shape)):
        mode = tuple(n if 2 * n <= points else n - points for n, points in zip(index, grid.shape, strict=True))
        shell = _shell_of(mode, grid)
        expected = 0 if shell is None else shell + 1
        assert spread[(slice(None), *index)].tolist() == [expected, -expected]


@pytest.mark.parametrize("grid", GRIDS[2:], ids=IDS[2:])
def test_the_longitudinal_part_is_that_along_k(grid: Grid) -> None:
    values = _random(grid, 2, grid.dimension)
    modes = spectra.fourier(values, grid)
    found = spectra.longitudinal(modes, grid)
    for index in itertools.product(*map(range, grid.half_shape)):
        mode = [n if 2 * n < points else n - points for n, points in zip(index, grid.shape, strict=True)]
        mode[-1] = index[-1]  # the last axis of rfftn holds n >= 0
        k = torch.tensor([n / side for n, side in zip(mode, grid.box, strict=True)], dtype=torch.float64)
        expected = (modes[(slice(None), slice(None), *index)] * k).sum(1) / k.norm().clamp_min(1e-300)
        assert torch.allclose(found[(slice(None), *index)], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "grid", [Grid.cubic(8, 1.0, 1), Grid.cubic(7, 1.0, 1), Grid((4, 5), (1.0, 2.0)), Grid((4, 3, 6), (1.0, 2.0, 3.0))], ids=str
)
def test_coefficients_are_amplitude_and_phase_of_every_mode(grid: Grid) -> None:
    amplitude, phi = 1.3, 0.7
    waves = list(itertools.product(*(range(-points, points + 1) for points in grid.shape)))
    values = torch.stack([amplitude * torch.cos(_phase(m, grid) + phi) for m in waves])[:, None]
    found = spectra.coefficients(values, waves, grid)[:, 0]
    for i, mode in enumerate(waves):
        alone = all(2 * n % points == 0 for n, points in zip(mode, grid.shape, strict=True))
        # A mode that is its own opposite shows only A cos(phi) on the lattice.
        expected = amplitude * (math.cos(phi) if alone else complex(math.cos(phi), math.sin(phi)))
        assert complex(found[i, i]) == pytest.approx(expected, abs=1e-13)
        for other in range(0, len(waves), 29):
            same = [all((n - s * o) % p == 0 for n, o, p in zip(mode, waves[other], grid.shape, strict=True)) for s in (1, -1)]
            if not any(same):
                assert abs(found[i, other]) < 1e-13


def test_coefficients_rebuild_a_field() -> None:
    grid = Grid((4, 5), (1.0, 1.0))
    values = _random(grid)
    one_of_each_pair = [
        m for m in _full_modes(grid) if m > tuple(-n for n in m) or all(2 * n % p == 0 for n, p in zip(m, grid.shape, strict=True))
    ]
    one_of_each_pair += [(-2, n) for n in (1, 2)]  # (-2, n) and (-2, -n) are opposites on four points
    found = spectra.coefficients(values, one_of_each_pair, grid)[0, 0]
    rebuilt = sum((c * torch.exp(1j * _phase(m, grid))).real for c, m in zip(found, one_of_each_pair, strict=True))
    assert len(one_of_each_pair) == (grid.size + 2) // 2
    assert torch.allclose(rebuilt, values[0, 0], rtol=0, atol=1e-13)


def test_an_amplitude_splits_into_along_and_across() -> None:
    grid, mode = Grid((8, 8, 8), (1.0, 2.0, 1.0)), (2, 2, -1)
    khat = torch.tensor([2.0, 1.0, -1.0], dtype=torch.float64) / math.sqrt(6)  # n / L
    across = torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64) / math.sqrt(3)  # at right angles to it
    parallel, transverse = spectra.along(((2 - 1j) * khat + 0.5j * across)[None], mode, grid, True)
    assert complex(parallel[0]) == pytest.approx(2 - 1j, rel=1e-14)
    assert float(transverse[0]) == pytest.approx(0.5, rel=1e-14)
    parallel, transverse = spectra.along(torch.tensor([[3 + 4j]]), mode, grid, False)
    assert complex(parallel[0]) == 3 + 4j and float(transverse[0]) == 0


# --- folded sums -------------------------------------------------------------------------------------------------------------


def _by_full_transform(a: Tensor, b: Tensor, grid: Grid) -> ndarray:
    """Re <f_a f_b*>/V from numpy's fftn of all modes in float64, shell after shell by a mask: (batch, shells)."""
    axes = tuple(range(2, 2 + grid.dimension))
    fa, fb = (np.fft.fftn(values.double().numpy(), axes=axes) for values in (a, b))
    product = (fa * fb.conj()).real.sum(1) * (math.prod(grid.box) / math.prod(grid.shape) ** 2)
    k = [2 * np.pi * np.fft.fftfreq(points, side / points) for points, side in zip(grid.shape, grid.box, strict=True)]
    norm = np.sqrt(sum(component**2 for component in np.meshgrid(*k, indexing="ij")))
    fundamental, nyquist = 2 * np.pi / max(grid.box), min(math.pi * n / side for n, side in zip(grid.shape, grid.box, strict=True))
    means = []
    for shell in range(1, math.floor(nyquist / fundamental + 0.5) + 1):
        inside = (norm >= (shell - 0.5) * fundamental * (1 - 1e-12)) & (norm < (shell + 0.5) * fundamental * (1 - 1e-12))
        inside &= norm <= nyquist * (1 + 1e-12)
        if inside.any():
            means.append(product[:, inside].mean(1))
    return np.stack(means, -1)


LARGER = [Grid.cubic(64, 3.0, 1), Grid.cubic(63, 3.0, 1), Grid((30, 48), (10.0, 32.0)), Grid((31, 45), (10.0, 32.0))]
LARGER += [Grid.cubic(24, 5.0), Grid.cubic(25, 5.0), Grid((12, 27, 16), (6.0, 9.0, 4.0)), Grid((15, 8, 21), (6.0, 9.0, 4.0))]


@pytest.mark.parametrize("parts", [1, 4, 1000])
@pytest.mark.parametrize("grid", LARGER, ids=str)
def test_spectra_are_those_of_the_full_transform_however_they_are_cut(grid: Grid, parts: int, monkeypatch) -> None:
    monkeypatch.setattr("probe.grid.shells.PARTS", parts)
    a, b = _random(grid, 2, 3, 1), _random(grid, 2, 3, 2) + 0.5 * _random(grid, 2, 3, 1)
    scale = float(spectra.power(a, grid).max())
    two, three = spectra.two_point(a, b, grid), spectra.powers(a, b, grid)
    for found, other, x, y in zip((two.power_a, two.power_b, two.cross), three, (a, b, a), (a, b, b), strict=True):
        np.testing.assert_allclose(found.numpy(), _by_full_transform(x, y, grid), rtol=1e-12, atol=1e-13 * scale)
        assert torch.equal(found, other)
    np.testing.assert_allclose(two.error.numpy(), _by_full_transform(a - b, a - b, grid), rtol=1e-12)


@pytest.mark.parametrize("grid", GRIDS, ids=IDS)
def test_sums_over_shells_count_any_values_once_for_each_mode_they_stand_for(grid: Grid) -> None:
    given = torch.rand(2, *grid.half_shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    kept, expected = given.clone(), torch.zeros(2, grid.shells().count, dtype=torch.float64)
    for index in itertools.product(*map(range, grid.half_shape)):
        mode = tuple(n if 2 * n <= points else n - points for n, points in zip(index, grid.shape, strict=True))
        if (shell := _shell_of(mode, grid)) is not None:
            expected[:, shell] += (1 if 2 * index[-1] % grid.shape[-1] == 0 else 2) * given[(slice(None), *index)]
    assert torch.allclose(grid.shells().sum(given, grid), expected, rtol=1e-13)
    assert torch.equal(given, kept), "what is summed is left as it was"


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_the_nyquist_mode_counts_once(dimension: int) -> None:
    grid, amplitude = Grid.cubic(8, 4.0, dimension), 1.7
    mode = (*[0] * (dimension - 1), 4)  # A (-1)^j on the last axis: |f(k)|^2 = (A V)^2 at one k, no other stands for it
    power = spectra.power(amplitude * torch.cos(_phase(mode, grid))[None, None], grid)[0]
    assert float(power[3]) == pytest.approx(amplitude**2 * 4.0**dimension / float(grid.shells().modes[3]), rel=1e-13)
    assert power[:3].abs().max() < 1e-13 * power[3]


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_a_gaussian_field_has_the_power_it_was_drawn_with(dimension: int) -> None:
    grid, batch = Grid.cubic({1: 128, 2: 48, 3: 24}[dimension], 50.0, dimension), 30
    drawn = waves.gaussian_field(grid, lambda k: 7 * k**-1.5, torch.Generator().manual_seed(3), batch)[:, None]
    shells = grid.shells()
    k = grid.wavenumber().clamp_min(1e-9)
    below = waves.below_nyquist(grid, "cpu").to(torch.float64).expand(grid.half_shape)  # Nyquist modes are not drawn
    held = shells.sum(below, grid)
    expected = shells.sum(7 * k**-1.5 * below, grid) / shells.modes
    z = (spectra.power(drawn, grid).mean(0) / expected - 1) / torch.sqrt(2 / (held * batch))
    z = z[held > 0.9 * shells.modes]
    assert len(z) > 8 and z.abs().max() < 4.5
    assert z.square().sum() < z.numel() + 4 * math.sqrt(2 * z.numel())


def test_the_correlation_of_independent_fields_scatters_by_one_over_the_root_of_modes() -> None:
    grid, batch = Grid.cubic(12, 1.0), 400
    power_a, power_b, cross = spectra.powers(_random(grid, batch, seed=1), _random(grid, batch, seed=2), grid)
    r, modes = cross / torch.sqrt(power_a * power_b), grid.shells().modes
    assert modes[0] == 18
    # r is the cosine between two vectors of as many independent components as there are modes: variance 1/modes, exactly.
    assert torch.allclose(r.std(0) * modes.sqrt(), torch.ones_like(modes), atol=4.5 / math.sqrt(2 * batch))
    assert float(r.std(0)[0]) == pytest.approx(0.236, abs=0.04)


@pytest.mark.parametrize("grid", [Grid.cubic(6, 1.0, 1), Grid((5, 4), (1.0, 2.0)), Grid((4, 3, 4), (1.0, 2.0, 1.0))], ids=str)
def test_spectra_have_first_and_second_derivatives(grid: Grid) -> None:
    channels = 2 if grid.dimension < 3 else 1
    a, b = _random(grid, 1, channels, 1).requires_grad_(), _random(grid, 1, channels, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y: spectra.powers(x, y, grid), (a, b))
    assert torch.autograd.gradcheck(lambda x, y: tuple(vars(spectra.two_point(x, y, grid)).values()), (a, b))
    assert torch.autograd.gradgradcheck(lambda x: spectra.power(x, grid), (a,))


@pytest.mark.parametrize("grid", [Grid.cubic(6, 1.0, 1), Grid((5, 4), (1.0, 2.0)), Grid((4, 3, 4), (1.0, 2.0, 1.0))], ids=str)
def test_spectra_have_derivatives_along_a_direction_and_beside_each_other(grid: Grid) -> None:
    a, b, da, db = (_random(grid, 3, 2, seed) for seed in range(4))

    def three(a: Tensor, b: Tensor) -> Tensor:
        return torch.stack(spectra.powers(a, b, grid), 1)

    # P_ab is bilinear: along (da, db) it changes by that of da and b and that of a and db, and P_aa by twice that of a and da.
    expected = torch.stack([2 * three(a, da)[:, 2], 2 * three(b, db)[:, 2], three(da, b)[:, 2] + three(a, db)[:, 2]], 1)
    found = torch.func.jvp(three, (a, b), (da, db))[1]
    assert torch.allclose(found, expected, rtol=1e-12, atol=1e-12 * float(expected.abs().max()))
    each = torch.func.vmap(torch.func.jacrev(lambda x, y: three(x[None], y[None])[0], argnums=(0, 1)))(a, b)
    summed = sum((jacobian * along[:, None, None]).flatten(3).sum(3) for jacobian, along in zip(each, (da, db), strict=True))
    assert torch.allclose(summed, expected, rtol=1e-12, atol=1e-12 * float(expected.abs().max()))


def test_fields_are_left_as_they_were() -> None:
    grid = GRIDS[4]
    a, b = _random(grid, 2, 3, 1), _random(grid, 2, 3, 2)
    kept = a.clone(), b.clone()
    spectra.power(a, grid), spectra.powers(a, b, grid), spectra.two_point(a, b, grid)
    assert torch.equal(a, kept[0]) and torch.equal(b, kept[1])


def test_a_batch_is_each_of_its_fields() -> None:
    grid = GRIDS[6]
    values = _random(grid, 5, 3)
    alone = torch.cat([spectra.power(values[i : i + 1], grid) for i in range(5)])
    assert torch.equal(spectra.power(values, grid), alone)


def test_single_precision_is_kept_through_the_transform_and_left_for_the_sums() -> None:
    grid = Grid.cubic(32, 1.0)
    values = _random(grid).float()
    power = spectra.power(values, grid)
    assert spectra.fourier(values, grid).dtype is torch.complex64 and power.dtype is torch.float64
    # A transform in float32 is right to some 1e-7 for each mode at random; modes average it.
    assert torch.allclose(power, spectra.power(values.double(), grid), rtol=5e-7)


def test_each_field_of_a_pair_is_transformed_once(monkeypatch) -> None:
    calls, transform = [], torch.fft.rfftn
    monkeypatch.setattr(torch.fft, "rfftn", lambda values, **options: calls.append(values.shape) or transform(values, **options))
    grid = GRIDS[4]
    spectra.powers(_random(grid), _random(grid), grid)
    assert len(calls) == 2
    spectra.two_point(_random(grid), _random(grid), grid)
    assert len(calls) == 2 + 3, "and their difference"


# --- the ladder --------------------------------------------------------------------------------------------------------------


def _half_layout(members: set[tuple[int, ...]], grid: Grid) -> Tensor:
    mask = torch.zeros(grid.half_shape, dtype=torch.bool)
    for index in itertools.product(*map(range, grid.half_shape)):
        mask[index] = index in members
    return mask


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize(
    ("mode", "shape"),
    [
        ((3,), (16,)),
        ((5,), (12,)),
        ((4, 6), (16, 16)),
        ((2, -3), (8, 12)),
        ((0, 3), (8, 8)),
        ((4, 6, 0), (8, 8, 8)),
        ((1, 2, -3), (4, 8, 8)),
    ],
)
def test_the_ladder_is_the_set_of_all_m_n_plus_rungs(mode: tuple[int, ...], shape: tuple[int, ...], stride: int) -> None:
    grid = Grid(shape, (1.0,) * len(shape))
    rungs = itertools.product(*([points // stride * j for j in range(stride)] for points in shape))
    members = {
        tuple((m * n + rung) % points for n, rung, points in zip(mode, j, shape, strict=True))
        for j in rungs
        for m in range(-math.lcm(*shape), math.lcm(*shape))
    }
    mask = spectra.ladder_mask(mode, grid, stride)
    assert torch.equal(mask, _half_layout(members, grid))
    if stride == 1:
        assert torch.equal(mask, spectra.ladder_mask(mode, grid))


@pytest.mark.parametrize("mode", [(4, 6), (2, 4), (4, 4)])
def test_a_strided_network_answers_an_oblique_wave_on_the_ladder_alone(mode: tuple[int, int]) -> None:
    grid = Grid.cubic(16, 16.0, 2)
    torch.manual_seed(0)
    down = torch.nn.Conv2d(1, 4, 3, stride=2, dtype=torch.float64)
    up = torch.nn.ConvTranspose2d(4, 1, 2, stride=2, dtype=torch.float64)
    wave = torch.cos(_phase(mode, grid) + 0.4)[None, None]
    with torch.no_grad():
        answer = up(torch.tanh(3 * down(functional.pad(wave, (1, 1, 1, 1), mode="circular"))))
    power = spectra.fourier(answer, grid)[0, 0].abs().square() * grid.hermitian_weight()
    ladder, harmonics = spectra.ladder_mask(mode, grid, 2), spectra.ladder_mask(mode, grid)
    assert ladder.double().mean() < 0.2, "a ladder that holds every mode would prove nothing"
    assert power[~ladder].sum() < 1e-28 * power.sum()  # eps^2 a mode
    assert power[ladder & ~harmonics].sum() > 1e-4 * power.sum(), "the stride shows between the harmonics"
    assert (power[ladder] > 1e-12 * power.sum()).double().mean() > 0.5, "and the ladder is no larger than it need be"


@pytest.mark.parametrize("grid", [Grid((6, 5), (1.0, 1.0)), Grid((4, 4, 6), (1.0, 1.0, 1.0))], ids=str)
def test_a_mask_of_modes_holds_them_and_their_opposites(grid: Grid) -> None:
    modes = [(2, -2, 1)[: grid.dimension], (0, 1, 3)[: grid.dimension], (-1, 0, -3)[: grid.dimension]]
    members = {tuple(s * n % p for n, p in zip(m, grid.shape, strict=True)) for m in modes for s in (1, -1)}
    assert torch.equal(spectra.modes_mask(modes, grid), _half_layout(members, grid))


def test_the_unit_of_power_is_the_fields_squared_times_a_volume() -> None:
    grid = Grid.cubic(4, 1.0, unit="Mpc/h")
    assert spectra.power_unit("km/s", grid) == "(km/s)^2 (Mpc/h)^3"
    assert spectra.power_unit("", grid) == "(Mpc/h)^3"


def test_a_stride_that_does_not_divide_the_grid_is_refused() -> None:
    with pytest.raises(InputError, match="multiple of the network's stride 4"):
        spectra.ladder_mask((1,), Grid.cubic(10, 1.0, dimension=1), 4)


# --- the window of a box that is not periodic --------------------------------------------------------------------------------


def _walled(grid: Grid) -> Grid:
    return replace(grid, boundary="zero")


@pytest.mark.parametrize("grid", GRIDS, ids=IDS)
def test_the_windows_transform_reaches_one_mode_along_each_axis_and_no_further(grid: Grid) -> None:
    transform = torch.fft.fftn(spectra.window(_walled(grid)))
    for mode in _full_modes(grid):
        expected = math.prod({0: points / 2, 1: -points / 4}.get(abs(n), 0.0) for n, points in zip(mode, grid.shape, strict=True))
        found = complex(transform[tuple(n % points for n, points in zip(mode, grid.shape, strict=True))])
        # The middle of the box, half a cell beside a point, is where it is even about: a phase.
        centred = found * math.prod(
            complex(math.cos(math.pi * n / points), -math.sin(math.pi * n / points))
            for n, points in zip(mode, grid.shape, strict=True)
        )
        assert centred == pytest.approx(expected, abs=1e-14 * grid.size)


@pytest.mark.parametrize("grid", GRIDS, ids=IDS)
def test_a_periodic_box_needs_no_window(grid: Grid) -> None:
    values = _random(grid)
    assert (spectra.window(grid) == 1).all() and spectra.windowed(values, grid) is values


@pytest.mark.parametrize("grid", GRIDS, ids=IDS)
def test_a_constant_is_nothing_through_the_window_and_a_wave_keeps_its_power(grid: Grid) -> None:
    walled, last = _walled(grid), grid.shape[-1]
    assert spectra.windowed(torch.full((1, 1, *grid.shape), 3.0), walled).abs().max() == 0
    mode = (*(0,) * (grid.dimension - 1), max(n for n in range(1, last) if 2 * n <= last - 2))
    wave = torch.cos(_phase(mode, grid) + 0.4)[None, None]
    # <(w cos)^2> = <w^2>/2 as long as w^2, which reaches two modes, does not join the wave to its opposite: 2 n is not +-2 or less.
    if 2 < 2 * mode[-1] < last - 2:
        assert float(spectra.windowed(wave, walled).square().mean()) == pytest.approx(0.5, rel=1e-13)


@pytest.mark.parametrize(
    "grid", [g for g in GRIDS if g.size < 300], ids=[i for g, i in zip(GRIDS, IDS, strict=True) if g.size < 300]
)
def test_white_noise_keeps_its_power_through_the_window(grid: Grid) -> None:
    # The mean over white noise is the sum over unit impulses at every point. What the mean takes: |W(n)|^2 / N of N sum w^2 / N.
    impulses = torch.eye(grid.size, dtype=torch.float64).reshape(grid.size, 1, *grid.shape)
    modes = spectra.fourier(spectra.windowed(impulses, _walled(grid)), grid)[:, 0]
    found = modes.abs().square().sum(0) / grid.size
    for index in itertools.product(*map(range, grid.half_shape)):
        steps = [min(n, points - n) for n, points in zip(index, grid.shape, strict=True)]
        share = math.prod({0: 1 / 4, 1: 1 / 16}.get(step, 0.0) / (3 / 8) for step in steps)
        assert float(found[index]) == pytest.approx(1 - share, abs=1e-13)
