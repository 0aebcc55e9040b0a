"""`saliency_sanity` on networks whose maps follow their weights, and on such whose maps do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from probe.interface import run
from probe.model import FieldModel, double_copy
from probe.zoo.architectures import FNO
from tests.attribution.test_saliency import Cut, Frozen, Unhooked
from tests.models import CUBE, LINE, SQUARE, on
from tests.test_targets import numbers_of

SMALL = {3: CUBE.of_shape((8, 8, 8)), 2: SQUARE.of_shape((16, 16)), 1: LINE}
DIMENSIONS = pytest.mark.parametrize("dimension", [3, 2, 1])


def ask(model, **settings):
    result = run("saliency_sanity", model, controls="none", settings={"saliency_sanity": settings})["saliency_sanity"]
    assert not result.failure, result.failure
    return result


def checks(result):
    return {check.name: check for check in result.checks}


def convolution(dimension, kernel):
    kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dimension - 1]
    width = 3 if dimension == 3 else 1
    return nn.Sequential(
        kind(width, 8, kernel, padding=kernel // 2, padding_mode="circular"),
        nn.SiLU(),
        kind(8, width, kernel, padding=kernel // 2, padding_mode="circular"),
    )


class Network(nn.Module):
    """A convolutional network of random weights, with a skip of a strength, in front of it a fixed edge detector."""

    def __init__(self, dimension, skip=0.0, share=1.0, edges=False):
        super().__init__()
        torch.manual_seed(2)
        self.body, self.skip, self.share, self.edges = (
            convolution(dimension, {1: 17, 2: 7, 3: 3}[dimension]).double(),
            skip,
            share,
            edges,
        )

    def forward(self, x):
        answer = self.skip * x + self.share * self.body(x)
        return answer + (x.roll(1, -1) - x.roll(-1, -1)) if self.edges else answer


@DIMENSIONS
def test_a_network_s_map_follows_its_weights(dimension):
    result = ask(on(SMALL[dimension], Network(dimension)))
    assert result.verdict == "pass", checks(result)["randomisation"]
    assert checks(result)["randomisation"].interval.value < 0.2


@DIMENSIONS
def test_behind_a_skip_connection_the_map_is_compared_without_it(dimension):
    result = ask(on(SMALL[dimension], Network(dimension, skip=1.0, share=0.05)))
    data, check = result.measured["model"], checks(result)["randomisation"]
    assert data.redrawn.values[:, 0, 0].mean() > 0.5  # the map as it is hardly changes
    assert check.verdict == "pass" and "skip connection removed" in check.sentence
    assert checks(result)["skip"].interval.value > 0.5


@DIMENSIONS
def test_a_map_that_is_an_edge_detector_s_fails(dimension):
    result = ask(on(SMALL[dimension], Network(dimension, share=1e-3, edges=True)))
    check = checks(result)["randomisation"]
    assert check.verdict == "fail" and check.interval.low > 0.9 and "does not explain" in check.sentence


def test_a_map_that_is_nothing_but_the_skip_fails():
    result = ask(on(SQUARE, Network(2, skip=1.0, share=0.0)))
    assert checks(result)["randomisation"].verdict == "fail"


class Raw(nn.Module):
    """Complex and raw parameters alone: a filter of its own gain in every mode."""

    def __init__(self, points):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.gain = nn.Parameter(torch.randn(points // 2 + 1, generator=generator, dtype=torch.complex128))

    def forward(self, x):
        return torch.fft.irfft(torch.fft.rfft(x) * self.gain, n=x.shape[-1])


def test_raw_and_complex_parameters_are_redrawn():
    result = ask(on(LINE, Raw(64)))
    assert result.verdict == "pass" and list(result.measured["model"].stage.values) == ["gain"]


def test_a_fourier_neural_operator_is_taken_down_its_layers():
    torch.manual_seed(0)
    result = ask(on(LINE, double_copy(FNO(1, modes=8, width=6, layers=2))), samples=4)
    data = result.measured["model"]
    assert any("spectral" in str(stage) for stage in data.stage.values) and np.isfinite(data.cascade.values[..., 0]).all()


def test_of_a_linear_network_gradient_and_smoothgrad_agree_and_leave_nothing_untold():
    torch.manual_seed(1)
    model = on(SQUARE, nn.Conv2d(1, 1, 5, padding=2, padding_mode="circular"))
    found = checks(ask(model, methods=("gradient", "smoothgrad", "integrated_gradients")))
    data = ask(model, methods=("gradient", "smoothgrad")).measured["model"]
    assert data.agreement.values == pytest.approx(np.ones((4, 2, 2)), abs=1e-2)  # ties of zeros rank by rounding
    assert found["infidelity"].interval.value < 1e-10 and found["sensitivity"].interval.value < 1e-12


@pytest.mark.parametrize("target", ["voxel", "power(2)", "mean", "region(3, 4)"])
def test_every_target(target):
    assert ask(on(SMALL[2], Network(2, skip=1.0)), target=target, samples=4).verdict in ("pass", "inconclusive", "fail")


def test_numbers_have_no_skip():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 5), nn.SiLU(), nn.Conv2d(4, 1, 5), nn.Flatten(1), nn.Linear(24 * 24, 1)).double()
    model = numbers_of(SQUARE, lambda x: x, "Omega_m")
    found = checks(ask(FieldModel(network, model.description, dtype=torch.float64)))
    assert found["skip"].verdict == "not_applicable" and found["randomisation"].verdict == "pass"


def test_what_has_no_weights_or_no_gradient_is_told():
    assert "no parameters" in checks(ask(on(SQUARE, lambda x: x**2)))["randomisation"].sentence
    assert "no usable gradient" in checks(ask(on(SQUARE, Cut(1.0))))["randomisation"].sentence
    plain = on(SQUARE, lambda x: x**2)
    model = FieldModel(lambda x: x**2, plain.description, dtype=torch.float64)
    assert "plain function" in checks(ask(model))["randomisation"].sentence


def test_a_network_that_forbids_gradients_does_not_pass():
    assert "do not pass back" in checks(ask(on(SQUARE, Frozen())))["randomisation"].sentence
    found = checks(ask(on(SMALL[2], Frozen()), methods=("occlusion",), window=4, samples=2))
    assert found["randomisation"].verdict != "not_applicable" and found["sensitivity"].verdict == "not_applicable"


def test_of_an_empty_map_nothing_is_said_to_be_left():
    network = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.Threshold(1e3, 0.0)).double()
    assert "is empty" in checks(ask(on(SQUARE, network)))["randomisation"].sentence


class Picky(Network):
    """No answer where some cells are taken away, and others not."""

    def forward(self, x):
        taken = (x == 0).flatten(1).double().mean(1).reshape(-1, 1, 1, 1)
        return torch.where((taken == 0) | (taken == 1), super().forward(x), torch.nan)


def test_what_is_not_finite_is_neither_left_nor_foretold():
    found = checks(ask(on(SMALL[2], Picky(2)), baseline="zero"))
    assert found["randomisation"].verdict != "not_applicable" and "not finite" in found["infidelity"].sentence
    told = checks(ask(on(SMALL[2], Picky(2)), baseline="zero", methods=("occlusion",), window=4))["randomisation"]
    assert told.verdict == "not_applicable" and "not finite" in told.sentence


def test_deep_lift_behind_a_skip_connection():
    found = checks(ask(on(SMALL[2], Network(2, skip=1.0)), methods=("deep_lift", "gradient"), samples=4))
    assert found["skip"].interval.value > 0.1 and found["randomisation"].verdict != "not_applicable"
    told = checks(ask(on(SQUARE, Unhooked()), methods=("gradient", "deep_lift")))["randomisation"]
    assert told.verdict == "not_applicable" and "deep_lift misses" in told.sentence


def test_walls_and_vectors():
    grid = replace(SMALL[3], boundary="zero")
    result = ask(on(grid, Network(3)))
    assert result.verdict == "pass" and len(result.panels()) == 2


def test_panels_tell_their_numbers():
    result = ask(on(SMALL[2], Network(2, skip=1.0)))
    names = set(result.measured["model"].variables)
    for panel in result.panels():
        assert set(panel.variables) <= names and any(letter.isdigit() for letter in panel.text)
