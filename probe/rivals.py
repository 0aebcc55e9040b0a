"""Rivals: other answers to the same inputs, beside which every probe of the suite `statistics` lays the model's.

Their answers lie in files, one for the input of each pair, or another model gives them. Like a control, a rival is a FieldModel, so
that it is measured by the very code that measures the model.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from torch import Tensor
from xarray import Dataset

from probe import equivariance
from probe.contract import Check, Measured
from probe.controls import Absent, Control
from probe.data import Pairs
from probe.data.fingerprint import of_files
from probe.data.samples import FileSamples, find_side
from probe.description import Description, Rival
from probe.distribution import better_or_worse
from probe.errors import InputError
from probe.intervals import Interval
from probe.loading import load
from probe.model import FieldModel

# What a checkpoint is called; any other name is a pattern of files with answers in them.
CHECKPOINTS = (".pt", ".pth", ".ckpt", ".safetensors", ".onnx")


def stated(given: Mapping[str, str | Path | FieldModel]) -> dict[str, Rival | FieldModel]:
    """Rivals as a user names them: a model, a checkpoint, "zoo:NAME", or a pattern of files seen from the current folder.

    Raises
    ------
    InputError
        If one has a name that cannot be.
    """
    found: dict[str, Rival | FieldModel] = {}
    for name, what in given.items():
        text = "" if isinstance(what, FieldModel) else os.fspath(what)
        is_model = text.startswith("zoo:") or text.lower().endswith(CHECKPOINTS)
        where = text if text.startswith("zoo:") else str(Path.cwd() / text)
        try:
            rival = Rival(name, model=where) if is_model else Rival(name, where if text else "live")
        except ValueError as fault:
            raise InputError(str(fault)) from None
        found[name] = what if isinstance(what, FieldModel) else rival
    return found


def known(described: Description, given: Mapping[str, str | Path | FieldModel]) -> dict[str, Rival | FieldModel]:
    """The rivals of a description and those that were given beside it.

    Raises
    ------
    InputError
        If two have one name.
    """
    own, more = {rival.name: rival for rival in described.rivals}, stated(given)
    if twice := next((name for name in more if name in own), ""):
        raise InputError(f"the description has a rival {twice!r} already; give the other one another name")
    return {**own, **more}


def build(name: str, rival: Rival | FieldModel, model: FieldModel, pairs: Pairs | None) -> Control | Absent:
    """A rival as a control of a model.

    Raises
    ------
    InputError
        If its files or its checkpoint are missing or damaged, it has not one answer for each pair, or its inputs and outputs are
        others than the model's.
    """
    if isinstance(rival, FieldModel):
        return _of_model(name, rival, model)
    folder = model.description.folder
    if rival.model:
        source = rival.model if rival.model.startswith("zoo:") else str(folder / rival.model)
        if ":" not in source and not Path(source).is_file():
            raise InputError(f"the rival {name!r} is the model {source}, which is not there; give the path of a checkpoint")
        return _of_model(name, load(source, device=str(model.device)), model)
    if pairs is None:
        return Absent("its answers are to the inputs of pairs, and there are none")
    patterns = (rival.answers,) if isinstance(rival.answers, str) else rival.answers
    answers = _find(name, folder, patterns, pairs)
    told = f"its answers to the inputs of the {len(pairs)} pairs, from files like {' and '.join(map(_last, patterns))}"
    network = Recorded(replace(pairs, targets=answers))
    return Control(_beside(network, name, model, of_files(answers.files()).hex()), f"{told}; to any other input it is silent")


def _last(pattern: str) -> str:
    """A pattern without its folders."""
    files, colon, key = pattern.partition(":")
    return Path(files).name + colon + key


def _find(name: str, folder: Path, patterns: tuple[str, ...], pairs: Pairs) -> FileSamples:
    """The rival's answers, one for each pair."""
    described = pairs.description
    # From the root of the file system on, so that patterns of any folder are found alike.
    files = [os.path.normpath(folder.absolute() / pattern.partition(":")[0]) for pattern in patterns]
    root = Path(Path(files[0]).anchor)
    inside = [str(Path(file).relative_to(root)) + "".join(p.partition(":")[1:]) for file, p in zip(files, patterns, strict=True)]
    found = find_side(root, inside, described.outputs, described.grid, described.data.channels)
    if found is None or len(found) != len(pairs):
        count = 0 if found is None else len(found)
        raise InputError(
            f"the rival {name!r} has {count} answers in files like {' and '.join(patterns)} (seen from {folder.absolute()}), and "
            f"there are {len(pairs)} pairs; give one for each, in their order"
        )
    if isinstance(pairs.targets, FileSamples):
        found.check_matches(pairs.targets, folder.absolute())
    return found


def _of_model(name: str, rival: FieldModel, model: FieldModel) -> Control:
    own, other = (_words(one.description) for one in (model, rival))
    if own != other:
        raise InputError(f"the rival {name!r} maps {other}, and the model {own}; give one of the same inputs, outputs and grid")
    alike = {key: value for key, value in model.description.conditioning.items() if key in rival.parameters}

    def answered(values: Tensor, **parameters: Tensor) -> Tensor:
        asked = rival.at(**{key: float(value.flatten()[0]) for key, value in parameters.items()}) if parameters else rival
        return asked.function(values).to(values)

    digest = hashlib.sha256(f"{rival.sha256 or uuid4().hex} {rival.description.fingerprint()} {rival.parameters}".encode())
    control = _beside(answered, name, model, digest.hexdigest(), alike)
    control.may_be_missing = False
    where = f" ({rival.path})" if rival.path and rival.path != rival.name else ""
    return Control(control, f"another model, {rival.name}{where}")


def _words(described: Description) -> str:
    """What a model maps, without the names of its quantities."""
    sides = (
        ", ".join(" ".join(filter(None, (q.kind, q.quantity, q.unit and f"[{q.unit}]"))) for q in side)
        for side in (described.inputs, described.outputs)
    )
    grid = described.grid
    return f"{' to '.join(sides)} on {grid.shape} points in a box of {grid.box} {grid.unit} ({grid.boundary})"


def _beside(network: Any, name: str, model: FieldModel, digest: str, parameters: Mapping[str, Any] | None = None) -> FieldModel:
    """A function of physical values, called with parameters, as a FieldModel beside the model."""
    wanted = model.description.conditioning if parameters is None else parameters
    described = replace(model.description.plain(name), conditioning=dict(wanted))
    made = FieldModel(network, described, device=str(model.device), dtype=model.physical_dtype, sha256=digest)
    made.may_be_missing = True
    return made


@dataclass
class Recorded:
    """Stored answers as a function: the input of a pair gets the pair's target, any other input NaN.

    An input that was moved is another: whoever answered need not have moved the answer with it.
    """

    pairs: Pairs

    tolerance = 1e-6  # rounding of an input to float32, ten times
    some = 1024  # values of an input that are compared first

    @cached_property
    def marks(self) -> Tensor:
        """A few values of every pair's input: (pair, value)."""
        return torch.stack([self._mark(given.values[0]) for given, _ in self.pairs])

    def _mark(self, values: Tensor) -> Tensor:
        flat = values.flatten()
        # An odd step does not fall on the same plane of a power-of-two grid again and again.
        return flat[:: flat.numel() // self.some | 1].double().cpu()

    def __call__(self, values: Tensor, **parameters: Tensor) -> Tensor:
        asked = [{name: float(value[i]) for name, value in parameters.items()} for i in range(len(values))]
        return torch.stack([self._one(one, under) for one, under in zip(values, asked, strict=True)]).to(values)

    def _one(self, values: Tensor, under: Mapping[str, float]) -> Tensor:
        described = self.pairs.description
        if tuple(values.shape[1:]) == described.grid.shape:
            mark = self._mark(values)
            near = (self.marks - mark).norm(dim=1) <= self.tolerance * self.marks.norm(dim=1).clamp_min(1e-300)
            for index in torch.nonzero(near).flatten().tolist():
                given, answer = self.pairs[index]
                apart = (given.values[0].to(values) - values).norm()
                if apart <= self.tolerance * values.norm() and self._under(index, under):
                    return answer.values[0].to(values)
        return values.new_full((described.channels_out, *values.shape[1:]), torch.nan)

    def _under(self, index: int, parameters: Mapping[str, float]) -> bool:
        """Whether a pair is of these parameters, as far as it states them."""
        own = self.pairs.parameters(index)
        return all(abs(own.get(name, value) - value) <= self.tolerance * abs(value) for name, value in parameters.items())


def against(measured: Measured, ratio: Callable[[Dataset], Interval], of: str) -> list[Check]:
    """The check `against_rivals`: what the model has of the error of the rival that does best, all others in the sentence.

    Parameters
    ----------
    ratio : callable
        From what was measured of a rival to the model's error over the rival's.
    of : str
        The error in words, such as "error power of the bispectrum".
    """
    model = measured["model"]
    beside = [name for name in equivariance.rivals(model) if name in measured and measured[name] is not model]
    if not beside:
        return []
    found = {name: ratio(measured[name]) for name in beside}
    order = sorted(found, key=lambda name: -found[name].value)
    told = [f"{found[name].value:.2g} of that of {name}{_how_sure(found[name])}" for name in order]
    return [
        Check.info(
            "against_rivals",
            found[order[0]],
            f"The {of} is {', '.join(told)}.",
            covers=f"{model.sizes['simulation']} simulations, the same for all",
        )
    ]


def _how_sure(ratio: Interval) -> str:
    """' (0.2 to 0.4: better)'; nothing of one simulation alone, which does not tell."""
    told = ratio.low > 0 or math.isfinite(ratio.high)
    return f" ({ratio.low:.2g} to {ratio.high:.2g}: {better_or_worse(ratio)})" if told else ""
