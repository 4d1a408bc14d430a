"""Proxies on one PostgreSQL, and the server behind them: what all tests of this folder share."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from tests.support.background import Background
from tests.support.recording import Recording
from tests.support.service import Preloaded, Proxy

KEY: Final = bytes(range(7, 39)).hex()
POLICY: Final = """
policy: work
applies_to: {principals: "*", servers: "*"}
rules:
  - {id: free, tools: [safe, echo_args], effect: allow}
  - {id: gated, tools: [gated], effect: require_approval, approval: {approvers: [group:approvers]}}
  - {id: never, tools: [danger], effect: deny, reason: It is dangerous.}
"""
TEST: Final = """
tests:
  - name: safe passes
    principal: agent:a
    call: {server: rec, tool: safe, arguments: {}}
    expect: {effect: allow}
"""
PEOPLE: Final = "groups: {approvers: [user:approver]}\n"


def replica(
    folder: Path,
    database: str,
    upstream: str,
    preloaded: Preloaded | None = None,
    policy: str = POLICY,
    **more: Any,
) -> Proxy:
    """A proxy over the shared database, not started yet. All have the same key and the same policies."""
    folder.mkdir(parents=True, exist_ok=True)
    key = folder / "shared.key"
    key.write_text(KEY)
    key.chmod(0o600)
    more.setdefault("approvals", {"hold": "20s", "expires": "1h"})
    made = Proxy(
        folder,
        {"rec": {"url": upstream}},
        {"work.yaml": policy, "work_test.yaml": TEST, "principals.yaml": PEOPLE},
        database=database,
        keys={"file": "shared.key"},
        **more,
    )
    made.preloaded = preloaded
    return made


def recording(loop: Background, **more: Any) -> Recording:
    """A started recording server on the background loop."""
    made = Recording(**more)
    loop.run(made.__aenter__())
    return made
