"""Many estimates at once: spread over processes, and kept, so that no pair of columns is fitted twice.

A fit takes seconds to minutes and depends on nothing but its two columns, the settings and the libraries: its answer is kept
under the hash of these in the user's cache folder (`XDG_CACHE_HOME`, else ~/.cache), in `fieldprobe/information`, a small file
each. A run that was interrupted goes on where it stopped; the folder may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import lazy_loader as lazy

from probe.information import columns, mixture
from probe.information.estimate import NOTHING, Estimate

if TYPE_CHECKING:
    from numpy import ndarray

np = lazy.load("numpy")

_START = 4.0  # until gmm-mi is imported [s]
_RECIPE = 2  # raised when an estimate changes its meaning


@dataclass(frozen=True)
class Task:
    """Two columns whose information a mixture is to estimate; `y` holds whole numbers from 0 where it is categorical."""

    x: ndarray
    y: ndarray
    categorical: bool
    settings: mixture.Settings

    def key(self) -> str:
        """A hash of all that the answer depends on."""
        libraries = {name: version(name) for name in ("gmm-mi", "scikit-learn", "numpy", "scipy")}
        asked = [_RECIPE, self.categorical, asdict(self.settings), libraries]
        digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode())
        for column in (self.x, self.y):
            digest.update(np.ascontiguousarray(column, dtype=float).tobytes())
        return digest.hexdigest()

    def is_trivial(self) -> bool:
        """Whether there is nothing to know in a column, and nothing to fit."""
        return columns.tells_nothing(self.x) or columns.tells_nothing(self.y, self.categorical)


def from_mixtures(tasks: Sequence[Task], workers: int = 0, advance: Callable[[int], None] = lambda done: None) -> list[Estimate]:
    """The estimate of each task, in order.

    Parameters
    ----------
    workers : int
        Processes; 0: one for each core. They do not import the program that started them, so a script needs no guard.
    advance : callable
        Told the number of estimates after each.

    Returns
    -------
    list of Estimate
        NaN of what cannot be fitted.
    """
    found = [NOTHING if task.is_trivial() else _kept(task) for task in tasks]
    left = [place for place, estimate in enumerate(found) if estimate is None]
    advance(len(tasks) - len(left))
    for place, estimate in _spread(tasks, left, workers):
        found[place] = estimate
        _keep(tasks[place], estimate)
        advance(1)
    return [estimate for estimate in found if estimate is not None]


def _spread(tasks: Sequence[Task], left: Sequence[int], workers: int) -> Iterable[tuple[int, Estimate]]:
    """Each place with its estimate, as they come."""
    from joblib import Parallel, cpu_count, delayed  # type: ignore[import-untyped]

    count = min(workers or cpu_count(), len(left))
    if count < 2:
        return (_one(place, tasks[place]) for place in left)
    calls = (delayed(_one)(place, tasks[place]) for place in left)
    answers: Iterable[tuple[int, Estimate]] = Parallel(n_jobs=count, return_as="generator_unordered")(calls)
    return answers


def _one(place: int, task: Task) -> tuple[int, Estimate]:
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(1):
        return place, mixture.estimated(task.x, task.y, task.categorical, task.settings)


def seconds(tasks: Sequence[Task], workers: int = 0) -> float:
    """About how long `from_mixtures` will take on as many free cores as it has processes: what is kept takes no time."""
    from joblib import cpu_count

    left = [task for task in tasks if not task.is_trivial() and _kept(task) is None]
    lasting = sum(math.sqrt(math.prod(lasts(len(task.x), task.settings))) for task in left)
    return (_START if left else 0.0) + lasting / max(1, min(workers or cpu_count(), len(left)))


def lasts(count: int, settings: mixture.Settings) -> tuple[float, float]:
    """How long one estimate takes on a core of its own, from the quickest to the slowest [s].

    Measured with the default settings: independent variables and straight relations need one component, 1 to 2 s from 100
    samples to 4332; bent and sharp ones need ten and more, 6 s for 240, 8 to 15 s for 1000, up to 62 s for 4332. The mean is near
    the geometric one of both ends: 2.5, 5 and 10 s. Raw marginals take twice as long; in proportion to fits and bootstrap samples.
    """
    fits, drawn = settings.n_inits * settings.n_folds / 6, settings.n_bootstrap / 50
    scale = (fits + drawn) / (2.0 if settings.gaussianised else 1.0)
    return scale, (5.0 + count / 75) * scale


def _place(task: Task) -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "fieldprobe" / "information" / f"{task.key()}.json"


def _kept(task: Task) -> Estimate | None:
    try:
        return Estimate(**json.loads(_place(task).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _keep(task: Task, estimate: Estimate) -> None:
    """Write an answer down; where that is not possible it is only not kept."""
    place = _place(task)
    beside = place.with_suffix(f".{os.getpid()}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(asdict(estimate)), encoding="utf-8")
        beside.replace(place)
    except OSError:
        return
