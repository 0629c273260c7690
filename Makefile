# Everything a person runs. `make quickstart` needs Python 3.11 or newer and nothing else.

BIN := .venv/bin
export PYTHON
# Nothing is compiled at installation, so that byte code has to be kept when it is made: without it each start of the studio
# compiles torch and transformers anew (22 against 8 s of CPU).
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help quickstart quickstart-short quickstart-images quickstart-images-short studio environment environment-dev test test-long test-soak test-serve test-export check reference support format bench clean

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

quickstart: environment ## Install, then the whole loop on the starter model and corpus (10 minutes on 2 cores)
	@$(BIN)/studio quickstart

quickstart-short: environment ## The same with fewer steps: shows that it works, not what it can
	@$(BIN)/studio quickstart --short

quickstart-images: environment ## Pictures: train an image model from scratch, tune it, score it (15 minutes on 2 cores)
	@$(BIN)/studio quickstart --images

quickstart-images-short: environment
	@$(BIN)/studio quickstart --images --short

studio: environment ## Install, then open the studio in the browser
	@$(BIN)/studio app --open

environment: ## Make .venv and install the studio into it
	@.ci/environment

environment-dev:
	@.ci/environment dev

test: environment-dev ## Fetch what the tests need, once, then run them offline, two at a time; ARGS="-k name" picks some
	@$(BIN)/python tests/fetch.py
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not serve and not long and not soak and not export" $(ARGS)

test-long: environment-dev ## The tests of more than 20 seconds: killed and resumed runs, several processes, whole pages
	@$(BIN)/python tests/fetch.py
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "long and not serve and not export" $(ARGS)

test-soak: environment-dev ## The same once more for every family, adapter and objective; SHARE=2/8 takes an eighth, as .ci/run does by commit
	@$(BIN)/python tests/fetch.py
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m soak $(if $(SHARE),--share $(SHARE)) $(ARGS)

test-serve: environment-dev ## Install vLLM for this machine, then test the real server; ARGS="-k name" picks some
	$(BIN)/python tests/fetch.py
	$(BIN)/studio serve --install
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m serve tests/serve tests/deploy tests/evals/chat/test_endpoint_vllm.py $(ARGS)

test-export: environment-dev ## Install what exports are read back with, then write and run them; ARGS="-k name" picks some, WITH="tensorflow litert" adds programs
	@$(BIN)/python tests/fetch.py
	$(BIN)/python -m pip install --quiet --no-compile -c constraints.txt -e '.[onnx]'
	$(BIN)/studio export --install llama
	$(BIN)/studio export --install quantize
	@for name in $(WITH); do $(BIN)/studio export --install $$name || exit 1; done
	$(BIN)/studio serve --install
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "export and not soak" tests/exports $(ARGS)

reference: environment-dev ## Write docs/reference.md anew from the code
	$(BIN)/studio reference > docs/reference.md.new && mv docs/reference.md.new docs/reference.md

check: environment-dev ## Lint, format, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

support: environment-dev ## Send a tiny base of each family down the whole road and write docs/support.md from what came of it
	STUDIO_WRITE_SUPPORT=1 HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "" tests/train/chat/test_support.py

format: environment-dev ## Put the code into the common form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: environment-dev ## Every benchmark, one table each
	@for file in benchmarks/[a-z]*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

clean: ## Remove .venv and caches; studio-workspace is yours and stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
	find . -name __pycache__ -type d -not -path './studio-workspace/*' -prune -exec rm -rf {} +
