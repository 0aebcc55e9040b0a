"""Two-point statistics and responses in Fourier space.

f(k) = h^D sum_x f(x) exp(-i k.x) and P(k) = <|f(k)|^2>/V, in units L^D times the field's units squared; a vector field's
power is the sum over its components. Shells, their edges and the counting of modes are those of `probe.grid`.

A box that is not periodic is seen through a window (below), which falls to nothing at its walls: without one the jump from
one wall to the other is power at every k.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import EllipsisType

import torch
from torch import Tensor

from probe.errors import InputError
from probe.grid import Grid, Part


@dataclass(frozen=True)
class TwoPoint:
    """Spectra of a pair of fields, shell by shell: (batch, shells), float64, in unit^2 L^D.

    Attributes
    ----------
    power_a, power_b, cross : Tensor
        P_a, P_b and Re P_ab.
    error : Tensor
        Power of the difference a - b, from the difference field: never by cancellation.
    residual : Tensor
        Power of a - (P_ab / P_b) b, of which 1 - r^2 = residual / P_a.
    """

    power_a: Tensor
    power_b: Tensor
    cross: Tensor
    error: Tensor
    residual: Tensor


# Along an axis of N points the window is w_j = (1 - cos(2 pi (j + 1/2)/N))/2: even about the middle of the box, smallest at its
# walls. Its transform W(q) = sum_j w_j exp(-2 pi i q j/N) is N/2 at q = 0, -(N/4) exp(+-i pi/N) at q = +-1 and exactly zero at
# every other q of the lattice. So sum_x w f exp(-i k.x) at the mode n holds the modes of f at most one step from n along each
# axis, and no others. For a wave answered linearly, f = Re[H A exp(i (k.x + phi))], it is
#     (A/2) [H exp(i phi) W(0) + conj(H) exp(-i phi) W(2n)],
# and W(2n) = 0 as soon as 2n is two or more away from zero, modulo N, along one axis: then H = 2 sum_x w f exp(-i k.x - i phi) /
# (A sum_x w), exactly. Likewise the mean and the harmonics of a wave do not mix where their modes lie that far apart.
# What a wall changes in the r cells next to it, by at most df, enters H by at most 2 sum |w df| / (A sum w), about
# (4 pi^2 / 3) (r/N)^3 df/A; without a window it would be 2 (r/N) df/A.
def window(grid: Grid, device: torch.device | str = "cpu") -> Tensor:
    """The weight of every point: 1 in a periodic box, else a product of Hann windows: (*grid.shape,), float64."""
    total = torch.ones(grid.shape, dtype=torch.float64, device=device)
    if grid.boundary != "periodic":
        for axis, points in enumerate(grid.shape):
            angle = (torch.arange(points, dtype=torch.float64, device=device) + 0.5) * (2 * math.pi / points)
            total = total * ((1 - torch.cos(angle)) / 2).reshape([-1 if a == axis else 1 for a in range(grid.dimension)])
    return total


def windowed(values: Tensor, grid: Grid) -> Tensor:
    """What the spectra of a field are to be taken of: itself in a periodic box, else without its mean and through the window.

    The window is scaled to mean square 1, so that white noise keeps its power. The mean is the plain one, which takes nothing
    from a wave that fits the box; from white noise it takes a little at modes within one step of zero, a sixth on a line.

    Parameters
    ----------
    values : Tensor, (batch, channel, *grid.shape)

    Returns
    -------
    Tensor, (batch, channel, *grid.shape)
    """
    if grid.boundary == "periodic":
        return values
    weight = window(grid, values.device)
    weight = (weight / weight.square().mean().sqrt()).to(values.dtype)
    return (values - values.mean(grid.axes, keepdim=True)) * weight


def fourier(values: Tensor, grid: Grid) -> Tensor:
    """rfftn over the grid axes, without any factor."""
    return torch.fft.rfftn(values, dim=grid.axes)


# Re(a conj b) is the sum over real and imaginary part of a b, the transforms seen as interleaved reals: one product for power and
# cross power alike, without |.| of complex numbers. Its rows are folded and summed as `probe.grid` derives it. Where a transform is
# needed no more the product takes its place: a few large operations, and no other array of its size. Where both are needed still,
# it is made of the rows of one part at a time. Products and folds keep the field's precision (some eight roundings, where many
# rows have one q a few tens); from there on sums are float64.
def _rows(modes: Tensor) -> Tensor:
    """A transform as interleaved reals, row below row: (..., columns), complex -> (rows, 2 columns)."""
    return torch.view_as_real(modes).reshape(-1, 2 * modes.shape[-1])


def _mean(folded: Callable[[Part], Tensor], like: Tensor, grid: Grid, gathered: bool = False) -> Tensor:
    """Mean over each shell of a product of transforms like this one, folded part by part: channels added, (batch, shells)."""

    def added(part: Part) -> Tensor:
        values = folded(part)
        return values[:, ::2] + values[:, 1::2]

    shells, fields = grid.shells(like.device), like.shape[:2]
    sums = shells.sum_folded(added, fields.numel(), gathered).reshape(*fields, -1).sum(1)
    return sums / shells.modes * (grid.volume / grid.size**2)


def _cross(a: Tensor, b: Tensor, grid: Grid) -> Tensor:
    """Mean of Re(a conj b) of two transforms over each shell, summed over channels: (batch, shells), float64."""
    x, y = _rows(a), _rows(b)

    def folded(part: Part) -> Tensor:
        rows = x.index_select(0, part.rows)
        return part.fold_own(rows.pow_(2) if a is b else rows.mul_(y.index_select(0, part.rows)))

    return _mean(folded, a, grid, gathered=True)


def _last_cross(a: Tensor, b: Tensor, grid: Grid) -> Tensor:
    """The same where b is needed no more: the product takes its place, unless a gradient will ask for b."""
    x, y = _rows(a), _rows(b)
    product = x * y if x.requires_grad or y.requires_grad else y.pow_(2) if a is b else y.mul_(x)
    return _mean(lambda part: part.fold(product), a, grid)


def power(values: Tensor, grid: Grid) -> Tensor:
    """Power spectrum.

    Parameters
    ----------
    values : Tensor, (batch, channel, *grid.shape)
        Channels are the components of one quantity: their powers add.

    Returns
    -------
    Tensor, (batch, shells), float64
    """
    modes = fourier(values, grid)
    return _last_cross(modes, modes, grid)


def powers(a: Tensor, b: Tensor, grid: Grid) -> tuple[Tensor, Tensor, Tensor]:
    """Power of each of two fields and the real part of their cross power, (batch, shells) each, from one transform of each."""
    modes_a, modes_b = fourier(a, grid), fourier(b, grid)
    power_b, cross = _cross(modes_b, modes_b, grid), _last_cross(modes_a, modes_b, grid)
    return _last_cross(modes_a, modes_a, grid), power_b, cross


# What of a is not in b is a - s b with s = P_ab / P_b. With d = a - b it is d - t b, t = P_db / P_b: the same field, but where a is
# almost b, d holds the digits that the transform of a rounds away.
def two_point(a: Tensor, b: Tensor, grid: Grid) -> TwoPoint:
    """Power of each field, cross power, and the two that must not be found by cancellation."""
    modes_a, modes_b = fourier(a, grid), fourier(b, grid)
    power_a, power_b, cross = _cross(modes_a, modes_a, grid), _cross(modes_b, modes_b, grid), _last_cross(modes_b, modes_a, grid)
    difference = fourier(a - b, grid)
    shared = _cross(difference, modes_b, grid)
    slope = torch.where(power_b > 0, shared / torch.where(power_b > 0, power_b, 1.0), 0.0)
    left = torch.addcmul(difference, spread(slope, grid, modes_b.real.dtype)[:, None], modes_b, value=-1)
    return TwoPoint(power_a, power_b, cross, _last_cross(difference, difference, grid), _last_cross(left, left, grid))


def spread(per_shell: Tensor, grid: Grid, dtype: torch.dtype = torch.float64) -> Tensor:
    """The value of each mode's shell, 0 outside all shells: (batch, shells) -> (batch, *half_shape)."""
    return grid.shells(per_shell.device).spread(per_shell.to(dtype), grid)


def longitudinal(modes: Tensor, grid: Grid) -> Tensor:
    """khat.f(k) of a vector field's modes: (batch, D, *half_shape) -> (batch, *half_shape); zero at k = 0."""
    dtype = modes.real.dtype
    norm = grid.wavenumber(modes.device, dtype).clone()
    norm[(0,) * grid.dimension] = 1
    total = torch.zeros_like(modes[:, 0])
    for axis, k in enumerate(grid.wavevectors(modes.device, dtype)):
        total = total + k / norm * modes[:, axis]
    return total


def coefficients(values: Tensor, modes: Sequence[Sequence[int]], grid: Grid) -> Tensor:
    """Complex amplitudes c_n such that the field holds Re[c_n exp(i k.x)]: A e^(i phi) for A cos(k.x + phi).

    Parameters
    ----------
    values : Tensor, (batch, channel, *grid.shape)
    modes : sequence of m integer modes n, taken modulo the grid; n = 0 and Nyquist stand for themselves alone.

    Returns
    -------
    Tensor, (batch, channel, m), complex
    """
    transform = fourier(values, grid)
    picked = []
    for mode in modes:
        index = [n % points for n, points in zip(mode, grid.shape, strict=True)]
        conjugate = index[-1] > grid.shape[-1] // 2
        if conjugate:
            index = [-n % points for n, points in zip(index, grid.shape, strict=True)]
        own = all((2 * n) % points == 0 for n, points in zip(mode, grid.shape, strict=True))
        place: tuple[EllipsisType | int, ...] = (..., *index)
        value = transform[place] * ((1 if own else 2) / grid.size)
        picked.append(value.conj() if conjugate else value)
    return torch.stack(picked, -1)


def along(coefficient: Tensor, mode: Sequence[int], grid: Grid, is_vector: bool) -> tuple[Tensor, Tensor]:
    """Longitudinal part of the amplitude at one mode, and the norm of what is transverse to it.

    Parameters
    ----------
    coefficient : Tensor, (batch, channel), complex

    Returns
    -------
    longitudinal : Tensor, (batch,), complex
    transverse : Tensor, (batch,), real
    """
    if not is_vector:
        return coefficient[:, 0], torch.zeros_like(coefficient[:, 0].real)
    khat = grid.direction_of(mode, coefficient.device).to(coefficient.real.dtype)
    parallel = (coefficient * khat).sum(1)
    return parallel, (coefficient - parallel[:, None] * khat).abs().square().sum(1).sqrt()


def ladder_mask(mode: Sequence[int], grid: Grid, stride: int = 1) -> Tensor:
    """Modes that a periodic network of total stride s can answer the mode n with: m n + (N/s) j (mod N), m and j integers.

    Returns
    -------
    Tensor, (*half_shape,), bool
        With stride 1 the harmonics alone.
    """
    if any(points % stride for points in grid.shape):
        raise InputError(f"the grid {grid.shape} is no multiple of the network's stride {stride}; give a grid that is")
    reduced = [points // stride for points in grid.shape]
    flags = torch.zeros(reduced, dtype=torch.bool)
    for m in range(math.lcm(*reduced)):
        flags[tuple(m * n % points for n, points in zip(mode, reduced, strict=True))] = True
    return flags[tuple(n % points for n, points in zip(grid.modes(), reduced, strict=True))]


def modes_mask(modes: Sequence[Sequence[int]], grid: Grid) -> Tensor:
    """True at the given modes and their opposites in the rfftn layout: (*half_shape,), bool."""
    mask = torch.zeros(grid.half_shape, dtype=torch.bool)
    for mode in modes:
        for sign in (1, -1):
            index = [(sign * n) % points for n, points in zip(mode, grid.shape, strict=True)]
            if index[-1] < grid.half_shape[-1]:
                mask[tuple(index)] = True
    return mask


def power_unit(unit: str, grid: Grid) -> str:
    """Unit of a power spectrum: the field's squared, times L^D."""
    volume = f"({grid.unit})^{grid.dimension}"
    return f"({unit})^2 {volume}" if unit else volume


def inverse_of(unit: str) -> str:
    """One over a unit: s^2 of 1/s^2."""
    plain = unit.removeprefix("1/")
    return plain if plain != unit and "/" not in plain else f"1/({unit})" if unit else ""


def response_unit(given: str, answered: str) -> str:
    """Unit of a response: the output's over the input's, none where they are the same."""
    return "" if given == answered else f"({answered or '1'})/({given or '1'})"
