# Two commands: `make demo` trains on real digits and leaves pictures, `make test` passes the fast suite. Both set up .venv first.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin

.PHONY: demo test lint docs setup lock clean

demo: setup
	$(BIN)/vae train digits -o runs/digits --overwrite
	@echo "Now look at runs/digits/samples.png, reconstructions.png, latent.png and report.html"

test: setup
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# The site, in site/: open site/index.html; nothing is fetched.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	$(BIN)/python .ci/links.py site

setup: .venv/.ready

.venv/.ready: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or name it with make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# Re-resolve the pinned versions from pyproject.toml (needs the network).
lock: setup
	$(BIN)/python -m pip install --quiet pip-tools
	$(BIN)/pip-compile --quiet --no-header --no-annotate --no-emit-find-links --no-emit-index-url --no-emit-trusted-host --strip-extras --allow-unsafe -o requirements.lock requirements.in
	sed -i 's/^torch==\(.*\)+cpu/torch==\1/' requirements.lock

clean:
	rm -rf .venv runs site
