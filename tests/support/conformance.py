"""Runs the MCP conformance suite against a URL and returns its checks one by one, so that two runs can be compared.

`python -m tests.support.conformance URL REVISION` prints them. A check is named by scenario, id, and its number among
those of the same id, since the suite uses ids more than once.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tests.support import node

SUITE = ("@modelcontextprotocol/conformance", "dist/index.js")
REVISIONS = ("2025-11-25", "2026-07-28")
PASSING = frozenset({"SUCCESS", "INFO", "SKIPPED"})

_STAMP = re.compile(r"-20\d\d-\d\d-\d\dT[0-9-]*Z?$")
"""The time of the run, which the suite appends to a scenario's name."""

Checks = Mapping[str, str]
"""The status of each check by its name."""


def run(url: str, revision: str, scenario: str | None = None, timeout: float = 300.0) -> dict[str, str]:
    """All checks that `revision` requires of a server, or those of one scenario."""
    what = ["--scenario", scenario, "--spec-version", revision] if scenario else ["--requirements", revision]
    with tempfile.TemporaryDirectory() as folder:
        command = [*node.entry(*SUITE), "server", "--url", url, *what, "--output-dir", folder]
        done = subprocess.run(
            command, env=node.environment(), capture_output=True, text=True, timeout=timeout, check=False
        )
        found = _read(Path(folder))
    if not found:
        raise AssertionError(f"the suite gave no checks:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return found


def _read(folder: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("checks.json")):
        scenario = _STAMP.sub("", path.parent.name.removeprefix("server-"))
        seen: Counter[str] = Counter()
        for check in json.loads(path.read_text()):
            seen[check["id"]] += 1
            number = "" if seen[check["id"]] == 1 else f"#{seen[check['id']]}"
            found[f"{scenario}/{check['id']}{number}"] = check["status"]
    return found


def passed(checks: Checks) -> int:
    """How many succeeded."""
    return sum(status == "SUCCESS" for status in checks.values())


def failed(checks: Checks) -> set[str]:
    """Which did not."""
    return {name for name, status in checks.items() if status not in PASSING}


def differences(direct: Checks, proxied: Checks) -> dict[str, tuple[str | None, str | None]]:
    """Each check that came out otherwise, with both results."""
    names = sorted({*direct, *proxied})
    return {name: (direct.get(name), proxied.get(name)) for name in names if direct.get(name) != proxied.get(name)}


if __name__ == "__main__":
    for check, status in sorted(run(sys.argv[1], sys.argv[2]).items()):
        print(f"{status:8} {check}")
