# make demo · make test · make lint · make bench. Everything lives in .venv; nothing else is touched.
PYTHON ?= python3
VENV = .venv
BIN = $(VENV)/bin
APT = $(shell grep -v '^\#' tests/real/packages.txt)

.PHONY: demo test lint bench packages clean

demo: $(VENV)/installed
	$(BIN)/ircops demo

test: packages $(VENV)/installed-test
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Beside other bots, which go into bench/.venv; needs InspIRCd. ARGS=--quick for a short run.
bench: $(VENV)/installed
	$(BIN)/python bench/chat.py $(ARGS)

clean:
	rm -rf $(VENV) bench/.venv build *.egg-info

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "ircops needs Python 3.11 or newer; say which: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv is missing: apt install python3-venv, then again"; \
		rm -rf $(VENV); exit 1; }

$(VENV)/installed: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/installed-test: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@ $(VENV)/installed

# The real servers that the tests start on loopback; installed when we are root, else named.
packages:
	@missing=$$(for package in $(APT); do dpkg -s $$package >/dev/null 2>&1 || echo $$package; done); \
	[ -z "$$missing" ] && exit 0; \
	if [ "$$(id -u)" = 0 ]; then \
		echo "installing for the tests:" $$missing; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
			apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	else \
		echo "the tests against real servers need:" $$missing; \
		echo "as root: apt-get install --no-install-recommends" $$missing; \
		[ -z "$$CI" ]; \
	fi
