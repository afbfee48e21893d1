# make demo · make test are all that a newcomer needs. Everything else is for those who work on the project.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENVS := .venvs
UV := $(shell command -v uv 2>/dev/null || echo $(VENVS)/.tools/bin/uv)
CORE := $(VENVS)/core/bin

.PHONY: help
help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

# --- environments -----------------------------------------------------------------------------------------------

.PHONY: envs
envs: $(VENVS)/core/.ready $(VENVS)/airflow/.ready $(VENVS)/dagster/.ready $(VENVS)/prefect/.ready  ## build .venvs/{core,airflow,dagster,prefect} from requirements/

$(VENVS)/.tools/bin/uv:
	$(PYTHON) -m venv $(VENVS)/.tools
	$(VENVS)/.tools/bin/pip install --quiet uv

# The packages are installed editable, without their dependencies: those are what requirements/*.txt pins.
define build_env
	$(UV) venv --quiet --clear --python 3.11 $(VENVS)/$(1)
	$(UV) pip install --quiet --python $(VENVS)/$(1)/bin/python $(2) -r requirements/$(1).txt
	$(UV) pip install --quiet --python $(VENVS)/$(1)/bin/python --no-deps $(foreach d,$(3),-e $(d))
	touch $@
endef

$(VENVS)/core/.ready: requirements/core.txt core/pyproject.toml | $(UV)
	$(call build_env,core,,core)
$(VENVS)/airflow/.ready: requirements/airflow.txt core/pyproject.toml airflow_provider/pyproject.toml | $(UV)
	$(call build_env,airflow,,core airflow_provider)
$(VENVS)/dagster/.ready: requirements/dagster.txt core/pyproject.toml dagster_planasonix/pyproject.toml | $(UV)
	$(call build_env,dagster,,core dagster_planasonix)
$(VENVS)/prefect/.ready: requirements/prefect.txt requirements/prefect.overrides core/pyproject.toml prefect_planasonix/pyproject.toml | $(UV)
	$(call build_env,prefect,--overrides requirements/prefect.overrides,core prefect_planasonix)

.PHONY: pins
pins: | $(UV)  ## compile requirements/*.in again
	for env in core bench airflow bench-airflow dagster bench-dagster; do \
	  $(UV) pip compile -q --no-header --no-annotate --python-version 3.11 requirements/$$env.in -o requirements/$$env.txt; done
	for env in prefect bench-prefect; do \
	  $(UV) pip compile -q --no-header --no-annotate --python-version 3.11 --override requirements/prefect.overrides \
	    requirements/$$env.in -o requirements/$$env.txt; done
	$(UV) pip compile -q --no-header --no-annotate --python-version 3.11 --override requirements/prefect-floor.overrides \
	  requirements/prefect-floor.in -o requirements/prefect-floor.txt

# --- the two commands -------------------------------------------------------------------------------------------

.PHONY: demo
demo: $(VENVS)/core/.ready $(VENVS)/airflow/.ready  ## sandbox + a real Airflow run the example DAG, then print what happened
	$(CORE)/python -m scripts.demo

.PHONY: demo-dagster
demo-dagster: $(VENVS)/core/.ready $(VENVS)/dagster/.ready  ## the same with dg dev and the example project
	$(CORE)/python -m scripts.demo.dagster

.PHONY: demo-prefect
demo-prefect: $(VENVS)/core/.ready $(VENVS)/prefect/.ready  ## the same with a Prefect server and a served flow
	$(CORE)/python -m scripts.demo.prefect

.PHONY: test
test: envs  ## every test, live orchestrators included
	UV=$(UV) $(CORE)/python -m scripts.test

# --- for those who work on the project --------------------------------------------------------------------------

.PHONY: lint
lint: $(VENVS)/core/.ready $(VENVS)/airflow/.ready $(VENVS)/dagster/.ready $(VENVS)/prefect/.ready  ## ruff, generated code, import arrows, types
	$(CORE)/ruff check .
	$(CORE)/ruff format --check .
	$(CORE)/python -m scripts.unasync --check
	$(CORE)/python -m scripts.endpoints --check
	$(CORE)/python -m scripts.scenarios --check
	PYTHONPATH=airflow_provider:dagster_planasonix:prefect_planasonix $(CORE)/lint-imports
	$(CORE)/pyright
	$(CORE)/pyright --project airflow_provider/pyrightconfig.json
	$(CORE)/pyright --project dagster_planasonix/pyrightconfig.json
	$(CORE)/pyright --project prefect_planasonix/pyrightconfig.json

.PHONY: scenarios
scenarios: envs  ## the long exit matrices
	UV=$(UV) $(CORE)/python -m scripts.test --scenarios

# An environment that only this needs: the oldest Prefect that the plugin's metadata allows.
$(VENVS)/prefect-floor/.ready: requirements/prefect-floor.txt requirements/prefect-floor.overrides core/pyproject.toml prefect_planasonix/pyproject.toml | $(UV)
	$(call build_env,prefect-floor,--overrides requirements/prefect-floor.overrides,core prefect_planasonix)

.PHONY: floor
floor: $(VENVS)/prefect-floor/.ready  ## the Prefect plugin's tests, and live runs, on the oldest Prefect that it allows
	$(VENVS)/prefect-floor/bin/pytest tests/prefect -q -m "not scenario and not alone"
	LOCAL_PREFECT_VENV=$(CURDIR)/$(VENVS)/prefect-floor $(VENVS)/prefect-floor/bin/pytest tests/prefect/test_deferred_live.py -q -k nothing_runs_while

# An environment of its own: what the figures are measured beside is needed by nobody else.
$(VENVS)/bench/.ready: requirements/bench.txt core/pyproject.toml | $(UV)
	$(call build_env,bench,,core)

$(VENVS)/bench-airflow/.ready: requirements/bench-airflow.txt core/pyproject.toml airflow_provider/pyproject.toml | $(UV)
	$(call build_env,bench-airflow,,core airflow_provider)

$(VENVS)/bench-dagster/.ready: requirements/bench-dagster.txt core/pyproject.toml dagster_planasonix/pyproject.toml | $(UV)
	$(call build_env,bench-dagster,,core dagster_planasonix)

$(VENVS)/bench-prefect/.ready: requirements/bench-prefect.txt requirements/prefect.overrides core/pyproject.toml prefect_planasonix/pyproject.toml | $(UV)
	$(call build_env,bench-prefect,--overrides requirements/prefect.overrides,core prefect_planasonix)

.PHONY: bench
bench: $(VENVS)/bench/.ready $(VENVS)/bench-airflow/.ready $(VENVS)/bench-dagster/.ready $(VENVS)/bench-prefect/.ready $(VENVS)/airflow/.ready $(VENVS)/prefect/.ready  ## measure the figures of benchmarks/README.md
	$(VENVS)/bench/bin/python -m benchmarks

.PHONY: fmt
fmt: $(VENVS)/core/.ready  ## format, fix what can be fixed, regenerate the sync client
	$(CORE)/ruff check --fix . || true
	$(CORE)/ruff format .
	$(CORE)/python -m scripts.unasync
	$(CORE)/python -m scripts.endpoints
	$(CORE)/python -m scripts.scenarios

.PHONY: dist
dist: | $(UV)  ## wheels of the four distributions in dist/
	for d in core airflow_provider dagster_planasonix prefect_planasonix; do $(UV) build --quiet --wheel --out-dir dist $$d; done

.PHONY: clean
clean:  ## everything that these commands made
	rm -rf $(VENVS) dist .demo .test-logs .pytest_cache .ruff_cache .hypothesis
