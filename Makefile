# `make` alone lists the targets.
PYTHON := .venv/bin/python
.DEFAULT_GOAL := help
export FOLDER NAME  # by environment: a shell never reads them as its own words
# From the command line only: a shell may have a HOST of its own.
export STACK_HOST ?= $(if $(filter command,$(origin HOST)),$(HOST))
export STACK_CLUSTER ?= $(if $(filter command,$(origin CLUSTER)),$(CLUSTER))
.PHONY: help setup demo up down status stage test unit bench check format clean

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

setup: ## install what is missing: Debian packages, .venv, Azurite and azcopy
	@bash local/setup.sh

demo: setup ## warm a real BLAST database onto three nodes, and prove it
	@$(PYTHON) -m local demo

up: setup ## start the laptop stack and leave it running; CONTROL=1 lets it be made to fail
	@$(PYTHON) -m local up $(if $(CONTROL),--control)

down: ## end the laptop stack
	@[ ! -x $(PYTHON) ] || $(PYTHON) -m local down

status: ## where the running stack's parts are, and a curl to try
	@$(PYTHON) -m local status

stage: ## put a BLAST database into the running stack: make stage FOLDER=/data/mydb NAME=mydb
	@[ -n "$$FOLDER" ] && [ -n "$$NAME" ] || { echo 'make stage FOLDER=/data/mydb NAME=mydb'; exit 2; }
	@$(PYTHON) -m local stage "$$FOLDER" "$$NAME"

test: setup ## install what tests need and run every one of them
	@$(PYTHON) -m pytest -n 2 --dist loadfile

unit: setup ## the quick tests only: no servers, seconds
	@$(PYTHON) -m pytest tests/unit tests/stories tests/architecture shared

bench: setup ## what the app and the stack take, each against its limit: run it on a quiet machine
	@$(PYTHON) -m bench.laptop_stack
	@$(PYTHON) -m bench.dashboards

check: setup ## lint, types, layers, and the agent's lowest Python
	@.venv/bin/ruff check . && .venv/bin/ruff format --check .
	@.venv/bin/mypy .
	@.venv/bin/lint-imports
	@.venv/bin/vermin --quiet --no-tips --target=3.10- --violations agent

format: setup ## write every file the way the formatter wants it
	@.venv/bin/ruff format . && .venv/bin/ruff check --fix .

clean: down ## forget the stack's state and everything that setup made in this folder
	@rm -rf .stack .venv local/npm/node_modules
