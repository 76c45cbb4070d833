# The two commands are `make run` and `make test`; everything they need goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Most tests wait for something, two at a time; what measures has the machine for itself.
MEASURES := tests/integration/test_bench_short.py

.PHONY: run test lint bench torture matrix growth man clean

run: $(VENV)/.runtime  ## sample every program of this machine in the foreground, journal in .psstop/
	@PSSTOP_JOURNAL__PATH=$(CURDIR)/.psstop/journal.db $(BIN)/psstopd run --config config/psstop.toml

test: $(VENV)/.dev  ## linters and all tests; those that need root, systemd or a server are skipped with the reason
	$(BIN)/pytest $(or $(ARGS),--numprocesses=2 --dist=loadscope --ignore=$(MEASURES))
	$(if $(ARGS),,$(BIN)/pytest $(MEASURES))

lint: $(VENV)/.dev  ## only what reads the code
	$(BIN)/pytest tests/unit/test_linters.py

bench: $(VENV)/.dev  ## the numbers, side by side in one run (half an hour; ARGS=--short: minutes)
	$(BIN)/python -m tests.bench $(ARGS)

torture: $(VENV)/.dev  ## the long run of what breaks journal and delivery: damage, kills, silence (half an hour)
	TORTURE=$(or $(TORTURE),500) $(BIN)/pytest $(or $(ARGS),tests/unit/test_recovery.py tests/unit/test_journal_machine.py \
		tests/integration/test_delivery_end_to_end.py tests/integration/test_delivery_faults.py \
		tests/integration/test_torture.py)

$(VENV)/.runtime: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "psstop needs Python 3.11 or later")'
	@echo "installing into $(VENV) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "no virtual environment: apt install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev
	@touch $@

matrix: $(VENV)/.dev  ## fail in every way that is known, and write docs/delivery.md from what came of it
	MATRIX=write $(BIN)/pytest tests/integration/test_failure_matrix.py $(ARGS)

growth: $(VENV)/.dev  ## measure how the cost grows (8 GiB, 10,000 processes) and write it into docs/overhead.md and .svg
	$(BIN)/python -m tests.bench.growth

man: $(VENV)/.dev  ## write the manual pages and the completions below docs/ from the commands' own help
	$(BIN)/python -m tests.pages docs

clean:  ## remove what make made; the journal of `make run` too
	rm -rf $(VENV) .psstop .mypy_cache .pytest_cache .ruff_cache .hypothesis
