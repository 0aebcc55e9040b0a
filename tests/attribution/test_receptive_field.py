"""`receptive_field` against networks whose receptive field is known cell for cell."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from probe import reach
from probe.description import Description, Truth
from probe.fields import Quantity
from probe.grid import Grid
from probe.interface import run
from probe.model import FieldModel, double_copy
from probe.reach import LookCase
from probe.runner.subject import LocalSubject
from probe.zoo.architectures import FNO
from probe.zoo.defects import GlobalNormalisation
from probe.zoo.oracles import Filter, SecondOrder, gaussian_gain
from tests.attribution.test_saliency import Frozen
from tests.models import CUBE, LINE, SQUARE, Function, on

GRIDS = {1: LINE, 2: Grid.cubic(24, 48.0, dimension=2, unit="km"), 3: Grid.cubic(16, 64.0, unit="Mpc/h")}
CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


def ask(model, controls="none", **settings):
    return run("receptive_field", model, controls=controls, settings={"receptive_field": settings})["receptive_field"]


def check_of(result, name):
    return next(check for check in result.checks if check.name == name)


def scalars(grid, network, law=None):
    described = Description(grid, (Quantity("x", rms=1.0),), (Quantity("y"),), truth=Truth("a:law" if law else ""))
    return FieldModel(double_copy(network), described, code={"a:law": law} if law else {}, dtype=torch.float64)


def looks(model, places):
    subject = LocalSubject("model", model, None, "default", 0, "receptive_field")
    return reach.look(subject, LookCase(0, places))


def stack(dimension, *layers, padding="circular"):
    """Convolutions given as (kernel, dilation), with positive weights, so that none cancel."""
    torch.manual_seed(0)
    made = [
        CONV[dimension](1, 1, kernel, dilation=dilation, padding=dilation * (kernel // 2), padding_mode=padding, bias=False)
        for kernel, dilation in layers
    ]
    for layer in made:
        layer.weight.data.uniform_(0.1, 1.0)
    return nn.Sequential(*made).double()


def kernel_of(layers):
    """The network's kernel as a mapping of offset to weight: the product of one-layer polynomials, by hand."""
    total = {(0,) * (layers[0].weight.ndim - 2): 1.0}
    for layer in layers:
        size, step = layer.weight.shape[2], layer.dilation[0]
        grown = {}
        for offset, weight in total.items():
            for index in itertools.product(range(size), repeat=layer.weight.ndim - 2):
                place = tuple(o + step * (i - size // 2) for o, i in zip(offset, index, strict=True))
                grown[place] = grown.get(place, 0.0) + weight * layer.weight[(0, 0, *index)].item()
        total = grown
    return total


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_dilated_convolutions_are_seen_cell_for_cell(dimension):
    layers = ((3, 1), (3, 3)) if dimension > 1 else ((3, 1), (5, 4), (3, 2))
    network, grid = stack(dimension, *layers), GRIDS[dimension]
    place = tuple(points // 2 for points in grid.shape)
    (found,) = looks(scalars(grid, network), (place,))
    kernel = kernel_of(network)
    assert len({tuple(n % p for n, p in zip(o, grid.shape, strict=True)) for o in kernel}) == len(kernel)  # it does not meet itself
    energy = sum(w**2 for w in kernel.values())
    distances = {o: np.linalg.norm(np.array(o) * grid.spacing) for o in kernel}
    assert found.support @ found.cells == pytest.approx(len(kernel)) == pytest.approx(found.seen @ found.cells)
    assert found.radius == pytest.approx(np.sqrt(sum(w**2 * distances[o] ** 2 for o, w in kernel.items()) / energy), rel=1e-12)
    expected = [sum(w**2 * o[axis] for o, w in kernel.items()) / energy for axis in range(dimension)]
    np.testing.assert_allclose(found.offset, expected, atol=1e-12)
    far = max(abs(o[0]) for o in kernel)
    assert found.reach.tolist() == [[far, far]] * dimension
    rings = np.zeros_like(found.energy), np.zeros_like(found.energy)
    for o, w in kernel.items():
        ring = int(np.floor(np.linalg.norm(o) + 0.5 + 1e-9))
        rings[0][ring] += w**2 / energy
        rings[1][ring] += abs(w) / sum(kernel.values())
    np.testing.assert_allclose(found.energy, rings[0], atol=1e-13)
    np.testing.assert_allclose(found.influence, rings[1], atol=1e-13)
    # In the plane through the point every cell is the root of its own energy.
    middle = tuple(points // 2 for points in found.cut.shape)
    peak = max(kernel.values())
    for o, w in kernel.items():
        if not any(o[2:]):
            at = (0, middle[1] + o[0]) if dimension == 1 else (middle[0] + o[0], middle[1] + o[1])
            assert found.cut[at] == pytest.approx(w / peak, rel=1e-12)
    assert np.count_nonzero(found.cut) == len({o[:2] for o in kernel if not any(o[2:])})


def test_a_box_with_walls_is_not_looked_around():
    grid = Grid.cubic(16, 16.0, dimension=2, boundary="reflect")
    model = scalars(grid, stack(2, (5, 1), padding="reflect"))
    corner, middle = looks(model, ((0, 0), (8, 8)))
    # Mirrored at the wall without repeating it, the two cells beyond are the two before: nine cells are left of 25.
    assert corner.support @ corner.cells == pytest.approx(9) and corner.reach.tolist() == [[0, 2]] * 2
    assert middle.support @ middle.cells == pytest.approx(25) and middle.reach.tolist() == [[2, 2]] * 2
    assert (corner.offset > 0.3).all()
    # In the maps each point lies in the middle, and beyond a wall there is nothing.
    np.testing.assert_array_equal(np.argwhere(corner.cut), list(itertools.product(range(8, 11), repeat=2)))
    np.testing.assert_array_equal(np.argwhere(middle.cut), list(itertools.product(range(6, 11), repeat=2)))


def test_a_stride_is_seen_as_blocks_that_the_point_moves_through():
    class Blocks(nn.Module):
        def forward(self, values):
            return nn.functional.interpolate(nn.functional.avg_pool1d(values, 4), scale_factor=4)

    result = ask(scalars(LINE, Blocks()), places=tuple((n,) for n in range(32, 36)))
    data = result.measured["model"]
    assert data.attrs["stride"] == 4
    np.testing.assert_array_equal(data.reach.values[0], [[[0, 3]], [[1, 2]], [[2, 1]], [[3, 0]]])
    np.testing.assert_allclose(data.offset.values[0, :, 0], [1.5, 0.5, -0.5, -1.5], atol=1e-12)
    expected = [np.sqrt(np.mean((np.arange(4.0) - step) ** 2)) * LINE.spacing[0] for step in range(4)]
    np.testing.assert_allclose(data.radius.values[0], expected, rtol=1e-12)
    assert "1.5 cells beside the point" in check_of(result, "stride").sentence


def test_what_is_hidden_by_units_is_not():
    # The second input is a thousandth in its own unit: weighed by its scatter it counts as the first.
    grid = Grid.cubic(16, 16.0, dimension=1)
    inputs = (Quantity("a", rms=1.0), Quantity("b", rms=1e-3), Quantity("n", "number", rms=2.0))
    network = Function(lambda x: x[:, :1] + 1e3 * torch.roll(x[:, 1:2], 4, -1) + 50.0 * x[:, 2:])
    model = FieldModel(network, Description(grid, inputs, (Quantity("y"),)), dtype=torch.float64)
    (found,) = looks(model, ((8,),))
    np.testing.assert_allclose(found.influence[[0, 4]], 0.5, rtol=1e-9)
    assert found.influence[[0, 4]].sum() == pytest.approx(1, abs=1e-12) and found.reach.tolist() == [[4, 0]]


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_instance_normalisation_sees_the_whole_box_and_fails_beside_a_local_law(dimension):
    network, grid = stack(dimension, (3, 1)), GRIDS[dimension]
    norm = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)[dimension - 1]
    whole = scalars(grid, nn.Sequential(network, norm(1)), law=lambda x: network(x))
    result = ask(whole, controls="simulator")
    data, verdicts = result.measured["model"], {check.name: check.verdict for check in result.checks}
    assert verdicts["elsewhere"] == "fail" and verdicts["needed"] == "pass" and result.verdict == "fail"
    assert check_of(result, "whole_box").interval.value == 1 and norm.__name__ in check_of(result, "elsewhere").sentence
    # Without the norm the same network is as local as the law.
    local = ask(scalars(grid, network, law=lambda x: network(x)), controls="simulator")
    assert local.verdict == "pass" and check_of(local, "elsewhere").interval.value == 0
    assert float(data.radius.max()) > float(local.measured["model"].radius.max())


def test_the_influence_of_a_mean_is_half_of_everything():
    # y = x - mean: the point itself has 1 - 1/N, the others 1/N each, (N - 1)/N together.
    model = scalars(SQUARE, Function(lambda x: x - x.mean((2, 3), keepdim=True)))
    (found,) = looks(model, ((16, 16),))
    cells = SQUARE.size
    assert found.influence[0] == pytest.approx(0.5, abs=1e-12)
    assert found.energy[1:].sum() == pytest.approx((cells - 1) / (cells**2 * (1 - 1 / cells) ** 2 + cells - 1), rel=1e-9)


def test_a_network_too_short_for_its_law_fails():
    short, long = stack(1, (3, 1)), stack(1, (3, 1), (3, 4))
    result = ask(scalars(LINE, short, law=lambda x: long(x)), controls="simulator")
    kernel = kernel_of(long)
    blind = sum(w for (o,), w in kernel.items() if abs(o) > 1) / sum(kernel.values())
    assert check_of(result, "needed").interval.value == pytest.approx(blind, rel=1e-9)
    assert check_of(result, "needed").verdict == "fail" and check_of(result, "elsewhere").verdict == "pass"


def test_without_a_law_nothing_is_judged():
    assert ask(on(SQUARE, GlobalNormalisation(0.5))).verdict == "info"


def test_a_filter_is_seen_by_its_kernel():
    length = 3 * LINE.spacing[0]
    model = on(LINE, Filter(gaussian_gain(length), LINE))
    (found,) = looks(model, ((32,),))
    # exp(-k^2 R^2 / 2) is the kernel exp(-x^2 / 2 R^2); its square has the rms R / sqrt(2).
    assert found.radius == pytest.approx(length / np.sqrt(2), rel=1e-5)


def test_2lpt_adds_what_comes_from_afar():
    result = ask(on(CUBE, SecondOrder(CUBE)))
    data = result.measured["model"]
    change, whole = data.change_influence.values.mean((0, 1)), data.influence.values.mean((0, 1))
    assert change[0] < whole[0] and "what it adds" in check_of(result, "change").sentence
    identity = ask(on(CUBE, nn.Identity()))
    assert float(identity.measured["model"].change_influence.max()) == 0 and "change" not in [c.name for c in identity.checks]
    assert check_of(identity, "reach").interval.value == 0


def test_a_function_without_gradients_is_asked_by_changing_single_cells():
    def shifted(values):
        return values + 0.5 * np.roll(values, 3, -1)

    def call(values):
        return torch.from_numpy(shifted(values.detach().numpy()))

    described = Description(LINE, (Quantity("x", rms=1.0),), (Quantity("y"),))
    result = ask(FieldModel(call, described, dtype=torch.float64, differentiable=False))
    data = result.measured["model"]
    # A cell is seen by itself and three cells on.
    np.testing.assert_allclose(data.energy.values[0, 0, [0, 3]], [0.8, 0.2], rtol=1e-9)
    assert data.reach.values[0, 0].tolist() == [[0, 3]] and "No gradients" in result.headline


def test_complex_weights_and_batches_of_one():
    torch.manual_seed(0)

    class One(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = FNO(2, modes=4, width=4, layers=1)

        def forward(self, values):
            assert len(values) == 1, "one at a time"
            return self.inner(values)

    result = ask(scalars(GRIDS[2], One()), fields=1)
    assert check_of(result, "whole_box").interval.value == 1 and "SpectralConvolution" in check_of(result, "whole_box").sentence


def test_a_network_that_forbids_gradients_is_asked_by_changing_single_cells():
    result = ask(scalars(SQUARE, Frozen()))
    assert "single cells were changed" in check_of(result, "reach").sentence
    assert result.measured["model"].reach.values.max((0, 1)).tolist() == [[2, 2], [2, 2]]


def test_points_that_were_not_asked_are_told():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 2, 4, stride=4), nn.ConvTranspose2d(2, 1, 4, stride=4)).double()
    model = scalars(GRIDS[2], network)
    assert "2 points asked of 4 along a stride" in check_of(ask(model), "reach").sentence
    assert "`probe inspect`" not in check_of(ask(scalars(SQUARE, nn.Identity())), "reach").sentence
    assert check_of(ask(model, places=((3, 4),)), "stride").verdict == "not_applicable"


def test_vectors_and_the_answer_of_nothing():
    grid = GRIDS[2]
    vector = Quantity("v", "vector", rms=2.0)
    turned = Function(lambda v: torch.stack([-torch.roll(v[:, 1], 1, -1), v[:, 0]], 1))
    model = FieldModel(turned, Description(grid, (vector,), (vector,)), dtype=torch.float64)
    (found,) = looks(model, ((12, 12),))
    np.testing.assert_allclose(found.energy[:2], 0.5, atol=1e-12)
    nothing = ask(on(LINE, lambda x: torch.zeros_like(x)))
    assert nothing.verdict == "info" and "no cell" in nothing.headline and not nothing.panels()


def test_a_number_has_no_place_to_look_from():
    described = Description(SQUARE, (Quantity("x", rms=1.0),), (Quantity("n", "number"),))
    model = FieldModel(Function(lambda x: x.mean((2, 3))), described, dtype=torch.float64)
    result = ask(model)
    assert result.verdict == "not_applicable" and "no place" in result.reason


def test_points_are_points_of_the_grid():
    result = ask(on(SQUARE, nn.Identity()), places=((40, 1),))
    assert result.measured["model"].place.values.tolist() == ["(8,1)"]
    assert "2 numbers" in ask(on(SQUARE, nn.Identity()), places=((1, 1, 1),)).reason


@pytest.mark.parametrize("grid", [CUBE, SQUARE, LINE], ids=["3D", "2D", "1D"])
def test_figures_say_what_they_show(grid):
    result = ask(on(grid, Filter(gaussian_gain(0.05 * grid.box[0]), grid)), fields=1)
    panels = result.panels()
    assert len(panels) == 2 and all(panel.caption and panel.text and panel.figures for panel in panels)
    assert f"{check_of(result, 'reach').interval.value:.3g}" in panels[0].text
    assert replace(result, measured={}).panels() == []
