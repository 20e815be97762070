# Every target does its own set-up, in this folder only. `make` alone lists them.

PYTHON ?= python3
ARGS ?=
ONLY ?=
WORKERS ?= 2

VENV := .venv
BENCH_VENV := .venv-bench
INPUTS := pyproject.toml constraints.txt
INSTALL := -m pip --disable-pip-version-check install --quiet
# A program on PATH is used before an unpacked one.
WITH_SERVERS := PATH="$$PATH:$(CURDIR)/.servers/bin"
# Version 2 is a plug-in of docker, version 1 a program of its own.
COMPOSE = $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)
export PIP_USER := 0

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check format generate dashboards rules servers stack up down compose secrets bench constraints clean

help: ## list the targets
	@echo 'make TARGET [PYTHON=python3.12] [ARGS="..."]'
	@echo
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo-ready ## watch a real VQE trace the energy of H2, with its metrics (ARGS="--serve --port 0")
	@$(VENV)/bin/quantum-monitor demo $(ARGS)

test: $(VENV)/.test-ready servers ## run every test, real servers and the built wheel included (ARGS="-k name")
	@$(VENV)/bin/python -m pytest --numprocesses $(WORKERS) --dist loadfile $(ARGS)

check: $(VENV)/.test-ready ## lint, formatting, types, and generated files in step with their source
	@$(VENV)/bin/python -m ruff check
	@$(VENV)/bin/python -m ruff format --check
	@$(VENV)/bin/python -m mypy
	@$(VENV)/bin/python scripts/generate.py --check
	@$(VENV)/bin/python -m quantum_monitor.grafana.generate --check

format: $(VENV)/.test-ready ## mend what ruff can mend by itself
	@$(VENV)/bin/python -m ruff check --fix-only
	@$(VENV)/bin/python -m ruff format

generate: $(VENV)/.test-ready ## rewrite the files that are generated from the code: tables in docs, local routing (dashboards: see there)
	@$(VENV)/bin/python scripts/generate.py

dashboards: $(VENV)/.test-ready ## write dashboards/json from the definitions beside it
	@$(VENV)/bin/python -m quantum_monitor.grafana.generate

rules: servers ## check the rules, run their unit tests, check Prometheus and Alertmanager configuration
	@$(WITH_SERVERS) promtool check rules --lint=all --lint-fatal alertmanager/rules/*.rules.yml
	@$(WITH_SERVERS) promtool test rules alertmanager/rules/tests/*.test.yml
	@$(WITH_SERVERS) promtool check config --syntax-only prometheus/prometheus.yml
	@$(WITH_SERVERS) amtool check-config alertmanager/alertmanager.yml alertmanager/alertmanager.local.yml

servers: ## unpack Prometheus, Alertmanager, Pushgateway and docker-compose into .servers, installing and starting nothing
	@$(PYTHON) scripts/servers.py

stack: $(VENV)/.demo-ready servers ## run Prometheus and Alertmanager from local programs until Ctrl-C (ARGS="--data DIR")
	@exec $(VENV)/bin/quantum-monitor stack $(ARGS)

up: compose secrets ## start the compose stack, which needs Docker: demo, Prometheus, Alertmanager, Grafana, Pushgateway, Mailpit
	@$(COMPOSE) up --detach --build
	@echo 'Grafana http://localhost:3000  Prometheus http://localhost:9090  Alertmanager http://localhost:9093  e-mails http://localhost:8025'

down: compose ## stop the compose stack; its volumes stay
	@$(COMPOSE) down

compose:
	@docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null || { \
	  echo 'No docker compose here: install Docker (https://docs.docker.com/get-started/get-docker), or run `make stack`' >&2; exit 1; }

# What is there already stays as it is. The folders are closed to other users of this machine; the files in them are not, for a file
# is mounted into a container with its mode, and the servers there have users of their own.
secrets:
	@mkdir -p -m 700 alertmanager/secrets dashboards/secrets
	@password=dashboards/secrets/grafana_admin_password; [ -e "$$password" ] || { \
	  head -c 18 /dev/urandom | base64 | tr -d '\n' >"$$password" && chmod 644 "$$password" && \
	  echo "The password of Grafana's admin is in $$password"; }
	@for name in $$(ls alertmanager/secrets.example | grep -v README); do [ -e "alertmanager/secrets/$$name" ] || { \
	  cp "alertmanager/secrets.example/$$name" alertmanager/secrets/ && chmod 644 "alertmanager/secrets/$$name" && \
	  echo "alertmanager/secrets/$$name is an example: put your own in it to tell people"; }; done

bench: $(BENCH_VENV)/.bench-ready ## measure side by side with peers, all or ONLY=entropy; results in benchmarks/results
	@$(BENCH_VENV)/bin/python -m benchmarks $(ONLY)

constraints: ## renew constraints.txt (needs python3.10 and python3.11 on PATH)
	@$(PYTHON) scripts/constraints.py python3.10 python3.11

clean: ## remove what these targets made (recorded runs stay)
	rm -rf $(VENV) $(BENCH_VENV) .servers build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment that was interrupted half-way is made again: only the stamp at the end counts.
%/.created:
	@command -v $(PYTHON) >/dev/null || { \
	  echo 'No $(PYTHON) here: install Python 3.10 or later, or name one: make $(MAKECMDGOALS) PYTHON=...' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo '$(PYTHON) is older than Python 3.10: name a newer one, as in make $(MAKECMDGOALS) PYTHON=python3.12' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo '$(PYTHON) cannot make virtual environments: install its venv module (Debian, Ubuntu: sudo apt install python3-venv)' >&2; exit 1; }
	@$(PYTHON) -m venv $*
	@touch $@

$(VENV)/.demo-ready: $(VENV)/.created $(INPUTS)
	@echo 'Setting up $(VENV) for the demo (once, about a minute) ...'
	@$(VENV)/bin/python $(INSTALL) --constraint constraints.txt --editable '.[demo]'
	@touch $@

$(VENV)/.test-ready: $(VENV)/.created $(INPUTS)
	@echo 'Setting up $(VENV) for tests and checks (once, a minute or two) ...'
	@$(VENV)/bin/python $(INSTALL) --constraint constraints.txt --editable '.[dev]'
	@touch $@

# Of its own, and not pinned: MLflow and W&B would change what the tests find installed, and peers are measured as
# people get them today. Each result names the versions.
$(BENCH_VENV)/.bench-ready: $(BENCH_VENV)/.created pyproject.toml
	@echo 'Setting up $(BENCH_VENV) with the peers to compare with (once, a few minutes) ...'
	@$(BENCH_VENV)/bin/python $(INSTALL) --editable '.[bench]'
	@touch $@
