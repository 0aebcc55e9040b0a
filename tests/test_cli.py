"""The command line as a user meets it: every bad input gets one sentence and exit status 2."""

from __future__ import annotations

import json
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import xarray as xr
from click.testing import CliRunner

import probe
from probe import store
from probe.cli import main

NETWORK = """
import torch
class Net(torch.nn.Module):
    def __init__(self, channels=1):
        super().__init__()
        self.conv = torch.nn.Conv2d(channels, channels, 3, padding=1, padding_mode="circular", bias=False)
    def forward(self, x):
        return x + 0.0 * self.conv(x)
class Nan(Net):
    def forward(self, x):
        return self.conv(x) * float("nan")
class Twice(Net):
    def forward(self, x):
        return x, x
"""


def call(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, list(words))
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a small network's code and checkpoint, and a home of its own for permissions."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("smallnet", None)
    (tmp_path / "smallnet.py").write_text(NETWORK)
    import smallnet

    torch.manual_seed(0)
    probe.save(smallnet.Net(), tmp_path / "ckpt.pt", factory="smallnet:Net", grid=(16, 16), input="scalar", output="scalar")
    return tmp_path


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


class Payload:
    """Unpickling it writes a file."""

    def __reduce__(self):
        return (Path.touch, (Path("executed"),))


def spoil(place: Path, what: str) -> tuple[str, ...]:
    """One kind of bad input; the words that follow `probe run phase`."""
    good = ("--model", "ckpt.pt")
    state = torch.load("ckpt.pt", weights_only=True)
    match what:
        case "missing":
            return ("--model", "none.pt")
        case "corrupt":
            Path("ckpt.pt").write_bytes(b"not a checkpoint at all")
        case "truncated":
            Path("ckpt.pt").write_bytes(Path("ckpt.pt").read_bytes()[:200])
        case "pickle":
            Path("ckpt.pt").write_bytes(pickle.dumps(Payload()))
        case "pickle in a checkpoint":
            torch.save({"weights": Payload()}, "ckpt.pt")
        case "weights that do not fit":
            torch.save({"conv.weight": torch.zeros(2, 2, 3, 3)}, "ckpt.pt")
        case "code without leave":
            Path("ckpt.probe.toml").write_text(Path("ckpt.probe.toml").read_text() + "\n# changed\n")
        case "subprocess as factory":
            Path("ckpt.probe.toml").write_text(Path("ckpt.probe.toml").read_text().replace("smallnet:Net", "subprocess:run"))
        case "wrong channels":
            torch.save(state, "ckpt.pt")
            text = Path("ckpt.probe.toml").read_text().replace('kind = "scalar"', 'kind = "vector"')
            Path("ckpt.probe.toml").write_text(text)
            return (*good, "--spec", "ckpt.probe.toml")
        case "wrong grid":
            Path("ckpt.probe.toml").write_text(Path("ckpt.probe.toml").read_text().replace("[16, 16]", "[16, 16, 16]"))
            return (*good, "--spec", "ckpt.probe.toml")
        case "NaN out":
            return (*good, "--factory", "smallnet:Nan")
        case "tuple out":
            return (*good, "--factory", "smallnet:Twice")
        case "bare weights":
            Path("ckpt.probe.toml").unlink()
        case "unknown key":
            Path("ckpt.probe.toml").write_text(Path("ckpt.probe.toml").read_text().replace("factory =", "fatcory ="))
        case "unknown probe":
            return (*good, "phsae")
        case "unknown parameter":
            return (*good, "--set", "phase.lvel=0.1")
        case "value out of bounds":
            return (*good, "--set", "phase.level=-1")
        case "no parameter":
            return (*good, "--set", "phase")
        case "unknown control":
            return (*good, "--controls", "perfection")
        case "unwritable":
            Path("file").write_text("")
            return (*good, "--out", "file/below")
        case "no data":
            return (*good, "--data", "nowhere")
        case "batch size":
            return (*good, "--batch-size", "many")
        case "zoo":
            return ("--model", "zoo:lpt2nbdy")
    return good


BAD = {
    "missing": "none.pt",
    "corrupt": "ckpt.pt",
    "truncated": "ckpt.pt",
    "pickle": "--trust-pickle",
    "pickle in a checkpoint": "--trust-pickle",
    "weights that do not fit": "conv.weight",
    "code without leave": "probe allow",
    "subprocess as factory": "probe allow",
    "wrong channels": "",
    "wrong grid": "",
    "NaN out": "NaN",
    "tuple out": "tuple",
    "bare weights": "--factory",
    "unknown key": "factory",
    "unknown probe": "'phase'",
    "unknown parameter": "'level'",
    "value out of bounds": "between",
    "no parameter": "PROBE.PARAMETER=VALUE",
    "unknown control": "identity",
    "unwritable": "cannot be written",
    "no data": "nowhere",
    "batch size": "auto",
    "zoo": "lpt2nbody",
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_gets_its_one_sentence_and_exit_status_two(place, what):
    words = spoil(place, what)
    status, out, err = call("run", "phase", *words)
    said = [line for line in (err + out).splitlines() if line]
    assert status == 2, (out, err)
    assert BAD[what] in " ".join(said)
    assert "Traceback" not in err + out
    assert not Path("executed").exists()
    if not any(word in what for word in ("channels", "grid", "out")):
        assert sum(line.startswith("probe: ") for line in said) == 1, said


def test_inspect_tells_what_a_file_holds_and_runs_nothing(place):
    status, out, _ = call("inspect", "ckpt.pt")
    assert status == 0 and "conv.weight  1x1x3x3  float32" in out and "next: probe run" in out
    Path("evil.pt").write_bytes(pickle.dumps(Payload()))
    call("inspect", "evil.pt")
    assert not Path("executed").exists()


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


@pytest.mark.slow
@pytest.mark.parametrize("command", [["list"], ["explain", "rotation"], ["--help"]])
def test_asking_what_there_is_takes_less_than_a_third_of_a_second_more_than_bare_python(command):
    def fastest(words):
        times = []
        for _ in range(7):
            start = time.perf_counter()
            subprocess.run(words, check=True, capture_output=True)
            times.append(time.perf_counter() - start)
        return min(times)

    bare = fastest([sys.executable, "-c", "pass"])
    assert fastest([sys.executable, "-m", "probe.cli", *command]) - bare < 0.3


@pytest.mark.slow
def test_a_run_that_is_interrupted_or_killed_is_resumed_to_the_same_numbers(tmp_path):
    words = [sys.executable, "-m", "probe.cli", "run", "rotation", "phase", "transfer", "--model", "zoo:lpt2nbody"]
    whole = tmp_path / "whole"
    subprocess.run([*words, "--out", str(whole)], capture_output=True, check=False)
    for how, expected in ((signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)):
        out = tmp_path / how.name
        broken = subprocess.Popen([*words, "--out", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 240
        while not (out / "rotation.nc").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        broken.send_signal(how)
        assert broken.wait() == expected
        assert not list(out.glob("*.html"))
        subprocess.run([*words, "--out", str(out), "--resume"], capture_output=True, check=False)
        for name in ("rotation", "phase", "transfer"):
            again, unbroken = store.read_measured(out, name), store.read_measured(whole, name)
            for subject, data in unbroken.items():
                xr.testing.assert_identical(again[subject], data)
