# Every verb but install, clean and help first sees that .venv is current; when it is, that takes no time.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check

# Tried in this order; the first that can also run the embedded Triton wins (3.12 at most, with a shared libpython).
CANDIDATES := $(or $(PYTHON),python3.12 python3.11 python3.13 python3)
SUITABLE := import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
RUNS_TRITON := import sys, sysconfig; sys.exit(sys.version_info >= (3, 13) or not sysconfig.get_config_var("Py_ENABLE_SHARED"))

.DEFAULT_GOAL := help
.PHONY: help install demo test chaos lint typecheck format docs lock clean clean-all FORCE

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

install: $(STAMP)  ## Make .venv with the locked packages (PYTHON=... names the interpreter)

# The stamp holds the path of the checkout it was made in, so a .venv that was copied, moved or half made is made anew.
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
	    echo "error: none of these is a Python 3.11, 3.12 or 3.13 that can make environments: $(CANDIDATES)" >&2; \
	    echo "hint: install one together with its venv module, or name it: make install PYTHON=/path/to/python3.12" >&2; \
	    exit 1; \
	  fi; \
	  echo "Making $(VENV) with $$("$$found" --version)"; \
	  "$$found" -m venv --clear $(VENV); \
	fi
	@echo "Installing the locked packages into $(VENV): about 2 minutes and 3 GB the first time"
	@rm -f $@
	@$(PIP) install --quiet --require-hashes -r requirements.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@printf '%s' '$(CURDIR)' > $@
	@echo "Installed. Next: make demo"

demo: $(STAMP)  ## The whole way on handwritten digits: train, export, publish, serve, classify, draw
	@$(BIN)/camserve demo

# Two at once, each file of tests by one of them: much of what they do waits for one core or for a server.
test: $(STAMP)  ## Run every test
	$(BIN)/python -m pytest --durations=10 --numprocesses=2 --dist=loadfile --no-loadscope-reorder

chaos: $(STAMP)  ## Repeat the tests of chance in full: kills, crowds, swaps, flipped bits (10 minutes)
	CAMSERVE_CHAOS=full $(BIN)/python -m pytest -m chaos --durations=10

lint: $(STAMP)  ## Check style, format, layers, and all of docker/
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/python docker/lint

typecheck: $(STAMP)  ## Check the types
	$(BIN)/mypy

format: $(STAMP)  ## Mend style and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP)  ## Write docs/api.md anew from the docstrings
	$(BIN)/python docs/api.py > docs/api.md

lock: $(STAMP)  ## Choose the versions of all packages anew, for every platform
	@$(BIN)/uv pip compile --quiet --universal --fork-strategy requires-python --python-version 3.11 --extra dev \
	  --upgrade --generate-hashes --no-header --no-annotate --output-file requirements.lock pyproject.toml
	@if grep -nE '^-|://' requirements.lock; then \
	  echo "error: requirements.lock names where packages come from; that belongs to each machine" >&2; exit 1; \
	fi

clean:  ## Remove caches, build products and the demo's folder
	rm -rf build dist demo .mypy_cache .pytest_cache .ruff_cache .import_linter_cache src/*.egg-info
	find . -name .venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

clean-all: clean  ## The same, and .venv
	rm -rf $(VENV)

FORCE:
