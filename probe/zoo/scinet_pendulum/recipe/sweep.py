"""The same network under other betas: how exact its answers are against how far its latent variables stand for one factor each."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from safetensors.torch import load_file, save_file

from probe.figures import figure, house_style, legend
from probe.zoo.encoders import Answerer, curve_network
from probe.zoo.scinet_pendulum.recipe.measure import measure
from probe.zoo.scinet_pendulum.recipe.train import trained

BETAS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
HEAD = ("beta", "error", "error_of_draws", "information_gap", "modularity", "kl_first", "kl_second", "kl_third")


def networks(work: Path, minutes: float) -> dict[float, Answerer]:
    """A network for each beta, from the work folder where it is there already."""
    found = {}
    for beta in BETAS:
        place = work / f"beta_{beta:g}.safetensors"
        if not place.is_file():
            save_file(trained(beta, minutes).state_dict(), place)
        found[beta] = curve_network()
        found[beta].load_state_dict(load_file(place))
    return found


def write(table: Path, found: Mapping[float, Answerer]) -> None:
    """A row for each network."""
    with table.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(HEAD)
        for beta, network in found.items():
            one = measure(network)
            values = (one.error, one.error_of_draws, one.gap, one.modularity, *sorted(one.divergence, reverse=True))
            rows.writerow([f"{beta:g}", *(f"{value:.4f}" for value in values)])


def read(table: Path) -> dict[str, np.ndarray]:
    """The columns of the table by name."""
    with table.open(newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    return dict(zip(head, np.array(rows, dtype=float).T, strict=True))


def draw(table: Path, picture: Path) -> None:
    """Accuracy against disentanglement on the left, what is kept of each latent variable on the right."""
    found = read(table)
    errors = found["error_of_draws"]
    with house_style():
        made, axes = figure(columns=2, width=7.6, height=3.3)
        left, right = axes[0]
        _lines(left, errors, found, {"modularity": "modularity", "information_gap": "mutual information gap"})
        for beta, error, height in zip(found["beta"], errors, found["modularity"], strict=True):
            power = f"$10^{{{round(np.log10(beta))}}}$"
            left.annotate(power, (error, height), (0, 7), textcoords="offset points", ha="center", fontsize=9)
        left.set(ylim=(0, 1.15), ylabel="disentanglement", title="beta beside the points")
        left.set_xlabel("rms error of answers from draws [first swing]")
        ticks = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
        left.set_xticks(ticks, labels=[f"{tick:g}" for tick in ticks], minor=False)
        left.minorticks_off()
        _lines(right, found["beta"], found, {"kl_first": "first", "kl_second": "second", "kl_third": "third"})
        right.set(xlabel="beta", ylabel="KL of a latent variable [nat]")
        made.savefig(picture, dpi=90, metadata={"Software": None})


def _lines(axes: Axes, x: np.ndarray, found: Mapping[str, np.ndarray], names: Mapping[str, str]) -> None:
    """Columns of the table over x, which is logarithmic."""
    for (column, name), color, marker in zip(names.items(), ("#0072B2", "#E69F00", "#000000"), "os^", strict=False):
        axes.plot(x, found[column], color=color, marker=marker, label=name)
    axes.set_xscale("log")
    legend(axes)
