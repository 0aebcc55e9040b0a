"""Latent variables of published encoders: SciNet as its authors trained it, and those recorded of dark-matter haloes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from probe import latents
from probe.interface import run
from probe.loading import load
from tests.representation.models import subject

CASES = Path(__file__).parents[2] / "docs" / "case_studies"
DATA = Path(os.environ.get("PROBE_REALDATA", ""))
pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif("PROBE_REALDATA" not in os.environ, reason="PROBE_REALDATA names no folder of networks and data"),
]


@pytest.fixture(scope="module")
def scinet(tmp_path_factory):
    stored = np.load(DATA / "scinet_pendulum" / "oscillator_weights.npz")
    path = tmp_path_factory.mktemp("scinet") / "scinet.pt"
    torch.save({name: torch.from_numpy(stored[name]) for name in stored if name[:2] in ("en", "de")}, path)
    return load(path, spec=CASES / "scinet" / "latents.probe.toml")


def test_scinet_keeps_damping_and_frequency(scinet):
    asked = subject(scinet)
    found, beside = latents.latents_of(asked), {one.name: one.values for one in latents.known(asked)}
    assert found.mean.shape == (1000, 2) and set(beside) == {"damping", "spring", "x there"}
    frequency = np.sqrt(beside["spring"] - beside["damping"] ** 2 / 4)
    assert abs(np.corrcoef(found.mean[:, 1], frequency)[0, 1]) > 0.995
    assert abs(np.corrcoef(found.mean[:, 0], beside["damping"])[0, 1]) > 0.98


def test_scinet_decodes_a_family_of_swings(scinet):
    result = run("traversal", scinet, controls="none")["traversal"]
    verdicts = {check.name: check.verdict for check in result.checks}
    assert verdicts["active_decoded"] == verdicts["round_trip"] == "pass" and verdicts["dead_silent"] == "not_applicable"
    found = result.measured["model"]
    assert found.answer.shape == (2, 9, 1, 51) and found.attrs["question"] == "t"
    # Along the second the time of the first return through zero moves one way; every curve starts at x = 1.
    np.testing.assert_allclose(found.answer[..., 0], 1, atol=0.1)
    crossings = [int(np.argmax(curve < 0)) for curve in found.answer.values[1, :, 0]]
    assert crossings == sorted(crossings, reverse=True) or crossings == sorted(crossings)
    assert crossings[0] != crossings[-1]


def test_latent_variables_of_haloes_are_as_recorded():
    model = load(CASES / "ive_halos" / "ive_halos.probe.toml")
    asked = subject(model)
    found = latents.latents_of(asked)
    assert found.mean.shape == (4332, 3) and found.names == ("A", "B", "C")
    (profile,) = latents.known(asked)
    assert profile.values.shape == (4332, 13) and profile.coordinate.name == "radial bin"
    result = run("latents", model)["latents"]
    assert result.verdict == "pass" and result.checks[0].interval.value == 3
    std = np.load(DATA / "ive_halos" / "latent_std_11_testset_epoch_27.npy").astype(float)
    kl = 0.5 * (found.mean**2 + std**2 - np.log(std**2) - 1)
    assert result.checks[1].interval.value == pytest.approx(kl.sum(1).mean(), rel=1e-12)
