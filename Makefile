# `make` lists the targets. Everything is installed into .venv; PYTHON chooses the interpreter (3.10 or newer).
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help install repro test coverage benchmarks wheel bom mutants lint generated docs format clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

install: .venv/.installed  ## install mmfer and all it needs into .venv

.venv/.installed: pyproject.toml constraints.txt
	@echo "installing into .venv: 2.9 GB (torch alone 0.75), some minutes; nothing outside this folder"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@
	@echo "installed; activate it with: source .venv/bin/activate"

repro: install  ## rebuild everything that params.yaml names, and say where the results are
	@python -m tools.repro

test: install  ## run the whole test suite
	python -m pytest --numprocesses 2 --dist loadfile

coverage: install  ## run the whole test suite and print which lines it does not reach; slower
	python -m pytest --numprocesses 2 --dist loadfile --cov --cov-report=term:skip-covered

wheel: install  ## build wheel and sdist into dist/, install the wheel into an empty environment and predict offline
	MMFER_TEST_WHEEL=1 python -m pytest tests/test_packaging.py
	python -m build

bom: install  ## bill of materials of .venv (CycloneDX) and the licences of its packages into dist/, by tools in dist/.bom
	$(PYTHON) -m venv dist/.bom
	dist/.bom/bin/pip install --quiet --disable-pip-version-check cyclonedx-bom==7.5.0 pip-licenses==5.5.5
	dist/.bom/bin/cyclonedx-py environment --output-reproducible -o dist/bom.json $(BIN)/python
	dist/.bom/bin/pip-licenses --python=$(BIN)/python --from=mixed --format=markdown --output-file=dist/licences.md

benchmarks: install  ## time everything beside the bare libraries, into benchmarks/RESULTS.md; half an hour, best on idle cores
	python -m benchmarks

mutants: install  ## break one line at a time and see whether the tests notice (docs/mutants.md); takes half an hour
	nice -n 10 python -m tools.mutants

lint: install  ## check style, formatting and types
	ruff check .
	ruff format --check .
	mypy

generated: install  ## write what is generated: the code deps of dvc.yaml, the schema of params.yaml
	python -m tools.stage_deps
	python -m tools.params_schema

docs: install  ## build the site into site/, without the network
	NO_MKDOCS_2_WARNING=1 python -m mkdocs build --quiet --strict

format: install  ## mend style and formatting
	ruff check --fix .
	ruff format .

clean:  ## remove what the pipeline built (the DVC cache keeps it)
	rm -rf data/* mlflow.db mlartifacts .checkpoints
