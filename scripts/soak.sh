#!/usr/bin/env bash
# The long runs of a release: the same tests as in CI at their release sizes, and hours of load. See `soak.sh help`.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install.sh dev
run() { .venv/bin/python -m pytest -p no:randomly -q --durations 5 "$@"; }

usage() {
  cat <<'TEXT'
usage: scripts/soak.sh [WHAT]...      (all of them, if none is named)
  kills      1,000 kill -9 under load, up to 2 s apart
  reload     policies change every 50 ms for ten minutes
  slow       1,000 slow peers of each kind
  timing     whether wrong credentials can be told apart by time
  hours      load with reloads, key rotation and a flapping server; POLICYLAYER_SOAK_SECONDS (a day)
TEXT
}

for what in "${@:-kills reload slow timing hours}"; do
  for each in $what; do
    case "$each" in
      kills) POLICYLAYER_KILLS="${POLICYLAYER_KILLS:-1000}" POLICYLAYER_KILL_AFTER="${POLICYLAYER_KILL_AFTER:-2}" run tests/durability/test_kill.py ;;
      reload) POLICYLAYER_RELOAD_SECONDS="${POLICYLAYER_RELOAD_SECONDS:-600}" run tests/durability/test_reload.py ;;
      slow) POLICYLAYER_SLOW_PEERS="${POLICYLAYER_SLOW_PEERS:-1000}" run tests/attacks/test_slow_peers.py ;;
      timing) POLICYLAYER_SOAK=1 run tests/durability/test_soak.py -k timing ;;
      hours) POLICYLAYER_SOAK=1 POLICYLAYER_SOAK_SECONDS="${POLICYLAYER_SOAK_SECONDS:-86400}" run tests/durability/test_soak.py -k hours ;;
      help | -h | --help) usage ;;
      *) usage >&2; exit 2 ;;
    esac
  done
done
