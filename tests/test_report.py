"""The report: complete, offline, safe to open, and true to what was measured."""

from __future__ import annotations

import csv
import io
import re
import subprocess
import sys
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import xarray as xr

from probe import figures
from probe.contract import Check, Panel, Probe, Result, judgement, measurement
from probe.errors import InputError
from probe.intervals import Interval, over_samples
from probe.report import numbers, page, prose, render, tables, text, words, write

VOID = {"meta", "wbr", "img", "input", "br", "link", "hr"}
NASTY = "<script>alert(1)</script>"


class PlaneWave(Probe):
    """Does one wave come out as physics says, whatever its length and phase?

    A displacement that is one plane wave goes in; before shells cross, the Zel'dovich answer to it is exact in one
    dimension. So the output must be the input times the growth between the two epochs, at the same phase.

    - The complex response `H(k)` is the output's amplitude over the input's.
    - What the output holds at other wavevectors was made by the network:
      harmonics where it is not linear, rungs of the stride where it breaks translation.

    A response that falls off at large k means that the network smooths more than the simulation did.
    """

    suite = "response"
    references = ("Ho et al. 2018, arXiv:1811.06533", "Zel'dovich 1970, Astron. Astrophys. 5, 84")
    modes = measurement(((4, 0, 0), (4, 6, 0)), "modes of the waves, as integers", like=((1, 0, 0),))
    amplitude = measurement(0.2, "A|k|, the amplitude of the overdensity", low=0.0, high=0.9)
    bound = judgement(0.05, "largest error of the response", low=0.0)

    def judge(self, measured: Mapping[str, xr.Dataset]) -> list[Check]:
        error = abs(measured["model"].response - 1).mean("k").values
        value, low, high = over_samples(error, lambda rows: rows.mean(0))
        span = Interval(float(value), float(low), float(high))
        sentence = (
            f"The response to a plane wave is wrong by {100 * span.value:.1f} % on average, most of it a loss at short waves."
        )
        beyond = measured["model"].harmonics.values.max()
        return [
            Check.judged(
                "response",
                span,
                (None, self.bound),
                sentence,
                bound_from="published: Ho et al. 2018, figure 4",
                covers="the six phases",
            ),
            Check.judged(
                "phase",
                0.00213,
                (-0.02, 0.02),
                "The phase is kept to 0.002 rad.",
                bound_from="a convention",
                unit="rad",
            ),
            Check.judged(
                "amplitude_ladder",
                Interval(0.93, 0.87, 0.99),
                (0.9, 1.1),
                "Too few waves to tell whether larger waves are damped.",
                bound_from="the simulator's own departure from theory",
                covers="realisations of the phase, 6",
            ),
            Check.info("harmonics", float(beyond), "The strongest harmonic holds 2e-7 of the power.", unit="(Mpc/h)^3"),
            Check.not_applicable("transverse", "Two dimensions are needed to ask for a transverse wave."),
        ]

    def draw(self, measured: Mapping[str, xr.Dataset]) -> list[Panel]:
        curve, axes = figures.figure()
        for subject, data in measured.items():
            line = figures.style(subject, "Zel'dovich (input)" if subject == "identity" else "")
            amplitude = abs(data.response)
            axes[0, 0].plot(data.k, amplitude.mean("phase"), **line)
            figures.band(axes[0, 0], data.k, amplitude.min("phase"), amplitude.max("phase"), subject)
        axes[0, 0].set(xlabel=figures.axis_label("wavenumber $k$", "h/Mpc"), ylabel="response $|H(k)|$")
        figures.legend(axes[0, 0])
        return [
            Panel(
                "Response to one wave",
                [("", curve)],
                "One is the right answer; a curve that falls says that short waves are `damped`.",
                "The model's response falls from 0.99 at 0.05 h/Mpc to 0.82 at 0.78 h/Mpc.",
                ("response",),
            ),
            self._fields(measured),
        ]

    def _fields(self, measured: Mapping[str, xr.Dataset]) -> Panel:
        shown = []
        for n in range(measured["model"].sizes["wave"]):
            one = {name: measured[name].field.values[n] for name in ("identity", "model")}
            one["difference"] = one["model"] - one["identity"]
            fields = dict(zip(("input", "model", "difference"), one.values(), strict=True))
            drawn = figures.slices(fields, "Mpc/h", (0, 128, 0, 128), "Mpc/h", shared=[["input", "model"]])
            shown.append((f"wave {measured['model'].wave.values[n]}", drawn))
        caption = "Slices through the first component of the displacement. The difference has a colour scale of its own."
        return Panel("The waves themselves", shown, caption, "The difference is 18 % of the wave.", ("field",))


class Rotation(Probe):
    """Does the model treat every direction alike?

    It is asked the same thing turned by each of the 48 symmetries of the lattice.
    """

    suite = "symmetry"
    version = 2
    bound = judgement(0.02, "largest equivariance error", low=0.0)

    def judge(self, measured: Mapping[str, xr.Dataset]) -> list[Check]:
        worst = float(measured["model"].error.max())
        return [
            Check.judged(
                "cubic_group",
                worst,
                (None, self.bound),
                "Turning the input turns the output, to 0.4 % of it.",
                bound_from="a convention",
            ),
            Check.judged("reflections", 3.2e-7, (None, 1e-5), "Mirror images are answered to rounding.", bound_from="rounding"),
        ]

    def draw(self, measured: Mapping[str, xr.Dataset]) -> list[Panel]:
        shown = []
        for name, data in measured.items():
            drawn, axes = figures.figure(height=2.8)
            axes[0, 0].plot(data.element, data.error, marker="o", **figures.style(name))
            axes[0, 0].set(xlabel="symmetry", ylabel="equivariance error", ylim=(0, None))
            shown.append((name, drawn))
        heat = figures.matrix(measured["model"].table.values, ["faces", "edges", "corners"], ["90°", "120°", "180°"], label="error")
        return [
            Panel(
                "Error of each symmetry",
                shown,
                "Zero is a model that knows no direction.",
                "The largest error is 0.4 %.",
                ("error", "huge"),
            ),
            Panel(
                "By axis and angle",
                [("", heat)],
                "Empty cells are angles that an axis does not have.",
                "Quarter turns are worst.",
                ("table",),
            ),
        ]


class Crash(Probe):
    """Does the model keep its mean?"""

    suite = "symmetry"


class Spectrum(Probe):
    """Does the output hold as much power as the truth on every scale?"""

    suite = "statistics"


class BadFigure(Probe):
    """Can it be drawn?"""

    def draw(self, measured: Mapping[str, xr.Dataset]) -> list[Panel]:
        raise RuntimeError("no such variable <b>x</b>")


def wave_data(damping: float, seed: int) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    k, phase = np.linspace(0.05, 0.78, 12), np.linspace(0, np.pi, 6)
    response = np.exp(-damping * k[:, None] ** 2) * np.exp(1j * rng.normal(0, 0.01, (12, 6))) * rng.normal(1, damping / 20, (12, 6))
    x = np.arange(48) * 128 / 48
    modes = [(4, 0), (4, 6), (3, 3), (8, 2)]
    fields = np.stack([np.cos(2 * np.pi * (a * x[:, None] + b * x) / 128) * (1 - damping / 2) for a, b in modes])
    return xr.Dataset(
        {
            "response": (("k", "phase"), response),
            "harmonics": (("k",), rng.uniform(0, 2e-7, 12), {"units": "(Mpc/h)^3"}),
            "field": (("wave", "x", "y"), fields + rng.normal(0, damping / 20, fields.shape), {"units": "Mpc/h"}),
        },
        coords={
            "k": ("k", k, {"units": "h/Mpc"}),
            "modes": ("k", np.arange(12) * 6 + 18),
            "phase": ("phase", phase, {"units": "rad"}),
            "wave": [f"({a}, {b}, 0)" for a, b in modes],
        },
    )


def rotation_data(scale: float) -> xr.Dataset:
    cells = np.array([[0.4, np.nan, 0.2], [np.nan, np.nan, 0.15], [np.nan, 0.31, np.nan]])
    return xr.Dataset(
        {
            "error": ("element", scale * (1 + np.sin(np.arange(9)))),
            "table": (("axis", "angle"), scale * cells),
            "huge": ("n", np.zeros(30_000)),
        }
    )


def results() -> list[Result]:
    waves = {
        "model": wave_data(0.33, 1),
        "identity": wave_data(0.02, 2),
        "lpt2": wave_data(0.04, 3),
        "untrained": wave_data(1.5, 4),
    }
    turned = {"model": rotation_data(0.002), "untrained": rotation_data(0.006)}
    wave, rotation = PlaneWave(modes=((3, 0, 0), (2, 2, 1))), Rotation()
    controls: dict[str, dict[str, Any]] = {
        "identity": {"response": "pass", "phase": "pass", "amplitude_ladder": "pass"},
        "lpt2": {"response": "pass", "phase": "pass", "amplitude_ladder": "pass"},
        "untrained": {"response": "fail", "phase": "pass", "amplitude_ladder": "fail"},
    }
    turning: dict[str, dict[str, Any]] = {"untrained": {"cubic_group": "pass", "reflections": "pass"}}
    trace = 'Traceback (most recent call last):\n  File "crash.py", line 3, in measure\nRuntimeError: expected 3 channels, found 1'
    return [
        Result(wave, wave.judge(waves), waves, 184.2, 480, control_verdicts=controls),
        Result(rotation, rotation.judge(turned), turned, 42.0, 54, control_verdicts=turning),
        Result(Crash(), seconds=0.3, passes=1, reason="The model raised RuntimeError: expected 3 channels, found 1", failure=trace),
        Result(Spectrum(), reason="No pairs: pass --data DIR with inputs and truths to compare with."),
    ]


def record(result: Result) -> dict[str, Any]:
    """What `run.json` keeps of a result."""
    checks = [
        {
            "name": c.name,
            "value": c.interval.value,
            "low": c.interval.low,
            "high": c.interval.high,
            "bounds": c.bounds,
            "unit": c.unit,
            "verdict": c.verdict,
            "sentence": c.sentence,
            "bound_from": c.bound_from,
            "covers": c.covers,
            "controls": {name: found[c.name] for name, found in result.control_verdicts.items() if c.name in found},
        }
        for c in result.checks
    ]
    return {
        "name": result.probe.name(),
        "suite": result.probe.suite,
        "version": result.probe.version,
        "verdict": result.verdict,
        "seconds": result.seconds,
        "passes": result.passes,
        "reason": result.reason,
        "headline": result.headline,
        "checks": checks,
    }


def document(found: list[Result] | None = None) -> dict[str, Any]:
    displacement = {"name": "psi", "kind": "vector", "quantity": "displacement", "unit": "Mpc/h", "rms": 3.1}
    return {
        "schema": 1,
        "complete": True,
        "seed": 7,
        "seconds": 228.4,
        "effort": "default",
        "started": "2026-03-02T14:21:07.123",
        "model": {
            "name": "tiny-unet",
            "path": "checkpoints/tiny-unet.pt",
            "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15",
            "class": "mynet.UNet",
            "parameters": 1_204_611,
        },
        "description": {
            "schema": 1,
            "factory": "mynet:UNet",
            "grid": {"shape": [48, 48, 48], "box": 128.0, "unit": "Mpc/h", "boundary": "periodic"},
            "input": [displacement],
            "output": [displacement],
            "truth": {"law": "gravity", "growth_ratio": 1.0},
        },
        "guessed": ["the scale of the input: `rms` is not given, 3.1 Mpc/h was taken from the data"],
        "device": "cpu",
        "versions": {"probe": "0.1.0", "torch": "2.10.0", "numpy": "2.4.6", "python": "3.11.9"},
        "command": "probe run plane_wave rotation crash spectrum --model checkpoints/tiny-unet.pt --seed 7",
        "controls": {
            "identity": "the input itself: the Zel'dovich approximation",
            "lpt2": "second-order Lagrangian perturbation theory",
            "untrained": "the same network with every parameter permuted within its tensor",
        },
        "not_controls": {"linear_filter": "no pairs to fit it on"},
        "probes": [record(result) for result in (results() if found is None else found)],
    }


@pytest.fixture(scope="module")
def html() -> str:
    return render(document(), results())


class Structure(HTMLParser):
    """Whether every tag closes, and what the page holds."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        self.ids += [str(found["id"])] if "id" in found else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> out of order"

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def test_every_tag_closes_and_every_id_is_unique(html: str) -> None:
    structure = Structure(html)
    assert structure.open == []
    assert len(structure.ids) == len(set(structure.ids))
    referred = [
        value[1:] for _, attrs in structure.tags for key, value in attrs.items() if key == "href" and value and value[0] == "#"
    ]
    referred += [
        str(attrs[key]) for _, attrs in structure.tags for key in ("for", "aria-describedby", "aria-labelledby") if attrs.get(key)
    ]
    referred += re.findall(r"url\(#([^)]+)\)", html)
    assert referred
    assert set(referred) <= set(structure.ids)


def test_nothing_is_loaded_from_elsewhere(html: str) -> None:
    for tag, attrs in Structure(html).tags:
        for key, value in attrs.items():
            if key in ("src", "href", "xlink:href", "action", "data") and tag != "a":
                assert (value or "").startswith(("#", "data:")), (tag, key, value)
    assert not re.search(r"@import|url\(\s*['\"]?http", html)
    assert "<link" not in html


def test_it_is_small_and_the_same_each_time(html: str) -> None:
    assert len(html) < 700_000
    assert html == render(document(), results())


def test_nothing_a_user_wrote_becomes_markup() -> None:
    found = results()
    nasty = document(found)
    nasty["model"] |= {"name": NASTY, "path": NASTY, "class": NASTY}
    nasty |= {
        "guessed": [NASTY],
        "command": f'probe "{NASTY}"',
        "controls": {NASTY: NASTY},
        "device": NASTY,
        "versions": {NASTY: NASTY},
    }
    nasty["description"]["factory"] = NASTY
    found[2].failure = found[2].reason = NASTY
    found[0].checks[0] = Check.judged(NASTY, 1.0, (0, 2), NASTY, bound_from=NASTY, unit=NASTY, covers=NASTY)
    one_wave = {subject: data.isel(wave=[0]) for subject, data in found[0].measured.items()}
    found[0].measured = {NASTY: one_wave["model"], **one_wave}
    structure = Structure(render(nasty, found))
    assert structure.open == []
    assert [tag for tag, _ in structure.tags].count("script") == 1
    assert structure.text.count("alert(1)") > 12


def test_it_says_what_was_found(html: str) -> None:
    said = Structure(html).text
    assert (
        "1 failed, 1 inconclusive, 3 passed of 5 checks ; 1 probe ended in an error; 1 probe could not be asked; 1 check without"
        in said
    )
    assert "Of the 3 checks that passed, the identity passes 1 too, 2LPT 1, the untrained twin 3." in said
    assert "also passed by: untrained twin" in said
    assert "Input and output psi (vector displacement, Mpc/h)" in said
    assert "48³ points, box 128 Mpc/h, periodic" in said
    assert "Guessed, not known" in said
    assert "plane_wave. modes 3:0:0, 2:2:1 (set) measurement" in said
    assert "Not used: no pairs to fit it on" in said
    assert "RuntimeError: expected 3 channels, found 1" in said
    for word in ("error", "fail", "inconclusive", "pass", "info", "not applicable"):
        assert re.search(rf"\b{word}\b", said), word


def test_every_figure_has_words_for_those_who_do_not_see_it(html: str) -> None:
    structure = Structure(html)
    pictures = [attrs for tag, attrs in structure.tags if tag == "img" or attrs.get("role") == "img"]
    assert len(pictures) == 1 + 4 + 2 + 1
    assert all(attrs.get("alt") or attrs.get("aria-label") for attrs in pictures)
    assert [tag for tag, _ in structure.tags].count("figcaption") == 4


def test_a_sequence_of_figures_has_a_labelled_slider(html: str) -> None:
    structure = Structure(html)
    sliders = [attrs for tag, attrs in structure.tags if tag == "input"]
    labels = {attrs["for"] for tag, attrs in structure.tags if tag == "label"}
    assert [(s["type"], s["max"]) for s in sliders] == [("range", "3"), ("range", "1")]
    assert {s["id"] for s in sliders} == labels
    assert [attrs["data-label"] for tag, attrs in structure.tags if attrs.get("class") == "slide"][4:] == ["model", "untrained"]


def csv_of(html: str, name: str) -> list[dict[str, str]]:
    link = next(attrs["href"] for tag, attrs in Structure(html).tags if tag == "a" and attrs.get("download") == name)
    return list(csv.DictReader(io.StringIO(unquote(str(link).partition(",")[2]))))


def test_the_csv_holds_what_was_measured(html: str) -> None:
    rows = csv_of(html, "plane_wave-1-response.csv")
    found = results()[0].measured
    assert list(rows[0]) == ["subject", "k [h/Mpc]", "phase [rad]", "modes", "real response", "imaginary response"]
    assert len(rows) == 4 * 12 * 6
    for subject, data in found.items():
        mine = [row for row in rows if row["subject"] == subject]
        values = np.array([complex(float(r["real response"]), float(r["imaginary response"])) for r in mine]).reshape(12, 6)
        np.testing.assert_allclose(values, data.response.values, rtol=1e-6)
        np.testing.assert_allclose([float(r["k [h/Mpc]"]) for r in mine[::6]], data.k.values, rtol=1e-6)
        assert [int(r["modes"]) for r in mine[::6]] == data.modes.values.tolist()


def test_large_arrays_stay_in_their_file(html: str) -> None:
    assert "huge" in html
    assert "they are in <code>rotation.nc</code>" in html
    assert 'download="rotation-1-huge.csv"' not in html
    assert len(csv_of(html, "rotation-1-error.csv")) == 18


def test_what_is_the_same_for_all_subjects_is_written_once() -> None:
    k = xr.DataArray([0.1, 0.2], dims="k")
    truth, own = (xr.DataArray(values, dims="k", coords={"k": k}) for values in ([1.0, np.nan], [1.5, 2.0]))
    measured = {"model": xr.Dataset({"truth": truth, "own": own}), "lpt2": xr.Dataset({"truth": truth, "own": 2 * own})}
    written = [unquote(one.link.partition(",")[2]).splitlines() for one in tables.downloads("p", measured, ("truth", "own"))]
    assert written[0] == ["subject,k,truth", "all,0.1,1", "all,0.2,nan"]
    assert [line.split(",")[0] for line in written[1]] == ["subject", "model", "model", "lpt2", "lpt2"]
    alone = tables.downloads("p", {"model": measured["model"]}, ("truth",))
    assert "model,0.1,1" in unquote(alone[0].link)


def test_subjects_with_other_coordinates_get_a_header_of_their_own() -> None:
    plain = xr.DataArray([1.0, 2.0], dims="k", name="P")
    rich = plain.assign_coords(k=[0.1, 0.2], modes=("k", [18, 26]))
    lines = tables.table({"model": plain, "truth": rich}).splitlines()
    assert lines == ["subject,k,P", "model,0,1", "model,1,2", "subject,k,modes,P", "truth,0.1,18,1", "truth,0.2,26,2"]


def test_a_figure_that_breaks_takes_no_answer_with_it() -> None:
    broken = BadFigure()
    answer = Check.info("value", 1.0, "It is one.")
    page_text = render({}, [Result(broken, [answer], {"model": xr.Dataset()}), *results()[1:2]])
    said = Structure(page_text).text
    assert "It is one." in said
    assert "RuntimeError: no such variable <b>x</b>" in said
    assert "Turning the input turns the output" in said


def test_a_record_alone_still_shows_its_checks() -> None:
    kept = document()
    kept["complete"] = False
    kept["probes"][0]["checks"][0] |= {"low": None, "high": None}
    said = Structure(render(kept, [])).text
    assert "This run is not complete" in said
    assert "1 failed, 1 inconclusive, 3 passed of 5 checks" in said
    assert "[\N{MINUS SIGN}∞, ∞]" in said


def test_a_document_without_anything_renders() -> None:
    assert "No check gave a verdict" in Structure(render({}, [])).text


def test_writing_replaces_the_file_and_leaves_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")
    assert write(document(), [], target) == target
    first = target.read_text(encoding="utf-8")
    assert first.startswith("<!DOCTYPE html>")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(InputError, match="disk full"):
        write({}, [], target)
    assert target.read_text(encoding="utf-8") == first
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_it_never_imports_torch() -> None:
    code = "import sys; from probe.report import render; render({}, []); import probe.report.text; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.01234, "0.0123"),
        (0.0, "0"),
        (12345.6, "12\u202f300"),
        (1.234e-6, "1.23 × 10⁻⁶"),
        (-3.0, "−3"),
        (0.9999, "1.00"),
        (6.02e23, "6.02 × 10²³"),
        (float("nan"), "not a number"),
        (float("-inf"), "−∞"),
        (-1e-9, "−1.00 × 10⁻⁹"),
    ],
)
def test_numbers(value: float, said: str) -> None:
    assert numbers.number(value) == said


@pytest.mark.parametrize(
    ("span", "said"),
    [
        ((0.012, 0.010, 0.014), "0.012 [0.010, 0.014]"),
        ((0.012, 0.012, 0.012), "0.0120"),
        ((1.0, -np.inf, np.inf), "1 [−∞, ∞]"),
        ((2.2e-6, 2e-6, 2.4e-6), "(2.2 [2.0, 2.4]) × 10⁻⁶"),
        ((0.0, -0.3, 0.3), "0.0 [−0.3, 0.3]"),
        ((1234.0, 1200.0, 1260.0), "1230 [1200, 1260]"),
    ],
)
def test_intervals(span: tuple[float, float, float], said: str) -> None:
    assert numbers.interval(Interval(*span)) == said


@pytest.mark.parametrize(
    ("allowed", "said"),
    [
        ((None, 0.02), "≤ 0.02"),
        ((0.9, None), "≥ 0.9"),
        ((0.9, 1.1), "0.9 … 1.1"),
        (None, ""),
        ((None, 1e-5), "≤ 1 × 10⁻⁵"),
        ((0.0, 0.0), "= 0"),
        ((-np.inf, 100), "≤ 100"),
    ],
)
def test_bounds(allowed: tuple[float | None, float | None] | None, said: str) -> None:
    assert numbers.bounds(allowed) == said


def test_units_and_durations() -> None:
    assert numbers.unit("(Mpc/h)^3") == "(Mpc/h)³"
    assert numbers.unit("s^-1") == "s⁻¹"
    assert numbers.unit("dimensionless") == ""
    assert [numbers.duration(s) for s in (0.31, 42, 200, 7500, None)] == ["0.3 s", "42 s", "3 min 20 s", "2 h 5 min", ""]


def test_what_controls_pass_in_words() -> None:
    assert words.also_passed([("fail", {"identity": "pass"})]) == ""
    assert words.also_passed([("pass", {"identity": "fail"})]) == "Of the one check that passed, the identity passes none"
    assert words.tally([("pass", {}), ("info", {})]) == "1 passed of 1 check"


def test_docstrings_become_paragraphs_and_lists() -> None:
    made = prose.prose("One <b>\nline.\n\nThen:\n- a `b`\n  goes on\n- c\n\n    x = 1\n")
    assert made.split("\n", 1)[0] == "<p>One &lt;b&gt; line.</p>"
    assert "<p>Then:</p><ul><li>a <code>b</code> goes on</li><li>c</li></ul>" in made
    assert made.endswith("<pre>x = 1</pre>")
    assert (
        prose.linked("Ho, arXiv:1811.06533 <i>") == 'Ho, <a href="https://arxiv.org/abs/1811.06533">arXiv:1811.06533</a> &lt;i&gt;'
    )


def test_descriptions_can_be_read_back_as_toml() -> None:
    tomllib = pytest.importorskip("tomllib")
    given = document()["description"] | {"factory_arguments": {"width": 32, "kind": 'a"b'}}
    assert tomllib.loads(page.toml(given | {"nothing": None})) == given


def test_grids_in_words() -> None:
    assert page.grid_in_words({"shape": [64, 32], "box": [10.0, 5.0], "unit": "km"}) == "64 × 32 points, box 10 × 5 km"
    assert page.grid_in_words({}) == ""


def test_the_terminal_says_what_failed_and_by_how_much() -> None:
    said = text.summary(document(), colour=False)
    assert "\033" not in said
    assert re.search(r"✕ fail +plane_wave +The response to a plane wave is wrong by", said)
    assert re.search(r"response  0\.07\d* \[0\.\d+, 0\.\d+\], allowed ≤ 0\.05", said)
    assert said.endswith("Of the 3 checks that passed, the identity passes 1 too, 2LPT 1, the untrained twin 3.")
    assert max(map(len, said.splitlines())) < 140
    assert said.count("wrong by 7.3 %") == 1
    given = document()
    given["probes"][0]["headline"] = "Another sentence."
    assert text.summary(given).count("wrong by 7.3 %") == 1
    assert text.summary(document(), colour=True).count("\033[31;1m") == 2


def test_the_terminal_gets_no_commands_from_a_file() -> None:
    given = document()
    given["probes"][0]["headline"] = "cleared \033[2J"
    assert "\033" not in text.summary(given)
