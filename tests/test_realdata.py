"""Trained networks of others, asked as the case studies ask them, and the answers computed again by hand."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from click.testing import CliRunner
from torch import Tensor
from torch.nn import functional

import probe
from probe import store
from probe.cli import main
from probe.equivariance import test_field as field_to_turn
from probe.fields import Field
from probe.runner.subject import LocalSubject

DATA = Path(os.environ.get("PROBE_REALDATA", ""))
STUDIES = Path(__file__).parent.parent / "docs" / "case_studies"
pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif("PROBE_REALDATA" not in os.environ, reason="PROBE_REALDATA names no folder of networks and data"),
]

COMMANDS = [
    line
    for page in sorted(STUDIES.rglob("*.md"))
    for block in re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
    if line.startswith("probe ")
]
# Fewer waves, fields and controls than by default: the same answers, sooner.
QUICK = {
    "reflection.fields": "2",
    "translation.fields": "1",
    "plane_wave.levels": "0.2",
    "plane_wave.shifts": "1",
    "null.fields": "1",
    "conservation.fields": "2",
    "saliency.samples": "2",
    "saliency_sanity.samples": "2",
    "mutual_information.estimator": "neighbours",
}
# Figures take longer than all else: one report in two dimensions is drawn, and one on a line between walls.
DRAWN = ("ocean_upper", "scinet_later")


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder to work in, with SciNet's checkpoint made from its .npz as the docs say."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("case_studies"))
        text = (STUDIES / "scinet" / "scinet.md").read_text(encoding="utf-8")
        exec(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0], {})
        yield Path.cwd()


def call(command: str, *more: str) -> tuple[int, str]:
    """Exit status and output of a line of the docs."""
    words = shlex.split(command.replace("$PROBE_REALDATA", str(DATA)).replace("docs/case_studies", str(STUDIES)))
    done = CliRunner().invoke(main, [*words[1:], *more])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


@cache
def asked(report: str) -> tuple[int, dict[str, Any]]:
    """Exit status and document of the docs' run whose report has this name; it is asked once."""
    (command,) = (line for line in COMMANDS if line.endswith(f"--out reports/{report}"))
    wanted = [f"--set={name}={value}" for name, value in QUICK.items() if name.partition(".")[0] in shlex.split(command)]
    with pytest.MonkeyPatch.context() as patch:
        if report not in DRAWN:
            patch.setattr("probe.report.write", lambda *drawn: None)
        status, output = call(command, "--controls=linear_filter", *wanted)
    assert "report:" in output, output
    return status, store.read_document(Path("reports") / report)


def verdicts(report: str) -> dict[str, str]:
    """Verdict by probe and by probe/check."""
    found = {}
    for entry in asked(report)[1]["probes"]:
        found[entry["name"]] = entry["verdict"]
        found |= {f"{entry['name']}/{check['name']}": check["verdict"] for check in entry["checks"]}
    return found


def value(report: str, name: str) -> float:
    """What a check, probe/name, measured."""
    wanted, _, check = name.partition("/")
    entry = next(e for e in asked(report)[1]["probes"] if e["name"] == wanted)
    return next(c["value"] for c in entry["checks"] if c["name"] == check)


def measured(report: str, name: str) -> xr.Dataset:
    """What a probe measured of the model."""
    asked(report)
    return store.read_measured(Path("reports") / report, name)["model"]


def relative(difference: Any, reference: Any) -> float:
    """|difference| / |reference| over everything."""
    above, below = np.asarray(difference), np.asarray(reference)
    return float(np.sqrt(np.mean(np.square(above)) / np.mean(np.square(below))))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_case_studies_works(command: str) -> None:
    if " run " not in command:
        status, output = call(command)
        assert status == 0 and ("tensors" in output or "samples of" in output) and "next: probe " in output
        return
    report = command.rsplit("/", 1)[1]
    document = asked(report)[1]
    assert document["complete"] and not document["guessed"]
    assert "error" not in verdicts(report).values()
    if report in DRAWN:
        page = (Path("reports") / report / "report.html").read_text(encoding="utf-8")
        assert "could not be drawn" not in page and len(page) > 10_000


EXPECTED = {
    "ocean_upper": (
        1,
        {"rotation": "info", "reflection/other_mirrors": "info", "translation/parts_of_a_cell": "info", "transfer": "pass"},
    ),
    "ocean_lower": (
        1,
        {"phase/lattice_phases": "fail", "plane_wave/allowed_modes": "fail", "conservation/mean": "pass", "transfer": "pass"},
    ),
    "ocean_upper_statistics": (
        1,
        {
            "transfer": "pass",
            "scattering/coefficients": "pass",
            "scattering/normalised": "inconclusive",
            "one_point/kl_divergence": "fail",
            "bispectrum/beats_linear_filter": "fail",
        },
    ),
    "ocean_lower_statistics": (
        1,
        {"transfer": "pass", "scattering": "pass", "one_point/kl_divergence": "fail", "bispectrum/beats_linear_filter": "fail"},
    ),
    "ocean_upper_circular": (0, {"phase": "pass", "plane_wave": "pass", "null": "pass"}),
    "deepmass": (1, {"rotation/square_group": "fail", "phase": "not_applicable", "transfer": "not_applicable"}),
    "deepmass_replicate": (1, {"rotation/square_group": "fail"}),
    "scinet_question": (2, dict.fromkeys(("rotation", "phase", "plane_wave", "transfer"), "not_applicable")),
    "scinet_later": (0, {"transfer": "pass", "rotation": "not_applicable", "phase": "not_applicable", "translation": "info"}),
}


@pytest.mark.parametrize("report", EXPECTED)
def test_verdicts_and_exit_status_are_those_of_the_case_studies(report: str) -> None:
    status, expected = EXPECTED[report]
    assert {name: verdicts(report)[name] for name in expected} == expected
    assert asked(report)[0] == status


# The ocean closure, by hand: (n, 2, y, x), in the authors' own units and order of axes.
SHIFT, SCALE = np.array([5.499e-7, -2.5e-18])[:, None, None], np.array([7.871e-6, 1.0394e-6])[:, None, None]
LAYERS = {"upper": (0, 7.015e-12), "lower": (1, 1.108e-13)}


@cache
def snapshots() -> tuple[np.ndarray, np.ndarray]:
    stored = np.load(DATA / "ocean_closure" / "eddy_forcing.npz")
    return stored["q"][2:], stored["S"][2:]


def closure(q: np.ndarray, layer: str, last: str = "constant") -> np.ndarray:
    """The network layer by layer from its tensors: (n, 2, y, x) -> (n, y, x)."""
    state = torch.load(DATA / "ocean_closure" / f"weights_{layer}.pt", weights_only=True)
    x = torch.from_numpy((q - SHIFT) / SCALE).float()
    for i in range(0, 22, 3):
        weight, bias = state[f"{i}.weight"], state[f"{i}.bias"]
        half = weight.shape[-1] // 2
        x = functional.conv2d(functional.pad(x, [half] * 4, mode="circular" if i < 21 else last), weight, bias)
        if i < 21:
            mean, variance, gain, offset = (state[f"{i + 2}.{k}"] for k in ("running_mean", "running_var", "weight", "bias"))
            x = functional.batch_norm(x.relu(), mean, variance, gain, offset)
    return (x - x.mean((1, 2, 3), keepdim=True)).double().numpy()[:, 0] * LAYERS[layer][1]


def wave(n: int, level: float) -> np.ndarray:
    """A wave along x in the upper layer's q, on the field at rest: (1, 2, 64, 64)."""
    carrier = np.cos(2 * np.pi * n * np.arange(64) / 64) * np.ones((64, 1))
    return SHIFT + level * np.sqrt(2) * SCALE * np.stack([carrier, 0 * carrier])[None]


@pytest.mark.parametrize("layer", LAYERS)
def test_the_oceans_answer_to_a_wave_and_its_frame(layer: str) -> None:
    answer = closure(wave(11, 0.2), layer)[0]
    modes = np.fft.fft2(answer)
    gain = abs(modes[0, 11]) * 2 / 64**2 / (0.2 * np.sqrt(2) * SCALE[0, 0, 0])
    data = measured(f"ocean_{layer}", "plane_wave").sel(level=0.2).isel(mode=0)
    assert str(data.mode.values) == "(11,0)"
    assert float(abs(data.response)) == pytest.approx(gain, rel=1e-3)
    # 11 and 64 have no common factor, so that harmonics fill the axis of the wave and nothing else.
    assert float(data.off) == pytest.approx(np.square(abs(modes[1:])).sum() / np.square(abs(modes)).sum(), rel=1e-2)
    assert float(abs(data.harmonic_response[0])) < 1e-5 * float(abs(data.harmonic_response[1]))
    assert answer.std() < 0.01 * snapshots()[1][:, LAYERS[layer][0]].std()


@pytest.mark.parametrize("layer", LAYERS)
def test_an_ocean_at_rest_is_forced_along_walls_that_are_not_there(layer: str) -> None:
    rest, usual = closure(wave(1, 0.0), layer)[0], snapshots()[1][:, LAYERS[layer][0]].std()
    frame = np.ones((64, 64), bool)
    frame[1:-1, 1:-1] = False
    assert np.square(rest[frame]).sum() > 0.98 * np.square(rest).sum()
    assert np.sqrt(np.square(rest[frame]).mean()) == pytest.approx(0.0085 * usual, rel=0.25)
    assert np.abs(closure(wave(1, 0.0), layer, "circular")).max() < 1e-8 * usual


@pytest.mark.parametrize("layer", LAYERS)
def test_the_oceans_error_on_data_hardly_knows_the_padding(layer: str) -> None:
    (q, forcing), place = snapshots(), LAYERS[layer][0]
    answer = closure(q, layer)
    by_hand = relative(answer - forcing[:, place], forcing[:, place])
    assert value(f"ocean_{layer}", "transfer/relative_error") == pytest.approx(by_hand, rel=1e-4)
    own = [relative(f - y, f) for f, y in zip(answer, forcing[:, place], strict=True)]
    bound = next(c["bounds"][1] for e in asked(f"ocean_{layer}")[1]["probes"] for c in e["checks"] if c["name"] == "lattice_phases")
    assert bound == pytest.approx(np.sqrt(np.mean(np.square(own))), rel=1e-4)
    if layer == "upper":
        circular = value("ocean_upper_circular", "transfer/relative_error")
        assert 0 < by_hand - circular < 0.01 * by_hand


@pytest.mark.parametrize("layer", LAYERS)
def test_the_best_linear_filter_of_the_ocean_is_wieners_of_both_layers(layer: str) -> None:
    (q, forcing), place = snapshots(), LAYERS[layer][0]
    n = np.fft.fftfreq(64, 1 / 64)
    band = np.floor(np.hypot(n[:, None], n) + 0.5 + 1e-9).astype(int)
    given, true = np.fft.fft2(q / q.std((0, 2, 3), keepdims=True)), np.fft.fft2(forcing[:, place])
    # Of q nothing but rounding is left beyond the 29th band, nor of its mean.
    left = np.square(np.abs(true[:, (band == 0) | (band > 29)])).sum()
    for b in range(1, 30):
        x = given[:, :, band == b].transpose(1, 0, 2).reshape(2, -1)
        y = true[:, band == b].ravel()
        # Real gains: real and imaginary parts are equations of their own.
        rows, wanted = (np.concatenate([z.real, z.imag], -1) for z in (x, y))
        gains = np.linalg.lstsq(rows.T, wanted, rcond=None)[0]
        left += np.square(wanted - gains @ rows).sum()
    rival = np.sqrt(left / np.square(np.abs(true)).sum())
    own = value(f"ocean_{layer}", "transfer/relative_error")
    assert value(f"ocean_{layer}", "transfer/beats_linear_filter") == pytest.approx((own / rival) ** 2, rel=1e-3)


def test_only_the_mirror_that_turns_north_to_south_is_granted_and_vorticity_changes_sign_in_it() -> None:
    q = snapshots()[0][:2]
    answer = closure(q, "upper")
    north, east = (relative(closure(-np.flip(q, axis + 1).copy(), "upper") + np.flip(answer, axis), answer) for axis in (1, 2))
    data = measured("ocean_upper", "reflection")
    granted = dict(zip(data.mirror.values, data.granted.values, strict=True))
    errors = dict(zip(data.mirror.values, data.mirror_error.sel(field=["pair 0", "pair 1"]).values.T, strict=True))
    for axis, error, grants in (("y", north, 1), ("x", east, 0)):
        name = next(m for m in granted if m.startswith(f"mirror {axis} "))
        assert granted[name] == grants
        assert np.sqrt(np.mean(np.square(errors[name]))) == pytest.approx(error, rel=0.05)
    assert relative(closure(np.flip(q, 2).copy(), "upper") - np.flip(answer, 1), answer) > 1.8


def test_the_upper_ocean_is_forced_with_noise_on_scales_where_the_truth_has_none() -> None:
    data = measured("ocean_upper", "transfer")
    truth, answer = data.power_true.mean("simulation")[:8], data.power_pred.mean("simulation")[:8]
    slopes = [np.polyfit(np.log(data.shell_wavenumber[:8]), np.log(power), 1)[0] for power in (truth, answer)]
    assert slopes[0] > 3.5 and slopes[1] < 1
    assert float(answer[0] / truth[0]) > 1000


def modulus_of_shell(field: np.ndarray, shell: int) -> np.ndarray:
    """What the modes with |n| from shell - 1/2 to shell + 1/2 hold of fields (n, x, y)."""
    n = np.fft.fftfreq(64, 1 / 64)
    size = np.hypot(n[:, None], n)
    return np.fft.ifft2(np.fft.fft2(field) * ((size >= shell - 0.5) & (size < shell + 0.5))).real


@pytest.mark.parametrize(("layer", "variance", "nats", "ratio"), [("upper", 499, 2.65, 3.8), ("lower", 205, 2.26, 4.1)])
def test_statistics_of_the_ocean_by_hand(layer: str, variance: float, nats: float, ratio: float) -> None:
    report = f"ocean_{layer}_statistics"
    q, forcing = snapshots()
    true = forcing[:, LAYERS[layer][0]] if forcing.ndim == 4 else forcing
    answer = closure(q, layer)
    k = 2 * np.pi * np.fft.fftfreq(64)
    smooth = np.exp(-0.5 * (k[:, None] ** 2 + k**2) * 8.0**2)
    rough, even = (np.fft.ifft2(np.fft.fft2(values) * smooth).real for values in (answer, true))
    assert np.var(rough, (1, 2)).mean() / np.var(even, (1, 2)).mean() == pytest.approx(variance, rel=0.01)
    data = measured(report, "one_point")
    assert float(data.kl[:, 0, -1].mean()) == pytest.approx(nats, rel=0.01) and float(data.null[:, 0, -1].mean()) < 0.12
    assert float(data.kl[:, 0, 0].mean()) < float(data.null[:, 0, 0].mean())  # point by point another snapshot
    # One kind of triangle, B(5, 5, 5), from what the shell holds: V^2 <f^3> over the number of its triangles.
    data = measured(report, "bispectrum")
    (place,) = np.flatnonzero((data.shells.values == 5).all(-1))
    count = np.mean(modulus_of_shell(np.eye(1, 64 * 64).reshape(1, 64, 64), 5)[0] ** 3) * (64 * 64) ** 3
    for fields, side in ((answer, "pred"), (true, "true")):
        by_hand = 1e12 * np.mean(modulus_of_shell(fields, 5) ** 3, (1, 2)) / count
        scale = np.abs(by_hand).max()
        np.testing.assert_allclose(data[f"bispectrum_{side}"].values[:, place], by_hand, rtol=0, atol=1e-3 * scale)
    assert value(report, "bispectrum/beats_linear_filter") == pytest.approx(ratio, rel=0.03)


def test_what_the_ocean_closure_does_below_the_cell_is_the_coarse_models_own_aliasing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(STUDIES / "ocean_closure"))
    from aliasing import aliasing

    def moved(field: np.ndarray, cells: float) -> np.ndarray:
        n = np.fft.fftfreq(64, 1 / 64)
        modes = np.fft.fft2(field) * np.exp(-2j * np.pi * cells * (n[:, None] + n) / 64)
        modes[..., 32, :] = modes[..., :, 32] = 0
        return np.fft.ifft2(modes).real

    q, forcing = snapshots()
    fold = aliasing(q)
    for layer, slope, share in (("upper", 1.0, 0.432), ("lower", 1.0, 0.155)):
        place = LAYERS[layer][0]
        a, s = fold[:, place], forcing[:, place]
        assert np.sum(a * s) / np.sum(a * a) == pytest.approx(slope, abs=0.02)
        assert 1 - relative(s - a, s) ** 2 == pytest.approx(share, abs=0.005)
        some = moved(q[::13], 0)
        half = moved(some, 0.5)
        by_network = moved(closure(half, layer), -0.5) - moved(closure(some, layer), 0)
        by_fold = moved(aliasing(half)[:, place], -0.5) - moved(aliasing(some)[:, place], 0)
        assert np.corrcoef(by_network.ravel(), by_fold.ravel())[0, 1] > 0.95
    assert value("ocean_upper", "translation/parts_of_a_cell") > 0.5


def test_doubling_the_oceans_vorticity_quadruples_the_answer() -> None:
    q = snapshots()[0][::13]
    answer = closure(q, "upper")
    assert relative(closure(SHIFT + 2 * (q - SHIFT), "upper") - 4 * answer, 4 * answer) < 0.3


@pytest.fixture(scope="module")
def unet() -> Callable[..., Tensor]:
    """DeepMass on a convergence map, by hand but for the case study's class: (n, 1, 256, 256) -> the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(STUDIES / "deepmass"))
        from deepmass import DeepMass
    state = torch.load(DATA / "mass_mapping" / "deepmass_state_dict.pt", weights_only=True)

    def answer(convergence: Tensor, padding: str = "zeros") -> Tensor:
        network = DeepMass(padding).eval()
        network.load_state_dict(state)
        with torch.no_grad():
            return (network(3 * convergence + 0.5) - 0.5) / 3

    return answer


@pytest.mark.parametrize(("report", "padding"), [("deepmass", "zeros"), ("deepmass_replicate", "replicate")])
def test_deepmass_under_a_quarter_turn(report: str, padding: str, unet: Callable[..., Tensor]) -> None:
    data = measured(report, "rotation")
    described = probe.load(DATA / "mass_mapping" / "deepmass_state_dict.pt", spec=STUDIES / "deepmass" / "deepmass.probe.toml")
    field = field_to_turn(LocalSubject("model", described, None, "default", 0, "rotation"), 0)[0].values.float()
    assert float(field.std()) == pytest.approx(0.0018, rel=1e-3)

    def error(margin: int) -> float:
        inner = (..., slice(margin, 256 - margin), slice(margin, 256 - margin))
        turned = torch.rot90(unet(field, padding), 1, (2, 3))
        return relative((unet(torch.rot90(field, 1, (2, 3)), padding) - turned)[inner], turned[inner])

    assert float(data.turn_error.sel(turn="90° rotation")[0]) == pytest.approx(error(0), rel=0.2 if padding == "zeros" else 0.3)
    assert error(0) > 0.5 if padding == "zeros" else error(0) < 0.25
    assert error(64) < 0.25  # beyond the 61 pixels that it sees, no border


def test_deepmass_normalisation_tells_how_bright_its_maps_were(unet: Callable[..., Tensor]) -> None:
    state = torch.load(DATA / "mass_mapping" / "deepmass_state_dict.pt", weights_only=True)
    weight, seen = state["c.11.weight"], state["b.10.running_var"]
    empty = functional.conv2d(torch.full((1, 1, 256, 256), 0.5), weight, state["c.11.bias"], padding=1).relu()[0]
    on, border = empty[:, 128, 128] > 0.5, empty.var((1, 2))
    assert (border[on] / seen[on] > 0.98).all()
    rms = ((seen - border)[on].sqrt() / 3 / weight.sum((1, 2, 3))[on]).median()
    inside = float(rms) / np.sqrt(139 / 19.2**2)
    assert inside == pytest.approx(0.0018, rel=0.05)


def test_deepmass_makes_a_frame_of_nothing_and_its_gain_depends_on_the_size(unet: Callable[..., Tensor]) -> None:
    frame = unet(torch.zeros(1, 1, 256, 256))
    inner = (..., slice(64, -64), slice(64, -64))
    assert 0.005 < float(frame.abs().max()) < 0.01 and float(frame[inner].square().sum()) < 0.01 * float(frame.square().sum())
    k = torch.fft.fftfreq(256).square()
    noise = torch.fft.fft2(torch.randn(256, 256, generator=torch.Generator().manual_seed(0)))
    field = torch.fft.ifft2(noise / (k[:, None] + k).sqrt().clamp_min(1e-3)).real
    field = (field - field.mean()) / field.std()

    def gain(rms: float) -> float:
        given = rms * field[None, None]
        part = given[inner] - given[inner].mean()
        return float((unet(given)[inner] * part).sum() / part.square().sum())

    assert gain(0.003) > 2 * gain(0.001)
    assert gain(0.03) < gain(0.003)


def scinet(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    """SciNet in numpy: (n, 50), (n,) -> (n,)."""
    stored = np.load(DATA / "scinet_pendulum" / "oscillator_weights.npz")

    def dense(part: str, values: np.ndarray) -> np.ndarray:
        for i in range(3):
            values = values @ stored[f"{part}__{i}th_{part[:3]}_layer__w"] + stored[f"{part}__{i}th_{part[:3]}_layer__b"]
            values = np.where(values > 0, values, np.expm1(np.minimum(values, 0))) if i < 2 else values
        return values

    return dense("decoder", np.concatenate([dense("encoder", x)[:, 2:], t[:, None]], 1))[:, 0]


def swing(times: np.ndarray) -> np.ndarray:
    """The case study's forty pendulums, of frequency sqrt(kappa - b^2/4): (40, times)."""
    draw = np.random.default_rng(0)
    b, kappa = draw.uniform(0.5, 1.0, (40, 1)), draw.uniform(5.0, 10.0, (40, 1))
    return np.exp(-b * times / 2) * np.cos(np.sqrt(kappa - b**2 / 4) * times)


def test_scinet_answers_a_question_as_its_numpy_twin_does() -> None:
    model = probe.load("scinet.pt", spec=STUDIES / "scinet" / "question.probe.toml")
    x = swing(np.linspace(0, 5, 50))
    for t in (2.5, 7.3):
        given = Field(torch.from_numpy(x[:, None]), model.grid, model.description.inputs)
        answer = model.at(t=t)(given).values[:, 0].numpy()
        np.testing.assert_allclose(answer[:, 0], scinet(x, np.full(40, t)), atol=1e-5)
        assert (answer == answer[:, :1]).all()


def test_scinets_error_over_all_questions() -> None:
    draw = np.random.default_rng(1)
    b, kappa, t = (draw.uniform(low, high, 2000) for low, high in ((0.4, 1.2), (4, 12), (0, 10)))

    def swing(times: np.ndarray) -> np.ndarray:
        return np.exp(-b * times / 2) * np.cos(np.sqrt(kappa - b**2 / 4) * times)

    x = np.stack([swing(np.full(2000, s)) for s in np.linspace(0, 5, 50)], 1)
    assert np.sqrt(np.mean(np.square(scinet(x, t) - swing(t)))) == pytest.approx(0.018, rel=0.1)


def test_scinets_next_five_seconds_by_hand() -> None:
    times = np.linspace(0, 5, 50)
    x, truth = swing(times), swing(times + 5)
    answer = np.stack([scinet(x, np.full(40, t)) for t in times + 5], 1)
    by_hand = relative(answer - truth, truth)
    assert value("scinet_later", "transfer/relative_error") == pytest.approx(by_hand, rel=1e-3)
    assert relative(answer - truth, np.ones(())) < 0.02  # of the first amplitude
    rest = np.stack([scinet(np.zeros((1, 50)), np.full(1, t)) for t in times + 5], 1)
    by_hand = relative(rest, answer[0])
    assert value("scinet_later", "null/at_rest") == pytest.approx(by_hand, rel=1e-3)
    assert np.abs(rest).max() == pytest.approx(0.04, rel=0.05)
