"""Fields that keep a part of what another holds: its spectrum, its values, both, its order, or all but a band of scales.

A quantity that a network reads off a field is asked again of these: what still comes out right was read off what they keep.
Phase randomisation is Theiler et al. 1992 (Physica D 58, 77); spectrum and values together are the iteration of Schreiber & Schmitz
1996 (PRL 77, 635); Gaussianising by rank is Weinberg 1992 (MNRAS 254, 315).
"""

from probe.surrogates import pictures as pictures
from probe.surrogates.fields import gaussianised as gaussianised
from probe.surrogates.fields import phase_randomised as phase_randomised
from probe.surrogates.fields import rearranged as rearranged
from probe.surrogates.fields import shuffled as shuffled
from probe.surrogates.reading import FEWEST as FEWEST
from probe.surrogates.reading import KINDS as KINDS
from probe.surrogates.reading import QUANTILES as QUANTILES
from probe.surrogates.reading import RIVALS as RIVALS
from probe.surrogates.reading import correlation as correlation
from probe.surrogates.reading import correlation_as_is as correlation_as_is
from probe.surrogates.reading import no_rival as no_rival
from probe.surrogates.reading import rows_of as rows_of
from probe.surrogates.reading import share as share
from probe.surrogates.reading import shares as shares
from probe.surrogates.reading import with_truth as with_truth
