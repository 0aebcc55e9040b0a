"""A trained model made callable on fields."""

from probe.model.batching import choose_device
from probe.model.field_model import FieldModel
from probe.model.recipe import Recipe
from probe.model.twin import double_copy, shuffled

__all__ = ["FieldModel", "Recipe", "choose_device", "double_copy", "shuffled"]
