"""Pairs of fields and the numbers that belong to them, from files of many kinds or from code, read when they are asked for."""

from probe.data.known import Coordinate, Known, called, known_from, read_known
from probe.data.pairs import Pairs, answered, call_pairs, open_cosmology, open_pairs, scaled, with_quantities

__all__ = [
    "Coordinate",
    "Known",
    "Pairs",
    "answered",
    "call_pairs",
    "called",
    "known_from",
    "open_cosmology",
    "open_pairs",
    "read_known",
    "scaled",
    "with_quantities",
]
