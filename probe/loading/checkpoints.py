"""Tensors out of checkpoint files. Nothing in a file is run unless the caller gave leave, and safe never becomes unsafe."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from probe.errors import InputError
from probe.loading.formats import Format, format_of, truncated

State = dict[str, Tensor]
_NESTS = ("state_dict", "model_state_dict", "model", "ema", "ema_state_dict", "module", "network", "net", "params", "weights")
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "ema_model.")


class NeedsTrust(InputError):
    """The file holds more than tensors, and only running its code would open it."""


def read_state(path: Path, inside: Format | None = None) -> State:
    """The tensors of a checkpoint, by name, on the CPU; nothing in the file is run.

    Raises
    ------
    InputError
        If the file cannot be read without running code, is damaged, or holds no tensors.
    """
    kind = inside or format_of(path)
    if kind is Format.SAFETENSORS:
        try:
            state: State = load_file(path)
        except SafetensorError as error:
            raise truncated(path) from error
        return state
    if kind is Format.TORCH:
        return _tensors_of(_load_safely(path), path)
    raise refused(path, kind)


def read_trusted(path: Path) -> nn.Module | State:
    """A whole module, or the tensors of a checkpoint, running what code the file asks for: only with the user's leave."""
    kind = format_of(path)
    try:
        if kind is Format.TORCHSCRIPT:
            script: nn.Module = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
            return script
        if kind is Format.EXPORT:
            module: nn.Module = torch.export.load(path).module()
            return module
        if kind is Format.TORCH:
            with warnings.catch_warnings(action="ignore"):  # of sources that changed since: the user gave leave
                found = torch.load(path, map_location="cpu", weights_only=False)
            return _module_in(found) or _tensors_of(found, path)
    except InputError:
        raise
    except Exception as error:  # unpickling runs whatever the file says, and may raise anything
        text = f"{path} could not be loaded: {type(error).__name__} ({_first_line(error)})"
        raise InputError(f"{text}; run where the code it was saved with can be imported, or save its state_dict instead") from error
    return read_state(path, kind)


def refused(path: Path, kind: Format, names: str = "") -> NeedsTrust:
    """The error of a file that only code can open."""
    if kind is Format.ONNX:
        told = f"{path} is an ONNX model, which is not read even with --trust-pickle"
        return NeedsTrust(f"{told}; pass a function that runs it: --model module:function")
    what = f"pickle that names {names}" if names else kind.value
    told = f"{path} is a {what}, and loading it runs code"
    return NeedsTrust(f"{told}; save the network's state_dict instead, or pass --trust-pickle if you trust its maker")


def fit(state: State, module: nn.Module) -> State:
    """The state under the names that the module knows: the prefix of a wrapper is taken off when that makes it fit."""
    wanted = set(module.state_dict())
    candidates = [state]
    for candidate in candidates:  # grows: a compiled network in a Lightning module has two prefixes
        if set(candidate) == wanted:
            return candidate
        if len(candidates) < 30:
            candidates += [_under(prefix, candidate) for prefix in _PREFIXES if any(key.startswith(prefix) for key in candidate)]
    return max(candidates, key=lambda candidate: len(wanted & set(candidate)))


def fill(module: nn.Module, state: State, path: Path, factory: str) -> None:
    """Put the tensors of a checkpoint into a module; half precision is widened to what the module has.

    Raises
    ------
    InputError
        If they do not fit, naming the first tensor that does not.
    """
    own = module.state_dict()
    found = fit(state, module)
    shapes = [name for name in own if name in found and _unlike(own[name], found[name])]
    misfits = {
        "missing from the file": [name for name in own if name not in found],
        "unknown to the network": [name for name in found if name not in own],
        "of another shape": [f"{name} ({_form(found[name])} for {_form(own[name])})" for name in shapes],
    }
    told = [f"{len(names)} tensors are {how} (first {names[0]})" for how, names in misfits.items() if names]
    if told:
        raise InputError(f"{path} does not fit {factory}: {'; '.join(told)}; check the factory and its factory_arguments")
    module.load_state_dict(found)


def _load_safely(path: Path) -> Any:
    try:
        with warnings.catch_warnings(action="ignore"):  # what cannot be read raises; the rest needs no warning
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        raise refused(path, Format.TORCH, named[1] if named else "code") from error
    except Exception as error:  # torch and zipfile raise many kinds on damaged files
        raise truncated(path) from error


def _tensors_of(found: Any, path: Path) -> State:
    """The dictionary of tensors in a checkpoint, which may lie one or two levels down."""
    if isinstance(found, Mapping):
        tensors = {str(name): value for name, value in found.items() if isinstance(value, Tensor)}
        if tensors:
            return tensors
        for nest in (*_NESTS, *found):
            if isinstance(found.get(nest), Mapping):
                try:
                    return _tensors_of(found[nest], path)
                except InputError:
                    continue
    keys = f" with the keys {', '.join(map(str, list(found)[:6]))}" if isinstance(found, Mapping) and found else ""
    raise InputError(f"{path} holds a {type(found).__name__}{keys} and no named tensors; save network.state_dict()")


def _module_in(found: Any) -> nn.Module | None:
    if isinstance(found, nn.Module):
        return found
    nested = (found.get(nest) for nest in _NESTS) if isinstance(found, Mapping) else ()
    return next((value for value in nested if isinstance(value, nn.Module)), None)


def _under(prefix: str, state: State) -> State:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _unlike(own: Tensor, found: Tensor) -> bool:
    return own.shape != found.shape or own.is_complex() != found.is_complex()


def _form(tensor: Tensor) -> str:
    return f"{'complex ' if tensor.is_complex() else ''}{tuple(tensor.shape)}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0][:200]
