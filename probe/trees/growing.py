"""Trees grown of features of one simulation and asked about all others, and the two importances of the features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from numpy import ndarray

from probe import distribution
from probe.contract import Subject
from probe.equivariance import PairCase, facts
from probe.intervals import Interval, over_samples
from probe.trees.features import Group, Sampling, groups, kinds

SETS = ("density", "density and shear")
NOTHING = 1e-6  # of the answer: a change that float32 files do not hold
TREES, DEPTH, RATE, LEAF = 100, 4, 0.1, 10
SHARE = 1 / 3  # of the features that a split may choose from, and half of the rows a tree: neighbours then share the work
DRAWS = 3  # orders that a group is exchanged into


@dataclass(frozen=True)
class Fold:
    """Trees to be grown on one simulation, from the features that are kept."""

    trained: int
    kept: tuple[int, ...]


@dataclass(frozen=True)
class Grown:
    """What trees of one simulation found, asked about each of the others; nan where it would be their own.

    Attributes
    ----------
    impurity : ndarray, (feature,)
        Of all features; 0 for those that were not kept; the sum is 1.
    permutation : ndarray, (asked, group)
    unexplained : ndarray, (asked,)
        Mean square of the error over the variance.
    kl : ndarray, (asked,)
        KL divergence of the predicted from the true distribution [nat].
    """

    impurity: ndarray
    permutation: ndarray
    unexplained: ndarray
    kl: ndarray


@dataclass(frozen=True)
class FeatureTable:
    """Features and a target at the same points of several simulations.

    Attributes
    ----------
    features : ndarray, (simulation, point, feature)
    target : ndarray, (simulation, point)
    groups : sequence of Group
    seed : int
    """

    features: ndarray
    target: ndarray
    groups: Sequence[Group]
    seed: int

    def grow(self, subject: Subject, case: Fold) -> Grown:
        """Trees of one fold; no pass of the model."""
        from sklearn.ensemble import GradientBoostingRegressor

        kept, impurity = list(case.kept), np.zeros(self.features.shape[-1])
        simulations, groups = len(self.target), len(self.groups)
        found = Grown(impurity, *(np.full((simulations, *more), np.nan) for more in ((groups,), (), ())))
        trees = GradientBoostingRegressor(
            n_estimators=TREES,
            learning_rate=RATE,
            max_depth=DEPTH,
            subsample=0.5,
            max_features=SHARE,
            min_samples_leaf=LEAF,
            random_state=self.seed,
        ).fit(self.features[case.trained][:, kept], self.target[case.trained])
        impurity[kept] = trees.feature_importances_
        draw = np.random.default_rng(self.seed)
        for asked in range(simulations):
            if asked != case.trained:
                told = self._ask(lambda rows: trees.predict(rows[:, kept]), asked, draw)
                found.permutation[asked], found.unexplained[asked], found.kl[asked] = told
        return found

    def _ask(self, predict: Callable[[ndarray], ndarray], asked: int, draw: np.random.Generator) -> tuple[ndarray, float, float]:
        """Permutation importance of each group, the unexplained share and the KL divergence, on one simulation."""
        given, true = self.features[asked], self.target[asked]
        predicted, variance = predict(given), float(true.var())
        if not variance:
            return np.zeros(len(self.groups)), 0.0, 0.0
        square = float(np.mean((predicted - true) ** 2))
        exchanged = [[_exchanged(given, group.features, draw) for _ in range(DRAWS)] for group in self.groups]
        grown = [np.mean([np.mean((predict(rows) - true) ** 2) for rows in each]) for each in exchanged]
        return (np.array(grown) - square) / variance, square / variance, _apart(true, predicted)

    def nulls(self) -> ndarray:
        """KL divergence of each simulation's true values from those of the others: (simulation,) [nat]."""
        spreads = [distribution.spread_of(torch.from_numpy(row)) for row in self.target]
        bins = distribution.fit(spreads)
        counts = np.stack([distribution.count(torch.from_numpy(row), bins) for row in self.target])
        return distribution.null_of(distribution.density(counts, bins.bandwidth))


def _exchanged(given: ndarray, group: Sequence[int], draw: np.random.Generator) -> ndarray:
    """The features with the rows of some of them in another order, the same for all of these."""
    rows = given.copy()
    rows[:, list(group)] = given[draw.permutation(len(given))][:, list(group)]
    return rows


def _apart(true: ndarray, predicted: ndarray) -> float:
    bins = distribution.fit([distribution.spread_of(torch.from_numpy(true))])
    p, q = (distribution.density(distribution.count(torch.from_numpy(rows), bins), bins.bandwidth) for rows in (true, predicted))
    return float(distribution.kl_divergence(p, q))


def measured(subject: Subject, sampling: Sampling, simulations: int) -> xr.Dataset:
    """Trees grown of the model's answers and, beside the model, of the truths.

    Returns
    -------
    xarray.Dataset
        impurity (simulation, kind, radius), permutation (simulation, asked, group), unexplained and kl (simulation, asked, set) of
        the model, `simulation` the one that trees were grown on; the same with the prefix true_ of the truth, and null
        (simulation,), where there are truths and it is no control.
    """
    grid, radii = subject.grid, sampling.radii
    rows = subject.map(sampling.draw, [PairCase(i) for i in range(simulations)])
    seed, every = subject.rng("trees").initial_seed() % 2**31, groups(grid, radii)
    data: dict[str, tuple] = {}
    for prefix in ("", "true_") if subject.pairs and subject.name == "model" else ("",):
        target, size = (np.stack([row[prefix + name] for row in rows]) for name in ("target", "size"))
        # What is no more than rounding of the answer is nothing to be predicted.
        target = target * (target.std(1) > NOTHING * size)[:, None]
        table = FeatureTable(np.stack([row["features"] for row in rows]), target, every, seed)
        data |= {prefix + name: values for name, values in _grown(subject, table).items()}
    names = [subject.pairs.name(i) if subject.pairs else f"field {i}" for i in range(simulations)]
    coordinates = {
        "simulation": names,
        "asked": names,
        "radius": ("radius", list(radii), {"units": grid.unit}),
        "kind": list(kinds(grid)),
        "group": [group.name for group in every],
        "shear": ("group", [group.shear for group in every]),
        "set": list(SETS[: len(kinds(grid))]),
    }
    return xr.Dataset(data, coords=coordinates, attrs=facts(subject))


def _grown(subject: Subject, table: FeatureTable) -> dict[str, tuple]:
    """Variables of a dataset: every fold with the density alone, and with the shear where there is one."""
    count, shape = len(table.target), (len(table.target), len(kinds(subject.grid)), -1)
    density = tuple(i for group in table.groups if not group.shear for i in group.features)
    sets = [density, tuple(range(table.features.shape[-1]))][: len(kinds(subject.grid))]
    folds = subject.map(table.grow, [Fold(i, kept) for kept in sets for i in range(count)], passes=0)
    last, none = folds[-count:], {"units": ""}
    by_set = {
        name: np.stack([getattr(fold, name) for fold in folds]).reshape(-1, count, count).transpose(1, 2, 0)
        for name in ("unexplained", "kl")
    }
    return {
        "impurity": (("simulation", "kind", "radius"), np.stack([fold.impurity for fold in last]).reshape(shape), none),
        "permutation": (("simulation", "asked", "group"), np.stack([fold.permutation for fold in last]), none),
        "unexplained": (("simulation", "asked", "set"), by_set["unexplained"], none),
        "kl": (("simulation", "asked", "set"), by_set["kl"], {"units": "nat"}),
        "null": (("simulation",), table.nulls(), {"units": "nat"}),
    }


# Trees of simulation i asked about j err by e_ij, which scatters with both. Errors of trees of one simulation, or about one, hang
# together: the mean over all j of each i is not independent of the next i's, and scatters by only 1/(n - 1) of what the simulations
# asked about do. What is independent are the simulations, so it is them that are left out or drawn again, each as the one grown on
# and as the one asked about (the jackknife of a U-statistic: Arvesen 1969, Ann. Math. Statist. 40, 2076). Where e_ij = a_i + b_j
# the pseudo-values of the mean are a_i + b_i. Of two simulations none can be left out; their two errors share neither part.
def between_simulations(*values: ndarray) -> tuple[ndarray, Callable[[ndarray], list[ndarray]]]:
    """What `probe.intervals` samples where trees of each simulation were asked about all others, and how a sample is read.

    Parameters
    ----------
    values : ndarray, (simulation, asked, ...)
        nan where a simulation is asked about itself.

    Returns
    -------
    rows : ndarray
        A row a simulation.
    means : callable
        From some of the rows to the means of each of the values over those asked about: (simulation, ...).
    """
    count = len(values[0])

    def means(kept: ndarray) -> list[ndarray]:
        return [one[kept, 1 - kept] if count == 2 else np.nanmean(one[kept][:, kept], 1) for one in values]

    return np.arange(count), means


def compared(without: ndarray, both: ndarray) -> tuple[Interval, str]:
    """Geometric mean of an error with more features over that without, and whether it is better: see `distribution.compared`.

    Parameters
    ----------
    without, both : ndarray, (simulation, asked)
    """
    logs = np.log(np.maximum(both, distribution.LEAST) / np.maximum(without, distribution.LEAST))
    rows, means = between_simulations(logs)
    value, low, high = (float(edge) for edge in np.exp(over_samples(rows, lambda kept: means(kept)[0].mean(0))))
    return (found := Interval(value, low, high)), distribution.better_or_worse(found)


def profile(importance: ndarray) -> ndarray:
    """Importances as shares of their sum, those below zero being none: (..., group) -> the same; zeros where nothing matters."""
    held = np.maximum(importance, 0)
    total = held.sum(-1, keepdims=True)
    return np.divide(held, total, out=np.zeros_like(held), where=total > 0)


def apart(one: ndarray, other: ndarray) -> ndarray:
    """Half the sum of the differences of two profiles, 0 to 1: the share of the importance that stands elsewhere (..., group)."""
    return np.abs(one - other).sum(-1) / 2
