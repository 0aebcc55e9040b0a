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
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor, nn

from probe import controls
from probe.attribution import reading
from probe.attribution.asking import Case, baseline_of, map_of, no_methods, values_of
from probe.attribution.scores import agreement, infidelity, sensitivity, shared
from probe.attribution.setting import SLOPES, method_name
from probe.equivariance import rounding
from probe.errors import InputError
from probe.model import FieldModel

if TYPE_CHECKING:
    from probe.contract import Subject

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
        Largest relative change of the gradient; NaN without one.
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
    if reason := no_random_weights(subject.model):
        return _nothing(reason)
    try:
        return _asked_twice(subject, asked)
    except InputError as fault:
        if "deep_lift" not in asked.methods:
            raise
        return _nothing(str(fault))


def _nothing(reason: str) -> Sanity:
    none = np.full(0, math.nan)
    return Sanity(none, none, none, none, none, math.nan, reason=reason)


def _asked_twice(subject: Subject, asked: SanityCase) -> Sanity:
    """The like, of a model whose weights can be redrawn."""
    case = asked.case
    given = values_of(subject, case.sample)
    baseline = baseline_of(subject, case.baseline, case.sample, case.samples)
    scale = reading.scatter_of(given).to(given).reshape(1, -1, *[1] * subject.grid.dimension)
    skip = identity_of(subject) if case.target.kind not in ("number", "latent") else None
    maps, layers = _Maps(subject, case, given, baseline, scale, skip), stages(subject.model, given)
    # The identity is a function, which DeepLIFT cannot take apart; of a linear one its map is that of integrated gradients.
    instead = ["integrated_gradients" if method == "deep_lift" else method for method in asked.methods]
    known = [] if skip is None else maps.of(skip, instead)
    own = maps.of(None, asked.methods)
    for method, made in zip(asked.methods, own, strict=True):
        if not made.any():
            return _nothing(
                f"the map of {method_name(method)} is empty: no cell of the input moves the target, so none can be left"
            )
        if not made.isfinite().all():
            return _nothing(f"the map of {method_name(method)} is not finite; ask another method")
    cascade = _cascade(maps, asked.methods, layers, own, known)
    return Sanity(
        cascade=np.array([rows[0] for rows in cascade]),
        redrawn=np.array(cascade[-1]),
        skip=np.array([shared(a, b) for a, b in zip(own, known, strict=True)] if known else [math.nan] * len(own)),
        agreement=agreement([reading.amount(made, False, scale.flatten()) for made in own]),
        infidelity=infidelity(subject, asked, own, given, baseline, scale),
        sensitivity=math.nan if no_methods(("gradient",), subject) else sensitivity(subject, asked, given, scale),
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
        as_it_is = [shared(a, b) for a, b in zip(own, made, strict=False)]
        apart = [math.nan if f else shared(a, b) for f, a, b in zip(faint, rest, left, strict=False)]
        found.append(list(zip(as_it_is, apart or [math.nan] * len(made), strict=True)))
    return found
