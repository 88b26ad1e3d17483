# make help says what there is. Everything runs in .venv, which is made when missing and kept up to date.
VENV := .venv
PYTHON := $(VENV)/bin/python
BASE_PYTHON ?= python3
STAMP := $(VENV)/.made
PRESETS := earthquake landslide glacier dune

.PHONY: help demo test check format recipes clean
.DEFAULT_GOAL := help

help:  ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMP)/install  ## generate an earthquake, measure it, compare with the truth (pictures in ./demo)
	$(PYTHON) -m terrashift demo --folder demo

test: $(STAMP)/test  ## all tests
	$(PYTHON) -m pytest

check: $(STAMP)/dev  ## style, types and all tests
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m pyright
	$(PYTHON) -m pytest

format: $(STAMP)/dev  ## bring the code into shape
	$(PYTHON) -m ruff check --fix
	$(PYTHON) -m ruff format

recipes: $(STAMP)/install  ## write recipes/*.yaml anew from the presets
	for name in $(PRESETS); do $(PYTHON) -m terrashift recipe --preset $$name > recipes/$$name.yaml || exit 1; done

clean:  ## remove what these commands made
	rm -rf $(VENV) demo .pytest_cache .ruff_cache .hypothesis build

# torch first and by itself: its exact version decides whether a build of gigabytes is fetched
$(STAMP)/install: pyproject.toml constraints.txt
	test -x $(PYTHON) || $(BASE_PYTHON) -m venv $(VENV)
	$(PYTHON) -m pip install --quiet "$$(grep '^torch==' constraints.txt)"
	$(PYTHON) -m pip install --quiet -c constraints.txt -e .
	mkdir -p $(STAMP)
	touch $@

$(STAMP)/test: $(STAMP)/install
	$(PYTHON) -m pip install --quiet -c constraints.txt -e ".[test]"
	touch $@

$(STAMP)/dev: $(STAMP)/install
	$(PYTHON) -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@
