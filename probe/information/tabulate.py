"""What each latent variable knows of each quantity, and of each other one, by both estimators: the arrays that a probe stores."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import lazy_loader as lazy

from probe.information import columns, disentanglement, neighbours
from probe.information.estimate import NOTHING, UNKNOWN, Estimate
from probe.information.estimates import Task, from_mixtures
from probe.information.mixture import Settings

if TYPE_CHECKING:
    from numpy import ndarray
    from xarray import Dataset

    from probe.data.known import Known

np = lazy.load("numpy")
xr = lazy.load("xarray")

LEVEL = 0.95  # of the null, drawn and told


@dataclass(frozen=True)
class Target:
    """One column that a latent variable may know: a quantity, or one point of a curve.

    Attributes
    ----------
    coordinate : float
        Where on the curve; NaN of a single quantity.
    along : tuple of str
        The coordinate's name and unit, empty of a single quantity.
    """

    quantity: str
    unit: str
    values: ndarray
    categorical: bool
    coordinate: float = float("nan")
    along: tuple[str, str] = ("", "")

    @property
    def label(self) -> str:
        """'log_rho at r = 0.3 Mpc/h', or the quantity's name."""
        if not self.along[0]:
            return self.quantity
        return f"{self.quantity} at {self.along[0]} = {self.coordinate:.3g} {self.along[1]}".strip()


def targets(known: Sequence[Known]) -> list[Target]:
    """Every column of some quantities.

    Raises
    ------
    InputError
        If one holds NaN or has too few samples.
    """
    found = []
    for one in known:
        if one.coordinate is None:
            values = columns.checked(one.values, f"the quantity {one.name!r}", one.categorical)
            found.append(Target(one.name, one.unit, values, one.categorical))
            continue
        for place, value in enumerate(one.coordinate.values):
            values = columns.checked(one.values[:, place], f"the quantity {one.name!r}", one.categorical)
            along = (one.coordinate.name, one.coordinate.unit)
            found.append(Target(one.name, one.unit, values, one.categorical, float(value), along))
    return found


def thinned(every: Sequence[Target], points: int | None) -> list[int]:
    """The places of single quantities, and of at most `points` of each curve, ends included; of all without a number."""
    kept = []
    for name in dict.fromkeys(target.quantity for target in every):
        places = [place for place, target in enumerate(every) if target.quantity == name]
        count = len(places) if points is None else min(points, len(places))
        kept += [places[i] for i in sorted({round(i * (len(places) - 1) / max(count - 1, 1)) for i in range(count)})]
    return sorted(kept)


@dataclass(frozen=True)
class Asked:
    """What the estimators are asked, and how.

    Attributes
    ----------
    mixtures : bool
        Whether gmm-mi is asked too.
    points : int or None
        Of each curve, that it is asked about.
    between : bool
        Whether it is asked about pairs of latent variables.
    """

    mixtures: bool
    points: int | None
    between: bool
    settings: Settings
    neighbours: int
    permutations: int
    workers: int


def tasks(drawn: ndarray, every: Sequence[Target], asked: Asked) -> dict[tuple[int, int], Task]:
    """What gmm-mi is to estimate, by (latent, target); other latent variables are numbered on from the targets.

    Parameters
    ----------
    drawn : ndarray, (sample, latent)
    """
    if not asked.mixtures:
        return {}
    latents = range(drawn.shape[1])
    pairs = [(latent, place) for latent in latents for place in thinned(every, asked.points)]
    found = {(i, j): Task(drawn[:, i], every[j].values, every[j].categorical, asked.settings) for i, j in pairs}
    if asked.between:
        for i in latents:
            found |= {(i, len(every) + j): Task(drawn[:, i], drawn[:, j], False, asked.settings) for j in latents if j > i}
    return found


def measured(
    drawn: ndarray, names: Sequence[str], every: Sequence[Target], asked: Asked, advance: Callable[[int], None] = lambda done: None
) -> Dataset:
    """Both estimates of every pair, with p-values: everything in nat.

    Parameters
    ----------
    drawn : ndarray, (sample, latent)
    names : sequence of str
        Of the latent variables.
    advance : callable
        Told the number of gmm-mi's estimates after each.
    """
    given = tasks(drawn, every, asked)
    found = dict(zip(given, from_mixtures(list(given.values()), asked.workers, advance), strict=True))
    latents, count = range(len(names)), len(every)
    nulls = {target.label: null_of(target, len(drawn), asked) for target in every}
    plain = null_of(None, len(drawn), asked)
    near = [
        [_near(drawn[:, i], target.values, target.categorical, nulls[target.label], asked) for target in every] for i in latents
    ]
    mixed = [[found.get((i, j), UNKNOWN) for j in range(count)] for i in latents]
    upper = {(i, j): _near(drawn[:, i], drawn[:, j], False, plain, asked) for i in latents for j in latents if j > i}
    between = [[upper.get((min(i, j), max(i, j)), (UNKNOWN, np.nan)) for j in latents] for i in latents]
    between_mixed = [[found.get((min(i, j), count + max(i, j)), UNKNOWN) for j in latents] for i in latents]
    variables = _described(every, nulls) | _estimates("", "target", mixed, near)
    variables |= _estimates("between_", "other", between_mixed, between)
    labels = {"latent": list(names), "target": [t.label for t in every], "other": list(names), "estimate": ["value", "error"]}
    failed = sum(math.isnan(estimate.value) for estimate in found.values())
    return xr.Dataset(variables, labels, {"failed": failed})


def _estimates(
    kind: str, target: str, mixed: Sequence[Sequence[Estimate]], near: Sequence[Sequence[tuple[Estimate, float]]]
) -> dict[str, Any]:
    """Both estimators' answers and the neighbours' p-values, as variables."""
    pairs, nat = ("latent", target), {"units": "nat"}
    return {
        f"{kind}neighbours": ((*pairs, "estimate"), _pack([[e for e, _ in row] for row in near]), nat),
        f"{kind}mixtures": ((*pairs, "estimate"), _pack(mixed), nat),
        f"{kind}components": (pairs, np.array([[e.components for e in row] for row in mixed]), {"units": ""}),
        f"{kind}p_value": (pairs, np.array([[p for _, p in row] for row in near]), {"units": ""}),
    }


def _described(every: Sequence[Target], nulls: dict[str, ndarray]) -> dict[str, Any]:
    """What the targets are, as variables; `samples_equal` where there is nothing to know in one."""
    nat, plain = {"units": "nat"}, {"units": ""}
    return {
        "null": ("target", np.array([float(np.quantile(nulls[t.label], LEVEL)) for t in every]), nat),
        "entropy": ("target", np.array([disentanglement.entropy(t.values, t.categorical) for t in every]), nat),
        "samples_equal": ("target", np.array([int(columns.tells_nothing(t.values, t.categorical)) for t in every]), plain),
        "quantity": ("target", [t.quantity for t in every], plain),
        "quantity_unit": ("target", [t.unit for t in every], plain),
        "categorical": ("target", [int(t.categorical) for t in every], plain),
        "coordinate": ("target", [t.coordinate for t in every], plain),
        "coordinate_name": ("target", [t.along[0] for t in every], plain),
        "coordinate_unit": ("target", [t.along[1] for t in every], plain),
    }


def null_of(target: Target | None, count: int, asked: Asked) -> ndarray:
    """The null of a column, or of numbers without one: the same for all numbers, and for all classes of the same sizes."""
    sizes = tuple(np.sort(np.bincount(target.values)).tolist()) if target is not None and target.categorical else ()
    return _null(count, sizes, asked.permutations, asked.neighbours)


@cache
def _null(count: int, sizes: tuple[int, ...], permutations: int, near: int) -> ndarray:
    return neighbours.null(count, np.repeat(np.arange(len(sizes)), sizes) if sizes else None, permutations, near)


def _near(x: ndarray, y: ndarray, categorical: bool, null: ndarray, asked: Asked) -> tuple[Estimate, float]:
    """The nearest neighbours' estimate and its p-value; nothing where there is nothing to know, which no test tells from noise."""
    if columns.tells_nothing(x) or columns.tells_nothing(y, categorical):
        return NOTHING, 1.0
    found = neighbours.estimated(x, y, categorical, asked.neighbours)
    return Estimate(found.value, max(found.error, neighbours.floor(null))), neighbours.p_value(found.value, null)


def _pack(rows: Sequence[Sequence[Estimate]]) -> ndarray:
    """(row, column, [value, error])."""
    return np.array([[(estimate.value, estimate.error) for estimate in row] for row in rows])


# I(z; y) <= I(z; x) = h(z) - <h(z|x)> for a draw z of the encoder's Gaussian about x, and no density of variance s^2 has a larger
# entropy than the Gaussian: h(z) <= 1/2 ln(2 pi e s^2). So I(z; y) <= ln s - <ln sigma>, of whatever y.
def capacity(mean: ndarray, std: ndarray | None) -> ndarray:
    """The most that a draw of each latent variable can know of anything: (sample, latent) -> (latent,) [nat]; NaN without std."""
    if std is None:
        return np.full(mean.shape[1], np.nan)
    with np.errstate(divide="ignore"):
        found: ndarray = 0.5 * np.log((std**2).mean(0) + mean.var(0)) - np.log(std).mean(0)
    return found
