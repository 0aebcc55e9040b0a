"""How one sample lies in an array: which shapes are meant, what each axis is, and what is none of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probe.errors import InputError
from probe.fields import Quantity
from probe.grid import Grid

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """The shapes that a sample of some quantities may have.

    Attributes
    ----------
    quantities : tuple of Quantity
    grid : Grid
    channels : {"first", "last"}
        Where the files have their axis of channels.
    """

    quantities: tuple[Quantity, ...]
    grid: Grid
    channels: str = "first"

    @property
    def width(self) -> int:
        """Channels of a sample."""
        return sum(quantity.width(self.grid) for quantity in self.quantities)

    @property
    def full(self) -> Shape:
        """The shape of a sample with all its axes."""
        return self._full(self.channels)

    def _full(self, channels: str) -> Shape:
        return (*self.grid.shape, self.width) if channels == "last" else (self.width, *self.grid.shape)

    @property
    def bare(self) -> tuple[Shape, ...]:
        """The shorter forms: a scalar without its axis of channels, numbers without their place."""
        numbers = all(quantity.is_number for quantity in self.quantities)
        single = self.width == 1
        return ((self.width,),) * numbers + ((),) * (numbers and single) + (self.grid.shape,) * single

    def count(self, shape: Shape, dtype: np.dtype, place: str) -> int | None:
        """Samples of a stack, (sample, ...); None of an array that is one sample.

        Raises
        ------
        InputError
            If it is neither.
        """
        if dtype.kind not in "fiub":
            raise self.refused(shape, dtype, place)
        # Numbers first: on a line, as many of them as there are points are a stack, and no field.
        for form in sorted((self.full, *self.bare), key=len) if self._numbers else (self.full, *self.bare):
            if shape == form:
                return None
            if shape[1:] == form and shape:
                if not shape[0]:
                    raise InputError(f"{place} is a stack of no samples, of shape {shape}; write some, or leave the file out")
                return shape[0]
        raise self.refused(shape, dtype, place)

    @property
    def _numbers(self) -> bool:
        return all(quantity.is_number for quantity in self.quantities)

    def arranged(self, array: np.ndarray, place: str) -> np.ndarray:
        """One sample as (channel, *grid).

        Raises
        ------
        InputError
            If it is none.
        """
        shape = (self.width, *self.grid.shape)
        if array.dtype.kind in "fiub":
            if array.shape == self.full:
                return np.moveaxis(array, -1, 0) if self.channels == "last" else array
            if self.width == 1 and array.shape == self.grid.shape:
                return array[None]
            if array.shape in self.bare:
                return np.broadcast_to(array.reshape(self.width, *[1] * self.grid.dimension), shape)
        raise self.refused(array.shape, array.dtype, place)

    def refused(self, shape: Shape, dtype: np.dtype, place: str) -> InputError:
        """The error that says what was found and what is asked for."""
        found = f"{place} holds {dtype} of shape {shape}; the description asks for real numbers of shape {self.full}"
        if dtype.kind == "c":
            return InputError(f"{found}: store real and imaginary part as channels of their own")
        other = "first" if self.channels == "last" else "last"
        full = self._full(other)
        if shape in (full, (*shape[:1], *full)):
            return InputError(f'{found}: if the channels come {other}, write channels = "{other}" in [data]')
        return InputError(f"{found}, or a stack of such, {('n', *self.full)}".replace("'n'", "n") + self._hint(shape))

    def _hint(self, shape: Shape) -> str:
        """What seems to have happened to the axes."""
        if len(shape) == len(self.full) + 1 and set(self.full) <= set(shape):
            return ": put the axis of samples first and the others in that order, numpy.moveaxis"
        return ""
