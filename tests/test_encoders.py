"""The zoo's networks with a bottleneck: their loss, and what its beta does where that can be worked out."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.optimize import minimize

from probe.zoo import encoders
from probe.zoo.encoders import curve_network, cutout_network, divergence_from_prior, loss


def test_the_divergence_is_that_of_torch():
    draw = torch.Generator().manual_seed(0)
    mean, log_variance = torch.randn(2, 50, 3, generator=draw, dtype=torch.float64)
    normal = torch.distributions.Normal(mean, (log_variance / 2).exp())
    expected = torch.distributions.kl_divergence(
        normal, torch.distributions.Normal(torch.zeros(()).double(), torch.ones(()).double())
    )
    torch.testing.assert_close(divergence_from_prior(mean, log_variance), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("variance", "beta"), [(0.087, 4e-5), (0.0012, 1e-4), (0.0012, 2.2e-3), (0.0012, 2.6e-3), (1e-6, 4e-5)])
def test_beta_over_two_is_the_variance_that_a_latent_variable_must_bring(variance, beta):
    # One normal factor f, answer sqrt(variance) f; latent a f + s noise, decoder d z. All of it can be written down.
    def expected_loss(x):
        a, log_s, d = x
        error = (math.sqrt(variance) - d * a) ** 2 + d**2 * math.exp(2 * log_s)
        # E a^2 f^2 = a^2, so that the mean of the KL is the KL at mean a.
        return (error + beta * float(divergence_from_prior(torch.tensor(a), torch.tensor(2 * log_s)))) / beta

    a, log_s, _ = minimize(
        expected_loss, [0.7, -1.0, 0.05], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 10_000}
    ).x
    found = float(divergence_from_prior(torch.tensor(a), torch.tensor(2 * log_s)))
    assert found == pytest.approx(max(0.0, math.log(2 * variance / beta) / 2), abs=1e-4)


@pytest.mark.parametrize(("network", "shape"), [(curve_network(3), (1, 50)), (cutout_network(4), (1, 16, 16, 16))])
def test_a_network_answers_from_the_means_and_its_loss_draws(network, shape):
    generator = torch.Generator().manual_seed(0)
    values, questions = torch.randn(6, *shape, generator=generator), torch.rand(6, 5, generator=generator)
    mean, log_variance = network.encoder(values)
    answer = network(values, questions[:, 0])
    assert answer.shape == (6, 1) and mean.shape == log_variance.shape
    torch.testing.assert_close(answer, network.decoder(mean, questions[:, 0]))
    # Where the truth is what the decoder says of the very draws, the error is gone and beta KL is left.
    again = torch.Generator().manual_seed(7)
    draw = mean + (log_variance / 2).exp() * torch.randn(mean.shape, generator=again)
    truth = torch.stack([network.decoder(draw, asked)[:, 0] for asked in questions.T], 1)
    expected = 0.3 * divergence_from_prior(mean, log_variance).sum(1).mean()
    torch.testing.assert_close(loss(network, values, questions, truth, 0.3, torch.Generator().manual_seed(7)), expected)
    off = loss(network, values, questions, truth + 0.5, 0.3, torch.Generator().manual_seed(7))
    torch.testing.assert_close(off - expected, torch.tensor(0.25))


def test_a_cutout_is_seen_by_its_level_and_its_slopes():
    network = encoders.Cutout(16, 4, 8)
    places = torch.arange(16) - 7.5
    x, y, z = torch.meshgrid(places, places, places, indexing="ij")
    law = 3.0 - 1.7 * (x**2 + y**2 + z**2).sqrt().log10()[None, None]
    level, *slopes = (law.flatten(1) @ network.weights)[0].tolist()
    # The logarithm of a shell's mean radius is not quite the mean of the logarithms.
    assert slopes == pytest.approx([-1.7] * 12, rel=0.05)
    assert level == pytest.approx(3 - 1.7 * sum(math.log10(i + 0.5) for i in range(13)) / 13, abs=0.1)
    given = law + 0.1 * torch.randn(64, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    network.standardise(given)
    seen = (given.flatten(1) @ network.weights - network.mean) / network.spread
    torch.testing.assert_close((seen.mean(0), seen.std(0)), (torch.zeros(13), torch.ones(13)), rtol=0, atol=2e-3)
    turned = law.transpose(2, 4).flip(3)
    torch.testing.assert_close(turned.flatten(1) @ network.weights, law.flatten(1) @ network.weights, rtol=0, atol=1e-4)


def test_training_finds_two_factors_and_leaves_the_third_latent_variable_dead():
    # x = (f, g) is looked at; questions 0 and 1 ask for 0.3 f and 0.1 g. KL by the closed form, factors normal.
    torch.manual_seed(0)
    network = encoders.Answerer(encoders.Encoder(encoders.dense([2, 16, 6])), encoders.Decoder(3, 16, 1, 0.5, 0.5))

    def draw(generator):
        factors = torch.randn(256, 2, generator=generator)
        return factors, torch.tensor([[0.0, 1.0]]).expand(256, 2), factors * torch.tensor([0.3, 0.1])

    encoders.train(network, draw, beta=1e-4, minutes=0, peak=1e-2, steps=2000)
    factors = torch.randn(4000, 2, generator=torch.Generator().manual_seed(5))
    mean, log_variance = network.encoder(factors)
    kl = divergence_from_prior(mean, log_variance).mean(0).detach()
    # Two questions share the mean square: lambda = 0.09/2 and 0.01/2.
    first, second, third = kl.sort(descending=True).values.tolist()
    assert (first, second) == pytest.approx([math.log(0.09 / 1e-4) / 2, math.log(0.01 / 1e-4) / 2], rel=0.1) and third < 0.02
    r = torch.corrcoef(torch.cat([mean[:, kl.argsort(descending=True)[:2]], factors], 1).T)[:2, 2:].abs()
    assert (r.diagonal() > 0.98).all() and max(r[0, 1], r[1, 0]) < 0.2
