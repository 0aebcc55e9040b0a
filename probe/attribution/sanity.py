"""Whether a map is to be believed: what random weights make of it, what methods make of each other, what removal says.

The share of a map's power that another map of the same cells holds, whatever its amplitude, is cos^2 = (a.b)^2 / (a.a b.b), signs
counted: two maps that only fall off alike around the same place share next to nothing, two that are the same share all.

A skip connection is the same with any weights. Where the identity control c applies, maps of f - c are compared too, and the
smaller share counts: in a network with a skip the maps of f are alike for that reason alone, in one without the maps of f - c are.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor, nn

from probe import controls
from probe.attribution import reading
from probe.attribution.asking import Case, baseline_of, map_of, values_of
from probe.attribution.by_captum import blocks
from probe.attribution.setting import REMOVALS, SLOPES
from probe.contract import Subject
from probe.derivatives import gradient
from probe.equivariance import rounding
from probe.model import FieldModel
from probe.targets import function_of

STAGES = 8
LINEAR = ("voxel", "region", "divergence", "overdensity", "mean")


@dataclass(frozen=True)
class SanityCase:
    """One sample's maps, looked at twice.

    Attributes
    ----------
    case : Case
        Of the first method.
    methods : tuple of str
    masks : int
        Random removals of infidelity.
    nudges : int
        Random changes of the input of sensitivity.
    radius : float
        Of these, over each channel's scatter.
    """

    case: Case
    methods: tuple[str, ...]
    masks: int = 16
    nudges: int = 4
    radius: float = 0.02


@dataclass(frozen=True)
class Sanity:
    """What became of the maps of one sample.

    Attributes
    ----------
    cascade : ndarray, (stage, 2)
        Share of the first method's map that is left when ever more layers are redrawn, from the output down: as it is, and with the
        skip's share removed (NaN where there is no such).
    redrawn : ndarray, (method, 2)
        The like of each method with every layer redrawn.
    skip : ndarray, (method,)
        Share of each map that the identity's holds; NaN without one.
    agreement : ndarray, (method, method)
        Spearman's rank correlation of |map|.
    infidelity : ndarray, (method,)
        NaN of a removal.
    sensitivity : float
        Largest relative change of the first method's map.
    stages : tuple of str
        The lowest layer of each stage.
    reason : str
        Why nothing could be looked at again; empty where it could.
    """

    cascade: ndarray
    redrawn: ndarray
    skip: ndarray
    agreement: ndarray
    infidelity: ndarray
    sensitivity: float
    stages: tuple[str, ...] = ()
    reason: str = ""


def stages(model: FieldModel, values: Tensor) -> list[tuple[str, ...]]:
    """Names of the parameters of each stage, from the output down: layers as they are run, a few together where they are many.

    A parameter belongs to the innermost module around it that is called; one whose module is not called comes last.
    """
    network, finished = model.network, list[str]()
    assert isinstance(network, nn.Module)
    hooks = [module.register_forward_hook(lambda *_, name=name: finished.append(name)) for name, module in network.named_modules()]
    try:
        with torch.no_grad():
            model.function(values)
    finally:
        for hook in hooks:
            hook.remove()
    last = {name: place for place, name in enumerate(finished)}
    groups: dict[int, list[str]] = {}
    for name, _ in network.named_parameters():
        owner = name.rpartition(".")[0]
        while owner not in last and owner:
            owner = owner.rpartition(".")[0]
        groups.setdefault(last.get(owner, -1), []).append(name)
    layers = [names for _, names in sorted(groups.items(), reverse=True)]
    bounds = np.linspace(0, len(layers), min(STAGES, len(layers)) + 1).round().astype(int)
    return [tuple(name for layer in layers[a:b] for name in layer) for a, b in itertools.pairwise(bounds)]


def no_random_weights(model: FieldModel) -> str:
    """Why a model's weights cannot be redrawn; empty where they can."""
    if not isinstance(model.network, nn.Module):
        return "it is a plain function, whose weights nobody can redraw"
    kinds = [p for p in model.network.parameters() if p.numel() > 1 and bool((p != p.flatten()[0]).any())]
    return "" if kinds else "it has no parameters whose values differ, so none can be redrawn by its own statistics"


def identity_of(subject: Subject) -> FieldModel | None:
    """The identity control, a known skip connection; None where it does not apply."""
    control = controls.build("identity", subject.model, None, 0)
    return None if isinstance(control, controls.Absent) else control.model


def minus(model: FieldModel, other: FieldModel) -> FieldModel:
    """f - c as a model of its own."""
    return FieldModel(
        lambda values: model.function(values) - other.function(values),
        model.description.plain(f"{model.name} without {other.name}"),
        device=str(model.device),
        dtype=model.physical_dtype,
    )


@dataclass(frozen=True)
class _Maps:
    """Maps of one sample, of the subject's model or of another, those of slopes in the unit of contributions.

    Attributes
    ----------
    given, baseline : Tensor, (1, channel, *grid)
    scale : Tensor, (1, channel, 1, ...)
        Scatter of each channel.
    skip : FieldModel or None
        The identity.
    """

    subject: Subject
    case: Case
    given: Tensor
    baseline: Tensor
    scale: Tensor
    skip: FieldModel | None

    def of(self, model: FieldModel | None, methods: Sequence[str]) -> list[Tensor]:
        """A map by each method."""
        found = []
        for method in methods:
            made = map_of(self.subject, replace(self.case, method=method), self.given, self.baseline, model).values
            found.append(made * self.scale if method in SLOPES else made)
        return found

    def beside_skip(self, model: FieldModel, made: list[Tensor], known: list[Tensor], methods: Sequence[str]) -> list[Tensor]:
        """Maps of f - c, by subtraction where the target is linear in the answer; none where no skip is known."""
        if self.skip is None:
            return []
        if self.case.target.kind not in LINEAR:
            return self.of(minus(model, self.skip), methods)
        return [a - b for a, b in zip(made, known, strict=False)]


def ask_twice(subject: Subject, asked: SanityCase) -> Sanity:
    """All that can be said of one sample's maps."""
    case = asked.case
    if reason := no_random_weights(subject.model):
        nothing = np.full(0, math.nan)
        return Sanity(nothing, nothing, nothing, nothing, nothing, math.nan, reason=reason)
    given = values_of(subject, case.sample)
    baseline = baseline_of(subject, case.baseline, case.sample, case.samples)
    scale = reading.scatter_of(given).to(given).reshape(1, -1, *[1] * subject.grid.dimension)
    skip = identity_of(subject) if case.target.kind not in ("number", "latent") else None
    maps, layers = _Maps(subject, case, given, baseline, scale, skip), stages(subject.model, given)
    known = [] if skip is None else maps.of(skip, asked.methods)
    own = maps.of(None, asked.methods)
    cascade = _cascade(maps, asked.methods, layers, own, known)
    return Sanity(
        cascade=np.array([rows[0] for rows in cascade]),
        redrawn=np.array(cascade[-1]),
        skip=np.array([shared(a, b) for a, b in zip(own, known, strict=True)] if known else [math.nan] * len(own)),
        agreement=agreement([reading.amount(made, False, scale.flatten()) for made in own]),
        infidelity=infidelity(subject, asked, own, given, baseline, scale),
        sensitivity=sensitivity(subject, asked, given, scale),
        stages=tuple(names[-1].rpartition(".")[0] or names[-1] for names in layers),
    )


def _cascade(
    maps: _Maps, methods: Sequence[str], layers: list[tuple[str, ...]], own: list[Tensor], known: list[Tensor]
) -> list[list[tuple[float, float]]]:
    """Shares left as ever more layers are redrawn, as it is and beside the skip: of the first method, at the last of all."""
    model, changed, found = maps.subject.model, tuple[str, ...](), []
    rest = maps.beside_skip(model, own, known, methods)
    # Beside the skip there may be nothing but rounding, whose maps are alike by chance alone.
    faint = [float(r.double().norm()) <= rounding(model.dtype) * float(o.double().norm()) for r, o in zip(rest, own, strict=False)]
    for place, layer in enumerate(layers):
        changed += layer
        other = model.redrawn(maps.case.sample, changed)
        some = methods if place == len(layers) - 1 else methods[:1]
        made = maps.of(other, some)
        left = maps.beside_skip(other, made, known, some)
        apart = [math.nan if f else shared(a, b) for f, a, b in zip(faint, rest, left, strict=False)] or [math.nan] * len(made)
        found.append([(shared(a, b), c) for a, b, c in zip(own, made, apart, strict=False)])
    return found


def shared(a: Tensor, b: Tensor) -> float:
    """cos^2 of two maps; 0 where one is nothing, NaN where one is not finite."""
    x, y = a.double().flatten(), b.double().flatten()
    size = float((x @ x) * (y @ y))
    return float((x @ y) ** 2) / size if size > 0 else 0.0 if size == 0 else math.nan


def agreement(amounts: list[Tensor]) -> ndarray:
    """Spearman's rank correlation between maps over all cells: (map, map)."""
    ranks = []
    for one in amounts:
        flat = one.flatten()
        _, where, counts = torch.unique(flat, return_inverse=True, return_counts=True)
        # Ties share the mean of their ranks.
        last = counts.cumsum(0).double()
        rank = (last - (counts.double() - 1) / 2)[where]
        ranks.append((rank - rank.mean()) / (rank - rank.mean()).norm().clamp_min(1e-300))
    both = torch.stack(ranks)
    found: ndarray = (both @ both.T).cpu().numpy()
    return found


# Yeh et al. 2019, eq. 1 and sec. 3: mean over random removals I of (beta I.G - [f(x) - f(x - I)])^2, with the beta that is best
# for the map, over the mean of [f(x) - f(x - I)]^2: 1 - (sum a b)^2 / (sum a^2 sum b^2). captum's infidelity asks the model anew
# for every map, and does not divide; here the same removals serve all. I sets a random half of the blocks to the baseline.
def infidelity(subject: Subject, asked: SanityCase, own: list[Tensor], given: Tensor, baseline: Tensor, scale: Tensor) -> ndarray:
    """Of each map: 0 where it foretells what every removal does, 1 where it knows nothing of it."""
    case, grid = asked.case, subject.grid
    function, draw = function_of(subject, case.target, case.sample), subject.rng(f"removals {case.sample}")
    number = blocks(1, grid.shape, [min(case.setting.window, n) for n in grid.shape])[0]
    foretold, happened = [], []
    with torch.no_grad():
        here = float(function(given))
        for _ in range(asked.masks):
            on = (torch.rand(int(number.max()) + 1, generator=draw) < 0.5)[number].to(given)
            removed = on * (given - baseline)
            happened.append(here - float(function(given - removed)))
            foretold.append(
                [
                    float((made.double() * (removed / scale if method in SLOPES else on).double()).sum())
                    for made, method in zip(own, asked.methods, strict=True)
                ]
            )
    return np.where([method in REMOVALS for method in asked.methods], np.nan, untold(np.array(foretold), np.array(happened)))


def untold(foretold: ndarray, happened: ndarray) -> ndarray:
    """Infidelity of maps, each at its best amplitude: (removal, map) and (removal,) -> (map,)."""
    top, bottom = (foretold * happened[:, None]).sum(0) ** 2, (foretold**2).sum(0) * (happened**2).sum()
    left: ndarray = 1 - np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)
    return left


def sensitivity(subject: Subject, asked: SanityCase, given: Tensor, scale: Tensor) -> float:
    """Largest |G(x + d) - G(x)| / |G(x)| of the gradient over random d, each cell within a radius (Yeh et al. 2019, definition
    2.1)."""
    from captum.metrics import sensitivity_max

    function, draw = function_of(subject, asked.case.target, asked.case.sample), subject.rng(f"nudges {asked.case.sample}")

    def explained(values: Tensor | tuple[Tensor, ...]) -> Tensor:
        return (gradient(function, values[0] if isinstance(values, tuple) else values) * scale).contiguous()  # captum views it flat

    def nudged(values: Tensor) -> Tensor:
        change = 2 * torch.rand(values.shape, generator=draw, dtype=torch.float64) - 1
        return values + asked.radius * change.to(values) * scale

    return float(sensitivity_max(explained, given, nudged, n_perturb_samples=asked.nudges, max_examples_per_batch=1))
