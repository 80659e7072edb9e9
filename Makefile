# make demo, make test: both set everything up themselves, in .venv.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-workers lint fuzz soak bench images clean

demo: .venv/installed
	$(BIN)/python -m loadtest compare --scenarios hello,wait,connect --connections 10,1000 \
	  --loads rate --repeats 2 --duration 0.8 --warmup 0.3 $(ARGS)

test: .venv/installed
	$(BIN)/python -m pytest --numprocesses 3 --dist loadgroup $(ARGS)

# Every test of a server once more, each of them with three workers.
test-workers: .venv/installed
	$(BIN)/python -m pytest --numprocesses 3 --dist loadgroup --workers 3 $(ARGS) \
	  $(addprefix tests/servers/test_,$(addsuffix .py,caps conformance_over_tcp deadlines fairness faults \
	  handlers launcher machine_limits models real_clients shutdown))

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# A minute; or make fuzz SECONDS=3600.
fuzz: .venv/installed
	$(BIN)/python -Wignore -m tests.tools.fuzz $(SECONDS)

# Five minutes; or make soak MINUTES=600 ARGS=--workers=3.
soak: .venv/installed
	$(BIN)/python -m tests.tools.soak $(MINUTES) $(ARGS)

# Needs wrk, and takes a quarter of an hour.
bench: .venv/installed
	$(BIN)/python -m loadtest.bench $(ARGS)

# The two images by themselves, for other hosts; docker compose builds its own.
images:
	commit="$$(git describe --always --dirty --abbrev=40 --exclude='*')"; \
	for target in server load; do \
	  docker build --target $$target --build-arg COMMIT=$$commit \
	    --tag concurrency-showcase/$$target $(ARGS) . || exit 1; \
	done

.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "expected Python 3.11 or newer, got $$($(PYTHON) --version 2>&1);" \
	    "run: make PYTHON=python3.13" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[all]'
	@touch $@

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
