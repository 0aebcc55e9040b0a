"""FieldModel: a trained model made callable on fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from probe.description import Description
from probe.errors import InputError
from probe.fields import Field, Quantity
from probe.grid import Grid
from probe.model.batching import Batches, choose_device, evaluating
from probe.model.recipe import Recipe
from probe.model.structure import pad, padding_of, stride_of
from probe.model.twin import double_copy, shuffled


class FieldModel:
    """A trained model made callable on fields: it normalises, batches, pads where the network does not, and checks.

    Parameters
    ----------
    network : nn.Module or callable
        Takes and gives a tensor (batch, channel, *grid), in the network's own normalisation.
    description : Description
    device : str
        "auto" is where the module's weights are.
    dtype : torch.dtype, optional
        By default that of the module's first floating parameter, else float32.
    batch_size : int, optional
        None: found, and halved when memory runs out.
    path, sha256, name : str
        Where it came from; the name is by default the description's.
    recipe : Recipe, optional
        How to load it again in another process.
    factory : callable, optional
        Builds the same network afresh, for the untrained twin.
    differentiable : bool
        Whether gradients pass through the network.

    Attributes
    ----------
    passes : int
        Samples that were put through the network so far.
    may_be_missing : bool
        Whether NaN is an honest answer ("not known") rather than a fault.
    """

    def __init__(
        self,
        network: Callable[[Tensor], Tensor],
        description: Description,
        *,
        device: str = "auto",
        dtype: torch.dtype | None = None,
        batch_size: int | None = None,
        path: str = "",
        sha256: str = "",
        name: str = "",
        recipe: Recipe | None = None,
        factory: Callable[[], nn.Module] | None = None,
        differentiable: bool = True,
    ) -> None:
        self.device = choose_device(device, network)
        self.network = network.to(self.device) if isinstance(network, nn.Module) and device != "auto" else network
        self.description = description
        self.dtype = dtype or _precision_of(network)
        self.path, self.sha256, self.recipe, self.factory = path, sha256, recipe, factory
        self.differentiable = differentiable
        self.may_be_missing = False
        self.passes = 0
        self._batches = Batches(batch_size)
        self._padding: int | None = None  # cells a side; None until the first answer tells
        kind = type(network).__name__
        self.class_name = kind if isinstance(network, nn.Module) else getattr(network, "__name__", kind)
        self.name = name or description.name or self.class_name

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.grid.shape))
        channels = f"{self.description.channels_in} -> {self.description.channels_out} channels"
        return f"FieldModel({self.name}: {channels} on {shape}, {self.device})"

    @property
    def grid(self) -> Grid:
        """The grid it was described with."""
        return self.description.grid

    @property
    def batch_size(self) -> int | None:
        """Samples at once; None where it is found from the size of a sample."""
        return self._batches.size

    @property
    def notes(self) -> list[str]:
        """What had to be done differently to run it, in sentences."""
        return self._batches.notes

    @property
    def parameter_count(self) -> int:
        """Number of trained parameters; 0 for a plain callable."""
        return sum(p.numel() for p in self.network.parameters()) if isinstance(self.network, nn.Module) else 0

    @cached_property
    def stride(self) -> int:
        """Total stride of the network, estimated from one pass (not counted); 1 where it cannot be told."""
        with evaluating(self.network), self._quiet_random():
            # A model that cannot be run at all says so, with its reason, when it is asked.
            with torch.no_grad(), suppress(Exception):
                self._run(self._sample())
            return stride_of(self.network, pad(self._sample(), self._padding or 0), self._padding or 0)

    def __call__(self, field: Field) -> Field:
        """The model's answer to a field, without gradients, in the model's precision and on its device.

        Parameters
        ----------
        field : Field
            With the description's channels; of the description's grid, or another of the same dimension whose sides are
            multiples of the stride. The box travels with the field.

        Raises
        ------
        InputError
            One sentence, if the field does not suit the model, or the model changes its input, raises, runs out of memory, or
            gives anything but finite numbers of the described shape.
        """
        self._check_field(field)
        values = field.values.to(self.device, self.dtype)
        with torch.no_grad(), evaluating(self.network):
            answers = self._batches.run(lambda batch: self._answer(batch, field.grid), values)
        if not self.may_be_missing and not torch.isfinite(answers).all():
            bad = int((~torch.isfinite(answers)).flatten(1).any(1).sum())
            raise InputError(
                f"the model returned NaN or infinity for {bad} of {len(answers)} inputs of rms {field.norm().max():.3g}; "
                "check its weights, and shift and scale in its description"
            )
        return Field(answers, field.grid, self.description.outputs)

    def function(self, values: Tensor) -> Tensor:
        """The same map on a bare tensor, open to gradients and unchecked.

        Parameters
        ----------
        values : Tensor, (batch, channel, *grid)
            In the units of the description's inputs.

        Returns
        -------
        Tensor, (batch, channel, *grid), in the units of the description's outputs
        """
        self.passes += len(values)
        with evaluating(self.network):
            return self._denormalised(self._run(self._normalised(values.to(self.device, self.dtype))))

    def untrained_twin(self, seed: int) -> tuple[FieldModel, str] | None:
        """The same architecture without what it learned, and how it came about.

        Returns
        -------
        (FieldModel, "initialised" or "shuffled") or None
            With a factory, built afresh under the seed; with only a module, a copy whose parameters are permuted within their
            tensors; None for a plain callable.
        """
        if not isinstance(self.network, nn.Module):
            return None
        with self._quiet_random():
            if self.factory is not None:
                torch.manual_seed(seed)  # undone on leaving the fork
                network, how = self.factory().to(self.device), "initialised"
                network = double_copy(network) if self.dtype == torch.float64 else network
            else:
                sides = (points + 2 * (self._padding or 0) for points in self.grid.shape)
                network, how = shuffled(self.network, seed, (self.description.channels_in, *sides)), "shuffled"
        recipe = replace(self.recipe, untrained_seed=seed) if self.recipe else None
        return self._with(network, recipe, f"untrained {self.name}"), how

    def to_double(self) -> FieldModel:
        """The same model in float64 throughout, complex weights too.

        Raises
        ------
        InputError
            If it is a plain callable, whose precision nobody knows.
        """
        if not isinstance(self.network, nn.Module):
            raise InputError(f"{self.name} is a plain callable, which cannot be put into double precision; give a torch module")
        recipe = replace(self.recipe, double=True) if self.recipe else None
        return self._with(double_copy(self.network), recipe, self.name)

    def _with(self, network: nn.Module, recipe: Recipe | None, name: str) -> FieldModel:
        other = copy(self)
        other.network, other.recipe, other.name, other.passes = network, recipe, name, 0
        other.dtype = _precision_of(network)
        other._batches = Batches(self.batch_size)
        return other

    def _answer(self, values: Tensor, grid: Grid) -> Tensor:
        """One batch, checked: what a wrong model does wrong is told here."""
        normalised = self._normalised(values)
        given = normalised.clone()
        answer = self._run(given)
        if not torch.equal(given, normalised):
            raise InputError("the model writes into its input; let forward begin with x = x.clone()")
        self._check_answer(answer, (len(values), self.description.channels_out, *grid.shape), tuple(values.shape))
        self.passes += len(values)
        return self._denormalised(answer).to(self.dtype)

    def _check_answer(self, answer: Any, expected: tuple[int, ...], given: tuple[int, ...]) -> None:
        if not isinstance(answer, Tensor):
            raise InputError(
                f"the model returned {_found(answer)}; expected one tensor of shape {expected}: "
                "wrap it in a module that returns only that one"
            )
        found = tuple(answer.shape)
        if answer.is_complex():
            raise InputError(f"the model returned complex numbers of shape {found}; give each part a channel of its own")
        if found != expected:
            raise InputError(
                f"the model returned the shape {found} for an input of {given}; expected {expected}: "
                "check the outputs and the grid in its description"
            )

    def _check_field(self, field: Field) -> None:
        described, grid = self.description, field.grid
        channels = field.values.shape[1]
        if grid.dimension != self.grid.dimension or channels != described.channels_in:
            raise InputError(
                f"{self.name} takes {described.channels_in} channels on a {self.grid.dimension}-dimensional grid; found {channels} "
                f"on {grid.dimension} dimensions: give it a field of the inputs that its description names"
            )
        if grid.shape != self.grid.shape and any(points % self.stride for points in grid.shape):
            raise InputError(f"{self.name} has the stride {self.stride}; found a grid of {grid.shape}: give multiples of it")
        if len(field) == 0:
            raise InputError(f"{self.name} was given no sample at all; give a field with at least one")
        if not torch.isfinite(field.values).all():
            raise InputError(f"the input of {self.name} holds NaN or infinity; give it finite numbers")

    def _run(self, given: Tensor) -> Any:
        """The network's answer to a normalised input, aligned with it; whether it needs padding is found on the first."""
        answer = self.network(pad(given, self._padding or 0))
        if self._padding is None:
            shrunk = isinstance(answer, Tensor) and answer.ndim == given.ndim and answer.shape[2:] != given.shape[2:]
            self._padding = self._find_padding() if shrunk and self.grid.boundary == "periodic" else 0
            if self._padding:
                answer = self.network(pad(given, self._padding))
        return answer

    def _find_padding(self) -> int:
        with self._quiet_random():
            padding = padding_of(self.network, self._sample())
        if padding:
            self.notes.append(f"the network does not pad: its input is padded periodically by {padding} cells on each side")
        return padding

    def _sample(self) -> Tensor:
        return torch.zeros((1, self.description.channels_in, *self.grid.shape), dtype=self.dtype, device=self.device)

    def _normalised(self, values: Tensor) -> Tensor:
        constants = self._constants(self.description.inputs)
        return values if constants is None else (values - constants[0]) / constants[1]

    def _denormalised(self, values: Tensor) -> Tensor:
        constants = self._constants(self.description.outputs)
        return values if constants is None else values * constants[1] + constants[0]

    def _constants(self, quantities: tuple[Quantity, ...]) -> tuple[Tensor, Tensor] | None:
        """Shift and scale of each channel, shaped to broadcast; None where they change nothing."""
        if all(q.shift == 0 and q.scale == 1 for q in quantities):
            return None
        pairs = [(q.shift, q.scale) for q in quantities for _ in range(q.width(self.grid))]
        constants = torch.tensor(pairs, dtype=self.dtype, device=self.device).T.reshape(2, 1, -1, *[1] * self.grid.dimension)
        return constants[0], constants[1]

    def _quiet_random(self) -> Any:
        """Random numbers drawn within leave the global generators as they were."""
        return torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else [])


def _precision_of(network: object) -> torch.dtype:
    if isinstance(network, nn.Module):
        for parameter in network.parameters():
            if parameter.is_floating_point():
                return parameter.dtype
    return torch.float32


def _found(answer: object) -> str:
    if isinstance(answer, Mapping):
        return f"a dict with the keys {', '.join(map(repr, answer))}"
    if isinstance(answer, (tuple, list)):
        return f"a {type(answer).__name__} of {len(answer)}"
    return f"an object of type {type(answer).__name__}"
