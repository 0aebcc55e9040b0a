from __future__ import annotations

import pytest
import torch

from probe.bands import Band, removed
from probe.grid import Grid


@pytest.mark.parametrize("shape", [(24,), (12, 16), (8, 10, 12)], ids=["1D", "2D", "3D"])
def test_a_band_taken_out_is_gone_and_the_rest_is_as_it_was(shape):
    grid = Grid(shape, tuple(float(n) for n in shape))
    values, k = torch.randn(1, 1, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 3, grid.wavenumber()
    band = Band(1.5 * grid.fundamental, 3.5 * grid.fundamental)
    after, before = (torch.fft.rfftn(x, dim=grid.axes) for x in (removed(values, band, grid), values))
    inside = (k >= band.low) & (k < band.high)
    assert inside.any() and not inside[(0,) * grid.dimension]
    torch.testing.assert_close(after, torch.where(inside, 0, before), rtol=0, atol=1e-12 * float(before.abs().amax()))
