# The targets a newcomer needs; `make help` lists them. Without make: the four plain commands in README.md.
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 5000
FULL ?= no
# What calls the libraries. What attacks our own readers and pages finds out little about other versions of theirs.
LOWEST := $(addprefix tests/,models tracking analysis/elbow analysis/figures/test_curves.py analysis/findings/test_nested.py \
	analysis/runs/test_query.py analysis/test_report.py studies/test_tune.py studies/execution/test_pools.py) \
	-k "not hostile and not malformed"
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
MLFLOW_EXPERIMENT_NAME ?= elbowroom
export MLFLOW_EXPERIMENT_NAME
# Where this is set, each of the many processes of a study or a test compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run answer scan report assignment ui test test-unit test-slow test-lowest soak check clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/run.stamp ## train a VAE on MNIST under MLflow, and print what came out
	PATH="$(CURDIR)/$(BIN):$$PATH" mlflow run . -P model=vae --env-manager local

answer: $(VENV)/run.stamp ## how many dim3 keep 90 % of MNIST's variance, with four models, in a quarter of an hour
	PATH="$(CURDIR)/$(BIN):$$PATH" mlflow run . -e seek --env-manager local

scan: $(VENV)/run.stamp ## scan dim3 from 2 to 40 on MNIST with PCA, AE and VAE, a few epochs each
	PATH="$(CURDIR)/$(BIN):$$PATH" mlflow run . -e scan -P preset=quick --env-manager local

report: $(VENV)/run.stamp ## answer from the runs of the default store: reports/report.html
	$(BIN)/python -m analysis.report

assignment: $(VENV)/run.stamp ## run what the course assignment asks for, and answer it: reports/assignment.html
	PATH="$(CURDIR)/$(BIN):$$PATH" mlflow run . -e assignment -P full=$(FULL) --env-manager local

ui: $(VENV)/run.stamp ## open the MLflow UI on the default store (PORT=5000)
	$(BIN)/mlflow ui --backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}" --host 127.0.0.1 --port $(PORT)

# Three processes for two cores: tests wait for servers and clocks a third of their time.
test: $(VENV)/test.stamp ## the tests to run after each change, and which ten took longest
	$(BIN)/python -m pytest -n 3 --durations 10 -m "not slow and not soak"

test-unit: $(VENV)/test.stamp ## the part of make test that takes a minute: no commands, studies, servers, downloads
	$(BIN)/python -m pytest -n 2 -m "not slow and not soak and not integration"

test-slow: $(VENV)/test.stamp ## the slow tests: browsers, servers with users, full disks, the commands of the docs
	$(BIN)/python -m pytest -n 3 --durations 10 -m slow

test-lowest: .venv-lowest/test.stamp ## the packages' unit tests, with the lowest versions that pyproject.toml allows
	.venv-lowest/bin/python -m pytest -n 2 -m "not slow and not soak and not server and not mnist" $(LOWEST)

soak: $(VENV)/test.stamp ## long or random tests, up to an hour: kills, races, full disks, clusters, calibration
	$(BIN)/python -m pytest -n 3 -m "soak or property" --hypothesis-profile many

check: $(VENV)/test.stamp ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@mkdir -p $(VENV)/house/elbowroom
	@ln -sfn $(addprefix $(CURDIR)/,$(wildcard elbowroom/*) models tracking studies analysis) $(VENV)/house/elbowroom
	$(BIN)/mypy

clean: ## remove the environments; runs and data stay
	rm -rf $(VENV) .venv-lowest

$(VENV)/run.stamp: requirements.txt
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or newer found; make PYTHON=/path/to/python" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements.txt
	@touch $@

$(VENV)/test.stamp: $(VENV)/run.stamp $(addsuffix .txt,$(addprefix requirements-,dev bio cluster excel notebooks server))
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	@touch $@

.venv-lowest/test.stamp: pyproject.toml requirements-dev.txt tests/lowest.py
	$(PYTHON) -m venv .venv-lowest
	$(PYTHON) -m tests.lowest > .venv-lowest/requirements.txt
	.venv-lowest/bin/python -m pip install --quiet --no-compile -r .venv-lowest/requirements.txt
	@touch $@
