"""What ships in the zoo is what its cards say."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch

from probe.controls import Answers
from probe.interface import run
from probe.loading import load
from probe.perturbation import divergence
from probe.runner import make_pairs
from probe.spectra import two_point
from probe.waves import PlaneWave, plane_wave
from probe.zoo import defects, entries, oracles


@pytest.fixture(scope="module")
def emulator():
    return load("zoo:lpt2nbody")


def test_every_entry_has_a_card_and_small_weights():
    for entry in entries().values():
        assert entry.summary and entry.weights.stat().st_size <= 1.5e6
        assert sum(f.stat().st_size for f in entry.folder.rglob("*") if f.is_file()) < 9e6


@pytest.mark.parametrize("name", [*oracles.MODELS, *defects.MODELS])
def test_every_oracle_and_defect_loads_and_answers(name):
    model = load(f"zoo:{name}")
    assert model.name == name and model.stride >= 1


def test_the_emulator_leaves_half_of_the_best_linear_filters_error_and_less(emulator):
    result = run("transfer", emulator)["transfer"]
    model, rival = result.measured["model"], result.measured["lpt2_filter"]
    relative = float(np.sqrt(model.error_square.mean() / rival.error_square.mean()))
    by_shell = (model.error.mean("simulation") / rival.error.mean("simulation")).values
    assert relative <= 0.5
    assert (by_shell[2:] < 1).all(), by_shell


def test_no_level_of_the_emulator_is_dead(emulator):
    # Shifts by its stride are exact, shifts by less are not: if they were, the coarse levels would do nothing.
    given, _ = make_pairs(emulator, None)[0]
    answer = emulator(given).values

    def error(cells):
        moved = emulator(given.with_values(torch.roll(given.values, [cells] * 3, (2, 3, 4)))).values
        return float((moved - torch.roll(answer, [cells] * 3, (2, 3, 4))).norm() / answer.norm())

    assert emulator.stride == 4
    assert error(4) < 1e-5 and error(1) > 1e-4


def test_the_held_out_pairs_are_a_zeldovich_displacement_and_something_near_it(emulator):
    for given, truth in make_pairs(emulator, None):
        assert float((given.values - truth.values).norm() / truth.values.norm()) < 0.5
        # Longitudinal, as a Zel'dovich displacement is: curl-free to the rounding of its float32 file.
        modes = torch.fft.rfftn(given.values[0].double(), dim=(1, 2, 3))
        k = given.grid.wavevectors(derivative=True)
        curl = k[0] * modes[1] - k[1] * modes[0]
        size = torch.sqrt(sum((torch.as_tensor(a) ** 2 for a in k), torch.zeros(()))) * modes.norm(dim=0)
        assert float(curl.norm() / size.norm()) < 1e-5
        assert float(divergence(given.values.double(), given.grid).std()) > 0.5


def test_the_simulators_answers_lie_on_the_ladder_of_their_waves(emulator):
    stored = np.load(entries()["lpt2nbody"].folder / "answers.npz")
    # 39 waves, 14 pairs of waves with their mirror images, 5 top-hats, 8 transverse waves.
    assert stored["input"].shape == stored["output"].shape == (39 + 28 + 5 + 8, 3, 32, 32, 32)
    # A single wave keeps what is constant along its fronts: along x, every line of y and z is the same.
    np.testing.assert_array_less(np.ptp(stored["output"][0], axis=(2, 3)), 2.1e-4)
    lookup = Answers(torch.from_numpy(stored["input"]), torch.from_numpy(stored["output"]), emulator.grid)
    quantity = emulator.description.inputs[0]
    mode = (5, 0, 0)
    wave = plane_wave(PlaneWave(mode, 0.2 / emulator.grid.wavenumber_of(mode)), quantity, emulator.grid)
    gain = coefficient(lookup(wave[None])) / coefficient(wave[None])
    # The gain on the card; the file keeps 1e-4 Mpc/h of an amplitude of 0.8.
    assert gain == pytest.approx(0.9887, abs=3e-4)


def coefficient(values):
    from probe.grid import Grid
    from probe.spectra import coefficients

    grid = Grid.cubic(32, 128.0)
    return abs(complex(coefficients(values, [(5, 0, 0)], grid)[0, 0, 0]))


def test_two_point_of_the_pairs_shows_what_is_to_be_learned(emulator):
    given, truth = make_pairs(emulator, None)[0]
    two = two_point(given.values, truth.values, given.grid)
    r = (two.cross / torch.sqrt(two.power_a * two.power_b))[0]
    assert r[0] > 0.99 and r[-1] < 0.9


def test_the_recipe_needs_its_extra_only_when_it_simulates():
    importlib.import_module("probe.zoo.lpt2nbody.recipe.simulate")
    importlib.import_module("probe.zoo.lpt2nbody.recipe.publish")
    importlib.import_module("probe.zoo.lpt2nbody.recipe.train")
