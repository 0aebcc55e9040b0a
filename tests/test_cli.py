"""The command line as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.command import call


def test_the_headline_command_works_from_the_last_line_of_a_training_script(place):
    status, out, err = call("run", "rotation", "phase", "--model", "ckpt.pt", "--out", "out")
    assert status == 0, err
    assert "report:" in out and "passes" in err
    assert json.loads(Path("out/run.json").read_text())["complete"]
    assert Path("out/report.html").stat().st_size > 10_000


def test_json_is_what_run_json_holds(place):
    status, out, _ = call("run", "phase", "--model", "ckpt.pt", "--out", "out", "--format", "json")
    assert status == 0 and json.loads(out)["probes"] == json.loads(Path("out/run.json").read_text())["probes"]


def test_a_failed_check_is_exit_status_one_until_it_is_judged_by_a_wider_bound(place):
    one_level = ("--set", "plane_wave.levels=0.2", "--controls", "none")
    assert call("run", "plane_wave", "--model", "zoo:oracle/gaussian_filter", "--out", "out", *one_level)[0] == 1
    status, out, _ = call("report", "out", "--set", "plane_wave.bound=1")
    assert status == 0 and "report:" in out


def test_a_dry_run_asks_nothing_and_writes_nothing(place):
    status, out, _ = call("run", "all", "--model", "ckpt.pt", "--dry-run")
    assert status == 0 and "not applicable" in out and "will be asked" in out
    assert not Path("reports").exists()


def test_inspect_tells_what_a_file_holds_and_runs_nothing(place):
    status, out, _ = call("inspect", "ckpt.pt")
    assert status == 0 and "conv.weight  1x1x3x3  float32" in out and "next: probe run" in out


def test_an_allowed_description_is_used_until_it_changes(place):
    Path("ckpt.probe.toml").write_text(Path("ckpt.probe.toml").read_text() + "\n# changed\n")
    assert call("run", "phase", "--model", "ckpt.pt", "--out", "a")[0] == 2
    assert call("allow", "ckpt.probe.toml")[0] == 0
    assert call("run", "phase", "--model", "ckpt.pt", "--out", "a")[0] == 0


def test_what_there_is_can_be_listed():
    assert "rotation" in call("list")[1] and "zoo:lpt2nbody" in call("zoo")[1] and "zoo:defect/zero_padding" in call("zoo")[1]
    status, out, _ = call("explain", "rotation")
    assert status == 0 and "--set rotation.bound=" in out and "Gruver" in out


def test_the_zoo_says_which_probes_apply():
    status, out, _ = call("list", "--model", "zoo:oracle/identity")
    assert status == 0 and "not applicable: it needs pairs" in out
