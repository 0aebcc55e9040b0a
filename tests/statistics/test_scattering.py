"""`scattering` against waves, Gaussian fields and gains, whose coefficients are known in closed form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from probe import scattering
from probe.fields import Quantity
from probe.grid import Grid
from probe.interface import run
from probe.model import FieldModel
from probe.waves import gaussian_field
from probe.zoo.gravity_defects import Saturating
from probe.zoo.oracles import SecondOrder
from tests.models import CUBE, LINE, SQUARE, Function, on, with_pairs
from tests.statistics.test_bispectrum import curved, of_kind, scrambled, truth_on, verdicts

GRIDS = pytest.mark.parametrize("grid", [CUBE, SQUARE, LINE], ids=["3D", "2D", "1D"])
UNEQUAL = Grid((24, 16), (3.0, 1.5))


def ask(model, controls="none", **settings):
    return run("scattering", model, controls=controls, settings={"scattering": settings})["scattering"]


def draw(grid, seed=0):
    return torch.randn(grid.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def lognormal(x):
    """Sparse: half the points hold a few per cent of the field."""
    return torch.exp(1.5 * x / x.std())


@pytest.mark.parametrize(
    "grid, mode",
    [(CUBE, (3, 1, 0)), (CUBE, (-2, 2, 3)), (SQUARE, (5, 2)), (SQUARE, (0, -4)), (LINE, (9,)), (UNEQUAL, (4, 1))],
    ids=str,
)
def test_a_plane_wave_has_its_closed_form(grid, mode):
    amplitude, k = 1.7, 2 * np.pi * np.array(mode) / np.array(grid.box)
    x = sum(c * p.numpy() for c, p in zip(k, grid.positions(), strict=True))
    found = scattering.scatter(torch.from_numpy(amplitude * np.cos(x + 0.4)), grid)
    size = np.linalg.norm(k)
    # Written out again: |A/2| times the mean over the directions of c (|khat.n|)^p, since one of k and -k is seen by each.
    if grid.dimension == 1:
        angular = np.sqrt(2)
    elif grid.dimension == 2:
        theta = np.arctan2(k[1], k[0]) - np.pi * np.arange(4) / 4
        angular = np.mean(np.sqrt(1.6) * np.abs(np.cos(theta)) ** 3)
    else:
        axes, corners = np.abs(k / size) ** 2, np.array([[1, 1, 1], [1, 1, -1], [1, -1, 1], [1, -1, -1]])
        angular = (np.sqrt(4 / 3) * axes.sum() + np.sqrt(3 / 2) * ((corners @ k / size) ** 2 / 3).sum()) / 7
    for j, centre in enumerate(scattering.centres(grid)):
        octave = np.log2(size / centre)
        radial = np.cos(np.pi / 2 * octave) if abs(octave) < 1 else 0.0
        assert float(found.first[j]) == pytest.approx(amplitude / 2 * radial * angular, rel=1e-12, abs=1e-13)
    # Its envelopes are flat: there is no second order.
    assert float(found.second.nan_to_num().max()) < 1e-13


@GRIDS
def test_constants_have_none(grid):
    found = scattering.scatter(torch.full(grid.shape, 3.0), grid)
    assert float(torch.cat([found.first, found.second.nan_to_num().flatten(), found.energy]).abs().max()) < 1e-14


@pytest.mark.parametrize("grid", [CUBE, SQUARE, LINE, UNEQUAL], ids=["3D", "2D", "1D", "unequal"])
def test_a_shift_changes_nothing(grid):
    field = draw(grid)
    here = scattering.scatter(field, grid)
    there = scattering.scatter(torch.roll(field, tuple(range(3, 3 + grid.dimension)), tuple(range(grid.dimension))), grid)
    for name in ("energy", "first", "second"):
        torch.testing.assert_close(getattr(there, name), getattr(here, name), rtol=1e-12, atol=0, equal_nan=True)


@pytest.mark.parametrize("grid", [CUBE, SQUARE], ids=["3D", "2D"])
def test_quarter_turns_and_mirrors_change_nothing(grid):
    field = draw(grid)
    here = scattering.scatter(field, grid)
    for other in (torch.rot90(field, 1, (0, 1)), torch.rot90(field, 1, (-2, -1)), field.flip(0)):
        there = scattering.scatter(other, grid)
        for name in ("energy", "first", "second"):
            torch.testing.assert_close(getattr(there, name), getattr(here, name), rtol=1e-12, atol=0, equal_nan=True)


@pytest.mark.parametrize("grid", [Grid.cubic(24, 5.0), SQUARE, LINE, UNEQUAL], ids=["3D", "2D", "1D", "unequal"])
def test_energies_add_up_to_the_variance_between_the_outermost_centres_and_to_less_beyond(grid):
    centres, count = scattering.centres(grid), len(scattering.directions(grid.dimension))
    if len(centres) == 1:
        centres = [centres[0] * (1 + 1e-9), centres[0] * (1 - 1e-9)]
    k = grid.wavenumber()
    inside = (k <= centres[0] * (1 + 1e-9)) & (k >= centres[-1] * (1 - 1e-9))
    modes = torch.fft.rfftn(draw(grid), dim=grid.axes)
    banded = torch.fft.irfftn(modes * inside, s=grid.shape, dim=grid.axes)
    assert float(banded.square().mean()) > 0.01
    kept = float(scattering.scatter(banded, grid).energy.sum() * count)
    assert kept == pytest.approx(float(banded.square().mean()), rel=1e-12)
    field = draw(grid, 1)
    assert float(scattering.scatter(field, grid).energy.sum() * count) < float(field.square().mean())


@GRIDS
def test_gaussian_fields_have_the_gaussian_sparsity(grid):
    found = [scattering.scatter(draw(grid, seed), grid) for seed in range(40 if grid.dimension < 3 else 12)]
    first, energy = (torch.stack([getattr(one, name)[0] for one in found]) for name in ("first", "energy"))
    each = first / energy.sqrt()
    assert float(first.mean() / energy.mean().sqrt()) == pytest.approx(
        scattering.gaussian_first(grid.dimension), abs=5 * float(each.std()) / len(each) ** 0.5 + 1e-3
    )


def test_clustered_structure_is_told_from_gaussian_of_the_same_power():
    field = lognormal(gaussian_field(SQUARE, lambda k: k**-2, torch.Generator().manual_seed(0))[0])
    turned = scrambled(SQUARE)(field[None, None])[0, 0]
    own, other = scattering.scatter(field, SQUARE), scattering.scatter(turned, SQUARE)
    torch.testing.assert_close(own.energy, other.energy, rtol=1e-9, atol=0)
    assert float(own.first[0] / other.first[0]) < 0.9


def test_the_library_for_it_tells_clustered_from_gaussian_alike():
    kymatio = pytest.importorskip("kymatio", exc_type=ImportError)
    grid = Grid.cubic(64, 64.0, dimension=2)
    library = kymatio.Scattering2D(J=4, shape=(128, 128), L=4, max_order=1, frontend="torch")

    def theirs(field):
        # It pads by reflection: what lies a quarter of the frame away from its walls saw the periodic field alone.
        wide = torch.nn.functional.pad((field - field.mean())[None, None], (32,) * 4, mode="circular")[0, 0]
        return library(wide.float())[1:, 2:-2, 2:-2].mean((1, 2)).reshape(4, 4).mean(1).numpy()

    field = lognormal(gaussian_field(grid, lambda k: k**-2, torch.Generator().manual_seed(0))[0])
    turned = scrambled(grid)(field[None, None])[0, 0]
    ours = (scattering.scatter(field, grid).first / scattering.scatter(turned, grid).first).numpy()
    centres = 3 * np.pi / 4 / 2 ** np.arange(4)  # of its Morlet wavelets, which lie between ours
    between = np.interp(np.log(centres[1:3]), np.log(scattering.centres(grid)[::-1]), ours[::-1])
    # Morlet wavelets are of another width: what changes by a fifth an octave may differ by a tenth.
    np.testing.assert_allclose(theirs(field)[1:3] / theirs(turned)[1:3], between, rtol=0.1)


@GRIDS
def test_a_gain_multiplies_every_coefficient_and_leaves_the_normalised_ones(grid, tmp_path):
    gain = 0.8
    truth = truth_on(grid)
    result = ask(with_pairs(on(grid, lambda x: gain * truth(x)), tmp_path, truth))
    measured, checks = result.measured["model"], {check.name: check.interval for check in result.checks}
    for name in ("first_ratio", "second_ratio"):
        values = measured[name].values[..., 0]
        np.testing.assert_allclose(values[np.isfinite(values)], gain, rtol=1e-9)
    # Every coefficient is off by 1 - gain of its own value, which is held against its average.
    held = measured.held.values == 1
    second = measured.second_true.values[:, held][:, :, held]
    upper = np.triu_indices(held.sum(), 1)
    true = np.concatenate([measured.first_true.values[:, held], second[:, upper[0], upper[1]]], 1)
    expected = (1 - gain) * np.sqrt(((true / true.mean(0)) ** 2).mean())
    assert checks["coefficients"].value == pytest.approx(expected, rel=1e-9)
    assert checks["normalised"].value < 1e-9 and checks["smallest_scale"].value == pytest.approx(gain, rel=1e-9)


@GRIDS
def test_the_truth_passes_and_scrambled_phases_fail(grid, tmp_path):
    scramble, x = scrambled(grid), lognormal
    right = with_pairs(on(grid, x), tmp_path, x, count=12)
    assert ask(right, ("linear_filter",)).verdict == "pass"
    result = ask(with_pairs(on(grid, lambda values: scramble(x(values))), tmp_path, x, count=12), ("linear_filter",))
    assert verdicts(result)["normalised"] == "fail"


@GRIDS
def test_a_model_that_is_linear_only_fails(grid, tmp_path):
    result = ask(with_pairs(on(grid, lambda x: 1.0 * x), tmp_path, lognormal, count=6), ("linear_filter",))
    assert verdicts(result)["normalised"] == "fail"


def test_a_displacement_that_levels_off_fails(tmp_path):
    level = torch.nn.Sequential(SecondOrder(CUBE), Saturating(0.05))
    result = ask(with_pairs(on(CUBE, level), tmp_path, SecondOrder(CUBE)), ("linear_filter",))
    assert verdicts(result)["coefficients"] == "fail"


def test_an_answer_of_nothing_fails_both(tmp_path):
    result = ask(with_pairs(on(SQUARE, lambda x: 0.0 * x), tmp_path, lognormal, count=6), ("linear_filter",))
    assert {verdicts(result)[name] for name in ("coefficients", "normalised")} == {"fail"}
    assert "model: none; truth: 0." in next(panel.text for panel in result.panels() if panel.title == "Sparsity")


def test_one_simulation_alone_is_inconclusive(tmp_path):
    result = ask(with_pairs(on(LINE, curved), tmp_path, lambda x: 1.01 * curved(x), count=1), ("linear_filter",))
    assert result.verdict == "inconclusive" and verdicts(result)["scatter"] == "not_applicable" and result.panels()


@GRIDS
def test_within_walls_a_gain_is_found_through_the_window(grid, tmp_path):
    walled = replace(grid, boundary="reflect")
    result = ask(with_pairs(on(walled, lambda x: 0.8 * curved(x) + 5.0), tmp_path, curved))
    values = result.measured["model"].first_ratio.values[:, 0]
    np.testing.assert_allclose(values[np.isfinite(values)], 0.8, rtol=1e-6)
    assert "Hann window" in result.checks[0].sentence and "Hann window" in result.panels()[0].caption


@pytest.mark.parametrize(
    "kind, grid, read", [("pseudoscalar", SQUARE, "a"), ("vector", LINE, "div a"), ("pseudovector", CUBE, "div a")]
)
def test_other_kinds_are_read_as_one_scalar(kind, grid, read, tmp_path):
    model = of_kind(grid, Quantity("a", kind, unit="m/s", rms=1.0), tmp_path, curved, lambda x: 0.5 * curved(x))
    measured = ask(model).measured["model"]
    assert measured.attrs["output"] == read
    np.testing.assert_allclose(measured.first_ratio.values[:, 0], 0.5, rtol=1e-9)


def test_numbers_and_missing_pairs_are_not_applicable(tmp_path):
    assert "[data]" in ask(on(LINE, lambda x: x)).reason
    model = with_pairs(on(LINE, lambda x: x), tmp_path, lambda x: x)
    number = replace(model.description, outputs=(Quantity("n", "number", rms=1.0),))
    result = ask(FieldModel(Function(lambda x: x.mean(-1, keepdim=True).expand(x.shape)), number, dtype=torch.float64))
    assert result.verdict == "not_applicable" and "number" in result.reason


def test_the_figures_tell_actual_numbers(tmp_path):
    result = ask(with_pairs(on(SQUARE, curved), tmp_path, curved), ("identity", "linear_filter"))
    panels = result.panels()
    assert [panel.title for panel in panels] == ["First order", "Sparsity", "Second order"]
    assert all(set(panel.variables) <= set(result.measured["model"].variables) for panel in panels)
    assert "1.000 at k =" in panels[0].text
