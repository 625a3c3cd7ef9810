# Everything a developer does, as one word each. `make` alone lists them.
PYTHON ?= python3
BIN := .venv/bin
# A machine with an engine, compose and a registry around the command that follows.
MACHINE := $(PYTHON) dev/machine.py run $(if $(KEEP),--keep) --
# Another engine, with the containerd image store, and the newest compose.
SECOND := $(PYTHON) dev/machine.py run --if-possible --engine 26.1 --compose newest --
# Two thirds of the tests' time is waiting for containers: more workers than cores.
WORKERS ?= 6
PYTEST := $(BIN)/python -m pytest -n $(WORKERS)
PYTEST_ARGS ?=

# Without compiled modules each launcher that a test starts takes 2.6 s of processor time, not 1.2.
unexport PYTHONDONTWRITEBYTECODE

# The second engine beside the checks: one waits, the other computes. Failed checks end it.
define BESIDE
log=$$(mktemp) || exit 1; \
$(SECOND) $(PYTEST) -m second_engine >$$log 2>&1 & second=$$!; \
$(MAKE) --no-print-directory check || { kill $$second; wait $$second; rm -f $$log; exit 1; }; \
wait $$second; status=$$?; cat $$log; rm -f $$log; exit $$status
endef

.DEFAULT_GOAL := help
IMAGE = webhook-launcher:$(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

.PHONY: help venv lock check format test test-engines test-fast demo bench bench-receive bench-flood bench-journal soak crash kills search fuzz image clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: ## the virtual environment in .venv, pinned and hash-checked
	@PYTHON=$(PYTHON) dev/venv.sh

# Only the public index: hashes of wheels that lie on one machine hold on no other.
LOCK := PIP_CONFIG_FILE=/dev/null PIP_FIND_LINKS= CUSTOM_COMPILE_COMMAND="make lock" \
	$(BIN)/pip-compile --no-config --quiet --generate-hashes --strip-extras --allow-unsafe \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options

lock: venv ## resolve requirements/*.in anew into requirements/*.txt
	$(LOCK) --upgrade --output-file requirements/run.txt requirements/run.in
	$(LOCK) --upgrade --output-file requirements/keyless.txt requirements/keyless.in
	$(LOCK) --upgrade --output-file requirements/build.txt requirements/build.in
	$(LOCK) --upgrade --output-file requirements/dev.txt requirements/dev.in
	$(LOCK) --upgrade --output-file requirements/compose.txt requirements/compose.in

check: venv ## ruff, mypy strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: venv ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: venv ## every test, on a real engine, and the main job on a second one
ifeq ($(PYTEST_ARGS),)
	@$(BESIDE)
else
	@$(MAKE) --no-print-directory check
endif
	$(MACHINE) $(PYTEST) $(PYTEST_ARGS)

test-engines: venv ## the engine tests on every engine and compose there is
	$(PYTHON) dev/engines.py $(PYTEST_ARGS)

test-fast: venv ## the tests that need no engine
	$(PYTEST) -m "not engine" $(PYTEST_ARGS)

demo: venv ## the main job, live; KEEP=1 leaves it running
	$(MACHINE) $(BIN)/python dev/demo.py $(if $(KEEP),--keep)

bench: venv ## push to healthy, deliveries under load, memory: each against something; QUICK=1
	$(MACHINE) $(BIN)/python dev/bench.py $(if $(QUICK),--quick) $(if $(PUBLISH),--publish)

bench-receive: venv ## deliveries per second, against a bare view; SOAK=1 adds 100,000 for memory
	$(BIN)/python dev/bench_receive.py $(if $(SOAK),--soak)

MINUTES ?= 30
soak: venv ## pushes, kills and outages by chance, MINUTES=30 [SEED=1]: does anything leak?
	$(MACHINE) $(BIN)/python dev/soak.py --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

SEED ?= 1
crash: venv ## kill it everywhere, and what it needs; FULL=1 SEED=1 for all of it
	$(MACHINE) $(BIN)/python dev/crash.py --seed $(SEED) $(if $(FULL),--full) $(if $(PUBLISH),--document)

bench-flood: venv ## what an honest sender gets during floods; SHARE=0.1 for a tenth of each
	$(BIN)/python dev/bench_flood.py $(if $(SHARE),--share $(SHARE))

bench-journal: venv ## claims, a WAL that is held open, forgetting; SHARE=0.1 for a tenth of it
	$(BIN)/python dev/bench_journal.py $(if $(SHARE),--share $(SHARE))

EXAMPLES ?= 1000
PROPERTIES = $(shell grep -rl "^from hypothesis import" tests --include='test_*.py')
kills: venv ## two kills at many pairs of moments, around the real core and journal
	EVERY_KILL=1 $(PYTEST) --timeout=3600 tests/test_launcher.py -k TestAKill

search: venv ## properties of parsers, policies and journal on EXAMPLES=1000 random examples each
	HYPOTHESIS_PROFILE=search EXAMPLES=$(EXAMPLES) $(PYTEST) --timeout=3600 $(or $(PYTEST_ARGS),$(PROPERTIES))

SECONDS ?= 60
HARNESSES := deliveries values edge
fuzz: venv ## every parser and authenticator on what atheris thinks up, SECONDS=60 each
	mkdir -p $(addprefix .fuzz/,$(HARNESSES))
	for harness in $(HARNESSES); do \
		PYTHONPATH=dev:. $(BIN)/python dev/fuzz/$$harness.py .fuzz/$$harness -max_total_time=$(SECONDS) \
			-timeout=5 -artifact_prefix=.fuzz/ || exit 1; \
	done

image: ## the launcher's own image, on the engine you have; EXTRAS=keyless for `attested_by`
	docker build --pull --tag $(IMAGE) $(if $(EXTRAS),--build-arg EXTRAS=$(EXTRAS)) .

clean: ## remove everything made here (not the download cache)
	rm -rf .fuzz .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
