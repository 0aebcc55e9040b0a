"""`importance` against sums of known terms, and models that look at one band of k or not at all."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from probe import bands, removal
from probe.description import DataSource, Description, Truth
from probe.fields import Quantity
from probe.grid import Grid
from probe.interface import run
from probe.model import FieldModel
from probe.runner.subject import LocalSubject
from probe.waves import gaussian_field
from probe.zoo.oracles import Filter
from tests.models import CUBE, LINE, SQUARE, Function, on, with_pairs

EXACT = 1e-12
GRIDS = pytest.mark.parametrize("grid", [CUBE, SQUARE, LINE], ids=["3D", "2D", "1D"])


def ask(model, controls="none", **settings):
    return run("importance", model, controls=controls, settings={"importance": settings})["importance"]


def check_of(result, name):
    return next(check for check in result.checks if check.name == name)


def index(result, way="exchanged"):
    """Mean squared change over twice the variance of the one output, by ingredient."""
    data = result.measured["model"]
    variance = float(data.square.mean()) - float((data["mean"].mean("sample") ** 2).sum())
    values = data[way].mean("sample").isel(output=0) / (2 * variance)
    return dict(zip(data.ingredient.values, values.values, strict=True))


def paired(grid, inputs, folder, function, count=6, power=lambda k: k**0.0, **more):
    """A model of several scalars with pairs of independent Gaussian inputs, and the inputs."""
    described = Description(grid, inputs, (Quantity("y"),), data=DataSource(str(folder), "in_*.npy", "out_*.npy"), **more)
    given = [gaussian_field(grid, power, torch.Generator().manual_seed(i), len(inputs))[None] for i in range(count)]
    for place, values in enumerate(given):
        np.save(folder / f"in_{place}.npy", values[0].numpy())
        np.save(folder / f"out_{place}.npy", function(values)[0].numpy())
    return FieldModel(Function(function), described, dtype=torch.float64), torch.cat(given).numpy()


@GRIDS
def test_of_a_sum_every_term_counts_by_its_coefficient_squared(grid, tmp_path):
    coefficients = np.array([2.0, -1.0, 0.0])
    inputs = tuple(Quantity(name, rms=1.0) for name in "abc")
    weights = torch.tensor(coefficients).reshape(1, 3, *[1] * grid.dimension)
    model, x = paired(grid, inputs, tmp_path, lambda v: (weights * v).sum(1, keepdim=True))
    result = ask(model)
    data = result.measured["model"]
    other = np.roll(x, -1, 0)
    for place, c in enumerate(coefficients):
        expected = c**2 * ((other[:, place] - x[:, place]) ** 2).reshape(len(x), -1).mean(1)
        np.testing.assert_allclose(data.exchanged.values[:, place, 0], expected, rtol=EXACT, atol=0)
        mean = x[:, place].mean()
        np.testing.assert_allclose(
            data.taken.values[:, place, 0], c**2 * ((x[:, place] - mean) ** 2).reshape(len(x), -1).mean(1), rtol=EXACT, atol=0
        )
    # Of independent white noise the indices are c^2 over their sum, to the scatter of 6 boxes.
    found, scatter = index(result), 5 * math.sqrt(2 / (6 * grid.size))
    np.testing.assert_allclose([found[n] for n in "abc"], coefficients**2 / 5.0, atol=max(scatter, 0.3 if grid is LINE else 0))
    assert (
        found["c"] == 0 and check_of(result, "used").verdict == "fail" and "c changes nothing" in check_of(result, "used").sentence
    )


@GRIDS
def test_a_model_that_looks_at_one_band_shows_that_band_and_no_other(grid):
    every = bands.bands(grid, 4)
    wanted = every[1]

    def gain(on_grid):
        k = on_grid.wavenumber()
        return ((k >= wanted.low * (1 - 1e-9)) & (k < wanted.high * (1 - 1e-9))).double()

    result = ask(on(grid, Filter(gain, grid)), bands=4)
    data, found = result.measured["model"], index(result)
    whole = data.exchanged.values[:, list(data.kind.values).index("input")]
    for one in every:
        place = list(data.ingredient.values).index(f"{one.label()} {grid.inverse_unit}")
        if one is wanted:
            np.testing.assert_allclose(data.exchanged.values[:, place], whole, rtol=1e-9)
        else:
            assert data.exchanged.values[:, place].max() < 1e-24 * whole.max()
    assert f"{wanted.label()} {grid.inverse_unit} ({100 * found[f'{wanted.label()} {grid.inverse_unit}']:.3g} %)" in result.headline


@GRIDS
def test_of_a_linear_filter_taking_a_band_leaves_out_its_power(grid):
    every = bands.bands(grid, 3)
    model = on(grid, Filter(lambda g: 1 / (1 + (g.wavenumber() * g.spacing[0]) ** 2), grid))
    data = ask(model, bands=3).measured["model"]
    subject = LocalSubject("model", model, None, "default", 0, "importance")
    values = removal.test_field(subject, 0)[0].values.numpy()
    modes = np.fft.fftn(values, axes=grid.axes) / grid.size
    n = [np.fft.fftfreq(points, 1 / points) * 2 * np.pi / side for points, side in zip(grid.shape, grid.box, strict=True)]
    k = np.sqrt(sum(a**2 for a in np.meshgrid(*n, indexing="ij")))
    answer = np.abs(modes) ** 2 / (1 + (k * grid.spacing[0]) ** 2) ** 2
    for one in every:
        inside = (k >= one.low) & (k < one.high) & (k > 0)
        place = list(data.ingredient.values).index(f"{one.label()} {grid.inverse_unit}")
        assert data.taken.values[0, place, 0] == pytest.approx(answer[:, :, ..., inside].sum(), rel=1e-9)


@pytest.mark.parametrize("boundary", ["periodic", "reflect", "none"])
@pytest.mark.parametrize("shape", [(15,), (8, 12), (6, 8, 10)], ids=["1D", "2D", "3D"])
def test_bands_and_the_mean_add_up_to_the_field(shape, boundary):
    grid = Grid(shape, tuple(float(n) for n in shape), boundary=boundary)
    values = torch.randn(1, 2, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    every = bands.bands(grid, 4)
    total = sum(bands.part(values, one, grid) for one in (*every, bands.MEAN))
    torch.testing.assert_close(total, values, rtol=0, atol=1e-13)
    assert every[0].low == 0 and math.isinf(every[-1].high)
    assert all(a.high == b.low for a, b in itertools.pairwise(every))
    torch.testing.assert_close(bands.exchanged(values, 2 * values, every[0], grid), values + bands.part(values, every[0], grid))


def test_in_a_box_with_walls_a_cosine_is_one_band_whole(tmp_path):
    grid = Grid.cubic(32, 32.0, dimension=1, boundary="reflect")
    cosine = torch.cos(math.pi * 6 * (torch.arange(32.0, dtype=torch.float64) + 0.5) / 32)[None, None]
    inside = next(one for one in bands.bands(grid, 4) if one.low <= math.pi * 6 / 32 < one.high)
    torch.testing.assert_close(bands.part(cosine, inside, grid), cosine, rtol=0, atol=1e-13)


def test_correlated_inputs_are_exchanged_together(tmp_path):
    inputs = tuple(Quantity(name, rms=1.0) for name in "abc")

    def twins(values):
        return values[:, :1] + values[:, 1:2] - 0.5 * values[:, 2:]

    model, x = paired(SQUARE, inputs, tmp_path, twins)
    for place in range(len(x)):
        x[place, 1] = x[place, 0] + 0.3 * x[place, 1]  # correlated by 1 / sqrt(1.09) = 0.958
        np.save(tmp_path / f"in_{place}.npy", x[place])
    result = ask(model)
    data = result.measured["model"]
    assert data.ingredient.values[:2].tolist() == ["a + b", "c"] and "a and b (0.9" in check_of(result, "correlated").sentence
    both = x[:, 0] + x[:, 1]
    expected = ((np.roll(both, -1, 0) - both) ** 2).reshape(len(x), -1).mean(1)
    np.testing.assert_allclose(data.exchanged.values[:, 0, 0], expected, rtol=EXACT)
    assert ask(model, threshold=0.99).measured["model"].ingredient.values[:3].tolist() == ["a", "b", "c"]


class Conditioned(nn.Module):
    """x times its first parameter; the second it does not know."""

    def forward(self, values, gain, idle):
        return values * gain.reshape(-1, *[1] * (values.ndim - 1))


def test_parameters_are_exchanged_between_samples_or_moved_within_their_bounds(tmp_path):
    conditioning = {"gain": {"default": 2.0, "bounds": [1.0, 3.0]}, "idle": {"default": 0.0}}
    described = replace(on(SQUARE, nn.Identity()).description, conditioning=conditioning)
    result = ask(FieldModel(Conditioned(), described, dtype=torch.float64), samples=4)
    data = result.measured["model"]
    place = list(data.ingredient.values).index("gain")
    square = data.square.values[:, 0]
    np.testing.assert_allclose(
        data.exchanged.values[:, place, 0], square * (np.array([1.25, 1.75, 2.25, 2.75]) / 2 - 1) ** 2, rtol=1e-9
    )
    assert check_of(result, "used").verdict == "fail" and "idle changes nothing" in check_of(result, "used").sentence
    # Of pairs that have their own.
    for i in range(4):
        values = gaussian_field(SQUARE, lambda k: k**0.0, torch.Generator().manual_seed(i))[None].numpy()
        np.save(tmp_path / f"in_{i}.npy", values[0])
        np.save(tmp_path / f"out_{i}.npy", (1.0 + i) * values[0])
    (tmp_path / "table.csv").write_text("gain,idle\n1,5\n2,6\n3,7\n4,8\n")
    source = DataSource(str(tmp_path), "in_*.npy", "out_*.npy", parameters="table.csv")
    data = ask(FieldModel(Conditioned(), replace(described, data=source), dtype=torch.float64)).measured["model"]
    own, theirs = np.array([1.0, 2, 3, 4]), np.array([2.0, 3, 4, 1])
    np.testing.assert_allclose(data.exchanged.values[:, place, 0] / data.square.values[:, 0], (theirs / own - 1) ** 2, rtol=1e-9)
    assert float(data.error.max()) == 0 and int(data.moved.sum()) == 0


def test_numbers_in_and_out():
    inputs = (Quantity("x", rms=1.0), Quantity("n", "number", rms=0.5))
    outputs = (Quantity("m", "number"), Quantity("o", "number"))
    network = Function(lambda v: torch.stack([v[:, 0].pow(4).mean((1, 2)), 3.0 * v[:, 1, 0, 0]], 1))
    result = ask(FieldModel(network, Description(SQUARE, inputs, outputs), dtype=torch.float64))
    data = result.measured["model"]
    where = {name: place for place, name in enumerate(data.ingredient.values)}
    # The number is the same in all samples, 0.5: it is moved by its own size.
    np.testing.assert_allclose(data.taken.values[:, where["n"], 1], 2.25, rtol=1e-9)
    assert data.exchanged.values[:, where["x"], 1].max() == 0 and data.exchanged.values[:, where["x"], 0].min() > 0
    assert check_of(result, "used").verdict == "pass" and result.panels()


def test_a_band_that_is_misread_fails(tmp_path):
    every = bands.bands(SQUARE, 4)
    last = every[-2]

    def wrong(values):
        return values - 2.0 * bands.part(values, last, SQUARE)

    model = with_pairs(on(SQUARE, wrong), tmp_path, lambda x: x)
    result = ask(model, bands=4)
    check = check_of(result, "needed")
    # With the sign wrong a band errs by twice itself, without it by once: a quarter of the power.
    assert check.verdict == "fail" and check.interval.value == pytest.approx(-0.75, abs=1e-9)
    assert f"{last.label()} {SQUARE.inverse_unit}" in check.sentence
    assert check_of(ask(with_pairs(on(SQUARE, lambda x: 0.9 * x), tmp_path, lambda x: x)), "needed").verdict == "pass"


def test_beside_a_law_what_counts_too_little_fails(tmp_path):
    def law(values):
        return values

    sag = Filter(lambda g: 1 / (1 + (g.wavenumber() * 3 * g.spacing[0]) ** 2), SQUARE)
    for network, expected in ((nn.Identity(), "pass"), (sag, "fail")):
        model = with_pairs(on(SQUARE, network), tmp_path, law)
        described = replace(model.description, truth=Truth("a:law"))
        result = ask(FieldModel(network, described, code={"a:law": law}, dtype=torch.float64), controls="simulator")
        assert check_of(result, "law").verdict == expected
    assert check_of(result, "law").interval.value > 0.05


def test_what_a_law_does_not_know_either_is_not_missed():
    inputs = (Quantity("x", rms=1.0), Quantity("idle", rms=1.0))
    described = Description(SQUARE, inputs, (Quantity("y"),), truth=Truth("a:law"))
    model = FieldModel(Function(lambda v: v[:, :1]), described, code={"a:law": lambda v: v[:, :1]}, dtype=torch.float64)
    assert check_of(ask(model, controls="simulator"), "used").verdict == "pass"
    assert check_of(ask(model), "used").verdict == "fail"


def test_a_constant_and_a_single_pair(tmp_path):
    nothing = ask(on(LINE, lambda x: torch.zeros_like(x)))
    assert nothing.verdict == "info" and "nothing matters" in nothing.headline and not nothing.panels()
    single = ask(with_pairs(on(LINE, nn.Identity()), tmp_path, lambda x: x, count=1))
    assert single.verdict == "not_applicable" and "one pair" in single.reason


def test_batches_of_one_and_no_gradients():
    def call(values):
        assert len(values) == 1
        return torch.from_numpy(2 * values.detach().numpy())

    described = Description(LINE, (Quantity("x", rms=1.0),), (Quantity("y"),))
    assert index(ask(FieldModel(call, described, dtype=torch.float64, differentiable=False)))["x"] > 0.3


@GRIDS
def test_figures_say_what_they_show(grid, tmp_path):
    result = ask(with_pairs(on(grid, lambda x: 0.9 * x), tmp_path, lambda x: x))
    (panel,) = result.panels()
    assert panel.caption and "error times" in panel.text and panel.figures[0][1].axes[1].get_xlabel()
