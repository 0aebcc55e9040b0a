"""The zoo's network that reads Omega_m and sigma_8 off a box: what ships is what its card says, and its universes are as told."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch

from probe.loading import load
from probe.runner import make_pairs
from probe.surrogates import phase_randomised
from probe.zoo import entries
from probe.zoo.architectures import ParameterNetwork
from probe.zoo.omega_m.recipe import universes
from probe.zoo.omega_m.recipe.publish import accuracy, altered
from probe.zoo.omega_m.recipe.train import SCALE, SHIFT

SPREAD = {"Omega_m": 0.0348, "sigma_8": 0.0279}  # rms error on the held-out boxes, as on the card


@pytest.fixture(scope="module")
def network():
    return load("zoo:omega_m")


def held_out(network):
    pairs = make_pairs(network, None)
    return pairs, torch.cat([given.values for given, _ in pairs]), torch.cat([truth.values for _, truth in pairs])


def test_parameters_fill_their_bounds_evenly_and_the_held_out_ones_as_well():
    drawn = universes.parameters(512)
    for column, (low, high) in zip(drawn.T, universes.BOUNDS.values(), strict=True):
        for some in (column, column[: universes.HELD_OUT]):
            # A Sobol sequence puts one point of every 2^n into each of 2^n equal cells.
            places = np.floor((some - low) / (high - low) * len(some)).astype(int)
            assert sorted(places) == list(range(len(some)))
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.01


def test_a_spectrum_has_the_sigma_8_that_is_asked_and_the_shape_of_its_omega_m():
    # Power laws of slope -2, bent at a k that goes with Omega_m, in the place of CAMB's.
    table = np.stack([1 / (1 + (universes.WAVENUMBERS / (0.2 * node)) ** 2) for node in universes.NODES])
    made = universes.spectrum(0.33, 0.75, table)
    assert universes.sigma(made) == pytest.approx(0.75, rel=1e-12)
    exact = 1 / (1 + (universes.WAVENUMBERS / (0.2 * 0.33)) ** 2)
    # A cubic spline of a smooth function of Omega_m over seventeen nodes, where it bends most.
    np.testing.assert_allclose(made / made[0], exact / exact[0], rtol=2e-3)


def test_sigma_of_a_power_law_is_its_closed_form():
    # P = k^-1: sigma^2 = int dk k W^2 / (2 pi^2) = (9/4) / (2 pi^2 R^2), the integral of x W(x)^2 from 0 on.
    radius = 8.0
    assert universes.sigma(1 / universes.WAVENUMBERS, radius) ** 2 == pytest.approx(2.25 / (2 * np.pi**2 * radius**2), rel=2e-3)


def test_the_shift_and_scale_of_the_description_are_those_of_the_training(network):
    constants = [(float(q.shift), float(q.scale)) for q in network.description.outputs]
    np.testing.assert_allclose(constants, torch.stack([SHIFT, SCALE], 1).double(), rtol=1e-6)


def test_the_held_out_boxes_are_densities_and_the_table_is_their_parameters(network):
    pairs, boxes, known = held_out(network)
    assert len(pairs) == universes.HELD_OUT and boxes.shape[1:] == (1, 32, 32, 32)
    # Half precision moves a mean of zero by its rounding, 2^-11 of the rms, over 32768 voxels.
    assert float(boxes.min()) >= -1 and float(boxes.mean((1, 2, 3, 4)).abs().max()) < 1e-4
    np.testing.assert_allclose(known[:, :, 0, 0, 0], universes.parameters(universes.HELD_OUT), rtol=1e-6)
    for index in (0, 17):
        beside = pairs.quantities(index)
        assert [beside[name] for name in universes.BOUNDS] == known[index, :, 0, 0, 0].tolist()
    # More matter clumps more: the boxes' own scatter goes with sigma_8.
    assert np.corrcoef(boxes.var((1, 2, 3, 4)), known[:, 1, 0, 0, 0])[0, 1] > 0.7


def test_the_network_is_as_good_as_its_card_says(network):
    pairs, _, known = held_out(network)
    answers = torch.cat([network(given).values for given, _ in pairs])
    off = (answers - known).square().mean(0)[:, 0, 0, 0].sqrt()
    assert off.tolist() == pytest.approx(list(SPREAD.values()), abs=2e-4)


def test_its_answer_is_the_same_wherever_the_box_begins_in_steps_of_its_stride(network):
    given, _ = make_pairs(network, None)[0]
    answer = network(given).values
    assert network.stride == 8
    moved = network(given.with_values(torch.roll(given.values, [8, 16, -8], (2, 3, 4)))).values
    torch.testing.assert_close(moved, answer, rtol=1e-5, atol=1e-6)
    # A cell is not a step of its stride, and was learned.
    moved = network(given.with_values(torch.roll(given.values, 1, 2))).values
    assert 0 < float((moved - answer).abs().max()) < 0.1


def test_it_reads_more_than_the_power_spectrum(network):
    _, boxes, known = held_out(network)
    pairs = make_pairs(network, None)
    random = phase_randomised(boxes, network.grid, torch.Generator().manual_seed(0))
    own, bare = (
        torch.cat([network(pairs[i][0].with_values(some[i : i + 1])).values for i in range(len(pairs))])[:, 0, 0, 0, 0]
        for some in (boxes, random)
    )
    true = known[:, 0, 0, 0, 0]
    assert np.corrcoef(own, true)[0, 1] > 0.9 > 0.8 > np.corrcoef(bare, true)[0, 1]


def test_the_tables_say_what_was_measured():
    known = np.array([[0.2, 0.8], [0.4, 0.6]])
    table = accuracy({"exact": known, "off": known * [1.1, 0.9]}, known)
    assert "| exact | 0.0 % | 0.0000 | 1.00 | 0.0 % | 0.0000 | 1.00 |" in table
    assert "| off | 10.0 % | 0.0316 | 0.90 | 10.0 % | 0.0707 | 0.50 |" in table
    boxes = torch.randn(2, 1, 32, 32, 32, generator=torch.Generator().manual_seed(0))
    made = altered(boxes)
    assert torch.equal(made["as simulated"], boxes) and all(one.shape == boxes.shape for one in made.values())


def test_the_network_answers_every_input_and_has_every_derivative():
    torch.manual_seed(0)
    small = ParameterNetwork(2, 3, 2).double()
    given = torch.randn(1, 1, 8, 8, 8, dtype=torch.float64) * 1e3
    assert small(given).isfinite().all() and small(given).shape == (1, 2)
    assert torch.autograd.gradgradcheck(small, torch.randn(1, 1, 4, 4, 4, dtype=torch.float64, requires_grad=True))


def test_its_answer_hardly_changes_in_a_mirror(network):
    given, _ = make_pairs(network, None)[0]
    off = network(given.with_values(given.values.flip(2))).values - network(given).values
    # Nothing in the network says so: it was learned, to less than its error.
    assert 0 < float(off[0, 0].abs().max()) < SPREAD["Omega_m"] and float(off[0, 1].abs().max()) < SPREAD["sigma_8"]


def test_the_recipe_is_there_whole_and_small_enough_to_ship():
    for part in ("publish", "rivals", "train", "universes"):
        importlib.import_module(f"probe.zoo.omega_m.recipe.{part}")
    assert (entries()["omega_m"].folder / "heldout" / "boxes.npy").stat().st_size < 2.5e6
