# `make demo` and `make test` are the two commands; each sets up all it needs in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Changes of these three files renew the environment; nothing else does.
INSTALLED := $(VENV)/.installed
# The same with torch, which is large, and the readers beside which ours is measured; the demo needs neither.
TRAIN := $(VENV)/.installed-train
PYTEST_WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo test drill experiment bench docs lint clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "oceanrecon needs Python 3.11 or newer, and $(PYTHON) is older: make PYTHON=python3.11 ..." >&2; exit 1; }
	@echo "Making the environment in $(VENV); this takes a minute or two"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,docs]'
	@touch $@

$(TRAIN): $(INSTALLED)
	@echo "Adding torch. PyPI's has CUDA in it, gigabytes; for the one without:"
	@echo "  PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench,cloud,cluster,download,servers,train,virtual]'
	@touch $@

demo: $(INSTALLED) ## synthesise a small archive, export it and its profiles on a local cluster, verify and draw them
	rm -rf demo
	$(BIN)/oceanrecon synthesize configs/archive-small.yaml --output demo/archive
	$(BIN)/oceanrecon export configs/export-demo.yaml
	$(BIN)/oceanrecon quicklook demo/export
	$(BIN)/oceanrecon profiles enrich configs/profiles.yaml
	$(BIN)/oceanrecon profiles grid configs/profiles.yaml
	$(BIN)/oceanrecon profiles inspect demo/profiles
	$(BIN)/oceanrecon profiles package configs/profiles.yaml
	$(BIN)/oceanrecon patches grid configs/patches.yaml
	$(BIN)/oceanrecon patches index configs/patches.yaml
	$(BIN)/oceanrecon patches stats configs/patches.yaml
	$(BIN)/oceanrecon patches write configs/patches.yaml
	$(BIN)/oceanrecon verify demo/export
	$(BIN)/oceanrecon verify demo/profiles
	$(BIN)/oceanrecon verify demo/package
	$(BIN)/oceanrecon verify demo/patches
	@printf '\nDone. Look at:\n'
	@printf '  %-33s %s\n' \
	  demo/export/quicklook/index.html "the fields: pictures and numbers, in any browser" \
	  demo/profiles/inspect/index.html "the profiles: pictures and numbers, in any browser" \
	  demo/export/manifest.yaml "what was written, from what, with checksums" \
	  demo/export/dense.zarr "xarray.open_zarr('demo/export/dense.zarr')" \
	  demo/export/argo "oceanrecon.open_observations('demo/export')" \
	  demo/patches/stats/index.html "the patches: split, support and samples, in any browser" \
	  demo/patches/weekly.csv "which patch has what at which date, and what it is for" \
	  demo/package/README.md "the card of a folder that is ready for a dataset hub"

test: $(TRAIN) ## everything CI runs: lint, types, import rules, docs, tests
	$(MAKE) --jobs=2 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) lint docs
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS)

lint: $(TRAIN) ## ruff, mypy --strict, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(TRAIN) ## build the documentation into docs/_build/html, warnings are errors
	$(BIN)/sphinx-build --fresh-env --fail-on-warning --keep-going --quiet -b html docs docs/_build/html

drill: $(TRAIN) ## the fault drills in full: kill, fill, freeze and corrupt, then resume and compare; more than an hour
	$(BIN)/python -m pytest -m drill tests/drills

RUNS := climatology idw oi profile unet diffusion

experiment: $(TRAIN) ## train on the synthetic Gulf Stream, score it on floats it never saw and on the truth; more than an hour
	rm -rf experiment
	$(BIN)/oceanrecon synthesize configs/experiment/archive.yaml --output experiment/archive
	$(BIN)/oceanrecon export configs/experiment/export.yaml
	$(BIN)/oceanrecon profiles enrich configs/experiment/profiles.yaml
	$(BIN)/oceanrecon profiles grid configs/experiment/profiles.yaml
	$(BIN)/oceanrecon patches grid configs/experiment/patches.yaml
	$(BIN)/oceanrecon patches index configs/experiment/patches.yaml
	$(BIN)/oceanrecon statistics configs/experiment/statistics.yaml
	for run in $(RUNS); do $(BIN)/oceanrecon train configs/train/$$run.yaml || exit 1; done
	$(BIN)/oceanrecon evaluate experiment/runs/diffusion \
	  $(foreach run,$(filter-out diffusion,$(RUNS)),experiment/runs/$(run)) --split test --members 32
	$(BIN)/oceanrecon diagnose experiment/runs/diffusion
	$(BIN)/oceanrecon reconstruct experiment/runs/diffusion --export experiment/export --date 2013-07-17 \
	  --members 8 --output experiment/maps
	$(BIN)/python -m benchmarks.experiment

bench: $(TRAIN) ## measure export, profiles and patches at full size, beside others; keeps JSON
	$(BIN)/python -m benchmarks.run

clean: ## remove everything generated but .venv
	rm -rf demo experiment docs/_build build dist *.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
