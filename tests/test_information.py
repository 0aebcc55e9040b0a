"""Mutual information: both estimators beside closed forms and quadrature, what must not change it, and what must be refused."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from probe.data import Coordinate, Known
from probe.errors import InputError
from probe.information import (
    NOTHING,
    Estimate,
    Task,
    columns,
    disentanglement,
    estimates,
    from_mixtures,
    mixture,
    neighbours,
    seconds,
    tabulate,
)
from probe.information.table import with_misfit

needs_gmm_mi = pytest.mark.skipif(bool(mixture.refusal()), reason=mixture.refusal() or "gmm-mi is there")
FEW = mixture.Settings(n_inits=1, n_bootstrap=10, MC_samples=20_000)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "fieldprobe" / "information"


def gaussian(rho, count, seed=0):
    x, y = np.random.default_rng(seed).normal(size=(2, count))
    return x, rho * x + np.sqrt(1 - rho**2) * y


def apart(one, other):
    """How far two estimates are from each other over the errors of both together."""
    return abs(one.value - other.value) / np.hypot(one.error, other.error)


def of_classes(shares, means):
    """Information of a normal variable with its class, by quadrature."""
    z = np.linspace(-12, 16, 400_001)
    own = np.exp(-((z - np.array(means)[:, None]) ** 2) / 2) / np.sqrt(2 * np.pi)
    both = np.array(shares) @ own
    return sum(p * np.trapezoid(f * np.log(np.maximum(f, 1e-300) / both), z) for p, f in zip(shares, own, strict=True))


@needs_gmm_mi
def test_gmm_mi_gives_its_published_number_from_raw_marginals_and_again_from_the_same_samples():
    x, y = np.random.default_rng(0).multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], 200).T
    found = mixture.estimated(x, y, settings=mixture.Settings(gaussianised=False))
    assert found.value == pytest.approx(0.2141, abs=5e-4)
    assert found.error == pytest.approx(0.0429, abs=5e-4)
    # A used estimator would give this for any other samples too.
    assert mixture.estimated(x, 0.01 * y - x, settings=FEW).value > 2


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6, 0.9])
def test_neighbours_find_what_two_gaussian_variables_know_of_one_another(rho):
    found = neighbours.estimated(*gaussian(rho, 1500))
    assert abs(found.value + 0.5 * np.log(1 - rho**2)) < 3 * max(found.error, neighbours.floor(neighbours.null(1500, None, 100)))


@needs_gmm_mi
@pytest.mark.slow
@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6, 0.9])
def test_mixtures_find_what_two_gaussian_variables_know_of_one_another(rho):
    found = mixture.estimated(*gaussian(rho, 600))
    # Each bootstrap adds a bias of about 1/n for the one free correlation.
    assert abs(found.value + 0.5 * np.log(1 - rho**2)) < 3 * found.error + 2 / 600


@pytest.mark.parametrize("estimator", [pytest.param(mixture, marks=needs_gmm_mi), neighbours])
def test_errors_are_as_wide_as_three_draws_scatter_about_the_truth(estimator):
    truth, settings = -0.5 * np.log(1 - 0.6**2), [replace(FEW, n_bootstrap=30)] if estimator is mixture else []
    found = [estimator.estimated(*gaussian(0.6, 500, seed), False, *settings) for seed in (1, 2, 3)]
    # Three squares of normal variables: 99.7 % of their sums lie between the two. benchmarks/README.md has hundreds of draws.
    assert 0.0319 < sum(((one.value - truth) / one.error) ** 2 for one in found) < 15.4


@needs_gmm_mi
def test_independent_lognormal_variables_know_nothing_of_one_another():
    x, y = np.exp(np.random.default_rng(3).normal(size=(2, 400)))
    mixed, near = mixture.estimated(x, y, settings=FEW), neighbours.estimated(x, y)
    assert mixed.value < 3 * mixed.error + 2 / 400
    assert neighbours.p_value(near.value, neighbours.null(400, None, 200)) > 0.05


@needs_gmm_mi
def test_a_straight_relation_takes_one_component_and_a_bent_one_several():
    x, y = gaussian(0.6, 300)
    assert mixture.estimated(x, y, settings=FEW).components == 1 < mixture.estimated(x, x**2 + y, settings=FEW).components


def test_what_so_few_components_may_miss_is_added_to_the_error_of_a_mixture():
    mixed, near = np.array([[0.5, 0.5, 0.5], [0.03, 0.03, 0.03]]), np.array([[0.54, 0.54, 0.5], [0.02, 0.02, 0.02]])
    assert with_misfit(mixed, near, np.array([1, 2, 7])) == pytest.approx([0.03, 0.05, 0.03], rel=1e-15)


@needs_gmm_mi
def test_one_to_one_maps_change_nothing():
    x, y = gaussian(0.6, 300)
    for mapped in (np.exp(3 * y), y * 1e-8, y**3):
        assert neighbours.estimated(x, mapped) == neighbours.estimated(x, y)
    assert mixture.estimated(np.exp(x), y * 1e-8, settings=FEW) == mixture.estimated(x, y, settings=FEW)


def test_information_of_mixtures_with_their_classes_is_that_of_the_quadrature():
    pytest.importorskip("gmm_mi")
    from gmm_mi.gmm import GMMWithMI

    one = np.ones((1, 1, 1))
    made = [GMMWithMI(1, weights_init=np.ones(1), means_init=np.array([[m]]), covariances_init=one) for m in (0.0, 1.5, -2.0)]
    shares = np.array([0.6, 0.1, 0.3])
    assert mixture.of_mixtures(made, shares) == pytest.approx(of_classes(shares, (0.0, 1.5, -2.0)), abs=2e-5)


@needs_gmm_mi
def test_classes_of_unequal_size_are_weighed_by_their_shares():
    draw = np.random.default_rng(1)
    rare = draw.random(1500) < 0.1
    x, truth = draw.normal(size=1500) + 2.5 * rare, of_classes((0.9, 0.1), (0.0, 2.5))
    mixed, near = (f(x, columns.labels(rare), True) for f in (lambda *a: mixture.estimated(*a, settings=FEW), neighbours.estimated))
    assert abs(mixed.value - truth) < 3.5 * mixed.error
    assert abs(near.value - truth) < 3.5 * near.error
    # As if the classes were equal: what the mode of gmm-mi would give.
    assert abs(of_classes((0.5, 0.5), (0.0, 2.5)) - truth) > 10 * mixed.error


@needs_gmm_mi
def test_a_class_of_few_samples_is_fitted_too():
    draw = np.random.default_rng(1)
    rare = np.arange(200) < 24
    found = mixture.estimated(draw.normal(size=200) + 3 * rare, columns.labels(rare), True, FEW)
    assert abs(found.value - of_classes((0.88, 0.12), (0.0, 3.0))) < 4 * found.error


def test_a_dead_latent_variable_is_silent_though_its_mean_by_its_ranks_knows_it_all():
    draw = np.random.default_rng(2)
    y = draw.normal(size=1000)
    mean, std = 1e-3 * (y + 0.2 * draw.normal(size=1000)), np.full(1000, 1.0)
    null = neighbours.null(1000, None, 100)
    assert neighbours.estimated(mean, y).value > 1.4  # 1/2 ln(1 + 25) = 1.63
    assert neighbours.p_value(neighbours.estimated(draw.normal(mean, std), y).value, null) > 0.05
    assert tabulate.capacity(mean[:, None], std[:, None])[0] < 1e-5


def test_a_draw_can_know_at_most_what_is_the_case_for_a_linear_gaussian_encoder():
    draw = np.random.default_rng(4)
    y = draw.normal(size=200_000)
    mean, std = 2.0 * y, np.full_like(y, 0.5)
    most = tabulate.capacity(mean[:, None], std[:, None])[0]
    assert most == pytest.approx(0.5 * np.log(1 + 4 / 0.25), abs=0.01)
    x = draw.normal(mean, std)[:4000]
    assert neighbours.estimated(x, y[:4000]).value == pytest.approx(most, abs=0.07)


def test_names_of_samples_hold_nothing_to_know():
    x, _ = gaussian(0.0, 60)
    once, rare = np.arange(60), (np.arange(60) == 3).astype(int)
    twice = np.repeat(np.arange(30), 2)
    assert columns.tells_nothing(once, True) and columns.tells_nothing(rare, True) and not columns.tells_nothing(twice, True)
    assert neighbours.estimated(x, once, True).value == 0
    # Halves of these hold classes that occur but once.
    assert np.isfinite(neighbours.estimated(x, twice, True).error)
    assert neighbours.p_value(0.0, neighbours.null(60, once, 20)) == 1


def test_equal_values_keep_their_information_as_numbers_and_as_classes():
    x, y = gaussian(0.9, 2000, seed=5)
    steps = np.floor(y)
    number, named = neighbours.estimated(x, steps), neighbours.estimated(x, columns.labels(steps), True)
    assert apart(number, named) < 3
    # Two columns of equal values each, independent: the random order of one must not be that of the other.
    near = neighbours.estimated(np.floor(x), np.floor(np.random.default_rng(6).normal(size=2000)))
    assert neighbours.p_value(near.value, neighbours.null(2000, None, 100)) > 0.05


def test_the_null_is_that_of_independent_variables_of_any_distribution():
    null, draw = neighbours.null(150, None, 400), np.random.default_rng(7)
    seen = [
        neighbours._of(columns.scores(draw.random(150))[:, None], columns.scores(draw.gamma(1, size=150), 1), False, 3)[0]
        for _ in range(300)
    ]
    found = np.array([neighbours.p_value(value, null) for value in seen])
    # 15 of 300 on average, with a scatter of 3.8 and that of the null's own quantile, 1.1 % of 300.
    assert 15 - 3 * 5 <= (found <= 0.05).sum() <= 15 + 3 * 5


def test_false_discoveries_are_held_to_their_share():
    p_values = np.array([[0.001, 0.02, 0.3], [0.012, 0.9, np.nan]])
    # By hand: 5 tests in ascending order against 0.05 i/5.
    assert disentanglement.found(p_values, 0.05).tolist() == [[True, True, False], [True, False, False]]
    assert not disentanglement.found(np.full((2, 2), np.nan), 0.05).any()


def test_gap_and_modularity_of_a_matrix_by_hand():
    information = np.array([[0.8, 0.0], [0.2, 0.6], [0.0, 0.0]])
    assert disentanglement.information_gap(information, np.array([1.0, 2.0])) == pytest.approx((0.6 + 0.3) / 2)
    assert disentanglement.modularity(information) == pytest.approx((1 + 1 - (0.2 / 0.6) ** 2) / 2)
    assert disentanglement.modularity(np.ones((2, 3))) == pytest.approx(0)
    assert np.isnan(disentanglement.modularity(np.ones((2, 1))))
    assert disentanglement.entropy(np.array([0, 0, 0, 1]), True) == pytest.approx(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))


def test_columns_that_cannot_be_asked_are_refused_in_a_sentence():
    good = np.arange(100.0)
    with pytest.raises(InputError, match="holds NaN or infinity in 2 samples"):
        columns.checked(np.where(good < 2, np.nan, good), "the quantity 'mass'")
    with pytest.raises(InputError, match="has 5 samples"):
        columns.checked(good[:5], "it")
    with pytest.raises(InputError, match="needs one number a sample"):
        columns.checked(np.ones((100, 2)), "it")


def test_a_constant_holds_no_information_and_nothing_is_fitted(monkeypatch):
    monkeypatch.setattr(mixture, "estimated", lambda *a: pytest.fail("fitted"))
    x, y = gaussian(0.5, 50)
    still = np.float32(3.7) * (1 + 1e-7 * np.sign(y))  # a constant, to single precision
    tasks = [Task(x, still, False, FEW), Task(still, y, False, FEW), Task(x, np.zeros(50, int), True, FEW)]
    assert from_mixtures(tasks, 1) == [NOTHING] * 3
    assert seconds(tasks) == 0


@needs_gmm_mi
def test_an_estimate_is_kept_and_only_asked_for_again_where_something_differs(cache, monkeypatch):
    x, y = gaussian(0.5, 60)
    calls = []
    monkeypatch.setattr(mixture, "estimated", lambda x, y, c, s: calls.append(s) or Estimate(0.1, 0.01))
    task, told = Task(x, y, False, FEW), []
    assert from_mixtures([task], 1, told.append) == from_mixtures([task], 1, told.append) == [Estimate(0.1, 0.01)]
    assert len(calls) == 1 and sum(told) == 2 and seconds([task]) == 0
    for other in (Task(x, y + 1e-9 * x, False, FEW), Task(x, y, False, mixture.Settings())):
        assert seconds([other]) > 0
        from_mixtures([other], 1)
    assert len(calls) == 3
    next(cache.iterdir()).write_text("cut sho")
    from_mixtures([task, other], 1)
    assert len(calls) <= 4


@needs_gmm_mi
@pytest.mark.slow
def test_processes_give_what_one_gives_from_a_script_without_a_guard(tmp_path):
    code = """
        import numpy as np
        from probe.information import Task, from_mixtures, mixture
        settings = mixture.Settings(n_inits=1, n_bootstrap=5, MC_samples=5000)
        x, y = np.random.default_rng(0).normal(size=(2, 100))
        tasks = [Task(x, x + y * s, False, settings) for s in (0.5, 1.0, 2.0)]
        told = []
        print([e.value for e in from_mixtures(tasks, WORKERS, told.append)], sum(told))
    """
    said = []
    for workers in (2, 1):
        script = tmp_path / "script.py"
        script.write_text(textwrap.dedent(code).replace("WORKERS", str(workers)))
        place = os.environ | {"XDG_CACHE_HOME": str(tmp_path / str(workers))}
        said.append(subprocess.run([sys.executable, script], env=place, capture_output=True, text=True, check=True).stdout)
    assert said[0] == said[1]
    values = eval(said[0].rpartition("] ")[0] + "]")
    assert all(a > b for a, b in pairwise(values))


def test_a_scikit_learn_that_gmm_mi_breaks_with_is_named(monkeypatch):
    monkeypatch.setattr(mixture, "version", {"gmm-mi": "0.8.2", "scikit-learn": "1.7.2"}.__getitem__)
    assert "breaks with scikit-learn 1.7.2" in mixture.refusal()
    monkeypatch.setattr(mixture, "version", {"gmm-mi": "0.8.2", "scikit-learn": "1.8rc1"}.__getitem__)
    assert "breaks with scikit-learn 1.8rc1" in mixture.refusal()
    monkeypatch.setattr(mixture, "version", {"gmm-mi": "0.8.2", "scikit-learn": "1.6.1"}.__getitem__)
    assert mixture.refusal() == ""

    def absent(name):
        raise mixture.PackageNotFoundError(name)

    monkeypatch.setattr(mixture, "version", absent)
    assert "fieldprobe[mi]" in mixture.refusal()


def test_a_fit_that_fails_is_no_number(monkeypatch):
    def singular(*given):
        raise ValueError("Fitting the mixture model failed because some components have ill-defined empirical covariance")

    monkeypatch.setattr(mixture, "_of_numbers", singular)
    found = mixture.estimated(*gaussian(0.5, 50))
    assert np.isnan(found.value) and np.isnan(found.error)


def test_curves_are_thinned_with_their_ends_and_single_quantities_kept():
    values = np.random.default_rng(0).normal(size=(40, 9))
    known = [Known("mass", values[:, 0], "Msun/h"), Known("rho", values, "", Coordinate("r", "Mpc/h", np.arange(9.0)))]
    every = tabulate.targets(known)
    assert [every[i].coordinate for i in tabulate.thinned(every, 3)][1:] == [0.0, 4.0, 8.0]
    assert tabulate.thinned(every, None) == list(range(10))
    assert tabulate.thinned(every, 1) == [0, 1]
    assert every[3].label == "rho at r = 2 Mpc/h" and every[0].label == "mass"


def test_what_is_announced_grows_with_samples_and_settings_and_is_spread_over_processes(monkeypatch):
    default = mixture.Settings()
    for count, quickest, slowest in ((240, 1.0, 5.7), (1000, 0.7, 14.5), (4332, 1.5, 62.4)):  # as they were measured
        low, high = estimates.lasts(count, default)
        assert 0.5 * quickest < low < 2 * quickest and slowest < high < 2 * slowest
    assert estimates.lasts(240, replace(default, n_inits=6, n_bootstrap=100))[1] == 2 * estimates.lasts(240, default)[1]
    monkeypatch.setattr(estimates, "_kept", lambda task: None)
    x, y = gaussian(0.5, 240)
    tasks = [Task(x, y + i, False, default) for i in range(4)]
    alone, spread, one = (seconds(*given) - estimates._START for given in ((tasks, 1), (tasks, 4), (tasks[:1], 4)))
    assert alone == pytest.approx(4 * spread) == pytest.approx(4 * one)
    # Of 39 pairs and a null of 1000, measured at 4332 samples: 13 and 15 s.
    assert neighbours.seconds(4332, 39, 1000) == pytest.approx(28, rel=0.3)


@pytest.mark.realdata
@pytest.mark.skipif("PROBE_REALDATA" not in os.environ, reason="PROBE_REALDATA names no folder of networks and data")
def test_published_latent_variables_know_of_haloes_what_was_published():
    folder = os.environ["PROBE_REALDATA"] + "/ive_halos/"
    mean, std = (np.load(f"{folder}latent_{word}_11_testset_epoch_27.npy") for word in ("mean", "std"))
    density = np.load(folder + "true_log_rho_per_radial_bin_sim11_testset.npy")
    draw = np.random.default_rng(42)
    drawn = [draw.normal(mean[:, i], std[:, i], 4332) for i in range(3)]
    # gmm-mi by itself with the published settings.
    assert apart(neighbours.estimated(drawn[0], density[4]), Estimate(0.3213, 0.0112)) < 2
    if not mixture.refusal():
        assert mixture.estimated(drawn[0], density[4], settings=FEW).value == pytest.approx(0.3213, abs=2 * 0.0112)
