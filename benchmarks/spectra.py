"""What a power spectrum costs beside the bare Fourier transform of the same array, measured side by side in one run.

    python benchmarks/spectra.py [--peers] [--sizes 64^3 128^3 256^3 1024^2] [--threads 1 2]

prints a Markdown table; benchmarks/README.md says how to read it and holds one. `--peers` adds Pylians, jaxpm and powerbox,
where they are installed (`pip install '.[benchmark]'`).

Each number of threads and each kind of measurement has a process of its own, bound to as many cores. For each ratio the
call and the bare transform take turns, A B A B ...; it is that of their medians.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec

# glibc gives large blocks back to the system after each call and takes them, zeroed page by page, in the next: half of the
# time of a 256^3 transform. To compare arithmetic, memory is kept by the process; to see the peak, every block is given back.
KEEP = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}
RETURN = {"MALLOC_MMAP_THRESHOLD_": "65536"}
PEERS = {"Pylians": "Pk_library", "jaxpm": "jaxpm", "powerbox": "powerbox"}
MEMORY = {"power": "bare", "triple": "pair", "textbook": "bare"}  # what is measured, and beside what
SECONDS = 4.0  # of rounds, for each ratio

Call = Callable[[], object]


def own(shape: tuple[int, ...]) -> dict[str, Call]:
    """The bare transform, ours, and what is written without thinking."""
    import torch

    from probe import spectra
    from probe.grid import Grid

    grid = Grid(shape, tuple(map(float, shape)))
    x, y = torch.randn(2, 1, 1, *shape, generator=torch.Generator().manual_seed(0))
    shells = torch.round(grid.wavenumber() / grid.fundamental).long().flatten()
    weight = grid.hermitian_weight().float()
    modes = torch.bincount(shells, weights=weight.expand(grid.half_shape).flatten())

    def textbook() -> object:
        squares = torch.fft.rfftn(x, dim=grid.axes).abs() ** 2 * weight
        return torch.bincount(shells, weights=squares.flatten()) / modes

    return {
        "bare": lambda: torch.fft.rfftn(x, dim=grid.axes),
        "pair": lambda: (torch.fft.rfftn(x, dim=grid.axes), torch.fft.rfftn(y, dim=grid.axes)),
        "power": lambda: spectra.power(x, grid),
        "triple": lambda: spectra.powers(x, y, grid),
        "two_point": lambda: spectra.two_point(x, y, grid),
        "textbook": textbook,
    }


def peers(shape: tuple[int, ...], threads: int) -> dict[str, Call]:
    """One power spectrum by each installed peer that takes this number of axes, called with its defaults."""
    import numpy as np

    field = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    side, calls = float(shape[0]), {}
    if find_spec("Pk_library"):
        import Pk_library

        if len(shape) == 3:
            calls["Pylians"] = lambda: Pk_library.Pk(field, side, 0, "None", threads, False)
        else:
            calls["Pylians"] = lambda: Pk_library.Pk_plane(field, side, "None", threads, False)
    if find_spec("jaxpm"):
        import jax.numpy as jnp
        from jaxpm.utils import power_spectrum

        mesh = jnp.asarray(field)
        calls["jaxpm"] = lambda: power_spectrum(mesh, box_shape=tuple(map(float, shape)))[1].block_until_ready()
    if find_spec("powerbox"):
        from powerbox.tools import get_power

        calls["powerbox"] = lambda: get_power(field, side, dimensionless=False, nthreads=threads)
    return calls


def against(bare: Call, call: Call, clock: Callable[[], float]) -> tuple[float, float]:
    """Median seconds of the bare transform and of a call that take turns: three rounds at least, two hundred at most."""
    rounds: list[tuple[float, float]] = []
    call()
    until = time.perf_counter() + SECONDS
    while len(rounds) < 3 or (len(rounds) < 200 and time.perf_counter() < until):
        start = clock()
        bare()
        middle = clock()
        call()
        rounds.append((middle - start, clock() - middle))
    first, second = (statistics.median(seconds) for seconds in zip(*rounds, strict=True))
    return first, second


def peak(call: Call) -> float:
    """Bytes by which the resident memory of the process rises at most during a call (Linux)."""
    for _ in range(2):
        call()
    before = _status("VmRSS")
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the highest mark starts again from here
    call()
    return _status("VmHWM") - before


def _status(key: str) -> float:
    with open("/proc/self/status") as file:
        return next(float(line.split()[1]) * 1024 for line in file if line.startswith(key))


def child(options: argparse.Namespace) -> None:
    """Measure in this process, and print JSON: one mapping a size."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads[0]])
    import torch

    torch.set_num_threads(options.threads[0])
    # On one core the time that the process had of it does not depend on what else runs; with more, waiting is part of the work.
    clock = time.process_time if options.threads[0] == 1 else time.perf_counter
    found = {}
    for size in options.sizes:
        with contextlib.redirect_stdout(sys.stderr):
            calls = own(_shape(size))
            if options.child == "memory":
                found[size] = {name: peak(calls[name]) / peak(calls[bare]) for name, bare in MEMORY.items()}
                continue
            calls |= peers(_shape(size), options.threads[0]) if options.peers else {}
            bare, _ = calls.pop("bare"), calls.pop("pair")
            times = {name: against(bare, call, clock) for name, call in calls.items()}
            found[size] = {name: own / plain for name, (plain, own) in times.items()} | {"bare": times["power"][0]}
    print(json.dumps(found))


def _shape(size: str) -> tuple[int, ...]:
    points, _, dimension = size.partition("^")
    return (int(points),) * int(dimension or 1)


def _measured(kind: str, threads: int, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    command = [sys.executable, __file__, "--child", kind, "--threads", str(threads), "--sizes", *options.sizes]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)} | (RETURN if kind == "memory" else KEEP)
    done = subprocess.run(command + ["--peers"] * options.peers, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def table(options: argparse.Namespace) -> str:
    """The Markdown table."""
    names = {"power": "P(k)", "triple": "P_a, P_b, P_ab", "two_point": "two_point", "textbook": "textbook"}
    names |= {name: name for name, module in PEERS.items() if options.peers and find_spec(module)}
    head = ["size", "threads", "rfftn [ms]", *names.values(), *(f"memory: {names[name]}" for name in MEMORY)]
    rows = [head, ["---"] * len(head)]
    memory = _measured("memory", 1, options)
    for threads in options.threads:
        for size, found in _measured("time", threads, options).items():
            ratios = [f"{found[name]:.2f}" if name in found else "" for name in names]
            peaks = [f"{memory[size][name]:.2f}" for name in MEMORY]
            rows.append([size, str(threads), f"{found['bare'] * 1e3:.2f}", *ratios, *peaks])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def machine() -> str:
    """The machine and the versions in one line."""
    with contextlib.suppress(OSError, StopIteration), open("/proc/cpuinfo") as file:
        model = next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
        packages = ["torch", "numpy", "Pylians", "jaxpm", "jax", "powerbox"]
        versions = [f"{name} {importlib.metadata.version(name)}" for name in packages if _installed(name)]
        return f"{model}, {os.cpu_count()} cores; Python {platform.python_version()}, {', '.join(versions)}."
    return platform.platform()


def _installed(name: str) -> bool:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return bool(importlib.metadata.version(name))
    return False


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["64^3", "128^3", "256^3", "1024^2"], metavar="N^D")
    parser.add_argument("--threads", nargs="+", type=int, default=sorted({1, len(os.sched_getaffinity(0))}))
    parser.add_argument("--peers", action="store_true", help="time Pylians, jaxpm and powerbox too, where installed")
    parser.add_argument("--child", choices=["time", "memory"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options)
    else:
        print(machine(), "", table(options), sep="\n")


if __name__ == "__main__":
    main()
