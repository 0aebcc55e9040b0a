"""From inputs to latent variables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from probe.data.recorded import Recorded, open_recorded
from probe.errors import InputError
from probe.fields import Field
from probe.latents.layer import Components, channels_of, components_of, moments_of, projected
from probe.latents.parts import given_by, part_of, split
from probe.model import FieldModel
from probe.model.batching import evaluating

if TYPE_CHECKING:
    from probe.contract import Subject

_CHUNK = 2**24  # numbers of inputs that are held at once


@dataclass(frozen=True)
class Latents:
    """Latent variables of every sample.

    Attributes
    ----------
    mean : ndarray, (sample, latent)
        float64.
    std : ndarray, (sample, latent), or None
        None for a deterministic encoder and for a layer.
    names : tuple of str
    source : str
        Where they are from, in a few words.
    components : Components or None
        Of a layer, its principal components.
    """

    mean: np.ndarray
    std: np.ndarray | None
    names: tuple[str, ...]
    source: str
    components: Components | None = None

    def draw(self, seed: int) -> np.ndarray:
        """One draw for each sample from N(mean, std^2), one latent variable after another; the means without std: (sample, latent).

        Parameters
        ----------
        seed : int
            Of numpy's default_rng.
        """
        if self.std is None:
            return self.mean.copy()
        generator = np.random.default_rng(seed)
        return np.stack([generator.normal(mean, std) for mean, std in zip(self.mean.T, self.std.T, strict=True)], 1)


@dataclass(frozen=True)
class Chunk:
    """Some of the pairs, in order."""

    start: int
    stop: int


def no_latents(subject: Subject) -> str:
    """Why a subject has no latent variables, and what to write; empty where it has."""
    where = subject.description.representation
    if not where:
        return (
            "its description does not say where its latent variables are: write [representation] with encoder = ... (a submodule, "
            "a method or module:function), layer = ... for principal components of a layer, or mean = ... for recorded ones"
        )
    if where.mean:
        return ""
    if subject.pairs is None:
        return "it needs inputs to encode: give --data, or a [data] table in the description"
    if where.layer and not isinstance(subject.model.network, nn.Module) and subject.name != "rehearsal":
        return "the layers of a plain callable cannot be watched: give a torch module"
    return ""


def latents_of(subject: Subject) -> Latents:
    """The latent variables of all pairs' inputs, or as they were recorded; computed once a run.

    Raises
    ------
    InputError
        If the encoder gives something else than the description says.
    """
    return subject.shared("latents", lambda: _latents_of(subject))


def recorded_of(subject: Subject) -> Recorded:
    """What was recorded, read once a run."""
    return subject.shared("recorded latents", lambda: open_recorded(subject.description, subject.model.code))


def _latents_of(subject: Subject) -> Latents:
    where = subject.description.representation
    if where.mean:
        kept = recorded_of(subject)
        found = Latents(kept.mean, kept.std, (), f"recorded in {where.mean}")
    elif where.layer:
        found = _of_layer(subject)
    else:
        rows = np.concatenate(_asked(subject, encode))
        given = None if np.isnan(rows[:, 1]).all() else rows[:, 1]
        found = Latents(rows[:, 0], given, (), f"given by {where.encoder}")
    _check(found)
    # A spread of zero throughout is none.
    std = np.abs(found.std) if found.std is not None and found.std.any() else None
    names = where.names or tuple(f"{'component' if where.layer else 'latent'} {i}" for i in range(found.mean.shape[1]))
    if len(names) != found.mean.shape[1]:
        raise InputError(f"[representation] names {len(names)} latent variables, and there are {found.mean.shape[1]}; name each")
    return Latents(found.mean, std, names, found.source, found.components)


def _check(found: Latents) -> None:
    # Variances are asked for: what cannot be squared is as good as infinite.
    with np.errstate(over="ignore"):
        finite = all(np.isfinite(values**2).all() for values in (found.mean, found.std) if values is not None)
    if not finite or (found.std is not None and (found.std < 0).any()):
        raise InputError(f"{found.source}: some are no finite numbers, or have a negative spread; mend `gives` in [representation]")


def _of_layer(subject: Subject) -> Latents:
    where = subject.description.representation
    rows = _asked(subject, moments)
    sizes = np.array([len(means) for means, _ in rows])
    means = np.concatenate([means for means, _ in rows])
    products = sum(size * product for size, (_, product) in zip(sizes, rows, strict=True)) / sizes.sum()
    components = components_of(means, products, where.components)
    latents = (means - components.centre) @ components.directions.T
    return Latents(latents, None, (), f"principal components of the layer {where.layer}", components)


def _asked(subject: Subject, function: Callable[[Subject, Chunk], Any]) -> list[Any]:
    """A function of every chunk of the pairs."""
    assert subject.pairs is not None
    count, size = len(subject.pairs), subject.description.channels_in * subject.grid.size
    step = max(1, min(count, _CHUNK // size))
    chunks = [Chunk(start, min(start + step, count)) for start in range(0, count, step)]
    return subject.map(function, chunks, passes=step)


def _fields(subject: Subject, chunk: Chunk) -> Iterator[Field]:
    """The inputs of a chunk, those under the same conditioning together."""
    assert subject.pairs is not None
    given = (subject.pairs.given(index) for index in range(chunk.start, chunk.stop))
    for _, group in groupby(given, key=lambda field: field.conditioning):
        fields = list(group)
        yield fields[0].with_values(torch.cat([field.values for field in fields]))


def encode(subject: Subject, chunk: Chunk) -> np.ndarray:
    """Mean and standard deviation of each sample of a chunk, NaN where the encoder gives none: (sample, 2, latent)."""
    model, gives = subject.model, subject.description.representation.gives
    encoder = encoder_of(model)

    def both(values: Tensor) -> Tensor:
        mean, std = split(encoder(values), gives, model)
        mean = mean.double()
        return torch.stack([mean, torch.full_like(mean, torch.nan) if std is None else std], 1)

    return np.concatenate([model.over(both, field).cpu().numpy() for field in _fields(subject, chunk)])


def moments(subject: Subject, chunk: Chunk) -> tuple[np.ndarray, np.ndarray]:
    """Means over space of each sample of a chunk, (sample, channel), and the mean product of channels over all its points."""
    model = subject.model
    layer = layer_of(model)
    found = torch.cat([model.over(lambda values: moments_of(model, layer, values), field) for field in _fields(subject, chunk)])
    return found[..., 0].cpu().numpy(), found[..., 1:].mean(0).cpu().numpy()


def encoder_of(model: FieldModel) -> Callable[[Tensor], Any]:
    """What gives the latent variables of values in physical units: a pass each, open to gradients.

    Raises
    ------
    InputError
        If the network has no such part.
    """
    name = model.description.representation.encoder
    if (function := model.code.get(name)) is not None:
        return lambda values: _counted(model, values, lambda seen: function(model.network, seen, **model.caller.conditioning(seen)))
    part = part_of(model, name)
    if isinstance(part, nn.Module):
        return lambda values: given_by(model, part, values)
    return lambda values: _counted(model, values, lambda seen: model.caller.partly(part, seen))


def _counted(model: FieldModel, values: Tensor, part: Callable[[Tensor], Any]) -> Any:
    model.passes += len(values)
    with evaluating(model.network):
        return part(model.seen(values))


def layer_of(model: FieldModel) -> nn.Module:
    """The layer that the description names.

    Raises
    ------
    InputError
        If the network has no such submodule.
    """
    part = part_of(model, model.description.representation.layer)
    if not isinstance(part, nn.Module):
        raise InputError(f"{model.description.representation.layer!r} is a method, and no layer; name it as encoder")
    return part


def latent_function(subject: Subject) -> Callable[[Tensor], Tensor]:
    """The latent variables' means as a function of inputs in physical units, (batch, channel, *grid): open to gradients, counted.

    Raises
    ------
    InputError
        If they were only recorded.
    """
    model, where = subject.model, subject.description.representation
    if where.layer:
        components, layer = latents_of(subject).components, layer_of(model)
        assert components is not None
        return lambda values: projected(channels_of(model, layer, values), components)
    if not where.encoder:
        raise InputError("the latent variables were recorded, and no encoder is known; write encoder in [representation]")
    encoder = encoder_of(model)
    return lambda values: split(encoder(values), where.gives, model)[0]
