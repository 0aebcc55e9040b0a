"""Fields themselves: maps, or curves along a line, and what is left of the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy import ndarray
from xarray import Dataset

from probe import figures
from probe.contract import Measured, Panel
from probe.equivariance import look, rivals

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def slices_panel(measured: Measured) -> Panel:
    """Maps or curves of the first simulation and what is left of the truth; a figure for the model, and for each rival."""
    model, unit = measured["model"], measured["model"].truth.attrs["units"]
    truth, made, told = model.truth.values, [], []
    best = next((n for n in ("lpt2", "identity") if n in measured), "")
    beside = {"2LPT" if best == "lpt2" else "input": measured[best].prediction.values} if best else {}
    for name in ["model", *(name for name in rivals(model) if name in measured)]:
        own = "prediction" if name == "model" else name
        fields = {"truth": truth, **beside, own: measured[name].prediction.values}
        residuals = {f"{field} - truth": values - truth for field, values in fields.items() if field != "truth"}
        made.append((name, (_profiles if len(truth) == 1 else _images)(model, fields, residuals)))
        told += [f"{field}: rms {np.sqrt((v**2).mean()):.3g} {unit}".rstrip() for field, v in residuals.items()]
    where = "" if len(truth) == 1 else " through the middle of the box"
    caption = (
        f"One component of {model.attrs['output']} of {model.simulation.values[0]!s}{where}. "
        "The fields share one scale, the residuals another."
    )
    pictures = made if len(made) > 1 else [("", made[0][1])]
    return Panel("Slices and residuals", pictures, caption, ", ".join(dict.fromkeys(told)), ("truth", "prediction"))


def _images(model: Dataset, fields: dict[str, ndarray], residuals: dict[str, ndarray]) -> Figure:
    """Maps, the fields in one colour scale and the residuals in another."""
    extent = (0.0, float(model.attrs["side"]), 0.0, float(model.attrs["side_v"]))
    groups = (list(fields), list(residuals))
    return figures.slices(fields | residuals, model.truth.attrs["units"], extent, model.attrs["length_unit"], shared=groups)


def _profiles(model: Dataset, fields: dict[str, ndarray], residuals: dict[str, ndarray]) -> Figure:
    """Curves along a line, the fields on the left and the residuals on the right."""
    looks = {"truth": figures.style("truth"), "prediction": figures.style("model", "prediction")}
    other = figures.style("identity", "input")
    picture, axes = figures.figure(columns=2, width=8.4, height=3.2)
    for panel, curves, word in zip(axes[0], (fields, residuals), ("value", "less the truth"), strict=True):
        for name, values in curves.items():
            place = (np.arange(values.size) + 0.5 * (model.attrs["boundary"] != "periodic")) * (model.attrs["side"] / values.size)
            field = name.removesuffix(" - truth")
            panel.plot(place, values[0], **(look(field, model) if field in rivals(model) else looks.get(field, other)))
        panel.set_xlabel(figures.axis_label("x", model.attrs["length_unit"]))
        panel.set_ylabel(figures.axis_label(word, model.truth.attrs["units"]))
    figures.legend(axes[0, 0])
    return picture
