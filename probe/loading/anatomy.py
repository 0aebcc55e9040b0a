"""What the parts of a file are, for the formats that only running code would open: read as bytes, never run, with bounds on all."""

from __future__ import annotations

import json
import pickletools
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

from probe.loading.formats import Format, truncated

_BYTES = 2**24  # of a pickle or of JSON that are looked at, and never more than the file itself has
_OPERATIONS = 10**6
_PICKLES = 8  # an old torch checkpoint is five of them in a row, then numbers
_STRINGS = ("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING")


@dataclass(frozen=True)
class Member:
    """A file within an archive, and its size unpacked, in bytes."""

    name: str
    size: int


@dataclass(frozen=True)
class ExportedTensor:
    """An input or output of an exported network; a side that may vary is None."""

    name: str
    shape: tuple[int | None, ...]


def members_of(path: Path) -> tuple[Member, ...]:
    """The files in an archive, without the folder that all of them lie in; empty for a file that is none.

    Raises
    ------
    InputError
        If it is damaged.
    """
    if not zipfile.is_zipfile(path):
        return ()
    try:
        with zipfile.ZipFile(path) as archive:
            return tuple(Member(_inner(item.filename), item.file_size) for item in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise truncated(path) from error


def globals_of(path: Path, kind: Format) -> tuple[str, ...]:
    """The classes and functions that unpickling a checkpoint would import, in order: `module.name` each.

    A name that the pickle puts together in a roundabout way is told as "?".
    """
    if kind not in (Format.TORCH, Format.TORCHSCRIPT, Format.PICKLE):
        return ()
    data = _member(path, "data.pkl") if zipfile.is_zipfile(path) else _head(path)
    stream, names = BytesIO(data), dict[str, None]()
    for _ in range(_PICKLES):
        try:
            names |= dict.fromkeys(_globals(stream))
        except Exception:  # what follows is no pickle, or cut off by the bound: pickletools raises many kinds
            break
    return tuple(names)


def signature_of(path: Path) -> tuple[tuple[ExportedTensor, ...], tuple[ExportedTensor, ...]]:
    """Inputs and outputs of a torch.export archive, as its graph says; empty where it does not."""
    try:
        graph = json.loads(_member(path, "models/model.json"))["graph_module"]
        values, signature = graph["graph"]["tensor_values"], graph["signature"]
        sides = [
            tuple(
                ExportedTensor(name, tuple(map(_side, values[name]["sizes"])))
                for spec in signature[f"{side}put_specs"]
                if (name := spec.get(f"user_{side}put", {}).get("arg", {}).get("as_tensor", {}).get("name")) in values
            )
            for side in ("in", "out")
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return (), ()
    return sides[0], sides[1]


def _globals(stream: BytesIO) -> Iterator[str]:
    """Names in one pickle. Protocol 4 takes them from the stack: the last two strings that were pushed, perhaps from the memo."""
    memo, pushed = dict[int, str](), list[str]()
    operations: Iterator[tuple[Any, Any, Any]] = islice(pickletools.genops(stream), _OPERATIONS)
    for operation, argument, _ in operations:
        name = operation.name
        if name in ("GLOBAL", "INST"):
            yield str(argument).replace(" ", ".", 1)
        elif name == "STACK_GLOBAL":
            yield ".".join(pushed[-2:]) if len(pushed) > 1 else "?"
        elif name in _STRINGS:
            pushed.append(argument)
        elif name == "MEMOIZE":
            memo[len(memo)] = pushed[-1] if pushed else "?"
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[argument] = pushed[-1] if pushed else "?"
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            pushed.append(memo.get(argument, "?"))


def _side(size: Any) -> int | None:
    side = size.get("as_int")
    return side if isinstance(side, int) else None


def _member(path: Path, name: str) -> bytes:
    """The first bytes of a file in an archive; empty where there is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            full = next((item for item in archive.namelist() if _inner(item) == name), None)
            if full is None:
                return b""
            with archive.open(full) as file:
                return file.read(min(_BYTES, path.stat().st_size))
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError, EOFError) as error:
        raise truncated(path) from error


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_BYTES)


def _inner(name: str) -> str:
    return name.partition("/")[2] or name
