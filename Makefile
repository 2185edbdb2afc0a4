# Two commands set everything up: `make demo` and `make test`. They need Python 3.11 to 3.13 and nothing else.

# The newest supported Python there is; another one by `make PYTHON=... setup`.
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3 python; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& { echo $$python; break; }; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
LOCKED := --no-deps --require-hashes -r

.PHONY: setup demo up test test-all test-full test-lowest mutants bench lint format lock

setup: .venv/ready

.venv/ready: requirements.lock pyproject.toml
	@if [ -z "$(PYTHON)" ]; then echo "Python 3.11, 3.12 or 3.13 is needed; name it with: make PYTHON=/path/to/python $(MAKECMDGOALS)" >&2; exit 1; fi
	@echo "Setting up .venv with $(PYTHON), which takes 20 seconds; some minutes if packages are downloaded slowly ..."
	@$(PYTHON) -m venv .venv
	@awk '/^[^ ]/ { uv = /^uv==/ } { print > (uv ? ".venv/uv.txt" : ".venv/all-but-uv.txt") }' requirements.lock
	@{ $(PIP) --require-hashes -r .venv/uv.txt && $(BIN)/uv pip install --quiet --system-certs --compile-bytecode --python $(BIN)/python $(LOCKED) requirements.lock; } \
		|| { echo "uv could not install the packages, so pip does it now: this takes some minutes." >&2; $(PIP) $(LOCKED) .venv/all-but-uv.txt; }
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup
	@$(BIN)/bl demo

up: setup
	@if [ "$$($(BIN)/python -c 'from bl_pipeline.settings import load_settings; print(load_settings().store.credentials is None)' 2>/dev/null)" = True ]; \
	then echo "No BrickLink credentials are set: this is the demo store."; $(BIN)/bl up --demo; else $(BIN)/bl up; fi

test: setup lint
	@$(BIN)/python -m pytest

# Every test but the long variants: kills, whole stores' lives, real browsers, other terminals and databases too.
test-all: setup lint
	@$(BIN)/python -m pytest -m "not full"

test-full: setup lint
	@$(BIN)/python -m pytest -m "full or not full"

# The lowest versions that pyproject.toml allows, in an environment of their own, with the tests that use them most.
test-lowest: setup
	@$(PYTHON) -m venv --clear .venv/lowest
	@$(BIN)/uv pip install --quiet --system-certs --python .venv/lowest/bin/python --resolution lowest-direct --editable '.[dev]'
	@.venv/lowest/bin/python -m pytest -m "not full and not slow" bl_pipeline_tests/bricklink bl_pipeline_tests/rules bl_pipeline_tests/sync \
		bl_pipeline_tests/warehouse bl_pipeline_tests/defs bl_pipeline_tests/reports bl_pipeline_tests/terminal

# Plants small faults and says which no test notices; for hours without a sample: make mutants MUTANTS="--sample 20 sql"
mutants: setup
	@$(BIN)/python -m bl_pipeline_tests.mutation_run $(MUTANTS)

# How fast it is beside other tools, which have an environment of their own; one benchmark, or a smaller store:
# make bench BENCH="load --orders 10000"
bench: setup .venv/bench/ready
	@$(BIN)/python -m benchmarks $(BENCH)

.venv/bench/ready: benchmarks/requirements.lock | .venv/ready
	@$(PYTHON) -m venv --clear .venv/bench
	@$(BIN)/uv pip install --quiet --system-certs --python .venv/bench/bin/python $(LOCKED) benchmarks/requirements.lock
	@touch $@

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: setup
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

# All platforms and Pythons in one file, with hashes, without any index's address.
lock: setup
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --extra dev \
		pyproject.toml --output-file requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --extra k8s --constraint requirements.lock \
		pyproject.toml --output-file deploy/requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 \
		benchmarks/requirements.in --output-file benchmarks/requirements.lock
