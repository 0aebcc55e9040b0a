"""The zoo's spectral network: real answers from complex weights, on a line, a square or a cube, wherever the grid begins."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from probe.errors import InputError
from probe.model import double_copy
from probe.zoo.architectures import FNO, SpectralConvolution

EXACT = 1e-12  # of float64 answers of order one, after a few thousand operations


def network(dimension: int, modes: int = 3, channels: tuple[int, int] = (2, 3)) -> FNO:
    torch.manual_seed(dimension)
    return double_copy(FNO(dimension, modes, 4, 2, *channels))


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def summed(layer: SpectralConvolution, values: Tensor) -> Tensor:
    """The same convolution by its definition: the real part of a sum over modes, the kept one of each pair n, -n for both."""
    grid, dimension, answer = values.shape[2:], values.ndim - 2, torch.zeros_like(values)
    places = torch.stack(torch.meshgrid(*(torch.arange(n, dtype=torch.float64) / n for n in grid), indexing="ij"))
    numbers = [range(1 - layer.modes, layer.modes)] * (dimension - 1) + [range(layer.modes)]
    for mode in itertools.product(*numbers):
        wave = torch.exp(2j * math.pi * torch.tensordot(torch.tensor(mode, dtype=torch.float64), places, 1))
        coefficient = (values * wave.conj()).flatten(2).mean(-1)
        weight = layer.weight[(..., *(n + layer.modes - 1 for n in mode[:-1]), mode[-1])]
        turned = (coefficient @ weight).reshape(*coefficient.shape, *[1] * dimension)
        answer = answer + (2 if mode[-1] else 1) * (turned * wave).real
    return answer


@pytest.mark.parametrize("grid", [(6,), (7,), (13,), (6, 7), (7, 6), (9, 8), (6, 7, 8)])
def test_a_spectral_convolution_is_the_sum_over_its_modes(grid):
    torch.manual_seed(0)
    layer = double_copy(SpectralConvolution(len(grid), 2, 3))
    values = noise(3, 2, *grid)
    torch.testing.assert_close(layer(values), summed(layer, values), rtol=0, atol=EXACT)


@pytest.mark.parametrize(("dimension", "points"), [(1, 6), (1, 13), (2, 6), (2, 9), (3, 6), (3, 7)])
def test_a_shift_by_whole_cells_goes_through_the_network_exactly(dimension, points):
    model, values = network(dimension), noise(2, 2, *[points] * dimension)
    axes, cells = tuple(range(2, 2 + dimension)), (1, 2, 4)[:dimension]
    answer = model(values)
    assert answer.shape == (2, 3, *[points] * dimension) and answer.dtype == torch.float64
    torch.testing.assert_close(model(values.roll(cells, axes)), answer.roll(cells, axes), rtol=0, atol=EXACT)


def test_each_sample_of_a_batch_is_answered_as_if_alone():
    model, values = network(1), noise(5, 2, 16)
    torch.testing.assert_close(model(values), torch.cat([model(one[None]) for one in values]), rtol=0, atol=EXACT)


def test_single_precision_gives_the_double_precision_answer_to_its_rounding():
    torch.manual_seed(1)
    single = FNO(1, 8, 16, 4)
    values = noise(2, 1, 64)
    answer = single(values.float())
    assert answer.dtype == torch.float32
    double = double_copy(single)
    assert double.spectral[0].weight.dtype == torch.complex128
    # A few hundred roundings of 6e-8 that add up like a random walk.
    torch.testing.assert_close(answer.double(), double(values).detach(), rtol=0, atol=1e-5 * float(answer.detach().abs().max()))


def test_a_smooth_field_on_a_finer_grid_is_answered_as_on_the_coarse_one():
    torch.manual_seed(0)
    layer = double_copy(SpectralConvolution(1, 2, 3))
    fine = torch.cos(2 * math.pi * torch.arange(48, dtype=torch.float64) / 48 * 2 + 0.3).expand(1, 2, 48)
    torch.testing.assert_close(layer(fine)[..., ::4], layer(fine[..., ::4]), rtol=0, atol=EXACT)


@pytest.mark.parametrize("dimension", [1, 2])
def test_gradients_pass_through_complex_weights(dimension):
    model = network(dimension, modes=2)
    assert torch.autograd.gradcheck(model, noise(1, 2, *[4] * dimension).requires_grad_())
    model(noise(1, 2, *[4] * dimension)).square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() and p.grad.abs().sum() > 0 for p in model.parameters())


def test_a_grid_too_coarse_for_the_modes_is_refused():
    with pytest.raises(InputError, match="3 modes need 6 points a side"):
        network(2)(noise(1, 2, 5, 8))
