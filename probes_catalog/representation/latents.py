"""The probe `latents`."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import lazy_loader as lazy

import probe
from probe.contract import Check, Measured, Panel, Probe, Subject, judgement, percent
from probe.intervals import Interval

if TYPE_CHECKING:
    from numpy import ndarray
    from xarray import Dataset

np, xr = lazy.load("numpy"), lazy.load("xarray")

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
        signal: ndarray = probe.latents.activity.signal(*probe.latents.activity.stored(data))
        return signal > self.threshold

    def _active(self, model: Dataset) -> Check:
        mean, std = probe.latents.activity.stored(model)
        value, low, high = probe.latents.activity.signal_over_samples(mean, std)
        alike, fewest, most = (float((edge > self.threshold).sum()) for edge in (value, low, high))
        count = Interval(alike, fewest, most)
        names = [str(name) for name in model.latent.values]
        order = np.argsort(-value)
        alive = [f"{names[i]} ({value[i]:.3g})" for i in order if value[i] > self.threshold]
        dead = [f"{names[i]} ({value[i]:.2g})" for i in order if value[i] <= self.threshold]
        noise = "signal over noise" if std is not None else "variance over the largest"
        sentence = f"It uses {len(alive)} of {len(names)} latent variables ({model.attrs['source']})"
        sentence += f"; {noise} of the active: {_listed(alive)}" if alive else ""
        sentence += f"; dead: {_listed(dead)}" if dead else "; none is dead"
        sentence += "" if most else ": the encoder has collapsed"
        sentence += "; samples so few do not tell how far others lie apart" if len(mean) < 3 else ""
        source = (
            f"an encoder of which fewer than {self.least} say anything tells the decoder nothing; active is what has more than "
        )
        source += f"{self.threshold:g}, the rule of Burda et al. (2016)"
        covers = f"{len(mean)} samples"
        return Check.judged("active", count, (float(self.least), None), f"{sentence}.", bound_from=source, covers=covers)

    def _divergence(self, model: Dataset) -> Check:
        each = probe.latents.activity.divergence(model["mean"].values, model["std"].values)
        if sharp := int(np.isinf(each).any(1).sum()):
            reason = f"a spread of 0, as in {sharp} of {len(each)} samples, is infinitely far from the prior"
            return Check.not_applicable("divergence", reason)
        total = _within(probe.intervals.of_mean(each.sum(1)), 0.0)
        told = _listed([f"{name}: {kl:.3g}" for name, kl in zip(model.latent.values, each.mean(0), strict=True)])
        sentence = f"The divergence from the prior is {total.value:.3g} nats a sample in all, by latent variable {told}."
        return Check.info("divergence", total, sentence, unit="nat", covers=f"{len(each)} samples")

    def _fills_prior(self, model: Dataset) -> Check:
        kept = self._is_active(model)
        if not kept.any():
            return Check.not_applicable("fills_prior", "no latent variable is active, and one that says nothing needs not fill it")
        mean, std = model["mean"].values[:, kept], model["std"].values[:, kept]
        off = _within(probe.intervals.of_samples(np.stack([mean, std], 1), _per_variable), 0.0)
        centre, covariance = probe.latents.activity.together(mean, std)
        names = model.latent.values[kept]
        told = _listed([f"{n}: {m:.2g} ± {math.sqrt(v):.2g}" for n, m, v in zip(names, centre, np.diag(covariance), strict=True)])
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
        model, pictures = measured["model"], probe.latents.pictures.space
        if "component_variance" in model:
            return [pictures.components(measured), pictures.space(model, np.arange(model.sizes["latent"]))]
        order = np.argsort(-probe.latents.activity.signal(*probe.latents.activity.stored(model)))
        panels = [pictures.use(measured, self.threshold), pictures.space(model, order)]
        return panels + ([pictures.correlations(model, order)] if model.sizes["latent"] > 1 else [])


def _listed(names: list[str]) -> str:
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")


def _within(found: Interval, low: float, high: float = math.inf) -> Interval:
    """An interval without what the value cannot be."""
    return replace(found, low=max(found.low, low), high=min(found.high, high))


def _per_variable(rows: ndarray) -> ndarray:
    """Divergence of all samples from the prior, for each latent variable; infinite where they are too few to span the space."""
    off = probe.latents.activity.from_prior(rows[:, 0], rows[:, 1])
    return np.asarray(off / rows.shape[2])


def _correlation(model: Dataset, active: ndarray) -> list[Check]:
    """The closest pair of active latent variables."""
    if active.sum() < 2 or model.sizes["sample"] < 3:
        return []
    mean, std = probe.latents.activity.stored(model)
    names, places = model.latent.values[active], np.flatnonzero(active)
    found = np.abs(np.triu(probe.latents.activity.correlation(mean[:, places], None if std is None else std[:, places]), 1))
    first, second = np.unravel_index(int(np.nanargmax(found)), found.shape)
    pair = places[[first, second]]
    both = np.stack([mean[:, pair], np.zeros((len(mean), 2)) if std is None else std[:, pair]], 1)
    r = probe.intervals.of_samples(both, lambda rows: probe.latents.activity.correlation(rows[:, 0], rows[:, 1])[0, 1])
    r, chance = _within(r, -1.0, 1.0), 1 / math.sqrt(len(mean))
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
