# `make` alone shows what there is. Variables: see the help.
PYTHON ?=
QCHAT_EXTRA ?= auto
ARGS ?=
VERBOSE ?=
VERSION ?=
SOAK_VERSIONS ?= 0.29.0 0.30.0 0.31.0

BIN := .venv/bin
QUESTIONS := examples/questions.jsonl
ANSWERS := examples/questions.results.jsonl

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all test-vllm soak lint format messages bench lock docs dist clean

help: ## show this list
	@echo "make demo      the bundled model answers $(QUESTIONS), on this machine"
	@echo "make test      the tests that need no other program, in random order (11 min)"
	@echo "make test-all  all tests, those that run nginx, Prometheus, a browser or npm too (20 min)"
	@echo "make test-vllm VERSION=0.30.0   the tests that run vLLM, with that version of it"
	@echo "make soak      the long forms of tests: 200 kills, 10,000 rows, 50 servers, nodes of a Ray"
	@echo "               cluster (30 min), and"
	@echo "               test-vllm with each of SOAK_VERSIONS ($(SOAK_VERSIONS); 10 min each)"
	@echo "make setup     make or mend .venv     (the others do it by themselves)"
	@echo "make lint      ruff and mypy"
	@echo "make format    let ruff lay out the code"
	@echo "make messages  bring the Chinese catalogue up to date, and list what is to be translated"
	@echo "make bench     measure throughput"
	@echo "make lock      resolve the pinned lists in requirements/ anew"
	@echo "make docs      build the documentation site in build/site, and check its links"
	@echo "make dist      build sdist and wheel in dist/, and check their metadata"
	@echo "make clean     remove .venv, caches and the demo's answers"
	@echo
	@echo "QCHAT_EXTRA=gpu|cpu|none  which vLLM to install (by default: what this machine has)"
	@echo "PYTHON=/path/to/python    which Python, 3.11 or newer"
	@echo "VERBOSE=1                 show what pip says"
	@echo "ARGS='-k journal -x'      options for pytest or the benchmark"
	@echo "QCHAT_REQUIRE_TOOLS=1     a test whose tool is missing fails instead of being skipped"

setup: ## quick when there is nothing to do
	@python=$$(requirements/find-python "$(PYTHON)") && \
	exec "$$python" requirements/install.py --extra "$(QCHAT_EXTRA)" $(if $(VERBOSE),--verbose)

demo: setup
	@code=0; $(BIN)/qchat batch $(QUESTIONS) --model demo --restart || code=$$?; \
	if [ $$code -le 1 ]; then $(BIN)/python examples/show_answers.py $(ANSWERS) || exit; \
	printf '%s\n' "" "Next:" "  . $(BIN)/activate          # puts qchat on the PATH" \
		"  qchat serve demo --detach     # the same model as a server" \
		"  qchat tui                     # a chat with it"; fi; \
	exit $$code

# ARGS comes last: another -m in it replaces the one here.
# Three workers on two cores: most tests wait for a process, a timer or a server. Files in random
# order, not the longest first: those of the real engine have few tests, and would all come last.
test: setup
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not slow and not needs_tool" $(ARGS)

test-all: setup
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

# The environment is made once, in build/; the result goes into the table of docs/vllm-versions.md.
test-vllm: setup
	@$(BIN)/python requirements/vllm_environment.py $(if $(VERBOSE),--verbose) "$(VERSION)"
	@build/vllm-$(VERSION)/bin/python -m tests.vllm_versions.run $(ARGS)

soak: setup
	@$(BIN)/python -m pytest tests/soak/soak_batch.py tests/soak/soak_ray.py tests/soak/soak_serve.py tests/soak/soak_systemd.py tests/soak/soak_batches.py $(ARGS)
	@for version in $(SOAK_VERSIONS); do $(MAKE) test-vllm VERSION=$$version ARGS= || exit; done

lint: setup
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@# qchat.batch is the folder batch/: through these links mypy sees the house as it is imported.
	@rm -rf build/types && mkdir -p build/types/qchat
	@ln -s $(CURDIR)/qchat/* $(CURDIR)/batch $(CURDIR)/serve build/types/qchat/
	@cd build/types && $(CURDIR)/$(BIN)/mypy --config-file ../../pyproject.toml -p qchat
	@MYPYPATH=requirements $(BIN)/mypy requirements/lock.py examples/show_answers.py

format: setup
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

messages: setup
	@$(BIN)/python -m tests.translations

bench: setup
	@$(BIN)/python -m tests.bench $(ARGS)

lock:
	@python=$$(requirements/find-python "$(PYTHON)") && exec "$$python" requirements/lock.py

docs: ## in a venv of its own, as for dist
	@python=$$(requirements/find-python "$(PYTHON)") && \
	{ [ -x build/docs-venv/bin/python ] || "$$python" -m venv build/docs-venv; }
	@build/docs-venv/bin/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	@NO_MKDOCS_2_WARNING=1 build/docs-venv/bin/python -m mkdocs build --strict --quiet
	@echo "built: build/site/index.html"

dist: ## the tools stand in a venv of their own: the project does not need them
	@rm -rf dist build/dist-venv
	@python=$$(requirements/find-python "$(PYTHON)") && "$$python" -m venv build/dist-venv
	@build/dist-venv/bin/python -m pip install --quiet --disable-pip-version-check build twine
	@build/dist-venv/bin/python -m build
	@build/dist-venv/bin/twine check --strict dist/*

clean:
	rm -rf .venv build dist docs/reference *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f examples/questions.results.* examples/questions.*.results.*
	find qchat batch serve tests examples requirements docs -name __pycache__ -type d -prune -exec rm -rf {} +
