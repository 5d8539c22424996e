# `make demo` or `make test` alone is enough: what they need is installed first, into .venv, once.
# Another interpreter: make clean && make demo PYTHON=python3.12

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: demo demo-paper test test-slow test-bounds fuzz simulate faults lint bench wheel wheel-test clean

demo: $(VENV)/.installed
	$(BIN)/tickwright demo

# A day on paper: feed, broker and runner, encrypted, each killed once; its tape must give the plain replay's fingerprint.
demo-paper: $(VENV)/.installed
	rm -rf runs/demo_paper
	$(BIN)/tickwright run paper_demo --out runs/demo_replay --overwrite --no-counterfactual --quiet
	$(BIN)/tickwright paper paper_demo --chaos --out runs/demo_paper
	$(BIN)/tickwright verify runs/demo_paper
	@for run in demo_replay demo_paper; do grep '"fingerprint"' runs/$$run/manifest.json; done | uniq | wc -l | grep -qx 1 \
		&& echo "the paper session and the plain replay have one fingerprint"

test: $(VENV)/.testing
	$(BIN)/python -m pytest -q -n auto -m "not slow"

# What `test` leaves out, and every law tried ten times as often.
test-slow: $(VENV)/.testing
	$(BIN)/python -m pytest -q -n auto -m "slow or hypothesis" --hypothesis-profile=thorough

# The kernels once more with every index checked: an index beyond its array would otherwise read another table.
test-bounds: $(VENV)/.testing
	NUMBA_BOUNDSCHECK=1 $(BIN)/python -m pytest -q -n auto -m "not slow" tests/laws tests/feeds tests/strategies

# Damaged messages of every type on the wire; `make fuzz MESSAGES=10000000` before a release.
MESSAGES ?= 100000
fuzz: $(VENV)/.testing
	$(BIN)/python tests/live/fuzz_wire.py --messages $(MESSAGES)

# The live roles under drawn faults, in virtual time; `simulate.py --planted` looks for planted bugs with the same laws.
SEEDS ?= 2000
simulate: $(VENV)/.testing
	$(BIN)/python tests/simulation/simulate.py --seeds $(SEEDS)

lint: $(VENV)/.linting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

# Killed processes, failing disks, flipped bits: real processes on this machine; hours, or minutes with QUICK=1.
# What was found is added to tests/faults/RESULTS.md; an interrupted run goes on where it ended.
faults: $(VENV)/.testing
	$(BIN)/python tests/faults/run.py $(if $(QUICK),--quick) $(if $(SEED),--seed $(SEED))

bench: $(VENV)/.installed
	$(BIN)/tickwright bench

wheel: $(VENV)/.installed
	rm -rf dist
	$(BIN)/python -m pip --disable-pip-version-check wheel --quiet --no-deps --wheel-dir dist .

# The tests once more, against the wheel as a user installs it, in a folder that holds no source.
wheel-test: wheel
	rm -rf build/wheel-test
	mkdir -p build/wheel-test
	$(PYTHON) -m venv build/wheel-test/venv
	build/wheel-test/venv/bin/python -m pip --disable-pip-version-check install --quiet \
		--constraint constraints.txt "$$(ls dist/*.whl)[report,testing]"
	away=$$(mktemp -d) && trap 'rm -rf "$$away"' EXIT && cp -r tests README.md docs pyproject.toml "$$away" && \
		venv=$$PWD/build/wheel-test/venv && cd "$$away" && \
		TICKWRIGHT_DATA=$${TICKWRIGHT_DATA:-$(abspath ../shared/data)} "$$venv/bin/pytest" -q -n auto -m "not slow"

clean:
	rm -rf $(VENV) build dist runs .pytest_cache .hypothesis .ruff_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable ".[report]"
	@touch $@

$(VENV)/.testing: $(VENV)/.installed
	$(PIP) --editable ".[all]"
	@touch $@

$(VENV)/.linting: $(VENV)/.testing
	$(PIP) ruff "pyright[nodejs]"
	@touch $@
