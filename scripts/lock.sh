#!/usr/bin/env bash
# Renews requirements/*.txt from pyproject.toml: every version pinned with its hashes, for all platforms. Needs uv.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() { uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet "$@"; }
compile pyproject.toml --extra postgres --extra rego --extra opa --extra otel -o requirements/runtime.txt
printf 'hatchling\neditables\n' | compile - -c requirements/runtime.txt -o requirements/build.txt
compile pyproject.toml --all-extras --group dev -c requirements/runtime.txt -c requirements/build.txt -o requirements/dev.txt
