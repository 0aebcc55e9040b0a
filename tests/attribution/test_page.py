"""docs/attribution.md: its commands work, its targets are targets, and its numbers are what the commands give."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

from probe import store, targets
from probe.cli import main

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "attribution.md").read_text(encoding="utf-8")
COMMANDS = [block.replace("\\\n", " ") for block in re.findall(r"^```sh\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL)]
ROW = re.compile(r"^\| `(\w+)/(\w+)`.* \| ([-+\d.]+)( %)?[^|]* \| [^|]*\| (\w+) \|$")
REALDATA = pytest.mark.skipif("PROBE_REALDATA" not in os.environ, reason="PROBE_REALDATA names no folder of networks and data")
FOLDERS = [
    "omega_m_attribution",
    "omega_m_boxes",
    "lpt2nbody_attribution",
    pytest.param("deepmass_attribution", marks=[pytest.mark.realdata, REALDATA]),
]
Asked = Callable[[str], Path]


def rows() -> dict[str, list[tuple[str, ...]]]:
    """The rows of checks by the folder of the command above them."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for line in PAGE.splitlines():
        if out := re.search(r"--out reports/(\w+)", line):
            found[out[1]] = rows_here = []
        elif row := ROW.match(line):
            rows_here.append(row.groups(default=""))
    return found


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    """The folder that a command of the page has filled, by its name."""
    there = tmp_path_factory.mktemp("attribution")

    @cache
    def run(name: str) -> Path:
        (command,) = [one for one in COMMANDS if f"reports/{name}" in one]
        words = shlex.split(os.path.expandvars(command).replace("docs/", f"{ROOT}/docs/"))[1:]
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(there)
            patch.setattr("probe.report.write", lambda *drawn: None)
            done = CliRunner().invoke(main, words)
        assert done.exit_code == 0, done.output
        return there / "reports" / name

    return run


def checks(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    return {(p["name"], c["name"]): c for p in store.read_document(folder)["probes"] for c in p["checks"]}


def measured(folder: Path, probe: str, subject: str = "model") -> xr.Dataset:
    data: xr.Dataset = store.read_measured(folder, probe)[subject]
    return data


def test_every_target_of_the_page_is_one() -> None:
    table = PAGE.partition("| target | is |")[2].partition("\n\n")[0]
    named = [name for line in table.splitlines()[2:] for name in re.findall(r"`(\w+\(?[^`]*)`", line.split("|")[1])]
    assert len(named) == 10
    assert all(str(targets.parse(name)) == name for name in named)


def test_every_row_is_of_a_command() -> None:
    assert {name: len(found) for name, found in rows().items()} == {
        "omega_m_attribution": 12,
        "omega_m_boxes": 7,
        "lpt2nbody_attribution": 13,
        "deepmass_attribution": 9,
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", FOLDERS)
def test_every_row_of_the_tables_is_what_was_measured(name: str, asked: Asked) -> None:
    found = checks(asked(name))
    for probe, check, value, per_cent, verdict in rows()[name]:
        one = found[probe, check]
        # As written: half of the last digit, and what rounds otherwise elsewhere.
        digits = len(value.partition(".")[2])
        wanted = pytest.approx(float(value), rel=0.02, abs=0.5 * 10**-digits)
        assert one["value"] * (100 if per_cent else 1) == wanted and one["verdict"] == verdict, (probe, check)


@pytest.mark.slow
def test_what_the_page_tells_of_omega_m(asked: Asked) -> None:
    few, many = asked("omega_m_attribution"), asked("omega_m_boxes")
    kept = {name: checks(few)["surrogates", name]["sentence"] for name in ("power_spectrum", "one_point", "power_and_one_point")}
    assert "Omega_m 8.7" in kept["power_spectrum"] and "Omega_m 5.1" in kept["one_point"]
    assert "Omega_m 31." in kept["power_and_one_point"] and "sigma_8 93." in kept["power_and_one_point"]
    assert "sigma_8 86." in kept["one_point"]
    removal = checks(many)["scales", "removal"]["sentence"]
    shares = [float(share) for share in re.findall(r"([\d.]+) %", removal)]
    assert shares == pytest.approx([0.69, 11.8, 4.9, 21.6, 20.8, 27.1, 46, 14.9, 27.7, 24.5], rel=0.03)
    gradient = measured(few, "saliency").picture.sel({"method": "gradient"}).values[0]
    odd, even = (np.sqrt((gradient[start::2, start::2] ** 2).mean()) for start in (1, 0))
    assert odd / even == pytest.approx(1.6, abs=0.1)
    activation = measured(few, "activation")
    assert activation.value.values[:, 0].mean() == pytest.approx(0.85, abs=0.01) and activation.cut.values.min() < -5
    assert np.delete(activation.alike.values, activation.value.values[:, -1].argmax()) == pytest.approx(0.08, abs=0.03)


@pytest.mark.slow
def test_what_the_page_tells_of_displacements(asked: Asked) -> None:
    folder = asked("lpt2nbody_attribution")
    found = checks(folder)
    assert found["feature_importance", "same_physics"]["controls"] == {"lpt2": "inconclusive", "untrained": "inconclusive"}
    model, lpt2 = (measured(folder, "feature_importance", name) for name in ("model", "lpt2"))
    left = [model.unexplained, model.true_unexplained, lpt2.unexplained]
    own, true, second = (values.mean(("simulation", "asked")).values for values in left)
    gains = [-np.diff(values)[0] for values in (own, true)]
    assert gains == pytest.approx([0.20, 0.18], abs=0.006)
    assert second[1] == pytest.approx(1 - 0.81, abs=0.01)
    assert "of 2LPT these are 28" in found["receptive_field", "change"]["sentence"]
    assert "95." in found["saliency_sanity", "randomisation"]["sentence"]
    assert "2LPT makes 39" in found["activation", "truth"]["sentence"]


@pytest.mark.slow
@pytest.mark.realdata
@REALDATA
def test_a_sigmoid_bounds_what_the_denoiser_answers(asked: Asked) -> None:
    folder = asked("deepmass_attribution")
    assert measured(folder, "activation").value.values[:, 1:] == pytest.approx(1 / 6, rel=1e-4)
    radius = measured(folder, "receptive_field").radius.values.mean(0)
    assert sorted(radius) == pytest.approx([0.093, 0.435], rel=0.02)
    assert "levelled off" in checks(folder)["activation", "scales"]["sentence"]
