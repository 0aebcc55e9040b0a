# `make demo` runs the main job, `make test` the fast tests; each makes the environment it needs in .venv.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: demo test test-slow lint gallery

.venv/bin/python:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip

.venv/demo: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[mi]'
	touch $@

.venv/test: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

# Exit status 1 says that a check failed, which is an answer and not a fault.
demo: .venv/demo
	$(BIN)/probe run rotation phase plane_wave transfer --model zoo:lpt2nbody --out reports/demo --overwrite || test $$? -eq 1

test: .venv/test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" --numprocesses auto --cov=probe --cov=probes_catalog --cov-report=term

test-slow: .venv/test
	$(BIN)/python -m pytest -m slow

lint: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The committed example reports.
gallery: .venv/demo
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python reports/gallery/make.py
