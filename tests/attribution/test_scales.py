"""`scales` against linear models, whose numbers have a variance known mode by mode."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from probe import bands, ensemble
from probe.data import open_pairs
from probe.description import DataSource, Description, Symmetries, Truth
from probe.equivariance import test_field as field_of
from probe.fields import Quantity
from probe.grid import Grid
from probe.interface import run
from probe.model import FieldModel
from probe.runner.subject import LocalSubject
from probe.waves import gaussian_field
from probe.zoo.defects import AnisotropicKernel
from probe.zoo.oracles import Filter, gaussian_gain
from tests.attribution.test_saliency import Frozen
from tests.models import CUBE, LINE, SQUARE, Function, on

EXACT = 1e-10
GRIDS = pytest.mark.parametrize("grid", [CUBE, SQUARE, LINE], ids=["3D", "2D", "1D"])


def ask(model, controls="none", **settings):
    return run("scales", model, controls=controls, settings={"scales": settings})["scales"]


def check_of(result, name):
    return next(check for check in result.checks if check.name == name)


def scalars(grid, network, **more):
    described = Description(grid, (Quantity("x", rms=1.0),), (Quantity("y"),), **more)
    return FieldModel(network, described, dtype=torch.float64)


def full_wavevectors(grid):
    n = [np.fft.fftfreq(points, 1 / points) * 2 * np.pi / side for points, side in zip(grid.shape, grid.box, strict=True)]
    return np.array(np.meshgrid(*n, indexing="ij"))


def by_bin(values, grid):
    k = np.sqrt((full_wavevectors(grid) ** 2).sum(0))
    return np.bincount(np.floor(k / grid.fundamental + 0.5 + 1e-9).astype(int).ravel(), values.ravel())


def input_powers(model, count):
    """Mean |a_k|^2 of the inputs as they are drawn, bin by bin, spread over all modes of the bin."""
    grid, subject = model.grid, LocalSubject("model", model, None, "default", 0, "scales")
    total = 0.0
    for place in range(count):
        values = field_of(subject, place)[0].values[0, 0].numpy()
        total = total + np.abs(np.fft.fftn(values - values.mean()) / grid.size) ** 2 / count
    mean = by_bin(total, grid) / by_bin(np.ones(grid.shape), grid)
    k = np.sqrt((full_wavevectors(grid) ** 2).sum(0))
    return mean[np.floor(k / grid.fundamental + 0.5 + 1e-9).astype(int)]


@GRIDS
def test_a_filters_point_hangs_on_gain_squared_times_power(grid):
    length = 2 * grid.spacing[0]
    model = scalars(grid, Filter(gaussian_gain(length), grid))
    data = ask(model, targets="voxel", samples=3).measured["model"]
    k2 = (full_wavevectors(grid) ** 2).sum(0)
    expected = by_bin(np.exp(-k2 * length**2) * input_powers(model, 3), grid)
    for row in data.share.values[0]:
        np.testing.assert_allclose(row, expected, rtol=EXACT, atol=1e-16 * expected.max())


@GRIDS
def test_the_variance_of_a_linear_number_is_the_sum_of_its_shares(grid):
    # Of any linear number over inputs of independent modes: drawn anew many times, and held to the scatter of a variance.
    generator = torch.Generator().manual_seed(3)
    weights = torch.randn(1, 1, *grid.shape, generator=generator, dtype=torch.float64)
    model = scalars(grid, Function(lambda x: (x * weights).sum(tuple(range(1, x.ndim)), keepdim=True).expand_as(x)))
    subject = LocalSubject("model", model, None, "default", 0, "scales")
    made = ensemble.ensemble_of(subject, 2)
    total = float(made.variance(weights[0]).sum())
    white = (
        torch.randn(4000, *grid.shape, generator=generator, dtype=torch.float64)
        if grid is LINE
        else torch.randn(400, *grid.shape, generator=generator, dtype=torch.float64)
    )
    (ahead, _), *_ = made.sizes()
    drawn = torch.fft.irfftn(torch.fft.rfftn(white, dim=grid.axes) * (ahead * grid.size).sqrt(), s=grid.shape, dim=grid.axes)
    numbers = (drawn * weights[0, 0]).flatten(1).sum(1)
    assert float(numbers.var()) == pytest.approx(total, rel=5 * (2 / len(numbers)) ** 0.5)


@GRIDS
def test_of_a_band_pass_nothing_comes_from_elsewhere(grid):
    wanted = bands.bands(grid, 5)[1]

    def gain(own):
        k = own.wavenumber()
        return ((k >= wanted.low * (1 - 1e-9)) & (k < wanted.high * (1 - 1e-9))).double()

    result = ask(scalars(grid, Filter(gain, grid)), targets="voxel")
    data = result.measured["model"]
    shares, k = data.share.values[0].sum(0), data.wavenumber.values
    outside = (k < wanted.low) | (k >= wanted.high)
    assert shares[outside].max() < 1e-25 * shares.sum()
    removed = (data.removed.values[0] ** 2).sum(0)
    assert removed.argmax() == 1 and np.delete(removed, 1).max() < 1e-25 * removed[1]
    assert check_of(result, "removal").interval.value < 1e-10
    assert wanted.low < check_of(result, "scales").interval.value < wanted.high


@GRIDS
def test_the_power_in_a_shell_comes_from_that_shell(grid):
    data = ask(scalars(grid, nn.Identity()), targets="power(3), power(2)").measured["model"]
    for place, shell in enumerate((3, 2)):
        shares = data.share.values[place].sum(0)
        assert shares[shell] / shares.sum() == pytest.approx(1, abs=1e-12)
    # Taking out its band takes all of it.
    np.testing.assert_allclose(np.abs(data.removed.values[0]).max(1), data.value.values[0], rtol=1e-9)


@pytest.mark.parametrize("grid", [CUBE, SQUARE], ids=["3D", "2D"])
def test_an_isotropic_filter_is_isotropic_to_rounding_and_one_along_an_axis_is_not(grid):
    assert abs(check_of(ask(scalars(grid, Filter(gaussian_gain(grid.spacing[0]), grid))), "isotropy").interval.value) < 1e-12
    stretch = 0.3

    def gain(own):
        k = own.wavevectors()
        return torch.sqrt(1 + stretch * (k[0] ** 2 / own.wavenumber().clamp_min(1e-30) ** 2)).expand(own.half_shape)

    model = scalars(grid, Filter(gain, grid))
    result = ask(model, targets="voxel", samples=2)
    k, power = full_wavevectors(grid), input_powers(model, 2)
    cosine = k[0] ** 2 / np.maximum((k**2).sum(0), 1e-300)
    weights = (1 + stretch * cosine) * power
    mean = (by_bin(weights, grid) / by_bin(np.ones(grid.shape), grid))[
        np.floor(np.sqrt((k**2).sum(0)) / grid.fundamental + 0.5 + 1e-9).astype(int)
    ]
    expected = (weights * cosine)[power > 0].sum() / (mean * cosine)[power > 0].sum() - 1
    assert abs(check_of(result, "isotropy").interval.value) == pytest.approx(expected, rel=1e-9)  # in the plane y lacks what x has
    assert check_of(result, "isotropy").verdict == "fail" and expected > 0.05
    kernel = ask(on(grid, AnisotropicKernel(0.5)))
    assert check_of(kernel, "isotropy").verdict == "fail" and "less by" in check_of(kernel, "isotropy").sentence


def test_a_vectors_components_together_prefer_no_direction():
    # Of psi_x alone the modes along x count three times as much as the mean, of all three together as all others.
    result = ask(on(CUBE, nn.Identity()))
    assert abs(check_of(result, "isotropy").interval.value) < 1e-10 and check_of(result, "isotropy").verdict == "pass"


def test_of_longitudinal_inputs_a_stretched_component_shows_as_a_direction(tmp_path):
    # psi = i k / k^2 delta: only khat.G counts, and of the component c that is khat_c.
    k = [one.expand(CUBE.half_shape) for one in CUBE.wavevectors()]
    for place in range(4):
        delta = gaussian_field(CUBE, lambda k: k**-1, torch.Generator().manual_seed(place))
        modes = torch.stack([1j * one / CUBE.wavenumber().clamp_min(1e-30) ** 2 * torch.fft.rfftn(delta[0]) for one in k])
        psi = torch.fft.irfftn(modes, s=CUBE.shape, dim=CUBE.axes).numpy()
        np.save(tmp_path / f"in_{place}.npy", psi)
        np.save(tmp_path / f"out_{place}.npy", psi)
    model = on(CUBE, Function(lambda x: torch.cat([1.5 * x[:, :1], x[:, 1:]], 1)))
    described = replace(model.description, data=DataSource(str(tmp_path), "in_*.npy", "out_*.npy"))
    result = ask(FieldModel(model.network, described, dtype=torch.float64))
    khat = torch.stack(k) / CUBE.wavenumber().clamp_min(1e-30)
    stretched = (1.25 * khat[0] ** 2 + 1) * (CUBE.wavenumber() > 0)
    # Every bin counts as much as it does by its power; within it the mode does by 1 + 1.25 khat_x^2.
    place, weight = ensemble.bins_of(CUBE), CUBE.hermitian_weight()
    subject = LocalSubject("model", FieldModel(model.network, described, dtype=torch.float64), None, "default", 0, "scales")
    subject.pairs = open_pairs(tmp_path, described)
    ((ahead, _),) = ensemble.ensemble_of(subject, 4).sizes()
    weights = stretched * ahead * weight
    mean = (ensemble.by_bin(weights, CUBE) / ensemble.by_bin(weight.expand(CUBE.half_shape), CUBE))[place] * weight
    expected = [float((weights * c**2).sum() / (mean * c**2).sum()) - 1 for c in khat]
    assert check_of(result, "isotropy").interval.value == pytest.approx(expected[0], rel=1e-6) and expected[0] > 0.1
    assert check_of(result, "isotropy").verdict == "fail"


def test_a_denied_rotation_is_told_and_not_judged():
    model = on(SQUARE, AnisotropicKernel(0.5))
    described = replace(model.description, symmetries=Symmetries((), "none", False, declared=True))
    check = check_of(ask(FieldModel(model.network, described, dtype=torch.float64)), "isotropy")
    assert check.verdict == "info" and "denies" in check.sentence


def test_beside_a_law_other_scales_fail():
    sag = Filter(lambda g: 1 / (1 + (g.wavenumber() * 4 * g.spacing[0]) ** 2), SQUARE)
    for network, expected in ((nn.Identity(), "pass"), (sag, "fail")):
        described = Description(SQUARE, (Quantity("x", rms=1.0),), (Quantity("y"),), truth=Truth("a:law"))
        model = FieldModel(network, described, code={"a:law": lambda x: x}, dtype=torch.float64)
        result = ask(model, controls="simulator")
        assert check_of(result, "law").verdict == expected
    power = input_powers(model, 4)
    k2 = (full_wavevectors(SQUARE) ** 2).sum(0)
    own, true = (by_bin(p, SQUARE) / p.sum() for p in (power / (1 + k2 * (4 * SQUARE.spacing[0]) ** 2) ** 2, power))
    assert check_of(result, "law").interval.value == pytest.approx(np.abs(own - true).sum() / 2, rel=1e-9)


def test_numbers_are_asked_by_themselves():
    described = Description(SQUARE, (Quantity("x", rms=1.0),), (Quantity("n", "number"),))
    smooth = Filter(gaussian_gain(5.0), SQUARE)
    model = FieldModel(Function(lambda x: smooth(x).square().mean((1, 2, 3))[:, None]), described, dtype=torch.float64)
    result = ask(model)
    assert result.measured["model"].target.values.tolist() == ["number(n)"] and "the number n" in result.headline
    assert {check.name for check in result.checks} >= {"scales", "isotropy", "removal"}


def test_without_gradients_bands_are_taken_out_all_the_same():
    described = Description(LINE, (Quantity("x", rms=1.0),), (Quantity("y"),))
    call = Filter(gaussian_gain(3 * LINE.spacing[0]), LINE)
    model = FieldModel(lambda x: torch.from_numpy(call(x.detach()).numpy()), described, dtype=torch.float64, differentiable=False)
    result = ask(model)
    assert "No gradients pass" in result.headline and result.verdict == "info" and result.panels()


def test_what_hangs_on_nothing_and_what_cannot_be_asked():
    nothing = ask(scalars(LINE, Function(torch.zeros_like)))
    assert nothing.verdict == "info" and "No scale" in nothing.headline and not nothing.panels()
    assert "no output is a number" in ask(scalars(LINE, nn.Identity()), targets="number(0)").reason


def test_a_model_that_does_not_answer_is_told():
    check = ask(on(SQUARE, lambda x: x * torch.nan)).checks[0]
    assert check.verdict == "not_applicable" and "does not answer to real fields" in check.sentence

    def without_waves(x):  # no answer where the longest waves are missing
        size = torch.fft.fft2(x)[..., 1, 0].abs()[..., None, None]
        return torch.where(size > 1e-6, x, torch.nan)

    result = ask(on(SQUARE, without_waves))
    found = {check.name: check for check in result.checks}
    assert found["scales"].verdict == "info" and found["removal"].verdict == "not_applicable" and result.panels()


def test_a_network_that_forbids_gradients_is_asked_by_taking_bands_out():
    assert "No gradients pass" in ask(on(SQUARE, Frozen())).checks[0].sentence


def test_a_box_with_walls():
    grid = Grid.cubic(24, 24.0, dimension=2, boundary="reflect")
    result = ask(scalars(grid, nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect", bias=False).double()))
    assert result.verdict in ("info", "pass", "inconclusive", "fail") and np.isfinite(result.measured["model"].share.values).all()


@GRIDS
def test_figures_say_what_they_show(grid):
    result = ask(scalars(grid, Filter(gaussian_gain(grid.spacing[0]), grid)))
    panels = result.panels()
    assert len(panels) == (1 if grid is LINE else 2) and all(panel.caption and panel.text for panel in panels)
    assert [label for label, _ in panels[0].figures] == ["voxel", "power(3)"]
