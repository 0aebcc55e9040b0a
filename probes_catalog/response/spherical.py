"""The probe `spherical`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import lazy_loader as lazy

import probe
from probe import figures
from probe.contract import Check, Measured, Panel, Probe, Subject, judgement, measurement, percent
from probe.errors import InputError

if TYPE_CHECKING:
    from numpy import ndarray
    from torch import Tensor
    from xarray import DataArray, Dataset

    from probe.grid import Grid

np, xr, torch = lazy.load("numpy"), lazy.load("xarray"), lazy.load("torch")

SHIFTS = {"quick": 1, "default": 2, "full": 4}
EDGE = 1.5  # radii of the top-hat out to which shells are measured; beyond nothing is left of it
INNERMOST = 2  # cells: the first shell that is judged; of a smaller one a cell is too large a part


@dataclass(frozen=True)
class TopHatCase:
    """One compensated top-hat about several places of the grid, whole cells apart along the diagonal.

    Attributes
    ----------
    radius : float
        In grid.unit.
    level : float
        Linear overdensity within it, at the time of the answer.
    """

    radius: float
    level: float
    shifts: int


@dataclass(frozen=True)
class Shells:
    """The answer on Lagrangian shells one cell wide, averaged over places: (shell,) each.

    Attributes
    ----------
    density, expected, zeldovich : ndarray
        1 + delta(<q) of the answer, of the closed form and of the input grown.
    scatter, tangential : ndarray
        What is not the same in every direction: rms of the radial displacement about its mean over particles equally far from the
        middle, and of what is not radial, each over the rms of the displacement.
    """

    density: ndarray
    expected: ndarray
    zeldovich: ndarray
    scatter: ndarray
    tangential: ndarray


class Spherical(Probe):
    """Does a top-hat collapse on time?

    Smooth compensated top-hats and voids, whose mean linear overdensity within the Lagrangian radius q is
    delta_lin(<q) = level exp(-(q/R)^6), are put in as the displacement they make at first order. Until shells cross, gravity moves
    every shell as the mean overdensity within it says: spherical collapse, in closed form

        delta_lin = (3/20) [6 (t - sin t)]^(2/3),    1 + delta = (9/2) (t - sin t)^2 / (1 - cos t)^3,

    with sinh and cosh for voids; in LambdaCDM it holds to better than 1 %. From the answer psi, 1 + delta(<q) = q^3 / |q + psi|^3,
    with q and the radial part of psi averaged over the particles of shells one cell wide, and the closed form likewise. Levels
    hold at the time of the answer: the input is scaled back by D(out)/D(in). Here all orders of a nonlinear answer are known.

    How to read it: in the first figure a faithful model's points lie on the closed form; the Zel'dovich approximation,
    (1 - delta_lin/3)^-3, is what it was given, and 2LPT lies between. The second shows the profile of each top-hat, the third what
    is not the same in every direction. A response that saturates falls below Zel'dovich's for the dense ones; one that knows only
    the amplitudes of its training misses at both ends.

    The bound is half of the Zel'dovich approximation's own error, in rms over shells and levels: a model that does not get half
    of the way from its input to the truth has not learned collapse (2LPT gets six tenths of the way). Where a simulator's answers
    are known they are the truth, and its own departure from the closed form is the least bound. What is not the same in every
    direction is held to the bound of a broken symmetry, or to the simulator's own anisotropy where that is larger.
    """

    suite, version = "response", 1
    checks = ("collapse", "core", "isotropy")
    controls = ("simulator", "identity", "lpt2", "untrained")
    references = (
        "P. J. E. Peebles (1980), The Large-Scale Structure of the Universe, sec. 19.",
        "F. Bernardeau et al. (2002), Phys. Rep. 367, 1, arXiv:astro-ph/0112551, sec. 2.3.",
        "Y. B. Zel'dovich (1970), A&A 5, 84.",
    )

    levels = measurement(
        (0.145, 0.525, 1.062, -0.525, -1.5), "linear overdensities, negative for voids", low=-100.0, high=1.6, like=(0.5,)
    )
    radius = measurement(None, "radius R of the top-hat; by default a quarter of the box", unit="grid.unit", like=32.0, low=0.0)
    shifts = measurement(None, "places averaged over, whole cells apart; by default 1, 2 or 4, by effort", like=2, low=1, high=64)
    bound = judgement(0.5, "largest rms error of the density, as a share of the Zel'dovich approximation's", low=0.0, high=100.0)
    isotropy_bound = judgement(
        None, "largest share of the displacement that is not alike in every direction; by default that of any symmetry", like=0.02
    )

    def applies(self, subject: Subject) -> str:
        described = subject.description
        if described.grid.dimension != 3 or not probe.controls.is_displacement(described):
            return (
                "spherical collapse is known of one displacement into one displacement, in three dimensions and a periodic box, "
                "under [truth] law = 'gravity'; describe it so where it is"
            )
        return ""

    def measure(self, subject: Subject) -> Dataset:
        grid = subject.grid
        radius = min(grid.box) / 4 if self.radius is None else self.radius
        _check_fit(radius, grid)
        shifts = self.shifts or SHIFTS[subject.effort]
        found = subject.map(collapse, [TopHatCase(radius, level, shifts) for level in self.levels], passes=shifts)
        names = ("density", "expected", "zeldovich", "scatter", "tangential")
        variables = {name: (("level", "shell"), np.stack([getattr(one, name) for one in found]), {"units": ""}) for name in names}
        away = probe.tophat.distances(grid)[1]
        at = _Shelves.of(away, radius, grid).lagrangian
        return xr.Dataset(
            {**variables, "data_error": probe.equivariance.data_error(subject, subject.description.outputs[0].name)},
            coords={"level": list(self.levels), "radius": ("shell", at, {"units": grid.unit})},
            attrs=probe.equivariance.facts(subject) | {"top_hat": radius, "cell": max(grid.spacing)},
        )

    def judge(self, measured: Measured) -> list[Check]:
        return [self._collapse(measured), _core(measured), self._isotropy(measured)]

    def _collapse(self, measured: Measured) -> Check:
        model = _judged(measured["model"])
        truth, source, departure = _truth(measured)
        error = _rms((model.density - truth) / truth)
        zeldovich = _rms((model.zeldovich - truth) / truth)
        bound = max(self.bound * zeldovich, departure)
        sentence = (
            f"Over {model.sizes['level']} top-hats and voids of linear overdensity {float(model.level.min()):g} to "
            f"{float(model.level.max()):g}, 1 + delta within a shell is off by {percent(error)} in rms, "
            f"{error / zeldovich:.2f} of the Zel'dovich approximation's {percent(zeldovich)}, held against {source}."
        )
        words = f"{self.bound:g} of the Zel'dovich approximation's own error ({percent(zeldovich)})"
        if departure > self.bound * zeldovich:
            words = f"the simulator's own departure from the closed form ({percent(departure)}), larger than {words}"
        return Check.judged("collapse", error, (None, bound), sentence, bound_from=words)

    def _isotropy(self, measured: Measured) -> Check:
        model = _judged(measured["model"])
        size = _anisotropy(model)
        sentence = (
            f"On its shells at most {percent(size)} of the displacement is not alike in every direction (radial scatter "
            f"{percent(float(model.scatter.max()))}, tangential part {percent(float(model.tangential.max()))})."
        )
        bound, own = self.isotropy_bound, 0.0
        if "simulator" in measured and np.isfinite(measured["simulator"].scatter).all():
            own = _anisotropy(_judged(measured["simulator"]))
            sentence += f" Of {model.attrs['simulator']} it is {percent(own)}."
        if bound is None and own > probe.equivariance.bound_of(measured, None)[0]:
            words = f"the simulator's own anisotropy ({own:.3g})"
            return Check.judged("isotropy", size, (None, own), sentence, bound_from=words)
        denied = str(model.attrs["denied_rotation"])
        return probe.equivariance.symmetry_check("isotropy", size, measured, bound, sentence, denied)

    def draw(self, measured: Measured) -> list[Panel]:
        return [_against_linear(measured), _profiles(measured), _directions(measured)]


@dataclass(frozen=True)
class _Shelves:
    """Which particles lie on which shell, and which are equally far from the middle.

    Attributes
    ----------
    inside : ndarray, (*grid.shape), bool
        All that is measured.
    distance : ndarray, (particles,)
    shell, orbit : ndarray, (particles,), int
        Shells are a cell wide; an orbit's particles are all at one distance.
    """

    inside: ndarray
    distance: ndarray
    shell: ndarray
    orbit: ndarray

    @classmethod
    def of(cls, length: Tensor, radius: float, grid: Grid) -> _Shelves:
        cell, away = max(grid.spacing), length.numpy()
        inside = (away > 0.5 * cell) & (away < EDGE * radius)
        distance = away[inside]
        shell = np.floor(distance / cell - 0.5).astype(int)
        orbit = np.unique(np.round(distance / cell, 9), return_inverse=True)[1]
        return cls(inside, distance, shell, orbit)

    @property
    def lagrangian(self) -> ndarray:
        """The mean distance of every shell's particles: (shell,)."""
        return self.mean(self.distance)

    def mean(self, values: ndarray) -> ndarray:
        """Over each shell's particles: (particles,) -> (shell,)."""
        return np.bincount(self.shell, values) / np.bincount(self.shell)

    def scatter(self, values: ndarray) -> ndarray:
        """Rms about the mean of all that are equally far, on each shell: (particles,) -> (shell,)."""
        mean = np.bincount(self.orbit, values) / np.bincount(self.orbit)
        return np.sqrt(self.mean((values - mean[self.orbit]) ** 2))

    def density(self, radial: ndarray) -> ndarray:
        """1 + delta(<q) = q^3 / |q + psi|^3 of a radial displacement: (particles,) -> (shell,)."""
        return self.lagrangian**3 / np.abs(self.lagrangian + self.mean(radial)) ** 3


def collapse(subject: Subject, case: TopHatCase) -> Shells:
    """Put in one top-hat at each of its places, and take the answers apart shell by shell."""
    grid, growth = subject.grid, subject.description.truth.growth_ratio
    away, length = probe.tophat.distances(grid)
    shelves = _Shelves.of(length, case.radius, grid)
    direction = (away / length.clamp_min(1e-30)).numpy()[:, shelves.inside]
    linear = growth * probe.tophat.top_hat_displacement(grid, case.radius, case.level / growth)
    radial = (linear.numpy()[:, shelves.inside] * direction).sum(0)
    # What the grid carries of the top-hat is what is put in: of every particle the mean overdensity within its distance.
    within = probe.tophat.spherical_collapse(-3 * radial / shelves.distance)
    expected = shelves.distance * (within ** (-1 / 3) - 1)
    answers = _answers(subject, linear / growth, case.shifts)[:, :, shelves.inside]
    seen = [_seen(psi, direction, shelves) for psi in answers]
    density, scatter, tangential = (np.mean(each, axis=0) for each in zip(*seen, strict=True))
    return Shells(density, shelves.density(expected), shelves.density(radial), scatter, tangential)


def _answers(subject: Subject, given: Tensor, shifts: int) -> ndarray:
    """Answers to a displacement about several places, each moved back: (shifts, 3, *grid.shape)."""
    grid = subject.grid
    moved = torch.stack([torch.roll(given, (t,) * 3, grid.axes) for t in range(shifts)])
    values = subject.model(probe.fields.Field(moved, grid, subject.description.inputs)).values.double().cpu()
    back: ndarray = torch.stack([torch.roll(one, (-t,) * 3, grid.axes) for t, one in enumerate(values)]).numpy()
    return back


def _seen(psi: ndarray, direction: ndarray, shelves: _Shelves) -> tuple[ndarray, ndarray, ndarray]:
    """Density, scatter and tangential part of one answer: (3, particles) -> (shell,) each."""
    radial = (psi * direction).sum(0)
    size = np.maximum(np.sqrt(shelves.mean((psi**2).sum(0))), 1e-300)
    across = np.sqrt(shelves.mean(((psi - radial * direction) ** 2).sum(0)))
    return shelves.density(radial), shelves.scatter(radial) / size, across / size


def _check_fit(radius: float, grid: Grid) -> None:
    room, cell = min(grid.box) / (2 * probe.tophat.REACH), max(grid.spacing)
    if radius > room or radius < INNERMOST * cell:
        raise InputError(
            f"a top-hat of radius {radius:g} {grid.unit} does not suit a box of {min(grid.box):g} with cells of {cell:g}; "
            f"set spherical.radius between {INNERMOST * cell:g} and {room:g}"
        )


def _judged(data: Dataset) -> Dataset:
    """The shells from two cells to the top-hat's radius, half a cell more for what its last shell holds."""
    cell = float(data.attrs["cell"])
    return data.isel(shell=((data.radius > (INNERMOST - 0.5) * cell) & (data.radius < data.attrs["top_hat"] + 0.5 * cell)).values)


def _truth(measured: Measured) -> tuple[DataArray, str, float]:
    """1 + delta of the simulator, of the closed form where it is silent; whose it is; and the simulator's departure."""
    model = _judged(measured["model"])
    theory, who = model.expected, str(model.attrs["simulator"])
    run = _judged(measured["simulator"]).density if "simulator" in measured else xr.full_like(theory, np.nan)
    known = np.isfinite(run).all("shell")
    if not known.any():
        return theory, "spherical collapse in closed form", 0.0
    departure = _rms(((run - theory) / theory).where(known)) + float(model.attrs["rounding"])
    source = f"{who}'s own answers" if known.all() else f"{who}'s answers to {int(known.sum())} of them, and spherical collapse"
    return run.where(known, theory), f"{source} ({percent(departure)} from the closed form)", departure


def _core(measured: Measured) -> Check:
    """The densest top-hat, in numbers that a reader knows."""
    level = float(measured["model"].level.max())
    at = _inner(_judged(measured["model"].sel(level=level)))
    sentence = (
        f"Within half the radius of the top-hat of linear overdensity {level:g} it finds 1 + delta = {float(at.density):.3g}; "
        f"spherical collapse gives {float(at.expected):.3g}, the Zel'dovich approximation {float(at.zeldovich):.3g}"
    )
    run = measured.get("simulator")
    if run is not None and np.isfinite(run.density.sel(level=level)).all():
        sentence += f", {at.attrs['simulator']} {float(_inner(_judged(run.sel(level=level))).density):.3g}"
    return Check.info("core", float(at.density), sentence + ".")


def _inner(data: Dataset) -> Dataset:
    """The mean over the judged shells within half the radius, or the innermost of them, where the top-hat is flat."""
    shells = np.flatnonzero(data.radius <= data.attrs["top_hat"] / 2)
    return data.isel(shell=shells if shells.size else [0]).mean("shell", keep_attrs=True)


def _anisotropy(data: Dataset) -> float:
    return float(np.sqrt(data.scatter**2 + data.tangential**2).max())


def _against_linear(measured: Measured) -> Panel:
    model = measured["model"]
    lowest, highest = float(model.level.min()), float(model.level.max())
    dense = np.linspace(min(lowest, 0) - 0.1, min(highest + 0.2, 1.6), 200)
    picture, axes = figures.figure()
    panel = axes[0, 0]
    panel.plot(dense, probe.tophat.spherical_collapse(dense), **figures.style("truth", "spherical collapse"))
    panel.plot(dense, (1 - dense / 3) ** -3, **figures.style("identity", "Zel'dovich (input)"))
    for name, marker in (("untrained", "^"), ("lpt2", "s"), ("simulator", "x"), ("model", "o")):
        if name in measured and np.isfinite(measured[name].density).any():
            look = probe.equivariance.look(name, model) | {"linestyle": "none", "marker": marker, "markersize": 6}
            panel.plot(model.level, _inner(_judged(measured[name])).density, **look)
    panel.set(xlabel="linear overdensity δ_lin", ylabel="1 + δ within half the radius", yscale="log")
    figures.legend(panel)
    at = _inner(_judged(model))
    rows = [
        f"{float(level):g}: {float(at.density.sel(level=level)):.4g} for {float(at.expected.sel(level=level)):.4g}"
        for level in model.level.values
    ]
    caption = (
        "How dense a sphere has become against how dense linear theory has it: the inner half of each top-hat and void. A faithful "
        "model's points lie on the black curve; a response that saturates bends away from it towards both ends."
    )
    return Panel("Collapse against linear overdensity", [("", picture)], caption, "; ".join(rows), ("density", "expected"))


def _profiles(measured: Measured) -> Panel:
    model, pictures, words = measured["model"], [], []
    for level in model.level.values:
        at, (picture, axes) = model.sel(level=level), figures.figure()
        panel, q = axes[0, 0], model.radius / model.attrs["top_hat"]
        panel.plot(q, at.expected, **figures.style("truth", "spherical collapse"))
        panel.plot(q, at.zeldovich, **figures.style("identity", "Zel'dovich (input)"))
        for name in [n for n in ("untrained", "lpt2", "simulator", "model") if n in measured]:
            density = measured[name].density.sel(level=level)
            if np.isfinite(density).any():
                panel.plot(q, density, marker="o", ms=3.5, **probe.equivariance.look(name, model))
        panel.set(xlabel="q / R", ylabel="1 + δ(<q)")
        figures.legend(panel)
        pictures.append((f"δ_lin = {level:g}", picture))
        words.append(f"δ_lin {level:g}: " + ", ".join(f"{float(d):.3g}" for d in at.density))
    caption = (
        "Each top-hat's profile on Lagrangian shells: the mean density within the shell that started at q. The middle is flat, the "
        "edge smooth; every shell of a faithful model lies on the black curve."
    )
    return Panel(
        "Profiles", pictures, caption, "1 + δ from the innermost shell: " + "; ".join(words), ("density", "expected", "zeldovich")
    )


def _directions(measured: Measured) -> Panel:
    model = measured["model"]
    data = {name: measured[name] for name in ("untrained", "lpt2", "simulator", "model") if name in measured}
    picture, axes = figures.figure(columns=2, width=7.6, sharey=True)
    floor = float(model.attrs["rounding"]) / 100
    for panel, (part, title) in zip(axes[0], (("scatter", "radial scatter"), ("tangential", "tangential part")), strict=True):
        for name, one in data.items():
            if np.isfinite(one[part]).any():
                worst = np.maximum(one[part].max("level"), floor)
                panel.plot(model.radius / model.attrs["top_hat"], worst, marker="o", ms=3.5, **probe.equivariance.look(name, model))
        panel.set(yscale="log", xlabel="q / R", ylabel="share of the displacement", title=title)
    figures.legend(axes[0, 1])
    inside = _judged(model)
    rows = [f"δ_lin {level:g}: {percent(_anisotropy(inside.sel(level=level)))}" for level in model.level.values]
    caption = (
        "What is not alike in every direction, the largest over the levels: left how much the radial displacement differs between "
        "particles equally far from the middle, right the part that is not radial. A lattice has no sphere: some is always left."
    )
    text = "Largest within R: " + "; ".join(rows)
    return Panel("Directions", [("", picture)], caption, text, ("scatter", "tangential"))


def _rms(values: DataArray) -> float:
    return math.sqrt(float(np.nanmean(values.values**2)))
