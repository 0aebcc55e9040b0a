"""Live modules: wrapped where they are, or saved so that the command line finds everything it needs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast, get_args

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from probe.description import Description, likely_channels, write_description
from probe.errors import InputError
from probe.fields import Kind, Quantity
from probe.grid import Grid
from probe.loading.checkpoints import Contents
from probe.loading.code import build, code_name, import_object
from probe.loading.load import beside, named_code
from probe.loading.permission import allow
from probe.loading.weights import fill
from probe.model import FieldModel

Shape = Grid | int | Sequence[int]
What = str | Quantity | Sequence[str | Quantity]


def wrap(
    network: Callable[[Tensor], Tensor],
    grid: Shape,
    input: What = "vector",
    output: What = "vector",
    *,
    factory: Callable[[], nn.Module] | None = None,
    adapter: Callable[..., Any] | None = None,
    law: Callable[..., Any] | None = None,
    device: str = "auto",
    dtype: torch.dtype | None = None,
    batch_size: int | None = None,
    **about: Any,
) -> FieldModel:
    """Make a live module, or a function of tensors, callable on fields.

    Parameters
    ----------
    network : nn.Module or callable
        (batch, channel, *grid) -> the same, on tensors.
    grid : Grid, int or sequence of int
        A number of points is a cube of the dimension that the weights suggest; box = N cells where none is given.
    input, output : kind, Quantity, or a sequence of them
    factory : callable, optional
        Builds the same network afresh, for the untrained twin.
    adapter : callable, optional
        `adapter(network, values, **parameters)` calls the network: (batch, channel, *grid) -> the same.
    law : callable, optional
        The truth of any input, (batch, channel, *grid) -> the same in physical units: of tensors if annotated so, else of arrays.
    device : str
        "auto" leaves it where it is.
    dtype, batch_size
        As in FieldModel.
    **about
        Other parts of a Description: name, call, truth, symmetries, data, conditioning, representation.

    Raises
    ------
    InputError
        If the grid or a kind is none.
    """
    live = {key: thing for key, thing in (("live:adapter", adapter), ("live:law", law)) if thing is not None}
    description = _describe(network, grid, input, output, about)
    if law is not None:
        description = replace(description, truth=replace(description.truth, law="live:law"))
    if adapter is not None:
        description = replace(description, adapter="live:adapter")
    digest = _sha256_of_weights(network) if isinstance(network, nn.Module) else ""
    code = named_code(description, live=live)
    return FieldModel(
        network, description, code=code, device=device, dtype=dtype, batch_size=batch_size, sha256=digest, factory=factory
    )


def save(
    network: nn.Module,
    path: str | os.PathLike[str],
    factory: str | Callable[..., nn.Module],
    grid: Shape,
    input: What = "vector",
    output: What = "vector",
    factory_arguments: dict[str, Any] | None = None,
    **about: Any,
) -> Path:
    """Write a network's state_dict, and its description beside it, so that `probe run all --model PATH` works.

    Parameters
    ----------
    path : path
        NAME.pt, or NAME.safetensors; the description is NAME.probe.toml, and is allowed on this machine.
    factory : str or callable
        What builds the network: importable where it will be used, or its name `module:object`.
    factory_arguments : dict, optional
        Numbers, texts, lists and tables.
    grid, input, output, **about
        As in `wrap`.

    Returns
    -------
    Path
        Of the description.

    Raises
    ------
    InputError
        If what the factory builds is not such a network, or the files cannot be written.
    """
    path, arguments = Path(path), factory_arguments or {}
    name = factory if isinstance(factory, str) else code_name(factory)
    if not name:
        raise InputError(f"the factory {factory!r} has no name that can be imported; define it at the top level of a module")
    state = {key: tensor.detach().cpu() for key, tensor in network.state_dict().items()}
    with torch.random.fork_rng(devices=[]):
        built = build(import_object(name) if isinstance(factory, str) else factory, arguments, name)
        fill(built, Contents(path, {"": state}), name)
    description = _describe(network, grid, input, output, {"factory": name, "factory_arguments": arguments} | about)
    _write(state, path)
    write_description(description, beside(path))
    allow(beside(path))
    return beside(path)


def _describe(network: object, grid: Shape, input: What, output: What, about: dict[str, Any]) -> Description:
    lattice = _grid(network, grid)
    return Description(lattice, _quantities(input, "input"), _quantities(output, "output"), **about)


def _grid(network: object, grid: Shape) -> Grid:
    if isinstance(grid, Grid):
        return grid
    if isinstance(grid, int):
        likely = likely_channels(network.state_dict(), network) if isinstance(network, nn.Module) else None
        if likely is None:
            raise InputError(f"grid = {grid} tells no dimension, nor do the weights; give a shape such as ({grid}, {grid})")
        grid = (grid,) * likely.dimension
    try:
        return Grid(tuple(grid), tuple(float(points) for points in grid))
    except (ValueError, TypeError) as error:
        raise InputError(f"{grid!r} is no grid ({error}); give a Grid, or the points along each axis") from error


def _quantities(what: What, name: str) -> tuple[Quantity, ...]:
    if isinstance(what, Quantity):
        return (what,)
    if isinstance(what, str):
        if what not in get_args(Kind):
            raise InputError(f"{name} is {what!r}; expected a Quantity or a kind: {', '.join(get_args(Kind))}")
        return (Quantity(name, cast(Kind, what)),)
    return tuple(q for i, one in enumerate(what) for q in _quantities(one, f"{name}_{i}"))


def _write(state: dict[str, Tensor], path: Path) -> None:
    partial = path.with_name(path.name + ".partial")
    try:
        if path.suffix == ".safetensors":
            # safetensors refuses tensors that share memory, as tied weights do.
            save_file({key: tensor.clone().contiguous() for key, tensor in state.items()}, partial)
        else:
            with partial.open("wb") as file:
                torch.save(state, file)
        os.replace(partial, path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; give a folder that can be written to") from error


def _sha256_of_weights(network: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        if isinstance(tensor, Tensor):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
