"""Pairs of fields and the numbers that belong to them, from files of many kinds or from code, read when they are asked for."""

from probe.data.pairs import Pairs, answered, call_pairs, open_cosmology, open_pairs, scaled

__all__ = ["Pairs", "answered", "call_pairs", "open_cosmology", "open_pairs", "scaled"]
