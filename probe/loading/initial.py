"""The first description of a model that has none: guesses, with a comment at every key."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from probe.description import Description, guess_description, likely_channels
from probe.description.guess import example_description
from probe.description.template import template
from probe.description.writing import write_text
from probe.errors import InputError
from probe.loading.arguments import ModelArguments
from probe.loading.checkpoints import State, read_safely, read_trusted
from probe.loading.formats import Format, format_of
from probe.loading.load import beside, is_function, load, load_recipe
from probe.loading.permission import allow
from probe.loading.weights import likely_state
from probe.model import FieldModel, Recipe
from probe.model.examination import fault_of


@dataclass(frozen=True)
class Initial:
    """What was written.

    Attributes
    ----------
    path : Path
    description : Description
    fault : str
        Why a run with it would fail as yet, in one sentence; empty where it would not.
    next_command : str
    """

    path: Path
    description: Description
    fault: str
    next_command: str


def initialise(
    source: str | os.PathLike[str],
    factory: str | None = None,
    trust_pickle: bool = False,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> Initial:
    """Write a description to be filled in, and allow it on this machine.

    What the weights suggest is filled in and marked as a guess, in a comment and in the list `guessed`, which every report
    repeats until its sentences are deleted. What lies beside the checkpoint already is not looked at.

    Parameters
    ----------
    source : str or path
        A checkpoint.
    factory : str, optional
        `module:object` that builds the network, without arguments. Without it, the place where to write one is left open.
    trust_pickle : bool
        Leave to run what the file asks for.
    out : path, optional
        By default `NAME.probe.toml` beside the checkpoint.
    overwrite : bool
        Leave to replace it.

    Raises
    ------
    InputError
        If the file is there already, the checkpoint cannot be read, or the network cannot be built.
    """
    given = ModelArguments(os.fspath(source), None, factory, trust_pickle)
    if given.source.startswith("zoo:") or is_function(given.source):
        what = "comes with one" if given.source.startswith("zoo:") else "is a function, which tells no grid and no channels"
        raise InputError(f"no description can be guessed for {given.source}: it {what}; give a checkpoint")
    path = Path(out) if out is not None else beside(Path(given.source))
    if path.exists() and not overwrite:
        raise InputError(f"{path} is there already; give --overwrite to replace it, or another file with --out")
    description, whole = _guess(given)
    write_text(template(description, Path(given.source).name), path)
    allow(path)
    given = replace(given, spec=None if path == beside(Path(given.source)) else str(path), factory=None)
    if whole:
        return Initial(path, description, _fault(given), given.command("run all --model"))
    fault = "nothing says what builds the network: write its factory there, or give it to every command"
    return Initial(path, description, fault, replace(given, factory="MODULE:CLASS").command("run all --model"))


def _guess(given: ModelArguments) -> tuple[Description, bool]:
    """The description that the file suggests, and whether a network comes about with it."""
    path = Path(given.source)
    if not given.factory and (state := _bare_tensors(path, given.trust_pickle)):
        return guess_description(state) if likely_channels(state) else example_description(), False
    # A recipe without a description is guessed at, whatever lies beside the file.
    recipe = Recipe(str(path.absolute()), None, given.factory or "", str(Path.cwd()), "", given.trust_pickle)
    try:
        model = load_recipe(recipe)
    except InputError as error:
        try:
            model = load_recipe(replace(recipe, description=example_description()))
        except InputError:
            hint = ": probe init without --factory leaves their place open" if "factory_arguments" in str(error) else ""
            raise InputError(f"{error}{hint}") from error
    return replace(_with_weights(model), factory=given.factory or ""), True


def _with_weights(model: FieldModel) -> Description:
    """Its description; where the file holds several sets of weights that fit, with the one that was taken."""
    taken, others = model.loaded, model.loaded.get("also_there")
    place = ".".join(filter(None, (taken.get("taken_from"), taken.get("prefix", "").rstrip("."))))
    if not others or not place:
        return model.description
    told = f"the weights are those of {place!r}; those of {', '.join(map(repr, others))} would fit too"
    return replace(model.description, weights=place, guessed=(*model.description.guessed, told))


def _bare_tensors(path: Path, trust_pickle: bool) -> State:
    """The tensors of a file that holds no network; empty where it does."""
    if (kind := format_of(path)) is Format.ONNX:
        return {}
    contents = (read_trusted if trust_pickle else read_safely)(path, kind)
    return {} if contents.modules else likely_state(contents)


def _fault(given: ModelArguments) -> str:
    """What a run would meet, found out by one pass."""
    try:
        return fault_of(load(given.source, given.spec, given.factory, given.trust_pickle))
    except InputError as error:
        return str(error)
