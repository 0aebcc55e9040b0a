"""The law: the viscous Burgers equation on a periodic line, solved in Fourier space.

    u_t + u u_x = nu u_xx   on [0, 1), nu = 0.01

With u = U + v, U the mean, which is conserved, every Fourier mode v_k (k = 2 pi n) obeys

    dv_k/dt = L v_k + N(v)_k,   L = -nu k^2 - i k U,   N(v)_k = -(i k / 2) (v^2)_k,

so w = exp(-L t) v has dw/dt = exp(-L t) N(exp(L t) w). On this equation the classical fourth-order Runge-Kutta step is taken
(integrating factor: Trefethen 2000, Spectral Methods in MATLAB, chapter 10). Diffusion and the drift with the mean are then
exact, and a Galilean boost is a shift, to rounding. The square is dealiased by the 2/3 rule (Orszag 1971, J. Atmos. Sci. 28, 1074).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from probe.errors import InputError

VISCOSITY = 0.01
TIME = 1.0

# Points on the line and steps in a unit of time. Measured against the Cole-Hopf solution at t = 1, on single waves n = 1 to 21
# and on sums of eleven: the error is below 5e-9 up to |u - U| = REACH, and below 3e-10 for a single wave up to 2. The steps
# make it, sixteen times less with twice as many; half the points would do up to 2. Earlier, while fronts are at their
# steepest, it is larger (1e-5 at |u - U| = 2, per cents at REACH, where fronts are thinner than a cell) and it is forgotten as they
# fade. The steps are stable up to a few cells over |u - U|, and fronts are nu / |u - U| thick: beyond REACH every doubling takes
# twice the points and four times the steps.
POINTS, STEPS, REACH, LIMIT = 512, 1024, 8.0, 64.0


def evolve(values: Tensor, time: float = TIME) -> Tensor:
    """u(t) of u(0): the law that the network learns.

    The trigonometric interpolant of the input is solved on a finer grid that holds the input's points, and the answer is read
    off at these. It is sampled, not low-passed, as the input is: a network's channels are values at points.

    Parameters
    ----------
    values : Tensor, (batch, 1, N), real
        u at the points j/N. Any N; the mean may be of any size.
    time : float
        t, more than 0.

    Returns
    -------
    Tensor, (batch, 1, N), in the precision of `values` (the solution is found in float64)

    Raises
    ------
    InputError
        If it is no batch of single channels on a line, or |u - U| is beyond LIMIT.
    """
    if values.ndim != 3 or values.shape[1] != 1:
        raise InputError(f"the Burgers equation takes one velocity on a line; found {tuple(values.shape)}, give (batch, 1, N)")
    given = values[:, 0].double()
    finer = _finer(given)
    count = given.shape[1]
    factor = math.ceil(max(POINTS * finer, 3 * count / 2) / count)
    modes = _integrate(_refined(given, factor), factor * count, math.ceil(STEPS * finer**2 * time), time)
    answer = torch.fft.irfft(modes, n=factor * count, norm="forward")[:, ::factor]
    return answer[:, None].to(values.dtype)


def _finer(values: Tensor) -> int:
    """How many times more points than usual the largest |u - U| of a batch needs: a power of two."""
    speed = float((values - values.mean(1, keepdim=True)).detach().abs().max())
    if not speed <= LIMIT:
        raise InputError(f"the Burgers solver is made for |u - mean| up to {LIMIT:g}; found {speed:.3g}: scale the input down")
    return 2 ** math.ceil(math.log2(max(1.0, speed / REACH)))


def _refined(values: Tensor, factor: int) -> Tensor:
    """Modes (norm "forward") of the interpolant on `factor` times as many points."""
    count = values.shape[1]
    modes = torch.fft.rfft(values, norm="forward")
    if count % 2 == 0 and factor > 1:
        modes[:, -1] /= 2  # what was one Nyquist mode is now a pair, n and -n
    return torch.nn.functional.pad(modes, (0, factor * count // 2 + 1 - modes.shape[1]))


def _integrate(modes: Tensor, points: int, steps: int, time: float) -> Tensor:
    """The modes of u at the end, from those at the start: (batch, points // 2 + 1) each."""
    number = torch.arange(points // 2 + 1, device=modes.device, dtype=torch.float64)
    k, resolved = 2 * math.pi * number, 3 * number < points
    mean = modes[:, :1].real.clone()
    step = time / steps
    half = torch.exp((-VISCOSITY * k**2 - 1j * k * mean) * (step / 2))
    slope = -0.5j * step * k * resolved

    def change(v: Tensor) -> Tensor:
        """N(v) times the step."""
        return slope * torch.fft.rfft(torch.fft.irfft(v, n=points, norm="forward").square(), norm="forward")

    v = modes * resolved
    v[:, 0] = 0
    for _ in range(steps):
        first = change(v)
        second = change(half * (v + first / 2))
        third = change(half * v + second / 2)
        fourth = change(half * (half * v + third))
        v = half * (half * v + (half * first + 2 * (second + third)) / 6) + fourth / 6
    v[:, :1] += mean
    return v
