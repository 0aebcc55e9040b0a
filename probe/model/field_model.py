"""FieldModel: a trained model made callable on fields."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import copy, deepcopy
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from probe.description import Description
from probe.errors import InputError
from probe.fields import Field
from probe.grid import Grid
from probe.model import checks
from probe.model.batching import Batches, choose_device, evaluating
from probe.model.calling import Caller
from probe.model.normalisation import Normalisation
from probe.model.recipe import Recipe
from probe.model.structure import pad, padding_of, precision_of, stride_of
from probe.model.twin import double_copy, shuffled


class FieldModel:
    """A trained model made callable on fields: it normalises, batches, pads where the network does not, and checks.

    Parameters
    ----------
    network : nn.Module or callable
        Takes and gives a tensor (batch, channel, *grid), in the network's own normalisation; another way of calling it is said
        in the description.
    description : Description
    code : mapping of str to callable
        What the description's names `module:object` stand for: adapter, transforms, law, pairs.
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
    loaded : mapping, optional
        What was read from which file, for the record.

    Attributes
    ----------
    parameters : dict of str to float
        The conditioning it is asked under; `at` gives the model under another.
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
        code: Mapping[str, Callable[..., Any]] | None = None,
        device: str = "auto",
        dtype: torch.dtype | None = None,
        batch_size: int | None = None,
        path: str = "",
        sha256: str = "",
        name: str = "",
        recipe: Recipe | None = None,
        factory: Callable[[], nn.Module] | None = None,
        differentiable: bool = True,
        loaded: Mapping[str, Any] | None = None,
    ) -> None:
        self.device = choose_device(device, network)
        self.network = network.to(self.device) if isinstance(network, nn.Module) and device != "auto" else network
        self.description = description
        self.dtype = dtype or precision_of(network)
        self.path, self.sha256, self.recipe, self.factory = path, sha256, recipe, factory
        self.differentiable, self.loaded = differentiable, dict(loaded or {})
        self.code = dict(code or {})
        self.parameters = {name: float(one["default"]) for name, one in description.conditioning.items()}
        self.may_be_missing = False
        self._chosen: frozenset[str] = frozenset()  # parameters that `at` set, whatever a field brings along
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
    def physical_dtype(self) -> torch.dtype:
        """Of values in physical units: the network's own, and never narrower than float32, since units make any size."""
        return torch.promote_types(self.dtype, torch.float32)

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
            return stride_of(self._call, pad(self._sample(), self.padding), self.padding)

    @property
    def padding(self) -> int:
        """Cells of periodic copies put around the field on each side for a network that does not pad; 0 before the first answer."""
        return self._padding or 0

    def at(self, **parameters: float) -> FieldModel:
        """The same model under another conditioning; parameters not given keep their value.

        Raises
        ------
        InputError
            If it has no such parameter.
        """
        for name in parameters:
            if name not in self.parameters:
                known = ", ".join(self.parameters) or "none"
                raise InputError(
                    f"{self.name} is not conditioned on {name!r} (its parameters: {known}); describe it in [conditioning]"
                )
        other = copy(self)
        other.parameters, other._chosen = self.parameters | parameters, self._chosen | set(parameters)
        other.recipe = replace(self.recipe, parameters=tuple(other.parameters.items())) if self.recipe else None
        return other

    def __call__(self, field: Field) -> Field:
        """The model's answer to a field, without gradients, in the model's precision and on its device.

        Parameters
        ----------
        field : Field
            With the description's channels; of the description's grid, or another of the same dimension whose sides are
            multiples of the stride. The box travels with the field, and so does its conditioning.

        Raises
        ------
        InputError
            One sentence, if the field does not suit the model, or the model changes its input, raises, runs out of memory, or
            gives anything but finite numbers of the described shape.
        """
        checks.check_field(field, self.description, self.name)
        if field.grid.shape != self.grid.shape and any(points % self.stride for points in field.grid.shape):
            raise InputError(f"{self.name} has the stride {self.stride}; found a grid of {field.grid.shape}: give multiples of it")
        answers = self.over(lambda batch: self._answer(batch, field.grid), field)
        if not self.may_be_missing:
            checks.check_finite(answers, field)
        return Field(answers, field.grid, self.description.outputs)

    def over(self, function: Callable[..., Tensor], field: Field, *beside: Tensor) -> Tensor:
        """Another function over a field's samples, and over what goes with each: batch by batch, without gradients.

        The model is in eval mode and under the field's conditioning meanwhile; passes are for the function to count.
        """
        values = field.values.to(self.device, self.physical_dtype)
        with torch.no_grad(), evaluating(self.network), self._under(field):
            return self._batches.run(function, values, *beside)

    def seen(self, values: Tensor) -> Tensor:
        """Values in physical units as the network sees them."""
        return self._side("input").inward(values.to(self.device, self.physical_dtype)).to(self.dtype)

    def meant(self, answer: Any, values: Tensor) -> Tensor:
        """What an answer that a part of the network gives means, in physical units, where `values` were put in.

        Raises
        ------
        InputError
            If it has not the described shape.
        """
        answer = self.caller.shaped(answer, values, bare=True)
        checks.check_answer(answer, (len(values), self.description.channels_out, *values.shape[2:]), tuple(values.shape))
        return self._physical(answer, values)

    def parameters_for(self, field: Field) -> dict[str, float]:
        """The conditioning that it is asked under about a field: the field's own, but for what `at` set."""
        own = {name: value for name, value in field.conditioning if name in self.parameters and name not in self._chosen}
        return self.parameters | own

    @contextmanager
    def _under(self, field: Field) -> Iterator[None]:
        home, self.parameters = self.parameters, self.parameters_for(field)
        try:
            yield
        finally:
            self.parameters = home

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
            values = values.to(self.device, self.physical_dtype)
            return self._physical(self._run(self.seen(values)), values)

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
                sides = (points + 2 * self.padding for points in self.grid.shape)
                network, how = shuffled(self.network, seed, (self.description.channels_in, *sides), self.caller), "shuffled"
        recipe = replace(self.recipe, untrained_seed=seed) if self.recipe else None
        return self._with(network, recipe, f"untrained {self.name}"), how

    def redrawn(self, seed: int, only: Collection[str]) -> FieldModel:
        """A copy of a torch module in which the named parameters are permuted within their tensors (see `untrained_twin`)."""
        if not isinstance(self.network, nn.Module):
            raise InputError(f"{self.name} is a plain callable, whose weights nobody can draw again; give a torch module")
        shape = (self.description.channels_in, *(points + 2 * self.padding for points in self.grid.shape))
        with self._quiet_random():
            return self._with(shuffled(self.network, seed, shape, self.caller, only), None, f"redrawn {self.name}")

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
        other = self._with(double_copy(self.network), recipe, self.name)
        other.dtype = torch.float64  # a network without parameters does not say so itself
        return other

    def asked(self, batch_size: int | None = None, device: str = "") -> FieldModel:
        """The same model asked so many samples at once, or a copy of it on another device."""
        other = copy(self)
        if device:
            other.device = choose_device(device)
            other.network = deepcopy(self.network).to(other.device) if isinstance(self.network, nn.Module) else self.network
        other._batches = Batches(batch_size or self.batch_size)
        return other

    def _with(self, network: nn.Module, recipe: Recipe | None, name: str) -> FieldModel:
        other = copy(self)
        other.network, other.recipe, other.name, other.passes = network, recipe, name, 0
        other.dtype = precision_of(network)
        other._batches = Batches(self.batch_size)
        return other

    def _answer(self, values: Tensor, grid: Grid) -> Tensor:
        """One batch, checked: what a wrong model does wrong is told here."""
        normalised = self.seen(values)
        given = normalised.clone()
        answer = self._run(given)
        if not torch.equal(given, normalised):
            raise InputError("the model writes into its input; let forward begin with x = x.clone()")
        checks.check_answer(answer, (len(values), self.description.channels_out, *grid.shape), tuple(values.shape))
        self.passes += len(values)
        return self._physical(answer, values).to(self.physical_dtype)

    def _physical(self, answer: Tensor, values: Tensor) -> Tensor:
        """The network's answer in physical units, added to the input where it predicts a residual."""
        answer = self._side("output").outward(answer.to(values.dtype))
        return answer + values[:, : answer.shape[1]] if self.description.call.residual else answer

    def _run(self, given: Tensor) -> Any:
        """The network's answer to a normalised input, aligned with it; whether it needs padding is found on the first."""
        answer = self._call(pad(given, self.padding))
        if self._padding is None:
            shrunk = isinstance(answer, Tensor) and answer.ndim == given.ndim and answer.shape[2:] != given.shape[2:]
            self._padding = self._find_padding() if shrunk and self.grid.boundary == "periodic" else 0
            if self._padding:
                answer = self._call(pad(given, self._padding))
        return answer

    def _call(self, given: Tensor) -> Any:
        return self.caller(self.network, given)

    @property
    def caller(self) -> Caller:
        """How the network is called now."""
        return Caller(self.description, self.parameters, self.code.get(self.description.adapter))

    def _side(self, side: str) -> Normalisation:
        quantities = self.description.inputs if side == "input" else self.description.outputs
        return Normalisation(quantities, self.grid, self.parameters, self.code)

    def _find_padding(self) -> int:
        with self._quiet_random():
            padding = padding_of(self._call, self._sample())
        if padding:
            self.notes.append(f"the network does not pad: its input is padded periodically by {padding} cells on each side")
        return padding

    def _sample(self) -> Tensor:
        return torch.zeros((1, self.description.channels_in, *self.grid.shape), dtype=self.dtype, device=self.device)

    def _quiet_random(self) -> Any:
        """Random numbers drawn within leave the global generators as they were."""
        return torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else [])
