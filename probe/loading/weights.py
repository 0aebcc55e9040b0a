"""Which of the tensors in a checkpoint are a network's, and the record of where they were found.

A training script saves a network under any key, and a trainer, a compiler and a keeper of running averages each put a prefix
before its names. So every tensor has one dotted name, the keys on the way to it and its own, and what is looked for is the prefix
after which all names of the network follow, with tensors of fitting shape and nothing else beside them. Where several prefixes
do, those of running averages come last, then the shallowest dictionary counts, then the order in the file. The others are
recorded, and `weights` in a description chooses among them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from probe.description.table import nearest
from probe.errors import InputError
from probe.loading.checkpoints import Contents, State, refused
from probe.loading.formats import Format
from probe.loading.loaded import Loaded

# What wrappers leave in the middle of names: torch.compile, checkpointed activations, sharding; and parallel modules, but
# `module` may be a name of the network's own, so that it is passed over only where nothing fits otherwise.
_WRAPPERS = re.compile(r"(?<![^.])(?:_orig_mod|_checkpoint_wrapped_module|_fsdp_wrapped_module)\.")
_WRAPPERS_OR_PARALLEL = re.compile(r"(?<![^.])(?:_orig_mod|_checkpoint_wrapped_module|_fsdp_wrapped_module|module)\.")
_AVERAGE = re.compile(r"(?<![a-z])(?i:ema|swa)(?![a-z])|EMA|SWA|(?i:averag|shadow|polyak)")
_LONGEST_PREFIX = 12  # parts of a dotted name
_SHOWN = 12  # places in a message


@dataclass(frozen=True)
class _Entry:
    """A tensor of a file: the place of its dictionary, its whole name as it stands there, and itself."""

    place: str
    name: str
    tensor: Tensor


@dataclass(frozen=True)
class _Match:
    """The tensors after a prefix, by the network's names, all those of the same dictionaries, and what is wrong with them."""

    prefix: str
    entries: Mapping[str, _Entry]
    around: Sequence[_Entry]
    misfits: Mapping[str, list[str]]

    @property
    def fits(self) -> bool:
        return not any(self.misfits.values())


def fill(module: nn.Module, contents: Contents, factory: str, weights: str = "") -> Loaded:
    """Put the tensors of a checkpoint into a module, in the precision that the module has.

    Parameters
    ----------
    factory : str
        What built the module, for the message.
    weights : str
        The place in the file to take them from; by default any.

    Raises
    ------
    InputError
        If they do not fit, naming the first tensor that does not, or there is no such place.
    """
    chosen, *others = _matches(module, contents, weights, _WRAPPERS)
    wrappers = _WRAPPERS
    if not chosen.fits:
        again, *others_again = _matches(module, contents, weights, _WRAPPERS_OR_PARALLEL)
        if again.fits:
            chosen, others, wrappers = again, others_again, _WRAPPERS_OR_PARALLEL
    told = [f"{len(names)} tensors are {how} (first {names[0]})" for how, names in chosen.misfits.items() if names]
    if told and contents.left_out and not chosen.entries:  # they may be in what was left out
        raise refused(contents.path, Format.TORCH, contents.left_out[0])
    if told:
        raise InputError(f"{contents.path} does not fit {factory}: {'; '.join(told)}; check the factory and its factory_arguments")
    _put(module, {name: entry.tensor for name, entry in chosen.entries.items()}, f"{contents.path} could not be put into {factory}")
    return _record(module, chosen, others, wrappers, contents.left_out)


def choose_module(contents: Contents, weights: str = "") -> tuple[nn.Module, Loaded] | None:
    """A whole network in a checkpoint, and where it was; None where there is none.

    Raises
    ------
    InputError
        If there is none at the place asked for, but elsewhere.
    """
    if not contents.modules:
        return None
    inside = [place for place in contents.modules if _within(place, weights)]
    if not inside:
        raise _not_there(contents, weights)
    first, *others = sorted(inside, key=_is_average)
    return contents.modules[first], Loaded(taken_from=first, also_there=tuple(others))


def likely_state(contents: Contents, weights: str = "") -> State:
    """The tensors that are likely a network's where no network tells: the largest set, and no running average if there is another.

    Raises
    ------
    InputError
        If there is none at the place asked for.
    """
    entries = _entries(contents, weights, _WRAPPERS)
    sets: dict[str, State] = {}
    for entry in entries.values():
        sets.setdefault(entry.place, {})[entry.name.removeprefix(f"{entry.place}.")] = entry.tensor
    return max(sets.items(), key=lambda one: (not _is_average(one[0]), len(one[1])), default=("", State()))[1]


def _matches(module: nn.Module, contents: Contents, weights: str, wrappers: re.Pattern[str]) -> list[_Match]:
    """What fits, the preferred one first; what comes nearest where nothing does."""
    entries = _entries(contents, weights, wrappers)
    own = {wrappers.sub("", name): (name, t) for name, t in module.state_dict().items() if isinstance(t, Tensor)}
    votes = _votes(entries, own)
    needed = sum(not _may_lack(name) for name in own)
    full = (_match(prefix, entries, own) for prefix, count in votes.items() if count >= needed)
    fitting = sorted((match for match in full if match.fits), key=lambda match: _is_average(match.prefix))
    if fitting:
        return fitting
    best = max(votes, key=lambda prefix: (votes[prefix], not _is_average(prefix)), default=None)
    if best is None:  # no name of the network's is there: what most of the tensors are called is the clearer message
        places = Counter(entry.place for entry in entries.values()).most_common(1)
        best = _stem(places[0][0]) if places else ""
    return [_match(best, entries, own)]


def _entries(contents: Contents, weights: str, wrappers: re.Pattern[str]) -> dict[str, _Entry]:
    """The tensors under a place, by their whole names without wrappers, in the order of the file."""
    stem, found = wrappers.sub("", _stem(weights)), dict[str, _Entry]()
    for place, state in contents.sets.items():
        for name, tensor in state.items():
            whole = _joined(place, name)
            if (bare := wrappers.sub("", whole)).startswith(stem):
                found.setdefault(bare, _Entry(place, whole, tensor))
    if weights and not found:
        raise _not_there(contents, weights)
    return found


def _votes(entries: Iterable[str], own: Mapping[str, object]) -> Counter[str]:
    """Prefixes after which names of the network follow, in the order of the file, each with the number of those names."""
    votes = Counter[str]()
    for name in entries:
        rest = name
        for _ in range(_LONGEST_PREFIX):
            if rest in own:
                votes[name[: len(name) - len(rest)]] += 1
            _, dot, rest = rest.partition(".")
            if not dot:
                break
    return votes


def _match(prefix: str, entries: Mapping[str, _Entry], own: Mapping[str, tuple[str, Tensor]]) -> _Match:
    after = {name.removeprefix(prefix): entry for name, entry in entries.items() if name.startswith(prefix)}
    # What lies in other dictionaries, such as an optimiser's, is nothing to the network.
    beside = {after[name].place for name in own if name in after} or {prefix.rstrip(".")}
    shapes = [name for name, (_, tensor) in own.items() if name in after and _unlike(tensor, after[name].tensor)]
    misfits = {
        "missing from the file": [name for name in own if name not in after and not _may_lack(name)],
        "unknown to the network": [name for name, entry in after.items() if name not in own and entry.place in beside],
        "of another shape": [f"{name} ({_form(after[name].tensor)} for {_form(own[name][1])})" for name in shapes],
    }
    around = [entry for entry in entries.values() if entry.place in beside]
    return _Match(prefix, {called: after[name] for name, (called, _) in own.items() if name in after}, around, misfits)


def _put(module: nn.Module, state: State, failure: str) -> None:
    try:
        module.load_state_dict(state, strict=False)
    except Exception as error:  # a network may refuse them in words of its own, and a tensor may hold no numbers
        said = (str(error).strip().splitlines() or ["no message"])[-1].strip()[-200:]
        raise InputError(f"{failure} ({said}); save its state_dict as plain tensors") from error


def _record(module: nn.Module, chosen: _Match, others: list[_Match], wrappers: re.Pattern[str], left_out: Sequence[str]) -> Loaded:
    places = {entry.place for entry in chosen.entries.values()}
    place = min(places, default="")
    bare = wrappers.sub("", _stem(place))
    inside = len(places) == 1 and chosen.prefix.startswith(bare)
    known = {id(entry.tensor) for match in (chosen, *others) for entry in match.entries.values()}
    pairs = [(chosen.entries[name].tensor, tensor) for name, tensor in module.state_dict().items() if name in chosen.entries]
    converted = {f"{_name(a.dtype)} to {_name(b.dtype)}" for a, b in pairs if a.dtype != b.dtype and _has_digits(b.dtype)}
    return Loaded(
        taken_from=place if inside else chosen.prefix.rstrip("."),
        prefix=chosen.prefix.removeprefix(bare) if inside else "",
        wrappers=tuple(sorted({found for entry in chosen.entries.values() for found in wrappers.findall(entry.name)})),
        tensors=len(chosen.entries),
        unused=sum(id(entry.tensor) not in known for entry in chosen.around),
        also_there=tuple(match.prefix.rstrip(".") for match in others),
        converted=tuple(sorted(converted)),
        left_out=tuple(left_out),
    )


def _not_there(contents: Contents, weights: str) -> InputError:
    there = dict.fromkeys(part for place, state in contents.sets.items() for part in _places(place, state))
    near = nearest(weights, there)
    shown = f"{', '.join(list(there)[:_SHOWN])}{', ...' if len(there) > _SHOWN else ''}"
    hint = f"did you mean {near!r}?" if near else "give one of them as `weights`"
    return InputError(f"{contents.path} holds no weights under {weights!r}; it has {shown}: {hint}")


def _places(place: str, state: State) -> Iterable[str]:
    """A dictionary's own place, and those that the first parts of its names make."""
    yield from filter(None, (place, *(_joined(place, name.partition(".")[0]) for name in state if "." in name)))


def _within(place: str, weights: str) -> bool:
    return _stem(place).startswith(_stem(weights))


def _stem(place: str) -> str:
    return f"{place}." if place else ""


def _joined(place: str, name: str) -> str:
    return f"{place}.{name}" if place and name else place or name


def _is_average(place: str) -> bool:
    return _AVERAGE.search(place) is not None


def _may_lack(name: str) -> bool:
    """A count of batches, which files of before 2018 lack, and which plays no part in an answer."""
    return name.rpartition(".")[2] == "num_batches_tracked"


def _unlike(own: Tensor, found: Tensor) -> bool:
    """Whether one cannot be put into the other: whole numbers in the place of weights are an encoding of them, and no weights."""
    if is_lazy(own):
        return False
    encoded = _has_digits(own.dtype) and not _has_digits(found.dtype) and found.dtype != torch.bool
    return own.shape != found.shape or own.is_complex() != found.is_complex() or encoded


def _form(tensor: Tensor) -> str:
    kind = "complex " if tensor.is_complex() else "" if _has_digits(tensor.dtype) else f"{_name(tensor.dtype)} "
    return f"{kind}{tuple(tensor.shape)}"


def _has_digits(dtype: torch.dtype) -> bool:
    return dtype.is_floating_point or dtype.is_complex


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
