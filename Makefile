# One entry for people, CI and packagers. `make demo` and `make test` need Python 3.11 or newer and git, nothing else.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
# uv installs several times faster; where it cannot be had or cannot reach an index, pip does the same with the same versions
UV := $(BIN)/python -m uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt

.PHONY: demo test check lint bench clean

demo: $(VENV)/.core
	@$(BIN)/smithers-nb demo

check: lint
	$(BIN)/python -m pytest --numprocesses 3 -m "not slow and not browser" $(TESTS)

test: lint
	$(BIN)/python -m pytest --numprocesses 3 $(TESTS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(VENV)/.dev
	$(BIN)/python -m compileall -q smithers_nb
	$(BIN)/python -m tests.benchmarks $(BENCH)

clean:
	rm -rf $(VENV) artifacts dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.core: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed, $(PYTHON) is older" >&2; exit 1; }
	@echo "Setting up $(VENV) (once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) uv || echo "uv cannot be had, pip takes its place"
	@echo "Installing what smithers-nb needs"
	@$(UV) --editable . || { echo "Installing with pip instead, which takes a minute or two"; $(PIP) --editable .; }
	@$(BIN)/python -m compileall -q smithers_nb
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	@echo "Installing the test tools"
	@$(UV) --editable '.[dev]' || { echo "Installing with pip instead, which takes a minute or two"; $(PIP) --editable '.[dev]'; }
	@touch $@
