"""`subscriptions/listen`: each resource and task judged, events filtered, closed when no longer allowed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from policylayer.core.errors import Lost
from policylayer.proxy.limits import Limits
from tests.proxy.fakes import DENY, HOLD, event, result, stream
from tests.proxy.rig import Rig, modern

pytestmark = pytest.mark.anyio


def listen(*uris: str, **more: Any) -> dict[str, Any]:
    notifications = {"toolsListChanged": True, **({"resourceSubscriptions": list(uris)} if uris else {}), **more}
    return modern("subscriptions/listen", {"notifications": notifications}, "sub-1")


def notified(method: str, **params: Any) -> bytes:
    meta = {"io.modelcontextprotocol/subscriptionId": "sub-1"}
    return event(json.dumps({"jsonrpc": "2.0", "method": method, "params": {**params, "_meta": meta}}).encode())


async def open_stream(rig: Rig, message: dict[str, Any]) -> tuple[Any, asyncio.Queue[Any]]:
    answer, queue = stream(notified("notifications/subscriptions/acknowledged"))
    rig.upstream.answer = lambda exchange, message: answer
    opened = await rig.open(message)
    assert (await opened.event())["method"] == "notifications/subscriptions/acknowledged"
    return opened, queue


async def test_to_hear_of_changed_lists_is_free_and_recorded(rig: Rig) -> None:
    rig.engine.says["subscriptions/listen"] = DENY
    opened, queue = await open_stream(rig, listen())
    assert rig.upstream.sent[-1].endless
    queue.put_nowait(notified("notifications/tools/list_changed"))
    assert (await opened.event())["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == "sub-1"
    assert rig.recorder.effects == ["allow"]
    await opened.leave()
    await opened.whole()
    assert rig.recorder.states == ["executed"]
    assert rig.upstream.answers[-1].closed.is_set()


async def test_each_resource_is_judged_and_one_denial_is_enough(rig: Rig) -> None:
    rig.engine.says["file:///secret"] = DENY
    answer = await rig.post(listen("file:///open", "file:///secret"))
    assert answer.json["error"]["code"] == 40301
    assert rig.upstream.sent == []
    assert {question.call.target for question in rig.engine.asked} == {"file:///open", "file:///secret"}


async def test_only_updates_of_what_is_allowed_are_shown(rig: Rig) -> None:
    opened, queue = await open_stream(rig, listen("file:///a", "file:///b"))
    rig.engine.says["file:///b"] = DENY
    for uri in ("file:///b", "file:///a"):
        queue.put_nowait(notified("notifications/resources/updated", uri=uri))
    assert (await opened.event())["params"]["uri"] == "file:///a"
    await opened.leave()
    await opened.whole()


async def test_an_update_is_judged_as_the_stream_was(rig: Rig) -> None:
    """Where only the method is allowed, what is listened to is heard."""
    rig.engine.says["resources/subscribe"] = DENY
    opened, queue = await open_stream(rig, listen("file:///a"))
    queue.put_nowait(notified("notifications/resources/updated", uri="file:///a"))
    assert (await opened.event())["params"]["uri"] == "file:///a"
    first, again = rig.engine.asked[0].call, rig.engine.asked[-1].call
    assert (again.method, again.target) == (first.method, first.target) == ("subscriptions/listen", "file:///a")
    await opened.leave()
    await opened.whole()


async def test_a_new_revision_closes_what_it_forbids() -> None:
    rig = Rig(Limits(recheck=60))
    await rig.endpoint.start()
    opened, _ = await open_stream(rig, listen("file:///a"))
    rig.deps.streams.changed()
    await asyncio.sleep(0.01)
    assert not opened.done
    rig.engine.says["file:///a"] = DENY
    rig.engine.revision = "rev2"
    rig.deps.streams.changed()
    ended = await opened.whole()
    assert ended.messages[-1]["error"]["code"] == 40301
    assert ended.messages[-1]["id"] == "sub-1"
    assert rig.recorder.states == ["cancelled"]
    await rig.endpoint.close()


async def test_at_the_end_of_the_program_it_ends_as_a_server_would_end_it(rig: Rig) -> None:
    """Whoever is told that it is not allowed does not come back."""
    opened, queue = await open_stream(rig, listen("file:///a"))
    queue.put_nowait(notified("notifications/tools/list_changed"))
    await opened.event()
    rig.endpoint.release()
    ended = await opened.whole()
    assert (ended.status, ended.messages) == (200, [])
    late = await rig.post(listen("file:///a"))
    # Before or after the first event of its server.
    assert late.status in (200, 503)
    assert b"40301" not in late.body
    assert rig.recorder.states == ["executed", "executed"]


async def test_a_held_subscription_begins_when_it_is_approved() -> None:
    rig = Rig(Limits(beat=0.01))
    rig.engine.says["file:///a"] = HOLD
    answer, _ = stream(notified("notifications/subscriptions/acknowledged"))
    rig.upstream.answer = lambda exchange, message: answer
    opened = await rig.open(listen("file:///a"))
    async with asyncio.timeout(5):
        while not rig.approvals.waits:
            await asyncio.sleep(0.001)
    rig.approvals.settle("approved")
    assert (await opened.event())["method"] == "notifications/subscriptions/acknowledged"
    await opened.leave()
    await opened.whole()


async def test_the_servers_end_and_its_failure_differ(rig: Rig) -> None:
    opened, queue = await open_stream(rig, listen())
    queue.put_nowait(event(result({"id": "sub-1"}, {"resultType": "complete"})))
    assert (await opened.whole()).messages[-1]["result"] == {"resultType": "complete"}
    opened, queue = await open_stream(rig, listen())
    queue.put_nowait(None)
    assert (await opened.whole()).messages == []
    opened, queue = await open_stream(rig, listen())
    queue.put_nowait(Lost("x"))
    assert (await opened.whole()).messages[-1]["error"]["code"] == 40502
    assert rig.recorder.states == ["executed", "executed", "unknown"]


@pytest.mark.parametrize("method", ["sampling/createMessage", "elicitation/create", "roots/list", "ping", "x/y"])
async def test_modern_servers_ask_nothing_on_streams(rig: Rig, method: str) -> None:
    opened, queue = await open_stream(rig, listen())
    queue.put_nowait(event(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": {}}).encode()))
    queue.put_nowait(notified("notifications/tools/list_changed"))
    assert (await opened.event())["method"] == "notifications/tools/list_changed"
    ((type, _, detail),) = rig.recorder.events
    assert type == "server.request_dropped"
    assert detail["parent"] == "row-1"
    await opened.leave()
    await opened.whole()


async def test_a_server_that_asks_without_end_is_cut_off() -> None:
    rig = Rig(Limits(questions=20))
    opened, queue = await open_stream(rig, listen())
    question = event(b'{"jsonrpc":"2.0","id":1,"method":"ping"}')
    queue.put_nowait(question * 21)
    assert (await opened.whole()).messages[-1]["error"]["code"] == 40502
    assert len(rig.recorder.events) == 10 + 1
    assert rig.deps.metrics.of("dropped", reason="server_request") == 20


async def test_a_caller_listens_to_so_many_streams() -> None:
    rig = Rig(Limits(streams_per_owner=1))
    opened, _ = await open_stream(rig, listen())
    answer = await rig.post(listen())
    assert answer.json["error"]["code"] == 40502
    assert rig.recorder.states == ["never_sent"]
    assert len(rig.upstream.sent) == 1
    await opened.leave()
    await opened.whole()


async def test_an_open_stream_is_no_load(rig: Rig) -> None:
    opened, _ = await open_stream(rig, listen())
    assert rig.deps.load.inside == 0
    await opened.leave()
    await opened.whole()
    assert rig.deps.load.inside == 0
