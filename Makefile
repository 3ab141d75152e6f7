# `make` alone prints this list. Everything is installed into .venv, nothing outside (except by test-live).

# The first Python that is new enough and can make a virtual environment; a pyenv shim for a version not chosen fails here.
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
BIN := $(CURDIR)/.venv/bin
BEGAN := $(shell date +%s)

.DEFAULT_GOAL := help
.PHONY: help demo test test-live test-live-kubernetes format clean .venv

help: ## print this list
	@sed -n 's/^\([a-z.-]*\):.*## /  make \1\t/p' Makefile | expand -t 20

demo: .venv/run ## run the demonstration: no scheduler, no root
	PATH="$(BIN):$$PATH" examples/01-demo/run.sh

test: .venv/dev ## lint, types, import rules and all tests that need no service
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n auto -m "not live" --durations=25
	@echo "make test took $$(( $$(date +%s) - $(BEGAN) )) s"

test-live: .venv/dev ## install and start real schedulers (root, Debian), then test against them
	@test "$$(id -u)" = 0 || { echo "ERROR: make test-live starts daemons and must run as root" >&2; exit 1; }
	@grep -qs '^ID=debian$$' /etc/os-release || { echo "ERROR: make test-live installs Debian's packages; this is not Debian" >&2; exit 1; }
	tests/live/services/up
	PATH="$(BIN):$$PATH" ADAPTER_LIVE=1 tests/live/run $(BIN)/pytest

test-live-kubernetes: .venv/dev ## build (five minutes) and start a real Kubernetes (root, Debian), then test against it
	@test "$$(id -u)" = 0 || { echo "ERROR: make test-live-kubernetes starts daemons and must run as root" >&2; exit 1; }
	@grep -qs '^ID=debian$$' /etc/os-release || { echo "ERROR: make test-live-kubernetes builds Debian's source package; this is not Debian" >&2; exit 1; }
	tests/live/services/kubernetes.sh install
	tests/live/services/kubernetes.sh up
	PATH="$(BIN):$$PATH" ADAPTER_LIVE=1 $(BIN)/pytest -ra tests/live_kubernetes

format: .venv/dev ## rewrite the code the way `make test` wants it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove caches and built files (not .venv)
	rm -rf build dist demo-out .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

.venv: .venv/dev ## make the virtual environment with everything for development

# Stamps, so that a changed pyproject.toml is installed again. `make demo` stops at the first: it needs no tools.
.venv/run: pyproject.toml
	@test -n "$(PYTHON)" || { echo "ERROR: no Python 3.11 or later with venv and ensurepip found. On Debian: apt-get install python3 python3-venv" >&2; exit 1; }
	test -x .venv/bin/python || $(PYTHON) -m venv --clear .venv
	.venv/bin/python -m pip install -q -e .
	@touch $@

.venv/dev: .venv/run
	.venv/bin/python -m pip install -q -e '.[dev]'
	@touch $@
