"""docs/statistics.md: its commands work, and its numbers are what they give."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from probe import store
from probe.cli import main

PAGE = Path(__file__).parent.parent.parent / "docs" / "statistics.md"
COMMANDS = re.findall(r"^probe run .*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
ROW = re.compile(r"^\| `(\w+)/(\w+)`.* \| ([-\d.]+)[^|]* \| [^|]*\| (\w+) \|$", re.MULTILINE)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """The runs of the page by the names of their folders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("statistics"))
        patch.setattr("probe.report.write", lambda *drawn: None)
        found = {}
        for command in COMMANDS:
            done = CliRunner().invoke(main, shlex.split(command)[1:])
            assert done.exit_code == 0, done.output
            folder = Path(command.rsplit(" ", 1)[1])
            measured = {probe: store.read_measured(folder, probe) for probe in ("transfer", "one_point", "bispectrum")}
            found[folder.name] = store.read_document(folder), measured
    return found


def test_every_row_of_the_table_is_what_was_measured(asked):
    entries = {entry["name"]: entry for entry in asked["lpt2nbody_statistics"][0]["probes"]}
    rows = ROW.findall(PAGE.read_text(encoding="utf-8"))
    assert len(rows) == 8
    for name, check, value, verdict in rows:
        found = next(one for one in entries[name]["checks"] if one["name"] == check)
        measured = found["value"] * (100 if check in ("relative_error", "density") else 1)
        # As written: half of the last digit, and what rounds otherwise elsewhere.
        digits = len(value.partition(".")[2])
        assert measured == pytest.approx(float(value), rel=0.01, abs=0.5 * 10**-digits) and found["verdict"] == verdict


def test_what_the_page_tells_beside_it(asked):
    _, measured = asked["lpt2nbody_statistics"]
    kl = measured["one_point"]["model"].kl.sel(view="-div psi").mean("simulation").values
    null = measured["one_point"]["model"].null.sel(view="-div psi").mean("simulation").values
    assert (kl[1:] < 1.1e-5).all() and (kl[1:] < null[1:] / 1000).all() and kl[0] > 5 * null[0]
    assert measured["transfer"]["lpt2"].transfer_power.values[:, 0].max() == pytest.approx(1.3, abs=0.05)
    squeezed = {}
    for name, data in measured["bispectrum"].items():
        true = measured["bispectrum"]["model"]
        kept = (data.member.sel(shape="squeezed") == 1).values & np.isfinite(true.gaussian_variance.values)
        pred, right = (x.mean("simulation").values[kept] for x in (data.bispectrum_pred, true.bispectrum_true))
        weight = 1 / true.gaussian_variance.values[kept]
        squeezed[name] = (weight * pred * right).sum() / (weight * right**2).sum()
    assert squeezed["identity"] == pytest.approx(0.13, abs=0.01) and squeezed["lpt2_filter"] == pytest.approx(0.87, abs=0.01)


def test_the_rival_of_the_page_is_told(asked):
    document, measured = asked["lpt2nbody_rival"]
    found = next(check for check in document["probes"][0]["checks"] if check["name"] == "against_rivals")
    assert "high k lost" in measured["transfer"] and "of that of high k lost" in found["sentence"] and found["value"] < 1
