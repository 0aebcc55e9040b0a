"""Probes held against a law that answers every made input, as against a simulator that was run on all of them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from probe.description import Truth
from probe.fields import Quantity
from probe.interface import run
from probe.model import FieldModel
from tests.models import LINE, SQUARE, on

AMOUNT = 2e-4  # nu T, of a box of side 1


def diffused(values, amount=AMOUNT):
    """The heat equation on a periodic box, solved mode by mode: H(k) = exp(-k^2 nu T)."""
    sides = 64 if values.ndim == 3 else 32
    n = torch.fft.fftfreq(sides, 1 / sides, dtype=torch.float64)
    square = sum(axis**2 for axis in torch.meshgrid(*[2 * math.pi * n] * (values.ndim - 2), indexing="ij"))
    axes = tuple(range(2, values.ndim))
    return torch.fft.ifftn(torch.fft.fftn(values, dim=axes) * torch.exp(-square * amount), dim=axes).real


def under(law, network, grid=LINE, **about):
    """A model whose truth is a law."""
    described = replace(on(grid, network).description, truth=Truth("laws:diffusion"), **about)
    return FieldModel(on(grid, network).network, described, code={"laws:diffusion": law}, dtype=torch.float64)


def ask(probe, model, **settings):
    return run(probe, model, controls=["simulator"], settings={probe: settings})[probe]


def test_the_law_itself_passes_and_is_called_the_law():
    result = ask("plane_wave", under(diffused, diffused))
    response, harmonics = result.checks[:2]
    assert response.verdict == harmonics.verdict == "pass" and response.interval.value < 1e-13
    assert "held against the law's own answers" in response.sentence and "convention" in response.bound_from
    measured = result.measured["simulator"]
    expected = np.exp(-AMOUNT * (2 * np.pi * np.array([mode_number(m) for m in measured.mode.values])) ** 2)
    np.testing.assert_allclose(measured.response.values, expected[:, None] * np.ones(4), atol=1e-14)
    assert [panel.title for panel in result.panels()][2] == "Validity map"
    words = " ".join(panel.caption for panel in result.panels())
    assert "the law" in words and "simulator" not in words + response.sentence + harmonics.sentence


def mode_number(label):
    return int(label.strip("()"))


def test_too_much_diffusion_fails_by_its_closed_form():
    response = ask("plane_wave", under(diffused, lambda x: diffused(x, 1.3 * AMOUNT)), modes="2,11", level=0.2).checks[0]
    k = 2 * math.pi * 11
    assert response.verdict == "fail"
    assert response.interval.value == pytest.approx(1 - math.exp(-0.3 * AMOUNT * k**2), rel=1e-12)


def test_of_a_wave_that_the_law_wipes_out_the_error_is_relative_to_a_tenth_of_the_largest():
    # exp(-k^2 nu T) is 0.73 for n = 2 and 1e-17 for n = 22.
    strong, left = 2e-3, 0.003

    def model(x):
        return diffused(x, strong) + left * x

    response = ask("plane_wave", under(lambda x: diffused(x, strong), model), modes="2,22", levels="0.2").checks[0]
    assert response.interval.value == pytest.approx(left / (0.1 * math.exp(-strong * (4 * math.pi) ** 2)), rel=1e-9)
    assert response.verdict == "pass" and "mode (22)" in response.sentence


def test_a_law_without_a_finite_answer_leaves_the_truth_unknown():
    response = ask("plane_wave", under(lambda x: x * math.nan, diffused)).checks[0]
    assert response.verdict == "info" and "no truth is known" in response.sentence


def test_a_law_that_answers_some_waves_says_how_many():
    def loud(x):
        return torch.where(x.abs().amax(-1, keepdim=True) < 0.5, x, math.nan)

    result = ask("plane_wave", under(loud, lambda x: x), modes="5,7", levels="0.2,0.9", level=0.9)
    assert {c.name: c.verdict for c in result.checks}["response"] == "info"
    quiet = ask("plane_wave", under(loud, lambda x: x), modes="5,7", levels="0.2,0.9", level=0.2).checks[0]
    assert quiet.verdict == "pass" and "the law's own answers" in quiet.sentence


@pytest.mark.parametrize(
    ("law", "said"),
    [
        (lambda x: 1 / 0, "the law laws:diffusion raised ZeroDivisionError"),
        (lambda x: x[..., :-1], "the law laws:diffusion returned one tensor of shape"),
        (lambda x: None, "the law laws:diffusion returned an object of type NoneType"),
    ],
    ids=["raises", "shape", "nothing"],
)
def test_a_law_that_goes_wrong_is_named(law, said):
    result = ask("plane_wave", under(law, lambda x: x), modes="5", levels="0.2")
    assert result.verdict == "error" and said in result.reason


def test_model_and_law_are_put_the_same_input_whatever_its_normalisation():
    # Nonlinear about the rest, and with the network's own view of the field turned back to physical values.
    def squared(x):
        return x**2

    about = Quantity("u", rms=1.0, shift=3.0, scale=2.0)
    model = under(squared, lambda seen: squared(2 * seen + 3), inputs=(about,), outputs=(Quantity("u", rms=1.0),))
    response, harmonics = ask("plane_wave", model, modes="5", levels="0.5").checks[:2]
    assert response.interval.value < 1e-13 and harmonics.interval.value < 1e-13
    # (3 + A cos)^2 = ... + 6 A cos + ...
    assert "gain 6 for 6" in response.sentence


def test_phase_and_rotation_speak_of_the_law():
    moved = ask("phase", under(diffused, diffused)).checks[0]
    assert moved.verdict == "pass" and "That of the law moves by" in moved.sentence
    turned = {
        c.name: c
        for c in ask("rotation", under(diffused, diffused, SQUARE, symmetries=on(SQUARE, diffused).description.symmetries)).checks
    }
    assert turned["other_directions"].verdict == "pass" and "that of the law differs too" in turned["other_directions"].sentence


class Listener:
    """Keeps what is told before the run."""

    def cost(self, passes, seconds):
        self.passes, self.seconds = passes, seconds

    def begin(self, probe, subject, passes): ...
    def advance(self, passes): ...
    def end(self, result): ...


@pytest.mark.parametrize(("law", "known"), [(diffused, True), (lambda x: 1 / 0, False)], ids=["answers", "raises"])
def test_the_time_of_a_law_is_told_where_it_answers(law, known):
    listener, model = Listener(), under(law, diffused)
    run("plane_wave", model, controls=["simulator"], progress=listener)
    # The passes told are the model's own.
    assert listener.passes == model.passes and math.isfinite(listener.seconds) == known


def test_a_phase_of_nothing_is_not_told():
    moved = ask("phase", under(lambda x: diffused(x, 1e-2), lambda x: x), mode="22").checks[0]
    assert moved.verdict == "pass" and "Of this wave the law leaves nothing" in moved.sentence
