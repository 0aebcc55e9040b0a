"""What is known about a model that its file does not say: grid, channels, truths, symmetries, data."""

from probe.description.guess import guess_description, likely_channels
from probe.description.parts import (
    Call,
    Constraints,
    Cosmology,
    DataSource,
    Description,
    Symmetries,
    Truth,
    names_code,
    names_function,
)
from probe.description.reading import parse_description, read_description
from probe.description.representation import Representation
from probe.description.rival import Rival
from probe.description.writing import as_toml, write_description

__all__ = [
    "Call",
    "Constraints",
    "Cosmology",
    "DataSource",
    "Description",
    "Representation",
    "Rival",
    "Symmetries",
    "Truth",
    "as_toml",
    "guess_description",
    "likely_channels",
    "names_code",
    "names_function",
    "parse_description",
    "read_description",
    "write_description",
]
