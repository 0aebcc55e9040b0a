"""The house style: fonts, colours, the look of each subject's line, units as a physicist sets them."""

from __future__ import annotations

import re
import zlib
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy import ndarray

INK, RULE, GREY = "#2b3440", "#e4e7eb", "#8a94a0"
_LONGEST_UNIT = 60  # characters; no axis has room for more

# Helvetica's metrics are shared by Arial and Liberation Sans, so text measured here fits where the report is read.
HOUSE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Arial", "Helvetica", "Liberation Sans", "DejaVu Sans"],
    "font.size": 9.5,
    "mathtext.fontset": "custom",
    "mathtext.cal": "sans",
    "mathtext.fallback": "stixsans",
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.5,
    "axes.titlelocation": "left",
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.use_mathtext": True,
    "axes.formatter.limits": (-3, 4),
    "axes.unicode_minus": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "text.color": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "svg.fonttype": "none",
    "svg.hashsalt": "probe",
}

_FILTER = (0, (3, 1, 1, 1, 1, 1))
# Okabe & Ito's palette, which every common form of colour blindness tells apart; the dashes tell them apart in print.
_SUBJECTS: dict[str, dict[str, Any]] = {
    "model": {"color": "#0072B2", "linestyle": "-", "linewidth": 2.0, "zorder": 5, "label": "model"},
    "simulator": {"color": "#000000", "linestyle": (0, (5, 1.5)), "linewidth": 1.3, "zorder": 4, "label": "simulator"},
    "truth": {"color": "#000000", "linestyle": "-", "linewidth": 1.1, "zorder": 3.5, "label": "truth"},
    "identity": {"color": "#E69F00", "linestyle": "--", "linewidth": 1.5, "zorder": 3, "label": "input itself"},
    "lpt2": {"color": "#009E73", "linestyle": "-.", "linewidth": 1.5, "zorder": 3, "label": "2LPT"},
    "linear_filter": {"color": "#CC79A7", "linestyle": _FILTER, "linewidth": 1.5, "zorder": 3, "label": "best linear filter"},
    "lpt2_filter": {"color": "#D55E00", "linestyle": _FILTER, "linewidth": 1.5, "zorder": 3, "label": "best linear filter of 2LPT"},
    "untrained": {"color": "#7f8790", "linestyle": ":", "linewidth": 1.8, "zorder": 2.5, "label": "untrained twin"},
}
_NEXT_COLORS = ("#56B4E9", "#8c6d31")
# Of rivals, in their order: colours that neither the controls have nor, from Tol's muted palette, are taken for one another.
_RIVAL_COLORS = ("#56B4E9", "#882255", "#999933", "#332288", "#8c6d31")
NEXT_DASHES: tuple[Any, ...] = ("-", "--", "-.", ":")


def house_style() -> AbstractContextManager[None]:
    """The house style as a context: text and legends that are made inside it follow it too."""
    import matplotlib

    return matplotlib.rc_context(HOUSE)


def figure(columns: int = 1, rows: int = 1, width: float = 6.0, height: float = 3.6, **gridspec: Any) -> tuple[Figure, ndarray]:
    """A figure in the house style.

    Parameters
    ----------
    columns, rows : int
    width, height : float
        Of the whole figure [inches].
    **gridspec
        What `Figure.subplots` takes beside: `sharex`, `sharey`, `width_ratios`, `height_ratios`, `gridspec_kw`.

    Returns
    -------
    figure : Figure
    axes : ndarray of Axes, (rows, columns)
        Always two axes, so `axes[0, 0]` where there is one panel.
    """
    from matplotlib.figure import Figure

    with house_style():
        made = Figure(figsize=(width, height), layout="constrained")
        axes = made.subplots(rows, columns, squeeze=False, **gridspec)
    return made, axes


def style(subject: str, label: str = "") -> dict[str, Any]:
    """Keywords of a line for a subject, the same in every figure.

    Parameters
    ----------
    subject : str
        "model", "simulator", "truth", "identity", "lpt2", "linear_filter", "untrained", or any other name: those get a
        colour and dashes that depend on the name alone.
    label : str
        Put in the legend instead of the usual word, such as "Zel'dovich (input)" for the identity.
    """
    known = _SUBJECTS.get(subject)
    if known is None:
        # Python's own hash changes from one process to the next.
        color, dash = divmod(zlib.crc32(subject.encode()) % (len(_NEXT_COLORS) * len(NEXT_DASHES)), len(NEXT_DASHES))
        known = {"color": _NEXT_COLORS[color], "linestyle": NEXT_DASHES[dash], "linewidth": 1.4, "zorder": 3, "label": subject}
    return known | {"label": label or known["label"]}


def rival_style(place: int, name: str) -> dict[str, Any]:
    """Keywords of a line for a rival, by its place among them: the first twenty all differ."""
    color, dash = _RIVAL_COLORS[place % len(_RIVAL_COLORS)], NEXT_DASHES[place // len(_RIVAL_COLORS) % len(NEXT_DASHES)]
    return {"color": color, "linestyle": dash, "linewidth": 1.5, "zorder": 3.2, "label": name}


def ramp(index: int, count: int) -> str:
    """The colour of one of `count` ordered curves of the same subject: dark to light, and never too pale for white paper."""
    import matplotlib
    from matplotlib.colors import to_hex

    return to_hex(matplotlib.colormaps["viridis"](0.85 * index / max(count - 1, 1)))


def axis_label(name: str, unit: str = "") -> str:
    """'name [unit]', or just the name where there is no unit; 'Mpc/h' and '(Mpc/h)^3' are set as a physicist would."""
    return f"{name} [{set_unit(unit)}]" if unit.strip() not in ("", "1", "dimensionless") else name


def set_unit(unit: str) -> str:
    """A unit in mathtext: upright, but for the italic h of the Hubble constant; plain text where it is no simple formula."""
    if len(unit) > _LONGEST_UNIT:
        unit = unit[:_LONGEST_UNIT] + "…"
    if not re.fullmatch(r"[A-Za-z0-9µ%°().*/^+\- ]+", unit):
        return unit.replace("$", r"\$")
    # Brackets around a power go, those around what is raised to it stay: (h/Mpc)^(1/2), (1/s^2)^2.
    power = r"[+-]?\d+(?:[./]\d+)?"
    words = re.sub(rf"\^(?:\(({power})\)|({power}))", lambda m: f"^{{{m[1] or m[2]}}}", unit.replace("%", r"\%"))
    words = re.sub(r"[A-Za-zµ]+", lambda m: "h" if m[0] == "h" else rf"\mathrm{{{m[0]}}}", words)
    return "$" + re.sub(r"\s*\*\s*|\s+", r"\\,", words.strip()) + "$"
