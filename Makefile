# make demo   see the library at work, on this machine alone
# make test   lint, types, layers and all tests; installs what it needs (as root)
# make lint   the first three of these, and shellcheck over what runs on remote machines
# make coverage   the same, measured: which lines no test reaches, and whether they are too many (takes half as long again)
# make docs   the documentation, in build/docs
# make transcripts   what docs/protocols.rst shows, recorded anew (as root)
# make soak   random verbs and faults from many threads, for SOAK_ARGS="--minutes 30" (as root)
# make bench   what everything costs, beside others, in build/bench, for BENCH_ARGS="--quick" (as root; takes most of an hour)
# make test-paramiko   the tests of connections, with the oldest and the newest Paramiko that is allowed (as root)
# make sshlibrary SUITES=<folder>   SSHLibrary's own acceptance suites, with SSHLibrary and with ours (as root)
# Nothing but Debian packages, .venv, .venv-bench and .venv-paramiko is left behind.

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?= -n 3 --dist worksteal
export PYTHON

.PHONY: demo test lint coverage docs transcripts soak sshlibrary test-paramiko bench clean

demo: $(VENV)/demo.stamp
	$(VENV)/bin/otto-docker demo

test: lint
	$(VENV)/bin/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/test.stamp
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	tools/check-shell-scripts

coverage: lint
	$(VENV)/bin/coverage erase
	$(VENV)/bin/coverage run -m pytest $(PYTEST_ARGS)
	$(VENV)/bin/coverage combine --quiet
	$(VENV)/bin/coverage report

docs: $(VENV)/docs.stamp
	$(VENV)/bin/sphinx-build -W --keep-going docs build/docs

transcripts: $(VENV)/test.stamp
	OTTO_WRITE_TRANSCRIPTS=1 $(VENV)/bin/python -m pytest tests/integration/test_transcripts.py

soak: $(VENV)/test.stamp
	$(VENV)/bin/python -m tests.soak $(SOAK_ARGS)

# The peers have a virtual environment of their own: some bring pytest plugins that change our tests.
bench: .venv-bench/bench.stamp
	.venv-bench/bin/python -m bench $(BENCH_ARGS)

.venv-bench/bench.stamp: setup.cfg tools/setup tools/debian-packages.txt bench/requirements.txt
	tools/setup bench .venv-bench
	touch $@

test-paramiko:
	tools/test-paramiko

sshlibrary: $(VENV)/test.stamp
	$(VENV)/bin/python tools/sshlibrary.py $(SUITES)

$(VENV)/%.stamp: setup.cfg tools/setup tools/debian-packages.txt
	tools/setup $* $(VENV)
	touch $@

clean:
	rm -rf $(VENV) .venv-bench .venv-paramiko build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
