"""Which part of an input a scalar of the answer hangs on: maps by several methods, read physically, held against random weights.

Thin over captum where captum does it right; the methods say where it does not.
"""

from probe.attribution import pictures as pictures
from probe.attribution import summary as summary
from probe.attribution.asking import Case as Case
from probe.attribution.asking import Found as Found
from probe.attribution.asking import ask as ask
from probe.attribution.asking import check_methods as check_methods
from probe.attribution.asking import cost as cost
from probe.attribution.asking import default_window as default_window
from probe.attribution.asking import difference as difference
from probe.attribution.asking import no_methods as no_methods
from probe.attribution.asking import usable_methods as usable_methods
from probe.attribution.asking import values_of as values_of
from probe.attribution.methods import Attribution as Attribution
from probe.attribution.methods import attribute as attribute
from probe.attribution.sanity import STAGES as STAGES
from probe.attribution.sanity import SanityCase as SanityCase
from probe.attribution.sanity import ask_twice as ask_twice
from probe.attribution.setting import COMPLETE as COMPLETE
from probe.attribution.setting import METHODS as METHODS
from probe.attribution.setting import REMOVALS as REMOVALS
from probe.attribution.setting import Setting as Setting
from probe.attribution.setting import method_name as method_name
from probe.attribution.tabulating import tabulate as tabulate
