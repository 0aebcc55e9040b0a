"""A model in other universes than the one it was trained on: what it answers there, held against the truth there.

Every universe is a `Cosmology` of the description; HOME stands for the model's own. The subject goes there by `elsewhere`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy import ndarray

from probe import agreement, spectra
from probe.contract import Subject
from probe.data import Pairs
from probe.description import Cosmology as Universe
from probe.equivariance import relative, test_field
from probe.fields import Quantity, place_of
from probe.grid import Grid
from probe.intervals import Interval, of_samples, over_samples

HOME = "home"
FIELDS = 4  # inputs that are asked under other parameters
Rows = list[list[dict[str, ndarray]]]


@dataclass(frozen=True)
class PairThere:
    """One pair of a universe, by its place, and the output quantity compared."""

    universe: Universe
    index: int
    output: str


@dataclass(frozen=True)
class Varied:
    """One input asked under other parameters than the model's own, one universe after another."""

    universes: tuple[Universe, ...]
    index: int


def compare(subject: Subject, case: PairThere) -> dict[str, ndarray]:
    """Spectra of one pair and mean squares, and the power of its input."""
    there = _there(subject, case.universe)
    assert there is not None and there.pairs is not None
    given, truth = there.pairs[case.index]
    answer = there.model(given)
    if there.model is not subject.model:
        subject.model.passes += len(given)
    put, grid = given.part()[1].double().cpu(), subject.grid
    found = agreement.compare(answer.part(case.output)[1], truth.part(case.output)[1], grid)
    power = spectra.power(spectra.windowed(put, grid), grid)[0].numpy()
    return found | {"input_power": power, "input_square": put.square().mean().numpy()}


def vary(subject: Subject, case: Varied) -> ndarray:
    """|f(x; there) - f(x)| / |f(x)| of each output: (universe, output); 0 of a control, which knows no parameters."""
    given, _ = test_field(subject, case.index)
    home = subject.model(given)
    rows = []
    for universe in case.universes:
        known = {name: value for name, value in universe.parameters.items() if name in subject.model.parameters}
        away = subject.model.at(**known)(given) if known else home
        subject.model.passes += len(given) if known else 0
        rows.append([relative(away.values[:, c] - home.values[:, c], home.values[:, c]) for _, c in home.parts()])
    return np.array(rows)


def _there(subject: Subject, universe: Universe) -> Subject | None:
    return subject if universe.name == HOME else subject.elsewhere(universe)


def pairs_of(subject: Subject, universe: Universe) -> Pairs | None:
    """The pairs that are known in a universe; None where nothing is."""
    there = _there(subject, universe)
    return None if there is None else there.pairs


def variations(subject: Subject) -> list[Universe]:
    """Each conditioning parameter at each of its bounds."""
    return [
        Universe(f"{name} = {value:g}", parameters={name: value})
        for name, one in subject.description.conditioning.items()
        for value in one.get("bounds", ())
    ]


def held_against_truth(subject: Subject, asked: list[Universe], quantity: Quantity) -> xr.Dataset:
    """Every pair of every universe compared: one row each, simulations that a universe lacks are nan; silent ones are left out.

    Returns
    -------
    Dataset
        `error_square`, `true_square` and `input_square` (cosmology, simulation); `gain` (cosmology, estimate); the ratios of
        `probe.agreement` (cosmology, shell, estimate); `power_true` and `input_power` (cosmology, shell).
    """
    known = [(universe, pairs) for universe in asked if (pairs := pairs_of(subject, universe))]
    cases = [[PairThere(universe, i, quantity.name) for i in range(len(pairs))] for universe, pairs in known]
    answers = iter(subject.map(compare, [case for each in cases for case in each]))
    rows = [[next(answers) for _ in each] for each in cases]
    described, shells = subject.description, subject.grid.shells()
    put = described.inputs[place_of(described.inputs)]
    return xr.Dataset(
        _totals(rows, quantity, put) | _spectra(rows, subject.grid, quantity, put),
        coords={
            "cosmology": np.array([universe.name for universe, _ in known], dtype=str),
            "amplitude": ("cosmology", np.array([universe.amplitude for universe, _ in known], dtype=float), {"units": ""}),
            "truth": ("cosmology", np.array([pairs.truth for _, pairs in known], dtype=str)),
            "shell_wavenumber": ("shell", shells.wavenumber.numpy(), {"units": subject.grid.inverse_unit}),
            "modes": ("shell", shells.modes.numpy(), {"units": ""}),
        },
        attrs={"without_truth": ", ".join(universe.name for universe in asked if not pairs_of(subject, universe))},
    )


def _totals(rows: Rows, quantity: Quantity, put: Quantity) -> dict[str, Any]:
    most = max(map(len, rows), default=1)
    units = {"error_square": quantity.unit, "true_square": quantity.unit, "input_square": put.unit}
    found = {name: [[float(row[name]) for row in each] + [np.nan] * (most - len(each)) for each in rows] for name in units}
    return {
        name: (("cosmology", "simulation"), np.array(values).reshape(-1, most), {"units": f"({units[name]})^2"})
        for name, values in found.items()
    }


def _spectra(rows: Rows, grid: Grid, quantity: Quantity, put: Quantity) -> dict[str, Any]:
    shells = grid.shells()
    stacked = [np.stack([np.stack([row[name] for name in agreement.SPECTRA], -1) for row in each]) for each in rows]
    rounding = [float(np.mean([row["rounding"] for row in each])) for each in rows]
    ratios = [agreement.ratios(one, floor) for one, floor in zip(stacked, rounding, strict=True)]
    found = {name: np.array([one[name] for one in ratios]).reshape(-1, shells.count, 3) for name in agreement.RATIOS}
    true = np.array([one[..., 1].mean(0) for one in stacked]).reshape(-1, shells.count)
    given = np.array([np.mean([row["input_power"] for row in each], 0) for each in rows]).reshape(-1, shells.count)
    gain = np.array([_projection(one, shells.modes.numpy()) for one in stacked]).reshape(-1, 3)
    return {name: (("cosmology", "shell", "estimate"), values, {"units": ""}) for name, values in found.items()} | {
        "power_true": (("cosmology", "shell"), true, {"units": spectra.power_unit(quantity.unit, grid)}),
        "input_power": (("cosmology", "shell"), given, {"units": spectra.power_unit(put.unit, grid)}),
        "gain": (("cosmology", "estimate"), gain, {"units": ""}),
    }


def _projection(rows: ndarray, modes: ndarray) -> ndarray:
    """Projection of the answer on the truth, over all modes: sum P_x / sum P_true, with its interval: (3,)."""

    def gain(rows: ndarray) -> ndarray:
        total = (modes[:, None] * rows.mean(0)).sum(0)
        return np.asarray(total[2] / total[1] if total[1] > 0 else np.nan)

    return np.array(over_samples(rows, gain))


def conditioning(subject: Subject) -> xr.Dataset:
    """How much of each output every variation of a parameter changes, on several inputs; empty without parameters."""
    varied = tuple(variations(subject))
    if not varied:
        return xr.Dataset()
    fields = min(len(subject.pairs or ()) or FIELDS, FIELDS)
    rows = subject.map(vary, [Varied(varied, i) for i in range(fields)], passes=1 + len(varied))
    return xr.Dataset(
        {"change": (("field", "variation", "output"), np.stack(rows), {"units": ""})},
        coords={"variation": [one.name for one in varied], "output": [q.name for q in subject.description.outputs]},
    )


def away(data: xr.Dataset) -> list[str]:
    """The universes that were gone to, by name."""
    return [str(name) for name in data.cosmology.values if name != HOME]


def _squares(data: xr.Dataset, name: str) -> tuple[ndarray, ndarray]:
    """Mean squares of error and truth in one universe, of the simulations that there are: (simulation,) each."""
    there = data.sel(cosmology=name)
    held = np.isfinite(there.true_square.values)
    return there.error_square.values[held], there.true_square.values[held]


def count(data: xr.Dataset, name: str) -> int:
    """Simulations of one universe."""
    return len(_squares(data, name)[0])


def relative_error(data: xr.Dataset, name: str) -> Interval:
    """Of one universe, root mean square over all points of all simulations."""
    return agreement.relative_error(*_squares(data, name))


def ratio_to(model: xr.Dataset, rival: xr.Dataset, name: str) -> Interval:
    """Error power over a rival's, who is as exact as rounding at best; both see the same simulations."""
    (own, true), (other, _) = _squares(model, name), _squares(rival, name)
    floor = float(model.attrs["rounding"]) ** 2 * true
    rows = np.stack([np.maximum(own, 1e-6 * floor), np.maximum(other, floor)], -1)
    return _ratio(rows, lambda rows: np.log(rows[:, 0].mean() / rows[:, 1].mean()))


def ratio_to_home(model: xr.Dataset, name: str) -> Interval:
    """Relative error over that at home, simulation by simulation as far as both go: those of one random field scatter together."""
    there, home = _squares(model, name), _squares(model, HOME)
    both = min(len(there[0]), len(home[0]))
    rows = np.stack([each[:both] for each in (*there, *home)], -1)
    floor = float(model.attrs["rounding"]) ** 2

    def ratio(rows: ndarray) -> ndarray:
        wrong, true, wrong_home, true_home = rows.mean(0)
        return np.log((wrong / true + floor) / (wrong_home / true_home + floor)) / 2

    return _ratio(rows, ratio)


def _ratio(rows: ndarray, logarithm: Callable[[ndarray], ndarray]) -> Interval:
    """Ratios of powers scatter by factors: the interval is that of the logarithm, the pseudo-values are their own."""
    value, low, high = over_samples(rows, logarithm)
    with np.errstate(over="ignore"):
        samples = of_samples(rows, lambda kept: np.exp(logarithm(kept))).samples
        return Interval(float(np.exp(value)), float(np.exp(low)), float(np.exp(high)), samples)
