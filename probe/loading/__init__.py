"""Checkpoints and descriptions -> FieldModel, safely."""

from probe.loading.inspection import Inspection, inspect_checkpoint
from probe.loading.live import save, wrap
from probe.loading.load import load, load_recipe
from probe.loading.permission import allow, is_allowed

__all__ = ["Inspection", "allow", "inspect_checkpoint", "is_allowed", "load", "load_recipe", "save", "wrap"]
