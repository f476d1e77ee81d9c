# make train: set up, train with the default recipe, say where the results are.  make test: set up, then the fast tests.
SHELL := /bin/bash
PYTHON ?= python3
# Taken as it is where it is given, say TORCH="torch==2.13.0+cpu --index-url https://download.pytorch.org/whl/cpu"; else
# tools/install_torch.py chooses between the CPU build and pip's default.
TORCH ?= torch==2.13.0
AXE := 4.14.1
BIN := .venv/bin
# Trainings and tests use the machine's own tools only, whatever the caller has activated.
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL_TORCH = $(if $(filter file,$(origin TORCH)),$(BIN)/python tools/install_torch.py,$(PIP) install --quiet) $(TORCH)

.PHONY: FORCE setup setup-browser setup-boards setup-services train test test-browser test-gpu engine lint audit trust format lock wheel clean

setup: .venv/.ready

# Which PyTorch was asked for last: written where another one is given, so that what depends on it is made anew.
.venv/.torch: FORCE
	@mkdir -p $(@D)
	@[ -f $@ ] && [ "$(origin TORCH)" = file -o "$$(cat $@)" = "$(TORCH)" ] || echo "$(TORCH)" > $@

.venv/.ready: requirements.lock pyproject.toml .venv/.torch
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "thumbnet needs Python 3.11 or newer; give one with PYTHON=..." >&2; exit 1; }
	@$(PIP) --version >/dev/null 2>&1 || $(PYTHON) -m venv .venv
	@echo "Installing into .venv: about 2 GB with PyTorch's CPU build, two or three minutes ..."
	@$(INSTALL_TORCH)
	@$(PIP) install --quiet --require-hashes --no-deps -r requirements.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# $(call install,package=command ...): the Debian packages whose command is not on the PATH.
define install
	@missing=; \
	for pair in $(1); do command -v "$${pair#*=}" >/dev/null || missing+=" $${pair%%=*}"; done; \
	[ -n "$$missing" ] || exit 0; \
	command -v apt-get >/dev/null || { echo "no apt-get to install$$missing with; put $(1) (package=command) on the PATH" >&2; exit 1; }; \
	root=; [ "$$(id -u)" = 0 ] || ! command -v sudo >/dev/null || root=sudo; \
	echo "Installing$$missing: $(2) ..."; \
	$$root apt-get update -qq && $$root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$missing $(3)
endef

# What the browser tests need beside .venv: Chromium and its driver, from Debian unless they are there, and axe-core.
setup-browser: setup .browser/axe-$(AXE)
	$(call install,chromium=chromium chromium-driver=chromedriver,about 440 MB and half a minute)

# What tests need to compile exports for small boards and for the browser, and our kernels for aarch64, and to run them:
# without it they skip.
setup-boards:
	$(call install,gcc-arm-none-eabi=arm-none-eabi-gcc qemu-system-arm=qemu-system-arm gcc-riscv64-unknown-elf=riscv64-unknown-elf-gcc clang=clang lld=wasm-ld g++-aarch64-linux-gnu=aarch64-linux-gnu-g++ qemu-user=qemu-aarch64,about 1.8 GB and a minute,libnewlib-arm-none-eabi)

# What tests need to start servers of their own: PostgreSQL, whose programs Debian keeps off the PATH.
setup-services: setup
	$(if $(wildcard /usr/lib/postgresql/*/bin/initdb),,$(call install,postgresql=initdb,about 60 MB and half a minute))

.browser/axe-$(AXE):
	@command -v npm >/dev/null || { echo "no npm to install axe-core with; install Node.js with npm" >&2; exit 1; }
	@npm install --silent --no-save --no-audit --no-fund --prefix .browser axe-core@$(AXE)
	@touch $@

train: setup
	@$(BIN)/thumbnet train

# How Python runs pytest: `.ci/run` lets coverage watch it. The files go to the workers in the order of tests/conftest.py.
PYTEST ?= -m pytest
test: setup
	@$(BIN)/python $(PYTEST) -n auto --dist loadfile --no-loadscope-reorder

test-browser: setup-browser
	@$(BIN)/python -m pytest -m browser -rs

# What needs a GPU, for which `make setup` installs PyTorch's CUDA build; without one they are skipped.
test-gpu: setup
	@$(BIN)/python -m pytest -m gpu -rs tests/test_gpu.py

# The WebAssembly of the pages that thumbnet writes, from its C source; needs clang and wasm-ld (Debian: clang and lld).
engine:
	@$(PYTHON) tools/build_engine.py

# The wheels: with the kernels compiled for Linux on x86-64 and on aarch64, and a plain one for other systems.
WHEELS ?= dist
wheel: setup
	$(call install,g++-x86-64-linux-gnu=x86_64-linux-gnu-g++ g++-aarch64-linux-gnu=aarch64-linux-gnu-g++,about 250 MB and half a minute)
	@$(BIN)/python tools/build_wheel.py $(WHEELS)

lint: setup
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/codespell $$(git ls-files)

# Known holes of what the lock holds and of PyTorch, by PyPI's list; a package that the list does not know is a failure, too.
PIP_AUDIT := 2.10.1
audit:
	@[ -x .audit/bin/pip-audit ] || { $(PYTHON) -m venv .audit && .audit/bin/python -m pip --disable-pip-version-check install --quiet pip-audit==$(PIP_AUDIT); }
	.audit/bin/pip-audit --strict --disable-pip --no-deps --progress-spinner off -r requirements.lock \
		-r <(echo $(firstword $(subst +, ,$(TORCH))))

# Trainings killed, disks filled, files damaged and readers fuzzed; writes docs/results/trust.md. KEEP goes on where it was
# stopped: fuzzing for MINUTES each, JOBS readers at a time, in sittings of SITTING minutes; ONLY names parts, as fuzz.
KEEP ?= docs/results/unfinished/trust
MINUTES ?= 10
trust: setup
	@$(BIN)/python benchmarks/bench_trust.py --keep $(KEEP) --fuzz-minutes $(MINUTES) $(if $(JOBS),--fuzz-jobs $(JOBS)) $(if $(SITTING),--sitting $(SITTING)) $(if $(ONLY),--only $(ONLY))

format: setup
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

# The lock holds every dependency but torch and what only its CUDA build brings (docs/decisions/0002-lock.md). Needs uv,
# which keeps the versions that stand there as far as pyproject.toml lets it.
lock:
	uv pip compile pyproject.toml --extra dev --constraint <(echo torch==2.13.0) --universal --generate-hashes \
		--python-version 3.11 --quiet --no-annotate --no-header --output-file requirements.lock >/dev/null
	awk '/^[a-z]/ { keep = $$0 !~ /^(torch|triton|nvidia-|cuda-)/ } keep' requirements.lock > requirements.lock.kept
	mv requirements.lock.kept requirements.lock

clean:
	rm -rf .venv .audit .browser dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
