# A fresh machine needs python3.11+, pip and make; everything else is installed into .venv, pinned by constraints.txt.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: demo test lint style docs install clean

demo: $(VENV)/.demo
	$(BIN)/distil demo

# What is compiled once is kept for the thousands of imports to come, whatever the environment says. mypy checks beside the tests.
test: export PYTHONDONTWRITEBYTECODE :=
test: $(VENV)/.dev style
	@$(BIN)/mypy > $(VENV)/mypy.log 2>&1 & types=$$!; \
	OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false \
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal --durations=15; tests=$$?; \
	wait $$types; typed=$$?; cat $(VENV)/mypy.log; [ $$tests -eq 0 ] && [ $$typed -eq 0 ]

lint: style
	$(BIN)/mypy

style: $(VENV)/.dev
	$(BIN)/ruff check src tests benchmarks examples tools
	$(BIN)/ruff format --check src tests benchmarks examples tools
	$(BIN)/lint-imports

docs: $(VENV)/.dev
	$(BIN)/python -m tools.docs.site
	@echo "The site is in build/site. To read it: $(BIN)/python -m http.server --directory build/site"

install: $(VENV)/.dev

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"Distil needs Python 3.11 or newer, {sys.executable} is {v.major}.{v.minor}. Try: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv $(VENV)

# torch first and by its pinned version, so that no other package's range decides which build is taken. pip compiles file after
# file; compileall does it on all cores, and what it can't compile (templates of other packages) is not Python.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt
COMPILE := $(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) torch==2.13.0
	$(PIP) -e '.[all]'
	$(COMPILE)
	touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(PIP) -e '.[dev]'
	$(COMPILE)
	touch $@

clean:
	rm -rf $(VENV) demo build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
