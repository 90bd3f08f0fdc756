# Everything runs from .venv, installed from locks with hashes. `make help` lists the targets.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# With a database of your own no embedded Postgres is installed or started.
OWN_DATABASE := $(or $(DATABASE_URL),$(shell grep -s '^DATABASE_URL=.' .env))
RUNTIME := .venv/.installed-$(if $(OWN_DATABASE),production,embedded)

.PHONY: help run test check bench schema lock format migration clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 20

run: $(RUNTIME) .env ## start everything on this machine and print how to try it
	$(BIN)/gatehouse dev

test: .venv/.installed-dev ## run the whole suite on a throwaway Postgres
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup $(ARGS)
# More than the cores of a small machine: many tests wait for processes, signals and timeouts.
WORKERS ?= 4

check: .venv/.installed-dev ## format, lint, types, import contracts, drift of schema and migrations
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy .
	$(BIN)/lint-imports --no-cache
	$(BIN)/gatehouse schema | diff -u schema.graphql - || (echo 'schema.graphql is not what the code prints: make schema' && false)
	$(BIN)/pytest -q tests/contract/test_migrations.py

bench: .venv/.installed-dev ## measure beside the bare way to the same thing; benchmarks/README.md says how to read it
	$(BIN)/python -m benchmarks $(ARGS)

schema: .venv/.installed-dev ## print the schema into schema.graphql
	$(BIN)/gatehouse schema > schema.graphql

format: .venv/.installed-dev ## format and mend what can be mended
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format --quiet .

migration: .venv/.installed-dev ## start a migration: make migration name=add_posts
	$(BIN)/alembic revision --rev-id $$(date -u +%Y_%m_%d_%H%M) -m $(name)

lock: ## pin the newest dependencies that fit, with hashes (needs uv)
	uv pip compile $(LOCK) pyproject.toml -o requirements/production.txt
	uv pip compile $(LOCK) requirements/build.in -c requirements/production.txt -o requirements/build.txt
	uv pip compile $(LOCK) pyproject.toml --extra embedded -c requirements/production.txt -o requirements/embedded.txt
	uv pip compile $(LOCK) pyproject.toml requirements/build.in --extra embedded --extra dev \
		-c requirements/embedded.txt -c requirements/build.txt -o requirements/dev.txt
LOCK := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header

clean: ## remove what was installed; data in .gatehouse stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis

.env:
	cp .env.example .env

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		(echo 'Python 3.11 or newer is needed; name one with PYTHON=python3.12 make run' && false)
	$(PYTHON) -m venv .venv || (rm -rf .venv && false)

# A larger set contains the smaller ones, so installing it marks them as well.
.venv/.installed-production: .venv/bin/python requirements/production.txt requirements/build.txt pyproject.toml
	$(PIP) --require-hashes -r requirements/production.txt -r requirements/build.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	touch $@

.venv/.installed-embedded: .venv/bin/python requirements/embedded.txt requirements/build.txt pyproject.toml
	$(PIP) --require-hashes -r requirements/embedded.txt -r requirements/build.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	touch .venv/.installed-production $@

.venv/.installed-dev: .venv/bin/python requirements/dev.txt pyproject.toml
	$(PIP) --require-hashes -r requirements/dev.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	touch .venv/.installed-production .venv/.installed-embedded $@
