# Everything is started from here, with nothing but make and Python 3.11 or newer. `make` alone lists what there is.

VENV := .venv
PY := $(VENV)/bin/python
# Our own packages: whatever folder says it is one.
PACKAGES = $(patsubst %/__init__.py,%,$(wildcard */__init__.py)) $(wildcard main.py run.py demo.py)

# PORT, BANK_PORT, TLS, DATABASE_URL and REDIS_URL reach the programs as they are given: `make run TLS=1 PORT=9000`.

# A platform is half a dozen processes that import the same: compiled once, not by each of them at every start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup run test check check-compose story day bench proof migrate clean
.DEFAULT_GOAL := help

help: ## what there is
	@echo "Usage: make <target> [PORT=8000] [BANK_PORT=8001] [TLS=1] [DATABASE_URL=…] [REDIS_URL=…]"
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)$$/  \1 | \2/p' Makefile | while IFS='|' read -r name what; do \
	  printf '  %-15s%s\n' $$name "$$what"; done

setup: $(VENV)/.packages ## the environment in .venv (every other target does this by itself)

run: $(VENV)/.packages ## the whole platform on this machine; Ctrl-C stops it; data stays in .motcham
	@$(PY) -m main run

story: $(VENV)/.packages ## play every scene against the running platform, a line per step
	@$(PY) -m main story

day: $(VENV)/.packages ## live a day of the city against the running platform, and compare it to the đồng (DAY="--scale 1")
	@$(PY) -m main day $(DAY)

migrate: $(VENV)/.packages ## bring the database of DATABASE_URL to the newest schema
	@$(PY) -m main migrate

clean: $(VENV)/.packages ## delete the data in .motcham, after asking
	@$(PY) -m main clean

bench: $(VENV)/.packages-dev ## measure the hot paths beside the floor
	@$(PY) -m loadtests.bench

proof: $(VENV)/.packages-dev ## prove that no đồng is lost or doubled: faults, a month, kill -9, races; at most an hour (SEED=7, PROOF="--kills 100")
	@$(PY) -m proof --report docs/proofs $(PROOF)

test: $(VENV)/.packages-dev $(VENV)/.chromium ## all tests, on a platform they start, with a real browser
	@$(PY) -m pytest

check: $(VENV)/.packages-dev ## format, lint, types, import contracts, migrations, compose
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy --strict $(PACKAGES)
	@$(VENV)/bin/lint-imports
	@$(PY) -m main check-migrations
	@$(MAKE) --no-print-directory check-compose

# Every ${NAME:?} of the compose file gets a value here, since a missing one is refused: that is checked too.
COMPOSE_NAMES = $(shell sed -n 's/[^$$]*$${\([A-Z_]*\):?}[^$$]*/\1 /gp' docker-compose.yml)

check-compose: $(VENV)/.packages-dev ## the compose file and the Dockerfile, without an engine
	@env $(addsuffix =checked,$(sort $(COMPOSE_NAMES))) $(VENV)/bin/docker-compose -f docker-compose.yml config -q
	@if env -i PATH="$$PATH" $(VENV)/bin/docker-compose --env-file /dev/null -f docker-compose.yml config -q 2>/dev/null; \
	  then echo "docker-compose.yml starts without its secrets."; exit 1; fi
	@$(VENV)/bin/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	@$(VENV)/bin/hadolint Dockerfile

# --- the environment --------------------------------------------------------------------------------------------

# uv where there is one, else pip; either way exactly what the lock names. The link to this folder and the command
# `motcham` make the sources usable from anywhere without an installation of their own.
define install
	@echo "Installing $(1) into $(VENV) (a minute with pip, seconds with uv) …"
	@if command -v uv >/dev/null 2>&1 && \
	    uv pip install -q --compile-bytecode --python $(PY) --require-hashes -r $(1); then :; else \
	  { $(PY) -m pip --version >/dev/null 2>&1 || $(PY) -m ensurepip >/dev/null; } && \
	  $(PY) -m pip install -q --disable-pip-version-check --require-hashes -r $(1); fi
endef

$(VENV)/.packages: requirements.lock | $(PY)
	$(call install,requirements.lock)
	@$(PY) -c 'import pathlib, sysconfig; \
	  pathlib.Path(sysconfig.get_path("purelib"), "motcham.pth").write_text(str(pathlib.Path.cwd()) + "\n")'
	@printf '#!/bin/sh\nexec "$$(dirname "$$0")/python" -m main "$$@"\n' > $(VENV)/bin/motcham
	@chmod +x $(VENV)/bin/motcham
	@touch $@

$(VENV)/.packages-dev: requirements-dev.lock $(VENV)/.packages
	$(call install,requirements-dev.lock)
	@touch $@

$(PY):
	@for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found="$$python"; break; fi; \
	done; \
	if [ -z "$$found" ]; then echo "Python 3.11 or newer is needed; name it with PYTHON=/path/to/python3."; exit 1; fi; \
	if ! "$$found" -c 'import venv' 2>/dev/null; then \
	  echo "This Python cannot make environments: install python3-venv (apt-get install python3-venv)."; exit 1; fi; \
	if "$$found" -c 'import ensurepip' 2>/dev/null; then "$$found" -m venv --clear $(VENV); \
	elif command -v uv >/dev/null 2>&1; then "$$found" -m venv --clear --without-pip $(VENV); \
	else echo "This Python cannot make environments: install python3-venv (apt-get install python3-venv)."; exit 1; fi

# The browser tests drive a Chromium of the system; only Debian's tools are tried, and only as root.
$(VENV)/.chromium: | $(PY)
	@for browser in $(CHROMIUM) chromium chromium-browser google-chrome \
	    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"; do \
	  if command -v "$$browser" >/dev/null 2>&1; then touch $@; exit 0; fi; \
	done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	  echo "Installing Chromium for the browser tests …"; \
	  export DEBIAN_FRONTEND=noninteractive; \
	  if apt-get update -q >/dev/null && apt-get install -yq --no-install-recommends chromium >/dev/null && \
	    command -v chromium >/dev/null; then touch $@; exit 0; fi; \
	fi; \
	echo "The browser tests need Chromium: install the package chromium, or name one with CHROMIUM=/path/to/chromium."; \
	exit 1
