"""`transfer_matrix` against Jacobians known in closed form, and the ways by which a derivative can be had."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from probe import equivariance, jacobian
from probe.description import Description, Symmetries
from probe.fields import Field, Quantity
from probe.grid import Grid
from probe.interface import run
from probe.jacobian import ColumnsCase, Wave
from probe.model import FieldModel
from probe.runner.subject import LocalSubject
from probe.waves import mode_of, phase_of
from probe.zoo.architectures import FNO
from probe.zoo.defects import AbsolutePosition, Checkerboard, GridLocked
from probe.zoo.oracles import Filter, SecondOrder, gaussian_gain
from tests.models import CUBE, LINE, SQUARE, Function, on, with_pairs

EXACT = 1e-13  # transforms of 10^4 points, a few units in the last place


def ask(model, effort="default", controls="none", **settings):
    return run("transfer_matrix", model, controls=controls, effort=effort, settings={"transfer_matrix": settings})[
        "transfer_matrix"
    ]


def verdicts(result):
    return {check.name: check.verdict for check in result.checks}


def value(result, name):
    return next(check.interval.value for check in result.checks if check.name == name)


class Fixed:
    """Pairs whose one input is given."""

    def __init__(self, values, model):
        self.field = Field(values, model.grid, model.description.inputs)

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.field, self.field

    def name(self, index):
        return "given"


def subject_of(model, background=None):
    pairs = None if background is None else Fixed(background, model)
    return LocalSubject("model", model, pairs, "default", 0, "transfer_matrix")


def terms(model, mode, differences, background=None, polarisation=0):
    """H(k -> k + d) of one wave for each d, by channel: (channel, d), with the zero difference first."""
    rest = ((0,) * model.grid.dimension,)
    case = ColumnsCase(0, (Wave(mode, polarisation),), rest, ())
    ((_, _, pair),) = jacobian._pushed(subject_of(model, background), case)
    modes = [tuple(n + d for n, d in zip(mode, one, strict=True)) for one in (*rest, *differences)]
    full = torch.fft.fftn(pair[0] + 1j * pair[1], dim=model.grid.axes) / model.grid.size
    return torch.stack([full[(slice(None), *(n % N for n, N in zip(m, model.grid.shape, strict=True)))] for m in modes], 1).numpy()


@pytest.mark.parametrize("grid", [CUBE, SQUARE, LINE], ids=["3D", "2D", "1D"])
def test_a_linear_filter_is_diagonal_and_its_diagonal_is_its_gain(grid):
    length = 0.05 * grid.box[0]
    result = ask(on(grid, Filter(gaussian_gain(length), grid)))
    data = result.measured["model"]
    expected = np.exp(-0.5 * (data.wavenumber.values * length) ** 2)
    np.testing.assert_allclose(data.response.values[..., 0], np.broadcast_to(expected, data.response.shape[:2]), atol=EXACT)
    np.testing.assert_allclose(data.total_power, expected**2 * np.ones((data.sizes["background"], 1)), atol=EXACT)
    assert float(data.single_power.max()) < EXACT**2 and float(abs(data.response.values[..., 1:]).max(initial=0)) < EXACT
    assert verdicts(result)["aliasing"] == verdicts(result)["place"] == "pass" and value(result, "coupling") < EXACT
    if grid.dimension > 1 and grid is CUBE:
        np.testing.assert_allclose(data.across.values[:, 1], expected, atol=EXACT)


def test_a_model_that_wipes_out_short_waves_to_rounding_passes():
    result = ask(on(LINE, Filter(gaussian_gain(0.2), LINE)))
    assert verdicts(result)["aliasing"] == verdicts(result)["place"] == "pass"
    assert result.measured["model"].total_power.values.min() < 1e-30 and value(result, "aliasing") < EXACT


def test_a_constant_is_not_asked_which_scale_feeds_which():
    result = ask(on(LINE, lambda x: torch.zeros_like(x)))
    assert result.verdict == "not_applicable" and "does not depend" in result.checks[0].sentence


def test_a_complex_gain_keeps_its_phase():
    result = ask(on(LINE, Filter(lambda grid: torch.exp(-1j * grid.wavevectors(derivative=True)[0] * 0.01), LINE)))
    data = result.measured["model"]
    expected = np.exp(-0.01j * data.wavenumber.values)
    np.testing.assert_allclose(data.response.values[0, :, 0], expected, atol=EXACT)


def test_a_mask_sends_k_to_k_plus_and_minus_q_by_half_its_strength():
    q, strength = (3, -2), 0.4
    mask = 1 + strength * torch.cos(phase_of(q, SQUARE) + 0.7)
    found = terms(on(SQUARE, lambda x: x * mask), (4, 6), [q, (-3, 2), (1, 0), (-8, -12)])[0]
    np.testing.assert_allclose(found, [1, strength / 2 * np.exp(0.7j), strength / 2 * np.exp(-0.7j), 0, 0], atol=EXACT)


@pytest.mark.parametrize("grid", [SQUARE, LINE], ids=["2D", "1D"])
def test_of_a_square_k_goes_to_k_prime_by_twice_the_backgrounds_mode(grid):
    background = torch.randn(1, 1, *grid.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    apart = [(5, -3), (-9, 2), (16, 0), (-8, -8)] if grid is SQUARE else [(5,), (-9,), (32,), (-8,)]
    mode = (4, 4)[: grid.dimension]
    modes = torch.fft.fftn(background[0, 0]) / grid.size
    expected = [
        2 * complex(modes[tuple(n % N for n, N in zip(d, grid.shape, strict=True))]) for d in [(0,) * grid.dimension, *apart]
    ]
    np.testing.assert_allclose(terms(on(grid, lambda x: x**2), mode, apart, background)[0], expected, atol=EXACT)


def test_2lpt_about_one_wave_couples_with_three_fourteenths():
    # On the background delta = a cos(k1.q) rides psi = khat2 exp(i k2.q), of overdensity -i k2 exp(i k2.q). At k2 +- k1 they make
    # (3/14)(1 - mu^2) times the product of their amplitudes, longitudinal, and nothing elsewhere.
    grid, amplitude, first, second = CUBE, 0.1, (3, 0, 0), (1, 4, 0)
    k1, k2 = (2 * math.pi / 64.0 * np.array(m) for m in (first, second))
    psi = torch.zeros(1, 3, *grid.shape, dtype=torch.float64)
    psi[0, 0] = -amplitude / k1[0] * torch.sin(phase_of(first, grid))  # -div psi = a cos
    found = terms(on(grid, SecondOrder(grid)), second, [first, tuple(-n for n in first), (0, 1, 0)], psi)
    mu2 = (k1 @ k2) ** 2 / (k1 @ k1) / (k2 @ k2)
    for place, total in ((1, k2 + k1), (2, k2 - k1)):
        delta = -1j * (total @ found[:, place])
        assert delta == pytest.approx(-1j * np.linalg.norm(k2) * amplitude * 3 / 14 * (1 - mu2), abs=EXACT)
        assert np.linalg.norm(np.cross(total, found[:, place])) < EXACT  # it is longitudinal
    assert abs(found[:, 3]).max() < EXACT
    np.testing.assert_allclose(found[:, 0], k2 / np.linalg.norm(k2), atol=EXACT)


def curl(values):
    """Spectral curl of a displacement on CUBE, in units of 1/(Mpc/h)."""
    k = CUBE.wavevectors(derivative=True)
    modes = torch.fft.rfftn(values, dim=CUBE.axes)
    turned = [1j * (k[(i + 1) % 3] * modes[:, (i + 2) % 3] - k[(i + 2) % 3] * modes[:, (i + 1) % 3]) for i in range(3)]
    return torch.fft.irfftn(torch.stack(turned, 1), s=CUBE.shape, dim=CUBE.axes)


def test_a_curl_turns_what_lies_across_and_wipes_out_what_lies_along():
    result = ask(on(CUBE, lambda psi: curl(psi)), effort="quick")
    data = result.measured["model"]
    assert verdicts(result)["aliasing"] == verdicts(result)["place"] == "pass"
    assert float(data.total_power.max()) < EXACT
    np.testing.assert_allclose(abs(data.across.values), data.wavenumber.values[:, None] * np.array([0, 0, 1.0]), atol=EXACT)


def test_a_handed_model_turns_transverse_waves_about_k():
    result = ask(on(CUBE, lambda psi: psi + 2.0 * curl(psi)), effort="quick")
    data = result.measured["model"]
    np.testing.assert_allclose(abs(data.across.values[:, 2]), 2.0 * data.wavenumber.values, atol=EXACT)
    share = (2.0 * data.wavenumber.values.max()) ** 2
    assert f"turned about k by {100 * share / (1 + share):.3g} %" in next(
        c.sentence for c in result.checks if c.name == "polarisation"
    )


def test_a_quarter_turn_of_vectors_makes_a_longitudinal_wave_transverse():
    velocity = Quantity("v", "vector", "velocity", "m/s", rms=2.0)
    turned = Function(lambda v: torch.stack([-v[:, 1], v[:, 0]], 1))
    result = ask(FieldModel(turned, Description(SQUARE, (velocity,), (velocity,)), dtype=torch.float64))
    data = result.measured["model"]
    np.testing.assert_allclose(abs(data.response.values), np.broadcast_to([0, 1.0], data.response.shape), atol=EXACT)
    np.testing.assert_allclose(abs(data.across.values), np.broadcast_to([1.0, 0], data.across.shape), atol=EXACT)
    assert value(result, "polarisation") == pytest.approx(1.0, abs=EXACT)


@pytest.mark.parametrize("grid, survives", [(CUBE, 4), (SQUARE, 2), (LINE, 1)], ids=["3D", "2D", "1D"])
def test_a_grid_locked_model_fails_with_the_power_of_its_comb(grid, survives):
    # Cells even along all axes are louder by e: every one of the 2^D - 1 rungs of N/2 holds (e/2^D)^2, the diagonal (1 + e/2^D)^2.
    strength, cells = 0.2, 2**grid.dimension
    result = ask(on(grid, GridLocked(strength)), stride=2)
    data = result.measured["model"]
    np.testing.assert_allclose(data.rungs_power, survives * (strength / cells) ** 2, atol=EXACT)
    total = 1 + 2 * strength / cells + strength**2 / cells
    np.testing.assert_allclose(data.total_power, total, rtol=EXACT)
    assert verdicts(result)["aliasing"] == "fail" and verdicts(result)["place"] == "pass"
    assert value(result, "coupling") == pytest.approx((cells - 1 - survives) * (strength / cells) ** 2 / total, abs=EXACT)


def test_with_full_effort_no_rung_is_left_out():
    result = ask(on(CUBE, GridLocked(0.2)), effort="full", backgrounds=2, stride=2)
    np.testing.assert_allclose(result.measured["model"].rungs_power, 7 * (0.2 / 8) ** 2, atol=EXACT)
    assert value(result, "coupling") < EXACT and "rungs were asked" not in result.headline


def test_a_checkerboard_fails_and_its_stride_is_found():
    result = ask(on(SQUARE, Checkerboard(0.3)))
    assert verdicts(result)["aliasing"] == "fail" and result.measured["model"].attrs["period"] == 2


def test_a_nonlinear_model_that_treats_all_places_alike_has_no_aliasing_about_any_single_field():
    result = ask(on(SQUARE, lambda x: torch.roll(x, 1, -1) * x.tanh() + x), backgrounds=1)
    data = result.measured["model"]
    # About one field the rungs hold power; it goes when that field is moved through a stride.
    assert float(data.single_power.min()) > 1e-6 and float(data.rungs_power.max()) < EXACT**2
    assert value(result, "coupling") > 0.05 and value(result, "place") < EXACT


def test_what_knows_its_place_survives_half_a_box():
    result = ask(on(SQUARE, AbsolutePosition(0.3)))
    # A ramp from -e to e in N steps; half a box apart it differs by e N/(N - 1), everywhere.
    ramp = 0.3 * np.linspace(-1, 1, 32)
    error = 0.3 * 32 / 31 / np.sqrt(1 + np.mean(ramp**2))
    assert value(result, "place") == pytest.approx(error, rel=1e-9) and verdicts(result)["place"] == "fail"
    assert "knows its place" in result.headline


def test_a_denied_symmetry_is_told_and_only_granted_axes_are_moved():
    model = on(SQUARE, AbsolutePosition(0.3))
    for axes, expected in (((), "info"), (("y",), "pass"), (("x",), "fail")):
        described = replace(model.description, symmetries=Symmetries(axes, False, False, declared=True))
        result = ask(FieldModel(model.network, described, dtype=torch.float64))
        assert verdicts(result)["place"] == expected, axes


def test_the_bound_is_the_models_own_error_on_its_pairs(tmp_path):
    model = with_pairs(on(LINE, GridLocked(0.2)), tmp_path, lambda x: x)
    result = ask(model)
    check = result.checks[0]
    # Half of the cells are off by 0.2 / 1.2 of themselves: the comb's power is half of the error's, and the mean gain is the rest.
    given = [np.load(tmp_path / f"in_{i}.npy") for i in range(4)]
    own = [np.linalg.norm(0.2 * x[:, ::2]) / np.linalg.norm(np.where(np.arange(64) % 2 == 0, 1.2, 1.0) * x) for x in given]
    assert check.bounds[1] == pytest.approx(np.sqrt(np.mean(np.square(own))), rel=1e-9)
    assert check.interval.value == pytest.approx(math.sqrt(2 * 0.01 / 1.22), rel=1e-9)
    assert list(result.measured["model"].background.values[:4]) != ["Gaussian field, k^-2"] * 4


class Rounded(torch.autograd.Function):
    """A layer with a backward and no forward derivative: x^3."""

    @staticmethod
    def forward(ctx, values):
        ctx.save_for_backward(values)
        return values**3

    @staticmethod
    def backward(ctx, gradient):
        (values,) = ctx.saved_tensors
        return 3 * values**2 * gradient


@pytest.mark.parametrize(
    "function, way, tolerance",
    [
        (lambda x: x**3, "forward", EXACT),
        (Rounded.apply, "double backward", EXACT),
        (lambda x: torch.from_numpy(x.detach().numpy() ** 3), "differences", 1e-8),
        (lambda x: x.detach() ** 3, "differences", 1e-8),  # a gradient cut without a word
    ],
    ids=["torch", "no forward derivative", "numpy", "detached"],
)
def test_derivatives_come_by_whatever_way_works(function, way, tolerance):
    model = on(LINE, function)
    result = ask(model)
    data = result.measured["model"]
    field = equivariance.test_field(subject_of(model), 0)[0].values
    assert data.attrs["way"] == way and way.split()[0] in next(c.sentence for c in result.checks if c.name == "derivative")
    case = ColumnsCase(0, (Wave((5,)),), ((0,),), ())
    assert jacobian.columns(subject_of(model), case)[0].diagonal[0] == pytest.approx(
        3 * float(field.square().mean()), rel=10 * tolerance
    )


def test_differences_know_the_units_of_what_they_change():
    # Beside a pressure of 10^5 a density of 10^-3 is changed by its own scatter, and a number by nothing.
    inputs = (Quantity("rho", shift=1e-3, rms=1e-4), Quantity("p", shift=1e5, rms=1e4), Quantity("time", "number", rms=2.0))
    function = lambda x: torch.from_numpy((x[:, :1] ** 2 * x[:, 1:2] * x[:, 2:]).detach().numpy())  # noqa: E731
    model = FieldModel(function, Description(LINE, inputs, (Quantity("out"),)), dtype=torch.float64)
    rho, pressure, time = equivariance.test_field(subject_of(model), 0)[0].values[0]
    rho, pressure = rho - 1e-3, pressure - 1e5  # as the function is given them
    for name, slope in (("rho", 2 * rho * pressure * time), ("p", rho**2 * time)):
        column = jacobian.columns(subject_of(model), ColumnsCase(0, (Wave((5,)),), ((0,),), (), name))[0]
        assert column.diagonal[0] == pytest.approx(float(slope.mean()), rel=1e-8)


def test_a_function_in_single_precision_without_gradients_is_not_asked():
    described = Description(LINE, (Quantity("s"),), (Quantity("s"),))
    numpy_function = FieldModel(lambda x: torch.from_numpy(x.numpy() * 2), described, dtype=torch.float32)
    result = ask(numpy_function)
    assert result.verdict == "not_applicable" and "need float64" in result.checks[0].sentence and not result.panels()
    flagged = FieldModel(lambda x: x, described, dtype=torch.float32, differentiable=False)
    assert ask(flagged).verdict == "not_applicable" and "no gradients" in ask(flagged).reason


def test_what_is_never_the_same_function_has_no_derivative():
    result = ask(on(LINE, lambda x: nn.functional.dropout(x, 0.3, training=True)))
    assert result.verdict == "not_applicable" and "taken twice" in result.checks[0].sentence


def test_a_network_in_single_precision_is_exact_to_its_rounding_one_sample_at_a_time():
    class OneByOne(nn.Module):
        def __init__(self):
            super().__init__()
            self.mix = nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular", bias=False)

        def forward(self, values):
            if len(values) > 1:
                raise ValueError("one sample, please")
            return self.mix(values) * torch.relu(self.mix(values)).mean()

    torch.manual_seed(0)
    network = OneByOne()
    described = Description(SQUARE, (Quantity("s"),), (Quantity("s"),))
    result = ask(FieldModel(network, described))
    assert result.failure == "" and result.measured["model"].attrs["way"] == "forward"
    assert value(result, "aliasing") < 1e-5


@pytest.mark.parametrize("dimension", [1, 2])
def test_complex_layers_have_forward_derivatives(dimension):
    torch.manual_seed(0)
    grid = Grid.cubic(16, 1.0, dimension=dimension)
    network = FNO(dimension=dimension, modes=4, width=4, layers=2)
    result = ask(FieldModel(network, Description(grid, (Quantity("s"),), (Quantity("s"),))), backgrounds=2)
    assert result.measured["model"].attrs["way"] == "forward" and value(result, "derivative") < 1e-3
    assert value(result, "aliasing") < 1e-5 and value(result, "place") < 1e-5


class Strided(nn.Module):
    """Halves the line by a convolution and brings it back, nonlinear on the way."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv1d(1, 3, 3, stride=2, padding=1, padding_mode="circular")
        self.up = nn.ConvTranspose1d(3, 1, 2, stride=2)

    def forward(self, values):
        return values + self.up(torch.tanh(self.down(values)))


def test_on_the_rungs_one_strides_cell_stands_for_all_shifts():
    torch.manual_seed(0)
    model = on(Grid.cubic(16, 1.0, dimension=1), Strided())
    every = [
        jacobian.columns(subject_of(model), ColumnsCase(0, (Wave((3,)),), tuple((t,) for t in range(shifts)), ((8,),)))[0]
        for shifts in (2, 16)
    ]
    assert every[0].rungs == pytest.approx(every[1].rungs, rel=1e-10) and every[0].rungs > 1e-6
    result = ask(model)
    assert result.measured["model"].attrs["period"] == 2 and verdicts(result)["aliasing"] == "fail"


def test_a_law_that_can_be_differentiated_is_the_truth_of_the_diagonal():
    model = on(LINE, lambda x: 0.9 * x + 0.1 * x**2)
    described = replace(model.description, truth=replace(model.description.truth, law="mine:law"))
    for gain, verdict in ((0.92, "pass"), (0.5, "fail")):
        law = lambda values, gain=gain: gain * values + 0.1 * values**2  # noqa: E731
        network = FieldModel(model.network, described, dtype=torch.float64, code={"mine:law": law})
        result = ask(network, controls=["simulator"])
        check = next(c for c in result.checks if c.name == "diagonal")
        total = result.measured["simulator"].total_power.values
        assert check.verdict == verdict and check.interval.value == pytest.approx(
            abs(gain - 0.9) / np.sqrt(total.mean(0)[0]), rel=0.2
        )


@pytest.mark.parametrize("kind", ["scalar", "pseudoscalar", "vector", "pseudovector"])
def test_every_kind_of_field_is_asked(kind):
    quantity = Quantity("q", kind, rms=1.0)
    result = ask(
        FieldModel(Function(lambda x: x.sinh()), Description(CUBE, (quantity,), (quantity,)), dtype=torch.float64), "quick"
    )
    assert result.failure == "" and verdicts(result)["aliasing"] == "pass"
    assert ("polarisation" in verdicts(result)) == quantity.is_vector
    for panel in result.panels():
        assert panel.text and panel.caption and set(panel.variables) <= set(result.measured["model"])


def test_a_scalar_may_become_a_vector():
    slope = Function(lambda x: torch.cat([torch.roll(x, -1, axis) - torch.roll(x, 1, axis) for axis in (2, 3)], 1))
    described = Description(SQUARE, (Quantity("phi", unit="J"),), (Quantity("v", "vector", unit="N"),))
    data = ask(FieldModel(slope, described, dtype=torch.float64)).measured["model"]
    on_axis = [place for place, mode in enumerate(data.mode.values) if mode_of(str(mode))[1] == 0]
    angle = 2 * np.pi * np.array([mode_of(str(data.mode.values[place]))[0] for place in on_axis]) / 32
    np.testing.assert_allclose(data.response.values[0, on_axis, 0], 2j * np.sin(angle), atol=EXACT)
    assert data.response.attrs["units"] == "(N)/(J)" and data.total_power.attrs["units"] == "((N)/(J))^2"


@pytest.mark.parametrize(
    "grid, outputs, said",
    [(replace(LINE, boundary="none"), (Quantity("s"),), "waves are no modes"), (LINE, (Quantity("n", "number"),), "number")],
)
def test_where_there_are_no_waves_it_is_not_asked(grid, outputs, said):
    result = ask(FieldModel(lambda x: x, Description(grid, (Quantity("s"),), outputs), dtype=torch.float64))
    assert result.verdict == "not_applicable" and said in result.reason


def test_an_odd_grid_has_no_half_and_rungs_only_where_three_divides_it():
    odd = ask(on(Grid.cubic(25, 25.0, dimension=2), lambda x: x))
    assert verdicts(odd)["aliasing"] == verdicts(odd)["place"] == "not_applicable" and not odd.failure
    assert odd.panels()
    third = ask(on(Grid.cubic(27, 27.0, dimension=1), lambda x: x))
    assert verdicts(third)["aliasing"] == "pass" and third.measured["model"].attrs["period"] == 3


def test_a_stride_that_does_not_divide_the_grid_is_refused_in_a_sentence():
    assert "give one that divides" in ask(on(LINE, lambda x: x), stride=7).failure
