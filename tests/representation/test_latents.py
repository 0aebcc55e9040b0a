"""`latents`, and the way to latent variables, against encoders whose every answer is known in closed form."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from probe import latents
from probe.description import DataSource, Description, Representation
from probe.errors import InputError
from probe.fields import Quantity
from probe.interface import run
from probe.model import FieldModel
from probe.testing import certify
from probe.zoo.latent_defects import Collapsed, Displaced
from probe.zoo.oracles import Bottleneck
from probes_catalog.representation.latents import Latents
from tests.command import call
from tests.models import CUBE, LINE, SQUARE, Function
from tests.representation.models import COUNT, STD, bottleneck, coefficients, encoded, patterns, recorded, subject

GRIDS = pytest.mark.parametrize("grid", [CUBE, SQUARE, LINE], ids=["3D", "2D", "1D"])
KINDS = pytest.mark.parametrize("kind", ["scalar", "pseudoscalar", "vector", "pseudovector"])


def ask(model, controls="none", **settings):
    return run("latents", model, controls=controls, settings={"latents": settings})["latents"]


def check(result, name):
    return next(one for one in result.checks if one.name == name)


@GRIDS
@KINDS
def test_latent_variables_of_a_linear_encoder_are_the_coefficients(grid, kind):
    found = latents.latents_of(subject(bottleneck(grid, kind)))
    np.testing.assert_allclose(found.mean[:, :2], coefficients()[:, :2], rtol=0, atol=1e-13)
    assert not found.mean[:, 2].any() and found.names == ("latent 0", "latent 1", "latent 2")
    np.testing.assert_allclose(found.std, np.broadcast_to(STD, (COUNT, 3)), rtol=1e-14)


@GRIDS
def test_what_is_told_has_its_closed_form(grid):
    result = ask(bottleneck(grid))
    mean, std = coefficients()[:, :2], np.array(STD[:2])
    kl = 0.5 * (mean**2 + std**2 - np.log(std**2) - 1)  # and that of the dead one is 0
    assert check(result, "divergence").interval.value == pytest.approx(kl.sum(1).mean(), rel=1e-12)
    assert check(result, "active").interval.value == 2 and check(result, "active").verdict == "pass"
    assert "dead: latent 2 (0)" in check(result, "active").sentence
    m, c = mean.mean(0), np.cov(mean.T, bias=True) + np.diag(std**2)
    joint = 0.5 * (m @ m + np.trace(c) - np.log(np.linalg.det(c)) - 2)
    assert check(result, "fills_prior").interval.value == pytest.approx(joint / 2, rel=1e-12)
    r = c[0, 1] / np.sqrt(c[0, 0] * c[1, 1])
    assert check(result, "correlation").interval.value == pytest.approx(r, rel=1e-12)
    assert result.passes == COUNT


def test_a_collapsed_encoder_fails():
    model = bottleneck(LINE, change=lambda encoder, decoder: Bottleneck(Collapsed(encoder), decoder))
    result = ask(model)
    assert check(result, "active").verdict == "fail" and result.verdict == "fail"
    assert check(result, "divergence").interval.value == pytest.approx(0, abs=1e-15)
    assert check(result, "fills_prior").verdict == "not_applicable"
    assert len(result.panels()) == 3


@pytest.mark.parametrize("off, verdict", [(0.0, "pass"), (1.0, "fail")])
def test_data_away_from_the_prior_fail_only_where_draws_of_it_are_decoded(off, verdict):
    model = bottleneck(LINE, std=(0.1, 0.7, 1.0), samples=400, change=lambda e, d: Bottleneck(Displaced(e, off), d))
    assert check(ask(model, sampled=True), "fills_prior").verdict == verdict
    assert check(ask(model), "fills_prior").verdict == "info"


def test_how_a_latent_variable_is_scaled_does_not_make_it_dead():
    small = 1e-4
    model = bottleneck(LINE, change=lambda e, d: Bottleneck(Function(lambda x: _shrunk(e(x), small)), d))
    assert check(ask(model), "active").interval.value == 2


def _shrunk(pair, by):
    mean, log_variance = pair
    return by * mean, log_variance + 2 * np.log(by)


class Many(nn.Module):
    """An encoder that says the same in every way there is."""

    def __init__(self, rows):
        super().__init__()
        self.register_buffer("rows", rows)
        self.inner = nn.Sequential(nn.Identity())

    def both(self, values):
        mean = values.flatten(1) @ self.rows.T
        return mean, (1 + mean.square()) / 10

    def items(self, values):
        mean, std = self.both(values)
        return std.log(), mean

    def blocks(self, values):
        mean, std = self.both(values)
        return torch.cat([mean, std.square()], 1)

    def listed(self, values):
        mean, std = self.both(values)
        return [mean[:, :, None], std[:, :, None].square().log()]

    def at(self, values, t):
        return self.both(values)[0] * t[:, None]

    def forward(self, values):
        return self.inner(values)


def _many(representation, code=None, **about):
    waves = patterns(LINE, 1, dead=())
    fields = np.tensordot(coefficients(), waves.numpy(), 1)
    network = Many(waves.flatten(1) / waves.flatten(1).square().sum(1, keepdim=True))
    return encoded(network, LINE, fields, fields, Quantity("x"), code=code, representation=representation, **about)


@pytest.mark.parametrize(
    "representation, code",
    [
        (Representation("items", ("log_std", "mean")), {}),
        (Representation("blocks", ("mean", "variance")), {}),
        (Representation("listed", ("mean", "log_variance")), {}),
        (Representation("my:encoder", ("mean", "std")), {"my:encoder": lambda network, values: network.both(values)}),
    ],
    ids=["method, tuple", "method, blocks", "method, list", "function"],
)
def test_every_way_of_saying_the_same_gives_the_same(representation, code):
    found = latents.latents_of(subject(_many(representation, code)))
    np.testing.assert_allclose(found.mean, coefficients(), atol=1e-13)
    np.testing.assert_allclose(found.std, (1 + coefficients() ** 2) / 10, rtol=1e-12)


def test_an_encoder_that_says_nothing_more_gives_means_alone():
    function = {"my:mean": lambda network, values: network.both(values)[0]}
    result = ask(_many(Representation("my:mean", names=("a", "b", "c")), function))
    assert "std" not in result.measured["model"] and list(result.measured["model"].latent.values) == ["a", "b", "c"]
    assert {one.name for one in result.checks} == {"active", "correlation"}


def test_each_pair_is_encoded_under_its_own_conditioning(tmp_path):
    (tmp_path / "t.csv").write_text("t\n" + "\n".join(f"{1 + i % 3}" for i in range(COUNT)))
    about = {"conditioning": {"t": {"default": 5.0}}, "data": DataSource("made:pairs", parameters="t.csv")}
    model = _many(Representation("at"), **about)
    model.description = replace(model.description, source=str(tmp_path / "m.probe.toml"))
    found = latents.latents_of(subject(model)).mean
    np.testing.assert_allclose(found, coefficients() * (1 + np.arange(COUNT) % 3)[:, None], atol=1e-13)
    assert [one.name for one in latents.known(subject(model))] == ["t", "x"]


@pytest.mark.parametrize("size", [1, 7, None])
def test_batches_change_nothing_and_every_pass_is_counted_once(size):
    model = bottleneck(SQUARE).asked(size)
    asked = subject(model)
    found = latents.latents_of(asked)
    assert latents.latents_of(asked) is found and model.passes == COUNT
    np.testing.assert_allclose(found.mean[:, 0], coefficients()[:, 0], atol=1e-13)


@GRIDS
def test_means_are_open_to_gradients(grid):
    asked = subject(bottleneck(grid))
    values = asked.pairs.given(0).values.requires_grad_()
    latents.latent_function(asked)(values)[0, 1].backward()
    wave = patterns(grid, 3 if grid is CUBE and values.shape[1] == 3 else 1)[1:2]
    torch.testing.assert_close(values.grad, wave / wave.square().sum(), rtol=1e-12, atol=0)


def test_draws_have_mean_and_spread_of_each_sample():
    found = latents.Latents(np.full((20000, 2), 3.0), np.full((20000, 2), [0.5, 2.0]), ("a", "b"), "")
    drawn = found.draw(0)
    np.testing.assert_allclose(drawn.mean(0), [3, 3], atol=0.06)
    np.testing.assert_allclose(drawn.std(0), [0.5, 2.0], rtol=0.03)
    # One variable after another, as the published recipe draws them.
    draw = np.random.default_rng(0)
    assert np.array_equal(drawn, np.stack([draw.normal(3.0, std, 20000) for std in (0.5, 2.0)], 1))
    assert np.array_equal(replace(found, std=None).draw(0), found.mean)


# A layer


class Mixed(nn.Module):
    """A pointwise mixing to five channels, of which two are independent, and back."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("mix", torch.randn(5, 2, generator=generator, dtype=torch.float64))
        self.layer = Function(
            lambda x: torch.einsum("cd,bd...->bc...", self.mix, torch.cat([x, 0.1 * torch.roll(x, 1, 2) ** 2], 1))
        )

    def forward(self, values):
        return self.layer(values).sum(1, keepdim=True)


@GRIDS
def test_components_of_a_layer_are_those_of_all_its_points(grid):
    fields = np.random.default_rng(1).normal(size=(6, 1, *grid.shape)) + np.arange(6).reshape(6, 1, *[1] * grid.dimension) / 5
    network = Mixed()
    model = encoded(network, grid, fields, fields, Quantity("x"), representation=Representation(layer="layer"))
    result = ask(model)
    points = np.moveaxis(network.layer(torch.from_numpy(fields)).numpy(), 1, -1)
    centred = points.reshape(-1, 5) - points.reshape(-1, 5).mean(0)
    _, singular, right = np.linalg.svd(centred, full_matrices=False)
    variances = singular**2 / len(centred)
    found = result.measured["model"]
    np.testing.assert_allclose(found.component_variance, variances, rtol=1e-9, atol=1e-12 * variances[0])
    ratio = variances.sum() ** 2 / (variances**2).sum()
    assert check(result, "participation").interval.value == pytest.approx(ratio, rel=1e-9)
    kept = found.sizes["latent"]
    own = centred.reshape(6, -1, 5).mean(1) @ right[:kept].T
    np.testing.assert_allclose(np.abs(found["mean"].values), np.abs(own), atol=1e-10)
    assert kept <= 2 and result.verdict == "pass" and len(result.panels()) == 2


def test_a_dead_layer_fails():
    network = nn.Sequential(Function(lambda x: torch.zeros_like(x)), nn.Identity())
    fields = np.random.default_rng(1).normal(size=(4, 1, 64))
    model = encoded(network, LINE, fields, fields, Quantity("x"), representation=Representation(layer="0"))
    assert check(ask(model), "participation").verdict == "fail"


# Recorded


def _recorded(folder: Path, **more: str) -> Path:
    draw = np.random.default_rng(0)
    mean, std = draw.normal(size=(50, 2)), np.full((50, 2), [0.1, 0.3])
    np.save(folder / "mean.npy", mean)
    np.savez(folder / "all.npz", std=std, profile=draw.normal(size=(7, 50)), r=np.arange(7.0), mass=mean[:, 0])
    text = 'schema = 1\n[representation]\nmean = "mean.npy"\nstd = "all.npz:std"\n[data]\nquantities = "known.npz"\n'
    np.savez(folder / "known.npz", profile=draw.normal(size=(7, 50)), r=np.arange(7.0), mass=mean[:, 0])
    coordinates = '[data.coordinates]\nprofile = { name = "radius", unit = "kpc", values = "r" }\n[data.units]\nmass = "Msun"\n'
    (folder / "halo.probe.toml").write_text(text + coordinates)
    return folder / "halo.probe.toml"


def test_recorded_latent_variables_need_no_network(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("probe.contract.Result.panels", lambda self: [])
    path = _recorded(tmp_path)
    status, _, err = call("run", "latents", "traversal", "transfer", "rotation", "--model", str(path), "--out", "new")
    assert status == 0, err
    document = json.loads((tmp_path / "new" / "run.json").read_text())
    verdicts = {one["name"]: (one["verdict"], one["reason"]) for one in document["probes"]}
    assert verdicts["latents"][0] == "pass"
    for name in ("traversal", "transfer", "rotation"):
        assert verdicts[name][0] == "not_applicable" and "no network" in verdicts[name][1]
    assert document["description"]["grid"] == {} and "[grid]" not in document["description_file"]
    # What was recorded is part of what a measurement depends on.
    np.save(tmp_path / "mean.npy", np.random.default_rng(1).normal(size=(50, 2)))
    assert call("run", "latents", "--model", str(path), "--out", "new", "--resume")[0] == 0
    again = json.loads((tmp_path / "new" / "run.json").read_text())
    assert again["probes"][0]["checks"][1]["value"] != document["probes"][0]["checks"][1]["value"]


def test_quantities_stand_beside_recorded_latent_variables(tmp_path):
    from probe.loading import load

    found = {one.name: one for one in latents.known(subject(load(_recorded(tmp_path))))}
    assert set(found) == {"profile", "mass"} and found["mass"].unit == "Msun" and found["mass"].coordinate is None
    assert found["profile"].values.shape == (50, 7)  # it lies as (7, 50)
    along = found["profile"].coordinate
    assert (along.name, along.unit, along.values.tolist()) == ("radius", "kpc", list(range(7)))


@pytest.mark.parametrize(("count", "verdict"), [(1, "inconclusive"), (2, "inconclusive"), (60, "pass")])
def test_one_sample_or_two_tell_nothing_of_others(count, verdict, tmp_path):
    mean = np.random.default_rng(0).normal(size=(60, 2))[:count]
    result = ask(recorded(tmp_path, mean, np.full((count, 2), 0.3)))
    assert check(result, "active").verdict == result.verdict == verdict
    assert "collapsed" not in check(result, "active").sentence
    for one in result.checks:
        if one.name in ("divergence", "fills_prior") and one.verdict == "info":
            assert one.interval.low >= 0
    assert not any("nan" in panel.text for panel in result.panels())


def test_a_spread_of_zero_throughout_is_none_and_one_of_some_is_told(tmp_path):
    mean = np.random.default_rng(0).normal(size=(60, 2))
    result = ask(recorded(tmp_path, mean, -0.0 * mean))
    assert {one.name for one in result.checks} == {"active", "correlation"} and result.verdict == "pass"
    half = ask(recorded(tmp_path, mean, np.tile([0.0, 0.5], (60, 1))))
    assert check(half, "divergence").verdict == "not_applicable" and "in 60 of 60 samples" in check(half, "divergence").sentence
    assert np.isfinite(check(half, "active").interval.high) and half.panels()


def test_latent_variables_that_cannot_be_squared_are_refused(tmp_path):
    with pytest.raises(InputError, match="some are no finite numbers"):
        latents.latents_of(subject(recorded(tmp_path, np.full((9, 2), 1e200))))


@pytest.mark.parametrize(
    "change, sentence",
    [
        (("[representation]", '[representation]\nnames = ["a", "a"]'), "representation.names names 'a' twice"),
        (('"mean.npy"', '"none.npy"'), "none.npy of recorded latent variables is not there"),
        (('"all.npz:std"', '"all.npz:mass"'), r"standard deviations in all.npz:mass have shape \(50, 1\)"),
        (('"all.npz:std"', '"mean.npy"'), "have negative values"),
        (('"mean.npy"', '"all.npz:profile"'), r"have shape \(50, 2\); expected \(7, 50\)"),
        (('"r" }', '"q" }'), "names 'q', which .*known.npz does not hold"),
        (("mass = ", "masses = "), "names 'masses', .*did you mean 'mass'"),
        (("[representation]", '[representation]\nnames = ["a"]'), "names 1 latent variables, and there are 2"),
        (("[representation]", '[representation]\nencoder = "e"'), "encoder and mean, each of which gives"),
        (("[representation]", "[grid]\nshape = [8]\nbox = 1\n[representation]"), "input is missing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_with_what_was_recorded_is_told(change, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = _recorded(tmp_path)
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(InputError, match=sentence):
        from probe.loading import load

        asked = subject(load(path))
        latents.latents_of(asked)
        latents.known(asked)


def test_inspect_tells_what_was_recorded_and_what_can_be_asked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = _recorded(tmp_path).name
    kind = np.array(["disc", "disc", "ball", "disc", "ball"] * 10)
    np.savez(tmp_path / "known.npz", profile=np.arange(350.0).reshape(7, 50), r=np.arange(7.0), mass=np.arange(50.0), kind=kind)
    status, out, _ = call("inspect", path)
    assert status == 0
    assert out.splitlines() == [
        "halo.probe.toml: latent variables that were recorded, and no network",
        "50 samples of 2 latent variables (latent 0, latent 1), of each mean and standard deviation",
        "quantities of each sample, from known.npz",
        "  profile  0 to 349, 7 points along radius, 0 to 6 kpc",
        "  mass     0 to 49 Msun",
        "  kind     2 classes: ball, disc",
        "probes that can be asked: latents, mutual_information",
        "next: probe run latents mutual_information --model halo.probe.toml",
    ]
    told = json.loads(call("inspect", path, "--format", "json")[1])
    assert told["samples"] == 50 and told["quantities"][1] == {
        "name": "mass", "unit": "Msun", "range": [0.0, 49.0], "classes": None, "coordinate": None,
    }  # fmt: skip
    text = (tmp_path / path).read_text()
    (tmp_path / path).write_text(text[: text.index("[data]")].replace('std = "all.npz:std"\n', ""))
    out = call("inspect", path)[1]
    assert "of each a mean, no standard deviation" in out and "write quantities = ... in [data]" in out
    assert "probes that can be asked: latents\n" in out


def test_inspect_runs_no_code_that_a_description_names_unless_it_is_passed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recorder.py").write_text(
        "from pathlib import Path\nimport numpy as np\nPath('ran').touch()\ndef mean(): return np.zeros((9, 2))\n"
    )
    (tmp_path / "r.probe.toml").write_text('schema = 1\n[representation]\nmean = "recorder:mean"\n')
    status, out, _ = call("inspect", "r.probe.toml")
    assert status == 0 and "given by code (recorder:mean)" in out and not (tmp_path / "ran").exists()
    assert out.splitlines()[-1] == "next: probe inspect r.probe.toml --spec r.probe.toml"
    assert json.loads(call("inspect", "r.probe.toml", "--format", "json")[1])["samples"] is None
    assert "9 samples of 2 latent variables" in call("inspect", "r.probe.toml", "--spec", "r.probe.toml")[1]


def test_weights_and_descriptions_of_none_are_not_mixed(place):
    _recorded(place)
    status, _, err = call("run", "latents", "--model", "ckpt.pt", "--spec", "halo.probe.toml")
    assert status == 2 and "describes no network" in err
    for words in (("run", "latents", "--model"), ("inspect",)):
        status, _, err = call(*words, "ckpt.probe.toml")
        assert status == 2 and "give its checkpoint with --model" in err


# What cannot be asked


def _reason(model):
    return Latents().reason(subject(model))


def test_reasons_say_what_to_write():
    plain = FieldModel(nn.Identity(), Description(LINE, (Quantity("a"),), (Quantity("a"),)))
    assert "write [representation] with encoder" in _reason(plain)
    plain.description = replace(plain.description, representation=Representation("encoder"))
    assert "give --data" in _reason(plain)
    fields = np.zeros((2, 1, 64))
    layered = encoded(nn.Identity(), LINE, fields, fields, Quantity("a"), representation=Representation(layer="0"))
    layered.network = torch.sin
    assert "plain callable" in _reason(layered)


@pytest.mark.parametrize(
    "representation, sentence",
    [
        (Representation("encode"), "has no part 'encode', .*did you mean 'encoder'"),
        (Representation("encoder"), r"gave a tuple of 2; say what each item is: gives = \[\"mean\""),
        (Representation("encoder", ("mean",)), "gave a tuple of 2; `gives` says mean"),
        (Representation("decoder", ("mean", "log_variance", "log_variance")[:2]), "gave 1 channels, no 2 equal blocks of mean"),
        (Representation("encoder", ("mean", "variance")), "no finite numbers, or have a negative spread"),
        (Representation("encoder", ("mean", "log_variance"), names=("a",)), "names 1 latent variables, and there are 3"),
    ],
)
def test_an_encoder_that_is_not_as_described_is_told(representation, sentence):
    model = bottleneck(LINE, representation=representation)
    with pytest.raises(InputError, match=sentence):
        latents.latents_of(subject(model))


def test_untrained_stands_beside_it():
    waves = patterns(LINE, 1)
    fields = np.tensordot(coefficients(), waves.numpy(), 1)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 2), Function(lambda z: z.sum(1)[:, None, None].expand(-1, 1, 64))).double()
    model = encoded(network, LINE, fields, fields, Quantity("x"), representation=Representation("1"))
    result = ask(model, controls="all")
    assert set(result.measured) == {"model", "untrained"}
    assert not np.allclose(result.measured["untrained"]["mean"], result.measured["model"]["mean"])
    assert len(result.panels()) == 3


def test_the_certificate_holds():
    collapsed = bottleneck(LINE, change=lambda encoder, decoder: Bottleneck(Collapsed(encoder), decoder))
    certify(Latents, oracle=bottleneck(LINE), defect=collapsed, values={"active": 2.0})
