"""Matter that moves: the momentum of displaced particles, and their density as redshifts show it.

A displacement psi and a velocity v of the same particles give the momentum (1 + delta) v, and, along a line of sight n seen from
afar (plane-parallel), the positions in redshift space

    s = q + psi + (v.n)/(aH) n.

1/(aH), in the box's length for one unit of velocity, is said by the description and never guessed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from probe import painting, spectra
from probe.coupling import is_displacement
from probe.description import Description
from probe.fields import Field, Quantity
from probe.grid import Grid

MULTIPOLES = (0, 2, 4)
AXES = ("x", "y", "z")
UNSAID = "the velocity {!r} has no redshift_space, how far one unit of it moves matter along the line of sight, 1/(aH); write {}"


@dataclass(frozen=True)
class Moving:
    """A displacement and a velocity of the same particles, among the outputs.

    Attributes
    ----------
    displacement, velocity : Quantity
    lines : tuple of int
        The axes that are lines of sight, one after the other.
    """

    displacement: Quantity
    velocity: Quantity
    lines: tuple[int, ...]

    @property
    def unsaid(self) -> str:
        """What keeps it out of redshift space; empty where nothing does."""
        if self.velocity.redshift_space is not None:
            return ""
        return UNSAID.format(self.velocity.name, "redshift_space = 0.01 for km/s and Mpc/h today")


def moving(described: Description, quantity: Quantity) -> Moving | None:
    """The displacement and the velocity that an output is one of; None where there are not both, or the box is not periodic."""
    grid, vectors = described.grid, [q for q in described.outputs if q.is_vector]
    psi = next((q for q in vectors if is_displacement(q) and q.unit in ("", grid.unit)), None)
    velocity = next((q for q in vectors if q.kind == "vector" and q.quantity == "velocity"), None)
    if psi is None or velocity is None or quantity not in (psi, velocity) or grid.boundary != "periodic":
        return None
    return Moving(psi, velocity, lines_of_sight(described))


def facts(described: Description, quantity: Quantity) -> dict[str, str]:
    """The lines of sight in words, and why there is no redshift space where there is none but a velocity; empty without one."""
    found = moving(described, quantity)
    if found is None:
        return {}
    lines = " and ".join(AXES[axis] for axis in found.lines)
    return {"lines_of_sight": lines} | ({"no_redshift_space": found.unsaid} if found.unsaid else {})


def lines_of_sight(described: Description) -> tuple[int, ...]:
    """The one axis about which turning changes nothing, where the description has a single one; else every axis in turn."""
    turns = described.symmetries.rotation
    if described.grid.dimension == 3 and isinstance(turns, tuple) and len(turns) == 1:
        return (AXES.index(turns[0]),)
    return tuple(range(described.grid.dimension))


def momentum(field: Field, of: Moving, assignment: str) -> Tensor:
    """(1 + delta) v of the particles, interlaced and compensated: (batch, D, *grid.shape), float64, in the velocity's unit."""
    psi, v = (field.part(q.name)[1].double() for q in (of.displacement, of.velocity))
    return painting.momentum(psi, v, field.grid, assignment=assignment, interlaced=True, compensated=True)


def density(field: Field, of: Moving, assignment: str) -> Tensor:
    """Overdensity in redshift space, a channel for each line of sight: (batch, lines, *grid.shape), float64.

    Over the root of their number, so that the channels' powers, which add up, are the average over lines of sight.
    """
    psi, v = (field.part(q.name)[1].double() for q in (of.displacement, of.velocity))
    seen = []
    for axis in of.lines:
        moved = psi.clone()
        moved[:, axis] += (of.velocity.redshift_space or 0.0) * v[:, axis]
        seen.append(painting.density(moved, field.grid, assignment=assignment, interlaced=True, compensated=True))
    return torch.stack(seen, 1) / len(of.lines) ** 0.5


# With mu = khat.n, P_l(k) = (2 l + 1) <P(k) L_l(mu)> over the modes of a shell, L_l Legendre's polynomials. In the plane
# directions lie on a circle, and cos(l theta), cos theta = mu, stand in their place: P_l = 2 <P(k) cos(l theta)>, P_0 = <P(k)>.
# On a line there is but one direction, and P_0. To first order matter that velocities move by f psi more shows
# delta(k) (1 + f mu^2) (Kaiser 1987, MNRAS 227, 1):
#     in space  P_0 = (1 + 2/3 f + 1/5 f^2) P, P_2 = (4/3 f + 4/7 f^2) P, P_4 = 8/35 f^2 P,
#     in the plane  P_0 = (1 + f + 3/8 f^2) P, P_2 = (f + 1/2 f^2) P, P_4 = 1/8 f^2 P,
# if the modes of a shell lie evenly. They do not quite: over a shell of few modes <mu^4> is not 1/5. Over all axes as lines of
# sight sum_i mu_i^2 = 1 mode by mode, so that what is isotropic has P_2 = 0 to rounding, however few its modes are.
def multipoles(seen: Tensor, lines: tuple[int, ...], grid: Grid) -> Tensor:
    """Multipoles of the power spectrum about lines of sight, averaged over these.

    Parameters
    ----------
    seen : Tensor, (lines, *grid.shape)
        The density along each line of sight, over the root of their number, as `density` gives it.

    Returns
    -------
    Tensor, (multipoles, shells), float64, in unit^2 L^D
        Of l = 0, 2, 4; on a line of l = 0 alone.
    """
    shells, k = grid.shells(seen.device), grid.wavenumber(seen.device).clone()
    k[(0,) * grid.dimension] = 1
    total = torch.zeros((), dtype=torch.float64, device=seen.device)
    for one, axis in zip(seen, lines, strict=True):
        power = spectra.fourier(one.double(), grid).abs().square()
        mu = (grid.wavevectors(seen.device)[axis] / k).expand(grid.half_shape)
        total = total + shells.sum(torch.stack([power * weight for weight in _weights(mu, grid.dimension)]), grid)
    return total / shells.modes * (grid.volume / grid.size**2)


def degrees(grid: Grid) -> tuple[int, ...]:
    """The l that `multipoles` gives on a grid."""
    return MULTIPOLES if grid.dimension > 1 else (0,)


def _weights(mu: Tensor, dimension: int) -> list[Tensor]:
    square, one = mu.square(), torch.ones_like(mu)
    if dimension == 1:
        return [one]
    if dimension == 2:
        return [one, 2 * (2 * square - 1), 2 * (8 * square.square() - 8 * square + 1)]
    return [one, 5 * (3 * square - 1) / 2, 9 * (35 * square.square() - 30 * square + 3) / 8]
