"""Figures as markup: small, whole, and the same to look at."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from probe import figures
from probe.report.pictures import Pictures


@pytest.fixture
def drawn() -> list[str]:
    """Two figures of one page, with a logarithmic axis, whose ticks are formulas."""
    pictures, markup = Pictures(), []
    for color in ("#0072B2", "#0072B2"):
        made, axes = figures.figure()
        axes[0, 0].plot([1, 10, 100], [1e-3, 1e-2, 1e-1], color=color, marker="o")
        axes[0, 0].set(xscale="log", yscale="log", xlabel="k [$h/\\mathrm{Mpc}$]")
        markup.append(str(pictures.markup(made, "label", "text")))
    return markup


def test_they_are_well_formed_and_every_reference_is_met_in_its_own_figure(drawn):
    for svg in drawn:
        ElementTree.fromstring(svg)
        used = set(re.findall(r"url\(#([^)]+)\)", svg)) | set(re.findall(r'href="#([^"]+)"', svg))
        assert used and used <= set(re.findall(r' id="([^"]+)"', svg))
    assert not set(re.findall(r' id="([^"]+)"', drawn[0])) & set(re.findall(r' id="([^"]+)"', drawn[1]))


def test_each_style_is_written_once_a_page_and_every_class_has_its_rule(drawn):
    page = "".join(drawn)
    rules = re.findall(r"\.(s\d+)\{([^}]*)\}", page)
    assert len({style for _, style in rules}) == len(rules) and " style=" not in page
    assert set(re.findall(r'class="([^"]+)"', page)) == {name for name, _ in rules}
    assert len(drawn[1]) < len(drawn[0])


def test_the_characters_of_a_formula_keep_their_places(drawn):
    texts = ElementTree.fromstring(drawn[0]).iter("tspan")
    spans = [(span.text, span.get("x", "").split()) for span in texts]
    assert any(text == "10" for text, _ in spans)
    assert all(len(places) in (1, len(text or "")) for text, places in spans)
