"""The contract of a probe: its parameters, its three acts, what it may ask of the world, and what it gives back.

A probe is one class in one file. Its docstring's first line is the question it asks. `measure` is the only act that calls
the model; `judge` and `draw` work from what was measured, so bounds and style can change later without it. This module
imports neither torch nor numpy: `probe list` and `probe explain` read every probe through it.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar

from probe.errors import InputError
from probe.intervals import Interval, Verdict, first_present, verdict_of
from probe.parameters import Parameter, nearest
from probe.parameters import judgement as judgement
from probe.parameters import measurement as measurement

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure
    from torch import Generator

    from probe.data import Pairs
    from probe.description import Cosmology, Description
    from probe.grid import Grid
    from probe.model import FieldModel

Value = TypeVar("Value")
Case = TypeVar("Case")
Answer = TypeVar("Answer")
Effort = Literal["quick", "default", "full"]
Measured = Mapping[str, "xarray.Dataset"]


class Subject(Protocol):
    """What a probe may ask of the world: one model (or control) under test, and everything known about it.

    Attributes
    ----------
    name : str
        "model", or the control's name.
    model : FieldModel
    pairs : Pairs or None
        Inputs and truths, read lazily; None without data.
    effort : {"quick", "default", "full"}
    """

    name: str
    model: FieldModel
    pairs: Pairs | None
    effort: Effort

    @property
    def description(self) -> Description:
        """What is known of the model under test; the same for its controls, which are put the same inputs."""

    @property
    def grid(self) -> Grid:
        """The grid it is asked on."""

    def rng(self, name: str) -> Generator:
        """A generator derived from the run's seed, the probe and `name`, never from order."""

    def map(self, function: Callable[[Subject, Case], Answer], cases: Sequence[Case], passes: int = 1) -> list[Answer]:
        """The one loop over forward passes: `function(subject, case)` for every case, in order.

        `function` is importable by name and `case` a small picklable frozen dataclass, so that the runner may count the
        passes beforehand, spread the cases over workers or keep their answers. `passes` is the samples one case costs.
        """

    def shared(self, key: str, function: Callable[[], Value]) -> Value:
        """`function()`, computed once a run for all probes; the key is a recipe."""

    def expect(self, steps: int, seconds: float, what: str) -> Callable[[int], None]:
        """Told before long work that is no pass of the model: how many steps of what, and about how long they take.

        Gives what is to be told of steps that are done. All passes come before: a rehearsal ends here.
        """

    def elsewhere(self, cosmology: Cosmology) -> Subject | None:
        """The same model or control in another cosmology: asked under its parameters, a control made anew there.

        Its pairs are those made there; without such the inputs at home with the cosmology's power, answered by the law or by 2LPT
        (`pairs.truth` says which); None without a truth. None for a control that cannot be made there.
        """


@dataclass(frozen=True)
class Check:
    """One question of a probe, answered.

    Attributes
    ----------
    name : str
        snake_case; a user meets it as `probe/name`.
    interval : Interval
        What was measured, with the interval that covers what was sampled.
    bounds : (float or None, float or None) or None
        None where there is no right answer (`info`).
    sentence : str
        The answer in plain words.
    bound_from : str
        Where the bound comes from.
    covers : str
        What the interval was sampled over.
    rests_on : tuple of str
        Guesses about the model that it holds under; filled in by the runner.
    """

    name: str
    interval: Interval
    bounds: tuple[float | None, float | None] | None
    unit: str
    verdict: Verdict
    sentence: str
    bound_from: str = ""
    covers: str = "deterministic"
    rests_on: tuple[str, ...] = ()

    @classmethod
    def judged(
        cls,
        name: str,
        interval: Interval | float,
        bounds: tuple[float | None, float | None],
        sentence: str,
        *,
        bound_from: str,
        unit: str = "",
        covers: str = "deterministic",
    ) -> Check:
        """A check with a right answer; the verdict follows from the interval and the bounds."""
        span = interval if isinstance(interval, Interval) else Interval.exact(interval)
        return cls(name, span, bounds, unit, verdict_of(span, bounds), sentence, bound_from, covers)

    @classmethod
    def info(cls, name: str, value: Interval | float, sentence: str, *, unit: str = "", covers: str = "deterministic") -> Check:
        """A check without a right answer."""
        span = value if isinstance(value, Interval) else Interval.exact(value)
        return cls(name, span, None, unit, "info", sentence, "", covers)

    @classmethod
    def not_applicable(cls, name: str, reason: str) -> Check:
        """A part of a probe that cannot be asked."""
        return cls(name, Interval.exact(math.nan), None, "", "not_applicable", reason)


@dataclass(frozen=True)
class Panel:
    """A figure of the report, or a labelled sequence of figures (a slider).

    Attributes
    ----------
    title, caption : str
        The caption says how to read it.
    figures : sequence of (label, Figure)
    text : str
        The alternative in words, with the actual numbers.
    variables : tuple of str
        Names of the variables drawn; their values are offered as CSV.
    """

    title: str
    figures: Sequence[tuple[str, Figure]]
    caption: str
    text: str
    variables: tuple[str, ...] = ()


class Probe:
    """Base of all probes: declare parameters, then write `applies`, `measure`, `judge`, `draw`.

    Attributes
    ----------
    suite : str
        The folder it belongs to.
    version : int
        Raised when the measurement changes its meaning; a stored result of another version is measured again.
    checks : tuple of str
        The names of all checks that it can give, the headline first, so that they are known before anything is measured. A
        probe that cannot know them declares none.
    controls : tuple of str
        The controls it is measured on beside the model, where they apply.
    needs_network : bool
        Whether it cannot be asked of latent variables that were recorded, behind which there is no network.
    references : tuple of str
        Papers, as they should stand in the report.
    """

    suite: ClassVar[str] = ""
    version: ClassVar[int] = 1
    checks: ClassVar[tuple[str, ...]] = ()
    controls: ClassVar[tuple[str, ...]] = ("simulator", "identity", "lpt2", "linear_filter", "untrained")
    needs_network: ClassVar[bool] = True
    references: ClassVar[tuple[str, ...]] = ()

    def __init__(self, **values: Any) -> None:
        known = self.parameters()
        for name in values:
            if name not in known:
                raise InputError(
                    f"{self.name()} has no parameter {name!r}{nearest(name, known)}; it has {', '.join(known) or 'none'}"
                )
        self.values = {name: known[name].read(value, self.name()) for name, value in values.items()}

    @classmethod
    def name(cls) -> str:
        """The name users type: the class name in snake_case."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()

    @classmethod
    def parameters(cls, role: str = "") -> dict[str, Parameter]:
        """Its declared parameters, of one role or all."""
        found = {k: v for base in reversed(cls.__mro__) for k, v in vars(base).items() if isinstance(v, Parameter)}
        return {name: p for name, p in found.items() if role in ("", p.role)}

    def settings(self, role: str = "") -> dict[str, Any]:
        """The value of every parameter, of one role or all."""
        return {name: getattr(self, name) for name in self.parameters(role)}

    @classmethod
    def question(cls) -> str:
        """The first line of its docstring."""
        return inspect.cleandoc(cls.__doc__ or "").partition("\n")[0]

    @classmethod
    def explanation(cls) -> str:
        """The rest of its docstring."""
        return inspect.cleandoc(cls.__doc__ or "").partition("\n")[2].strip()

    def applies(self, subject: Subject) -> str:
        """An empty string, or the reason why it cannot be asked of this subject; no forward pass."""
        return ""

    def reason(self, subject: Subject) -> str:
        """Why it cannot be asked of this subject, which may have no network at all; empty where it can."""
        if self.needs_network and not subject.description.has_network:
            return "there is no network to ask, only latent variables that were recorded: give a checkpoint with --model"
        return self.applies(subject)

    def measure(self, subject: Subject) -> xarray.Dataset:
        """Ask the model. The only act that calls it."""
        raise NotImplementedError

    def judge(self, measured: Measured) -> list[Check]:
        """Checks from what was measured on the model and the controls; the first is the headline."""
        raise NotImplementedError

    def draw(self, measured: Measured) -> list[Panel]:
        """Figures from what was measured."""
        raise NotImplementedError


@dataclass
class Result:
    """What one probe found out about one model.

    Attributes
    ----------
    measured : dict of str to xarray.Dataset
        By subject: "model" and the controls.
    passes : int
        Forward passes of the model, in samples.
    reason : str
        Why it is not applicable or ended in an error; empty otherwise.
    """

    probe: Probe
    checks: list[Check] = field(default_factory=list)
    measured: dict[str, xarray.Dataset] = field(default_factory=dict)
    seconds: float = 0.0
    passes: int = 0
    reason: str = ""
    failure: str = ""
    control_verdicts: dict[str, dict[str, Verdict]] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """The first present of error, fail, inconclusive, pass, info, not_applicable."""
        if self.failure:
            return "error"
        return first_present([c.verdict for c in self.checks])

    @property
    def headline(self) -> str:
        """The answer in one sentence."""
        return self.checks[0].sentence if self.checks else self.reason

    def panels(self) -> list[Panel]:
        """Its figures; none where nothing was measured."""
        return self.probe.draw(self.measured) if self.measured else []


def percent(share: float) -> str:
    """A share as a reader takes it in: '3.5 %', '120 %', or '4e-16' where a percentage would only show zeros."""
    if not math.isfinite(share):
        return "unknown"
    return f"{share:.0e}" if 0 < abs(share) < 5e-5 else f"{100 * share:.3g} %"
