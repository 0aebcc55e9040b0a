"""The probe `latents`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import lazy_loader as lazy

import probe
from probe import figures
from probe.contract import Check, Measured, Panel, Probe, Subject, judgement, percent
from probe.intervals import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy import ndarray
    from xarray import Dataset

np, xr = lazy.load("numpy"), lazy.load("xarray")

SHOWN = 4  # latent variables in the figure of the space that they span
CLOUD = 900  # points in all panels of pairs together
LISTED = 8  # names that a sentence lists


class Latents(Probe):
    """How many variables does it use?

    An encoder gives each sample a distribution N(mu, sigma^2) over latent variables. For each of them:

    - its KL divergence from the prior N(0, 1), (mu^2 + sigma^2 - ln sigma^2 - 1)/2, averaged over the samples: the price that the
      encoder pays to say something, and a bound on what it says;
    - its signal over noise, Var(mu)/<sigma^2>. A latent variable is active above 0.01 and dead below: the rule of Burda et al.
      (Var(mu) > 0.01) where sigma is about 1, as a dead variable's is, and free of how the variable is scaled. An encoder
      without sigma has no noise, and variances are compared with the largest.

    All samples together should fill the prior where answers are to be made from draws of it: mean and covariance of all
    draws, and how far the Gaussian with these moments is from N(0, 1)^d. Correlations between latent variables are those of
    draws.

    Without an encoder the principal components of a named layer take their place: of its channels over all points of all
    samples; a sample's latent variables are the means over space of its projections. How many there are is told by the
    participation ratio (sum of variances)^2 / sum of squares, and by how many hold 95 % of the variance.

    How to read it: bars of KL well above zero are variables in use; one at zero whose mean stands still and whose sigma is 1 is
    dead, and the decoder is given noise in it. In the figure of the space, the black line is the prior: data that fill a
    corner of it leave the decoder unasked elsewhere.

    A failure of `active` is a collapsed encoder: too strong a prior, too long a wait before the reconstruction counts, a decoder
    that does without. Fewer active ones than there are is no fault, but an answer: so many variables are needed. `fills_prior`
    is judged only where the decoder will be asked about draws from the prior (`sampled=true`): the bound, 0.1 nats for each
    active variable, is a convention: a mean off by 0.45, or a variance of 0.5 or 1.7.
    """

    suite, version, needs_network = "representation", 1, False
    checks = ("active", "divergence", "fills_prior", "correlation", "participation", "spectrum")
    controls = ("untrained",)
    references = (
        "D. P. Kingma & M. Welling (2014), Auto-Encoding Variational Bayes, arXiv:1312.6114, appendix B.",
        "Y. Burda, R. Grosse & R. Salakhutdinov (2016), arXiv:1509.00519, section 5: active units.",
        "M. D. Hoffman & M. J. Johnson (2016), ELBO surgery, NIPS workshop: the divergence of all samples from the prior.",
        "L. Lucie-Smith et al. (2022), PRD 105, 103533, arXiv:2203.08827: an interpretable variational encoder.",
        "P. Gao et al. (2017), bioRxiv 214262: participation ratio.",
    )

    least = judgement(1, "latent variables that must be active", low=0, high=10**6)
    threshold = judgement(0.01, "signal over noise above which a latent variable is active", low=0.0, high=1e6)
    sampled = judgement(False, "answers will be made from draws of the prior, which the data must fill")
    prior_bound = judgement(0.1, "largest divergence of all samples from the prior, an active variable", unit="nat", low=0.0)

    def applies(self, subject: Subject) -> str:
        return str(probe.latents.no_latents(subject))

    def measure(self, subject: Subject) -> Dataset:
        found, where = probe.latents.latents_of(subject), subject.description.representation
        data: dict[str, Any] = {"mean": (("sample", "latent"), found.mean, {"units": ""})}
        if found.std is not None:
            data["std"] = (("sample", "latent"), found.std, {"units": ""})
        if found.components is not None:
            data["component_variance"] = ("channel", found.components.variances, {"units": ""})
        attrs = {
            "source": found.source,
            "prior": where.prior if found.std is not None else "none",
            "guessed": "; ".join(subject.description.guessed),
        }
        return xr.Dataset(data, coords={"latent": list(found.names)}, attrs=attrs)

    def judge(self, measured: Measured) -> list[Check]:
        model = measured["model"]
        if "component_variance" in model:
            return [self._layer(model), _spectrum(model)]
        checks = [self._active(model)]
        if model.attrs["prior"] != "none":
            checks += [self._divergence(model), self._fills_prior(model)]
        return checks + _correlation(model, self._is_active(model))

    def _is_active(self, data: Dataset) -> ndarray:
        """Which latent variables are active: (latent,) of bool."""
        signal: ndarray = probe.latents.activity.signal(*_arrays(data))
        return signal > self.threshold

    def _active(self, model: Dataset) -> Check:
        mean, std = _arrays(model)
        value, low, high = _over_samples(mean, std)
        alike, fewest, most = (float((edge > self.threshold).sum()) for edge in (value, low, high))
        count = Interval(alike, fewest, most)
        names = [str(name) for name in model.latent.values]
        order = np.argsort(-value)
        alive = [f"{names[i]} ({value[i]:.3g})" for i in order if value[i] > self.threshold]
        dead = [f"{names[i]} ({value[i]:.2g})" for i in order if value[i] <= self.threshold]
        noise = "signal over noise" if std is not None else "variance over the largest"
        sentence = f"It uses {len(alive)} of {len(names)} latent variables ({model.attrs['source']})"
        sentence += f"; {noise} of the active: {_listed(alive)}" if alive else ": the encoder has collapsed"
        sentence += f"; dead: {_listed(dead)}" if dead else "; none is dead"
        source = (
            f"an encoder of which fewer than {self.least} say anything tells the decoder nothing; active is what has more than "
        )
        source += f"{self.threshold:g}, the rule of Burda et al. (2016)"
        covers = f"{len(mean)} samples"
        return Check.judged("active", count, (float(self.least), None), f"{sentence}.", bound_from=source, covers=covers)

    def _divergence(self, model: Dataset) -> Check:
        each = _divergence(model)
        total = probe.intervals.of_mean(each.sum(1))
        told = ", ".join(f"{name}: {kl:.3g}" for name, kl in list(zip(model.latent.values, each.mean(0), strict=True))[:LISTED])
        sentence = f"The divergence from the prior is {total.value:.3g} nats a sample in all, by latent variable {told}."
        return Check.info("divergence", total, sentence, unit="nat", covers=f"{len(each)} samples")

    def _fills_prior(self, model: Dataset) -> Check:
        kept = self._is_active(model)
        if not kept.any():
            return Check.not_applicable("fills_prior", "no latent variable is active, and one that says nothing needs not fill it")
        mean, std = model["mean"].values[:, kept], model["std"].values[:, kept]
        off = probe.intervals.of_samples(np.stack([mean, std], 1), _per_variable)
        centre, covariance = probe.latents.activity.together(mean, std)
        names = model.latent.values[kept]
        told = ", ".join(
            f"{n}: {m:.2g} ± {math.sqrt(v):.2g}" for n, m, v in list(zip(names, centre, np.diag(covariance), strict=True))[:LISTED]
        )
        sentence = f"All draws together have mean and spread {told} where the prior has 0 ± 1: "
        sentence += f"{off.value:.2g} nats from it for each active variable"
        covers = f"{len(mean)} samples"
        if not self.sampled:
            sentence += "; that matters only where answers are made from draws of the prior (sampled=true)."
            return Check.info("fills_prior", off, sentence, unit="nat", covers=covers)
        source = "a convention: a mean off by 0.45, a variance of 0.5 or of 1.7 is 0.1 nats"
        bounds = (None, self.prior_bound)
        return Check.judged("fills_prior", off, bounds, f"{sentence}.", bound_from=source, unit="nat", covers=covers)

    def _layer(self, model: Dataset) -> Check:
        variances = model.component_variance.values
        ratio = probe.latents.participation_ratio(variances) if variances.any() else 0.0
        sentence = (
            f"The layer moves in {ratio:.3g} of {len(variances)} directions, by participation ratio ({model.attrs['source']})."
        )
        source = "a layer that gives the same at every point of every sample holds nothing"
        return Check.judged("participation", ratio, (float(min(self.least, 1)), None), sentence, bound_from=source)

    def draw(self, measured: Measured) -> list[Panel]:
        model = measured["model"]
        if "component_variance" in model:
            return [_spectrum_panel(measured), _space_panel(model, np.arange(model.sizes["latent"]))]
        order = np.argsort(-probe.latents.activity.signal(*_arrays(model)))
        panels = [self._use_panel(measured), _space_panel(model, order)]
        return panels + ([_correlation_panel(model)] if model.sizes["latent"] > 1 else [])

    def _use_panel(self, measured: Measured) -> Panel:
        """KL and signal over noise of every latent variable, beside the untrained twin's."""
        model = measured["model"]
        normal = model.attrs["prior"] != "none"
        names = [str(name) for name in model.latent.values]
        picture, axes = figures.figure(
            columns=1 + normal, width=min(3.2 + (1 + normal) * (1.2 + 0.35 * len(names)), 10.0), height=3.4
        )
        for subject in [name for name in ("model", "untrained") if name in measured]:
            value, low, high = (np.maximum(edge, 1e-6) for edge in _over_samples(*_arrays(measured[subject])))
            _bars(axes[0, 0], value, low, high, subject)
            if normal:
                _bars(axes[0, 1], *probe.intervals.over_samples(_divergence(measured[subject]), lambda rows: rows.mean(0)), subject)
        axes[0, 0].axhline(self.threshold, color="#D55E00", lw=1.3, ls="--", label="active above")
        spread = "signal over noise, Var(μ)/⟨σ²⟩" if "std" in model else "variance over the largest"
        axes[0, 0].set(yscale="log", ylabel=spread, xlabel="latent variable")
        for panel in axes[0]:
            figures.names(panel, names)
        if normal:
            axes[0, 1].set(xlabel="latent variable", ylim=(0, None))
            axes[0, 1].set_ylabel(figures.axis_label("KL from the prior", "nat"))
        figures.legend_beside(axes[0])
        signal = probe.latents.activity.signal(*_arrays(model))
        text = "Signal over noise: " + ", ".join(f"{n}: {s:.3g}" for n, s in zip(names, signal, strict=True))
        caption = (
            "Left: how far the samples' means lie apart, over the spread of each: above the dashed line a variable is active. "
            + ("Right: the mean divergence from N(0, 1), the price of what it says. " if normal else "")
            + "Signals below 1e-6 are drawn at it. Bars are intervals over samples; open points are the untrained twin."
        )
        return Panel("Which latent variables are used", [("", picture)], caption, text, _variables(model))


def _arrays(data: Dataset) -> tuple[ndarray, ndarray | None]:
    """Means and standard deviations, (sample, latent)."""
    return data["mean"].values, data["std"].values if "std" in data else None


def _divergence(data: Dataset) -> ndarray:
    """KL of each latent variable of each sample from the prior: (sample, latent) [nat]."""
    found: ndarray = probe.latents.activity.divergence(data["mean"].values, data["std"].values)
    return found


def _variables(data: Dataset) -> tuple[str, ...]:
    return ("mean", "std") if "std" in data else ("mean",)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")


def _over_samples(mean: ndarray, std: ndarray | None) -> tuple[ndarray, ndarray, ndarray]:
    """Signal over noise of each latent variable with its interval."""
    both = np.stack([mean, np.full_like(mean, np.nan) if std is None else std], 1)

    def of(rows: ndarray) -> ndarray:
        found: ndarray = probe.latents.activity.signal(rows[:, 0], None if std is None else rows[:, 1])
        return found

    value, low, high = probe.intervals.over_samples(both, of)
    return value, np.maximum(low, 0.0), high


def _per_variable(rows: ndarray) -> ndarray:
    """Divergence of all samples from the prior, for each latent variable; infinite where they are too few to span the space."""
    off = probe.latents.activity.from_prior(rows[:, 0], rows[:, 1])
    return np.asarray(off / rows.shape[2])


def _correlation(model: Dataset, active: ndarray) -> list[Check]:
    """The closest pair of active latent variables."""
    if active.sum() < 2:
        return []
    mean, std = _arrays(model)
    names, places = model.latent.values[active], np.flatnonzero(active)
    found = np.abs(np.triu(probe.latents.activity.correlation(mean[:, places], None if std is None else std[:, places]), 1))
    first, second = np.unravel_index(int(np.nanargmax(found)), found.shape)
    pair = places[[first, second]]
    both = np.stack([mean[:, pair], np.zeros((len(mean), 2)) if std is None else std[:, pair]], 1)
    r = probe.intervals.of_samples(both, lambda rows: probe.latents.activity.correlation(rows[:, 0], rows[:, 1])[0, 1])
    chance = 1 / math.sqrt(len(mean))
    sentence = f"Of the active latent variables {names[first]!s} and {names[second]!s} go together most: r = {r.value:.2f} "
    sentence += f"(independent ones scatter by {chance:.2g})."
    return [Check.info("correlation", r, sentence, covers=f"{len(mean)} samples")]


def _spectrum(model: Dataset) -> Check:
    """How many principal components hold 95 % of the variance."""
    variances = model.component_variance.values
    if not variances.any():
        return Check.not_applicable("spectrum", "the layer has no variance at all")
    held = np.cumsum(variances) / variances.sum()
    count, kept = 1 + int(np.searchsorted(held, 0.95)), model.sizes["latent"]
    sentence = f"The first of its principal components holds {percent(held[0])} of the variance, the first {count} 95 %; as latent "
    return Check.info("spectrum", float(count), f"{sentence}variables the first {kept} are kept, with {percent(held[kept - 1])}.")


def _bars(axes: Axes, value: ndarray, low: ndarray, high: ndarray, subject: str) -> None:
    """A point with its interval for every latent variable, filled for the model."""
    look, place = figures.style(subject), np.arange(len(value)) + (0.0 if subject == "model" else 0.18)
    face = look["color"] if subject == "model" else "white"
    finite = np.isfinite(low) & np.isfinite(high)
    axes.vlines(place[finite], low[finite], high[finite], color=look["color"], lw=1.6)
    axes.plot(place, value, "o", ms=6, color=look["color"], markerfacecolor=face, label=look["label"])


def _space_panel(model: Dataset, order: ndarray) -> Panel:
    """Where the samples lie: each latent variable by itself against the prior, and pairs of them."""
    mean, std = _arrays(model)
    kept, names = order[:SHOWN], [str(name) for name in model.latent.values]
    picture, axes = figures.figure(columns=len(kept), rows=len(kept), width=1.2 + 2.1 * len(kept), height=0.9 + 1.9 * len(kept))
    pairs = max(1, len(kept) * (len(kept) - 1) // 2)
    drawn = np.linspace(0, len(mean) - 1, min(len(mean), CLOUD // pairs)).astype(int)
    for row, below in enumerate(kept):
        for column, left in enumerate(kept):
            axis: Axes = axes[row, column]
            if column > row:
                axis.remove()
            elif column == row:
                _alone(axis, mean[:, below], None if std is None else std[:, below], model.attrs["prior"] != "none")
            else:
                axis.plot(mean[drawn, left], mean[drawn, below], ".", ms=2.5, color=figures.style("model")["color"], alpha=0.5)
            axis.set_xlabel(names[left])
            axis.set_ylabel("density" if column == row else names[below])
    with figures.house_style():
        picture.legend(*axes[0, 0].get_legend_handles_labels(), loc="upper right" if len(kept) > 1 else "outside right upper")
    centre, covariance = probe.latents.activity.together(mean, std)
    text = "Mean and spread of all draws: " + ", ".join(
        f"{names[i]}: {centre[i]:.3g} and {math.sqrt(covariance[i, i]):.3g}" for i in kept
    )
    caption = (
        "On the diagonal the density of each latent variable over all samples, smoothed where they lie apart"
        + (", beside the prior N(0, 1)" if model.attrs["prior"] != "none" else "")
        + f"; below it the samples' means, {len(drawn)} of {len(mean)}"
        + (f"; the {len(kept)} that say most" if len(kept) < len(order) else "")
        + ". Structure in a cloud of points is knowledge that two variables share."
    )
    return Panel("The space that they span", [("", picture)], caption, text, _variables(model))


def _alone(axes: Axes, mean: ndarray, std: ndarray | None, prior: bool) -> None:
    """The density of all draws of one latent variable, or a histogram where there is no spread."""
    color = figures.style("model")["color"]
    if std is None:
        axes.hist(mean, bins=min(40, max(5, len(mean) // 5)), density=True, color=color, alpha=0.5, label="samples")
        return
    reach = max(4.0 if prior else 0.0, float(np.abs(mean).max() + 3 * std.max()))
    points = np.linspace(-reach, reach, 201)
    # Narrow spreads would each be a peak of their own: smoothed as any density of samples (Silverman 1986, eq. 3.31).
    width = np.maximum(std, 0.9 * mean.std() * len(mean) ** -0.2)
    axes.plot(points, probe.latents.activity.density(mean, width, points), color=color, lw=1.8, label="all samples")
    if prior:
        axes.plot(points, np.exp(-(points**2) / 2) / math.sqrt(2 * math.pi), color="black", lw=1.1, ls="--", label="prior")


def _correlation_panel(model: Dataset) -> Panel:
    names = [str(name) for name in model.latent.values]
    values = probe.latents.activity.correlation(*_arrays(model))
    picture = figures.matrix(values, names, names, label="correlation")
    pairs = [(abs(values[i, j]), names[i], names[j], values[i, j]) for i in range(len(names)) for j in range(i)]
    closest = sorted((pair for pair in pairs if math.isfinite(pair[0])), reverse=True)[:5]
    text = "Strongest correlations: " + (", ".join(f"{a} and {b}: {r:.3f}" for _, a, b, r in closest) or "none of 0 pairs")
    caption = (
        "Correlation of draws between latent variables. Disentangled ones are uncorrelated; so is a dead one, "
        "whatever it holds, because its draws are noise."
    )
    return Panel("Correlations", [("", picture)], caption, text, _variables(model))


def _spectrum_panel(measured: Measured) -> Panel:
    """Variance by component, and how much of it the first ones hold."""
    picture, axes = figures.figure(columns=2, width=8.4, height=3.3)
    for subject in [name for name in ("untrained", "model") if name in measured]:
        variances, look = measured[subject].component_variance.values, figures.style(subject)
        count = np.arange(1, len(variances) + 1)
        whole = max(float(variances.sum()), 1e-300)
        axes[0, 0].plot(count, np.maximum(variances / whole, 1e-12), marker="o", ms=3, **look)
        axes[0, 1].plot(count, np.cumsum(variances) / whole, marker="o", ms=3, **look)
    axes[0, 0].set(yscale="log", ylabel="share of the variance", xlabel="component")
    axes[0, 1].set(ylim=(0, 1.03), ylabel="share in this and all before", xlabel="component")
    for panel in axes[0]:
        panel.locator_params(axis="x", integer=True)
    figures.legend_beside(axes[0])
    variances = measured["model"].component_variance.values
    shares = variances / max(float(variances.sum()), 1e-300)
    text = "Share of the variance by component: " + ", ".join(f"{share:.3g}" for share in shares[:12])
    caption = (
        "Principal components of the layer's channels over all points of all samples. A steep fall is a layer that uses few "
        "directions; the untrained twin's tells how many the architecture alone would."
    )
    return Panel("Principal components", [("", picture)], caption, text, ("component_variance",))
