"""Code that a description or an option names: finding it, and functions of arrays made functions of tensors."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from probe.description.table import nearest
from probe.errors import InputError


def import_object(name: str, folder: str = "") -> Any:
    """The object of `module:object`, with `folder` (by default the current one) searched first.

    Raises
    ------
    InputError
        If there is no such module or object in it, or importing it raises.
    """
    module_name, _, path = name.partition(":")
    folder = folder or str(Path.cwd())
    # It stays there: a factory may import when it is called.
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        where = f"in {folder} or the environment"
        raise InputError(f"{name}: there is no module {error.name!r} {where}; run where it can be imported") from error
    except Exception as error:  # the module is the user's, and may raise anything
        raise InputError(f"{name}: importing {module_name} raised {type(error).__name__} ({error}); mend it there") from error
    for part in path.split("."):
        if not hasattr(found, part):
            near = nearest(part, dir(found))
            hint = f"did you mean {near!r}?" if near else "give one of its names"
            raise InputError(f"{name}: {module_name} has no {part!r}; {hint}")
        found = getattr(found, part)
    return found


def build(factory: Callable[..., Any], arguments: Mapping[str, Any], name: str) -> nn.Module:
    """The network that a factory makes.

    Raises
    ------
    InputError
        If it raises, or gives anything but a torch.nn.Module.
    """
    told = f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"
    if not callable(factory) or isinstance(factory, nn.Module):
        raise InputError(f"the factory {name} is a {type(factory).__name__}; expected what makes a torch.nn.Module")
    try:
        network = factory(**arguments)
    except Exception as error:  # the factory is the user's, and may raise anything
        raise InputError(f"the factory {told} raised {type(error).__name__} ({error}); check its factory_arguments") from error
    if not isinstance(network, nn.Module):
        raise InputError(f"the factory {told} gave a {type(network).__name__}; expected a torch.nn.Module")
    return network


def takes_tensors(function: Callable[..., Any]) -> bool:
    """Whether the first parameter of a function is annotated as a tensor."""
    try:
        first = next(iter(inspect.signature(function).parameters.values()), None)
    except (TypeError, ValueError):
        return False
    return first is not None and (first.annotation is Tensor or str(first.annotation).split(".")[-1] == "Tensor")


class OnArrays:
    """A function of numpy arrays as a function of tensors, without gradients; the array that it is handed is read-only."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function
        self.__name__ = getattr(function, "__name__", type(function).__name__)

    def __call__(self, values: Tensor) -> Any:
        array = values.detach().cpu().numpy()
        array.flags.writeable = False
        try:
            answer = self.function(array)
        except ValueError as error:
            if "read-only" in str(error):
                raise InputError(f"{self.__name__} writes into its input; let it work on a copy, such as x = x.copy()") from error
            raise
        # A copy, because a result may be the read-only input itself.
        return torch.from_numpy(np.array(answer)).to(values.device) if isinstance(answer, np.ndarray) else answer


def code_name(thing: Any) -> str:
    """`module:object` under which another process finds a class or function; empty where it has no such name.

    What the running script defines itself is named by the script's file.
    """
    module, name = getattr(thing, "__module__", ""), getattr(thing, "__qualname__", "")
    if module == "__main__":
        module = Path(getattr(sys.modules["__main__"], "__file__", "") or "").stem
    return f"{module}:{name}" if module and name and "<" not in name else ""
