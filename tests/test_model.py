"""A model on fields: normalised, batched, padded, left alone, and refused in one sentence where it is wrong."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from probe.description import Description
from probe.errors import InputError
from probe.fields import Field, Quantity
from probe.grid import Grid
from probe.model import FieldModel, Recipe
from probe.model.batching import is_out_of_memory

GRID = Grid.cubic(8, 8.0, 2)
SCALAR = (Quantity("a"),)


def _described(inside: tuple[Quantity, ...] = SCALAR, outside: tuple[Quantity, ...] = SCALAR, grid: Grid = GRID) -> Description:
    return Description(grid, inside, outside)


def _field(samples: int = 3, grid: Grid = GRID, quantities: tuple[Quantity, ...] = SCALAR, seed: int = 0) -> Field:
    generator = torch.Generator().manual_seed(seed)
    width = sum(q.width(grid) for q in quantities)
    return Field(torch.randn(samples, width, *grid.shape, generator=generator), grid, quantities)


def _model(network: Callable[[Tensor], Tensor], **settings: object) -> FieldModel:
    return FieldModel(network, _described(), **settings)  # type: ignore[arg-type]


class _UNet(nn.Module):
    """Stride 4, batch normalisation, a raw and a complex parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 2, stride=2)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 4, 2, stride=2)
        self.back = nn.ConvTranspose2d(4, 1, 4, stride=4)
        self.raw = nn.Parameter(torch.linspace(0.5, 1.5, 4))
        self.spectral = nn.Parameter(torch.arange(1, 5) * (1 + 0.1j))

    def forward(self, values: Tensor) -> Tensor:
        modes = torch.fft.rfft(self.norm(self.first(values)), dim=-1) * self.spectral[:, None, None] * self.raw[:, None, None]
        added: Tensor = self.back(self.second(torch.fft.irfft(modes, n=values.shape[-1] // 2, dim=-1)))
        return values + added


class _Unpadded(nn.Module):
    """Two convolutions that eat two cells on each side."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Conv2d(2, 1, 3))

    def forward(self, values: Tensor) -> Tensor:
        answer: Tensor = self.layers(values)
        return answer


def test_the_network_sees_normalised_values_and_answers_in_units() -> None:
    seen = []

    def network(values: Tensor) -> Tensor:
        seen.append(values.clone())
        return values[:, :1]

    inside = (Quantity("a", shift=2.0, scale=4.0), Quantity("v", "vector", scale=0.5))
    model = FieldModel(network, _described(inside, (Quantity("b", shift=1.0, scale=10.0),)))
    given = _field(quantities=inside)
    answer = model(given)
    expected = torch.cat([(given.values[:, :1] - 2) / 4, given.values[:, 1:] / 0.5], 1)
    assert torch.allclose(torch.cat(seen), expected)
    assert torch.allclose(answer.values, expected[:, :1] * 10 + 1)
    assert answer.quantities == model.description.outputs and answer.values.dtype == torch.float32
    assert torch.equal(model.function(given.values), answer.values)


def test_it_runs_in_eval_mode_without_gradients_and_leaves_the_module_as_it_was() -> None:
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Dropout(0.9))
    network[0].requires_grad_(True)
    model = _model(network)
    assert torch.equal(model(_field()).values, model(_field()).values)
    assert not model(_field()).values.requires_grad
    assert network.training and network[1].training


def test_its_precision_is_that_of_the_weights() -> None:
    assert _model(nn.Conv2d(1, 1, 1).double())(_field()).values.dtype == torch.float64
    assert _model(lambda x: x, dtype=torch.float64)(_field()).values.dtype == torch.float64


@pytest.mark.parametrize("size", [None, 1, 2, 5])
def test_the_batch_size_changes_no_answer_and_every_sample_is_counted(size: int | None) -> None:
    sizes = []

    def network(values: Tensor) -> Tensor:
        sizes.append(len(values))
        return values * 2

    model = _model(network, batch_size=size)
    assert torch.equal(model(_field(5)).values, _field(5).values * 2)
    assert model.passes == 5 and max(sizes) == (size or 5)


def test_the_batch_is_halved_when_memory_runs_out() -> None:
    def network(values: Tensor) -> Tensor:
        if len(values) > 2:
            raise torch.cuda.OutOfMemoryError("out of memory")
        return values

    model = _model(network)
    assert torch.equal(model(_field(9)).values, _field(9).values)
    assert model.batch_size == 2 and "memory ran out with 9 samples" in model.notes[0]
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"))
    assert is_out_of_memory(MemoryError()) and not is_out_of_memory(RuntimeError("shapes"))


def test_a_single_sample_that_does_not_fit_into_memory_is_told() -> None:
    def network(values: Tensor) -> Tensor:
        raise MemoryError

    with pytest.raises(InputError, match="memory ran out on a single sample"):
        _model(network)(_field(4))


def test_a_model_that_takes_one_sample_at_a_time_is_run_so() -> None:
    def network(values: Tensor) -> Tensor:
        return values.reshape(1, 1, 8, 8)

    model = _model(network)
    assert torch.equal(model(_field(4)).values, _field(4).values)
    assert model.batch_size == 1 and "one sample at a time" in model.notes[0]


def test_gradients_pass_through_function() -> None:
    values = _field(1).values.requires_grad_()
    model = FieldModel(lambda x: x**2, _described((Quantity("a", scale=2.0),), (Quantity("b", scale=3.0),)))
    (gradient,) = torch.autograd.grad(model.function(values).sum(), values)
    assert torch.allclose(gradient, 3 * values.detach() / 2)


def test_the_stride_is_found_and_other_grids_of_multiples_of_it_are_taken() -> None:
    model = _model(_UNet())
    assert model.stride == 4 and model.passes == 0
    large = Grid((12, 16), (24.0, 32.0))
    assert model(_field(1, large)).grid == large
    with pytest.raises(InputError, match=r"stride 4; found a grid of \(10, 10\)"):
        model(_field(1, Grid.cubic(10, 10.0, 2)))


def test_global_pooling_is_no_stride() -> None:
    class Excited(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool, self.mix, self.down = nn.AdaptiveAvgPool2d(1), nn.Conv2d(1, 1, 1), nn.AvgPool2d(2)

        def forward(self, values: Tensor) -> Tensor:
            weight: Tensor = self.mix(self.pool(values))
            return nn.functional.interpolate(self.down(values), scale_factor=2) * weight

    assert _model(Excited()).stride == 2
    assert _model(lambda x: nn.functional.interpolate(nn.functional.max_pool2d(x, 4), scale_factor=4)).stride == 4
    assert _model(lambda x: x).stride == 1


@pytest.mark.parametrize("pool", [nn.AvgPool1d(4), nn.MaxPool1d(4)])
def test_pooling_along_a_line_is_a_stride(pool: nn.Module) -> None:
    line = Grid.cubic(32, 32.0, dimension=1)
    network = nn.Sequential(pool, nn.Upsample(scale_factor=4))
    assert FieldModel(network, Description(line, (Quantity("a"),), (Quantity("b"),))).stride == 4


def test_a_network_without_padding_is_padded_periodically_and_aligned() -> None:
    network = _Unpadded()
    model = _model(network)
    given = _field(2)
    wrapped = torch.nn.functional.pad(given.values, [2, 2, 2, 2], mode="circular")
    with torch.no_grad():
        assert torch.equal(model(given).values, network(wrapped))
    moved = model(given.with_values(torch.roll(given.values, (3, 1), (2, 3))))
    assert torch.allclose(moved.values, torch.roll(model(given).values, (3, 1), (2, 3)), atol=1e-6)
    assert model.stride == 1 and "padded periodically by 2 cells" in model.notes[0]


def test_a_strided_network_without_padding_is_aligned_too() -> None:
    torch.manual_seed(0)
    down, up = nn.Conv2d(3, 3, 2, stride=2), nn.ConvTranspose2d(3, 1, 2, stride=2)
    network = nn.Sequential(nn.Conv2d(1, 3, 3), down, up, nn.Conv2d(1, 1, 3))
    model = _model(network)
    given = _field(1)
    moved = model(given.with_values(torch.roll(given.values, (2, 4), (2, 3))))
    assert torch.allclose(moved.values, torch.roll(model(given).values, (2, 4), (2, 3)), atol=1e-6)
    assert model.stride == 2


def test_the_box_of_a_bounded_field_is_not_padded() -> None:
    bounded = _described(grid=Grid.cubic(8, 8.0, 2, boundary="zero"))
    with pytest.raises(InputError, match=r"returned the shape \(1, 1, 4, 4\)"):
        FieldModel(_Unpadded(), bounded)(_field(1, bounded.grid))


def _writes(values: Tensor) -> Tensor:
    values.data[0, 0, 0, 0] += 1
    return values * 2


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        (_writes, "writes into its input"),
        (lambda x: (x, x), r"returned a tuple of 2; expected one tensor .* choose an item"),
        (lambda x: {"mean": x}, "returned a dict with the keys 'mean'"),
        (lambda x: None, "returned an object of type NoneType"),
        (lambda x: torch.cat([x, x], 1), r"returned the shape \(\d, 2, 8, 8\) .* expected \(\d, 1, 8, 8\)"),
        (lambda x: x[:, 0], "returned the shape"),
        (lambda x: x * 1j, "returned complex numbers"),
        (lambda x: x / 0 * 0, "returned NaN or infinity for 2 of 2 inputs"),
        (nn.Conv2d(5, 1, 1), "raised RuntimeError .* check the channels"),
    ],
)
def test_what_a_model_does_wrong_is_told_in_one_sentence(network: Callable[[Tensor], Tensor], sentence: str) -> None:
    given = _field(2)
    with pytest.raises(InputError, match=sentence) as caught:
        _model(network)(given)
    assert "\n" not in str(caught.value)
    assert torch.equal(given.values, _field(2).values)


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        (_field(quantities=(Quantity("v", "vector"),)), "takes 1 channels on a 2-dimensional grid; found 2 on 2"),
        (_field(grid=Grid.cubic(8, 8.0, 3)), "found 1 on 3 dimensions"),
        (_field().with_values(torch.full((1, 1, 8, 8), torch.nan)), "input of .* holds NaN"),
        (_field().with_values(torch.zeros(0, 1, 8, 8)), "no sample at all"),
    ],
)
def test_a_field_that_does_not_suit_is_told(field: Field, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        _model(lambda x: x)(field)


def test_missing_answers_are_let_through_where_they_are_honest() -> None:
    model = _model(lambda x: x * torch.nan)
    model.may_be_missing = True
    assert model(_field()).values.isnan().all()


def test_a_device_that_is_not_there_is_told() -> None:
    with pytest.raises(InputError, match="is no device"):
        _model(lambda x: x, device="gpu0")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="has 0 CUDA devices"):
            _model(lambda x: x, device="cuda")
    with pytest.raises(InputError, match="batch size is 0"):
        _model(lambda x: x, batch_size=0)


def test_the_untrained_twin_of_a_factory_is_built_afresh_under_its_seed() -> None:
    model = _model(_UNet(), factory=_UNet, recipe=Recipe("ckpt.pt"))
    (twin, how), (again, _), (other, _) = (model.untrained_twin(seed) or pytest.fail() for seed in (1, 1, 2))
    assert how == "initialised" and twin.recipe == Recipe("ckpt.pt", untrained_seed=1)
    answers = [m(_field()).values for m in (model, twin, again, other)]
    assert torch.equal(answers[1], answers[2])
    assert not torch.equal(answers[0], answers[1]) and not torch.equal(answers[1], answers[3])


def _numbers(tensor: Tensor) -> list[tuple[float, float]]:
    return sorted((z.real, z.imag) for z in map(complex, tensor.detach().flatten().tolist()))


def test_the_untrained_twin_of_a_module_has_every_tensor_shuffled() -> None:
    network = _UNet()
    network.norm.running_mean = torch.full((4,), 1e6)
    model = _model(network)
    before = {name: p.clone() for name, p in network.state_dict().items()}
    twin, how = model.untrained_twin(3) or pytest.fail()
    assert how == "shuffled" and isinstance(twin.network, _UNet)
    for name, parameter in twin.network.named_parameters():
        old = network.get_parameter(name)
        assert _numbers(parameter) == _numbers(old)
        if len(set(_numbers(old))) > 3:
            assert not torch.equal(parameter, old), name
    mean = twin.network.norm.running_mean
    assert mean is not None and float(mean.abs().max()) < 10
    assert all(torch.equal(network.state_dict()[name], value) for name, value in before.items())
    assert torch.equal(twin(_field()).values, twin(_field()).values)


def test_a_callable_has_no_twin_and_no_double() -> None:
    model = _model(lambda x: x)
    assert model.untrained_twin(0) is None
    with pytest.raises(InputError, match="cannot be put into double precision"):
        model.to_double()


def test_the_double_is_double_throughout_and_agrees() -> None:
    model = _model(_UNet())
    double = model.to_double()
    assert isinstance(double.network, _UNet)
    assert {p.dtype for p in double.network.parameters()} == {torch.float64, torch.complex128}
    assert torch.allclose(double(_field()).values, model(_field()).values.double(), atol=1e-5)
    assert model.dtype == torch.float32 and double(_field()).values.dtype == torch.float64


def test_a_network_without_parameters_becomes_double_too() -> None:
    assert _model(nn.Identity()).to_double().dtype == torch.float64


def test_the_same_model_is_asked_so_many_samples_at_once() -> None:
    sizes: list[int] = []

    def count(values: torch.Tensor) -> torch.Tensor:
        sizes.append(len(values))
        return values

    model = _model(count)
    model.asked(batch_size=3)(_field(samples=4))
    model.asked(batch_size=1)(_field(samples=4))
    assert sizes == [3, 1, 1, 1, 1, 1] and model.batch_size is None


def test_the_global_random_numbers_are_left_alone() -> None:
    model = _model(_UNet(), factory=_UNet)
    shuffled = _model(_UNet())
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    model(_field())
    model.untrained_twin(1)
    shuffled.untrained_twin(1)
    assert model.stride == 4
    assert torch.equal(torch.rand(3), expected)


def test_a_recipe_travels() -> None:
    recipe = Recipe("ckpt.pt", _described(), "m:f", sha256="ab")
    again = pickle.loads(pickle.dumps(recipe))
    assert again == recipe and hash(again) == hash(recipe)
