# `make quickstart` and `make test` do all the set-up: they need Python 3.10 or later and a package registry.
# Another Python: make quickstart PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
OLDEST := build/oldest
RAY := build/ray

.PHONY: help quickstart book test thorough test-oldest wheel-check fuzz pairs check lint format types schema schema-check check-quickstart pages docs cluster cluster-check benchmark-peers benchmarks clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 20

quickstart: $(VENV)/.installed  ## install, train the quickstart's sweep on embedded data, draw its figures
	$(BIN)/normbench run configs/quickstart.yaml --results my_results
	@echo "Look at the figures in my_results/quickstart/plots/, first at largest_rate.png and rate.png"

test: $(VENV)/.installed-test  ## install with what the tests need, and run them
	$(BIN)/python -m pytest -n auto

thorough: $(VENV)/.installed-test  ## the tests that are slow by nature, about 7 minutes
	$(BIN)/python -m pytest -n auto -m thorough

fuzz: $(VENV)/.installed-test  ## the property tests with 1,500 inputs for each kind, about 10 minutes
	$(BIN)/python -m pytest tests/fuzz --hypothesis-profile fuzz -m "thorough or not thorough"

pairs: $(VENV)/.installed-test  ## train every pair of architecture and normalization, about 4 minutes
	$(BIN)/python -m pytest tests/engine/test_architectures.py -m "pairs or not pairs"

cluster: $(RAY)/.installed  ## the tests of --launcher ray, with lost nodes and drivers; installs Ray
	$(RAY)/bin/python -m pytest tests/launch/test_ray.py tests/launch/test_ray_losses.py -m "thorough or not thorough"

cluster-check:  ## a sweep on a simulated Ray cluster that loses a node, about a minute; skipped if pip finds no Ray
	@if $(MAKE) --no-print-directory $(RAY)/.installed; then $(RAY)/bin/python benchmarks/cluster.py --short --only nodes; \
	else echo "skipped: Ray cannot be installed for this Python or from here, so no cluster was tried"; fi

test-oldest: $(OLDEST)/.installed  ## part of the tests with the oldest versions that pyproject.toml allows
	$(OLDEST)/bin/python -m pytest -o filterwarnings=default tests/nn tests/engine/test_bits.py tests/config \
	  tests/records tests/cli/test_commands.py tests/cli/test_words.py

# The wheel's own environment borrows the installed dependencies through a .pth file, but not normbench: Python
# reads no .pth file of a borrowed folder, and an editable install is one.
wheel-check: $(VENV)/.installed  ## build the wheel, and use it outside the clone
	@set -e; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; mkdir "$$folder/source" "$$folder/empty"; \
	packages() { "$$1" -c "import sysconfig; print(sysconfig.get_path('purelib'))"; }; \
	cp -r normbench pyproject.toml README.md LICENSE "$$folder/source"; \
	$(BIN)/python -m pip --disable-pip-version-check wheel --quiet --no-deps --wheel-dir "$$folder" "$$folder/source"; \
	$(BIN)/python -m venv --without-pip "$$folder/venv"; \
	packages $(BIN)/python > "$$(packages "$$folder/venv/bin/python")/borrowed.pth"; \
	$(PIP) --no-deps --prefix "$$folder/venv" --ignore-installed "$$folder"/*.whl; \
	cd "$$folder/empty"; unset PYTHONPATH; PATH="$$folder/venv/bin:$$PATH"; \
	python -c "import normbench; assert '$$folder/venv' in normbench.__file__, normbench.__file__"; \
	normbench init claim; \
	normbench run claim.yaml --no-figures --threads 1 --set seeds=3 --set train.steps=20; \
	normbench plot results --figure rate --format png; \
	normbench verify results; \
	test -s results/*/plots/rate.png; test -s results/*/claims.csv

check: lint types schema-check docs test thorough check-quickstart wheel-check cluster-check  ## all that .ci/run checks

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

book: $(VENV)/.installed  ## train what is missing of the book of claims, 105 minutes on two cores; write its page
	$(BIN)/normbench run configs/claims/*.yaml --results results/claims --no-figures --launcher processes
	$(BIN)/normbench report results/claims -o docs/book.html

pages: $(VENV)/.installed  ## write the generated pages of docs/, and the table of claims in README.md
	$(BIN)/python docs/commands.py
	$(BIN)/python docs/config_page.py
	$(BIN)/python docs/claim_pages.py

docs: $(VENV)/.installed-docs  ## build the documentation site into build/site; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

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

benchmarks: $(VENV)/.installed  ## all other tables of docs/benchmarks.md, about 50 minutes
	for table in share executors busy recurrent stack_size narrowing growth around probes; do $(BIN)/python benchmarks/$$table.py || exit 1; done

clean:  ## remove the virtual environment and the tools' caches; results stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(OLDEST)/.installed: pyproject.toml constraints-oldest.txt
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip --disable-pip-version-check install --quiet -c constraints-oldest.txt -e '.[test]'
	@touch $@

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

$(VENV)/.installed-docs: pyproject.toml | $(VENV)/.installed
	$(PIP) -e '.[docs]'
	@touch $@

# Ray has an own environment, which borrows the installed packages: beside Ray, `make test` would start clusters.
$(RAY)/.installed: pyproject.toml | $(VENV)/.installed-test
	$(BIN)/python -m venv $(RAY)
	packages() { "$$1" -c "import sysconfig; print(sysconfig.get_path('purelib'))"; }; \
	packages $(BIN)/python > "$$(packages $(RAY)/bin/python)/borrowed.pth"
	$(RAY)/bin/python -m pip --disable-pip-version-check install --quiet -e '.[ray]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/.installed
	$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.installed-test
