"""The lattice a field lives on: its shape, its box, its wavevectors, its shells.

Conventions (all of `probe` keeps to them): a grid of N points a side h = L/N carries the modes k = 2 pi n / L with integer
n; rfft is used, so the last axis holds only n >= 0 and every interior mode there stands for k and -k.
"""

from probe.grid.lattice import Grid as Grid
from probe.grid.shells import Part as Part
from probe.grid.shells import Shells as Shells
