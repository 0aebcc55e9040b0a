"""What each channel of a field is, and hence how it transforms.

One representation runs through the whole house: a tensor `(batch, channel, *grid)` with its `Grid` and its channel kinds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from probe.errors import InputError
from probe.grid import Grid

Kind = Literal["scalar", "pseudoscalar", "vector", "pseudovector", "number"]


@dataclass(frozen=True)
class Quantity:
    """One physical quantity of a field: a scalar takes one channel, a vector one for each axis.

    Parameters
    ----------
    name : str
    kind : {"scalar", "pseudoscalar", "vector", "pseudovector", "number"}
        A pseudo-quantity changes sign under reflections on top of what the plain one does. In two dimensions the
        pseudovector has one component, along the missing axis, and behaves as a pseudoscalar: write that. A number has no place:
        it is held as a channel that is the same at every point, so that every symmetry leaves it as it is.
    quantity : str
        What it is physically ("displacement", "density", ...); decides which truths apply. None without it.
    unit : str
    rms : float or None
        Typical root mean square, per component, in `unit`.
    shift, scale : float or tuple of float
        The network sees (x - shift) / scale; a tuple holds one number a channel.
    growth : (float or str, float or str) or None
        Redshift and Omega_m, each a number or the name of a conditioning parameter: `scale` is multiplied by the growth factor D.
    transform : str
        `module:function` in the place of shift and scale: of an input what the network sees of it, of an output what its
        answer means. Called as `transform(values, **parameters)` on (batch, width, *grid).
    redshift_space : float or None
        Of a velocity: 1/(aH), how far matter is displaced along the line of sight in redshift space for one unit of velocity, in
        the grid's unit of length. Of peculiar velocities in km/s and comoving lengths in Mpc/h, today: 0.01.
    """

    name: str
    kind: Kind = "scalar"
    quantity: str = ""
    unit: str = ""
    rms: float | None = None
    shift: float | tuple[float, ...] = 0.0
    scale: float | tuple[float, ...] = 1.0
    growth: tuple[float | str, float | str] | None = None
    transform: str = ""
    redshift_space: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"{self.name!r} is of kind {self.kind!r}; a kind is one of {', '.join(get_args(Kind))}")
        if 0 in (self.scale if isinstance(self.scale, tuple) else (self.scale,)):
            raise ValueError(f"{self.name!r} has scale 0; the network sees (x - shift) / scale, so it must not vanish")
        if self.redshift_space is not None and (self.kind, self.quantity) != ("vector", "velocity"):
            raise ValueError(f'{self.name!r} has redshift_space, which is for vectors whose quantity is "velocity"; leave it out')

    @property
    def is_vector(self) -> bool:
        """Whether it has one component for each axis."""
        return self.kind in ("vector", "pseudovector")

    @property
    def is_number(self) -> bool:
        """Whether it is one number and no field."""
        return self.kind == "number"

    @property
    def is_pseudo(self) -> bool:
        """Whether reflections change its sign."""
        return self.kind.startswith("pseudo")

    def width(self, grid: Grid) -> int:
        """Number of channels it takes on a grid."""
        return grid.dimension if self.is_vector else 1

    def constants(self, grid: Grid) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Shift and scale of each of its channels.

        Raises
        ------
        ValueError
            If a list of them has not one number a channel.
        """
        width = self.width(grid)
        spread = [v if isinstance(v, tuple) else (v,) * width for v in (self.shift, self.scale)]
        for word, values in zip(("shift", "scale"), spread, strict=True):
            if len(values) != width:
                raise ValueError(f"{self.name!r} has {width} channels and {len(values)} numbers in its {word}; give one a channel")
        return spread[0], spread[1]


@dataclass(frozen=True)
class Field:
    """Values on a grid, with the meaning of each channel.

    Attributes
    ----------
    values : Tensor, (batch, channel, *grid.shape)
    grid : Grid
    quantities : tuple of Quantity
    conditioning : tuple of (str, float)
        Parameters that belong to the values, and that a model which takes them is to be called with; what is not named keeps the
        model's default.
    """

    values: Tensor
    grid: Grid
    quantities: tuple[Quantity, ...]
    conditioning: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        width = sum(q.width(self.grid) for q in self.quantities)
        if self.values.ndim != 2 + self.grid.dimension or tuple(self.values.shape[1:]) != (width, *self.grid.shape):
            found = tuple(self.values.shape)
            raise ValueError(
                f"a field of shape {found} does not fit {width} channels on {self.grid.shape}; give (batch, {width}, *grid)"
            )

    def __len__(self) -> int:
        return len(self.values)

    def with_values(self, values: Tensor) -> Field:
        """The same grid and quantities with other values."""
        return replace(self, values=values)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Field:
        """On another device or in another precision."""
        return self.with_values(self.values.to(device=device, dtype=dtype))

    def parts(self) -> list[tuple[Quantity, slice]]:
        """Each quantity with the channels it takes."""
        return parts_of(self.quantities, self.grid)

    def norm(self) -> Tensor:
        """Root mean square of each sample over channels and points: (batch,), float64."""
        return self.values.to(torch.float64).square().flatten(1).mean(1).sqrt()

    def part(self, name: str = "") -> tuple[Quantity, Tensor]:
        """One quantity by its name, without one that of `place_of`, and its channels: (batch, width, *grid.shape).

        Raises
        ------
        InputError
            If there is no quantity of that name.
        """
        quantity, channels = self.parts()[place_of(self.quantities, name)]
        return quantity, self.values[:, channels]


def parts_of(quantities: tuple[Quantity, ...], grid: Grid) -> list[tuple[Quantity, slice]]:
    """Each of some quantities with the channels that it takes of a field of all."""
    result, start = [], 0
    for quantity in quantities:
        stop = start + quantity.width(grid)
        result.append((quantity, slice(start, stop)))
        start = stop
    return result


def place_of(quantities: tuple[Quantity, ...], name: str = "") -> int:
    """The place of a quantity by its name; without one, of the first that is a field, or the first of all where none is.

    Raises
    ------
    InputError
        If there is no quantity of that name.
    """
    if not name:
        return next((place for place, quantity in enumerate(quantities) if not quantity.is_number), 0)
    for place, quantity in enumerate(quantities):
        if quantity.name == name:
            return place
    raise InputError(f"there is no quantity {name!r}; give one of {', '.join(quantity.name for quantity in quantities)}")
