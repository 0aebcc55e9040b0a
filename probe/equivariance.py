"""How far a model is from a symmetry, and how much of that is too much; shared by the probes of the suite `symmetry`.

With F the average of g^-1 f(g x) over the group, mean_g |f(gx) - g y|^2 = |F - y|^2 + mean_g |g^-1 f(gx) - F|^2: the last
term is the error power that breaks the symmetry, B. Two members of the orbit differ by |f(gx) - g f(x)|^2 = 2 B on average,
so B is at most half of the error power |f - y|^2 exactly when |f(gx) - g f(x)| is at most |f - y|: the default bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import xarray as xr

from probe import figures
from probe.contract import Check, Measured, Subject
from probe.controls import is_displacement
from probe.description import Description, names_code
from probe.fields import Field, Quantity
from probe.grid import Grid
from probe.intervals import Interval, of_samples
from probe.waves import at_rest, gaussian_field, typical_size

CONVENTION = 0.02


@dataclass(frozen=True)
class PairCase:
    """One pair of the data, by its place, and the output quantity looked at; empty for all together."""

    index: int
    output: str = ""


def relative(difference: torch.Tensor, reference: torch.Tensor) -> float:
    """|difference| / |reference| over everything, in float64; 0 where both vanish."""
    top, bottom = difference.double().norm().item(), reference.double().norm().item()
    return top / bottom if bottom > 0 else (0.0 if top == 0 else float("inf"))


def values_of(field: Field, name: str, like: Field) -> torch.Tensor:
    """The values of one quantity by its name; without one of all, each over its level in `like`, so that all count alike."""
    return field.part(name)[1] if name else field.values / levels(like)


def levels(field: Field) -> torch.Tensor:
    """The root mean square of the quantity that each channel belongs to, 1 where it vanishes: (channel, 1, ...)."""
    found = []
    for quantity, part in field.parts():
        rms = field.values[:, part].double().square().mean().sqrt()
        found += [torch.where(rms == 0, 1.0, rms)] * quantity.width(field.grid)
    return torch.stack(found).reshape(-1, *[1] * field.grid.dimension).to(field.values.dtype)


def _error(subject: Subject, case: PairCase) -> float:
    assert subject.pairs is not None
    given, truth = subject.pairs[case.index]
    answer = subject.model(given).to("cpu")
    values = values_of(answer, case.output, answer)
    return relative(values - values_of(truth, case.output, answer), values)


def data_error(subject: Subject, output: str = "") -> xr.DataArray:
    """The model's error on each pair, |f - y| / |f|, of one output quantity or of all: dims (pair,); empty without pairs.

    Measured once a run.
    """
    cases = [PairCase(i, output) for i in range(len(subject.pairs))] if subject.pairs else []
    errors = subject.shared(f"error on the pairs {output}", lambda: subject.map(_error, cases))
    return xr.DataArray(np.array(errors, dtype=float), dims="pair", attrs={"units": ""})


def test_field(subject: Subject, index: int) -> tuple[Field, str]:
    """An input to try symmetries on: those of the pairs first, then made ones."""
    if subject.pairs and index < len(subject.pairs):
        return subject.pairs[index][0], name_of_field(subject, index)
    return made_field(subject, index, subject.grid), name_of_field(subject, index)


def name_of_field(subject: Subject, index: int) -> str:
    """What such an input is called; nothing is read or drawn."""
    return subject.pairs.name(index) if subject.pairs and index < len(subject.pairs) else "Gaussian field, k^-2"


def count_of_fields(subject: Subject, wanted: int) -> int:
    """So many such inputs, of the pairs no more than there are."""
    return min(wanted, len(subject.pairs)) if subject.pairs is not None else wanted


def made_field(subject: Subject, index: int, grid: Grid) -> Field:
    """A seeded Gaussian input with a k^-2 spectrum on any grid; a number stands at its shift plus its rms."""
    described = subject.description.inputs
    parts = [_drawn(quantity, grid, subject.rng(f"field {index} {place}")) for place, quantity in enumerate(described)]
    return Field(torch.cat(parts, 1), grid, described)


def _drawn(quantity: Quantity, grid: Grid, generator: torch.Generator) -> torch.Tensor:
    """One quantity of a test field: (1, width, *grid.shape)."""
    rest = at_rest(quantity, grid)
    if quantity.is_number:
        return rest + (quantity.rms or 0.0)
    drawn = gaussian_field(grid, lambda k: k**-2, generator, quantity.width(grid))[None]
    return rest + drawn * (typical_size(quantity, grid) / drawn.square().mean().sqrt())


def bound_of(measured: Measured, given: float | None) -> tuple[float, str]:
    """The bound on a symmetry's relative error, and where it comes from: given, the model's own error, or the convention.

    A control that is judged in the model's place is held to the model's bound.
    """
    if given is not None:
        return given, "set by the user"
    errors = measured.get("judged", measured["model"])["data_error"].values
    if errors.size:
        # Of a model that errs by less than rounding no more than rounding can be asked.
        own = max(float(np.sqrt(np.mean(errors**2))), float(measured["model"].attrs["rounding"]))
        source = f"the model's own relative error on {errors.size} pairs ({own:.3g})"
        return own, f"{source}: at most half of its error power may break the symmetry"
    return CONVENTION, "a convention, 2 % of the output, for want of pairs"


def root_mean_square(errors: np.ndarray) -> Interval:
    """Root mean square of relative errors over fields, with the interval over fields, of which nothing lies below zero."""
    found = of_samples(errors, lambda rows: np.sqrt(np.mean(rows**2, axis=0)))
    return replace(found, low=max(0.0, found.low))


def symmetry_check(
    name: str,
    error: Interval | float,
    measured: Measured,
    given: float | None,
    sentence: str,
    denied: str,
    covers: str = "deterministic",
) -> Check:
    """A verdict on a broken symmetry; `info` where the description denies the symmetry.

    Parameters
    ----------
    measured : mapping of subject to Dataset
        The model's holds `data_error` and the attribute `symmetry_assumed`.
    denied : str
        Empty, or the description's word against this symmetry.
    """
    if denied:
        return Check.info(
            name, error, f"{sentence} The description denies this symmetry ({denied}), so nothing is judged.", covers=covers
        )
    bound, source = bound_of(measured, given)
    if measured["model"].attrs["symmetry_assumed"]:
        sentence += " The symmetries of empty space are assumed: the description declares none."
    return Check.judged(name, error, (None, bound), sentence, bound_from=source, covers=covers)


def rounding(dtype: torch.dtype) -> float:
    """What counts as exact: a hundred units in the last place, relative to the norm of the output."""
    return 100 * torch.finfo(dtype).eps


def facts(subject: Subject) -> dict[str, str | float | int]:
    """What every judgement rests on, as attributes of a measured dataset."""
    described, model = subject.description, subject.model
    law = described.truth.law
    return _denied(described) | {
        "symmetry_assumed": int(not described.symmetries.declared),
        "law": law,
        "simulator": "the law" if names_code(law) else "the simulator",
        "theory": int(is_displacement(described)),
        "growth_ratio": described.truth.growth_ratio,
        "rounding": rounding(model.dtype),
        "stride": model.stride,
        "boundary": subject.grid.boundary,
        "length_unit": subject.grid.unit,
        "fundamental": subject.grid.fundamental,
        "guessed": "; ".join(described.guessed),
    }


def _denied(described: Description) -> dict[str, str | float | int]:
    """The description's word against each kind of symmetry, empty where it has none."""
    grid, symmetries = described.grid, described.symmetries
    axes = ("x", "y", "z")[: grid.dimension]
    about = ("z",) if grid.dimension == 2 else axes  # a plane turns about the axis that it lacks
    moves = grid.boundary == "periodic" and set(symmetries.translation) >= set(axes)
    along = symmetries.translation or "no axis"
    turns = _axes_of(symmetries.rotation, about) >= set(about)
    mirrors = _axes_of(symmetries.reflection, axes) >= set(axes)
    return {
        "denied_translation": "" if moves else f"boundary {grid.boundary!r}, translation along {along}",
        "denied_rotation": "" if turns else f"rotation = {symmetries.rotation!r}",
        "denied_reflection": "" if mirrors else f"reflection = {symmetries.reflection or 'false'}",
    }


def _axes_of(said: bool | str | tuple[str, ...], every: tuple[str, ...]) -> set[str]:
    """The axes that an entry of [symmetries] stands for."""
    if isinstance(said, tuple):
        return set(said)
    return set(every) if said in (True, "full") else set()


def through_window(data: xr.Dataset) -> str:
    """Words for a sentence about spectra: empty for a periodic box, else that a window stands before them."""
    boundary = str(data.attrs["boundary"])
    return "" if boundary == "periodic" else f" (seen through a Hann window, for the box's boundary is {boundary!r})"


def rivals(data: xr.Dataset) -> list[str]:
    """The names of the rivals that it was measured beside."""
    return [name for name in str(data.attrs.get("rivals", "")).split("\n") if name]


def look(subject: str, model: xr.Dataset) -> dict[str, Any]:
    """Keywords of a subject's line, named as what it is: a simulator may be the law itself, the identity Zel'dovich's answer."""
    if subject in (beside := rivals(model)):
        return figures.rival_style(beside.index(subject), subject)
    identity = "Zel'dovich (input)" if model.attrs["theory"] else ""
    words = {"identity": identity, "simulator": str(model.attrs["simulator"]).removeprefix("the ")}
    return figures.style(subject, words.get(subject, ""))


def curves(
    measured: Measured, variable: str, subjects: Sequence[str] = ("untrained", "model", "simulator")
) -> list[tuple[xr.Dataset, dict[str, Any]]]:
    """What was measured on those of the subjects that have an answer in a variable, each with the look of its line."""
    asked = [name for name in subjects if name in measured and variable in measured[name]]
    return [(measured[name], look(name, measured["model"])) for name in asked if np.isfinite(measured[name][variable].values).any()]
