"""Between physical units and what the network sees: constants, a growth factor, or a function of the user's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from probe.fields import Quantity
from probe.grid import Grid
from probe.perturbation import growth_factor


@dataclass(frozen=True)
class Normalisation:
    """The normalisation of all quantities on one side of a network.

    Attributes
    ----------
    quantities : tuple of Quantity
    grid : Grid
    parameters : mapping of str to float
        The conditioning, on which growth and transforms may depend.
    code : mapping of str to callable
        The transforms, by the names that the quantities give them.
    """

    quantities: tuple[Quantity, ...]
    grid: Grid
    parameters: Mapping[str, float]
    code: Mapping[str, Callable[..., Tensor]]

    def inward(self, values: Tensor) -> Tensor:
        """Physical units -> what the network sees: (batch, channel, *grid) each."""
        return self._each(values, lambda part, shift, scale: (part - shift) / scale)

    def outward(self, values: Tensor) -> Tensor:
        """What the network gives -> physical units: (batch, channel, *grid) each."""
        return self._each(values, lambda part, shift, scale: part * scale + shift)

    def _each(self, values: Tensor, constants: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
        if all(q.shift == 0 and q.scale == 1 and not q.growth and not q.transform for q in self.quantities):
            return values
        parts = torch.split(values, [quantity.width(self.grid) for quantity in self.quantities], 1)
        return torch.cat([self._one(q, part, constants) for q, part in zip(self.quantities, parts, strict=True)], 1)

    def _one(self, quantity: Quantity, part: Tensor, constants: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
        if quantity.transform:
            return self.code[quantity.transform](part, **self.parameters)
        shift, scale = (part.new_tensor(each).reshape(-1, *[1] * (part.ndim - 2)) for each in quantity.constants(self.grid))
        return constants(part, shift, scale * self._growth(quantity))

    def _growth(self, quantity: Quantity) -> float:
        """D(z) for the redshift and Omega_m that the quantity names, 1 without."""
        if quantity.growth is None:
            return 1.0
        redshift, omega_m = (self.parameters[value] if isinstance(value, str) else value for value in quantity.growth)
        return growth_factor(1 / (1 + redshift), omega_m)
