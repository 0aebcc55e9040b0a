"""What a model's answer is compared with: the simulator, the input itself, 2LPT, the best linear filter, the untrained twin.

Each control is a FieldModel, so that every probe measures it by the very code that measures the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from probe import perturbation, spectra
from probe.data import Pairs
from probe.description import Constraints, Description
from probe.errors import InputError
from probe.fields import Quantity, parts_of
from probe.grid import Grid
from probe.model import FieldModel
from probe.model.calling import found

SCALARS = ("scalar", "pseudoscalar")
ORDER = ("simulator", "identity", "lpt2", "linear_filter", "lpt2_filter", "untrained")


@dataclass(frozen=True)
class Control:
    """A control: its model, and what it is in one sentence."""

    model: FieldModel
    sentence: str


@dataclass(frozen=True)
class Absent:
    """A control that does not apply, and why."""

    reason: str


def build(name: str, model: FieldModel, pairs: Pairs | None, seed: int, beside: Iterable[str] = ()) -> Control | Absent:
    """One control for a model, by name; `beside` are names of what else may be asked for.

    Raises
    ------
    InputError
        If there is no such control.
    """
    makers: dict[str, Callable[[], Control | Absent]] = {
        "simulator": lambda: _simulator(model.description, model),
        "identity": lambda: _identity(model.description, model),
        "lpt2": lambda: _lpt2(model.description, model),
        "linear_filter": lambda: _filtered(_given(model.description, model), model, pairs, "the input itself"),
        "lpt2_filter": lambda: _filtered(_lpt2(model.description, model), model, pairs, "2LPT"),
        "untrained": lambda: _untrained(model, seed),
    }
    if name not in makers:
        raise InputError(f"there is no control {name!r}; the controls are {', '.join([*makers, *beside])}")
    return makers[name]()


def is_displacement(description: Description) -> bool:
    """Whether it maps one displacement to one displacement under gravity, so that Zel'dovich and 2LPT apply."""
    quantities = (*description.inputs, *description.outputs)
    return (
        description.truth.law == "gravity"
        and len(quantities) == 2
        and all(q.kind == "vector" and q.quantity == "displacement" for q in quantities)
        and description.grid.boundary == "periodic"
    )


def _plain(network: Callable[[Tensor], Tensor], description: Description, like: FieldModel, name: str) -> FieldModel:
    """A FieldModel of a function of physical values, on the model's device and in its precision."""
    # A plain function has no conditioning of its own; the law that its answer is held to may have.
    residual = description.constraints.residual
    code = {residual: partial(like.code[residual], **like.parameters)} if residual in like.code else {}
    return FieldModel(network, description.plain(name), code=code, device=str(like.device), dtype=like.physical_dtype)


def _identity(description: Description, like: FieldModel) -> Control | Absent:
    if not description.has_network:
        return Absent("there is no network, only latent variables that were recorded")
    if not _alike(description.inputs, description.outputs):
        return Absent("the output is not of the input's quantities")
    growth = description.truth.growth_ratio
    network = _plain(lambda values: growth * values, description, like, "identity")
    if is_displacement(description):
        return Control(network, f"the Zel'dovich approximation: the input times D(out)/D(in) = {growth:g}")
    return Control(network, "the input itself")


def _alike(some: tuple[Quantity, ...], others: tuple[Quantity, ...]) -> bool:
    """Whether two lists of quantities are of the same things in the same units."""
    return [(q.kind, q.quantity, q.unit) for q in some] == [(q.kind, q.quantity, q.unit) for q in others]


def _given(description: Description, like: FieldModel) -> Control | Absent:
    """What the best linear filter of the input acts on: the input itself, or, where that is not defined, each of its scalars."""
    itself, outs = _identity(description, like), description.outputs
    scalars = [(q, part.start) for q, part in parts_of(description.inputs, description.grid) if q.kind in SCALARS]
    if isinstance(itself, Control) or len(outs) != 1 or outs[0].kind not in SCALARS or not scalars:
        return itself
    kept, channels = (list(column) for column in zip(*scalars, strict=True))
    described = replace(description, outputs=tuple(kept), constraints=Constraints())
    return Control(_plain(lambda values: values[:, channels], described, like, "scalars"), "the input's scalars")


def _lpt2(description: Description, like: FieldModel) -> Control | Absent:
    if not is_displacement(description):
        return Absent("2LPT needs a displacement in, a displacement out and law = 'gravity' on a periodic grid")
    growth, omega_m, grid = description.truth.growth_ratio, description.truth.omega_m or 1.0, description.grid

    def second_order_added(psi: Tensor) -> Tensor:
        own = grid.of_shape(psi.shape[2:])
        delta = -perturbation.divergence(psi.double(), own)
        return growth * psi + growth**2 * perturbation.second_order(delta, own, omega_m).to(psi.dtype)

    return Control(
        _plain(second_order_added, description, like, "lpt2"), f"second-order Lagrangian perturbation theory, Omega_m = {omega_m:g}"
    )


def _filtered(base: Control | Absent, model: FieldModel, pairs: Pairs | None, of: str) -> Control | Absent:
    if isinstance(base, Absent):
        return base
    if pairs is None:
        return Absent("a best linear filter is fitted on pairs of input and truth, and there are none")
    if len(model.description.outputs) != 1 or model.description.outputs[0].is_number:
        return Absent("the best linear filter is written for one quantity that is a field")
    grid, gain = model.grid, fit_filter(base.model, pairs)

    def filtered(values: Tensor) -> Tensor:
        answer = continued(base.model.function(values), grid)
        own = grid.of_shape(answer.shape[2:])
        band = _bands(own, values.device, grid.fundamental).clamp_max(gain.shape[1] - 1)
        modes = spectra.fourier(answer, own).unflatten(1, (len(gain), -1)) * gain.to(values.device, values.dtype)[:, None, band]
        inside = tuple(slice(points) for points in values.shape[2:])
        return torch.fft.irfftn(modes.sum(1), s=own.shape, dim=own.axes)[(..., *inside)]

    sentence = f"the best linear filter H(k) of {of}: {gain.numel()} numbers, fitted on these {len(pairs)} pairs"
    mirrored = "" if grid.boundary == "periodic" else "; the field is mirrored at the walls"
    return Control(_plain(filtered, model.description, model, "linear filter"), sentence + mirrored)


def continued(values: Tensor, grid: Grid) -> Tensor:
    """The field as one period of a periodic one: itself, or with its mirror image behind each wall of a box that is not periodic.

    Mirrored fields have no jumps, an isotropic filter keeps them mirrored, and every error in the box stands 2^D times in them:
    the best filter of the mirrored field is the best of the field among those that mirror it at the walls.
    """
    if grid.boundary == "periodic":
        return values
    for axis in grid.axes:
        values = torch.cat([values, values.flip(axis)], axis)
    return values


# With several scalars x_i the best filters of band b solve sum_j <x_i x_j>_b H_j = <x_i y>_b (Wiener's of many inputs). Each x_i is
# divided by its rms there, so that units do not matter; where one is a sum of others, the smallest H of all that solve it is taken.
def fit_filter(base: FieldModel, pairs: Pairs) -> Tensor:
    """H(k) = P_{base,true} / P_base over the pairs, in bands of width k_F out to the corner of k-space, one for each quantity of
    the base that is filtered: (quantities, bands), float64.

    It minimises the error power of every band among all H(k) constant on it; in a box that is not periodic, of the fields
    mirrored at its walls.
    """
    first = continued(pairs[0][1].values, base.grid)
    grid = base.grid.of_shape(first.shape[2:])
    band = _bands(grid, "cpu", base.grid.fundamental)
    count = base.description.channels_out // first.shape[1]
    cross, auto = (torch.zeros(*size, int(band.max()) + 1, dtype=torch.float64) for size in ((count,), (count, count)))
    for given, truth in pairs:
        fields = (continued(values.cpu().double(), base.grid) for values in (base(given).values, truth.values))
        a, b = (spectra.fourier(values, grid).unflatten(1, (-1, first.shape[1])) for values in fields)
        for i, x in enumerate(a.unbind(1)):
            for other, total in [(b[:, 0], cross[i]), *zip(a.unbind(1), auto[i], strict=True)]:
                product = (x * other.conj()).real.sum((0, 1)) * grid.hermitian_weight()
                total.index_add_(0, band.flatten(), product.flatten())
    power = auto.diagonal().T
    # A band that holds nothing but the rounding of float32 files, such as k = 0, has no gain.
    held = power > 1e-12 * power.sum(1, keepdim=True)
    scale = torch.where(held, power.clamp_min(1e-300).rsqrt(), 0.0)
    alike = (auto * scale * scale[:, None]).permute(2, 0, 1)
    gain = scale * (torch.linalg.pinv(alike, hermitian=True, rtol=1e-10) @ (cross * scale).T[..., None])[..., 0].T
    return torch.where(held, gain, float(_alike(base.description.outputs, pairs.description.outputs)))


def _bands(grid: Grid, device: torch.device | str, width: float) -> Tensor:
    return torch.floor(grid.wavenumber(device) / width + 0.5 + 1e-9).long()


def _untrained(model: FieldModel, seed: int) -> Control | Absent:
    twin = model.untrained_twin(seed)
    if twin is None:
        return Absent("a bare callable has no weights to draw again")
    return Control(twin[0], f"the same architecture, {twin[1]} under seed {seed}")


def _simulator(description: Description, like: FieldModel) -> Control | Absent:
    if (law := like.code.get(description.truth.law)) is not None:
        return _lawful(law, description, like)
    if not description.truth.answers:
        return Absent("the model ships no answers of its simulator")
    path = answers_path(description)
    try:
        stored = np.load(path, allow_pickle=False)
        given, answers = (torch.from_numpy(stored[key]) for key in ("input", "output"))
        channels = (description.channels_in, description.channels_out)
        for array, width in zip((given, answers), channels, strict=True):
            if array.shape != (len(given), width, *description.grid.shape):
                raise ValueError(f"one has the shape {tuple(array.shape)}")
    except Exception as fault:  # zipfile, zlib and numpy raise many kinds on damaged files
        raise InputError(f"{path} should hold the simulator's answers as arrays `input` and `output` ({fault})") from None
    lookup = _plain(Answers(given, answers, description.grid), description, like, "simulator")
    lookup.may_be_missing = True
    return Control(lookup, f"the simulator's own answers to {len(given)} made inputs, where they were run; elsewhere it is silent")


def _lawful(law: Callable[..., object], description: Description, like: FieldModel) -> Control:
    """The law as a simulator that answers everything; what it has no finite answer to, it is silent about."""
    name, width = description.truth.law, description.channels_out

    def applied(values: Tensor) -> Tensor:
        try:
            answer = law(values.clone(), **like.parameters)
        except InputError:
            raise
        except Exception as error:  # the law is the user's, and may raise anything
            raise InputError(f"the law {name} raised {type(error).__name__} ({error}); mend it there") from error
        expected = (len(values), width, *values.shape[2:])
        if not isinstance(answer, Tensor) or tuple(answer.shape) != expected:
            raise InputError(f"the law {name} returned {found(answer)}; expected one tensor of shape {expected}")
        return answer

    truth = _plain(applied, description, like, "simulator")
    truth.may_be_missing = True
    return Control(truth, f"the law itself, {name}, applied to every made input")


def answers_path(description: Description) -> Path:
    """Where the simulator's answers lie: beside the description."""
    return Path(description.source).parent / description.truth.answers


class Answers:
    """Stored answers as a function: an input that was run gets its answer, any other NaN.

    In a periodic box an input may be moved by whole cells, and its answer moves with it.

    Parameters
    ----------
    given, answers : Tensor, (n, channel, *grid.shape)
    """

    tolerance = 1e-4

    def __init__(self, given: Tensor, answers: Tensor, grid: Grid) -> None:
        self.given, self.answers, self.grid = given.double(), answers.double(), grid
        self.modes = spectra.fourier(self.given, grid)
        # The power of every mode does not move with the field: it finds the candidates without trying shifts.
        self.signature = self.modes.abs().square().sum(1).flatten(1)

    def __call__(self, values: Tensor) -> Tensor:
        return torch.stack([self._one(sample.double().cpu()) for sample in values]).to(values)

    def _one(self, sample: Tensor) -> Tensor:
        if sample.shape != self.given.shape[1:]:
            return sample.new_full((self.answers.shape[1], *sample.shape[1:]), torch.nan)
        modes = spectra.fourier(sample, self.grid)
        signature = modes.abs().square().sum(0).flatten()
        far = (self.signature - signature).norm(dim=1) > 4 * self.tolerance * signature.norm()
        for index in torch.nonzero(~far).flatten().tolist():
            shift = self._shift(modes, self.modes[index])
            moved = torch.roll(self.given[index], shift, self.grid.axes)
            if (moved - sample).norm() <= self.tolerance * sample.norm():
                return torch.roll(self.answers[index], shift, self.grid.axes)
        return torch.full_like(self.answers[0], torch.nan)

    def _shift(self, modes: Tensor, stored: Tensor) -> list[int]:
        """By how many cells along each axis a field is a stored one moved, if it is."""
        if self.grid.boundary != "periodic":
            return [0] * self.grid.dimension
        correlation = torch.fft.irfftn((modes * stored.conj()).sum(0), s=self.grid.shape)
        return [int(cells) for cells in np.unravel_index(int(correlation.argmax()), self.grid.shape)]
