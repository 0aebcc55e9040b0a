"""What lies in checkpoint files. Nothing in a file is run unless the caller gave leave, and safe never becomes unsafe."""

from __future__ import annotations

import builtins
import mmap
import pickle
import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from probe.errors import InputError
from probe.loading.anatomy import signature_of
from probe.loading.fixed_batch import FixedBatch
from probe.loading.formats import Format, format_of, truncated

State = dict[str, Tensor]

# Of Python's own library, what holds values; the rest does things, and a checkpoint that names it is refused. So is one whose
# tensors are made in a way of which nothing could be left out.
_HOLDERS = {"argparse", "collections", "datetime", "decimal", "enum", "functools", "pathlib", "types", "typing", "uuid"}
_MAKE_TENSORS = ("torch._utils.", "torch._tensor.", "torch.storage.", "torch.serialization.")
# Dictionaries in dictionaries that are looked into, and how many on each level: a file may hold itself, or one many times over.
_DEPTH, _MOST = 12, 10_000


class NeedsTrust(InputError):
    """The file holds more than tensors, and only running its code would open it."""


@dataclass(frozen=True)
class Contents:
    """What lies in a checkpoint, wherever it lies.

    Attributes
    ----------
    path : Path
    sets : dict of str to State
        Tensors by name, under the dotted place of the dictionary that holds them: "" is the file itself, "ema.state_dict" a
        dictionary in a dictionary.
    modules : dict of str to nn.Module
        Whole networks, by place; `sets` has their tensors too.
    left_out : tuple of str
        Classes in the file that were not made because only running code would tell what they are.
    kind : str
        What the file holds at its top, in words.
    """

    path: Path
    sets: dict[str, State]
    modules: dict[str, nn.Module] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    kind: str = "dict"

    def require_tensors(self) -> Contents:
        """Itself, if there is anything in it.

        Raises
        ------
        InputError
            If it holds no named tensor and no network.
        """
        if self.sets or self.modules:
            return self
        raise InputError(f"{self.path} holds a {self.kind} and no named tensors; save network.state_dict()")


def read_safely(path: Path, inside: Format | None = None) -> Contents:
    """The tensors of a checkpoint, on the CPU; nothing in the file is run.

    Raises
    ------
    InputError
        If the file cannot be read without running code, is damaged, or holds no tensors.
    """
    kind = inside or format_of(path)
    if kind is Format.SAFETENSORS:
        try:
            return contents_of(load_file(path), path).require_tensors()
        except SafetensorError as error:
            raise truncated(path) from error
    if kind is Format.TORCH:
        return _load_safely(path)
    raise refused(path, kind)


def read_trusted(path: Path, inside: Format | None = None) -> Contents:
    """What a checkpoint holds, running what code the file asks for: only with the user's leave.

    Raises
    ------
    InputError
        If it cannot be loaded here, or holds neither tensors nor a network.
    """
    kind = inside or format_of(path)
    if kind in (Format.SAFETENSORS, Format.ONNX):
        return read_safely(path, kind)
    try:
        with warnings.catch_warnings(action="ignore"):  # of sources that changed since: the user gave leave
            return contents_of(_load_trusted(path, kind), path).require_tensors()
    except InputError:
        raise
    except Exception as error:  # unpickling runs whatever the file says, and may raise anything
        text = f"{path} could not be loaded: {type(error).__name__} ({_first_line(error)})"
        raise InputError(f"{text}; run where the code it was saved with can be imported, or save its state_dict instead") from error


def contents_of(found: Any, path: Path, left_out: tuple[str, ...] = ()) -> Contents:
    """The tensors and networks in an object, by their places in it."""
    sets, modules = dict[str, State](), dict[str, nn.Module]()
    for place, one in _walk(found):
        if isinstance(one, nn.Module):
            modules[place] = one
        items = (one.state_dict() if isinstance(one, nn.Module) else one).items()
        if state := {str(key): value for key, value in items if isinstance(key, (str, int)) and isinstance(value, Tensor)}:
            sets[place] = state
    keys = f" with the keys {', '.join(map(_key, list(found)[:6]))}" if isinstance(found, Mapping) and found else ""
    return Contents(path, sets, modules, left_out, f"{type(found).__name__}{keys}")


def refused(path: Path, kind: Format, names: str = "") -> NeedsTrust:
    """The error of a file that only code can open."""
    if kind is Format.ONNX:
        told = f"{path} is an ONNX model, which holds a network and no checkpoint"
        return NeedsTrust(f"{told}; pass it with --model and no --factory")
    what = f"pickle that names {names}" if names else kind.value
    told = f"{path} is a {what}, and loading it runs code"
    return NeedsTrust(f"{told}; save the network's state_dict instead, or pass --trust-pickle if you trust its maker")


def _load_trusted(path: Path, kind: Format) -> Any:
    if kind is Format.TORCHSCRIPT:
        return torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    if kind is Format.EXPORT:
        network = torch.export.load(path).module()
        inputs, _ = signature_of(path)
        size = inputs[0].shape[0] if inputs and inputs[0].shape else None
        return FixedBatch(network, size) if size else network
    with path.open("rb") as file:  # an open one, because torch goes by a path's suffix
        return pickle.load(file) if kind is Format.PICKLE else torch.load(file, map_location="cpu", weights_only=False)


class _StandIn:
    """Stands where a checkpoint names a class that is not known to be safe, and makes an empty dictionary of whatever it is given.

    Hyperparameters of all kinds lie beside the weights in checkpoints. torch's safe unpickler calls nothing but what is entered
    with it, and this is what is entered under their names. It is a Counter because that is the one type that the unpickler both
    sets items of and hands a state to; the state is dropped.
    """

    def __new__(cls, *_: object) -> Any:
        holder = Counter[object]()
        holder.__setstate__ = lambda _: None  # type: ignore[attr-defined]
        return holder


def _load_safely(path: Path) -> Contents:
    unknown = _unknown_classes(path)
    try:
        # What cannot be read raises; the rest needs no warning. An open file, because torch goes by a path's suffix.
        allowed = torch.serialization.safe_globals([(_StandIn, name) for name in unknown])
        with path.open("rb") as file, warnings.catch_warnings(action="ignore"), allowed:
            found = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        raise refused(path, Format.TORCH, named[1] if named else "code") from error
    except Exception as error:  # torch and zipfile raise many kinds on damaged files
        raise (refused(path, Format.TORCH, unknown[0]) if unknown else truncated(path)) from error
    contents = contents_of(found, path, unknown)
    if unknown and not contents.sets:  # what was left out is what it is all about, such as a whole network
        raise refused(path, Format.TORCH, unknown[0])
    return contents.require_tensors()


def _unknown_classes(path: Path) -> tuple[str, ...]:
    """Classes in a checkpoint that a stand-in may stand for, by name; none in a file of the old form, which cannot be searched.

    Raises
    ------
    NeedsTrust
        If it names something of Python's library that does more than hold values, or could claim any amount of memory.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        if whole.find(b"\nbytearray\n") >= 0:  # torch would make one as long as the file says
            raise refused(path, Format.TORCH, "bytearray")
    try:
        names = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(str(path)))
    except Exception:  # of the old form, or damaged: loading it tells
        return ()
    if refusal := next(filter(_does_things, names), ""):
        raise refused(path, Format.TORCH, refusal)
    return tuple(names)


def _does_things(name: str) -> bool:
    library, _, thing = name.partition(".")
    if library == "builtins":
        return not isinstance(getattr(builtins, thing, None), type)
    return name.startswith(_MAKE_TENSORS) or (library in sys.stdlib_module_names and library not in _HOLDERS)


def _walk(found: Any) -> Iterator[tuple[str, Mapping[Any, Any] | nn.Module]]:
    """Every dictionary and network in an object, with its place, the shallowest first."""
    level = [("", found)]
    for _ in range(_DEPTH):
        yield from ((place, one) for place, one in level if isinstance(one, (Mapping, nn.Module)))
        level = list(islice(((f"{place}.{key}".lstrip("."), part) for place, one in level for key, part in _parts(one)), _MOST))


def _parts(found: Any) -> Iterator[tuple[str, Any]]:
    """What may hold dictionaries within an object, by key or number."""
    parts = found.items() if isinstance(found, Mapping) else enumerate(found) if isinstance(found, (list, tuple)) else ()
    return ((_key(key), part) for key, part in parts if isinstance(part, (Mapping, list, tuple, nn.Module)))


def _key(key: object) -> str:
    """A dictionary's key in a place: short, since a file may hold one of any length or, in a tuple, of any number of parts."""
    return str(key)[:200] if isinstance(key, (str, int)) else type(key).__name__


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0][:200]
