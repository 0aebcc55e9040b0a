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


def test_what_a_field_is_called_is_known_without_reading_it():
    model = on(LINE, lambda x: x)

    class Unread:
        def __len__(self):
            return 2

        def __getitem__(self, index):
            raise AssertionError("nothing is to be read")

        def name(self, index):
            return f"pair {index}"

    subject = LocalSubject("model", model, Unread(), "default", 0, "p")
    named = [equivariance.name_of_field(subject, index) for index in range(3)]
    assert named == ["pair 0", "pair 1", "Gaussian field, k^-2"]
    assert [equivariance.count_of_fields(subject, wanted) for wanted in (1, 5)] == [1, 2]
    alone = LocalSubject("model", model, None, "default", 0, "p")
    assert equivariance.name_of_field(alone, 0) == equivariance.test_field(alone, 0)[1] == "Gaussian field, k^-2"
    assert equivariance.count_of_fields(alone, 5) == 5
