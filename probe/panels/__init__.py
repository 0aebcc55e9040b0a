"""Panels of answers beside their truths, which the probes of the suite `statistics` draw: one file a statistic.

They draw what was measured of the model and of its controls; of `transfer`, the names that `agreement` and `aspects` gave stand
behind an aspect's prefix.
"""

from probe.panels.distributions import densities_panel as densities_panel
from probe.panels.distributions import divergences_panel as divergences_panel
from probe.panels.distributions import moments_panel as moments_panel
from probe.panels.multipoles import multipoles_panel as multipoles_panel
from probe.panels.simulations import covariance_panel as covariance_panel
from probe.panels.simulations import simulations_panel as simulations_panel
from probe.panels.slices import slices_panel as slices_panel
from probe.panels.spectra import error_panel as error_panel
from probe.panels.spectra import held as held
from probe.panels.spectra import spectra_panel as spectra_panel
from probe.panels.textures import first_order_panel as first_order_panel
from probe.panels.textures import second_order_panel as second_order_panel
from probe.panels.textures import sparsity_panel as sparsity_panel
from probe.panels.triangles import bispectrum_panel as bispectrum_panel
from probe.panels.triangles import bispectrum_ratio_panel as bispectrum_ratio_panel
from probe.panels.triangles import reduced_panel as reduced_panel
