"""The table of planted defects: models x probes, with the expected verdict of every cell.

- `models.py`: the rows. Clean models with what they must pass, and defects planted one at a time behind a right answer.
- `<probe>.toml`: a column, one file a probe, with its settings and a cell for every model. `python -m tests.defects PROBE` measures
  it and prints it, to be read through and reasoned out before it is written down.
- `ladder.py`: how small a defect may be and still be seen. `python -m tests.defects --write` makes docs/defects.md of it.
"""
