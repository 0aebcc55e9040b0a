"""`bispectrum` against sums over all triangles, waves and fields whose bispectrum is known in closed form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from probe import bispectra
from probe.agreement import over_rival
from probe.description import Constraints
from probe.fields import Quantity
from probe.grid import Grid
from probe.interface import run
from probe.model import FieldModel
from probe.waves import gaussian_field
from probe.zoo.gravity_defects import Saturating
from probe.zoo.oracles import Filter, SecondOrder
from tests.models import CUBE, LINE, SQUARE, Function, on, with_pairs

GRIDS = pytest.mark.parametrize("grid", [CUBE, SQUARE, LINE], ids=["3D", "2D", "1D"])


def ask(model, controls="none", **settings):
    return run("bispectrum", model, controls=controls, settings={"bispectrum": settings})["bispectrum"]


def verdicts(result):
    return {check.name: check.verdict for check in result.checks}


def scrambled(grid):
    """Every mode of every field turned by its own random angle, the same for all fields: power is kept, triangles are not."""

    def phases(own):
        modes = torch.fft.rfftn(torch.randn(own.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64))
        return modes / modes.abs()

    return Filter(phases, grid)


def curved(x):
    return x + 0.3 * (x**2 - (x**2).mean()) / x.std()


def truth_on(grid):
    return (lambda x: SecondOrder(grid)(5 * x) / 5) if grid.dimension == 3 else curved


def over_all_triangles(values, triples, grid):
    """B and the number of triangles by going through every pair of modes, without a product in real space or a shell of ours."""
    full = np.fft.fftn(values) / values.size
    modes = np.stack(np.meshgrid(*[np.fft.fftfreq(n, 1 / n).round().astype(int) for n in grid.shape], indexing="ij"), -1)
    modes = modes.reshape(-1, grid.dimension)
    box = np.array(grid.box)

    def shell(n):
        return np.floor(np.sqrt(((n / box * box.max()) ** 2).sum(-1)) + 0.5 + 1e-9).astype(int)

    amount, count = [], []
    for triple in triples:
        first, second = (modes[shell(modes) == s] for s in triple[:2])
        third = -(first[:, None] + second[None])
        closed = shell(third) == triple[2]
        c1, c2, c3 = (full[tuple(np.moveaxis(n, -1, 0))] for n in (first, second, third % np.array(grid.shape)))
        amount.append((c1[:, None] * c2[None] * c3)[closed].sum().real)
        count.append(closed.sum())
    return grid.volume**2 * np.array(amount) / np.maximum(count, 1), np.array(count)


@pytest.mark.parametrize(
    "grid",
    [Grid.cubic(8, 10.0), Grid.cubic(12, 3.0, dimension=2), Grid((12, 10), (10.0, 7.0)), Grid.cubic(16, 3.0, dimension=1)],
    ids=["3D", "2D", "unequal", "1D"],
)
def test_the_estimate_is_the_sum_over_all_triangles(grid):
    values = torch.randn(grid.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    triples = tuple(sorted({triple for shape in bispectra.families(grid).values() for triple in shape}))
    expected, count = over_all_triangles(values.numpy(), triples, grid)
    there = count > 0
    assert there.sum() >= 5
    np.testing.assert_array_equal(np.nan_to_num(bispectra.number(triples, grid).numpy()), count)
    found = bispectra.bispectrum(values, triples, grid).numpy()
    np.testing.assert_allclose(found[there], expected[there], rtol=1e-10, atol=1e-12 * np.abs(expected).max())
    held = bispectra.together(bispectra.families(grid), grid)
    assert set(held) == {triple for triple, closes in zip(triples, there, strict=True) if closes}


@pytest.mark.parametrize(
    "modes, shells",
    [(((1,), (3,), (4,)), (1, 3, 4)), (((3, 0), (0, 4), (3, 4)), (3, 4, 5)), (((2, 0, 2), (0, 4, 0), (2, 4, 2)), (3, 4, 5))],
    ids=["1D", "2D", "3D"],
)
def test_three_waves_have_their_closed_form(modes, shells):
    grid = Grid.cubic(16, 20.0, dimension=len(modes[0]))
    a, b, c, phase = 0.7, 1.3, 0.4, 0.6
    x = [2 * np.pi / 20.0 * p.numpy() for p in grid.positions()]
    first, second, third = (sum(n * p for n, p in zip(mode, x, strict=True)) for mode in modes)
    field = a * np.cos(first) + b * np.cos(second) + c * np.cos(third + phase)
    _, count = over_all_triangles(field, [shells], grid)
    # Of all triangles two hold anything, (n1, n2, -n3) and its opposite: (a/2)(b/2)(c/2) exp(-+ i phase).
    expected = grid.volume**2 * a * b * c / 4 * np.cos(phase) / count[0]
    assert float(bispectra.bispectrum(torch.from_numpy(field), [shells], grid)[0]) == pytest.approx(expected, rel=1e-12)


def test_gaussian_fields_have_none_and_scatter_as_they_should():
    grid, count = Grid.cubic(24, 10.0, dimension=2), 300
    triples = bispectra.together(bispectra.families(grid), grid)
    drawn = gaussian_field(grid, lambda k: torch.full_like(k, 2.0), torch.Generator().manual_seed(3), count)
    found = torch.stack([bispectra.bispectrum(field, triples, grid) for field in drawn])
    power = torch.full((grid.shells().count,), 2.0, dtype=torch.float64)
    over = (found / bispectra.gaussian_variance(power, triples, grid).sqrt()).numpy()
    assert np.all(np.abs(over.mean(0)) < 4.5 / np.sqrt(count))
    error = (over**2).std(0) / np.sqrt(count)
    assert np.all(np.abs((over**2).mean(0) - 1) < 4.5 * error) and error.max() < 0.3


def test_a_local_quadratic_term_has_its_bispectrum_at_leading_order():
    # g + f (g^2 - <g^2>) has B = 2 f (P1 P2 + P2 P3 + P3 P1) + O(f^3); fields with f and -f tell the odd part apart.
    grid, count, strength, power = Grid.cubic(32, 10.0, dimension=2), 800, 0.02, 1.5
    band = 7.6 * grid.fundamental  # no product of two modes folds back into the band
    triples = [(3, 3, 3), (1, 6, 6), (4, 4, 6)]
    drawn = gaussian_field(grid, lambda k: power * (k < band).double(), torch.Generator().manual_seed(4), count)
    quadratic = drawn**2
    both = [torch.stack([bispectra.bispectrum(x, triples, grid) for x in drawn + sign * strength * quadratic]) for sign in (1, -1)]
    found = ((both[0] - both[1]) / 2).numpy()
    error = found.std(0) / np.sqrt(count)
    expected = 2 * strength * 3 * power**2
    assert np.all(np.abs(found.mean(0) - expected) < 4.5 * error) and np.all(error < 0.15 * expected)


def test_no_product_of_shells_aliases():
    for grid in (Grid.cubic(32, 1.0), Grid.cubic(31, 1.0, dimension=2), Grid((32, 24), (3.0, 2.0))):
        for triples in bispectra.families(grid).values():
            for triple in triples:
                for side, points in zip(grid.box, grid.shape, strict=True):
                    n = np.arange(points)
                    reach = [n[n < (shell + 0.5) * side / max(grid.box)].max() for shell in triple]
                    assert sum(reach) < points
    assert max(t[0] for t in bispectra.families(Grid.cubic(32, 1.0))["equilateral"]) == 10  # 2/3 of 16


@GRIDS
def test_a_gain_multiplies_b_by_its_cube_and_divides_q(grid, tmp_path):
    gain = 0.8
    truth = truth_on(grid)
    result = ask(with_pairs(on(grid, lambda x: gain * truth(x)), tmp_path, truth))
    measured = result.measured["model"]
    ratio, held = measured.ratio.values[:, 0], np.isfinite(measured.gaussian_variance.values)
    seen = np.isfinite(ratio)
    assert seen.any() and not seen[~held].any()
    np.testing.assert_allclose(ratio[seen], gain**3, rtol=1e-9)
    np.testing.assert_allclose(
        measured.reduced_pred.values[held, 0], measured.reduced_true.values[held, 0] / gain, rtol=1e-6, atol=1e-12
    )
    checks = {check.name: check.interval for check in result.checks}
    assert checks["relative_error"].value == pytest.approx(1 - gain**3, rel=1e-9)
    for shape in measured.shape.values:
        assert checks[str(shape)].value == pytest.approx(gain**3, rel=1e-9)


def test_a_rivals_error_power_is_compared_kind_by_kind():
    size = np.ones(5)
    rival = np.random.default_rng(0).chisquare(3, (40, 5))
    for left in (0.2, 1.0, 7.0):
        assert over_rival(left * rival, rival, size).value == pytest.approx(left, rel=1e-12)
    spread = over_rival(rival[:20], rival[20:], size)
    assert spread.low < 1 < spread.high < 3
    # One kind in which the rival fails leaves the verdict to the four others, and nothing left is nothing left.
    failing = rival * np.array([1e6, 1, 1, 1, 1])
    assert over_rival(rival, failing, size).value == pytest.approx(0.4 / 0.6, rel=1e-5)
    assert over_rival(0 * rival, 0 * rival, size).high == 0
    # However far off the answer is, it is so by a number.
    lost = over_rival(1e30 * rival, rival, size)
    assert np.isfinite(lost.value) and lost.value > 1e15 and np.isfinite(lost.samples).all()
    # What a rival misses by less than 2 % counts as 2 %.
    assert over_rival(np.full((8, 5), 4e-4), np.full((8, 5), 1e-12), size).value == pytest.approx(1, rel=1e-12)


@GRIDS
def test_the_truth_passes_and_scrambled_phases_fail(grid, tmp_path):
    truth, scramble = truth_on(grid), scrambled(grid)
    right = with_pairs(on(grid, truth), tmp_path, truth, count=6)
    assert ask(right, ("linear_filter",)).verdict == "pass"
    result = ask(with_pairs(on(grid, lambda x: scramble(truth(x))), tmp_path, truth, count=6), ("linear_filter",))
    measured = result.measured["model"]
    np.testing.assert_allclose(measured.power_pred, measured.power_true, rtol=1e-6, atol=1e-9 * float(measured.power_true.max()))
    assert verdicts(result)["beats_linear_filter"] == "fail"


@GRIDS
def test_a_model_that_is_linear_only_fails(grid, tmp_path):
    result = ask(with_pairs(on(grid, lambda x: 1.0 * x), tmp_path, truth_on(grid), count=6), ("linear_filter",))
    assert verdicts(result)["beats_linear_filter"] == "fail"


def test_a_displacement_that_levels_off_fails(tmp_path):
    truth = SecondOrder(CUBE)
    level = torch.nn.Sequential(SecondOrder(CUBE), Saturating(0.05))
    assert verdicts(ask(with_pairs(on(CUBE, level), tmp_path, truth), ("linear_filter",)))["beats_linear_filter"] == "fail"


def test_one_simulation_alone_is_inconclusive(tmp_path):
    result = ask(with_pairs(on(LINE, curved), tmp_path, lambda x: 1.01 * curved(x), count=1), ("linear_filter",))
    assert result.verdict == "inconclusive"
    # Its triangles are no more than those of a Gaussian field would be: of a ratio there is nothing to draw.
    assert [panel.title for panel in result.panels()] == ["Bispectrum", "Reduced bispectrum"]


@pytest.mark.parametrize("grid", [CUBE, SQUARE, LINE], ids=["3D", "2D", "1D"])
def test_within_walls_a_gain_is_found_through_the_window(grid, tmp_path):
    walled = replace(grid, boundary="reflect")
    model = with_pairs(on(walled, lambda x: 0.8 * curved(x) + 5.0), tmp_path, curved)
    result = ask(model, ("linear_filter",))
    ratio = result.measured["model"].ratio.values[:, 0]
    np.testing.assert_allclose(ratio[np.isfinite(ratio)], 0.8**3, rtol=1e-6)
    assert "Hann window" in result.panels()[0].caption


def of_kind(grid, quantity, tmp_path, truth, network=None, **described):
    """A model of one quantity, with pairs."""
    width = quantity.width(grid)
    for index in range(4):
        given = gaussian_field(grid, lambda k: k**-2, torch.Generator().manual_seed(index), width)[None]
        np.save(tmp_path / f"in_{index}.npy", given[0].numpy())
        np.save(tmp_path / f"out_{index}.npy", truth(given)[0].numpy())
    base = with_pairs(on(LINE, lambda x: x), tmp_path, lambda x: x, count=0).description
    description = replace(base, grid=grid, inputs=(quantity,), outputs=(quantity,), **described)
    return FieldModel(Function(network or truth), description, dtype=torch.float64)


@pytest.mark.parametrize(
    "kind, grid, read",
    [
        ("pseudoscalar", SQUARE, "a"),
        ("vector", SQUARE, "div a"),
        ("vector", LINE, "div a"),
        ("pseudovector", CUBE, "div a"),
    ],
)
def test_other_kinds_are_read_as_one_scalar(kind, grid, read, tmp_path):
    model = of_kind(grid, Quantity("a", kind, unit="m/s", rms=1.0), tmp_path, curved, lambda x: 0.5 * curved(x))
    result = ask(model)
    assert result.measured["model"].attrs["output"] == read
    ratio = result.measured["model"].ratio.values[:, 0]
    np.testing.assert_allclose(ratio[np.isfinite(ratio)], 0.125, rtol=1e-9)


def test_a_flow_without_divergence_is_read_as_its_curl_in_the_plane_alone(tmp_path):
    flow = Quantity("u", "vector", rms=1.0)

    def turned(x):
        return curved(x)

    square = of_kind(SQUARE, flow, tmp_path, turned, constraints=Constraints(divergence_free=("u",)))
    assert ask(square).measured["model"].attrs["output"] == "curl u"
    space = of_kind(CUBE, flow, tmp_path, turned, constraints=Constraints(divergence_free=("u",)))
    result = ask(space)
    assert result.verdict == "not_applicable" and "declared zero" in result.reason


def test_numbers_and_missing_pairs_are_not_applicable(tmp_path):
    assert "[data]" in ask(on(LINE, lambda x: x)).reason
    model = with_pairs(on(LINE, lambda x: x), tmp_path, lambda x: x)
    number = replace(model.description, outputs=(Quantity("n", "number", rms=1.0),))
    result = ask(FieldModel(Function(lambda x: x.mean(-1, keepdim=True).expand(x.shape)), number, dtype=torch.float64))
    assert result.verdict == "not_applicable" and "number" in result.reason


def test_a_long_wave_that_leaves_no_short_ones_leaves_that_shape_out(tmp_path):
    result = ask(with_pairs(on(CUBE, lambda x: x), tmp_path, truth_on(CUBE)), long_side=3)
    assert verdicts(result)["squeezed"] == "not_applicable" and verdicts(result)["equilateral"] == "info"
    assert len(result.panels()[0].figures[0][1].axes) == 2


def test_the_figures_tell_actual_numbers(tmp_path):
    result = ask(with_pairs(on(SQUARE, curved), tmp_path, curved), ("identity", "linear_filter"))
    panels = result.panels()
    assert [panel.title for panel in panels] == ["Bispectrum", "Reduced bispectrum", "Ratio to truth"]
    assert all(set(panel.variables) <= set(result.measured["model"].variables) for panel in panels)
    assert "B / B of the truth = 1 at shells" in panels[2].text
