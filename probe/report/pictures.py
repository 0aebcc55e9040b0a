"""Figures as markup: curves as inline SVG whose text stays text, images as small PNG."""

from __future__ import annotations

import base64
import io
import re
from itertools import count, groupby
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from probe import figures
from probe.report.curves import thinned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

# Sharp on fine screens, and a whole ratio to the 96 of the others.
DPI = 144


class Pictures:
    """Turns the figures of one page into markup; ids differ from figure to figure, and each style is written but once."""

    def __init__(self) -> None:
        self.numbers: Iterator[int] = count(1)
        self.styles: dict[str, str] = {}

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
            if _has_image(figure):
                return _png(figure, label, described_by)
            return _svg(figure, label, described_by, f"f{number}", self.styles)


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


def _svg(figure: Figure, label: str, described_by: str, name: str, styles: dict[str, str]) -> Markup:
    data = io.StringIO()
    metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(data, format="svg", facecolor="none", metadata=metadata)
    body = _slim(_own_ids(data.getvalue(), name))
    width, height = (round(inches * 96) for inches in figure.get_size_inches())
    view = re.search(r'viewBox="([^"]+)"', body)
    inner = _with_classes(body[body.index(">", body.index("<svg")) + 1 : body.rindex("</svg>")], styles)
    head = f'<svg role="img" aria-label="{escape(label)}" aria-describedby="{escape(described_by)}"'
    return Markup(f'{head} viewBox="{view[1] if view else ""}" width="{width}" height="{height}">{inner}</svg>')


def _own_ids(svg: str, prefix: str) -> str:
    """Ids that something refers to are numbered behind the prefix; the others, which matplotlib gives to every group, go."""
    used = [a or b for a, b in re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', svg)]
    short = {name: f"{prefix}-{place}" for place, name in enumerate(dict.fromkeys(used))}
    svg = re.sub(r' id="([^"]+)"', lambda m: f' id="{short[m[1]]}"' if m[1] in short else "", svg)
    svg = re.sub(r"url\(#([^)]+)\)", lambda m: f"url(#{short[m[1]]})", svg)
    return re.sub(r'(?:xlink:)?href="#([^"]+)"', lambda m: f'href="#{short[m[1]]}"', svg)


def _with_classes(svg: str, styles: dict[str, str]) -> str:
    """Each style by the name of a class; those that no figure of the page had before are written down in front."""
    new: dict[str, str] = {}

    def named(match: re.Match[str]) -> str:
        style = match[1]
        if style not in styles:
            new[style] = styles[style] = f"s{len(styles)}"
        return f' class="{styles[style]}"'

    svg = re.sub(r' style="([^"]*)"', named, svg)
    rules = "".join(f".{name}{{{style}}}" for style, name in new.items())
    return f"<style>{rules}</style>{svg}" if rules else svg


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
    svg = re.sub(r' d="[^"]*"', lambda m: thinned(re.sub(r"\s*\n", "", re.sub(r"([A-Za-z]) ", r"\1", m[0]))), svg)
    svg = re.sub(r">\s+<", "><", svg)
    return _ungrouped(re.sub(rf"(?:{_DIGIT}){{2,}}", _joined, svg))


def _ungrouped(svg: str) -> str:
    """Without groups that say nothing of what they hold, which is most of those that matplotlib makes."""
    parts, silent = [], []
    for part in re.split(r"(<g>|<g [^>]*>|</g>)", svg):
        if part.startswith("<g"):
            silent.append(part == "<g>")
        if not (silent.pop() if part == "</g>" else part == "<g>"):
            parts.append(part)
    return "".join(parts)


# matplotlib places every character of a formula by itself.
_DIGIT = r'<tspan x="[^" ]*" y="[^"]*" style="[^"]*">[^<&]</tspan>'


def _joined(run: re.Match[str]) -> str:
    """Characters in a row on the same height and in the same style, as one text with a list of places."""
    parts = re.findall(r'<tspan x="([^"]*)" y="([^"]*)" (style="[^"]*")>(.)</tspan>', run[0])
    lines = groupby(parts, key=lambda part: part[1:3])
    joined = []
    for (height, style), members in lines:
        places, characters = zip(*((m[0], m[3]) for m in members), strict=True)
        joined.append(f'<tspan x="{" ".join(places)}" y="{height}" {style}>{"".join(characters)}</tspan>')
    return "".join(joined)
