#!/usr/bin/env bash
# What the benchmarks compare with and Python does not bring: nginx, PostgreSQL. Installed where apt-get can and we are
# root; else said, and their rows are skipped. A second run does nothing.
set -euo pipefail
missing=()
command -v nginx >/dev/null || missing+=(nginx)
command -v postgres >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || missing+=(postgresql)
command -v taskset >/dev/null || missing+=(util-linux)
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
  printf 'installing %s\n' "${missing[*]}" >&2
  # Nothing of it is to run by itself.
  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d.bench && chmod +x /usr/sbin/policy-rc.d.bench
  [ -e /usr/sbin/policy-rc.d ] || { mv /usr/sbin/policy-rc.d.bench /usr/sbin/policy-rc.d; ours=1; }
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } \
    >/dev/null 2>&1 || printf 'could not install %s: rows that need them are skipped\n' "${missing[*]}" >&2
  [ -z "${ours:-}" ] || rm -f /usr/sbin/policy-rc.d
  rm -f /usr/sbin/policy-rc.d.bench
else
  printf 'not installed: %s; rows that need them are skipped\n' "${missing[*]}" >&2
fi
