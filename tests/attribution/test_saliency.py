"""`saliency` on models that look at one known part of their input, and at nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from probe.description import Truth
from probe.errors import InputError
from probe.fields import Quantity
from probe.interface import run
from probe.model import FieldModel
from tests.models import CUBE, LINE, SQUARE, Function, on, with_pairs
from tests.test_targets import numbers_of

GRIDS = pytest.mark.parametrize("grid", [CUBE, SQUARE, LINE], ids=["3D", "2D", "1D"])


def ask(model, controls="none", **settings):
    result = run("saliency", model, controls=controls, settings={"saliency": settings})["saliency"]
    assert not result.failure, result.failure
    return result


def verdicts(result):
    return {check.name: check.verdict for check in result.checks}


def measured(model, **settings):
    return ask(model, **settings).measured["model"]


def first(result):
    return {check.name: check for check in result.checks}


@GRIDS
def test_the_map_of_a_linear_filter_is_its_kernel_flipped(grid):
    axes = tuple(range(-grid.dimension, 0))
    kernel = torch.randn(grid.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    modes = torch.fft.rfftn(kernel, dim=axes)

    def filtered(x):
        return torch.fft.irfftn(torch.fft.rfftn(x, dim=axes) * modes, s=x.shape[2:], dim=axes)

    place = tuple(range(2, 2 + grid.dimension))
    data = measured(on(grid, filtered), targets=f"voxel({', '.join(map(str, place))})", methods=("gradient",), samples=1)
    # f(x0) = sum_x K(x0 - x) g(x): the weight of g(x) is K(x0 - x). Of a vector the first component alone counts, by its scatter.
    flipped = kernel[tuple(np.ix_(*[(p - np.arange(n)) % n for p, n in zip(place, grid.shape, strict=True)]))].numpy()
    expected = flipped[None] if grid.dimension == 1 else flipped if grid.dimension == 2 else np.abs(flipped[:, :, place[2]])
    found = data.picture.values[0, 0]
    scale = np.linalg.norm(found) / np.linalg.norm(expected)
    assert found == pytest.approx(scale * expected, rel=1e-10, abs=1e-12 * scale)
    assert grid.dimension == 3 or scale == pytest.approx(1, rel=1e-12)


@GRIDS
@pytest.mark.parametrize(
    "method", ["integrated_gradients", "gradient", "smoothgrad", "gradient_shap", "occlusion", "feature_ablation"]
)
def test_a_model_that_sees_one_region_is_found_to(grid, method):
    seen = (slice(None), slice(None), *[slice(0, n // 2) for n in grid.shape[:2]])

    def corner(x):
        kept = torch.zeros_like(x)
        kept[seen] = x[seen] ** 3
        return kept.mean(tuple(range(2, x.ndim)), keepdim=True).expand_as(x)

    data = measured(on(grid, corner), targets="mean", methods=(method,), samples=2, window=grid.shape[0] // 4)
    picture = data.picture.values[0, 0]
    half = grid.shape[0] // 2
    blind = picture[:, half:] if grid.dimension == 1 else np.concatenate([picture[half:].ravel(), picture[:, half:].ravel()])
    # A window that slides by half of itself overlaps the edge of the region, and shares what it finds with cells beyond.
    beyond = grid.shape[0] // 8 if method == "occlusion" and grid.dimension < 3 else 0
    blind = blind if not beyond else picture[..., half + beyond :]
    assert np.abs(picture).max() > 0 and not blind.any()


def test_a_model_that_sees_one_channel_is_found_to():
    def second(x):
        return x[:, 1:2] ** 3

    model = on(SQUARE, Function(second))
    inputs = tuple(Quantity(name, rms=1.0) for name in ("a", "b"))
    model = FieldModel(model.network, replace(model.description, inputs=inputs), dtype=torch.float64)
    data = measured(model, methods=("integrated_gradients", "gradient", "feature_ablation"), samples=2)
    assert data.channels.values[0] == pytest.approx(np.broadcast_to([0.0, 1.0], (3, 2, 2)))


@GRIDS
def test_a_model_that_sees_one_band_of_scales_is_found_to(grid):
    low, high = 2.5 * grid.fundamental, 3.5 * grid.fundamental

    def band(x):
        axes = grid.axes
        keep = (grid.wavenumber() >= low) & (grid.wavenumber() < high)
        return torch.fft.irfftn(torch.fft.rfftn(x, dim=axes) * keep, s=grid.shape, dim=axes) ** 3

    data = measured(on(grid, band), targets="power", samples=3)
    shells = data.shells.values[0, 0]
    assert np.abs(shells[:, 2]).min() > 0.999 * np.abs(data.difference.values[0]).min()
    others = np.delete(shells, 2, axis=1)
    assert np.abs(others).max() < 1e-10 * np.abs(shells).max()


@pytest.mark.parametrize("side", ["dense", "empty"])
def test_a_network_that_reads_dense_or_empty_regions_is_found_to(side):
    # In kind what Villanueva-Domingo & Villaescusa-Navarro (bright) and Matilla et al. (low convergence) found: a number of the
    # map.
    sign = 1 if side == "dense" else -1

    def read(x):
        return torch.relu(sign * x[:, 0] - 0.9).square().flatten(1).mean(1)[:, None]

    result = ask(numbers_of(SQUARE, read, "Omega_m"), samples=6)
    check, preference = first(result)["density"], result.measured["model"].quantiles.values[0, 0].mean(0)
    assert f"looks at {side} regions" in check.sentence
    seen, blind = (-1, 0) if side == "dense" else (0, -1)
    # Beyond 0.9 lie 18 % of a Gaussian of unit variance: nearly all of the map is in that fifth, five times what a fifth has by
    # chance.
    assert preference[seen] > 4 and preference[blind] == 0
    assert verdicts(result)["reach"] == "not_applicable"


@GRIDS
@pytest.mark.parametrize("method", ["integrated_gradients", "deep_lift"])
def test_contributions_add_up(grid, method):
    result = ask(
        on(grid, lambda x: x + 0.3 * torch.tanh(x).roll(1, -1)) if method != "deep_lift" else on(grid, nn.Tanh()), methods=(method,)
    )
    assert verdicts(result)["completeness"] == "pass"
    assert first(result)["completeness"].interval.value < 0.005


def test_distance_goes_around_the_box():
    model = on(LINE, lambda x: x.roll(3, -1))  # the answer at 1 is the input at 62
    data = measured(model, targets="voxel(1)", methods=("gradient",), samples=1)
    profile = data.profile.values[0, 0, 0]
    assert np.flatnonzero(profile > 0) == pytest.approx([3]) and profile[3] > 0
    assert data.distance.values[3] == pytest.approx(3 / 64)


class Cut(nn.Module):
    """An answer of which a share goes by a way without gradients."""

    def __init__(self, share):
        super().__init__()
        self.share, self.weight = share, nn.Parameter(torch.ones(1, dtype=torch.float64))

    def forward(self, x):
        return self.weight * ((1 - self.share) * x + self.share * x.detach())


def test_gradients_that_are_cut_in_part_do_not_add_up():
    result = ask(on(SQUARE, Cut(0.06)))
    check = first(result)["completeness"]
    assert check.verdict == "fail" and check.interval.value == pytest.approx(0.06, rel=1e-6)
    assert "cut on their way" in check.sentence


def test_gradients_that_are_cut_altogether_are_told_and_cells_occluded():
    result = ask(on(SQUARE, Cut(1.0)), window=4, samples=2)
    assert verdicts(result)["completeness"] == verdicts(result)["gradients"] == "not_applicable"
    assert "no usable gradient" in first(result)["gradients"].sentence
    assert list(result.measured["model"].method.values) == ["occlusion"] and result.panels()


def test_a_quadrature_that_has_not_converged_is_not_called_a_cut():
    result = ask(on(LINE, lambda x: torch.sin(300 * x)), steps=2, samples=2, targets="power")
    check = first(result)["completeness"]
    assert check.verdict == "inconclusive" and "not converged" in check.sentence


def test_networks_of_one_sample_at_a_time_are_asked():
    def single(x):
        if len(x) > 1:
            raise ValueError("one at a time")
        return x**3

    assert verdicts(ask(on(LINE, single), methods=("integrated_gradients", "occlusion"), samples=2))["completeness"] == "pass"


@pytest.mark.parametrize("kind", ["scalar", "pseudoscalar", "vector", "pseudovector"])
@pytest.mark.parametrize("boundary", ["periodic", "none"])
def test_every_kind_of_field_and_boundary(kind, boundary):
    grid = replace(CUBE.of_shape((8, 8, 8)), boundary=boundary)
    quantity = Quantity("a", kind, rms=1.0)
    model = on(grid, lambda x: x + x**3)
    model = FieldModel(model.network, replace(model.description, inputs=(quantity,), outputs=(quantity,)), dtype=torch.float64)
    result = ask(model, samples=3, targets="voxel(peak), region(1, 2, 3), mean, power(1)")
    assert verdicts(result)["completeness"] == "pass" and result.panels()


def test_errors_are_attributed_where_there_are_pairs(tmp_path):
    model = with_pairs(on(SQUARE, lambda x: x + 0.1 * x**2), tmp_path, lambda x: x)
    result = ask(model, targets="error, error(2)", baseline="sample")
    assert verdicts(result)["completeness"] == "pass" and result.measured["model"].sizes["sample"] == 4


def test_what_cannot_be_asked_is_told():
    assert "needs pairs" in ask(on(SQUARE, lambda x: x), targets="error").reason
    assert "places run from 0" in ask(on(SQUARE, lambda x: x), targets="voxel(40, 0)").reason
    with pytest.raises(InputError, match=r"saliency\.methods: .*did you mean 'gradient'"):
        ask(on(SQUARE, lambda x: x), methods=("gradent",))
    with pytest.raises(InputError, match=r"saliency\.targets: .*did you mean 'voxel'"):
        ask(on(SQUARE, lambda x: x), targets="vxel")


def test_each_method_is_held_against_its_own_difference():
    # GradientSHAP's is that from the mean answer to the other samples, integrated gradients' that from the answer to their mean.
    result = ask(on(SQUARE, lambda x: x + 0.3 * x**2), methods=("gradient_shap", "integrated_gradients"))
    data = result.measured["model"]
    assert verdicts(result)["completeness"] == "pass" and verdicts(result)["scales"] == "not_applicable"
    shap, path = data.difference.values[0]
    assert np.abs(shap - path).max() > 0.01 * np.abs(path).max()


class Unhooked(nn.Module):
    """A network with an activation that is no module."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = (nn.Conv2d(*c, 3, padding=1, padding_mode="circular").double() for c in ((1, 4), (4, 1)))

    def forward(self, x):
        return self.last(nn.functional.gelu(self.first(x)))


def test_a_method_that_does_not_go_through_is_told_and_the_others_are_judged():
    result = ask(on(SQUARE, Unhooked()), controls="all", methods=("deep_lift", "integrated_gradients"))
    assert "deep_lift misses" in first(result)["density"].sentence and verdicts(result)["completeness"] == "pass"
    assert [panel.title for panel in result.panels()] == ["Where it looks", "Does it add up?"]
    assert "deep_lift misses" in first(ask(on(SQUARE, Unhooked()), methods=("deep_lift",)))["completeness"].sentence


def test_methods_and_targets_are_asked_once_each():
    data = measured(on(LINE, lambda x: x**2), methods=("gradient", "gradient"), targets="voxel, voxel", samples=2)
    assert data.sizes["method"] == data.sizes["target"] == 1


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_of_an_answer_that_never_changes_nothing_is_told():
    result = ask(on(SQUARE, lambda x: 0 * x + 3))
    assert "no cell of the input moves" in first(result)["density"].sentence and "reach" not in first(result)
    assert result.panels()


def test_a_baseline_without_an_answer_is_told():
    def over_scatter(x):
        return x / x.std((2, 3), keepdim=True)

    check = first(ask(on(SQUARE, over_scatter)))["completeness"]
    assert check.verdict == "not_applicable" and "its baseline (mean)" in check.sentence
    assert verdicts(ask(on(SQUARE, over_scatter), baseline="sample"))["completeness"] == "pass"
    model = on(SQUARE, lambda x: x * torch.nan)
    assert "real fields" in first(ask(model))["completeness"].sentence and model.passes < 100  # nothing is occluded in vain


def test_a_map_that_is_not_finite_is_told():
    def whole_or_nothing(x):  # no answer where some cells are taken away, and others not
        taken = (x == 0).flatten(1).double().mean(1).reshape(-1, 1, 1, 1)
        return torch.where((taken == 0) | (taken == 1), x, torch.nan)

    result = ask(on(SQUARE, whole_or_nothing), methods=("occlusion",), baseline="zero", samples=2, window=8)
    assert "is not finite" in first(result)["density"].sentence and result.panels()


class Frozen(nn.Module):
    """A network that forbids gradients, as code for inference alone does: forward derivatives pass through it all the same."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv2d(1, 1, 5, padding=2, padding_mode="circular").double()

    @torch.no_grad()
    def forward(self, x):
        return torch.tanh(self.layer(x))


def test_a_network_that_forbids_gradients_is_occluded():
    result = ask(on(SQUARE, Frozen()), window=4, samples=2)
    assert "do not pass back" in first(result)["gradients"].sentence
    assert list(result.measured["model"].method.values) == ["occlusion"]


def test_a_control_without_gradients_is_occluded_beside_a_model_that_has_them():
    plain = on(SQUARE, nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular").double())
    described = replace(plain.description, truth=Truth("a:law"))
    model = FieldModel(plain.network, described, code={"a:law": lambda x: torch.tanh(x.detach())}, dtype=torch.float64)
    result = ask(model, controls="all", methods=("gradient",), samples=2, window=8)
    assert list(result.measured["model"].method.values) == ["gradient"]
    assert list(result.measured["simulator"].method.values) == ["occlusion"] and result.panels()


def test_panels_tell_their_numbers():
    result = ask(on(SQUARE, lambda x: x + 0.2 * x**3), controls="all", methods=("integrated_gradients", "gradient", "occlusion"))
    panels = result.panels()
    assert [panel.title for panel in panels] == [
        "Where it looks",
        "Dense or empty regions",
        "How near it looks",
        "Scale and direction",
        "Does it add up?",
    ]
    assert all(any(letter.isdigit() for letter in panel.text) and panel.caption for panel in panels)
    names = set(result.measured["model"].variables)
    assert all(set(panel.variables) <= names for panel in panels)
