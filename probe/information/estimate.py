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
    components : int
        Of the mixture that it was read from.
    """

    value: float
    error: float
    components: int = 1


NOTHING = Estimate(0.0, 0.0)  # where there is nothing to know
UNKNOWN = Estimate(math.nan, math.nan)
