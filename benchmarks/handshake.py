"""Sessions of the handshake era, opened as a client opens them: `initialize`, then `notifications/initialized`.

For targets that speak that era only, and for comparing both. Must not know how calls are measured (`load.py`).
"""

from __future__ import annotations

import http.client
import json
from typing import Any

from benchmarks.targets import Target
from benchmarks.wire import HANDSHAKE

CLIENT = {"name": "bench", "version": "1"}


def open_sessions(target: Target, count: int, token: str = "") -> list[str]:
    """So many sessions, of the target's own grant or another; a target without sessions has none."""
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=60)
    try:
        opened = [_open(connection, target, token or target.token) for _ in range(count)]
    finally:
        connection.close()
    return [session for session in opened if session]


def _open(connection: http.client.HTTPConnection, target: Target, token: str) -> str:
    params = {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": CLIENT}
    session = _post(connection, target, token, {"id": 1, "method": "initialize", "params": params}, "")
    _post(connection, target, token, {"method": "notifications/initialized"}, session)
    return session


def _post(
    connection: http.client.HTTPConnection, target: Target, token: str, message: dict[str, Any], session: str
) -> str:
    headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    headers |= {"authorization": f"Bearer {token}"} if token else {}
    headers |= {"mcp-session-id": session, "mcp-protocol-version": HANDSHAKE} if session else {}
    connection.request("POST", target.path, json.dumps({"jsonrpc": "2.0", **message}), headers)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status not in (200, 202):
        raise RuntimeError(f"{target.name}: {message['method']}: {answer.status} {body[:300].decode(errors='replace')}")
    return answer.getheader("mcp-session-id") or session
