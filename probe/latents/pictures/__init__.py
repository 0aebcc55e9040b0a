"""Panels of latent variables and of what they do; drawn from what was measured."""

from probe.latents.pictures import space, traversal

__all__ = ["space", "traversal"]
