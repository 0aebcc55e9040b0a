"""What the maps of all samples say together: the numbers that the checks and the figures of `saliency` share.

A dataset holds the maps of one subject by target, method and sample; what is told is of the first method.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

from probe import intervals
from probe.attribution.setting import method_name
from probe.equivariance import look

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

    from probe.contract import Measured
    from probe.intervals import Interval

CONTROLS = ("simulator", "lpt2", "identity", "untrained")


def answers(data: Dataset) -> bool:
    """Whether a subject answers to every sample and every baseline."""
    return bool(np.isfinite(data.difference.values).all())


def no_map(data: Dataset) -> str:
    """Why there are no maps of the first target by the first method, or nothing in them; empty where there are."""
    method, channels = str(data.method.values[0]), rows_of(data, "channels")
    if not np.isfinite(channels).all():
        return str(data.attrs.get(f"fault_{method}", f"the map of {method_name(method)} is not finite; ask another method"))
    if channels.any():
        return ""
    return f"the map of {method_name(method)} is empty: to it no cell of the input moves {target_in_words(data)}"


def target_in_words(data: Dataset, target: int = 0) -> str:
    """What a target is, as a sentence goes on after 'of'."""
    return str(data.attrs[f"words_{target}"])


def map_in_words(data: Dataset) -> str:
    """'the answer at a point (gradient)': whose map the first method's is."""
    return f"{target_in_words(data)} ({method_name(data.method.values[0])})"


def rows_of(data: Dataset, variable: str, target: int = 0) -> ndarray:
    """What the first method found of a target: (sample, ...)."""
    values: ndarray = data[variable].values[target, 0]
    return values


def mean_of(rows: ndarray) -> Interval:
    """Mean of numbers that cannot be negative over the samples that have them, NaN where none has: (sample,)."""
    kept = rows[np.isfinite(rows)]
    found = intervals.of_mean(kept if kept.size else np.full(1, np.nan))
    return replace(found, low=max(0.0, found.low))


def radius(data: Dataset, share: float = 0.5) -> ndarray:
    """Distance within which a share of the map lies, by linear interpolation between shells, NaN of an empty map: (sample,)."""
    within, far = rows_of(data, "within"), data.distance.values
    return np.array([np.interp(share, row, far) if np.isfinite(row).all() else np.nan for row in within])


# Over samples the contribution C_s of a shell is regressed on the whole difference d: sum C_s d / sum d^2. The shares of all
# shells, of modes beyond them and of the mean add up to that of the whole, 1 where the map is complete.
def shares(data: Dataset, variable: str, target: int = 0) -> ndarray:
    """Share of the difference that each shell or axis contributes: value, low, high, (3, ...)."""
    rows, whole = rows_of(data, variable, target), rows_of(data, "difference", target)
    rows = rows.reshape(len(rows), -1)

    def share(kept: ndarray) -> ndarray:
        weight = kept[..., -1:]
        return (kept[..., :-1] * weight).sum(-2) / np.maximum((weight**2).sum(-2), 1e-300)

    return np.stack(intervals.over_samples(np.concatenate([rows, whole[:, None]], 1), share))


def left_over(data: Dataset) -> DataArray:
    """|sum of contributions - difference|, rms over samples, over the rms difference: (target, method)."""
    missed = ((data.total - data.difference) ** 2).mean("sample") ** 0.5
    return missed / np.maximum((data.difference**2).mean("sample") ** 0.5, 1e-300)


def controls_of(measured: Measured) -> list[str]:
    """The controls that answer, and whose maps can be laid beside the model's."""
    return [name for name in CONTROLS if name in measured and answers(measured[name])]


def look_of(measured: Measured, name: str) -> dict[str, Any]:
    """How a subject is drawn; its label tells its method where that is not the model's."""
    shade, (own, theirs) = look(name, measured["model"]), (measured[n].method.values[0] for n in ("model", name))
    return shade if own == theirs else shade | {"label": f"{shade['label']} ({method_name(theirs)})"}


def controls_beside(measured: Measured, told: str, numbers: Callable[[Dataset], ndarray]) -> str:
    """' (told: 0.97 for untrained twin, ...)', the mean of a number over samples for each control that has it; else nothing."""
    words = []
    for name in controls_of(measured):
        value = mean_of(numbers(measured[name])).value
        if np.isfinite(value):
            words.append(f"{value:.3g} for {look_of(measured, name)['label']}")
    return f" ({told}: {', '.join(words)})" if words else ""
