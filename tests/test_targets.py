"""Targets against the same numbers taken by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from probe import registry, targets
from probe.errors import InputError
from probe.fields import Quantity
from probe.grid import Grid
from probe.model import FieldModel
from probe.runner.run import make_pairs
from probe.runner.subject import LocalSubject
from probe.targets import parse
from tests.models import CUBE, LINE, SQUARE, Function, on, with_pairs
from tests.representation.models import bottleneck, patterns

GRIDS = pytest.mark.parametrize("grid", [CUBE, SQUARE, LINE], ids=["3D", "2D", "1D"])


def subject_of(model, pairs=None):
    return LocalSubject("model", model, pairs, "default", 0, "saliency")


def vector_on(grid, kind="vector", quantity="displacement"):
    model, psi = on(grid, lambda x: 1.0 * x), Quantity("psi", kind, quantity, "m", rms=1.0)
    return FieldModel(model.network, replace(model.description, inputs=(psi,), outputs=(psi,)), dtype=torch.float64)


def numbers_of(grid, function, *names):
    model = on(grid, Function(function))
    outputs = tuple(Quantity(name, "number") for name in names)
    return FieldModel(model.network, replace(model.description, outputs=outputs), dtype=torch.float64)


def draw(model, batch=2):
    shape = (batch, model.description.channels_in, *model.grid.shape)
    return torch.randn(shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def value(model, text, values, sample=0, pairs=None):
    return targets.function_of(subject_of(model, pairs), parse(text), sample)(values).detach().numpy()


TEXTS = ["voxel", "voxel(4, 5, 6)", "voxel(peak, psi, y)", "region(1, 2, 3, radius=4)", "power(3)", "power", "error(2)"]
TEXTS += ["number(Omega_m)", "number(name=x)", "number(1)", "latent(0)", "mean(psi, z)", "voxel(-1, 2, 3)", "overdensity(void)"]


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_written_is_read_again(text):
    assert parse(str(parse(text))) == parse(text)


@pytest.mark.parametrize(
    "text, word",
    [
        ("voxl(3)", "did you mean 'voxel'"),
        ("voxel(3, peak)", "not both"),
        ("power(0)", "counted from 1"),
        ("power(1, 2)", "takes one"),
        ("mean(peak)", "no place"),
        ("voxel(rad=3)", "did you mean 'radius'"),
        ("region(radius=far)", "number of cells"),
        ("voxel(x, y)", "twice"),
        ("", "no target"),
        ("voxel(3, 4", "bracket"),
        ("voxel(1, 2), mean", "names 2 targets"),
    ],
)
def test_nonsense_is_told(text, word):
    with pytest.raises(InputError, match=word):
        parse(text)


def test_a_list_is_split_outside_of_brackets():
    assert targets.parse_all("voxel(4, 5, 6), power(3); mean") == (parse("voxel(4,5,6)"), parse("power(3)"), parse("mean"))
    assert targets.parse_all("") == ()
    assert targets.parse_all("mean; voxel, mean") == (parse("mean"), parse("voxel"))


@pytest.mark.parametrize("setting", ["saliency.targets", "scales.targets", "saliency_sanity.target", "activation.target"])
def test_nonsense_is_refused_before_anything_is_asked(setting):
    name, parameter = setting.split(".")
    with pytest.raises(InputError, match=rf"{setting}: .*did you mean 'voxel'"):
        registry.configure(registry.find([name]), {name: {parameter: "voxle(3, 4, 5)"}})
    assert registry.configure(registry.find([name]), {name: {parameter: "voxel(3, 4, 5)"}})


@GRIDS
def test_each_kind_is_its_number_by_hand(grid):
    model = vector_on(grid)
    values = draw(model)
    x, place = values.numpy(), tuple(range(1, 1 + grid.dimension))
    words = ", ".join(map(str, place))
    assert value(model, f"voxel({words})", values) == pytest.approx(x[(slice(None), 0, *place)], rel=1e-14)
    middle = tuple(n // 2 for n in grid.shape)
    assert value(model, "voxel", values) == pytest.approx(x[(slice(None), 0, *middle)], rel=1e-14)
    assert value(model, "mean", values) == pytest.approx(x[:, 0].reshape(2, -1).mean(1), rel=1e-12)
    assert value(model, "power", values) == pytest.approx((x**2).sum(1).reshape(2, -1).mean(1), rel=1e-12)
    slopes = sum((np.roll(x[:, a], -1, a + 1) - np.roll(x[:, a], 1, a + 1)) / (2 * grid.spacing[a]) for a in range(grid.dimension))
    assert value(model, f"divergence({words})", values) == pytest.approx(slopes[(slice(None), *place)], rel=1e-12)
    assert value(model, f"overdensity({words})", values) == pytest.approx(-slopes[(slice(None), *place)], rel=1e-12)


@GRIDS
def test_a_region_is_the_mean_within_a_distance_around_the_box(grid):
    model = vector_on(grid)
    values, place = draw(model), (0,) * grid.dimension
    away = np.meshgrid(*[np.minimum(np.arange(n), n - np.arange(n)) for n in grid.shape], indexing="ij")
    inside = sum(a**2 for a in away) <= 2.5**2
    text = f"region({', '.join(map(str, place))}, radius=2.5)"
    assert value(model, text, values) == pytest.approx(values.numpy()[:, 0][:, inside].mean(1), rel=1e-12)


@GRIDS
def test_power_in_a_shell_is_summed_over_its_modes(grid):
    model = vector_on(grid)
    values = draw(model)
    modes = np.fft.fftn(values.numpy(), axes=range(2, 2 + grid.dimension))
    k = np.meshgrid(*[2 * np.pi * np.fft.fftfreq(n, h) for n, h in zip(grid.shape, grid.spacing, strict=True)], indexing="ij")
    shell = np.round(np.sqrt(sum(one**2 for one in k)) / grid.fundamental) == 3
    power = (np.abs(modes) ** 2).sum(1)[:, shell].mean(1) * grid.volume / grid.size**2
    assert value(model, "power(3)", values) == pytest.approx(power, rel=1e-10)


@GRIDS
def test_an_error_is_the_power_of_answer_minus_truth(grid, tmp_path):
    model = with_pairs(on(grid, lambda x: 2 * x), tmp_path, lambda x: x)
    pairs = make_pairs(model, None)
    given = pairs[1][0].values.double()
    assert value(model, "error", given, 1, pairs) == pytest.approx(given.square().sum(1).mean().item(), rel=1e-12)
    power = value(on(grid, lambda x: x), "power(2)", given)
    assert value(model, "error(2)", given, 1, pairs) == pytest.approx(power, rel=1e-10)
    with pytest.raises(InputError, match="4 pairs"):
        value(model, "error", given, 4, pairs)
    assert "needs pairs" in targets.unfit(subject_of(model), parse("error"))


def test_numbers_by_name_and_place():
    model = numbers_of(SQUARE, lambda x: torch.stack([x.flatten(1).mean(1), x.flatten(1).square().mean(1)], 1), "mean", "x")
    values = draw(model)
    square = values.square().flatten(1).mean(1).numpy()
    assert value(model, "number(name=x)", values) == pytest.approx(square, rel=1e-12)
    assert value(model, "number(1)", values) == pytest.approx(square, rel=1e-12)
    assert [str(t) for t in targets.defaults(subject_of(model))] == ["number(mean)", "number(name=x)"]
    assert "number(mean)" in targets.unfit(subject_of(model), parse("voxel"))
    assert "mean, x" in targets.unfit(subject_of(model), parse("number(z)"))


def test_peak_and_void_are_those_of_the_input(tmp_path):
    model = with_pairs(on(SQUARE, lambda x: x), tmp_path, lambda x: x)
    pairs = make_pairs(model, None)
    field = pairs[2][0].values[0, 0].numpy()
    for word, place in (("peak", field.argmax()), ("void", field.argmin())):
        found = targets.place_of_target(subject_of(model, pairs), parse(f"voxel({word})"), 2)
        assert found == np.unravel_index(place, field.shape)


def test_peaks_keep_away_from_walls():
    model = on(replace(SQUARE, boundary="none"), lambda x: x)
    place = targets.place_of_target(subject_of(model), parse("voxel(peak)"))
    assert all(8 <= n < 24 for n in place)


@pytest.mark.parametrize("kind", ["scalar", "pseudoscalar", "vector", "pseudovector"])
def test_default_is_a_point_and_the_overdensity_of_a_displacement(kind):
    quantity = "displacement" if kind == "vector" else ""
    model = vector_on(CUBE, kind, quantity) if "vector" in kind else vector_on(SQUARE, kind, "")
    (target,) = targets.defaults(subject_of(model))
    assert str(target) == ("overdensity" if kind == "vector" else "voxel")
    assert not targets.unfit(subject_of(model), target)


@pytest.mark.parametrize(
    "text, word",
    [
        ("voxel(40, 1, 1)", "places run"),
        ("voxel(1, 2)", "3 numbers"),
        ("voxel(rho)", "no output field"),
        ("number", "no output is a number"),
        ("power(99)", "shells"),
    ],
)
def test_what_does_not_fit_is_told_without_a_pass(text, word):
    model = vector_on(CUBE)
    assert word in targets.unfit(subject_of(model), parse(text)) and model.passes == 0
    with pytest.raises(InputError):
        targets.function_of(subject_of(model), parse(text))


def test_passes_are_counted_whoever_is_asked():
    model, other = vector_on(LINE), vector_on(LINE)
    targets.function_of(subject_of(model), parse("voxel"), model=other)(draw(model))
    targets.function_of(subject_of(model), parse("voxel"))(draw(model))
    assert model.passes == 4


def test_gradients_pass_through():
    model = vector_on(CUBE)
    values = draw(model, 1).requires_grad_()
    (found,) = torch.autograd.grad(targets.function_of(subject_of(model), parse("voxel(1, 2, 3)"))(values).sum(), values)
    expected = torch.zeros_like(found)
    expected[0, 0, 1, 2, 3] = 1
    assert torch.equal(found, expected)


def test_units():
    model = vector_on(Grid.cubic(16, 4.0, unit="s"))
    subject = subject_of(model)
    found = {text: targets.unit_of(subject, parse(text)) for text in ("voxel", "divergence", "power(2)", "power", "mean")}
    assert found == {"voxel": "m", "divergence": "(m)/(s)", "power(2)": "(m)^2 (s)^3", "power": "(m)^2", "mean": "m"}


def test_a_latent_is_the_encoder_s_mean_and_its_slope_the_wave_that_it_reads():
    model = bottleneck(SQUARE)
    subject, values, wave = subject_of(model, make_pairs(model, None)), draw(model), patterns(SQUARE, 1)[1]
    given = values.clone().requires_grad_()
    found = targets.function_of(subject, parse("latent(1)"))(given)
    # The coefficient of a wave in a field, by least squares.
    wanted = (values * wave).flatten(1).sum(1) / wave.square().sum()
    torch.testing.assert_close(found.detach(), wanted, rtol=1e-10, atol=1e-12)
    (slope,) = torch.autograd.grad(found.sum(), given)
    torch.testing.assert_close(slope, (wave / wave.square().sum()).expand_as(values), rtol=1e-10, atol=1e-14)
    with pytest.raises(InputError, match="counted from 0"):
        targets.function_of(subject, parse("latent(99)"))(values)
    assert "latent" in targets.unfit(subject_of(on(SQUARE, lambda x: x)), parse("latent(0)"))


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_offsets_rings_and_distances_are_those_of_every_image(boundary):
    grid = Grid((6, 9), (3.0, 9.0), boundary=boundary)
    place, cells = (4, 1), np.stack(np.meshgrid(np.arange(6), np.arange(9), indexing="ij"), -1)
    images = [np.array([i * 6, j * 9]) for i in (-1, 0, 1) for j in (-1, 0, 1)] if boundary == "periodic" else [np.zeros(2)]
    nearest = np.min([np.hypot(*((cells - place + image) * np.array(grid.spacing)).T).T for image in images], axis=0)
    found = targets.distance(place, grid)
    np.testing.assert_allclose(found, nearest, rtol=1e-14)
    steps = np.broadcast_arrays(*(one.numpy() for one in targets.offsets(place, grid)))
    np.testing.assert_allclose(np.hypot(steps[0] * 0.5, steps[1]), nearest, rtol=1e-14)
    assert ((np.stack(steps, -1) + place - cells) % grid.shape == 0).all()
    rings = targets.rings_about(place, grid, 0.5)
    np.testing.assert_array_equal(rings, np.floor(nearest / 0.5 + 0.5 + 1e-9))
    # No cell lies beyond the last ring, from whatever point; a corner of a box with walls reaches it to half a cell.
    assert int(targets.rings_about((0, 0), grid, 0.5).max()) < targets.ring_count(grid, 0.5)
