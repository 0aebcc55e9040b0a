"""What was measured, read in nats or bits: one value a pair with its interval, who knows most, what is told from nothing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import lazy_loader as lazy

from probe.information.disentanglement import found
from probe.intervals import CONFIDENCE, Interval

if TYPE_CHECKING:
    from numpy import ndarray
    from xarray import Dataset

np = lazy.load("numpy")

NATS = {"nat": 1.0, "bit": math.log(2)}
LISTED = 8  # names in a sentence
APART = 3.0  # errors of both estimators together, from which on they contradict one another

Place = tuple[int, int]


# Bootstrap samples are fitted with as many components as the data were, so gmm-mi's error holds what sampling does and nothing of
# what so few components miss. One component is a Gaussian, and misses nothing of a straight relation; of a bent one mixtures come
# out too low by up to two of their errors (benchmarks/README.md). Neighbours assume no shape: where more than one component was
# needed, how far off they are is added to the error, and their own noise with it.
def with_misfit(mixed: ndarray, near: ndarray, components: ndarray) -> ndarray:
    """The error of mixtures' estimates.

    Parameters
    ----------
    mixed, near : ndarray, (2, ...)
        Value and stated error of mixtures, and of neighbours.
    components : ndarray, (...)
        Of the mixtures.

    Returns
    -------
    ndarray, (...)
        In the unit of both.
    """
    found: ndarray = np.hypot(mixed[1], np.where(components > 1, mixed[0] - near[0], 0.0))
    return found


class Table:
    """The pairs of latent variables with targets (`tabulate.measured`), or with one another.

    Parameters
    ----------
    data : Dataset
    rate : float
        Share of false ones among the pairs that are told from nothing.
    unit : {"nat", "bit"}
    kind : {"", "between_"}

    Attributes
    ----------
    value, error : ndarray, (latent, target)
        gmm-mi's where it was asked, its error `with_misfit`, else the neighbours', in `unit`.
    near, near_error : ndarray, (latent, target)
        The neighbours'.
    apart : ndarray, (latent, target)
        How far the two are from each other over the errors that they state; NaN where only one was asked.
    significant : ndarray of bool, (latent, target)
        Told from nothing; never where a draw can hold less than the neighbours' error.
    silent : ndarray of bool, (target,)
        There is nothing to know in the target.
    """

    def __init__(self, data: Dataset, rate: float, unit: str, kind: str = "") -> None:
        self.data, self.unit, self.names = data, unit, [str(name) for name in data.latent.values]
        self.what_is = [str(name) for name in data.quantity.values]
        self.along = [str(name) for name in data.coordinate_name.values]
        self.labels = [str(label) for label in data["other" if kind else "target"].values]
        mixed, near = (np.moveaxis(data[kind + name].values / NATS[unit], -1, 0) for name in ("mixtures", "neighbours"))
        self.near, self.near_error = near
        self.silent = np.zeros(len(self.labels), dtype=bool) if kind else data.samples_equal.values.astype(bool)
        self.asked = np.isfinite(mixed[0])
        error = with_misfit(mixed, near, data[kind + "components"].values)
        self.value, self.error = np.where(self.asked, (mixed[0], error), near)
        both = np.hypot(mixed[1], near[1])
        with np.errstate(divide="ignore", invalid="ignore"):
            self.apart = np.where(both > 0, np.abs(mixed[0] - near[0]) / both, np.where(self.asked, 0.0, np.nan))
        p_values, capacity = data[kind + "p_value"].values, data.capacity.values / NATS[unit]
        once = np.triu(np.ones(p_values.shape, dtype=bool), 1) if kind else np.ones(p_values.shape, dtype=bool)
        # What a draw has no room for is not looked for: if it were found, it would be chance.
        room = np.minimum(capacity[:, None], capacity) if kind else capacity[:, None]
        hidden = np.logical_and(data.attrs["drawn"], room < self.near_error)
        self.significant = found(np.where(once & ~hidden, p_values, np.nan), rate)
        self.value = np.where(once, self.value, np.nan)
        self.covers = f"{data.attrs['samples']} samples" + (
            ", one draw of the latent variables each" if data.attrs["drawn"] else ""
        )

    def interval(self, place: Place) -> Interval:
        """A value with what its errors leave open: the other estimator's too where they contradict, zero where nothing is told."""
        from scipy.stats import norm

        width = norm.ppf((1 + CONFIDENCE) / 2)
        value, half = float(self.value[place]), float(width * self.error[place])
        low, high = value - half, value + half
        if self.apart[place] > APART:
            near, half = float(self.near[place]), float(width * self.near_error[place])
            low, high = min(low, near - half), max(high, near + half)
        return Interval(value, max(low, 0.0) if self.significant[place] else 0.0, high)

    def best_of_quantity(self, name: str) -> Place | None:
        """Who knows most of a quantity, at which point of a curve; None where there is no such quantity."""
        places = [i for i, what in enumerate(self.what_is) if what == name]
        if not places:
            return None
        latent, target = np.unravel_index(int(np.argmax(self.value[:, places])), (len(self.names), len(places)))
        return int(latent), places[int(target)]

    def best_of_latent(self, latent: int) -> Place:
        """What a latent variable knows most of, where there is anything to know."""
        return latent, int(np.argmax(np.where(self.silent, -np.inf, self.value[latent])))

    @property
    def nothing_in(self) -> str:
        """'; there is nothing to know in mass, ...', to end a sentence; empty where there is something in every target."""
        whole = {
            name: all(silent for what, silent in zip(self.what_is, self.silent, strict=True) if what == name)
            for name in self.what_is
        }
        places = np.flatnonzero(self.silent)
        names = list(dict.fromkeys(self.what_is[i] if whole[self.what_is[i]] else self.labels[i] for i in places))
        told = ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")
        return f"; there is nothing to know in {told}, the same for all samples or a name of each" if names else ""

    def who(self, place: Place) -> str:
        """The latent variable of a pair."""
        return self.names[place[0]]

    def what(self, place: Place) -> str:
        """The other of a pair."""
        return self.labels[place[1]]

    def amount(self, value: float) -> str:
        """'0.32 nat'."""
        return f"{value:.2g} {self.unit}"

    def told(self, place: Place) -> str:
        """'0.323 ± 0.011 nat', and what the other estimator says where it contradicts."""
        value, error = self.value[place], self.error[place]
        if not math.isfinite(error):
            return f"{value:.2g} {self.unit} without an error"
        digits = 2 if error <= 0 else min(max(1, 1 - math.floor(math.log10(error))), 6)
        word = f"{value:.{digits}f} ± {error:.{digits}f} {self.unit}"
        if self.apart[place] > APART:
            return f"{word} ({self.near[place]:.{digits}f} ± {self.near_error[place]:.{digits}f} by neighbours)"
        return word
