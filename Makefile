# What a newcomer and CI run. Everything lives in .venv; the development OpenSearch is cached in the user's cache folder.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.DEFAULT_GOAL := help

# Tests start hundreds of processes: where Python is told to write no bytecode, each compiles whodid anew.
test test-fast test-versions test-ism soak: export PYTHONDONTWRITEBYTECODE =

.PHONY: help demo test test-fast test-versions test-ism browser soak lint types events imports docs check format bench lock generated clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(READY): requirements-dev.lock requirements-java-21.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "whodid needs Python 3.11 or newer: make PYTHON=python3.11 …")'
	@echo 'making $(VENV): half a minute the first time'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/pip install --quiet --disable-pip-version-check --upgrade --no-deps --require-hashes -r requirements-java-21.lock \
	  --target $(VENV)/java-21
	@touch $@

demo: $(READY) ## Record, ship and find entries of all 54 event types on a real OpenSearch
	$(BIN)/python examples/demo/demo.py

test: $(READY) ## Run the whole test suite, with a real OpenSearch started by the tests
	$(BIN)/python -m pytest -n 4 --dist loadfile

test-fast: $(READY) ## Run the tests that need no server
	$(BIN)/python -m pytest -n 2 -m "not live and not ism"

test-versions: $(READY) ## Run tests that need no server on each CPython from 3.12 on that is here (PATH, pyenv)
	$(BIN)/python -m tools.versions

test-ism: $(READY) ## Run the tests for a cluster with ISM, given by WHODID_TEST_OPENSEARCH
	$(BIN)/python -m pytest -m ism

soak: $(READY) ## Run the long form of the fault tests: thousands of kills, half an hour
	WHODID_TEST_SOAK=1 $(BIN)/python -m pytest -n 2 --dist load -m "soak or longer" --durations=0 -rP

browser: ## Install Chromium for the browser tests, where there is none (Debian's package)
	@command -v "$${WHODID_TEST_CHROMIUM:-chromium}" >/dev/null || command -v google-chrome >/dev/null || { \
	  sudo=$$(test "$$(id -u)" = 0 || echo sudo); \
	  $$sudo apt-get update -qq && $$sudo apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; }

lint: $(READY) ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## Check types, tests included
	$(BIN)/mypy

events: $(READY) ## Check the catalog against the JSON Schema of the commit before, where there is one
	@before=$$(git show HEAD~1:config/audit-entry.schema.json 2>/dev/null) || exit 0; \
	  printf '%s' "$$before" | $(BIN)/whodid events check --against -

imports: $(READY) ## Check that modules import downwards only, and in no circle
	$(BIN)/lint-imports
	$(BIN)/python -m tools.circles

docs: $(READY) ## Build the site of docs/ in build/docs; a warning is an error, and so is a link that leads nowhere
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --builder html docs build/docs

house: $(READY) ## Measure the source tree against its goals: modules, names, circles, headers
	$(BIN)/python -m tools.house

check: lint types imports ## All three checks

format: $(READY) ## Mend style and formatting
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## Measure the cost of a call, the speed of shipping, the disk it takes and reading, beside others
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks shipping
	$(BIN)/python -m benchmarks disk
	$(BIN)/python -m benchmarks reading
	$(BIN)/python -m benchmarks proof

generated: $(READY) ## Write the files that are made from code or catalog (tests compare them)
	$(BIN)/python -m tools.generate

lock: $(READY) ## Renew requirements-dev.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --all-extras \
	  --group dev --upgrade pyproject.toml -o requirements-dev.lock

clean: ## Remove what make and the tools made in this folder
	rm -rf $(VENV) .venv-3.* .demo build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
