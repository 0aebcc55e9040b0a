"""What is known about a model that its file does not say: grid, channels, truths, symmetries, data."""

from probe.description.guess import guess_description, likely_channels
from probe.description.parts import Call, Constraints, Cosmology, DataSource, Description, Symmetries, Truth, names_code
from probe.description.reading import parse_description, read_description
from probe.description.writing import as_toml, write_description

__all__ = [
    "Call",
    "Constraints",
    "Cosmology",
    "DataSource",
    "Description",
    "Symmetries",
    "Truth",
    "as_toml",
    "guess_description",
    "likely_channels",
    "names_code",
    "parse_description",
    "read_description",
    "write_description",
]
