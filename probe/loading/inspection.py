"""What a checkpoint is, told without running anything in it or beside it; and the model to be examined, built as the user says."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from probe.description import Description, likely_channels, read_description
from probe.description.guess import Likely
from probe.errors import InputError
from probe.loading.anatomy import ExportedTensor, Member, globals_of, members_of, signature_of
from probe.loading.arguments import ModelArguments
from probe.loading.checkpoints import Contents, NeedsTrust, State, read_safely
from probe.loading.formats import Format, format_of, sha256_of
from probe.loading.load import beside, description_file, find_description, is_function, load
from probe.loading.onnx import OnnxNetwork
from probe.loading.permission import is_allowed
from probe.loading.weights import likely_state
from probe.model import FieldModel
from probe.zoo import entries

_Tensors = tuple[ExportedTensor, ...]


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
    sets : dict of str to int
        Number of tensors in each dictionary of the file, by its dotted place; empty: the file itself.
    tensors : tuple of TensorInfo
        Of the set that is likely the network's; empty where only running code would tell.
    numbers : int
        In all of them together: parameters and buffers.
    precisions : dict of str to int
        How many of them are of which dtype.
    metadata : dict of str to str
        What the file says of itself, in safetensors.
    imports : tuple of str
        What unpickling it would import.
    members : tuple of Member
        The files in an archive.
    inputs, outputs : tuple of ExportedTensor
        Of a torch.export archive or an ONNX model.
    dimension, channels_in, channels_out : int or None
        Likely; from the first and last weights, or from inputs and outputs.
    description : str
        The file that describes it; empty where there is none.
    missing : tuple of str
        What still stands between the file and a run, in sentences.
    describe_command : str
        What writes a description; empty where there is one.
    next_command : str
        What to type next.
    """

    path: str
    format: str
    sha256: str
    size: int
    sets: dict[str, int]
    tensors: tuple[TensorInfo, ...]
    numbers: int
    precisions: dict[str, int]
    metadata: dict[str, str]
    imports: tuple[str, ...]
    members: tuple[Member, ...]
    inputs: tuple[ExportedTensor, ...]
    outputs: tuple[ExportedTensor, ...]
    dimension: int | None
    channels_in: int | None
    channels_out: int | None
    description: str
    missing: tuple[str, ...]
    describe_command: str
    next_command: str

    def as_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class _Steps:
    """What is missing, and the commands that get on with it."""

    missing: tuple[str, ...]
    describe: str
    next: str


def inspect_checkpoint(
    source: str | os.PathLike[str], spec: str | None = None, factory: str | None = None, trust_pickle: bool = False
) -> Inspection:
    """What a checkpoint holds and what it lacks; safe on any file.

    Parameters
    ----------
    source : str or path
        A checkpoint, or `zoo:NAME`.
    spec, factory, trust_pickle
        As the user will load it with: they decide what is missing. Neither is code run nor a file trusted here.

    Raises
    ------
    InputError
        If it is no checkpoint, cut short, or not there, or its description cannot be read or names weights that it lacks.
    """
    given = ModelArguments(os.fspath(source), spec, factory, trust_pickle)
    entry = entries().get(given.source.removeprefix("zoo:")) if given.source.startswith("zoo:") else None
    path = entry.weights if entry else Path(given.source)
    described = entry.description if entry else description_file(given.source, spec)
    kind = format_of(path)
    contents, inputs, outputs, refusal = _look_inside(path, kind)
    description = replace(read_description(described), source=str(described)) if described else None
    state = likely_state(contents, description.weights if description else "") if contents.sets else {}
    likely = _likely(state, inputs, outputs)
    steps = _steps(given, kind, refusal, description, ready=entry is not None)
    return Inspection(
        path=str(path),
        format=kind.value,
        sha256=sha256_of(path),
        size=path.stat().st_size,
        sets={place: len(tensors) for place, tensors in contents.sets.items()},
        tensors=tuple(TensorInfo(key, tuple(t.shape), _name(t.dtype)) for key, t in state.items()),
        numbers=sum(t.numel() for t in state.values()),
        precisions=_precisions(state),
        metadata=_metadata(path) if kind is Format.SAFETENSORS else {},
        imports=globals_of(path, kind),
        members=members_of(path),
        inputs=inputs,
        outputs=outputs,
        dimension=likely.dimension if likely else None,
        channels_in=likely.channels_in if likely else None,
        channels_out=likely.channels_out if likely else None,
        description=str(described or ""),
        missing=steps.missing,
        describe_command=steps.describe,
        next_command=steps.next,
    )


def _look_inside(path: Path, kind: Format) -> tuple[Contents, _Tensors, _Tensors, str]:
    """The tensors in a file, the inputs and outputs of a network that says them, and why it cannot be opened as it is."""
    nothing = Contents(path, {})
    if kind is Format.ONNX:
        try:
            network = OnnxNetwork(path)
        except InputError as error:
            return nothing, (), (), str(error)
        return nothing, network.inputs, network.outputs, ""
    inputs, outputs = signature_of(path) if kind is Format.EXPORT else ((), ())
    try:
        return read_safely(path, kind), inputs, outputs, ""
    except NeedsTrust as error:
        return nothing, inputs, outputs, str(error)


def is_on_disk(source: str) -> bool:
    """Whether a source is, or should be, a file: neither `module:function` nor a model of the zoo that is made in Python."""
    return source.removeprefix("zoo:") in entries() if source.startswith("zoo:") else not is_function(source)


def open_for_examination(given: ModelArguments) -> FieldModel:
    """The model that the user named, built by code that the user named.

    Raises
    ------
    InputError
        If it cannot be loaded, or a description that was merely found names code: `inspect` runs none of that, allowed or not.
    """
    description = find_description(given.source, given.spec, given.factory is not None)
    named = _code(description, given) if description and given.spec is None else ()
    if description and named:
        path = description.source
        raise InputError(f"{path} names code ({', '.join(named)}), and inspect runs none that a file names; pass --spec {path}")
    return load(given.source, given.spec, given.factory, given.trust_pickle)


def _likely(state: State, inputs: _Tensors, outputs: _Tensors) -> Likely | None:
    """Dimension and channels, from the weights or from what an exported network says of itself."""
    if inputs and outputs and len(inputs[0].shape) > 2 and len(outputs[0].shape) > 2:
        channels_in, channels_out = inputs[0].shape[1], outputs[0].shape[1]
        if channels_in and channels_out:
            return Likely(len(inputs[0].shape) - 2, channels_in, channels_out)
    return likely_channels(state)


def _steps(given: ModelArguments, kind: Format, refusal: str, description: Description | None, ready: bool) -> _Steps:
    """What stands between the file and a run. Where the factory is missing, the commands show its place."""
    missing, describe = [], ""
    if refusal and not given.trust_pickle:
        missing.append(refusal)
        given = replace(given, trust_pickle=kind is not Format.ONNX)
    if not refusal and kind is not Format.ONNX and not given.factory and not (description and description.factory):
        missing.append("nothing says what builds the network")
        given = replace(given, factory="MODULE:CLASS")
    if description is None:
        missing.append(f"nothing describes it: {beside(Path(given.source))} is not there, so grid and channels would be guessed")
        describe = given.command("init")
    named = _code(description, given) if description else ()
    if description and named and not given.spec and not ready and not is_allowed(description.source):
        told = f"{description.source} names code ({', '.join(named)}) and was not allowed on this machine: read it first"
        return _Steps((*missing, told), describe, shlex.join(["probe", "allow", description.source]))
    return _Steps(tuple(missing), describe, given.command("run all --model"))


def _code(description: Description, given: ModelArguments) -> tuple[str, ...]:
    """What code a description names that the user did not: a factory that is given stands in the place of its own."""
    own = (given.factory, description.factory if given.factory else None)
    return tuple(code for code in description.code if code not in own)


def _precisions(state: State) -> dict[str, int]:
    count = Counter[str]()
    for tensor in state.values():
        count[_name(tensor.dtype)] += tensor.numel()
    return dict(count)


def _metadata(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return dict(file.metadata() or {})


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
