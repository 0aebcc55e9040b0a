"""Three-point statistics in Fourier space: the bispectrum of a scalar field over triangles of shells.

With f(k) = h^D sum_x f(x) exp(-i k.x), <f(k1) f(k2) f(k3)> = V B(k1, k2, k3) for k1 + k2 + k3 = 0: units L^(2D) times the field's
cubed. Shells are those of `probe.grid`, counted from 1.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor
from xarray import Dataset

from probe.grid import Grid
from probe.intervals import over_samples
from probe.spectra import fourier, inverse_of, spread
from probe.waves import default_mode

Triple = tuple[int, int, int]

HELD = 3  # shells that are kept as fields: one that moves along a family, and those that stand still


# With c_n = f(k_n)/V the field is sum_n c_n exp(i k_n.x); f_s(x), what a shell holds of it, is the same sum over the shell alone.
# The mean over x of f_1 f_2 f_3 is the sum of c_n1 c_n2 c_n3 over all modes of the three shells with n1 + n2 + n3 = 0 modulo N, k
# and -k and each order of sides counted; with ones in the place of c it is their number. So
#     B = V^2 mean(f_1 f_2 f_3) / mean(I_1 I_2 I_3)
# (Scoccimarro 2000, ApJ 544, 597; Sefusatti et al. 2016, MNRAS 460, 3624). "Modulo N" is nothing as long as the largest components
# of the three shells add up to less than N along every axis: equilateral triangles up to 2/3 of Nyquist.
def bispectrum(field: Tensor, triples: Sequence[Triple], grid: Grid) -> Tensor:
    """Bispectrum of a scalar field, by one transform a shell.

    Parameters
    ----------
    field : Tensor, (*grid.shape)
    triples : sequence of (int, int, int)
        Shells of the three sides, without aliases (`fits`). Neighbours that share shells share their transforms.

    Returns
    -------
    Tensor, (triples,), float64, in unit^3 L^(2D); nan where there is no triangle.
    """
    modes = fourier(field.double(), grid) / grid.size
    return grid.volume**2 * _sums(modes, triples, grid) / number(tuple(triples), grid, field.device)


@lru_cache(maxsize=16)
def number(triples: tuple[Triple, ...], grid: Grid, device: torch.device | str = "cpu") -> Tensor:
    """Number of triangles, (n1, n2, n3) and (-n1, -n2, -n3) and each order of sides counted: (triples,), float64; nan for none."""
    ones = torch.ones(grid.half_shape, dtype=torch.complex128, device=device)
    counted = _sums(ones, triples, grid).round()
    return torch.where(counted > 0, counted, torch.nan)


def _sums(modes: Tensor, triples: Sequence[Triple], grid: Grid) -> Tensor:
    """Mean over the box of the product of what three shells hold: (triples,)."""
    numbers = torch.arange(1, grid.shells(modes.device).count + 1, device=modes.device)
    shell_of = spread(numbers[None], grid, torch.float32)[0]
    held: OrderedDict[int, Tensor] = OrderedDict()
    means = []
    for triple in triples:
        for shell in sorted(set(triple)):
            if shell not in held:
                inside = torch.where(shell_of == shell, modes, 0.0)
                held[shell] = torch.fft.irfftn(inside, s=grid.shape, dim=grid.axes, norm="forward")
            held.move_to_end(shell)
        while len(held) > HELD:
            held.popitem(last=False)
        first, second, third = (held[shell] for shell in triple)
        means.append((first * second * third).mean())
    return torch.stack(means)


def fits(triple: Triple, grid: Grid) -> bool:
    """Whether the grid has the shells, and no product of the three aliases."""

    def reach(shell: int, side: float) -> int:
        # The largest n along an axis: |k| < (s + 1/2) k_F.
        return math.ceil((shell + 0.5) * side / max(grid.box) - 1e-9) - 1

    alone = all(sum(reach(s, side) for s in triple) < points for side, points in zip(grid.box, grid.shape, strict=True))
    return max(triple) <= grid.shells().count and alone


def families(grid: Grid, long_side: int = 1, most: int = 24) -> dict[str, list[Triple]]:
    """Triangles by shape: equilateral (s, s, s), squeezed (long, s, s), isosceles (m, m, t); on a line folded (s, s, 2s).

    Parameters
    ----------
    long_side : int
        The shell of the long wave of squeezed triangles, whose other sides lie three times as high and more.
    most : int
        Of one family, spread evenly over their shells.
    """
    every, middle = range(1, grid.shells().count + 1), max(2, default_mode(grid))
    if grid.dimension == 1:
        # Three modes of one shell never add up to zero on a line: the sides lie on one another.
        made = {"folded": [(s, s, 2 * s) for s in every], "squeezed": [(long_side, s, s + long_side) for s in every]}
    else:
        made = {
            "equilateral": [(s, s, s) for s in every],
            "squeezed": [(long_side, s, s) for s in every],
            "isosceles": [(middle, middle, t) for t in range(1, 2 * middle + 1)],
        }
    made["squeezed"] = [triple for triple in made["squeezed"] if triple[1] >= 3 * long_side]
    return {name: _thinned([t for t in triples if fits(t, grid)], most) for name, triples in made.items()}


def _thinned(triples: list[Triple], most: int) -> list[Triple]:
    if len(triples) <= most:
        return triples
    places = {round(i * (len(triples) - 1) / max(most - 1, 1)) for i in range(most)}
    return [triples[place] for place in sorted(places)]


def together(by_name: dict[str, list[Triple]], grid: Grid, device: torch.device | str = "cpu") -> tuple[Triple, ...]:
    """The triangles of all families that the grid holds, each once, in the order of the shell that moves along its family."""
    every = tuple(sorted({t for triples in by_name.values() for t in triples}, key=lambda t: (t[2], t)))
    there = number(every, grid, device).isfinite().tolist()
    return tuple(triple for triple, held in zip(every, there, strict=True) if held)


def permutations(triple: Triple) -> int:
    """s_B: how many orders of the sides are the same triangle, 6 for equal sides, 2 for two that are equal, 1 for others."""
    return math.prod(math.factorial(count) for count in Counter(triple).values())


# The scatter of a Gaussian field's estimate: of <c1 c2 c3 (c1' c2' c3')*> each order of equal sides pairs every triangle once, each
# time with P1 P2 P3 / V^3; so var B = s_B V P1 P2 P3 / N_tri (Scoccimarro et al. 1998, ApJ 496, 586).
def gaussian_variance(power: Tensor, triples: Sequence[Triple], grid: Grid) -> Tensor:
    """Variance of the bispectrum of one Gaussian field of a power spectrum, in the limit of many modes.

    Parameters
    ----------
    power : Tensor, (shells,)
        In unit^2 L^D.

    Returns
    -------
    Tensor, (triples,), in unit^6 L^(4D)
    """
    sides = torch.tensor(triples, device=power.device) - 1
    same = torch.tensor([permutations(t) for t in triples], dtype=torch.float64, device=power.device)
    return same * grid.volume * power[sides].prod(-1) / number(tuple(triples), grid, power.device)


def cyclic(power: Tensor, triples: Sequence[Triple]) -> Tensor:
    """P1 P2 + P2 P3 + P3 P1, what the reduced bispectrum Q is relative to: (..., shells) -> (..., triples)."""
    first, second, third = (power[..., torch.tensor([t[side] - 1 for t in triples], device=power.device)] for side in range(3))
    return first * second + second * third + third * first


def bispectrum_unit(unit: str, grid: Grid) -> str:
    """Unit of a bispectrum: the field's cubed, times L^(2D)."""
    volume = f"({grid.unit})^{2 * grid.dimension}"
    return f"({unit})^3 {volume}" if unit else volume


def described(triples: Sequence[Triple], power: Tensor, rounding: float, grid: Grid, unit: str) -> dict[str, Any]:
    """What is known of triangles beside their bispectrum, as variables of a dataset.

    Parameters
    ----------
    power : Tensor, (shells,)
        Of the truth; in shells where it is not above `rounding` there is nothing.
    unit : str
        Of the bispectrum's variance.

    Returns
    -------
    dict
        `gaussian_variance` (triangle), nan where a side lies in a shell that holds nothing, `number` of triangles in the estimate
        (triangle), `sides` in k and `shells` of each (triangle, side), `modes` (shell).
    """
    shells, sides = grid.shells(), torch.tensor(triples) - 1
    variance = gaussian_variance(power, triples, grid).cpu()
    variance = torch.where((power.cpu() > rounding)[sides].all(-1), variance, torch.nan)
    return {
        "gaussian_variance": ("triangle", variance.numpy(), {"units": unit}),
        "number": ("triangle", number(tuple(triples), grid, power.device).cpu().numpy(), {"units": ""}),
        "sides": (("triangle", "side"), shells.wavenumber.numpy()[sides.numpy()], {"units": grid.inverse_unit}),
        "shells": (("triangle", "side"), sides.numpy() + 1, {"units": ""}),
        "modes": ("shell", shells.modes.numpy(), {"units": ""}),
    }


def estimates(data: Dataset) -> dict[str, Any]:
    """B, Q and the ratio to truth from averages over simulations: (triangle, estimate), value, low and high.

    Parameters
    ----------
    data : Dataset
        `bispectrum_pred`, `bispectrum_true` (simulation, triangle), `power_pred`, `power_true` (simulation, shell), `shells`
        (triangle, side) and `gaussian_variance` (triangle), which is nan where the truth holds nothing.
    """
    triples = [(int(a), int(b), int(c)) for a, b, c in data.shells.values]
    count, width = data.sizes["simulation"], data.sizes["triangle"]
    known = np.where(np.isfinite(data.gaussian_variance.values), 1.0, np.nan)
    error = np.sqrt(data.gaussian_variance.values / count)
    seen = np.where(np.abs(data.bispectrum_true.values.mean(0)) > 2 * error, 1.0, np.nan)

    def of(rows: ndarray, statistic: Any, held: ndarray) -> tuple[tuple[str, str], ndarray]:
        with np.errstate(divide="ignore", invalid="ignore"):
            found = over_samples(rows, lambda some: statistic(some.mean(0)))
        return ("triangle", "estimate"), held[:, None] * np.stack(found, -1)

    def reduced(mean: ndarray) -> ndarray:
        below = cyclic(torch.from_numpy(mean[width:]), triples).numpy()
        quotient: ndarray = mean[:width] / np.where(below > 0, below, np.nan)
        return quotient

    both = {side: np.concatenate([data[f"bispectrum_{side}"], data[f"power_{side}"]], 1) for side in ("pred", "true")}
    unit = data.attrs["field_unit"]
    inverse = {"units": inverse_of(unit)}
    made: dict[str, Any] = {}
    for side, rows in both.items():
        made[f"mean_{side}"] = (*of(rows[:, :width], lambda mean: mean, known), {"units": data[f"bispectrum_{side}"].units})
        made[f"reduced_{side}"] = (*of(rows, reduced, known), inverse)
    # Both see the same waves: their difference is known much better than either.
    apart = of(np.stack([both["pred"], both["true"]], -1), lambda mean: reduced(mean[:, 0]) - reduced(mean[:, 1]), known)
    made["reduced_error"] = (*apart, inverse)
    pairs = np.stack([both["pred"][:, :width], both["true"][:, :width]], -1)
    made["ratio"] = (*of(pairs, lambda mean: mean[:, 0] / mean[:, 1], known * seen), {"units": ""})
    return made


def places(data: Dataset, shape: str) -> ndarray:
    """The triangles of one shape that the truth holds, ordered by the side that is not the same in all: (held,) of int."""
    held = np.flatnonzero(data.member.sel(shape=shape).values & np.isfinite(data.gaussian_variance.values))
    found: ndarray = held[np.argsort(data.sides.values[held, 2])]
    return found
