# The ways into the project. `make` lists them.

VENV := .venv
BIN := $(VENV)/bin
PACKAGES := schemas pipeline flows
LOCK := environment/cpu.lock
TORCH_LOCK := environment/torch.lock

# The first Python 3.11 there is; `make setup PYTHON=/path/to/python` names another.
PYTHON ?= $(shell for python in python3.11 python3; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && echo "$$python" && break; done)

# A pytest marker expression, such as MARKERS="slow". Empty: the default in pyproject.toml (nothing slow, no server, no GPU).
MARKERS ?=

# Test files run side by side, a process a core, at most four.
JOBS ?= $(shell n=$$(nproc 2>/dev/null || sysctl -n hw.ncpu || echo 2); echo $$((n > 4 ? 4 : n)))

MINUTES ?= 10

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all lint types format lock audit fuzz clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## make .venv with everything; again only when pyproject.toml or the lock has changed

demo: setup ## describe a folder of real face videos, from nothing to one page to look at
	$(BIN)/python -m flows.demo

test: lint types ## check style, types and layers, then run the tests that need no server, no GPU and no patience
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(if $(MARKERS),-m "$(MARKERS)")

test-all: ## the same with every test that needs no GPU
	$(MAKE) test MARKERS="not gpu"

lint: setup ## check style, formatting and which layer imports which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: setup ## check types
	$(BIN)/mypy

format: setup ## format the code and mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# KEEP=1: versions that are in the lock stay; only what pyproject.toml asks for and the lock lacks is chosen.
lock: ## choose versions afresh for pyproject.toml, in an environment of their own, and write environment/cpu.lock
	rm -rf build/lock
	@$(MAKE) --no-print-directory build/lock/bin/python
	build/lock/bin/python environment/stand_ins.py build/stand_ins
	build/lock/bin/python -m pip install --quiet --no-index --no-deps build/stand_ins/*.whl
	sed -nE 's/^([^ #]+==[^ ]+).*/\1/p' $(LOCK) $(TORCH_LOCK) > build/known.txt
	build/lock/bin/python -m pip install --quiet $(if $(KEEP),-c build/known.txt) -e ".[serve,dask,ray,dev]"
	build/lock/bin/python -m pip freeze --all --exclude-editable --exclude pip --exclude vllm --exclude torchaudio \
		--exclude torchcodec --exclude triton --exclude facescribe-torchvision-cpu-ops \
		| sed -E 's/^(torch(vision)?==[0-9.]+)\+cpu$$/\1/' > build/chosen.txt
	for lock in $(LOCK) $(TORCH_LOCK); do sed -n '/^#/p' $$lock > $$lock.new; done
	grep -E '^torch(vision)?==' build/chosen.txt >> $(TORCH_LOCK).new
	grep -vE '^torch(vision)?==' build/chosen.txt >> $(LOCK).new
	build/lock/bin/python environment/hashes.py $(LOCK).new
	for lock in $(LOCK) $(TORCH_LOCK); do mv $$lock.new $$lock; done
	rm -rf build/lock

audit: setup ## list all that is installed as build/sbom.json, and ask whether any of it is known to be vulnerable
	$(BIN)/python environment/audit.py build/sbom.json

fuzz: setup ## hand bytes to every parser of foreign ones, MINUTES of processor time
	$(BIN)/python -m tests.fuzz.run --minutes $(MINUTES) --state build/fuzz

clean: ## remove the environment, caches and build artefacts; data/ stays
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find $(PACKAGES) tests bench environment -name __pycache__ -type d -prune -exec rm -rf {} +

# Written last, so that its presence means that the whole installation went through.
$(VENV)/.installed: pyproject.toml $(LOCK) $(TORCH_LOCK) $(wildcard environment/*.py) | $(BIN)/python
	@if nvidia-smi >/dev/null 2>&1; then $(MAKE) --no-print-directory install-gpu; \
	else $(MAKE) --no-print-directory install-cpu; fi
	@touch $@

.PHONY: install-cpu install-gpu
install-cpu:
	@echo "no GPU: installing the locked CPU environment (some 3 GB, a few minutes)"
	@$(BIN)/python environment/stand_ins.py build/stand_ins >/dev/null
	@# An older environment has a stand-in for torchvision, which pip would take for the real one.
	@if ls -d $(VENV)/lib/python*/site-packages/torchvision-*+stub.dist-info >/dev/null 2>&1; then \
		$(BIN)/python -m pip uninstall -qq -y torchvision; fi
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-index --no-deps build/stand_ins/*.whl
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps -r $(TORCH_LOCK)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes -r $(LOCK)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps -e .

# The real vllm, with CUDA: nothing is locked and no stand-in is used. Not tested yet on a GPU machine.
install-gpu:
	@echo "GPU found: installing with the CUDA builds of torch and vllm (this path is untested)"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -e ".[serve,dev]"

%/bin/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "Python 3.11 was not found: neither python3.11 nor python3 is one (the versions in environment/ are for 3.11)." >&2; \
		echo "Install it, or name it: make setup PYTHON=/path/to/python3.11" >&2; exit 1; fi
	$(PYTHON) -m venv $*
