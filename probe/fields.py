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

Kind = Literal["scalar", "pseudoscalar", "vector", "pseudovector"]


@dataclass(frozen=True)
class Quantity:
    """One physical quantity of a field: a scalar takes one channel, a vector one for each axis.

    Parameters
    ----------
    name : str
    kind : {"scalar", "pseudoscalar", "vector", "pseudovector"}
        A pseudo-quantity changes sign under reflections on top of what the plain one does. In two dimensions the
        pseudovector has one component, along the missing axis, and behaves as a pseudoscalar: write that.
    quantity : str
        What it is physically ("displacement", "density", ...); decides which truths apply. None without it.
    unit : str
    rms : float or None
        Typical root mean square, per component, in `unit`.
    shift, scale : float
        The network sees (x - shift) / scale.
    """

    name: str
    kind: Kind = "scalar"
    quantity: str = ""
    unit: str = ""
    rms: float | None = None
    shift: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"{self.name!r} is of kind {self.kind!r}; a kind is one of {', '.join(get_args(Kind))}")
        if self.scale == 0:
            raise ValueError(f"{self.name!r} has scale 0; the network sees (x - shift) / scale, so it must not vanish")

    @property
    def is_vector(self) -> bool:
        """Whether it has one component for each axis."""
        return self.kind in ("vector", "pseudovector")

    @property
    def is_pseudo(self) -> bool:
        """Whether reflections change its sign."""
        return self.kind.startswith("pseudo")

    def width(self, grid: Grid) -> int:
        """Number of channels it takes on a grid."""
        return grid.dimension if self.is_vector else 1


@dataclass(frozen=True)
class Field:
    """Values on a grid, with the meaning of each channel.

    Attributes
    ----------
    values : Tensor, (batch, channel, *grid.shape)
    grid : Grid
    quantities : tuple of Quantity
    """

    values: Tensor
    grid: Grid
    quantities: tuple[Quantity, ...]

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
        result, start = [], 0
        for quantity in self.quantities:
            stop = start + quantity.width(self.grid)
            result.append((quantity, slice(start, stop)))
            start = stop
        return result

    def norm(self) -> Tensor:
        """Root mean square of each sample over channels and points: (batch,), float64."""
        return self.values.to(torch.float64).square().flatten(1).mean(1).sqrt()

    def part(self, name: str = "") -> tuple[Quantity, Tensor]:
        """One quantity by its name, the first without one, and its channels: (batch, width, *grid.shape).

        Raises
        ------
        InputError
            If there is no quantity of that name.
        """
        for quantity, channels in self.parts():
            if name in ("", quantity.name):
                return quantity, self.values[:, channels]
        raise InputError(f"there is no quantity {name!r}; the field holds {', '.join(q.name for q in self.quantities)}")
