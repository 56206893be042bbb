# Front doors. Each makes what it needs in .venv; on a fresh machine only Python >= 3.11, pip and make
# are required. `make distill QUICK=1` is a subset.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= $(if $(QUICK),runs/quick,runs/demo)

.PHONY: distill test test-nojit test-bounds test-cold parity bench lint format golden clean help

help:
	@echo "make distill          distil a sentiment teacher into a student half as deep (QUICK=1: a subset)"
	@echo "make test             the test suite"
	@echo "make test-nojit       the kernels' tests again, as plain Python (NUMBA_DISABLE_JIT=1)"
	@echo "make test-bounds      and once more with every index checked (NUMBA_BOUNDSCHECK=1)"
	@echo "make test-cold        the same bits from kernels just compiled and from the cache"
	@echo "make parity           compare with PyTorch and transformers, live"
	@echo "make bench            time it beside PyTorch and ONNX Runtime, into docs/performance.md (QUICK=1: a subset)"
	@echo "make lint             ruff and mypy"
	@echo "make format           ruff format"
	@echo "make golden           make the golden files again (needs the parity extra)"
	@echo "make clean            remove .venv and caches; runs/ stays"

# One stamp for each set of extras: pip runs again only when pyproject.toml changes.
# Packages that come as source are built apart, with what they ask for: an older pip would run their setup.py
# in this environment, beside whatever setuptools PyTorch has brought.
$(VENV)/.installed-%: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --use-pep517 -e '.$(if $(filter-out base,$*),[$*])'
	@touch $@

distill: $(VENV)/.installed-base
	$(BIN)/minidistil demo $(if $(QUICK),--quick) --out $(OUT)

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -q --ignore=tests/parity

test-nojit: $(VENV)/.installed-test
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest -q tests/kernels

# Kernels with checks are others: they have a cache of their own.
test-bounds: $(VENV)/.installed-test
	NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=$(VENV)/numba-bounds $(BIN)/python -m pytest -q tests/kernels

test-cold: $(VENV)/.installed-test
	$(BIN)/python tests/kernel_bits.py

parity: $(VENV)/.installed-parity
	$(BIN)/python -m pytest -q tests/parity

golden: $(VENV)/.installed-parity
	$(BIN)/python tests/golden/make_golden.py

bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks --write $(if $(QUICK),--quick)

lint: $(VENV)/.installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
