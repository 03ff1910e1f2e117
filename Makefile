# Every target but help, install and clean first makes sure that .venv is up to date.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check

# In order of preference; one that can run the embedded Triton (3.12 at most, with a shared libpython) comes first.
CANDIDATES := $(or $(PYTHON),python3.12 python3.11 python3.13 python3)
SUITABLE := import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
RUNS_TRITON := import sys, sysconfig; sys.exit(sys.version_info >= (3, 13) or not sysconfig.get_config_var("Py_ENABLE_SHARED"))

# Two processes: much of a test's time is spent waiting for one core or for a server.
PARALLEL := --numprocesses=2 --dist=loadfile --no-loadscope-reorder
FAST := not slow and not chaos and not timed

DOCUMENTS := $(wildcard *.md) LICENSE docs docker/README.md examples model_repository/README.md

COMPILE := $(BIN)/uv pip compile --quiet --universal --fork-strategy requires-python --python-version 3.11 --extra dev \
  --generate-hashes --no-header --no-annotate --output-file requirements.lock pyproject.toml
CHECK_LOCK := if grep -nE '^-|://' requirements.lock; then \
  echo "error: requirements.lock contains the address of a package index" >&2; exit 1; fi

.DEFAULT_GOAL := help
.PHONY: help install demo check test test-all bench bench-quick chaos lint typecheck format docs lock upgrade clean clean-all FORCE

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

install: $(STAMP)  ## Create .venv with the locked packages (PYTHON=... selects the interpreter)

# The stamp contains the path of the checkout, so a .venv that was copied, moved or left incomplete is created again.
ifneq ($(shell test -x $(BIN)/python && cat $(STAMP) 2>/dev/null),$(CURDIR))
$(STAMP): FORCE
endif

$(STAMP): requirements.lock pyproject.toml
	@if [ "$$(test -x $(BIN)/python && cat $@ 2>/dev/null)" != "$(CURDIR)" ]; then \
	  found=; \
	  for candidate in $(CANDIDATES); do \
	    "$$candidate" -c '$(SUITABLE)' 2>/dev/null || continue; \
	    found=$${found:-$$candidate}; \
	    if "$$candidate" -c '$(RUNS_TRITON)'; then found=$$candidate; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "error: no Python 3.11, 3.12 or 3.13 with the venv module among: $(CANDIDATES)" >&2; \
	    echo "hint: install one, or select it: make install PYTHON=/path/to/python3.12" >&2; \
	    exit 1; \
	  fi; \
	  echo "Creating $(VENV) with $$("$$found" --version)"; \
	  "$$found" -m venv --clear $(VENV); \
	fi
	@echo "Installing the locked packages into $(VENV): about 2 minutes and 3 GB the first time"
	@rm -f $@
	@$(PIP) install --quiet --require-hashes -r requirements.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@printf '%s' '$(CURDIR)' > $@
	@echo "Installed. Next: source $(BIN)/activate, or make demo"

demo: $(STAMP)  ## Train, export, publish, serve and classify handwritten digits
	@$(BIN)/camserve demo

check: lint typecheck  ## Check style and types, and run the fast tests (3 minutes)
	$(BIN)/python -m pytest -m "$(FAST)" $(PARALLEL)

test: $(STAMP)  ## Run every test but the exhaustive ones (20 minutes on two cores)
	$(BIN)/python -m pytest -m "not exhaustive" --durations=20 $(PARALLEL)

test-all: $(STAMP)  ## Run every test (at most 22 minutes more)
	$(BIN)/python -m pytest --durations=20 $(PARALLEL)

bench: $(STAMP)  ## Measure against what others offer, 26 minutes on two cores; results in build/bench/
	$(BIN)/python benchmarks/bench

bench-quick: $(STAMP)  ## Measure less of it, and less precisely, 5 minutes
	$(BIN)/python benchmarks/bench --quick

chaos: $(STAMP)  ## Run the chaos tests at full length (10 minutes)
	CAMSERVE_CHAOS=full $(BIN)/python -m pytest -m chaos --durations=10

lint: $(STAMP)  ## Check style, format, import layers, docker/ and the workflow
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/python docker/lint
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/ci.yml

typecheck: $(STAMP)  ## Check the types
	$(BIN)/mypy

format: $(STAMP)  ## Fix style and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP)  ## Build the documentation site in site/; a broken link is an error
	@rm -rf build/docs
	@mkdir -p build/docs
	@tar -c --exclude __pycache__ -f - $(DOCUMENTS) | tar -x -C build/docs -f -
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "Built site/. To read it: $(BIN)/python -m http.server --bind 127.0.0.1 --directory site"

lock: $(STAMP)  ## Add new dependencies to requirements.lock; the other versions stay
	@$(COMPILE)
	@$(CHECK_LOCK)

upgrade: $(STAMP)  ## Upgrade every package in requirements.lock, for every platform
	@$(COMPILE) --upgrade
	@$(CHECK_LOCK)

clean:  ## Remove caches, build products and the demo's folder
	rm -rf build dist demo site .mypy_cache .pytest_cache .ruff_cache .import_linter_cache src/*.egg-info
	find . -name .venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

clean-all: clean  ## Remove these and .venv
	rm -rf $(VENV)

FORCE:
