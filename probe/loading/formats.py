"""What kind of file a checkpoint is, from its first bytes, running nothing."""

from __future__ import annotations

import hashlib
import json
import zipfile
from enum import Enum
from pathlib import Path

from probe.errors import InputError


class Format(Enum):
    """The kinds of file that are told apart."""

    SAFETENSORS = "safetensors"
    TORCH = "torch checkpoint"
    TORCHSCRIPT = "TorchScript archive"
    EXPORT = "torch.export archive"
    ONNX = "ONNX model"


def format_of(path: Path) -> Format:
    """The kind of a file.

    Raises
    ------
    InputError
        If there is no such file, it is cut short, or it is no checkpoint.
    """
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except IsADirectoryError:
        raise InputError(f"{path} is a folder; give the checkpoint file in it") from None
    except OSError as error:
        told = f"cannot read {path}: {error.strerror}"
        raise InputError(f"{told}; give the path of a checkpoint, module:function or zoo:NAME") from error
    if not head:
        raise InputError(f"{path} is empty; write the checkpoint again")
    if head[:2] == b"PK":
        return _format_of_zip(path)
    if head[8:9] == b"{":
        return _safetensors(path, int.from_bytes(head[:8], "little"))
    if head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5"):  # a pickle of protocol 2 to 5
        return Format.TORCH
    if path.suffix == ".onnx":
        return Format.ONNX
    raise InputError(f"{path} is no checkpoint (it begins with {head[:8]!r}); give one that torch.save or safetensors wrote")


def sha256_of(path: Path) -> str:
    """The file's hash: 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _format_of_zip(path: Path) -> Format:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise truncated(path) from error
    inner = {name.partition("/")[2] for name in names}
    if any(name.endswith("archive_format") or "exported_program" in name for name in names) or "models/model.json" in inner:
        return Format.EXPORT
    if "constants.pkl" in inner:
        return Format.TORCHSCRIPT
    if "data.pkl" in inner:
        return Format.TORCH
    raise InputError(f"{path} is a zip archive and no checkpoint; give one that torch.save or safetensors wrote")


def _safetensors(path: Path, length: int) -> Format:
    """safetensors: the length of the header, the header in JSON, and as many bytes as it says."""
    size = path.stat().st_size
    if length > 100_000_000:
        raise InputError(f"{path} is no checkpoint; give one that torch.save or safetensors wrote")
    try:
        with path.open("rb") as file:
            file.seek(8)
            header = json.loads(file.read(length))
        end = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise truncated(path) from error
    if size < 8 + length + end:
        raise truncated(path)
    return Format.SAFETENSORS


def truncated(path: Path) -> InputError:
    """The error of a file that was cut short."""
    return InputError(f"{path} is cut short or damaged ({path.stat().st_size} bytes); copy or write it again")
