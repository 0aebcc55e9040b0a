"""Linear regression on a few numbers of each sample, every sample predicted from the others.

A network that gives numbers is compared with it: what a line through summary statistics knows, a network need not be trained for.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

PENALTIES = np.logspace(-6, 2, 25)  # over the number of samples, for features of variance 1


def held_out(features: ndarray, target: ndarray) -> ndarray:
    """Prediction of each sample by ridge regression on all others, its penalty chosen among those others as well.

    Parameters
    ----------
    features : ndarray, (sample, feature)
    target : ndarray, (sample,)

    Returns
    -------
    ndarray, (sample,)
    """
    kept = ~np.eye(len(target), dtype=bool)
    return np.array([_predicted(features[some], target[some], row) for some, row in zip(kept, features, strict=True)])


# Of centred features X = U S V^T the fit with the penalty a is U diag(s^2 / (s^2 + a)) U^T y. Its diagonal, and 1/n for the mean,
# is the share h_i that each sample has in its own prediction; left out it would be off by (y_i - f_i) / (1 - h_i) (Allen 1974,
# Technometrics 16, 125). The penalty is the one for which the sum of squares of these is least.
def _predicted(features: ndarray, target: ndarray, asked: ndarray) -> float:
    """The prediction at one row of features from others: (n, feature), (n,), (feature,) -> a number."""
    count, middle, spread = len(target), features.mean(0), features.std(0)
    scale = np.where(spread > 1e-12 * np.abs(features).max(0), spread, np.inf)
    u, s, vt = np.linalg.svd((features - middle) / scale, full_matrices=False)
    off, penalties = u.T @ (target - target.mean()), count * PENALTIES[:, None]
    fitted = (s**2 / (s**2 + penalties) * off) @ u.T + target.mean()
    own = s**2 / (s**2 + penalties) @ (u**2).T + 1 / count
    best = int((((target - fitted) / np.maximum(1 - own, 1e-12)) ** 2).sum(1).argmin())
    return float(target.mean() + ((asked - middle) / scale) @ vt.T @ (s / (s**2 + penalties[best]) * off))
