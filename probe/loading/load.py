"""A model's name -> FieldModel."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from probe.description import Description, guess_description, likely_channels, names_code, read_description
from probe.description.guess import description_of_shapes
from probe.description.table import nearest
from probe.errors import InputError
from probe.loading.anatomy import signature_of
from probe.loading.checkpoints import State, read_safely, read_trusted
from probe.loading.code import OnArrays, build, code_name, import_object, source_sha256, takes_tensors
from probe.loading.formats import Format, format_of, sha256_of
from probe.loading.onnx import OnnxNetwork
from probe.loading.permission import is_allowed
from probe.loading.weights import choose_module, fill, likely_state
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
        A checkpoint (torch, safetensors, Lightning), ONNX, `module:function` on arrays (channel axis second), or `zoo:NAME`; or
        a description alone, a .toml, of latent variables that were recorded.
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
    spec = text if spec is None and is_description(text) else spec
    named = factory if isinstance(factory, str) else code_name(factory) if factory is not None else ""
    description = find_description(text, spec, factory_given=factory is not None)
    _check_kind(text, description)
    where = text if text.startswith("zoo:") or is_function(text) else str(Path(text).absolute())
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
    path = description_file(source, spec)
    if path is None:
        return None
    description = read_description(path)
    named = [code for code in description.code if not (factory_given and code == description.factory)]
    if named and spec is None and not is_allowed(path):
        raise InputError(
            f"{path} names code ({', '.join(named)}) and was not allowed on this machine; read it, then run "
            f"`probe allow {path}` or pass --spec {path}"
        )
    return description


def description_of_recorded(source: str, spec: str | os.PathLike[str] | None = None) -> Description:
    """The description that is itself the model, of latent variables that were recorded; nothing that it names is run.

    Raises
    ------
    InputError
        If it cannot be read, or is of a network, which needs its checkpoint.
    """
    description = read_description(Path(spec or source))
    _check_kind(source, description)
    return description


def description_file(source: str, spec: str | os.PathLike[str] | None = None) -> Path | None:
    """The file whose description applies to a source: the one passed, beside it, or the project's; None where there is none."""
    if spec is not None:
        return Path(spec)
    if source.startswith("zoo:"):
        return None  # it comes with the entry
    path = None if is_function(source) else beside(Path(source))
    return path if path is not None and path.is_file() else _project_file()


def beside(checkpoint: Path) -> Path:
    """Where the description of a checkpoint lies."""
    return checkpoint.parent / f"{checkpoint.stem}.probe.toml"


def _project_file() -> Path | None:
    """The nearest pyproject.toml from here up, if it has a table [tool.probe]."""
    here = Path.cwd()
    found = next((folder / "pyproject.toml" for folder in (here, *here.parents) if (folder / "pyproject.toml").is_file()), None)
    if found is None:
        return None
    try:
        table = tomllib.loads(found.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{found} is no TOML: {error}; mend it there, or pass a description with --spec") from error
    return found if "probe" in table.get("tool", {}) else None


def is_description(source: str) -> bool:
    """Whether a source is itself a description."""
    return source.lower().endswith(".toml")


def _check_kind(source: str, description: Description | None) -> None:
    """Refuse a network without its weights, and weights with a description of none."""
    if description is None or description.has_network != is_description(source):
        return
    if description.has_network:
        raise InputError(f"{source} describes a network; give its checkpoint with --model, and this file with --spec {source}")
    raise InputError(
        f"{description.source or 'the description'} describes no network, only latent variables that were recorded; give that file "
        f"itself with --model, or describe {source} by [grid], [[input]] and [[output]]"
    )


def is_function(source: str) -> bool:
    """Whether a source is `module:function` and no file."""
    return names_code(source) and not Path(source).exists()


def _make(recipe: Recipe, factory: Callable[..., nn.Module] | None) -> FieldModel:
    # Building a network draws its first weights: the caller's random numbers are to stay as they were.
    with torch.random.fork_rng(devices=[]):
        if recipe.source.startswith("zoo:"):
            return _from_zoo(recipe, recipe.source.removeprefix("zoo:"))
        if is_function(recipe.source):
            return _from_function(recipe)
        if is_description(recipe.source) and recipe.description is not None:
            return _recorded(recipe, recipe.description)
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
    found = import_object(recipe.source, recipe.folder, recipe.description.beside)
    if isinstance(found, type) or not callable(found):
        what = "class" if isinstance(found, type) else type(found).__name__
        raise InputError(f"{recipe.source} is a {what}; expected a function of arrays: a network needs a checkpoint too")
    tensors = isinstance(found, nn.Module) or takes_tensors(found)
    digest = source_sha256(found, sys.modules[recipe.source.partition(":")[0]])
    _check_unchanged(recipe, digest)
    network = found if tensors else OnArrays(found)
    made = {recipe.source: found}
    return _field_model(recipe, network, recipe.description, digest, recipe.source, made, differentiable=tensors)


def _recorded(recipe: Recipe, description: Description) -> FieldModel:
    """A model behind which there is no network, only latent variables that were recorded."""
    digest, name = sha256_of(Path(recipe.source)), description.name or Path(recipe.source).name.partition(".")[0]
    _check_unchanged(recipe, digest)

    def no_network(values: Tensor) -> Tensor:
        raise InputError(f"there is no network behind {name}, only latent variables that were recorded; describe the network")

    kept = {"format": "description", "sha256": digest}
    return _field_model(recipe, no_network, description, digest, name, {}, path=recipe.source, loaded=kept, differentiable=False)


def _from_checkpoint(recipe: Recipe, path: Path, factory: Callable[..., nn.Module] | None, name: str = "") -> FieldModel:
    kind, digest = format_of(path), sha256_of(path)
    _check_unchanged(recipe, digest)
    made = _maker(recipe, factory)
    more: dict[str, Any] = {"path": f"zoo:{name}" if name else str(path)}
    loaded = {"format": kind.value, "sha256": digest, "factory": next(iter(made), "")}
    if kind is Format.ONNX and not made:
        exported = OnnxNetwork(path)
        more |= {"loaded": loaded, "differentiable": False, "dtype": exported.dtype}
        return _field_model(recipe, exported, recipe.description or exported.describe(path), digest, name or path.stem, {}, **more)
    contents = (read_trusted if recipe.trust_pickle else read_safely)(path, kind)
    weights = recipe.description.weights if recipe.description else ""
    arguments = recipe.description.factory_arguments if recipe.description else {}
    if made:
        ((told, maker),) = made.items()
        more["factory"] = partial(build, maker, arguments, told)
        network = build(maker, arguments, told)
        taken = fill(network, contents, told, weights)
    elif whole := choose_module(contents, weights):
        network, taken = whole
    else:
        raise _bare(path, likely_state(contents, weights))
    description = recipe.description or _guessed(path, kind, network)
    model = _field_model(recipe, network, description, digest, name or path.stem, made, loaded=loaded | taken.as_dict(), **more)
    model.notes.extend(taken.sentences())
    return model


def _maker(recipe: Recipe, factory: Callable[..., nn.Module] | None) -> dict[str, Callable[..., Any]]:
    """What builds the network, under its name; empty where nobody said."""
    named = recipe.factory or (recipe.description.factory if recipe.description else "")
    if factory:
        return {named or getattr(factory, "__name__", repr(factory)): factory}
    beside = recipe.description.beside if recipe.description else ""
    return {named: import_object(named, recipe.folder, beside)} if named else {}


def _guessed(path: Path, kind: Format, network: nn.Module) -> Description:
    sides = signature_of(path) if kind is Format.EXPORT else ((), ())
    stated = description_of_shapes(*([tensor.shape for tensor in side] for side in sides))
    return stated or guess_description(network.state_dict(), network)


def _field_model(
    recipe: Recipe, network: Any, description: Description, digest: str, name: str, made: Mapping[str, Any], **more: Any
) -> FieldModel:
    """The model of what was read; `made` holds the code that made it, by name, for the record."""
    device = str(choose_device(recipe.device)) if isinstance(network, nn.Module) else recipe.device
    filled = replace(recipe, description=description, sha256=digest)
    code = named_code(description, recipe.folder)
    loaded = {**more.pop("loaded", {}), "code": {key: source_sha256(thing) for key, thing in {**code, **made}.items()}}
    settings = {"path": recipe.source, "name": description.name or name, "code": code, "loaded": loaded} | more
    model = FieldModel(network, description, device=device, batch_size=recipe.batch_size, sha256=digest, recipe=filled, **settings)
    return model.at(**dict(recipe.parameters)) if recipe.parameters else model


def named_code(
    description: Description, folder: str = "", live: Mapping[str, Callable[..., Any]] | None = None
) -> dict[str, Callable[..., Any]]:
    """What a description's names `module:object` stand for, but for the factory.

    Parameters
    ----------
    folder : str
        Where code is looked for first.
    live : mapping, optional
        What is at hand and need not be imported.

    Raises
    ------
    InputError
        If one cannot be imported or called.
    """
    code = dict(live or {})
    for name in description.code:
        if name != description.factory and name not in code:
            code[name] = import_object(name, folder, description.beside)
        if name in code and (not callable(code[name]) or isinstance(code[name], type)):
            raise InputError(f"{name} is a {type(code[name]).__name__}; expected a function, since the description calls it")
    if (law := description.truth.law) in code and not takes_tensors(code[law]):
        code[law] = OnArrays(code[law])
    return code


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
