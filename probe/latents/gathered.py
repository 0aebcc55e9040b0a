"""Physical quantities that are known of every sample, from wherever they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from probe.data import Coordinate, Known, Pairs
from probe.errors import InputError
from probe.fields import Quantity
from probe.latents.encoding import recorded_of

if TYPE_CHECKING:
    from probe.contract import Subject
    from probe.grid import Grid


def known(subject: Subject) -> list[Known]:
    """What is known of every sample, in its order.

    The quantities beside the pairs (or beside recorded latent variables), the parameters that vary from pair to pair, and of the
    truths the numbers and the fields on a line, which are curves along it.

    Raises
    ------
    InputError
        If they are as many as the pairs and not as many as recorded latent variables.
    """
    return subject.shared("known quantities", lambda: _known(subject))


def _known(subject: Subject) -> list[Known]:
    where, pairs = subject.description.representation, subject.pairs
    if pairs is None:
        return list(recorded_of(subject).beside.values()) if where.mean else []
    if where.mean and len(recorded_of(subject).mean) != len(pairs):
        count = len(recorded_of(subject).mean)
        raise InputError(
            f"there are {count} recorded latent variables and {len(pairs)} pairs; give one for each pair, in their order"
        )
    varied = [Known(name, column.astype(float)) for name, column in pairs.conditioning.items() if np.ptp(column) > 0]
    found = [*pairs.beside.values(), *varied, *_truths(pairs)]
    return list({one.name: one for one in reversed(found)}.values())[::-1]


def _truths(pairs: Pairs) -> list[Known]:
    """Numbers and lines among the outputs, as the pairs' truths have them."""
    described = pairs.description
    wanted = [q for q in described.outputs if q.is_number or described.grid.dimension == 1]
    if not wanted:
        return []
    rows: dict[str, list[np.ndarray]] = {q.name: [] for q in wanted}
    for index in range(len(pairs)):
        truth = pairs.truth_of(index)
        for quantity in wanted:
            rows[quantity.name].append(truth.part(quantity.name)[1][0].double().cpu().numpy())
    return [one for q in wanted for one in _as_known(q, np.stack(rows[q.name]), described.grid)]


def _as_known(quantity: Quantity, values: np.ndarray, grid: Grid) -> list[Known]:
    """A number, or a curve along the line for each component: from (sample, width, *grid)."""
    if quantity.is_number:
        return [Known(quantity.name, values.reshape(len(values), -1)[:, 0], quantity.unit)]
    place = grid.positions()[0].flatten().double().numpy()
    return [Known(quantity.name, values[:, 0], quantity.unit, Coordinate("x", grid.unit, place))]
