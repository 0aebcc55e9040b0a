"""What ships: weights in half precision, held-out pairs, the simulator's answers to made inputs, and the table on the card."""

from __future__ import annotations

from ast import literal_eval
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from probe.fields import Quantity
from probe.grid import Grid
from probe.spectra import coefficients, fourier, ladder_mask
from probe.waves import PlaneWave, plane_wave

GRID = Grid.cubic(32, 128.0, unit="Mpc/h")
PSI = Quantity("psi", "vector", "displacement", "Mpc/h")
DIGITS = 4  # 1e-4 Mpc/h, a hundredth of a per cent of the smallest wave that is asked


def publish(work: Path, folder: Path, network: nn.Module, held_out: int) -> str:
    """Write everything but the card's prose; returns the table of the simulator's plane-wave gain for it."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.half().contiguous() for name, value in network.state_dict().items()}, folder / "weights.safetensors")
    (folder / "heldout").mkdir(exist_ok=True)
    for number in range(held_out):
        stored = np.load(work / f"field_{number:03d}.npz")
        np.save(folder / "heldout" / f"za_{number:03d}.npy", stored["input"])
        np.save(folder / "heldout" / f"nbody_{number:03d}.npy", stored["output"])
    return publish_answers(sorted(work.glob("wave_*.npz")), folder / "answers.npz")


def publish_answers(runs: list[Path], path: Path) -> str:
    """The plane waves: only what lies on each wave's own ladder is kept, which is all of it but rounding."""
    inputs, outputs, rows = [], [], []
    for run in runs:
        stored = np.load(run)
        mode, level, phase = literal_eval(str(stored["wave"]).replace("np.float64", ""))
        answer = torch.from_numpy(stored["output"]).double()
        kept, lost = _on_ladder(answer, mode)
        # delta = a sin(k.x + phi) belongs to psi = (a/|k|) khat cos(k.x + phi).
        given = plane_wave(PlaneWave(mode, level / GRID.wavenumber_of(mode), phase), PSI, GRID)
        inputs.append(given.float().numpy())
        outputs.append(np.round(kept.numpy(), DIGITS).astype(np.float32))
        rows.append(_row(mode, level, phase, answer, given, lost))
    np.savez_compressed(path, input=np.stack(inputs), output=np.stack(outputs))
    return "\n".join(
        ["| mode n | k [h/Mpc] | level A k | phase | gain | second harmonic | lost |", "|---|---|---|---|---|---|---|", *rows]
    )


def _on_ladder(answer: Tensor, mode: tuple[int, ...]) -> tuple[Tensor, float]:
    modes = fourier(answer, GRID)
    kept = torch.fft.irfftn(modes * ladder_mask(mode, GRID), s=GRID.shape, dim=GRID.axes)
    return kept, float((answer - kept).norm() / answer.norm())


def _row(mode: tuple[int, ...], level: float, phase: float, answer: Tensor, given: Tensor, lost: float) -> str:
    khat = GRID.direction_of(mode)
    double = tuple(2 * n for n in mode)
    wave, twice = (coefficients(answer[None], [m], GRID)[0, :, 0] @ khat.to(torch.complex128) for m in (mode, double))
    sent = coefficients(given[None], [mode], GRID)[0, :, 0] @ khat.to(torch.complex128)
    k = GRID.wavenumber_of(mode)
    return (
        f"| {mode} | {k:.3f} | {level:g} | {phase / np.pi:.3g} π | {abs(wave / sent):.4f} | {abs(twice / sent):.4f} | {lost:.0e} |"
    )
