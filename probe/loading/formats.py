"""What kind of file a checkpoint is, from its first bytes, running nothing."""

from __future__ import annotations

import hashlib
import zipfile
from enum import Enum
from pathlib import Path

from safetensors import SafetensorError, safe_open

from probe.errors import InputError


class Format(Enum):
    """The kinds of file that are told apart."""

    SAFETENSORS = "safetensors"
    TORCH = "torch checkpoint"
    PICKLE = "pickle"
    TORCHSCRIPT = "TorchScript archive"
    EXPORT = "torch.export archive"
    ONNX = "ONNX model"


_LEGACY = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the number that torch.save wrote first before it wrote zip archives
_PROTOCOLS = (b"\x80\2", b"\x80\3", b"\x80\4", b"\x80\5")
_LONGEST_HEADER = 100_000_000  # bytes, in safetensors
_WANTED = "give one that torch.save or safetensors wrote"
_ANOTHER_WAY = "wrap the network in a function and pass --model module:function, or convert its weights to a state_dict"
_FOREIGN = {b"\x93NUMPY": "a numpy array", b"\x89HDF\r\n": "an HDF5 file, as Keras writes them,"}


def format_of(path: Path) -> Format:
    """The kind of a file.

    Raises
    ------
    InputError
        If there is no such file, it is cut short, claims more than it holds, or is no checkpoint.
    """
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except IsADirectoryError:
        raise InputError(f"{path} is a folder; give the checkpoint file in it") from None
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
        told = f"cannot read {path}: {getattr(error, 'strerror', None) or error}"
        raise InputError(f"{told}; give the path of a checkpoint, module:function or zoo:NAME") from error
    if not head:
        raise InputError(f"{path} is empty; write the checkpoint again")
    if foreign := next((what for magic, what in _FOREIGN.items() if head.startswith(magic)), ""):
        raise InputError(f"{path} is {foreign} and no checkpoint; {_ANOTHER_WAY}")
    if head[:2] == b"PK":
        return _format_of_zip(path)
    if path.suffix == ".onnx":
        return Format.ONNX
    if head[8:9] == b"{":
        return _safetensors(path, int.from_bytes(head[:8], "little"))
    if head[:2] in _PROTOCOLS:
        return Format.TORCH if _LEGACY in head[:32] else Format.PICKLE
    raise InputError(f"{path} is no checkpoint (it begins with {head[:8]!r}); {_WANTED}")


def sha256_of(path: Path) -> str:
    """The file's hash: 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _format_of_zip(path: Path) -> Format:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except Exception as error:  # zipfile raises many kinds on damaged files
        raise truncated(path) from error
    names = [member.filename for member in members]
    inner = {name.partition("/")[2] for name in names}
    if any(name.endswith("archive_format") or "exported_program" in name for name in names) or "models/model.json" in inner:
        return Format.EXPORT
    if "constants.pkl" in inner:
        return Format.TORCHSCRIPT
    if "data.pkl" in inner:
        _refuse_bombs(path, members)
        return Format.TORCH
    if names and all(name.endswith(".npy") for name in names):
        raise InputError(f"{path} is a numpy archive and no checkpoint; {_ANOTHER_WAY}")
    raise InputError(f"{path} is a zip archive and no checkpoint; {_WANTED}")


def _refuse_bombs(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """torch.save compresses nothing; what is compressed, or lies in the same bytes as something else, may unpack to any size."""
    claimed = sum(member.file_size for member in members)
    if claimed > path.stat().st_size or any(member.compress_type != zipfile.ZIP_STORED for member in members):
        told = f"{path} is a compressed archive that unpacks from {path.stat().st_size} to {claimed} bytes"
        raise InputError(f"{told}; give it as torch.save wrote it, which does not compress")


def _safetensors(path: Path, length: int) -> Format:
    """safetensors: the length of the header, the header in JSON, and as many bytes as it says."""
    if length > _LONGEST_HEADER:
        raise InputError(f"{path} is no checkpoint; {_WANTED}")
    try:
        with safe_open(path, "pt"):
            return Format.SAFETENSORS
    except (SafetensorError, OSError) as error:
        raise truncated(path) from error


def truncated(path: Path) -> InputError:
    """The error of a file that was cut short."""
    return InputError(f"{path} is cut short or damaged ({path.stat().st_size} bytes); copy or write it again")
