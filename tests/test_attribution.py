"""Attribution maps against closed forms, and against captum where it does the same."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from probe import derivatives, targets
from probe.attribution import METHODS, Setting, attribute, reading, sanity, scores
from probe.attribution.by_captum import blocks
from probe.attribution.setting import SLOPES
from probe.errors import InputError
from probe.grid import Grid
from probe.zoo.architectures import FNO
from tests.models import CUBE, LINE, SQUARE, Function, on
from tests.test_targets import subject_of

GRIDS = pytest.mark.parametrize("grid", [Grid.cubic(4, 1.0), SQUARE.of_shape((8, 8)), LINE.of_shape((16,))], ids=["3D", "2D", "1D"])
ONE_CELL = Setting(window=1)


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def curved(values):
    """A smooth scalar of two channels and their product."""
    return torch.tanh(values[:, 0] * values[:, 1] + values[:, 0].square()).flatten(1).sum(1)


class Bends(nn.Module):
    """A scalar of one channel through an activation that is a module."""

    def __init__(self, activation):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv1d(1, 4, 3, padding=1), activation, nn.Conv1d(4, 1, 3, padding=1)).double()

    def forward(self, values):
        return self.body(values)[:, 0].sum(1)


class Functional(Bends):
    """The like through an activation that is none."""

    def forward(self, values):
        return self.body[2](nn.functional.gelu(self.body[0](values)))[:, 0].sum(1)


@GRIDS
@pytest.mark.parametrize("method", [m for m in METHODS if m != "deep_lift"])
def test_of_a_linear_function_every_map_is_its_weight(grid, method):
    channels = 1 if method == "occlusion" else 2  # which sets all channels of a window to the baseline at once
    weight, x, x0 = (draw(1, channels, *grid.shape, seed=i) for i in range(3))
    found = attribute(lambda v: (weight * v).flatten(1).sum(1) + 3, x, x0, method, ONE_CELL)
    expected = weight if method in SLOPES else weight * (x - x0)
    # Removals are differences of sums over all cells, whose digits they lose.
    torch.testing.assert_close(found.values, expected, rtol=1e-12, atol=1e-12)
    assert found.difference == pytest.approx(float((weight * (x - x0)).sum()), rel=1e-12)


def test_occlusion_of_a_linear_function_shares_each_window():
    # Windows of four cells that slide by two: a cell gets the mean of its two windows' means, at a wall of one that is cut.
    weight, x, x0 = (draw(1, 1, 8, seed=i) for i in range(3))
    found = attribute(lambda v: (weight * v).flatten(1).sum(1), x, x0, "occlusion", Setting(window=4)).values[0, 0]
    a = (weight * (x - x0))[0, 0]
    whole = torch.cat([a[:4].mean().expand(4), a[4:].mean().expand(4)])
    moved = torch.cat([a[:2].mean().expand(2), a[2:6].mean().expand(4), a[6:].mean().expand(2)])
    torch.testing.assert_close(found, (whole + moved) / 2, rtol=1e-12, atol=1e-12)


def test_deep_lift_of_a_linear_network_is_its_weight():
    network = Bends(nn.Identity())
    x, x0 = draw(1, 1, 16), draw(1, 1, 16, seed=1)
    found = attribute(network, x, x0, "deep_lift", network=network)
    torch.testing.assert_close(found.slope, derivatives.gradient(network, x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.SiLU, nn.GELU, nn.Tanh])
def test_deep_lift_adds_up_and_leaves_no_hook(activation):
    network = Bends(activation())
    x, x0 = draw(1, 1, 16), draw(1, 1, 16, seed=1)
    found = attribute(network, x, x0, "deep_lift", network=network)
    assert abs(found.apart) < 1e-12 * max(1, abs(found.difference))
    assert not any(m._forward_hooks or m._backward_hooks or m._forward_pre_hooks for m in network.modules())


def test_deep_lift_is_refused_where_an_activation_is_no_module():
    network = Functional(nn.Identity())
    with pytest.raises(InputError, match="deep_lift misses"):
        attribute(network, draw(1, 1, 16), draw(1, 1, 16, seed=1), "deep_lift", network=network)
    with pytest.raises(InputError, match="is a function"):
        attribute(lambda v: v.flatten(1).sum(1), draw(1, 1, 16), draw(1, 1, 16, seed=1), "deep_lift")


def test_integrated_gradients_of_a_polynomial_are_exact():
    # Gauss and Legendre with n nodes are exact to degree 2 n - 1. Of x^3 from x0: a = (x - x0) (x^2 + x x0 + x0^2).
    x, x0 = draw(1, 1, 32), draw(1, 1, 32, seed=1)
    found = attribute(lambda v: (v**3).flatten(1).sum(1), x, x0, "integrated_gradients", Setting(steps=2))
    torch.testing.assert_close(found.values, (x - x0) * (x**2 + x * x0 + x0**2), rtol=1e-12, atol=1e-13)
    assert found.nodes == 2 and abs(found.apart) < 1e-12


def test_integrated_gradients_are_refined_until_they_add_up():
    x, x0 = draw(1, 2, 32), draw(1, 2, 32, seed=1)
    for tolerance in (1e-2, 1e-4):
        found = attribute(curved, x, x0, "integrated_gradients", Setting(steps=3, tolerance=tolerance))
        assert abs(found.apart) <= tolerance * abs(found.difference)
        assert found.nodes > 3


def test_integrated_gradients_are_captum_s():
    from captum.attr import IntegratedGradients

    x, x0 = draw(1, 2, 32), draw(1, 2, 32, seed=1)
    found = attribute(curved, x, x0, "integrated_gradients", Setting(steps=20, tolerance=1.0))
    theirs = IntegratedGradients(curved).attribute(x, x0, n_steps=20)
    torch.testing.assert_close(found.values, theirs, rtol=0, atol=1e-6)  # captum's weights are float32


def test_smoothgrad_and_gradient_shap_tend_to_captum_s():
    from captum.attr import GradientShap, NoiseTunnel, Saliency

    # Means over draws: four standard errors of the difference of two such means apart, at most.
    x, x0 = draw(1, 2, 8), draw(1, 2, 8, seed=1)
    setting = Setting(draws=4000, noise=0.3)
    scatter = (x - x.mean(2, keepdim=True)).square().mean(2, keepdim=True).sqrt()
    ours = attribute(curved, x, x0, "smoothgrad", setting).values
    torch.manual_seed(0)

    def scaled(u):
        return curved(u * scatter)

    tunnel = NoiseTunnel(Saliency(scaled)).attribute(x / scatter, nt_samples=4000, stdevs=0.3, abs=False) / scatter
    spread = torch.stack([derivatives.gradient(curved, x + 0.3 * scatter * draw(1, 2, 8, seed=i)) for i in range(50)]).std(0)
    assert ((ours - tunnel).abs() < 4 * spread * math.sqrt(2 / 4000) + 1e-12).all()
    state = np.random.get_state()
    ours = attribute(curved, x, x0, "gradient_shap", setting).values
    theirs = GradientShap(curved).attribute(x, x0, n_samples=4000, stdevs=0.0)
    np.random.set_state(state)
    on_line = [derivatives.gradient(curved, x0 + t * (x - x0)) * (x - x0) for t in np.linspace(0, 1, 50)]
    assert ((ours - theirs).abs() < 4 * torch.stack(on_line).std(0) * math.sqrt(2 / 4000) + 1e-12).all()


def test_gradient_shap_s_difference_is_that_from_the_mean_answer_to_its_baselines():
    x, others = draw(1, 2, 8), torch.cat([draw(1, 2, 8, seed=i) for i in range(1, 4)])
    found = attribute(curved, x, others, "gradient_shap", Setting(draws=4000))
    assert found.difference == pytest.approx(float(curved(x) - curved(others).mean()), rel=1e-12) and found.slope is None
    # What one draw adds is the slope along a line at one of its points; the sum is the mean of as many, within four errors.
    points = [(one + t * (x - one), x - one) for one in others[:, None] for t in np.linspace(0, 1, 50)]
    along = torch.stack([(derivatives.gradient(curved, point) * away).sum() for point, away in points])
    assert abs(found.apart) < 4 * float(along.std()) / math.sqrt(4000)


def test_draws_leave_the_global_generators_alone():
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    for method in ("smoothgrad", "gradient_shap"):
        attribute(curved, draw(1, 2, 8), draw(1, 2, 8, seed=1), method)
    assert torch.equal(before[0], torch.get_rng_state()) and (before[1] == np.random.get_state()[1]).all()


@pytest.mark.parametrize("method", [m for m in METHODS if m != "deep_lift"])
@pytest.mark.parametrize("fault", ["takes one", "runs out"])
def test_batches_of_one_and_little_memory_give_the_same_map(method, fault):
    def picky(values):
        if len(values) > (1 if fault == "takes one" else 2):
            raise ValueError("one at a time") if fault == "takes one" else MemoryError("out of memory")
        return curved(values)

    x, x0, setting = draw(1, 2, 8), draw(1, 2, 8, seed=1), Setting(window=2)
    torch.testing.assert_close(attribute(picky, x, x0, method, setting).values, attribute(curved, x, x0, method, setting).values)


def test_complex_layers_add_up():
    torch.manual_seed(0)
    network = FNO(2, modes=3, width=4, layers=2).double()
    for parameter in network.parameters():
        if parameter.is_complex():
            parameter.data = parameter.data.to(torch.complex128)

    def scalar(values):
        return network(values)[:, 0, 3, 4]

    x = draw(1, 1, 8, 8)
    found = attribute(scalar, x, torch.zeros_like(x), "integrated_gradients", Setting(tolerance=1e-8))
    assert abs(found.apart) <= 1e-8 * abs(found.difference)


def test_an_answer_that_hangs_on_nothing_has_a_map_of_zeros():
    x = draw(1, 1, 8)
    assert not derivatives.gradient(lambda v: torch.ones(len(v)), x).any()


@GRIDS
def test_contributions_by_scale_and_axis_add_up(grid):
    slope, away = draw(1, 2, *grid.shape), draw(1, 2, *grid.shape, seed=1)
    found = reading.by_scale(slope, away, grid)
    total = float((slope * away).sum())
    assert found["axes"].sum() + found["mean"] == pytest.approx(total, rel=1e-10)
    assert len(found["axes"]) == grid.dimension
    wave = torch.cos(2 * math.pi * torch.arange(grid.shape[0]) / grid.shape[0]).double()
    wave = wave.reshape(1, 1, -1, *[1] * (grid.dimension - 1)).expand(1, 1, *grid.shape)
    found = reading.by_scale(wave, wave, grid)
    assert found["shells"][0] == pytest.approx(grid.size / 2) and found["axes"][0] == pytest.approx(grid.size / 2)
    assert abs(found["shells"][1:]).max() < 1e-10 * grid.size


def test_preference_is_one_of_a_map_that_falls_off_alike():
    grid, place = CUBE, (3, 4, 5)
    fall = torch.exp(-targets.distance(place, grid) / 10)
    shells = reading.shells_about(place, grid)
    flat = torch.bincount(shells.flatten(), weights=fall.flatten()) / torch.bincount(shells.flatten())
    _, expected = reading.profile(flat[shells], place, grid)
    found = reading.by_density(flat[shells], expected, draw(*grid.shape), 5, grid)
    assert found["quantiles"] == pytest.approx(np.ones(5), rel=1e-10)
    assert found["peaks"] == pytest.approx(1) and found["voids"] == pytest.approx(1)


def test_highest_points_stand_above_all_that_touch_them():
    density = torch.zeros(8, 8, dtype=torch.float64)
    density[0, 0], density[7, 7], density[3, 4] = 2, 1, 1  # the corner's neighbours lie across the walls
    assert [tuple(p) for p in torch.nonzero(reading.highest(density, SQUARE.of_shape((8, 8))) & (density > 0)).tolist()] == [
        (0, 0),
        (3, 4),
    ]
    walls = replace(SQUARE.of_shape((8, 8)), boundary="none")
    assert int((reading.highest(density, walls) & (density > 0)).sum()) == 3


def test_blocks_number_every_cell():
    number = blocks(2, (4, 5), (2, 2))
    assert int(number.max()) + 1 == 2 * 2 * 3 and torch.equal(torch.unique(number), torch.arange(12))


def test_stages_run_from_the_output_down_and_hold_raw_parameters():
    class Raw(nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.randn(4, dtype=torch.complex128))
            self.first, self.second = nn.Conv1d(1, 1, 3, padding=1).double(), nn.Conv1d(1, 1, 3, padding=1).double()

        def forward(self, values):
            return self.first(self.second(values)) * self.gain.abs().sum()

    model = on(LINE, Raw())
    found = sanity.stages(model, draw(1, 1, 64))
    assert found == [("gain",), ("first.weight", "first.bias"), ("second.weight", "second.bias")]


def test_redrawn_parameters_keep_their_values_and_the_others_their_places():
    model = on(LINE, nn.Sequential(nn.Conv1d(1, 4, 5), nn.Conv1d(4, 1, 5)))
    other = model.redrawn(1, ["0.weight"])
    old, new = dict(model.network.named_parameters()), dict(other.network.named_parameters())
    assert torch.equal(old["0.weight"].sort(-1).values.sum(), new["0.weight"].sort(-1).values.sum()) or torch.allclose(
        old["0.weight"].flatten().sort().values, new["0.weight"].flatten().sort().values
    )
    assert not torch.equal(old["0.weight"], new["0.weight"]) and torch.equal(old["1.weight"], new["1.weight"])


def test_infidelity_is_captum_s_over_the_variance():
    from captum.metrics import infidelity

    x, slope = draw(1, 2, 16), draw(1, 2, 16, seed=5)
    subject = subject_of(on(LINE.of_shape((16,)), Function(lambda v: v)))
    generator = torch.Generator().manual_seed(0)
    changes = [torch.randn(x.shape, generator=generator, dtype=torch.float64) for _ in range(20)]
    happened = np.array([float(curved(x) - curved(x - change)) for change in changes])
    foretold = np.array([float((change * slope).sum()) for change in changes])
    ours = 1 - (happened @ foretold) ** 2 / ((happened @ happened) * (foretold @ foretold))
    rows = iter(changes)

    def perturb(values):
        change = next(rows)
        return change, values - change

    theirs = infidelity(curved, perturb, x, slope, n_perturb_samples=20, max_examples_per_batch=1, normalize=True)
    assert ours == pytest.approx(float(theirs) / np.mean(happened**2), rel=1e-9)
    assert scores.untold(foretold[:, None], happened) == pytest.approx([ours], rel=1e-12)
    assert subject.model.passes == 0


def test_agreement_is_spearman_s_with_ties():
    from scipy.stats import spearmanr

    a, b = draw(50).round(decimals=1), draw(50, seed=1).round(decimals=1)
    assert scores.agreement([a, b])[0, 1] == pytest.approx(spearmanr(a, b)[0], rel=1e-10)
