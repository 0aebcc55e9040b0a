"""The table of planted defects: which probe sees what, and that clean models pass.

Every row is a model, every column a probe, every cell the verdict that is expected of it: the rows are in tests/defects/models.py,
a column in tests/defects/<probe>.toml. How small a defect is still seen stands in docs/defects.md, which the slow tests measure.
"""

from __future__ import annotations

import math

import pytest
import torch

from probe.registry import catalogue
from tests.defects import models, page
from tests.defects.ladder import CAUGHT, STRENGTHS, Ladder
from tests.defects.table import ANY, asked, columns, expected, found

CLEAN = [(grid, name) for grid, rows in models.CLEAN.items() for name in rows]
PLANTED = [(grid, name) for grid, rows in models.PLANTED.items() for name in rows]
SLOW = pytest.mark.slow
# Cells of slow probes are among the slow tests, and so are all of slow rows.
ROWS = [
    *(pytest.param(grid, name, False, marks=SLOW if models.CLEAN[grid][name].slow else ()) for grid, name in CLEAN),
    *((grid, name, False) for grid, name in PLANTED),
    *(pytest.param(grid, name, True, marks=SLOW) for grid, name in [*CLEAN, *PLANTED] if expected(grid, name, slow=True)),
    *(pytest.param("trained", name, None, marks=SLOW) for name in models.ROWS["trained"]),
]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Where rows of the same truth share their pairs."""
    return tmp_path_factory.mktemp("pairs")


@pytest.mark.parametrize(("grid", "name", "slow"), ROWS)
def test_every_cell_of_the_table_is_as_written(grid, name, slow, pairs):
    cells = expected(grid, name, slow)
    results, failed = asked(models.build(grid, name, pairs), list(cells), trained=grid == "trained")
    assert {probe: found(results[probe], cell) for probe, cell in cells.items()} == cells
    assert failed == any(result.verdict in CAUGHT for result in results.values())


@pytest.mark.parametrize("probe", columns())
def test_a_column_has_a_cell_for_every_model_and_no_other(probe):
    for grid, rows in models.ROWS.items():
        cells = columns()[probe][grid]
        assert isinstance(cells, str) or list(cells) == list(rows), f"write down what `python -m tests.defects {probe}` measures"
    assert probe in catalogue()


def test_every_probe_has_a_column():
    assert set(columns()) == set(catalogue())


def test_a_clean_model_is_expected_to_fail_nothing():
    for grid, name in CLEAN:
        assert not any(_fails(cell) for cell in expected(grid, name).values()), name


def test_every_defect_is_caught_by_a_probe_and_every_probe_catches_one():
    for grid, name in PLANTED:
        assert any(_fails(cell) for cell in expected(grid, name).values()), name
    for probe in columns():
        cells = [expected(grid, name).get(probe, ANY) for grid, name in PLANTED]
        # What no planted model can be asked is shown wrong ones by the probe's own tests.
        assert any(map(_fails, cells)) or set(cells) <= {ANY, "not_applicable"}, probe


@pytest.mark.slow
@pytest.mark.parametrize("grid", models.GRIDS)
def test_the_smallest_strengths_are_those_of_the_page(grid, pairs):
    # What rounds otherwise elsewhere may move a strength by one step of the ladder.
    written = page.read()[grid]
    steps = [*STRENGTHS, math.nan]
    for name, row in page.strengths(grid, pairs).items():
        for probe, three in row.items():
            for now, then in zip(three, written[name][probe], strict=True):
                assert abs(_step(steps, now) - _step(steps, then)) <= 1, (name, probe, three, written[name][probe])
            assert _step(steps, three[1]) >= _step(steps, three[0]), (name, probe, "caught where it is not seen")


@pytest.mark.slow
def test_the_page_tells_of_no_false_alarm():
    assert "\n0 of " in page.PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("grid", models.GRIDS)
def test_a_defect_vanishes_with_its_strength(grid, pairs):
    right = models.build(grid, models.BASE[grid], pairs)
    given = torch.randn(1, right.description.channels_in, *right.grid.shape, dtype=torch.float64)
    for name in models.PLANTED[grid]:
        answer = models.build(grid, name, pairs, 1e-30).network(given)
        # A filter takes it to Fourier space and back.
        torch.testing.assert_close(answer, right.network(given), rtol=0, atol=1e-12, msg=name)


def test_the_ladder_finds_where_a_defect_drowns(pairs, monkeypatch):
    # A bias of 0.5 s, of an answer whose rms a component is 0.2, is 2 % of it at s = 0.008.
    monkeypatch.setattr(Ladder, "probes", lambda self, name: ["conservation"])
    ladder = Ladder("cube", pairs)
    assert ladder.caught("bias")["conservation"] in (0.01, 0.03)
    assert 1e-15 <= ladder.seen("bias")["conservation"] <= 1e-12


def _fails(cell) -> bool:
    return cell in CAUGHT if isinstance(cell, str) else "fail" in cell.values()


def _step(steps, strength: float) -> int:
    return len(steps) - 1 if math.isnan(strength) else steps.index(strength)
