"""What every judgement of a symmetry rests on: the description's word for or against it, and which box it is."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from probe import equivariance
from probe.description import Symmetries, Truth
from probe.model import FieldModel
from probe.runner.subject import LocalSubject
from tests.models import CUBE, LINE, SQUARE, on


def facts(lattice, **about):
    model = on(lattice, lambda x: x)
    described = replace(model.description, **about)
    return equivariance.facts(
        LocalSubject("model", FieldModel(model.network, described, dtype=torch.float64), None, "default", 0, "p")
    )


@pytest.mark.parametrize(
    ("grid", "reflection", "denied"),
    [
        (CUBE, True, ""),
        (CUBE, False, "reflection = false"),
        (CUBE, ("y",), "reflection = ('y',)"),
        (CUBE, ("x", "y", "z"), ""),
        (SQUARE, ("x", "y"), ""),
        (SQUARE, ("x",), "reflection = ('x',)"),
        (LINE, ("x",), ""),
        (LINE, (), "reflection = false"),
    ],
)
def test_a_reflection_is_denied_unless_it_is_granted_along_every_axis(grid, reflection, denied):
    assert facts(grid, symmetries=Symmetries(reflection=reflection, declared=True))["denied_reflection"] == denied


@pytest.mark.parametrize(
    ("grid", "rotation", "denied"),
    [
        (CUBE, "full", ""),
        (CUBE, "none", "rotation = 'none'"),
        (CUBE, ("z",), "rotation = ('z',)"),
        (CUBE, ("x", "y", "z"), ""),
        (SQUARE, ("z",), ""),
        (SQUARE, ("x",), "rotation = ('x',)"),
    ],
)
def test_a_rotation_is_denied_unless_it_is_granted_about_every_axis_there_is(grid, rotation, denied):
    assert facts(grid, symmetries=Symmetries(rotation=rotation, declared=True))["denied_rotation"] == denied


def test_walls_deny_translation():
    assert facts(LINE)["denied_translation"] == ""
    assert "'reflect'" in facts(LINE, grid=replace(LINE, boundary="reflect"))["denied_translation"]
    assert "('x',)" in facts(SQUARE, symmetries=Symmetries(("x",), declared=True))["denied_translation"]


@pytest.mark.parametrize(("law", "who"), [("", "the simulator"), ("gravity", "the simulator"), ("mine:law", "the law")])
def test_who_knows_the_answers_is_named(law, who):
    assert facts(LINE, truth=Truth(law))["simulator"] == who
