"""What latent variables know: encoders whose information is known in closed form, blind and boastful ones, recorded ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import probe
from probe import interface
from probe.description import DataSource, Representation
from probe.errors import InputError
from probe.information import UNKNOWN, mixture
from probe.model import FieldModel
from probe.zoo import oracles
from tests import test_panels
from tests.models import Function
from tests.representation.models import recorded

LINE, PLANE, CUBE = (probe.Grid.cubic(8 if dimension > 1 else 4, 8.0, dimension) for dimension in (1, 2, 3))
COUNT, STD = 400, 0.5
EACH = 0.5 * np.log(1 + 1 / STD**2)  # of a draw about a factor of N(0, 1): 0.80 nats
needs_gmm_mi = pytest.mark.skipif(bool(mixture.refusal()), reason=mixture.refusal() or "gmm-mi is there")
FAST = {"n_inits": 1, "n_bootstrap": 10, "mc_samples": 20_000, "permutations": 100, "workers": 1}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def patterns(grid, width):
    """Two fields without overlap, of unit norm: (2, width, *shape)."""
    made = torch.zeros(2, width, *grid.shape, dtype=torch.float64)
    made[0, 0, ..., : grid.shape[-1] // 2], made[1, -1, ..., grid.shape[-1] // 2 :] = 1, 1
    return made / made.flatten(1).norm(dim=1).view(-1, *[1] * (grid.dimension + 1))


class Encoding(Function):
    """Gives back its input; its encoder reads the first two factors off, with a spread of `std`, and a third, dead variable."""

    def __init__(self, grid, width, reads=(0, 1), std=STD, said=None):
        super().__init__(lambda x: x)
        self.patterns, self.reads, self.std, self.said = patterns(grid, width), reads, std, said or std

    def encode(self, x):
        factors = (x.double()[:, None] * self.patterns).flatten(2).sum(2)
        dead = 1e-3 * factors[:, :1]
        mean = torch.cat([factors[:, self.reads], dead], 1)
        return mean, torch.full_like(mean, self.said) + torch.tensor([*[0.0] * len(self.reads), 1 - self.said])


def encoding(grid, vector=False, quantities=True, classes=False, count=COUNT, **how):
    """A model of fields a pattern_0 + b pattern_1, a and b from N(0, 1), with what is known of each."""
    width = grid.dimension if vector else 1
    network = Encoding(grid, width, **how)
    make = oracles.displacement_model if vector else oracles.scalar_model
    plain = make(network, grid, "encoding")

    def pairs():
        factors = np.random.default_rng(0).normal(size=(count, 2))
        fields = np.einsum("nf,f...->n...", factors, network.patterns.numpy())
        b = np.exp(factors[:, 1]) * 1e-8
        beside = {"a": factors[:, 0], "b": b} | ({"sign": np.where(factors[:, 0] > 0, "up", "down")} if classes else {})
        return (fields, fields, beside) if quantities else (fields, fields)

    where = Representation(encoder="encode", gives=("mean", "std"))
    described = replace(plain.description, representation=where, data=DataSource("made:pairs", units={"b": "kg"}))
    return FieldModel(network, described, code={"made:pairs": pairs}, dtype=torch.float64)


def ask(model, effort="quick", controls="none", **settings):
    given = {"mutual_information": FAST | settings}
    result = interface.run("mutual_information", model, effort=effort, controls=controls, settings=given)["mutual_information"]
    assert not result.failure, result.failure
    return result


@pytest.fixture(scope="module")
def heard():
    """One encoder, asked once."""
    return ask(encoding(PLANE, classes=True), factors=("a", "b"))


def check(result, name):
    return next(check for check in result.checks if check.name == name)


def knows(result):
    """Whether variable 0 knows a, variable 1 knows b, through exp and a unit of 1e-8, and the third, dead, nothing."""
    near, error = np.moveaxis(result.measured["model"].neighbours.values[:, :2], -1, 0)
    return (np.abs(near - np.array([[EACH, 0], [0, EACH], [0, 0]])) < 3.5 * error).all()


@pytest.mark.parametrize(("grid", "vector"), [(LINE, False), (CUBE, False), (CUBE, True)])
def test_neighbours_find_what_a_linear_encoder_knows_of_fields_of_any_kind(grid, vector):
    assert knows(ask(encoding(grid, vector), factors=("a", "b")))


def test_every_question_is_answered_of_an_encoder_that_is_known(heard):
    found = heard.measured["model"]
    assert knows(heard)
    assert 0.2 < float(found.neighbours[0, 2, 0]) < np.log(2)  # a class of two
    assert found.capacity.values == pytest.approx([EACH, EACH, 0], abs=0.07)
    assert {c.name: c.verdict for c in heard.checks} == {
        "factors_known": "pass", "pairs_known": "info", "latents_informative": "pass", "within_capacity": "pass",
        "estimators_agree": "not_applicable", "between_latents": "info", "information_gap": "info", "modularity": "info",
    }  # fmt: skip
    assert check(heard, "pairs_known").interval.value == 3
    assert "latent 2 cannot know anything" in check(heard, "latents_informative").sentence
    assert heard.checks[0].name == "factors_known" and heard.verdict == "pass"


def test_its_panels_and_variables_are_what_all_others_are(heard):
    for promise in (
        test_panels.test_no_panel_is_empty_and_every_axis_is_labelled,
        test_panels.test_every_panel_says_how_to_read_it_and_what_the_numbers_are,
        test_panels.test_what_is_stored_carries_its_unit,
    ):
        promise([heard, heard])


def test_of_many_variables_and_quantities_the_foremost_are_drawn(tmp_path):
    z = np.random.default_rng(0).normal(size=(60, 15))
    columns = {f"m{i}": z[:, i] for i in range(14)} | {"c": z[:, :3]}
    result = ask(recorded(tmp_path, z, np.full_like(z, 0.3), **columns), permutations=1000)
    shapes = {
        panel.title: panel.figures[0][1].axes[0].images[0].get_array().shape
        for panel in result.panels()
        if "on c" not in panel.title
    }
    assert shapes == {"Information on single quantities": (12, 12), "Information between latent variables": (11, 11)}
    (curve,) = (panel for panel in result.panels() if panel.title == "Information on c")
    assert "Of 15 latent variables the 8 that know most" in curve.caption
    assert "latent 0" in curve.text and "the others of nothing" in check(result, "pairs_known").sentence


@needs_gmm_mi
def test_both_estimators_stand_beside_one_another_and_agree():
    result = ask(encoding(PLANE), effort="default", factors=("a", "b"))
    found = result.measured["model"]
    mixed, error = np.moveaxis(found.mixtures.values, -1, 0)
    truth = np.array([[EACH, 0], [0, EACH], [0, 0]])
    # Ten bootstrap samples know their scatter to a quarter; each adds a bias of about 1/n.
    assert (np.abs(mixed[:, :2] - truth) < 4 * error[:, :2] + 3 / COUNT).all()
    assert check(result, "estimators_agree").verdict == "pass"
    assert result.verdict == "pass"


@needs_gmm_mi
def test_a_factor_that_no_variable_knows_fails():
    result = ask(encoding(PLANE, reads=(0,)), effort="default", factors=("a", "b"))
    found = check(result, "factors_known")
    assert found.verdict == "fail"
    assert "b is known least" in found.sentence


@needs_gmm_mi
def test_a_mean_that_is_taken_for_a_draw_boasts():
    result = ask(encoding(PLANE), draws=False)
    found = check(result, "within_capacity")
    assert found.verdict == "fail"
    assert "latent 2" in found.sentence and "The mean, not a draw" in found.sentence


def test_a_spread_that_hides_all_fails_though_the_means_know():
    result = ask(encoding(PLANE, std=30.0), factors=("a", "b"))
    assert check(result, "latents_informative").verdict == "info"
    assert check(result, "factors_known").verdict == "inconclusive"  # 400 samples leave 0.1 nats open to neighbours
    assert check(result, "pairs_known").interval.value == 0


@pytest.mark.parametrize(("drawn", "count"), [(1, 3), (0, 6)])
def test_what_a_draw_has_no_room_for_is_chance_whatever_its_p_value(heard, drawn, count):
    measured = heard.measured["model"].copy(deep=True).assign_attrs(drawn=drawn)
    measured["p_value"][2] = 0.0
    known = next(check for check in heard.probe.judge({"model": measured}) if check.name == "pairs_known")
    assert known.interval.value == count
    assert ("latent 2 of nothing" in known.sentence) == bool(drawn)


def test_units_and_bounds_change_without_the_model(heard):
    nats, kind = check(heard, "factors_known"), type(heard.probe)
    bits = kind(**heard.probe.values | {"unit": "bit", "least": 2.0}).judge(heard.measured)[0]
    assert bits.interval.value == pytest.approx(nats.interval.value / np.log(2))
    assert bits.unit == "bit" and bits.verdict == "fail" and bits.bounds[0] == pytest.approx(2 / np.log(2))
    assert "bit" in kind(unit="bit").draw(heard.measured)[0].text


def test_a_factor_that_nobody_knows_of_is_refused_with_the_nearest_name(heard):
    with pytest.raises(InputError, match=r"no quantity 'sing' \(did you mean 'sign'\?\)"):
        type(heard.probe)(factors=("sing",)).judge(heard.measured)


def test_without_a_table_the_fields_themselves_are_the_quantities():
    result = ask(encoding(PLANE, quantities=False, count=60))
    names = set(result.measured["model"].quantity.values.tolist())
    assert {name.partition(" of ")[0] for name in names} == {
        "mean", "standard deviation", "largest value", "ln P", "sigma(R)", "peak height", "ellipticity at the peak",
    }  # fmt: skip
    titles = [panel.title for panel in result.panels()]
    assert titles[0] == "Information on single quantities" and any("ln P" in title for title in titles)


def test_the_untrained_twin_is_put_to_neighbours_alone():
    result = ask(encoding(PLANE), controls="all")
    assert np.isnan(result.measured.get("untrained", result.measured["model"]).mixtures).all()


def test_recorded_variables_need_no_network(tmp_path):
    draw = np.random.default_rng(0)
    a = draw.normal(size=400)
    mean = np.stack([a, 1e-3 * a], 1)
    np.save(tmp_path / "mean.npy", mean)
    np.save(tmp_path / "std.npy", np.tile([0.3, 1.0], (400, 1)))
    profile = a[:, None] * np.linspace(0, 1, 3) + draw.normal(size=(400, 3))
    np.savez(tmp_path / "known.npz", profile=profile, mass=np.exp(a))
    (tmp_path / "latents.probe.toml").write_text(
        'schema = 1\n[representation]\nmean = "mean.npy"\nstd = "std.npy"\nnames = ["A", "B"]\n[data]\nquantities = "known.npz"\n'
        '[data.coordinates]\nprofile = { name = "r", unit = "Mpc/h", values = [0.1, 0.2, 0.4] }\n'
    )
    result = ask(probe.load(tmp_path / "latents.probe.toml"))
    assert result.verdict == "pass"
    found = result.measured["model"]
    assert found.target.values.tolist() == [*(f"profile at r = {r} Mpc/h" for r in (0.1, 0.2, 0.4)), "mass"]
    near = found.neighbours.sel(estimate="value").values
    assert near[0, 3] == pytest.approx(0.5 * np.log(1 + 1 / 0.09), abs=0.2)
    assert near[0, 2] == pytest.approx(-0.5 * np.log(1 - 1 / (1.09 * 2)), abs=0.15)
    assert {panel.title for panel in result.panels()} == {
        "Information on single quantities", "Information on profile", "Information between latent variables",
    }  # fmt: skip


def test_too_few_samples_are_a_reason_not_to_ask(tmp_path):
    mean = np.arange(20.0).reshape(10, 2)
    result = interface.run("mutual_information", recorded(tmp_path, mean, m=np.arange(10.0)), controls="none")["mutual_information"]
    assert (
        result.verdict == "not_applicable" and "it needs 30 samples, and hundreds to be of use; the data hold 10" in result.reason
    )


def test_where_there_is_nothing_to_know_no_variable_is_blamed(tmp_path):
    mean, still = np.random.default_rng(0).normal(size=(60, 2)), np.ones(60)
    std = np.full_like(mean, 0.3)
    result = ask(recorded(tmp_path, mean, std, m=still, k=still), factors=("m",))
    assert result.verdict == "info" and "nothing to know in m, k" in check(result, "pairs_known").sentence and result.panels()
    kind = (np.arange(60) == 3).astype(int)
    columns = {"m": still, "kind": kind, "a": mean[:, 0], "b": mean[:, 1]}
    some = ask(recorded(tmp_path, mean, std, 'categorical = ["kind"]\n', **columns), factors=("m", "a"))
    assert "nothing to know in m, kind" in check(some, "pairs_known").sentence
    assert check(some, "latents_informative").verdict == check(some, "factors_known").verdict == "pass"
    assert "Of 1 factors, a is known least" in check(some, "factors_known").sentence
    # A constant among the quantities does not silence what is said of the others.
    assert "modularity" in {one.name for one in ask(recorded(tmp_path, mean, std, m=still, a=mean[:, 0], b=mean[:, 1])).checks}


def test_names_of_samples_are_no_quantities(tmp_path):
    mean = np.random.default_rng(0).normal(size=(60, 2))
    model = recorded(tmp_path, mean, None, 'categorical = ["id"]\n', id=np.arange(60), a=mean[:, 0])
    assert ask(model).measured["model"].quantity.values.tolist() == ["a"]


def test_where_gmm_mi_fits_nothing_the_neighbours_stand_alone_and_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(mixture, "refusal", lambda: "")
    monkeypatch.setattr("probe.information.tabulate.from_mixtures", lambda tasks, *rest: [UNKNOWN] * len(tasks))
    monkeypatch.setattr("probe.information.seconds", lambda *given: 0.0)
    mean = np.random.default_rng(0).normal(size=(60, 2))
    result = ask(recorded(tmp_path, mean, np.full_like(mean, 0.3), a=mean[:, 0]), effort="default")
    assert check(result, "estimators_agree").sentence.startswith("gmm-mi could fit no mixture to any pair")
    assert result.measured["model"].attrs["failed"] == 2 and result.panels()


def test_a_network_without_latent_variables_is_told_what_to_write():
    result = interface.run("mutual_information", oracles.scalar_model(nn.Identity(), LINE, "plain"), controls="none")
    assert result["mutual_information"].verdict == "not_applicable"
    assert "[representation]" in result["mutual_information"].reason


def test_draws_are_of_the_seed_that_is_given():
    from probe.latents import Latents
    from probes_catalog.representation.mutual_information import MutualInformation

    found = Latents(np.arange(6.0).reshape(3, 2), np.ones((3, 2)), ("a", "b"), "")
    assert (MutualInformation(draw_seed=42)._drawn(None, found) == found.draw(42)).all()
    assert (MutualInformation(draw_seed=42, draws=False)._drawn(None, found) == found.mean).all()
