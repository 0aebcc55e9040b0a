"""A ladder of amplitudes: where the data stand on it, how far the answers are from the truth at each rung, and up to which one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy import ndarray

from probe import spectra, waves
from probe.contract import Check, Measured, Subject, percent
from probe.coupling import rms, true_coupling
from probe.response import FAINT, between, true_answer

MOST = 8  # inputs whose power is averaged
UNKNOWN = "no truth is known for it"


def level_in_data(subject: Subject, mode: Sequence[int], input: str = "") -> float:
    """The level of a wave as large as one mode of its wavenumber is in the data's inputs, rms; nan without data."""
    pairs, grid, (quantity, _) = subject.pairs, subject.grid, between(subject, input)
    if not pairs:
        return float("nan")

    def mean_power() -> ndarray:
        inputs = (pairs[place][0].part(quantity.name)[1].double() for place in range(min(len(pairs), MOST)))
        return np.stack([spectra.power(spectra.windowed(values, grid), grid)[0].numpy() for values in inputs]).mean(0)

    power = subject.shared(f"mean power of the input {quantity.name}", mean_power)
    # Re[c exp(i k.x)] has |f(k)| = V |c| / 2, hence P = V |c|^2 / 4.
    at = np.interp(grid.wavenumber_of(tuple(mode)), grid.shells().wavenumber.numpy(), power)
    return float(2 * np.sqrt(at / grid.volume) / waves.physical_amplitude(1.0, mode, quantity, grid))


@dataclass(frozen=True)
class LadderErrors:
    """How far answers are from the truth, rung by rung; nan where nothing is known.

    Attributes
    ----------
    rows : sequence of str
        What each row is, in words; empty where there is but one.
    levels : ndarray, (rung,)
    found, truth : ndarray, (row, rung)
        The answers and the true ones, or their sizes.
    values : ndarray, (row, rung)
        Their distance relative to the size of the true answer.
    floors : ndarray, (rung,)
        How far the simulator is from theory.
    source : str
        Whose the truth is, in words; why there is none where nothing is known.
    """

    rows: Sequence[str]
    levels: ndarray
    found: ndarray
    truth: ndarray
    values: ndarray
    floors: ndarray
    source: str

    @property
    def known(self) -> ndarray:
        """Where there is a truth: (row, rung)."""
        return np.isfinite(self.values)


def wave_errors(measured: Measured) -> LadderErrors:
    """Errors of the response to single waves over the true response: a row a mode."""
    model = measured["model"]
    levels, nothing = model.level.values, xr.full_like(model.response.isel(level=0), np.nan)
    truths = [true_answer(measured, float(level)) for level in levels]
    right = np.stack([nothing.values if truth is None else truth.response.values for truth in truths], 1)
    size = np.stack([nothing.real.values if truth is None else truth.size.values for truth in truths], 1)
    floors = np.array([0.0 if truth is None else truth.departure[0] for truth in truths])
    source = " and ".join(dict.fromkeys(truth.source for truth in truths if truth is not None)) or UNKNOWN
    rows, found = [str(mode) for mode in model.mode.values], model.response.values
    return LadderErrors(rows, levels, found, right, abs(found - right) / size, floors, source)


def coupling_errors(measured: Measured) -> LadderErrors:
    """Errors of one pair's coupling, rms over sum and difference, over the truth's at that rung or a tenth of its rms: one row."""
    model, truth = measured["model"], true_coupling(measured)
    found, levels = _over_sides(model.coupling), model.rung.values
    if truth is None or truth.scale <= float(model.coupling_floor.max()):
        nothing, why = np.full_like(found, np.nan), UNKNOWN if truth is None else "the truth's is rounding"
        return LadderErrors([""], levels, found, nothing, nothing, np.zeros(len(levels)), why)
    right = _over_sides(truth.values)
    # Parallel waves of gravity make nothing: `scale` is what waves across each other do, and they are held to all of it.
    least = truth.scale * (1.0 if rms(truth.values) < FAINT * truth.scale else FAINT)
    values = _over_sides(model.coupling - truth.values) / np.maximum(right, least)
    return LadderErrors([""], levels, found, right, values, np.full(len(levels), truth.departure), truth.source)


def _over_sides(coupling: xr.DataArray) -> ndarray:
    size: ndarray = np.sqrt((abs(coupling) ** 2).mean("side").values)[None]
    return size


def held_to_truth(name: str, asked: str, errors: LadderErrors, inside: ndarray, bound: float, share: str, unit: str = "") -> Check:
    """A verdict on a ladder, at the rungs `inside`, (rung,); `info` where none of them has a truth.

    Parameters
    ----------
    asked : str
        What was asked, the beginning of the sentence.
    share : str
        What the bound is a share of, and why it is no other.
    unit : str
        Of the answers.
    """
    judged = errors.known & inside
    if not judged.any():
        return _told(name, asked, errors, unit)
    limits = np.maximum(bound, errors.floors)
    over = np.where(judged, errors.values / np.maximum(limits, 1e-300), np.nan)
    row, rung = map(int, np.unravel_index(int(np.nanargmax(over)), over.shape))
    value, limit, where = float(errors.values[row, rung]), float(limits[rung]), errors.rows[row]
    found, right = (float(abs(size[row, rung])) for size in (errors.found, errors.truth))
    sentence = (
        f"{asked} is {reach(errors.levels, over, bound)} (furthest off at {errors.levels[rung]:g}{', ' if where else ''}{where}: "
        f"{found:.3g} for {right:.3g}, by {percent(value)}), held against {errors.source}.{_beyond(errors, judged)}"
    )
    source = f"a convention: {percent(bound)} of {share}"
    if limit > bound:
        source = f"the simulator's own departure from theory ({limit:.3g}), larger than the convention {bound:g}"
    return Check.judged(name, value, (None, limit), sentence, bound_from=source)


def _told(name: str, asked: str, errors: LadderErrors, unit: str) -> Check:
    """The first row's ends."""
    first, last = (float(size) for size in abs(errors.found[0, [0, -1]]))
    where = f" for {errors.rows[0]}" if len(errors.rows) > 1 else ""
    why = "no rung is low enough to be judged" if errors.known.any() else errors.source
    return Check.info(name, last, f"{asked} goes from {first:.3g} to {last:.3g}{where}; {why}.", unit=unit)


def _beyond(errors: LadderErrors, judged: ndarray) -> str:
    """What is known of the highest rung that is not judged, in words."""
    beyond = (errors.known & ~judged).any(0)
    if not beyond.any():
        return ""
    rung = int(np.nonzero(beyond)[0][-1])
    return f" At {errors.levels[rung]:g}, which is not judged, it is off by {percent(float(np.nanmax(errors.values[:, rung])))}."


def reach(levels: ndarray, over: ndarray, bound: float) -> str:
    """How far up a ladder answers are right, in words.

    Parameters
    ----------
    levels : ndarray, (rung,)
    over : ndarray, (row, rung)
        Errors over their bounds, nan where nothing is judged.
    bound : float
        The bound that is named.
    """
    known = np.isfinite(over).any(0)
    worst = np.nan_to_num(over, nan=-np.inf).max(0)
    right, wrong = (sorted(levels[known & side].tolist()) for side in (worst <= 1, worst > 1))
    if not right:
        return f"off by more than {percent(bound)} all the way"
    if wrong and wrong[0] < right[-1]:
        return f"right to {percent(bound)} but at {in_a_row(wrong)}"
    return f"right to {percent(bound)} " + ("all the way" if len(right) == len(levels) else f"up to {right[-1]:g}")


def change(response: ndarray) -> tuple[float, int]:
    """Largest change of a response from that at the first rung, relative to it, and its row; (row, rung) given."""
    relative = (abs(response - response[:, :1]) / np.maximum(abs(response[:, :1]), 1e-300)).max(1)
    return float(relative.max()), int(relative.argmax())


def power(levels: ndarray, response: ndarray) -> float:
    """d ln|H| / d ln(level) of one row, by least squares: 0 of a linear model, -1 of one that forgets the amplitude."""
    if not (abs(response) > 0).all():
        return float("nan")
    return float(np.polyfit(np.log(levels), np.log(abs(response)), 1)[0])


def in_a_row(items: Sequence[str | float] | ndarray) -> str:
    """'a, b and c'."""
    words = [item if isinstance(item, str) else f"{item:g}" for item in items]
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
