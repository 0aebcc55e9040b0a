"""A fingerprint of files: of all their bytes where that is quick, of their ends and dates where it would take minutes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

WHOLE = 2**30  # bytes of all files together up to which every byte counts
ENDS = 2**20


def of_files(paths: Iterable[Path], whole: int = WHOLE) -> bytes:
    """sha256 over names and contents of files, a store of many files being all of them.

    Beyond `whole` bytes in all, size, date of change, the first and the last MiB of each file stand for its contents.
    """
    files = [inner for path in dict.fromkeys(paths) for inner in _inside(path)]
    states = [path.stat() for path in files]
    digest, every = hashlib.sha256(), sum(state.st_size for state in states) <= whole
    for path, state in zip(files, states, strict=True):
        digest.update(os.fsencode(path.name) + b"\0" + state.st_size.to_bytes(8, "big"))
        if not every:
            digest.update(state.st_mtime_ns.to_bytes(12, "big", signed=True))
        for piece in _pieces(path, state.st_size, every):
            digest.update(piece)
    return digest.digest()


def _pieces(path: Path, size: int, every: bool) -> Iterator[bytes]:
    with path.open("rb") as file:
        if every or size <= 2 * ENDS:
            while piece := file.read(ENDS):
                yield piece
            return
        yield file.read(ENDS)
        file.seek(size - ENDS)
        yield file.read(ENDS)


def _inside(path: Path) -> list[Path]:
    return sorted(inner for inner in path.rglob("*") if inner.is_file()) if path.is_dir() else [path]
