"""Code that a description or an option names: finding it, and functions of arrays made functions of tensors."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map, tree_map_only

from probe.description.table import nearest
from probe.errors import InputError


def import_object(name: str, folder: str = "", beside: str = "") -> Any:
    """The object of `module:object`, looked for in `folder` (by default the current one), the environment, and `beside`.

    Raises
    ------
    InputError
        If there is no such module or object in it, or importing it raises.
    """
    module_name, _, path = name.partition(":")
    folder = folder or str(Path.cwd())
    # They stay there: a factory may import when it is called. What lies beside a description must not hide the environment.
    if folder not in sys.path:
        sys.path.insert(0, folder)
    if beside and beside not in sys.path:
        sys.path.append(beside)
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        where = " or ".join(filter(None, (f"in {folder}", "the environment", beside)))
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
    """A function of arrays as a function of tensors, without gradients.

    The arrays are read-only, and in the precision of the tensors: float32 from a FieldModel that was not told otherwise. That is
    what networks in JAX, Keras and the like compute in, and many refuse anything wider; the price is that a function that would
    rather work in float64 gets its input rounded. An answer is whatever numpy makes an array of through `__array__`, as it does of
    JAX's, or tuples, lists and dicts of such.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.__name__ = getattr(function, "__name__", type(function).__name__)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        device = next((leaf.device for leaf in tree_leaves((arguments, keywords)) if isinstance(leaf, Tensor)), None)
        given, named = tree_map_only(Tensor, _array, (arguments, keywords))
        try:
            answer = self.function(*given, **named)
        except ValueError as error:
            if "read-only" in str(error):
                raise InputError(f"{self.__name__} writes into its input; let it work on a copy, such as x = x.copy()") from error
            raise
        return tree_map(lambda leaf: _tensor(leaf, device), answer)


def _array(values: Tensor) -> np.ndarray[Any, Any]:
    """Read-only, and in float32 where numpy has no such dtype."""
    array = (values.float() if values.dtype is torch.bfloat16 else values).detach().cpu().numpy()
    array.flags.writeable = False
    return array


def _tensor(answer: Any, device: torch.device | None) -> Any:
    """A tensor of what is like an array of numbers; anything else as it is."""
    if isinstance(answer, Tensor) or not hasattr(answer, "__array__"):
        return answer
    array = np.array(answer)  # a copy, because an answer may be the read-only input itself
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind == "V" and np.can_cast(array.dtype, np.float32):  # bfloat16 and narrower, which are no dtypes of numpy's own
        array = array.astype(np.float32)
    elif kind in "fc" and size > (8 if kind == "f" else 16):  # long double
        array = array.astype(np.float64 if kind == "f" else np.complex128)
    elif kind not in "fcbiu":
        return answer
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False)).to(device)


def source_sha256(thing: Any, otherwise: Any = None) -> str:
    """sha256 of the file that a class or function was written in; empty where it has none.

    Parameters
    ----------
    otherwise : object, optional
        What is looked at where a thing was written nowhere, as an object is not; by default its class.
    """
    while isinstance(thing, (OnArrays, partial)):
        thing = thing.function if isinstance(thing, OnArrays) else thing.func
    for one in (thing, otherwise or type(thing)):
        try:
            path = inspect.getsourcefile(inspect.unwrap(one))
        except TypeError:  # it is compiled, or an object
            continue
        if path and Path(path).is_file():
            return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return ""


def code_name(thing: Any) -> str:
    """`module:object` under which another process finds a class or function; empty where it has no such name.

    What the running script defines itself is named by the script's file.
    """
    module, name = getattr(thing, "__module__", ""), getattr(thing, "__qualname__", "")
    if module == "__main__":
        module = Path(getattr(sys.modules["__main__"], "__file__", "") or "").stem
    return f"{module}:{name}" if module and name and "<" not in name else ""
