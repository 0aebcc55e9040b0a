"""`activation` against matched filters, whose optimum over phases is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from probe import ensemble, excitation, spectra
from probe.description import Description, Truth
from probe.fields import Quantity
from probe.interface import run
from probe.model import FieldModel
from probe.runner.run import make_pairs
from probe.runner.subject import LocalSubject
from probe.waves import below_nyquist
from probe.zoo.architectures import FNO
from probe.zoo.oracles import Filter, gaussian_gain
from tests.attribution.test_saliency import Frozen
from tests.models import CUBE, LINE, SQUARE, Function, on, with_pairs

GRIDS = pytest.mark.parametrize("grid", [CUBE, SQUARE, LINE], ids=["3D", "2D", "1D"])


def ask(model, controls="none", **settings):
    return run("activation", model, controls=controls, settings={"activation": settings})["activation"]


def check_of(result, name):
    return next(check for check in result.checks if check.name == name)


def scalars(grid, network, **more):
    described = Description(grid, (Quantity("x", rms=1.0),), (Quantity("y"),), **more)
    return FieldModel(network, described, dtype=torch.float64, **({"code": {"a:law": LAW}} if more else {}))


def LAW(values):
    return values


def sizes(model, samples=8):
    """|a_k| of every mode of the half transform, and how many modes each entry stands for, 0 at Nyquist and k = 0."""
    subject = LocalSubject("model", model, None, "default", 0, "activation")
    grid = model.grid
    return ensemble.ensemble_of(subject, samples).sizes(), grid.hermitian_weight() * below_nyquist(grid)


@GRIDS
def test_the_optimum_of_a_linear_model_is_the_matched_filter_in_one_step(grid):
    length = 2 * grid.spacing[0]
    model = scalars(grid, Filter(gaussian_gain(length), grid))
    result = ask(model, target="voxel")
    data = result.measured["model"]
    ((size, _),), weight = sizes(model)
    gain = torch.exp(-0.5 * (grid.wavenumber() * length) ** 2)
    subject = LocalSubject("model", model, None, "default", 0, "activation")
    mean = float(excitation.test_field(subject, 0)[0].values.mean())
    expected = float((gain * size.sqrt() * weight).sum()) + mean
    np.testing.assert_allclose(data.value.values[:, 1:], expected, rtol=1e-10)
    np.testing.assert_allclose(data.alike.values, 1.0, atol=1e-12)
    assert (data.value.values[:, 0] < 0.7 * expected).all()
    # What each |k| adds is its part of that sum.
    parts = ensemble.by_bin(gain * size.sqrt() * weight, grid).numpy()
    np.testing.assert_allclose(data.listened.values, np.tile(parts, (3, 1)), rtol=1e-9, atol=1e-12 * parts.max())
    assert f"{expected:.4g}" in result.headline


@GRIDS
def test_the_power_of_what_is_found_is_that_of_real_inputs_mode_by_mode(grid):
    # A model that is far from linear, so that the last step is no whole one.
    data = ask(on(grid, lambda x: torch.sin(x) + 0.3 * torch.roll(x, 1, -1) ** 2), target="power(2)").measured["model"]
    np.testing.assert_allclose(data.power.values, data.wanted.values, rtol=1e-9, atol=1e-20)
    steps = np.diff(data.value.values, axis=1)
    assert (steps >= 0).all() and (data.value.values[:, -1] > data.value.values[:, 0]).all()


@pytest.mark.parametrize("grid", [CUBE, SQUARE, LINE], ids=["3D", "2D", "1D"])
def test_shaping_holds_the_sizes_along_and_across(grid):
    vector = Quantity("v", "vector", rms=2.0)
    model = FieldModel(nn.Identity(), Description(grid, (vector,), (vector,)), dtype=torch.float64)
    made = ensemble.ensemble_of(LocalSubject("model", model, None, "default", 0, "activation"), 3)
    noise = torch.randn(1, grid.dimension, *grid.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    modes = excitation.shaped(spectra.fourier(noise, grid), made)
    field = torch.fft.irfftn(modes, s=grid.shape, dim=grid.axes)
    back = torch.fft.rfftn(field, dim=grid.axes)
    torch.testing.assert_close(back, modes, rtol=1e-9, atol=1e-9)  # it is the transform of a real field
    keep, ((ahead, beside),) = below_nyquist(grid), made.sizes()
    along = spectra.longitudinal(modes, grid).abs().square()[0] / grid.size**2
    torch.testing.assert_close(along[keep], ahead[keep], rtol=1e-9, atol=0)
    across = modes.abs().square().sum(1)[0] / grid.size**2 - along
    torch.testing.assert_close(across[keep], ((grid.dimension - 1) * beside)[keep], rtol=1e-8, atol=1e-15)


def test_of_a_displacement_the_overdensity_is_the_matched_filter_of_its_divergence():
    model = on(CUBE, nn.Identity())
    result = ask(model)
    data = result.measured["model"]
    ((ahead, beside),), weight = sizes(model)
    # Central differences weigh component i by i sin(k_i h)/h; along k that is sum khat_i sin(k_i h)/h, the rest across.
    k = torch.stack([one.expand(CUBE.half_shape) for one in CUBE.wavevectors()])
    pull = torch.sin(k * CUBE.spacing[0]) / CUBE.spacing[0]
    khat = k / CUBE.wavenumber().clamp_min(1e-30)
    along = (pull * khat).sum(0)
    across = (pull.square().sum(0) - along.square()).clamp_min(0).sqrt()
    expected = float(((along.abs() * ahead.sqrt() + across * (2 * beside).sqrt()) * weight).sum())
    np.testing.assert_allclose(data.value.values[:, -1], expected, rtol=1e-9)
    assert "overdensity" in result.headline


def test_a_channel_of_a_layer_and_a_whole_layer():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1, padding_mode="circular"), nn.Tanh(), nn.Conv2d(3, 1, 1)).double()
    model = scalars(SQUARE, network)
    channel = ask(model, layer="1", channel=2, starts=1, steps=3)
    assert "channel 2 of the layer 1" in channel.headline and channel.verdict == "info"
    data = ask(model, layer="1", starts=1, steps=3).measured["model"]
    # The mean square of tanh is below 1, and above what random phases give.
    assert 1 > data.value.values[0, -1] > data.value.values[0, 0] > 0
    values = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = excitation.layer_function(LocalSubject("model", model, None, "default", 0, "activation"), "1", 2)(values)
    torch.testing.assert_close(found, network[1](network[0](values))[:, 2].mean((1, 2)))
    unknown = ask(model, layer="2.conv")
    assert unknown.verdict == "not_applicable" and "no layer '2.conv'" in unknown.reason and "0, 1, 2" in unknown.reason


def test_what_the_law_does_not_know_fails():
    right = ask(scalars(SQUARE, nn.Identity(), truth=Truth("a:law")), target="voxel")
    assert check_of(right, "truth").verdict == "pass" and abs(check_of(right, "truth").interval.value) < 1e-12
    # A cube of the field: 3 at x = 1 where the law has 1, and more the farther out.
    wrong = ask(scalars(SQUARE, Function(lambda x: x + 0.1 * x**3), truth=Truth("a:law")), target="voxel")
    check = check_of(wrong, "truth")
    data = wrong.measured["model"]
    best = int(data.value.values[:, -1].argmax())
    made, truth = float(data.value[best, -1]), float(data.truth[best])
    assert made == pytest.approx(truth + 0.1 * truth**3, rel=1e-9) and check.verdict == "fail"
    assert check.interval.value == pytest.approx((made - truth) / (made - float(data.usual.mean())), rel=1e-9)


def test_numbers_complex_weights_and_batches_of_one():
    torch.manual_seed(0)

    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = FNO(2, modes=4, width=4, layers=1)

        def forward(self, values):
            assert len(values) == 1
            return self.inner(values).square().mean((1, 2, 3))[:, None]

    described = Description(SQUARE, (Quantity("x", rms=1.0), Quantity("n", "number", rms=1.0)), (Quantity("m", "number"),))
    described = replace(described, inputs=described.inputs[:1])
    result = ask(FieldModel(Mean(), described), starts=2, steps=3)
    assert "the number m" in result.headline and len(result.panels()) == 2


def test_what_has_no_gradient_or_does_not_climb():
    described = Description(LINE, (Quantity("x", rms=1.0),), (Quantity("y"),))
    plain = FieldModel(lambda x: torch.from_numpy(x.detach().numpy() * 2), described, dtype=torch.float64, differentiable=False)
    assert "no gradients pass" in ask(plain).reason
    flat = ask(scalars(LINE, Function(torch.zeros_like)))
    assert flat.verdict == "info" and float(flat.measured["model"].value.max()) == 0
    assert "do not pass back" in ask(scalars(SQUARE, Frozen())).headline


class Parts(nn.Module):
    """Layers that are run and not run, and one that gives no tensor."""

    def __init__(self, dimension=2, width=1):
        super().__init__()
        kind = {2: nn.Conv2d, 3: nn.Conv3d}[dimension]
        self.first = kind(width, width, 3, padding=1, padding_mode="circular").double()
        self.idle, self.named = nn.Identity(), Named()

    def forward(self, x):
        return self.named(self.first(x))["answer"]


class Named(nn.Module):
    """Gives its answer by name."""

    def forward(self, x):
        return {"answer": x}


@pytest.mark.parametrize(
    "layer, channel, said",
    [
        ("first", 1, "has 1 channels, counted from 0; found channel 1"),
        ("idle", -1, "is not run"),
        ("named", -1, "gives a dict"),
        ("frist", -1, "did you mean 'first'"),
    ],
)
def test_a_layer_that_cannot_be_asked_is_told(layer, channel, said):
    assert said in ask(on(SQUARE, Parts()), layer=layer, channel=channel).reason


def test_a_layer_is_asked_of_networks_alone_and_not_of_laws():
    result = ask(on(CUBE, Parts(3, 3)), controls="all", layer="first", starts=2, steps=2)
    assert result.verdict == "info" and "has no layers" in str(result.measured["lpt2"].attrs["reason"]) and result.panels()


def test_where_larger_modes_would_lower_it_no_scale_is_said_to_excite():
    # Of -x^2 the best input is none at the point: there any wave that is made larger lowers the answer, or leaves it.
    result = ask(scalars(SQUARE, Function(lambda x: -(x.square().mean((2, 3), keepdim=True) ** 0.5).expand_as(x))), target="mean")
    assert check_of(result, "scales").verdict == "not_applicable"


def test_made_inputs_are_each_probe_s_own_and_those_of_pairs_are_shared(tmp_path):
    store, model = {}, on(SQUARE, lambda x: x)
    one, other = (ensemble.ensemble_of(LocalSubject("model", model, None, "quick", 0, name, store), 2) for name in ("a", "b"))
    assert not torch.equal(one.along[0], other.along[0])
    pairs = make_pairs(with_pairs(model, tmp_path, lambda x: x), None)
    one, other = (ensemble.ensemble_of(LocalSubject("model", model, pairs, "quick", 0, name, store), 2) for name in ("a", "b"))
    assert one is other


@GRIDS
def test_figures_say_what_they_show(grid):
    result = ask(scalars(grid, Filter(gaussian_gain(grid.spacing[0]), grid)), starts=2)
    panels = result.panels()
    assert len(panels) == 2 and all(panel.caption and panel.text and panel.figures for panel in panels)
    assert "powers agree to" in panels[1].text
