"""The four probes on outputs that are numbers, on several inputs and outputs, and on what is normalised channel by channel."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from probe.equivariance import test_field as field_to_turn
from probe.fields import Quantity
from probe.interface import run
from probe.model import FieldModel
from probe.runner.subject import LocalSubject
from tests.models import CUBE, LINE, SQUARE, on, with_pairs

FIELD, NUMBER = Quantity("a", rms=1.0), Quantity("z", "number", shift=0.5, rms=0.1)


def made(grid, function, inputs, outputs):
    described = replace(on(grid, function).description, inputs=inputs, outputs=outputs)
    return FieldModel(on(grid, function).network, described, dtype=torch.float64)


def constant(values, like):
    """A number for each sample, held at every point."""
    return values.reshape(-1, 1, *[1] * (like.ndim - 2)).expand(-1, 1, *like.shape[2:])


def variance(values):
    return constant(values.square().flatten(1).mean(1), values)


def ask(probe, model, **settings):
    return run(probe, model, controls="none", settings={probe: settings})[probe]


@pytest.mark.parametrize("probe", ["plane_wave", "phase", "transfer"])
def test_a_number_has_no_modes(probe, tmp_path):
    model = made(SQUARE, variance, (FIELD,), (Quantity("power", "number"),))
    result = ask(probe, with_pairs(model, tmp_path, variance))
    assert result.verdict == "not_applicable"
    assert result.reason == "the output 'power' is a number, which has no modes"


def test_a_number_must_stay_the_same_when_its_input_is_turned():
    def leaning(values):
        return variance(values - values.roll(1, -1))

    for function, verdict in ((variance, "pass"), (leaning, "fail")):
        result = ask("rotation", made(SQUARE, function, (FIELD,), (Quantity("power", "number"),)), fields=20)
        checks = {check.name: check for check in result.checks}
        assert checks["square_group"].verdict == verdict
        assert "orientations" not in checks and "other_directions" not in checks
        assert [panel.title for panel in result.panels()] == ["Rotations of the lattice", "About which centre"]


def test_a_wave_goes_into_the_first_field_and_numbers_stand_at_their_shift():
    # f = z a in physical units, of which the network sees z - 0.5: the gain is the number's shift.
    model = made(LINE, lambda x: (x[:, :1] + 0.5) * x[:, 1:], (NUMBER, FIELD), (FIELD,))
    measured = ask("plane_wave", model).measured["model"]
    assert measured.attrs["input"] == "a"
    np.testing.assert_allclose(measured.response.values, 0.5, atol=1e-14)


def test_a_wave_cannot_be_put_into_a_number():
    model = made(LINE, lambda x: x[:, :1] * x[:, 1:], (NUMBER, FIELD), (FIELD,))
    for probe in ("plane_wave", "phase"):
        assert ask(probe, model, input="z").reason == "the input 'z' is a number, which has no modes"
    assert "give one of z, a" in ask("plane_wave", model, input="b").reason


def test_a_test_field_holds_numbers_and_the_rest_of_every_channel():
    flow = Quantity("v", "vector", rms=1e-3, shift=(2.0, -1.0, 0.0))
    model = made(CUBE, lambda x: x[:, 1:], (NUMBER, flow), (flow,))
    values = field_to_turn(LocalSubject("model", model, None, "default", 0, "rotation"), 0)[0].values[0]
    assert (values[0] == 0.5 + 0.1).all()
    # Gaussian fields have no mean: what is left is the shift, to rounding.
    np.testing.assert_allclose(values[1:].mean((1, 2, 3)), [2.0, -1.0, 0.0], atol=1e-14)
    assert float((values[1:] - torch.tensor([2.0, -1.0, 0.0]).reshape(3, 1, 1, 1)).square().mean().sqrt()) == pytest.approx(1e-3)


def test_inputs_normalised_channel_by_channel_are_asked_about_their_rest():
    # The network sees (x - shift) / scale of each; in physical units it gives the second channel times 0.7.
    upper, lower = Quantity("upper", shift=5.0, scale=1e-6), Quantity("lower", shift=-3.0, scale=1e-3)
    network = made(SQUARE, lambda x: 0.7 * x[:, 1:], (upper, lower), (replace(lower, name="out", shift=0.0),))
    for probe in ("plane_wave", "rotation", "phase"):
        assert ask(probe, network, input="lower").verdict in ("pass", "info"), probe
    measured = ask("plane_wave", network, input="lower", levels="0.2").measured["model"]
    np.testing.assert_allclose(measured.response.values, 0.7, atol=1e-12)
    # Without an rms the scale tells the size: level 0.2 is sqrt(2) 0.2 scale.
    assert float(measured.input_power.isel(mode=0, level=0).max()) > 0
    assert float(abs(ask("plane_wave", network, levels="0.2").measured["model"].response).max()) < 1e-12


def test_each_output_is_looked_at_by_itself(tmp_path):
    # The first output is isotropic and moves with its input; the second is louder on every second line along one axis.
    def two(x):
        louder = torch.ones(x.shape[2:], dtype=x.dtype)
        louder[::2] = 1.5
        return torch.cat([x, 1e6 * x * louder], 1)

    outputs = (replace(FIELD, name="good"), replace(FIELD, name="bad", unit="m"))
    model = with_pairs(made(SQUARE, two, (FIELD,), outputs), tmp_path, lambda x: torch.cat([x, 1e6 * x], 1))
    for probe in ("rotation", "phase"):
        first, second = (ask(probe, model, output=name, bound=0.02) for name in ("good", "bad"))
        assert first.verdict == "pass" and second.verdict == "fail", probe
        assert ask(probe, model, bound=0.02).checks[0].interval == first.checks[0].interval
        assert float(first.measured["model"].data_error.max()) < 1e-12 < float(second.measured["model"].data_error.max())
        # What it adds to its input is nothing; and the second, of another unit, cannot hold it.
    assert np.isnan(ask("rotation", model, output="good").measured["model"].added).all()
    assert (ask("rotation", model, output="bad").measured["model"].added == 1).all()


def test_a_number_among_the_outputs_is_passed_over():
    model = made(LINE, lambda x: torch.cat([variance(x), 0.6 * x], 1), (FIELD,), (NUMBER, FIELD))
    measured = ask("plane_wave", model, modes="5", levels=f"{1 / math.sqrt(2)}").measured["model"]
    assert measured.attrs["output"] == "a" and abs(measured.response.item()) == pytest.approx(0.6, rel=1e-13)


def test_a_response_has_the_unit_of_its_output_over_its_input():
    model = made(LINE, lambda x: 2 * x, (replace(FIELD, unit="m"),), (replace(FIELD, unit="m/s"),))
    measured = ask("plane_wave", model).measured["model"]
    assert measured.response.attrs["units"] == measured.harmonic_response.attrs["units"] == "(m/s)/(m)"
    assert (
        measured.transverse.attrs["units"]
        == ask("plane_wave", on(LINE, lambda x: x)).measured["model"].response.attrs["units"]
        == ""
    )
