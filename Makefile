# Everything a newcomer needs: make demo, make run, make test. `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
# Once, so that no start has to; the installer leaves it out where Python was told to write nothing.
COMPILE := $(RUN) -m compileall -qq -j 0 $(VENV)/lib gateway || true
.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo run servers test check format lock docs bench soak clean

help: ## show what can be made
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.run: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; run: make PYTHON=python3.12 …") if sys.version_info < (3, 11) else None'
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@echo "Installing what the gateway runs on (locked, with hashes) …"
	@$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@$(COMPILE)
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.run
	@echo "Installing what the checks and tests need (locked, with hashes) …"
	@$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@$(COMPILE)
	@touch $@

setup: $(VENV)/.run ## virtual environment with the locked dependencies

setup-dev: $(VENV)/.dev ## the same, with the tools for checks and tests

demo: setup ## a whole arrangement between two simulated parties, over real HTTP (VERHAAL=07 or alle: a story)
	@$(RUN) -m fixtures.demo $(VERHAAL)

run: setup ## keep the gateway running; status at http://127.0.0.1:8080/console
	@$(RUN) -m gateway inrichten
	@$(RUN) -m gateway dienst

servers: ## install RabbitMQ and PostgreSQL for the tests (never started as a service)
	@sh deploy/servers.sh

# What breaks things waits most, and goes beside the rest, which gives way to it.
BREAKING := tests/fault tests/integration
OTHERS := tests/unit tests/property tests/conformance tests/interop tests/e2e

test: setup-dev ## the whole suite, with a private RabbitMQ and PostgreSQL of its own
	@sh deploy/servers.sh
	@mkdir -p var; export GATEWAY_TESTS_ALL=1; \
	  nice -n 10 $(RUN) -m pytest --junitxml=var/others.xml $(OTHERS) > var/others.log 2>&1 & beside=$$!; \
	  trap "kill $$beside" INT TERM; \
	  $(RUN) -m pytest --junitxml=var/breaking.xml $(BREAKING); first=$$?; \
	  wait $$beside; second=$$?; cat var/others.log; exit $$((first | second))

check: setup-dev ## format, lint, types, import contracts, generated pages
	@$(VENV)/bin/ruff format --check . && $(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports --no-cache
	@$(RUN) docs/genereer.py --check

format: setup-dev ## let the formatter and the linter mend what they can
	@$(VENV)/bin/ruff check --fix . ; $(VENV)/bin/ruff format .

lock: setup-dev ## renew the locked requirements
	@for set in requirements requirements-dev; do \
	  $(VENV)/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-header $$set.in -o $$set.txt || exit 1; done

docs: setup-dev ## write the generated pages again
	@$(RUN) docs/genereer.py
	@$(RUN) -m docs.levering
	@$(RUN) -m docs.privacy
	@$(RUN) -m docs.process

bench: setup-dev ## the gateway beside others: speed, cost, memory (see bench/README.md)
	@sh deploy/servers.sh
	@PYTHON=$(PYTHON) sh bench/prepare.sh
	@$(RUN) -m bench $(PARTS)

soak: setup-dev ## an hour at half load with random faults
	@sh deploy/servers.sh
	@$(RUN) -m tests.soak

clean: ## remove what the gateway and the checks left behind
	@rm -rf $(VENV) var .pytest_cache .ruff_cache .mypy_cache .hypothesis
