# `make` lists the targets. Each one makes .venv where it is missing, and installs what it needs once.
#   PYTHON=python3.12          the interpreter for .venv (3.11 or newer)
#   TORCH_INDEX=               take PyTorch from PyPI, with CUDA, instead of its index for the CPU

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
OUT ?= report
ALL ?= all
ZOO ?= zoo-again

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
PINS := pyproject.toml constraints.txt
CODE := src tests benchmarks

.DEFAULT_GOAL := help
.NOTPARALLEL:  # two installs in one .venv would trip over each other
.PHONY: help compare compare-all test test-slow lint bench bench-audit zoo docs clean

help: ## Show this list
	@echo "make TARGET; the first one also installs into .venv, which takes a few minutes."
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' Makefile | awk -F'|' '{ printf "%-15s%s\n", $$1, $$2 }'

compare: .venv/.tasks ## Compare clipping with masking on this machine: report/index.html, two to five minutes on 2 cores
	@echo "Comparing: trains and attacks small models, two to five minutes on 2 idle cores; finished runs are kept."
	$(BIN)/gradwarden compare --out "$(OUT)" --resume

compare-all: .venv/.tasks ## The same on every task: all/index.html, under an hour on 2 cores
	@echo "Comparing on every task: under an hour on 2 idle cores; finished runs are kept."
	$(BIN)/gradwarden compare --all --out "$(ALL)" --resume

# The nets of the tests are small: two threads wait for each other more than they work.
test: .venv/.dev ## Run the tests on every core, up to eight: under 20 minutes on 2
	@echo "Testing: under 20 minutes on 2 cores."
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --maxprocesses 8 --dist loadfile

test-slow: .venv/.dev ## Run the tests that take minutes each
	@echo "Testing what takes minutes."
	$(BIN)/python -m pytest -q -m slow

lint: .venv/.dev ## Check format, lint and types, about a minute
	@echo "Checking format, lint and types: about a minute."
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy

zoo: .venv/.tasks ## Train the zoo's models again into zoo-again/ and compare accuracies, under 25 minutes
	@echo "Training the models with known answers again: under 25 minutes on 2 cores."
	OMP_NUM_THREADS=1 $(BIN)/gradwarden zoo --train "$(ZOO)"

bench: .venv/.dev ## Measure against peers on this machine; figures go to benchmarks/results
	@echo "Measuring against peers: about two hours, best on an idle machine."
	@set -e; for file in benchmarks/*.py; do echo "$$file"; $(BIN)/python "$$file"; done

bench-audit: .venv/.dev ## Score the audit, blind, on models with known answers, beside other tools; about half an hour
	@echo "Auditing the zoo's models as plain modules: about half an hour on 2 cores."
	$(BIN)/python benchmarks/audit_zoo.py --half development --keep
	$(BIN)/python benchmarks/audit_zoo.py --half held-out --rivals --keep
	$(BIN)/python benchmarks/audit_breaks.py
	$(BIN)/python benchmarks/audit_cost.py

docs: .venv/.docs ## Build the documentation into site/, under a minute
	@echo "Building the documentation into site/."
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict  # not --quiet: it also hides warnings from --strict

clean: ## Delete caches and built files; keeps .venv and report/
	rm -rf site dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.made:
	@test -n "$(PYTHON)" || { echo "gradwarden needs Python 3.11 or newer, found $$(python3 --version 2>&1): install one, or name it with make PYTHON=/path/to/python" >&2; exit 2; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "gradwarden needs Python 3.11 or newer, got $$("$(PYTHON)" --version 2>&1)" >&2; exit 2; }
	@echo "Making .venv with $(PYTHON)."
	@"$(PYTHON)" -m venv .venv || { echo "the venv module is missing: on Debian and Ubuntu, apt-get install python3-venv" >&2; exit 2; }
	@touch $@

# The CPU's wheel is a tenth of the size of the one with CUDA. Its index is asked for PyTorch alone.
.venv/.tasks: .venv/.made $(PINS)
	@echo "Installing gradwarden and its data packages into .venv: one to five minutes, once."
	@if [ -n "$(TORCH_INDEX)" ] && $(BIN)/python -c 'import sys, urllib.request as u; u.urlopen(sys.argv[1], timeout=10)' "$(TORCH_INDEX)/torch/" 2>/dev/null; \
	then $(PIP) --extra-index-url "$(TORCH_INDEX)" torch; fi
	@$(PIP) -e '.[tasks]'
	@touch $@

.venv/.dev: .venv/.tasks
	@echo "Installing the tools for tests: a minute, once."
	@$(PIP) -e '.[tasks,dev]'
	@$(PIP) --no-deps torchattacks==3.5.1  # it asks for torchvision, which its attacks do not need
	@touch $@

.venv/.docs: .venv/.tasks
	@echo "Installing the tools for the documentation: a minute, once."
	@$(PIP) -e '.[tasks,docs]'
	@touch $@
