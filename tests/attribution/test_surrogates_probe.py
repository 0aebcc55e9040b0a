"""`surrogates` against numbers that are made of the spectrum, the values, or of neither; and networks that know less."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from probe.description import DataSource, Description
from probe.fields import Quantity
from probe.grid import Grid
from probe.interface import run
from probe.model import FieldModel
from probe.waves import gaussian_field
from probe.zoo.oracles import Filter
from tests.models import CUBE, LINE, SQUARE, Function, on, with_pairs

GRIDS = pytest.mark.parametrize(
    "grid", [Grid.cubic(12, 48.0, unit="Mpc/h"), SQUARE, Grid.cubic(256, 1.0, dimension=1, unit="m")], ids=["3D", "2D", "1D"]
)
SAMPLES = 24
# Of answers that have nothing to do with each other r^2 over 24 samples is above 0.35 once in 400 times.
UNRELATED = 0.35


def ask(model, controls="none", effort="default", **settings):
    return run("surrogates", model, controls=controls, effort=effort, settings={"surrogates": settings})["surrogates"]


def check_of(result, name):
    return next(check for check in result.checks if check.name == name)


def boxes(grid, count=SAMPLES):
    """Skewed fields of mean zero, each of its own amplitude, slope and skewness: (sample, 1, *grid), and ln of sigma."""
    draw, made = np.random.default_rng(0), []
    for place in range(count):
        slope = draw.uniform(-2.0, -0.5)
        one = gaussian_field(grid, lambda k, slope=slope: k**slope, torch.Generator().manual_seed(place))
        one = (draw.uniform(-1.0, 1.0) * one / one.std()).exp()
        made.append((one - one.mean()) / one.std() * draw.uniform(0.7, 1.4))
    fields = torch.stack(made)
    return fields, fields.flatten(1).std(1).log()[:, None]


def numbers_of(grid, folder, function, names, fields, truth=None):
    """A model whose answers are numbers, with pairs in `folder`."""
    truth = function(fields) if truth is None else truth
    np.save(folder / "in.npy", fields[:, 0].numpy())
    np.save(folder / "out.npy", truth.numpy())
    outputs = tuple(Quantity(name, "number") for name in names)
    described = Description(grid, (Quantity("x", rms=1.0),), outputs, data=DataSource(str(folder), "in.npy", "out.npy"))
    return FieldModel(Function(function), described, dtype=torch.float64)


def flat(values):
    return values[:, 0].flatten(1)


def beside(values):
    return torch.roll(values, 1, -1)


def statistics(grid):
    """Numbers by what they are made of: the spectrum, the values, the spectrum as neighbours, and neither."""

    def found(values):
        modes = torch.fft.rfftn(values, dim=grid.axes)
        k = grid.wavenumber()
        band = torch.fft.irfftn(modes * ((k > 1.5 * grid.fundamental) & (k < 5.5 * grid.fundamental)), s=grid.shape, dim=grid.axes)
        near = beside(values)
        return torch.stack(
            [
                flat(band).square().mean(1),
                flat(values).pow(3).mean(1),
                flat(values * near).mean(1),
                flat(values * near * (values - near)).mean(1),
            ],
            1,
        )

    return found


def shares(result, kind):
    """Squared correlation by target, from what is stored: draws pooled."""
    data = result.measured["model"]
    answer, made = data.answer.values, data.made.sel(kind=kind).values
    found = []
    for place in range(answer.shape[1]):
        table = np.cov(np.concatenate([answer[:, place : place + 1], made[..., place]], 1).T)
        spread = np.diag(table)[1:].mean()
        # The third moment of Gaussian quantiles is zero to rounding: nothing is kept of it.
        found.append(table[0, 1:].mean() ** 2 / (table[0, 0] * spread) if spread > 1e-20 * table[0, 0] else 0.0)
    return np.array(found)


@GRIDS
def test_each_number_is_kept_by_the_surrogates_that_hold_what_it_is_made_of(grid, tmp_path):
    names = ("band", "third", "neighbours", "three")
    result = ask(numbers_of(grid, tmp_path, statistics(grid), names, boxes(grid)[0]))
    data = result.measured["model"]
    exactly = [("power_spectrum", 0), ("power_spectrum", 2), ("one_point", 1), ("power_and_one_point", 1)]
    for kind, place in exactly:
        answer, made = data.answer.values[:, place, None], data.made.sel(kind=kind).values[..., place]
        # Sums of a thousand terms of size one, each exact to 2^-53, over a transform there and back.
        np.testing.assert_allclose(made, np.broadcast_to(answer, made.shape), rtol=0, atol=1e-12 * np.abs(answer).max())
        assert shares(result, kind)[place] == pytest.approx(1.0, abs=1e-12)
    for kind, place in (("one_point", 2), ("power_spectrum", 1), ("power_spectrum", 3), ("one_point", 3)):
        assert shares(result, kind)[place] < UNRELATED, (kind, names[place])
    for kind in ("power_spectrum", "one_point", "power_and_one_point", "gaussianised"):
        check = check_of(result, kind)
        assert check.verdict == "info" and check.interval.value == pytest.approx(shares(result, kind).mean(), rel=1e-9)
        assert 0 <= check.interval.low <= check.interval.value <= check.interval.high <= 1
    # Spectrum and values together come close to what either keeps.
    assert shares(result, "power_and_one_point")[2] > 0.9


@GRIDS
def test_a_network_that_reads_the_spectrum_beats_a_line_through_it_and_one_that_reads_the_mean_does_not(grid, tmp_path):
    fields, truth = boxes(grid)
    fields = fields + 0.1 * torch.randn(len(fields), *[1] * (1 + grid.dimension), generator=torch.Generator().manual_seed(9))
    right = numbers_of(
        grid, tmp_path, lambda v: flat(v).std(1)[:, None].log() + 1e-3 * flat(v).mean(1)[:, None], ("y",), fields, truth
    )
    result = ask(right)
    check = check_of(result, "beats_power_spectrum")
    assert result.verdict == check.verdict == "pass" and result.headline == check.sentence
    mean = float(truth.mean())
    blind = ask(numbers_of(grid, tmp_path, lambda v: mean + 0.3 * flat(v).mean(1)[:, None], ("y",), fields, truth))
    check = check_of(blind, "beats_power_spectrum")
    assert blind.verdict == check.verdict == "fail" and check.interval.low > 1
    # What it reads, the mean, is kept by all surrogates.
    for kind in ("power_spectrum", "one_point", "power_and_one_point", "gaussianised"):
        assert check_of(blind, kind).interval.value == pytest.approx(1.0, abs=1e-9)


def test_the_regressions_are_those_of_scikit_learn_on_spectra_by_numpy(tmp_path):
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import LeaveOneOut, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from probe.ridge import PENALTIES

    fields, truth = boxes(SQUARE)
    model = numbers_of(SQUARE, tmp_path, lambda v: flat(v).pow(2).mean(1)[:, None], ("y",), fields, truth)
    result = ask(model)
    data = result.measured["model"]
    n = np.fft.fftfreq(32, 1 / 32)
    shell = np.floor(np.hypot(n[:, None], n) + 0.5 + 1e-9).astype(int)
    shell[np.hypot(n[:, None], n) > 16] = 0
    square = np.abs(np.fft.fft2(fields[:, 0].numpy())) ** 2
    power = np.stack([np.log(square[:, shell == i].mean(1)) for i in range(1, 17)], 1)
    ordered = np.sort(fields.flatten(1).numpy(), 1)
    features = {"power_spectrum": power, "one_point": ordered[:, [int((i + 0.5) * 64) for i in range(16)]]}
    ratios = {}
    for name, rows in features.items():
        theirs = make_pipeline(StandardScaler(), RidgeCV((SAMPLES - 1) * PENALTIES))
        expected = cross_val_predict(theirs, rows, truth[:, 0].numpy(), cv=LeaveOneOut())
        np.testing.assert_allclose(data[f"from_{name}"].values[:, 0], expected, rtol=0, atol=1e-7)
        ratios[name] = np.mean((data.answer.values - truth.numpy()) ** 2) / np.mean((expected - truth[:, 0].numpy()) ** 2)
    assert check_of(result, "beats_power_spectrum").interval.value == pytest.approx(ratios["power_spectrum"], rel=1e-4)
    assert check_of(result, "beats_one_point").interval.value == pytest.approx(ratios["one_point"], rel=1e-4)


@pytest.mark.parametrize("grid", [CUBE, SQUARE, LINE], ids=["3D", "2D", "1D"])
def test_of_a_field_the_power_that_a_linear_filter_gives_is_kept_by_random_phases_and_nothing_is_judged(grid, tmp_path):
    filtered = Filter(lambda g: 1 / (1 + (g.wavenumber() * g.spacing[0]) ** 2), grid)
    model = with_pairs(on(grid, filtered), tmp_path, filtered)
    unasked = ask(model)
    assert unasked.verdict == "not_applicable" and "surrogates.targets" in unasked.reason
    result = ask(model, targets="power(1), power(3), power")
    data = result.measured["model"]
    assert result.verdict == "info" and result.headline == check_of(result, "power_spectrum").sentence
    assert check_of(result, "power_spectrum").interval.value == pytest.approx(1.0, abs=1e-12)
    made = data.made.sel(kind="power_spectrum").values
    np.testing.assert_allclose(made, np.broadcast_to(data.answer.values[:, None], made.shape), rtol=1e-9)
    assert data.target.values.tolist() == ["power(1)", "power(3)", "power"]
    assert "transfer" in check_of(result, "beats_power_spectrum").sentence


def test_what_a_surrogate_has_elsewhere_is_refused():
    result = ask(on(SQUARE, lambda x: x), targets="voxel(3, 4)")
    assert result.verdict == "not_applicable" and "elsewhere" in result.reason
    walled = ask(on(replace(SQUARE, boundary="reflect"), lambda x: x), targets="power(3)")
    assert walled.verdict == "not_applicable" and "periodic" in walled.reason


def test_vectors_pseudoscalars_and_numbers_go_in_together(tmp_path):
    grid = Grid.cubic(8, 32.0, unit="Mpc/h")
    inputs = (
        Quantity("psi", "vector", "displacement", rms=1.0),
        Quantity("w", "pseudoscalar", rms=1.0),
        Quantity("n", "number", rms=2.0),
    )

    def cross(values):
        """Power of psi, cross-power of psi_x and w, and the number."""
        return torch.stack(
            [
                values[:, :3].square().flatten(1).mean(1),
                (values[:, 0] * values[:, 3]).flatten(1).mean(1),
                3 * values[:, 4, 0, 0, 0],
            ],
            1,
        )

    outputs = tuple(Quantity(name, "number") for name in ("square", "cross", "triple"))
    result = ask(FieldModel(Function(cross), Description(grid, inputs, outputs), dtype=torch.float64), samples=9)
    data = result.measured["model"]
    # Random phases are the same for all channels, and shuffling moves them together: both keep products at one point.
    for kind in ("power_spectrum", "one_point"):
        made = data.made.sel(kind=kind).values
        expected = np.broadcast_to(data.answer.values[:, None], made.shape)
        np.testing.assert_allclose(made, expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    # Without pairs nothing is known to be right; the number is the same in all made inputs, and has no share.
    assert result.verdict == "info" and "needs pairs" in check_of(result, "beats_power_spectrum").sentence
    assert "triple" not in check_of(result, "one_point").sentence


def test_an_answer_that_is_always_the_same_keeps_nothing(tmp_path):
    fields, truth = boxes(SQUARE, 10)
    result = ask(numbers_of(SQUARE, tmp_path, lambda v: 0 * flat(v)[:, :1] + 0.3, ("y",), fields, truth))
    assert (
        check_of(result, "one_point").verdict == "not_applicable" and "the same for all" in check_of(result, "one_point").sentence
    )
    assert check_of(result, "beats_power_spectrum").verdict in ("fail", "inconclusive") and result.panels()


def test_few_pairs_and_truths_that_do_not_differ_are_said(tmp_path):
    fields, truth = boxes(SQUARE, 5)
    few = ask(numbers_of(SQUARE, tmp_path, lambda v: flat(v).std(1)[:, None], ("y",), fields, truth))
    assert "needs 8 pairs" in check_of(few, "beats_power_spectrum").sentence
    fields, truth = boxes(SQUARE, 9)
    alike = ask(numbers_of(SQUARE, tmp_path, lambda v: flat(v).std(1)[:, None], ("y",), fields, torch.ones_like(truth)))
    assert "the same in all pairs" in check_of(alike, "beats_power_spectrum").sentence
    two = ask(numbers_of(SQUARE, tmp_path, lambda v: flat(v).std(1)[:, None], ("y",), fields[:2], truth[:2]))
    assert two.verdict == "not_applicable" and "three or more" in two.reason


def test_a_truth_is_not_lost_beside_answers_that_are_far_too_large(tmp_path):
    fields, _ = boxes(SQUARE, 10)
    truth = flat(fields).square().mean(1)[:, None]
    model = numbers_of(SQUARE, tmp_path, lambda v: 1e6 * flat(v).square().mean(1)[:, None], ("y",), fields, truth)
    told = check_of(ask(FieldModel(model.network, model.description)), "power_spectrum").sentence  # float32
    assert "correlation with the truth 1.00 instead of 1.00" in told


def test_a_number_asked_for_by_its_place_is_held_against_its_own_truth(tmp_path):
    fields, truth = boxes(SQUARE, 9)
    model = numbers_of(SQUARE, tmp_path, lambda v: torch.cat([flat(v)[:, :1], flat(v).std(1)[:, None]], 1), ("a", "b"), fields)
    data = ask(model, targets="number(1)").measured["model"]
    assert data.target.values.tolist() == ["number(1)"]
    np.testing.assert_allclose(data.truth.values, truth.exp().numpy(), rtol=1e-12)
    np.testing.assert_allclose(data.answer.values, data.truth.values, rtol=1e-12)


@GRIDS
def test_figures_say_what_they_show(grid, tmp_path):
    fields, truth = boxes(grid, 10)
    result = ask(numbers_of(grid, tmp_path, lambda v: flat(v).std(1)[:, None].log(), ("y",), fields, truth), controls="untrained")
    scatter, bars = result.panels()
    for panel in (scatter, bars):
        assert len(panel.caption) > 40 and set(panel.variables) <= set(result.measured["model"].variables)
        for axes in panel.figures[0][1].axes:
            upright = any(shared.get_ylabel() for shared in axes.get_shared_y_axes().get_siblings(axes))
            assert axes.get_xlabel() and upright and (axes.get_lines() or axes.patches)
    assert "phases random" in scatter.text and "Error over variance: this model" in bars.text
    assert len(scatter.figures[0][1].axes) == 5 and len(bars.figures[0][1].axes) == 2
