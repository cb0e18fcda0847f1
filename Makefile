# The front door. Every target installs first what the machine lacks (tools/bootstrap.sh), says what it
# does in one line a step, and keeps the details in .build/logs/. PYTHON= picks the interpreter.

PYTHON ?=
export PYTHON

BUILD_TOOLS = @tools/bootstrap.sh build
CHECK_TOOLS = @tools/bootstrap.sh check

.DEFAULT_GOAL := help
.PHONY: help run test build bench bench-peers check format lint fuzz asan tsan coverage soak clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' Makefile

run: ## build, serve the demo application, show its page (ONCE=1: then stop; BIND=host:port)
	$(BUILD_TOOLS)
	@ONCE="$(ONCE)" BIND="$(BIND)" tools/py tools/make_run.py

test: ## all tests: C, then pytest on every CPython >= 3.11 found (PYTEST='-k name' to choose)
	$(BUILD_TOOLS)
	@tools/py tools/make_test.py "$(PYTEST)"

build: ## .venv/bin/millpond, ready to use
	$(BUILD_TOOLS)
	@tools/py tools/make_build.py

bench-peers: ## install the servers to compare with, in a virtual environment of their own
	$(BUILD_TOOLS)
	@PYTHON="$$(tools/pick_python.sh)" bench/install_peers.sh

bench: ## measure against the floor and whichever peers are installed (ARGS= for bench/run.py)
	$(BUILD_TOOLS)
	@PYTHON="$$(tools/pick_python.sh)" bench/install_peers.sh --millpond-only
	@.venv-bench/bin/python bench/run.py $(ARGS)

check: ## what CI runs: format, lint, layers, both compilers, sanitizers, fuzz, every interpreter
	$(CHECK_TOOLS)
	@tools/py tools/make_check.py $(ARGS)

lint: ## the part of check that runs nothing: format, lint, types, layers, both compilers
	$(CHECK_TOOLS)
	@tools/py tools/make_check.py --only static

format: ## format C and Python files in place
	$(CHECK_TOOLS)
	@tools/py tools/make_check.py --only format

asan: ## the tests under AddressSanitizer and UndefinedBehaviorSanitizer
	$(CHECK_TOOLS)
	@tools/py tools/make_check.py --only asan

tsan: ## the C tests under ThreadSanitizer
	$(CHECK_TOOLS)
	@tools/py tools/make_check.py --only tsan

fuzz: ## fuzzes what reads strangers' bytes; FUZZ_SECONDS=3600 for an hour each
	$(CHECK_TOOLS)
	@tools/py tools/make_check.py --only fuzz

coverage: ## how much of src/http its unit tests reach, line by line and branch by branch
	$(BUILD_TOOLS)
	@tools/py tools/make_coverage.py

soak: ## a server whose calls fail at random, under AddressSanitizer; MINUTES=30, SEED=n
	$(CHECK_TOOLS)
	@tools/py tools/make_soak.py

clean: ## remove everything that these commands have made
	rm -rf .build .venv .venvs .venv-bench
