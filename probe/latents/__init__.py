"""Latent variables of a model: what an encoder gives, what a layer holds, or what was recorded; and the way back to an answer."""

from probe.data import Coordinate, Known
from probe.latents import activity, pictures, traversal
from probe.latents.decoding import decoded, no_decoder
from probe.latents.encoding import Latents, latent_function, latents_of, no_latents
from probe.latents.gathered import known
from probe.latents.layer import participation_ratio
from probe.latents.traversal import Range, Trip, Walk, trip, walk

__all__ = [
    "Coordinate",
    "Known",
    "Latents",
    "Range",
    "Trip",
    "Walk",
    "activity",
    "decoded",
    "known",
    "latent_function",
    "latents_of",
    "no_decoder",
    "no_latents",
    "participation_ratio",
    "pictures",
    "traversal",
    "trip",
    "walk",
]
