"""Tools as last listed, asked for once where a modern call names one that is not known; repeated arguments."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from policylayer.core.errors import NotSent
from policylayer.proxy.limits import Limits
from policylayer.proxy.tools_seen import ANYTHING, LARGEST_ANNOTATIONS, LARGEST_SCHEMA, LARGEST_SERVER, ToolsSeen
from tests.proxy.fakes import FakeAnswer, Scripted, event, result, stream
from tests.proxy.rig import Rig, modern_call

pytestmark = pytest.mark.anyio

SCHEMA = {"type": "object", "properties": {"tenant": {"type": "string", "x-mcp-header": "Tenant"}}}
MIRRORED = {"name": "mirrored", "inputSchema": SCHEMA}
PLAIN = {"name": "plain", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}}


def lists(*pages: list[dict[str, Any]], streamed: bool = False) -> Any:
    def answer(exchange: Any, message: dict[str, Any]) -> FakeAnswer:
        if message["method"] != "tools/list":
            return FakeAnswer(body=result(message))
        number = int(message["params"].get("cursor", 0))
        value: dict[str, Any] = {"tools": pages[number]}
        if number + 1 < len(pages):
            value["nextCursor"] = str(number + 1)
        body = result(message, value)
        return stream(b": hi\n\n", event(body), None)[0] if streamed else FakeAnswer(body=body)

    return answer


@pytest.mark.parametrize("streamed", [False, True])
async def test_all_pages_are_read_once_for_all_who_wait(streamed: bool) -> None:
    tools = ToolsSeen(lambda: 0.0, Limits())
    server = Scripted(answer=lists([PLAIN], [MIRRORED], streamed=streamed))
    found = await asyncio.gather(*(tools.known(server, "o", name) for name in ("plain", "mirrored", "none")))
    assert [tool is not None for tool in found] == [True, True, False]
    assert len(server.sent) == 2
    assert tools.annotations("shop", "plain") == {"readOnlyHint": True}
    assert tools.annotations("shop", "none") is None
    assert not tools.unsure("shop")


async def test_the_hints_of_all_tools_by_their_names() -> None:
    tools = ToolsSeen(lambda: 0.0, Limits())
    assert dict(tools.hints("shop")) == {}
    tools.learn("shop", {"tools": [PLAIN, MIRRORED]})
    hints = tools.hints("shop")
    assert dict(hints) == {"plain": {"readOnlyHint": True}, "mirrored": {}}
    assert (len(hints), hints.get("none")) == (2, None)


@pytest.mark.shows("proxy.5")
def test_what_a_server_says_of_its_tools_is_kept_up_to_a_size() -> None:
    """RES: of one tool, and of all; what is over says nothing, so that no hint of it is believed."""
    tools = ToolsSeen(lambda: 0.0, Limits())
    large = {"title": "x" * LARGEST_ANNOTATIONS, "readOnlyHint": True}
    properties = {**SCHEMA["properties"], "more": {"description": "x" * LARGEST_SCHEMA}}  # type: ignore[dict-item]
    said = {"name": "large", "annotations": large, "inputSchema": {**SCHEMA, "properties": properties}}
    tools.learn("shop", {"tools": [said, {**PLAIN, "name": "x" * 1_000}, {**PLAIN, "name": ""}]})
    found = tools.find("shop", "large")
    assert found is not None
    assert (dict(found.annotations), found.schema) == ({}, {})
    assert len(tools.hints("shop")) == 1
    output = {"type": "object", "description": "x" * (LARGEST_SCHEMA - 100)}
    many = [{**PLAIN, "name": f"t{number}", "outputSchema": output} for number in range(400)]
    for _ in range(2):
        tools.learn("shop", {"tools": many})
        kept = [tools.find("shop", f"t{number}") for number in range(400)]
        assert sum(len(tool.output) for tool in kept if tool is not None) <= LARGEST_SERVER + 400 * len(ANYTHING)
        assert kept[0] is not None
        assert kept[0].annotations == {"readOnlyHint": True}
        assert kept[-1] is not None
        assert (kept[-1].annotations, kept[-1].output) == ({}, ANYTHING)
    tools.learn("shop", {"tools": [{**PLAIN, "name": f"t{number}"} for number in range(400)]})
    assert tools.annotations("shop", "t399") == {"readOnlyHint": True}, "what shrinks makes room"


async def test_an_unknown_tool_is_asked_for_again_after_a_while_or_a_change() -> None:
    now = [0.0]
    tools = ToolsSeen(lambda: now[0], Limits(list_again=30))
    server = Scripted(answer=lists([PLAIN]))
    for _ in range(3):
        assert await tools.known(server, "o", "new") is None
    assert len(server.sent) == 1
    server.answer = lists([PLAIN, {"name": "new"}])
    tools.changed("shop")
    assert await tools.known(server, "o", "new") is not None
    now[0] = 31
    assert await tools.known(server, "o", "newer") is None
    assert len(server.sent) == 3


@pytest.mark.parametrize(
    "answer",
    [
        NotSent("x"),
        FakeAnswer(500, b"oops"),
        FakeAnswer(body=b'{"jsonrpc":"2.0","id":"policylayer","error":{"code":-32601,"message":"no"}}'),
        FakeAnswer(body=b'{"jsonrpc":"2.0","id":"other","result":{"tools":[]}}'),
        stream(None)[0],
        stream(b"data: " + b"x" * 2000, b"x" * 2000 + b"\n\n", None)[0],
    ],
)
async def test_a_server_that_does_not_say_leaves_us_unsure(answer: Any) -> None:
    tools = ToolsSeen(lambda: 0.0, Limits(event=1000))
    server = Scripted(answer=lambda exchange, message: answer)
    assert await tools.known(server, "o", "plain") is None
    assert tools.unsure("shop")


async def test_whoever_stops_asking_leaves_us_unsure() -> None:
    tools = ToolsSeen(lambda: 0.0, Limits())
    silent, _ = stream()
    asking = asyncio.ensure_future(tools.known(Scripted(answer=lambda exchange, message: silent), "o", "plain"))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert tools.unsure("shop")


async def test_an_error_of_ours_leaves_us_unsure() -> None:
    tools = ToolsSeen(lambda: 0.0, Limits())
    with pytest.raises(LookupError):
        await tools.known(Scripted(answer=lambda exchange, message: LookupError("odd")), "o", "plain")
    assert tools.unsure("shop")


async def test_an_endless_list_is_given_up() -> None:
    tools = ToolsSeen(lambda: 0.0, Limits(tool_pages=5, tools=3))
    pages = [[{"name": f"t{n}"}] for n in range(10)]
    server = Scripted(answer=lists(*pages))
    await tools.known(server, "o", "t9")
    assert len(server.sent) == 5
    assert [tools.find("shop", f"t{n}") is not None for n in range(5)] == [True, True, True, False, False]


# --- on the wire ------------------------------------------------------------------------------------------------------


async def test_headers_that_repeat_arguments_are_checked_and_written_again(rig: Rig) -> None:
    rig.upstream.answer = lists([MIRRORED, PLAIN])
    good = await rig.post(modern_call("mirrored", {"tenant": "a"}), Mcp_Param_Tenant="a")
    assert good.status == 200
    assert ("Mcp-Param-Tenant", "a") in rig.upstream.sent[-1].headers
    for headers in ({"Mcp_Param_Tenant": "b"}, {}):
        bad = await rig.post(modern_call("mirrored", {"tenant": "a"}), **headers)
        assert (bad.status, bad.json["error"]["code"]) == (400, -32020)
    assert (await rig.post(modern_call("mirrored"), Mcp_Param_Tenant="a")).status == 400
    assert len(rig.upstream.bodies()) == 1
    assert [json.loads(each.body)["method"] for each in rig.upstream.sent].count("tools/list") == 1


async def test_headers_of_other_tools_are_dropped(rig: Rig) -> None:
    rig.upstream.answer = lists([MIRRORED, PLAIN])
    answer = await rig.post(modern_call("plain"), Mcp_Param_Tenant="a")
    assert answer.status == 200
    assert not [name for name, _ in rig.upstream.sent[-1].headers if name.lower().startswith("mcp-param")]


async def test_what_cannot_be_checked_is_refused(rig: Rig) -> None:
    rig.upstream.answer = lambda exchange, message: NotSent("x")
    answer = await rig.post(modern_call("mirrored", {"tenant": "a"}), Mcp_Param_Tenant="a")
    assert (answer.status, answer.json["error"]["code"]) == (400, -32020)
    assert (await rig.post(modern_call("mirrored", {"tenant": "a"}))).json["error"]["code"] == 40502


async def test_broken_annotations_let_no_such_header_through(rig: Rig) -> None:
    broken = {"type": "object", "properties": {"tenant": {"type": "object", "x-mcp-header": "Tenant"}}}
    rig.upstream.answer = lists([{"name": "broken", "inputSchema": broken}])
    answer = await rig.post(modern_call("broken", {"tenant": {}}), Mcp_Param_Tenant="a")
    assert (answer.status, answer.json["error"]["code"]) == (400, -32020)


async def test_the_frozen_cause_no_listing(rig: Rig) -> None:
    rig.freezes.names.add("shop")
    await rig.post(modern_call("plain"))
    assert rig.upstream.sent == []
