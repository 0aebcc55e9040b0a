"""Scalars of a model's answer, written as text: what an answer is attributed to, or what is made as large as it can be."""

from probe.targets.asking import Function as Function
from probe.targets.asking import function_of as function_of
from probe.targets.asking import reader_of as reader_of
from probe.targets.fitting import defaults as defaults
from probe.targets.fitting import place_of_target as place_of_target
from probe.targets.fitting import unfit as unfit
from probe.targets.fitting import unit_of as unit_of
from probe.targets.geometry import density_of as density_of
from probe.targets.geometry import distance as distance
from probe.targets.geometry import offsets as offsets
from probe.targets.geometry import ring_count as ring_count
from probe.targets.geometry import rings_about as rings_about
from probe.targets.geometry import slice_of as slice_of
from probe.targets.geometry import within as within
from probe.targets.language import AXES as AXES
from probe.targets.language import LOCAL as LOCAL
from probe.targets.language import Target as Target
from probe.targets.language import in_words as in_words
from probe.targets.language import parse as parse
from probe.targets.language import parse_all as parse_all
