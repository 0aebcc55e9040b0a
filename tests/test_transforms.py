"""Lattice symmetries and translations of fields, held to matrices, to a gather written out, and to vector calculus."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from probe.fields import Field, Quantity
from probe.grid import Grid
from probe.transforms import LatticeSymmetry, lattice_symmetries, one_of_each_class, translate

ALL_KINDS = (Quantity("a"), Quantity("h", "pseudoscalar"), Quantity("v", "vector"), Quantity("w", "pseudovector"))
TURN = LatticeSymmetry((1, 0, 2), (-1, 1, 1))  # +90 degrees about z: (x, y, z) goes to (-y, x, z)


def _kinds(dimension: int) -> tuple[Quantity, ...]:
    # Outside three dimensions a pseudovector is not one: see Quantity.
    return ALL_KINDS if dimension == 3 else ALL_KINDS[:3]


def _random(grid: Grid, quantities: tuple[Quantity, ...], samples: int = 1, seed: int = 0) -> Field:
    width = sum(q.width(grid) for q in quantities)
    generator = torch.Generator().manual_seed(seed)
    return Field(torch.randn(samples, width, *grid.shape, generator=generator, dtype=torch.float64), grid, quantities)


def _matrix(symmetry: LatticeSymmetry) -> np.ndarray:
    """R, from where the symmetry sends the unit vectors."""
    units = np.eye(len(symmetry.signs), dtype=int)
    return np.stack([symmetry.turn(tuple(map(int, unit))) for unit in units], 1)


def _by_gather(symmetry: LatticeSymmetry, field: Field, centre: float) -> np.ndarray:
    """(g f)(x) = R f(R^T (x - c) + c), point by point, pseudo-quantities times det R."""
    matrix, shape, values = _matrix(symmetry), field.grid.shape, field.values.numpy()
    points = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")).reshape(len(shape), -1)
    source = np.round(matrix.T @ (points - centre) + centre).astype(int)
    moved = values[(slice(None), slice(None), *(s % n for s, n in zip(source, shape, strict=True)))]
    result = []
    for quantity, part in field.parts():
        turned = np.einsum("ij,bjx->bix", matrix, moved[:, part]) if quantity.is_vector else moved[:, part]
        result.append(turned * (round(np.linalg.det(matrix)) if quantity.is_pseudo else 1))
    return np.concatenate(result, 1).reshape(values.shape)


@pytest.mark.parametrize(("dimension", "order"), [(1, 2), (2, 8), (3, 48)])
def test_the_group_has_its_order_and_is_a_group(dimension: int, order: int) -> None:
    matrices = [_matrix(g) for g in lattice_symmetries(dimension)]
    keys = {m.tobytes() for m in matrices}
    assert len(keys) == order
    assert (matrices[0] == np.eye(dimension)).all()
    for a in matrices:
        assert (a @ a.T == np.eye(dimension)).all()
        assert a.T.copy().tobytes() in keys
        assert all((a @ b).tobytes() in keys for b in matrices)


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_the_determinant_is_that_of_the_matrix(dimension: int) -> None:
    for g in lattice_symmetries(dimension):
        assert g.determinant == round(np.linalg.det(_matrix(g)))


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_class_names_are_the_conjugacy_classes(dimension: int) -> None:
    symmetries = lattice_symmetries(dimension)
    matrices = {_matrix(g).tobytes(): g.class_name for g in symmetries}
    classes = {frozenset((_matrix(h) @ _matrix(g) @ _matrix(h).T).tobytes() for h in symmetries) for g in symmetries}
    names = [{matrices[m] for m in members} for members in classes]
    assert all(len(name) == 1 for name in names), "one class, one name"
    assert len({next(iter(name)) for name in names}) == len(classes), "one name, one class"


def test_the_classes_of_the_cube_have_their_textbook_sizes() -> None:
    # O_h: E, 3 C2, 6 C4, 6 C2', 8 C3, i, 3 sigma_h, 6 S4, 6 sigma_d, 8 S6 (any character table).
    assert Counter(g.class_name for g in lattice_symmetries(3)) == {
        "identity": 1,
        "180° about an axis": 3,
        "90° about an axis": 6,
        "180° about a face diagonal": 6,
        "120° about a body diagonal": 8,
        "inversion": 1,
        "mirror across an axis": 3,
        "90° rotoreflection": 6,
        "mirror across a diagonal": 6,
        "60° rotoreflection": 8,
    }


def test_the_classes_of_the_square_have_their_textbook_sizes() -> None:
    assert Counter(g.class_name for g in lattice_symmetries(2)) == {
        "identity": 1,
        "180° rotation": 1,
        "90° rotation": 2,
        "mirror across an axis": 2,
        "mirror across a diagonal": 2,
    }


def test_names_say_how_far_a_rotation_turns() -> None:
    for g in lattice_symmetries(3):
        if g.determinant == 1 and g.class_name != "identity":
            angle = math.degrees(math.acos((np.trace(_matrix(g)) - 1) / 2))
            assert g.class_name.startswith(f"{angle:.0f}°")


@pytest.mark.parametrize(("dimension", "classes"), [(1, 2), (2, 5), (3, 10)])
def test_one_of_each_class_takes_one_of_each(dimension: int, classes: int) -> None:
    chosen = one_of_each_class(list(lattice_symmetries(dimension)))
    assert len(chosen) == len({g.class_name for g in chosen}) == classes


@pytest.mark.parametrize("centre", [0.0, 0.5, 1.0, 1.5])
@pytest.mark.parametrize(("dimension", "points"), [(1, 5), (2, 4), (2, 5), (3, 4), (3, 3)])
def test_every_symmetry_is_the_gather_written_out(dimension: int, points: int, centre: float) -> None:
    field = _random(Grid.cubic(points, 2.0, dimension), _kinds(dimension))
    for g in lattice_symmetries(dimension):
        assert np.array_equal(g(field, centre).values.numpy(), _by_gather(g, field, centre)), g.class_name


@pytest.mark.parametrize(("dimension", "centre"), [(1, 0.5), (2, 0.0), (2, 0.5), (2, 1.5), (3, 0.0)])
def test_acting_twice_is_acting_with_the_product(dimension: int, centre: float) -> None:
    field = _random(Grid.cubic(4, 1.0, dimension), _kinds(dimension))
    symmetries = lattice_symmetries(dimension)
    alone = {_matrix(g).tobytes(): g(field, centre).values for g in symmetries}
    for h in symmetries:
        first = field.with_values(alone[_matrix(h).tobytes()])
        for g in symmetries:
            assert torch.equal(g(first, centre).values, alone[(_matrix(g) @ _matrix(h)).tobytes()])


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_products_and_inverses_are_those_of_the_matrices(dimension: int) -> None:
    for g in lattice_symmetries(dimension):
        assert (_matrix(g.inverse) == _matrix(g).T).all()
        assert all((_matrix(g @ h) == _matrix(g) @ _matrix(h)).all() for h in lattice_symmetries(dimension))


@pytest.mark.parametrize("symmetry", lattice_symmetries(3), ids=str)
def test_a_wave_goes_to_the_wave_of_the_turned_mode(symmetry: LatticeSymmetry) -> None:
    grid, mode = Grid.cubic(8, 8.0), (3, 1, -2)
    j = torch.stack(torch.meshgrid(*[torch.arange(8, dtype=torch.float64)] * 3, indexing="ij"))

    def wave(n: tuple[int, ...]) -> Field:
        phase = 2 * math.pi / 8 * (torch.tensor(n, dtype=torch.float64)[:, None, None, None] * j).sum(0)
        values = torch.tensor(n, dtype=torch.float64)[:, None, None, None] * torch.sin(phase)
        return Field(values[None], grid, (Quantity("v", "vector"),))

    # Rounding: sin of phases up to 2 pi 7 6/8 = 33, each to 33 eps = 7e-15, times 3.
    assert torch.allclose(symmetry(wave(mode)).values, wave(symmetry.turn(mode)).values, rtol=0, atol=5e-14)


def test_a_quarter_turn_about_z_sends_a_vector_to_minus_y_x() -> None:
    grid = Grid.cubic(4, 4.0)
    values = torch.zeros(1, 3, 4, 4, 4)
    values[0, :, 1, 2, 3] = torch.tensor([5.0, 7.0, 9.0])
    turned = TURN(Field(values, grid, (Quantity("v", "vector"),))).values
    # The point (1, 2, 3) goes to (-2, 1, 3) = (2, 1, 3), its vector to (-7, 5, 9).
    assert turned[0, :, 2, 1, 3].tolist() == [-7.0, 5.0, 9.0]
    assert turned.count_nonzero() == 3


def _wavevectors(grid: Grid) -> Tensor:
    """i k without the Nyquist modes, written out: (D, *shape) of the full transform."""
    axes = []
    for points, side in zip(grid.shape, grid.box, strict=True):
        n = np.fft.fftfreq(points, 1 / points)
        axes.append(2 * np.pi / side * np.where(2 * abs(n) == points, 0, n))
    return torch.from_numpy(np.stack(np.meshgrid(*axes, indexing="ij")))


def _curl(values: Tensor, grid: Grid) -> Tensor:
    modes, k = torch.fft.fftn(values, dim=grid.axes), _wavevectors(grid)
    if grid.dimension == 2:
        return torch.fft.ifftn(1j * (k[0] * modes[:, 1] - k[1] * modes[:, 0]), dim=grid.axes).real[:, None]
    crossed = torch.linalg.cross(k.expand(modes.shape).to(modes), modes, dim=1)
    return torch.fft.ifftn(1j * crossed, dim=grid.axes).real


def _longitudinal(grid: Grid) -> tuple[Field, Tensor]:
    """i k delta / k^2 of white noise at the modes without a zero or Nyquist component, and the power of each."""
    k = _wavevectors(grid)
    below = (k != 0).all(0)
    white = torch.randn(*grid.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    delta = torch.fft.fftn(white) * below
    modes = 1j * k * delta / k.square().sum(0).clamp_min(1e-30)
    return Field(torch.fft.ifftn(modes, dim=grid.axes).real[None], grid, (Quantity("v", "vector"),)), modes.abs().square().sum(0)


def _curl_share(values: Tensor, grid: Grid) -> float:
    """Share of a vector field's power that is transverse to k."""
    modes, k = torch.fft.fftn(values, dim=grid.axes)[0], _wavevectors(grid)
    khat = k / k.square().sum(0).sqrt().clamp_min(1e-30)
    transverse = modes - (khat * modes).sum(0) * khat
    return float(transverse.abs().square().sum() / modes.abs().square().sum())


def test_a_turned_longitudinal_field_has_no_curl_and_wrong_turns_have_much() -> None:
    grid = Grid.cubic(8, 8.0)
    field, power = _longitudinal(grid)
    assert _curl_share(TURN(field).values, grid) < 1e-29  # eps^2 times a few

    # A mode k of power P, turned on the grid alone, keeps its components while its wavevector is R k: khat.R khat = khat_z^2, and
    # 1 - khat_z^4 of it is curl (4/5 on average). Turned the wrong way, khat.R^2 khat = 2 khat_z^2 - 1 (8/15 on average).
    k = _wavevectors(grid)
    along_z = k[2].square() / k.square().sum(0).clamp_min(1e-30)
    moved = field.values.permute(0, 1, 3, 2, 4).flip(2).roll(1, 2)
    assert _curl_share(moved, grid) == pytest.approx(float((power * (1 - along_z**2)).sum() / power.sum()), rel=1e-12)
    wrong = torch.stack([moved[:, 1], -moved[:, 0], moved[:, 2]], 1)
    assert _curl_share(wrong, grid) == pytest.approx(float((power * (1 - (2 * along_z - 1) ** 2)).sum() / power.sum()), rel=1e-12)
    assert min(_curl_share(moved, grid), _curl_share(wrong, grid)) > 0.4


@pytest.mark.parametrize("points", [5, 6])
@pytest.mark.parametrize(("dimension", "kind"), [(2, "pseudoscalar"), (3, "pseudovector")])
def test_the_curl_of_a_vector_is_a_pseudoquantity_under_every_symmetry(dimension: int, kind: str, points: int) -> None:
    grid = Grid.cubic(points, 3.0, dimension)
    vector = _random(grid, (Quantity("v", "vector"),))
    curl = Field(_curl(vector.values, grid), grid, (Quantity("w", kind),))  # type: ignore[arg-type]
    plain = Field(curl.values, grid, (Quantity("w", kind.removeprefix("pseudo")),))  # type: ignore[arg-type]
    size = curl.values.abs().max()
    for g in lattice_symmetries(dimension):
        of_turned = _curl(g(vector).values, grid)
        assert (of_turned - g(curl).values).abs().max() < 1e-13 * size  # a handful of FFT roundings
        wrong = (of_turned - g(plain).values).abs().max()
        assert wrong > size if g.determinant < 0 else wrong < 1e-13 * size


def test_the_divergence_of_a_pseudovector_is_a_pseudoscalar() -> None:
    grid = Grid.cubic(5, 3.0)
    field = _random(grid, (Quantity("w", "pseudovector"),))

    def divergence(values: Tensor) -> Tensor:
        modes = torch.fft.fftn(values, dim=grid.axes)
        return torch.fft.ifftn(1j * (_wavevectors(grid) * modes).sum(1, keepdim=True), dim=grid.axes).real

    of = Field(divergence(field.values), grid, (Quantity("h", "pseudoscalar"),))
    for g in lattice_symmetries(3):
        assert torch.allclose(divergence(g(field).values), g(of).values, rtol=0, atol=1e-13 * float(of.values.abs().max()))


def test_pseudoscalars_change_sign_where_handedness_changes() -> None:
    field = Field(torch.ones(1, 2, 4, 4, 4), Grid.cubic(4, 1.0), ALL_KINDS[:2])
    for g in lattice_symmetries(3):
        turned = g(field).values
        assert (turned[:, 0] == 1).all()
        assert (turned[:, 1] == round(np.linalg.det(_matrix(g)))).all()


# --- a strided network respects one centre and no other (pitfall 1) ---------------------------------------------------------


def _symmetric_kernel(width: int) -> Tensor:
    """A kernel that all eight symmetries of the square leave as it is: a function of the distance from its middle."""
    offset = torch.arange(width, dtype=torch.float64) - (width - 1) / 2
    return torch.cos(0.9 * (offset[:, None] ** 2 + offset[None, :] ** 2))[None, None]


def _down(values: Tensor, width: int) -> Tensor:
    """Stride 2 and periodic: width 3 centred on the even points, width 2 on the cells (2i, 2i + 1)."""
    padded = functional.pad(values, (1, 1, 1, 1) if width == 3 else (0, 0, 0, 0), mode="circular")
    return torch.tanh(functional.conv2d(padded, _symmetric_kernel(width), stride=2))


def _up(values: Tensor, width: int) -> Tensor:
    """Its transpose: width 3 spreads about the even points, width 2 over the cells."""
    if width == 2:
        return functional.conv_transpose2d(values, _symmetric_kernel(2), stride=2)
    sparse = values.new_zeros(*values.shape[:2], *(2 * n for n in values.shape[2:]))
    sparse[..., ::2, ::2] = values
    return functional.conv2d(functional.pad(sparse, (1, 1, 1, 1), mode="circular"), _symmetric_kernel(3))


def _worst_error(down: int, up: int, centre: float, centre_out: float) -> float:
    field = _random(Grid.cubic(8, 8.0, 2), (Quantity("a"),))

    def network(given: Field) -> Field:
        return given.with_values(_up(_down(given.values, down), up))

    answer, worst = network(field), 0.0
    for g in lattice_symmetries(2):
        difference = network(g(field, centre)).values - g(answer, centre_out).values
        worst = max(worst, float(difference.norm() / answer.values.norm()))
    return worst


@pytest.mark.parametrize("centre", [0.0, 0.5, 1.0, 1.5])
@pytest.mark.parametrize(("width", "respected"), [(3, 0.0), (2, 0.5)])
def test_a_strided_network_respects_its_own_centre_and_no_other(width: int, respected: float, centre: float) -> None:
    error = _worst_error(width, width, centre, centre)
    # A stride of 2 repeats: what holds about c holds about c + 1.
    if centre % 1 == respected:
        assert error < 1e-14  # the same sums, in another order
    else:
        assert error > 0.1


def test_kernels_3_down_and_2_up_respect_a_centre_only_with_the_output_shifted() -> None:
    assert all(_worst_error(3, 2, centre, centre) > 0.1 for centre in (0.0, 0.5, 1.0, 1.5))
    assert _worst_error(3, 2, 0.0, 0.5) < 1e-14


# --- refusals and translations -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", [Grid((4, 8), (4.0, 8.0)), Grid((4, 4), (4.0, 8.0))], ids=["shape", "box"])
def test_a_symmetry_that_does_not_keep_the_grid_is_refused(grid: Grid) -> None:
    field = Field(torch.zeros(1, 1, *grid.shape), grid, (Quantity("a"),))
    for g in lattice_symmetries(2):
        swaps = g.permutation == (1, 0)
        assert g.keeps(grid) != swaps
        if swaps:
            with pytest.raises(ValueError, match="onto itself"):
                g(field)
        else:
            assert np.array_equal(g(field).values, _by_gather(g, field, 0.0))


def _below_nyquist(grid: Grid, samples: int = 1) -> Field:
    field = _random(grid, (Quantity("a"), Quantity("v", "vector")), samples)
    modes = torch.fft.fftn(field.values, dim=grid.axes)
    for axis, points in zip(grid.axes, grid.shape, strict=True):
        if points % 2 == 0:
            modes.index_fill_(axis, torch.tensor([points // 2]), 0)
    return field.with_values(torch.fft.ifftn(modes, dim=grid.axes).real)


TRANSLATION_GRIDS = [Grid.cubic(8, 2.0, 1), Grid((6, 5), (3.0, 5.0)), Grid((4, 5, 6), (1.0, 2.0, 3.0))]


@pytest.mark.parametrize("grid", TRANSLATION_GRIDS, ids=lambda g: str(g.shape))
def test_a_shift_by_whole_cells_is_a_roll(grid: Grid) -> None:
    field = _random(grid, (Quantity("a"),))
    moved = translate(field, tuple(range(1, grid.dimension + 1)))
    points = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"))
    source = tuple((points[a] - (a + 1)) % n for a, n in enumerate(grid.shape))
    assert np.array_equal(moved.values[0, 0], field.values[0, 0].numpy()[source])


@pytest.mark.parametrize("grid", TRANSLATION_GRIDS, ids=lambda g: str(g.shape))
def test_a_shifted_wave_is_the_wave_at_the_shifted_points(grid: Grid) -> None:
    mode, cells = (1, -2, 2)[: grid.dimension], (0.5, 1.25, -0.3)[: grid.dimension]

    def wave(by: tuple[float, ...]) -> Tensor:
        angle = torch.zeros(grid.shape, dtype=torch.float64)
        for axis, (n, points, c) in enumerate(zip(mode, grid.shape, by, strict=True)):
            along = 2 * math.pi * n / points * (torch.arange(points, dtype=torch.float64) - c)
            angle = angle + along.reshape([-1 if a == axis else 1 for a in range(grid.dimension)])
        return torch.cos(angle + 0.4)[None, None]

    field = Field(wave((0.0,) * grid.dimension), grid, (Quantity("a"),))
    assert torch.allclose(translate(field, cells).values, wave(cells), rtol=0, atol=1e-13)


@pytest.mark.parametrize("grid", TRANSLATION_GRIDS, ids=lambda g: str(g.shape))
def test_two_half_shifts_are_a_whole_one_below_nyquist(grid: Grid) -> None:
    field = _below_nyquist(grid, 2)
    half, whole = (0.5,) * grid.dimension, (1.0,) * grid.dimension
    twice = translate(translate(field, half), half).values
    assert torch.allclose(twice, translate(field, whole).values, rtol=0, atol=1e-13)
    back = translate(translate(field, (0.37,) * grid.dimension), (-0.37,) * grid.dimension).values
    assert torch.allclose(back, field.values, rtol=0, atol=1e-13)


@pytest.mark.parametrize("grid", TRANSLATION_GRIDS, ids=lambda g: str(g.shape))
def test_a_half_shift_and_back_loses_the_nyquist_mode_and_nothing_else(grid: Grid) -> None:
    field = _random(grid, (Quantity("a"), Quantity("v", "vector")))
    half, back = (0.5,) * grid.dimension, (-0.5,) * grid.dimension
    left = translate(translate(field, half), back).values
    assert torch.allclose(left, _below_nyquist(grid).values, rtol=0, atol=1e-13)
    assert (field.values - left).norm() > 0.1 * field.values.norm()


def test_translation_keeps_the_precision_of_the_field() -> None:
    field = _random(TRANSLATION_GRIDS[1], (Quantity("a"),)).to(dtype=torch.float32)
    assert translate(field, (0.5, 0.0)).values.dtype == torch.float32
