"""`transfer` against answers whose spectra are known in closed form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from probe.interface import run
from probe.zoo.oracles import Filter, gaussian_gain
from tests.models import CUBE, LINE, SQUARE, on, with_pairs


def ask(model, controls="none"):
    return run("transfer", model, controls=controls)["transfer"]


@pytest.mark.parametrize("grid", [CUBE, SQUARE, LINE], ids=["3D", "2D", "1D"])
def test_a_constant_gain_has_its_transfer_and_correlation_to_rounding(grid, tmp_path):
    gain = 0.8
    measured = ask(with_pairs(on(grid, lambda x: gain * x), tmp_path, lambda x: x)).measured["model"]
    for name, expected in (
        ("transfer_power", gain**2),
        ("transfer_amplitude", gain),
        ("correlation", 1),
        ("error_power", (1 - gain) ** 2),
    ):
        # The pairs hold nothing at Nyquist, which is all of a line's last shell.
        np.testing.assert_allclose(measured[name].values[:-1], expected, rtol=1e-12, err_msg=name)
    # 1 - r^2 from the residual: rounding squared, not rounding.
    assert float(measured.stochasticity.max(skipna=True)) < 1e-25


def test_the_error_power_is_t_plus_one_minus_two_r_root_t(tmp_path):
    noise = torch.randn(1, 3, 16, 16, 16, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    m = ask(with_pairs(on(CUBE, lambda x: x + 0.1 * noise), tmp_path, lambda x: x)).measured["model"]
    t, r = m.transfer_power.values[:, 0], m.correlation.values[:, 0]
    np.testing.assert_allclose(m.error_power.values[:, 0], t + 1 - 2 * r * np.sqrt(t), rtol=1e-9)


def test_the_best_linear_filter_is_beaten_by_the_truth_and_not_by_a_filter(tmp_path):
    def truth(x):
        return x + 0.05 * x.abs()

    best = {c.name: c.verdict for c in ask(with_pairs(on(LINE, truth), tmp_path, truth), "all").checks}
    assert best["beats_linear_filter"] == "pass"
    blurred = with_pairs(on(LINE, Filter(gaussian_gain(6 * LINE.spacing[0]), LINE)), tmp_path, truth, count=24)
    assert {c.name: c.verdict for c in ask(blurred, "all").checks}["beats_linear_filter"] == "fail"


def test_one_simulation_alone_is_inconclusive(tmp_path):
    model = with_pairs(on(LINE, lambda x: x), tmp_path, lambda x: x + 0.3 * x.abs(), count=1)
    assert {c.name: c.verdict for c in ask(model, "all").checks}["beats_linear_filter"] == "inconclusive"


def test_without_pairs_it_says_what_to_write():
    result = ask(on(LINE, lambda x: x))
    assert result.verdict == "not_applicable" and "[data]" in result.reason


@pytest.mark.parametrize("boundary", ["zero", "reflect", "none"])
@pytest.mark.parametrize("grid", [CUBE, SQUARE, LINE], ids=["3D", "2D", "1D"])
def test_within_walls_a_gain_is_found_at_every_scale_whatever_the_mean(grid, boundary, tmp_path):
    gain, walled = 0.8, replace(grid, boundary=boundary)
    result = ask(with_pairs(on(walled, lambda x: gain * x + 5.0), tmp_path, lambda x: x))
    measured = result.measured["model"]
    # The window spreads power to modes where the pairs hold none, by no more than rounding of the mean taken off: 5 eps.
    for name, expected in (("transfer_power", gain**2), ("correlation", 1), ("error_power", (1 - gain) ** 2)):
        np.testing.assert_allclose(measured[name].values[:-1], expected, rtol=1e-9, err_msg=name)
    assert all("Hann window" in panel.caption for index, panel in enumerate(result.panels()) if index != 2)
    # The total is that of all points, unseen through any window: the mean is in it.
    total = next(check for check in result.checks if check.name == "relative_error").interval.value
    expected = np.sqrt(
        ((gain - 1) ** 2 * measured.true_square + 25 * (3 if grid is CUBE else 1)).sum() / measured.true_square.sum()
    )
    assert total == pytest.approx(float(expected), rel=1e-6)


def test_within_walls_the_filter_is_beaten_by_the_truth_and_not_by_a_filter(tmp_path):
    walled = replace(LINE, boundary="zero")

    def truth(x):
        return x + 0.05 * x.abs()

    best = {c.name: c for c in ask(with_pairs(on(walled, truth), tmp_path, truth), "all").checks}
    assert best["beats_linear_filter"].verdict == "pass" and "Hann window" in best["shells_below_linear_filter"].sentence
    blurred = with_pairs(on(walled, Filter(gaussian_gain(6 * LINE.spacing[0]), LINE)), tmp_path, truth, count=24)
    assert {c.name: c.verdict for c in ask(blurred, "all").checks}["beats_linear_filter"] == "fail"


@pytest.mark.parametrize("stored", [np.float32, np.float64])
def test_a_shell_where_the_truth_is_its_files_rounding_has_no_ratio(stored, tmp_path):
    def smooth(x):
        modes = torch.fft.rfft(x)
        modes[..., 9:] = 0
        return torch.fft.irfft(modes, x.shape[-1])

    model = with_pairs(on(LINE, smooth), tmp_path, smooth)
    for path in tmp_path.glob("out_*.npy"):
        np.save(path, np.load(path).astype(stored))
    measured = ask(model).measured["model"]
    known = measured.shell_wavenumber.values < 8.5 * LINE.fundamental
    assert (np.isfinite(measured.transfer_power.values[:, 0]) == known).all()
