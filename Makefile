# make train: set up, train with the default recipe, say where the results are.  make test: set up, then the fast tests.
SHELL := /bin/bash
PYTHON ?= python3
# A Linux machine without a GPU that pip would give a CUDA build to:
#   make setup TORCH="torch==2.13.0+cpu --index-url https://download.pytorch.org/whl/cpu"
TORCH ?= torch==2.13.0
BIN := .venv/bin
# Trainings and tests use the machine's own tools only, whatever the caller has activated.
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: setup train test lint format lock clean

setup: .venv/.ready

.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "thumbnet needs Python 3.11 or newer; give one with PYTHON=..." >&2; exit 1; }
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	@echo "Installing into .venv: about 2 GB, two or three minutes ..."
	@$(PIP) install --quiet $(TORCH)
	@$(PIP) install --quiet --require-hashes --no-deps -r requirements.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

train: setup
	@$(BIN)/thumbnet train

test: setup
	@$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/codespell $$(git ls-files)

format: setup
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

# The lock holds every dependency but torch and what only its CUDA build brings (docs/decisions/0002-lock.md). Needs uv.
lock:
	uv pip compile pyproject.toml --extra dev --constraint <(echo torch==2.13.0) --universal --generate-hashes \
		--python-version 3.11 --quiet --no-annotate --no-header \
		| awk '/^[a-z]/ { keep = $$0 !~ /^(torch|triton|nvidia-|cuda-)/ } keep' > requirements.lock

clean:
	rm -rf .venv dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
