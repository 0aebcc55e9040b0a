"""The rows of the table: clean models, and defects at a strength.

Each row stands on one of three grids: `cube`, displacements under gravity on 16^3; `square`, a scalar with a law of its own on
32^2; `trained`, the zoo's network on 32^3. Defects stand behind a right answer: 2LPT on the cube, a smoothed field and a
little of its square on the square.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from probe.description import Constraints, Cosmology, DataSource, Symmetries, Truth
from probe.grid import Grid
from probe.loading import load
from probe.model import FieldModel, double_copy
from probe.waves import gaussian_field
from probe.zoo import defects as d
from probe.zoo.architectures import FNO, ResidualUNet
from probe.zoo.clean import GroupAverage, SmoothedSquare, Unstrided
from probe.zoo.gravity_defects import Miscoupled, Saturating
from probe.zoo.oracles import PSI, Filter, SecondOrder, gaussian_gain
from tests.models import CUBE, SQUARE, on

GRIDS = {"cube": CUBE, "square": SQUARE}
AXES = ("x", "y", "z")
LAW = "right:answer"
Make = Callable[[], nn.Module]
EMPTY_SPACE = Symmetries(declared=True)


@dataclass(frozen=True)
class Clean:
    """A model without a fault.

    Attributes
    ----------
    truth : callable or None
        Makes the right answer, which the pairs hold; None for a network that was trained to nothing, which has no pairs.
    gravity : bool
        Whether the law is gravity's; otherwise it is `truth` itself.
    symmetries : Symmetries
        What it is held to: of a network that was trained to nothing, what it holds by how it is built.
    grid : Grid, optional
        Where another than the row's.
    slow : bool
        Whether only the slow tests ask it.
    """

    make: Make
    truth: Make | None = None
    gravity: bool = False
    symmetries: Symmetries = EMPTY_SPACE
    grid: Grid | None = None
    slow: bool = False


@dataclass(frozen=True)
class Defect:
    """A way to be wrong, at a strength of which 1 is the table's.

    Attributes
    ----------
    means : str
        What a strength s is, in words.
    """

    make: Callable[[float], nn.Module]
    means: str


def seeded(make: Make) -> nn.Module:
    """Weights of a known seed."""
    torch.manual_seed(1)
    return double_copy(make())


HELD = Symmetries((), "full", True, declared=True)
MOVED = {name: Symmetries(AXES[: grid.dimension], "none", False, declared=True) for name, grid in GRIDS.items()}
SCALAR = replace(PSI, name="field", kind="scalar", quantity="", unit="", rms=1.0)
SMOOTH = 1.5 * SQUARE.spacing[0]
SMALL = Grid.cubic(8, 32.0, unit="Mpc/h")
WEAK = 0.2  # power of the inputs elsewhere, over that of the pairs
BASE = {"cube": "2LPT", "square": "smoothed square"}


def _smoothed(name: str) -> Make:
    radius = {"cube": 4.0, "square": SMOOTH}[name]
    return lambda: Filter(gaussian_gain(radius), GRIDS[name])


def _spreading() -> nn.Module:
    return SmoothedSquare(SQUARE, SMOOTH, 0.5)


CLEAN: dict[str, dict[str, Clean]] = {
    "cube": {
        "2LPT": Clean(lambda: SecondOrder(CUBE), lambda: SecondOrder(CUBE), gravity=True),
        "identity": Clean(nn.Identity, nn.Identity),
        "Gaussian filter": Clean(_smoothed("cube"), _smoothed("cube")),
        # Kernels of two cells at stride two lie alike about the corner of a block of four. 48 passes each: on 8^3.
        "group-averaged U-Net": Clean(
            lambda: seeded(lambda: GroupAverage(ResidualUNet(2), SMALL, PSI, -0.5)), symmetries=HELD, grid=SMALL, slow=True
        ),
        "unstrided network": Clean(lambda: seeded(lambda: Unstrided(3, 3)), symmetries=MOVED["cube"]),
    },
    "square": {
        "smoothed square": Clean(_spreading, _spreading),
        "identity": Clean(nn.Identity, nn.Identity),
        "Gaussian filter": Clean(_smoothed("square"), _smoothed("square")),
        "group-averaged network": Clean(
            lambda: seeded(lambda: GroupAverage(Unstrided(2, 1), SQUARE, SCALAR, 0.0)), symmetries=HELD
        ),
        "unstrided network": Clean(lambda: seeded(lambda: Unstrided(2, 1)), symmetries=MOVED["square"]),
        "Fourier neural operator": Clean(lambda: seeded(lambda: FNO(2, modes=6, width=4, layers=2)), symmetries=MOVED["square"]),
    },
}

ANYWHERE: dict[str, Defect] = {
    "zero padding": Defect(lambda s: d.ZeroPadded(0.2 * s), "0.2 s of every value is its neighbours' mean, zero beyond the walls"),
    "absolute position": Defect(lambda s: d.AbsolutePosition(0.2 * s), "from 1 - 0.2 s at one end of x to 1 + 0.2 s at the other"),
    "stride aliasing": Defect(lambda s: d.StrideAliased(0.5 * s), "0.5 s of the answer went through a stride of two"),
    "checkerboard": Defect(lambda s: d.Checkerboard(0.2 * s), "0.2 s of the answer came through a transposed convolution"),
    "grid locked": Defect(lambda s: d.GridLocked(0.2 * s), "every second cell louder by 0.2 s"),
    "flipped sign": Defect(lambda s: d.FlippedSign(s), "the first component times 1 - 2 s"),
    "handed": Defect(lambda s: d.Handed(0.2 * s), "0.2 s of the curl (of a scalar: of the slope along x) added"),
    "bias": Defect(lambda s: d.Bias(0.5 * s), "0.5 s added, in the field's unit"),
    "mean drift": Defect(lambda s: d.MeanDrift(0.05 * s), "0.05 s of the field's rms added"),
    "dropout left on": Defect(lambda s: d.DropoutLeftOn(0.1 * s), "values dropped with probability 0.1 s"),
    "batch statistics": Defect(lambda s: d.BatchStatistics(0.5 * s), "rms over that of the batch, to the power 0.5 s"),
    "state between calls": Defect(lambda s: d.Stateful(0.05 * s), "0.05 s of the input of the call before added"),
    "amplitude erased": Defect(lambda s: d.GlobalNormalisation(0.2 * s), "divided by the rms to the power 0.2 s"),
}
PLANTED: dict[str, dict[str, Defect]] = {
    "cube": ANYWHERE
    | {
        "anisotropic": Defect(lambda s: d.Anisotropic(0.2 * s), "the first component stretched by 1 + 0.2 s"),
        "anisotropic kernel": Defect(lambda s: d.AnisotropicKernel(0.5 * s), "0.5 s of every value taken from its neighbours in x"),
        "swapped components": Defect(lambda s: d.SwappedComponents(s), "a share s of x and y exchanged"),
        "high-k sag": Defect(lambda s: Filter(d.sag_gain(2.0 * s**0.5), CUBE), "gain 1 / (1 + 4 s k^2)"),
        "phase lag": Defect(lambda s: Filter(d.lag_gain(0.25 * s), CUBE), "displaced along x by 0.25 s cells"),
        "wrong coupling": Defect(lambda s: Miscoupled(CUBE, across=-2.0 * s), "couplings times 1 - 2 s"),
        "linear only": Defect(lambda s: Miscoupled(CUBE, across=-1.0 * s), "couplings times 1 - s"),
        "blind coupling": Defect(
            lambda s: Miscoupled(CUBE, along=1.0 * s), "parallel waves couple with s of what orthogonal ones do"
        ),
        "saturation": Defect(lambda s: Saturating(3.0 / s), "displacements level off at 3 / s"),
        "NaN on rare input": Defect(lambda s: d.NotANumber(3.0 / s), "NaN beyond 3 / s"),
    },
    "square": ANYWHERE
    | {
        "anisotropic kernel": Defect(lambda s: d.AnisotropicKernel(0.5 * s), "0.5 s of every value taken from its neighbours in x"),
        "high-k sag": Defect(lambda s: Filter(d.sag_gain(4.0 * s**0.5), SQUARE), "gain 1 / (1 + 16 s k^2)"),
        "phase lag": Defect(lambda s: Filter(d.lag_gain(0.5 * s), SQUARE), "displaced along x by 0.5 s cells"),
        "saturation": Defect(lambda s: Saturating(0.5 / s), "values level off at 0.5 / s"),
        "NaN on rare input": Defect(lambda s: d.NotANumber(2.0 / s), "NaN beyond 2 / s"),
    },
}
ROWS = {name: [*CLEAN[name], *PLANTED[name]] for name in GRIDS} | {"trained": ["lpt2nbody"]}


def build(grid: str, name: str, folder: Path, strength: float = 1.0, dtype: torch.dtype = torch.float64) -> FieldModel:
    """The model of a row, with its pairs in `folder`, which rows of the same truth share."""
    if grid == "trained":
        return load(f"zoo:{name}")
    clean = CLEAN[grid].get(name) or CLEAN[grid][BASE[grid]]
    network = clean.make()
    if name in PLANTED[grid]:
        network = nn.Sequential(network, PLANTED[grid][name].make(strength))
    return described(on(clean.grid or GRIDS[grid], network, name), clean, folder, dtype)


def described(model: FieldModel, clean: Clean, folder: Path, dtype: torch.dtype) -> FieldModel:
    """With its law, its pairs and what it is held to."""
    truth = None if clean.truth is None else clean.truth()
    law = "gravity" if clean.gravity else LAW if truth else ""
    source = DataSource(str(_pairs(model, truth, folder)), "in_*.npy", "out_*.npy") if truth else None
    about = model.description
    description = replace(about, truth=Truth(law), data=source or about.data, symmetries=_symmetries(clean, model))
    if source:
        weak = Cosmology(f"amplitude {WEAK:g}", WEAK, "in_*.npy", "weak_*.npy", input_factor=WEAK**0.5)
        description = replace(description, cosmologies=(weak,), source=str(Path(source.path) / "model.probe.toml"))
    if law == LAW:
        description = replace(description, constraints=Constraints(conserved_mean=(about.outputs[0].name,)))
    code = {LAW: truth} if law == LAW and truth else {}
    return FieldModel(model.network, description, code=code, dtype=dtype, sha256=model.sha256)


def _symmetries(clean: Clean, model: FieldModel) -> Symmetries:
    along = tuple(axis for axis in AXES[: model.grid.dimension] if axis in clean.symmetries.translation)
    return replace(clean.symmetries, translation=along)


def _pairs(model: FieldModel, truth: Callable[[Tensor], Tensor], folder: Path, count: int = 4) -> Path:
    grid, width = model.grid, model.description.channels_in
    where = folder / f"{grid.dimension}d {type(truth).__name__}"
    if not where.exists():
        where.mkdir(parents=True)
        for index in range(count):
            generator = torch.Generator().manual_seed(index)
            given = gaussian_field(grid, lambda k: k**-2, generator, width)[None]
            np.save(where / f"in_{index}.npy", given[0].numpy())
            np.save(where / f"out_{index}.npy", truth(given)[0].numpy())
            np.save(where / f"weak_{index}.npy", truth(WEAK**0.5 * given)[0].numpy())
    return where
