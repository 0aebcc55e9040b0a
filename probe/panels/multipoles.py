"""Multipoles of the power in redshift space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy import ndarray
from xarray import Dataset

from probe import figures
from probe.contract import Measured, Panel
from probe.equivariance import look
from probe.intervals import over_samples
from probe.panels.spectra import over_k
from probe.scalars import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def multipoles_panel(measured: Measured) -> Panel:
    """Multipoles in redshift space over the truth's monopole: of the truth, the model and the controls, with the model's error."""
    model = measured["model"]
    names = [f"P{'₀₁₂₃₄'[int(degree)]}" for degree in model.multipole]
    seen = np.isfinite(model.redshift_error_power.values[:, 0])
    scale = model.redshift_multipoles_true.sel(multipole=0).mean("simulation").where(seen)
    true = (model.redshift_multipoles_true.mean("simulation") / scale).values
    found = {name: (measured[name].redshift_multipoles_pred.mean("simulation") / scale).values for name in shown(measured)}
    picture, axes = figures.figure(columns=len(names), width=0.6 + 3.2 * len(names), height=3.5)
    for place, (panel, word) in enumerate(zip(axes[0], names, strict=True)):
        panel.plot(model.shell_wavenumber, true[place], **figures.style("truth"))
        for name, values in found.items():
            panel.plot(model.shell_wavenumber, values[place], **look(name, model))
        low, high = _off(model, place)
        figures.band(panel, model.shell_wavenumber.values, true[place] + low, true[place] + high, "model")
        _limit(panel, [true[place], found["model"][place]], [values[place] for values in found.values()])
        over_k(panel, model.shell_wavenumber)
        panel.set_ylabel(f"{word} / P₀ of the truth")
    figures.legend(axes[0, -1], **figures.BESIDE)
    told = [
        f"k = {float(model.shell_wavenumber[i]):.3g}: "
        + ", ".join(f"{word} {found['model'][p, i]:.3g} ({true[p, i]:.3g})" for p, word in enumerate(names))
        for i in np.flatnonzero(seen)[[0, -1]]
    ]
    caption = (
        f"Multipoles of the power in redshift space, averaged over {model.attrs['lines_of_sight']} as line of sight and over "
        f"{model.sizes['simulation']} simulations, over the truth's monopole. Infall squeezes: a positive quadrupole on large "
        "scales; random motions stretch: a negative one on small scales. The shaded band is the interval of the model's difference "
        "from this truth. In the few modes of the first shells P₄ holds the lattice's own anisotropy, in the truth and in the "
        "answers alike."
    )
    text = f"Multipoles over the truth's monopole, the truth's own in brackets: {'; '.join(told)}"
    variables = ("redshift_multipoles_pred", "redshift_multipoles_true")
    return Panel("Multipoles in redshift space", [("", picture)], caption, text, variables)


def _off(model: Dataset, place: int) -> tuple[ndarray, ndarray]:
    """The interval of a multipole's difference from the truth's, over the truth's monopole: low and high, (shell,) each."""
    pred, true = (model[f"redshift_multipoles_{side}"].values for side in ("pred", "true"))
    rows = np.stack([pred[:, place] - true[:, place], true[:, 0]], -1)
    _, low, high = over_samples(rows, lambda some: (mean := some.mean(0))[:, 0] / mean[:, 1])
    return low, high


def _limit(panel: Axes, own: list[ndarray], every: list[ndarray]) -> None:
    """Limits that hold the model and the truth, and controls as far as they are not far off."""
    wanted = np.concatenate([*own, *(np.clip(values, -1, 2) for values in every)])
    margin = 0.06 * max(float(np.nanmax(wanted) - np.nanmin(wanted)), 0.1)
    panel.set_ylim(float(np.nanmin(wanted)) - margin, float(np.nanmax(wanted)) + margin)
