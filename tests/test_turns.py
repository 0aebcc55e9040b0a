"""Which turns of the lattice a description grants, by the orders of the groups, and the point that a turn may fix."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from probe.description import Symmetries
from probe.grid import Grid
from probe.transforms import lattice_symmetries
from probe.turns import centres, field_count, granted_mirrors, mirrored_axis, name, place, point_group, representatives

AXES = ("x", "y", "z")


CUBE, SQUARE, LINE = (Grid.cubic(8, 8.0, dimension) for dimension in (3, 2, 1))
SLAB = Grid((8, 8, 4), (8.0, 8.0, 4.0))


@pytest.mark.parametrize(
    ("rotation", "reflection", "grid", "order", "mirrors"),
    [
        ("full", True, CUBE, 48, 24),
        ("full", False, CUBE, 24, 0),
        ("none", False, CUBE, 1, 0),
        ("none", True, CUBE, 8, 4),  # three mirrors and the inversion; their other products are half turns
        ("none", ("x",), CUBE, 2, 1),
        ("none", ("x", "y"), CUBE, 4, 2),
        (("z",), False, CUBE, 4, 0),
        (("z",), True, CUBE, 16, 8),  # D4h
        (("z",), ("z",), CUBE, 8, 1),  # C4h, of whose mirrors only the one is named
        (("x", "y"), False, CUBE, 24, 0),  # quarter turns about two axes make all of them
        ("full", True, SQUARE, 8, 4),
        (("z",), False, SQUARE, 4, 0),
        ("none", ("y",), SQUARE, 2, 1),
        ("full", True, LINE, 2, 1),
        ("full", False, LINE, 1, 0),
        ("full", True, SLAB, 16, 8),  # D4h again: what does not map the grid onto itself is left out
    ],
)
def test_what_a_description_grants_has_the_order_of_its_group(rotation, reflection, grid, order, mirrors):
    symmetries = Symmetries(AXES, rotation, reflection, declared=True)
    group = point_group(symmetries, grid)
    assert len(group) == order and group[0] == lattice_symmetries(grid.dimension)[0]
    assert {a @ b for a in group for b in group} == set(group)
    assert len(granted_mirrors(symmetries, grid)) == mirrors
    assert set(granted_mirrors(symmetries, grid)) <= {s for s in group if s.determinant < 0}


@pytest.mark.parametrize(("dimension", "count"), [(1, 1), (2, 5 - 1 + 1), (3, 10 - 1 + 2)])
def test_every_mirror_across_an_axis_is_a_representative(dimension, count):
    turns = lattice_symmetries(dimension)[1:]
    chosen = representatives(turns)
    assert len(chosen) == count
    assert [mirrored_axis(s) for s in chosen[:dimension]] == list(range(dimension))
    assert {s.class_name for s in chosen} == {s.class_name for s in turns}


def test_names_tell_mirrors_by_their_axis_and_turns_apart_by_where_they_send_the_axes():
    turns = lattice_symmetries(3)
    assert {name(s) for s in turns if mirrored_axis(s) is not None} == {f"mirror {a} → −{a}" for a in AXES}
    assert len({name(s, apart=True) for s in turns}) == 48
    assert name(turns[0], apart=True) == "identity (x,y,z)"


def test_the_points_tried_are_those_of_one_stride_and_between_walls_the_middle():
    assert centres(LINE, 2) == (0, 0.5, 1, 1.5)
    assert centres(LINE, 1, alike=False) == (0, 0.5, -0.5)
    assert centres(Grid((8,), (8.0,), boundary="zero"), 2) == (-0.5,)
    assert [place(c).partition(" (")[0] for c in (-0.5, 0.0, 1.5)] == ["the middle of the box", "a grid point", "a cell centre"]


@pytest.mark.parametrize(("pairs", "asked", "count"), [(0, None, 4), (2, None, 4), (6, None, 6), (16, None, 8), (16, 3, 3)])
def test_the_pairs_are_taken_but_neither_too_few_fields_nor_too_many(pairs, asked, count):
    subject = SimpleNamespace(pairs=[None] * pairs or None)
    assert field_count(subject, asked) == count
