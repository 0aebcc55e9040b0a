"""`consistency` against networks that are another function each time, by amounts worked out here."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from probe.description import Description
from probe.fields import Quantity
from probe.grid import Grid
from probe.interface import run
from probe.model import FieldModel
from probe.zoo.architectures import FNO
from probe.zoo.defects import BatchStatistics, DropoutLeftOn, GlobalNormalisation, Stateful
from tests.models import CUBE, LINE, SQUARE, Function, on

PLAIN = Quantity("field", rms=1.0)


def ask(model, **settings):
    return run("consistency", model, controls="none", settings={"consistency": settings})["consistency"]


def checks(result):
    return {check.name: check for check in result.checks}


def single(network, grid=LINE):
    """A float32 model of one scalar."""
    return FieldModel(network, Description(grid, (PLAIN,), (PLAIN,)), dtype=torch.float32)


def recorded(model, **settings):
    """The result, and all inputs of more than zeros that the network was given, in order."""
    seen, network = [], model.network

    def pass_by(x):
        if x.any():
            seen.append(x.clone())
        return network(x)

    assert model.stride  # estimated with a field of zeros, before anything else is asked
    model.network = Function(pass_by)
    return ask(model, **settings), seen


def convolution(grid):
    torch.manual_seed(0)
    kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[grid.dimension - 1]
    channels = 3 if grid.dimension == 3 else 1
    return kind(channels, channels, 5, padding=2, padding_mode="circular")


@pytest.mark.parametrize("grid", [CUBE, SQUARE, LINE], ids=["3D", "2D", "1D"])
def test_a_convolution_is_the_same_function_each_time_and_hears_as_far_as_its_kernel(grid):
    result = ask(on(grid, convolution(grid)))
    verdicts = {name: check.verdict for name, check in checks(result).items()}
    assert {verdicts[name] for name in ("repeat", "after_another", "batch_size", "batch_neighbours", "far")} == {"pass"}
    assert verdicts["tiles"] == "info" and checks(result)["tiles"].interval.value < 1e-14
    far = result.measured["model"].far
    assert far[0] > 0 and far[1] > 0 and float(far[2:].max()) == 0  # a kernel of five reaches two cells
    assert "it computes in float64 already" in checks(result)["precision"].sentence


def test_dropout_left_on_fails_and_nothing_finer_is_told():
    result = ask(on(LINE, DropoutLeftOn(0.5)))
    assert [check.verdict for check in result.checks] == ["fail", "fail", *["not_applicable"] * 6]
    # Of half the cells doubled and half lost the variance is x^2 each: two answers differ by sqrt(2) |x|, and each is as large.
    assert checks(result)["repeat"].interval.value == pytest.approx(1, abs=0.5)


def test_a_state_that_is_kept_between_calls_fails_by_its_closed_form():
    strength = 0.01
    result, seen = recorded(on(LINE, Stateful(strength)), fields=1)
    # Asked x, x, z, x the last answers x + s z, the second x + s x, the first x + s (what came before).
    calls = [i for i in range(len(seen) - 3) if torch.equal(seen[i], seen[i + 1]) and torch.equal(seen[i], seen[i + 3])]
    before, x, z = seen[calls[0] - 1], seen[calls[0]], seen[calls[0] + 2]
    first = x + strength * before if before.shape == x.shape else x
    for name, answer in (("repeat", x + strength * x), ("after_another", x + strength * z)):
        expected = float((answer - first).norm() / first.norm())
        assert checks(result)[name].interval.value == pytest.approx(expected, rel=1e-12, abs=1e-15)
    assert result.verdict == "fail"


def test_statistics_of_the_batch_fail_by_their_closed_form():
    result, seen = recorded(on(LINE, BatchStatistics(1.0)), fields=1, batch=3)
    quiet, loud = [x for x in seen if len(x) == 3]

    def scale(batch):
        return float((batch[0].square().mean() / batch.square().mean()).sqrt())

    assert checks(result)["batch_size"].interval.value == pytest.approx(abs(scale(quiet) - 1), rel=1e-12)
    expected = abs(scale(loud) - scale(quiet)) / scale(quiet)
    assert checks(result)["batch_neighbours"].interval.value == pytest.approx(expected, rel=1e-12)
    assert checks(result)["batch_size"].verdict == checks(result)["batch_neighbours"].verdict == "fail"
    assert checks(result)["repeat"].verdict == "pass"


def test_batch_normalisation_without_running_statistics_is_caught():
    result = ask(single(nn.BatchNorm1d(1, affine=False, track_running_stats=False)))
    assert checks(result)["batch_neighbours"].verdict == "fail"


def test_a_network_that_takes_one_sample_at_a_time_is_not_asked_in_batches():
    def alone(x):
        if len(x) > 1:
            raise RuntimeError("one by one")
        return 2 * x

    found = checks(ask(on(LINE, alone)))
    assert found["batch_size"].verdict == found["batch_neighbours"].verdict == "not_applicable" and found["far"].verdict == "pass"


def test_global_normalisation_is_heard_at_every_distance_by_its_closed_form():
    result, seen = recorded(on(LINE, GlobalNormalisation(1.0)), fields=1)
    tiled, louder = [x for x in seen if x.shape[2] == 4 * 64]
    expected = float(abs(tiled.square().mean().sqrt() / louder.square().mean().sqrt() - 1))
    # The change is the same factor everywhere: relative to the rms of the answer it follows that of the field.
    near = result.measured["model"].far.values
    field = (tiled[0, 0, 64:] / tiled.square().mean().sqrt()).numpy()
    np.testing.assert_allclose(near, expected * np.sqrt((field[:96] ** 2 + field[::-1][:96] ** 2) / 2), rtol=1e-10)
    assert checks(result)["far"].verdict == "fail" and checks(result)["tiles"].interval.value < 1e-14


def test_digits_lost_in_a_subtraction_are_told_by_the_size_of_the_rounding():
    # Near 10^6 float32 numbers lie 1/16 apart: rounding to them has rms (1/16)/sqrt(12), relative to a field of rms 1.
    result = ask(single(Function(lambda x: (x + 1e6) - 1e6)))
    assert checks(result)["precision"].interval.value == pytest.approx(1 / 16 / np.sqrt(12), rel=0.2)
    assert checks(result)["precision"].verdict == "fail" and checks(result)["repeat"].verdict == "pass"


def test_a_plain_callable_has_no_other_precision():
    model = FieldModel(lambda x: 2 * x, Description(LINE, (PLAIN,), (PLAIN,)))
    assert checks(ask(model))["precision"].verdict == "not_applicable"


def test_a_network_that_belongs_to_its_box_is_told_and_not_failed():
    torch.manual_seed(0)
    found = checks(ask(single(FNO(dimension=1, modes=8, width=4, layers=1), Grid.cubic(32, 1.0, dimension=1))))
    assert found["tiles"].verdict == "info" and "belongs to its box" in found["tiles"].sentence
    assert found["far"].verdict == "not_applicable"


@pytest.mark.parametrize(
    ("grid", "reason"),
    [
        (Grid.cubic(64, 1.0, dimension=1, boundary="none"), "tiles of a periodic field"),
        (Grid.cubic(64, 1.0, dimension=2), "set consistency.largest_box"),
    ],
)
def test_where_no_longer_box_is_asked_the_reason_is_told(grid, reason):
    found = checks(ask(single(nn.Identity(), grid), largest_box=2**13))
    assert found["far"].verdict == found["tiles"].verdict == "not_applicable" and reason in found["far"].sentence


def test_quick_effort_asks_no_longer_box():
    result = run("consistency", single(nn.Identity()), controls="none", effort="quick")["consistency"]
    assert checks(result)["far"].verdict == "not_applicable" and "--effort quick" in checks(result)["far"].sentence


def test_a_network_that_takes_only_its_own_box_is_told():
    def fixed(x):
        return x * torch.ones(64, dtype=x.dtype)

    assert "takes no longer box" in checks(ask(on(LINE, fixed)))["far"].sentence


def test_a_number_belongs_to_the_whole_box():
    described = Description(LINE, (PLAIN,), (Quantity("n", "number"),))
    result = ask(FieldModel(Function(lambda x: x.square().mean((1, 2))[:, None]), described, dtype=torch.float64))
    assert "belong to the whole box" in checks(result)["far"].sentence and result.verdict == "pass"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_gpu_rounds_otherwise_and_not_much():
    assert checks(ask(single(convolution(LINE))))["device"].verdict == "pass"
