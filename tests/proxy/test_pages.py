"""Errors that want pages opened first (2025-11-25): questions of the server, judged and bounded like any other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from policylayer.proxy.limits import Limits
from tests.proxy.fakes import DENY, FakeAnswer, proper
from tests.proxy.rig import Rig, call, request

pytestmark = pytest.mark.anyio

PAGE = {"mode": "url", "url": "https://pay.example/1", "elicitationId": "e", "message": "pay"}


def wanting(rig: Rig, *pages: Any) -> None:
    """Calls fail until pages have been opened."""
    error = {"code": -32042, "message": "open first", "data": {"elicitations": list(pages)}}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "error": error}).encode()
    rig.upstream.answer = lambda exchange, message: (
        proper(exchange, message) if message.get("method") == "initialize" else FakeAnswer(body=body)
    )


async def test_an_error_that_wants_a_page_opened_is_a_question(rig: Rig) -> None:
    wanting(rig, PAGE)
    await rig.initialize(elicitation={"url": {}})
    answer = await rig.post(call())
    assert answer.json["error"]["data"]["elicitations"] == [PAGE]
    assert [context.call.method for _, context in rig.recorder.rows] == ["tools/call", "elicitation/create"]
    assert rig.recorder.rows[1][0].parent == "row-1"


@pytest.mark.parametrize(
    ("page", "capabilities"),
    [
        (PAGE, {"elicitation": {}}),
        (PAGE, {}),
        ({**PAGE, "url": "http://pay.example"}, {"elicitation": {"url": {}}}),
        ({"mode": "url"}, {"elicitation": {"url": {}}}),
    ],
)
async def test_a_page_that_may_not_be_opened_ends_the_call(rig: Rig, page: Any, capabilities: Any) -> None:
    wanting(rig, PAGE, page) if page is not PAGE else wanting(rig, page)
    await rig.initialize(**capabilities)
    answer = await rig.post(call())
    assert answer.json["result"]["isError"] is True
    assert b"pay.example" not in answer.body


async def test_too_many_pages_are_the_servers_failure() -> None:
    """Each is a row: none is judged, and neither is any where one is malformed."""
    for pages in ([PAGE] * 3, [PAGE, [1]]):
        rig = Rig(Limits(asked=2))
        wanting(rig, *pages)
        await rig.initialize(elicitation={"url": {}})
        assert (await rig.post(call())).json["error"]["code"] == 40502
        assert [context.call.method for _, context in rig.recorder.rows] == ["tools/call"]


async def test_policy_may_deny_pages(rig: Rig) -> None:
    wanting(rig, PAGE)
    rig.engine.says["elicitation/create"] = DENY
    await rig.initialize(elicitation={"url": {}})
    assert b"pay.example" not in (await rig.post(call())).body


@pytest.mark.parametrize("method", ["ping", "tools/list"])
async def test_nothing_else_may_want_pages(rig: Rig, method: str) -> None:
    wanting(rig, PAGE)
    await rig.initialize(elicitation={"url": {}})
    assert (await rig.post(request(method))).json["error"]["code"] == 40502


async def test_garbled_pages_are_the_servers_failure(rig: Rig) -> None:
    wanting(rig, "x")
    await rig.initialize(elicitation={"url": {}})
    assert (await rig.post(call())).json["error"]["code"] == 40502
