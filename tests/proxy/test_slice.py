"""The whole service on loopback, both eras: decided, recorded, forwarded, held, filtered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from policylayer.identity import grants
from tests.proxy.rig import call, modern, modern_call, request
from tests.proxy.slice import World, world

pytestmark = pytest.mark.anyio
ERAS = pytest.mark.parametrize("era", ["handshake", "modern"])


@pytest.fixture
async def whole(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


async def begin(whole: World, era: str) -> Any:
    if era == "modern":
        return modern_call
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    status, answer = await whole.ask(request("initialize", params))
    assert (status, answer["result"]["protocolVersion"]) == (200, "2025-11-25")
    return call


@ERAS
async def test_allowed_denied_and_listed(whole: World, era: str) -> None:
    made = await begin(whole, era)
    status, answer = await whole.ask(made("safe", {"amount": 1}))
    assert (status, answer["result"]["content"][0]["text"]) == (200, "safe done")
    status, answer = await whole.ask(made("danger"))
    assert (status, answer["result"]["isError"]) == (200, True)
    text = answer["result"]["content"][0]["text"]
    assert text.startswith("Refused: danger on shop.\nRule shop/danger: Nobody does that.\nInstead: Use safe.")
    status, answer = await whole.ask((modern if era == "modern" else request)("tools/list"))
    assert [tool["name"] for tool in answer["result"]["tools"]] == ["safe", "gated", "echo_args"]
    assert whole.recording.counts == {"safe": 1}
    rows = await whole.settled(5)
    assert [(kind, effect or state) for kind, effect, state, _, _ in rows] == [
        ("decision", "allow"),
        ("outcome", "executed"),
        ("decision", "deny"),
        ("decision", "allow"),
        ("outcome", "executed"),
    ]
    assert rows[1][3] == rows[0][4]


@ERAS
@pytest.mark.shows("proxy.8")
@pytest.mark.shows("audit.1")
async def test_similar_calls_pass_and_the_log_says_by_whose_word(whole: World, era: str) -> None:
    made = await begin(whole, era)
    asked = asyncio.get_running_loop().create_task(whole.ask(made("gated", {"amount": 9, "to": "acme"})))
    await _held(whole, asked)
    given = await whole.approve(similar={"for": "1h", "uses": 1, "same": ["to"]})
    (waiver,) = given["waivers"]
    assert (waiver["rule"], waiver["same"], waiver["exact"]) == ("shop/gated", ["to"], False)
    await asked
    _, answer = await whole.ask(made("gated", {"amount": 12, "to": "acme"}, 2))
    assert answer["result"]["content"][0]["text"] == "gated done"
    *_, row, _ = await whole.settled(5)
    ((detail, approval),) = [found for *found, id in whole.rows("detail, approval_id, id") if id == row[4]]
    told = {"rule": "shop/gated", "waiver_id": waiver["id"], "approval_id": given["id"]}
    assert json.loads(detail) == {"approved": ["shop/gated"], "waivers": [told]}
    assert approval is None, "no approval was used up"
    used_up = asyncio.get_running_loop().create_task(whole.ask(made("gated", {"amount": 13, "to": "acme"}, 3)))
    await _held(whole, used_up)
    await whole.approve("deny")
    await used_up
    assert whole.recording.counts == {"gated": 2}


@ERAS
async def test_held_and_approved(whole: World, era: str) -> None:
    made = await begin(whole, era)
    asked = asyncio.get_running_loop().create_task(whole.ask(made("gated", {"amount": 9})))
    await _held(whole, asked)
    assert whole.recording.counts == {}
    await whole.approve()
    _, answer = await asked
    assert answer["result"]["content"][0]["text"] == "gated done"
    assert whole.recording.counts == {"gated": 1}
    again = asyncio.get_running_loop().create_task(whole.ask(made("gated", {"amount": 9}, 2)))
    await _held(whole, again)
    await whole.approve("deny", "not twice")
    _, answer = await again
    assert "not twice" in answer["result"]["content"][0]["text"]
    assert whole.recording.counts == {"gated": 1}
    kinds = [(kind, effect or state) for kind, effect, state, _, _ in await whole.settled(5)]
    assert kinds == [
        ("decision", "require_approval"),
        ("release", "allow"),
        ("outcome", "executed"),
        ("decision", "require_approval"),
        ("outcome", "never_sent"),
    ]
    satisfied = [detail for kind, detail in whole.rows("kind, detail") if kind in ("decision", "release")]
    assert satisfied == [None, '{"approved":["shop/gated"]}', None]


async def _held(whole: World, asked: asyncio.Task[Any]) -> None:
    """Wait until the call waits for its approval."""
    async with asyncio.timeout(20):
        while not (await whole.service.backstage.approvals.list("pending"))[0]:
            assert not asked.done(), asked.result()
            await asyncio.sleep(0.01)


async def test_what_the_server_gets_is_what_was_sent(whole: World) -> None:
    await begin(whole, "handshake")
    arguments = {"big": 9007199254740993, "text": 'ö\u0000"', "deep": [{"a": None}]}
    _, answer = await whole.ask(call("echo_args", arguments))
    assert whole.recording.calls[0].params["arguments"] == arguments
    sent = {name.lower() for name, _ in whole.recording.calls[0].headers}
    assert not {"authorization", "cookie", "mcp-method"} & sent
    assert answer["id"] == 1


async def test_a_revoked_grant_is_out_within_a_second(whole: World) -> None:
    await begin(whole, "handshake")
    store, clock = whole.service.backstage.store, whole.service.backstage.clock
    (row,) = [row for row in (await store.read(grants.page))[0] if row["name"] == "alice"]
    await store.write(partial(grants.revoke, clock=clock, grant_id=row["id"]), topics=("grants",))
    async with asyncio.timeout(1):
        while (await whole.ask(call("safe")))[0] != 401:
            await asyncio.sleep(0.02)


async def test_anothers_session_and_server_are_not_found(whole: World) -> None:
    await begin(whole, "handshake")
    assert (await whole.ask(call("safe"), "bob"))[0] == 404
    whole.session = None
    assert (await whole.ask(call("safe"), "bob", "other"))[0] == 404
    assert (await whole.ask(call("safe"), "alice", "other"))[0] == 200


async def test_server_failures_are_told_apart(whole: World) -> None:
    await begin(whole, "handshake")
    status, answer = await whole.ask(call("safe", {"_rec": "garbage"}))
    assert (status, answer["error"]["code"]) == (200, 40502)
    assert (await whole.settled(2))[-1][2] == "failed"


@pytest.mark.parametrize("size", [5, 40])
async def test_who_sends_too_much_reads_why(whole: World, size: int) -> None:
    async with whole.served.connect() as raw:
        head = whole.headers(call("safe"), "alice", "shop") | {
            "Host": f"127.0.0.1:{whole.served.port}",
            "Content-Length": str(size << 20),
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        sending = asyncio.get_running_loop().create_task(
            raw.send(f"POST /mcp/shop HTTP/1.1\r\n{lines}\r\n".encode() + b" " * (size << 20))
        )
        status, headers, _ = await raw.answer()
        assert (status, headers["connection"].lower()) == (413, "close")
        await sending
    assert (await whole.ask(modern_call("safe")))[0] == 200
