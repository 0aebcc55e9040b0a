"""What ships: weights in half precision, held-out pairs, the simulator's answers to made inputs, and the table on the card."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from probe.grid import Grid
from probe.spectra import coefficients, fourier, ladder_mask
from probe.zoo.lpt2nbody.recipe.simulate import AMPLITUDES, HELD_OUT, jobs, made_displacement

GRID = Grid.cubic(32, 128.0, unit="Mpc/h")
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
    publish_other_amplitudes(work, folder)
    return publish_answers(work, folder)


def publish_answers(work: Path, folder: Path) -> str:
    """Every made input with its answer; returns the table of the plane waves.

    Of the answer to a wave what lies on its own ladder is kept, of that to a pair what is the same at every z: all but rounding.
    """
    inputs, outputs, rows = [], [], []
    for job in jobs():
        if not job.kind:
            continue
        answer = torch.from_numpy(np.load(work / f"{job.name}.npz")["output"]).double()
        given = made_displacement(job, GRID)
        if job.kind == "wave":
            mode, level, phase = job.made
            answer, lost = _on_ladder(answer, mode)
            rows.append(_row(mode, level, phase, answer, given, lost))
        elif job.kind == "pair":
            answer = answer.mean(-1, keepdim=True).expand_as(answer)
        # A pair with both signs changed is its mirror image.
        for each in ((given, answer), (_mirrored(given), _mirrored(answer)))[: 1 + (job.kind == "pair")]:
            inputs.append(each[0].float().numpy())
            outputs.append(np.round(each[1].numpy(), DIGITS).astype(np.float32))
    np.savez_compressed(folder / "answers.npz", input=np.stack(inputs), output=np.stack(outputs))
    return "\n".join(
        ["| mode n | k [h/Mpc] | level A k | phase | gain | second harmonic | lost |", "|---|---|---|---|---|---|---|", *rows]
    )


def _mirrored(psi: Tensor) -> Tensor:
    """-psi(-x): (3, *shape) -> the same."""
    return -torch.roll(psi.flip(1, 2, 3), (1, 1, 1), (1, 2, 3))


def publish_other_amplitudes(work: Path, folder: Path) -> None:
    """The answers at each other primordial amplitude, in half precision: an error of 0.02 %. Their inputs are the held-out ones
    times the root of the amplitude."""
    for amplitude in AMPLITUDES:
        place = folder / "cosmology" / f"{amplitude:g}"
        place.mkdir(parents=True, exist_ok=True)
        for number in range(HELD_OUT):
            stored = np.load(work / f"amplitude_{amplitude:g}_{number:03d}.npz")
            np.save(place / f"nbody_{number:03d}.npy", stored["output"].astype(np.float16))


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
