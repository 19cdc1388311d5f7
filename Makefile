# Everything that is done to this project from outside. `make help` lists it.
#
#   make run ARGS="--listen 127.0.0.1:9000"     make test ARGS="-k retry"     make bench ARGS="--quick"

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.NOTPARALLEL:
BIN := .venv/bin
# Tests start a make of their own, which must not take itself for a child of this one.
PYTEST := env -u MAKELEVEL -u MAKEFLAGS -u MFLAGS $(BIN)/python -m pytest
# More than there are cores: many tests wait for a lease, a pause or a signal.
JOBS ?= 4
# A run that hangs ends; each test has a limit of its own as well.
SUITE := -n $(JOBS) --dist=worksteal --session-timeout=1140
SOURCES := orchestrator worker tests benchmarks

# The environment is as new as the lock; it is made anew where the checkout was moved. What only
# development needs is added by the first target that needs it.
STAMP := .venv/.installed
TOOLS := .venv/.tools
ifneq ($(shell cat $(STAMP) 2>/dev/null)$(wildcard $(BIN)/python),$(CURDIR)$(BIN)/python)
.PHONY: $(STAMP) $(TOOLS)
endif
$(STAMP): requirements.lock pyproject.toml .ci/running
	@sh .ci/install run
$(TOOLS): requirements.lock pyproject.toml .ci/running
	@sh .ci/install

.PHONY: run
run: $(STAMP)  ## start server, supervisor and one worker here (Ctrl-C ends them all)
	@exec $(BIN)/orchestrator run --local $(ARGS)

.PHONY: test
test: $(TOOLS)  ## run every test
	@$(PYTEST) $(SUITE) $(ARGS)

.PHONY: check
check: format-check lint types contracts test  ## all that has to hold before a merge; CI runs this

.PHONY: unit
unit: $(TOOLS)  ## run the tests without disk, socket or process
	@$(PYTEST) tests/unit $(ARGS)

.PHONY: integration
integration: $(TOOLS)  ## run the tests against one real thing at a time
	@$(PYTEST) -n $(JOBS) tests/integration $(ARGS)

.PHONY: sim
sim: $(STAMP)  ## simulate: SEEDS=20000 PROCESSES=2 FROM=… ; may be stopped, goes on, and adds up
	@env PYTHONHASHSEED=0 $(BIN)/python -m tests.simulation run --seeds $(or $(SEEDS),2000) --processes $(or $(PROCESSES),2) $(if $(FROM),--from $(FROM))

.PHONY: sim-replay
sim-replay: $(STAMP)  ## tell the story of one seed: SEED=…
	@env PYTHONHASHSEED=0 $(BIN)/python -m tests.simulation replay $(SEED)

.PHONY: sim-shrink
sim-shrink: $(STAMP)  ## make a failing seed smaller: SEED=…
	@env PYTHONHASHSEED=0 $(BIN)/python -m tests.simulation shrink $(SEED)

.PHONY: sim-mutants
sim-mutants: $(STAMP)  ## look for every bug that is planted for the simulation (minutes)
	@env PYTHONHASHSEED=0 $(BIN)/python -m tests.simulation mutants

.PHONY: e2e
e2e: $(TOOLS)  ## run the real programs, from outside
	@$(PYTEST) tests/e2e $(ARGS)

.PHONY: format
format: $(TOOLS)  ## format the source
	@$(BIN)/ruff format $(SOURCES)
	@$(BIN)/ruff check --quiet --fix --select I $(SOURCES)

.PHONY: format-check
format-check: $(TOOLS)
	@$(BIN)/ruff format --check $(SOURCES) || { echo "run 'make format'"; exit 1; }

.PHONY: lint
lint: $(TOOLS)  ## look for mistakes in the source
	@$(BIN)/ruff check $(SOURCES)

.PHONY: types
types: $(TOOLS)  ## check the types, tests included
	@$(BIN)/mypy

.PHONY: contracts
contracts: $(TOOLS)  ## check who may import whom
	@$(BIN)/lint-imports --no-logo

.PHONY: bench
bench: $(TOOLS)  ## measure, against what this machine can do at best
	@$(BIN)/python -m benchmarks $(ARGS)

.PHONY: bench-isolation
bench-isolation: $(TOOLS)  ## measure what one worker notices of the troubles of another
	@$(BIN)/python -m benchmarks.isolation $(ARGS)

.PHONY: bench-supervisor
bench-supervisor: $(TOOLS)  ## measure a hundred workers beside supervisord and PM2 (fetched aside)
	@$(BIN)/python -m benchmarks.supervision $(ARGS)

.PHONY: chaos
chaos: $(TOOLS)  ## kill everything at random moments, and judge what became of the jobs
	@$(BIN)/python -m tests.chaos $(ARGS)

.PHONY: soak
soak: $(TOOLS)  ## work for minutes or hours without any fault: nothing may grow
	@$(BIN)/python -m tests.chaos.soak $(ARGS)

.PHONY: crash
crash: $(TOOLS)  ## cut the power at every moment of recorded stories (ARGS="--states 200000")
	@$(BIN)/python -m tests.crash $(ARGS)

.PHONY: failpoints
failpoints: $(TOOLS)  ## stop programs at every moment that has a name, in every way, and judge it
	@$(BIN)/python -m tests.failpoints $(ARGS)

.PHONY: mutants
mutants: $(TOOLS)  ## plant mistakes in copies of the product: does a test find each? (ARGS="--only NAME")
	@$(BIN)/python -m tests.mutants $(ARGS)

.PHONY: lock
lock: $(TOOLS)  ## choose the newest packages again, and write requirements.lock
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	    --extra postgres --group dev --no-header --no-annotate --no-emit-index-url pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --constraint requirements.lock \
	    --extra postgres --group build --no-header --no-annotate --no-emit-index-url pyproject.toml \
	    | sed 's/==.*//' > .ci/running

.PHONY: clean
clean:  ## remove the environment and every cache, never your data
	@rm -rf .venv build dist .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find $(SOURCES) -type d -name __pycache__ -prune -exec rm -rf {} +

.PHONY: help
help:  ## show this list
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
