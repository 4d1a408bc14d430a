"""docs/events.md: every type of event that the program writes is told there, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "events.md").read_text()
DOTTED = r'"((?:approval|waiver|grant|token|session|server|rejected|chain|log)\.[a-z_]+)"'
POLICY = ("policy_activated", "policy_still_active", "policy_refused")
PLAIN = (*POLICY, "freeze", "thaw", "reload", "rejected", "unauthenticated")


@pytest.mark.shows("audit.1")
def test_every_type_is_told_of() -> None:
    source = "".join(path.read_text() for path in (ROOT / "policylayer").rglob("*.py"))
    written = {*re.findall(DOTTED, source), *PLAIN} - {"server.cwd"}  # a name in policies
    rows = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall("`([^`]+)`", row)} == written
