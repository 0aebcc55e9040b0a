"""The zoo: small trained networks, each a folder with its weights, description and card; exact oracles; planted defects.

A folder here that holds a `model.probe.toml` is an entry; nothing else lists them. This module imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DESCRIPTION = "model.probe.toml"


@dataclass(frozen=True)
class ZooEntry:
    """A trained network of the zoo: its name (`zoo:NAME`), its card's title and its folder."""

    name: str
    summary: str
    folder: Path

    @property
    def weights(self) -> Path:
        """Its weights."""
        return self.folder / "weights.safetensors"

    @property
    def description(self) -> Path:
        """Its description."""
        return self.folder / DESCRIPTION

    @property
    def card(self) -> Path:
        """Its card: data, training, figures."""
        return self.folder / "card.md"


def entries(folder: Path = Path(__file__).parent) -> dict[str, ZooEntry]:
    """The trained networks of the zoo, by name."""
    found = sorted(path.parent for path in folder.glob(f"*/{DESCRIPTION}"))
    return {path.name: ZooEntry(path.name, _title(path / "card.md"), path) for path in found}


def _title(card: Path) -> str:
    if not card.is_file():
        return ""
    with card.open(encoding="utf-8") as lines:
        return lines.readline().lstrip("#").strip()
