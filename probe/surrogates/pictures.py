"""Figures of answers to surrogates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lazy_loader as lazy

from probe import figures
from probe.contract import Measured, Panel, percent
from probe.surrogates.reading import KINDS, no_rival, shares, with_truth

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy import ndarray
    from xarray import Dataset

np = lazy.load("numpy")


def answers_panel(model: Dataset) -> Panel:
    """Answers to samples and to their surrogates, against the truth."""
    known = with_truth(model)
    names = [*(["as it is"] if known.any() else []), *(word for word, _ in KINDS.values())]
    count = model.sizes["target"]
    picture, axes = figures.figure(
        len(names), count, width=1.0 + 1.85 * len(names), height=0.7 + 1.75 * count, sharey="row", sharex="row"
    )
    for place, row in enumerate(axes):
        _answers_row(model, place, row, names, bool(known[place]))
    for panel, name in zip(axes[0], names, strict=True):
        panel.set_title(name)
    text = " ".join(_told(model, place) for place in range(count))
    caption = (
        f"Each point is a sample under one draw of its surrogate: {'; '.join(f'{word}: {left}' for word, left in KINDS.values())}. "
        "On the black line the answer is right (where no truth is known: the same as of the input as it is). Points along another "
        "rising line are shifted, and in order still; a level cloud knows nothing."
    )
    return Panel("Answers to surrogates", [("", picture)], caption, text, ("answer", "made", "truth"))


def _answers_row(model: Dataset, place: int, row: ndarray, names: list[str], known: bool) -> None:
    answer, made = model.answer.values[:, place], model.made.values[..., place]
    across = model.truth.values[:, place] if known else answer
    look = {"ls": "none", "marker": "o", "ms": 3, "alpha": 0.6, "mew": 0, "color": figures.style("model")["color"]}
    columns = [answer[None]] * (len(names) - len(KINDS)) + [made[:, i].T for i in range(len(KINDS))]
    for panel, draws in zip(row, columns, strict=True):
        for values in draws:
            panel.plot(across, values, **look)
        panel.axline((across.mean(), across.mean()), slope=1, **{**figures.style("truth"), "label": "", "lw": 0.9})
        panel.set_xlabel("truth" if known else "as it is")
        panel.margins(0.08)
    row[0].set_ylabel(figures.axis_label(f"{model.target.values[place]!s}\n", str(model.unit.values[place])).strip())


def _told(model: Dataset, place: int) -> str:
    answer, name = model.answer.values[:, place], model.target.values[place]
    moved = [float(model.made.sel(kind=kind).values[..., place].mean()) for kind in KINDS]
    words = ", ".join(f"{word} {mean:.3g}" for (word, _), mean in zip(KINDS.values(), moved, strict=True))
    return f"{name!s}: mean answer {answer.mean():.3g}; {words}."


def shares_panel(measured: Measured) -> Panel:
    """What is kept of the answers, and the errors of those that know one statistic alone."""
    model, known = measured["model"], with_truth(measured["model"])
    judged = bool(known.any()) and not no_rival(model)
    picture, axes = figures.figure(columns=1 + judged, width=5.6 + 3.6 * judged, height=1.2 + 0.5 * len(KINDS))
    words, kept = [], np.stack([shares(model, kind) for kind in KINDS])
    twin = np.stack([shares(measured["untrained"], kind)[0] for kind in KINDS]) if "untrained" in measured else None
    _bars(axes[0, 0], model, kept, twin)
    for kind, share in zip(KINDS, kept[:, 0], strict=True):
        words.append(f"{KINDS[kind][0]} {', '.join(percent(float(x)) for x in share)}")
    text = f"Share kept of {', '.join(str(name) for name in model.target.values)}: {'; '.join(words)}."
    caption = (
        "The share of the answers' variance over samples that is kept by surrogates, 1 where the answer is made of what they keep "
        "alone; bars are intervals over samples, diamonds the untrained twin."
    )
    variables: tuple[str, ...] = ("answer", "made")
    if judged:
        text += " " + _errors(axes[0, 1], measured)
        caption += (
            " Right: what is left of the truths' variance as error, for the inputs as they are, beside regressions that know "
            "one statistic alone: 1 is an answer that is always the mean."
        )
        variables += ("truth", "from_power_spectrum", "from_one_point")
    figures.legend_beside(axes[0])
    return Panel("What is kept", [("", picture)], caption, text, variables)


def _bars(panel: Axes, model: Dataset, kept: ndarray, twin: ndarray | None) -> None:
    """A group of bars a surrogate, a bar a target; kept (kind, (value, low, high), target)."""
    count = model.sizes["target"]
    height = 0.8 / count
    for place, name in enumerate(model.target.values):
        at = np.arange(len(KINDS)) + height * (place - (count - 1) / 2)
        value, low, high = np.nan_to_num(kept[..., place]).T
        spread = np.maximum(np.stack([value - low, high - value]), 0)
        panel.barh(at, value, 0.9 * height, xerr=spread, color=figures.ramp(place, count), ecolor=figures.GREY, label=str(name))
        if twin is not None:
            look = {"color": figures.style("untrained")["color"], "label": "untrained twin" if not place else None}
            panel.plot(twin[:, place], at, ls="none", marker="D", ms=5, mec="white", mew=0.6, zorder=6, **look)
    panel.set_yticks(range(len(KINDS)), labels=[word for word, _ in KINDS.values()])
    panel.set(xlim=(0, 1.02), ylim=(len(KINDS) - 0.5, -0.5), xlabel="share of the answers' variance kept", ylabel="surrogate")


def _errors(panel: Axes, measured: Measured) -> str:
    """Error power over the variance of the truths, by who answers."""
    model, known = measured["model"], with_truth(measured["model"])
    answers: dict[str, Any] = {"this model": model.answer}
    answers |= {"untrained twin": measured["untrained"].answer} if "untrained" in measured else {}
    answers |= {"power spectrum": model.from_power_spectrum, "one-point": model.from_one_point}
    truth = model.truth.values[:, known]
    found = {word: ((one.values[:, known] - truth) ** 2).mean(0) / truth.var(0) for word, one in answers.items()}
    for column, place in enumerate(np.flatnonzero(known)):
        values = [row[column] for row in found.values()]
        look: dict[str, Any] = {
            "marker": "o",
            "ms": 6,
            "color": figures.ramp(place, len(known)),
            "label": str(model.target.values[place]),
        }
        panel.plot(values, range(len(found)), ls="none", **look)
    panel.axvline(1.0, color=figures.GREY, lw=1.1, ls="--")
    panel.set_yticks(range(len(found)), labels=list(found))
    figures.logarithmic(panel)
    panel.set(ylim=(len(found) - 0.5, -0.5), xlabel="error / variance of the truths", ylabel="answer from")
    told = ", ".join(f"{word} {' and '.join(f'{x:.2g}' for x in row)}" for word, row in found.items())
    return f"Error over variance: {told}."
