"""What the coarse model gets wrong by itself: aliasing in the advection of potential vorticity, without any network.

The coarse model of the data multiplies velocity and vorticity on its 64^2 points without dealiasing, so that wavenumbers beyond
Nyquist fold back. The subgrid forcing is what has to be added to the coarse model's tendency, and what folded back is part of it.
"""

from __future__ import annotations

import numpy as np

BOX, DEFORMATION, RATIO = 1e6, 15e3, 0.25  # m, m, H1/H2: the eddy configuration of Ross et al. (2023)


def aliasing(q: np.ndarray) -> np.ndarray:
    """div(u q) on these points less div(u q) free of aliasing: (n, 2, y, x) in 1/s -> the same shape in 1/s^2."""
    n = q.shape[-1]
    modes = _resized(np.fft.fft2(q, norm="forward"), n)
    folded = _advection(modes) - _resized(_advection(_resized(modes, 2 * n)), n)
    return np.fft.ifft2(folded, norm="forward").real


def _advection(q: np.ndarray) -> np.ndarray:
    """Modes of div(u q) from those of q, the product taken on the points that the modes make."""
    k = 2j * np.pi * np.fft.fftfreq(q.shape[-1], BOX / q.shape[-1])
    x, y = k[None, :], k[:, None]
    psi = _streamfunction(q, -(x**2 + y**2).real)
    u, v, field = (np.fft.ifft2(modes, norm="forward").real for modes in (-y * psi, x * psi, q))
    return x * np.fft.fft2(u * field, norm="forward") + y * np.fft.fft2(v * field, norm="forward")


def _streamfunction(q: np.ndarray, k2: np.ndarray) -> np.ndarray:
    """psi of q1 = del^2 psi1 + F1 (psi2 - psi1), q2 = del^2 psi2 + F2 (psi1 - psi2)."""
    f1 = 1 / DEFORMATION**2 / (1 + RATIO)
    f2 = RATIO * f1
    determinant = k2 * (k2 + f1 + f2)
    determinant[0, 0] = np.inf
    upper, lower = q[:, 0], q[:, 1]
    psi = (-(k2 + f2) * upper - f1 * lower, -f2 * upper - (k2 + f1) * lower)
    return np.stack(psi, 1) / determinant


def _resized(modes: np.ndarray, n: int) -> np.ndarray:
    """The same field on n points a side, without the Nyquist mode of the fewer points."""
    fewer = min(n, modes.shape[-1])
    kept = np.r_[0 : fewer // 2, -fewer // 2 + 1 : 0]
    result = np.zeros((*modes.shape[:2], n, n), dtype=complex)
    result[..., kept[:, None], kept] = modes[..., kept[:, None], kept]
    return result
