#!/usr/bin/env bash
# Installs into .venv exactly what requirements/*.txt lock, by hash: `install.sh` (to run) or `install.sh dev` (to test).
# Uses uv where it is installed, else venv and pip; never lets uv download a Python. A second run does nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
kind=${1:-run}
say() { printf '%s\n' "$*" >&2; }

python=${PYTHON:-}
if [ -z "$python" ]; then
  for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null 2>&1 &&
      "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      python=$candidate
      break
    fi
  done
fi
if [ -z "$python" ]; then
  say "error: policylayer needs Python 3.11 or newer, and none was found (python3 is $(python3 --version 2>&1 || echo missing))"
  say "  help: install it (Debian, Ubuntu: apt-get install python3 python3-venv), or name one: PYTHON=/path/to/python make up"
  exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  say "error: policylayer needs Python 3.11 or newer; $python is $("$python" --version 2>&1)"
  say "  help: name a newer one: PYTHON=/path/to/python make up"
  exit 1
fi

locks=(requirements/runtime.txt requirements/build.txt)
[ "$kind" = dev ] && locks=(requirements/dev.txt)
wanted=$(cat "${locks[@]}" pyproject.toml | cksum | tr ' ' '-')-$("$python" -c 'import sys; print(sys.version_info[:2])' | tr -d '(), ')
mark=.venv/.installed-$kind
if [ -f "$mark" ] && [ "$(cat "$mark")" = "$wanted" ] && .venv/bin/python -c 'import policylayer' 2>/dev/null; then
  exit 0
fi

say "installing into .venv (once)"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
fail() {
  say "error: $1"
  say "  help: $2"
  say "  --- the last lines of the installer ---"
  tail -n 5 "$log" >&2
  exit 1
}

export UV_PYTHON_DOWNLOADS=never
if command -v uv >/dev/null 2>&1; then
  [ -x .venv/bin/python ] || uv venv --quiet --python "$python" .venv >"$log" 2>&1 ||
    fail "uv could not make .venv with $python" "remove .venv and run this again, or name another Python: PYTHON=..."
  install() { VIRTUAL_ENV=.venv uv pip install --quiet "$@"; }
else
  [ -x .venv/bin/pip ] || "$python" -m venv .venv >"$log" 2>&1 ||
    fail "$python could not make .venv" "install its venv module (Debian, Ubuntu: apt-get install python3-venv), remove .venv, run this again"
  install() { .venv/bin/pip install --quiet --disable-pip-version-check "$@"; }
fi
arguments=()
for lock in "${locks[@]}"; do arguments+=(-r "$lock"); done
install --require-hashes "${arguments[@]}" >"$log" 2>&1 ||
  fail "the packages could not be installed" "is the package index reachable? Behind a proxy or mirror, set what pip needs (PIP_INDEX_URL, HTTPS_PROXY) and run this again"
install --no-deps --no-build-isolation -e . >"$log" 2>&1 ||
  fail "policylayer itself could not be installed into .venv" "remove .venv and run this again"
echo "$wanted" >"$mark"
