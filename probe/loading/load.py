"""A model's name -> FieldModel."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from probe.description import Description, guess_description, likely_channels, names_code, read_description
from probe.description.table import nearest
from probe.errors import InputError
from probe.loading.checkpoints import State, fill, read_state, read_trusted
from probe.loading.code import OnArrays, build, code_name, import_object, takes_tensors
from probe.loading.formats import format_of, sha256_of
from probe.loading.permission import is_allowed
from probe.model import FieldModel, Recipe, choose_device
from probe.zoo import entries

_PYTHON_ZOO = ("probe.zoo.oracles", "probe.zoo.defects")


def load(
    source: str | os.PathLike[str],
    spec: str | os.PathLike[str] | None = None,
    factory: str | Callable[..., nn.Module] | None = None,
    trust_pickle: bool = False,
    device: str = "auto",
    batch_size: int | None = None,
) -> FieldModel:
    """Load a trained model.

    Parameters
    ----------
    source : str or path
        A checkpoint (torch, safetensors, Lightning), `module:function` on arrays (channel axis second), or `zoo:NAME`.
    spec : path, optional
        Its description. By default `NAME.probe.toml` beside the checkpoint, else [tool.probe] of the nearest pyproject.toml,
        else guesses. Passing it is leave to run the code that it names.
    factory : str or callable, optional
        `module:object` that builds the network; goes before the description's.
    trust_pickle : bool
        Leave to run what a whole pickled module, TorchScript or torch.export archive asks for.
    device : str
        "auto" is a GPU if there is one.
    batch_size : int, optional
        Samples at once; None: found.

    Raises
    ------
    InputError
        One sentence: what was found, what was expected, what to do.
    """
    text = os.fspath(source)
    named = factory if isinstance(factory, str) else code_name(factory) if factory is not None else ""
    description = find_description(text, spec, factory_given=factory is not None)
    where = text if text.startswith("zoo:") or _is_function(text) else str(Path(text).absolute())
    recipe = Recipe(where, description, named, str(Path.cwd()), "", trust_pickle, device, batch_size)
    model = _make(recipe, factory if callable(factory) else None)
    if factory is not None and not named:
        model.recipe = None  # a function without an importable name cannot be found by another process
    return model


def load_recipe(recipe: Recipe) -> FieldModel:
    """Load what a recipe tells, in this process or another.

    Raises
    ------
    InputError
        If it cannot be loaded here, or its file has changed.
    """
    model = _make(replace(recipe, untrained_seed=None, double=False), None)
    if recipe.untrained_seed is not None:
        twin = model.untrained_twin(recipe.untrained_seed)
        if twin is None:
            raise InputError(f"{recipe.source} is a plain callable, which has no untrained twin; leave that control out")
        model = twin[0]
    return model.to_double() if recipe.double else model


def find_description(source: str, spec: str | os.PathLike[str] | None, factory_given: bool = False) -> Description | None:
    """The description that applies to a source; None where there is none.

    Raises
    ------
    InputError
        If it cannot be read, or was found rather than passed, names code and was not allowed on this machine.
    """
    if spec is not None:
        return read_description(os.fspath(spec))
    if source.startswith("zoo:"):
        return None  # it comes with the entry
    path = beside(Path(source)) if not _is_function(source) else None
    if path is None or not path.is_file():
        path = _project_file()
    if path is None:
        return None
    description = read_description(path)
    named = [code for code in description.code if not (factory_given and code == description.factory)]
    if named and not is_allowed(path):
        raise InputError(
            f"{path} names code ({', '.join(named)}) and was not allowed on this machine; read it, then run "
            f"`probe allow {path}` or pass --spec {path}"
        )
    return description


def beside(checkpoint: Path) -> Path:
    """Where the description of a checkpoint lies."""
    return checkpoint.with_name(f"{checkpoint.stem}.probe.toml")


def _project_file() -> Path | None:
    """The nearest pyproject.toml from here up, if it has a table [tool.probe]."""
    here = Path.cwd()
    found = next((folder / "pyproject.toml" for folder in (here, *here.parents) if (folder / "pyproject.toml").is_file()), None)
    if found is None:
        return None
    try:
        table = tomllib.loads(found.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{found} is no TOML: {error}; mend it there, or pass a description with --spec") from error
    return found if "probe" in table.get("tool", {}) else None


def _is_function(source: str) -> bool:
    return names_code(source) and not Path(source).exists()


def _make(recipe: Recipe, factory: Callable[..., nn.Module] | None) -> FieldModel:
    # Building a network draws its first weights: the caller's random numbers are to stay as they were.
    with torch.random.fork_rng(devices=[]):
        if recipe.source.startswith("zoo:"):
            return _from_zoo(recipe, recipe.source.removeprefix("zoo:"))
        if _is_function(recipe.source):
            return _from_function(recipe)
        return _from_checkpoint(recipe, Path(recipe.source), factory)


def _from_zoo(recipe: Recipe, name: str) -> FieldModel:
    trained = entries()
    if entry := trained.get(name):
        described = recipe.description or read_description(entry.description)
        return _from_checkpoint(replace(recipe, description=described), entry.weights, None, name)
    models: dict[str, Callable[[], FieldModel]] = {}
    for module in _PYTHON_ZOO:
        if importlib.util.find_spec(module):
            models |= importlib.import_module(module).MODELS
    if name not in models:
        near = nearest(name, {*trained, *models})
        raise InputError(f"the zoo has no {name!r}; " + (f"did you mean zoo:{near}?" if near else "`probe zoo` lists what it has"))
    model = models[name]()
    model.recipe = recipe
    return model


def _from_function(recipe: Recipe) -> FieldModel:
    if recipe.description is None:
        raise InputError(f"{recipe.source} is a function, which tells no grid and no channels; describe it with --spec FILE")
    found = import_object(recipe.source, recipe.folder)
    if isinstance(found, type) or not callable(found):
        what = "class" if isinstance(found, type) else type(found).__name__
        raise InputError(f"{recipe.source} is a {what}; expected a function of arrays: a network needs a checkpoint too")
    tensors = isinstance(found, nn.Module) or takes_tensors(found)
    code = inspect.getsourcefile(inspect.unwrap(found)) if inspect.isfunction(found) else None
    digest = sha256_of(Path(code)) if code else ""
    _check_unchanged(recipe, digest)
    network = found if tensors else OnArrays(found)
    return _field_model(recipe, network, recipe.description, digest, recipe.source, differentiable=tensors)


def _from_checkpoint(recipe: Recipe, path: Path, factory: Callable[..., nn.Module] | None, name: str = "") -> FieldModel:
    kind = format_of(path)
    digest = sha256_of(path)
    _check_unchanged(recipe, digest)
    found = read_trusted(path) if recipe.trust_pickle else read_state(path, kind)
    named = recipe.factory or (recipe.description.factory if recipe.description else "")
    again = None
    if factory or named:
        maker = factory or import_object(named, recipe.folder)
        arguments = recipe.description.factory_arguments if recipe.description else {}
        told = named or getattr(maker, "__name__", repr(maker))

        def again() -> nn.Module:
            return build(maker, arguments, told)

        network = again()
        fill(network, found.state_dict() if isinstance(found, nn.Module) else found, path, told)
    elif isinstance(found, nn.Module):
        network = found
    else:
        raise _bare(path, found)
    description = recipe.description or guess_description(network.state_dict(), network)
    return _field_model(
        recipe, network, description, digest, name or path.stem, factory=again, path=f"zoo:{name}" if name else str(path)
    )


def _field_model(recipe: Recipe, network: Any, description: Description, digest: str, name: str, **more: Any) -> FieldModel:
    device = str(choose_device(recipe.device)) if isinstance(network, nn.Module) else recipe.device
    filled = replace(recipe, description=description, sha256=digest)
    settings = {"path": recipe.source, "name": description.name or name} | more
    return FieldModel(network, description, device=device, batch_size=recipe.batch_size, sha256=digest, recipe=filled, **settings)


def _check_unchanged(recipe: Recipe, digest: str) -> None:
    if recipe.sha256 and recipe.sha256 != digest:
        raise InputError(f"{recipe.source} has changed since this run began; let files be while they are used, and start again")


def _bare(path: Path, state: State) -> InputError:
    """The error of tensors without a network."""
    return InputError(
        f"{path} holds {summary(state)}, but not the network that they belong to; name what builds it: "
        f"probe run rotation --model {path} --factory MODULE:CLASS"
    )


def summary(state: State) -> str:
    """The tensors of a checkpoint in a few words."""
    numbers = sum(tensor.numel() for tensor in state.values())
    likely = likely_channels(state)
    guess = f", {likely}" if likely else ""
    return f"{len(state)} tensors ({numbers} numbers{guess})"
