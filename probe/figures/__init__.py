"""What probes draw with: one house style, and the same line for the same subject in every figure.

Figures are made as `matplotlib.figure.Figure` objects, never through pyplot, so nothing global changes and nothing has to
be closed. matplotlib is imported when the first figure is made, not before: every probe file imports this module.
"""

from probe.figures.axes import BESIDE as BESIDE
from probe.figures.axes import band as band
from probe.figures.axes import ladder as ladder
from probe.figures.axes import legend as legend
from probe.figures.axes import legend_beside as legend_beside
from probe.figures.axes import logarithmic as logarithmic
from probe.figures.axes import names as names
from probe.figures.axes import rows as rows
from probe.figures.axes import spectral as spectral
from probe.figures.house import GREY as GREY
from probe.figures.house import HOUSE as HOUSE
from probe.figures.house import INK as INK
from probe.figures.house import RULE as RULE
from probe.figures.house import axis_label as axis_label
from probe.figures.house import figure as figure
from probe.figures.house import house_style as house_style
from probe.figures.house import ramp as ramp
from probe.figures.house import rival_style as rival_style
from probe.figures.house import set_unit as set_unit
from probe.figures.house import style as style
from probe.figures.images import Extent as Extent
from probe.figures.images import matrix as matrix
from probe.figures.images import ranking as ranking
from probe.figures.images import slices as slices
