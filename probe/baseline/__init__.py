"""A baseline is a record of an earlier run: what later ones may not fall behind, and which checks may fail and why.

    section = baseline.hold(run.document, Path("baseline.toml"))     # written where there is none; compared with where there is
    baseline.fallen(section)                                        # what got significantly worse, or is no longer answered
    baseline.excused(section)                                       # what fails and may

Two checks are compared when the same was asked of both. Where both were sampled over the same inputs, input by input: the
jackknife's pseudo-values of the two values differ by n numbers whose mean is tested with Student's t, so that what both runs share
(one input is harder than another) cancels. Over other inputs of the same kind, by Welch's test. A value that nothing was sampled
for is worse beyond a tolerance. What counts is Holm's correction of all: where nothing has changed, at most `LEVEL` of the
comparisons of two whole runs name any check at all. "Worse" is larger under an upper bound, smaller under a lower one, farther from
the middle between two; without a bound nothing is worse, so an `info` check is recorded and never judged. Works from documents
alone: no torch, no model, and no code that a file names.
"""

from probe.baseline.beside import beside
from probe.baseline.changes import LEVEL, TOLERANCE, Change, changes, holm
from probe.baseline.file import Baseline, Known, read, ready, write
from probe.baseline.hold import excused, fallen, hold
from probe.baseline.kept import Kept, kept

__all__ = [
    "LEVEL",
    "TOLERANCE",
    "Baseline",
    "Change",
    "Kept",
    "Known",
    "beside",
    "changes",
    "excused",
    "fallen",
    "hold",
    "holm",
    "kept",
    "read",
    "ready",
    "write",
]
