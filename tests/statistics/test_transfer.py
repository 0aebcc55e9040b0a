"""`transfer` against answers whose spectra are known in closed form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from probe import redshift
from probe.description import DataSource, Symmetries
from probe.fields import Quantity
from probe.interface import run
from probe.model import FieldModel
from probe.zoo.oracles import PSI, Filter, displacement_model, gaussian_gain
from tests.models import CUBE, LINE, SQUARE, Function, on, with_pairs
from tests.test_painting import by_particle


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


@pytest.mark.parametrize("grid", [CUBE, SQUARE, LINE], ids=["3D", "2D", "1D"])
@pytest.mark.parametrize("level", [0.0, 2.0])
def test_a_truth_that_is_the_same_everywhere_has_no_scales(grid, level, tmp_path):
    result = ask(with_pairs(on(grid, lambda x: x * 0 + 3.0), tmp_path, lambda x: x * 0 + level, count=2), "all")
    found = {check.name: check for check in result.checks}
    assert result.verdict == ("info" if level else "not_applicable") and not result.failure
    assert "rounding at every scale" in found["beats_linear_filter"].sentence
    if level:
        assert found["relative_error"].interval.value == pytest.approx(0.5, rel=1e-12)
    else:
        assert list(found) == ["beats_linear_filter"]
    assert [panel.title for panel in result.panels()] == ["Slices and residuals"]


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


# --- of displacements: along and across k, and the density ---------------------------------------------------------------------


def displacements(grid, function):
    psi, model = (replace(PSI, unit=grid.unit),), displacement_model(Function(function), grid, "made")
    return FieldModel(model.network, replace(model.description, inputs=psi, outputs=psi), dtype=torch.float64)


def in_parts(grid, along, across):
    """A vector field's part along k times one number, what lies across times another."""

    def answer(x):
        k = torch.stack([one.expand(grid.half_shape) for one in grid.wavevectors()])
        square = (k**2).sum(0)
        square[(0,) * grid.dimension] = 1
        modes = torch.fft.rfftn(x, dim=grid.axes)
        ahead = k * ((k * modes).sum(1, keepdim=True) / square)
        return torch.fft.irfftn(across * modes + (along - across) * ahead, s=grid.shape, dim=grid.axes)

    return answer


@pytest.mark.parametrize("grid", [CUBE, SQUARE], ids=["3D", "2D"])
def test_what_lies_along_k_and_what_lies_across_are_told_apart_to_rounding(grid, tmp_path):
    result = ask(with_pairs(displacements(grid, in_parts(grid, 0.9, 0.5)), tmp_path, lambda x: x))
    m = result.measured["model"]
    # The pairs hold nothing at Nyquist, where k has no one direction.
    for name, gain in (("longitudinal_", 0.9), ("transverse_", 0.5)):
        np.testing.assert_allclose(m[name + "transfer_amplitude"][:, 0], gain, rtol=1e-10)
        np.testing.assert_allclose(m[name + "correlation"][:, 0], 1, rtol=1e-10)
        np.testing.assert_allclose(m[name + "error_power"][:, 0], (1 - gain) ** 2, rtol=1e-9)
    np.testing.assert_allclose(m.longitudinal_power_true + m.transverse_power_true, m.power_true, rtol=1e-10)
    assert any("psi along k and psi across k" in panel.title and len(panel.figures) == 2 for panel in result.panels())


@pytest.mark.parametrize("grid", [CUBE, SQUARE, LINE], ids=["3D", "2D", "1D"])
def test_a_displacement_that_is_off_by_a_cell_paints_the_same_density_a_cell_away(grid, tmp_path):
    def off(x):
        moved = x.clone()
        moved[:, 0] += grid.spacing[0]
        return moved

    size = 0.7 * min(grid.spacing)  # cells, so that the particles are no lattice
    result = ask(with_pairs(displacements(grid, lambda x: off(size * x)), tmp_path, lambda x: size * x, count=1))
    m = result.measured["model"]
    # P_pred is P_true; the cross power of a mode is cos(k_x h) of it.
    np.testing.assert_allclose(m.density_transfer_power[:-1, 0], 1, rtol=1e-9)
    np.testing.assert_allclose(m.error_power[:-1, 0], 0, atol=1e-20)
    truth = torch.from_numpy(np.load(tmp_path / "out_0.npy"))[None]
    power = torch.from_numpy(np.abs(by_particle(truth, grid, grid)) ** 2)
    shells, turn = grid.shells(), torch.cos(grid.wavevectors()[0] * grid.spacing[0]).expand(grid.half_shape)
    low = (shells.wavenumber < 0.5 * grid.nyquist).numpy()
    expected = shells.sum(power * turn, grid) / shells.sum(power, grid)
    # Against the particles themselves. At half of Nyquist the image m = 2 of particles not far from their lattice has
    # (0.25/1.75)^3 of TSC's window and 1.75/0.25 times the amplitude: 2 %, 4 % of the power where a shell holds one wave.
    np.testing.assert_allclose(m.density_correlation[low, 0], expected[low], atol=5e-3)
    exact = shells.sum(power, grid) / shells.modes * grid.volume / grid.size**2
    np.testing.assert_allclose(m.density_power_true[0, low], exact[low], rtol=4e-2)
    check = next(check for check in result.checks if check.name == "density")
    assert check.verdict == "info" and "the density is off by" in check.sentence
    assert any("density of psi" in panel.title for panel in result.panels())


def test_the_density_is_compared_with_that_of_the_rival(tmp_path):
    size = 0.7 * min(CUBE.spacing)
    model = with_pairs(displacements(CUBE, lambda x: size * x), tmp_path, lambda x: size * x)
    result = run("transfer", model, controls=["linear_filter"])["transfer"]
    own, rival = (result.measured[name] for name in ("model", "linear_filter"))
    assert float(own.density_error_square.max()) == 0 and float(rival.density_error_square.max()) < 1e-20
    (sentence,) = (check.sentence for check in result.checks if check.name == "density")
    assert "that of the best linear filter of the input by" in sentence


@pytest.mark.parametrize(
    ("grid", "quantity"),
    [
        (CUBE, replace(PSI, quantity="velocity")),
        (CUBE, replace(PSI, unit="cell")),
        (replace(CUBE, boundary="zero"), PSI),
    ],
    ids=["velocity", "other_unit", "walls"],
)
def test_what_cannot_be_painted_has_no_density(grid, quantity, tmp_path):
    model = displacements(grid, lambda x: x)
    described = replace(model.description, inputs=(quantity,), outputs=(quantity,))
    result = ask(with_pairs(FieldModel(model.network, described, dtype=torch.float64), tmp_path, lambda x: x))
    assert not [name for name in result.measured["model"] if name.startswith("density")]
    assert "density" not in [check.name for check in result.checks]


@pytest.mark.parametrize("assignment", ["cic", "tsc"])
def test_the_assignment_is_a_parameter(assignment, tmp_path):
    model = with_pairs(displacements(SQUARE, lambda x: x), tmp_path, lambda x: x, count=1)
    result = run("transfer", model, controls="none", settings={"transfer": {"assignment": assignment}})["transfer"]
    assert result.probe.assignment == assignment and "density_power_true" in result.measured["model"]


# --- one simulation and another ------------------------------------------------------------------------------------------------


def noisy(count, tmp_path, loud=1.0):
    """Truths that differ from the answers by white noise, of the last simulation by `loud` times as much."""
    generator, made = torch.Generator().manual_seed(5), []

    def truth(x):
        made.append(None)
        level = 0.1 * (loud if len(made) == count else 1)
        return x + level * torch.randn(x.shape, generator=generator, dtype=x.dtype)

    return with_pairs(on(SQUARE, lambda x: x), tmp_path, truth, count=count)


def test_white_errors_scatter_between_simulations_as_their_modes_say(tmp_path):
    check = next(c for c in ask(noisy(16, tmp_path)).checks if c.name == "generalisation")
    # A variance of 16 in 16 shells: one in sqrt(2 * 15 * 16) = 22 of its root, one standard deviation.
    assert check.interval.value == pytest.approx(1, abs=3 / 22)
    assert check.interval.low < 1 < check.interval.high


def test_a_simulation_that_stands_apart_is_named(tmp_path):
    check = next(c for c in ask(noisy(16, tmp_path, loud=3.0)).checks if c.name == "generalisation")
    assert check.interval.value > 3 and check.sentence.endswith("out_15.")


def test_many_simulations_have_a_covariance_and_few_have_none(tmp_path):
    result = ask(noisy(20, tmp_path))
    m = result.measured["model"]
    for side in ("true", "pred"):
        np.testing.assert_allclose(
            m[f"power_correlation_{side}"].values[:-1, :-1], np.corrcoef(m[f"power_{side}"].values.T)[:-1, :-1], atol=1e-12
        )
    assert result.panels()[-1].title == "Covariance of P(k)" and "scatter" in result.panels()[-1].text.lower()
    (tmp_path / "few").mkdir()
    few = ask(noisy(4, tmp_path / "few"))
    assert "power_correlation_true" not in few.measured["model"] and few.panels()[-1].title == "Simulation by simulation"


# --- a scalar of another kind ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "verdict"), [(1.0, "pass"), (0.0, "fail")])
def test_from_one_scalar_to_another_the_best_filter_judges(share, verdict, tmp_path):
    inputs, outputs = (Quantity("q", "pseudoscalar", unit="1/s"),), (Quantity("S", unit="1/s^2"),)

    def truth(x):
        return torch.roll(x, 1, -1) + torch.roll(x, -1, -1) + 0.3 * (x**2 - 1)

    def answer(x):
        return share * truth(x)

    model = on(SQUARE, answer)
    described = replace(model.description, inputs=inputs, outputs=outputs, data=DataSource("", "in_*.npy", "out_*.npy"))
    made = with_pairs(FieldModel(model.network, described, dtype=torch.float64), tmp_path, truth)
    result = run("transfer", made, controls="all")["transfer"]
    headline = result.checks[0]
    assert headline.name == "beats_linear_filter" and headline.verdict == verdict
    assert "identity" not in result.measured and "linear_filter" in result.measured


@pytest.mark.parametrize("grid", [CUBE, SQUARE, LINE], ids=["3D", "2D", "1D"])
def test_every_panel_tells_numbers_and_draws(grid, tmp_path):
    size = 0.7 * min(grid.spacing)
    result = ask(with_pairs(displacements(grid, lambda x: 0.9 * size * x), tmp_path, lambda x: size * x), ["identity"])
    for panel in result.panels():
        assert panel.figures and "nan" not in panel.text and any(digit in panel.text for digit in "0123456789")
        assert all(name in result.measured["model"] or name == "modes" for name in panel.variables)
        assert all(axes.has_data() for _, figure in panel.figures for axes in figure.axes)


# --- velocities beside displacements ---------------------------------------------------------------------------------------------

KMS = 0.01  # of the box's length for one unit of velocity
GROWTH = 0.5


def moving(grid, answer, folder, size=0.7, redshift_space=KMS, symmetries=None, count=2):
    """A model of displacement and velocity, whose truth moves as linear theory says: v = f psi / KMS."""
    both = (replace(PSI, unit=grid.unit), Quantity("v", "vector", "velocity", "km/s", redshift_space=redshift_space))
    made = displacements(grid, answer)
    described = replace(made.description, inputs=both, outputs=both)
    described = described if symmetries is None else replace(described, symmetries=symmetries)

    def truth(x):
        # Gravity's flows are gradients; on a line everything is.
        ahead = in_parts(grid, 1.0, 0.0) if grid.dimension > 1 else lambda psi: psi
        psi = size * min(grid.spacing) * ahead(x[:, : grid.dimension])
        return torch.cat([psi, GROWTH / KMS * psi], 1)

    return with_pairs(FieldModel(made.network, described, dtype=torch.float64), folder, truth, count), truth


@pytest.mark.parametrize("grid", [CUBE, SQUARE, LINE], ids=["3D", "2D", "1D"])
def test_velocities_of_a_wrong_size_show_in_the_momentum_to_rounding(grid, tmp_path):
    gain = 0.8

    def answer(x):
        right = truth(x)
        return torch.cat([right[:, : grid.dimension], gain * right[:, grid.dimension :]], 1)

    model, truth = moving(grid, answer, tmp_path)
    result = ask(model)
    m, checks = result.measured["model"], {check.name: check for check in result.checks}
    np.testing.assert_allclose(m.density_error_power[:-1, 0], 0, atol=1e-25)
    for name, expected in (("transfer_power", gain**2), ("correlation", 1), ("error_power", (1 - gain) ** 2)):
        np.testing.assert_allclose(m[f"momentum_{name}"][:-1, 0], expected, rtol=1e-9)
    assert checks["momentum"].interval.value == pytest.approx(1 - gain, rel=1e-9)
    assert m.momentum_power_true.units == f"(km/s)^2 ({grid.unit})^{grid.dimension}"
    assert float(m.redshift_error_power[0, 0]) > 1e-4 and checks["redshift_space"].verdict == "info"
    assert any(panel.title == "Multipoles in redshift space" for panel in result.panels())
    for panel in result.panels():
        assert "nan" not in panel.text and all(axes.has_data() for _, figure in panel.figures for axes in figure.axes)


@pytest.mark.parametrize("grid", [CUBE, SQUARE], ids=["3D", "2D"])
def test_what_moves_as_linear_theory_says_has_kaisers_multipoles_and_what_stands_still_none(grid, tmp_path):
    """Displacements of a millionth of a cell: all that is left of their own second order."""

    def standing(x):
        return torch.cat([truth(x)[:, : grid.dimension], torch.zeros_like(truth(x)[:, grid.dimension :])], 1)

    model, truth = moving(grid, standing, tmp_path, size=1e-6, count=1)
    m = ask(model).measured["model"]
    true, pred = (m[f"redshift_multipoles_{side}"].values[0] for side in ("true", "pred"))
    low = m.shell_wavenumber.values < grid.nyquist / 3
    # Isotropic to rounding, of painting a millionth of a cell: 1e-16 / 1e-6, squared with the signal itself.
    assert np.abs(pred[1, low] / pred[0, low]).max() < 1e-8
    psi = truth(torch.from_numpy(np.load(tmp_path / "in_0.npy"))[None])[0, : grid.dimension]
    modes = torch.fft.rfftn(psi, dim=tuple(range(1, 1 + grid.dimension)))
    linear = -1j * sum(k * mode for k, mode in zip(grid.wavevectors(), modes, strict=True))
    size = grid.wavenumber().clone()
    size[(0,) * grid.dimension] = 1
    seen = torch.stack(
        [torch.fft.irfftn(linear * (1 + GROWTH * (k / size) ** 2), s=grid.shape) / grid.dimension**0.5 for k in grid.wavevectors()]
    )
    expected = redshift.multipoles(seen, tuple(range(grid.dimension)), grid).numpy()
    # TSC's images m = +-2 of particles near their lattice: along an axis each adds (k_i / K_i)^3 K_i psi_i, K_i = 4 k_Ny -+ k_i, to
    # k psi, of a gradient at most 2 (k / (3 k_Ny))^2 of the amplitude in all, up to (1 + f) / 1 times as much for the one moved by
    # redshift, and twice that in the power; the weights of P_l are at most 2 l + 1.
    images = 4 * (1 + GROWTH) * (m.shell_wavenumber.values / (3 * grid.nyquist)) ** 2
    for place, degree in enumerate((0, 2, 4)):
        assert (np.abs(true[place] - expected[place]) <= (2 * degree + 1) * images * expected[0])[low].all()


def test_a_velocity_of_the_wrong_sign_is_told_by_its_momentum_and_its_quadrupole(tmp_path):
    model, truth = moving(CUBE, lambda x: torch.cat([truth(x)[:, :3], -truth(x)[:, 3:]], 1), tmp_path)
    result = ask(model)
    m, checks = result.measured["model"], {check.name: check for check in result.checks}
    assert float(m.momentum_correlation.max()) < 0 and checks["momentum"].interval.value == pytest.approx(2, rel=1e-9)
    pred, true = (m[f"redshift_multipoles_{side}"].mean("simulation").values[1, 0] for side in ("pred", "true"))
    assert true > 0 > pred and "its quadrupole is farthest off at k = " in checks["redshift_space"].sentence


def test_the_line_of_sight_is_the_one_about_which_the_description_lets_things_turn(tmp_path):
    model, _ = moving(CUBE, lambda x: x, tmp_path, symmetries=Symmetries(rotation=("z",), declared=True), count=1)
    m = ask(model).measured["model"]
    assert m.attrs["lines_of_sight"] == "z"
    # The monopole of the one density is the power that was compared.
    np.testing.assert_allclose(m.redshift_multipoles_true[0, 0], m.redshift_power_true[0], rtol=1e-12)


def test_without_the_number_that_turns_velocities_into_lengths_it_says_what_to_write(tmp_path):
    model, truth = moving(SQUARE, lambda x: truth(x), tmp_path, redshift_space=None)
    result = ask(model)
    checks = {check.name: check for check in result.checks}
    assert checks["redshift_space"].verdict == "not_applicable" and "write redshift_space = " in checks["redshift_space"].sentence
    assert checks["momentum"].interval.value == 0 and "redshift_power_true" not in result.measured["model"]


def test_the_velocity_itself_may_be_what_is_compared(tmp_path):
    model, truth = moving(SQUARE, lambda x: truth(x), tmp_path)
    m = run("transfer", model, controls="none", settings={"transfer": {"output": "v"}})["transfer"].measured["model"]
    assert m.attrs["output"] == "v" and "momentum_power_true" in m and "density_power_true" not in m
