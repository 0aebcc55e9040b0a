"""Figures as markup: curves as inline SVG whose text stays text, images as small PNG."""

from __future__ import annotations

import base64
import io
import re
from itertools import count
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from probe import figures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

# Sharp on fine screens, and a whole ratio to the 96 of the others.
DPI = 144


class Pictures:
    """Turns the figures of one page into markup; ids differ from figure to figure."""

    def __init__(self) -> None:
        self.numbers: Iterator[int] = count(1)

    def markup(self, figure: Figure, label: str, described_by: str) -> Markup:
        """Inline SVG or an `img`.

        Parameters
        ----------
        label : str
            What it is, for those who do not see it.
        described_by : str
            Id of the element that holds the numbers in words.
        """
        number = next(self.numbers)
        with figures.house_style():
            return _png(figure, label, described_by) if _has_image(figure) else _svg(figure, label, described_by, number)


def _has_image(figure: Figure) -> bool:
    from matplotlib.collections import QuadMesh

    return any(axes.images or any(isinstance(c, QuadMesh) for c in axes.collections) for axes in figure.axes)


def _png(figure: Figure, label: str, described_by: str) -> Markup:
    from PIL import Image

    drawn, data = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI, facecolor="white")
    # One colour map and grey text fit a palette, at a third of the size.
    Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(data, format="png", optimize=True)
    width, height = (round(inches * 96) for inches in figure.get_size_inches())
    encoded = base64.b64encode(data.getvalue()).decode()
    frame = Markup('<img src="data:image/png;base64,{}" alt="{}" aria-describedby="{}" width="{}" height="{}">')
    return frame.format(Markup(encoded), label, described_by, width, height)


def _svg(figure: Figure, label: str, described_by: str, number: int) -> Markup:
    data = io.StringIO()
    metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(data, format="svg", facecolor="none", metadata=metadata)
    body = _slim(_own_ids(data.getvalue(), f"f{number}-"))
    width, height = (round(inches * 96) for inches in figure.get_size_inches())
    view = re.search(r'viewBox="([^"]+)"', body)
    inner = body[body.index(">", body.index("<svg")) + 1 : body.rindex("</svg>")]
    head = f'<svg role="img" aria-label="{escape(label)}" aria-describedby="{escape(described_by)}"'
    return Markup(f'{head} viewBox="{view[1] if view else ""}" width="{width}" height="{height}">{inner}</svg>')


def _own_ids(svg: str, prefix: str) -> str:
    """Ids that something refers to get the prefix; the others, which matplotlib gives to every group, go."""
    used = set(re.findall(r"url\(#([^)]+)\)", svg)) | set(re.findall(r'href="#([^"]+)"', svg))
    svg = re.sub(r' id="([^"]+)"', lambda m: f' id="{prefix}{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}\1)", svg)
    return re.sub(r'(?:xlink:)?href="#([^"]+)"', rf'href="#{prefix}\1"', svg)


def _slim(svg: str) -> str:
    """Without comments, metadata, the style sheet that would leak into the page, and digits that no screen shows."""
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<defs>\s*</defs>", "", svg)
    # The page sets the family once; matplotlib repeats it for every digit of a tick.
    svg = re.sub(r" font-family: [^;\"]*;", "", svg)
    # A tick is drawn by its definition's stroke, and a digit has its group's colour.
    svg = re.sub(r'(<use [^>]*?) style="fill: (#\w+); stroke: \2; stroke-width: [\d.]+"', r"\1", svg)
    svg = re.sub(r"(<tspan [^>]*?); fill: #\w+\"", r'\1"', svg)
    svg = re.sub(r' (?:d|x|y|points|transform)="[^"]*"', lambda m: re.sub(r"(\.\d\d)\d+", r"\1", m[0]), svg)
    return re.sub(r">\s+<", "><", svg)
