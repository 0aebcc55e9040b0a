"""Inputs that excite a number of a model the most, among all that have the power of real inputs.

A field is a sum of modes whose sizes are held: of a vector |a_k| along k and |a_k| across it, each the root of what the inputs
have on average. Only phases are free (across k in three dimensions the direction as well). For y with the gradient G at the
present field the best of these fields to first order is

    a_k = |a_k| G(k) / |G(k)|,    sum over k of Re[a_k conj(G(k))] = sum over k of |a_k| |G(k)|,

all phases aligned with the gradient's: of a linear y the optimum, in one step (the matched filter). For any convex y each such
step climbs (generalised power method: M. Journee et al. 2010, JMLR 11, 517); where y is not, the step is shortened along the arc
from the present phases until it does. Modes at Nyquist are left empty, and means and numbers stay as they are in the input that
it is about.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor, nn

from probe import spectra
from probe.controls import Absent, build
from probe.coupling import is_displacement, standing_in
from probe.derivatives import Function, gradient
from probe.description import names_code
from probe.ensemble import Ensemble, by_bin, ensemble_of
from probe.equivariance import test_field
from probe.errors import InputError
from probe.fields import Field, parts_of
from probe.latents.parts import watched
from probe.parameters import nearest
from probe.targets import density_of, function_of, parse, slice_of
from probe.waves import below_nyquist

if TYPE_CHECKING:
    from probe.contract import Subject

SHORTEST = 2**-6  # of a whole step
NOTHING = 1e-10  # of a mode
ENOUGH = 1e-4  # of what was gained so far: a step that gains less is the last


@dataclass(frozen=True)
class ExciteCase:
    """What is to be excited, and how often it is tried.

    Attributes
    ----------
    target : str
        As in `probe.targets`; empty where a layer is asked.
    layer : str
        Dotted name of a submodule.
    channel : int
        Of the layer; -1 for the mean square of all.
    samples : int
        Inputs whose power is taken, and to which it is compared.
    starts, steps : int
    """

    target: str
    layer: str
    channel: int
    samples: int
    starts: int
    steps: int


@dataclass(frozen=True)
class Excited:
    """What came of it, by start.

    Attributes
    ----------
    values : ndarray, (start, step + 1)
        From random phases on; what was reached stays to the end.
    usual : ndarray, (sample,)
        The same of real inputs, moved to the mean of the one that it is about.
    truth : ndarray, (start,)
        What the truth makes of the inputs found; NaN where there is none.
    alike : ndarray, (start,)
        Correlation of each input found with the best; of a target without a place the largest over all shifts of it.
    listened : ndarray, (start, bin)
        Sum over a bin of Re[a conj(G)], the share that each |k| has in the excitation.
    cuts : ndarray, (start, u, v)
        The inputs found as one scalar, in a plane through the middle.
    power, wanted : ndarray, (shell,)
        Power of the best one, and of real inputs, of the first field.
    """

    values: ndarray
    usual: ndarray
    truth: ndarray
    alike: ndarray
    listened: ndarray
    cuts: ndarray
    power: ndarray
    wanted: ndarray


def no_layer(network: object, name: str) -> str:
    """Why a network has no layer of that name; empty where it has."""
    if not isinstance(network, nn.Module):
        return "it is a plain function, which has no layers; give it as a torch module, or ask for a target"
    names = [known for known, _ in network.named_modules() if known]
    if name in names:
        return ""
    return f"there is no layer {name!r}{nearest(name, names)}; it has {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}"


def layer_function(subject: Subject, name: str, channel: int) -> Function:
    """Mean of a channel of a layer's output over points, or the mean square of all channels: -> (batch,), float64.

    The function raises InputError if the layer is not run, gives no tensor, or has no such channel.
    """
    network = subject.model.network
    assert isinstance(network, nn.Module)

    def function(values: Tensor) -> Tensor:
        with watched(network.get_submodule(name)) as kept:
            subject.model.function(values)
        if not kept:
            raise InputError(f"the layer {name!r} is not run in a forward pass; name one that is")
        # A layer that is run several times is seen the last time.
        answer = _tensor(kept[-1], name).double()
        seen = answer.reshape(len(values), -1, *answer.shape[2:]).flatten(2)
        if channel >= seen.shape[1]:
            raise InputError(f"the layer {name!r} has {seen.shape[1]} channels, counted from 0; found channel {channel}")
        return seen.square().mean((1, 2)) if channel < 0 else seen[:, channel].mean(1)

    return function


def _tensor(output: object, name: str) -> Tensor:
    """The first tensor of what a layer gives; of complex numbers their sizes."""
    first = output
    while isinstance(first, (tuple, list)) and first:
        first = first[0]
    if not isinstance(first, Tensor):
        raise InputError(f"the layer {name!r} gives a {type(first).__name__}; name one that gives a tensor")
    return first.abs() if first.is_complex() else first


def excite(subject: Subject, case: ExciteCase) -> Excited:
    """Climb from several random starts."""
    ensemble, grid = ensemble_of(subject, case.samples), subject.grid
    about = test_field(subject, 0)[0].to(subject.model.device, subject.model.physical_dtype)
    function = layer_function(subject, case.layer, case.channel) if case.layer else function_of(subject, parse(case.target), 0)
    truth = None if case.layer else truth_of(subject)
    found: list[tuple[list[float], Tensor, ndarray]] = []
    for start in range(case.starts):
        generator = subject.rng(f"start {start}")
        noise = torch.randn(about.values.shape, generator=generator, dtype=torch.float64).to(about.values.device)
        found.append(_climb(function, shaped(spectra.fourier(noise, grid), ensemble), about, ensemble, case.steps))
    best = max(found, key=lambda one: one[0][-1])[1]
    fields = [Field(x, grid, about.quantities) for _, x, _ in found]
    local = bool(case.target) and parse(case.target).is_local
    return Excited(
        values=np.array([values for values, _, _ in found]),
        usual=np.array([_value(function, _moved(test_field(subject, place)[0], about)) for place in range(case.samples)]),
        truth=np.array([np.nan if truth is None else _truth(truth[1], case, field.values) for field in fields]),
        alike=np.array([_alike(field.values, best, field, local) for field in fields]),
        listened=np.array([listened for _, _, listened in found]),
        cuts=np.array([slice_of(_shown(field)) for field in fields]),
        power=spectra.power(Field(best, grid, about.quantities).part()[1].double(), grid)[0].cpu().numpy(),
        wanted=_wanted(ensemble, about),
    )


def _climb(function: Function, modes: Tensor, about: Field, ensemble: Ensemble, steps: int) -> tuple[list[float], Tensor, ndarray]:
    """Values from the start on, the input reached, and Re[a conj(G)] by bin there."""
    grid, at = about.grid, _made(modes, about)
    values, listened = [_value(function, at)], np.zeros(0)
    moving = True
    for _ in range(steps + 1):
        pull = spectra.fourier(gradient(function, at).double(), grid)
        product = (modes * pull.conj()).real.sum((0, 1)) / grid.size * grid.hermitian_weight(pull.device)
        listened = by_bin(product, grid).cpu().numpy()
        if not moving or len(values) > steps:
            break
        step, before = 1.0, values[-1]
        goal = shaped(pull, ensemble, modes)
        while step >= SHORTEST:
            tried = goal if step == 1.0 else shaped((1 - step) * modes + step * goal, ensemble, modes)
            reached = _value(function, _made(tried, about))
            if reached > before:
                modes, at = tried, _made(tried, about)
                break
            step /= 2
        values.append(max(reached, before))
        moving = reached > before and reached - before > ENOUGH * abs(reached - values[0])
    return values + [values[-1]] * (steps + 1 - len(values)), at, listened


def shaped(modes: Tensor, ensemble: Ensemble, otherwise: Tensor | None = None) -> Tensor:
    """Modes with the phases of those given and the sizes of the ensemble, along k and across it; empty at Nyquist and at k = 0.

    Parameters
    ----------
    modes, otherwise : Tensor, (1, channel, *half_shape), complex
        Plain transforms; the phases of the second where the first has none, and nothing without a second.
    """
    grid, device = ensemble.grid, modes.device
    keep, result = below_nyquist(grid, device), torch.zeros_like(modes)
    parts = parts_of(ensemble.quantities, grid)
    for (quantity, part), (ahead, beside) in zip(parts, ensemble.sizes(device), strict=True):
        blocks = _blocks(modes[:, part], quantity.is_vector, ensemble)
        instead = _blocks(modes[:, part] * 0 if otherwise is None else otherwise[:, part], quantity.is_vector, ensemble)
        total, whole = torch.zeros_like(modes[:, part]), modes[:, part].abs().square().sum(1, keepdim=True).sqrt()
        count = max(grid.dimension - 1, 1)
        for block, other, size in zip(blocks, instead, (ahead, beside * count), strict=False):
            length = block.abs().square().sum(1, keepdim=True).sqrt()
            spare = other.abs().square().sum(1, keepdim=True).sqrt()
            # What is left across k of something that lies along it is rounding, and has no direction.
            own = length > NOTHING * whole
            unit = torch.where(own, block / length.clamp_min(1e-300), other / spare.clamp_min(1e-300))
            total = total + unit * size.sqrt() * grid.size
        result[:, part] = total * keep
    return result


def _blocks(modes: Tensor, is_vector: bool, ensemble: Ensemble) -> tuple[Tensor, ...]:
    """The parts whose size is held, of a vector that along k and that across it: (1, width, *half_shape) each."""
    if not is_vector:
        return (modes,)
    grid = ensemble.grid
    norm = grid.wavenumber(modes.device).clone()
    norm[(0,) * grid.dimension] = 1
    ahead = torch.stack([(k / norm).expand(grid.half_shape) for k in grid.wavevectors(modes.device)])
    along = ahead * spectra.longitudinal(modes, grid)[:, None]
    return (along, modes - along) if grid.dimension > 1 else (along,)


def _made(modes: Tensor, about: Field) -> Tensor:
    """The field of modes on the means of the input that it is about; numbers stay."""
    grid = about.grid
    values = torch.fft.irfftn(modes, s=grid.shape, dim=grid.axes) + about.values.double().mean(grid.axes, keepdim=True)
    return values.to(about.values)


def _moved(given: Field, about: Field) -> Tensor:
    """An input with the means and numbers of another, which the search holds too."""
    axes, values = given.grid.axes, given.values.to(about.values)
    return values - values.mean(axes, keepdim=True) + about.values.mean(axes, keepdim=True)


def _value(function: Function, values: Tensor) -> float:
    with torch.no_grad():
        value = float(function(values))
    if not math.isfinite(value):
        raise InputError(f"it comes to {value} for an input that has the power of real ones; check the model's weights")
    return value


def _wanted(ensemble: Ensemble, about: Field) -> ndarray:
    """Power of the first field by shell, were every mode of just the ensemble's size."""
    grid, place = about.grid, about.quantities.index(about.part()[0])
    ahead, beside = ensemble.sizes()[place]
    count = max(grid.dimension - 1, 1) if about.quantities[place].is_vector else 0
    shells = grid.shells()
    total = (ahead + count * beside) * below_nyquist(grid)
    return (shells.sum(total, grid) / shells.modes * grid.volume).numpy()


# Modes of the sum over x of f(x) g(x + t) are conj(f(k)) g(k): one transform holds the correlation at every shift.
def _alike(values: Tensor, best: Tensor, like: Field, local: bool) -> float:
    """Correlation of two inputs about their means, mean over their fields; without `local` the largest over all shifts."""
    grid, total = like.grid, torch.zeros((), dtype=torch.float64)
    fields = 0
    for quantity, part in like.parts():
        if quantity.is_number:
            continue
        a, b = (x[:, part].double() - x[:, part].double().mean(grid.axes, keepdim=True) for x in (values, best))
        product = torch.fft.irfftn((spectra.fourier(a, grid).conj() * spectra.fourier(b, grid)).sum((0, 1)), s=grid.shape)
        total = total.to(product.device) + product / (a.norm() * b.norm()).clamp_min(1e-300)
        fields += 1
    return float(total.flatten()[0] if local else total.max()) / max(fields, 1)


def _shown(field: Field) -> Tensor:
    """The first field as one scalar: of a displacement its overdensity, of other vectors the first component: (*grid,)."""
    quantity, values = field.part()
    return density_of(field)[0] if is_displacement(quantity) else values[0, 0].double()


def truth_of(subject: Subject) -> tuple[str, Subject] | None:
    """Whose answer an input found is held against, and that in the model's place: the law, else 2LPT under gravity."""
    law = names_code(subject.description.truth.law)
    control = build("simulator" if law else "lpt2", subject.model, subject.pairs, 0)
    if isinstance(control, Absent):
        return None
    return ("the law" if law else "2LPT"), standing_in(subject, control.model)


def _truth(truth: Subject, case: ExciteCase, values: Tensor) -> float:
    with torch.no_grad():
        return float(function_of(truth, parse(case.target), 0)(values.to(truth.model.device, truth.model.physical_dtype)))
