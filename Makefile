# Nightfold on one machine. Needs make, git and Python 3.11 or newer; everything else is set up from requirements.lock.
# Settings are variables of the environment or of make: `make run DS=2017-12-10 NIGHTFOLD_AIRFLOW_PORT=9090`.

DS ?= 2017-12-03
PIPELINE ?= grocery
ARGS ?=

SHELL := /bin/sh
.DEFAULT_GOAL := help
unexport SPARK_HOME  # another Spark than the one in .venv
.PHONY: help setup venv servers run up up-cluster up-serving restart-serving down status test test-all lint films bench bench-faults bench-serving airflow shell clean lock

PYTHON := .venv/bin/python
WITH_JAVA = JAVA_HOME="$$(cat .venv/java-home)" PATH="$(CURDIR)/.venv/bin:$$PATH" \
	SPARK_SUBMIT_OPTS="$${SPARK_SUBMIT_OPTS-$$(cat .venv/spark/options)}"

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: venv  ## install what is missing: .venv from requirements.lock, Java 17 (INSTALL_JAVA=0: only look for it), what Spark starts from
	@scripts/java.sh
	@scripts/spark.sh

run: setup  ## take one night of a pipeline through Airflow and show its lists (DS=2017-12-03 PIPELINE=grocery)
	@$(WITH_JAVA) $(PYTHON) -m embedded run --pipeline "$(PIPELINE)" --ds "$(DS)"

up: setup  ## start the platform and the sample shop; what runs is left alone
	@$(WITH_JAVA) $(PYTHON) -m embedded up --sample

up-cluster: setup  ## the same with a Spark master and two workers, on which runs then take place; make up goes back to one process
	@$(WITH_JAVA) $(PYTHON) -m embedded up --sample --cluster

up-serving: setup servers  ## start the REST API: three replicas behind a balancer (NIGHTFOLD_SERVING_REPLICAS), and the store
	@$(PYTHON) -m embedded up-serving

restart-serving: venv  ## restart its replicas one after the other; readers notice nothing
	@$(PYTHON) -m embedded restart-serving

down:  ## stop exactly what was started
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m embedded down; else echo "nothing is set up here"; fi

status: venv  ## what runs, where, with how much memory
	@$(PYTHON) -m embedded status

test: setup servers lint  ## lint, then all tests but those that take hours (ARGS="-k name" for some)
	@$(WITH_JAVA) $(PYTHON) -m pytest $(ARGS)

test-all: setup servers lint  ## the same, and what takes longer: faults, three months of nights (ARGS="-k name" for some)
	@$(WITH_JAVA) $(PYTHON) -m pytest -m "" -n 0 $(ARGS)

lint: venv  ## check style and format
	@.venv/bin/ruff check . && .venv/bin/ruff format --check .

films: setup  ## land MovieLens' ratings for pipelines/films.yaml: shows their terms, ACCEPT=yes accepts them and fetches the data
	@$(WITH_JAVA) $(PYTHON) -m samples.films $(if $(filter yes,$(ACCEPT)),--accept)

bench: setup  ## measure speed and quality; see benchmarks/README.md
	@$(WITH_JAVA) $(PYTHON) -m benchmarks $(ARGS)

bench-faults: setup  ## break one thing after the other and write benchmarks/faults.md (ARGS="--only kill-publish" for some, --list)
	@$(WITH_JAVA) $(PYTHON) -m benchmarks.faults $(ARGS)

bench-serving: setup servers  ## the store and its readers beside peers, and what breaks: benchmarks/serving.md (ARGS="--only load,rest --scale 0.1")
	@$(WITH_JAVA) $(PYTHON) -m benchmarks.serving $(ARGS)

airflow: setup  ## Airflow's command line on this platform (ARGS="backfill create --help")
	@$(WITH_JAVA) $(PYTHON) -m embedded airflow $(ARGS)

shell: setup  ## a PySpark shell with the lake's datasets as tables (PIPELINE=grocery)
	@$(WITH_JAVA) $(PYTHON) -i -m nightfold.spark.shell --pipeline "$(PIPELINE)"

clean:  ## stop everything and remove all state (var/): data, models, passwords
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m embedded clean; else echo "nothing is set up here"; fi

lock: venv  ## resolve requirements.in into requirements.lock (ARGS=--upgrade for the newest versions)
	@.venv/bin/uv pip compile --quiet --python-version 3.11 --no-annotate $(ARGS) \
		--override requirements-overrides.txt requirements.in -o requirements.lock

servers:
	@scripts/servers.sh

venv:
	@scripts/venv.sh
