# `make quickstart` and `make test` do all the set-up: they need Python 3.10 or later and a package registry.
# Another Python: make quickstart PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.PHONY: help quickstart test fuzz pairs check lint format types schema schema-check check-quickstart pages benchmark-peers benchmarks clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 20

quickstart: $(VENV)/.installed  ## install, train the quickstart's sweep on embedded data, draw its figures
	$(BIN)/normbench run configs/quickstart.yaml --results my_results
	@echo "Look at the figures in my_results/quickstart/plots/, first at largest_rate.png and rate.png"

test: $(VENV)/.installed-test  ## install with what the tests need, and run them
	$(BIN)/python -m pytest -n auto

fuzz: $(VENV)/.installed-test  ## the property tests with 1,500 inputs for each kind, about 10 minutes
	$(BIN)/python -m pytest tests/fuzz --hypothesis-profile fuzz

pairs: $(VENV)/.installed-test  ## train every pair of architecture and normalization, about 4 minutes
	$(BIN)/python -m pytest tests/engine/test_architectures.py -m "pairs or not pairs"

check: lint types schema-check test check-quickstart  ## all that .ci/run checks

lint: $(VENV)/.installed-dev  ## style and format, nothing is changed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.installed-dev  ## fix style and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.installed-dev  ## mypy
	$(BIN)/mypy

schema: $(VENV)/.installed  ## write normbench.schema.json, from which editors complete configs
	$(BIN)/normbench schema > $(VENV)/schema.json && mv $(VENV)/schema.json normbench.schema.json

pages: $(VENV)/.installed  ## write the generated pages of docs/
	$(BIN)/python docs/commands.py
	$(BIN)/python docs/claims_table.py

schema-check: $(VENV)/.installed  ## check that the committed schema is up to date
	@$(BIN)/normbench schema | diff normbench.schema.json - \
	  || { echo "normbench.schema.json is stale; run: make schema"; exit 1; }

check-quickstart: $(VENV)/.installed  ## the quickstart from config to figures, in a temporary folder
	@set -e; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	$(BIN)/normbench run configs/quickstart.yaml --results "$$folder"; \
	for file in runs.csv metrics.csv plots/largest_rate.png plots/rate.svg; do \
	  test -s "$$folder/quickstart/$$file" || { echo "the quickstart left no $$file"; exit 1; }; \
	done

benchmark-peers: $(VENV)/.installed-peers  ## against torch loops, DataLoader, Lightning and JAX, about 75 minutes
	$(BIN)/python benchmarks/against_peers.py mlp
	$(BIN)/python benchmarks/against_peers.py others

benchmarks: $(VENV)/.installed  ## all other tables of docs/benchmarks.md, about 45 minutes
	for table in share executors busy recurrent stack_size growth around probes; do $(BIN)/python benchmarks/$$table.py || exit 1; done

clean:  ## remove the virtual environment and the tools' caches; results stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "installing normbench into $(VENV) (torch is large: this takes minutes the first time)"
	$(PIP) -e .
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(VENV)/.installed
	$(PIP) -e '.[test]'
	@touch $@

$(VENV)/.installed-peers: pyproject.toml | $(VENV)/.installed
	$(PIP) -e '.[peers]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/.installed
	$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.installed-test
