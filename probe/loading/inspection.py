"""What a checkpoint is, told without running anything in it or beside it."""

from __future__ import annotations

import os
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from probe.description import Description, likely_channels, read_description
from probe.loading.checkpoints import NeedsTrust, State, read_state
from probe.loading.formats import Format, format_of, sha256_of
from probe.loading.load import beside
from probe.loading.permission import is_allowed
from probe.zoo import entries


@dataclass(frozen=True)
class TensorInfo:
    """One tensor of a checkpoint."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Inspection:
    """What a checkpoint is.

    Attributes
    ----------
    path, format, sha256 : str
    size : int
        In bytes.
    tensors : tuple of TensorInfo
        Empty where only running code would tell.
    numbers : int
        In all of them together: parameters and buffers.
    dimension, channels_in, channels_out : int or None
        Likely; from the first and last weights.
    description : str
        The file that describes it; empty where there is none.
    missing : tuple of str
        What still stands between the file and a run, in sentences.
    next_command : str
        What to type next.
    """

    path: str
    format: str
    sha256: str
    size: int
    tensors: tuple[TensorInfo, ...]
    numbers: int
    dimension: int | None
    channels_in: int | None
    channels_out: int | None
    description: str
    missing: tuple[str, ...]
    next_command: str

    def as_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return asdict(self)


def inspect_checkpoint(source: str | os.PathLike[str]) -> Inspection:
    """What a checkpoint holds and what it lacks; safe on any file.

    Parameters
    ----------
    source : str or path
        A checkpoint, or `zoo:NAME`.

    Raises
    ------
    InputError
        If it is no checkpoint, cut short, or not there, or its description cannot be read.
    """
    name = os.fspath(source)
    entry = entries().get(name.removeprefix("zoo:")) if name.startswith("zoo:") else None
    path = entry.weights if entry else Path(name)
    described = entry.description if entry else beside(path)
    kind, refusal, state = format_of(path), "", State()
    try:
        state = read_state(path, kind)
    except NeedsTrust as error:
        refusal = str(error)
    description = read_description(described) if described.is_file() else None
    likely = likely_channels(state)
    missing, command = _what_next(name, described, description, kind, refusal, ready=entry is not None)
    return Inspection(
        path=str(path),
        format=kind.value,
        sha256=sha256_of(path),
        size=path.stat().st_size,
        tensors=tuple(TensorInfo(key, tuple(t.shape), str(t.dtype).removeprefix("torch.")) for key, t in state.items()),
        numbers=sum(t.numel() for t in state.values()),
        dimension=likely.dimension if likely else None,
        channels_in=likely.channels_in if likely else None,
        channels_out=likely.channels_out if likely else None,
        description=str(described) if description else "",
        missing=missing,
        next_command=command,
    )


def _what_next(
    name: str, path: Path, description: Description | None, kind: Format, refusal: str, ready: bool
) -> tuple[tuple[str, ...], str]:
    """What is missing, and the command that gets on with it."""
    missing, options = [], []
    if kind is Format.ONNX:
        return (refusal,), "probe run rotation --model MODULE:FUNCTION --spec FILE"
    if refusal:
        missing.append(refusal)
        options.append("--trust-pickle")
    if description is None:
        missing.append(f"nothing describes it: {path} is not there, so grid and channels would be guessed")
    if not refusal and not (description and description.factory):
        missing.append("nothing says what builds the network")
        options.append("--factory MODULE:CLASS")
    if description and description.code and not ready and not is_allowed(path):
        missing.append(f"{path} names code ({', '.join(description.code)}) and was not allowed on this machine: read it first")
        return tuple(missing), f"probe allow {shlex.quote(str(path))}"
    return tuple(missing), " ".join(["probe run rotation --model", shlex.quote(name), *options])
