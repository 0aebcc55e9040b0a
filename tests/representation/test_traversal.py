"""`traversal` against decoders whose every answer is known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from probe import latents, spectra
from probe.description import Representation
from probe.errors import InputError
from probe.fields import Quantity
from probe.interface import run
from probe.testing import certify
from probe.zoo.latent_defects import Deaf, Drawing, Leaking
from probe.zoo.oracles import Bottleneck
from probes_catalog.representation.traversal import Traversal
from tests.models import CUBE, LINE, SQUARE, Function
from tests.representation.models import GIVES, STD, bottleneck, coefficients, encoded, patterns, subject

GRIDS = pytest.mark.parametrize("grid", [CUBE, SQUARE, LINE], ids=["3D", "2D", "1D"])


def ask(model, controls="none", **settings):
    return run("traversal", model, controls=controls, settings={"traversal": settings})["traversal"]


def check(result, name):
    return next(one for one in result.checks if one.name == name)


def deaf(strength=1.0):
    return lambda encoder, decoder: Bottleneck(encoder, Deaf(decoder, 1, strength))


def leaking(strength):
    return lambda encoder, decoder: Bottleneck(encoder, Leaking(decoder, 2, 0, strength))


@GRIDS
@pytest.mark.parametrize("kind", ["scalar", "pseudoscalar", "vector", "pseudovector"])
def test_the_change_along_a_wave_has_its_closed_form(grid, kind):
    found = ask(bottleneck(grid, kind)).measured["model"]
    waves = patterns(grid, grid.dimension if "vector" in kind else 1).numpy()
    mean, own = coefficients(), coefficients()[:32]
    # Mean squares over points, summed over components: of each wave, and of the first 32 samples about the mean of all.
    square = (waves**2).reshape(3, waves.shape[1], -1).mean(2).sum(1)
    scatter = ((own - mean.mean(0)) ** 2 * square).sum(1).mean()
    for j in (0, 1):
        wanted = np.abs(found.value[j] - mean[:, j].mean()) * np.sqrt(square[j] / scatter)
        np.testing.assert_allclose(found.effect[j], wanted, rtol=1e-12, atol=1e-14)
    assert float(found.effect[2].max()) < 1e-15
    assert float(found.scatter) == pytest.approx(np.sqrt(scatter), rel=1e-12)


@GRIDS
def test_spectra_are_those_of_what_was_decoded(grid):
    found = ask(bottleneck(grid), points=3).measured["model"]
    waves, rest = patterns(grid, 1), torch.from_numpy(coefficients().mean(0))
    for place in range(3):
        z = rest.clone()
        z[1] = float(found.value[1, place])
        whole, change = (
            torch.tensordot(row, waves, 1)[None] for row in (z * torch.tensor([1, 1, 0]), (z - rest) * torch.tensor([0, 1, 0]))
        )
        np.testing.assert_allclose(found.power[1, place], spectra.power(whole, grid)[0], rtol=1e-9, atol=1e-20)
        np.testing.assert_allclose(found.power_change[1, place], spectra.power(change, grid)[0], rtol=1e-9, atol=1e-20)


def test_of_a_vector_the_component_that_moves_is_drawn_and_told():
    result = ask(bottleneck(CUBE, "vector"), points=3)
    assert check(result, "one_way").interval.value == pytest.approx(1)
    captions = {panel.title: panel.caption for panel in result.panels()}
    assert "component x" in captions["What latent 0 does"] and "component y" in captions["What latent 1 does"]


def test_what_is_rounding_is_no_effect():
    model = bottleneck(SQUARE, representation=Representation(layer="decoder"))  # waves without a mean: all samples are alike
    effect = check(ask(model), "effect")
    assert effect.verdict == "not_applicable" and "all decode to the same answer" in effect.sentence


def test_one_pair_has_no_scatter_to_compare_with():
    result = ask(bottleneck(LINE, samples=1))
    assert {one.name: one.verdict for one in result.checks} == {
        "active_decoded": "not_applicable", "dead_silent": "not_applicable", "effect": "not_applicable", "round_trip": "pass",
    }  # fmt: skip
    assert not any("nan" in panel.text for panel in result.panels())


def test_a_decoder_that_ignores_everything_fails_though_its_answers_have_no_scatter():
    model = bottleneck(LINE, change=lambda encoder, decoder: Bottleneck(encoder, Function(lambda z: 0 * decoder(z) + 1)))
    assert check(ask(model), "active_decoded").verdict == "fail"


def test_the_range_is_that_of_draws_so_that_a_dead_one_fills_the_prior():
    found = ask(bottleneck(LINE)).measured["model"].value.values
    # 0.5 % and 99.5 % of N(0, 1), as far as 64 strata tell.
    np.testing.assert_allclose(found[2, [0, -1]], [-2.576, 2.576], atol=0.2)
    from scipy.stats import norm

    mean, edges = coefficients()[:, 1], found[1, [0, -1]]
    np.testing.assert_allclose([norm.cdf((edge - mean) / STD[1]).mean() for edge in edges], [0.005, 0.995], atol=2e-3)
    wide = ask(bottleneck(LINE), extend=2.0, points=5).measured["model"].value.values
    assert np.ptp(wide[1]) == pytest.approx(2 * np.ptp(found[1])) and wide.shape == (3, 5)


def test_others_may_stay_at_those_of_a_sample():
    found = ask(bottleneck(LINE), others="sample", sample=5).measured["model"]
    waves = patterns(LINE, 1).numpy()[:, 0]
    np.testing.assert_allclose(found.shown_base[0], coefficients()[5, :2] @ waves[:2], atol=1e-12)
    np.testing.assert_allclose(
        found.shown[0, 3, 0], float(found.value[0, 3]) * waves[0] + coefficients()[5, 1] * waves[1], atol=1e-12
    )


DECODERS = {
    "replaced": (Representation("encoder", GIVES), {}),
    "submodule": (Representation("encoder", GIVES, "decoder"), {}),
    "method": (Representation("encoder", GIVES, "decode"), {}),
    "function": (Representation("encoder", GIVES, "my:decode"), {"my:decode": lambda network, z: network.decoder(z)}),
}


class WithMethod(Bottleneck):
    def decode(self, latents):
        return self.decoder(latents)


@pytest.mark.parametrize("way", DECODERS)
def test_every_way_of_decoding_gives_the_same(way):
    representation, code = DECODERS[way]
    model = bottleneck(SQUARE, change=WithMethod, representation=representation, code=code)
    asked = subject(model)
    z = torch.from_numpy(np.random.default_rng(3).normal(size=(5, 3)))
    found = latents.decoded(asked, z, 2).values
    torch.testing.assert_close(found, torch.tensordot(z, patterns(SQUARE, 1), 1), rtol=1e-12, atol=1e-13)
    assert model.passes == 5 and check(ask(model), "round_trip").verdict == "pass"


# Numbers that are asked about along a parameter, as by SciNet.


class Swing(nn.Module):
    """x(t) = z_0 cos(z_1 t), z read off the input's first two points."""

    def encode(self, values):
        return values[:, 0, :2]

    def decode(self, latents, t):
        return (latents[:, 0] * torch.cos(latents[:, 1] * t))[:, None]

    def forward(self, values, t):
        return self.decode(self.encode(values), t)


def swing(**about):
    draw = np.random.default_rng(2)
    inputs = np.zeros((40, 1, 64))
    inputs[:, 0, :2] = draw.uniform([0.5, 1.0], [1.5, 3.0], (40, 2))
    z = inputs[:, 0, :2]
    about = {"conditioning": {"t": {"default": 2.0, "bounds": [0.0, 5.0]}}} | about
    targets = (z[:, 0] * np.cos(z[:, 1] * 2.0))[:, None]
    representation = Representation("encode", decoder="decode", names=("size", "frequency"))
    return encoded(
        Swing(), LINE, inputs, targets, Quantity("x"), Quantity("swing", "number"), representation=representation, **about
    )


def test_a_number_is_decoded_along_the_parameter_that_has_bounds():
    result = ask(swing())
    found = result.measured["model"]
    t, rest = found.question.values, found.value.values.mean(1) * 0 + [1.0, 2.0]
    assert (t[0], t[-1], len(t)) == (0.0, 5.0, 51) and found.attrs["question"] == "t"
    z = subject(swing()).pairs.inputs[:, 0, :2]
    rest = z.mean(0)
    for place, value in enumerate(found.value.values[1]):
        np.testing.assert_allclose(found.answer[1, place, 0], rest[0] * np.cos(value * t), atol=1e-13)
    scatter = np.mean((z[:32, :1] * np.cos(z[:32, 1:] * t) - rest[0] * np.cos(rest[1] * t)) ** 2)
    change = np.mean((found.value.values[0][:, None] * np.cos(rest[1] * t) - rest[0] * np.cos(rest[1] * t)) ** 2, 1)
    np.testing.assert_allclose(found.effect[0], np.sqrt(change / scatter), rtol=1e-12, atol=1e-14)
    assert {one.name for one in result.checks} == {"round_trip", "effect", "one_way"} and result.verdict == "pass"
    titles = {panel.title: [label for label, _ in panel.figures] for panel in result.panels()}
    assert len(titles["What frequency does"]) == 9 and titles["What frequency does"][0].startswith("frequency = ")


def test_numbers_without_such_a_parameter_are_told_by_themselves():
    result = ask(swing(conditioning={"t": {"default": 2.0}}))
    found = result.measured["model"]
    assert found.answer.shape == (2, 9, 1, 1)
    np.testing.assert_allclose(found.answer[0, :, 0, 0] / found.value[0], np.cos(2 * subject(swing()).pairs.inputs[:, 0, 1].mean()))
    assert check(result, "one_way").interval.value <= 1
    assert [panel.title for panel in result.panels()] == ["How much each latent variable does", "Numbers along latent variables"]


# What must be caught


@pytest.mark.parametrize("strength, verdict", [(0.0, "pass"), (0.9, "pass"), (1.0, "fail")])
def test_a_decoder_that_ignores_an_active_variable_fails(strength, verdict):
    assert check(ask(bottleneck(LINE, change=deaf(strength))), "active_decoded").verdict == verdict


@pytest.mark.parametrize("strength, verdict", [(0.0, "pass"), (0.02, "pass"), (0.5, "fail")])
def test_a_dead_variable_that_changes_the_answer_fails(strength, verdict):
    assert check(ask(bottleneck(LINE, change=leaking(strength))), "dead_silent").verdict == verdict


def test_a_network_that_answers_otherwise_than_it_decodes_fails():
    result = ask(bottleneck(LINE, change=Drawing))
    assert check(result, "round_trip").verdict == "fail"
    swapped = bottleneck(LINE, representation=Representation("my:encoder", GIVES, "decoder"), code={"my:encoder": _swapped})
    assert check(ask(swapped), "round_trip").verdict == "fail"


def _swapped(network, values):
    mean, log_variance = network.encoder(values)
    return mean.flip(1), log_variance


def test_without_a_dead_variable_that_part_is_not_asked():
    result = ask(bottleneck(LINE, dead=()))
    assert check(result, "dead_silent").verdict == "not_applicable" and result.verdict == "pass"


@GRIDS
def test_the_certificate_holds(grid):
    certify(Traversal, oracle=bottleneck(grid), defect=bottleneck(grid, change=deaf()))


# A layer


@GRIDS
def test_a_component_of_a_layer_is_added_to_every_point(grid):
    mix = torch.tensor([[1.0, 2.0, 2.0]], dtype=torch.float64) / 3

    def spread(x):
        return torch.cat([x * row for row in mix[0]], 1)

    network = nn.Sequential(
        Function(spread), Function(lambda h: (h * torch.arange(1.0, 4.0).reshape(-1, *[1] * grid.dimension)).sum(1, keepdim=True))
    )
    fields = np.random.default_rng(5).normal(size=(20, 1, *grid.shape)) + np.random.default_rng(6).normal(
        size=(20, 1, *[1] * grid.dimension)
    )
    model = encoded(network, grid, fields, fields, Quantity("x"), representation=Representation(layer="0"))
    result = ask(model, others="sample", sample=3)
    found = result.measured["model"]
    # One component, (1, 2, 2)/3: a step dz along it is answered by dz (1 + 4 + 6)/3 at every point, and is the field's mean.
    own = fields[3].mean() - fields.mean()
    change = np.abs(found.value.values[0] - own) * 11 / 3
    centred = (fields[:20].reshape(20, -1).mean(1) - fields[3].mean()) * 11 / 3
    np.testing.assert_allclose(found.effect[0], change / np.sqrt((centred**2).mean()), rtol=1e-9)
    assert found.sizes["latent"] == 1 and check(result, "round_trip").verdict == "pass" and result.checks[0].name == "effect"


# Around it


def test_reasons_say_what_to_write():
    fields = np.zeros((4, 1, 64))
    model = encoded(Swing(), LINE, fields, fields, Quantity("x"), representation=Representation("encode"))
    assert "write decoder = ... in [representation]" in Traversal().reason(subject(model))
    few = encoded(Swing(), LINE, fields, fields, Quantity("x"), representation=Representation("encode", decoder="decode"))
    assert "there are 4 pairs, and none of number 9" in Traversal(sample=9).reason(subject(few))


def test_an_answer_of_another_shape_is_told():
    wrong = {"my:decode": lambda network, z: network.decoder(z)[..., ::2]}
    model = bottleneck(SQUARE, representation=Representation("encoder", GIVES, "my:decode"), code=wrong)
    with pytest.raises(InputError, match=r"the model returned the shape \(1, 1, 32, 16\)"):
        latents.decoded(subject(model), torch.zeros(1, 3), 0)


def test_the_untrained_twin_stands_beside_it():
    torch.manual_seed(0)

    class Dense(Bottleneck):
        def __init__(self):
            super().__init__(
                nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), nn.Sequential(nn.Linear(2, 64), nn.Unflatten(1, (1, 64)))
            )

        def forward(self, values):
            return self.decoder(self.encoder(values))

    fields = np.tensordot(coefficients(), patterns(LINE, 1).numpy(), 1)
    model = encoded(Dense().double(), LINE, fields, fields, Quantity("x"), representation=Representation("encoder"))
    result = ask(model, controls="all")
    assert set(result.measured) == {"model", "untrained"} and result.control_verdicts["untrained"]["round_trip"] == "pass"


@pytest.mark.parametrize("size", [1, 4, None])
def test_batches_change_nothing_and_passes_are_as_announced(size):
    found = ask(bottleneck(SQUARE).asked(size)).measured["model"]
    np.testing.assert_allclose(found.effect, ask(bottleneck(SQUARE)).measured["model"].effect, rtol=1e-12, atol=1e-14)


def test_large_fields_are_decoded_a_few_at_a_time(monkeypatch):
    whole = ask(bottleneck(SQUARE)).measured["model"]
    monkeypatch.setattr("probe.latents.traversal._HELD", 2 * SQUARE.size)
    seen = []
    decode = latents.traversal.decoded
    monkeypatch.setattr(
        "probe.latents.traversal.decoded", lambda *given, **more: seen.append(len(given[1])) or decode(*given, **more)
    )
    part = ask(bottleneck(SQUARE)).measured["model"]
    assert max(seen) == 2
    for name in ("effect", "shown", "power", "power_change"):
        np.testing.assert_allclose(part[name], whole[name], rtol=1e-12, atol=1e-14)
