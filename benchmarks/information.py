"""Whether the stated errors of mutual information cover: both estimators on many draws of cases whose information is known.

`python benchmarks/information.py` prints the table of README.md; about half an hour of one core, nearly all of it gmm-mi's.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy import ndarray

from probe.information import Estimate, mixture, neighbours
from probe.information.columns import labels

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


def parabola(noise: float = 1.0) -> Case:
    """y = x^2 + noise of a normal x, uncorrelated but not independent: h(y) by quadrature less the noise's entropy."""
    x, y = np.linspace(-8, 8, 4001), np.linspace(-8, 60, 8001)
    weight = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi) * (x[1] - x[0])
    density = np.exp(-((y[:, None] - x**2) ** 2) / (2 * noise**2)) @ weight / (noise * np.sqrt(2 * np.pi))
    entropy = -np.trapezoid(np.where(density > 0, density * np.log(np.maximum(density, 1e-300)), 0), y)

    def draw(rng: np.random.Generator, count: int) -> tuple[ndarray, ndarray]:
        given = rng.normal(size=count)
        return given, given**2 + noise * rng.normal(size=count)

    return Case("parabola", float(entropy - 0.5 * np.log(2 * np.pi * np.e * noise**2)), draw, (500,))


# A fifth of the default points of the integral, in half the time: they add 0.004 nat of noise, a tenth of the errors.
SETTINGS = mixture.Settings(MC_samples=20_000)
CASES = (gaussian(0.0), gaussian(0.6), gaussian(0.9), lognormal(), parabola(), classes())


def rows(draws: int, mixture_draws: int, only: str = "") -> Iterator[str]:
    """Lines of the table, as they come."""
    yield "| case | truth | samples | estimator | draws | bias | scatter | stated error | within 1 sigma | within 2 sigma |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for case in (case for case in CASES if case.name.startswith(only)):
        for count in case.counts:
            for name, number in (("nearest neighbours", draws), ("gmm-mi", mixture_draws)):
                if not number:
                    continue
                found = [_one(case, count, name, seed) for seed in range(number)]
                yield f"| {case.name} | {case.truth:.4f} | {count} | {name} | {_row(found, case.truth)} |"


_floors: dict[tuple[str, int], float] = {}


def _one(case: Case, count: int, name: str, seed: int) -> Estimate:
    x, y = case.draw(np.random.default_rng([seed, count]), count)
    if name == "gmm-mi":
        return mixture.estimated(x, y, case.categorical, SETTINGS)
    place = (case.name if case.categorical else "", count)
    if place not in _floors:
        _floors[place] = neighbours.floor(neighbours.null(count, y if case.categorical else None))
    found = neighbours.estimated(x, y, case.categorical)
    return Estimate(found.value, max(found.error, _floors[place]))


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
