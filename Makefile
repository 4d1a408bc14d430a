# What one does with a checkout. `make help` lists it.
.DEFAULT_GOAL := help
.PHONY: help up test check fmt bench bench-full soak lock clean
BIN := .venv/bin

help: ## list these
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

up: ## install, then run the demo: a server, the proxy, three calls, and how to connect your own client
	@scripts/install.sh
	@$(BIN)/policylayer demo $(ARGS)

test: ## install, then run all tests (what is missing on this machine is skipped, with the reason)
	@scripts/install.sh dev
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal --durations 20 $(ARGS)

check: ## formatting, lint, types, import contracts
	@scripts/install.sh dev
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

soak: ## the long tests at their release sizes, an hour or more; ARGS=help lists them
	@scripts/soak.sh $(ARGS)

fmt: ## format and fix what can be fixed
	@scripts/install.sh dev
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format --quiet .

bench: ## what a call costs beside nginx and bare relays, a decision, a commit; under 10 minutes, into docs/performance.md
	@scripts/install.sh dev
	@scripts/bench-needs.sh
	@$(BIN)/python -m benchmarks.run $(ARGS)

bench-full: ## the same at length; workloads, peers, growth, starting, replicas, a log of a million rows; checks the floors
	@scripts/install.sh dev
	@scripts/bench-needs.sh
	@$(BIN)/python -m benchmarks.full $(ARGS)
	@$(BIN)/python -m benchmarks.commits --rounds 5
	@$(BIN)/python -m benchmarks.readers
	@$(BIN)/python -m benchmarks.pages
	@$(BIN)/python -m benchmarks.replay

lock: ## renew the locked dependencies (needs uv)
	@scripts/lock.sh

clean: ## remove what was installed and cached
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .cache
