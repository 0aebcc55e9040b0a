"""The controls, held to what they claim to be: theory to rounding, the best of all filters, answers that were stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.fft import dctn, idctn
from torch import Tensor, nn

from probe import controls, perturbation
from probe.controls import Absent, Answers, Control
from probe.data import Pairs, open_pairs
from probe.description import Constraints, DataSource, Description, Truth
from probe.errors import InputError
from probe.fields import Field, Quantity
from probe.grid import Grid
from probe.model import FieldModel
from probe.waves import gaussian_field
from probe.zoo import oracles

GRID = Grid.cubic(8, 32.0, unit="Mpc/h")


def _delta(seed: int = 0, batch: int = 1, grid: Grid = GRID) -> Tensor:
    """White, of rms 0.3."""
    return gaussian_field(grid, lambda k: 6.0 + 0 * k, torch.Generator().manual_seed(seed), batch)


def _psi(seed: int = 0, batch: int = 1, grid: Grid = GRID) -> Field:
    return Field(perturbation.zeldovich(_delta(seed, batch, grid), grid), grid, (oracles.PSI,))


def _model(network: nn.Module | None = None, grid: Grid = GRID, **truth: object) -> FieldModel:
    """An oracle of displacements whose description holds another truth."""
    model = oracles.displacement_model(network or nn.Identity(), grid, "oracle")
    described = replace(model.description, truth=replace(Truth("gravity"), **truth), data=DataSource("", "in_*.npy", "out_*.npy"))  # type: ignore[arg-type]
    return FieldModel(model.network, described, dtype=torch.float64)


def _pairs(folder: Path, model: FieldModel, fields: list[tuple[Tensor, Tensor]]) -> Pairs:
    for i, (given, truth) in enumerate(fields):
        np.save(folder / f"in_{i}.npy", given.numpy())
        np.save(folder / f"out_{i}.npy", truth.numpy())
    return open_pairs(folder, model.description)


def _built(name: str, model: FieldModel, pairs: Pairs | None = None, seed: int = 0) -> Control:
    control = controls.build(name, model, pairs, seed)
    assert isinstance(control, Control), control
    return control


# --- identity and 2LPT -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("growth", [1.0, 1.28])
def test_the_identity_is_the_input_grown(growth: float) -> None:
    field = _psi(batch=2)
    control = _built("identity", _model(growth_ratio=growth))
    assert torch.equal(control.model(field).values, growth * field.values)
    assert "Zel'dovich" in control.sentence and f"{growth:g}" in control.sentence


def test_the_identity_leaves_out_the_networks_normalisation() -> None:
    model = _model()
    scaled = replace(
        model.description, inputs=(replace(oracles.PSI, shift=1.0, scale=5.0),), outputs=(replace(oracles.PSI, scale=7.0),)
    )
    field = _psi()
    answer = _built("identity", FieldModel(model.network, scaled, dtype=torch.float64)).model(field.with_values(field.values))
    assert torch.equal(answer.values, field.values)


@pytest.mark.parametrize(("growth", "omega_m"), [(1.0, None), (1.28, 0.31)])
def test_the_2lpt_control_is_2lpt_of_the_grown_overdensity(growth: float, omega_m: float | None) -> None:
    field, delta = _psi(3, 2), _delta(3, 2)
    answer = _built("lpt2", _model(growth_ratio=growth, omega_m=omega_m)).model(field).values
    expected = perturbation.lpt2(growth * delta, GRID, omega_m or 1.0)
    second = expected - growth * field.values
    assert second.abs().max() > 0.01 * expected.abs().max(), "the second order shows"
    assert torch.allclose(answer, expected, rtol=0, atol=1e-13 * float(expected.abs().max()))


def test_the_2lpt_control_of_the_2lpt_oracle_is_the_oracle() -> None:
    model = oracles.MODELS["oracle/lpt2"]()
    field = _psi(1, grid=oracles.GRID)
    assert torch.allclose(_built("lpt2", model).model(field).values, model(field).values, rtol=0, atol=1e-12)


def test_the_2lpt_control_holds_on_a_larger_box_of_the_same_cells() -> None:
    large = Grid((8, 16, 8), (32.0, 64.0, 32.0), unit="Mpc/h")
    answer = _built("lpt2", _model()).model(_psi(2, grid=large)).values
    expected = perturbation.lpt2(_delta(2, grid=large), large)
    assert torch.allclose(answer, expected, rtol=0, atol=1e-13 * float(expected.abs().max()))


# --- the best linear filter --------------------------------------------------------------------------------------------------


def _bands(grid: Grid) -> Tensor:
    """Band of every mode of the full transform: |k| in units of k_F, rounded."""
    axes = [np.fft.fftfreq(points, 1 / points) / side for points, side in zip(grid.shape, grid.box, strict=True)]
    k = np.sqrt(sum(axis**2 for axis in np.meshgrid(*axes, indexing="ij"))) * max(grid.box)
    return torch.from_numpy(np.floor(k + 0.5 + 1e-9).astype(int))


def _filtered(values: Tensor, gain: Tensor, grid: Grid) -> Tensor:
    return torch.fft.ifftn(torch.fft.fftn(values, dim=grid.axes) * gain, dim=grid.axes).real


def _per_band(squared: Tensor, grid: Grid) -> Tensor:
    flat = squared.reshape(-1, grid.size).sum(0)
    return torch.zeros(int(_bands(grid).max()) + 1, dtype=torch.float64).index_add(0, _bands(grid).flatten(), flat)


@pytest.mark.parametrize("grid", [GRID, Grid((7, 8, 6), (28.0, 40.0, 24.0), unit="Mpc/h")], ids=["cube", "box"])
def test_the_best_filter_finds_a_filter_that_is_constant_on_bands(grid: Grid, tmp_path: Path) -> None:
    model = _model(grid=grid)
    gain = torch.linspace(1.2, -0.3, int(_bands(grid).max()) + 1, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    given = torch.randn(3, 3, *grid.shape, generator=generator, dtype=torch.float64)
    truth = _filtered(given, gain[_bands(grid)], grid)
    pairs = _pairs(tmp_path, model, list(zip(given, truth, strict=True)))
    assert torch.allclose(controls.fit_filter(model, pairs)[0], gain, rtol=0, atol=1e-13)
    other = torch.randn(1, 3, *grid.shape, generator=generator, dtype=torch.float64)
    answer = _built("linear_filter", model, pairs).model(Field(other, grid, (oracles.PSI,))).values
    assert torch.allclose(answer, _filtered(other, gain[_bands(grid)], grid), rtol=0, atol=1e-13 * 5)


def test_the_best_filter_of_a_gaussian_truth_is_its_mean_over_each_band(tmp_path: Path) -> None:
    model = oracles.displacement_model(oracles.Filter(oracles.gaussian_gain(4.0), GRID), GRID, "oracle/gaussian_filter")
    fields = [_psi(s).values[0] for s in range(2)]
    truths = [model(_psi(s)).values[0] for s in range(2)]
    pairs = _pairs(tmp_path, _model(), list(zip(fields, truths, strict=True)))
    axes = [np.fft.fftfreq(n, 1 / n) * 2 * np.pi / side for n, side in zip(GRID.shape, GRID.box, strict=True)]
    square = torch.from_numpy(sum(axis**2 for axis in np.meshgrid(*axes, indexing="ij")))
    power = sum(torch.fft.fftn(f, dim=GRID.axes).abs().square().sum(0) for f in fields)
    held = _per_band(power, GRID) > 1e-20 * power.sum()
    expected = _per_band(power * torch.exp(-8 * square), GRID) / _per_band(power, GRID).clamp_min(1e-300)
    assert held.sum() >= 5
    assert torch.allclose(controls.fit_filter(_model(), pairs)[0][held], expected[held], rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", ["linear_filter", "lpt2_filter"])
def test_no_other_filter_has_less_error_in_any_band(name: str, tmp_path: Path) -> None:
    model = _model()
    noise = torch.randn(2, 3, *GRID.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    fields = [(_psi(s).values[0], perturbation.lpt2(_delta(s), GRID)[0] + noise[s]) for s in range(2)]
    pairs = _pairs(tmp_path, model, fields)
    base = _built({"linear_filter": "identity", "lpt2_filter": "lpt2"}[name], model).model
    best = _built(name, model, pairs).model
    given = Field(torch.stack([f for f, _ in fields]), GRID, (oracles.PSI,))
    truth = torch.stack([truth for _, truth in fields])
    power = _per_band(torch.fft.fftn(base(given).values, dim=GRID.axes).abs().square(), GRID)

    def error(shift: float) -> Tensor:
        answer = best(given).values + shift * base(given).values
        return _per_band(torch.fft.fftn(answer - truth, dim=GRID.axes).abs().square(), GRID)

    # At the minimum the error of H + d is that of H plus d^2 times the power of what is filtered, whatever the sign of d.
    for shift in (0.1, -0.1):
        assert torch.allclose(error(shift), error(0.0) + shift**2 * power, rtol=1e-12)


def test_the_best_filter_holds_on_a_larger_box_of_the_same_cells(tmp_path: Path) -> None:
    model = _model()
    gain = torch.linspace(1.0, 0.2, int(_bands(GRID).max()) + 1, dtype=torch.float64)
    given = torch.randn(1, 3, *GRID.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    pairs = _pairs(tmp_path, model, [(given[0], _filtered(given, gain[_bands(GRID)], GRID)[0])])
    large = Grid((8, 16, 8), (32.0, 64.0, 32.0), unit="Mpc/h")
    # The mode (1, 4, 0) of the larger box is (1, 2, 0) of the smaller: the same |k|, hence the same gain.
    j = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) / n for n in large.shape), indexing="ij")
    wave = torch.cos(2 * np.pi * (j[0] + 4 * j[1]))[None, None].repeat(1, 3, 1, 1, 1)
    answer = _built("linear_filter", model, pairs).model(Field(wave, large, (oracles.PSI,))).values
    assert torch.allclose(answer, gain[2] * wave, rtol=0, atol=1e-13)


# --- what does not apply -----------------------------------------------------------------------------------------------------


def _scalar_to(outputs: tuple[Quantity, ...], boundary: str = "periodic") -> FieldModel:
    width = sum(q.width(GRID) for q in outputs)
    description = Description(replace(GRID, boundary=boundary), (Quantity("a"),), outputs)
    return FieldModel(lambda values: values.repeat(1, width, 1, 1, 1), description)


@pytest.mark.parametrize(
    ("name", "model", "said"),
    [
        ("identity", _scalar_to((Quantity("v", "vector"),)), "not of the input's quantities"),
        ("identity", _scalar_to((Quantity("a", unit="km"),)), "not of the input's quantities"),
        ("lpt2", _scalar_to((Quantity("a"),)), "law = 'gravity'"),
        ("lpt2", _model(law=""), "law = 'gravity'"),
        ("linear_filter", _model(), "there are none"),
        ("lpt2_filter", _model(), "there are none"),
        ("lpt2_filter", _scalar_to((Quantity("a"),)), "2LPT needs a displacement"),
        ("linear_filter", _scalar_to((Quantity("v", "vector"),)), "not of the input's quantities"),
        ("untrained", _scalar_to((Quantity("a"),)), "no weights"),
        ("simulator", _model(), "ships no answers"),
    ],
)
def test_a_control_that_does_not_apply_says_why(name: str, model: FieldModel, said: str) -> None:
    control = controls.build(name, model, None, 0)
    assert isinstance(control, Absent)
    assert said in control.reason


def test_the_filter_is_written_for_one_field(tmp_path: Path) -> None:
    pairs = _pairs(tmp_path, _model(), [(torch.zeros(3, *GRID.shape),) * 2])
    two, number = (Quantity("a"), Quantity("b")), (Quantity("a"), Quantity("z", "number"))
    for quantities in (two, number):
        control = controls.build("linear_filter", FieldModel(nn.Identity(), Description(GRID, quantities, quantities)), pairs, 0)
        assert isinstance(control, Absent) and "one quantity that is a field" in control.reason


@pytest.mark.parametrize("kind", ["scalar", "pseudoscalar"])
def test_of_scalars_of_other_kinds_and_units_the_best_filter_is_one_of_each(kind: str, tmp_path: Path) -> None:
    inputs = (Quantity("q", "pseudoscalar", unit="1/s"), Quantity("v", "vector"), Quantity("rho", unit="kg"))
    described = Description(GRID, inputs, (Quantity("S", kind, unit="1/s^2"),), constraints=Constraints(zero_mean=("S",)))  # type: ignore[arg-type]
    described = replace(described, data=DataSource("", "in_*.npy", "out_*.npy"))
    model = FieldModel(lambda values: values[:, :1], described, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    given = torch.randn(3, 5, *GRID.shape, generator=generator, dtype=torch.float64)
    given[:, 4] = 1e9 * (given[:, 4] + given[:, 0])  # not independent, and of another size by far
    bands = _bands(GRID)
    gains = torch.stack([torch.linspace(1e-6, -2e-6, int(bands.max()) + 1), torch.linspace(1e-15, 2e-15, int(bands.max()) + 1)])
    truth = sum(_filtered(given[:, place], gain.double()[bands], GRID) for place, gain in zip((0, 4), gains, strict=True))
    pairs = _pairs(tmp_path, model, list(zip(given, truth[:, None], strict=True)))
    control = _built("linear_filter", model, pairs)
    assert f"{gains.numel()} numbers" in control.sentence
    other = torch.randn(2, 5, *GRID.shape, generator=generator, dtype=torch.float64)
    answer = control.model(Field(other, GRID, inputs)).values[:, 0]
    expected = sum(_filtered(other[:, place], gain.double()[bands], GRID) for place, gain in zip((0, 4), gains, strict=True))
    assert torch.allclose(answer, expected, rtol=0, atol=1e-11 * float(expected.abs().max()))


def test_scalars_that_are_sums_of_one_another_and_bands_that_nothing_holds_make_no_filter_of_rounding(tmp_path: Path) -> None:
    inputs, described = (Quantity("a"), Quantity("b", unit="K")), DataSource("", "in_*.npy", "out_*.npy")
    model = FieldModel(lambda values: values[:, :1], Description(GRID, inputs, (Quantity("c", unit="m"),), data=described))
    wave = torch.randn(1, *GRID.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    wave = _filtered(wave, (_bands(GRID) % 2).double(), GRID)
    pairs = _pairs(tmp_path, model, [(torch.cat([wave, 3 * wave]), 6 * wave)])
    gain = controls.fit_filter(_built_base(model), pairs)
    # Of all that give 6 wave the one that asks least of each, in its own rms: 3 of wave + 1 of 3 wave.
    held = torch.arange(gain.shape[1]) % 2 == 1
    expected = torch.tensor([[3.0], [1.0]], dtype=torch.float64) * held
    assert torch.allclose(gain, expected, rtol=0, atol=1e-9)


def _built_base(model: FieldModel) -> FieldModel:
    """Its inputs as its answer."""
    return FieldModel(nn.Identity(), replace(model.description, outputs=model.description.inputs), dtype=torch.float64)


@pytest.mark.parametrize("boundary", ["zero", "reflect", "none"])
def test_the_best_filter_of_a_walled_box_is_the_best_in_its_cosine_transform(boundary: str, tmp_path: Path) -> None:
    grid = Grid((7, 8, 6), (28.0, 40.0, 24.0), unit="Mpc/h", boundary=boundary)
    model = _model(grid=grid)
    # Of the type-II transform, the mode q along an axis is cos(pi q (j + 1/2) / N): |k| = pi |q / L|, half a mode of the box.
    q = np.meshgrid(*(np.arange(n) / (2 * side) for n, side in zip(grid.shape, grid.box, strict=True)), indexing="ij")
    band = np.floor(np.sqrt(sum(axis**2 for axis in q)) * max(grid.box) + 0.5 + 1e-9).astype(int)
    generator = torch.Generator().manual_seed(0)
    given, noise = torch.randn(2, 3, 3, *grid.shape, generator=generator, dtype=torch.float64)
    gain = np.linspace(1.2, -0.3, band.max() + 1)
    truth = torch.from_numpy(idctn(gain[band] * dctn(given.numpy(), axes=grid.axes), axes=grid.axes))
    exact = _pairs(tmp_path, model, list(zip(given, truth, strict=True)))
    assert np.allclose(controls.fit_filter(model, exact)[0].numpy()[: len(gain)], gain, rtol=0, atol=1e-13)
    control = _built("linear_filter", model, exact)
    assert torch.allclose(control.model(Field(given, grid, (oracles.PSI,))).values, truth, rtol=0, atol=1e-13 * 5)
    assert "mirrored at the walls" in control.sentence
    # With noise no other filter leaves less error in the box: that of H + d is that of H plus d^2 |x|^2.
    best = _built("linear_filter", model, _pairs(tmp_path, model, list(zip(given, truth + noise, strict=True)))).model
    left = best(Field(given, grid, (oracles.PSI,))).values - truth - noise
    for shift in (0.1, -0.1):
        assert (left + shift * given).square().sum() == pytest.approx(float(left.square().sum() + shift**2 * given.square().sum()))


def test_an_unknown_control_is_refused_with_those_that_exist() -> None:
    with pytest.raises(InputError, match="no control 'lpt3'; the controls are simulator, identity, lpt2"):
        controls.build("lpt3", _model(), None, 0)


def test_every_control_of_the_order_can_be_built() -> None:
    for name in controls.ORDER:
        assert isinstance(controls.build(name, _model(nn.Conv3d(3, 3, 1)), None, 0), Control | Absent)


def test_the_untrained_twin_has_other_weights_and_follows_its_seed() -> None:
    torch.manual_seed(0)
    model = _model(nn.Conv3d(3, 3, 3, padding=1, padding_mode="circular"))
    field = _psi()
    one, again, other = (_built("untrained", model, seed=s).model(field).values for s in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.allclose(one, other) and not torch.allclose(one, model(field).values)


# --- the simulator's stored answers ------------------------------------------------------------------------------------------


def _stored(folder: Path, given: Tensor, answers: Tensor) -> FieldModel:
    np.savez(folder / "answers.npz", input=given.numpy(), output=answers.numpy())
    model = _model(answers="answers.npz")
    return FieldModel(model.network, replace(model.description, source=str(folder / "model.toml")), dtype=torch.float64)


@pytest.mark.parametrize("shift", [(0, 0, 0), (3, 0, 0), (1, -2, 7), (4, 4, 4)])
def test_a_stored_input_shifted_by_whole_cells_gets_its_answer_shifted(shift: tuple[int, ...], tmp_path: Path) -> None:
    fields, answers = _psi(5, 3), _psi(6, 3).values
    control = _built("simulator", _stored(tmp_path, fields.values, answers)).model
    moved = fields.with_values(fields.values.flip(0).roll(shift, (-3, -2, -1)))
    assert torch.equal(control(moved).values, answers.flip(0).roll(shift, (-3, -2, -1)))


def test_a_periodic_input_gets_an_answer_of_its_own_period(tmp_path: Path) -> None:
    # A plane wave is the same after one wavelength: whichever shift is found, the answer must be right.
    j = torch.arange(8, dtype=torch.float64)
    wave = torch.cos(2 * np.pi * 2 * j / 8)[:, None, None].expand(8, 8, 8)
    given = torch.stack([wave, torch.zeros_like(wave), torch.zeros_like(wave)])[None]
    control = _built("simulator", _stored(tmp_path, given, 2 * given)).model
    moved = given.roll(3, -3)
    assert torch.allclose(control(Field(moved, GRID, (oracles.PSI,))).values, 2 * moved, rtol=0, atol=1e-14)


def test_within_walls_a_stored_input_must_lie_where_it_was_run() -> None:
    fields, answers = _psi(5, 2).values, _psi(6, 2).values
    stored = Answers(fields, answers, replace(GRID, boundary="zero"))
    assert torch.equal(stored(fields.flip(0)), answers.flip(0))
    assert torch.isnan(stored(fields.roll(1, -1))).all()


def test_single_precision_still_finds_its_answer() -> None:
    fields, answers = _psi(5, 2).values, _psi(6, 2).values
    found = Answers(fields, answers, GRID)(fields.float().roll(2, -1))
    assert found.dtype == torch.float32
    assert torch.equal(found, answers.float().roll(2, -1))


def test_any_other_input_gets_nan_rather_than_an_error(tmp_path: Path) -> None:
    fields, answers = _psi(5, 2), _psi(6, 2).values
    control = _built("simulator", _stored(tmp_path, fields.values, answers)).model
    known = fields.values[:1]
    modes = torch.fft.rfftn(known, dim=GRID.axes)
    half_a_cell = torch.fft.irfftn(modes * torch.exp(-0.5j * GRID.wavevectors()[0] * GRID.spacing[0]), s=GRID.shape, dim=GRID.axes)
    strangers = [_psi(7).values, 1.001 * known, -known, known.flip(-1), known[:, [1, 0, 2]], torch.zeros_like(known), half_a_cell]
    found = control(Field(torch.cat([known, *strangers]), GRID, (oracles.PSI,))).values
    assert torch.equal(found[0], answers[0])
    assert torch.isnan(found[1:]).all()


def test_an_input_on_a_larger_box_has_no_stored_answer(tmp_path: Path) -> None:
    large = Grid((16, 8, 8), (64.0, 32.0, 32.0), unit="Mpc/h")
    control = _built("simulator", _stored(tmp_path, _psi().values, _psi().values)).model
    found = control(_psi(grid=large)).values
    assert found.shape == (1, 3, 16, 8, 8) and torch.isnan(found).all()


def test_a_stored_field_at_rest_gets_its_answer() -> None:
    rest, answer = torch.zeros(1, 3, 8, 8, 8), torch.ones(1, 3, 8, 8, 8)
    assert torch.equal(Answers(rest, answer, GRID)(rest), answer)


def test_two_inputs_of_equal_spectra_are_told_apart() -> None:
    known = _psi(5).values
    both = torch.cat([known.flip(-1, -2, -3), known])  # a mirror image has the same power in every mode
    answers = _psi(6, 2).values
    found = Answers(both, answers, GRID)(known.roll(1, -2))
    assert torch.equal(found[0], answers[1].roll(1, -2))


@pytest.mark.parametrize("content", ["nothing", "noise", "another", "shape", "count", "array", "pickle", "zip"])
def test_answers_that_cannot_be_read_are_told_in_a_sentence(content: str, tmp_path: Path) -> None:
    model = _stored(tmp_path, _psi().values, _psi().values)
    path = tmp_path / "answers.npz"
    path.unlink()
    if content == "noise":
        path.write_bytes(b"no archive")
    elif content == "another":
        np.savez(path, input=np.zeros(3))
    elif content == "shape":
        np.savez(path, input=np.zeros((1, 3, 8, 8, 8)), output=np.zeros((1, 1, 8, 8, 8)))
    elif content == "count":
        np.savez(path, input=np.zeros((2, 3, 8, 8, 8)), output=np.zeros((1, 3, 8, 8, 8)))
    elif content == "array":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    elif content == "pickle":
        np.savez(path, input=np.array([None], dtype=object), output=np.zeros(3))
    elif content == "zip":
        path.write_bytes(b"PK\x03\x04" + bytes(40))
    with pytest.raises(InputError, match="should hold the simulator's answers"):
        controls.build("simulator", model, None, 0)
