# Everything here sets itself up: all that is needed is make, and Python 3.11 or later with its venv module.
# `make test TESTS='tests/worker --server redis62'` runs some tests only, or on another server.
# `make test VENV=.venv-3.13 PYTHON=python3.13` does it on another Python, in a directory of its own.

PYTHON ?= python3
TESTS ?=
# Tests wait more than they work.
WORKERS ?= $(shell echo $$((2 * $$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2))))
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --quiet --disable-pip-version-check --no-input

.PHONY: help demo test lint format bench clean
.DEFAULT_GOAL := help

help:
	@echo 'make demo    analyse the standard library with background jobs, and watch it in the dashboard'
	@echo 'make test    run the tests, on servers that they start themselves'
	@echo 'make lint    check style and types'
	@echo 'make format  put code into the common format'
	@echo 'make bench   measure it beside its peers (takes long; see benchmarks/README.md)'
	@echo 'make clean   remove what these made'

demo: $(VENV)/.app
	@$(BIN)/asyncjobs demo

# Only where all tests run is Chromium installed for those in tests/browser.
test: $(VENV)/.dev $(if $(TESTS),,$(VENV)/.chromium)
	@$(BIN)/python -m pytest -n $(WORKERS) $(TESTS)

lint: $(VENV)/.dev
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@if $(BIN)/pyright --version >/dev/null 2>&1; then \
		$(BIN)/pyright; \
	else \
		echo 'pyright is skipped: it needs Node.js, and there is none that it could find or fetch'; \
	fi

format: $(VENV)/.dev
	@$(BIN)/ruff check --fix-only
	@$(BIN)/ruff format

bench: $(VENV)/.dev
	@$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) .venv-* dist build benchmarks/.peers .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp a set of packages: both are made anew when the packages asked for change.
$(VENV)/.app: pyproject.toml | $(BIN)/python
	@echo 'installing asyncjobs into $(VENV)'
	@$(PIP) install --editable '.[all]'
	@touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.app
	@echo 'installing what tests and checks need'
	@$(PIP) install --group dev
	@touch $@

# Debian's, where there is none and we may: root, or one whom sudo asks for no password. Tried once.
$(VENV)/.chromium: | $(BIN)/python
	@for name in $$CHROMIUM chromium chromium-browser google-chrome; do \
		command -v "$$name" >/dev/null && exit; \
	done; \
	echo 'installing Chromium for tests/browser'; \
	[ "$$(id -u)" = 0 ] || sudo='sudo -n'; \
	get="$$sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0"; \
	{ command -v apt-get && { $$get install -y chromium || { $$get update && $$get install -y chromium; }; }; } \
		>/dev/null 2>&1 </dev/null || echo 'it can not be: they are skipped'
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'asyncjobs needs Python 3.11 or later: make PYTHON=/path/to/it'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo '$(PYTHON) has no venv module: on Debian and Ubuntu, apt install python3-venv'; exit 1; }
	@echo 'making $(VENV)'
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install 'pip>=25.1'
