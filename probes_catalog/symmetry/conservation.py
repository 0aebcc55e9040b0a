"""The probe `conservation`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING

import lazy_loader as lazy

import probe
from probe import figures
from probe.contract import Check, Measured, Panel, Probe, Subject, judgement, measurement, percent

if TYPE_CHECKING:
    from numpy import ndarray
    from xarray import Dataset

    from probe.intervals import Interval

np, xr = lazy.load("numpy"), lazy.load("xarray")

DERIVED = {"divergence_free": "divergence", "curl_free": "curl"}


class Conservation(Probe):
    """Does it keep what nature keeps?

    Laws hold for every input, so they are asked on real fields, and the truth of the pairs is asked the same beside the model.

    - The mean. Momentum is conserved, so under gravity the mean displacement only grows with D; mass is, so a density keeps its
      mean and an overdensity has none. Other quantities where the description says `zero_mean` or `conserved_mean`.
    - A density is nowhere below 0, an overdensity nowhere below -1, what is declared `positive` nowhere below 0: the share of
      cells that are.
    - Vectors are split into the part along k and the part across it, shell by shell. An N-body displacement is not free of curl:
      the transverse share grows from 0.001 % on large to 16 % on small scales, and a good emulator has the truth's, no more and
      no less.
    - What the table [constraints] of the description declares: `divergence_free` and `curl_free` vectors, relative to all
      derivatives; `residual`, a function of the user's that gives the terms of an equation, relative to those terms.

    How to read it: in the first figure each column is a law, and a point below its bar keeps it; in the second the model's curves
    lie on the truth's. A mean that drifts adds up when a model is applied again and again; curl on large scales is the network's
    own noise, and curl that is missing on small ones was smoothed away, as training on mean squares does.

    Bounds: 2 % of the answer's rms (mean), of its derivatives (divergence, curl), of the terms (residual), a convention, or the
    truth's own where that is more, since data lie on a grid; 0.1 % of the cells; a transverse amplitude 5 % of the whole from the
    truth's, as for a single wave, up to half of the Nyquist wavenumber: beyond it what cannot be predicted is damped, along k and
    across it, and `transfer` tells by how much.
    """

    suite, version = "symmetry", 1
    checks = ("mean", "positive", "transverse", "divergence_free", "curl_free", "residual")
    controls = ("identity", "lpt2", "untrained")
    references = (
        "K. C. Chan (2014), Helmholtz decomposition of the Lagrangian displacement, PRD 89, 083515, arXiv:1309.2243.",
        "D. Jamieson et al. (2022), Field Level Neural Network Emulator for Cosmological N-body Simulations, arXiv:2206.04594.",
    )

    fields = measurement(4, "real fields: of the pairs if there are any, at most as many as there are; else Gaussian ones", low=1)
    bound = judgement(0.02, "largest drift of the mean, divergence, curl and residual, relative", low=0.0, high=10.0)
    positive_bound = judgement(1e-3, "largest share of cells below the lowest value allowed", low=0.0, high=1.0)
    reach = judgement(0.5, "share of the Nyquist wavenumber up to which the transverse amplitude is judged", low=0.0, high=1.0)
    transverse_bound = judgement(
        0.05, "largest error of the transverse amplitude of a shell, relative to the truth's whole", low=0.0
    )

    def applies(self, subject: Subject) -> str:
        if all(q.is_number for q in subject.description.outputs):
            return "it gives numbers alone; means, signs and derivatives are asked of fields"
        return ""

    def measure(self, subject: Subject) -> Dataset:
        described, grid = subject.description, subject.grid
        count = min(self.fields, len(subject.pairs)) if subject.pairs else self.fields
        kept = subject.map(probe.laws.keep, [probe.laws.FieldCase(i) for i in range(count)])
        dims = {"longitudinal": ("output", "shell"), "transverse": ("output", "shell"), "residual": ()}
        unit = described.outputs[0].unit if len(described.outputs) == 1 else ""
        power = probe.spectra.power_unit(unit, grid)
        units = {"size": unit, "longitudinal": power, "transverse": power}
        data = {}
        for prefix, rows in (("", [k for k, _ in kept]), ("truth_", [t for _, t in kept if t is not None])):
            for part in fields(probe.laws.Kept) if rows else ():
                values = np.array([getattr(row, part.name) for row in rows])
                over = ("field", *dims.get(part.name, ("output",)))
                data[prefix + part.name] = (over, values, {"units": units.get(part.name, "")})
        return xr.Dataset(
            data,
            coords={
                "output": [q.name for q in described.outputs],
                "field": [probe.equivariance.name_of_field(subject, i) for i in range(count)],
                "mean_law": ("output", [probe.laws.mean_law(q, subject) for q in described.outputs]),
                "lowest": (
                    "output",
                    [math.nan if (low := probe.laws.lowest_of(q, subject)) is None else low for q in described.outputs],
                ),
                "shell_wavenumber": ("shell", grid.shells().wavenumber.numpy(), {"units": grid.inverse_unit}),
            },
            attrs=probe.equivariance.facts(subject) | _declared(subject),
        )

    def judge(self, measured: Measured) -> list[Check]:
        model = measured["model"]
        checks = [self._mean(model), *self._positive(model), *self._transverse(model)]
        checks += [self._derived(model, key) for key in DERIVED if str(model.attrs[key])]
        return [*checks, *self._residual(model)]

    def _kept(self, name: str, kept: ndarray, truth: ndarray, say: Callable[[str], str], of: str) -> Check:
        """A law, from its relative violation on each field and that of each truth; `say` puts the number into words."""
        interval = probe.equivariance.root_mean_square(kept)
        own = probe.equivariance.root_mean_square(truth) if truth.size else None
        bound, source = _allowed(self.bound, own, of)
        beside = f"; the truth's own is off by {percent(own.value)}" if own else ""
        told = f"{say(percent(interval.value))}, over {len(kept)} fields{beside}."
        return Check.judged(name, interval, (None, bound), told, bound_from=source, covers=f"{len(kept)} fields")

    def _mean(self, model: Dataset) -> Check:
        drift, laws = _drift(model), [str(law) for law in model.mean_law.values]
        if not any(laws):
            value = float(np.sqrt(np.mean(drift**2, axis=0)).max())
            words = "the truth's" if "truth_drift" in model else "zero"
            sentence = f"The mean is {percent(value)} of the answer's rms away from {words}; that it is kept is declared nowhere."
            return Check.info("mean", value, sentence, covers=f"{len(drift)} fields")
        worst = _worst(np.where([bool(law) for law in laws], drift, math.nan))
        name, law = model.output.values[worst], probe.laws.MEANS[laws[worst]]

        def say(off: str) -> str:
            return f"The mean of {name!s} is {off} of the answer's rms away from {law}"

        return self._kept("mean", drift[:, worst], _truth(model, "drift", worst), say, "the answer's rms")

    def _positive(self, model: Dataset) -> list[Check]:
        if not np.isfinite(model.below.values).any():
            return []
        if model.attrs["given_below"]:
            reason = "made inputs go below the lowest value that a density can have themselves; give pairs of real fields"
            return [Check.not_applicable("positive", reason)]
        worst = _worst(model.below.values)
        interval, truth = probe.intervals.of_mean(model.below.values[:, worst]), _truth(model, "below", worst)
        own = probe.intervals.of_mean(truth) if truth.size else None
        bound, source = _allowed(self.positive_bound, own, "the cells")
        beside = f"; of the truth's {percent(own.value)}" if own else ""
        name, allowed = str(model.output.values[worst]), float(model.lowest[worst])
        sentence = f"{percent(interval.value)} of the cells of {name} lie below {allowed:g}, which none can{beside}."
        covers = f"{len(model.field)} fields"
        return [Check.judged("positive", interval, (None, bound), sentence, bound_from=source, covers=covers)]

    def _transverse(self, model: Dataset) -> list[Check]:
        vectors = _vectors(model)
        if not vectors:
            return []
        share = _share(model, vectors[0])
        told = (
            f"Across k lies {percent(share[0])} of the power of {model.output.values[vectors[0]]!s} on the largest scales "
            f"and {percent(share[-1])} on the smallest"
        )
        if "truth_transverse" not in model:
            return [Check.info("transverse", float(share.max()), f"{told}; without pairs nothing says how much it should be.")]
        k, unit = model.shell_wavenumber.values, model.shell_wavenumber.attrs["units"]
        judged = max(1, int((k <= self.reach * k[-1]).sum()))
        interval, place, shell = max((_excess(model, place, judged) for place in vectors), key=lambda found: found[0].value)
        beyond, _, _ = _excess(model, place, len(k))
        sentence = (
            f"{told}; the transverse amplitude of {model.output.values[place]!s} is off the truth's by at most "
            f"{percent(interval.value)} of the whole up to k = {k[judged - 1]:.3g} {unit} (at {k[shell]:.3g}), and by "
            f"{percent(beyond.value)} up to Nyquist."
        )
        source = f"a convention, {percent(self.transverse_bound)} of the truth's amplitude, as for a single wave"
        bounds, covers = (None, self.transverse_bound), f"{len(model.field)} pairs"
        return [Check.judged("transverse", interval, bounds, sentence, bound_from=source, covers=covers)]

    def _derived(self, model: Dataset, key: str) -> Check:
        kind, names = DERIVED[key], str(model.attrs[key]).split("; ")
        if model.attrs["boundary"] != "periodic":
            reason = f"the {kind} is taken in Fourier space, which needs a periodic box; declare a residual function instead"
            return Check.not_applicable(key, reason)
        places = [place for place, name in enumerate(model.output.values) if name in names]
        worst = places[_worst(model[kind].values[:, places])]

        def say(off: str) -> str:
            return f"The {kind} of {model.output.values[worst]!s}, declared zero, is {off} of its derivatives"

        return self._kept(key, model[kind].values[:, worst], _truth(model, kind, worst), say, "all derivatives")

    def _residual(self, model: Dataset) -> list[Check]:
        if not (name := str(model.attrs["residual"])):
            return []
        truth = model.truth_residual.values if "truth_residual" in model else np.empty(0)

        def say(off: str) -> str:
            return f"The equation of {name} is left unsolved by {off} of its terms"

        return [self._kept("residual", model.residual.values, truth, say, "its terms")]

    def draw(self, measured: Measured) -> list[Panel]:
        return [self._laws(measured), *(self._spectra(measured, place) for place in _vectors(measured["model"]))]

    def _laws(self, measured: Measured) -> Panel:
        model = measured["model"]
        bars = [(c.name, c.bounds[1]) for c in self.judge(measured) if c.bounds and c.name != "transverse"]
        rows = {name: _violations(data) for name, data in measured.items() if name in ("model", "identity", "untrained", "lpt2")}
        truth = _violations(model, "truth_")
        rows |= {"truth": truth} if truth else {}
        laws = list(rows["model"])
        picture, axes = figures.figure(width=2.6 + 1.5 * len(laws), height=3.6)
        panel, floor = axes[0, 0], 1e-9
        for index, (subject, kept) in enumerate(rows.items()):
            look, places = probe.equivariance.look(subject, model), [laws.index(law) for law in kept]
            values = [max(float(np.sqrt(np.mean(np.square(v)))), floor) for v in kept.values()]
            panel.plot(
                [p + 0.11 * (index - 1.5) for p in places], values, "os^Dv"[index], ms=6, color=look["color"], label=look["label"]
            )
        for place, bound in [(laws.index(name), bound) for name, bound in bars if name in laws]:
            panel.hlines(bound, place - 0.35, place + 0.35, color="#D55E00", lw=1.6, label="bound" if place == 0 else None)
        panel.set(yscale="log", ylabel="relative violation", xlabel="law", xlim=(-0.6, len(laws) - 0.4), ylim=(floor / 2, None))
        panel.set_xticks(range(len(laws)), labels=laws)
        figures.legend(panel, **figures.BESIDE)
        text = "; ".join(f"{law}: {float(np.sqrt(np.mean(np.square(v)))):.3g}" for law, v in rows["model"].items())
        caption = (
            "How far each law is from being kept, rms over the fields: the drift of the mean over the answer's rms, the share of "
            "cells that are too low, divergence, curl and residual over their terms. Bars are bounds; where no law is known for "
            f"the mean it is only shown. Exact zeros are drawn at {floor:g}."
        )
        used = tuple(name for name in ("drift", "below", "divergence", "curl", "residual") if name in model)
        return Panel("Laws, and how far from kept", [("", picture)], caption, text, used)

    def _spectra(self, measured: Measured, place: int) -> Panel:
        model = measured["model"]
        picture, axes = figures.figure(columns=2, width=8.6, height=3.6)
        k, shown = model.shell_wavenumber, [n for n in ("untrained", "lpt2", "identity", "model") if n in measured]
        curves = [(n, measured[n], "") for n in shown] + ([("truth", model, "truth_")] if "truth_transverse" in model else [])
        for name, data, prefix in curves:
            along, across = (
                np.maximum(data[prefix + part].values[:, place].mean(0), 1e-300) for part in ("longitudinal", "transverse")
            )
            look = probe.equivariance.look(name, model)
            axes[0, 1].plot(k, np.maximum(across / (along + across), 1e-8), **look)
            if name in ("model", "truth"):
                axes[0, 0].plot(k, along, **look | {"label": f"{look['label']}, along k"})
                axes[0, 0].plot(k, across, **look | {"linestyle": ":", "label": f"{look['label']}, across k"})
        top = float(model.longitudinal.values[:, place].mean(0).max())
        low = min(float(np.min(line.get_ydata())) for line in axes[0, 0].get_lines())
        axes[0, 0].set(yscale="log", ylim=(max(low / 3, 1e-10 * top), None))
        axes[0, 0].set_ylabel(figures.axis_label("P(k)", model.transverse.attrs["units"]))
        axes[0, 1].set(yscale="log", ylim=(1e-8, 1.5), ylabel="share of power across k")
        for panel in axes[0]:
            panel.set_xlabel(figures.axis_label("k", k.attrs["units"]))
            figures.legend(panel)
        share = _share(model, place)
        text = "Share across k: " + ", ".join(f"{x:.3g}: {y:.2e}" for x, y in zip(k.values, share, strict=True))
        caption = (
            f"Power of {model.output.values[place]!s} along k and across it, averaged over the fields, and the share across. "
            "Curl that the truth lacks on large scales the network made itself; what is missing on small ones it smoothed away. "
            "Shares at the lower edge are zero to rounding."
        )
        return Panel("Along k and across it", [("", picture)], caption, text, ("longitudinal", "transverse"))


def _declared(subject: Subject) -> dict[str, str | int]:
    """What the description declares, and whether made inputs are fit to ask it, as attributes."""
    constraints, made = subject.description.constraints, probe.equivariance.test_field(subject, 0)[0]
    given_below = not subject.pairs and any(
        bool((made.values[:, part] < probe.laws.LOWEST[q.quantity]).any())
        for q, part in made.parts()
        if q.quantity in probe.laws.LOWEST
    )
    free: dict[str, str | int] = {key: "; ".join(getattr(constraints, key)) for key in DERIVED}
    return free | {"residual": constraints.residual, "given_below": int(given_below)}


def _drift(data: Dataset, prefix: str = "") -> ndarray:
    """Distance of the mean from what it should be, over the field's rms: (field, output)."""
    size = data[prefix + "size"].values
    return data[prefix + "drift"].values / np.where(size > 0, size, 1.0)


def _worst(rows: ndarray) -> int:
    """The output whose rows are largest; those that no law concerns are nan throughout."""
    asked = np.isfinite(rows).any(0)
    return int(np.where(asked, np.nanmean(np.where(asked, rows, 0.0) ** 2, axis=0), -1.0).argmax())


def _truth(model: Dataset, kind: str, output: int) -> ndarray:
    """How far each truth itself is from keeping a law: (field,), empty without pairs."""
    if f"truth_{kind}" not in model:
        return np.empty(0)
    return (_drift(model, "truth_") if kind == "drift" else model[f"truth_{kind}"].values)[:, output]


def _allowed(convention: float, own: Interval | None, of: str) -> tuple[float, str]:
    """The convention, or the upper end of the truth's own violation where that is more, and where it comes from."""
    reach = 0.0 if own is None else own.high if math.isfinite(own.high) else own.value
    if own is None or reach <= convention:
        return convention, f"a convention, {percent(convention)} of {of}"
    return reach, f"the truth's own ({percent(own.value)}, up to {percent(reach)}), more than the convention {percent(convention)}"


def _vectors(model: Dataset) -> list[int]:
    """The outputs that are split into a part along k and one across it."""
    return [int(place) for place in np.flatnonzero(np.isfinite(model.transverse.values).all((0, 2)))]


def _share(model: Dataset, output: int) -> ndarray:
    """Share of the power across k: (shell,)."""
    along, across = (model[part].values[:, output].mean(0) for part in ("longitudinal", "transverse"))
    return across / np.maximum(along + across, 1e-300)


def _excess(model: Dataset, output: int, shells: int) -> tuple[Interval, int, int]:
    """Distance of the transverse amplitude from the truth's over the truth's whole, in the worst shell; the output; the shell."""
    names = ("transverse", "truth_transverse", "truth_longitudinal")
    own, true, rest = (model[name].values[:, output, :shells] for name in names)

    def distance(rows: ndarray) -> ndarray:
        model_power, true_power, whole = rows.mean(0)
        return np.abs(np.sqrt(model_power) - np.sqrt(true_power)) / np.sqrt(np.maximum(whole, 1e-300))

    rows = np.stack([own, true, true + rest], 1)
    shell = int(distance(rows).argmax())
    return probe.intervals.of_samples(rows, lambda kept: distance(kept)[shell]), output, shell


def _violations(data: Dataset, prefix: str = "") -> dict[str, ndarray]:
    """Of each law that is known or declared, the worst output's violation on each field; empty for a truth that is not there."""
    if f"{prefix}drift" not in data:
        return {}
    kept = {"mean": _drift(data, prefix), "positive": data[prefix + "below"].values}
    names = data.output.values
    for key, kind in DERIVED.items():
        places = [place for place, name in enumerate(names) if name in str(data.attrs[key]).split("; ")]
        kept[key] = data[prefix + kind].values[:, places]
    kept["residual"] = data[prefix + "residual"].values[:, None] if data.attrs["residual"] else np.empty((1, 0))
    return {law: rows[:, _worst(rows)] for law, rows in kept.items() if np.isfinite(rows).any()}
