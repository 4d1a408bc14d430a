"""The three kinds of answers, as agents of both eras read them."""

from __future__ import annotations

from typing import Any

import mcp_types
import orjson
import pytest

from policylayer.core.decision import Decision, Effect, ReasonCode, RuleRef
from policylayer.wire import replies
from policylayer.wire.rejection import Rejection
from policylayer.wire.replies import DECISION, Reply
from tests.wire.samples import accepted, handshake, modern, refused

RULE = RuleRef("payments", "cap", "payments.yaml", 3)
ID = "0199e0c2-7a31-7cc2-9d55-2b8a6f1f6f0e"


def decision(code: ReasonCode = ReasonCode.RULE, **more: Any) -> Decision:
    return Decision(Effect.DENY, code, Effect.DENY, "sha256:0", **{"rules": (RULE,), **more})


def told(reply: Reply) -> dict[str, Any]:
    assert dict(reply.headers)["Content-Type"] == "application/json"
    value: dict[str, Any] = orjson.loads(reply.body)
    return value


@pytest.mark.parametrize("send", [modern, handshake])
def test_a_denied_tool_call(send: Any) -> None:
    message = accepted(send("tools/call", {"name": "x"}, id="r-1"))
    reply = replies.denial(message, decision(), ID, text="Refused: x on shop.")
    assert reply.status == 200
    body = told(reply)
    result = body.pop("result")
    assert body == {"jsonrpc": "2.0", "id": "r-1"}
    assert result.pop("_meta") == {
        DECISION: {
            "decision_id": ID,
            "effect": "deny",
            "reason_code": "rule",
            "rule": "payments/cap",
            "approval_id": None,
            "retry": "never",
            "retry_after": None,
        }
    }
    if send is modern:
        assert result.pop("resultType") == "complete"
    assert result == {"isError": True, "content": [{"type": "text", "text": "Refused: x on shop."}]}
    mcp_types.CallToolResult.model_validate(orjson.loads(reply.body)["result"])


def test_pending() -> None:
    pending = Decision(
        Effect.REQUIRE_APPROVAL, ReasonCode.PENDING, Effect.DENY, "r", retry="same_call", retry_after=None
    )
    reply = replies.denial(
        accepted(modern("tools/call", {"name": "x"})), pending, ID, "ap-1", "please wait", text="Pending."
    )
    data = told(reply)["result"]["_meta"][DECISION]
    assert (data["effect"], data["reason_code"], data["retry"]) == ("require_approval", "pending", "same_call")
    assert (data["approval_id"], data["rule"], data["note"]) == ("ap-1", None, "please wait")


@pytest.mark.parametrize("send", [modern, handshake])
@pytest.mark.parametrize(("method", "params"), [("prompts/get", {"name": "p"}), ("resources/read", {"uri": "u"})])
def test_other_denied_methods(send: Any, method: str, params: dict[str, Any]) -> None:
    over = decision(ReasonCode.OVER_LIMIT, retry="after", retry_after=60)
    reply = replies.denial(accepted(send(method, params)), over, ID, text="Refused.")
    assert reply.status == 200
    error = told(reply)["error"]
    assert (error["code"], error["message"]) == (40301, "Refused.")
    assert error["data"] == replies.told_of(over, ID)
    assert (error["data"]["retry"], error["data"]["retry_after"]) == ("after", 60)


def test_unknown_methods() -> None:
    unknown = decision(ReasonCode.UNKNOWN_METHOD, rules=())
    reply = replies.denial(accepted(modern("x/y", id=5)), unknown, ID, text="Refused.")
    assert (reply.status, told(reply)["id"]) == (404, 5)
    assert told(reply)["error"]["code"] == -32601
    assert told(reply)["error"]["data"]["reason_code"] == "unknown_method"
    reply = replies.denial(accepted(handshake("x/y")), unknown, ID, text="Refused.")
    assert (reply.status, told(reply)["error"]["code"]) == (200, 40301)
    # A policy that says no is told as a policy that says no.
    reply = replies.denial(accepted(modern("prompts/get", {"name": "p"})), decision(), ID, text="Refused.")
    assert reply.status == 200


def test_unavailable() -> None:
    reply = replies.unavailable(7, ReasonCode.AUDIT_UNAVAILABLE, ID, 5)
    assert reply.status == 503
    assert dict(reply.headers)["Retry-After"] == "5"
    error = told(reply)["error"]
    assert error["code"] == -32603
    assert error["data"] == {"reason_code": "audit_unavailable", "decision_id": ID, "retry": "after", "retry_after": 5}


def test_the_server_failed() -> None:
    reply = replies.upstream_failed("a", "timed out", ID)
    assert reply.status == 200
    assert told(reply) == {
        "jsonrpc": "2.0",
        "id": "a",
        "error": {
            "code": 40502,
            "message": "the server failed: timed out",
            "data": {"detail": "timed out", "decision_id": ID},
        },
    }


def test_refused_input() -> None:
    reply = replies.rejected(refused(modern("tools/call", {"name": "x\x00"}, id='"><\u2028')))
    assert reply.status == 400
    assert told(reply)["id"] == '"><\u2028'
    assert told(reply)["error"] == {"code": -32602, "message": "name is missing or not in its form"}
    reply = replies.rejected(Rejection(400, -32022, "protocol_version", "no", None, {"supported": ["a"]}))
    assert told(reply)["error"]["data"] == {"supported": ["a"]}
    assert orjson.loads(reply.body)["id"] is None


def test_without_a_credential() -> None:
    metadata = "https://proxy.example.com/.well-known/oauth-protected-resource/mcp/shop"
    reply = replies.unauthenticated(metadata)
    other = replies.unauthenticated(None)
    assert reply.status == other.status == 401
    assert reply.body == other.body
    challenge = f'Bearer resource_metadata="{metadata}"'
    assert dict(reply.headers)["WWW-Authenticate"] == challenge
    assert dict(other.headers)["WWW-Authenticate"] == "Bearer"
