"""`conservation` against fields whose means, signs and derivatives are worked out here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from probe.description import Constraints, Description
from probe.fields import Quantity
from probe.grid import Grid
from probe.interface import run
from probe.model import FieldModel
from probe.zoo.defects import Bias, MeanDrift
from tests.models import CUBE, LINE, SQUARE, Function, on, with_pairs

WIND = Quantity("u", "vector", unit="m/s")


def ask(model, controls="none", **settings):
    return run("conservation", model, controls=controls, settings={"conservation": settings})["conservation"]


def checks(result):
    return {check.name: check for check in result.checks}


def vectors(function, grid=SQUARE, **constraints):
    """A float64 model of one vector that declares constraints."""
    described = Description(grid, (WIND,), (WIND,), constraints=Constraints(**constraints))
    return FieldModel(Function(function), described, dtype=torch.float64)


def split(values, grid):
    """The part of a vector field along k and the part across it, by full transforms: (D, *shape) each."""
    axes = tuple(range(1, values.ndim))
    k = np.stack(np.meshgrid(*(np.fft.fftfreq(n) for n in grid.shape), indexing="ij"))
    modes = np.fft.fftn(values, axes=axes)
    along = (k * modes).sum(0) * k / np.maximum((k**2).sum(0), 1e-300)
    return np.fft.ifftn(along, axes=axes).real, np.fft.ifftn(modes - along, axes=axes).real


def torch_split(values, grid):
    parts = [split(sample.numpy(), grid) for sample in values]
    return tuple(torch.from_numpy(np.stack(part)) for part in zip(*parts, strict=True))


def test_a_mean_that_drifts_fails_by_its_closed_form():
    # Raised by s times its rms, a field without a mean has rms sqrt(1 + s^2) times what it had.
    strength = 0.05
    result = ask(on(CUBE, MeanDrift(strength)))
    assert checks(result)["mean"].interval.value == pytest.approx(strength / np.sqrt(1 + strength**2), rel=1e-12)
    assert checks(result)["mean"].verdict == "fail" and "momentum" in checks(result)["mean"].sentence


def test_a_uniform_displacement_of_the_input_is_no_drift():
    kept = ask(on(CUBE, lambda x: 1.0 * x))
    assert checks(kept)["mean"].interval.value < 1e-15 and checks(kept)["mean"].verdict == "pass"


@pytest.mark.parametrize(("quantity", "law"), [("density", "mass"), ("overdensity", "mass"), ("temperature", "")])
def test_mass_is_conserved_and_of_other_quantities_nothing_is_known(quantity, law):
    rho = Quantity("rho", "scalar", quantity, shift=1.0, rms=0.1)
    described = Description(SQUARE, (rho,), (rho,))
    # The network sees rho - 1, and 1 is added to what it gives: rho becomes 1.03 rho.
    result = ask(FieldModel(Function(lambda x: 1.03 * x + 0.03), described, dtype=torch.float64))
    mean = checks(result)["mean"]
    # A made field has mean 1 and scatter 0.1: 3 % of the mean more, over 1.03 times the rms sqrt(1.01).
    expected = 0.03 / (1.03 * np.sqrt(1.01)) if law else 1 / np.sqrt(1.01)
    assert mean.interval.value == pytest.approx(expected, rel=1e-12)
    assert mean.verdict == ("fail" if law else "info") and law in mean.sentence


def test_a_declared_zero_mean_is_judged_wherever_the_walls_are():
    q = Quantity("q")
    for boundary in ("periodic", "none"):
        grid = Grid.cubic(32, 1.0, dimension=2, boundary=boundary)
        described = Description(grid, (q,), (q,), constraints=Constraints(zero_mean=("q",)))
        assert checks(ask(FieldModel(Bias(0.1), described, dtype=torch.float64)))["mean"].verdict == "fail"


def test_a_mean_that_is_declared_to_be_kept_is_held_to_the_input():
    u = Quantity("u", shift=2.0, rms=0.1)
    described = Description(LINE, (u,), (u,), constraints=Constraints(conserved_mean=("u",)))
    for added, verdict in ((0.0, "pass"), (0.1, "fail")):
        mean = checks(ask(FieldModel(Bias(added), described, dtype=torch.float64)))["mean"]
        # A made field has mean 2 and scatter 0.1.
        assert mean.interval.value == pytest.approx(added / np.hypot(2 + added, 0.1), abs=1e-12) and mean.verdict == verdict


def test_a_mean_that_the_truth_has_too_is_no_drift(tmp_path):
    def raised(x):
        return x + 0.1

    model = with_pairs(on(CUBE, raised), tmp_path, raised)
    result = ask(model)
    assert checks(result)["mean"].verdict == "pass" and "truth's own" in checks(result)["mean"].bound_from


def test_cells_below_the_lowest_value_are_counted():
    delta = Quantity("delta", "scalar", "overdensity", rms=0.1)
    described = Description(SQUARE, (delta,), (delta,))

    def emptied(x):
        y = x.clone()
        y[:, :, :2, :8] = -1.5  # 16 of 1024 cells
        y[:, :, 2, 0] = -1 - 1e-15  # rounding
        return y

    check = checks(ask(FieldModel(Function(emptied), described, dtype=torch.float64)))["positive"]
    assert check.interval.value == 16 / 1024 and check.verdict == "fail"


def test_made_inputs_that_are_no_densities_themselves_are_not_asked():
    rho = Quantity("rho", "scalar", "density", rms=1.0)
    described = Description(SQUARE, (rho,), (rho,))
    assert checks(ask(FieldModel(nn.Identity(), described, dtype=torch.float64)))["positive"].verdict == "not_applicable"


@pytest.mark.parametrize("grid", [CUBE, SQUARE], ids=["3D", "2D"])
def test_power_along_and_across_k_is_that_of_full_transforms(grid):
    seen = []

    def keep(x):
        if x.any():  # fields of zeros are only put in to find the stride
            seen.append(x[0].numpy())
        return x.clone()

    result = ask(vectors(keep, grid), fields=1)
    measured = result.measured["model"]
    for part, name in zip(split(seen[-1], grid), ("longitudinal", "transverse"), strict=True):
        power = (np.abs(np.fft.fftn(part, axes=range(1, part.ndim))) ** 2).sum(0) * np.prod(grid.box) / grid.size**2
        k = np.sqrt(sum(n**2 for n in np.meshgrid(*(np.fft.fftfreq(n, 1 / n) for n in grid.shape), indexing="ij")))
        shells = [
            power[(k >= s - 0.5) & (k < s + 0.5) & (k <= grid.shape[0] // 2)].mean() for s in range(1, grid.shape[0] // 2 + 1)
        ]
        np.testing.assert_allclose(measured[name].values[0, 0][:-1], shells[:-1], rtol=1e-11)
    assert checks(result)["transverse"].verdict == "info"


def test_curl_that_is_missing_fails_by_its_closed_form(tmp_path):
    # Without a share s of its transverse part, the transverse amplitude is s sqrt(P_T / P) short in every shell.
    def damped(x):
        along, across = torch_split(x, CUBE)
        return along + 0.7 * across

    result = ask(with_pairs(on(CUBE, damped), tmp_path, lambda x: x))
    measured = result.measured["model"]
    across, along = (measured[f"truth_{part}"].values[:, 0].mean(0) for part in ("transverse", "longitudinal"))
    expected = 0.3 * np.sqrt(across / (across + along))[: len(across) // 2]
    assert checks(result)["transverse"].interval.value == pytest.approx(expected.max(), rel=1e-9)
    assert checks(result)["transverse"].verdict == "fail"


def test_declared_derivatives_are_zero_where_they_are_and_told_where_not():
    def longitudinal(x):
        return torch_split(x, SQUARE)[0]

    def transverse(x):
        return torch_split(x, SQUARE)[1]

    clean = checks(ask(vectors(transverse, divergence_free=("u",))))
    assert clean["divergence_free"].verdict == "pass" and clean["divergence_free"].interval.value < 1e-14
    clean = checks(ask(vectors(longitudinal, curl_free=("u",))))
    assert clean["curl_free"].verdict == "pass" and clean["curl_free"].interval.value < 1e-14
    assert checks(ask(vectors(longitudinal, divergence_free=("u",))))["divergence_free"].interval.value == pytest.approx(
        1, rel=1e-12
    )


def test_the_divergence_of_two_waves_has_its_closed_form():
    # (a cos 3x, b cos 4x): div = -3 a sin 3x, curl = -4 b sin 4x.
    x = 2 * np.pi * torch.arange(32, dtype=torch.float64)[:, None].expand(32, 32) / 32
    wave = torch.stack([0.2 * torch.cos(3 * x), 0.5 * torch.cos(4 * x)])[None]
    check = checks(ask(vectors(lambda v: wave.expand_as(v), divergence_free=("u",))))["divergence_free"]
    assert check.interval.value == pytest.approx(0.6 / np.hypot(0.6, 2.0), rel=1e-12)


def equation(given, answer):
    return answer, -1.1 * given


def bare(given, answer):
    return answer - given


def wrong_shape(given, answer):
    return answer, given[..., :5]


def test_a_residual_is_told_relative_to_its_terms_on_the_model_and_its_controls():
    model = on(SQUARE, lambda x: x)
    described = replace(model.description, constraints=Constraints(residual="laws:equation"))
    lawful = FieldModel(model.network, described, dtype=torch.float64, code={"laws:equation": equation})
    result = ask(lawful, controls=["identity"])
    check = checks(result)["residual"]
    assert check.interval.value == pytest.approx(0.1 / np.hypot(1, 1.1), rel=1e-12) and check.verdict == "fail"
    np.testing.assert_allclose(result.measured["identity"].residual.values, check.interval.value)


@pytest.mark.parametrize(
    ("function", "sentence"), [(bare, "expected the terms of the equation apart"), (wrong_shape, "mend it there")]
)
def test_a_residual_that_cannot_be_used_is_told_in_one_sentence(function, sentence):
    model = on(SQUARE, lambda x: x)
    described = replace(model.description, constraints=Constraints(residual="laws:f"))
    result = ask(FieldModel(model.network, described, dtype=torch.float64, code={"laws:f": function}))
    assert result.verdict == "error" and sentence in result.reason


def test_numbers_have_no_laws_of_this_kind():
    described = Description(LINE, (Quantity("f"),), (Quantity("n", "number"),))
    result = ask(FieldModel(Function(lambda x: x.mean((1, 2))[:, None]), described, dtype=torch.float64))
    assert result.verdict == "not_applicable"
