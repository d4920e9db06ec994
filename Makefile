# `make` lists the targets. Everything is installed into .venv; PYTHON chooses the interpreter (3.10 or newer).
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help install repro test mutants lint deps docs format clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

install: .venv/.installed  ## install mmfer and all it needs into .venv

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

repro: install  ## rebuild everything that params.yaml names
	dvc repro

test: install  ## run the whole test suite
	python -m pytest --numprocesses 2 --dist loadfile

mutants: install  ## break one line at a time and see whether the tests notice (docs/mutants.md); takes half an hour
	nice -n 10 python -m tools.mutants

lint: install  ## check style and formatting
	ruff check .
	ruff format --check .

deps: install  ## write the code that each stage depends on into dvc.yaml, read off the imports
	python -m tools.stage_deps

docs: install  ## build the site into site/, without the network
	NO_MKDOCS_2_WARNING=1 python -m mkdocs build --quiet --strict

format: install  ## mend style and formatting
	ruff check --fix .
	ruff format .

clean:  ## remove what the pipeline built (the DVC cache keeps it)
	rm -rf data/* mlflow.db mlartifacts .checkpoints
