"""An estimate of mutual information with its error."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A value with its standard error.

    Attributes
    ----------
    value, error : float
        [nat]; NaN where nothing could be estimated.
    """

    value: float
    error: float

    def apart(self, other: Estimate) -> float:
        """How far two estimates are from each other over the errors of both together."""
        both = math.hypot(self.error, other.error)
        return abs(self.value - other.value) / both if both else 0.0 if self.value == other.value else math.inf


NOTHING = Estimate(0.0, 0.0)  # of a constant
UNKNOWN = Estimate(math.nan, math.nan)
