"""Painting, held to sums over particles, to windows and images in closed form, and to the pancake of Zel'dovich."""

from __future__ import annotations

import itertools
import math
import resource

import numpy as np
import pytest
import torch
from scipy.special import jv

from probe import painting, perturbation
from probe.errors import InputError
from probe.grid import Grid
from probe.waves import gaussian_field

GRIDS = [Grid.cubic(16, 5.0, 1), Grid((7, 10), (3.5, 10.0)), Grid((4, 6, 5), (8.0, 6.0, 5.0))]
every_grid = pytest.mark.parametrize("grid", GRIDS, ids=["1D", "2D", "3D"])
every_assignment = pytest.mark.parametrize("assignment", painting.ORDERS)
ORDER = {"cic": 2, "tsc": 3}


def displaced(grid, cells=1.5, batch=1, seed=0):
    """White displacements of some cells: shells crossed everywhere, particles through the walls."""
    generator = torch.Generator().manual_seed(seed)
    spacing = torch.tensor(grid.spacing, dtype=torch.float64).reshape(1, -1, *[1] * grid.dimension)
    return torch.randn(batch, grid.dimension, *grid.shape, generator=generator, dtype=torch.float64) * cells * spacing


def alone(points, places, **how):
    """Modes of particles on a line one at a time, over what one particle is of the mean: (places, modes); places in cells."""
    grid, mesh = Grid((2,), (1.0,)), Grid((points,), (1.0,))
    psi = (torch.as_tensor(places, dtype=torch.float64) / points)[:, None, None].repeat(1, 1, 2)
    one = torch.tensor([1.0, 0.0], dtype=torch.float64).expand(len(psi), 2)
    return (painting.modes(psi, grid, one, mesh=mesh, **how) * (2 / points)).numpy()


@every_grid
@every_assignment
def test_mass_is_kept_to_rounding_in_every_sample_and_on_any_mesh(grid, assignment):
    for mesh in (grid, Grid(tuple(n + 3 for n in grid.shape), grid.box)):
        for how in ({}, {"interlaced": True, "compensated": True}):
            delta = painting.density(displaced(grid, batch=3), grid, mesh=mesh, assignment=assignment, **how)
            assert delta.shape == (3, *mesh.shape) and delta.abs().max() > 0.1
            # Rounding of a sum of positive terms, in terms of the mean density.
            assert delta.mean(grid.axes).abs().max() < 1e-14


@every_grid
def test_particles_that_stay_on_their_lattice_make_no_density(grid):
    assert painting.density(torch.zeros(1, grid.dimension, *grid.shape), grid).abs().max() == 0


@every_grid
@every_assignment
def test_shares_are_those_of_a_cloud_summed_particle_by_particle(grid, assignment):
    psi = displaced(grid)
    mesh = Grid(tuple(n + 1 for n in grid.shape), grid.box)
    expected = np.zeros(mesh.shape)
    for q in itertools.product(*(range(n) for n in grid.shape)):
        at = [
            (i / n * m + float(p) / h)
            for i, n, m, p, h in zip(q, grid.shape, mesh.shape, psi[(0, slice(None), *q)], mesh.spacing, strict=True)
        ]
        share = np.ones(())
        for x, m in zip(at, mesh.shape, strict=True):
            # Over all images of the particle: the cloud is longer than no axis here.
            d = np.abs((np.arange(m) - x + m / 2) % m - m / 2)
            near = {
                "cic": np.clip(1 - d, 0, None),
                "tsc": np.where(d < 0.5, 0.75 - d**2, np.clip(1.5 - d, 0, None) ** 2 / 2),
            }
            share = np.multiply.outer(share, near[assignment])
        expected += share * (mesh.size / grid.size)
    found = painting.density(psi, grid, mesh=mesh, assignment=assignment)[0] + 1
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-13 * expected.max())


@every_grid
@every_assignment
@pytest.mark.parametrize("corrected", [False, True])
def test_a_shift_by_whole_cells_is_a_roll(grid, assignment, corrected):
    psi = displaced(grid)
    cells = torch.tensor([3, -2, 9][: grid.dimension])
    moved = psi + (cells * torch.tensor(grid.spacing, dtype=torch.float64)).reshape(1, -1, *[1] * grid.dimension)
    how = {"assignment": assignment, "interlaced": corrected, "compensated": corrected}
    expected = torch.roll(painting.density(psi, grid, **how), cells.tolist(), grid.axes)
    torch.testing.assert_close(painting.density(moved, grid, **how), expected, rtol=0, atol=1e-12)


@every_grid
@every_assignment
def test_half_a_cell_further_what_particles_carry_is_halved_between_neighbours(grid, assignment):
    velocity = displaced(grid, seed=4)
    psi = torch.zeros_like(velocity)
    psi[:, 0] = grid.spacing[0] / 2
    expected = (velocity + torch.roll(velocity, 1, 2)) / 2
    if assignment == "tsc":  # the axes along which the particles stay: 1/8, 3/4, 1/8
        for axis in range(3, 2 + grid.dimension):
            expected = 0.75 * expected + (torch.roll(expected, 1, axis) + torch.roll(expected, -1, axis)) / 8
    found = painting.momentum(psi, velocity, grid, assignment=assignment)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)


@every_assignment
def test_averaged_over_its_places_in_a_cell_a_particle_is_seen_through_the_window_alone(assignment):
    points, places = 16, np.arange(64) / 64
    n = np.arange(points // 2 + 1)
    turned = alone(points, places, assignment=assignment, interlaced=False, compensated=False)
    turned = turned * np.exp(2j * np.pi * np.outer(places, n) / points)
    seen = np.sinc(n / points) ** ORDER[assignment]
    # What 64 places do not average away are the images m = +-64, +-128, ...: at most 2 zeta(2) (1/2 / 63.5)^p of W in all.
    np.testing.assert_allclose(turned.mean(0), seen, rtol=4 * (0.5 / 63.5) ** ORDER[assignment])


@every_assignment
def test_interlacing_leaves_the_even_images_of_a_particle_and_no_odd_one(assignment):
    points, place = 16, 0.3
    n, m = np.arange(points // 2 + 1)[:, None], np.arange(-20000, 20001)[None]
    images = np.sinc(n / points + m) ** ORDER[assignment] * np.exp(-2j * np.pi * (n / points + m) * place)
    left_out = 2 / (np.pi**2 * 20000)  # of the sum of sinc^2 ~ 1/(pi m)^2 beyond
    for interlaced, seen in ((False, m % 1 == 0), (True, m % 2 == 0)):
        (found,) = alone(points, [place], assignment=assignment, interlaced=interlaced, compensated=False)
        np.testing.assert_allclose(found, (images * seen).sum(1), rtol=0, atol=left_out)


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_half_the_sum_of_two_meshes_is_the_sum_over_all_points_of_both(dimension):
    grid = Grid.cubic(4, 4.0, dimension)
    psi = displaced(grid, 0.8)
    found = painting.modes(psi, grid, compensated=False)
    total = torch.zeros(grid.half_shape, dtype=torch.complex128)
    for half in (0.0, 0.5):
        # The other mesh stands half a cell back: its points x_j - h/2 see the particles where they are.
        seen = painting.density(psi + half, grid)[0] + 1
        for j in itertools.product(range(4), repeat=dimension):
            phase = sum(2 * math.pi * n.double() / 4 * (i - half) for n, i in zip(grid.modes(), j, strict=True))
            total = total + seen[j] / 2 * torch.exp(-1j * phase)
    torch.testing.assert_close(found[0], total, rtol=0, atol=1e-12)


def by_particle(psi, grid, mesh):
    """n(k) exactly: sum over particles of exp(-i k.x), over the mean number in a cell of the mesh: (*half_shape,), complex128."""
    at = [(q + p).flatten().numpy() for q, p in zip(grid.positions(), psi[0], strict=True)]
    k = [np.asarray(k).ravel() for k in mesh.wavevectors()]
    waves = [np.exp(-1j * np.outer(x, wave)) for x, wave in zip(at, k, strict=True)]
    letters = "abc"[: len(waves)]
    total = np.einsum(",".join(f"z{c}" for c in letters) + "->" + letters, *waves, optimize=True)
    return total * (mesh.size / grid.size)


# What is left near Nyquist are images with m = (1, 1, 0) and its like. At k along (1, 1, 0), |k| = k_Ny, that at the same |k| has
# [sinc(0.646)/sinc(0.354)]^(4p) = 0.548^(4p) of the mode's power: 0.8 % for CIC, 0.07 % for TSC, the worst of all directions.
# What mode and image share by chance is 2 sqrt(share/modes) of a shell's power, one standard deviation.
@pytest.mark.parametrize(("assignment", "share"), [("cic", 8.1e-3), ("tsc", 7.3e-4)])
def test_the_interlaced_compensated_spectrum_is_that_of_the_particles(assignment, share):
    # Density of power k^-2 and displacements of a cell: of the order of what N-body runs give.
    grid = Grid.cubic(24, 96.0)
    delta = gaussian_field(grid, lambda k: k**-2, torch.Generator().manual_seed(2), 1)
    psi = perturbation.zeldovich(delta, grid)
    psi = psi * (4.5 / psi.square().mean().sqrt())
    shells = grid.shells()
    truth = shells.sum(torch.from_numpy(np.abs(by_particle(psi, grid, grid)) ** 2), grid)

    def error(**how):
        found = shells.sum(painting.modes(psi, grid, assignment=assignment, **how)[0].abs().square(), grid)
        return (found / truth - 1).abs()

    assert (error() < share + 6 * (share / shells.modes).sqrt()).all()
    assert error()[: grid.shape[0] // 4].max() < 2e-3, "up to half of Nyquist"
    assert (error() * truth).sum() < 2e-3 * truth.sum()
    assert error(interlaced=False).max() > 0.1, "without interlacing the images are there"
    assert error(compensated=False).max() > 0.5, "without compensation the window is there"


@every_assignment
def test_modes_of_a_pancake_are_bessels_at_every_order(assignment):
    # x = q + (a/k) sin kq: the mode n of 1 + delta is (1/L) int exp(-i n k x) dq = J_n(-n a).
    # The images m = +-2, +-4 count. From |m| = 70 on there are those of the particles' lattice, of order n + 64 m -+ 8192, none
    # above 0.7 / 4500^(1/3) = 0.04 where order and argument are large: their sum over even m is at most this.
    grid, a = Grid.cubic(8192, 3.0, 1), 0.8
    k = grid.fundamental
    psi = (a / k * torch.sin(k * grid.positions()[0]))[None, None]
    mesh = Grid.cubic(64, 3.0, 1)
    found = painting.modes(psi, grid, mesh=mesh, assignment=assignment)[0].numpy() / 64
    n = np.arange(33)
    window = np.sinc(n / 64) ** ORDER[assignment]
    images = sum(np.sinc(n / 64 + m) ** ORDER[assignment] / window * jv(n + 64 * m, -(n + 64 * m) * a) for m in (-4, -2, 2, 4))
    left = 0.04 * 2 * sum((0.5 / (m - 0.5)) ** ORDER[assignment] for m in range(70, 100000, 2))
    np.testing.assert_allclose(found, jv(n, -n * a) + images, rtol=0, atol=left)


@every_assignment
def test_a_pancake_has_its_density_in_closed_form_before_shells_cross(assignment):
    # 1 + delta = 1/(1 + dpsi/dq) at x = q + psi(q), the error falls as h^2 with ever more particles in a cell.
    a, errors = 0.5, []
    for points in (32, 64, 128):
        grid, mesh = Grid.cubic(points**2, 1.0, 1), Grid.cubic(points, 1.0, 1)
        k = grid.fundamental
        psi = (a / k * torch.sin(k * grid.positions()[0]))[None, None]
        found = painting.density(psi, grid, mesh=mesh, assignment=assignment)[0].numpy() + 1
        x = mesh.positions()[0].numpy()
        q = x.copy()
        for _ in range(60):  # Newton on x = q + psi(q)
            q = q - (q + a / k * np.sin(k * q) - x) / (1 + a * np.cos(k * q))
        errors.append(np.abs(found - 1 / (1 + a * np.cos(k * q))).max())
    assert errors[0] < 0.05
    assert errors[1] < errors[0] / 3.5 and errors[2] < errors[1] / 3.5


@every_grid
@every_assignment
def test_the_gradient_is_that_of_finite_differences(grid, assignment):
    # Kept off the points where the slope of CIC jumps.
    psi = (displaced(grid) * 4 / min(grid.spacing)).round() / 4 * min(grid.spacing) + 0.1 * min(grid.spacing)
    psi.requires_grad_()
    carried = torch.randn(1, *grid.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)

    def real(moved, weights):
        found = painting.modes(moved, grid, weights, assignment=assignment)
        return torch.view_as_real(found)

    assert torch.autograd.gradcheck(real, (psi, carried), fast_mode=True)
    (alone,) = torch.autograd.grad(painting.density(psi, grid, assignment=assignment).square().sum(), psi)
    assert alone.isfinite().all() and alone.abs().max() > 0


def test_momentum_of_a_uniform_velocity_is_the_density_times_it():
    grid = GRIDS[2]
    psi = displaced(grid)
    velocity = torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64).reshape(1, 3, 1, 1, 1).expand_as(psi)
    how = {"assignment": "tsc", "interlaced": True, "compensated": True}
    expected = velocity * (1 + painting.density(psi, grid, **how))[:, None]
    torch.testing.assert_close(painting.momentum(psi, velocity, grid, **how), expected, rtol=0, atol=1e-12)


def test_chunks_do_not_show(monkeypatch):
    grid = GRIDS[2]
    psi = displaced(grid, batch=2).requires_grad_()

    def both():
        delta = painting.density(psi, grid)
        return delta, torch.autograd.grad(delta.square().sum(), psi)[0]

    whole = both()
    monkeypatch.setattr(painting, "CHUNK", 31)
    for one, other in zip(both(), whole, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_shares_are_never_all_held_at_once():
    grid = Grid.cubic(128, 128.0)
    psi = torch.zeros(1, 3, *grid.shape).normal_(generator=torch.Generator().manual_seed(0))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    painting.density(psi, grid)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    # 8 shares of an index and a weight each, in 64 bits, would be 268 MB; the mesh is 17 MB.
    assert grown < 120e6


def test_single_precision_is_painted_in_double():
    grid = Grid.cubic(16, 64.0)
    psi = displaced(grid)
    single = painting.density(psi.float(), grid)
    assert single.dtype == torch.float64
    torch.testing.assert_close(single, painting.density(psi.float().double(), grid), rtol=0, atol=1e-12)


def test_what_cannot_be_painted_is_refused_in_a_sentence():
    grid = GRIDS[1]
    psi = displaced(grid)
    with pytest.raises(InputError, match="'ngp'; give one of cic, tsc"):
        painting.density(psi, grid, assignment="ngp")
    with pytest.raises(InputError, match="periodic box"):
        painting.density(psi, Grid(grid.shape, grid.box, boundary="zero"))
    with pytest.raises(InputError, match="a mesh of"):
        painting.density(psi, grid, mesh=Grid(grid.shape, (1.0, 1.0)))
    with pytest.raises(InputError, match="found the shape"):
        painting.density(psi[:, :1], grid)
