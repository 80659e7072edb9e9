# make help lists the targets. Each sets up what it needs by itself, in .venv.

PYTHON ?= python3
PROCESSES ?= 4
BIN := .venv/bin

# Images and CI often set this. Without compiled modules each of a thousand processes that the tests
# start compiles its own: a test run needs a fifth more CPU time, and collecting the tests twice as much.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo test test-workers check lint types format generate fuzz soak bench images clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | \
	  while IFS='|' read -r target text; do printf '%-14s%s\n' "$$target" "$$text"; done

demo: .venv/installed ## compare all models, three minutes; it ends with the path of a report
	$(BIN)/python -m loadtest compare --scenarios hello,wait,connect --connections 10,1000 \
	  --loads rate --repeats 2 --duration 0.8 --warmup 0.3 $(ARGS)

test: .venv/installed ## run all tests; ARGS="-k name" runs some
	$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadgroup $(ARGS)

test-workers: .venv/installed ## run the servers' tests once more, each server with three workers
	$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadgroup --workers 3 $(ARGS) \
	  $(addprefix tests/servers/test_,$(addsuffix .py,back_pressure connection_limits conformance_over_tcp deadlines early_refusals \
	  fairness faults handlers launcher lingering machine_limits models real_clients shutdown))

check: lint types ## check style, format and types

lint: .venv/installed ## check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/installed ## check types
	$(BIN)/mypy

format: .venv/installed ## format the code, and fix what ruff can fix
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

generate: .venv/installed ## write the generated parts of README, docs and docker-compose.yml
	$(BIN)/python -m loadtest.report.readme
	$(BIN)/python -m tests.tools.generate

fuzz: .venv/installed ## try to break a connection for a minute; or SECONDS=3600
	$(BIN)/python -Wignore -m tests.tools.fuzz $(SECONDS)

soak: .venv/installed ## run good and bad clients for five minutes; or MINUTES=600 ARGS=--workers=3
	$(BIN)/python -m tests.tools.soak $(MINUTES) $(ARGS)

bench: .venv/installed ## compare with other servers, a quarter of an hour; needs wrk
	$(BIN)/python -m loadtest.bench $(ARGS)

images: ## build the two images for other hosts; docker compose builds its own
	commit="$$(git describe --always --dirty --abbrev=40 --exclude='*')"; \
	for target in server load; do \
	  docker build --target $$target --build-arg COMMIT=$$commit \
	    --tag concurrency-showcase/$$target $(ARGS) . || exit 1; \
	done

clean: ## remove .venv and all caches
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "expected Python 3.11 or newer, got $$($(PYTHON) --version 2>&1);" \
	    "run: make PYTHON=python3.13" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[all]'
	@touch $@
