# Every target does its own set-up: it needs make and Python 3.11 or newer, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# What is compiled as it is imported is compiled once.
unexport PYTHONDONTWRITEBYTECODE

# The lock has this release of it, whatever newer one there is.
TORCH := torch==2.13.0

.PHONY: help demo test lint style types suite check bench soak lock clean
.DELETE_ON_ERROR:

help:
	@echo "make demo    make small models, predict one by one and in batches, serve, compare, prove"
	@echo "make test    lint, and every test in random order"
	@echo "make lint    ruff, mypy and the import contracts"
	@echo "make bench   the benchmarks, each beside its limit and its peers; in 6 minutes: make bench ARGS=--quick"
	@echo "make soak    the long tests (needs wrk)"
	@echo "make lock    write requirements.lock anew from the ranges in pyproject.toml"
	@echo "make clean   remove the environment and every cache"

demo: $(VENV)/.demo
	$(BIN)/foretell demo

# Three files at a time, on two cores, too: most tests wait for a process, a socket or a clock now and then. What a
# file shares is made once.
# Thousands of processes import foretell: none of them is to compile it.
# While the tests are collected, mypy has a core for itself.
test: $(VENV)/.dev style
	$(BIN)/python -m compileall -q src tests/helpers
	@$(MAKE) --no-print-directory --jobs 2 types suite

lint: style types

style: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.dev
	$(BIN)/mypy

suite: $(VENV)/.dev
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks $(ARGS)

soak: $(VENV)/.dev
	$(BIN)/python -m pytest -m soak --timeout 3600

# Every second line of the lock. What Python's version has no release of makes it fail, and harms nobody: see below.
HALF = sed -e '/^\#/d' requirements.lock | sed -n -e '$(1)' | $(PIP) --no-deps --no-compile --requirement /dev/stdin 2>/dev/null

# Of 23,000 modules, those in such folders are hardly ever imported: they are compiled when they are.
RARE := /(tests?|testing|models|graph_objs|validators|physics|algorithms|_vendor|lexers|mlir|_inductor|ao|tools)/

# The stamps: an environment for the tests serves the demo too; the demo alone installs only what it needs.
# pip keeps one core busy for minutes: two of them at once take half as long, and the last sees that all is there.
$(VENV)/.dev: $(VENV)/.created pyproject.toml requirements.lock
	@echo "Installing foretell and what its tests need into $(VENV) ..."
	@$(call HALF,n;p) & $(call HALF,p;n); wait
	@$(BIN)/python -m compileall -qq -j 2 -x '$(RARE)' $(VENV)/lib || true
	@$(PIP) --editable '.[dev]' --constraint requirements.lock
	@touch $(VENV)/.demo $@

$(VENV)/.demo: $(VENV)/.created pyproject.toml requirements.lock
	@echo "Installing foretell and what its demo needs into $(VENV) ..."
	@$(PIP) --editable '.[demo]' --constraint requirements.lock
	@touch $@

$(VENV)/.created:
	@$(MAKE) --no-print-directory check
	@$(PYTHON) -m venv $(VENV)
	@touch $@

check:
	@command -v $(PYTHON) >/dev/null || { echo "foretell needs Python 3.11 or newer, and there is no '$(PYTHON)'; name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "foretell needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) -V 2>&1); name a newer one: make PYTHON=python3.12 ..." >&2; exit 1; }

lock:
	@$(MAKE) --no-print-directory check
	@set -eu; fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	$(PYTHON) -m venv "$$fresh/venv"; \
	"$$fresh/venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable '.[dev]' '$(TORCH)'; \
	{ echo "# The releases that foretell is tested with, for Python 3.11 to 3.14: pip install -c requirements.lock 'foretell[dev]'"; \
	  echo "# Written by 'make lock' from the ranges in pyproject.toml. Do not edit."; \
	  "$$fresh/venv/bin/python" -m pip freeze --disable-pip-version-check --exclude-editable \
	  | sed -e "s/^uvloop==.*/&; sys_platform != 'win32'/" -e "s/^torch==.*/$(TORCH)/" | LC_ALL=C sort -f; } > "$$fresh/lock"; \
	mv "$$fresh/lock" requirements.lock

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache foretell-demo benchmarks/.envs
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
