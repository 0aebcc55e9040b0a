"""How well an answer agrees with the truth, in Fourier space and in all: shared by the probes that have pairs.

T = P_pred / P_true, r = P_x / sqrt(P_pred P_true), and the error power P_{pred - true} / P_true = T + 1 - 2 r sqrt(T). All are
ratios of spectra averaged over simulations, with intervals over simulations.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from probe.grid import Grid
from probe.intervals import Interval, of_samples, over_samples
from probe.spectra import two_point, windowed

SPECTRA = ("power_pred", "power_true", "cross", "error", "residual")
RATIOS = ("transfer_power", "transfer_amplitude", "correlation", "stochasticity", "error_power")
TOTALS = ("error_square", "true_square")


def compare(answer: Tensor, stored: Tensor, grid: Grid) -> dict[str, ndarray]:
    """Spectra of one answer and its truth, through the window where the box is not periodic, and mean squares of all points.

    Parameters
    ----------
    answer, stored : Tensor, (1, width, *grid.shape)
        One quantity, the truth in the precision that it was stored in; compared on the answer's device.

    Returns
    -------
    dict of str to ndarray
        Each of SPECTRA (shell,), in unit^2 L^D; each of TOTALS, mean squares summed over components, in unit^2; and "rounding", the
        power that storing the truth may have added, in unit^2 L^D.
    """
    answer, true = answer.double(), stored.to(answer.device).double()
    two = two_point(windowed(answer, grid), windowed(true, grid), grid)
    spectra = dict(zip(SPECTRA, (two.power_a, two.power_b, two.cross, two.error, two.residual), strict=True))
    size = true.square().sum(1).mean()
    found = {name: values[0] for name, values in spectra.items()} | {
        "error_square": (answer - true).square().sum(1).mean(),
        "true_square": size,
        # White noise of rms s in every cell has the power s^2 h^D; ten units in the last place for making, storing and
        # transforming the truth.
        "rounding": size * (10 * torch.finfo(stored.dtype).eps) ** 2 * grid.volume / grid.size,
    }
    return {name: values.cpu().numpy() for name, values in found.items()}


def ratios(spectra: ndarray, rounding: float) -> dict[str, ndarray]:
    """Ratios of spectra averaged over simulations, each with its interval: (shell, 3), the last axis (value, low, high).

    Parameters
    ----------
    spectra : ndarray, (simulation, shell, 5)
        In the order of SPECTRA.
    rounding : float
        Power below which the truth is nothing but rounding (band-limited data): there is no ratio there.
    """
    held = np.where(spectra[..., 1].mean(0) > rounding, 1.0, np.nan)[:, None]

    def of(statistic: Callable[[ndarray], ndarray]) -> ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            estimate: ndarray = held * np.stack(over_samples(spectra, lambda rows: statistic(rows.mean(0))), -1)
        return estimate

    # Columns: P_pred, P_true, cross, error, residual.
    return {
        "transfer_power": of(lambda m: m[:, 0] / m[:, 1]),
        "transfer_amplitude": of(lambda m: np.sqrt(m[:, 0] / m[:, 1])),
        "correlation": of(lambda m: m[:, 2] / np.sqrt(np.maximum(m[:, 0] * m[:, 1], 1e-300))),
        "stochasticity": of(lambda m: m[:, 4] / np.maximum(m[:, 0], 1e-300)),
        "error_power": of(lambda m: m[:, 3] / m[:, 1]),
    }


def relative_error(error_square: ndarray, true_square: ndarray) -> Interval:
    """Root mean square of the error over that of the truth, over all points of all simulations: (simulation,) each."""
    rows = np.stack([error_square, true_square], -1)
    return of_samples(rows, lambda kept: np.sqrt(kept[..., 0].mean(0) / kept[..., 1].mean(0)))


def over(own: ndarray, other: ndarray, size: ndarray) -> Interval:
    """Error power of one answer over that of another, over all points of the same simulations: (simulation,) each.

    What lies below the rounding of float32 counts as that, so that two exact answers are alike.
    """
    floor = size.mean() * np.finfo(np.float32).eps ** 2
    rows = np.stack([own, other], -1)
    return of_samples(rows, lambda kept: np.maximum(kept[..., 0].mean(0), floor) / np.maximum(kept[..., 1].mean(0), floor))


NEGLIGIBLE = 0.02  # of the truth: what a rival's error counts for at least, since a truth that it meets leaves nothing to beat


# A ratio of two averages that scatter alike is far from symmetric about its value, and any sum is ruled by the one kind in which
# the rival happens to fail. The share of both errors that is the model's, r / (1 + r), lies within 0 and 1 and is symmetric when
# the two change places: it is taken kind by kind and averaged, and s / (1 - s) brings it back to a ratio.
def over_rival(own: ndarray, rival: ndarray, size: ndarray) -> Interval:
    """How much of a rival's error power is left, on average over the kinds of a statistic.

    Parameters
    ----------
    own, rival : ndarray, (simulation, kind)
        Squared errors; the rival's count as no less than NEGLIGIBLE^2 of the truth's size.
    size : ndarray, (kind,)
        Square of the truth's size.
    """
    rows, most = np.stack([own, rival], -1), 1 - np.finfo(float).eps  # rounded to 1 an error would be infinite

    def share(kept: ndarray) -> ndarray:
        error, other = np.moveaxis(kept.mean(0), -1, 0)
        mean: ndarray = np.minimum(np.mean(error / (error + np.maximum(other, NEGLIGIBLE**2 * size))), most)
        return mean

    found = of_samples(rows, share)
    low, high = (min(max(edge, 0.0), 1.0) for edge in (found.low, found.high))
    value, low, high = (s / (1 - s) if s < 1 else float("inf") for s in (found.value, low, high))
    return Interval(value, low, high, of_samples(rows, lambda kept: share(kept) / (1 - share(kept))).samples)
