"""Pure: what the proxy itself answers. Three kinds, never mixed up, and two before them:

    policy said no, or says later   a tool result with `isError`; for other methods error 40301          HTTP 200
    could not decide or record      error -32603                                                         HTTP 503
    the server failed               error 40502                                                          HTTP 200
    refused input                   the codes of JSON-RPC and MCP (`rejection`)                          HTTP 400, 413
    no or bad credential            the same body for each                                               HTTP 401

Each body is one JSON-RPC message, so that it can also be told as an event of a stream that has begun.
Nothing here repeats what the agent sent or what went wrong inside.

Must not know why (`core.mediate`) nor how texts are written (`policy.texts`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from policylayer.core.decision import Decision, ReasonCode
from policylayer.core.immutable import immutable
from policylayer.wire.headers import JSON
from policylayer.wire.message import Message
from policylayer.wire.methods import Era
from policylayer.wire.rejection import INTERNAL_ERROR, METHOD_NOT_FOUND, Id, Rejection

DENIED: Final = 40301
UPSTREAM_FAILED: Final = 40502
DECISION: Final = "io.policylayer/decision"

_UNAUTHENTICATED: Final = b'{"error":"unauthorized","error_description":"a valid credential is required"}'


@immutable
class Reply:
    """An HTTP answer."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


ACCEPTED: Final = Reply(202, (), b"")
"""What a message gets that has no answer, and a request that its client has cancelled."""


def denial(
    message: Message,
    decision: Decision,
    decision_id: str,
    approval_id: str | None = None,
    note: str | None = None,
    *,
    text: str,
) -> Reply:
    """Policy, or a person, said no, or the answer is still pending. `text` is what the agent reads."""
    told = told_of(decision, decision_id, approval_id, note)
    if message.method == "tools/call":
        return result(message.id, refused_result(message.era, text, told))
    if decision.reason_code is ReasonCode.UNKNOWN_METHOD and message.era == "modern":
        # Clients tell a modern server that lacks a method from an older one by exactly this.
        return error(message.id, METHOD_NOT_FOUND, "Method not found", told, 404)
    return error(message.id, DENIED, text, told)


def told_of(
    decision: Decision, decision_id: str, approval_id: str | None = None, note: str | None = None
) -> dict[str, Any]:
    """What a denial says to the agent's program."""
    told: dict[str, Any] = {
        "decision_id": decision_id,
        "effect": decision.effect,
        "reason_code": decision.reason_code,
        "rule": decision.rules[0].name if decision.rules else None,
        "approval_id": approval_id,
        "retry": decision.retry,
        "retry_after": decision.retry_after,
    }
    if note is not None:
        told["note"] = note
    return told


def refused_result(era: Era, text: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """The result of a tools/call that was not made."""
    refused: dict[str, Any] = {
        "content": [{"type": "text", "text": text}],
        "isError": True,
        "_meta": {DECISION: told},
    }
    if era == "modern":
        refused["resultType"] = "complete"
    return refused


def unavailable(id: Id | None, reason_code: str, decision_id: str | None = None, retry_after: int = 1) -> Reply:
    """No decision could be had, or none could be recorded."""
    data = {"reason_code": reason_code, "decision_id": decision_id, "retry": "after", "retry_after": retry_after}
    reply = error(id, INTERNAL_ERROR, "the proxy cannot decide or record this call now", data, 503)
    return Reply(reply.status, (*reply.headers, ("Retry-After", str(retry_after))), reply.body)


def upstream_failed(id: Id | None, detail: str, decision_id: str | None = None) -> Reply:
    """The server failed. `detail` is a word of ours for how, never the server's."""
    data = {"detail": detail, "decision_id": decision_id}
    return error(id, UPSTREAM_FAILED, f"the server failed: {detail}", data)


def rejected(rejection: Rejection) -> Reply:
    """Refused input."""
    return error(rejection.id, rejection.code, rejection.message, rejection.data, rejection.status)


def unauthenticated(resource_metadata_url: str | None) -> Reply:
    """No or bad credential, told alike."""
    said = f'Bearer resource_metadata="{resource_metadata_url}"' if resource_metadata_url else "Bearer"
    return Reply(401, (JSON, ("WWW-Authenticate", said)), _UNAUTHENTICATED)


def result(id: Id | None, value: Mapping[str, Any]) -> Reply:
    """A result of the proxy's own."""
    return Reply(200, (JSON,), orjson.dumps({"jsonrpc": "2.0", "id": id, "result": value}))


def error(id: Id | None, code: int, message: str, data: Any = None, status: int = 200) -> Reply:
    """A JSON-RPC error; also what a server is told whose request is denied."""
    told: dict[str, Any] = {"code": code, "message": message}
    if data is not None:
        told["data"] = data
    return Reply(status, (JSON,), orjson.dumps({"jsonrpc": "2.0", "id": id, "error": told}))
