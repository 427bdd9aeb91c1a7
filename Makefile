# make build   the virtual environment and the compiled core
# make run     a broker on 127.0.0.1:5672, data in ./data       (ARGUMENTS="--port 5673 ...")
# make test    check, then all tests                             (TESTS=tests/unit ...)
# make check   ruff, mypy, import-linter
# make sanitize   the compiled core under AddressSanitizer, a part of test
# make bench   the numbers of README.md                          (ARGUMENTS=...)
# make lock    new pinned versions

VENV := .venv
BIN := $(VENV)/bin
STAMPS := .stamps
TESTS ?= tests
PYTHON ?= $(firstword $(foreach name,python3 python3.11 python3.12 python3.13 python3.14,\
	$(shell $(name) -c 'import sys; sys.version_info >= (3, 11) and print("$(name)")' 2>/dev/null)))

.PHONY: build run test test-zeromq sanitize check bench lock clean test-packages
.DEFAULT_GOAL := build

$(STAMPS)/requirements: requirements-dev.lock
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or name it with PYTHON=..."; exit 1; }
	@mkdir -p $(STAMPS)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "No virtual environment can be made: install Python's venv module (python3-venv)"; exit 1; }
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	@$(BIN)/python tools/build_backend.py || $(BIN)/python -m pip install --quiet --require-hashes -r requirements-compiler.lock
	@touch $@

$(STAMPS)/installed: $(STAMPS)/requirements pyproject.toml setup.py
	$(BIN)/python -m pip install --quiet --no-build-isolation --no-deps --editable .
	@touch $@

build: $(STAMPS)/installed
	@$(BIN)/python setup.py --quiet build_ext --inplace

run: build
	$(BIN)/warren serve $(ARGUMENTS)

# A part (TESTS=...) is run alone; everything is also run over the other kind of link and over a sanitized core.
test: check test-packages
	$(BIN)/python -m pytest $(TESTS) $(ARGUMENTS)
ifeq ($(TESTS),tests)
	$(MAKE) --no-print-directory test-zeromq sanitize
endif

ZEROMQ_TESTS := tests/clients/test_pika.py $(patsubst %,tests/protocol/test_%.py,ack bodies confirm consume qos tx)

test-zeromq: build
	$(BIN)/python -m pytest -q --brokers warren --link zeromq $(ZEROMQ_TESTS)

SANITIZED_TESTS := tests/fuzz $(patsubst %,tests/unit/%,amqp091 bench bus gateway gateway_core log shards topology/test_choice.py) \
	tests/simulation

sanitize: build
	WARREN_SEEDS=8 tools/sanitize.sh -q $(SANITIZED_TESTS)

test-packages:
	@tools/test_packages.sh

check: build
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: build
	$(BIN)/python -m tools.measure $(ARGUMENTS)

lock:
	PYTHON=$(BIN)/python tools/lock.sh

clean:
	rm -rf build $(STAMPS) *.egg-info
	find . -path ./$(VENV) -prune -o \( -name '*.so' -o -name __pycache__ \) -print0 | xargs -0 rm -rf
