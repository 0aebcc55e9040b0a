"""Which descriptions may name code on this machine.

A description found beside a checkpoint came with it, and the code that it names would be run. It is used only if it was
allowed here, as direnv does: what is recorded is a hash of where the file is and of what it says, so that neither a
change of the file nor a copy elsewhere, next to other code of the same name, is allowed with it.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from probe.errors import InputError


def allow(path: str | Path) -> None:
    """Let a description name code from now on, as it stands.

    Raises
    ------
    InputError
        If there is no such file, or the record of it cannot be written.
    """
    record = _store() / _digest(Path(path))
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(f"{Path(path).resolve()}\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot record in {record.parent} that {path} is allowed: {error.strerror}; use --spec") from error


def is_allowed(path: str | Path) -> bool:
    """Whether a description was allowed, and has not been changed or moved since."""
    return (_store() / _digest(Path(path))).is_file()


def _store() -> Path:
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "probe" / "allowed"


def _digest(path: Path) -> str:
    try:
        said = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; give the path of a description") from error
    return hashlib.sha256(os.fsencode(path.resolve()) + b"\0" + said).hexdigest()
