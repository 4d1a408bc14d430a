#!/usr/bin/env bash
# The long tests of a release: those of every run at their release sizes, and hours of load. See `scripts/soak.sh help`.
set -euo pipefail
cd "$(dirname "$0")/.."
export POLICYLAYER_SOAK=1

usage() {
  cat <<'TEXT'
usage: scripts/soak.sh [WHAT]...      without WHAT: all but `fuzz` and `hours`, which take over an hour each
  kills      1,000 kill -9 under load, up to 2 s apart; on PostgreSQL too, where it is installed
  faults     databases fail for a minute in every way, PostgreSQL is killed 50 times, and too many call
  replicas   three replicas behind HAProxy, and a cut between one and the database
  log        memory and speed of what reads a log of a million rows, and the time of each page
  reload     policies change every 50 ms for ten minutes
  slow       1,000 slow peers of each kind
  fuzz       tens of thousands of broken requests and answers, and answers cut at every place
  rego       10,000 runaway policies
  timing     whether wrong credentials can be told apart by time
  hours      load with reloads, key rotation and a flapping server: a day, or POLICYLAYER_SOAK_SECONDS
TEXT
}

run() { .venv/bin/python -m pytest -p no:randomly -q --durations 5 "$@"; }

soak() {
  case "$1" in
    kills)
      POLICYLAYER_KILLS="${POLICYLAYER_KILLS:-1000}" POLICYLAYER_KILL_AFTER="${POLICYLAYER_KILL_AFTER:-2}" \
        run tests/durability/test_kill.py tests/postgres/test_kill.py ;;
    faults)
      run tests/durability/test_faults.py tests/durability/test_overload.py tests/postgres/test_faults.py
      run tests/postgres/test_kill.py -k database ;;
    replicas) run tests/postgres/test_network.py tests/postgres/test_replicas.py ;;
    log)
      run tests/audit/test_memory.py -s
      .venv/bin/python -m benchmarks.readers
      .venv/bin/python -m benchmarks.pages ;;
    reload) POLICYLAYER_RELOAD_SECONDS="${POLICYLAYER_RELOAD_SECONDS:-600}" run tests/durability/test_reload.py ;;
    slow) POLICYLAYER_SLOW_PEERS="${POLICYLAYER_SLOW_PEERS:-1000}" run tests/attacks/test_slow_peers.py ;;
    fuzz) run tests/attacks/test_fuzz.py tests/proxy/test_cuts.py tests/serve/test_readers.py ;;
    rego) run tests/rego -k hundred ;;
    timing) run tests/durability/test_soak.py -k timing ;;
    hours) POLICYLAYER_SOAK_SECONDS="${POLICYLAYER_SOAK_SECONDS:-86400}" run tests/durability/test_soak.py -k hours -s ;;
    *) usage >&2; exit 2 ;;
  esac
}

case "${1:-}" in help | -h | --help) usage; exit ;; esac
scripts/install.sh dev
[ $# -gt 0 ] || set -- kills faults replicas log reload slow rego timing
for what in "$@"; do
  echo "--- $what"
  soak "$what"
done
