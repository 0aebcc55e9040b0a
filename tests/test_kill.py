"""A run that is killed, interrupted or out of disk: what was stored stays whole, and going on gives the same numbers."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from probe import interface, report, store
from probe.contract import Check, Probe
from probe.errors import InputError
from probe.fields import Field
from tests.command import call
from tests.models import LINE, on

LONG = ("rotation", "phase", "plane_wave", "reflection")
COMMAND = [sys.executable, "-m", "probe.cli", "run", *LONG, "--model", "zoo:oracle/lpt2"]


class First(Probe):
    """What becomes of a random field?"""

    controls = ()

    def measure(self, subject):
        noise = torch.randn(1, 1, *subject.grid.shape, generator=subject.rng("noise"))
        answer = subject.model(Field(noise, subject.grid, subject.description.inputs)).values[0, 0].numpy()
        return xr.Dataset({"answer": ("x", answer), "modes": ("k", np.fft.rfft(answer))})

    def judge(self, measured):
        largest = float(abs(measured["model"].answer).max())
        return [Check.judged("largest", largest, (None, 10.0), "It is small.", bound_from="a convention")]


class Second(First):
    """And of another?"""


def ask(folder: Path, *probes: str, **how: Any) -> interface.Run:
    """A short run, stored."""
    return interface.run(probes or ["first", "second"], on(LINE, lambda x: 0.9 * x), out=folder, **how)


@pytest.fixture
def short(monkeypatch):
    """Two probes that cost nothing, and reports without figures."""
    monkeypatch.setattr("probe.registry.catalogue", lambda: {"first": First, "second": Second})
    monkeypatch.setattr("probe.report.render", lambda document, results: f"<html>{len(results)}</html>")


def in_a_child(work: Callable[[], None]) -> int:
    """What becomes of a process that does this: its exit status, or minus the signal that ended it."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except InputError:
            os._exit(2)
        except BaseException:
            os._exit(99)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def whole(folder: Path) -> None:
    """Every file that has a name of its own is complete."""
    for path in folder.iterdir():
        if path.name.endswith(".partial"):
            continue
        if path.suffix == ".nc":
            assert store.read_measured(folder, path.stem)
        elif path.name == "run.json":
            assert store.read_document(folder)["probes"]
        else:
            assert path.name == "report.html" and path.read_text().rstrip().endswith("</html>")


def answers(folder: Path) -> Any:
    """All that was found out, without what depends on the clock and on how often it was asked."""
    kept = ("name", "parameters", "verdict", "reason", "headline", "checks")
    return [{key: probe[key] for key in kept} for probe in json.loads((folder / "run.json").read_text())["probes"]]


def same(folder: Path, unbroken: Path) -> None:
    """The two runs hold the same numbers, bit for bit, and nothing else lies about."""
    assert {path.name for path in folder.iterdir()} == {path.name for path in unbroken.iterdir()}
    assert answers(folder) == answers(unbroken)
    assert json.loads((folder / "run.json").read_text())["complete"]
    for path in unbroken.glob("*.nc"):
        found, expected = store.read_measured(folder, path.stem), store.read_measured(unbroken, path.stem)
        assert list(found) == list(expected)
        for subject, data in expected.items():
            xr.testing.assert_identical(found[subject], data)


def killed_at(step: int, folder: Path, *probes: str) -> Callable[[], None]:
    """A run that is killed before its n-th operation on a file; what it was to move into place is cut in half besides."""
    left = [step]

    def watch(event: str, arguments: tuple) -> None:
        if event not in ("open", "os.rename", "os.remove", "os.mkdir") or not str(arguments[0]).startswith(str(folder)):
            return
        left[0] -= 1
        if left[0] == 0:
            if event == "os.rename":
                os.truncate(arguments[0], os.path.getsize(arguments[0]) // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    def work() -> None:
        sys.addaudithook(watch)
        ask(folder, *probes, resume=True)

    return work


@pytest.mark.usefixtures("short")
def test_a_kill_at_any_operation_on_a_file_leaves_nothing_half_written(tmp_path):
    ask(tmp_path / "unbroken", "first")
    step, status = 0, -signal.SIGKILL
    while status == -signal.SIGKILL:
        step += 1
        broken = tmp_path / f"broken_{step}"
        status = in_a_child(killed_at(step, broken, "first"))
        if broken.exists():
            whole(broken)
        ask(broken, "first", resume=True)
        same(broken, tmp_path / "unbroken")
    assert status == 0 and step > 12


@pytest.mark.usefixtures("short")
def test_a_run_that_goes_on_is_killed_as_safely(tmp_path):
    ask(tmp_path / "unbroken")
    broken = tmp_path / "broken"
    for step in (9, 14, 12, 20, 11, 18, 16):
        assert in_a_child(killed_at(step, broken)) in (0, -signal.SIGKILL)
        whole(broken)
    ask(broken, resume=True)
    same(broken, tmp_path / "unbroken")


@pytest.mark.usefixtures("short")
def test_what_a_kill_left_half_written_is_taken_away_and_never_read(tmp_path):
    ask(tmp_path / "unbroken")
    broken = tmp_path / "broken"
    broken.mkdir()
    for name in ("first.nc", "run.json", "report.html"):
        (broken / f".{name}.123.partial").write_bytes(b"half")
    ask(broken)
    same(broken, tmp_path / "unbroken")


@pytest.mark.usefixtures("short")
def test_a_damaged_measurement_is_made_again(tmp_path):
    ask(tmp_path / "unbroken")
    shutil.copytree(tmp_path / "unbroken", tmp_path / "broken")
    path = tmp_path / "broken" / "first.nc"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"first\.nc cannot be read .* run first again with --resume"):
        interface.reopen(tmp_path / "broken")
    ask(tmp_path / "broken", resume=True)
    same(tmp_path / "broken", tmp_path / "unbroken")


# A full disk


def limited(size: int, work: Callable[[], None]) -> Callable[[], None]:
    """The same on a disk where no file may be larger: Python ignores the signal, and writing raises OSError."""

    def run() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        work()

    return run


def sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.iterdir()}


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("full_for", ["first.nc", "run.json", "second.nc"])
def test_a_disk_that_fills_keeps_what_was_stored_and_the_run_goes_on_when_there_is_room(tmp_path, full_for):
    ask(tmp_path / "unbroken")
    broken = tmp_path / "broken"
    room = sizes(tmp_path / "unbroken")[full_for] - 1
    assert in_a_child(limited(room, lambda: ask(broken))) == 2
    assert full_for not in sizes(broken) or full_for == "run.json"
    whole(broken)
    assert not list(broken.glob(".*"))
    ask(broken, resume=True)
    same(broken, tmp_path / "unbroken")


def test_a_report_for_which_there_is_no_room_leaves_the_old_one(tmp_path):
    document = {"probes": [], "command": "x" * 10_000}
    report.write(document, [], tmp_path / "report.html")
    before = (tmp_path / "report.html").read_bytes()
    assert in_a_child(limited(len(before) - 1, lambda: report.write(document, [], tmp_path / "report.html"))) == 2
    assert (tmp_path / "report.html").read_bytes() == before and list(sizes(tmp_path)) == ["report.html"]


def test_the_command_says_in_one_sentence_that_the_disk_is_full(place, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    status, out, err = call("run", "phase", "--model", "ckpt.pt", "--controls", "none", "--out", "out")
    said = [line for line in err.splitlines() if line.startswith("probe: ")]
    assert status == 2 and not out and len(said) == 1
    assert "phase.nc cannot be written (No space left on device); what was stored before is kept" in said[0]
    assert "make room" in said[0] and "--resume" in said[0]


def mounted(folder: Path, size: str) -> bool:
    """A small disk of its own in the folder, where this machine lets tests make one."""
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    return os.geteuid() == 0 and subprocess.run(words, capture_output=True, check=False).returncode == 0


@pytest.mark.slow
def test_a_disk_that_is_really_full_is_survived(tmp_path):
    disk = tmp_path / "disk"
    if not mounted(disk, "400k"):
        pytest.skip("no disk can be mounted here: only root may")
    try:
        first = subprocess.run([*COMMAND, "--out", str(disk / "out")], capture_output=True, text=True, check=False)
        assert first.returncode == 2 and "Traceback" not in first.stderr
        said = [line for line in first.stderr.splitlines() if line.startswith("probe: ")]
        assert len(said) == 1 and "No space left on device" in said[0], first.stderr
        whole(disk / "out")
        done = [probe["name"] for probe in store.read_document(disk / "out")["probes"]]
        subprocess.run(["mount", "-o", "remount,size=10m", str(disk)], check=True)
        again = subprocess.run([*COMMAND, "--out", str(disk / "out"), "--resume"], capture_output=True, text=True, check=False)
        unbroken = subprocess.run([*COMMAND, "--out", str(tmp_path / "unbroken")], capture_output=True, text=True, check=False)
        assert done and again.returncode == unbroken.returncode == 0, again.stderr
        same(disk / "out", tmp_path / "unbroken")
    finally:
        subprocess.run(["umount", str(disk)], check=False)


# Signals to the command itself


class Running:
    """`probe run` in a process of its own, begun when it has said what the run will cost."""

    def __init__(self, folder: Path) -> None:
        words = [*COMMAND, "--out", str(folder), "--resume"]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        # A shell starts its background jobs with SIGINT ignored, and a child inherits that.
        self.process = subprocess.Popen(
            words,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        assert self.process.stderr is not None
        self.first = self.process.stderr.readline()
        self.began = time.monotonic()

    def ended_by(self, how: signal.Signals, after: float) -> tuple[int, str]:
        """Exit status and the rest of what was said, with a signal sent after so many seconds."""
        try:
            self.process.wait(after)
        except subprocess.TimeoutExpired:
            self.process.send_signal(how)
        return self.process.wait(), self.process.communicate()[1]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> tuple[Path, float]:
    """A run that nobody disturbs, and the seconds it took from its first line on."""
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    running = Running(folder)
    assert "passes" in running.first and running.process.wait() == 0
    return folder, time.monotonic() - running.began


@pytest.mark.slow
def test_a_run_killed_at_random_moments_ends_with_the_numbers_of_one_that_was_not(tmp_path, unbroken):
    expected, seconds = unbroken
    moments, kills, lives = random.Random(0), 0, 0
    while kills < 16 or lives < 3:
        folder, status = tmp_path / f"life_{lives}", -signal.SIGKILL
        while status == -signal.SIGKILL:
            status, _ = Running(folder).ended_by(signal.SIGKILL, moments.uniform(0, 1.2 * seconds))
            kills += status == -signal.SIGKILL
            whole(folder)
        assert status == 0
        same(folder, expected)
        lives += 1


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_interrupted_says_so_and_is_gone_on_with(tmp_path, unbroken, how):
    expected, seconds = unbroken
    folder = tmp_path / "run"
    status, said = Running(folder).ended_by(how, 0.1 * seconds)
    assert status == 130 and "Traceback" not in said
    assert "probe: interrupted; what is done is kept, and --resume goes on from there" in said
    whole(folder)
    assert not list(folder.glob(".*"))
    assert Running(folder).process.wait() == 0
    same(folder, expected)
