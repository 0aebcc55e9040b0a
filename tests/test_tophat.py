"""Spherical collapse, held to published numbers, to its parametric form and to the motion of a shell; and the top-hat on a grid."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from probe.grid import Grid
from probe.tophat import COLLAPSE, distances, mean_overdensity, spherical_collapse, top_hat_displacement


@pytest.mark.parametrize("linear, density", [(0.145, 1.164), (0.525, 1.885), (1.062, 5.55)])
def test_the_published_pairs_are_met_to_their_digits(linear, density):
    # Half a unit in the last digit of either, the first carried over by the slope, which is 10 at the densest.
    assert spherical_collapse(linear) == pytest.approx(density, abs=0.005 if density > 5 else 0.0005 + 0.0005 * 2)


def test_it_is_the_parametric_form_of_a_cycloid():
    theta = np.linspace(0.3, 6.0, 50)
    over = 0.6 * (0.75 * (theta - np.sin(theta))) ** (2 / 3)
    np.testing.assert_allclose(
        spherical_collapse(over), 9 * (theta - np.sin(theta)) ** 2 / (2 * (1 - np.cos(theta)) ** 3), rtol=1e-10
    )
    under = -0.6 * (0.75 * (np.sinh(theta) - theta)) ** (2 / 3)
    np.testing.assert_allclose(
        spherical_collapse(under), 9 * (np.sinh(theta) - theta) ** 2 / (2 * (np.cosh(theta) - 1) ** 3), rtol=1e-10
    )


@pytest.mark.parametrize("linear", [1.062, 0.3, 1e-3, -0.525, -1.5, -5.0])
def test_it_is_what_a_shell_under_its_own_mass_does(linear):
    """In units where the background is r = t^(2/3), r'' = -(2/9) / r^2; started in the growing mode at t0 and followed to t = 1."""
    start = 1e-9
    seed = linear * start ** (2 / 3)
    begin = (start ** (2 / 3) * (1 - seed / 3), start ** (-1 / 3) * (2 / 3 - 4 * seed / 9))
    run = solve_ivp(lambda t, y: (y[1], -2 / 9 / y[0] ** 2), (start, 1.0), begin, rtol=1e-11, atol=1e-16, method="DOP853")
    # The start leaves out the second order of the seed, 1e-6.
    assert spherical_collapse(linear) == pytest.approx(run.y[0, -1] ** -3, rel=2e-5)


def test_the_series_joins_the_closed_form():
    for edge in (1e-3, -1e-3):
        inside, outside = spherical_collapse([edge * (1 - 1e-12), edge * (1 + 1e-12)])
        assert inside == pytest.approx(outside, abs=1e-11)
    assert spherical_collapse(0.0) == 1


def test_what_has_collapsed_is_refused():
    assert pytest.approx(1.686, abs=5e-4) == COLLAPSE
    with pytest.raises(ValueError, match="has collapsed"):
        spherical_collapse([0.5, 1.7])


def test_the_grid_carries_a_top_hat_of_eight_cells():
    grid, radius = Grid.cubic(32, 128.0, unit="Mpc/h"), 32.0
    psi, (away, length) = top_hat_displacement(grid, radius, 0.8).numpy(), (part.numpy() for part in distances(grid))
    inside = (length > 0) & (length < 1.5 * radius)
    radial = ((psi * away).sum(0) / np.maximum(length, 1))[inside]
    expected = -length[inside] / 3 * 0.8 * np.exp(-((length[inside] / radius) ** 6))
    # The edge, sixth power of an exponential, has 5e-5 of its height beyond Nyquist.
    np.testing.assert_allclose(radial, expected, atol=1e-4 * radius / 3)
    np.testing.assert_allclose(mean_overdensity(length[inside], radius, 0.8), -3 * expected / length[inside], rtol=1e-12)


def test_a_top_hat_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="three dimensions"):
        top_hat_displacement(Grid.cubic(32, 32.0, dimension=2), 4.0, 0.5)
    with pytest.raises(ValueError, match="needs a box of"):
        top_hat_displacement(Grid.cubic(16, 16.0), 5.0, 0.5)
