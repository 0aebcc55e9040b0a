"""Runs: stored, resumed, judged again; a crash or a kill loses nothing."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import torch
import xarray as xr

from probe import interface, store
from probe.contract import Check, Panel, Probe, judgement, measurement
from probe.errors import InputError
from probe.interface import reopen, run
from probe.runner.subject import LocalSubject
from tests.models import LINE, on, with_pairs


def model(function=lambda x: 0.9 * x):
    return on(LINE, function)


@pytest.fixture
def undrawn(monkeypatch):
    """Runs are stored without the page: to draw it takes twenty times as long as to measure, and nothing here looks at it."""
    monkeypatch.setattr("probe.report.write", lambda document, results, path: path)


@pytest.mark.usefixtures("undrawn")
def test_a_run_is_stored_whole_and_read_back_to_the_last_bit(tmp_path):
    done = run(["phase", "plane_wave"], model(), out=tmp_path / "r")
    document = json.loads((tmp_path / "r" / "run.json").read_text())
    assert document["complete"] and [p["name"] for p in document["probes"]] == ["phase", "plane_wave"]
    assert document["schema"] == 2 and document["seed"] == 0 and document["probes"][0]["passes"] > 0
    for name, result in done.items():
        for subject, data in store.read_measured(tmp_path / "r", name).items():
            xr.testing.assert_identical(data.drop_attrs(), result.measured[subject].drop_attrs())


def test_the_same_seed_gives_the_same_numbers_and_another_does_not():
    first, again, other = (run("rotation", on_square(), seed=s)["rotation"].measured["model"].turn_error.values for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0


def on_square():
    from tests.models import SQUARE

    return on(SQUARE, lambda x: x + 0.1 * torch.roll(x, 1, -1))


def test_random_numbers_depend_on_seed_probe_and_name_and_not_on_order():
    def draws(probe, name, seed=0):
        subject = LocalSubject("model", model(), None, "default", seed, probe)
        subject.rng("something else")
        return torch.rand(3, generator=subject.rng(name)).tolist()

    assert draws("a", "x") == draws("a", "x")
    assert len({tuple(draws(*key)) for key in (("a", "x"), ("a", "y"), ("b", "x"), ("a", "x", 1))}) == 4


@pytest.mark.usefixtures("undrawn")
def test_a_folder_that_holds_a_run_is_refused_without_leave(tmp_path):
    run("phase", model(), out=tmp_path, controls="none")
    with pytest.raises(InputError, match="--resume"):
        run("phase", model(), out=tmp_path)
    run("phase", model(), out=tmp_path, overwrite=True, controls="none")


@pytest.mark.usefixtures("undrawn")
def test_resume_asks_the_model_nothing_that_it_answered(tmp_path):
    first = run("phase", model(), out=tmp_path, controls="none")
    subject = model()
    passes = subject.passes
    again = run("phase", subject, out=tmp_path, controls="none", resume=True)
    assert again["phase"].passes == 0 and subject.passes == passes
    np.testing.assert_array_equal(first["phase"].measured["model"].response, again["phase"].measured["model"].response)


@pytest.mark.usefixtures("undrawn")
def test_a_live_function_without_a_hash_is_asked_again(tmp_path):
    def live():
        made = model()
        made.sha256 = ""
        return made

    run("phase", live(), out=tmp_path, controls="none")
    assert run("phase", live(), out=tmp_path, controls="none", resume=True)["phase"].passes > 0


@pytest.mark.parametrize("change", ["setting", "seed", "description"])
def test_resume_measures_again_what_depends_on_something_else(tmp_path, change):
    run("phase", model(), out=tmp_path, controls="none")
    settings = {"phase": {"level": 0.3}} if change == "setting" else {}
    subject = model()
    if change == "description":
        from dataclasses import replace

        subject.description = replace(subject.description, inputs=(replace(subject.description.inputs[0], rms=2.0),))
    again = run("phase", subject, out=tmp_path, controls="none", resume=True, seed=int(change == "seed"), settings=settings)
    assert again["phase"].passes > 0


@pytest.mark.usefixtures("undrawn")
def test_a_stored_run_is_judged_again_with_another_bound_and_without_the_model(tmp_path):
    run("plane_wave", on_cube(0.9), out=tmp_path, controls="none")
    assert reopen(tmp_path)["plane_wave"].verdict == "fail"
    assert reopen(tmp_path, {"plane_wave": {"bound": "0.2"}})["plane_wave"].verdict == "pass"
    with pytest.raises(InputError, match="run the probe again"):
        reopen(tmp_path, {"plane_wave": {"levels": "0.1"}})


def on_cube(gain):
    from tests.models import CUBE

    return on(CUBE, lambda x: gain * x)


class Crash(Probe):
    """Does it crash?"""

    suite = "own"
    when = measurement("measure", "where it crashes", choices=("measure", "judge", "none"))
    bound = judgement(1.0, "bound")

    def measure(self, subject):
        if self.when == "measure":
            raise RuntimeError("the probe is broken")
        return xr.Dataset({"value": ((), 0.5)})

    def judge(self, measured):
        if self.when == "judge":
            raise RuntimeError("the judge is broken")
        return [Check.judged("value", float(measured["model"].value), (None, self.bound), "It is.", bound_from="set")]

    def draw(self, measured) -> list[Panel]:
        return []


@pytest.mark.parametrize("when", ["measure", "judge"])
def test_a_probe_that_crashes_ends_in_error_and_the_others_go_on(tmp_path, monkeypatch, when):
    monkeypatch.setattr(
        "probe.registry.catalogue",
        lambda: {"crash": Crash, "phase": __import__("probes_catalog.symmetry.phase", fromlist=["x"]).Phase},
    )
    done = run(["crash", "phase"], model(), out=tmp_path, controls="none", settings={"crash": {"when": when}})
    assert (done["crash"].verdict, done["phase"].verdict) == ("error", "pass")
    assert "is broken" in done["crash"].failure and done.exit_status() == 2
    assert "broken" in (tmp_path / "report.html").read_text()


def test_exit_status_counts_failures_and_strictly_the_inconclusive():
    def status(verdict, strict=False):
        probe = {"name": "p", "verdict": verdict, "checks": [{"name": "c", "verdict": verdict}]}
        from probe.runner.document import exit_status

        return exit_status({"probes": [probe]}, strict)

    assert [status(v) for v in ("pass", "fail", "inconclusive", "error", "not_applicable", "info")] == [0, 1, 0, 2, 2, 2]
    assert status("inconclusive", strict=True) == 1


def test_a_model_that_returns_nan_ends_in_error_with_one_sentence():
    result = run("phase", model(lambda x: x / 0 * 0), controls="none")["phase"]
    assert result.verdict == "error" and "NaN" in result.reason and "\n" not in result.reason


@pytest.mark.usefixtures("undrawn")
def test_numbers_in_the_document_are_finite_or_null(tmp_path):
    single = with_pairs(on(LINE, lambda x: x), tmp_path, lambda x: x + 0.1 * x.abs(), count=1)
    run("transfer", single, out=tmp_path / "r")
    text = (tmp_path / "r" / "run.json").read_text()
    assert "NaN" not in text and "Infinity" not in text and '"low": null' in text


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch, step):
    path = tmp_path / "run.json"
    path.write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"os.{step}", full)
    with pytest.raises(InputError, match="No space left"):
        store.replace_file(path, b"new")
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["run.json"]


def test_complex_and_empty_variables_survive_the_file(tmp_path):
    data = xr.Dataset(
        {"h": (("a", "b"), np.array([[1 + 2j, 3j]]), {"units": "1"}), "empty": ("c", np.zeros(0))}, attrs={"n": 1, "word": "x"}
    )
    store.write_measured(tmp_path, "p", {"model": data, "identity": data})
    back = store.read_measured(tmp_path, "p")
    assert list(back) == ["model", "identity"]
    xr.testing.assert_identical(back["model"], data)


def test_the_passes_are_counted_before_they_are_made():
    told = {}

    class Listener:
        def cost(self, passes, seconds):
            told["cost"] = passes

        def begin(self, probe, subject, passes): ...
        def advance(self, passes): ...
        def end(self, result): ...

    subject = model()
    done = interface.run(["phase", "plane_wave"], subject, controls="none", progress=Listener())
    assert told["cost"] == subject.passes == sum(r.passes for r in done.values())


def test_a_setting_for_a_probe_that_is_not_asked_is_refused():
    with pytest.raises(InputError, match="not asked"):
        run("phase", model(), settings={"rotation": {"level": 0.1}})
