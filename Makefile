# Every target does its own set-up, in this folder only. `make` alone lists them.

PYTHON ?= python3
ARGS ?=
ONLY ?=
WORKERS ?= 2

VENV := .venv
BENCH_VENV := .venv-bench
INPUTS := pyproject.toml constraints.txt
INSTALL := -m pip --disable-pip-version-check install --quiet
export PIP_USER := 0

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check format generate servers bench constraints clean

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

format: $(VENV)/.test-ready ## mend what ruff can mend by itself
	@$(VENV)/bin/python -m ruff check --fix-only
	@$(VENV)/bin/python -m ruff format

generate: $(VENV)/.test-ready ## rewrite the files that are generated from the code (docs/metrics.md)
	@$(VENV)/bin/python scripts/generate.py

servers: ## unpack Prometheus, Alertmanager and Pushgateway into .servers, installing and starting nothing
	@$(PYTHON) scripts/servers.py

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
