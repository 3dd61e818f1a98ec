# metaembed-rag: everything runs in .venv, made on first use with python -m venv and pip.
#
#   make demo                     the main job on the shipped examples
#   make test                     linters, types and all tests
#   make demo PYTHON=python3.12   with another interpreter
#
# pip's own settings (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS, pip.conf) say where packages come
# from. Where they hold a CPU build of the pinned torch, pip takes it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --no-input --quiet -c constraints.txt
INTEGRATIONS := integrations/langchain-metaembed integrations/llama-index-retrievers-metaembed
PROJECTS := pyproject.toml constraints.txt $(INTEGRATIONS:%=%/pyproject.toml)

# Nothing is looked up on a model hub: the weights come with the packages.
export HF_HUB_OFFLINE := 1
export TRANSFORMERS_OFFLINE := 1
export HF_HUB_DISABLE_TELEMETRY := 1
export TOKENIZERS_PARALLELISM := false
export NO_MKDOCS_2_WARNING := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint types docs notebooks examples reliability clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/core.stamp ## index examples/reports and answer questions at several budgets
	$(BIN)/metaembed demo

test: lint types ## linters, types and all tests, on two cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

lint: $(VENV)/dev.stamp ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev.stamp ## mypy, strict
	$(BIN)/mypy

notebooks: $(VENV)/dev.stamp ## make the notebooks from their sources, run them and keep their outputs
	$(BIN)/jupytext --quiet --to ipynb notebooks/*.py
	$(BIN)/jupyter-execute --inplace notebooks/*.ipynb

docs: $(VENV)/dev.stamp ## the documentation, in build/site
	$(BIN)/mkdocs build --strict --quiet

examples: $(VENV)/dev.stamp ## author the example PDFs anew
	$(BIN)/python examples/make_reports.py

reliability: $(VENV)/dev.stamp ## run every drill in full (hours) and write docs/reliability.md
	$(BIN)/python -m tests.reliability

clean: ## remove .venv, caches, builds and the demo's index
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks examples/*.index
	find . -type d -name __pycache__ -prune -exec rm -rf {} +

# torch first and alone, so that no other requirement can bring in a bigger build of it.
$(VENV)/torch.stamp: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "metaembed-rag needs Python 3.10 or newer: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "$(PYTHON) cannot make virtual environments: install its venv package (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@echo "setting up $(VENV): a few minutes the first time"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) torch
	@touch $@

$(VENV)/core.stamp: $(VENV)/torch.stamp pyproject.toml
	$(PIP) -e .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/torch.stamp $(PROJECTS)
	$(PIP) -e '.[dev,docs,evaluation,notebooks,train]' $(INTEGRATIONS:%=-e '%[test]')
	@touch $@ $(VENV)/core.stamp
