"""Lists are filtered per caller wherever they arrive, after a durable row."""

from __future__ import annotations

from typing import Any

import pytest

from policylayer.core.call import ServerFacts
from policylayer.proxy.limits import Limits
from tests.proxy.fakes import DENY, HOLD, TOOLS, FakeAnswer, event, result, stream
from tests.proxy.rig import Rig, modern, request

pytestmark = pytest.mark.anyio
ERAS = pytest.mark.parametrize("made", [request, modern], ids=["handshake", "modern"])


def listed(rig: Rig, value: dict[str, Any], streamed: bool = False) -> None:
    def answer(exchange: Any, message: dict[str, Any]) -> FakeAnswer:
        body = result(message, value)
        return stream(event(body), None)[0] if streamed else FakeAnswer(body=body)

    rig.upstream.answer = answer


@ERAS
@pytest.mark.parametrize("streamed", [False, True])
async def test_what_can_never_be_called_is_not_listed(rig: Rig, made: Any, streamed: bool) -> None:
    rig.engine.says |= {"danger": DENY, "gated": HOLD}
    listed(rig, {"tools": TOOLS, "nextCursor": "c", "x": 1}, streamed)
    answer = await rig.post(made("tools/list"))
    value = (answer.messages or [answer.json])[0]["result"]
    assert [tool["name"] for tool in value["tools"]] == ["safe", "gated"]
    assert (value["nextCursor"], value["x"]) == ("c", 1)
    assert value.get("cacheScope") == ("private" if made is modern else None)
    assert rig.recorder.effects == ["allow"]
    assert rig.recorder.states == ["executed"]


@ERAS
async def test_prompts_resources_and_templates_are_filtered_too(rig: Rig, made: Any) -> None:
    rig.engine.says |= {"secret": DENY, "file:///secret": DENY, "file:///secret/{x}": DENY}
    for method, key, name in (
        ("prompts/list", "prompts", "name"),
        ("resources/list", "resources", "uri"),
        ("resources/templates/list", "resourceTemplates", "uriTemplate"),
    ):
        secret = {"name": "secret", "uri": "file:///secret", "uriTemplate": "file:///secret/{x}"}[name]
        listed(rig, {key: [{name: secret}, {name: "open"}, {"no": "name"}, "x"]})
        answer = await rig.post(made(method))
        assert answer.json["result"][key] == [{name: "open"}]


async def test_a_list_is_not_asked_for_without_a_row(rig: Rig) -> None:
    rig.recorder.fails = True
    answer = await rig.post(request("tools/list"))
    assert answer.status == 503
    assert rig.upstream.sent == []


async def test_what_is_no_list_is_the_servers_failure(rig: Rig) -> None:
    for value in ({"tools": {}}, {"Tools": [], "tools": []}, {"other": 1}):
        listed(rig, value)
        answer = await rig.post(request("tools/list"))
        assert answer.json["error"]["code"] == 40502


async def test_a_list_without_end_is_the_servers_failure() -> None:
    rig = Rig(Limits(listed=250))
    listed(rig, {"tools": [{"name": f"t{n}"} for n in range(250)]})
    assert len((await rig.post(request("tools/list"))).json["result"]["tools"]) == 250
    listed(rig, {"tools": [{"name": f"t{n}"} for n in range(251)]})
    assert (await rig.post(request("tools/list"))).json["error"]["code"] == 40502


async def test_an_error_of_the_server_stays_one(rig: Rig) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}'
    rig.upstream.answer = lambda exchange, message: FakeAnswer(404, body)
    answer = await rig.post(modern("tools/list"))
    assert (answer.status, answer.body) == (404, body)


async def test_the_frozen_see_nothing(rig: Rig) -> None:
    rig.freezes.names.add("agent:alice")
    answer = await rig.post(request("tools/list"))
    assert answer.json["error"]["data"]["reason_code"] == "frozen"
    assert rig.upstream.sent == []


async def test_lists_teach_what_tools_say_of_themselves(rig: Rig) -> None:
    listed(rig, {"tools": [{"name": "safe", "annotations": {"readOnlyHint": True}}]})
    await rig.post(request("tools/list"))
    rig.upstream.answer = None
    await rig.post(request("tools/call", {"name": "safe"}))
    await rig.post(request("tools/call", {"name": "other"}))
    assert rig.engine.asked[-2].annotations == {"readOnlyHint": True}
    assert rig.engine.asked[-1].annotations is None


async def test_the_facts_of_the_server_are_part_of_the_question() -> None:
    rig = Rig(shop=ServerFacts("shop", mode="observe", cwd="/srv"))
    await rig.post(request("tools/call", {"name": "safe"}))
    assert rig.engine.asked[-1].server == ServerFacts("shop", mode="observe", cwd="/srv")
    assert rig.engine.asked[-1].ip == "127.0.0.1"
