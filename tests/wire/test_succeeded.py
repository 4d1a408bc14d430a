"""When a request has come to a good end, which is when it earns."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from policylayer.wire.server_messages import ServerMessage, decode

GOOD = {"content": []}


def answer(**members: Any) -> ServerMessage:
    found = decode(orjson.dumps({"jsonrpc": "2.0", "id": 1, **members}))
    assert isinstance(found, ServerMessage)
    return found


@pytest.mark.parametrize(
    ("method", "result", "good"),
    [
        ("tools/call", GOOD, True),
        ("tools/call", {**GOOD, "resultType": "complete", "isError": False}, True),
        ("tools/call", {**GOOD, "isError": True}, False),
        ("tools/call", {"resultType": "input_required", "requestState": "x"}, False),
        ("tools/call", {"resultType": "task", "taskId": "t"}, False),
        ("tools/call", {**GOOD, "resultType": 5}, False),
        ("tools/call", {"task": {"taskId": "t", "status": "working"}}, False),
        ("tasks/result", {**GOOD, "_meta": {"io.modelcontextprotocol/related-task": {"taskId": "t"}}}, True),
        ("tasks/result", {**GOOD, "isError": True}, False),
        ("tasks/get", {"taskId": "t", "status": "completed"}, False),
        ("tasks/get", {"taskId": "t", "status": "completed", "result": GOOD}, True),
        ("tasks/get", {"taskId": "t", "status": "completed", "result": {"isError": True}}, False),
        ("tasks/get", {"taskId": "t", "status": "working"}, False),
        ("tasks/cancel", {"taskId": "t", "status": "completed"}, False),
        ("tasks/update", {}, False),
        ("resources/read", {"contents": []}, True),
        ("prompts/get", {"messages": []}, True),
    ],
)
def test_a_result(method: str, result: dict[str, Any], good: bool) -> None:
    assert answer(result=result).succeeded(method) is good


def test_an_error_never_is() -> None:
    assert not answer(error={"code": -32603, "message": "no"}).succeeded("tools/call")
