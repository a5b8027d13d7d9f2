.DEFAULT_GOAL := help
.PHONY: help venv search lint check test format reference docs

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

search: venv  ## search xception_like on the embedded digits, about 6 minutes with the set-up
	$(BIN)/nas search --space xception_like

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict nas
	$(BIN)/lint-imports

check: lint  ## lint, types, import contract, and the tests that train nothing: under 3 minutes
	$(BIN)/pytest -n auto -m "not trains"

test: check  ## everything: lint, types, import contract, all tests
	$(BIN)/pytest -n 2 --dist loadfile -m trains  # two at a time: they start workers

format: venv  ## put the code in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

reference: venv  ## write the generated pages of docs/reference
	$(BIN)/python docs/generate_reference.py

docs: venv  ## render the documentation into site/, without a network
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
