.DEFAULT_GOAL := help
.PHONY: help venv search test format

PYTHON ?= python3
BIN := .venv/bin

help:  ## show these targets
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 10

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "nas needs Python 3.11 or newer, got " + sys.version.split()[0] + "; set PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,onnx]'
	@touch $@

venv: .venv/installed  ## make .venv and install

search: venv  ## search xception_like on the embedded digits, about 2 minutes
	$(BIN)/nas search --space xception_like

test: venv  ## ruff, mypy, the import order, pytest
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict nas
	$(BIN)/lint-imports
	$(BIN)/pytest

format: venv  ## put the code in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
