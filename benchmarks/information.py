"""Whether the stated errors of mutual information cover: both estimators on many draws of cases whose information is known.

`python benchmarks/information.py` prints the table of README.md; about an hour of one core, nearly all of it gmm-mi's.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy import ndarray

from probe.information import Estimate, mixture, neighbours
from probe.information.columns import labels
from probe.information.table import with_misfit

Draw = Callable[[np.random.Generator, int], tuple[ndarray, ndarray]]


@dataclass(frozen=True)
class Case:
    """A joint distribution, its information [nat], and the numbers of samples that are drawn of it."""

    name: str
    truth: float
    draw: Draw
    counts: tuple[int, ...]
    categorical: bool = False


def gaussian(rho: float) -> Case:
    """Two normal variables: -1/2 ln(1 - rho^2)."""

    def draw(rng: np.random.Generator, count: int) -> tuple[ndarray, ndarray]:
        x, y = rng.normal(size=(2, count))
        return x, rho * x + np.sqrt(1 - rho**2) * y

    return Case(f"Gaussian, rho = {rho:g}", -0.5 * np.log1p(-(rho**2)), draw, (200, 1000))


def lognormal() -> Case:
    """Two independent lognormal variables of unit spread in the logarithm."""
    return Case("lognormal, independent", 0.0, lambda rng, n: tuple(np.exp(rng.normal(size=(2, n)))), (500,))


def classes(share: float = 0.1, apart: float = 1.5) -> Case:
    """A normal variable whose mean is `apart` higher in a share of the samples: by quadrature."""
    z = np.linspace(-12, 14, 200_001)
    own = [np.exp(-((z - mean) ** 2) / 2) / np.sqrt(2 * np.pi) for mean in (0.0, apart)]
    both = (1 - share) * own[0] + share * own[1]
    truth = sum(p * np.trapezoid(f * np.log(f / both), z) for p, f in zip((1 - share, share), own, strict=True))

    def draw(rng: np.random.Generator, count: int) -> tuple[ndarray, ndarray]:
        rare = rng.random(count) < share
        return rng.normal(size=count) + apart * rare, labels(rare)

    return Case(f"two classes, {share:.0%}", float(truth), draw, (300, 1000), True)


def bent(name: str, function: Callable[[ndarray], ndarray], *counts: int) -> Case:
    """y = f(x) and normal noise of unit spread, of a normal x: h(y) by quadrature less the noise's entropy."""
    x, y = np.linspace(-8, 8, 4001), np.linspace(-14, 70, 8401)
    weight = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi) * (x[1] - x[0])
    density = np.exp(-((y[:, None] - function(x)) ** 2) / 2) @ weight / np.sqrt(2 * np.pi)
    entropy = -np.trapezoid(np.where(density > 0, density * np.log(np.maximum(density, 1e-300)), 0), y)

    def draw(rng: np.random.Generator, count: int) -> tuple[ndarray, ndarray]:
        given = rng.normal(size=count)
        return given, function(given) + rng.normal(size=count)

    return Case(name, float(entropy - 0.5 * np.log(2 * np.pi * np.e)), draw, counts)


# A fifth of the default points of the integral, in half the time: they add 0.004 nat of noise, a tenth of the errors.
SETTINGS = mixture.Settings(MC_samples=20_000)
CASES = (
    *(gaussian(0.0), gaussian(0.6), gaussian(0.9), lognormal(), classes()),
    *(bent("parabola", lambda x: x**2, 200, 500, 1000), bent("sine", lambda x: 1.5 * np.sin(2 * x), 500)),
)


def rows(draws: int, mixture_draws: int, only: str = "") -> Iterator[str]:
    """Lines of the table, as they come."""
    yield "| case | truth | samples | estimator | draws | bias | scatter | stated error | within 1 sigma | within 2 sigma |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for case in (case for case in CASES if case.name.startswith(only)):
        for count in case.counts:
            near = [_near(case, count, seed) for seed in range(max(draws, mixture_draws))]
            mixed = [mixture.estimated(*drawn(case, count, seed), case.categorical, SETTINGS) for seed in range(mixture_draws)]
            fitted = [both for both in zip(mixed, near, strict=False) if math.isfinite(both[0].value)]
            found = {"nearest neighbours": near[:draws], "gmm-mi": [one for one, _ in fitted]}
            if any(one.components > 1 for one, _ in fitted):
                found["gmm-mi, with misfit"] = [_with_misfit(*both) for both in fitted]
            for name, estimates in found.items():
                if estimates:
                    yield f"| {case.name} | {case.truth:.4f} | {count} | {name} | {_row(estimates, case.truth)} |"


_floors: dict[tuple[str, int], float] = {}


def drawn(case: Case, count: int, seed: int) -> tuple[ndarray, ndarray]:
    """One draw of a case."""
    return case.draw(np.random.default_rng([seed, count]), count)


def _near(case: Case, count: int, seed: int) -> Estimate:
    x, y = drawn(case, count, seed)
    place = (case.name if case.categorical else "", count)
    if place not in _floors:
        _floors[place] = neighbours.floor(neighbours.null(count, y if case.categorical else None))
    found = neighbours.estimated(x, y, case.categorical)
    return Estimate(found.value, max(found.error, _floors[place]))


def _with_misfit(mixed: Estimate, near: Estimate) -> Estimate:
    both = np.array([(estimate.value, estimate.error) for estimate in (mixed, near)])
    return Estimate(mixed.value, float(with_misfit(*both, np.array(mixed.components))))


def _row(found: list[Estimate], truth: float) -> str:
    value, error = (np.array([getattr(estimate, name) for estimate in found]) for name in ("value", "error"))
    off = np.abs(value - truth) / error
    return (
        f"{len(found)} | {value.mean() - truth:+.4f} | {value.std(ddof=1):.4f} | {np.sqrt((error**2).mean()):.4f} | "
        f"{np.mean(off < 1):.0%} | {np.mean(off < 2):.0%}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=300, help="of each case, for nearest neighbours")
    parser.add_argument("--mixture-draws", type=int, default=60, help="of each case, for gmm-mi")
    parser.add_argument("--only", default="", help="cases whose names begin so")
    chosen = parser.parse_args()
    for line in rows(chosen.draws, chosen.mixture_draws, chosen.only):
        print(line, flush=True)
