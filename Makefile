# make run   starts the app           (PORT=9000 for a port of your own)
# make edit  starts it for work on lessons: the key L reads them anew
# make site  builds the site of documentation into site/
# make test  checks and tests everything
# make audit looks for known holes in what is pinned
# make test-deep  the same with many times as many examples; takes hours
#
# All make .venv first; only Python 3.11 or newer is needed for that.

PORT ?=
PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11 python,\
	$(shell command -v $(name) >/dev/null 2>&1 && \
	$(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))

VENV := .venv
BIN := $(VENV)/bin
# pip compiles one file after the other, which takes longer than all else of an installation; what
# is no Python of this version, as the templates that some packages bring, stays as it is.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
COMPILE := $(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true

.PHONY: help run edit site test test-deep audit clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -8

run: $(VENV)/installed
	@exec $(BIN)/python -m ui.serve --port "$(PORT)"

edit: $(VENV)/installed
	@exec $(BIN)/python -m ui.serve --edit --port "$(PORT)"

site: $(VENV)/installed-dev
	$(BIN)/mkdocs build --quiet --strict

test: $(VENV)/installed-dev
	@$(BIN)/python -m tests.browser.chromium
	$(BIN)/python -m tests.run

test-deep: $(VENV)/installed-dev
	@$(BIN)/python -m tests.browser.chromium
	$(BIN)/python -m tests.run --deep

# pip-audit asks the Python packages' own index; and lives apart: it is none of what it looks at.
audit: $(VENV)/installed
	@test -x $(VENV)/audit/bin/pip-audit || { $(BIN)/python -m venv $(VENV)/audit && \
		$(VENV)/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1; }
	$(VENV)/audit/bin/pip-audit --strict --no-deps --disable-pip -r requirements.txt
	$(VENV)/audit/bin/pip-audit --strict --no-deps --disable-pip -r deploy/requirements.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

# An installation that broke off leaves no stamp, so the next call completes it.

$(VENV)/installed: requirements.txt | $(BIN)/python
	@echo "Installing what the app needs; the first time this takes a few minutes."
	@$(INSTALL) -r requirements.txt
	@$(COMPILE)
	@touch $@

$(VENV)/installed-dev: requirements.txt requirements-dev.txt | $(BIN)/python
	@echo "Installing what the app and its tests need; the first time this takes a few minutes."
	@$(INSTALL) -r requirements-dev.txt
	@$(COMPILE)
	@touch $@ $(VENV)/installed

$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "Shapewalk needs Python 3.11 or newer, and $$(python3 --version 2>/dev/null || echo no Python) was found:" \
			"install one, or name it with PYTHON=/path/to/python." >&2; exit 1; fi
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) could not make a virtual environment: on Debian and Ubuntu," \
			"apt-get install python3-venv brings what is missing." >&2; exit 1; }
