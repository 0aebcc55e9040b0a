"""From latent variables to answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from probe.errors import InputError
from probe.fields import Field
from probe.latents.encoding import latents_of, layer_of
from probe.latents.layer import moved
from probe.latents.parts import part_of, put, replaced
from probe.model import FieldModel
from probe.model.batching import evaluating
from probe.model.calling import named

if TYPE_CHECKING:
    from probe.contract import Subject

Answer = Callable[[Tensor, Tensor], Tensor]


def no_decoder(subject: Subject) -> str:
    """Why there is no way from a subject's latent variables to an answer, and what to write; empty where there is."""
    where, network = subject.description.representation, subject.model.network
    if subject.pairs is None:
        return "it needs inputs, whose latent variables are varied: give --data, or a [data] table in the description"
    if where.decoder or where.layer or subject.name == "rehearsal":
        return ""
    modules = dict(network.named_modules()) if isinstance(network, nn.Module) else {}
    if where.encoder in modules:
        return ""
    return (
        "its encoder is no submodule whose output could be replaced: write decoder = ... in [representation], a submodule, a "
        "method, or module:function(network, latents, **conditioning)"
    )


def decoded(subject: Subject, latents: Tensor, like: int, **parameters: float) -> Field:
    """The answer when the latent variables are these, and all else is as in a sample: its input, its conditioning.

    Parameters
    ----------
    latents : Tensor, (batch, latent)
    like : int
        Which pair's input stands for all else.
    **parameters : float
        Conditioning in the place of the sample's own.

    Returns
    -------
    Field, (batch, channel, *grid), in physical units

    Raises
    ------
    InputError
        If there is no way to decode, or the answer has not the described shape.
    """
    assert subject.pairs is not None
    model = subject.model.at(**parameters) if parameters else subject.model
    given, before = subject.pairs.given(like), model.passes
    answer_of = _decoder(subject, model, like)
    spread = given.with_values(given.values.expand(len(latents), *given.values.shape[1:]))
    values = model.over(lambda inputs, z: answer_of(inputs, z), spread, latents.to(model.device, torch.float64))
    if model is not subject.model:
        subject.model.passes += model.passes - before
    if not torch.isfinite(values).all():
        raise InputError(f"{model.name} decodes to NaN or infinity; check its decoder, and the latent variables it is asked about")
    return Field(values, given.grid, subject.description.outputs)


def _decoder(subject: Subject, model: FieldModel, like: int) -> Answer:
    """What answers to inputs in physical units, of which it uses as little as it can, and latent variables."""
    where = subject.description.representation
    if where.layer:
        kept, layer = latents_of(subject), layer_of(model)
        assert kept.components is not None
        own, components = torch.from_numpy(kept.mean[like]), kept.components
        return lambda values, z: _with(model, layer, values, lambda answer: moved(answer, z - own.to(z), components, model))
    if where.decoder:
        return _called(model, where.decoder)
    encoder = part_of(model, where.encoder)
    if not isinstance(encoder, nn.Module):
        raise InputError(no_decoder(subject))
    return lambda values, z: _with(model, encoder, values, lambda answer: put(answer, z, where.gives, model))


def _with(model: FieldModel, module: nn.Module, values: Tensor, change: Callable[[Any], Any]) -> Tensor:
    """The network's answer, what a submodule gives being changed on the way."""
    with replaced(module, change):
        return model.function(values)


def _called(model: FieldModel, name: str) -> Answer:
    """A decoder of its own: a function, a method or a submodule."""
    function, part = model.code.get(name), None if name in model.code else part_of(model, name)

    def answer(values: Tensor, z: Tensor) -> Tensor:
        model.passes += len(z)
        latents = z.to(model.dtype)
        conditioning = model.caller.conditioning(latents)
        with evaluating(model.network):
            if function is not None:
                made = function(model.network, latents, **conditioning)
            else:
                assert part is not None
                signed = part.forward if isinstance(part, nn.Module) else part
                made = part(latents, **named(signed, conditioning))
        return model.meant(made, values)

    return answer
