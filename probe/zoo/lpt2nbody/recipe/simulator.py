"""The simulator: jaxpm's particle-mesh forces under FastPM's time steps, started by spectral 2LPT.

A particle mesh as coarse as its particles is far from gravity, so 128^3 particles on 128^3 cells are run from a linear
field band-limited below the Nyquist mode of 32^3, and every fourth particle is kept. Kicks and drifts carry the factors of
Feng et al. 2016 (MNRAS 463, 2273, eqs. 14 to 24), which make the linear growth of every step exact.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import torch
from jaxpm.pm import pm_forces

from probe.grid import Grid
from probe.perturbation import growth_factor, resample, second_order, zeldovich

OMEGA_M, OMEGA_B, HUBBLE, SPECTRAL_INDEX, AMPLITUDE = 0.3089, 0.0486, 0.6774, 0.9667, 2.142e-9
COARSE = Grid.cubic(32, 128.0, unit="Mpc/h")
FINE = Grid.cubic(128, 128.0, unit="Mpc/h")
STEPS, START = 12, 0.1


def linear_power(omega_m: float = OMEGA_M) -> tuple[np.ndarray, np.ndarray]:
    """k in h/Mpc and the linear P(k) at z = 0 in (Mpc/h)^3, by CAMB."""
    import camb

    h2 = HUBBLE**2
    parameters = camb.set_params(
        H0=100 * HUBBLE, ombh2=OMEGA_B * h2, omch2=(omega_m - OMEGA_B) * h2, omk=0, mnu=0, ns=SPECTRAL_INDEX, As=AMPLITUDE
    )
    parameters.set_matter_power(redshifts=[0.0], kmax=10.0)
    wavenumber, _, power = camb.get_results(parameters).get_matter_power_spectrum(minkh=1e-3, maxkh=5.0, npoints=400)
    return wavenumber, power[0]


def simulate(delta: torch.Tensor) -> torch.Tensor:
    """Displacement at z = 0 of every fourth particle.

    Parameters
    ----------
    delta : Tensor, (*FINE.shape), float64
        Linear overdensity at z = 0.

    Returns
    -------
    Tensor, (3, *COARSE.shape), float32, in Mpc/h
    """
    return displaced(zeldovich(delta[None], FINE)[0], second_order_on_fine(delta)[0])


def displaced(first: torch.Tensor, second: torch.Tensor, offset: tuple[float, ...] = (0.0, 0.0, 0.0)) -> torch.Tensor:
    """The same from displacements of first and second order, each scaled back to the start as its growing mode is.

    Parameters
    ----------
    first, second : Tensor, (3, *FINE.shape), float64, in Mpc/h at z = 0
    offset : tuple of float
        Where the particles' lattice lies against the mesh, in cells.

    Returns
    -------
    Tensor, (3, *COARSE.shape), float32, in Mpc/h
    """
    stride = FINE.shape[0] // COARSE.shape[0]
    return evolved(first, second, FINE, OMEGA_M, offset)[:, ::stride, ::stride, ::stride].contiguous()


def evolved(
    first: torch.Tensor, second: torch.Tensor, grid: Grid, omega_m: float, offset: tuple[float, ...] = (0.0, 0.0, 0.0)
) -> torch.Tensor:
    """Displacement at z = 0 of the particles on a grid, which is the mesh of the forces as well.

    Parameters
    ----------
    first, second, offset
        As in `displaced`, on `grid`.
    omega_m : float
        Of a flat universe.

    Returns
    -------
    Tensor, (3, *grid.shape), float32, in grid.unit
    """
    cell = grid.spacing[0]
    one, two = (psi.permute(1, 2, 3, 0).numpy() / cell for psi in (first, second))
    table = _steps(omega_m)
    growth, growth2, momentum, momentum2 = table["start"]
    psi = jnp.asarray(growth * one + growth2 * two, dtype=jnp.float32)
    velocity = jnp.asarray(momentum * one + momentum2 * two, dtype=jnp.float32)
    place = jnp.array(offset, dtype=jnp.float32)
    acceleration = 1.5 * omega_m * _force(psi, place)
    for kick, drift, kick_after in table["steps"]:
        velocity = velocity + kick * acceleration
        psi = psi + drift * velocity
        acceleration = 1.5 * omega_m * _force(psi, place)
        velocity = velocity + kick_after * acceleration
    return torch.from_numpy(np.array(psi) * cell).permute(3, 0, 1, 2)


def second_order_on_fine(delta: torch.Tensor) -> torch.Tensor:
    """psi2 at Omega_m(a) = 1, on the fine grid; the field holds no mode beyond the coarse Nyquist, so products do not alias."""
    return resample(second_order(resample(delta[None], FINE, _HALF), _HALF), _HALF, FINE)


_HALF = Grid.cubic(96, 128.0, unit="Mpc/h")


@jax.jit
def _force(psi: jax.Array, offset: jax.Array) -> jax.Array:
    """-grad of the phi that solves grad^2 phi = delta, at each particle, in cells."""
    shape = psi.shape[:3]
    lattice = jnp.stack(jnp.meshgrid(*[jnp.arange(n) for n in shape], indexing="ij"), -1).astype(jnp.float32) + offset
    force = pm_forces(lattice + psi, mesh_shape=shape)
    return force - force.mean((0, 1, 2))


def _steps(omega_m: float) -> dict:
    """Factors of the start and of every kick-drift-kick step, uniform in a.

    Units: dx/da = p / (a^3 E), dp/da = F / (a^2 E). With G_p = D and G_f = a^3 E dD/da,
    drift = [G_p]_{a0}^{a1} / (g_p(m) m^3 E(m)), kick = [G_f]_{a0}^{a1} / (g_f(r) r^2 E(r)), at the times m, r of p and F.
    """

    def hubble(a: float) -> float:
        return float(np.sqrt(omega_m / a**3 + 1 - omega_m))

    def growth(a: float) -> float:
        return growth_factor(a, omega_m)

    def slope(function: Callable[[float], float], a: float) -> float:
        step = 1e-4 * a
        return (function(a + step) - function(a - step)) / (2 * step)

    def momentum(a: float) -> float:
        return a**3 * hubble(a) * slope(growth, a)

    def second(a: float) -> float:
        return growth(a) ** 2 * (omega_m / (a**3 * hubble(a) ** 2)) ** (-1 / 143)

    def kick(a: float, b: float, at: float) -> float:
        return (momentum(b) - momentum(a)) / (slope(momentum, at) * at**2 * hubble(at))

    def drift(a: float, b: float, at: float) -> float:
        return (growth(b) - growth(a)) / (slope(growth, at) * at**3 * hubble(at))

    steps = []
    for a, b in pairwise(np.linspace(START, 1.0, STEPS + 1)):
        middle = (a + b) / 2
        steps.append((kick(a, middle, a), drift(a, b, middle), kick(middle, b, b)))
    start = (growth(START), second(START), momentum(START), START**3 * hubble(START) * slope(second, START))
    return {"start": start, "steps": steps}
