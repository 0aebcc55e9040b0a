"""How far a model is from a symmetry, and how much of that is too much; shared by the probes of the suite `symmetry`.

With F the average of g^-1 f(g x) over the group, mean_g |f(gx) - g y|^2 = |F - y|^2 + mean_g |g^-1 f(gx) - F|^2: the last
term is the error power that breaks the symmetry, B. Two members of the orbit differ by |f(gx) - g f(x)|^2 = 2 B on average,
so B is at most half of the error power |f - y|^2 exactly when |f(gx) - g f(x)| is at most |f - y|: the default bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr

from probe.contract import Check, Measured, Subject
from probe.fields import Field
from probe.intervals import Interval, over_samples
from probe.waves import gaussian_field

CONVENTION = 0.02


@dataclass(frozen=True)
class PairCase:
    """One pair of the data, by its place."""

    index: int


def relative(difference: torch.Tensor, reference: torch.Tensor) -> float:
    """|difference| / |reference| over everything, in float64; 0 where both vanish."""
    top, bottom = difference.double().norm().item(), reference.double().norm().item()
    return top / bottom if bottom > 0 else (0.0 if top == 0 else float("inf"))


def _error(subject: Subject, case: PairCase) -> float:
    assert subject.pairs is not None
    given, truth = subject.pairs[case.index]
    answer = subject.model(given).values
    return relative(answer.cpu() - truth.values, answer.cpu())


def data_error(subject: Subject) -> xr.DataArray:
    """The model's error on each pair, |f - y| / |f|: dims (pair,); empty without pairs. Measured once a run."""
    cases = [PairCase(i) for i in range(len(subject.pairs))] if subject.pairs else []
    errors = subject.shared("error on the pairs", lambda: subject.map(_error, cases))
    return xr.DataArray(np.array(errors, dtype=float), dims="pair", attrs={"units": ""})


def test_field(subject: Subject, index: int) -> tuple[Field, str]:
    """An input to try symmetries on: those of the pairs first, then a seeded Gaussian field with a k^-2 spectrum."""
    if subject.pairs and index < len(subject.pairs):
        return subject.pairs[index][0], subject.pairs.name(index)
    described, grid = subject.description, subject.grid
    parts = []
    for place, quantity in enumerate(described.inputs):
        width = quantity.width(grid)
        drawn = gaussian_field(grid, lambda k: k**-2, subject.rng(f"field {index} {place}"), width)[None]
        rms = 1.0 if quantity.rms is None else quantity.rms
        parts.append(quantity.shift + drawn * (rms / drawn.square().mean().sqrt()))
    return Field(torch.cat(parts, 1), grid, described.inputs), "Gaussian field, k^-2"


def bound_of(measured: Measured, given: float | None) -> tuple[float, str]:
    """The bound on a symmetry's relative error, and where it comes from: given, the model's own error, or the convention.

    A control that is judged in the model's place is held to the model's bound.
    """
    if given is not None:
        return given, "set by the user"
    errors = measured.get("judged", measured["model"])["data_error"].values
    if errors.size:
        own = float(np.sqrt(np.mean(errors**2)))
        source = f"the model's own relative error on {errors.size} pairs ({own:.3g})"
        return own, f"{source}: at most half of its error power may break the symmetry"
    return CONVENTION, "a convention, 2 % of the output, for want of pairs"


def root_mean_square(errors: np.ndarray) -> Interval:
    """Root mean square of relative errors over fields, with the interval over fields."""
    value, low, high = over_samples(errors, lambda rows: np.sqrt(np.mean(rows**2, axis=0)))
    return Interval(float(value), float(low), float(high))


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
    """What every judgement of a symmetry rests on, as attributes of a measured dataset."""
    described, model = subject.description, subject.model
    symmetries, axes = described.symmetries, ("x", "y", "z")[: subject.grid.dimension]
    periodic = subject.grid.boundary == "periodic" and set(symmetries.translation) >= set(axes)
    return {
        "symmetry_assumed": int(not symmetries.declared),
        "denied_translation": ""
        if periodic
        else f"boundary {subject.grid.boundary!r}, translation along {symmetries.translation or 'no axis'}",
        "denied_rotation": "" if symmetries.rotation == "full" else f"rotation = {symmetries.rotation!r}",
        "denied_reflection": "" if symmetries.reflection else "reflection = false",
        "law": described.truth.law,
        "growth_ratio": described.truth.growth_ratio,
        "rounding": rounding(model.dtype),
        "stride": model.stride,
        "length_unit": subject.grid.unit,
        "fundamental": subject.grid.fundamental,
        "guessed": "; ".join(described.guessed),
    }
