"""What is found out about a model by running it, on networks that are known."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from probe.description import Description
from probe.fields import Quantity
from probe.grid import Grid
from probe.model import FieldModel
from probe.model.examination import examine
from probe.model.findings import LayerKind
from probe.model.memory import peak_memory
from probe.model.receptive_field import receptive_field
from probe.model.typical import typical_input
from probe.zoo.architectures import FNO

SIDE = 16
SQUARE = Grid((SIDE, SIDE), (32.0, 32.0), "km")


def _model(network: Callable[[Tensor], Tensor], grid: Grid = SQUARE) -> FieldModel:
    return FieldModel(network, Description(grid, (Quantity("a"),), (Quantity("b"),)))


def _reach(model: FieldModel) -> list[tuple[int | None, int | None]]:
    return [(reach.left, reach.right) for reach in receptive_field(model).axes]


def _stack(
    *kernels: int, dilation: int = 1, width: int = 6, padded: bool = True, activation: type[nn.Module] = nn.ReLU
) -> nn.Module:
    """Periodic convolutions with activations between."""
    torch.manual_seed(1)
    layers: list[nn.Module] = []
    for place, kernel in enumerate(kernels):
        ends = 1 if place == 0 else width, 1 if place == len(kernels) - 1 else width
        padding = dilation * (kernel // 2) if padded else 0
        mode = "circular" if padded else "zeros"
        layers += [nn.Conv2d(*ends, kernel, padding=padding, dilation=dilation, padding_mode=mode), activation()]
    return nn.Sequential(*layers[:-1])


class _UNet(nn.Module):
    """One level of stride 2 and a 3^2 convolution above it."""

    def __init__(self, last: int = 1) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(1, 6, 2, stride=2), nn.ConvTranspose2d(6, 1, 2, stride=2)
        self.last = nn.Conv2d(1, 1, last, padding=last // 2)

    def forward(self, values: Tensor) -> Tensor:
        answer: Tensor = values + self.last(self.up(torch.tanh(self.down(values))))
        return answer


@pytest.mark.parametrize(
    ("network", "cells"),
    [
        (_stack(3, 5), 3),
        (_stack(*[3] * 6), 6),
        (_stack(*[3] * 6, width=2), 6),
        (_stack(*[3] * 12, activation=nn.Tanh), 12),
        (_stack(3, 3, 3, dilation=4), 12),
        (_stack(3, 5, 3, padded=False), 4),
        (nn.Conv2d(1, 1, 1), 0),
        (nn.Sequential(_stack(3, 3), nn.MaxPool2d(3, stride=1, padding=1)), 3),
        (_UNet(), 1),
        (_UNet(3), 2),
        (nn.Sequential(nn.Conv2d(1, 4, 4, stride=4), nn.ConvTranspose2d(4, 1, 4, stride=4)), 3),
        (nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 1)), 1),
    ],
)
def test_the_receptive_field_of_a_known_network_is_exact(network: nn.Module, cells: int) -> None:
    assert _reach(_model(network)) == [(cells, cells)] * 2


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_a_scripted_network_is_asked_in_double_precision_too() -> None:
    field = receptive_field(_model(torch.jit.script(_stack(3, 5))))
    assert [(reach.left, reach.right) for reach in field.axes] == [(3, 3)] * 2 and field.method == "by gradients in float64"


@pytest.mark.parametrize(
    "network",
    [
        FNO(2, 4, 6),
        nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.InstanceNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 1)),
        lambda x: x + x.mean((2, 3), keepdim=True),
    ],
)
def test_what_mixes_the_whole_box_is_told(network: Callable[[Tensor], Tensor]) -> None:
    field = receptive_field(_model(network))
    assert all(reach.left is None and reach.right is None and reach.whole_box for reach in field.axes)


def test_every_axis_has_its_own_reach_in_cells_and_in_units() -> None:
    first, second = receptive_field(_model(lambda x: torch.roll(x, 3, 2) + x, Grid((8, 16), (4.0, 16.0), "km"))).axes
    assert (first.axis, first.left, first.right, first.left_length, first.unit) == ("x", 3, 0, 1.5, "km")
    assert (second.axis, second.left, second.right, second.whole_box) == ("y", 0, 0, False)


@pytest.mark.parametrize("dimension", [1, 3])
def test_in_one_and_three_dimensions_too(dimension: int) -> None:
    convolution = (nn.Conv1d, nn.Conv3d)[dimension // 2]
    network = nn.Sequential(convolution(1, 4, 3, padding=1), nn.SiLU(), convolution(4, 1, 5, padding=2))
    assert _reach(_model(network, Grid.cubic(12, 12.0, dimension))) == [(3, 3)] * dimension


def test_a_reach_beyond_the_described_box_is_found_on_a_longer_one() -> None:
    small = Grid.cubic(8, 8.0, 2)
    reach = receptive_field(_model(_stack(*[3] * 6), small)).axes[0]
    assert (reach.left, reach.right, reach.whole_box) == (6, 6, True)


def test_a_box_without_borders_to_wrap_around_has_the_same_reach() -> None:
    bounded = Grid((SIDE, SIDE), (32.0, 32.0), boundary="none")
    assert _reach(_model(_stack(3, 5, padded=False), bounded)) == [(3, 3)] * 2


def test_without_time_it_says_that_it_was_found_on_few_inputs() -> None:
    field = receptive_field(_model(_stack(3, 5, activation=nn.Tanh)), seconds=0)
    assert [(reach.left, reach.right) for reach in field.axes] == [(3, 3)] * 2 and "for want of time" in field.method


def _arrays(values: np.ndarray) -> np.ndarray:
    return values + np.maximum(np.roll(values, 2, 2), 0) * np.roll(values, -1, 3)


def test_a_function_without_gradients_is_asked_by_changing_cells() -> None:
    model = _model(lambda x: torch.from_numpy(_arrays(x.detach().numpy())))
    model.differentiable = False
    field = receptive_field(model)
    assert [(reach.left, reach.right) for reach in field.axes] == [(2, 0), (0, 1)] and "changing" in field.method


def test_a_number_among_the_inputs_has_no_place() -> None:
    described = Description(SQUARE, (Quantity("a"), Quantity("z", "number")), (Quantity("b"),))
    network = _stack(3, 3)
    model = FieldModel(lambda x: network(x[:, :1]) * x[:, 1:, :1, :1], described)
    assert _reach(model) == [(2, 2)] * 2


def test_layers_are_counted_by_kind_and_hold_all_parameters() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.raw = nn.Parameter(torch.ones(3))
            self.one, self.other, self.act = nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(1, 1, 3, padding=1), nn.ReLU()
            self.other.weight = self.one.weight

        def forward(self, values: Tensor) -> Tensor:
            answer: Tensor = self.act(self.other(self.one(values))) * self.raw.sum()
            return answer

    found = examine(_model(Tied()))
    assert found.layers == (LayerKind("Tied", 1, 3), LayerKind("Conv2d", 2, 11), LayerKind("ReLU", 1, 0))
    assert found.parameters == sum(layer.parameters for layer in found.layers) == 14


def test_sizes_are_multiples_of_the_stride() -> None:
    found = examine(_model(nn.Sequential(_UNet(), nn.Identity())))
    assert found.stride == 2 and found.sizes is not None
    assert (found.sizes.given, found.sizes.answered, found.sizes.lost) == ((16, 16), (16, 16), (0, 0))
    assert found.sizes.step == 2 and (15, 15) in found.sizes.refused and (18, 18) in found.sizes.taken


@pytest.mark.parametrize("boundary", ["periodic", "none"])
def test_cells_lost_for_want_of_padding_are_told(boundary: str) -> None:
    found = examine(_model(_stack(3, 5, padded=False), Grid((SIDE, SIDE), (1.0, 1.0), boundary=boundary)))
    assert found.sizes is not None and found.sizes.lost == (6, 6)
    assert found.padding == (3 if boundary == "periodic" else 0)
    assert bool(found.fault) == (boundary == "none")


class _OneByOne(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        return values.reshape(1, 1, SIDE, SIDE) * 2


class _Calm(nn.Module):
    """Subtracts the mean over the batch."""

    def forward(self, values: Tensor) -> Tensor:
        return values - values.mean(0, keepdim=True) / 2


@pytest.mark.parametrize(
    ("network", "taken", "matter"),
    [(nn.BatchNorm2d(1), (1, 2, 3, 8), False), (_OneByOne(), (1,), None), (_Calm(), (1, 2, 3, 8), True)],
)
def test_batches_that_are_taken_and_samples_that_mind_each_other(network: nn.Module, taken: tuple[int, ...], matter: bool) -> None:
    batching = examine(_model(network)).batching
    assert batching is not None and batching.taken == taken and batching.neighbours_matter is matter


class _Keeps(nn.Module):
    """Adds some of what it was asked before."""

    def __init__(self) -> None:
        super().__init__()
        self.last = torch.zeros(1)

    def forward(self, values: Tensor) -> Tensor:
        answer = values + 0.1 * self.last
        self.last = values[:1].detach().mean()
        return answer


@pytest.mark.parametrize(
    ("network", "same", "state"),
    [(_stack(3, 3), True, False), (nn.Dropout(0.5), True, False), (_Keeps(), True, True)],
)
def test_the_same_input_again(network: nn.Module, same: bool, state: bool) -> None:
    repetition = examine(_model(network)).repetition
    assert repetition is not None and (repetition.same, repetition.keeps_state) == (same, state)


def test_a_model_that_is_random_in_eval_mode_is_told_by_how_much() -> None:
    repetition = examine(_model(lambda x: x + 0.01 * torch.randn_like(x))).repetition
    assert repetition is not None and not repetition.same and repetition.keeps_state is None
    assert repetition.difference == pytest.approx(0.01 * 2**0.5, rel=0.2)  # 256 cells: the scatter is 1/sqrt(2 256), 4 %


class _Half(nn.Module):
    """One parameter that nothing reaches, one that is frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.idle = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
        self.still = nn.Parameter(torch.ones(1), requires_grad=False)

    def forward(self, values: Tensor) -> Tensor:
        return values.detach() * self.used * self.still


def test_gradients_are_followed_to_the_input_and_to_each_parameter() -> None:
    good, half = (examine(_model(network)).gradients for network in (_UNet(3), _Half()))
    assert good is not None and half is not None
    assert (good.reach_input, good.finite, good.without, good.frozen) == (True, True, (), 0)
    assert (half.reach_input, half.without, half.frozen) == (False, ("idle",), 1)
    infinite = examine(_model(lambda x: (x - x).sqrt())).gradients
    assert infinite is not None and not infinite.finite


def test_what_writes_into_its_input_is_told_and_the_rest_is_found_out_all_the_same() -> None:
    def writes(values: Tensor) -> Tensor:
        values.data += 1
        return values * 2

    found = examine(_model(writes))
    assert found.writes_into_input and "writes into its input" in found.fault
    assert found.repetition is not None and found.repetition.same and found.faults == ()


def test_answers_that_are_not_finite_are_told() -> None:
    answers = {a.input: a.rms for a in examine(_model(lambda x: torch.where(x.abs() > 6, torch.inf, x + 1))).answers}
    assert answers["zeros"] == 1.0
    assert answers["noise"] == pytest.approx(2**0.5, rel=0.2)
    assert answers["noise ten times as strong"] is None


def test_noise_has_the_described_size_and_a_number_no_place() -> None:
    inputs = (Quantity("a", rms=5.0, shift=100.0), Quantity("v", "vector", scale=(2.0, 3.0)), Quantity("z", "number"))
    model = FieldModel(lambda x: x[:, :1], Description(Grid.cubic(64, 1.0, 2), inputs, (Quantity("b"),)))
    values = typical_input(model, torch.Generator().manual_seed(0), samples=2, strength=2.0)
    assert values.shape == (2, 4, 64, 64) and values.dtype == torch.float32
    assert float(values[:, 0].mean()) == pytest.approx(100, abs=1) and len(values[0, 3].unique()) == 1
    assert values[:, :3].std((0, 2, 3)).tolist() == pytest.approx([10, 4, 6], rel=0.05)


def test_the_memory_of_a_pass_is_that_of_the_tensors_alive_at_once() -> None:
    values = torch.zeros(1, 1000, dtype=torch.float64)
    assert peak_memory(lambda x: x * 2, values) == 8000
    assert peak_memory(lambda x: (x * 2).sin().cos(), values) == 16000  # the one before is still there
    assert peak_memory(lambda x: x.view(10, 100).t(), values) == 0
    assert peak_memory(lambda x: torch.cat([x * 2, x * 3]), values) == 32000


def test_one_pass_is_timed_and_none_is_counted() -> None:
    model = _model(_UNet(3))
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    found = examine(model)
    assert found.cost is not None and found.cost.seconds > 0 and found.cost.bytes >= 6 * 64 * 4
    assert model.passes == 0 and torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    "network",
    [
        nn.Conv2d(3, 1, 1),
        lambda x: None,
        lambda x: (x, x),
        lambda x: {"a": x},
        lambda x: x[0],
        lambda x: 1 / 0,
        lambda x: x * torch.nan,
    ],
)
def test_a_model_that_cannot_be_run_ends_in_sentences(network: Callable[[Tensor], Tensor]) -> None:
    found = examine(_model(network))
    assert found.fault and all("\n" not in fault for fault in found.faults)


def test_a_grid_that_no_memory_holds_ends_in_a_sentence() -> None:
    found = examine(_model(nn.Conv3d(1, 1, 1), Grid.cubic(10**5, 1.0)))
    assert "\n" not in found.fault and found.fault and found.cost is None and found.stride == 1


def test_it_can_be_written_as_json() -> None:
    plain = json.loads(json.dumps(examine(_model(_UNet())).as_dict(), allow_nan=False))
    assert plain["network"] == "_UNet" and plain["receptive_field"]["axes"][0]["left"] == 1
