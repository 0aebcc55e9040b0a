"""Latent variables that were recorded, and the physical quantities beside them, where there is no network."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from probe.data.formats import opened
from probe.data.known import Known, called, known_from, read_known
from probe.description import Description
from probe.errors import InputError


@dataclass(frozen=True)
class Recorded:
    """Mean and standard deviation, where there is one, of latent variables, (sample, latent), and what is known of each sample."""

    mean: np.ndarray
    std: np.ndarray | None
    beside: Mapping[str, Known]

    def fingerprint(self) -> str:
        """sha256 over all of it."""
        arrays = {"mean": self.mean, "std": self.std} | {name: one.values for name, one in self.beside.items()}
        digest = hashlib.sha256()
        for name, values in arrays.items():
            digest.update(f"{name} {() if values is None else values.shape}".encode())
            digest.update(b"" if values is None else np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()


def open_recorded(description: Description, code: Mapping[str, Callable[..., Any]]) -> Recorded:
    """What the tables [representation] and [data] of a description name.

    Parameters
    ----------
    code : mapping
        What names `module:function` in it stand for.

    Raises
    ------
    InputError
        If a file or function is missing or gives something else, or mean, standard deviation and quantities do not go together.
    """
    where, source = description.representation, description.data
    mean = _array(where.mean, description.folder, code)
    std = _array(where.std, description.folder, code) if where.std else None
    if std is not None and (std.shape != mean.shape or (std < 0).any()):
        what = f"shape {std.shape}" if std.shape != mean.shape else "negative values"
        raise InputError(f"the standard deviations in {where.std} have {what}; expected {mean.shape} like the means, none negative")
    beside: dict[str, Known] = {}
    if source.quantities in code:
        given = called(code[source.quantities], source.quantities)
        beside = known_from(given, source, len(mean), source.quantities)
    elif source.quantities:
        beside = read_known(description.folder / source.path, source, len(mean))
    return Recorded(mean, std, beside)


def _array(place: str, folder: Path, code: Mapping[str, Callable[..., Any]]) -> np.ndarray:
    """(sample, latent), from a file or a function."""
    if place in code:
        values = np.asarray(called(code[place], place))
    else:
        name, _, key = place.partition(":")
        if not (folder / name).exists():
            raise InputError(
                f"the file {folder / name} of recorded latent variables is not there; mend its name in [representation]"
            )
        with opened(folder / name, key) as stored:
            values = stored.read(None)
    if values.dtype.kind not in "fiu" or values.ndim not in (1, 2) or not values.size:
        raise InputError(f"{place} holds {values.dtype} of shape {values.shape}; expected numbers (sample, latent)")
    values = values.astype(np.float64).reshape(len(values), -1)
    if not np.isfinite(values).all():
        raise InputError(f"{place} holds NaN or infinity; give each sample its latent variables")
    return values
