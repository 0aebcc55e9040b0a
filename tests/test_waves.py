"""Plane waves and Gaussian fields: what is asked for is what stands on the grid."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from probe import spectra
from probe.fields import Quantity
from probe.grid import Grid
from probe.waves import (
    PlaneWave,
    below_nyquist,
    check_mode,
    default_mode,
    default_modes,
    gaussian_field,
    inject,
    is_clear,
    label,
    mode_of,
    phase_of,
    physical_amplitude,
    plane_wave,
    typical_size,
    whole_cell_phases,
)

PSI = Quantity("psi", "vector", "displacement", "Mpc/h", rms=3.0)
SCALAR = Quantity("a", rms=2.0)
CASES = [
    ((3,), (8,), (4.0,)),
    ((2, -1), (8, 7), (8.0, 21.0)),
    ((1, -2, 3), (6, 5, 8), (6.0, 10.0, 4.0)),
    ((0, 0, 1), (4, 4, 4), (8.0, 8.0, 8.0)),
]


def _angle(mode: tuple[int, ...], grid: Grid) -> Tensor:
    """k.x from the definitions of k and x."""
    points = torch.meshgrid(
        *(torch.arange(n, dtype=torch.float64) * side / n for n, side in zip(grid.shape, grid.box, strict=True)), indexing="ij"
    )
    return sum(
        (2 * math.pi * n / side * x for n, side, x in zip(mode, grid.box, points, strict=True)),
        torch.zeros((), dtype=torch.float64),
    )


def _divergence(values: Tensor, grid: Grid) -> Tensor:
    """Of (D, *shape), by full transforms axis by axis."""
    total = torch.zeros(grid.shape, dtype=torch.float64)
    for axis, (points, side) in enumerate(zip(grid.shape, grid.box, strict=True)):
        n = torch.fft.fftfreq(points, 1 / points, dtype=torch.float64)
        k = torch.where(2 * n.abs() == points, 0.0, 2 * math.pi * n / side).reshape(
            [-1 if a == axis else 1 for a in range(grid.dimension)]
        )
        total = total + torch.fft.ifftn(1j * k * torch.fft.fftn(values[axis])).real
    return total


@pytest.mark.parametrize(("mode", "shape", "box"), CASES)
def test_a_displacement_wave_has_the_overdensity_a_sine_of_amplitude_a_k(
    mode: tuple[int, ...], shape: tuple[int, ...], box: tuple[float, ...]
) -> None:
    grid, wave = Grid(shape, box), PlaneWave(mode, 0.8, 0.6)
    psi = plane_wave(wave, PSI, grid)
    k = torch.tensor([2 * math.pi * n / side for n, side in zip(mode, box, strict=True)], dtype=torch.float64)
    for axis in range(grid.dimension):
        expected = 0.8 * float(k[axis] / k.norm()) * torch.cos(_angle(mode, grid) + 0.6)
        assert torch.allclose(psi[axis], expected, rtol=0, atol=1e-14 * 20)  # cos of angles up to 20 or so, each to eps
    overdensity = 0.8 * float(k.norm()) * torch.sin(_angle(mode, grid) + 0.6)
    assert torch.allclose(-_divergence(psi, grid), overdensity, rtol=0, atol=1e-13 * float(k.norm()))


@pytest.mark.parametrize(("mode", "shape", "box"), CASES)
@pytest.mark.parametrize("kind", ["scalar", "pseudoscalar"])
def test_a_scalar_wave_is_a_cosine_with_its_phase(
    kind: str, mode: tuple[int, ...], shape: tuple[int, ...], box: tuple[float, ...]
) -> None:
    grid = Grid(shape, box)
    found = plane_wave(PlaneWave(mode, 1.5, -0.4), Quantity("a", kind), grid)  # type: ignore[arg-type]
    assert found.shape == (1, *shape)
    assert torch.allclose(found[0], 1.5 * torch.cos(_angle(mode, grid) - 0.4), rtol=0, atol=1e-13)
    assert complex(spectra.coefficients(found[None], [mode], grid)[0, 0, 0]) == pytest.approx(
        1.5 * complex(math.cos(0.4), -math.sin(0.4)), abs=1e-13
    )


def test_phases_are_right_to_rounding_whatever_the_mode() -> None:
    grid = Grid.cubic(16, 1.0, 1)
    # n and n mod N are the same wave on the lattice, to the last bit.
    assert torch.equal(phase_of((3 + 16 * 10**9,), grid), phase_of((3,), grid))
    assert torch.equal(phase_of((-13,), grid), phase_of((3,), grid))


def test_a_direction_is_along_k_and_not_along_n() -> None:
    khat = Grid((8, 8), (1.0, 3.0)).direction_of((1, 1))
    assert khat.tolist() == pytest.approx([3 / math.sqrt(10), 1 / math.sqrt(10)], rel=1e-15)


@pytest.mark.parametrize("mode", [(5,), (3, -2), (0, 0, 11)])
def test_a_label_stands_for_its_mode(mode: tuple[int, ...]) -> None:
    assert label(mode) == str(mode).replace(" ", "").replace(",)", ")")
    assert mode_of(label(mode)) == mode


@pytest.mark.parametrize(
    ("mode", "shape", "said"),
    [
        ((0, 0), (8, 8), "mode 0 is no wave"),
        ((4, 0), (8, 8), r"not below Nyquist .* at most \(3, 3\)"),
        ((0, -4), (8, 8), "not below Nyquist"),
        ((0, 4), (8, 7), r"not below Nyquist .* at most \(3, 3\)"),
        ((1,), (8, 8), "1 components; this grid has 2 axes"),
        ((1, 1, 1), (8, 8), "3 components; this grid has 2 axes"),
    ],
)
def test_modes_that_are_no_waves_are_refused(mode: tuple[int, ...], shape: tuple[int, ...], said: str) -> None:
    grid = Grid(shape, tuple(map(float, shape)))
    with pytest.raises(ValueError, match=said):
        check_mode(mode, grid)
    with pytest.raises(ValueError, match=said):
        plane_wave(PlaneWave(mode, 1.0), SCALAR, grid)


@pytest.mark.parametrize("points", [7, 8])
def test_every_mode_strictly_below_nyquist_is_a_wave(points: int) -> None:
    grid = Grid.cubic(points, 1.0, 1)
    for n in range(-points, points + 1):
        if n and 2 * abs(n) < points:
            check_mode((n,), grid)
        else:
            with pytest.raises(ValueError, match="mode"):
                check_mode((n,), grid)


def test_the_level_of_a_displacement_is_its_overdensity() -> None:
    grid, mode = Grid.cubic(8, 20.0), (1, 2, -2)
    amplitude = physical_amplitude(0.2, mode, PSI, grid)
    assert amplitude == pytest.approx(0.2 / (3 * 2 * math.pi / 20), rel=1e-14)  # |n| = 3
    # 0.2 is the coefficient of the sine: no point of the lattice need reach it.
    overdensity = -_divergence(plane_wave(PlaneWave(mode, amplitude), PSI, grid), grid)
    assert complex(spectra.coefficients(overdensity[None, None], [mode], grid)[0, 0, 0]) == pytest.approx(-0.2j, abs=1e-15 * 50)


def test_the_level_of_anything_else_is_its_rms_over_the_quantitys() -> None:
    grid, mode = Grid.cubic(8, 20.0, 2), (3, 1)
    wave = plane_wave(PlaneWave(mode, physical_amplitude(0.5, mode, SCALAR, grid)), SCALAR, grid)
    assert float(wave.square().mean().sqrt()) == pytest.approx(0.5 * 2.0, rel=1e-13)
    assert physical_amplitude(0.5, mode, Quantity("a"), grid) == pytest.approx(0.5 * math.sqrt(2))
    assert physical_amplitude(0.5, mode, Quantity("a", rms=0.0), grid) == 0.0


@pytest.mark.parametrize("points", range(4, 70))
def test_a_clear_mode_is_one_onto_which_no_low_harmonic_folds(points: int) -> None:
    for n in range(1, (points + 1) // 2):
        folds = [m for m in (2, 3, 4) if any((m * n - side * n) % points == 0 for side in (1, -1))]
        assert is_clear(n, points) == (not folds)


def test_the_harmonics_of_a_mode_that_is_not_clear_land_on_the_wave() -> None:
    for points, n, power in [(12, 3, 3), (16, 4, 3), (9, 3, 2), (10, 2, 4)]:
        assert not is_clear(n, points)
        wave = torch.cos(2 * math.pi * n / points * torch.arange(points, dtype=torch.float64) + 0.3)
        chebyshev = torch.cos(power * torch.acos(wave.clamp(-1, 1)))  # T_m(cos) is the m-th harmonic alone
        assert abs(torch.fft.rfft(chebyshev)[n]) > 0.1 * points


def test_the_default_mode_of_32_points_is_5() -> None:
    assert default_mode(Grid.cubic(32, 128.0)) == 5
    assert default_mode(Grid((64, 32), (1.0, 1.0))) == 5


@pytest.mark.parametrize("points", range(4, 70))
def test_the_default_mode_is_the_clear_one_nearest_to_a_sixth(points: int) -> None:
    grid = Grid.cubic(points, 1.0, 1)
    found = default_mode(grid)
    check_mode((found,), grid)
    clear = [n for n in range(1, (points + 1) // 2) if all((m * n - s * n) % points for m in (2, 3, 4) for s in (1, -1))]
    if clear:
        assert found in clear
        assert abs(found - round(points / 6)) == min(abs(n - round(points / 6)) for n in clear)


@pytest.mark.parametrize("grid", [Grid.cubic(128, 50.0, 1), Grid((24, 21), (10.0, 14.0)), Grid.cubic(12, 30.0, 3)], ids=str)
def test_a_gaussian_field_has_the_spectrum_it_was_given(grid: Grid) -> None:
    def asked(k: Tensor) -> Tensor:
        return 3.0 / (0.5 + k**2)

    batch = 24
    fields = gaussian_field(grid, asked, torch.Generator().manual_seed(2), batch)
    modes = spectra.fourier(fields, grid)
    keep = below_nyquist(grid)
    # |f(k)|^2/V over P: exponential for a pair k, -k. Summed with weights it is chi^2 of as many degrees of freedom as modes.
    ratio = modes.abs().square() * grid.volume / grid.size**2 / asked(grid.wavenumber())
    shells = grid.shells()
    held = shells.sum(keep.double(), grid)
    found = shells.sum(torch.where(keep, ratio, 0.0), grid).mean(0) / held.clamp_min(1)
    z = ((found - 1) / torch.sqrt(2 / (held.clamp_min(1) * batch)))[held > 0]
    assert z.abs().max() < 4.5
    assert z.square().sum() < z.numel() + 4 * math.sqrt(2 * z.numel())
    assert ratio[..., ~keep].max() < 1e-25


def test_a_gaussian_field_has_gaussian_modes() -> None:
    grid = Grid.cubic(16, 16.0, 2)
    fields = gaussian_field(grid, torch.ones_like, torch.Generator().manual_seed(3), 200)
    values = fields.flatten() / fields.square().mean().sqrt()
    # Kurtosis 3, skewness 0; their scatters are sqrt(24/n) and sqrt(6/n), n the 200 x 225 independent modes.
    n = 200 * 15**2
    assert abs(float((values**4).mean()) - 3) < 4 * math.sqrt(24 / n)
    assert abs(float((values**3).mean())) < 4 * math.sqrt(6 / n)


def test_a_gaussian_field_follows_its_generator() -> None:
    grid = Grid.cubic(8, 8.0, 2)
    first, again, other = (gaussian_field(grid, torch.ones_like, torch.Generator().manual_seed(s), 2) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)
    assert not torch.allclose(first[0], first[1])
    assert first.dtype == torch.float64


def test_the_power_of_a_gaussian_field_is_never_asked_at_zero() -> None:
    def steep(k: Tensor) -> Tensor:
        assert (k > 0).all()
        return k**-3

    assert torch.isfinite(gaussian_field(Grid.cubic(8, 8.0), steep, torch.Generator().manual_seed(0))).all()


@pytest.mark.parametrize("shape", [(8,), (7,), (4, 5), (4, 5, 6)])
def test_below_nyquist_are_the_modes_of_plane_waves(shape: tuple[int, ...]) -> None:
    grid = Grid(shape, (1.0,) * len(shape))
    keep = below_nyquist(grid)
    for index in torch.cartesian_prod(*(torch.arange(n) for n in grid.half_shape)).reshape(-1, grid.dimension).tolist():
        mode = [n if 2 * n <= points else n - points for n, points in zip(index, shape, strict=True)]
        is_wave = any(mode) and all(2 * abs(n) < points for n, points in zip(mode, shape, strict=True))
        assert bool(keep[tuple(index)]) == is_wave


def test_an_injected_wave_leaves_all_else_at_rest() -> None:
    grid = Grid.cubic(8, 10.0, 2)
    quantities = (Quantity("a", shift=4.0, scale=2.0), Quantity("v", "vector", shift=-1.0), Quantity("b"))
    waves = [PlaneWave((1, 2), 0.5), PlaneWave((3, 0), 2.0, 1.0)]
    field = inject(waves, 1, quantities, grid)
    assert field.quantities == quantities and field.grid == grid and len(field) == 2
    assert (field.part("a")[1] == 4.0).all()
    assert (field.part("b")[1] == 0.0).all()
    for i, wave in enumerate(waves):
        assert torch.equal(field.part("v")[1][i], -1.0 + plane_wave(wave, quantities[1], grid))


def test_each_channel_rests_at_its_own_shift() -> None:
    grid = Grid.cubic(4, 10.0, 2)
    field = inject(
        [PlaneWave((1, 0), 0.5)],
        1,
        (Quantity("v", "vector", shift=(1.0, -2.0)), Quantity("a"), Quantity("z", "number", shift=7.0)),
        grid,
    )
    assert (field.values[0, 0] == 1.0).all() and (field.values[0, 1] == -2.0).all() and (field.part("z")[1] == 7.0).all()


def test_where_no_rms_is_known_the_scale_tells_the_size() -> None:
    grid = Grid.cubic(8, 20.0, 2)
    assert typical_size(Quantity("a", rms=3.0, scale=5.0), grid) == 3.0
    assert typical_size(Quantity("a", scale=-5.0), grid) == 5.0
    assert typical_size(Quantity("v", "vector", scale=(3.0, 4.0)), grid) == pytest.approx(math.sqrt(12.5))
    assert typical_size(Quantity("a"), grid) == 1.0


@pytest.mark.parametrize("points", range(12, 70))
def test_through_a_window_the_harmonics_stay_two_modes_from_the_wave(points: int) -> None:
    walled = Grid((points, points), (1.0, 1.0), boundary="none")
    for mode in default_modes(walled):
        apart = [[abs(m - side) * n % points for n in mode] for m in (0, 2, 3, 4) for side in (1, -1)]
        assert all(any(2 <= d <= points - 2 for d in distances) for distances in apart), mode


def test_the_first_default_mode_is_the_default_mode() -> None:
    assert default_modes(Grid.cubic(32, 128.0)) == ((5, 0, 0), (1, 0, 0), (2, 0, 0), (3, 0, 0), (7, 0, 0), (11, 0, 0), (4, 6, 0))
    assert default_modes(Grid.cubic(32, 128.0, boundary="zero"))[0] == (5, 0, 0)
    assert default_modes(Grid.cubic(4, 4.0, 1)) == ((1,),)


def test_whole_cell_phases_move_a_wave_by_whole_cells() -> None:
    grid, mode = Grid.cubic(12, 12.0, 2), (0, 5)
    still = plane_wave(PlaneWave(mode, 1.0), SCALAR, grid)
    for cells, phase in enumerate(whole_cell_phases(mode, grid, 4)):
        moved = plane_wave(PlaneWave(mode, 1.0, phase), SCALAR, grid)
        assert torch.allclose(moved, still.roll(cells, -1), rtol=0, atol=1e-13)
