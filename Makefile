# Every target sets up what it needs in .venv; a bare Python 3.11 or newer is enough.
# ARGS passes options on:  make test ARGS="-k simplex"   make reproduce ARGS="A1 --fast"

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install -qq --no-compile -c constraints.txt
# Nearly all of the tests' time is compilation on one core each: one process per core, a file's tests together.
PYTEST := $(BIN)/pytest -n logical --dist loadfile
ARGS ?=
# What test-trainers installs as PyTorch; any build will do, the one without accelerators is the smallest.
TORCH ?= torch --extra-index-url https://download.pytorch.org/whl/cpu
# What make gpu installs to reach the accelerator: cuda12, cuda13 or tpu.
ACCELERATOR ?= cuda12
# Where this is set, every process would compile all that it imports anew: four seconds each.
unexport PYTHONDONTWRITEBYTECODE

.DELETE_ON_ERROR:
.PHONY: golden help setup reproduce test test-all test-trainers gpu notebooks notebooks-refresh lint report statements gallery bench docs lock known clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-18s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.dev-ready  ## make .venv with didsim, editable, and the test and lint tools

reproduce: $(VENV)/.run-ready  ## draw the figures into figures/ and check their verdicts
	@$(BIN)/didsim reproduce --out figures --overwrite $(ARGS)

test: $(VENV)/.dev-ready  ## run the quick tests
	@$(PYTEST) $(ARGS)

test-all: $(VENV)/.dev-ready  ## run every test, the exhaustive ones too
	@$(PYTEST) -m "(slow or not slow) and not accelerator" $(ARGS)

test-pages: $(VENV)/.dev-ready  ## run the examples of README, pages and docstrings as printed
	@$(PYTEST) -m pages $(ARGS)

test-trainers:  ## hold the newest TRL against golden vectors and diagnose
	@test -d build/trainers || $(PYTHON) -m venv build/trainers
	@build/trainers/bin/pip install -qq --upgrade --disable-pip-version-check $(TORCH) trl peft -e .
	@build/trainers/bin/python tests/trainers/against_trl.py didsim/cli/golden/golden.json
	@build/trainers/bin/python tests/trainers/against_tables.py
	@build/trainers/bin/python tests/trainers/against_models.py
	@build/trainers/bin/python tests/trainers/logged_runs.py

gpu: $(VENV)/.dev-ready  ## hold an accelerator against the processor, and measure it
	@$(PIP) install -qq -e ".[$(ACCELERATOR)]"
	@$(BIN)/pytest -m accelerator $(ARGS)
	@$(BIN)/didsim bench --gpu --out figures --overwrite

notebooks: $(VENV)/.dev-ready  ## execute all notebooks, each from a clean kernel
	@$(BIN)/pytest -n logical --nbmake --nbmake-timeout 300 --timeout 600 notebooks $(ARGS)

notebooks-refresh: $(VENV)/.dev-ready  ## execute notebooks in place and tidy what is committed of them
	@$(BIN)/python notebooks/refresh.py $(ARGS)

lint: $(VENV)/.dev-ready  ## check style, formatting and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright

report: $(VENV)/.run-ready  ## judge claims, chart the atlas; all on one page, report.html
	@$(BIN)/didsim verify --json figures/ledger.json --counterexamples figures/counterexamples.json --overwrite
	@$(BIN)/python docs/statements_page.py
	@rm -f figures/atlas/atlas.jsonl  # cells that older code solved
	@$(BIN)/didsim atlas --out figures/atlas
	@$(BIN)/didsim report --figures figures --overwrite $(ARGS)

statements: $(VENV)/.run-ready  ## renew docs/statements.md from claims and figures/ledger.json
	@$(BIN)/python docs/statements_page.py

gallery: $(VENV)/.run-ready  ## renew the pictures of docs/gallery.md by their own lines
	@$(BIN)/python docs/gallery_page.py

bench: $(VENV)/.run-ready  ## measure the speed
	@$(BIN)/didsim bench $(ARGS)

docs: $(VENV)/.docs-ready  ## build the pages into build/docs, warnings are errors
	@$(BIN)/sphinx-build -q -W --keep-going -n -j auto -c docs . build/docs $(ARGS)

known: $(VENV)/.run-ready  ## renew didsim/cli/known.json, names that commands know
	@$(BIN)/python -c "from didsim.cli import known; known.write()"

golden: $(VENV)/.run-ready  ## renew the golden vectors that ship
	@$(BIN)/didsim golden --renew --out didsim/cli/golden/golden.json --overwrite

lock: $(VENV)/.dev-ready  ## renew constraints.txt from pyproject.toml
	@$(INSTALL) --group lock
	@echo "# Pins for every supported Python, without the extras for accelerators and trl. Renewed by: make lock" > constraints.tmp
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --upgrade --no-header --no-annotate \
	    --extra certify --extra dask --extra notebook --extra parquet --group dev --group docs --group lock pyproject.toml >> constraints.tmp
	@mv constraints.tmp constraints.txt

clean:  ## remove .venv, caches and build results
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis build dist docs/api
	find didsim tests -name __pycache__ -prune -exec rm -rf {} +

# The stamps below are newer than both files exactly when .venv agrees with them.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit("didsim needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	@echo "setting up $(VENV), once: about a minute" >&2
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run-ready: pyproject.toml constraints.txt | $(BIN)/pip
	@$(INSTALL) pip
	@$(INSTALL) -e .
	@touch $@

$(VENV)/.dev-ready: $(VENV)/.run-ready
	@$(INSTALL) --group dev
	@touch $@

$(VENV)/.docs-ready: $(VENV)/.run-ready
	@$(INSTALL) --group docs
	@touch $@
