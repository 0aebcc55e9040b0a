"""`cosmology` against universes whose truth is known in closed form."""

from __future__ import annotations

import pickle
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from probe.data import open_cosmology, scaled
from probe.description import Cosmology, DataSource, Description, Truth, read_description
from probe.fields import Field, Quantity
from probe.interface import reopen, run
from probe.loading import wrap
from probe.model import FieldModel
from probe.runner import Plan, Silent, execute, make_pairs
from probe.universes import PairThere, Varied
from probe.waves import gaussian_field
from probe.zoo import entries
from probe.zoo.defects import GlobalNormalisation
from probe.zoo.oracles import SecondOrder
from probes_catalog.response.cosmology import Cosmology as Probe
from tests.models import CUBE, LINE, SQUARE, Function, on

EXACT = 1e-12
FILES = {"input": "in_*.npy", "target": "home_*.npy"}


def ask(model, controls="none", **keywords):
    settings = {"cosmology": keywords.pop("settings", {})}
    return run("cosmology", model, controls=controls, settings=settings, **keywords)["cosmology"]


def checks(result):
    return {check.name: check for check in result.checks}


def at_home(model, folder, truth, count=4):
    """The model with pairs on disk, described as if in that folder; inputs have a k^-2 spectrum and the rms described."""
    described = model.description
    for index in range(count):
        generator = torch.Generator().manual_seed(index)
        given = gaussian_field(described.grid, lambda k: k**-2, generator, described.channels_in)[None]
        given *= (described.inputs[0].rms or 1.0) / given.square().mean().sqrt()
        np.save(folder / f"in_{index}.npy", given[0].numpy())
        np.save(folder / f"home_{index}.npy", truth(given)[0].numpy())
    return described_as(model, data=DataSource(str(folder), **FILES), source=str(folder / "m.probe.toml"))


def moved(model, folder, truth, amplitude=1.0, name="", **there):
    """The model with one universe more: the inputs at home times the root of an amplitude, and what a truth makes of them."""
    name = name or f"A_s x {amplitude:g}"
    for path in sorted(folder.glob("in_*.npy")):
        given = torch.from_numpy(np.load(path))[None] * amplitude**0.5
        np.save(folder / f"{name}_{path.name}", truth(given)[0].numpy())
    files = ("in_*.npy", f"{name}_in_*.npy", amplitude**0.5)
    return described_as(model, cosmologies=(*model.description.cosmologies, Cosmology(name, amplitude, *files, **there)))


def described_as(model, **changes):
    described = replace(model.description, **changes)
    return FieldModel(model.network, described, dtype=torch.float64, sha256="0" * 64, code=model.code)


def ladder(model, folder, truth, amplitudes=(0.2, 0.8, 1.2, 1.8)):
    model = at_home(model, folder, truth)
    for amplitude in amplitudes:
        model = moved(model, folder, truth, amplitude)
    return model


def test_2lpt_is_exact_at_every_amplitude_of_2lpt(tmp_path):
    model = ladder(on(CUBE, SecondOrder(CUBE)), tmp_path, SecondOrder(CUBE), (0.2, 1.8))
    result = ask(model, ["identity", "lpt2", "linear_filter"])
    measured = result.measured["model"]
    assert list(measured.cosmology.values) == ["home", "A_s x 0.2", "A_s x 1.8"]
    assert float((measured.error_square / measured.true_square).max()) < EXACT**2
    for name in ("transfer_power", "transfer_amplitude", "correlation"):
        np.testing.assert_allclose(measured[name].values[:, :-1], 1, rtol=EXACT, err_msg=name)
    assert np.nanmax(measured.error_power.values) < EXACT**2
    assert result.checks[0].name == "beats_linear_filter" and result.checks[0].verdict == "pass"
    assert result.control_verdicts["lpt2"]["beats_linear_filter"] == "pass"
    assert result.control_verdicts["linear_filter"]["beats_linear_filter"] == "pass"
    assert result.control_verdicts["identity"]["beats_linear_filter"] != "pass"


def test_whoever_learned_one_amplitude_fails_away_from_home_and_there_alone(tmp_path):
    made = at_home(on(CUBE, SecondOrder(CUBE)), tmp_path, SecondOrder(CUBE))
    learned = replaced(made, nn.Sequential(GlobalNormalisation(1.0), Function(lambda x: 3.0 * x), SecondOrder(CUBE)))
    away = ask(moved(learned, tmp_path, SecondOrder(CUBE), 0.2), "all")
    assert away.checks[0].name == "beats_linear_filter" and away.checks[0].verdict == "fail"
    # The input is 1/sqrt(0.2) times too large, and so is what is linear of the answer.
    assert checks(away)["gain"].interval.value == pytest.approx(5**0.5, rel=0.05)
    assert ask(moved(learned, tmp_path, SecondOrder(CUBE), name="the same again"), "all").checks[0].verdict == "pass"


def replaced(model, network):
    """The same description around another network."""
    return FieldModel(network.double(), model.description, dtype=torch.float64, sha256="1" * 64)


@pytest.mark.parametrize("boundary", ["periodic", "none"])
@pytest.mark.parametrize("grid", [CUBE, SQUARE, LINE], ids=["3D", "2D", "1D"])
def test_a_gain_that_changes_elsewhere_is_measured_to_rounding(grid, boundary, tmp_path):
    model = at_home(on(replace(grid, boundary=boundary), lambda x: 0.8 * x), tmp_path, lambda x: 0.8 * x)
    result = ask(moved(model, tmp_path, lambda x: 1.0 * x, 1.8), "all")
    there = result.measured["model"].sel(cosmology="A_s x 1.8")
    expected = {"transfer_power": 0.64, "transfer_amplitude": 0.8, "correlation": 1, "error_power": 0.04}
    for name, value in expected.items():
        np.testing.assert_allclose(there[name].values[:-1], value, rtol=1e-9 if boundary == "none" else EXACT, err_msg=name)
    np.testing.assert_allclose(there.gain.values, 0.8, rtol=1e-9)
    np.testing.assert_allclose(there.error_square / there.true_square, 0.04, rtol=EXACT)
    # The filter fitted there is exact; one fitted at home would be off by as much as the model.
    assert result.checks[0].verdict == "fail"
    rival = result.measured["linear_filter"].sel(cosmology="A_s x 1.8")
    assert float((rival.error_square / rival.true_square).max()) < EXACT**2
    assert checks(result)["distance"].interval.value == pytest.approx(1.8**0.5, rel=EXACT)
    assert all("Hann" in panel.caption for panel in result.panels()[1:]) == (boundary == "none")


def test_the_growth_and_omega_m_there_enter_2lpt(tmp_path):
    growth, omega_m = 0.7, 0.2
    first = at_home(on(CUBE, SecondOrder(CUBE)), tmp_path, SecondOrder(CUBE))

    def grown(psi):  # second order goes with D^2 and Omega_m^(-1/143)
        return growth * psi + growth**2 * omega_m ** (-1 / 143) * (SecondOrder(CUBE)(psi) - psi)

    result = ask(moved(first, tmp_path, grown, name="open", growth_ratio=growth, omega_m=omega_m), ["lpt2", "identity"])
    lpt2, zeldovich = (result.measured[name].sel(cosmology="open") for name in ("lpt2", "identity"))
    assert float((lpt2.error_square / lpt2.true_square).max()) < EXACT**2
    second = [SecondOrder(CUBE)(x) - x for x in (torch.from_numpy(np.load(tmp_path / f"in_{i}.npy"))[None] for i in range(4))]
    expected = [float((growth**2 * omega_m ** (-1 / 143) * s).square().sum(1).mean()) for s in second]
    np.testing.assert_allclose(zeldovich.error_square, expected, rtol=EXACT)
    assert result.checks[0].name == "degradation" and result.checks[0].verdict == "fail"  # the model knows no growth but 1


class Damped(nn.Module):
    """The conditioning multiplies the field; or nothing does."""

    def __init__(self, listens=True):
        super().__init__()
        self.listens = listens

    def forward(self, x, drag):
        return x * drag.reshape(-1, *[1] * (x.ndim - 1)) if self.listens else 0.5 * x


def conditioned(network, grid=SQUARE, **changes):
    field = Quantity("u", rms=0.3)
    described = Description(grid, (field,), (field,), conditioning={"drag": {"default": 0.5, "bounds": [0.1, 0.9]}})
    return FieldModel(network, replace(described, **changes), dtype=torch.float64, sha256="2" * 64)


@pytest.mark.parametrize(("listens", "verdict"), [(True, "pass"), (False, "fail")])
def test_a_conditioned_network_is_called_under_the_parameters_there(listens, verdict, tmp_path):
    model = at_home(conditioned(Damped(listens)), tmp_path, lambda x: 0.5 * x)
    result = ask(moved(model, tmp_path, lambda x: 0.3 * x, name="weak drag", parameters={"drag": 0.3}), "all")
    error = result.measured["model"].sel(cosmology="weak drag")
    expected = 0.0 if listens else (0.2 / 0.3) ** 2
    np.testing.assert_allclose(error.error_square / error.true_square, expected, rtol=EXACT, atol=EXACT**2)
    assert result.checks[0].verdict == verdict
    # From 0.5 to 0.1 and to 0.9 the answer changes by 0.8 of it.
    change = result.measured["model"].change
    assert list(change.variation.values) == ["drag = 0.1", "drag = 0.9"]
    np.testing.assert_allclose(change, 0.8 if listens else 0.0, atol=EXACT)
    assert not result.measured["identity"].change.any() and checks(result)["conditioning"].verdict == "info"


def test_parameters_alone_are_varied_and_told_in_a_run_that_can_be_stored(tmp_path):
    result = ask(conditioned(Damped()), out=tmp_path / "run")
    assert result.verdict == "info" and [check.name for check in result.checks] == ["conditioning"]
    assert result.checks[0].interval.value == pytest.approx(0.8, rel=EXACT)
    assert [panel.variables for panel in result.panels()] == [("change",)]
    assert reopen(tmp_path / "run")["cosmology"].checks == result.checks


def lawful(network, law, **changes):
    model = conditioned(network, truth=Truth("mine:law"), **changes)
    return FieldModel(network, model.description, dtype=torch.float64, sha256="3" * 64, code={"mine:law": law})


@pytest.mark.parametrize(("listens", "verdict"), [(True, "pass"), (False, "fail")])
def test_a_law_is_the_truth_wherever_there_are_no_pairs(listens, verdict, tmp_path):
    def law(values, drag):
        return drag * values

    model = lawful(Damped(listens), law, cosmologies=(Cosmology("loud", amplitude=4.0),))
    model = at_home(model, tmp_path, lambda x: 0.5 * x)
    result = ask(model, "all")
    measured = result.measured["model"]
    assert list(measured.truth.values) == ["pairs", "law", "law", "law"]
    assert list(measured.cosmology.values) == ["home", "loud", "drag = 0.1", "drag = 0.9"]
    np.testing.assert_allclose(measured.true_square.sel(cosmology="loud") / measured.true_square.sel(cosmology="home"), 4)
    expected = [0, 0, 0, 0] if listens else [0, 0, 16, (0.4 / 0.9) ** 2]
    np.testing.assert_allclose((measured.error_square / measured.true_square)[:, 0], expected, rtol=EXACT, atol=EXACT**2)
    assert result.checks[0].verdict == verdict


def test_without_pairs_a_displacement_is_held_to_2lpt_on_large_scales():
    result = ask(on(CUBE, SecondOrder(CUBE)), ["identity", "lpt2"])
    measured = result.measured["model"]
    assert set(measured.truth.values) == {"2LPT"} and list(measured.amplitude.values) == [0.2, 0.8, 1.2, 1.8]
    large = checks(result)["large_scales"]
    assert result.verdict == large.verdict == "info" and large.interval.value < EXACT
    zeldovich = result.measured["identity"]
    # At first order the error of Zel'dovich goes with the root of A_s.
    share = np.sqrt(zeldovich.error_square / zeldovich.true_square).values
    linear = np.sqrt(zeldovich.error_square / zeldovich.input_square).values
    np.testing.assert_allclose(linear / linear[:1], np.sqrt(measured.amplitude.values / 0.2)[:, None] * np.ones(4), rtol=EXACT)
    assert (np.diff(share, axis=0) > 0).all()
    # Made inputs have the rms that is described; 0.2 lies farthest from it.
    assert checks(result)["distance"].interval.value == pytest.approx(0.2**0.5, rel=EXACT)


def test_several_outputs_and_numbers_may_at_most_double_their_error(tmp_path):
    field, number = Quantity("u", rms=0.3), Quantity("n", "number")

    def network(x):
        return torch.cat([1.01 * x, 1.01 * x.square().mean((2, 3), keepdim=True).expand_as(x)], 1)

    def truth(x):
        return network(x) / 1.01

    model = FieldModel(Function(network), Description(SQUARE, (field,), (field, number)), dtype=torch.float64)
    model = moved(at_home(model, tmp_path, truth), tmp_path, truth, 0.2)
    model = moved(model, tmp_path, lambda x: network(x) / 1.1, 1.8)
    for output in ("u", "n"):
        result = ask(model, "all", settings={"output": output})
        # 1 % at home, and 10 % where the truth is a tenth smaller.
        assert result.checks[0].name == "degradation" and result.checks[0].verdict == "fail"
        assert result.checks[0].interval.value == pytest.approx(10, rel=1e-8)
        # The rounding of 1e-14 that the ratio is held above is nothing beside 1 %.
        assert ask(model, settings={"output": output, "degradation_bound": 11.0}).verdict == "pass"
        for panel in result.panels():
            assert panel.figures and panel.text


@pytest.mark.parametrize("kind", ["pseudoscalar", "vector", "pseudovector"])
def test_every_kind_of_field_is_compared(kind, tmp_path):
    grid = CUBE if kind == "pseudovector" else SQUARE
    quantity = Quantity("u", kind, rms=0.3)
    model = FieldModel(Function(lambda x: 0.9 * x), Description(grid, (quantity,), (quantity,)), dtype=torch.float64)
    there = ask(ladder(model, tmp_path, lambda x: 1.0 * x, (0.2,))).measured["model"].sel(cosmology="A_s x 0.2")
    np.testing.assert_allclose(there.transfer_amplitude[:-1], 0.9, rtol=EXACT)


def test_the_interval_is_the_jackknife_of_the_logarithm_over_paired_simulations(tmp_path):
    result = ask(ladder(on(SQUARE, lambda x: 1.1 * x), tmp_path, lambda x: x + 0.3 * x.abs(), (1.8,)), ["linear_filter"])
    own, rival = (result.measured[name].error_square.sel(cosmology="A_s x 1.8").values for name in ("model", "linear_filter"))
    left = [np.log(np.delete(own, i).mean() / np.delete(rival, i).mean()) for i in range(4)]
    half = stats.t.ppf(0.9985, 3) * np.sqrt(3 / 4 * np.sum((left - np.mean(left)) ** 2))
    value = own.mean() / rival.mean()
    interval = result.checks[0].interval
    assert (interval.value, interval.low, interval.high) == pytest.approx(
        (value, value * np.exp(-half), value * np.exp(half)), rel=1e-9
    )
    # What a later run is compared by, input by input, belongs to the ratio itself.
    assert interval.samples == pytest.approx([4 * value - 3 * np.exp(one) for one in left], rel=1e-9)


def test_universes_need_not_have_as_many_simulations(tmp_path):
    model = ladder(on(SQUARE, lambda x: 1.1 * x), tmp_path, lambda x: x + 0.3 * x.abs(), (0.8, 1.8))
    few, many = model.description.cosmologies
    few = replace(few, input="in_[01].npy", target="A_s x 0.8_in_[01].npy")
    result = ask(described_as(model, cosmologies=(few, many)), "all")
    held = np.isfinite(result.measured["model"].error_square).sum("simulation")
    assert list(held.values) == [4, 2, 4] and "degradation" in checks(result)
    assert all(panel.figures for panel in result.panels())


def test_without_pairs_at_home_it_says_what_to_write(tmp_path):
    model = moved(at_home(on(SQUARE, lambda x: 0.9 * x), tmp_path, lambda x: x), tmp_path, lambda x: 1.0 * x, 0.8)
    found = checks(ask(described_as(model, data=DataSource()), "all"))
    assert found["gain"].interval.value == pytest.approx(0.9, rel=EXACT)
    assert found["degradation"].verdict == "not_applicable" and "[data]" in found["degradation"].sentence


def test_a_field_is_scaled_about_its_rest_and_a_number_is_not():
    quantities = (Quantity("rho", shift=1.0), Quantity("n", "number", shift=2.0))
    values = torch.tensor([1.5, 0.5, 1.0, 1.0, 7.0, 7.0, 7.0, 7.0], dtype=torch.float64).reshape(1, 2, 4)
    field = Field(values, replace(LINE, shape=(4,)), quantities)
    np.testing.assert_allclose(scaled(field, 0.5).values[0], [[1.25, 0.75, 1, 1], [7, 7, 7, 7]])
    assert scaled(field, 1.0) is field


def test_without_another_universe_it_says_what_to_write():
    result = ask(on(LINE, lambda x: x))
    assert result.verdict == "not_applicable" and "[[cosmology]]" in result.reason and "[conditioning]" in result.reason


@pytest.mark.parametrize(
    ("there", "sentence"),
    [
        (Cosmology("a", target="x_*.npy"), "'a' has a target alone"),
        (Cosmology("home", input="in_*.npy", target="in_*.npy"), "named 'home', as the model's own"),
        (Cosmology("a", input="in_*.npy", target="x_*.npy"), "holds 4 files like in_.* and 0 like x_"),
    ],
)
def test_pairs_that_are_not_there_are_told_by_this_probe_alone(there, sentence, tmp_path):
    model = at_home(on(LINE, lambda x: x), tmp_path, lambda x: x)
    both = run(["cosmology", "phase"], described_as(model, cosmologies=(there,)), controls="none", effort="quick")
    assert both["cosmology"].verdict == "error" and not both["phase"].failure
    assert re.search(sentence, both["cosmology"].failure)


def test_a_run_is_taken_up_again_until_the_pairs_there_change(tmp_path):
    model = ladder(on(SQUARE, lambda x: 0.9 * x), tmp_path, lambda x: 1.0 * x, (0.2,))

    def passes():
        plan = Plan([Probe()], model, make_pairs(model, None), wanted_controls=(), folder=tmp_path / "run")
        return execute(plan, resume=True)[0]["cosmology"].passes

    assert passes() == 8 and passes() == 0
    np.save(tmp_path / "A_s x 0.2_in_0.npy", 2 * np.load(tmp_path / "A_s x 0.2_in_0.npy"))
    assert passes() == 8


class Listener(Silent):
    def __init__(self):
        self.passes = 0

    def cost(self, passes, seconds):
        self.passes = passes


def test_the_passes_told_beforehand_are_those_taken(tmp_path):
    model = at_home(conditioned(Damped()), tmp_path, lambda x: 0.5 * x)
    model = moved(model, tmp_path, lambda x: 0.3 * x, 0.8, parameters={"drag": 0.3})
    listener = Listener()
    result = ask(model, progress=listener)
    # Four pairs here, four there, and four inputs at home and at two bounds.
    assert result.passes == listener.passes == 4 + 4 + 4 * 3


def test_cases_travel_to_other_processes():
    universe = Cosmology("a", parameters={"drag": 0.3})
    for case in (PairThere(universe, 1, "u"), Varied((universe,), 0)):
        assert pickle.loads(pickle.dumps(case)) == case


def test_what_the_zoo_ships_at_other_amplitudes_belongs_to_its_inputs():
    described = read_description(entries()["lpt2nbody"].description)
    assert [one.amplitude for one in described.cosmologies] == [0.2, 0.8, 1.2, 1.8]
    for universe in described.cosmologies:
        pairs = open_cosmology(universe, described)
        assert len(pairs) == 4 and universe.input_factor == pytest.approx(universe.amplitude**0.5, rel=1e-9)
        given, truth = (field.values.double() for field in pairs[0])
        home = torch.from_numpy(np.load(Path(described.folder / "heldout" / "za_000.npy"))).double()
        torch.testing.assert_close(given[0], universe.amplitude**0.5 * home, rtol=1e-6, atol=1e-6)
        # Most of a displacement is linear: 3 % to 10 % of its power is not, growing with the amplitude.
        lost = float((truth - given).square().sum() / truth.square().sum())
        assert 0.005 < lost < 0.12


def test_a_wrapped_network_goes_where_its_description_says(tmp_path):
    model = wrap(nn.Identity(), grid=LINE, input="scalar", output="scalar")
    made = at_home(model, tmp_path, lambda x: x)
    assert ask(moved(made, tmp_path, lambda x: x, 1.2), "all").checks[0].verdict == "pass"
