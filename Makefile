# Two commands matter: `make demo` shows the whole platform at work, `make test` proves it. `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
UV_VERSION := 0.13.9
# Compile at installation: otherwise every process compiles its imports again where site-packages
# is read-only.
export UV_COMPILE_BYTECODE := 1
RUN := $(UV) run --frozen --no-sync
FEED ?=
SPEED ?= 1
KEEP ?=
DIST ?= dist
CHAOS ?=
WORKERS ?= 2
TESTS ?= tests
# The others need more than the default installation: test-vision, test-airflow, test-page.
DEFAULT_TESTS := not groups and not airflow and not page

.PHONY: chaos dist test-services test-page help install install-vision demo test test-fast test-vision install-airflow airflow-demo test-airflow check bench format clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(UV):
	@echo "uv is missing: installing it into .uv/"
	@python3.11 -m venv .uv 2>/dev/null || python3 -m venv .uv
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

install: $(UV)  ## uv if it is missing, then the default packages of the lock
	@$(UV) sync --frozen

demo: install  ## feed → Kafka → Flink → Redis → model → /predict; FEED=file-or-glob SPEED=60 KEEP=1
	@$(RUN) tick demo $(if $(FEED),--feed '$(FEED)') --speed $(SPEED) $(if $(KEEP),--keep)

check: install  ## format, lint, types, layers, banned phrases; under a minute
	@$(RUN) ruff format --check .
	@$(RUN) ruff check .
	@$(RUN) mypy
	@$(RUN) lint-imports
	@$(RUN) python -m tests.support.phrases

test-fast: check  ## tests without real services, WORKERS=2 at a time
	@$(RUN) pytest -n $(WORKERS) --dist loadfile -m "not integration and $(DEFAULT_TESTS)"

test-services: install  ## tests with real services
	@$(RUN) tick jars
	@$(RUN) pytest -m "integration and $(DEFAULT_TESTS)" $(TESTS)

test: test-fast test-services  ## test-fast and test-services; vision, page and Airflow have separate targets

test-page: install  ## the live page in a headless Chromium, which must be installed (apt install chromium chromium-driver)
	@$(RUN) pytest -m page tests/serving/test_page.py

install-vision: $(UV)  ## Keras and Torch in a separate environment, where `tick train` finds them: .venv-vision
	@UV_PROJECT_ENVIRONMENT=.venv-vision $(UV) sync --frozen --group keras --group torch

test-vision: install-vision  ## Keras and Torch for real
	@.venv-vision/bin/python -m pytest -m groups tests/vision

install-airflow: $(UV)  ## Airflow in a separate environment, where `tick airflow` finds it: .venv-airflow
	@UV_PROJECT_ENVIRONMENT=.venv-airflow $(UV) sync --frozen --group airflow

airflow-demo: install install-airflow  ## every DAG once by the real scheduler, and a table of runs
	@$(RUN) tick airflow demo

test-airflow: install install-airflow install-vision  ## every DAG, and the real scheduler on the real platform
	@$(RUN) tick jars
	@.venv-airflow/bin/python -m pytest -m airflow tests/dags tests/airflow

bench: install  ## the numbers: CPU time and ratios, printed with the load
	@$(RUN) python -m bench

chaos: install  ## kills, stalls, poison, overload on a real platform, and what was lost; CHAOS="F1 F6 --seed 3"
	@$(RUN) tick jars
	@$(RUN) python -m tests.chaos $(CHAOS)

dist: $(UV)  ## a wheel and its bill of materials (CycloneDX) in dist/
	@$(UV) build -q --wheel -o $(DIST)
	@$(UV) export -q --frozen --no-dev --format cyclonedx1.5 -o $(DIST)/sbom.json

format: install  ## let ruff format and fix
	@$(RUN) ruff format .
	@$(RUN) ruff check --fix .

clean:  ## stop the platform and remove its state (keeps downloaded jars)
	@-$(RUN) tick down
	@-test ! -d .tick/demo || TICK_HOME=.tick/demo TICK_CACHE=.tick/jars $(RUN) tick down
	@find .tick -mindepth 1 -maxdepth 1 ! -name jars -exec rm -rf {} +
